//! Runs cases side by side: most of a case is waiting.

use std::sync::Mutex;
use std::thread;

use super::Tally;

/// Cases that work for most of their time.
pub const WORKING: usize = 6;
/// Cases that wait for most of it.
pub const WAITING: usize = 12;

/// A named case.
pub struct Case {
    pub name: String,
    pub run: Box<dyn FnOnce() -> Result<(), String> + Send>,
}

/// Runs all, or those whose name contains `PUBLISH_MATRIX_ONLY`.
pub fn run(mut cases: Vec<Case>, at_once: usize) -> Tally {
    if let Ok(only) = std::env::var("PUBLISH_MATRIX_ONLY") {
        cases.retain(|case| case.name.contains(&only));
    }
    let queue = Mutex::new(cases);
    let tally = Mutex::new(Tally::default());
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(case) = { queue.lock().unwrap().pop() } {
                    // A panic in a case is a violation of its own, with the case's name.
                    let result =
                        std::panic::catch_unwind(std::panic::AssertUnwindSafe(case.run)).unwrap_or_else(|panic| {
                            let text = panic.downcast_ref::<String>().cloned();
                            Err(text.unwrap_or_else(|| "the case panicked".to_owned()))
                        });
                    tally.lock().unwrap().add(&case.name, result);
                }
            });
        }
    });
    tally.into_inner().unwrap()
}
