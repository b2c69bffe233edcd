//! The publish matrix: what only real processes show. Every kind of request of a full publish meets every fault once, and every
//! change a kill. The other scenarios run without a fault: theirs, schedules of several runs, and faults that combine are for the
//! simulation.
//!
//! Requests are numbered from a recorded good run. `PUBLISH_MATRIX=full` runs every combination in every scenario, and
//! `PUBLISH_MATRIX_ONLY=text` the cases whose name contains that text.

mod case;
mod crashes;
mod faults;
mod kept;
mod keys;
mod pool;
mod reader;

use std::sync::atomic::Ordering;

use case::Scenario;

/// What a part of the matrix found.
#[derive(Default)]
struct Tally {
    cases: usize,
    violations: usize,
}

impl Tally {
    fn add(&mut self, name: &str, result: Result<(), String>) {
        self.cases += 1;
        if let Err(violation) = result {
            self.violations += 1;
            eprintln!("violation: {name}\n{violation}\n");
        }
    }
}

fn full() -> bool {
    std::env::var("PUBLISH_MATRIX").is_ok_and(|value| value == "full")
}

#[test]
fn nothing_is_lost() {
    let recorded: Vec<_> = Scenario::ALL.iter().map(|scenario| keys::record(*scenario)).collect();
    let requests: usize = recorded.iter().map(|recorded| recorded.keys.len()).sum();

    let once = faults::once(&recorded, full());
    let crashes = crashes::run(&recorded, full());

    let sets = reader::SETS.load(Ordering::Relaxed);
    let parts = [&once, &crashes];
    let violations: usize = parts.iter().map(|tally| tally.violations).sum();
    println!(
        "publish matrix: {} faults × {requests} requests in {} scenarios ({} runs), {} crashes, {} sets downloaded meanwhile: {} violations",
        faults::KINDS.len(),
        recorded.len(),
        once.cases,
        crashes.cases,
        sets,
        violations
    );
    assert!(sets > 0, "no reader ever got a set");
    assert_eq!(violations, 0, "violations are told above");
}
