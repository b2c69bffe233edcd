//! What is to be built: the inputs of HEAD or of a tag.
//!
//! Bytes and modes are those of the commit, without what a checkout would change; for `--sync` the whole packer directory is
//! packed. `build-and-fetch` makes one value, and each host is compared with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use walkdir::WalkDir;

use super::tar::Tar;
use crate::failure::{self, Advice as _, Problems};
use crate::git::Git;
use crate::git::short;
use crate::sources::base_image::{self, Template};
use crate::sources::inputs::{self, File, Files, SYMLINK};
use crate::sources::{History, Listing, Moment, obstacles};
use crate::suggest;

/// What belongs to a host: what builds leave there, and its own settings.
const LEFT: [&str; 5] = [".cache", ".git", "build.env", "images", "logs"];

/// What `sync.sh` works with.
const WORK: &str = ".incoming";

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
    /// By image, what its base image is by its template: where no script of the engine says it.
    pub templates: BTreeMap<String, Template>,
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
                failure::missing(format!("there is no tag {tag} in this clone")).fix(history.how_to_fetch(remote))
            })?),
            None => history.head.clone(),
        };
        if commit.is_none() && history.has_repository() {
            return Err(failure::missing("this clone has no commit to build from").fix("commit the packer directory"));
        }
        let what = match (source, &commit) {
            (tag, Some(commit)) => format!("{} ({})", tag.unwrap_or("HEAD"), short(commit)),
            (_, None) => "the local files".to_owned(),
        };
        let now = history.listing(&Moment::WorkTree)?;
        let moment = commit.clone().map_or(Moment::WorkTree, Moment::Commit);
        let listing = history.listing(&moment)?.as_ref().clone();
        let mut uncommitted = BTreeSet::new();
        for image in listing.names().union(&now.names()).filter(|_| source.is_none()) {
            let (old, new) = (listing.of_image(image).unwrap_or_default(), now.of_image(image).unwrap_or_default());
            uncommitted.extend(inputs::differing(&old, &new).map(str::to_owned));
        }
        let mut templates = BTreeMap::new();
        for image in listing.names().into_iter().filter(|_| !packer_dir.join(base_image::SCRIPT).is_file()) {
            let template = Template::read(history, &listing, &image)?;
            templates.insert(image, template);
        }
        let source = source.map(str::to_owned);
        Ok(Self { what, source, commit, listing, uncommitted, templates, packer_dir: packer_dir.to_owned() })
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
            let error = format!("{path} is a submodule, and {} doesn't contain its files", self.what);
            problems.push(failure::missing(error).fix("commit the files themselves"));
        }
        if let Some(commit) = &self.commit {
            let plain: Vec<&str> = paths.iter().map(|(path, _)| path.as_str()).collect();
            for (path, attribute) in Git::at(&self.packer_dir).changed_by_checkout(commit, &plain)? {
                let error = failure::missing(format!(
                    "{path} has the attribute `{attribute}` in .gitattributes, so a clone's bytes are not those of the commit"
                ));
                problems.push(error.fix("remove that attribute from files in templates/ and shared/"));
            }
        }
        problems.into_result()
    }

    /// The whole packer directory as a tar archive: the bytes and modes of the commit, whatever git would make of them.
    ///
    /// # Errors
    ///
    /// Exit code 3: the commit has paths that belong to the host. Sending them would replace what the host keeps there, or make
    /// builds write elsewhere.
    pub fn pack(&self) -> anyhow::Result<Vec<u8>> {
        let mut tar = Tar::default();
        let Some(commit) = &self.commit else {
            self.pack_from_disk(&mut tar)?;
            return Ok(tar.finish());
        };
        let git = Git::at(&self.packer_dir);
        let checkout = git.checkout()?.context("the repository is gone")?;
        let mut objects = git.objects()?;
        let mut theirs = BTreeSet::new();
        for entry in git.tree(commit, &checkout.prefix)? {
            let Some(path) = entry.path.strip_prefix(&checkout.prefix).filter(|_| entry.mode != 0o160_000) else {
                continue;
            };
            if is_the_hosts(path) {
                theirs.insert(path.escape_debug().to_string());
                continue;
            }
            let object = objects.get(&entry.id)?.ok_or_else(|| {
                failure::missing(format!("this clone doesn't have the bytes of {path}"))
                    .fix("fetch the missing objects, or clone again without a filter")
            })?;
            tar.add(path, entry.mode, &object.bytes);
        }
        if !theirs.is_empty() {
            let theirs = theirs.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(failure::missing(format!(
                "--sync: {} has paths that belong to the build host: {theirs}",
                self.what
            ))
            .fix(format!(
                "remove them from the repository (`{}`), commit, and try again",
                suggest::git("rm -r --cached PATH")
            )));
        }
        Ok(tar.finish())
    }

    fn pack_from_disk(&self, tar: &mut Tar) -> anyhow::Result<()> {
        let stays =
            |entry: &walkdir::DirEntry| entry.depth() != 1 || !entry.file_name().to_str().is_some_and(is_the_hosts);
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

/// Whether a path's first name is the host's own, in upper or lower case: some file systems ignore case.
fn is_the_hosts(path: &str) -> bool {
    // No path that git writes has such a step, and one that somebody made by hand leads out of the folder.
    if path.split('/').any(|step| step == "..") {
        return true;
    }
    let first = path.split('/').next().unwrap_or_default().to_ascii_lowercase();
    LEFT.contains(&first.as_str()) || first.starts_with(WORK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_has_of_its_own_is_known_by_the_first_name() {
        for path in [
            "build.env",
            "images",
            "images/a/a.qcow2",
            ".cache/x",
            "logs",
            ".git/config",
            ".incoming.tar",
            "Images/x",
            "shared/../../x",
        ] {
            assert!(is_the_hosts(path), "{path}");
        }
        for path in
            ["build.sh", "templates/images/x", "shared/build.env", "images.md", "build.env.example", ".gitignore"]
        {
            assert!(!is_the_hosts(path), "{path}");
        }
    }
}
