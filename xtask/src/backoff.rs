//! How long to wait before trying again: exponential with jitter; a signal ends the wait.

use std::hash::{BuildHasher as _, RandomState};
use std::thread;
use std::time::{Duration, Instant};

use crate::interrupt;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// The wait after this number of failures in a row: 0.5 s, 1 s, 2 s, up to 30 s, less up to a quarter at random.
pub fn delay(failures: u32) -> Duration {
    // `RandomState` is seeded at random for each process and counts up: enough for jitter.
    jittered(failures, RandomState::new().hash_one(0_u8))
}

/// The same wait, with the caller's random number.
pub fn jittered(failures: u32, random: u64) -> Duration {
    let time = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST);
    time.mul_f64(0.75 + (random % 1024) as f64 / 4096.0)
}

/// Sleeps, unless a signal asks to stop.
pub fn pause(time: Duration) -> anyhow::Result<()> {
    let until = Instant::now() + time;
    loop {
        interrupt::check()?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(Duration::from_millis(100)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_bounded() {
        for (failures, most) in [(0, 500), (1, 500), (2, 1000), (3, 2000), (7, 30_000), (1000, 30_000)] {
            let (wait, most) = (delay(failures), Duration::from_millis(most));
            assert!(wait <= most && wait >= most.mul_f64(0.75), "{failures}: {wait:?}");
        }
    }
}
