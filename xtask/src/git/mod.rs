//! The one place that says `git`: refs and remotes here, history in [`objects`].
//!
//! Machine-readable forms throughout (`-z`, `--porcelain`), and object ids instead of names wherever git would otherwise
//! search several namespaces.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use xshell::cmd;

mod objects;
mod place;
mod publisher;
mod transport;
mod words;

use crate::failure::{self, Advice as _};
use crate::process;
use crate::scratch::Scratch;
use crate::text::shell_word;

pub use objects::{Checkout, LastChange, Objects, TreeEntry};
pub use place::{Place, place};
pub use publisher::{How, Publisher, Update};

/// The repository that a directory is in.
#[derive(Clone)]
pub struct Git {
    dir: PathBuf,
    /// How long a remote may be silent.
    stall: Duration,
}

/// What a tag ref on a remote or here points to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRef {
    /// The ref's own object: for an annotated tag the tag object.
    pub object: String,
    /// What it peels to.
    pub commit: String,
}

impl TagRef {
    /// A lightweight tag: the ref is the commit itself.
    pub fn lightweight(commit: &str) -> Self {
        Self { object: commit.to_owned(), commit: commit.to_owned() }
    }
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
        Self { dir: dir.to_owned(), stall: Duration::from_secs(60) }
    }

    /// The same, which waits so long for a remote that says nothing.
    pub fn within(self, stall: Duration) -> Self {
        Self { stall, ..self }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The git directory, which all work trees of a clone share.
    ///
    /// # Errors
    ///
    /// Exit code 3 outside of any repository, or in one that git doesn't trust: with git's own reason and fix.
    pub fn common_dir(&self) -> anyhow::Result<PathBuf> {
        let (sh, dir) = (process::shell()?, &self.dir);
        let finished = process::output(cmd!(sh, "git -C {dir} rev-parse --path-format=absolute --git-common-dir"))?;
        if !finished.status.success() {
            return Err(failure::missing(format!("{} is not in a git clone that can be used", dir.display()))
                .fix("name the packer directory with --packer-dir, or fix the problem that git reports")
                .quote("git", &finished.stderr));
        }
        Ok(PathBuf::from(finished.text()))
    }

    /// `sha1` or `sha256`.
    pub fn object_format(&self) -> anyhow::Result<String> {
        object_format(&self.common_dir()?)?.ok_or_else(|| {
            failure::missing(format!("git does not name the object format of {}", self.dir.display())).fix("update git")
        })
    }

    fn refused(&self, finished: &process::Finished) -> anyhow::Error {
        failure::missing(format!("git refuses to read the clone {}", self.dir.display()))
            .fix("fix the problem that git reports")
            .quote("git", &finished.stderr)
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
        let scratch = Scratch::new()?;
        let with_index = format!("GIT_INDEX_FILE={}", scratch.path().join("index").display());
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
        asked.map(|()| found)
    }

    /// The names of all remotes.
    pub fn remotes(&self) -> anyhow::Result<Vec<String>> {
        let (sh, dir) = (process::shell()?, &self.dir);
        Ok(process::read(cmd!(sh, "git -C {dir} remote"))?.lines().map(str::to_owned).collect())
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
            failure::failed(format!("tag {tag} does not point to a commit")).fix("set the tag to a commit")
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

    /// A tag on a remote.
    ///
    /// # Errors
    ///
    /// Exit code 3 when the remote can't be asked.
    pub fn remote_tag(&self, remote: &str, tag: &str) -> anyhow::Result<Option<TagRef>> {
        Ok(self.tags_of(remote, &objects::tag_patterns(&[tag]))?.remove(tag))
    }

    /// All tags on a remote, from one question.
    ///
    /// # Errors
    ///
    /// Exit code 3 when the remote can't be asked.
    pub fn all_remote_tags(&self, remote: &str) -> anyhow::Result<BTreeMap<String, TagRef>> {
        self.tags_of(remote, &["refs/tags/*".to_owned()])
    }

    /// Never asks for a password.
    fn tags_of(&self, remote: &str, patterns: &[String]) -> anyhow::Result<BTreeMap<String, TagRef>> {
        let (sh, dir) = (process::shell()?, &self.dir);
        let asked = cmd!(sh, "git -C {dir} ls-remote --end-of-options {remote} {patterns...}");
        let answer = process::within(asked.env("GIT_TERMINAL_PROMPT", "0"), self.stall)?;
        let said = match answer.cut {
            None if answer.finished.status.success() => return Ok(objects::remote_tags(&answer.finished.text())),
            None => answer.finished.stderr,
            Some(cut) => cut.to_string(),
        };
        Err(failure::missing(format!("can't read the tags of remote `{remote}`"))
            .fix("check that the remote can be reached, or name another with --remote")
            .quote("git", said))
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

/// `sha1` or `sha256`; `None` for what is no repository.
fn object_format(git_dir: &Path) -> anyhow::Result<Option<String>> {
    let sh = process::shell()?;
    let finished = process::output(cmd!(sh, "git --git-dir={git_dir} rev-parse --show-object-format"))?;
    Ok(finished.status.success().then(|| finished.text()))
}

/// What the tool keeps in the clone's git directory can't be written.
///
/// # Errors
///
/// Exit code 3: nothing was sent by then.
pub fn not_writable(path: &Path, why: impl std::fmt::Display) -> anyhow::Error {
    let folder = shell_word(&path.display().to_string());
    failure::missing(format!("can't write {}, where the tool keeps what it pushes: {why}", path.display())).fix(format_args!("let your login write there (`sudo chown -R \"$(id -un)\" {folder}` makes it yours), or use a clone of your own with --packer-dir"))
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

/// The first digits of an id, as people quote them.
pub fn short(commit: &str) -> &str {
    commit.get(..9).unwrap_or(commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of files that make it look like a repository, as somebody may propose them, with a command in its settings.
    #[test]
    fn files_that_look_like_a_repository_are_none() {
        let scratch = Scratch::new().unwrap();
        let (sh, packer) = (process::shell().unwrap(), &scratch.path().join("packer"));
        let owned = scratch.path().join("owned");
        let evil = format!("touch {}", owned.display());
        let top = scratch.path();
        for dir in [top, packer] {
            std::fs::create_dir_all(dir).unwrap();
            let bare: &[&str] = if dir == packer { &["--bare"] } else { &[] };
            process::read(cmd!(sh, "git init --quiet {bare...} -- {dir}")).unwrap();
            let config = if dir == packer { dir.join("config") } else { dir.join(".git/config") };
            for (name, value) in [("core.bare", "false"), ("core.fsmonitor", &evil), ("core.sshCommand", &evil)] {
                process::read(cmd!(sh, "git config --file {config} {name} {value}")).unwrap();
            }
            if dir == packer {
                process::read(cmd!(sh, "git config --file {config} core.worktree .")).unwrap();
            }
        }
        std::fs::write(top.join("a"), "x").unwrap();
        let who = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"];
        process::read(cmd!(sh, "git -C {top} {who...} add a")).unwrap();
        process::read(cmd!(sh, "git -C {top} {who...} commit --quiet --message x")).unwrap();
        for dir in [top, packer] {
            let git = Git::at(dir);
            let _ = (git.checkout(), git.head_in_words(), git.is_ignored(), git.resolve("HEAD"), git.local_tags());
        }
        assert!(!owned.exists(), "a command ran");
        assert!(Git::at(top).checkout().unwrap().is_some());
        assert!(Git::at(packer).checkout().is_err(), "{packer:?} is a repository to it");
    }

    #[test]
    fn odd_paths_stay_apart() {
        assert_eq!(path_text("p/ä".as_bytes()), "p/ä");
        assert_eq!(path_text(b"p/\xe4\xff"), "p/\\xe4\\xff");
    }
}
