//! What is to be built: the inputs of HEAD or of a tag, and the whole packer directory as it is there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use walkdir::WalkDir;

use super::obstacles;
use super::tar::Tar;
use crate::decide::{History, Listing, Moment, short};
use crate::failure::{self, Problems};
use crate::git::Git;
use crate::image::inputs::{self, File, Files, SYMLINK};

/// What a build leaves, and what a host has of its own.
const LEFT: [&str; 5] = [".cache", ".git", "build.env", "images", "logs"];

/// A moment of the packer directory, to build from.
pub struct Wanted {
    /// For people: `v0.45 (f0a3d77b4)`, `HEAD (f0a3d77b4)`.
    pub what: String,
    /// The tag, when one was asked for.
    pub source: Option<String>,
    /// `None` without a repository: then it is the files that are here.
    pub commit: Option<String>,
    pub listing: Listing,
    /// Inputs that are not as committed here, and so not built.
    pub uncommitted: BTreeSet<String>,
    packer_dir: PathBuf,
}

impl Wanted {
    /// `source` is a tag; else HEAD.
    ///
    /// # Errors
    ///
    /// Exit code 3: no such tag here, or no commit yet.
    pub fn find(history: &mut History, packer_dir: &Path, source: Option<&str>, remote: &str) -> anyhow::Result<Self> {
        let commit = match source {
            Some(tag) => Some(history.commit(&format!("refs/tags/{tag}"))?.ok_or_else(|| {
                let tag = tag.escape_debug();
                failure::missing(format!("there is no tag {tag} here; {}", history.cure(remote)))
            })?),
            None => history.head.clone(),
        };
        if commit.is_none() && history.has_repository() {
            return Err(failure::missing(
                "there is no commit here yet to build from; commit the packer directory first",
            ));
        }
        let what = match (source, &commit) {
            (tag, Some(commit)) => format!("{} ({})", tag.unwrap_or("HEAD"), short(commit)),
            (_, None) => "the files here".to_owned(),
        };
        let now = history.listing(&Moment::WorkTree)?;
        let moment = commit.clone().map_or(Moment::WorkTree, Moment::Commit);
        let listing = history.listing(&moment)?.as_ref().clone();
        let mut uncommitted = BTreeSet::new();
        for image in listing.names().union(&now.names()).filter(|_| source.is_none()) {
            let (old, new) = (listing.of_image(image).unwrap_or_default(), now.of_image(image).unwrap_or_default());
            uncommitted.extend(inputs::differing(&old, &new).map(str::to_owned));
        }
        let source = source.map(str::to_owned);
        Ok(Self { what, source, commit, listing, uncommitted, packer_dir: packer_dir.to_owned() })
    }

    /// What an image is to be made of.
    pub fn files(&self, image: &str) -> Files {
        self.listing.of_image(image).unwrap_or_default()
    }

    /// # Errors
    ///
    /// Exit code 3, naming all of them: files whose bytes in a build are not those of the commit, or that no build finds.
    pub fn check(&self, history: &mut History, images: &BTreeSet<String>) -> anyhow::Result<()> {
        let mut problems = Problems::default();
        let mut paths = BTreeSet::new();
        for image in images {
            for obstacle in obstacles::of(history, &self.packer_dir, image, &self.listing)? {
                problems.push(failure::missing(obstacle));
            }
            paths.extend(self.files(image).into_iter().map(|(path, file)| (path, file.mode)));
        }
        for (path, _) in paths.iter().filter(|(_, mode)| *mode == 0o160_000) {
            problems.push(failure::missing(format!(
                "{path} is a submodule: {} doesn't hold its files, so nobody can tell what would be built; \
                 put the files themselves there",
                self.what
            )));
        }
        if let Some(commit) = &self.commit {
            let plain: Vec<&str> = paths.iter().map(|(path, _)| path.as_str()).collect();
            for (path, attribute) in Git::at(&self.packer_dir).changed_by_checkout(commit, &plain)? {
                problems.push(failure::missing(format!(
                    "{path} has the attribute `{attribute}` in .gitattributes, so a clone's bytes are not those of the commit; \
                     take it from what lies in templates/ and shared/"
                )));
            }
        }
        problems.into_result()
    }

    /// The whole packer directory as a tar archive: the bytes and modes of the commit, whatever git would make of them.
    pub fn pack(&self) -> anyhow::Result<Vec<u8>> {
        let mut tar = Tar::default();
        let Some(commit) = &self.commit else {
            self.pack_from_disk(&mut tar)?;
            return Ok(tar.finish());
        };
        let git = Git::at(&self.packer_dir);
        let checkout = git.checkout()?.context("the repository is gone")?;
        let mut objects = git.objects()?;
        for entry in git.tree(commit, &checkout.prefix)? {
            let Some(path) = entry.path.strip_prefix(&checkout.prefix).filter(|_| entry.mode != 0o160_000) else {
                continue;
            };
            let object = objects.get(&entry.id)?.ok_or_else(|| {
                failure::missing(format!(
                    "this clone doesn't have the bytes of {path}; `git fetch` with them, or clone anew"
                ))
            })?;
            tar.add(path, entry.mode, &object.bytes);
        }
        Ok(tar.finish())
    }

    fn pack_from_disk(&self, tar: &mut Tar) -> anyhow::Result<()> {
        let stays =
            |entry: &walkdir::DirEntry| entry.depth() != 1 || !LEFT.iter().any(|left| entry.file_name() == *left);
        for entry in WalkDir::new(&self.packer_dir).sort_by_file_name().into_iter().filter_entry(stays) {
            let entry = entry.with_context(|| format!("reading {}", self.packer_dir.display()))?;
            let reading = || format!("reading {}", entry.path().display());
            let Some(File { mode, .. }) = File::on_disk(entry.path()).with_context(reading)? else { continue };
            let path = entry.path().strip_prefix(&self.packer_dir).unwrap_or(entry.path());
            let bytes = if mode == SYMLINK {
                entry.path().read_link().with_context(reading)?.into_os_string().into_encoded_bytes()
            } else {
                std::fs::read(entry.path()).with_context(reading)?
            };
            tar.add(&path.to_string_lossy(), mode, &bytes);
        }
        Ok(())
    }
}
