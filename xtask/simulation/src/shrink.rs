//! Makes a plan that fails smaller: fewer faults, fewer runs.

use crate::plan::Plan;
use crate::schedule::play;

/// The smallest plan found that still fails.
pub fn shrink(plan: &Plan) -> Plan {
    let mut best = plan.clone();
    loop {
        let smaller = smaller(&best).into_iter().find(|plan| play(plan).violation.is_some());
        match smaller {
            Some(plan) => best = plan,
            None => return best,
        }
    }
}

fn smaller(plan: &Plan) -> Vec<Plan> {
    let mut all = Vec::new();
    for at in 0..plan.faults.len() {
        let mut fewer = plan.clone();
        fewer.faults.remove(at);
        all.push(fewer);
    }
    if plan.runs.len() > 1 {
        let mut fewer = plan.clone();
        fewer.runs.pop();
        let left = fewer.runs.len();
        fewer.faults.retain(|planned| planned.run < left);
        all.push(fewer);
    }
    all
}
