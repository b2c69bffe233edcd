//! What a person sees while `latest` has no release. A task beside the switch prints the lines, so that a terminal which accepts
//! no output cannot delay the switch. It promises a first line after five seconds, then one each half minute, and one when a
//! signal arrives. Used by `exchange.rs`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::gh::CallError;
use crate::text::seconds;

use super::TAG;
use super::lease::Lease;
use super::outside::{Outside, Say, Stop};

const FIRST: Duration = Duration::from_secs(5);
const NEXT: Duration = Duration::from_secs(30);

/// The task that reports.
#[derive(Default)]
pub struct Gap {
    state: Arc<Mutex<State>>,
    stop: Arc<Stop>,
}

#[derive(Default)]
pub struct State {
    /// PATCH 1 got no answer and may arrive until then.
    pub may_arrive_until: Duration,
    blocked_by: String,
}

impl Gap {
    /// Starts to report; `command` publishes the new release by hand.
    pub fn begins(outside: &dyn Outside, lease: Lease, command: String) -> Self {
        let gap = Self::default();
        let (state, stop) = (Arc::clone(&gap.state), Arc::clone(&gap.stop));
        let line = move |now| state.lock().unwrap_or_else(PoisonError::into_inner).line(now, lease.gap(), &command);
        outside.beside(Box::new(move |outside| report(outside, &stop, line)));
        gap
    }

    pub fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub fn blocked_by(&self, what: &str, error: &CallError) {
        let login = "; GitHub refuses the token, so run `gh auth login` in another terminal";
        let login = if error.status() == Some(401) { login } else { "" };
        self.set(|state| state.blocked_by = format!("{what}{login}"));
    }

    pub fn ends(&self, outside: &dyn Outside) {
        outside.stop(&self.stop);
    }
}

impl State {
    /// `since`: from when on `latest` has no release.
    fn line(&self, now: Duration, since: Option<Duration>, command: &str) -> Option<String> {
        let blocked_by = if self.blocked_by.is_empty() { "GitHub has not answered yet" } else { &self.blocked_by };
        match since {
            Some(since) => Some(format!(
                "{TAG} has had no release for {}: {blocked_by}; still trying. To do it by hand: {command}",
                seconds(now.saturating_sub(since))
            )),
            None if self.may_arrive_until > now => Some(format!(
                "the request to pin the live release got no answer and may still arrive; watching for {}",
                seconds(self.may_arrive_until - now)
            )),
            None => None,
        }
    }
}

fn report(outside: &dyn Outside, stop: &Arc<Stop>, line: impl Fn(Duration) -> Option<String>) {
    let (mut next, mut acknowledged) = (outside.elapsed() + FIRST, false);
    loop {
        outside.wait(stop, Duration::from_secs(1));
        if stop.is_set() {
            return;
        }
        if !acknowledged && outside.signal().is_some() {
            acknowledged = true;
            outside.say(Say::Urgent, format_args!("signal received; the run ends as soon as a release is live"));
        }
        let now = outside.elapsed();
        if now < next {
            continue;
        }
        let line = line(now);
        next = now + if line.is_some() { NEXT } else { FIRST };
        if let Some(line) = line {
            outside.say(Say::Urgent, format_args!("{line}"));
        }
    }
}
