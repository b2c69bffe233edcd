//! What the repository and the token must allow, asked before anything is changed there.
//!
//! All problems are reported at once, each with its fix. `publish` and `rollback` stop at them; `doctor` lists them.

use std::thread;

use crate::backoff;
use crate::failure::{self, Advice as _, Problems};
use crate::gh::{CallError, Gh, Immutability, Repository};
use crate::git::Publisher;
use crate::process::joined;
use crate::refusal::Reason;
use crate::suggest;
use crate::text::shell_word;

use super::{TAG, lock, memory};

/// What GitHub says of the repository and the token.
#[derive(Debug)]
pub struct Examined {
    pub problems: Problems,
    pub warnings: Vec<String>,
    /// Of a classic token; others have none.
    pub scopes: Option<Vec<String>>,
}

/// Asks before a change what GitHub allows, and whether git may push; warnings are shown.
///
/// # Errors
///
/// Exit code 3 with all that is missing.
pub fn repository(gh: &Gh, publisher: &Publisher) -> anyhow::Result<()> {
    let (examined, pushed) = thread::scope(|scope| {
        let pushed = scope.spawn(|| may_push(gh, publisher));
        (examine(gh), joined(pushed))
    });
    let Examined { mut problems, warnings, .. } = examined?;
    problems.keep(pushed);
    problems.keep(memory::check_tag(publisher, gh.repo()));
    problems.into_result()?;
    warnings.iter().for_each(|warning| gh.console().note(warning));
    Ok(())
}

/// A push without an effect: it shows whether the login that git has may write at all.
///
/// # Errors
///
/// Exit code 3.
pub fn may_push(gh: &Gh, publisher: &Publisher) -> anyhow::Result<()> {
    let mut failures = 0;
    loop {
        match in_the_way(publisher).and_then(|()| publisher.may_push(lock::REF)) {
            Err(error) if error.passes() && failures + 1 < gh.tries().attempts => {
                failures += 1;
                backoff::pause(backoff::delay(failures))?;
            }
            Err(error) if error.passes() => {
                return Err(failure::missing("asking git whether a push is allowed failed, so nothing was sent")
                    .fix("check the network, then run the command again")
                    .quote("git", error));
            }
            result => return Ok(result?),
        }
    }
}

/// A ref such as `refs/tags/latest/x` keeps `latest` from being made; a push without an effect doesn't show that.
fn in_the_way(publisher: &Publisher) -> Result<(), CallError> {
    let tag = format!("refs/tags/{TAG}");
    let found = publisher.in_the_way(&[&tag, lock::REF])?;
    if found.is_empty() {
        return Ok(());
    }
    let away: Vec<String> = found.iter().map(|name| shell_word(&format!(":{name}"))).collect();
    let line = suggest::git(format_args!("push {} {}", shell_word(publisher.url()), away.join(" ")));
    let found = found.join(", ");
    let error = failure::missing(format!("{found} conflicts with the tag {TAG} or with the lock"));
    Err(CallError::Local(
        error.fix(format_args!("if it is needed, push it under another name first; then delete it: `{line}`")),
    ))
}

/// # Errors
///
/// Exit code 3: the repository has another name by now, under which alone it takes changes.
pub fn has_its_name(gh: &Gh, full_name: &str) -> anyhow::Result<()> {
    match gh.repo().renamed(full_name) {
        Some(now) if !now.is(gh.repo()) => {
            Err(failure::missing(format!("the repository {} was renamed to {now}", gh.repo()))
                .fix(format_args!("use --repo {now}")))
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
    let facts = gh.repository().map_err(|error| match error.reason() {
        Reason::NotFound => failure::missing(format!("no repository {repo}, or the token may not see it"))
            .fix(format_args!("check --repo, and `gh auth status --hostname {}`", repo.host)),
        _ => error.into(),
    })?;
    let mut problems = Problems::default();
    problems.keep(has_its_name(gh, &facts.full_name));
    if facts.archived {
        problems.push(
            failure::missing(format!("repository {repo} is archived, so nothing can be published"))
                .fix("unarchive it in its settings"),
        );
    }
    let mut warnings = Vec::new();
    let may_push = facts.may_push();
    if !may_push && gh.is_of_installation()? {
        warnings.push(format!(
            "GitHub does not say whether the token of an app or a workflow may push to {repo}; it needs Contents: write"
        ));
    } else if !may_push {
        problems.push(may_not_push(&facts, gh));
    }
    if problems.is_empty() {
        problems.keep(can_change(gh));
        rules(gh, &mut problems, &mut warnings)?;
    }
    Ok(Examined { problems, warnings, scopes: facts.scopes })
}

/// Rules on the tag itself, which must be made once and moved at every publish.
fn rules(gh: &Gh, problems: &mut Problems, warnings: &mut Vec<String>) -> Result<(), CallError> {
    for ruleset in gh.tag_rulesets(TAG)? {
        let name = &ruleset.name;
        if ruleset.forbids("update") || (ruleset.forbids("creation") && gh.commit_of_tag(TAG)?.is_none()) {
            problems.push(
                failure::missing(format!("the ruleset `{name}` of {} protects the tag {TAG}, which must move", gh.repo()))
                    .fix(format_args!(
                        "ask an administrator to exclude refs/tags/{TAG} under Settings, Rules, or to put you on the bypass list"
                    )),
            );
        } else if ruleset.forbids("non_fast_forward") {
            warnings.push(format!(
                "the ruleset `{name}` blocks force pushes to the tag {TAG}: it can move forward, but no rollback can move it back"
            ));
        }
    }
    Ok(())
}

/// What the login lacks, as far as GitHub shows it.
fn may_not_push(facts: &Repository, gh: &Gh) -> anyhow::Error {
    let ask = "ask an administrator of the repository for write access";
    let (why, fix) = match facts.scopes.as_deref() {
        Some(scopes) if !scopes.iter().any(|scope| matches!(scope.as_str(), "repo" | "public_repo")) => {
            ("it lacks the `repo` scope", "run `gh auth refresh --scopes repo`")
        }
        Some(_) => ("its `repo` scope is enough, but you have no write access", ask),
        None => ("the token needs Contents: read and write, and you need write access", ask),
    };
    failure::missing(format!("the token may not push to {}: {why}", gh.repo())).fix(fix)
}

/// Whether GitHub allows changes of the releases: by the setting, and by what releases became while the setting was another.
fn can_change(gh: &Gh) -> anyhow::Result<()> {
    let repo = gh.repo();
    let setting = gh.immutability()?;
    let mut published = gh.releases()?;
    published.retain(|release| !release.draft);
    if let Some(live) = published.iter().find(|release| release.immutable && release.tag_name == TAG) {
        return Err(failure::missing(format!(
            "the release {TAG} of {repo} ({}) has been immutable since it was published, regardless of today's setting: GitHub allows no \
             change of it or its tag, and never gives its name to another release",
            live.html_url
        ))
        .fix("publish in another repository, named with --repo"));
    }
    // A token that may not see the setting sees whether the newest release is immutable.
    let newest = published.iter().max_by(|a, b| a.published_at.cmp(&b.published_at));
    let unknown = setting == Immutability::Unknown;
    if setting == Immutability::On || (unknown && newest.is_some_and(|newest| newest.immutable)) {
        return Err(failure::missing(format!("{repo} has immutable releases, and a rolling `{TAG}` must change"))
            .fix("ask an administrator to turn immutable releases off under Settings, Releases"));
    }
    if unknown {
        gh.console().detail(format_args!(
            "only administrators see whether {repo} has immutable releases; the newest release is not immutable"
        ));
    }
    Ok(())
}
