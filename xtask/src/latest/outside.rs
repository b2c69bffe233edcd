//! What the publish protocol asks of the outside: releases, assets, the tag, a clock, chance, and a person to tell.
//!
//! Each call is one attempt: repeating is the protocol's own affair, because between two attempts somebody must look. The
//! tool's side is [`super::github`], with gh and git behind it; a simulation has the rules of GitHub and a clock of its own.

use std::fmt;
use std::io::Write;
use std::time::{Duration, SystemTime};

use crate::console::Transfer;
use crate::gh::{Asset, CallError, NewRelease, Release};
use crate::git::{Pushed, TagRef};
use crate::packer::Repo;

/// Writes exactly the bytes that were announced.
pub type Feed<'a> = &'a mut (dyn FnMut(&mut (dyn Write + Send)) -> anyhow::Result<()> + Send);

/// Takes bytes as they arrive.
pub type Take<'a> = &'a mut (dyn FnMut(&[u8]) -> anyhow::Result<()> + Send);

/// What a plan is made from, as GitHub and the remote give it.
#[derive(Debug)]
pub struct Seen {
    /// The published release on the tag.
    pub live: Option<Release>,
    /// All releases, drafts among them.
    pub releases: Vec<Release>,
    pub tag: Option<TagRef>,
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Say {
    /// Part of the result.
    Line,
    Note,
    Warning,
    /// For those who asked for more.
    Detail,
}

/// How a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct How {
    /// Given up after so long without an answer, if that is shorter than what the person allows.
    pub at_most: Option<Duration>,
    /// Ended when a signal arrives.
    pub heeds_signals: bool,
}

pub trait Outside: Sync {
    fn repo(&self) -> &Repo;
    /// How often the person allows a request to be tried.
    fn attempts(&self) -> u32;

    /// Release, listing and tag, side by side where that can be.
    fn seen(&self, how: How) -> Result<Seen, anyhow::Error>;
    fn release_by_tag(&self, how: How, tag: &str) -> Result<Option<Release>, CallError>;
    fn releases(&self, how: How) -> Result<Vec<Release>, CallError>;
    fn release(&self, how: How, id: u64) -> Result<Release, CallError>;
    fn assets(&self, how: How, release: u64) -> Result<Vec<Asset>, CallError>;
    /// Reads an asset from byte `start` on.
    fn read(&self, how: How, asset: &Asset, start: u64, take: Take<'_>) -> Result<(), CallError>;

    fn create_release(&self, how: How, new: &NewRelease) -> Result<Release, CallError>;
    fn update_release(&self, how: How, id: u64, new: &NewRelease) -> Result<Release, CallError>;
    fn delete_release(&self, how: How, id: u64) -> Result<(), CallError>;
    fn upload(&self, how: How, release: &Release, name: &str, size: u64, feed: Feed<'_>) -> Result<Asset, CallError>;
    fn rename_asset(&self, how: How, id: u64, name: &str) -> Result<Asset, CallError>;
    fn delete_asset(&self, how: How, id: u64) -> Result<(), CallError>;

    fn remote_tag(&self) -> anyhow::Result<Option<TagRef>>;
    fn push_tag(&self, object: &str, expected: Option<&str>) -> anyhow::Result<Pushed>;
    fn set_local_tag(&self, object: &str) -> anyhow::Result<()>;
    /// Has an object here, and says which can be pushed.
    fn bring(&self, target: &TagRef) -> anyhow::Result<String>;

    /// Time since some moment.
    fn now(&self) -> Duration;
    fn wall_clock(&self) -> SystemTime;
    /// Sleeps; where signals are heeded no longer than until one arrives.
    fn sleep(&self, time: Duration, heeds_signals: bool);
    /// The signal that arrived, if one did.
    fn signal(&self) -> Option<usize>;
    fn random(&self) -> anyhow::Result<[u8; 16]>;
    fn say(&self, how: Say, text: fmt::Arguments<'_>);
    fn transfer(&self, what: String, bytes: u64) -> Transfer;
    /// Does the numbered pieces of work, so many side by side where that can be.
    fn side_by_side(&self, jobs: usize, work: &(dyn Fn() + Sync));
}
