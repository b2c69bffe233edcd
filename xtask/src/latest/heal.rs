//! Puts `latest` right after a run that ended between the two halves of a flip, perhaps on a machine that is gone: no
//! local image is needed, what is on GitHub is enough.

use std::fmt;
use std::time::Duration;

use crate::failure;
use crate::gh::NewRelease;
use crate::git::TagRef;
use crate::manifest::Manifest;

use super::doors::Doors;
use super::look::{self, IncomingDraft, Look, PreviousDraft};
use super::marker::{self, Replaced};
use super::prove;
use super::switch;
use super::{TAG, TITLE, notes};

/// How `latest` gets a release again.
#[derive(Debug, Clone)]
pub enum Heal {
    /// The staged set is complete: finish its publish.
    Finish { draft: IncomingDraft, manifest: Box<Manifest>, old: Option<PreviousDraft> },
    /// It isn't: what was live becomes live again.
    Republish { previous: PreviousDraft, marker: Replaced },
}

impl fmt::Display for Heal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{TAG} has no release: a publish ended between its two last steps. ")?;
        match self {
            Self::Finish { draft, manifest, .. } => {
                write!(f, "First finish it: the draft {} holds all of {}, proven", draft.release.id, manifest.source)
            }
            Self::Republish { previous, .. } => {
                write!(f, "First make the release {} live, which was live before", previous.release.id)
            }
        }
    }
}

/// What there is to heal; `None` when `latest` is live, or never was.
pub fn plan(doors: Doors<'_>, look: &Look) -> anyhow::Result<Option<Heal>> {
    if look.live.is_some() {
        return Ok(None);
    }
    let mut stamped: Vec<(&PreviousDraft, &Replaced)> =
        look.previous.iter().filter_map(|draft| Some((draft, draft.marker.as_ref()?))).collect();
    stamped.sort_by(|a, b| b.1.at.cmp(&a.1.at));

    // The draft that the newest stamp names comes first.
    let named = stamped.first().map(|(_, marker)| marker.by);
    let mut drafts: Vec<&IncomingDraft> = look.incoming.iter().collect();
    drafts.sort_by_key(|draft| Some(draft.release.id) != named);
    for draft in drafts {
        let Some(manifest) = proven(doors, draft)? else { continue };
        let old = stamped.iter().find(|(_, marker)| marker.by == draft.release.id).map(|(draft, _)| (*draft).clone());
        // Without a stamp: a first publish that had moved the tag already.
        if old.is_some() || look.tag.as_ref().is_some_and(|tag| tag.commit == manifest.commit) {
            return Ok(Some(Heal::Finish { draft: draft.clone(), manifest: Box::new(manifest), old }));
        }
    }
    // A rollback that ended half-way: the newest stamp names an older release that is stamped itself.
    let rolled_back = stamped.iter().find(|(draft, _)| Some(draft.release.id) == named);
    Ok(rolled_back
        .or(stamped.first())
        .map(|(previous, marker)| Heal::Republish { previous: (*previous).clone(), marker: (*marker).clone() }))
}

/// The draft's manifest, if all that it names is there.
fn proven(doors: Doors<'_>, draft: &IncomingDraft) -> anyhow::Result<Option<Manifest>> {
    let assets = doors.assets(draft.release.id)?;
    let Ok(Some(manifest)) = look::read_manifest(&assets, |asset| doors.read_asset(asset)) else { return Ok(None) };
    for expected in manifest.assets() {
        let asset = assets.iter().find(|asset| asset.name == expected.file);
        let right = match (prove::compare(&expected, asset), asset) {
            (None, _) => true,
            (Some(prove::Difference::Unknown), Some(asset)) => prove::digest(doors, asset)? == expected.sha256,
            _ => false,
        };
        if !right {
            return Ok(None);
        }
    }
    Ok(Some(manifest))
}

/// A publisher that is alive is between the two halves for less than this.
const ALIVE: Duration = Duration::from_secs(3);

/// Makes `latest` live.
pub fn heal(doors: Doors<'_>, heal: &Heal, tag: Option<&TagRef>) -> anyhow::Result<()> {
    doors.pause(ALIVE)?;
    if look::live(doors)?.is_some() {
        doors.note(format_args!("{TAG} is live again: another run was at work"));
        return Ok(());
    }
    let (draft, notes, target, old) = match heal {
        Heal::Finish { draft, manifest, old } => {
            let target = TagRef { object: manifest.commit.clone(), commit: manifest.commit.clone() };
            (&draft.release, notes::text(manifest), Some(target), old.as_ref())
        }
        Heal::Republish { previous, marker } => {
            let commit = marker.commit.clone();
            let target = marker.tag_object.clone().zip(commit).map(|(object, commit)| TagRef { object, commit });
            (&previous.release, marker::strip::<Replaced>(previous.release.notes()), target, None)
        }
    };
    if let Some(target) = &target {
        switch::set_tag(doors, tag, target)?;
    }
    let new = NewRelease {
        tag_name: TAG.to_owned(),
        name: TITLE.to_owned(),
        body: notes,
        draft: false,
        prerelease: true,
        target: target.as_ref().map(|target| target.commit.clone()),
    };
    let old = old.map(|old| {
        let mut release = old.release.clone();
        release.tag_name = TAG.to_owned();
        release.name = Some(TITLE.to_owned());
        release.body = Some(marker::strip::<Replaced>(release.notes()));
        release
    });
    switch::show(doors, doors.steady(switch::CALL), draft.id, &new, old.as_ref())?;
    doors.line(format_args!("{TAG} is live again: release {}", draft.id));
    if let Some(target) = &target
        && let Err(error) = doors.outside().set_local_tag(&target.object)
    {
        doors.detail(format_args!("the local tag {TAG} does not follow: {error:#}"));
    }
    if doors.remote_tag()?.is_none() {
        return Err(failure::failed(format!("{TAG} is live, but tag {TAG} is missing on the remote; publish again")));
    }
    Ok(())
}
