//! `rollback`: puts the release that the last publish replaced back as `latest`.

use std::fmt;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::consent::Consent;
use super::{Common, Outcome};
use crate::console::Console;
use crate::failure;
use crate::gh::{Gh, Release, Tries};
use crate::git::{Git, TagRef};
use crate::interrupt;
use crate::latest::look::{self, Live, Look, PreviousDraft};
use crate::latest::marker::{self, Replaced};
use crate::latest::switch::{self, Change, Doors};
use crate::latest::{TAG, audit, heal, notes, preflight, source};

/// Put back the release that the last publish replaced
///
/// Release and tag go back together, in the same safe order as a publish; what is live now becomes the way forward
/// again, so a rollback can be rolled back.
#[derive(Args)]
pub struct Rollback {
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    tries: Tries,
    #[command(flatten)]
    pub common: Common,
}

/// What a rollback does.
struct Plan {
    live: Live,
    previous: PreviousDraft,
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

impl Rollback {
    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        interrupt::watch();
        let gh = Gh::new(common.repo()?, self.tries, console);
        let git = Git::at(&common.packer_dir());
        let doors = Doors { gh: &gh, git: &git, remote: &common.remote, console };
        for warning in preflight::repository(&gh)?.warnings {
            console.detail(warning);
        }
        let look = look::look(&gh, &git, &common.remote)?;
        source::same_repository(&gh, &common.remote, &look)?;
        // Half-way through a flip: finishing it is all that is done; what to roll back to is for the next run to ask.
        if let Some(heal) = heal::plan(&gh, &look)? {
            console.line(&heal);
            let executed = self.consent.given(console, "Do that?")?;
            if executed {
                heal::heal(doors, &heal, look.tag.as_ref()).map_err(failure::after_changes)?;
            }
            return Ok(Outcome::done(json!({ "executed": executed, "plan": [heal.to_string()] })));
        }
        let plan = plan(&gh, &git, common, look)?;
        console.line(&plan);
        let fields = |executed| {
            json!({
                "executed": executed,
                "plan": plan.to_string().lines().collect::<Vec<_>>(),
                "release": if executed { plan.previous.release.id } else { plan.live.release.id },
            })
        };
        if !self.consent.given(console, "Roll back?")? {
            return Ok(Outcome::done(fields(false)));
        }
        let change = Change {
            old: Some(plan.live.release.clone()),
            tag: plan.tag.clone(),
            draft: plan.previous.release.id,
            notes: marker::strip::<Replaced>(plan.previous.release.notes()),
            target: plan.target.clone(),
        };
        switch::change(doors, &change, || still_previous(&gh, &plan.previous)).map_err(failure::after_changes)?;
        console.line(format_args!("{} {TAG} is what it was before", console.green("done:")));
        Ok(Outcome::done(fields(true)))
    }
}

fn plan(gh: &Gh, git: &Git, common: &Common, look: Look) -> anyhow::Result<Plan> {
    let Some(live) = look.live else {
        return Err(failure::missing(format!("no release {TAG} is published in {}, so there is nothing to roll back", gh.repo())));
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
            gh.repo()
        )));
    };
    prove(gh, &previous)?;
    let (Some(object), Some(commit)) = (replaced.tag_object.clone(), replaced.commit.clone()) else {
        return Err(failure::missing(format!(
            "the replaced release had no tag, so there is no commit for {TAG} to go back to; publish the older set anew"
        )));
    };
    let object = switch::bring(git, &common.remote, &TagRef { object, commit: commit.clone() })?;
    Ok(Plan { live, previous, replaced, tag: look.tag, target: TagRef { object, commit } })
}

/// The old set must be whole before it takes the place of a set that is.
fn prove(gh: &Gh, previous: &PreviousDraft) -> anyhow::Result<()> {
    let assets = gh.assets(previous.release.id)?;
    let manifest = look::read_manifest(gh, &assets)?;
    let tag = manifest.as_ref().map(|manifest| TagRef { object: manifest.commit.clone(), commit: manifest.commit.clone() });
    // It is published as a prerelease, whatever it was.
    let release = Release { prerelease: true, ..previous.release.clone() };
    let as_live = Live { release, assets, manifest };
    let audit = audit::published(gh, &as_live, tag.as_ref())?;
    if audit.differences.is_empty() {
        return Ok(());
    }
    Err(failure::digest(format!("the replaced release is not whole, so nothing was changed:\n  - {}", audit.differences.join("\n  - "))))
}

fn still_previous(gh: &Gh, previous: &PreviousDraft) -> anyhow::Result<()> {
    let now = gh.release(previous.release.id).map_err(anyhow::Error::from).context("reading the replaced release again")?;
    if now == previous.release {
        return Ok(());
    }
    Err(failure::failed("the replaced release changed since the plan was made; nothing was switched, look with `cargo xtask packer status`"))
}
