//! Two publishes in every order that one change of turn or two make, and with one fault at each operation.
//!
//! Which operations there are follows from the schedule without a fault, so nothing is left out: each fault of the list, at
//! each operation of each run, with each place where the turn changes. What the time doesn't reach is an even sample, because
//! the schedules are taken in strides.

use std::time::{Duration, Instant};

use crate::cases::publish;
use crate::fault::{Fault, Place, Planned};
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
const FAULTS: [Fault; 27] = [
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
    Fault::LagById { lasting: 10_000 },
    Fault::NoPins,
    Fault::FolderChanged,
    Fault::Nap { lasting: 1_200_000 },
    Fault::Signal,
    Fault::NoHub { lasting: 60_000 },
    Fault::NoGit { lasting: 60_000 },
    Fault::LockDeleted,
];

/// The same set twice; two sets; the same images under another source beside another set.
const PAIRS: [[Verb; 2]; 3] =
    [[publish(45, 2), publish(45, 2)], [publish(45, 2), publish(46, 3)], [publish(45, 1), publish(46, 3)]];

/// The turn never changes by itself.
const NEVER: u64 = u64::MAX;

fn plan(verbs: [Verb; 2], first: usize, ends: [u64; 2], faults: Vec<Planned>) -> Plan {
    let run =
        |at: usize| Run { verb: verbs[at], starts: 0, after_the_one_before: false, clone: at as u8, take_over: false };
    Plan {
        seed: 1,
        start: Start::Ours,
        runs: vec![run(0), run(1)],
        faults,
        latest_arrival: 110_000,
        pace: Pace::Turns { first, ends },
        last: Some(publish(47, 4)),
    }
}

/// An order with at most one change of turn.
struct Order {
    verbs: [Verb; 2],
    first: usize,
    one: u64,
    /// How many each run has in it.
    operations: [u64; 2],
    /// Where a second change of turn can be.
    seconds: u64,
}

impl Order {
    /// How many orders are made of it, by a second change of turn or by a fault.
    fn variants(&self) -> u64 {
        self.seconds + self.operations.iter().sum::<u64>() * FAULTS.len() as u64
    }

    fn variant(&self, number: u64) -> Plan {
        let Some(number) = number.checked_sub(self.seconds) else {
            return plan(self.verbs, self.first, [self.one, self.one + 1 + number], Vec::new());
        };
        let (fault, at) = (FAULTS[(number % FAULTS.len() as u64) as usize], number / FAULTS.len() as u64);
        let (run, operation) = if at < self.operations[0] { (0, at) } else { (1, at - self.operations[0]) };
        plan(self.verbs, self.first, [self.one, NEVER], vec![Planned { run, place: Place::Number(operation), fault }])
    }
}

/// All orders with at most one change of turn; then, for so long and scattered over all of them, those with one change more
/// or a fault. `part` of `parts` of those.
pub fn explore(for_so_long: Duration, part: u64, parts: u64) -> Explored {
    let until = Instant::now() + for_so_long;
    let mut explored = Explored::default();
    let mut orders = Vec::new();
    for verbs in PAIRS {
        for first in 0..2 {
            let straight = play(&plan(verbs, first, [NEVER; 2], Vec::new())).operations;
            // Before the first change of turn all is as it was, so a later one changes nothing.
            for one in (1..straight).chain([NEVER]) {
                // Each part needs the operations of all of these; it plays them, and one counts them.
                let outcome = explored.play(&plan(verbs, first, [one, NEVER], Vec::new()));
                explored.played -= u64::from(part != 0);
                if explored.violation.is_some() || Instant::now() >= until {
                    return explored;
                }
                if let [a, b] = outcome[..] {
                    let seconds = if one == NEVER { 0 } else { straight + 9 - one };
                    orders.push(Order { verbs, first, one, operations: [a, b], seconds });
                }
            }
        }
    }
    let mut begins = vec![0];
    for order in &orders {
        begins.push(begins[begins.len() - 1] + order.variants());
    }
    let all = begins[begins.len() - 1];
    explored.all = orders.len() as u64 + all;
    // A prime above any count here: multiples of it visit each number once.
    const STRIDE: u64 = 982_451_653;
    let mut number = part;
    while number < all && explored.violation.is_none() && Instant::now() < until {
        let which = (number * STRIDE) % all;
        let order = begins.partition_point(|begin| *begin <= which) - 1;
        explored.play(&orders[order].variant(which - begins[order]));
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
