//! The outside of one simulated run: each call is handed to the schedule, which resumes the run when it has an answer.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use corosensei::Yielder;
use send_wrapper::SendWrapper;
use xtask::console::{Console, Transfer};
use xtask::gh::{Asset, CallError, NewRelease, Release, Upload};
use xtask::git::{Pushed, TagRef};
use xtask::latest::TAG;
use xtask::latest::client::Client;
use xtask::latest::outside::{Budget, Feed, How, Outside, Push, Refs, Say, Seen, Stop, Take, Task};
use xtask::latest::permit::Permit;
use xtask::repo::Repo;

use crate::chance::Chance;

/// What a run asks for.
#[derive(Debug)]
pub enum Ask {
    ByTag(String),
    Releases,
    Release(u64),
    Assets(u64),
    Read {
        asset: u64,
    },
    Create(NewRelease),
    Update(u64, NewRelease),
    Delete(u64),
    Upload {
        release: u64,
        name: String,
        bytes: Vec<u8>,
    },
    DeleteAsset(u64),
    Refs,
    LockNote(String),
    Push(Push),
    Budget,
    CommitOfTag(String),
    /// gh or git begins: what comes next is sent a moment later.
    Begin,
    Sleep {
        millis: u64,
    },
    Wait {
        stop: Arc<Stop>,
        millis: u64,
    },
    Stop(Arc<Stop>),
    Beside(Beside),
    Say(String),
}

/// A task that begins.
pub struct Beside(pub RefCell<Option<Task>>);

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a task beside")
    }
}

/// What it is told.
#[derive(Clone, Debug)]
pub enum Told {
    Nothing,
    Maybe(Option<Box<Release>>),
    Releases(Vec<Release>),
    Release(Box<Release>),
    Assets(Vec<Asset>),
    Asset(Box<Asset>),
    Bytes(Rc<[u8]>),
    Refs(Refs),
    Note(Option<String>),
    Pushed(Pushed),
    Budget(Budget),
    Commit(Option<String>),
}

pub type Answer = Result<Told, CallError>;

/// What the schedule hands to a run together with how long it may take.
pub struct Asked {
    pub ask: Ask,
    /// Milliseconds until the run gives up by itself; `None`: it waits for ever.
    pub patience: Option<u64>,
    pub heeds_signals: bool,
}

/// What the schedule and a run both see.
#[derive(Default)]
pub struct RunState {
    pub dead: Cell<bool>,
    pub signal: Cell<bool>,
    /// Milliseconds that its machine slept.
    pub slept: Cell<u64>,
    pub clock_back: Cell<u64>,
    /// Lines that would wait while the terminal takes none, until this moment.
    pub blocked_until: Cell<u64>,
    drawn: Cell<u64>,
    pub clone: Cell<u8>,
    /// It has its clone's file locked.
    pub holds_clone: Cell<bool>,
    /// It may not print.
    pub still: Cell<bool>,
    unsaid: RefCell<Vec<String>>,
    /// What was asked for after its death: for a dead run time flies, so that it ends.
    after_death: Cell<u64>,
}

#[derive(Default)]
pub struct Shared {
    /// Milliseconds since the beginning.
    pub now: Cell<u64>,
    pub seed: Cell<u64>,
    pub runs: RefCell<Vec<Rc<RunState>>>,
    pub tells: Cell<bool>,
    pub locks: RefCell<Locks>,
}

/// The commits that locks point to, by number, and in which clone that was written down.
#[derive(Default)]
pub struct Locks {
    made: Vec<(String, Option<u8>)>,
    /// Until when what a clone's last run sent may arrive, as it wrote down.
    unclear: HashMap<u8, u64>,
}

impl Locks {
    /// Which one an id in this world names.
    pub fn number(id: &str) -> Option<usize> {
        id.strip_prefix("lock")?.parse().ok()
    }

    pub fn notes(&self) -> Vec<String> {
        self.made.iter().map(|(text, _)| text.clone()).collect()
    }

    pub fn note(&self, id: &str) -> Option<String> {
        Some(self.made.get(Self::number(id)?)?.0.clone())
    }
}

/// One task of a run.
pub struct Process<'y> {
    yielder: SendWrapper<&'y Yielder<Answer, Asked>>,
    shared: SendWrapper<Rc<Shared>>,
    state: SendWrapper<Rc<RunState>>,
    run: usize,
}

static REPO: LazyLock<Repo> = LazyLock::new(|| Repo { host: "github.com".into(), owner: "o".into(), name: "n".into() });
static CONSOLE: LazyLock<Console> = LazyLock::new(Console::silent);

/// What gh waits for without other orders.
const ANSWER: u64 = 60_000;

impl<'y> Process<'y> {
    pub fn new(yielder: &'y Yielder<Answer, Asked>, shared: Rc<Shared>, run: usize) -> Self {
        let state = Rc::clone(&shared.runs.borrow()[run]);
        Self {
            yielder: SendWrapper::new(yielder),
            shared: SendWrapper::new(shared),
            state: SendWrapper::new(state),
            run,
        }
    }

    fn ask(&self, how: How, ask: Ask) -> Answer {
        let at_most = how.at_most.map_or(ANSWER, |time| time.as_millis() as u64).min(ANSWER);
        self.hand_over(Asked { ask, patience: Some(at_most), heeds_signals: how.heeds_signals })
    }

    fn hand_over(&self, asked: Asked) -> Answer {
        if self.state.dead.get() {
            self.state.after_death.set(self.state.after_death.get() + 1);
            assert!(self.state.after_death.get() < 100_000, "a dead run goes on: {:?}", asked.ask);
            return Err(CallError::Lost("killed".into()));
        }
        let answer = self.yielder.suspend(asked);
        if self.state.dead.get() { Err(CallError::Lost("killed".into())) } else { answer }
    }

    /// With a permit, asked twice: when the program begins, and before the last byte.
    fn change(&self, how: How, permit: &Permit<'_>, ask: Ask) -> Answer {
        permit.check(self.elapsed())?;
        self.hand_over(Asked { ask: Ask::Begin, patience: None, heeds_signals: false })?;
        permit.last_byte(self)?;
        self.ask(how, ask)
    }
}

macro_rules! told {
    ($answer:expr, $kind:ident) => {
        match $answer? {
            Told::$kind(value) => Ok(value),
            _ => unreachable!("an answer of another kind"),
        }
    };
}

impl Outside for Process<'_> {
    fn repo(&self) -> &Repo {
        &REPO
    }

    fn attempts(&self) -> u32 {
        5
    }

    fn seen(&self, how: How) -> anyhow::Result<Seen> {
        let client = Client::with(self, how);
        let live = client.release_by_tag(TAG)?;
        let releases = client.releases()?;
        Ok(Seen { live, releases, refs: client.refs()?, badge: None })
    }

    fn release_by_tag(&self, how: How, tag: &str) -> Result<Option<Release>, CallError> {
        told!(self.ask(how, Ask::ByTag(tag.to_owned())), Maybe).map(|found: Option<Box<Release>>| found.map(|it| *it))
    }

    fn releases(&self, how: How) -> Result<Vec<Release>, CallError> {
        told!(self.ask(how, Ask::Releases), Releases)
    }

    fn release(&self, how: How, id: u64) -> Result<Release, CallError> {
        told!(self.ask(how, Ask::Release(id)), Release).map(|release: Box<Release>| *release)
    }

    fn assets(&self, how: How, release: u64) -> Result<Vec<Asset>, CallError> {
        told!(self.ask(how, Ask::Assets(release)), Assets)
    }

    fn read(&self, how: How, asset: &Asset, start: u64, take: Take<'_>) -> Result<(), CallError> {
        let bytes: Rc<[u8]> = told!(self.ask(how, Ask::Read { asset: asset.id }), Bytes)?;
        take(&bytes[(start as usize).min(bytes.len())..]).map_err(CallError::Local)
    }

    fn create_release(&self, how: How, permit: &Permit<'_>, new: &NewRelease) -> Result<Release, CallError> {
        told!(self.change(how, permit, Ask::Create(new.clone())), Release).map(|release: Box<Release>| *release)
    }

    fn update_release(&self, how: How, permit: &Permit<'_>, id: u64, new: &NewRelease) -> Result<Release, CallError> {
        told!(self.change(how, permit, Ask::Update(id, new.clone())), Release).map(|release: Box<Release>| *release)
    }

    fn delete_release(&self, how: How, permit: &Permit<'_>, id: u64) -> Result<(), CallError> {
        self.change(how, permit, Ask::Delete(id)).map(drop)
    }

    fn upload(&self, how: How, permit: &Permit<'_>, upload: Upload<'_>, feed: Feed<'_>) -> Result<Asset, CallError> {
        let mut bytes = Vec::with_capacity(upload.size as usize);
        feed(&mut bytes).map_err(CallError::Local)?;
        let ask = Ask::Upload { release: upload.release.id, name: upload.name.to_owned(), bytes };
        permit.check(self.elapsed())?;
        self.hand_over(Asked { ask: Ask::Begin, patience: None, heeds_signals: false })?;
        permit.check(self.elapsed())?;
        told!(self.ask(how, ask), Asset).map(|asset: Box<Asset>| *asset)
    }

    fn delete_asset(&self, how: How, permit: &Permit<'_>, id: u64) -> Result<(), CallError> {
        self.change(how, permit, Ask::DeleteAsset(id)).map(drop)
    }

    fn budget(&self, how: How) -> Result<Budget, CallError> {
        told!(self.ask(how, Ask::Budget), Budget)
    }

    fn commit_of_tag(&self, how: How, tag: &str) -> Result<Option<String>, CallError> {
        told!(self.ask(how, Ask::CommitOfTag(tag.to_owned())), Commit)
    }

    fn refs(&self, how: How) -> Result<Refs, CallError> {
        told!(self.ask(how, Ask::Refs), Refs)
    }

    fn lock_note(&self, how: How, id: &str) -> Result<Option<String>, CallError> {
        told!(self.ask(how, Ask::LockNote(id.to_owned())), Note)
    }

    fn new_lock(&self, text: &str) -> anyhow::Result<String> {
        let mut locks = self.shared.locks.borrow_mut();
        // By who has its clone's file, and by nobody else.
        let clone = self.state.holds_clone.get().then(|| self.state.clone.get());
        locks.made.push((text.to_owned(), clone));
        Ok(format!("lock{}", locks.made.len() - 1))
    }

    fn push(&self, how: How, push: &Push) -> Result<Pushed, CallError> {
        told!(self.ask(how, Ask::Push(push.clone())), Pushed)
    }

    fn hold_clone(&self) -> anyhow::Result<()> {
        let runs = self.shared.runs.borrow();
        let others = runs.iter().enumerate().filter(|(at, run)| *at != self.run && run.clone == self.state.clone);
        let alone = others.into_iter().all(|(_, run)| !run.holds_clone.get());
        self.state.holds_clone.set(alone);
        Ok(())
    }

    fn pushed_by_this_clone(&self, lock: &str) -> Option<Duration> {
        let locks = self.shared.locks.borrow();
        let ours = Locks::number(lock)
            .and_then(|at| locks.made.get(at))
            .is_some_and(|(_, clone)| *clone == Some(self.state.clone.get()));
        let unclear = locks.unclear.get(&self.state.clone.get()).copied().unwrap_or(0);
        let ours = ours && self.state.holds_clone.get();
        ours.then(|| Duration::from_millis(unclear.saturating_sub(self.shared.now.get())))
    }

    fn may_arrive(&self, for_at_most: Option<Duration>) {
        if !self.state.holds_clone.get() || self.state.dead.get() {
            return;
        }
        let until = for_at_most.map_or(0, |time| self.shared.now.get() + time.as_millis() as u64);
        self.shared.locks.borrow_mut().unclear.insert(self.state.clone.get(), until);
    }

    fn address_of_run(&self) -> Option<String> {
        None
    }

    fn set_local_tag(&self, _object: &str) -> anyhow::Result<()> {
        Ok(())
    }

    fn bring(&self, target: &TagRef) -> anyhow::Result<String> {
        Ok(target.object.clone())
    }

    fn now(&self) -> Duration {
        Duration::from_millis(
            self.shared.now.get().saturating_sub(self.state.slept.get()) + self.state.after_death.get() * 10_000,
        )
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.shared.now.get() + self.state.after_death.get() * 10_000)
    }

    fn wall_clock(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_700_000_000_000 + self.shared.now.get() - self.state.clock_back.get())
    }

    fn sleep(&self, time: Duration, heeds_signals: bool) {
        let ask = Ask::Sleep { millis: time.as_millis() as u64 };
        let _ = self.hand_over(Asked { ask, patience: None, heeds_signals });
    }

    fn signal(&self) -> Option<usize> {
        (self.state.signal.get() || self.state.dead.get()).then_some(2)
    }

    fn random(&self) -> anyhow::Result<[u8; 16]> {
        let drawn = self.state.drawn.get();
        self.state.drawn.set(drawn + 1);
        let mut chance = Chance::of(self.shared.seed.get(), 1_000 + self.run as u64, drawn);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&chance.draw().to_le_bytes());
        bytes[8..].copy_from_slice(&chance.draw().to_le_bytes());
        Ok(bytes)
    }

    fn say(&self, how: Say, text: fmt::Arguments<'_>) {
        if self.state.still.get() && how != Say::Urgent {
            if self.shared.tells.get() && how != Say::Detail {
                self.state.unsaid.borrow_mut().push(text.to_string());
            }
            return;
        }
        if self.state.blocked_until.get() > self.shared.now.get() {
            let millis = self.state.blocked_until.get() - self.shared.now.get();
            let _ = self.hand_over(Asked { ask: Ask::Sleep { millis }, patience: None, heeds_signals: false });
        }
        if self.shared.tells.get() && how != Say::Detail {
            let _ = self.hand_over(Asked { ask: Ask::Say(text.to_string()), patience: None, heeds_signals: false });
        }
    }

    fn last_rate(&self) -> Option<u64> {
        None
    }

    fn remember_rate(&self, _rate: u64) {}

    fn transfer(&self, what: String, bytes: u64) -> Transfer {
        CONSOLE.transfer(what, bytes)
    }

    fn side_by_side(&self, work: &(dyn Fn() + Sync)) {
        work();
    }

    fn beside(&self, task: Task) {
        let ask = Ask::Beside(Beside(RefCell::new(Some(task))));
        let _ = self.hand_over(Asked { ask, patience: None, heeds_signals: false });
    }

    fn wait(&self, stop: &Arc<Stop>, at_most: Duration) {
        if stop.is_set() {
            return;
        }
        let ask = Ask::Wait { stop: Arc::clone(stop), millis: at_most.as_millis() as u64 };
        let _ = self.hand_over(Asked { ask, patience: None, heeds_signals: false });
    }

    fn stop(&self, stop: &Arc<Stop>) {
        stop.set();
        let _ = self.hand_over(Asked { ask: Ask::Stop(Arc::clone(stop)), patience: None, heeds_signals: false });
    }

    fn hold_still(&self, still: bool) {
        self.state.still.set(still);
        if !still {
            for text in self.state.unsaid.take() {
                self.say(Say::Note, format_args!("{text}"));
            }
        }
    }
}
