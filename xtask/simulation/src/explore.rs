//! Two publishes in every order that one change of turn or two make, and with one fault at each operation.
//!
//! Which operations there are follows from the schedule without a fault, so nothing is left out: each fault of the list, at
//! each operation of each run, with each place where the turn changes. What the time doesn't reach is an even sample, because
//! the schedules are taken in strides.

use std::time::{Duration, Instant};

use crate::fault::{Fault, Planned};
use crate::plan::{Pace, Plan, Run, Start, Verb};
use crate::schedule::play;

/// What an exploration came to.
#[derive(Debug, Default)]
pub struct Explored {
    pub played: u64,
    /// How many there are.
    pub all: u64,
    /// The first plan that fails, and what it does.
    pub violation: Option<(Plan, String)>,
}

/// Each kind once, with the times at which a protocol would notice.
const FAULTS: [Fault; 24] = [
    Fault::Kill,
    Fault::KillAfterSending { served: 1_000 },
    Fault::KillAfterSending { served: 25_000 },
    Fault::Limit { status: 429, retry_after: Some(6) },
    Fault::Limit { status: 403, retry_after: None },
    Fault::Limited { lasting: 60_000 },
    Fault::Refuse { status: 401 },
    Fault::Refuse { status: 404 },
    Fault::Refuse { status: 502 },
    Fault::Lost,
    Fault::AnswerLost,
    Fault::Late { served: 6_000 },
    Fault::Late { served: 40_000 },
    Fault::Late { served: 110_000 },
    Fault::Twice { again: 6_000 },
    Fault::Never,
    Fault::DraftInstead,
    Fault::Starter,
    Fault::Lag { lasting: 10_000 },
    Fault::Nap { lasting: 1_200_000 },
    Fault::Signal,
    Fault::NoHub { lasting: 60_000 },
    Fault::NoGit { lasting: 60_000 },
    Fault::LockDeleted,
];

const fn publish(source: u8, images: u8, discard_incoming: bool) -> Verb {
    Verb::Publish { source, images, discard_incoming, keep_previous: true }
}

/// The same set twice; two sets; the same images under another source beside another set.
const PAIRS: [[Verb; 2]; 3] = [
    [publish(45, 2, false), publish(45, 2, false)],
    [publish(45, 2, true), publish(46, 3, true)],
    [publish(45, 1, true), publish(46, 3, true)],
];

/// The turn never changes by itself.
const NEVER: u64 = u64::MAX;

fn plan(verbs: [Verb; 2], first: usize, ends: [u64; 2], faults: Vec<Planned>) -> Plan {
    let run = |at: usize| Run { verb: verbs[at], starts: 0, after_the_one_before: false, clone: at as u8 };
    Plan {
        seed: 1,
        start: Start::Ours,
        runs: vec![run(0), run(1)],
        faults,
        latest_arrival: 110_000,
        pace: Pace::Turns { first, ends },
        last: Some(publish(47, 4, true)),
    }
}

/// An order without a fault, and how many operations each run has in it.
struct Order {
    verbs: [Verb; 2],
    first: usize,
    ends: [u64; 2],
    operations: [u64; 2],
}

impl Order {
    fn with_faults(&self) -> u64 {
        self.operations.iter().sum::<u64>() * FAULTS.len() as u64
    }

    fn faulty(&self, number: u64) -> Plan {
        let (fault, at) = (FAULTS[(number % FAULTS.len() as u64) as usize], number / FAULTS.len() as u64);
        let (run, operation) = if at < self.operations[0] { (0, at) } else { (1, at - self.operations[0]) };
        plan(self.verbs, self.first, self.ends, vec![Planned { run, operation, fault }])
    }
}

/// All orders with at most two changes of turn, then the orders with at most one and a fault, for so long. `part` of `parts`
/// of them.
pub fn explore(for_so_long: Duration, part: u64, parts: u64) -> Explored {
    let until = Instant::now() + for_so_long;
    let mut explored = Explored::default();
    let mut orders = Vec::new();
    let mut turn = 0;
    for verbs in PAIRS {
        for first in 0..2 {
            let straight = play(&plan(verbs, first, [NEVER; 2], Vec::new())).operations;
            // Before the first change of turn all is as it was, so a later one changes nothing.
            for one in (1..straight).chain([NEVER]) {
                let mut more = Vec::new();
                if one != NEVER {
                    more.extend(one + 1..straight + 10);
                }
                for two in more.into_iter().chain([NEVER]) {
                    turn += 1;
                    explored.all = turn;
                    let plan = plan(verbs, first, [one, two], Vec::new());
                    // Each part needs the operations of the orders that get a fault.
                    if two == NEVER || turn % parts == part {
                        let outcome = explored.play(&plan);
                        if let (NEVER, [a, b]) = (two, &outcome[..]) {
                            orders.push(Order { verbs, first, ends: [one, two], operations: [*a, *b] });
                        }
                    }
                    if explored.violation.is_some() || Instant::now() >= until {
                        return explored;
                    }
                }
            }
        }
    }
    let mut begins = vec![0];
    for order in &orders {
        begins.push(begins[begins.len() - 1] + order.with_faults());
    }
    let all = begins[begins.len() - 1];
    explored.all = turn + all;
    // A prime above any count here: multiples of it visit each number once.
    const STRIDE: u64 = 982_451_653;
    let mut number = part;
    while number < all && explored.violation.is_none() && Instant::now() < until {
        let which = (number * STRIDE) % all;
        let order = begins.partition_point(|begin| *begin <= which) - 1;
        explored.play(&orders[order].faulty(which - begins[order]));
        number += parts;
    }
    explored
}

impl Explored {
    fn play(&mut self, plan: &Plan) -> Vec<u64> {
        let outcome = play(plan);
        self.played += 1;
        if let Some(violation) = outcome.violation {
            self.violation.get_or_insert((plan.clone(), violation));
        }
        outcome.of_runs
    }
}
