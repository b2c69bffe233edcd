//! The draft that a publish fills: made, or found with what an earlier run put there. The lock says that it is this run's.

use std::time::Duration;

use crate::failure;
use crate::gh::{Asset, CallError, NewRelease, Release};
use crate::typed;

use super::INCOMING;
use super::held::Held;
use super::look::{self, Look};
use super::marker::{self, Incoming};
use super::set::Set;

/// The draft of this run.
pub struct Stage<'a> {
    pub held: Held<'a>,
    pub release: Release,
    /// When this run made it: nothing is on it then, and for a while it may not be found by its id.
    made_at: Option<Duration>,
}

/// How long a listing may lag behind what was created. Reported for seconds: <https://github.com/cli/cli/issues/6599>
const LAG: Duration = Duration::from_secs(15);

impl<'a> Stage<'a> {
    /// Creates the draft for this set.
    pub fn create(held: Held<'a>, set: &Set, look: &Look) -> anyhow::Result<Self> {
        let marker = Incoming {
            set: set.identity(),
            commit: Some(set.commit.clone()),
            over: look.live.as_ref().map(|live| live.release.id),
            over_tag: look.tag.as_ref().map(|tag| tag.object.clone()),
        };
        let text = format!("Becomes `latest` for {} when all of it is here. Don't publish it by hand.", set.source);
        let draft = NewRelease {
            tag_name: INCOMING.to_owned(),
            name: format!("{} (incoming)", super::TITLE),
            body: marker::write(&text, &marker),
            draft: true,
            prerelease: true,
            badge: false,
        };
        let mut asked = false;
        let release = held.change(
            "creating the draft",
            || {
                // The plan's own look found none. After that: it may have been made all the same, and be missing in
                // listings for a while.
                if std::mem::replace(&mut asked, true) { made(held, &marker) } else { Ok(None) }
            },
            |outside, how, permit| {
                let made = outside.create_release(how, permit, &draft)?;
                Ok(draft.is(&made).then_some(made))
            },
        )?;
        Ok(Self { held, release, made_at: Some(held.now()) })
    }

    /// Goes on with a draft of the same set.
    pub fn go_on(held: Held<'a>, draft: u64) -> anyhow::Result<Self> {
        let stage = Self { held, release: held.release(draft)?, made_at: None };
        stage.is_still_a_draft(&stage.release)?;
        Ok(stage)
    }

    /// Reads the draft again.
    ///
    /// # Errors
    ///
    /// It is a draft no more.
    pub fn look_again(&self) -> anyhow::Result<()> {
        match self.once_known(|| self.held.release(self.release.id)) {
            Ok(now) => self.is_still_a_draft(&now),
            Err(error) if error.status() == Some(404) => Err(self.gone("deleted")),
            Err(error) => Err(anyhow::Error::from(error).context("reading the draft again")),
        }
    }

    fn is_still_a_draft(&self, now: &Release) -> anyhow::Result<()> {
        if now.draft && now.tag_name == INCOMING { Ok(()) } else { Err(self.gone("changed")) }
    }

    fn gone(&self, what: &str) -> anyhow::Error {
        failure::failed(format!(
            "the draft {} was {what} by somebody else; nothing of this run is live; look with {}, then publish again",
            self.release.id,
            typed::line("status")
        ))
    }

    pub fn assets(&self) -> Result<Vec<Asset>, CallError> {
        self.once_known(|| self.held.assets(self.release.id))
    }

    /// This run made it, so nothing is on it but what this run puts there.
    pub(super) fn is_new(&self) -> bool {
        self.made_at.is_some()
    }

    /// Whether "not found" can be said of it although it is there.
    /// Reported for seconds: <https://github.com/softprops/action-gh-release/issues/760>
    pub(super) fn may_be_late(&self, error: &CallError) -> bool {
        let fresh = self.made_at.is_some_and(|made| self.held.now().saturating_sub(made) < LAG);
        fresh && error.refusal() == Some(404)
    }

    fn once_known<T>(&self, ask: impl Fn() -> Result<T, CallError>) -> Result<T, CallError> {
        loop {
            match ask() {
                Err(error) if self.may_be_late(&error) => self.held.pause(Duration::from_secs(1))?,
                answer => return answer,
            }
        }
    }

    /// Removes one asset of the draft.
    pub fn remove(&self, asset: &Asset, why: &str) -> anyhow::Result<()> {
        self.look_again()?;
        self.held.note(format_args!("{}: removing what is on the draft: {why}", asset.name));
        self.held.delete_asset(self.release.id, asset.id)
    }

    /// Drops the draft with all that it holds.
    pub fn discard(&self) -> anyhow::Result<()> {
        drop_incoming(self.held, self.release.id)
    }
}

/// Drops a draft that a publish was to fill.
pub fn drop_incoming(held: Held<'_>, id: u64) -> anyhow::Result<()> {
    held.delete_draft(id, |now| now.tag_name == INCOMING)
}

/// The draft with this marker, once a listing shows it; of two the fuller.
fn made(held: Held<'_>, marker: &Incoming) -> anyhow::Result<Option<Release>> {
    let until = held.now() + LAG;
    loop {
        let drafts = look::incoming(held.doors())?.into_iter();
        let ours = drafts.filter(|draft| draft.marker.as_ref().is_some_and(|there| there.set == marker.set));
        if let Some(draft) = ours.max_by_key(|draft| draft.release.assets.len()) {
            return Ok(Some(draft.release));
        }
        if held.now() >= until {
            return Ok(None);
        }
        held.pause(Duration::from_secs(1))?;
    }
}
