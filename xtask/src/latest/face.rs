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

/// As this tool publishes.
pub fn ours(notes: &str, label: &Label) -> NewRelease {
    live(TITLE, notes, true, false, Some(label))
}

/// As a set looks when it is live under a label: as it was where it was live before, else with the notes that follow from its
/// manifest.
pub fn of(repo: &Repo, set: &Contents, label: Option<&Label>) -> NewRelease {
    match (&set.manifest, label) {
        (Some(manifest), Some(label)) if is_incoming(&set.release) => {
            ours(&notes::text(manifest, repo, &label.source), label)
        }
        (_, Some(label)) => {
            again(&set.release, &notes::pointing_to(&unmarked(&set.release), &label.source), Some(label))
        }
        (_, None) => before(&set.release),
    }
}

/// As a pinned set was before it was replaced, by its marker.
pub fn before(release: &Release) -> NewRelease {
    again(release, &unmarked(release), marker::read(release.notes()).as_ref())
}

fn unmarked(release: &Release) -> String {
    marker::strip::<Label>(&marker::strip::<Replaced>(release.notes()))
}

fn again(release: &Release, notes: &str, label: Option<&Label>) -> NewRelease {
    let stamp = Replaced::of(release.notes());
    let (full_release, badge) = stamp.as_ref().map(|stamp| (stamp.full_release, stamp.badge)).unwrap_or_default();
    let title = stamp.as_ref().and_then(|stamp| stamp.title.as_deref()).unwrap_or(TITLE);
    live(title, notes, !full_release, badge, label)
}

/// As a release is that lost its tag.
pub fn kept(release: &Release, label: Option<&Label>) -> NewRelease {
    let title = release.name.as_deref().unwrap_or_default();
    live(title, &marker::strip::<Label>(release.notes()), release.prerelease, false, label)
}

/// The version that a release stands for when it is live: by its label, else by its notes.
pub fn source(live: &NewRelease) -> Option<String> {
    let of_notes = || notes::points_to(&live.body).map(str::to_owned);
    marker::read::<Label>(&live.body).map(|label| label.source).or_else(of_notes)
}

fn live(title: &str, notes: &str, prerelease: bool, badge: bool, label: Option<&Label>) -> NewRelease {
    let body = label.map_or_else(|| notes.to_owned(), |label| marker::write(notes, label));
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
    /// `next`: the release `by` that takes its place, when it is live.
    pub fn of(live: &Live, look: &Look, by: u64, by_manifest: Option<Digest>, next: &NewRelease) -> Self {
        let release = &live.release;
        let pin = Pin::of(look, live, &source(next).unwrap_or_default());
        // Where the label names a commit, only a tag that peels to it is that set's.
        let tag = Label::tag(live.label.as_ref(), look.refs.tag.clone());
        let (tag_object, commit) = tag.map(|tag| (tag.object, tag.commit)).unzip();
        let title = release.name.clone().unwrap_or_default();
        let stamp = Replaced {
            by,
            by_manifest,
            by_label: marker::read(&next.body),
            manifest: live.digest,
            tag_object,
            commit,
            title: Some(title.clone()).filter(|title| title != TITLE),
            full_release: !release.prerelease,
            badge: live.badge,
            order: 1 + look.stamped().map(|(_, stamp)| stamp.order).max().unwrap_or(0),
        };
        let live = self::live(&title, release.notes(), release.prerelease, live.badge, None);
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
