//! The incoming draft that a publish fills. It is made for one set, is known by the identity in its body, and is deleted only
//! while it is still that draft. Publish makes and deletes it; filling and proving write to it.

use std::time::{Duration, SystemTime};

use crate::gh::{Asset, CallError, NewRelease, Release};

use super::INCOMING;
use super::held::Held;
use super::look::{IncomingDraft, LAG, Live};
use super::marker::{self, Incoming};
use super::session;
use super::set::Set;

/// The draft of this run.
pub struct Draft<'a> {
    pub held: Held<'a>,
    pub release: Release,
    /// RFC 3339, UTC: the manifest's `created`.
    pub created: Option<String>,
    /// When this run made it: for a while it may not be found by its id.
    made_at: Option<Duration>,
}

impl<'a> Draft<'a> {
    /// Creates the draft for this set.
    pub fn create(held: Held<'a>, set: &Set, live: Option<&Live>) -> anyhow::Result<Self> {
        let marker = Incoming { set: set.identity(held.repo()), created: Some(created(held, live)) };
        let text = format!("Becomes `latest` for {} when all of it is here. Do not publish it by hand.", set.source);
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
                // The plan saw no such draft. A failed attempt may have made it, and listings may lag behind.
                if std::mem::replace(&mut asked, true) { made(held, &marker) } else { Ok(None) }
            },
            |outside, how, permit| {
                let made = outside.create_release(how, permit, &draft)?;
                Ok(draft.is(&made).then_some(made))
            },
        )?;
        let created = marker::read::<Incoming>(release.notes()).and_then(|marker| marker.created).or(marker.created);
        Ok(Self { held, release, created, made_at: Some(held.now()) })
    }

    /// Continues with a draft that is there.
    pub fn go_on(held: Held<'a>, id: u64) -> anyhow::Result<Self> {
        let release = held.release(id)?;
        let created = marker::read::<Incoming>(release.notes()).and_then(|marker| marker.created);
        let draft = Self { held, release, created, made_at: None };
        draft.is_still(&draft.release)?;
        Ok(draft)
    }

    /// Reads the draft again.
    ///
    /// # Errors
    ///
    /// Somebody changed or deleted it.
    pub fn look_again(&self) -> anyhow::Result<()> {
        match self.once_known(|| self.held.release(self.release.id)) {
            Ok(now) => self.is_still(&now),
            Err(error) if error.status() == Some(404) => Err(self.gone("deleted")),
            Err(error) => Err(anyhow::Error::from(error).context("reading the draft again")),
        }
    }

    fn is_still(&self, now: &Release) -> anyhow::Result<()> {
        if is_incoming(now) && now.body == self.release.body { Ok(()) } else { Err(self.gone("changed")) }
    }

    fn gone(&self, what: &str) -> anyhow::Error {
        let id = self.release.id;
        session::changed(format_args!("somebody else {what} the draft {id}; nothing of this run is live"))
    }

    pub fn assets(&self) -> Result<Vec<Asset>, CallError> {
        self.once_known(|| self.held.assets(self.release.id))
    }

    /// Whether "not found" can be said of the draft although it is there.
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

    /// Deletes an asset that was just seen on the draft and can't be used. An asset that is gone is no error.
    ///
    /// # Errors
    ///
    /// Somebody changed or deleted the draft.
    pub fn remove(&self, asset: &Asset, why: &str) -> anyhow::Result<()> {
        self.held.note(format_args!("{}: deleted from the draft: {why}", asset.name));
        let mut seen = true;
        self.held.change(
            format_args!("deleting {} of the draft {}", asset.name, self.release.id),
            || {
                self.look_again()?;
                // The release hides what is broken, so the listing tells.
                let is_there = std::mem::take(&mut seen) || self.assets()?.iter().any(|there| there.id == asset.id);
                Ok((!is_there).then_some(()))
            },
            |outside, how, permit| match outside.delete_asset(how, permit, asset.id) {
                // Done before, and the listing lags.
                Err(error) if error.refusal() == Some(404) => Ok(Some(())),
                answer => answer.map(Some),
            },
        )
    }
}

/// A draft of the name that a publish gives it.
pub fn is_incoming(release: &Release) -> bool {
    release.draft && release.tag_name == INCOMING
}

/// Deletes a draft that a publish was to fill, with all that it holds. A draft that is gone is no error.
pub fn drop_incoming(held: Held<'_>, id: u64) -> anyhow::Result<()> {
    held.change(
        format_args!("deleting the draft {id}"),
        || match held.release(id) {
            Ok(now) if is_incoming(&now) && marker::read::<Incoming>(now.notes()).is_some() => Ok(None),
            Ok(_) => Err(session::changed(format_args!(
                "release {id} is no longer the draft that it was when the plan was made, so it is left alone"
            ))),
            Err(error) if error.status() == Some(404) => Ok(Some(())),
            Err(error) => Err(error.into()),
        },
        |outside, how, permit| outside.delete_release(how, permit, id).map(Some),
    )
}

/// The draft with this marker, once a listing shows it; of two the fuller.
fn made(held: Held<'_>, marker: &Incoming) -> anyhow::Result<Option<Release>> {
    held.until_shown(|| {
        let drafts = held.releases()?.into_iter().filter_map(IncomingDraft::of);
        let ours = drafts.filter(|draft| draft.marker.as_ref().is_some_and(|there| there.set == marker.set));
        Ok(ours.max_by_key(|draft| draft.release.assets.len()).map(|draft| draft.release))
    })
}

/// The manifest's `created`: GitHub's time, and at least a second later than that of the live set, so a reader notices an old
/// set that was put back.
fn created(held: Held<'_>, live: Option<&Live>) -> String {
    let now = held.budget().map_or_else(|_| held.outside().wall_clock(), |budget| budget.date);
    later(now, live.and_then(|live| live.manifest.as_ref()?.created.as_deref()))
}

/// The last second that RFC 3339 can write, 9999-12-31T23:59:59Z, from the epoch on: a date on a release is text from outside.
const LAST: Duration = Duration::from_secs(253_402_300_799);

fn later(now: SystemTime, before: Option<&str>) -> String {
    let before = before.and_then(|text| humantime::parse_rfc3339(text).ok());
    let at = before.map_or(now, |before| now.max(before + Duration::from_secs(1)).min(SystemTime::UNIX_EPOCH + LAST));
    humantime::format_rfc3339_seconds(at).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_later_than_the_one_that_it_replaces() {
        let now = humantime::parse_rfc3339("2026-11-30T12:00:00Z").unwrap();
        for (before, then) in [
            (None, "2026-11-30T12:00:00Z"),
            (Some("2026-11-29T12:00:00Z"), "2026-11-30T12:00:00Z"),
            (Some("2026-11-30T12:00:00Z"), "2026-11-30T12:00:01Z"),
            (Some("2027-01-01T00:00:00Z"), "2027-01-01T00:00:01Z"),
            // After that there is no time that can be written.
            (Some("9999-12-31T23:59:59Z"), "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(later(now, before), then, "{before:?}");
        }
    }
}
