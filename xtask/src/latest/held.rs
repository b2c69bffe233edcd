//! Changing something, with the lock held. A change is never repeated blindly: each attempt looks, judges, and sends.

use std::fmt;
use std::io::Write;
use std::ops::Deref;

use crate::console::seconds;
use crate::gh::{Asset, CallError, NewRelease, Release, Upload};
use crate::typed;

use super::doors::Doors;
use super::lease::{self, Lease, Permit};
use super::outside::{How, Move, Outside};

/// The doors, and the lock.
#[derive(Clone, Copy)]
pub struct Held<'a> {
    doors: Doors<'a>,
    lease: &'a Lease,
}

impl<'a> Deref for Held<'a> {
    type Target = Doors<'a>;

    fn deref(&self) -> &Doors<'a> {
        &self.doors
    }
}

impl<'a> Held<'a> {
    pub fn new(doors: Doors<'a>, lease: &'a Lease) -> Self {
        Self { doors, lease }
    }

    pub fn doors(&self) -> Doors<'a> {
        self.doors
    }

    pub fn lease(&self) -> &'a Lease {
        self.lease
    }

    /// Closed to signals.
    pub fn deaf(&self) -> Self {
        Self { doors: self.doors.deaf(), lease: self.lease }
    }

    /// For the time while nothing is live: closed to signals, and nothing is asked twice by itself.
    pub fn steady(&self) -> Self {
        Self { doors: self.doors.steady(lease::ANSWER), lease: self.lease }
    }

    /// Makes a change. `look` reads what is there: `Some` is what was wanted, `None` says that it is still to be done, and
    /// an error that it isn't wanted any more. `send` sends it once; the answer that says all is taken for a look.
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
                Ok(None) => CallError::Lost("GitHub's answer is not what was asked for".to_owned()),
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
        let outside = self.doors.outside();
        let permit = self.lease.permit(self.doors)?;
        // Short, and so it is waited for: one that is ended half-way leaves nobody knowing.
        let result = send(outside, How { at_most: Some(lease::ANSWER), heeds_signals: false }, &permit);
        self.judge(&permit, &result);
        Ok(result)
    }

    /// Sends an asset, once: after a failure somebody must look at the release before trying again.
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
        let permit = self.lease.permit(self.doors)?;
        let how = self.doors.how();
        let result = self.doors.outside().upload(how, &permit, Upload { release, name, size }, &mut feed);
        self.judge(&permit, &result);
        Ok(result)
    }

    fn judge<T>(&self, permit: &Permit<'_>, result: &Result<T, CallError>) {
        let clear = match result {
            Ok(_) => true,
            Err(error) => error.is_clear(),
        };
        if !clear && permit.was_sent() {
            self.lease.is_unclear(self.doors.outside());
        }
    }

    /// Waits until no change that this run sent without a clear answer can be done any more. The lock keeps other runs from
    /// meeting it; a rename of its own, done late, would undo the run's next one of the same asset.
    pub fn settle(&self) -> anyhow::Result<()> {
        if let Some(left) = self.lease.unclear_for(self.doors.outside()) {
            self.note(format_args!("a change had no answer and may still be done; going on in {}", seconds(left)));
            self.pause(left)?;
        }
        Ok(())
    }

    /// Changes a release, if `wanted` says of what is there that it is to be changed.
    pub fn update_release(
        &self,
        what: impl fmt::Display,
        id: u64,
        new: &NewRelease,
        mut wanted: impl FnMut(&Release) -> anyhow::Result<bool>,
    ) -> anyhow::Result<Release> {
        self.change(
            what,
            || {
                let now = self.release(id)?;
                if wanted(&now)? { Ok(None) } else { Ok(Some(now)) }
            },
            |outside, how, permit| {
                let now = outside.update_release(how, permit, id, new)?;
                Ok(new.is(&now).then_some(now))
            },
        )
    }

    /// Deletes a release, if it is a draft of which `ours` holds. One that is gone is no error.
    pub fn delete_draft(&self, id: u64, ours: impl Fn(&Release) -> bool) -> anyhow::Result<()> {
        self.change(
            format_args!("deleting the draft {id}"),
            || match self.release(id) {
                Ok(now) if now.draft && ours(&now) => Ok(None),
                Ok(_) => Err(crate::failure::failed(format!(
                    "release {id} is not the draft any more that it was when the plan was made, so it is left alone; \
                     look with {}, then run again",
                    typed::line("status")
                ))),
                Err(error) if error.status() == Some(404) => Ok(Some(())),
                Err(error) => Err(error.into()),
            },
            |outside, how, permit| outside.delete_release(how, permit, id).map(Some),
        )
    }

    /// Deletes an asset that was just seen on a release. One that is gone is no error.
    ///
    /// # Errors
    ///
    /// Before another attempt it is seen that somebody else gave it a name, or the release a place.
    pub fn delete_asset(&self, release: &Release, asset: &Asset) -> anyhow::Result<()> {
        let mut seen = Some(asset.name.clone());
        self.change(
            format_args!("deleting asset {}", asset.id),
            || match self.name_now(&mut seen, release, asset)? {
                None => Ok(Some(())),
                Some(name) if name == asset.name => Ok(None),
                Some(_) => Err(changed(release)),
            },
            |outside, how, permit| match outside.delete_asset(how, permit, asset.id) {
                // Done before, and the listing lags.
                Err(error) if error.refusal() == Some(404) => Ok(Some(())),
                answer => answer.map(Some),
            },
        )
    }

    /// What an asset is called: as it was just seen, and before another attempt as a look finds it; `None`: it is gone.
    /// By the release's id: a listing may lag behind what was done before.
    fn name_now(&self, seen: &mut Option<String>, release: &Release, asset: &Asset) -> anyhow::Result<Option<String>> {
        if let Some(name) = seen.take() {
            return Ok(Some(name));
        }
        let now = self.release(release.id)?;
        if now.draft != release.draft || now.tag_name != release.tag_name {
            return Err(changed(release));
        }
        Ok(now.assets.into_iter().find(|there| there.id == asset.id).map(|there| there.name))
    }

    /// Gives an asset that was just seen on a release another name. What has that name already is not touched: then it is
    /// an error.
    ///
    /// # Errors
    ///
    /// As [`Self::delete_asset`].
    pub fn rename_asset(&self, release: &Release, asset: &Asset, name: &str) -> anyhow::Result<()> {
        let mut seen = Some(asset.name.clone());
        let id = release.id;
        self.change(
            format_args!("renaming asset {} to {name}", asset.id),
            || match self.name_now(&mut seen, release, asset)? {
                Some(now) if now == name => Ok(Some(())),
                Some(now) if now == asset.name => Ok(None),
                _ => Err(changed(release)),
            },
            |outside, how, permit| match outside.rename_asset(how, permit, asset.id, name) {
                Ok(named) => Ok((named.name == name).then_some(())),
                Err(error) if error.refusal() == Some(404) => Err(CallError::Local(changed(release))),
                Err(error) if error.name_taken() => Err(CallError::Local(crate::failure::failed(format!(
                    "release {id} has another asset {name}, which this run did not put there; look at it on GitHub, \
                     give it another name or delete it, then run again"
                )))),
                Err(error) => Err(error),
            },
        )
    }

    /// Moves the tag `latest`, fenced by the lock: where it is right already, the lock alone is pushed. Whether it had to be
    /// moved.
    ///
    /// # Errors
    ///
    /// Somebody else moved it, or the lock is lost.
    pub fn move_tag(&self, from: Option<&str>, to: &str) -> anyhow::Result<bool> {
        if from == Some(to) {
            self.lease.renew_now(self.doors)?;
            return Ok(false);
        }
        let tag = Move { to: Some(to.to_owned()), expected: from.map(str::to_owned) };
        if self.lease.move_tag(self.doors, &tag)? {
            return Ok(true);
        }
        Err(crate::failure::failed(
            "the tag `latest` moved while this run was under way: somebody pushed it; nothing was switched, run again",
        ))
    }
}

fn changed(release: &Release) -> anyhow::Error {
    crate::failure::failed(format!("release {} was changed by somebody else; run again", release.id))
}
