//! Reads GitHub and the remote through [`Outside`], and repeats a read that failed where that can help: reading changes nothing.
//! All of `latest/` and the verbs that show its state read through it.

use std::fmt;
use std::time::Duration;

use crate::backoff;
use crate::failure::{self, Advice as _};
use crate::gh::{Asset, CallError, Release, SMALL};
use crate::repo::Repo;
use crate::text::{count, seconds};

use super::look::LAG;
use super::outside::{Budget, How, Outside, Refs, Say, Seen};

#[derive(Clone, Copy)]
pub struct Client<'a> {
    outside: &'a dyn Outside,
    attempts: u32,
    how: How,
}

impl<'a> Client<'a> {
    pub fn new(outside: &'a dyn Outside) -> Self {
        Self::with(outside, How { at_most: None, heeds_signals: true })
    }

    /// A client with a time limit, or one that ignores signals.
    pub fn with(outside: &'a dyn Outside, how: How) -> Self {
        Self { outside, attempts: outside.attempts(), how }
    }

    pub fn outside(&self) -> &'a dyn Outside {
        self.outside
    }

    pub fn repo(&self) -> &'a Repo {
        self.outside.repo()
    }

    /// For the time between the two PATCHes of a switch: nothing is tried twice.
    pub fn trying_once(&self) -> Self {
        Self { outside: self.outside, attempts: 1, how: How::BRIEF }
    }

    pub fn tries_once(&self) -> bool {
        self.attempts == 1
    }

    pub fn how(&self) -> How {
        self.how
    }

    /// The same client, for work that a signal must not end, such as recovery.
    pub fn ignoring_signals(&self) -> Self {
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
            Some(signal) => Err(failure::interrupted(format!("interrupted by signal {signal}"))
                .fix("run the same command again to continue")),
        }
    }

    /// Sleeps, unless a signal asks to stop.
    pub fn pause(&self, time: Duration) -> Result<(), CallError> {
        self.outside.sleep(time, self.how.heeds_signals);
        let stopped = self.how.heeds_signals && self.outside.signal().is_some();
        if stopped { Err(CallError::Interrupted) } else { Ok(()) }
    }

    /// Asks each second until there is an answer, as long as GitHub may lag; `None` when there is none by then.
    pub fn until_shown<T>(&self, mut ask: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<Option<T>> {
        let until = self.now() + LAG;
        loop {
            let answer = ask()?;
            if answer.is_some() || self.now() >= until {
                return Ok(answer);
            }
            self.pause(Duration::from_secs(1))?;
        }
    }

    pub fn backoff(&self) -> Backoff<'a> {
        Backoff { client: *self, attempt: 1 }
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
                "{} has {}, too many for such a file: somebody changed it on the release",
                asset.name,
                count(asset.size, "byte")
            ))));
        }
        let mut bytes = Vec::new();
        self.read_through(asset, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Reads all of an asset, and continues where an attempt broke off. Attempts that moved bytes don't count.
    pub fn read_through(
        &self,
        asset: &Asset,
        mut take: impl FnMut(&[u8]) -> anyhow::Result<()> + Send,
    ) -> Result<(), CallError> {
        let (mut at, all) = (0, count(asset.size, "byte"));
        let mut backoff = self.backoff();
        while at < asset.size {
            let began = at;
            let result = self.outside.read(self.how, asset, at, &mut |bytes| {
                at += bytes.len() as u64;
                anyhow::ensure!(at <= asset.size, "{} is longer than the {all} that GitHub reports", asset.name);
                take(bytes)
            });
            let error = match result {
                Ok(()) if at == asset.size => return Ok(()),
                Ok(()) => CallError::Lost(format!("only {at} of {all} arrived")),
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
    client: Client<'a>,
    attempt: u32,
}

impl Backoff<'_> {
    /// Reports the failed attempt and waits; gives the error back when it doesn't pass, or no attempt is left.
    pub fn wait(&mut self, what: impl fmt::Display, error: CallError) -> Result<(), CallError> {
        self.wait_for(what, error, |_| false)
    }

    /// As [`Self::wait`], for work where another kind of error passes as well.
    pub fn wait_for(
        &mut self,
        what: impl fmt::Display,
        error: CallError,
        passes: impl FnOnce(&CallError) -> bool,
    ) -> Result<(), CallError> {
        let (client, attempt, attempts) = (self.client, self.attempt, self.client.attempts);
        if !error.passes() && !passes(&error) {
            return Err(error);
        }
        if attempt >= attempts {
            if attempts > 1 {
                client.note(format_args!("{what}: attempt {attempt} of {attempts} failed: {error}"));
            }
            return Err(error);
        }
        let wait = match error.retry_after() {
            Some(asked) => asked,
            None => {
                let [a, b, ..] = client.outside.random().map_err(CallError::Local)?;
                backoff::jittered(attempt, u64::from(u16::from_le_bytes([a, b])))
            }
        };
        client.note(format_args!("{what}: attempt {attempt} of {attempts} failed: {error}; next in {}", seconds(wait)));
        self.attempt += 1;
        client.pause(wait)
    }
}
