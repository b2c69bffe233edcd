//! Reading history: objects, trees, tags and who changed a file last; each question takes one process, for any number of files.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::Context as _;
use xshell::cmd;

use super::{Git, TagRef};
use crate::process;

/// Where a directory is in its repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// The work tree's top folder.
    pub top: PathBuf,
    /// The directory below it, with a slash at its end; empty for the top itself.
    pub prefix: String,
    /// Whether the history ends early, so that a missing commit may merely not have been fetched.
    pub shallow: bool,
}

impl Checkout {
    /// Whether the directory is a repository of its own.
    pub fn is_top(&self) -> bool {
        self.prefix.is_empty()
    }
}

/// An object's id, kind and content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub id: String,
    /// `commit`, `tree`, `blob` or `tag`.
    pub kind: String,
    pub bytes: Vec<u8>,
}

/// One file of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// From the top of the repository.
    pub path: String,
    /// As git writes it: `100644`, `100755`, `120000` for a symlink, `160000` for a submodule.
    pub mode: u32,
    pub id: String,
}

/// The commit that touched a file last.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LastChange {
    pub commit: String,
    pub author: String,
    /// `2026-01-31`
    pub date: String,
    pub subject: String,
}

/// `git cat-file --batch`, kept running: one process for all the objects that a run reads.
pub struct Objects {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Objects {
    /// The object that a revision names; `None` when there is none here, or more than one.
    pub fn get(&mut self, revision: &str) -> anyhow::Result<Option<Object>> {
        if revision.is_empty() || revision.contains('\n') {
            return Ok(None);
        }
        let ended = || format!("asking git for `{revision}`");
        let stdin = self.stdin.as_mut().context("git cat-file has no input")?;
        stdin.write_all(format!("{revision}\n").as_bytes()).and_then(|()| stdin.flush()).with_context(ended)?;
        let mut head = String::new();
        anyhow::ensure!(
            self.stdout.read_line(&mut head).with_context(ended)? > 0,
            "git ended while it was asked for `{revision}`"
        );
        let mut words = head.trim_end().rsplitn(3, ' ');
        let (Some(size), Some(kind), Some(id)) = (words.next(), words.next(), words.next()) else { return Ok(None) };
        // What isn't found comes back as it was asked for, then the reason.
        let Ok(size) = size.parse::<usize>() else { return Ok(None) };
        let mut bytes = vec![0; size + 1];
        self.stdout.read_exact(&mut bytes).with_context(ended)?;
        bytes.pop();
        Ok(Some(Object { id: id.to_owned(), kind: kind.to_owned(), bytes }))
    }

    /// The commit that a revision names.
    pub fn commit(&mut self, revision: &str) -> anyhow::Result<Option<String>> {
        Ok(self
            .get(&format!("{revision}^{{commit}}"))?
            .filter(|object| object.kind == "commit")
            .map(|object| object.id))
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It ends by itself when its input does.
        let _ = self.child.wait();
    }
}

impl Git {
    /// `None` outside of any work tree.
    pub fn checkout(&self) -> anyhow::Result<Option<Checkout>> {
        let (sh, dir) = (process::shell()?, &self.dir);
        let finished =
            process::output(cmd!(sh, "git -C {dir} rev-parse --is-shallow-repository --show-toplevel --show-prefix"))?;
        if !finished.status.success() {
            // A repository that git doesn't trust or can't read is one all the same.
            let none = finished.stderr.contains("not a git repository") || finished.stderr.contains("work tree");
            return if none { Ok(None) } else { Err(self.refused(&finished)) };
        }
        let text = String::from_utf8_lossy(&finished.stdout).into_owned();
        let mut lines = text.lines();
        let shallow = lines.next() == Some("true");
        let Some(top) = lines.next().filter(|top| !top.is_empty()) else { return Ok(None) };
        let prefix = lines.next().unwrap_or_default().to_owned();
        Ok(Some(Checkout { top: PathBuf::from(top), prefix, shallow }))
    }

    /// Starts the reader of objects. What a partial clone left out is not fetched: reading asks no network.
    pub fn objects(&self) -> anyhow::Result<Objects> {
        let (sh, dir) = (process::shell()?, &self.dir);
        let mut command = process::command(cmd!(sh, "git -C {dir} cat-file --batch").env("GIT_NO_LAZY_FETCH", "1"));
        // It says "missing" on standard output; the rest is advice about refs.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("starting `git cat-file --batch`")?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("git cat-file has no output")?;
        Ok(Objects { child, stdin, stdout: BufReader::new(stdout) })
    }

    /// All files of a commit below `prefix`.
    pub fn tree(&self, commit: &str, prefix: &str) -> anyhow::Result<Vec<TreeEntry>> {
        let (sh, dir) = (process::shell()?, &self.dir);
        let below: &[&str] = if prefix.is_empty() { &[] } else { &["--", prefix] };
        let finished =
            process::output(cmd!(sh, "git -C {dir} ls-tree -r -z --full-tree {commit} {below...}"))?.success()?;
        Ok(finished.stdout.split(|byte| *byte == 0).filter_map(tree_entry).collect())
    }

    /// All tags here with the commits they peel to; those that peel to something else are left out.
    pub fn local_tags(&self) -> anyhow::Result<BTreeMap<String, TagRef>> {
        let (sh, dir) = (process::shell()?, &self.dir);
        let format = "%(objectname) %(objecttype) %(*objectname) %(*objecttype) %(refname:lstrip=2)";
        let listing = process::read(cmd!(sh, "git -C {dir} for-each-ref --format={format} refs/tags"))?;
        Ok(listing.lines().filter_map(local_tag).collect())
    }

    /// Which commit up to HEAD touched each of these files last, by their paths from the top; `-c`: a merge that changes a file
    /// itself as well.
    pub fn last_changes(&self, paths: &[String]) -> anyhow::Result<BTreeMap<String, LastChange>> {
        let (sh, dir) = (process::shell()?, &self.dir);
        let paths = paths.iter().map(|path| format!(":(top,literal){path}"));
        let finished = process::output(cmd!(
            sh,
            "git -C {dir} log -z {LAST_CHANGE} {PLAIN...} -c --name-only --no-renames HEAD -- {paths...}"
        ))?;
        Ok(last_changes(&finished.success()?.stdout))
    }
}

/// A commit begins with byte 1, which no path or name has here, so that no path begins like a commit.
const LAST_CHANGE: &str = "--format=%x01%H%x00%an%x00%as%x00%s";

/// Overrides a person's configuration.
const PLAIN: [&str; 3] = ["--no-show-signature", "--no-relative", "--no-color"];

fn last_changes(output: &[u8]) -> BTreeMap<String, LastChange> {
    let mut found = BTreeMap::new();
    let mut fields = output.split(|byte| *byte == 0);
    let mut current = None;
    while let Some(field) = fields.next() {
        let field = field.strip_prefix(b"\n").unwrap_or(field);
        if let Some(change) = commit_line(field, &mut fields) {
            current = Some(change);
        } else if let (false, Some(change)) = (field.is_empty(), &current) {
            found.entry(super::path_text(field)).or_insert_with(|| change.clone());
        }
    }
    found
}

fn commit_line<'a>(field: &[u8], rest: &mut impl Iterator<Item = &'a [u8]>) -> Option<LastChange> {
    let [1, commit @ ..] = field else { return None };
    let mut next = || rest.next().map(super::path_text).unwrap_or_default();
    let (author, date, subject) = (next(), next(), next());
    Some(LastChange { commit: super::path_text(commit), author, date, subject })
}

fn tree_entry(line: &[u8]) -> Option<TreeEntry> {
    let tab = line.iter().position(|byte| *byte == b'\t')?;
    let head = std::str::from_utf8(&line[..tab]).ok()?;
    let mut words = head.split(' ');
    let mode = u32::from_str_radix(words.next()?, 8).ok()?;
    let id = words.nth(1)?.to_owned();
    Some(TreeEntry { path: super::path_text(&line[tab + 1..]), mode, id })
}

/// The patterns of `git ls-remote` for tags and what they peel to.
pub(super) fn tag_patterns(tags: &[&str]) -> Vec<String> {
    tags.iter().flat_map(|tag| [format!("refs/tags/{tag}"), format!("refs/tags/{tag}^{{}}")]).collect()
}

/// The lines that `git ls-remote` printed: an object and a ref's name.
pub(super) fn remote_refs(listing: &str) -> impl Iterator<Item = (&str, &str)> {
    listing.lines().filter_map(|line| line.split_once('\t'))
}

/// The tags that `git ls-remote` printed: each tag's own object, then for annotated ones a line with what it peels to.
pub(super) fn remote_tags(listing: &str) -> BTreeMap<String, TagRef> {
    let mut tags: BTreeMap<String, TagRef> = BTreeMap::new();
    for (id, name) in remote_refs(listing) {
        let Some(name) = name.strip_prefix("refs/tags/") else { continue };
        match name.strip_suffix("^{}").map(|name| tags.get_mut(name)) {
            Some(Some(tag)) => id.clone_into(&mut tag.commit),
            Some(None) => {}
            None => {
                tags.insert(name.to_owned(), TagRef::lightweight(id));
            }
        }
    }
    tags
}

fn local_tag(line: &str) -> Option<(String, TagRef)> {
    let mut words = line.splitn(5, ' ');
    let (object, kind) = (words.next()?, words.next()?);
    let (peeled, peeled_kind, name) = (words.next()?, words.next()?, words.next()?);
    let commit = match (kind, peeled_kind) {
        ("commit", _) => object,
        ("tag", "commit") => peeled,
        _ => return None,
    };
    Some((name.to_owned(), TagRef { object: object.to_owned(), commit: commit.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tree_lines_keep_odd_paths() {
        let entry = tree_entry("100755 blob abc\tpacker/ä/b c\n".as_bytes()).unwrap();
        assert_eq!(entry, TreeEntry { path: "packer/ä/b c\n".into(), mode: 0o100_755, id: "abc".into() });
    }

    #[test]
    fn the_newest_commit_of_a_file_is_kept() {
        let output = b"\x01c2\0Ann\x002026-02-01\0two\0\np/a\0p/z\0\x01merge\0Ann\x002026-02-01\0merged\0\x01c1\0Bob\x002026-01-01\0one\0\np/a\0p/b\0";
        let found = last_changes(output);
        let of = |path: &str| (found[path].commit.as_str(), found[path].author.as_str());
        assert_eq!((of("p/a"), of("p/b"), of("p/z")), (("c2", "Ann"), ("c1", "Bob"), ("c2", "Ann")));
    }

    #[test]
    fn tags_of_a_remote_are_peeled() {
        let listing = "aaa\trefs/tags/latest\nbbb\trefs/tags/v0.45\nccc\trefs/tags/v0.45^{}\nddd\trefs/tags/x/latest";
        let found = remote_tags(listing);
        let tag = |object: &str, commit: &str| Some(TagRef { object: object.into(), commit: commit.into() });
        assert_eq!(found.get("latest").cloned(), tag("aaa", "aaa"));
        assert_eq!(found.get("v0.45").cloned(), tag("bbb", "ccc"));
        assert_eq!(found.get("v0.4"), None);
    }

    #[test]
    fn tags_are_peeled_and_other_objects_left_out() {
        for (line, expected) in [
            ("aaa commit   v1", Some(("v1", "aaa", "aaa"))),
            ("aaa tag bbb commit v1", Some(("v1", "aaa", "bbb"))),
            ("aaa blob   odd", None),
            ("aaa tag bbb tree odd", None),
        ] {
            let found = local_tag(line);
            let found = found.as_ref().map(|(name, tag)| (name.as_str(), tag.object.as_str(), tag.commit.as_str()));
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn hostile_output_of_git() {
        let changes = b"\x01c2\0Ann\x002026-02-01\0two\0\np/a\0\x01merge\0Ann\x002026-02-01\0merged\0";
        let tree = b"100755 blob abc\tpacker/b c\n";
        let refs = b"aaa\trefs/tags/latest\nbbb\trefs/tags/v1^{}\nccc tag ddd commit v1\n";
        crate::hostile::try_with(&[changes, tree, refs], |bytes| {
            last_changes(bytes);
            if let Some(entry) = tree_entry(bytes) {
                assert!(entry.path.len() <= 4 * bytes.len());
            }
            let text = String::from_utf8_lossy(bytes);
            assert!(remote_tags(&text).keys().all(|name| !name.contains('\n')));
            text.lines().filter_map(local_tag).for_each(drop);
        });
    }
}
