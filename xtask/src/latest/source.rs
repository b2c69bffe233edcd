//! The version tag that `latest` is to stand for: the same commit here, on the remote, and in the repository that
//! publishes.

use std::thread;

use crate::failure::{self, Problems};
use crate::gh::Gh;
use crate::git::{Git, TagRef};
use crate::packer::Address;
use crate::process::joined;
use crate::text::shell_word;
use crate::version;

use super::TAG;

/// A tag that isn't where it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// With the cure.
    pub said: String,
    /// The line that mends it: `git push origin v0.45`. `None` where a person must choose.
    pub line: Option<String>,
}

/// Asks all three, side by side; what is wrong goes to `problems`.
pub fn find(gh: &Gh, git: &Git, remote: &str, address: &Address, tag: &str, problems: &mut Problems) -> Option<TagRef> {
    if tag.is_empty() || tag.starts_with('-') || tag == TAG {
        problems.push(failure::usage(format!("`{}` is no version tag for --source", tag.escape_debug())));
        return None;
    }
    let missing = |absent: Absent| failure::missing(absent.said);
    thread::scope(|scope| {
        let published = scope.spawn(|| gh.commit_of_tag(tag));
        let source = problems.keep(here_and_on_remote(gh, git, remote, tag).and_then(|found| found.map_err(missing)));
        let published = problems.keep(joined(published).map_err(Into::into));
        let (source, published) = (source?, published?);
        match unpublished(gh, remote, address, tag, &source, published) {
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
        Ok(source) => Ok(unpublished(gh, remote, address, tag, &source, gh.commit_of_tag(tag)?)),
    }
}

fn unpublished(
    gh: &Gh,
    remote: &str,
    address: &Address,
    tag: &str,
    source: &TagRef,
    published: Option<String>,
) -> Option<Absent> {
    let (repo, here) = (gh.repo(), &source.commit);
    let (address, word) = (shell_word(&address.shown()), shell_word(tag));
    match published {
        Some(there) if there == *here => None,
        None => {
            let line = format!("git push {address} {word}");
            let said = format!("tag {tag} is missing in {repo}, here it is at {here}; push it there: {line}");
            Some(Absent { said, line: Some(line) })
        }
        Some(there) => Some(Absent {
            said: format!(
                "tag {tag} is at {there} in {repo}, and at {here} here and on {remote}; one of them is wrong: take theirs with \
                 `git fetch --force {address} tag {word}`, or give the release another version"
            ),
            line: None,
        }),
    }
}

fn here_and_on_remote(gh: &Gh, git: &Git, remote: &str, tag: &str) -> anyhow::Result<Result<TagRef, Absent>> {
    let here = git.local_tag(tag)?;
    let there = git.remote_tags(remote, &[tag])?.pop().flatten();
    let (from, word) = (shell_word(remote), shell_word(tag));
    let (what, line) = match (here, there) {
        (Some(here), Some(there)) if here.commit == there.commit => return Ok(Ok(here)),
        (Some(here), Some(there)) => (
            format!(
                "tag {tag} is at {} here and at {} on {remote}; take theirs with `git fetch --force {from} tag {word}`, or, if \
                 yours is the right one and nobody has used theirs, replace it with `git push --force {from} refs/tags/{word}`",
                here.commit, there.commit
            ),
            None,
        ),
        (Some(_), None) => (
            format!("tag {tag} is missing on {remote} ({}); push it", gh.repo()),
            Some(format!("git push {from} {word}")),
        ),
        (None, Some(_)) => (format!("no tag {tag} here; fetch it"), Some(format!("git fetch {from} tag {word}"))),
        (None, None) => match meant(git, remote, tag)? {
            Some(meant) => (format!("no tag {tag}, neither here nor on {remote}; did you mean {meant}?"), None),
            None => (
                format!("no tag {tag}, neither here nor on {remote}; make the release's tag first"),
                Some(format!("git tag {word} && git push {from} {word}")),
            ),
        },
    };
    let said = line.as_ref().map_or_else(|| what.clone(), |line| format!("{what}: {line}"));
    Ok(Err(Absent { said, line }))
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
