//! A rollback: the release that the last publish replaced becomes `latest` again.

use std::fmt;

use anyhow::Context as _;

use crate::failure;
use crate::gh::Release;
use crate::git::TagRef;

use super::doors::Doors;
use super::look::{self, Live, Look, PreviousDraft};
use super::marker::{self, Replaced};
use super::publish::Person;
use super::switch::{self, Change};
use super::{TAG, audit, heal, notes};

/// How a rollback ended.
pub enum Ended {
    /// A flip was half-way: finishing it is all that is done.
    Healed {
        heal: String,
        executed: bool,
    },
    Planned {
        plan: Box<Plan>,
        executed: bool,
    },
}

/// What a rollback does.
pub struct Plan {
    pub live: Live,
    pub previous: PreviousDraft,
    replaced: Replaced,
    /// The tag on the remote, as the look saw it: one that moved since is a rival's.
    tag: Option<TagRef>,
    target: TagRef,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |notes: &str| notes::points_to(notes).unwrap_or("a set of unknown source").to_owned();
        write!(
            f,
            "Plan: {TAG} goes back from {} to {}, replaced {}\n 1. move the tag {TAG} to {}\n 2. take the release {} back to a draft\n 3. publish the release {} as {TAG}",
            names(self.live.release.notes()),
            names(self.previous.release.notes()),
            self.replaced.at,
            self.target.object.get(..12).unwrap_or(&self.target.object),
            self.live.release.id,
            self.previous.release.id
        )
    }
}

pub fn run(doors: Doors<'_>, person: &mut dyn Person) -> anyhow::Result<Ended> {
    let look = look::look(doors)?;
    person.before_healing(&look)?;
    // Half-way through a flip: finishing it is all that is done; what to roll back to is for the next run to ask.
    if let Some(heal) = heal::plan(doors, &look)? {
        doors.line(&heal);
        let executed = person.agrees("Do that?")?;
        if executed {
            heal::heal(doors, &heal, look.tag.as_ref()).map_err(failure::after_changes)?;
        }
        return Ok(Ended::Healed { heal: heal.to_string(), executed });
    }
    let plan = Box::new(plan(doors, look)?);
    doors.line(&plan);
    if !person.agrees("Roll back?")? {
        return Ok(Ended::Planned { plan, executed: false });
    }
    let change = Change {
        old: Some(plan.live.release.clone()),
        tag: plan.tag.clone(),
        draft: plan.previous.release.id,
        notes: marker::strip::<Replaced>(plan.previous.release.notes()),
        target: plan.target.clone(),
    };
    switch::change(doors, &change, || still_previous(doors, &plan.previous)).map_err(failure::after_changes)?;
    Ok(Ended::Planned { plan, executed: true })
}

fn plan(doors: Doors<'_>, look: Look) -> anyhow::Result<Plan> {
    let Some(live) = look.live else {
        return Err(failure::missing(format!(
            "no release {TAG} is published in {}, so there is nothing to roll back",
            doors.repo()
        )));
    };
    let mut stamped: Vec<(PreviousDraft, Replaced)> = look
        .previous
        .into_iter()
        .filter_map(|draft| draft.marker.clone().map(|marker| (draft, marker)))
        .filter(|(_, marker)| marker.by == live.release.id)
        .collect();
    stamped.sort_by(|a, b| a.1.at.cmp(&b.1.at));
    let Some((previous, replaced)) = stamped.pop() else {
        return Err(failure::missing(format!(
            "no release that {TAG} replaced is kept in {}; publish the older set anew: cargo xtask packer publish --source TAG",
            doors.repo()
        )));
    };
    prove(doors, &previous)?;
    let (Some(object), Some(commit)) = (replaced.tag_object.clone(), replaced.commit.clone()) else {
        return Err(failure::missing(format!(
            "the replaced release had no tag, so there is no commit for {TAG} to go back to; publish the older set anew"
        )));
    };
    let object = doors.outside().bring(&TagRef { object, commit: commit.clone() })?;
    Ok(Plan { live, previous, replaced, tag: look.tag, target: TagRef { object, commit } })
}

/// The old set must be whole before it takes the place of a set that is.
fn prove(doors: Doors<'_>, previous: &PreviousDraft) -> anyhow::Result<()> {
    let assets = doors.assets(previous.release.id)?;
    let manifest = look::read_manifest(&assets, |asset| doors.read_asset(asset))?;
    let tag =
        manifest.as_ref().map(|manifest| TagRef { object: manifest.commit.clone(), commit: manifest.commit.clone() });
    // It is published as a prerelease, whatever it was.
    let release = Release { prerelease: true, ..previous.release.clone() };
    let as_live = Live { release, assets, manifest };
    let audit = audit::published(doors, &as_live, tag.as_ref())?;
    if audit.differences.is_empty() {
        return Ok(());
    }
    Err(failure::digest(format!(
        "the replaced release is not whole, so nothing was changed:\n  - {}",
        audit.differences.join("\n  - ")
    )))
}

fn still_previous(doors: Doors<'_>, previous: &PreviousDraft) -> anyhow::Result<()> {
    let now = doors
        .release(previous.release.id)
        .map_err(anyhow::Error::from)
        .context("reading the replaced release again")?;
    if now == previous.release {
        return Ok(());
    }
    Err(failure::failed(
        "the replaced release changed since the plan was made; nothing was switched, look with `cargo xtask packer status`",
    ))
}
