//! What the publish protocol needs from outside: releases, assets, tags, the lock, a clock, random bytes, and output. Each call is
//! one attempt; the protocol repeats by itself, because it reads what is there between two attempts. [`super::github`] implements
//! the trait with gh and git; the simulation implements it with GitHub's rules and a clock of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::console::Transfer;
use crate::gh::{Asset, CallError, NewRelease, Release, Upload};
pub use crate::git::How;
use crate::git::{Pushed, TagRef};
use crate::repo::Repo;

use super::TAG;
use super::permit::Permit;
use super::times::ANSWER;

/// Writes exactly the bytes that were announced.
pub type Feed<'a> = &'a mut (dyn FnMut(&mut (dyn Write + Send)) -> anyhow::Result<()> + Send);

/// Takes bytes as they arrive.
pub type Take<'a> = &'a mut (dyn FnMut(&[u8]) -> anyhow::Result<()> + Send);

/// What a plan is made from, as GitHub gives it.
#[derive(Debug)]
pub struct Seen {
    /// The published release on the tag.
    pub live: Option<Release>,
    /// All releases, drafts among them.
    pub releases: Vec<Release>,
    pub refs: Refs,
    /// The release that GitHub calls the repository's latest one, asked where `live` can be it.
    pub badge: Option<u64>,
}

/// The refs of the publishing repository that matter, from one question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refs {
    /// The tag `latest`.
    pub tag: Option<TagRef>,
    /// What the lock points to.
    pub lock: Option<String>,
    /// The tags of pinned sets, `images-…`, by name.
    pub pinned: BTreeMap<String, TagRef>,
}

impl Refs {
    /// One of these tags.
    pub fn tag(&self, name: &str) -> Option<&TagRef> {
        if name == TAG { self.tag.as_ref() } else { self.pinned.get(name) }
    }
}

/// A ref from one object to another; `None`: it isn't there, or is not to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    pub to: Option<String>,
    /// What it must be, or nothing is moved.
    pub expected: Option<String>,
}

/// One atomic push: the lock, and with it a tag, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    pub lock: Move,
    pub tag: Option<(String, Move)>,
}

/// How many requests GitHub allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    pub remaining: u64,
    /// When the count begins anew.
    pub renews_in: Duration,
    /// By GitHub's clock.
    pub date: SystemTime,
}

/// Tells a task beside the work to stop.
#[derive(Debug, Default)]
pub struct Stop {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    pub fn is_set(&self) -> bool {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set(&self) {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Blocks this thread until it is set, or the time is over.
    pub fn wait(&self, at_most: Duration) {
        let set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.changed.wait_timeout_while(set, at_most, |set| !*set);
    }
}

/// Work beside the work, with an outside of its own.
pub type Task = Box<dyn FnOnce(&dyn Outside) + Send>;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Say {
    /// Part of the result.
    Line,
    Note,
    Warning,
    /// For those who asked for more.
    Detail,
    /// Said at once, while other lines wait.
    Urgent,
}

impl How {
    /// For a push of the lock, and for a small change: a change that a signal ends half-way would leave its effect unknown.
    pub const BRIEF: Self = Self { at_most: Some(ANSWER), heeds_signals: false };
}

pub trait Outside: Sync {
    fn repo(&self) -> &Repo;
    /// How often the person allows a request to be tried.
    fn attempts(&self) -> u32;

    /// Release, listing and refs, side by side where that can be.
    fn seen(&self, how: How) -> Result<Seen, anyhow::Error>;
    fn release_by_tag(&self, how: How, tag: &str) -> Result<Option<Release>, CallError>;
    fn releases(&self, how: How) -> Result<Vec<Release>, CallError>;
    fn release(&self, how: How, id: u64) -> Result<Release, CallError>;
    fn assets(&self, how: How, release: u64) -> Result<Vec<Asset>, CallError>;
    /// Reads an asset from byte `start` on.
    fn read(&self, how: How, asset: &Asset, start: u64, take: Take<'_>) -> Result<(), CallError>;

    // What changes something takes a permit: asked when it begins and before its last byte.
    fn create_release(&self, how: How, permit: &Permit<'_>, new: &NewRelease) -> Result<Release, CallError>;
    fn update_release(&self, how: How, permit: &Permit<'_>, id: u64, new: &NewRelease) -> Result<Release, CallError>;
    fn delete_release(&self, how: How, permit: &Permit<'_>, id: u64) -> Result<(), CallError>;
    fn upload(&self, how: How, permit: &Permit<'_>, upload: Upload<'_>, feed: Feed<'_>) -> Result<Asset, CallError>;
    fn delete_asset(&self, how: How, permit: &Permit<'_>, id: u64) -> Result<(), CallError>;

    /// How many requests are left.
    fn budget(&self, how: How) -> Result<Budget, CallError>;
    /// The commit of a tag, as GitHub's interface tells it.
    fn commit_of_tag(&self, how: How, tag: &str) -> Result<Option<String>, CallError>;

    fn refs(&self, how: How) -> Result<Refs, CallError>;
    /// The text of a lock's commit; `None` when it has none.
    fn lock_note(&self, how: How, id: &str) -> Result<Option<String>, CallError>;
    /// Makes a commit for the lock, and keeps its id where another run of this clone finds it.
    fn new_lock(&self, text: &str) -> anyhow::Result<String>;
    /// Moves the lock, and with it a tag: both or none.
    fn push(&self, how: How, push: &Push) -> Result<Pushed, CallError>;
    /// From now on no other run of this clone can begin, if none is alive, its children among them.
    fn hold_clone(&self) -> anyhow::Result<()>;
    /// For a lock that an earlier run of this clone pushed since the machine started: for how long what that run had sent
    /// may still arrive. `None` as well while another run of this clone is alive.
    fn pushed_by_this_clone(&self, lock: &str) -> Option<Duration>;
    /// Writes down, for the next run of this clone, for how long from now what this run sent may still arrive; `None`: all of
    /// it was answered.
    fn may_arrive(&self, for_at_most: Option<Duration>);
    /// In GitHub Actions.
    fn address_of_run(&self) -> Option<String>;
    fn set_local_tag(&self, object: &str) -> anyhow::Result<()>;
    /// Has an object here, and says which can be pushed.
    fn bring(&self, target: &TagRef) -> anyhow::Result<String>;

    /// Time since some moment, without the time that the machine slept.
    fn now(&self) -> Duration;
    /// The same with it.
    fn elapsed(&self) -> Duration;
    fn wall_clock(&self) -> SystemTime;
    /// Sleeps; where signals are heeded no longer than until one arrives.
    fn sleep(&self, time: Duration, heeds_signals: bool);
    /// The signal that arrived, if one did.
    fn signal(&self) -> Option<usize>;
    fn random(&self) -> anyhow::Result<[u8; 16]>;
    fn say(&self, how: Say, text: fmt::Arguments<'_>);
    /// Bytes a second of the last upload of this clone.
    fn last_rate(&self) -> Option<u64>;
    fn remember_rate(&self, rate: u64);
    fn transfer(&self, what: String, bytes: u64) -> Transfer;
    /// Runs `work`, which takes piece after piece until none is left, on several threads where that can be.
    fn side_by_side(&self, work: &(dyn Fn() + Sync));
    /// Runs beside the work until it returns.
    fn beside(&self, task: Task);
    /// Waits for a stop, no longer than this.
    fn wait(&self, stop: &Arc<Stop>, at_most: Duration);
    fn stop(&self, stop: &Arc<Stop>);
    /// While nothing is live, signals and job control wait, and only what is urgent is printed.
    fn hold_still(&self, still: bool);
}
