//! The lock, held: it is renewed beside the work, and a request that changes something needs a [`Permit`], which lapses
//! [`FRESH`] after the renewal that it rests on was begun.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;

use crate::console::seconds;
use crate::failure;
use crate::gh::CallError;
use crate::git::{self, Pushed};
use crate::typed;

use super::doors::Doors;
use super::lock::{Note, REF};
use super::outside::{Bell, How, Move, Outside, Push};

/// A holder renews so often.
const RENEW: Duration = Duration::from_secs(30);
/// A permit rests on a renewal begun at most this long ago, by a clock that counts a machine's sleep.
pub const FRESH: Duration = Duration::from_secs(30);
/// How long the kernel of a client that was killed may go on sending what it took.
const SENDING: Duration = Duration::from_secs(100);
/// GitHub ends a request of its own after this.
const SERVING: Duration = Duration::from_secs(10);
/// A lock that stands still for so long, by a clock that doesn't count sleep, is nobody's. What its holder had sent
/// under its last permit has arrived by then, or never does: that is what the assertion below is for.
pub const WATCH: Duration = Duration::from_secs(180);
const _: () = assert!(FRESH.as_secs() + SENDING.as_secs() + SERVING.as_secs() < WATCH.as_secs());

/// A push of the lock, and a small change, are given up after this.
pub const ANSWER: Duration = Duration::from_secs(20);
/// A lock that can't be renewed for so long is given up; between the two calls of a flip as well.
pub const GIVE_UP: Duration = Duration::from_secs(600);
/// A run that can't renew the lock for so long has no business to go on.
const HOPELESS: Duration = Duration::from_secs(3600);

/// The lock, held.
#[derive(Clone)]
pub struct Lease(Arc<Inner>);

struct Inner {
    note: Note,
    state: Mutex<State>,
    stop: Arc<Bell>,
}

#[derive(Default)]
struct State {
    /// What the ref was last known to be, by us.
    known: Option<String>,
    /// Pushed without an answer, each with the time when it was begun: one of them may be there, or come to be.
    unanswered: Vec<(String, Duration)>,
    /// When the newest renewal that is known to have succeeded was begun; by the clock that counts sleep.
    renewed: Duration,
    /// Why this run isn't the holder any more.
    lost: Option<String>,
    /// Because somebody deleted it.
    deleted: bool,
    /// A push is under way: one at a time, or its own lease would fail it.
    busy: bool,
    renewing: bool,
    /// Since when nothing is live, between the two calls of a flip.
    gap: Option<Duration>,
    /// Until when a request whose answer was not clear may still arrive.
    unclear_until: Option<Duration>,
    /// What this run did half-way it has taken back itself.
    in_order: bool,
}

/// What a push of the lock came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Renewed {
    Yes,
    /// The lock is held, and what went along was not moved: its own lease failed.
    OthersMoved,
    /// Nobody knows yet.
    Unknown,
}

/// Leave to send one request that changes something. Made by [`Lease::permit`] alone.
pub struct Permit<'l> {
    lease: &'l Lease,
    /// The last byte was handed over: from then on the request may be done.
    sent: AtomicBool,
}

impl Permit<'_> {
    /// Whether it holds; `elapsed` is the clock that counts sleep.
    ///
    /// # Errors
    ///
    /// [`CallError::Lapsed`] when the lock must be renewed first; another when it is lost.
    pub fn check(&self, elapsed: Duration) -> Result<(), CallError> {
        let state = self.lease.state();
        // One that was deleted nobody else has, so nobody else puts right what is half-way.
        if let Some(why) = state.lost.as_ref().filter(|_| !(state.gap.is_some() && state.deleted)) {
            return Err(CallError::Local(state.not_held(why, elapsed)));
        }
        let within = |since: Duration, at_most| elapsed.saturating_sub(since) <= at_most;
        // A second published release on the tag is refused by GitHub, so it is safe to go on without an answer.
        let fresh = within(state.renewed, FRESH) || state.gap.is_some_and(|since| within(since, GIVE_UP));
        if fresh { Ok(()) } else { Err(CallError::Lapsed) }
    }

    /// Asked before a request's last byte is handed over: with a `Content-Length` nothing happens on the other side
    /// before that.
    ///
    /// # Errors
    ///
    /// As [`Self::check`].
    pub fn last_byte(&self, elapsed: Duration) -> Result<(), CallError> {
        self.check(elapsed)?;
        self.sent.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub fn was_sent(&self) -> bool {
        self.sent.load(Ordering::Relaxed)
    }
}

impl State {
    /// How long a request whose answer was not clear may still arrive.
    fn unclear_for(&self, elapsed: Duration) -> Option<Duration> {
        self.unclear_until.map(|until| until.saturating_sub(elapsed)).filter(|left| !left.is_zero())
    }

    /// It is not held any more, and nothing holds the next run back from what may still arrive.
    fn not_held(&self, why: &str, elapsed: Duration) -> anyhow::Error {
        let (open, when) = self.unclear_for(elapsed).map_or_else(Default::default, |left| {
            ("a change that it sent may still be done: ", format!(" in {}", seconds(left)))
        });
        let status = typed::line("status");
        failure::failed(format!(
            "the lock {REF} is not this run's any more ({why}), so it stops; {open}look with {status}{when}, then run again"
        ))
    }
}

const HOW: How = How { at_most: Some(ANSWER), heeds_signals: false };

impl Lease {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that is to hold the lock, and doesn't yet.
    pub fn new(note: Note) -> Self {
        Self(Arc::new(Inner { note, state: Mutex::default(), stop: Arc::default() }))
    }

    /// The first push of the lock, over what is `there`. `Ok(Err(why))`: it isn't this run's, or nobody knows yet.
    ///
    /// # Errors
    ///
    /// The remote refuses.
    pub fn take(&self, doors: Doors<'_>, there: Option<String>) -> anyhow::Result<Result<(), &'static str>> {
        self.state().known = there;
        match self.push(doors.outside(), None) {
            Ok(Renewed::Yes) => {
                self.start_renewing(doors.outside());
                Ok(Ok(()))
            }
            Ok(Renewed::OthersMoved | Renewed::Unknown) => Ok(Err("no clear answer to the push")),
            Err(error) if self.state().lost.take().is_some() => {
                doors.detail(format_args!("{error:#}"));
                Ok(Err("somebody else was quicker"))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether this run pushed it.
    pub fn is_ours(&self, id: &str) -> bool {
        let state = self.state();
        state.known.as_deref() == Some(id) || state.unanswered.iter().any(|(pushed, _)| pushed == id)
    }

    /// Leave to send one request. Renews first where the last renewal is too old; without an answer it goes on trying.
    ///
    /// # Errors
    ///
    /// The lock is lost, could not be renewed for [`GIVE_UP`], or a signal arrived.
    pub fn permit(&self, doors: Doors<'_>) -> anyhow::Result<Permit<'_>> {
        let permit = Permit { lease: self, sent: AtomicBool::new(false) };
        loop {
            match permit.check(doors.outside().elapsed()) {
                Ok(()) => return Ok(permit),
                Err(CallError::Lapsed) => self.renew_now(doors)?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Renews until it is known to be done: whatever was pushed before without an answer can't come any more then.
    ///
    /// # Errors
    ///
    /// The lock is lost, or could not be renewed for [`GIVE_UP`].
    pub fn renew_now(&self, doors: Doors<'_>) -> anyhow::Result<()> {
        let outside = doors.outside();
        let since = outside.elapsed();
        while self.push(outside, None)? != Renewed::Yes {
            if outside.elapsed().saturating_sub(since) > GIVE_UP {
                return Err(failure::failed(format!(
                    "the lock {REF} could not be renewed for {} minutes; run the same command again to go on",
                    GIVE_UP.as_secs() / 60
                )));
            }
            doors.pause(Duration::from_secs(2))?;
        }
        Ok(())
    }

    /// All is as it was before this run: there is nothing to heal.
    pub fn is_in_order(&self) {
        self.state().in_order = true;
    }

    /// Whether a run that failed has something to heal, and may.
    pub fn may_heal(&self) -> bool {
        let state = self.state();
        state.lost.is_none() && !state.in_order
    }

    pub fn is_lost(&self) -> bool {
        self.state().lost.is_some()
    }

    /// From now on until [`Self::gap_ends`] nothing is live: permits don't wait for renewals.
    pub fn gap_begins(&self, outside: &dyn Outside) {
        self.state().gap = Some(outside.elapsed());
    }

    pub fn gap_ends(&self) {
        self.state().gap = None;
    }

    /// Moves the tag, fenced: one atomic push with a renewal, so that one which comes late fails as a whole.
    ///
    /// # Errors
    ///
    /// The lock is lost, or the remote refuses. `Ok(false)`: the tag was not where it was expected.
    pub fn move_tag(&self, doors: Doors<'_>, tag: &Move) -> anyhow::Result<bool> {
        let mut tries = doors.backoff();
        loop {
            self.permit(doors)?;
            match self.push(doors.outside(), Some(tag))? {
                Renewed::Yes => return Ok(true),
                Renewed::OthersMoved => return Ok(false),
                Renewed::Unknown => {}
            }
            tries.wait("pushing the tag", CallError::Lost("no answer".to_owned()))?;
            // After this the push is done, or never will be.
            self.renew_now(doors)?;
            let now = doors.refs()?.tag.map(|tag| tag.object);
            if now == tag.to {
                return Ok(true);
            }
            if now != tag.expected {
                return Ok(false);
            }
        }
    }

    /// One push of the lock, alone or with the tag.
    fn push(&self, outside: &dyn Outside, tag: Option<&Move>) -> anyhow::Result<Renewed> {
        // The other push is given up in time, so this ends.
        let until = outside.now() + ANSWER * 4;
        while std::mem::replace(&mut self.state().busy, true) {
            if outside.now() >= until {
                return Ok(Renewed::Unknown);
            }
            outside.sleep(Duration::from_millis(250), false);
        }
        let result = self.push_alone(outside, tag);
        self.state().busy = false;
        result
    }

    fn push_alone(&self, outside: &dyn Outside, tag: Option<&Move>) -> anyhow::Result<Renewed> {
        let state = self.state();
        if let Some(why) = &state.lost {
            return Err(state.not_held(why, outside.elapsed()));
        }
        drop(state);
        let text = serde_json::to_string(&self.0.note.anew(outside)?).context("writing the lock's note")?;
        // Kept before it is pushed: without an answer, what is there is known by its id.
        let id = outside.new_lock(&text)?;
        let begun = outside.elapsed();
        let expected = self.state().known.clone();
        self.state().unanswered.push((id.clone(), begun));
        let lock = Move { to: Some(id.clone()), expected };
        match outside.push(HOW, &Push { lock, tag: tag.cloned() }) {
            Ok(Pushed::Moved | Pushed::Already) => {
                self.holds(id, begun);
                return Ok(Renewed::Yes);
            }
            Ok(Pushed::Refused(said)) => {
                self.state().unanswered.retain(|(pushed, _)| *pushed != id);
                return Err(failure::missing(format!(
                    "{} refuses the push to {}: {said}{}",
                    outside.repo(),
                    if tag.is_some() { "the tag `latest`" } else { REF },
                    git::cure(&said)
                )));
            }
            Ok(Pushed::Stale) | Err(_) => {}
        }
        let Ok(refs) = outside.refs(HOW) else { return Ok(Renewed::Unknown) };
        if refs.lock.as_deref() == Some(&id) {
            self.holds(id, begun);
            return Ok(Renewed::Yes);
        }
        let mut state = self.state();
        if refs.lock.is_some() && refs.lock == state.known {
            // Not moved, and it can still be: a renewal settles that.
            let others = tag.is_some_and(|tag| refs.tag.map(|tag| tag.object) != tag.expected);
            return Ok(if others { Renewed::OthersMoved } else { Renewed::Unknown });
        }
        if let Some(at) = state.unanswered.iter().position(|(pushed, _)| Some(pushed) == refs.lock.as_ref()) {
            let (id, begun) = state.unanswered[at].clone();
            drop(state);
            self.holds(id, begun);
            return Ok(Renewed::Unknown);
        }
        if refs.lock.is_none() && state.known.is_none() {
            return Ok(Renewed::Unknown);
        }
        state.deleted = refs.lock.is_none();
        let why = match refs.lock {
            None => "somebody deleted it".to_owned(),
            Some(id) => format!("somebody else's is there: {}", id.get(..12).unwrap_or(&id)),
        };
        state.lost = Some(why.clone());
        Err(state.not_held(&why, outside.elapsed()))
    }

    fn holds(&self, id: String, begun: Duration) {
        let mut state = self.state();
        state.known = Some(id);
        state.unanswered.clear();
        state.renewed = begun;
    }

    fn start_renewing(&self, outside: &dyn Outside) {
        self.state().renewing = true;
        let lease = self.clone();
        outside.beside(Box::new(move |outside| lease.renew(outside)));
    }

    /// Beside the work, until it is told to stop or the lock is lost.
    fn renew(&self, outside: &dyn Outside) {
        loop {
            outside.wait(&self.0.stop, RENEW);
            if self.0.stop.is_rung() || self.push(outside, None).is_err() {
                break;
            }
            let mut state = self.state();
            if outside.elapsed().saturating_sub(state.renewed) > HOPELESS {
                state.lost = Some("it could not be renewed for an hour".to_owned());
                break;
            }
        }
        self.state().renewing = false;
    }

    /// A request that changes something ended without a clear answer: it may arrive later.
    pub fn is_unclear(&self, outside: &dyn Outside) {
        self.state().unclear_until = Some(outside.elapsed() + SENDING + SERVING);
    }

    /// How long a change that was sent without a clear answer may still be done.
    pub fn unclear_for(&self, outside: &dyn Outside) -> Option<Duration> {
        self.state().unclear_for(outside.elapsed())
    }

    /// Gives the lock back, if all that was sent under it had a clear answer; else it is left to be found dead.
    ///
    /// # Errors
    ///
    /// It was lost before: what was done under it may have been undone since.
    pub fn release(&self, doors: Doors<'_>) -> anyhow::Result<()> {
        let outside = doors.outside();
        outside.ring(&self.0.stop);
        // It ends with its last push, which is given up in time.
        let until = outside.now() + ANSWER + Duration::from_secs(10);
        while self.state().renewing && outside.now() < until {
            outside.sleep(Duration::from_millis(50), false);
        }
        let (expected, unclear) = {
            let state = self.state();
            if let Some(why) = &state.lost {
                return Err(state.not_held(why, outside.elapsed()));
            }
            let unanswered = (!state.unanswered.is_empty()).then_some(SENDING);
            (state.known.clone(), state.unclear_for(outside.elapsed()).or(unanswered))
        };
        if let Some(left) = unclear {
            outside.leave_lock(left);
            doors.detail(format_args!("the lock {REF} stays, because not every request was answered"));
            return Ok(());
        }
        let said = match outside.push(HOW, &Push { lock: Move { to: None, expected }, tag: None }) {
            Ok(Pushed::Moved | Pushed::Already) => return Ok(()),
            // Since the last renewal somebody deleted it or took it, and may have moved the tag.
            Ok(Pushed::Stale) => {
                return Err(self.state().not_held("it is gone, or somebody else's", outside.elapsed()));
            }
            Ok(Pushed::Refused(said)) => said,
            Err(error) => error.to_string(),
        };
        doors.detail(format_args!("the lock {REF} could not be given back ({said}); it goes stale by itself"));
        Ok(())
    }
}
