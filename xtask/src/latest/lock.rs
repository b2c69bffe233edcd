//! One publisher at a time. The lock is the ref `refs/packer/lock` in the publishing repository, moved by pushes with a
//! lease, git's compare-and-swap: whoever holds it may change what others see.
//!
//! It points to a commit of its own whose message says who holds it. A holder renews it; one that doesn't for
//! [`WATCH`] is taken for dead. A request that changes something needs a [`Permit`], which lapses [`FRESH`] after the
//! renewal that it rests on was begun.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::failure;
use crate::gh::CallError;
use crate::git::{self, Pushed};
use crate::typed;

use super::doors::Doors;
use super::outside::{Bell, How, Move, Outside, Push};

/// The ref.
pub const REF: &str = "refs/packer/lock";

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
/// How often a lock that is watched is looked at.
const GLANCE: Duration = Duration::from_secs(5);
/// What this clone's own dead run had sent has arrived after this: its processes are known to be gone.
const SAME_CLONE: Duration = Duration::from_secs(30);
/// `--take-over` waits so long for what the other one had sent, and looks again.
const TAKE_OVER: Duration = Duration::from_secs(60);
/// A lock that can't be renewed for so long is given up; between the two calls of a flip as well.
pub const GIVE_UP: Duration = Duration::from_secs(600);

/// A run that can't renew the lock for so long has no business to go on.
const HOPELESS: Duration = Duration::from_secs(3600);

/// What the lock's commit says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// `publish` or `rollback`.
    pub verb: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// RFC 3339, UTC.
    pub started: String,
    /// 32 random hex digits, the same for all of a run's renewals.
    pub token: String,
    /// Another for each renewal: the same content would be the same id, and git checks no lease for that.
    pub nonce: String,
    /// In GitHub Actions the run's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

impl Note {
    /// A note is text from outside: nothing else is taken for one.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text.trim()).ok()
    }
}

/// `publish of v0.45, since 2026-01-02T03:04:05Z`
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let safe = |text: &str| text.chars().filter(|c| !c.is_control()).take(200).collect::<String>();
        f.write_str(&safe(&self.verb))?;
        if let Some(source) = &self.source {
            write!(f, " of {}", safe(source))?;
        }
        write!(f, ", since {}", safe(&self.started))?;
        self.run.as_ref().map_or(Ok(()), |run| write!(f, ", {}", safe(run)))
    }
}

/// Who wants the lock.
#[derive(Debug, Clone)]
pub struct Claim {
    pub verb: &'static str,
    pub source: Option<String>,
    /// Replace a lock of somebody else, whatever it says.
    pub take_over: bool,
}

/// The lock, held.
#[derive(Clone)]
pub struct Lease(Arc<Inner>);

struct Inner {
    note: Note,
    state: Mutex<State>,
    stop: Arc<Bell>,
}

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
        if let Some(why) = &state.lost
            // Nobody else has it, so nobody else puts right what is half-way.
            && !(state.gap.is_some() && state.deleted)
        {
            return Err(CallError::Local(lost(why)));
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

fn lost(why: &str) -> anyhow::Error {
    failure::failed(format!(
        "the lock {REF} is not this run's any more ({why}), so it stops; look with {}, then run again",
        typed::line("status")
    ))
}

/// Who has the lock.
#[derive(Debug)]
pub enum Holder {
    /// A run of this tool.
    Run(Note),
    /// The ref is at this id, which is no lock of this tool.
    Stranger(String),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(note) => write!(f, "{note}: at work, or ended early; the next publish finds out"),
            Self::Stranger(id) => {
                write!(f, "{id}, which is no lock of this tool: see who made it; publish --take-over replaces it")
            }
        }
    }
}

impl Holder {
    /// `ours`, and `verb`, `source`, `started`, `run` as the lock's note has them, or the `id` of a stranger's.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Run(note) => json!({
                "ours": true, "verb": note.verb, "source": note.source, "started": note.started, "run": note.run,
            }),
            Self::Stranger(id) => json!({ "ours": false, "id": id }),
        }
    }
}

/// `None` when nobody has it.
pub fn holder(doors: Doors<'_>, lock: Option<&str>) -> Option<Holder> {
    let id = lock?;
    match read(doors, id) {
        Ok(Read::Gone) => None,
        Ok(Read::Of(note)) => Some(Holder::Run(note)),
        Ok(Read::Strange) | Err(_) => Some(Holder::Stranger(id.to_owned())),
    }
}

/// What stands behind a lock's id.
enum Read {
    Of(Note),
    /// It is no lock of this tool.
    Strange,
    /// It was given back, or renewed, before its note was read.
    Gone,
}

fn read(doors: Doors<'_>, id: &str) -> Result<Read, CallError> {
    if let Some(note) = doors.lock_note(id)?.as_deref().and_then(Note::parse) {
        return Ok(Read::Of(note));
    }
    Ok(if doors.refs()?.lock.as_deref() == Some(id) { Read::Strange } else { Read::Gone })
}

/// Waits until the lock is this run's.
///
/// # Errors
///
/// Exit code 1: somebody else is at work. Exit code 3: the lock isn't one of ours, or the remote takes no such ref.
pub fn acquire(doors: Doors<'_>, claim: &Claim) -> anyhow::Result<Lease> {
    let outside = doors.outside();
    let started = humantime::format_rfc3339_seconds(outside.wall_clock()).to_string();
    let note = Note {
        verb: claim.verb.to_owned(),
        source: claim.source.clone(),
        started,
        token: hex(outside)?,
        nonce: String::new(),
        run: outside.address_of_run(),
    };
    let state = State {
        known: None,
        unanswered: Vec::new(),
        renewed: Duration::ZERO,
        lost: None,
        deleted: false,
        busy: false,
        renewing: false,
        gap: None,
        unclear_until: None,
        in_order: false,
    };
    let lease = Lease(Arc::new(Inner { note, state: Mutex::new(state), stop: Arc::default() }));
    let alone_in_clone = outside.hold_clone()?;
    let mut tries = doors.backoff();
    loop {
        doors.check()?;
        let there = doors.refs()?.lock;
        let mut settle = Duration::ZERO;
        match &there {
            None => {}
            Some(id) if lease.is_ours(id) => {}
            Some(id) => match found(doors, claim, id, alone_in_clone)? {
                Found::Gone => continue,
                Found::Replace { then_wait } => settle = then_wait,
            },
        }
        lease.state().known = there;
        match lease.push(outside, None) {
            Ok(Renewed::Yes) => {}
            Ok(Renewed::OthersMoved | Renewed::Unknown) => {
                tries.wait("taking the lock", CallError::Lost("no clear answer to the push".into()))?;
                continue;
            }
            Err(error) if lease.state().lost.take().is_some() => {
                doors.detail(format_args!("{error:#}"));
                tries.wait("taking the lock", CallError::Lost("somebody else was quicker".into()))?;
                continue;
            }
            Err(error) => return Err(error),
        }
        lease.start_renewing(outside);
        if !settle.is_zero() {
            doors.note(format_args!("waiting {} s for what the run before had sent", settle.as_secs()));
            if let Err(error) = doors.pause(settle) {
                // Nothing was done under it.
                let _ = lease.release(doors);
                return Err(error.into());
            }
        }
        return Ok(lease);
    }
}

/// What to do about a lock that is there.
enum Found {
    Gone,
    Replace { then_wait: Duration },
}

fn found(doors: Doors<'_>, claim: &Claim, id: &str, alone_in_clone: bool) -> anyhow::Result<Found> {
    let outside = doors.outside();
    if alone_in_clone && let Some(unclear) = outside.pushed_by_this_clone(id)? {
        doors.note("the lock is that of an earlier run of this clone, which is gone; going on");
        return Ok(Found::Replace { then_wait: SAME_CLONE.max(unclear) });
    }
    let note = match read(doors, id)? {
        Read::Of(note) => Some(note),
        Read::Strange => None,
        Read::Gone => return Ok(Found::Gone),
    };
    if claim.take_over {
        let whose = note.map_or_else(|| "of unknown origin".to_owned(), |note| note.to_string());
        doors.warn(format_args!("replacing the lock of somebody else ({whose})"));
        return Ok(Found::Replace { then_wait: TAKE_OVER });
    }
    let Some(note) = note else {
        return Err(failure::missing(format!(
            "{REF} in {} is not a lock of this tool ({id}); see who made it, then run again with --take-over",
            doors.repo()
        )));
    };
    doors.note(format_args!(
        "another publisher has the lock ({note}); watching it for up to {} s: a run that is alive renews it",
        WATCH.as_secs()
    ));
    let since = doors.now();
    while doors.now().saturating_sub(since) < WATCH {
        doors.pause(GLANCE)?;
        match doors.refs()?.lock {
            None => return Ok(Found::Gone),
            Some(now) if now == id => {}
            Some(_) => {
                return Err(failure::failed(format!(
                    "another publisher is at work: {note}; nothing was changed by this run, so run it again when that is done"
                )));
            }
        }
    }
    doors.note(format_args!("it stood still for {} s, so its run is gone; going on", WATCH.as_secs()));
    Ok(Found::Replace { then_wait: Duration::ZERO })
}

/// 32 random hex digits.
fn hex(outside: &dyn Outside) -> anyhow::Result<String> {
    let bytes = outside.random().context("drawing a token for the lock")?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

const HOW: How = How { at_most: Some(ANSWER), heeds_signals: false };

impl Lease {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_ours(&self, id: &str) -> bool {
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
        if let Some(why) = &self.state().lost {
            return Err(lost(why));
        }
        let note = Note { nonce: hex(outside)?, ..self.0.note.clone() };
        let text = serde_json::to_string(&note).context("writing the lock's note")?;
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
        Err(lost(&why))
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
                return Err(lost(why));
            }
            let unanswered = !state.unanswered.is_empty();
            let unclear = state.unclear_until.map(|until| until.saturating_sub(outside.elapsed()));
            (state.known.clone(), unclear.filter(|left| !left.is_zero()).or(unanswered.then_some(SENDING)))
        };
        if expected.is_none() {
            return Ok(());
        }
        if let Some(left) = unclear {
            outside.leave_lock(left);
            doors.detail(format_args!("the lock {REF} stays, because not every request was answered"));
            return Ok(());
        }
        let lock = Move { to: None, expected };
        let said = match outside.push(HOW, &Push { lock, tag: None }) {
            Ok(Pushed::Moved | Pushed::Already) => return Ok(()),
            // Since the last renewal somebody deleted it or took it, and may have moved the tag.
            Ok(Pushed::Stale) => return Err(lost("it is gone, or somebody else's")),
            Ok(Pushed::Refused(said)) => said,
            Err(error) => error.to_string(),
        };
        doors.detail(format_args!("the lock {REF} could not be given back ({said}); it goes stale by itself"));
        Ok(())
    }
}
