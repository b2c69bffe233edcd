//! What a release looks like, live and pinned: title, notes, flags, and the markers that keep them. A set that comes back looks
//! as it did before. Publish, rollback, recovery and the switch use it.

use crate::digest::Digest;
use crate::gh::{NewRelease, Release};
use crate::repo::Repo;

use super::draft::is_incoming;
use super::look::{Contents, Live, Look};
use super::marker::{self, Label, Replaced};
use super::pin::Pin;
use super::{PINNED, TAG, TITLE, notes};

/// What a release looks like when it is live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Face {
    pub title: String,
    /// Without the marker of the label.
    pub notes: String,
    pub prerelease: bool,
    /// GitHub's own "Latest" badge.
    pub badge: bool,
    /// What it stands for; `None` where that is unknown.
    pub label: Option<Label>,
}

impl Face {
    /// As this tool publishes.
    pub fn ours(notes: String, label: Label) -> Self {
        Self { title: TITLE.to_owned(), notes, prerelease: true, badge: false, label: Some(label) }
    }

    /// As a set looks when it is live under a label: as it was where it was live before, else with the notes that follow from its
    /// manifest.
    pub fn of(repo: &Repo, set: &Contents, label: Option<Label>) -> Self {
        if let (Some(manifest), Some(label), true) = (&set.manifest, &label, is_incoming(&set.release)) {
            return Self::ours(notes::text(manifest, repo, &label.source), label.clone());
        }
        let mut face = Self::before(&set.release, label);
        if let Some(label) = &face.label {
            face.notes = notes::pointing_to(&face.notes, &label.source);
        }
        face
    }

    /// As a pinned set was before it was replaced, by its marker.
    pub fn before(release: &Release, label: Option<Label>) -> Self {
        let stamp = Replaced::of(release.notes());
        let (full_release, badge) = stamp.as_ref().map(|stamp| (stamp.full_release, stamp.badge)).unwrap_or_default();
        Self {
            title: stamp.and_then(|stamp| stamp.title).unwrap_or_else(|| TITLE.to_owned()),
            notes: marker::strip::<Label>(&marker::strip::<Replaced>(release.notes())),
            prerelease: !full_release,
            badge,
            label,
        }
    }

    /// As a release is that lost its tag.
    pub fn kept(release: &Release, label: Option<Label>) -> Self {
        Self {
            title: release.name.clone().unwrap_or_default(),
            notes: marker::strip::<Label>(release.notes()),
            prerelease: release.prerelease,
            badge: false,
            label,
        }
    }

    /// The version that it stands for: by its label, else by its notes.
    pub fn source(&self) -> Option<&str> {
        self.label.as_ref().map(|label| label.source.as_str()).or_else(|| notes::points_to(&self.notes))
    }

    pub(super) fn live(&self) -> NewRelease {
        let body = self.label.as_ref().map_or_else(|| self.notes.clone(), |label| marker::write(&self.notes, label));
        live(&self.title, body, self.prerelease, self.badge)
    }
}

fn live(title: &str, body: String, prerelease: bool, badge: bool) -> NewRelease {
    NewRelease { tag_name: TAG.to_owned(), name: title.to_owned(), body, draft: false, prerelease, badge }
}

/// The release that is replaced.
#[derive(Debug, Clone)]
pub struct Old {
    pub release: Release,
    pub pin: Pin,
    /// As a pinned set, published under its tag, with all that a rollback needs.
    pub(super) pinned: NewRelease,
    /// As it was.
    pub(super) live: NewRelease,
}

impl Old {
    /// `face`: of the set that takes its place, on the release `by`.
    pub fn of(live: &Live, look: &Look, by: u64, by_manifest: Option<Digest>, face: &Face) -> Self {
        let release = &live.release;
        let pin = Pin::of(look, live, face.source().unwrap_or_default());
        // Where the label names a commit, only a tag that peels to it is that set's.
        let tag = Label::tag(live.label.as_ref(), look.tag.clone());
        let (tag_object, commit) = tag.map(|tag| (tag.object, tag.commit)).unzip();
        let title = release.name.clone().unwrap_or_default();
        let stamp = Replaced {
            by,
            by_manifest,
            by_label: face.label.clone(),
            manifest: live.digest,
            tag_object,
            commit,
            title: Some(title.clone()).filter(|title| title != TITLE),
            full_release: !release.prerelease,
            badge: live.badge,
            order: 1 + look.stamped().map(|(_, stamp)| stamp.order).max().unwrap_or(0),
        };
        let live = self::live(&title, release.notes().to_owned(), release.prerelease, live.badge);
        let pinned = NewRelease {
            tag_name: pin.name.clone(),
            name: format!("Images {}", pin.name.trim_start_matches(PINNED)),
            body: marker::write(release.notes(), &stamp),
            prerelease: true,
            badge: false,
            ..live.clone()
        };
        Self { release: release.clone(), pin, pinned, live }
    }
}

/// # Errors
///
/// Exit code 3: with the marker of a replaced set the notes of the live release would be longer than GitHub accepts.
pub fn notes_fit(live: &Release) -> anyhow::Result<()> {
    // Names, ids and digests; the title is in the marker as well.
    const MARKER: usize = 900;
    let title = live.name.as_deref().unwrap_or_default();
    notes::fit(
        format_args!("the notes of the release {TAG}, which get a marker when the release is replaced,"),
        live.notes().chars().count() + MARKER + 2 * title.chars().count(),
        notes::MOST,
    )
}
