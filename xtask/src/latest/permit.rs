//! Permission to send one request that changes something: only while the lock is held and was renewed a moment ago. The lease makes
//! permits; each change through `outside.rs` asks its permit before the last byte.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::gh::CallError;

use super::lease::Lease;
use super::outside::Outside;
use super::times::{ARRIVES, FRESH, GIVE_UP};

/// Permission to send one request that changes something. Made by [`Lease::permit`] alone.
pub struct Permit<'l> {
    pub(super) lease: &'l Lease,
    /// The last byte was sent: from then on the change may be made.
    pub(super) sent: AtomicBool,
}

impl Permit<'_> {
    /// Whether the permit is still valid; `elapsed` is the clock that counts sleep.
    ///
    /// # Errors
    ///
    /// [`CallError::Lapsed`] when the lock must be renewed first; another when it is lost.
    pub fn check(&self, elapsed: Duration) -> Result<(), CallError> {
        let state = self.lease.state();
        // Nobody else holds a deleted lock, so nobody else would finish the switch.
        if let Some(why) = state.lost.as_ref().filter(|_| !(state.gap.is_some() && state.deleted)) {
            return Err(CallError::Local(state.not_held(why, elapsed)));
        }
        let within = |since: Duration, at_most| elapsed.saturating_sub(since) <= at_most;
        // A second published release on the tag is refused by GitHub, so it is safe to go on without an answer.
        let fresh = within(state.renewed, FRESH) || state.gap.is_some_and(|since| within(since, GIVE_UP));
        if fresh { Ok(()) } else { Err(CallError::Lapsed) }
    }

    /// Asked before a request's last byte is sent: with a `Content-Length` nothing happens on the other side before that. Notes
    /// for the next run of this clone until when the request may arrive.
    ///
    /// # Errors
    ///
    /// As [`Self::check`].
    pub fn last_byte(&self, outside: &dyn Outside) -> Result<(), CallError> {
        self.check(outside.elapsed())?;
        outside.may_arrive(Some(ARRIVES));
        self.sent.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub fn was_sent(&self) -> bool {
        self.sent.load(Ordering::Relaxed)
    }
}
