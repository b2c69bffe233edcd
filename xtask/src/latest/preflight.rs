//! What the repository and the token must allow before anything is changed there.

use std::thread;

use crate::backoff;
use crate::failure::{self, Problems};
use crate::gh::{CallError, Gh, Immutability};
use crate::git::Publisher;
use crate::process::joined;

use super::{TAG, lock};

/// What was found in order.
#[derive(Debug, Default)]
pub struct Allowed {
    /// Things that can't be known with this token, said to the person.
    pub warnings: Vec<String>,
}

/// All that was found.
#[derive(Debug)]
pub struct Examined {
    /// `OWNER/NAME` as GitHub calls it now.
    pub full_name: String,
    pub problems: Problems,
    pub warnings: Vec<String>,
    /// Of a classic token; others have none.
    pub scopes: Option<Vec<String>>,
}

/// For whoever is about to change something: what GitHub says, and whether git may push.
///
/// # Errors
///
/// Exit code 3 with all that is missing, each with its cure.
pub fn repository(gh: &Gh, publisher: &Publisher) -> anyhow::Result<Allowed> {
    let (examined, pushed) = thread::scope(|scope| {
        let pushed = scope.spawn(|| may_push(gh, publisher));
        (examine(gh), joined(pushed))
    });
    let Examined { mut problems, warnings, .. } = examined?;
    problems.keep(pushed);
    problems.into_result()?;
    Ok(Allowed { warnings })
}

/// A push without an effect: it shows whether the login that git has may write at all.
///
/// # Errors
///
/// Exit code 3.
pub fn may_push(gh: &Gh, publisher: &Publisher) -> anyhow::Result<()> {
    let mut failures = 0;
    loop {
        match publisher.may_push(lock::REF) {
            Err(error) if error.passes() && failures + 1 < gh.tries().attempts => {
                failures += 1;
                backoff::pause(backoff::delay(failures))?;
            }
            Err(error) if error.passes() => {
                return Err(failure::missing(format!(
                    "whether a push is let in could not be asked, so nothing was sent: {error}; check the network, then run again"
                )));
            }
            result => return Ok(result?),
        }
    }
}

/// # Errors
///
/// Exit code 3: the repository has another name by now, under which alone it takes changes.
pub fn has_its_name(gh: &Gh, full_name: &str) -> anyhow::Result<()> {
    match gh.repo().renamed(full_name) {
        Some(now) if !now.is(gh.repo()) => {
            Err(failure::missing(format!("the repository {} was renamed to {now}; use --repo {now}", gh.repo())))
        }
        _ => Ok(()),
    }
}

/// Asks for the repository itself, not for `/user`: that works for every kind of token.
///
/// # Errors
///
/// When it can't be asked for at all.
pub fn examine(gh: &Gh) -> anyhow::Result<Examined> {
    let repo = gh.repo();
    let facts = gh.repository().map_err(|error| match error.status() {
        Some(404) => failure::missing(format!(
            "no repository {repo}, or the token may not see it; check --repo, and `gh auth status --hostname {}`",
            repo.host
        )),
        _ => error.into(),
    })?;
    let mut problems = Problems::default();
    problems.keep(has_its_name(gh, &facts.full_name));
    if facts.archived {
        problems.push(failure::missing(format!(
            "repository {repo} is archived, so nothing can be published; unarchive it in its settings"
        )));
    }
    let mut warnings = Vec::new();
    let may_push = facts.may_push();
    if !may_push && gh.is_of_installation()? {
        warnings.push(format!(
            "whether an app's token, as a workflow has it, may push to {repo} is not told; it needs Contents: write"
        ));
    } else if !may_push {
        problems.push(failure::missing(format!(
            "the token may not push to {repo}; it needs the `repo` scope (`gh auth refresh --scopes repo`), or Contents: read and write, and you write access"
        )));
    }
    if problems.is_empty() {
        match immutability(gh)? {
            Immutability::Off => {}
            Immutability::On => problems.push(failure::missing(format!(
                "{repo} has immutable releases: a release that can't change can't be a rolling `latest`; an administrator can turn them off under Settings, Releases"
            ))),
            Immutability::Unknown => warnings.push(format!(
                "whether {repo} has immutable releases is shown to administrators only; its published releases are not immutable"
            )),
        }
        rules(gh, &mut problems, &mut warnings)?;
    }
    Ok(Examined { full_name: facts.full_name, problems, warnings, scopes: facts.scopes })
}

/// Rules on the tag itself, which must be made once and moved at every publish.
fn rules(gh: &Gh, problems: &mut Problems, warnings: &mut Vec<String>) -> Result<(), CallError> {
    for ruleset in gh.tag_rulesets(TAG)? {
        let name = &ruleset.name;
        if ruleset.forbids("update") || (ruleset.forbids("creation") && gh.commit_of_tag(TAG)?.is_none()) {
            problems.push(failure::missing(format!(
                "the ruleset `{name}` of {} protects the tag {TAG}, which must move; an administrator can exclude refs/tags/{TAG} from it, or put you on its bypass list, under Settings, Rules",
                gh.repo()
            )));
        } else if ruleset.forbids("non_fast_forward") {
            warnings.push(format!(
                "the ruleset `{name}` blocks force pushes to the tag {TAG}: it can move forward, but no rollback can move it back"
            ));
        }
    }
    Ok(())
}

/// The setting, or for those who may not see it what published releases show.
fn immutability(gh: &Gh) -> Result<Immutability, CallError> {
    match gh.immutability()? {
        Immutability::Unknown if gh.releases()?.iter().any(|release| !release.draft && release.immutable) => {
            Ok(Immutability::On)
        }
        known => Ok(known),
    }
}
