//! When to try again, and how long to wait: exponential with jitter, or what GitHub asks for.

use std::thread;
use std::time::Duration;

use super::CallError;
use crate::backoff;
use crate::console::Console;
use crate::text::seconds;

/// Counts attempts and waits between them.
pub struct Backoff {
    attempt: u32,
    attempts: u32,
    heed_signals: bool,
}

impl Backoff {
    pub fn new(attempts: u32, heed_signals: bool) -> Self {
        Self { attempt: 1, attempts, heed_signals }
    }

    /// Names the failed attempt and waits; gives the error back when it doesn't pass, or there is no further attempt.
    pub fn wait(&mut self, console: &Console, what: &str, error: CallError) -> Result<(), CallError> {
        self.wait_for(console, what, error, |_| false)
    }

    /// The same, for work where another kind of error passes as well.
    pub fn wait_for(
        &mut self,
        console: &Console,
        what: &str,
        error: CallError,
        passes: impl FnOnce(&CallError) -> bool,
    ) -> Result<(), CallError> {
        let (attempt, attempts) = (self.attempt, self.attempts);
        if !error.passes() && !passes(&error) {
            return Err(error);
        }
        if attempt >= attempts {
            if attempts > 1 {
                console.note(format_args!("{what}: attempt {attempt} of {attempts} failed: {error}"));
            }
            return Err(error);
        }
        let wait = error.retry_after().unwrap_or_else(|| backoff::delay(attempt));
        console
            .note(format_args!("{what}: attempt {attempt} of {attempts} failed: {error}; next in {}", seconds(wait)));
        self.attempt += 1;
        pause(wait, self.heed_signals)
    }
}

/// Does the work until it succeeds, fails for good, or the attempts are used up.
pub(super) fn repeat<T>(
    console: &Console,
    attempts: u32,
    heed_signals: bool,
    what: &str,
    mut work: impl FnMut() -> Result<T, CallError>,
) -> Result<T, CallError> {
    let mut backoff = Backoff::new(attempts, heed_signals);
    loop {
        match work() {
            Ok(value) => return Ok(value),
            Err(error) => backoff.wait(console, what, error)?,
        }
    }
}

/// Sleeps, unless a signal asks to stop.
pub fn pause(time: Duration, heed_signals: bool) -> Result<(), CallError> {
    if heed_signals {
        return backoff::pause(time).map_err(|_| CallError::Interrupted);
    }
    thread::sleep(time);
    Ok(())
}
