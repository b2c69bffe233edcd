//! The outside of one simulated run: each call is handed to the schedule, which resumes the run when it has an answer.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use corosensei::Yielder;
use send_wrapper::SendWrapper;
use xtask::console::{Console, Transfer};
use xtask::gh::{Asset, CallError, NewRelease, Release};
use xtask::git::{Pushed, TagRef};
use xtask::latest::TAG;
use xtask::latest::outside::{Feed, How, Outside, Say, Seen, Take};
use xtask::packer::Repo;

use crate::chance::Chance;

/// What a run asks for.
#[derive(Debug, Clone)]
pub enum Ask {
    ByTag(String),
    Releases,
    Release(u64),
    Assets(u64),
    Read { asset: u64, start: u64 },
    Create(NewRelease),
    Update(u64, NewRelease),
    Delete(u64),
    Upload { release: u64, name: String, bytes: Vec<u8> },
    Rename(u64, String),
    DeleteAsset(u64),
    RemoteTag,
    PushTag { object: String, expected: Option<String> },
    Sleep { millis: u64, heeds_signals: bool },
    Say(String),
}

/// What it is told.
pub enum Told {
    Nothing,
    Maybe(Option<Release>),
    Releases(Vec<Release>),
    Release(Box<Release>),
    Assets(Vec<Asset>),
    Asset(Box<Asset>),
    Bytes(Rc<[u8]>),
    Tag(Option<TagRef>),
    Pushed(Pushed),
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
}

#[derive(Default)]
pub struct Shared {
    /// Milliseconds since the beginning.
    pub now: Cell<u64>,
    pub seed: Cell<u64>,
    pub runs: RefCell<Vec<Rc<RunState>>>,
    pub tells: Cell<bool>,
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
            return Err(CallError::Lost("killed".into()));
        }
        let answer = self.yielder.suspend(asked);
        if self.state.dead.get() { Err(CallError::Lost("killed".into())) } else { answer }
    }

    fn git(&self, ask: Ask) -> anyhow::Result<Told> {
        let answer = self.hand_over(Asked { ask, patience: None, heeds_signals: false });
        answer.map_err(|error| anyhow::anyhow!("git: {error}"))
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
        let doors = xtask::latest::doors::Doors::new(self);
        let _ = how;
        let live = doors.release_by_tag(TAG)?;
        let releases = doors.releases()?;
        Ok(Seen { live, releases, tag: self.remote_tag()? })
    }

    fn release_by_tag(&self, how: How, tag: &str) -> Result<Option<Release>, CallError> {
        told!(self.ask(how, Ask::ByTag(tag.to_owned())), Maybe)
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
        let bytes: Rc<[u8]> = told!(self.ask(how, Ask::Read { asset: asset.id, start }), Bytes)?;
        take(&bytes[(start as usize).min(bytes.len())..]).map_err(CallError::Local)
    }

    fn create_release(&self, how: How, new: &NewRelease) -> Result<Release, CallError> {
        told!(self.ask(how, Ask::Create(new.clone())), Release).map(|release: Box<Release>| *release)
    }

    fn update_release(&self, how: How, id: u64, new: &NewRelease) -> Result<Release, CallError> {
        told!(self.ask(how, Ask::Update(id, new.clone())), Release).map(|release: Box<Release>| *release)
    }

    fn delete_release(&self, how: How, id: u64) -> Result<(), CallError> {
        self.ask(how, Ask::Delete(id)).map(drop)
    }

    fn upload(&self, how: How, release: &Release, name: &str, _size: u64, feed: Feed<'_>) -> Result<Asset, CallError> {
        let mut bytes = Vec::new();
        feed(&mut bytes).map_err(CallError::Local)?;
        let ask = Ask::Upload { release: release.id, name: name.to_owned(), bytes };
        told!(self.ask(how, ask), Asset).map(|asset: Box<Asset>| *asset)
    }

    fn rename_asset(&self, how: How, id: u64, name: &str) -> Result<Asset, CallError> {
        told!(self.ask(how, Ask::Rename(id, name.to_owned())), Asset).map(|asset: Box<Asset>| *asset)
    }

    fn delete_asset(&self, how: How, id: u64) -> Result<(), CallError> {
        self.ask(how, Ask::DeleteAsset(id)).map(drop)
    }

    fn remote_tag(&self) -> anyhow::Result<Option<TagRef>> {
        match self.git(Ask::RemoteTag)? {
            Told::Tag(tag) => Ok(tag),
            _ => unreachable!("an answer of another kind"),
        }
    }

    fn push_tag(&self, object: &str, expected: Option<&str>) -> anyhow::Result<Pushed> {
        let ask = Ask::PushTag { object: object.to_owned(), expected: expected.map(str::to_owned) };
        match self.git(ask)? {
            Told::Pushed(pushed) => Ok(pushed),
            _ => unreachable!("an answer of another kind"),
        }
    }

    fn set_local_tag(&self, _object: &str) -> anyhow::Result<()> {
        Ok(())
    }

    fn bring(&self, target: &TagRef) -> anyhow::Result<String> {
        Ok(target.object.clone())
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.shared.now.get() - self.state.slept.get())
    }

    fn wall_clock(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_700_000_000_000 + self.shared.now.get() - self.state.clock_back.get())
    }

    fn sleep(&self, time: Duration, heeds_signals: bool) {
        let ask = Ask::Sleep { millis: time.as_millis() as u64, heeds_signals };
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
        bytes[..8].copy_from_slice(&chance.next().to_le_bytes());
        bytes[8..].copy_from_slice(&chance.next().to_le_bytes());
        Ok(bytes)
    }

    fn say(&self, how: Say, text: fmt::Arguments<'_>) {
        if self.state.blocked_until.get() > self.shared.now.get() {
            let millis = self.state.blocked_until.get() - self.shared.now.get();
            let ask = Ask::Sleep { millis, heeds_signals: false };
            let _ = self.hand_over(Asked { ask, patience: None, heeds_signals: false });
        }
        if self.shared.tells.get() && how != Say::Detail {
            let _ = self.hand_over(Asked { ask: Ask::Say(text.to_string()), patience: None, heeds_signals: false });
        }
    }

    fn transfer(&self, what: String, bytes: u64) -> Transfer {
        CONSOLE.transfer(what, bytes)
    }

    fn side_by_side(&self, _jobs: usize, work: &(dyn Fn() + Sync)) {
        work();
    }
}
