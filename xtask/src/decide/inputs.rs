//! Which files are at a place at one moment, and which of them an image is made of.
//!
//! The rule is the engine's: it copies `templates/<name>/` and `shared/` without documents, and builds from that copy
//! alone. In the older, flat layout (`templates/<name>.pkr.hcl`) there is no copy: `scripts/` and `cloud-init/` belong to
//! every image.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use anyhow::Context as _;
use walkdir::WalkDir;

use crate::git::TreeEntry;
use crate::image::inputs::{File, Files, SYMLINK};
use crate::image::templates;

/// Where inputs lie.
pub const FOLDERS: [&str; 4] = ["templates", "shared", "scripts", "cloud-init"];

/// What a submodule has as its mode: its files are in no commit of this repository.
pub const SUBMODULE: u32 = 0o160_000;

const FLAT: &str = ".pkr.hcl";

/// The files of the packer directory at one moment, those that no build could see left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    pub files: Files,
    /// By name, with the template's path.
    templates: BTreeMap<String, String>,
}

impl Listing {
    /// `read` gives a file's text, to tell a template of the flat layout from variables beside it.
    pub fn new(files: Files, mut read: impl FnMut(&File) -> Option<Vec<u8>>) -> Self {
        let files: Files = files.into_iter().filter(|(path, file)| is_seen(path, file)).collect();
        let mut templates = BTreeMap::new();
        for (path, file) in &files {
            let Some(rest) = path.strip_prefix("templates/") else { continue };
            match rest.split_once('/') {
                Some((name, templates::FILE)) => drop(templates.insert(name.to_owned(), path.clone())),
                None if rest.ends_with(FLAT) && read(file).is_none_or(|text| builds(&text)) => {
                    let name = rest[..rest.len() - FLAT.len()].to_owned();
                    templates.entry(name).or_insert_with(|| path.clone());
                }
                _ => {}
            }
        }
        Self { files, templates }
    }

    /// Other files in place of these, by the same templates.
    pub fn with_files(&self, files: Files) -> Self {
        Self { files: files.into_iter().filter(|(path, file)| is_seen(path, file)).collect(), ..self.clone() }
    }

    /// The templates' names.
    pub fn names(&self) -> BTreeSet<String> {
        self.templates.keys().cloned().collect()
    }

    /// The path of an image's template.
    pub fn template(&self, image: &str) -> Option<&str> {
        self.templates.get(image).map(String::as_str)
    }

    /// What an image is made of; `None` without a template.
    pub fn of_image(&self, image: &str) -> Option<Files> {
        let own = format!("templates/{image}/");
        let flat = !self.template(image)?.starts_with(&own);
        let belongs = |path: &str| match path.split_once('/') {
            Some(("shared", _)) => true,
            Some(("templates", rest)) if flat => self.belongs_flat(rest, image),
            Some(("templates", _)) => path.starts_with(&own),
            Some(("scripts" | "cloud-init", rest)) => flat && !is_apart(rest),
            _ => false,
        };
        let files = self.files.iter().filter(|(path, _)| belongs(path));
        Some(files.map(|(path, file)| (path.clone(), file.clone())).collect())
    }

    /// The longest name wins: `debian-12.x` is not `debian-1`'s. What is nobody's is everybody's.
    fn belongs_flat(&self, rest: &str, image: &str) -> bool {
        let leads = |name: &&String| rest.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('.'));
        let owner = self.templates.keys().filter(leads).max_by_key(|name| name.len());
        !rest.contains('/') && owner.is_none_or(|owner| owner == image)
    }
}

/// The files on disk, as they are: what git ignores reaches a build as well. `found` is told where each lies.
pub fn on_disk(packer_dir: &Path, mut found: impl FnMut(&File, &Path)) -> anyhow::Result<Files> {
    let mut files = Files::new();
    let seen = |entry: &walkdir::DirEntry| {
        let top = entry.path().strip_prefix(packer_dir).ok().and_then(|path| path.components().next());
        let folder = top.and_then(|top| top.as_os_str().to_str()).unwrap_or_default();
        let is_dir = entry.file_type().is_dir() && entry.depth() > 0;
        entry.file_name() != ".git" && (!is_dir || FOLDERS.contains(&folder) || folder == "lib")
    };
    for entry in WalkDir::new(packer_dir).sort_by_file_name().into_iter().filter_entry(seen) {
        let reading = || format!("reading the files of {}", packer_dir.display());
        let entry = entry.with_context(reading)?;
        let path = entry.path().strip_prefix(packer_dir).unwrap_or(entry.path());
        let path = crate::git::path_text(path.as_os_str().as_encoded_bytes());
        if entry.file_type().is_dir() || !is_concerned(&path) {
            continue;
        }
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

/// Build scripts that differ: a change there may or may not change an image, which only a person can tell. `text` is of
/// those that start a build, which name their helpers.
pub fn is_build_script(path: &str) -> bool {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let shell = file == "build.sh" || file.starts_with("build-") && file.ends_with(".sh");
    matches!(folder, "" | "scripts") && (shell || file == "build")
}

/// Whether a file at the top (or in its `lib/`) takes part in building: a build script names it.
pub fn is_build_helper(path: &str, build_script: &str) -> bool {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let place = matches!(folder, "" | "lib" | "scripts" | "scripts/lib");
    place && file.ends_with(".sh") && !is_apart(file) && build_script.contains(file)
}

fn is_concerned(path: &str) -> bool {
    path.split_once('/').is_none_or(|(folder, _)| folder == "lib" || FOLDERS.contains(&folder))
}

/// As the engine takes its copy: documents are no inputs.
fn is_seen(path: &str, file: &File) -> bool {
    !path.ends_with(".md") || file.mode == SYMLINK
}

/// Scripts beside those of the flat layout that handle finished images, or look at sources without building.
fn is_apart(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    let first = file.split(['-', '_', '.']).next().unwrap_or(file);
    matches!(
        first,
        "publish" | "checksum" | "checksums" | "upload" | "release" | "lint" | "validate" | "test" | "build"
    )
}

/// Whether a file of packer has more than variables in it.
fn builds(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"build") || line.starts_with(b"source"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(paths: &[&str]) -> Listing {
        let file = |path: &&str| ((*path).to_owned(), File { mode: 0o100_644, id: String::new() });
        Listing::new(paths.iter().map(file).collect(), |_| None)
    }

    #[test]
    fn files_belong_by_their_place() {
        let listing = listing(&[
            "templates/pve/template.pkr.hcl",
            "templates/pve/files/a",
            "templates/pve/README.md",
            "templates/debian-1.pkr.hcl",
            "templates/debian-1.x.pkr.hcl",
            "templates/debian-1.x.pkrvars.hcl",
            "templates/variables",
            "shared/a",
            "scripts/a.sh",
            "scripts/publish.sh",
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
        for path in ["build.sh", "build", "scripts/build.sh", "build-all.sh"] {
            assert!(is_build_script(path), "{path}");
        }
        assert!(!is_build_script("shared/scripts/build.sh"));
        assert!(is_build_helper("lib/log.sh", ". lib/log.sh"));
        assert!(!is_build_helper("publish.sh", "./publish.sh"));
    }

    #[test]
    fn the_parts_of_our_own_build_script_are_known() {
        let packer = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../packer");
        let script = std::fs::read_to_string(packer.join("build.sh")).unwrap();
        let parts = std::fs::read_dir(packer.join("lib")).unwrap().map(|entry| entry.unwrap().file_name());
        let parts: Vec<String> = parts.map(|name| format!("lib/{}", name.to_str().unwrap())).collect();
        assert!(!parts.is_empty());
        for part in parts {
            assert!(is_build_helper(&part, &script), "{part}");
        }
        assert!(!is_build_helper("base-images.sh", &script) && !is_build_helper("checksums.sh", &script));
    }
}
