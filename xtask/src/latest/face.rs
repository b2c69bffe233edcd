//! What a release looks like, live and taken back: title, notes, flags, and the stamp that keeps them.

use std::time::Duration;

use crate::gh::{NewRelease, Release};
use crate::git::TagRef;
use crate::image::digest::Digest;

use super::held::Held;
use super::look::{Live, Look};
use super::marker::{self, Replaced};
use super::switch::Change;
use super::{PREVIOUS, TAG, TITLE, notes};

/// What a release looks like when it is live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Face {
    pub title: String,
    pub notes: String,
    pub prerelease: bool,
    /// GitHub's own "Latest" badge.
    pub badge: bool,
}

impl Face {
    /// As this tool publishes.
    pub fn ours(notes: String) -> Self {
        Self { title: TITLE.to_owned(), notes, prerelease: true, badge: false }
    }

    /// As it was before it was replaced, by its stamp.
    pub fn before(release: &Release, stamp: &Replaced) -> Self {
        Self {
            title: stamp.title.clone().unwrap_or_else(|| TITLE.to_owned()),
            notes: marker::strip::<Replaced>(release.notes()),
            prerelease: !stamp.full_release,
            badge: stamp.badge,
        }
    }

    pub(super) fn live(&self) -> NewRelease {
        NewRelease {
            tag_name: TAG.to_owned(),
            name: self.title.clone(),
            body: self.notes.clone(),
            draft: false,
            prerelease: self.prerelease,
            badge: self.badge,
        }
    }
}

/// The release that is replaced, with all that a way back needs.
#[derive(Debug, Clone)]
pub struct Old {
    pub release: Release,
    pub manifest: Option<Digest>,
    /// It has GitHub's own "Latest" badge.
    pub badge: bool,
    /// The tag of its set.
    pub tag: Option<TagRef>,
    /// The newest stamp that is there: a newer one says a later time, whatever the clock does.
    pub newest_stamp: Option<String>,
}

impl Old {
    pub fn of(live: &Live, look: &Look) -> Self {
        // Where the manifest names a commit, only a tag that peels to it is that set's.
        let tag = match (&live.manifest, &look.tag) {
            (Some(manifest), Some(tag)) if tag.commit == manifest.commit => Some(tag.clone()),
            (Some(manifest), _) => Some(TagRef { object: manifest.commit.clone(), commit: manifest.commit.clone() }),
            (None, tag) => tag.clone(),
        };
        let stamps = look.stamped().map(|(_, stamp)| stamp);
        Self {
            release: live.release.clone(),
            manifest: live.digest,
            badge: live.badge,
            tag,
            newest_stamp: stamps.map(|stamp| stamp.at.clone()).max(),
        }
    }

    /// As the draft `latest-previous`.
    pub(super) fn hidden(&self, held: Held<'_>, change: &Change) -> NewRelease {
        let title = self.release.name.clone().unwrap_or_default();
        let stamp = Replaced {
            by: change.new,
            by_manifest: change.manifest,
            by_tag: Some(change.target.object.clone()),
            manifest: self.manifest,
            tag_object: self.tag.as_ref().map(|tag| tag.object.clone()),
            commit: self.tag.as_ref().map(|tag| tag.commit.clone()),
            title: (title != TITLE).then_some(title),
            full_release: !self.release.prerelease,
            badge: self.badge,
            at: after(held, self.newest_stamp.as_deref()),
        };
        NewRelease {
            tag_name: PREVIOUS.to_owned(),
            name: format!("{TITLE} (previous)"),
            body: marker::write(self.release.notes(), &stamp),
            draft: true,
            prerelease: self.release.prerelease,
            badge: false,
        }
    }

    /// # Errors
    ///
    /// Exit code 3: with the stamp its notes would be longer than GitHub takes.
    pub fn notes_fit(&self) -> anyhow::Result<()> {
        // Names, ids and digests; the title stands in it as well.
        const STAMP: usize = 700;
        let title = self.release.name.as_deref().unwrap_or_default().chars().count();
        notes::fit(
            format_args!("the notes of the release {TAG}, which keep a stamp when it is replaced,"),
            self.release.notes().chars().count() + STAMP + 2 * title,
            notes::MOST,
        )
    }

    pub(super) fn live(&self) -> NewRelease {
        Face {
            title: self.release.name.clone().unwrap_or_default(),
            notes: self.release.notes().to_owned(),
            prerelease: self.release.prerelease,
            badge: self.badge,
        }
        .live()
    }
}

/// Now, or a second after the newest stamp: the order of stamps must not hang on a clock.
fn after(held: Held<'_>, newest: Option<&str>) -> String {
    let now = held.outside().wall_clock();
    let newest = newest.and_then(|at| humantime::parse_rfc3339(at).ok());
    let at = newest.map_or(now, |newest| now.max(newest + Duration::from_secs(1)));
    humantime::format_rfc3339_seconds(at).to_string()
}
