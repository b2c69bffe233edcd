//! The version tag that `latest` is to stand for: the same commit here, on the remote, and in the repository that
//! publishes.

use std::thread;

use crate::failure::{self, Problems};
use crate::gh::Gh;
use crate::git::{Git, TagRef};
use crate::packer::Address;
use crate::process::joined;
use crate::version;

use super::TAG;

/// Asks all three, side by side; what is wrong goes to `problems`.
pub fn find(gh: &Gh, git: &Git, remote: &str, address: &Address, tag: &str, problems: &mut Problems) -> Option<TagRef> {
    let address = address.shown();
    if tag.is_empty() || tag.starts_with('-') || tag == TAG {
        problems.push(failure::usage(format!("`{}` is no version tag for --source", tag.escape_debug())));
        return None;
    }
    thread::scope(|scope| {
        let published = scope.spawn(|| gh.commit_of_tag(tag));
        let source = problems.keep(here_and_on_remote(gh, git, remote, tag));
        let published = problems.keep(joined(published).map_err(Into::into));
        let (source, published) = (source?, published?);
        if published.as_ref() == Some(&source.commit) {
            return Some(source);
        }
        let (repo, address, here) = (gh.repo(), &address, &source.commit);
        problems.push(failure::missing(match published {
            None => format!("tag {tag} is missing in {repo}, here it is at {here}; push it there: git push {address} {tag}"),
            Some(there) => format!(
                "tag {tag} is at {there} in {repo}, and at {here} here and on {remote}; one of them is wrong: take theirs with \
                 `git fetch --force {address} tag {tag}`, or give the release another version"
            ),
        }));
        None
    })
}

fn here_and_on_remote(gh: &Gh, git: &Git, remote: &str, tag: &str) -> anyhow::Result<TagRef> {
    let here = git.local_tag(tag)?;
    let there = git.remote_tags(remote, &[tag])?.pop().flatten();
    let problem = match (here, there) {
        (Some(here), Some(there)) if here.commit == there.commit => return Ok(here),
        (Some(here), Some(there)) => format!(
            "tag {tag} is at {} here and at {} on {remote}; take theirs with `git fetch --force {remote} tag {tag}`, or, if \
             yours is the right one and nobody has used theirs, replace it with `git push --force {remote} refs/tags/{tag}`",
            here.commit, there.commit
        ),
        (Some(_), None) => {
            format!("tag {tag} is missing on {remote} ({}); push it: git push {remote} {tag}", gh.repo())
        }
        (None, Some(_)) => format!("no tag {tag} here; fetch it: git fetch {remote} tag {tag}"),
        (None, None) => match meant(git, remote, tag)? {
            Some(meant) => format!("no tag {tag}, neither here nor on {remote}; did you mean {meant}?"),
            None => format!(
                "no tag {tag}, neither here nor on {remote}; make the release's tag first: git tag {tag} && git push {remote} {tag}"
            ),
        },
    };
    Err(failure::missing(problem))
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
