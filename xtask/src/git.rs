//! The one place that says `git`: refs and remotes here, history in [`objects`].
//!
//! Machine-readable forms throughout (`-z`, `--porcelain`), and object ids instead of names wherever git would otherwise
//! search several namespaces.

use std::path::{Path, PathBuf};

use xshell::cmd;

mod objects;
mod publisher;
mod words;

use crate::failure;
use crate::process;

pub use objects::{Checkout, LastChange, Objects, TreeEntry};
pub use publisher::{Publisher, Update, Waits};
pub use words::cure;

/// The repository that a directory is in.
#[derive(Clone)]
pub struct Git {
    dir: PathBuf,
}

/// What a tag ref on a remote or here points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRef {
    /// The ref's own object: for an annotated tag the tag object.
    pub object: String,
    /// What it peels to.
    pub commit: String,
}

/// What a push with a lease did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    Moved,
    /// The remote had that value already; git checks no lease then.
    Already,
    /// The lease didn't hold: somebody else moved the ref.
    Stale,
    /// The other side takes no such push: what it said.
    Refused(String),
}

impl Git {
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The git directory, which all work trees of a clone share.
    ///
    /// # Errors
    ///
    /// Exit code 3 outside of any repository, or in one that git doesn't trust: with git's own reason and cure.
    pub fn common_dir(&self) -> anyhow::Result<PathBuf> {
        let (sh, dir) = (process::shell()?, &self.dir);
        let finished = process::output(cmd!(sh, "git -C {dir} rev-parse --path-format=absolute --git-common-dir"))?;
        if !finished.status.success() {
            return Err(failure::missing(format!(
                "{} is in no git clone that can be used; name the packer directory with --packer-dir, or mend this: {}",
                dir.display(),
                finished.stderr.trim()
            )));
        }
        Ok(PathBuf::from(finished.text()))
    }

    /// The work tree's top folder; `None` outside of any repository.
    ///
    /// # Errors
    ///
    /// Exit code 3 in a repository that git doesn't trust or can't read: with git's own reason and cure.
    pub fn top(&self) -> anyhow::Result<Option<PathBuf>> {
        let (sh, dir) = (process::shell()?, &self.dir);
        let finished = process::output(cmd!(sh, "git -C {dir} rev-parse --show-toplevel"))?;
        if !finished.status.success() {
            let outside = ["not a git repository", "must be run in a work tree"];
            let is_outside = outside.iter().any(|words| finished.stderr.contains(words));
            return if is_outside { Ok(None) } else { Err(self.refused(&finished)) };
        }
        Ok(Some(PathBuf::from(finished.text())))
    }

    fn refused(&self, finished: &process::Finished) -> anyhow::Error {
        failure::missing(format!(
            "git refuses the clone {}; mend what it names: {}",
            self.dir.display(),
            finished.stderr.trim()
        ))
    }

    /// A setting, where there is one; of a path `~` is written out.
    pub fn setting(&self, name: &str, is_path: bool) -> anyhow::Result<Option<String>> {
        let (sh, dir) = (process::shell()?, &self.dir);
        let kind = if is_path { "--type=path" } else { "--no-type" };
        let finished = process::output(cmd!(sh, "git -C {dir} config {kind} --get {name}"))?;
        Ok(Some(finished.text()).filter(|text| finished.status.success() && !text.is_empty()))
    }

    /// HEAD in few digits, with `-dirty` when a file that git knows isn't as committed. Empty where there is no commit.
    pub fn head_in_words(&self) -> anyhow::Result<String> {
        let (sh, dir) = (process::shell()?, &self.dir);
        let finished = process::output(cmd!(sh, "git -C {dir} describe --always --dirty --abbrev=9 --exclude *"))?;
        Ok(finished.text())
    }

    /// Whether a repository above ignores the directory, so that it knows none of its files.
    pub fn is_ignored(&self) -> anyhow::Result<bool> {
        let (sh, dir) = (process::shell()?, &self.dir);
        Ok(process::output(cmd!(sh, "git -C {dir} check-ignore --quiet -- ."))?.status.success())
    }

    /// How many commits `to` has that `from` has not; `None` unless `to` comes from `from`, and both are here.
    pub fn distance(&self, from: &str, to: &str) -> anyhow::Result<Option<u64>> {
        let (sh, dir) = (process::shell()?, &self.dir);
        let finished = process::output(cmd!(sh, "git -C {dir} merge-base --is-ancestor {from} {to}"))?;
        if !finished.status.success() {
            return Ok(None);
        }
        let range = format!("{from}..{to}");
        Ok(process::read(cmd!(sh, "git -C {dir} rev-list --count {range} --"))?.parse().ok())
    }

    /// Which of these files, named from the directory, a checkout of the commit gives other bytes than the commit has, by the
    /// attributes that are in it; each with the attribute.
    pub fn changed_by_checkout(&self, commit: &str, paths: &[&str]) -> anyhow::Result<Vec<(String, String)>> {
        const ATTRIBUTES: [&str; 4] = ["eol", "filter", "ident", "working-tree-encoding"];
        let (sh, dir) = (process::shell()?, &self.dir);
        // `check-attr --source` needs a newer git; an index of our own does it with any.
        let index = std::env::temp_dir().join(format!("packer-index-{}", std::process::id()));
        let with_index = format!("GIT_INDEX_FILE={}", index.display());
        let read = process::read(cmd!(sh, "env {with_index} git -C {dir} read-tree {commit}"));
        let mut found = Vec::new();
        let mut asked = read.map(drop);
        for some in paths.chunks(200) {
            let question =
                cmd!(sh, "env {with_index} git -C {dir} check-attr --cached -z {ATTRIBUTES...} -- {some...}");
            asked = asked.and_then(|()| {
                let finished = process::output(question)?.success()?;
                let mut fields = finished.stdout.split(|byte| *byte == 0).map(path_text);
                while let (Some(path), Some(attribute), Some(value)) = (fields.next(), fields.next(), fields.next()) {
                    let changes = match (attribute.as_str(), value.as_str()) {
                        (_, "unspecified" | "unset") => false,
                        ("eol", value) => value == "crlf",
                        _ => true,
                    };
                    if changes {
                        found.push((path, format!("{attribute}={value}")));
                    }
                }
                Ok(())
            });
        }
        let _ = std::fs::remove_file(index);
        asked.map(|()| found)
    }

    /// The URL that a remote is fetched from; `None` when there is no such remote.
    pub fn remote_url(&self, remote: &str) -> anyhow::Result<Option<String>> {
        let (sh, dir) = (process::shell()?, &self.dir);
        let finished = process::output(cmd!(sh, "git -C {dir} remote get-url -- {remote}"))?;
        if !finished.status.success() && !finished.stderr.contains("No such remote") {
            return Err(self.refused(&finished));
        }
        Ok(finished.status.success().then(|| finished.text()).filter(|url| !url.is_empty()))
    }

    /// A tag in this clone.
    pub fn local_tag(&self, tag: &str) -> anyhow::Result<Option<TagRef>> {
        let full = format!("refs/tags/{tag}");
        let Some(object) = self.resolve(&full)? else { return Ok(None) };
        let commit = self.resolve(&format!("{full}^{{commit}}"))?.ok_or_else(|| {
            failure::failed(format!("tag {tag} does not point to a commit; make it anew on a commit"))
        })?;
        Ok(Some(TagRef { object, commit }))
    }

    /// The id that a revision names; `None` when there is no such object here.
    pub fn resolve(&self, revision: &str) -> anyhow::Result<Option<String>> {
        let (sh, dir) = (process::shell()?, &self.dir);
        let finished =
            process::output(cmd!(sh, "git -C {dir} rev-parse --verify --quiet --end-of-options {revision}"))?;
        Ok(finished.status.success().then(|| finished.text()))
    }

    /// Tags on a remote, all from one question.
    ///
    /// # Errors
    ///
    /// Exit code 3 when the remote can't be asked.
    pub fn remote_tags(&self, remote: &str, tags: &[&str]) -> anyhow::Result<Vec<Option<TagRef>>> {
        let (sh, dir) = (process::shell()?, &self.dir);
        let patterns = tags.iter().flat_map(|tag| [format!("refs/tags/{tag}"), format!("refs/tags/{tag}^{{}}")]);
        let finished = process::output(cmd!(sh, "git -C {dir} ls-remote --end-of-options {remote} {patterns...}"))?;
        if !finished.status.success() {
            return Err(failure::missing(format!(
                "can't read the tags of remote `{remote}`; is it reachable, and is --remote right? ({})",
                finished.stderr.trim()
            )));
        }
        let listing = finished.text();
        Ok(tags.iter().map(|tag| tag_in(&listing, tag)).collect())
    }

    /// Makes the local tag follow.
    pub fn set_local_tag(&self, tag: &str, object: &str) -> anyhow::Result<()> {
        let (sh, dir) = (process::shell()?, &self.dir);
        let full = format!("refs/tags/{tag}");
        process::read(cmd!(sh, "git -C {dir} update-ref {full} {object}")).map(drop)
    }

    /// Brings objects here without writing any ref but `FETCH_HEAD`.
    pub fn fetch(&self, remote: &str, refspecs: &[String]) -> anyhow::Result<()> {
        let (sh, dir) = (process::shell()?, &self.dir);
        process::read(cmd!(sh, "git -C {dir} fetch --quiet --no-tags --end-of-options {remote} {refspecs...}"))
            .map(drop)
    }
}

/// Finds a tag in what `git ls-remote` printed. The peeled line, with `^{}`, is there for annotated tags only.
fn tag_in(listing: &str, tag: &str) -> Option<TagRef> {
    let id = |wanted: &str| {
        listing
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .find(|(_, name)| *name == wanted)
            .map(|(id, _)| id.to_owned())
    };
    let object = id(&format!("refs/tags/{tag}"))?;
    let commit = id(&format!("refs/tags/{tag}^{{}}")).unwrap_or_else(|| object.clone());
    Some(TagRef { object, commit })
}

/// A path as text. One that isn't UTF-8 keeps its odd bytes as escapes, so that two paths never become the same text.
pub fn path_text(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_paths_stay_apart() {
        assert_eq!(path_text("p/ä".as_bytes()), "p/ä");
        assert_eq!(path_text(b"p/\xe4\xff"), "p/\\xe4\\xff");
    }

    #[test]
    fn tags_are_found_and_peeled() {
        let listing = "aaa\trefs/tags/latest\nbbb\trefs/tags/v0.45\nccc\trefs/tags/v0.45^{}\nddd\trefs/tags/x/latest";
        let tag = |object: &str, commit: &str| Some(TagRef { object: object.into(), commit: commit.into() });
        assert_eq!(tag_in(listing, "latest"), tag("aaa", "aaa"));
        assert_eq!(tag_in(listing, "v0.45"), tag("bbb", "ccc"));
        assert_eq!(tag_in(listing, "v0.4"), None);
    }
}
