//! The lock, held. A task renews it beside the work, and each request that changes something needs a [`Permit`], which expires soon
//! after the renewal that it rests on. `lock.rs` makes a lease, `held.rs` asks it before each change.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool};
use std::time::Duration;

use anyhow::Context as _;

use crate::failure::{self, Advice as _};
use crate::gh::CallError;
use crate::git::{self, Pushed};
use crate::refusal::Refusal;
use crate::suggest;
use crate::text::seconds;

use super::TAG;
use super::client::Client;
use super::lock::{Intent, Note, REF};
use super::outside::{How, Move, Outside, Push, Stop};
use super::permit::Permit;
use super::session;
use super::times::{ANSWER, ARRIVES, GIVE_UP, HOPELESS, RENEW, SENDING};

/// The lock, held.
#[derive(Clone)]
pub struct Lease(Arc<Inner>);

struct Inner {
    note: Note,
    state: Mutex<State>,
    stop: Arc<Stop>,
}

#[derive(Default)]
pub(super) struct State {
    /// What the ref was last known to be, by us.
    known: Option<String>,
    /// Pushed without an answer, each with the time when it was begun: one of them may be there, or come to be.
    unanswered: Vec<(String, Duration)>,
    /// When the newest renewal that is known to have succeeded was begun; by the clock that counts sleep.
    pub(super) renewed: Duration,
    /// Why this run isn't the holder any more.
    pub(super) lost: Option<String>,
    /// Somebody deleted the lock.
    pub(super) deleted: bool,
    /// A push is under way: a second push at the same time would make the first fail.
    busy: bool,
    renewing: bool,
    /// Since when nothing is live, between the two PATCHes of a switch.
    pub(super) gap: Option<Duration>,
    /// Until when a request whose answer was not clear may still arrive.
    unclear_until: Option<Duration>,
    /// This run left nothing half done.
    in_order: bool,
    /// What this run is about to switch.
    intent: Option<Intent>,
    /// The lock is not given back.
    stays: bool,
}

/// What a push of the lock came to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Renewed {
    Yes,
    /// The lock is held, and the tag was not moved: it was not where it was expected.
    OthersMoved,
    /// The remote refuses, and says why.
    Refused(String),
    /// There was no clear answer.
    Unknown,
}

/// Exit code 3: the remote takes no such push.
fn refused(outside: &dyn Outside, what: &str, said: &str) -> anyhow::Error {
    failure::missing(format!("{} refuses the push to {what}: {said}", outside.repo())).fix(Refusal::of(said).fix(true))
}

impl State {
    /// How long a request whose answer was not clear may still arrive.
    fn unclear_for(&self, elapsed: Duration) -> Option<Duration> {
        self.unclear_until.map(|until| until.saturating_sub(elapsed)).filter(|left| !left.is_zero())
    }

    /// This run does not hold the lock any more, and the next run does not wait for what this run sent.
    pub(super) fn not_held(&self, why: &str, elapsed: Duration) -> anyhow::Error {
        let (open, when) = self.unclear_for(elapsed).map_or_else(Default::default, |left| {
            ("; a change that it sent may still take effect", format!(" in {}", seconds(left)))
        });
        let status = suggest::command("status");
        failure::failed(format!("this run stops: it no longer has the lock {REF}: {why}{open}"))
            .fix(format_args!("see {status}{when}, then run the same command again"))
    }
}

impl Lease {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lease that does not hold the lock yet.
    pub fn new(note: Note) -> Self {
        Self(Arc::new(Inner { note, state: Mutex::default(), stop: Arc::default() }))
    }

    /// The first push of the lock, over what is `there`. `Ok(Err(why))`: this run doesn't hold it, or had no clear answer.
    ///
    /// # Errors
    ///
    /// The remote refuses.
    pub fn take(&self, client: Client<'_>, there: Option<String>) -> anyhow::Result<Result<(), &'static str>> {
        self.state().known = there;
        match self.push(client.outside(), None) {
            Ok(Renewed::Yes) => {
                if !std::mem::replace(&mut self.state().renewing, true) {
                    let lease = self.clone();
                    client.outside().beside(Box::new(move |outside| lease.renew(outside)));
                }
                Ok(Ok(()))
            }
            Ok(Renewed::OthersMoved | Renewed::Unknown) => Ok(Err("no clear answer to the push")),
            Ok(Renewed::Refused(said)) => Err(refused(client.outside(), REF, &said)),
            Err(error) if self.state().lost.take().is_some() => {
                client.detail(format_args!("{error:#}"));
                Ok(Err("another run took the lock first"))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether this run pushed it.
    pub fn is_ours(&self, id: &str) -> bool {
        let state = self.state();
        state.known.as_deref() == Some(id) || state.unanswered.iter().any(|(pushed, _)| pushed == id)
    }

    /// Permission to send one request. Renews first if the last renewal is too old, and again while there is no answer.
    ///
    /// # Errors
    ///
    /// The lock is lost, could not be renewed for [`GIVE_UP`], or a signal arrived.
    pub fn permit(&self, client: Client<'_>) -> Result<Permit<'_>, CallError> {
        let permit = Permit { lease: self, sent: AtomicBool::new(false) };
        loop {
            match permit.check(client.outside().elapsed()) {
                Ok(()) => return Ok(permit),
                Err(CallError::Lapsed) => self.renew_now(client)?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Renews until a renewal is known to have succeeded: an earlier push without an answer fails from then on.
    ///
    /// # Errors
    ///
    /// The lock is lost, or could not be renewed for [`GIVE_UP`]; [`CallError::Lapsed`] at once for a client that tries once.
    pub fn renew_now(&self, client: Client<'_>) -> Result<(), CallError> {
        let outside = client.outside();
        let since = outside.elapsed();
        loop {
            match self.push(outside, None).map_err(CallError::Local)? {
                Renewed::Yes => return Ok(()),
                Renewed::Refused(said) => return Err(CallError::Local(refused(outside, REF, &said))),
                Renewed::OthersMoved | Renewed::Unknown => {}
            }
            // During the switch the caller reads what is there between two attempts.
            if client.tries_once() {
                return Err(CallError::Lapsed);
            }
            if outside.elapsed().saturating_sub(since) > GIVE_UP {
                let minutes = GIVE_UP.as_secs() / 60;
                let error = failure::failed(format!("the lock {REF} could not be renewed for {minutes} minutes"));
                return Err(CallError::Local(error.fix("run the same command again to continue")));
            }
            client.pause(Duration::from_secs(2))?;
        }
    }

    /// There is nothing to recover.
    pub fn is_in_order(&self) {
        self.state().in_order = true;
    }

    /// Makes ready for recovery at the end of a run that failed. Whether there is something to recover, and this run has the lock:
    /// one that somebody deleted is taken once more, since it alone says where the tag was.
    pub fn hold_to_recover(&self, client: Client<'_>) -> bool {
        let mut state = self.state();
        if state.in_order {
            return false;
        }
        if !state.deleted {
            return state.lost.is_none();
        }
        (state.lost, state.deleted) = (None, false);
        drop(state);
        matches!(self.take(client, None), Ok(Ok(())))
    }

    /// Since when nothing is live; while that is so, permits don't wait for renewals.
    pub fn set_gap(&self, since: Option<Duration>) {
        self.state().gap = since;
    }

    pub fn gap(&self) -> Option<Duration> {
        self.state().gap
    }

    /// Moves the tag `latest`, fenced: one atomic push with a renewal, so that a push which arrives late fails as a whole. Where
    /// the tag is right already, only the lock is pushed. Whether the tag had to move.
    ///
    /// # Errors
    ///
    /// The lock is lost, the remote refuses, or somebody else moved the tag.
    pub fn move_tag(&self, client: Client<'_>, from: Option<&str>, to: &str) -> anyhow::Result<bool> {
        if from == Some(to) {
            self.renew_now(client)?;
            return Ok(false);
        }
        match self.push_tag(client, TAG, from, to)? {
            Renewed::Yes => Ok(true),
            Renewed::Refused(said) => Err(refused(client.outside(), "the tag `latest`", &said)),
            Renewed::OthersMoved | Renewed::Unknown => {
                Err(session::changed("somebody moved the tag `latest` during this run, so nothing was switched"))
            }
        }
    }

    /// Makes the tag of a pinned set, which must not exist, fenced in the same way. `Some`: why it was refused; the lock is
    /// renewed alone then.
    ///
    /// # Errors
    ///
    /// The lock is lost.
    pub fn pin(&self, client: Client<'_>, name: &str, commit: &str) -> anyhow::Result<Option<String>> {
        let refused = match self.push_tag(client, name, None, commit)? {
            Renewed::Yes => return Ok(None),
            Renewed::Refused(said) => said,
            Renewed::OthersMoved | Renewed::Unknown => "a tag of that name exists now".to_owned(),
        };
        self.renew_now(client)?;
        Ok(Some(refused))
    }

    /// Pushes a tag together with a renewal until it is known what came of it: never [`Renewed::Unknown`].
    fn push_tag(&self, client: Client<'_>, name: &str, from: Option<&str>, to: &str) -> anyhow::Result<Renewed> {
        let mut tries = client.backoff();
        let tag = (name.to_owned(), Move { to: Some(to.to_owned()), expected: from.map(str::to_owned) });
        loop {
            self.permit(client)?;
            match self.push(client.outside(), Some(&tag))? {
                Renewed::Unknown => {}
                known => return Ok(known),
            }
            tries.wait(format_args!("pushing the tag {name}"), CallError::Lost("no answer".to_owned()))?;
            // From here on the push has been done, or fails.
            self.renew_now(client)?;
            let now = client.refs()?.tag(name).map(|tag| tag.object.clone());
            if now == tag.1.to {
                return Ok(Renewed::Yes);
            }
            if now != tag.1.expected {
                return Ok(Renewed::OthersMoved);
            }
        }
    }

    /// The lock is not given back: the next run reads in it what this run meant to do.
    pub fn stays(&self) {
        self.state().stays = true;
    }

    /// From the next renewal on the lock's note says what this run is about to switch.
    pub fn intends(&self, intent: Intent) {
        self.state().intent = Some(intent);
    }

    /// One push of the lock, alone or with a tag.
    fn push(&self, outside: &dyn Outside, tag: Option<&(String, Move)>) -> anyhow::Result<Renewed> {
        // A push is given up after a while, so this ends.
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

    fn push_alone(&self, outside: &dyn Outside, tag: Option<&(String, Move)>) -> anyhow::Result<Renewed> {
        let state = self.state();
        if let Some(why) = &state.lost {
            return Err(state.not_held(why, outside.elapsed()));
        }
        let intent = state.intent.clone();
        drop(state);
        let text = serde_json::to_string(&self.0.note.anew(outside, intent)?).context("writing the lock's note")?;
        // Without an answer, the lock that is there is recognised by its id.
        let id = outside.new_lock(&text)?;
        let begun = outside.elapsed();
        let expected = self.state().known.clone();
        self.state().unanswered.push((id.clone(), begun));
        let lock = Move { to: Some(id.clone()), expected };
        match outside.push(How::BRIEF, &Push { lock, tag: tag.cloned() }) {
            Ok(Pushed::Moved | Pushed::Already) => {
                self.holds(id, begun);
                return Ok(Renewed::Yes);
            }
            Ok(Pushed::Refused(said)) => {
                self.state().unanswered.retain(|(pushed, _)| *pushed != id);
                return Ok(Renewed::Refused(said));
            }
            Ok(Pushed::Stale) | Err(_) => {}
        }
        let Ok(refs) = outside.refs(How::BRIEF) else { return Ok(Renewed::Unknown) };
        if refs.lock.as_deref() == Some(&id) {
            self.holds(id, begun);
            return Ok(Renewed::Yes);
        }
        let mut state = self.state();
        if refs.lock.is_some() && refs.lock == state.known {
            // The push was not done, and may still be: a renewal rules that out.
            let others = tag.is_some_and(|(name, it)| refs.tag(name).map(|tag| &tag.object) != it.expected.as_ref());
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
            Some(id) => format!("another lock is there: {}", git::short(&id)),
        };
        state.lost = Some(why.clone());
        Err(state.not_held(&why, outside.elapsed()))
    }

    fn holds(&self, id: String, begun: Duration) {
        let mut state = self.state();
        (state.known, state.renewed) = (Some(id), begun);
        state.unanswered.clear();
    }

    /// Renews beside the work, until it is stopped or the lock is lost.
    fn renew(&self, outside: &dyn Outside) {
        loop {
            outside.wait(&self.0.stop, RENEW);
            if self.0.stop.is_set() || !matches!(self.push(outside, None), Ok(Renewed::Yes | Renewed::Unknown)) {
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

    /// The last change was answered; where that was not `clear`, the change may arrive later.
    pub fn answered(&self, outside: &dyn Outside, clear: bool) {
        let now = outside.elapsed();
        if clear {
            let left = self.state().unclear_for(now);
            outside.may_arrive(left);
        } else {
            self.state().unclear_until = Some(now + ARRIVES);
        }
    }

    /// Gives the lock back, if each change under it had a clear answer; else the next run finds it and waits.
    ///
    /// # Errors
    ///
    /// The lock was lost before: what was done under it may have been undone since.
    pub fn release(&self, client: Client<'_>) -> anyhow::Result<()> {
        let outside = client.outside();
        outside.stop(&self.0.stop);
        // The renewing task ends after its last push, which is given up after a while.
        let until = outside.now() + ANSWER + Duration::from_secs(10);
        while self.state().renewing && outside.now() < until {
            outside.sleep(Duration::from_millis(50), false);
        }
        let (expected, unclear) = {
            let state = self.state();
            if let Some(why) = &state.lost {
                return Err(state.not_held(why, outside.elapsed()));
            }
            if state.stays {
                return Ok(());
            }
            let unanswered = (!state.unanswered.is_empty()).then_some(SENDING);
            (state.known.clone(), state.unclear_for(outside.elapsed()).or(unanswered))
        };
        if let Some(left) = unclear {
            outside.may_arrive(Some(left));
            client.detail(format_args!("the lock {REF} is kept, because a request got no answer"));
            return Ok(());
        }
        let said = match outside.push(How::BRIEF, &Push { lock: Move { to: None, expected }, tag: None }) {
            Ok(Pushed::Moved | Pushed::Already) => return Ok(()),
            // Since the last renewal somebody deleted or took the lock, and may have moved the tag.
            Ok(Pushed::Stale) => {
                return Err(self.state().not_held("it was deleted, or another run has it", outside.elapsed()));
            }
            Ok(Pushed::Refused(said)) => said,
            Err(error) => error.to_string(),
        };
        client.detail(format_args!("releasing the lock {REF} failed, so the next run waits until it expires: {said}"));
        Ok(())
    }
}
