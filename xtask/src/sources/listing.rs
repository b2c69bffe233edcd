//! Which files are in the packer directory at one moment, and which of them an image is made of.
//!
//! The rule is the engine's: it copies `templates/<name>/` and `shared/` without documents, tests and limits, and builds from
//! that copy alone. In the older, flat layout (`templates/<name>.pkr.hcl`) every image is also made of `scripts/`,
//! `cloud-init/` and what lies beside its template. Used by [`super::history`] and, for the files on a build host, by `host`.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use walkdir::{DirEntry, WalkDir};

use super::inputs::{File, Files, SYMLINK, is_input};
use super::templates;
use crate::git::TreeEntry;

/// Where inputs lie.
pub const FOLDERS: [&str; 4] = ["templates", "shared", "scripts", "cloud-init"];

/// The files of the packer directory at one moment, without those that no build sees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    pub files: Files,
}

impl Listing {
    pub fn new(mut files: Files) -> Self {
        files.retain(|path, file| is_input(path) && (!path.ends_with(".md") || file.mode == SYMLINK));
        Self { files }
    }

    /// The templates' names.
    pub fn names(&self) -> BTreeSet<String> {
        self.files.keys().filter_map(|path| templates::name_of(path)).map(str::to_owned).collect()
    }

    /// The path of an image's template.
    pub fn template(&self, image: &str) -> Option<String> {
        templates::paths(image).into_iter().find(|path| self.files.contains_key(path))
    }

    /// What an image is made of; `None` without a template.
    pub fn of_image(&self, image: &str) -> Option<Files> {
        let own = format!("templates/{image}/");
        let is_flat = !self.template(image)?.starts_with(&own);
        let names = self.names();
        // A file that begins with no template's name belongs to all of them.
        let is_beside = |file: &str| {
            let mut owners = names.iter().filter(|name| file.starts_with(&format!("{name}.")));
            !file.contains('/') && (file.starts_with(&format!("{image}.")) || owners.next().is_none())
        };
        let belongs = |path: &str| match path.split_once('/') {
            Some(("shared", _)) => true,
            Some(("templates", file)) if is_flat => is_beside(file),
            Some(("scripts" | "cloud-init", _)) => is_flat,
            _ => path.starts_with(&own),
        };
        let files = self.files.iter().filter(|(path, _)| belongs(path));
        Some(files.map(|(path, file)| (path.clone(), file.clone())).collect())
    }
}

/// The files on disk, as they are: what git ignores reaches a build as well. `found` receives each with its place.
pub fn on_disk(packer_dir: &Path, mut found: impl FnMut(&File, &Path)) -> anyhow::Result<Files> {
    let mut files = Files::new();
    let is_concerned = |entry: &DirEntry| match (entry.depth(), entry.file_name().to_str()) {
        (_, Some(".git")) | (1, None) => false,
        (1, Some(name)) if entry.file_type().is_dir() => name == "lib" || FOLDERS.contains(&name),
        (1, Some(name)) => is_concerned(name),
        _ => true,
    };
    for entry in WalkDir::new(packer_dir).sort_by_file_name().into_iter().filter_entry(is_concerned) {
        let entry = entry.with_context(|| format!("reading the files of {}", packer_dir.display()))?;
        let path = entry.path().strip_prefix(packer_dir).unwrap_or(entry.path());
        let path = crate::git::path_text(path.as_os_str().as_encoded_bytes());
        match File::on_disk(entry.path()) {
            Ok(Some(file)) => {
                found(&file, entry.path());
                files.insert(path, file);
            }
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("reading {}", entry.path().display())),
        }
    }
    Ok(files)
}

/// The files of a commit, whose paths begin at the top of the repository.
pub fn in_tree(entries: Vec<TreeEntry>, prefix: &str) -> Files {
    let file = |entry: TreeEntry| {
        let path = entry.path.strip_prefix(prefix)?.to_owned();
        is_concerned(&path).then_some((path, File { mode: entry.mode, id: entry.id }))
    };
    entries.into_iter().filter_map(file).collect()
}

/// Whether a file takes part in building and is no input: only a person can tell whether a change there changes an image.
pub fn is_build_script(path: &str) -> bool {
    matches!(path, "build" | "build.sh") || path.starts_with("lib/") && path.ends_with(".sh")
}

fn is_concerned(path: &str) -> bool {
    is_build_script(path) || path.split_once('/').is_some_and(|(folder, _)| FOLDERS.contains(&folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(paths: &[&str]) -> Listing {
        let file = |path: &&str| ((*path).to_owned(), File { mode: 0o100_644, id: String::new() });
        Listing::new(paths.iter().map(file).collect())
    }

    #[test]
    fn a_name_that_is_no_line_is_no_template() {
        let odd = ["templates/a\nb/template.pkr.hcl", "templates/\u{1b}[2J.pkr.hcl", "templates/c/template.pkr.hcl"];
        assert_eq!(listing(&odd).names(), ["c".to_owned()].into());
    }

    #[test]
    fn files_belong_by_their_place() {
        let listing = listing(&[
            "templates/pve/template.pkr.hcl",
            "templates/pve/files/a",
            "templates/pve/README.md",
            "templates/pve/tests/boots.sh",
            "templates/pve/limits",
            "templates/debian-1.pkr.hcl",
            "templates/debian-1.x.pkr.hcl",
            "templates/debian-1.x.pkrvars.hcl",
            "templates/variables",
            "shared/a",
            "scripts/a.sh",
            "cloud-init/user-data",
            "build.sh",
        ]);
        for (image, expected) in [
            ("pve", &["shared/a", "templates/pve/files/a", "templates/pve/template.pkr.hcl"][..]),
            (
                "debian-1.x",
                &[
                    "cloud-init/user-data",
                    "scripts/a.sh",
                    "shared/a",
                    "templates/debian-1.x.pkr.hcl",
                    "templates/debian-1.x.pkrvars.hcl",
                    "templates/variables",
                ],
            ),
        ] {
            assert_eq!(listing.of_image(image).unwrap().keys().collect::<Vec<_>>(), expected, "{image}");
        }
        assert_eq!(listing.of_image("gone"), None);
    }

    #[test]
    fn build_scripts_are_known() {
        for path in ["build.sh", "build", "lib/log.sh"] {
            assert!(is_build_script(path), "{path}");
        }
        for path in ["shared/scripts/build.sh", "publish.sh", "lib/notes.txt"] {
            assert!(!is_build_script(path), "{path}");
        }
    }
}
