//! A rollback: the release that the last publish replaced becomes `latest` again.

use std::fmt;

use serde_json::{Value, json};

use crate::failure;
use crate::gh::Release;
use crate::git::TagRef;
use crate::image::digest::Digest;
use crate::manifest::Manifest;
use crate::typed;

use super::doors::Doors;
use super::face::{Face, Old};
use super::heal::{self, Heal};
use super::lock::Claim;
use super::look::{self, Live, Look, PreviousDraft};
use super::marker::Replaced;
use super::previous::{self, Kept};
use super::publish::Person;
use super::session;
use super::switch::{self, Change};
use super::{TAG, audit, notes, swap};

/// How a rollback ended.
pub enum Ended {
    /// A flip was half-way: finishing it is all that is done.
    Healed {
        heal: Heal,
        executed: bool,
    },
    Planned {
        plan: Box<Plan>,
        executed: bool,
    },
}

/// What a rollback does.
#[derive(Debug)]
pub struct Plan {
    pub live: Live,
    pub previous: PreviousDraft,
    replaced: Replaced,
    /// The manifest of its own set, where that has to be given its names back first: another was staged on it.
    restores: Option<Digest>,
    face: Face,
    old: Old,
    /// The object of the tag on the remote, as the look saw it: one that moved since is a rival's.
    tag: Option<String>,
    target: TagRef,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (now, back) = self.names();
        let (at, tag) = (&self.replaced.at, self.target.object.get(..12).unwrap_or(&self.target.object));
        if self.restores.is_some() {
            writeln!(f, "First {back} gets the names of its files back: a publish ended half-way")?;
        }
        write!(
            f,
            "Plan: {TAG} goes back from {now} to {back}, which was replaced {at}\n 1. move the tag {TAG} to {tag}\n"
        )?;
        write!(f, " 2. keep {now} as the way back\n 3. make {back} live again")
    }
}

impl Plan {
    /// The set that is live and the one that comes back, by their versions.
    pub fn names(&self) -> (String, String) {
        let noted = |notes| notes::points_to(notes).unwrap_or("a set of unknown source");
        let manifest = self.live.manifest.as_ref();
        let now = manifest.map_or_else(|| noted(self.live.release.notes()), |manifest| manifest.source.as_str());
        // The notes that come back are those of its manifest, whatever somebody wrote into the draft.
        notes::told_apart((now, self.live.digest), (noted(&self.face.notes), self.replaced.manifest))
    }

    /// The steps, one object each: `do`, and its object.
    pub fn to_json(&self) -> Value {
        let restore = self.restores.map(|_| json!({ "do": "restore", "release": self.previous.release.id }));
        let steps = [
            json!({ "do": "tag", "from": self.tag, "to": self.target.object }),
            json!({ "do": "hide", "release": self.live.release.id }),
            json!({ "do": "publish", "release": self.previous.release.id }),
        ];
        restore.into_iter().chain(steps).collect()
    }
}

/// Puts back what the last publish replaced.
pub fn run(doors: Doors<'_>, take_over: bool, person: &mut dyn Person) -> anyhow::Result<Ended> {
    let look = look::look(doors)?;
    let healing = heal::plan(doors, &look)?;
    let claim = Claim { verb: "rollback", source: None, take_over };
    if let Some(heal) = &healing {
        doors.line(heal);
    }
    // Half-way through a flip: finishing it is all that is done; what to roll back to is for the next run to ask.
    if let Some(heal @ Heal::Publish { .. }) = &healing {
        let executed = person.agrees("Do that?")?;
        if executed {
            session::under_lock(doors, &claim, |held| {
                let found = heal::plan(doors, &look::look(doors)?)?;
                if found.is_some() && found.as_ref() != Some(heal) {
                    return Err(session::differs());
                }
                heal::all(held).map(drop).map_err(failure::after_changes)
            })?;
        }
        return Ok(Ended::Healed { heal: heal.clone(), executed });
    }
    let agreed = match plan(doors, &look) {
        Err(error) if healing.is_some() => {
            if person.agrees("Do that?")? {
                session::under_lock(doors, &claim, |held| heal::all(held).map(drop))?;
            }
            return Err(error);
        }
        agreed => Box::new(agreed?),
    };
    doors.line(&agreed);
    if !person.agrees("Roll back?")? {
        return Ok(Ended::Planned { plan: agreed, executed: false });
    }
    session::under_lock(doors, &claim, |held| {
        let found = heal::plan(doors, &look::look(doors)?)?;
        if found.is_some() && found != healing {
            return Err(session::differs());
        }
        let look = heal::all(held).map_err(failure::after_changes)?;
        let mut plan = plan(doors, &look)?;
        if plan.to_string() != agreed.to_string() {
            return Err(session::differs());
        }
        if let Some(own) = plan.restores {
            let id = plan.previous.release.id;
            swap::restore(held, id, own).map_err(failure::after_changes)?;
            plan.previous.release = doors.release(id)?;
            prove(doors, &plan.previous, &plan.replaced).map_err(failure::after_changes)?;
        }
        let change = Change {
            old: Some(plan.old.clone()),
            tag: plan.tag.clone(),
            new: plan.previous.release.id,
            manifest: plan.replaced.manifest,
            face: plan.face.clone(),
            target: plan.target.clone(),
        };
        switch::change(held, &change, || still_previous(doors, &plan.previous)).map_err(failure::after_changes)?;
        Ok(Ended::Planned { plan: Box::new(plan), executed: true })
    })
}

fn plan(doors: Doors<'_>, look: &Look) -> anyhow::Result<Plan> {
    let Some(live) = look.live.clone() else {
        return Err(failure::missing(format!(
            "no release {TAG} is published in {}, so there is nothing to roll back; {} shows what there is",
            doors.repo(),
            typed::line("status")
        )));
    };
    let way_back = look.way_back(&live).map(|(draft, stamp)| (draft.clone(), stamp.clone()));
    // A live release without a manifest is the one that was published all the same: somebody removed it.
    let names = |stamp: &Replaced| stamp.names(live.release.id, live.digest.or(stamp.by_manifest));
    let way_back = way_back.filter(|(_, stamp)| names(stamp));
    let Some((previous, replaced)) = way_back else {
        return Err(failure::missing(format!(
            "no release that {TAG} replaced is kept in {}; publish the older set anew: {}",
            doors.repo(),
            typed::line("publish --source TAG")
        )));
    };
    let mut face = Face::before(&previous.release, &replaced);
    let (manifest, restores) = prove(doors, &previous, &replaced)?;
    if let Some(manifest) = manifest
        && notes::points_to(&face.notes) != Some(manifest.source.as_str())
    {
        face.notes = notes::text(&manifest);
    }
    let Some(target) = heal::tag_of(&replaced) else {
        return Err(failure::missing(format!(
            "the replaced release had no tag, so there is no commit for {TAG} to go back to; publish the older set anew: {}",
            typed::line("publish --source TAG")
        )));
    };
    let object = doors.outside().bring(&target)?;
    let old = Old::of(&live, look);
    old.notes_fit()?;
    Ok(Plan {
        old,
        live,
        previous,
        replaced,
        restores,
        face,
        tag: look.tag.as_ref().map(|tag| tag.object.clone()),
        target: TagRef { object, ..target },
    })
}

/// The old set must be whole before it takes the place of a set that is. Its manifest, if it has one, and the digest of
/// that where another set was staged and has the names.
fn prove(
    doors: Doors<'_>,
    previous: &PreviousDraft,
    stamp: &Replaced,
) -> anyhow::Result<(Option<Manifest>, Option<Digest>)> {
    let Some(Kept { assets, manifest, digest, restores }) = previous::kept(doors, previous, stamp)? else {
        return Err(failure::digest(format!(
            "the replaced release {} holds another set than it did when it was replaced, so nothing was changed; publish the older set anew",
            previous.release.id
        )));
    };
    let restores = digest.filter(|_| restores);
    let tag =
        manifest.as_ref().map(|manifest| TagRef { object: manifest.commit.clone(), commit: manifest.commit.clone() });
    // Whether it was a prerelease is not what is asked here, nor what its notes say: a change of its version that ended
    // half-way left those of the version before.
    let body = manifest.as_ref().map(notes::text).or_else(|| previous.release.body.clone());
    let release = Release { prerelease: true, body, ..previous.release.clone() };
    let as_live = Live { release, assets, manifest, digest, badge: false, aside: None };
    let audit = audit::published(doors, &as_live, tag.as_ref())?;
    if audit.differences.is_empty() {
        return Ok((as_live.manifest, restores));
    }
    Err(failure::digest(format!(
        "the replaced release is not whole, so nothing was changed; publish the older set anew: {}\n  - {}",
        typed::line("publish --source TAG"),
        audit.differences.join("\n  - ")
    )))
}

fn still_previous(doors: Doors<'_>, previous: &PreviousDraft) -> anyhow::Result<()> {
    let now = doors.release(previous.release.id)?;
    if now == previous.release {
        return Ok(());
    }
    Err(failure::failed(format!(
        "the replaced release changed since the plan was made; nothing was switched, look with {}",
        typed::line("status")
    )))
}
