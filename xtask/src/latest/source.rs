//! The version tag that `latest` is to stand for: the same commit here, on the remote, and in the repository that
//! publishes.

use std::thread;

use crate::failure::{self, Problems};
use crate::gh::Gh;
use crate::git::{Git, TagRef};
use crate::process::joined;

use super::TAG;

/// Asks all three, side by side; what is wrong goes to `problems`.
pub fn find(gh: &Gh, git: &Git, remote: &str, tag: &str, problems: &mut Problems) -> Option<TagRef> {
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
        let found = published.map_or_else(|| "is missing".to_owned(), |commit| format!("is at {commit}"));
        problems.push(failure::missing(format!(
            "tag {tag} {found} in {}, here it is at {}; push it there: git push {remote} {tag}",
            gh.repo(),
            source.commit
        )));
        None
    })
}

fn here_and_on_remote(gh: &Gh, git: &Git, remote: &str, tag: &str) -> anyhow::Result<TagRef> {
    let here = git.local_tag(tag)?;
    let there = git.remote_tags(remote, &[tag])?.pop().flatten();
    let problem = match (here, there) {
        (Some(here), Some(there)) if here.commit == there.commit => return Ok(here),
        (Some(here), Some(there)) => format!(
            "tag {tag} is at {} here and at {} on {remote}; fetch it: git fetch --force {remote} tag {tag}",
            here.commit, there.commit
        ),
        (Some(_), None) => {
            format!("tag {tag} is missing on {remote} ({}); push it: git push {remote} {tag}", gh.repo())
        }
        (None, Some(_)) => format!("no tag {tag} here; fetch it: git fetch {remote} tag {tag}"),
        (None, None) => format!(
            "no tag {tag}, neither here nor on {remote}; make the release's tag first: git tag {tag} && git push {remote} {tag}"
        ),
    };
    Err(failure::missing(problem))
}
