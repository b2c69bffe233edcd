//! Changes of what others see, with the lock held. Each attempt of a change reads what is there, decides, and sends once; no
//! change is repeated without a look. Drafts, the switch, labels and recovery use it.

use std::fmt;
use std::io::Write;
use std::ops::Deref;

use crate::gh::{Asset, CallError, Release, Upload};

use super::client::Client;
use super::lease::Lease;
use super::outside::{How, Outside};
use super::permit::Permit;

/// The client, and the lock.
#[derive(Clone, Copy)]
pub struct Held<'a> {
    client: Client<'a>,
    lease: &'a Lease,
}

impl<'a> Deref for Held<'a> {
    type Target = Client<'a>;

    fn deref(&self) -> &Client<'a> {
        &self.client
    }
}

impl<'a> Held<'a> {
    pub fn new(client: Client<'a>, lease: &'a Lease) -> Self {
        Self { client, lease }
    }

    pub fn client(&self) -> Client<'a> {
        self.client
    }

    pub fn lease(&self) -> &'a Lease {
        self.lease
    }

    /// The same, and signals wait.
    pub fn ignoring_signals(&self) -> Self {
        Self { client: self.client.ignoring_signals(), lease: self.lease }
    }

    /// For the time while nothing is live: signals wait, and no read is repeated by itself.
    pub fn trying_once(&self) -> Self {
        Self { client: self.client.trying_once(), lease: self.lease }
    }

    /// Makes a change. `look` reads what is there: `Some` when the change is done, `None` when it is to be made, an error when
    /// it is no longer wanted. `send` sends the change once; `Some` when the answer says that it is done.
    pub fn change<T>(
        &self,
        what: impl fmt::Display,
        mut look: impl FnMut() -> anyhow::Result<Option<T>>,
        send: impl Fn(&dyn Outside, How, &Permit<'_>) -> Result<Option<T>, CallError>,
    ) -> anyhow::Result<T> {
        let mut tries = self.backoff();
        loop {
            if let Some(done) = look()? {
                return Ok(done);
            }
            self.check()?;
            let error = match self.once(&send)? {
                Ok(Some(done)) => return Ok(done),
                Ok(None) => CallError::Lost("GitHub's answer does not show the requested change".to_owned()),
                Err(error) => error,
            };
            tries.wait(&what, error)?;
        }
    }

    /// Sends one change, once.
    ///
    /// # Errors
    ///
    /// The outer: the lock is lost.
    pub fn once<T>(
        &self,
        send: impl FnOnce(&dyn Outside, How, &Permit<'_>) -> Result<T, CallError>,
    ) -> anyhow::Result<Result<T, CallError>> {
        let outside = self.client.outside();
        let permit = match self.lease.permit(self.client) {
            Err(CallError::Lapsed) => return Ok(Err(CallError::Lapsed)),
            permit => permit?,
        };
        let result = send(outside, How::BRIEF, &permit);
        if permit.was_sent() {
            self.lease.answered(outside, result.as_ref().err().is_none_or(CallError::is_clear));
        }
        Ok(result)
    }

    /// Sends an asset once: after a failure the caller looks at the release before another attempt.
    ///
    /// # Errors
    ///
    /// The outer: the lock is lost.
    pub fn upload(
        &self,
        release: &Release,
        name: &str,
        size: u64,
        mut feed: impl FnMut(&mut (dyn Write + Send)) -> anyhow::Result<()> + Send,
    ) -> anyhow::Result<Result<Asset, CallError>> {
        let permit = self.lease.permit(self.client)?;
        let how = self.client.how();
        // An upload that arrives late finds its name taken, or is what the next run of this set would send.
        Ok(self.client.outside().upload(how, &permit, Upload { release, name, size }, &mut feed))
    }

    /// Moves the tag `latest`, as [`Lease::move_tag`] does.
    pub fn move_tag(&self, from: Option<&str>, to: &str) -> anyhow::Result<bool> {
        self.lease.move_tag(self.client, from, to)
    }
}
