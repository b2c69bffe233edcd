//! The packer directory now and at any commit that this clone has.
//!
//! Each listing, and each content, is read once. Without a repository, as in an unpacked archive, there is only now. Used by
//! all that compares what images are made of.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::compare::{self, Difference};
use super::inputs::Files;
use super::listing::{self, Listing};
use crate::failure::{self, Advice as _};
use crate::git::{Checkout, Git, LastChange, Objects};
use crate::suggest;

/// When the packer directory is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Moment {
    /// As a commit has it, by its id.
    Commit(String),
    /// As the files on disk are now.
    WorkTree,
}

pub struct History {
    packer_dir: PathBuf,
    git: Git,
    repository: Option<Repository>,
    /// `None` before the first commit, and without a repository.
    pub head: Option<String>,
    listings: HashMap<Moment, Rc<Listing>>,
    /// The bytes of files, by git's id; `None` when this clone lacks them.
    texts: HashMap<String, Option<Rc<[u8]>>>,
    /// Files on disk whose bytes git may not have, by their id.
    on_disk: HashMap<String, PathBuf>,
}

struct Repository {
    checkout: Checkout,
    objects: Objects,
}

impl History {
    /// # Errors
    ///
    /// Exit code 3 when the packer directory is missing, or is in a clone with SHA-256 ids.
    pub fn open(packer_dir: &Path) -> anyhow::Result<Self> {
        if !packer_dir.is_dir() {
            let error = failure::missing(format!("there is no packer directory {}", packer_dir.display()));
            return Err(error.fix("name the packer directory with `--packer-dir`"));
        }
        let git = Git::at(packer_dir);
        let repository = match git.checkout()? {
            Some(checkout) => Some(Repository { checkout, objects: git.objects()? }),
            None => None,
        };
        let mut history = Self {
            packer_dir: packer_dir.to_owned(),
            git,
            repository,
            head: None,
            listings: HashMap::new(),
            texts: HashMap::new(),
            on_disk: HashMap::new(),
        };
        history.head = history.commit("HEAD")?;
        // Files on disk get SHA-1 ids, and so do commits on GitHub.
        if history.head.as_ref().is_some_and(|id| id.len() > 40) {
            let error = failure::missing("this clone uses SHA-256 object ids, which GitHub does not have");
            return Err(error.fix("make a new clone of the repository on GitHub"));
        }
        Ok(history)
    }

    pub fn git(&self) -> &Git {
        &self.git
    }

    /// Whether a repository has the packer directory, as an unpacked archive has none.
    pub fn has_repository(&self) -> bool {
        self.repository.is_some()
    }

    /// The commit that a revision names, if it is here.
    pub fn commit(&mut self, revision: &str) -> anyhow::Result<Option<String>> {
        self.repository.as_mut().map_or(Ok(None), |repository| repository.objects.commit(revision))
    }

    /// What a person can do about a commit that a shallow or old clone lacks.
    pub fn how_to_fetch(&self, remote: &str) -> String {
        let Some(Repository { checkout, .. }) = &self.repository else {
            return format!("{} is not in a git work tree: clone the repository", self.packer_dir.display());
        };
        let (dir, remote) = (suggest::word(&checkout.top.to_string_lossy()), suggest::word(remote));
        if checkout.shallow {
            format!("run `git -C {dir} fetch --unshallow --tags {remote}` (or `--deepen=N`): this clone is shallow")
        } else {
            format!("run `git -C {dir} fetch --tags {remote}`")
        }
    }

    /// The templates' names.
    pub fn templates(&mut self, moment: &Moment) -> anyhow::Result<BTreeSet<String>> {
        Ok(self.listing(moment)?.names())
    }

    /// All files at a moment.
    pub fn listing(&mut self, moment: &Moment) -> anyhow::Result<Rc<Listing>> {
        if let Some(known) = self.listings.get(moment) {
            return Ok(Rc::clone(known));
        }
        let files = match (moment, &self.repository) {
            (Moment::WorkTree, _) => listing::on_disk(&self.packer_dir, |file, path| {
                self.on_disk.insert(file.id.clone(), path.to_owned());
            })?,
            (Moment::Commit(_), None) => Files::new(),
            (Moment::Commit(commit), Some(Repository { checkout, .. })) => {
                listing::in_tree(self.git.tree(commit, &checkout.prefix)?, &checkout.prefix)
            }
        };
        let listing = Rc::new(Listing::new(files));
        self.listings.insert(moment.clone(), Rc::clone(&listing));
        Ok(listing)
    }

    /// What an image is made of at a moment; `None` when it has no template then.
    pub fn of_image(&mut self, image: &str, moment: &Moment) -> anyhow::Result<Option<Files>> {
        Ok(self.listing(moment)?.of_image(image))
    }

    pub fn compare(&mut self, old: &Files, new: &Files) -> anyhow::Result<Difference> {
        compare::compare(old, new, |id| self.read(id))
    }

    /// A file's bytes, by git's id of them; `None` when this clone lacks them.
    pub fn read(&mut self, id: &str) -> anyhow::Result<Option<Rc<[u8]>>> {
        if let Some(known) = self.texts.get(id) {
            return Ok(known.clone());
        }
        let object = match &mut self.repository {
            Some(repository) => repository.objects.get(id)?.filter(|object| object.kind == "blob"),
            None => None,
        };
        let on_disk = || std::fs::read(self.on_disk.get(id)?).ok();
        let bytes: Option<Rc<[u8]>> = object.map(|object| object.bytes).or_else(on_disk).map(Into::into);
        self.texts.insert(id.to_owned(), bytes.clone());
        Ok(bytes)
    }

    /// Which commit changed each of these files last.
    pub fn authors(&self, paths: &BTreeSet<String>) -> anyhow::Result<BTreeMap<String, LastChange>> {
        let Some(Repository { checkout, .. }) =
            self.repository.as_ref().filter(|_| self.head.is_some() && !paths.is_empty())
        else {
            return Ok(BTreeMap::new());
        };
        let full: Vec<String> = paths.iter().map(|path| format!("{}{path}", checkout.prefix)).collect();
        let mut found = self.git.last_changes(&full)?;
        let last = paths.iter().zip(full).filter_map(|(path, full)| Some((path.clone(), found.remove(&full)?)));
        Ok(last.collect())
    }
}
