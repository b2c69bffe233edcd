//! All files of the packer directory at one moment: a commit, or the work tree.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::path::PathBuf;
use std::rc::Rc;

use super::paths::{join, relative};
use crate::git::{Objects, TreeEntry};

/// A file's content and mode.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// As git records it: `100644`, `100755`, `120000`, `160000`.
    pub mode: u32,
    /// Git's id of the content, or a name that no id equals when there is none.
    pub id: String,
    /// Whether a symlink leads to it. A file in a link's place may be treated otherwise, so it isn't the same.
    pub linked: bool,
}

/// Paths are relative to the packer directory, with `../` for what lies outside.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub files: BTreeMap<String, Entry>,
}

/// Git's id of no bytes, with either of its hashes: an empty file is equal to any other, which says nothing about a move.
const EMPTY: [&str; 2] =
    ["e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813"];

const SYMLINK: u32 = 0o120_000;

impl Entry {
    pub fn new(mode: u32, id: impl Into<String>) -> Self {
        Self { mode, id: id.into(), linked: false }
    }

    pub fn is_empty(&self) -> bool {
        EMPTY.contains(&self.id.as_str())
    }
}

impl Snapshot {
    /// From a tree's entries, whose paths begin at the top of the repository.
    pub fn of_tree(entries: Vec<TreeEntry>, prefix: &str) -> Self {
        let files = entries
            .into_iter()
            .map(|entry| (relative(&entry.path, prefix), Entry::new(entry.mode, entry.id)))
            .collect();
        Self { files }
    }

    pub fn is_folder(&self, path: &str) -> bool {
        self.below(path).next().is_some()
    }

    /// The files in a folder, at any depth, with their paths from there.
    pub fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = (&'a str, &'a Entry)> + use<'a> {
        let start = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let outside = folder.starts_with("..");
        self.files
            .range::<str, _>((Bound::Included(start.as_str()), Bound::Unbounded))
            .map_while({
                let start = start.clone();
                move |(path, entry)| path.strip_prefix(&start).map(|rest| (path, rest, entry))
            })
            .filter(move |(path, ..)| outside || !path.starts_with("../"))
            .map(|(_, rest, entry)| (rest, entry))
    }

    /// Puts what symlinks lead to in their place, so that a change behind a link is seen through it. A link that leads
    /// nowhere stays: its own text is its content. Says whether a link leads to something outside that isn't here.
    pub fn follow_links(&mut self, contents: &mut Contents) -> anyhow::Result<bool> {
        let mut outside = false;
        // Links to links: each round follows one more, and a circle ends with the rounds.
        for _ in 0..4 {
            let links: Vec<(String, String)> = self
                .files
                .iter()
                .filter(|(_, entry)| entry.mode == SYMLINK)
                .map(|(path, entry)| (path.clone(), entry.id.clone()))
                .collect();
            if links.is_empty() {
                break;
            }
            for (path, id) in links {
                let Some(text) = contents.read(&id)? else { continue };
                let text = String::from_utf8_lossy(&text);
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                let Some(target) = join(folder, &text).filter(|target| *target != path) else { continue };
                self.follow(&path, &target);
                outside |= target.starts_with("..") && self.files.get(&path).is_some_and(|entry| entry.mode == SYMLINK);
            }
        }
        Ok(outside)
    }

    fn follow(&mut self, link: &str, target: &str) {
        if let Some(entry) = self.files.get(target) {
            let entry = Entry { linked: true, ..entry.clone() };
            self.files.insert(link.to_owned(), entry);
            return;
        }
        // A link to a folder that holds it would never end.
        if link.starts_with(&format!("{target}/")) || target.is_empty() || !self.is_folder(target) {
            return;
        }
        let found: Vec<(String, Entry)> = self
            .below(target)
            .map(|(rest, entry)| (format!("{link}/{rest}"), Entry { linked: true, ..entry.clone() }))
            .collect();
        self.files.remove(link);
        self.files.extend(found);
    }
}

/// Reads what files hold, each once.
pub struct Contents {
    objects: Objects,
    /// Where a content that git doesn't have lies.
    on_disk: HashMap<String, PathBuf>,
    read: HashMap<String, Option<Rc<[u8]>>>,
}

impl Contents {
    pub fn new(objects: Objects) -> Self {
        Self { objects, on_disk: HashMap::new(), read: HashMap::new() }
    }

    pub fn commit(&mut self, revision: &str) -> anyhow::Result<Option<String>> {
        self.objects.commit(revision)
    }

    /// This content may be in the work tree alone.
    pub fn is_on_disk(&mut self, id: &str, path: PathBuf) {
        self.on_disk.insert(id.to_owned(), path);
    }

    /// `None` when it isn't here: a submodule's, or left out of a partial clone.
    pub fn read(&mut self, id: &str) -> anyhow::Result<Option<Rc<[u8]>>> {
        if let Some(known) = self.read.get(id) {
            return Ok(known.clone());
        }
        let object = self.objects.get(id)?.filter(|object| object.kind == "blob").map(|object| object.bytes);
        let on_disk = || {
            let path = self.on_disk.get(id)?;
            path.read_link()
                .map_or_else(|_| std::fs::read(path).ok(), |target| Some(target.into_os_string().into_encoded_bytes()))
        };
        let bytes = object.or_else(on_disk);
        let bytes: Option<Rc<[u8]>> = bytes.map(Into::into);
        self.read.insert(id.to_owned(), bytes.clone());
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_their_files() {
        let entry = || Entry::new(0o100_644, "1");
        let paths = ["../out", "a/b", "a/c/d", "a-b", "b"];
        let snapshot = Snapshot { files: paths.map(|path| (path.to_owned(), entry())).into() };
        let below = |folder: &str| snapshot.below(folder).map(|(path, _)| path).collect::<Vec<_>>();
        assert_eq!(below("a"), ["b", "c/d"]);
        assert_eq!(below(""), ["a-b", "a/b", "a/c/d", "b"]);
        assert_eq!(below(".."), ["out"]);
        assert!(!snapshot.is_folder("b") && snapshot.is_folder("a/c"));
    }
}
