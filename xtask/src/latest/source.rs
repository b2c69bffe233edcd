//! The version tag that `latest` is to stand for: the same commit here, on the remote, and in the repository that publishes.
//!
//! Where one of the three differs, [`Absent`] names the difference and the git command that resolves it. `publish` and `release` ask.

use std::thread;

use crate::claim;
use crate::failure::{self, Advice as _, Problems};
use crate::gh::Gh;
use crate::git::{Git, TagRef};
use crate::process::joined;
use crate::repo::Address;
use crate::suggest;
use crate::text::shell_word;
use crate::version;

/// A tag that is missing in one of the three places, or at another commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    pub what: String,
    fix: &'static str,
    /// `git push origin v0.45`
    pub line: String,
}

/// Asks all three; what is wrong goes to `problems`.
pub fn find(gh: &Gh, git: &Git, remote: &str, address: &Address, tag: &str, problems: &mut Problems) -> Option<TagRef> {
    let found = if claim::is_version(tag) && version::names_a_release(tag) {
        look(gh, git, remote, address, tag)
    } else {
        let what = format!("`{}` is not a version tag", tag.escape_debug());
        Err(match meant(git, remote, tag).ok().flatten() {
            Some(meant) => failure::missing(format!("{what}; did you mean {meant}?")),
            None => failure::usage(what).fix("name a version tag with --source, such as v0.46"),
        })
    };
    let absent = |Absent { what, fix, line }: Absent| failure::missing(what).fix(format_args!("{fix}: `{line}`"));
    problems.keep(found.and_then(|found| found.map_err(absent)))
}

/// The first place of the three where the tag is missing or at another commit.
pub fn absent(gh: &Gh, git: &Git, remote: &str, address: &Address, tag: &str) -> anyhow::Result<Option<Absent>> {
    Ok(look(gh, git, remote, address, tag)?.err())
}

/// Asks the three places side by side.
fn look(gh: &Gh, git: &Git, remote: &str, address: &Address, tag: &str) -> anyhow::Result<Result<TagRef, Absent>> {
    let (repo, address, origin, word) = (gh.repo(), shell_word(&address.shown()), shell_word(remote), shell_word(tag));
    let (here, there, published) = thread::scope(|scope| {
        let published = scope.spawn(|| gh.commit_of_tag(tag));
        let local = git.local_tag(tag).and_then(|here| Ok((here, git.remote_tag(remote, tag)?)));
        let published = joined(published);
        local.and_then(|(here, there)| Ok((here, there, published?)))
    })?;
    let (what, fix, line) = match (here, there, published) {
        (Some(here), Some(there), Some(published)) if there.commit == here.commit && published == here.commit => {
            return Ok(Ok(here));
        }
        (Some(here), Some(there), _) if here.commit != there.commit => (
            format!("tag {tag} is at {} here and at {} on {remote}", here.commit, there.commit),
            "take the tag of the remote, or push yours with --force if it is right and theirs was never used",
            format!("fetch --force {origin} tag {word}"),
        ),
        (Some(here), Some(_), Some(published)) => (
            format!("tag {tag} is at {published} in {repo}, and at {} here", here.commit),
            "give the release another version, or take the tag of that repository",
            format!("fetch --force {address} tag {word}"),
        ),
        (Some(here), Some(_), None) => (
            format!("tag {tag} is missing in {repo}, here it is at {}", here.commit),
            "push the tag",
            format!("push {address} {word}"),
        ),
        (Some(_), None, _) => {
            (format!("tag {tag} is missing on {remote} ({repo})"), "push the tag", format!("push {origin} {word}"))
        }
        (None, Some(_), _) => (format!("no tag {tag} here"), "fetch the tag", format!("fetch {origin} tag {word}")),
        (None, None, _) => {
            let what = format!("no tag {tag}, neither here nor on {remote}");
            if let Some(meant) = meant(git, remote, tag)? {
                return Err(failure::missing(format!("{what}; did you mean {meant}?")));
            }
            let push = suggest::git(format_args!("push {origin} {word}"));
            (what, "make the release's tag first", format!("tag {word} && {push}"))
        }
    };
    Ok(Err(Absent { what, fix, line: suggest::git(line) }))
}

/// A version tag that is the typed one in another spelling.
fn meant(git: &Git, remote: &str, tag: &str) -> anyhow::Result<Option<String>> {
    let mut known = git.all_remote_tags(remote)?;
    known.extend(git.local_tags()?);
    Ok(known.into_keys().find(|name| version::names_a_release(name) && bare(name) == bare(tag)))
}

/// What `v0.45`, `V0.45`, `0.45`, `refs/tags/v0.45` and `v0.45.0` share.
fn bare(tag: &str) -> String {
    let tag = tag.trim().to_lowercase();
    let tag = tag.strip_prefix("refs/tags/").or_else(|| tag.strip_prefix("tags/")).unwrap_or(&tag);
    let mut tag = tag.trim_start_matches("release-").trim_start_matches(['v', '-', '_', '.']);
    while let Some(short) = tag.strip_suffix(".0") {
        tag = short;
    }
    tag.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_known_however_they_are_written() {
        for typed in ["0.45", "V0.45", "v0.45.0", "refs/tags/v0.45", " v0.45", "v.0.45", "v-0.45"] {
            assert_eq!(bare(typed), bare("v0.45"), "{typed}");
        }
        for typed in ["v0.46", "0.4", "v0.450", "v1.0.45"] {
            assert_ne!(bare(typed), bare("v0.45"), "{typed}");
        }
    }
}
