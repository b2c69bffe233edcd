//! What the repository and the token must allow before anything is changed there.

use crate::failure::{self, Problems};
use crate::gh::{CallError, Gh, Immutability};

use super::TAG;

/// What was found in order.
#[derive(Debug, Default)]
pub struct Allowed {
    /// Things that can't be known with this token, said to the person.
    pub warnings: Vec<String>,
}

/// All that was found.
#[derive(Debug)]
pub struct Examined {
    pub problems: Problems,
    pub warnings: Vec<String>,
    /// Of a classic token; others have none.
    pub scopes: Option<Vec<String>>,
}

/// # Errors
///
/// Exit code 3 with all that is missing, each with its cure.
pub fn repository(gh: &Gh) -> anyhow::Result<Allowed> {
    let Examined { problems, warnings, .. } = examine(gh)?;
    problems.into_result()?;
    Ok(Allowed { warnings })
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
    Ok(Examined { problems, warnings, scopes: facts.scopes })
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
