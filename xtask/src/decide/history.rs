//! The packer directory's past and present, as sides to compare.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::rc::Rc;

use super::compare::{self, Comparison, Side};
use super::inputs;
use super::paths::relative;
use super::snapshot::{Contents, Entry, Snapshot};
use crate::failure;
use crate::git::{Checkout, Git, Uncommitted};

/// What to compare.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Moment {
    /// By its id.
    Commit(String),
    /// The files on disk, ignored ones left out.
    WorkTree,
}

/// The repository that the packer directory is in.
pub struct History {
    git: Git,
    pub checkout: Checkout,
    contents: Contents,
    /// `None` before the first commit.
    pub head: Option<String>,
    /// Without symlinks followed; for all of the repository once a template names something outside.
    trees: HashMap<String, Rc<Snapshot>>,
    uncommitted: Option<Rc<Vec<Uncommitted>>>,
    whole: bool,
}

/// An untracked file over this size is compared by its name alone: it is no input that anybody moved.
const LARGE: u64 = 16 << 20;

/// So many untracked files are read wherever they lie. More are something that a build left.
const FEW: usize = 500;

impl History {
    /// # Errors
    ///
    /// Exit code 3 when the packer directory is missing or in no git repository.
    pub fn open(packer_dir: &Path) -> anyhow::Result<Self> {
        let shown = packer_dir.display();
        if !packer_dir.is_dir() {
            return Err(failure::missing(format!("no packer directory {shown}; name it with --packer-dir")));
        }
        let git = Git::at(packer_dir);
        let Some(checkout) = git.checkout()? else {
            return Err(failure::missing(format!(
                "{shown} is in no git work tree, so there is nothing to compare with; clone the repository"
            )));
        };
        let mut contents = Contents::new(git.objects()?);
        let head = contents.commit("HEAD")?;
        Ok(Self { git, checkout, contents, head, trees: HashMap::new(), uncommitted: None, whole: false })
    }

    pub fn git(&self) -> &Git {
        &self.git
    }

    /// The commit that a revision names, if it is here.
    pub fn commit(&mut self, revision: &str) -> anyhow::Result<Option<String>> {
        self.contents.commit(revision)
    }

    /// What brings a commit here that a shallow or old clone lacks.
    pub fn cure(&self, remote: &str) -> String {
        let dir = self.checkout.top.display();
        if self.checkout.shallow {
            format!("this clone is shallow: `git -C {dir} fetch --unshallow --tags {remote}` (or `--deepen=N`)")
        } else {
            format!("`git -C {dir} fetch --tags {remote}`")
        }
    }

    /// Files that differ from HEAD.
    pub fn uncommitted(&mut self) -> anyhow::Result<Rc<Vec<Uncommitted>>> {
        if let Some(known) = &self.uncommitted {
            return Ok(Rc::clone(known));
        }
        let found = Rc::new(self.git.uncommitted(&self.checkout.top, self.scope())?);
        self.uncommitted = Some(Rc::clone(&found));
        Ok(found)
    }

    /// The templates' names.
    pub fn templates(&mut self, moment: &Moment) -> anyhow::Result<BTreeSet<String>> {
        let snapshot = self.snapshot(moment)?;
        Ok(inputs::templates(&snapshot, &mut self.contents)?.into_keys().collect())
    }

    /// Both moments with what each image is made of.
    pub fn sides(&mut self, old: &Moment, new: &Moment) -> anyhow::Result<(Side, Side)> {
        loop {
            let whole = self.whole;
            let (before, after) = (self.snapshot(old)?, self.snapshot(new)?);
            if whole != self.whole {
                // The second led outside: the first must be looked at as widely.
                continue;
            }
            let mut names: BTreeSet<String> = inputs::templates(&before, &mut self.contents)?.into_keys().collect();
            names.extend(inputs::templates(&after, &mut self.contents)?.into_keys());
            let old_images = inputs::of_all(&before, &names, &mut self.contents)?;
            let new_images = inputs::of_all(&after, &names, &mut self.contents)?;
            if old_images.values().chain(new_images.values()).any(|inputs| inputs.outside) && self.widen() {
                continue;
            }
            return Ok((Side { snapshot: before, images: old_images }, Side { snapshot: after, images: new_images }));
        }
    }

    pub fn compare(&mut self, image: &str, old: &Side, new: &Side) -> anyhow::Result<Comparison> {
        compare::compare(image, old, new, &mut self.contents)
    }

    /// A file's text.
    pub fn read(&mut self, id: &str) -> anyhow::Result<Option<Rc<[u8]>>> {
        self.contents.read(id)
    }

    /// From now on looks at all of the repository; `false` when that is done already.
    fn widen(&mut self) -> bool {
        let wider = !self.whole && !self.checkout.prefix.is_empty();
        if wider {
            self.whole = true;
            self.trees.clear();
            self.uncommitted = None;
        }
        wider
    }

    fn scope(&self) -> &str {
        if self.whole { "" } else { &self.checkout.prefix }
    }

    fn snapshot(&mut self, moment: &Moment) -> anyhow::Result<Snapshot> {
        loop {
            let mut snapshot = match moment {
                Moment::Commit(commit) => (*self.tree(commit)?).clone(),
                Moment::WorkTree => self.work_tree()?,
            };
            let outside = snapshot.follow_links(&mut self.contents)?;
            if !(outside && self.widen()) {
                return Ok(snapshot);
            }
        }
    }

    fn tree(&mut self, commit: &str) -> anyhow::Result<Rc<Snapshot>> {
        if let Some(known) = self.trees.get(commit) {
            return Ok(Rc::clone(known));
        }
        let entries = self.git.tree(commit, self.scope())?;
        let snapshot = Rc::new(Snapshot::of_tree(entries, &self.checkout.prefix));
        self.trees.insert(commit.to_owned(), Rc::clone(&snapshot));
        Ok(snapshot)
    }

    /// HEAD with what was changed since.
    fn work_tree(&mut self) -> anyhow::Result<Snapshot> {
        let mut snapshot = match self.head.clone() {
            Some(head) => (*self.tree(&head)?).clone(),
            None => Snapshot::default(),
        };
        let files = self.uncommitted()?;
        let ids = self.ids(&files)?;
        for file in files.iter() {
            let path = relative(&file.path, &self.checkout.prefix);
            match file.mode {
                None => drop(snapshot.files.remove(&path)),
                Some(mode) => {
                    // No object's name can hold a question mark, so this one equals none.
                    let id = ids.get(&file.path).cloned().unwrap_or_else(|| format!("?{path}"));
                    self.contents.is_on_disk(&id, file.on_disk.clone());
                    snapshot.files.insert(path, Entry::new(mode, id));
                }
            }
        }
        Ok(snapshot)
    }

    /// Git's ids of uncommitted files, where a file that looks new or changed may be one that only moved.
    fn ids(&self, files: &[Uncommitted]) -> anyhow::Result<BTreeMap<String, String>> {
        let mut ids = BTreeMap::new();
        let mut plain = Vec::new();
        let few = files.len() <= FEW;
        for file in files.iter().filter(|file| !file.submodule) {
            let Ok(metadata) = file.on_disk.symlink_metadata() else { continue };
            if metadata.is_symlink() {
                let target = file.on_disk.read_link().map(|target| target.into_os_string().into_encoded_bytes());
                ids.insert(file.path.clone(), self.git.hash_bytes(&target.unwrap_or_default())?);
            } else if metadata.is_file() && (file.tracked || self.may_have_moved(&file.path, metadata.len(), few)) {
                plain.push(file);
            }
        }
        let top = &self.checkout.top;
        let paths: Vec<&Path> =
            plain.iter().map(|file| file.on_disk.strip_prefix(top).unwrap_or(&file.on_disk)).collect();
        let hashed = self.git.hash_files(top, &paths)?;
        ids.extend(plain.iter().map(|file| file.path.clone()).zip(hashed));
        Ok(ids)
    }

    /// Whether an untracked file is worth reading: it is small, and lies where inputs lie or is one of few.
    fn may_have_moved(&self, path: &str, size: u64, few: bool) -> bool {
        let path = relative(path, &self.checkout.prefix);
        let folder = path.split_once('/').map(|(folder, _)| folder);
        size <= LARGE && (few || matches!(folder, None | Some("templates" | "shared" | "scripts" | "cloud-init")))
    }
}
