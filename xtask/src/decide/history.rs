//! The packer directory now, and in the past as far as there is a repository that knows it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::compare::{self, Difference};
use super::inputs::{self, Listing};
use crate::failure;
use crate::git::{Checkout, Git, LastChange, Objects};
use crate::image::inputs::{Files, blob_id};

/// What to compare.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Moment {
    /// By its id.
    Commit(String),
    /// The files on disk.
    WorkTree,
}

pub struct History {
    packer_dir: PathBuf,
    git: Git,
    repository: Option<Repository>,
    /// `None` before the first commit, and without a repository.
    pub head: Option<String>,
    listings: HashMap<Moment, Rc<Listing>>,
    /// What files hold, by git's id; `None` when it isn't here.
    texts: HashMap<String, Option<Rc<[u8]>>>,
    /// Where a content lies that git may not have.
    on_disk: HashMap<String, PathBuf>,
}

struct Repository {
    checkout: Checkout,
    objects: Objects,
}

impl History {
    /// # Errors
    ///
    /// Exit code 3 when the packer directory is missing.
    pub fn open(packer_dir: &Path) -> anyhow::Result<Self> {
        if !packer_dir.is_dir() {
            let shown = packer_dir.display();
            return Err(failure::missing(format!("no packer directory {shown}; name it with --packer-dir")));
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

    /// What brings a commit here that a shallow or old clone lacks.
    pub fn cure(&self, remote: &str) -> String {
        let Some(Repository { checkout, .. }) = &self.repository else {
            return format!("{} is in no git work tree; clone the repository", self.packer_dir.display());
        };
        let dir = checkout.top.display();
        if checkout.shallow {
            format!("this clone is shallow: `git -C {dir} fetch --unshallow --tags {remote}` (or `--deepen=N`)")
        } else {
            format!("`git -C {dir} fetch --tags {remote}`")
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
            (Moment::WorkTree, _) => inputs::on_disk(&self.packer_dir, |file, path| {
                self.on_disk.insert(file.id.clone(), path.to_owned());
            })?,
            (Moment::Commit(_), None) => Files::new(),
            (Moment::Commit(commit), Some(Repository { checkout, .. })) => {
                let entries = self.git.tree(commit, &checkout.prefix)?;
                let files = inputs::in_tree(entries, &checkout.prefix);
                self.as_blobs(files)?
            }
        };
        let mut failed = None;
        let listing = Listing::new(files, |file| match self.read(&file.id) {
            Ok(text) => text.map(|text| text.to_vec()),
            Err(error) => {
                failed = Some(error);
                None
            }
        });
        failed.map_or(Ok(()), Err)?;
        let listing = Rc::new(listing);
        self.listings.insert(moment.clone(), Rc::clone(&listing));
        Ok(listing)
    }

    /// What an image is made of at a moment; `None` when it has no template then.
    pub fn of_image(&mut self, image: &str, moment: &Moment) -> anyhow::Result<Option<Files>> {
        Ok(self.listing(moment)?.of_image(image))
    }

    pub fn compare(&mut self, old: &Files, new: &Files) -> anyhow::Result<Difference> {
        compare::compare(self, old, new)
    }

    /// What a file holds, by git's id of it; `None` when it isn't here.
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

    /// Which commit touched each of these files last: of those since a baseline with one question for all, then one by one
    /// for a few.
    pub fn authors(
        &self,
        paths: &BTreeSet<String>,
        baselines: &BTreeSet<String>,
    ) -> anyhow::Result<BTreeMap<String, LastChange>> {
        const LOOKED_UP: usize = 20;
        let mut authors = BTreeMap::new();
        let Some(Repository { checkout, .. }) = self.repository.as_ref().filter(|_| self.head.is_some()) else {
            return Ok(authors);
        };
        let mut found = BTreeMap::new();
        for baseline in baselines.iter().filter(|_| !paths.is_empty()) {
            found.extend(self.git.last_changes(Some(baseline), &checkout.prefix)?);
        }
        for path in paths {
            let full = format!("{}{path}", checkout.prefix);
            let mut last = found.remove(&full);
            if last.is_none() && authors.len() < LOOKED_UP {
                last = self.git.last_change(&full)?;
            }
            authors.extend(last.map(|last| (path.clone(), last)));
        }
        Ok(authors)
    }

    /// In a repository whose ids are of another kind than the engine's, the ids that the same bytes have there.
    fn as_blobs(&mut self, mut files: Files) -> anyhow::Result<Files> {
        for file in files.values_mut().filter(|file| file.id.len() != 40 && file.mode != inputs::SUBMODULE) {
            if let Some(bytes) = self.read(&file.id)? {
                file.id = blob_id(&bytes);
                self.texts.insert(file.id.clone(), Some(bytes));
            }
        }
        Ok(files)
    }
}
