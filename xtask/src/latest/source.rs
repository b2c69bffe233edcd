//! The version tag that `latest` is to stand for: the same commit here, on the remote, and in the repository that
//! publishes.

use std::thread;

use crate::failure::{self, Problems};
use crate::gh::Gh;
use crate::git::{Git, TagRef};
use crate::process::joined;
use crate::text::shell_word;

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
        write!(f, "{}: {}", self.what, self.line)
    }
}

/// Asks all three, side by side; what is wrong goes to `problems`.
pub fn find(gh: &Gh, git: &Git, remote: &str, tag: &str, problems: &mut Problems) -> Option<TagRef> {
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
        match unpublished(gh, remote, tag, &source, published) {
            None => Some(source),
            Some(absent) => {
                problems.push(missing(absent));
                None
            }
        }
    })
}

/// The first place of the three where the tag isn't as it must be.
pub fn absent(gh: &Gh, git: &Git, remote: &str, tag: &str) -> anyhow::Result<Option<Absent>> {
    match here_and_on_remote(gh, git, remote, tag)? {
        Err(absent) => Ok(Some(absent)),
        Ok(source) => Ok(unpublished(gh, remote, tag, &source, gh.commit_of_tag(tag)?)),
    }
}

fn unpublished(gh: &Gh, remote: &str, tag: &str, source: &TagRef, published: Option<String>) -> Option<Absent> {
    if published.as_ref() == Some(&source.commit) {
        return None;
    }
    let found = published.map_or_else(|| "is missing".to_owned(), |commit| format!("is at {commit}"));
    Some(Absent {
        what: format!("tag {tag} {found} in {}, here it is at {}; push it there", gh.repo(), source.commit),
        line: format!("git push {} {}", shell_word(remote), shell_word(tag)),
    })
}

fn here_and_on_remote(gh: &Gh, git: &Git, remote: &str, tag: &str) -> anyhow::Result<Result<TagRef, Absent>> {
    let here = git.local_tag(tag)?;
    let there = git.remote_tags(remote, &[tag])?.pop().flatten();
    let (origin, word) = (shell_word(remote), shell_word(tag));
    let (what, line) = match (here, there) {
        (Some(here), Some(there)) if here.commit == there.commit => return Ok(Ok(here)),
        (Some(here), Some(there)) => (
            format!("tag {tag} is at {} here and at {} on {remote}; fetch it", here.commit, there.commit),
            format!("git fetch --force {origin} tag {word}"),
        ),
        (Some(_), None) => {
            (format!("tag {tag} is missing on {remote} ({}); push it", gh.repo()), format!("git push {origin} {word}"))
        }
        (None, Some(_)) => (format!("no tag {tag} here; fetch it"), format!("git fetch {origin} tag {word}")),
        (None, None) => (
            format!("no tag {tag}, neither here nor on {remote}; make the release's tag first"),
            format!("git tag {word} && git push {origin} {word}"),
        ),
    };
    Ok(Err(Absent { what, line }))
}
