//! What can be read through the seam, each question repeated where that can help: reading changes nothing.

use std::fmt;
use std::time::Duration;

use crate::backoff;
use crate::console::{count, seconds};
use crate::failure;
use crate::gh::{Asset, CallError, Release, SMALL};
use crate::packer::Repo;

use super::outside::{Budget, How, Outside, Refs, Say, Seen};

#[derive(Clone, Copy)]
pub struct Doors<'a> {
    outside: &'a dyn Outside,
    attempts: u32,
    how: How,
}

impl<'a> Doors<'a> {
    pub fn new(outside: &'a dyn Outside) -> Self {
        Self::with(outside, How { at_most: None, heeds_signals: true })
    }

    /// Doors whose calls are made so.
    pub fn with(outside: &'a dyn Outside, how: How) -> Self {
        Self { outside, attempts: outside.attempts(), how }
    }

    pub fn outside(&self) -> &'a dyn Outside {
        self.outside
    }

    pub fn repo(&self) -> &'a Repo {
        self.outside.repo()
    }

    pub fn attempts(&self) -> u32 {
        self.outside.attempts()
    }

    /// For the time between the two calls of a flip: signals wait, nothing is tried twice, and a call that gets no
    /// answer for `at_most` is given up.
    pub fn steady(&self, at_most: Duration) -> Self {
        Self { outside: self.outside, attempts: 1, how: How { at_most: Some(at_most), heeds_signals: false } }
    }

    pub fn how(&self) -> How {
        self.how
    }

    /// The same doors, closed to signals: what puts things right after one arrived must not be ended by it.
    pub fn deaf(&self) -> Self {
        Self { how: How { heeds_signals: false, ..self.how }, ..*self }
    }

    pub fn line(&self, text: impl fmt::Display) {
        self.outside.say(Say::Line, format_args!("{text}"));
    }

    pub fn note(&self, text: impl fmt::Display) {
        self.outside.say(Say::Note, format_args!("{text}"));
    }

    pub fn warn(&self, text: impl fmt::Display) {
        self.outside.say(Say::Warning, format_args!("{text}"));
    }

    pub fn detail(&self, text: impl fmt::Display) {
        self.outside.say(Say::Detail, format_args!("{text}"));
    }

    pub fn now(&self) -> Duration {
        self.outside.now()
    }

    /// An error if a signal asked to stop, where signals are heeded.
    pub fn check(&self) -> anyhow::Result<()> {
        match self.outside.signal() {
            None => Ok(()),
            Some(_) if !self.how.heeds_signals => Ok(()),
            Some(signal) => Err(failure::interrupted(format!(
                "interrupted by signal {signal}; run the same command again to go on"
            ))),
        }
    }

    /// Sleeps, unless a signal asks to stop.
    pub fn pause(&self, time: Duration) -> Result<(), CallError> {
        self.outside.sleep(time, self.how.heeds_signals);
        let stopped = self.how.heeds_signals && self.outside.signal().is_some();
        if stopped { Err(CallError::Interrupted) } else { Ok(()) }
    }

    pub fn backoff(&self) -> Backoff<'a> {
        Backoff { doors: *self, attempt: 1 }
    }

    fn repeat<T>(&self, what: fmt::Arguments<'_>, work: impl Fn() -> Result<T, CallError>) -> Result<T, CallError> {
        let mut backoff = self.backoff();
        loop {
            match work() {
                Ok(value) => return Ok(value),
                Err(error) => backoff.wait(what, error)?,
            }
        }
    }

    pub fn seen(&self) -> anyhow::Result<Seen> {
        self.outside.seen(self.how)
    }

    pub fn release_by_tag(&self, tag: &str) -> Result<Option<Release>, CallError> {
        self.repeat(format_args!("reading the release on {tag}"), || self.outside.release_by_tag(self.how, tag))
    }

    pub fn releases(&self) -> Result<Vec<Release>, CallError> {
        self.repeat(format_args!("listing the releases"), || self.outside.releases(self.how))
    }

    pub fn release(&self, id: u64) -> Result<Release, CallError> {
        self.repeat(format_args!("reading release {id}"), || self.outside.release(self.how, id))
    }

    pub fn assets(&self, release: u64) -> Result<Vec<Asset>, CallError> {
        self.repeat(format_args!("listing the assets of release {release}"), || self.outside.assets(self.how, release))
    }

    /// Reads a small asset: the manifest, a checksum file.
    pub fn read_asset(&self, asset: &Asset) -> Result<Vec<u8>, CallError> {
        if asset.size > SMALL {
            return Err(CallError::Local(failure::failed(format!(
                "asset {} has {} bytes, more than the {SMALL} that its kind can have; remove it from the release",
                asset.name, asset.size
            ))));
        }
        let mut bytes = Vec::new();
        self.read_through(asset, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Reads all of an asset, going on where an attempt broke off. Attempts that moved bytes don't count.
    pub fn read_through(
        &self,
        asset: &Asset,
        mut take: impl FnMut(&[u8]) -> anyhow::Result<()> + Send,
    ) -> Result<(), CallError> {
        let mut at = 0;
        let mut backoff = self.backoff();
        while at < asset.size {
            let began = at;
            let result = self.outside.read(self.how, asset, at, &mut |bytes| {
                at += bytes.len() as u64;
                anyhow::ensure!(
                    at <= asset.size,
                    "{} is longer than the {} GitHub names",
                    asset.name,
                    count(asset.size, "byte")
                );
                take(bytes)
            });
            let error = match result {
                Ok(()) if at == asset.size => return Ok(()),
                Ok(()) => CallError::Lost(format!("{at} of {} arrived", count(asset.size, "byte"))),
                Err(error) => error,
            };
            if at > began {
                backoff = self.backoff();
            }
            backoff.wait(format_args!("reading {}", asset.name), error)?;
        }
        Ok(())
    }

    pub fn refs(&self) -> Result<Refs, CallError> {
        self.repeat(format_args!("reading the tag and the lock"), || self.outside.refs(self.how))
    }

    pub fn lock_note(&self, id: &str) -> Result<Option<String>, CallError> {
        self.repeat(format_args!("reading the lock"), || self.outside.lock_note(self.how, id))
    }

    pub fn budget(&self) -> Result<Budget, CallError> {
        self.repeat(format_args!("asking for the limits"), || self.outside.budget(self.how))
    }

    pub fn commit_of_tag(&self, tag: &str) -> Result<Option<String>, CallError> {
        let what = format_args!("reading the tag {tag} through GitHub's interface");
        self.repeat(what, || self.outside.commit_of_tag(self.how, tag))
    }
}

/// Counts attempts and waits between them.
pub struct Backoff<'a> {
    doors: Doors<'a>,
    attempt: u32,
}

impl Backoff<'_> {
    /// Names the failed attempt and waits; gives the error back when it doesn't pass, or there is no further attempt.
    pub fn wait(&mut self, what: impl fmt::Display, error: CallError) -> Result<(), CallError> {
        self.wait_for(what, error, |_| false)
    }

    /// The same, for work where another kind of error passes as well.
    pub fn wait_for(
        &mut self,
        what: impl fmt::Display,
        error: CallError,
        passes: impl FnOnce(&CallError) -> bool,
    ) -> Result<(), CallError> {
        let (doors, attempt, attempts) = (self.doors, self.attempt, self.doors.attempts);
        if !error.passes() && !passes(&error) {
            return Err(error);
        }
        if attempt >= attempts {
            if attempts > 1 {
                doors.note(format_args!("{what}: attempt {attempt} of {attempts} failed: {error}"));
            }
            return Err(error);
        }
        let wait = match error.retry_after() {
            Some(asked) => asked,
            None => {
                let [a, b, ..] = doors.outside.random().map_err(CallError::Local)?;
                backoff::jittered(attempt, u64::from(u16::from_le_bytes([a, b])))
            }
        };
        doors.note(format_args!("{what}: attempt {attempt} of {attempts} failed: {error}; next in {}", seconds(wait)));
        self.attempt += 1;
        doors.pause(wait)
    }
}
