//! The version tag that `latest` is to stand for: the same commit here, on the remote, and in the repository that
//! publishes.

use std::thread;

use crate::failure::{self, Problems};
use crate::gh::Gh;
use crate::git::{Git, TagRef};
use crate::packer::Address;
use crate::process::joined;
use crate::text::shell_word;
use crate::typed;
use crate::version;

use super::TAG;

/// A tag that isn't where it must be, and the line that brings it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    what: String,
    /// `git push origin v0.45`
    pub line: String,
}

impl std::fmt::Display for Absent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: `{}`", self.what, self.line)
    }
}

/// Asks all three, side by side; what is wrong goes to `problems`.
pub fn find(gh: &Gh, git: &Git, remote: &str, address: &Address, tag: &str, problems: &mut Problems) -> Option<TagRef> {
    let address = address.shown();
    if tag.is_empty() || tag.starts_with('-') || tag == TAG {
        problems.push(failure::usage(format!("`{}` is no version tag for --source", tag.escape_debug())));
        return None;
    }
    let missing = |absent: Absent| failure::missing(absent.to_string());
    thread::scope(|scope| {
        let published = scope.spawn(|| gh.commit_of_tag(tag));
        let source = problems.keep(here_and_on_remote(gh, git, remote, tag).and_then(|found| found.map_err(missing)));
        let published = problems.keep(joined(published).map_err(Into::into));
        let (source, published) = (source?, published?);
        match unpublished(gh, &address, tag, &source, published) {
            None => Some(source),
            Some(absent) => {
                problems.push(missing(absent));
                None
            }
        }
    })
}

/// The first place of the three where the tag isn't as it must be.
pub fn absent(gh: &Gh, git: &Git, remote: &str, address: &Address, tag: &str) -> anyhow::Result<Option<Absent>> {
    match here_and_on_remote(gh, git, remote, tag)? {
        Err(absent) => Ok(Some(absent)),
        Ok(source) => Ok(unpublished(gh, &address.shown(), tag, &source, gh.commit_of_tag(tag)?)),
    }
}

fn unpublished(gh: &Gh, address: &str, tag: &str, source: &TagRef, published: Option<String>) -> Option<Absent> {
    if published.as_ref() == Some(&source.commit) {
        return None;
    }
    let (repo, here, to, word) = (gh.repo(), &source.commit, shell_word(address), shell_word(tag));
    Some(match published {
        None => Absent {
            what: format!("tag {tag} is missing in {repo}, here it is at {here}; push it there"),
            line: typed::git(format_args!("push {to} {word}")),
        },
        Some(there) => Absent {
            what: format!(
                "tag {tag} is at {there} in {repo}, and at {here} here; one of them is wrong: give the release another version, \
                 or take theirs"
            ),
            line: typed::git(format_args!("fetch --force {to} tag {word}")),
        },
    })
}

fn here_and_on_remote(gh: &Gh, git: &Git, remote: &str, tag: &str) -> anyhow::Result<Result<TagRef, Absent>> {
    let here = git.local_tag(tag)?;
    let there = git.remote_tags(remote, &[tag])?.pop().flatten();
    let (origin, word) = (shell_word(remote), shell_word(tag));
    let (what, line) = match (here, there) {
        (Some(here), Some(there)) if here.commit == there.commit => return Ok(Ok(here)),
        (Some(here), Some(there)) => (
            format!(
                "tag {tag} is at {} here and at {} on {remote}; if yours is the right one and nobody has used theirs, replace \
                 it with `{}`, else take theirs",
                here.commit,
                there.commit,
                typed::git(format_args!("push --force {origin} refs/tags/{word}"))
            ),
            typed::git(format_args!("fetch --force {origin} tag {word}")),
        ),
        (Some(_), None) => (
            format!("tag {tag} is missing on {remote} ({}); push it", gh.repo()),
            typed::git(format_args!("push {origin} {word}")),
        ),
        (None, Some(_)) => {
            (format!("no tag {tag} here; fetch it"), typed::git(format_args!("fetch {origin} tag {word}")))
        }
        (None, None) => match meant(git, remote, tag)? {
            Some(meant) => {
                let what = format!("no tag {tag}, neither here nor on {remote}; did you mean {meant}?");
                return Err(failure::missing(what));
            }
            None => (
                format!("no tag {tag}, neither here nor on {remote}; make the release's tag first"),
                typed::git(format_args!("tag {word} && {}", typed::git(format_args!("push {origin} {word}")))),
            ),
        },
    };
    Ok(Err(Absent { what, line }))
}

/// A version tag that is there and differs from what was typed in nothing but how versions are written.
fn meant(git: &Git, remote: &str, tag: &str) -> anyhow::Result<Option<String>> {
    let mut known = git.all_remote_tags(remote)?;
    known.extend(git.local_tags()?);
    Ok(known.into_keys().find(|name| version::is_one(name) && bare(name) == bare(tag)))
}

/// `v0.45`, `V0.45`, `0.45`, `refs/tags/v0.45` and `v0.45.0` without what they don't share.
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
