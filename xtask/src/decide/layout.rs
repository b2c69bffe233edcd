//! Which image a file belongs to, by its place, in either layout.
//!
//! | place | belongs to |
//! |---|---|
//! | `templates/<name>/…` with a `template.pkr.hcl` | that image |
//! | `templates/<name>.pkr.hcl`, `templates/<name>.…` (the older, flat layout) | that image |
//! | `shared/…`, packer files at the top, what else lies in `templates/` | every image |
//! | `scripts/…`, `cloud-init/…` | every image whose template is flat |
//!
//! Documents, tests, CI files and publishing scripts among these belong to none, unless a template names them.

use std::collections::{BTreeMap, BTreeSet};

use super::snapshot::Snapshot;
use crate::image::templates;

/// Where an image's template is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pub path: String,
    /// What `${path.root}` stands for: the template's folder.
    pub folder: String,
    /// `templates/<name>.pkr.hcl`, in the older layout.
    pub flat: bool,
}

const EXTENSION: &str = ".pkr.hcl";

/// The templates in a snapshot, by name.
pub fn templates(snapshot: &Snapshot) -> BTreeMap<String, Template> {
    let mut found: BTreeMap<String, Template> = BTreeMap::new();
    for (path, _) in snapshot.below("templates") {
        let path_here = format!("templates/{path}");
        match path.split_once('/') {
            None => {
                if let Some(name) = path.strip_suffix(EXTENSION) {
                    let flat = Template { path: path_here, folder: "templates".into(), flat: true };
                    found.entry(name.to_owned()).or_insert(flat);
                }
            }
            Some((name, file)) if file == templates::FILE || file.strip_suffix(EXTENSION) == Some(name) => {
                let folder = format!("templates/{name}");
                let new = Template { path: path_here, folder, flat: false };
                if file == templates::FILE || found.get(name).is_none_or(|known| known.flat) {
                    found.insert(name.to_owned(), new);
                }
            }
            Some(_) => {}
        }
    }
    found
}

/// To whom a file belongs by its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    Image(String),
    Every,
    /// Every image whose own template is flat.
    EveryFlat,
    Nobody,
}

/// To whom a file belongs, and its name in both layouts. `names` are the templates of either side of a comparison, so
/// that what a removed template left behind isn't taken for everybody's.
pub fn owner(path: &str, names: &BTreeSet<String>) -> (Owner, String) {
    let (first, rest) = path.split_once('/').unwrap_or(("", path));
    match first {
        "templates" => in_templates(rest, names),
        "shared" => (Owner::Every, path.to_owned()),
        "scripts" | "cloud-init" => (Owner::EveryFlat, role(path)),
        "" if rest.ends_with(EXTENSION) || rest.ends_with(".pkrvars.hcl") => (Owner::Every, path.to_owned()),
        _ => (Owner::Nobody, path.to_owned()),
    }
}

fn in_templates(rest: &str, names: &BTreeSet<String>) -> (Owner, String) {
    if let Some((folder, file)) = rest.split_once('/') {
        if names.contains(folder) {
            return (Owner::Image(folder.to_owned()), format!("template/{file}"));
        }
    } else {
        // The longest name wins: `debian-12.x` is not `debian-1`'s, and a name may itself hold a period.
        let name =
            names.iter().filter(|name| rest.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('.')));
        if let Some(name) = name.max_by_key(|name| name.len()) {
            return (Owner::Image(name.clone()), format!("template/{}", &rest[name.len() + 1..]));
        }
    }
    (Owner::Every, format!("templates/{rest}"))
}

/// The name of an image's template in both layouts.
pub fn role_of_template() -> String {
    format!("template/{}", templates::FILE)
}

/// A file's name in both layouts: what was `scripts/` and `cloud-init/` is now in `shared/`.
pub fn role(path: &str) -> String {
    match path.split_once('/') {
        Some(("scripts" | "cloud-init", _)) => format!("shared/{path}"),
        _ => path.to_owned(),
    }
}

/// Documents, tests, CI files, publishing scripts: nothing of an image, wherever they lie.
pub fn is_apart(path: &str) -> bool {
    let lower = path.to_lowercase();
    let mut parts = lower.split('/').rev();
    let file = parts.next().unwrap_or_default();
    let folder = parts.any(|part| {
        matches!(part, "test" | "tests" | "docs" | "doc" | ".github" | ".gitlab" | ".ci" | ".circleci" | ".git")
    });
    folder || is_document(file) || is_test(file) || is_for_publishing(file)
}

fn is_document(file: &str) -> bool {
    let stem = file.split('.').next().unwrap_or(file);
    let extension = file.rsplit_once('.').map(|(_, extension)| extension);
    matches!(extension, Some("md" | "markdown" | "rst" | "adoc"))
        || matches!(
            stem,
            "readme" | "changelog" | "license" | "licence" | "contributing" | "authors" | "notice" | "todo" | "notes"
        )
        || matches!(
            file,
            ".gitignore"
                | ".gitattributes"
                | ".gitkeep"
                | ".keep"
                | ".gitlab-ci.yml"
                | ".editorconfig"
                | ".shellcheckrc"
                | ".markdownlint.json"
                | ".pre-commit-config.yaml"
                | "codeowners"
                | "makefile"
        )
}

fn is_test(file: &str) -> bool {
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    file.ends_with(".bats")
        || matches!(stem, "test" | "tests")
        || ["test-", "test_", "tests-", "tests_"].iter().any(|start| stem.starts_with(start))
        || ["-test", "_test", ".test", "-tests", "_tests"].iter().any(|end| stem.ends_with(end))
}

/// Scripts that handle finished images, or look at sources without building.
fn is_for_publishing(file: &str) -> bool {
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let first = stem.split(['-', '_']).next().unwrap_or(stem);
    let handles_images = matches!(first, "publish" | "checksum" | "checksums" | "upload" | "release");
    let judges_sources = matches!(first, "lint" | "validate" | "shellcheck" | "ci");
    file.ends_with(".sh") && (handles_images || judges_sources)
}

/// Scripts that start the build: a change there may or may not change an image, which only a person can tell.
pub fn is_build_script(path: &str) -> bool {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    matches!(folder, "" | "scripts") && file.ends_with(".sh") && (file == "build.sh" || file.starts_with("build-"))
}

/// Whether a file at the top (or in its `lib/`) takes part in building: a build script names it.
pub fn is_build_helper(path: &str, build_script: &str) -> bool {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    matches!(folder, "" | "lib" | "scripts" | "scripts/lib")
        && file.ends_with(".sh")
        && !is_apart(path)
        && build_script.contains(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> BTreeSet<String> {
        ["debian-12", "debian-12.custom", "pve"].map(str::to_owned).into()
    }

    #[test]
    fn files_belong_by_their_place() {
        let image = |name: &str| Owner::Image(name.to_owned());
        for (path, owned, role) in [
            ("templates/pve/template.pkr.hcl", image("pve"), "template/template.pkr.hcl"),
            ("templates/pve.pkr.hcl", image("pve"), "template/pkr.hcl"),
            ("templates/pve/files/a", image("pve"), "template/files/a"),
            ("templates/debian-12.custom.pkr.hcl", image("debian-12.custom"), "template/pkr.hcl"),
            ("templates/debian-12.pkrvars.hcl", image("debian-12"), "template/pkrvars.hcl"),
            ("templates/common/a", Owner::Every, "templates/common/a"),
            ("shared/scripts/a.sh", Owner::Every, "shared/scripts/a.sh"),
            ("scripts/a.sh", Owner::EveryFlat, "shared/scripts/a.sh"),
            ("cloud-init/user-data", Owner::EveryFlat, "shared/cloud-init/user-data"),
            ("plugins.pkr.hcl", Owner::Every, "plugins.pkr.hcl"),
            ("build.sh", Owner::Nobody, "build.sh"),
            ("http/preseed.cfg", Owner::Nobody, "http/preseed.cfg"),
            ("../shared/a", Owner::Nobody, "../shared/a"),
        ] {
            assert_eq!(owner(path, &names()), (owned, role.to_owned()), "{path}");
        }
    }

    #[test]
    fn some_files_belong_to_no_image() {
        for path in [
            "templates/pve/README.md",
            "shared/CHANGELOG",
            "shared/tests/a.sh",
            "scripts/test-build.sh",
            "shared/scripts/a.bats",
            "scripts/publish.sh",
            "scripts/checksums.sh",
            "shared/.gitkeep",
            "scripts/.github/x",
        ] {
            assert!(is_apart(path), "{path}");
        }
        for path in ["shared/scripts/attest.sh", "shared/packages.txt", "scripts/latest.sh", "cloud-init/user-data"] {
            assert!(!is_apart(path), "{path}");
        }
    }

    #[test]
    fn templates_are_found_in_both_layouts() {
        let paths =
            ["templates/a/a.pkr.hcl", "templates/a/template.pkr.hcl", "templates/b.pkr.hcl", "templates/c/d.pkr.hcl"];
        let entry = || super::super::snapshot::Entry::new(0o100_644, "1");
        let snapshot = Snapshot { files: paths.map(|path| (path.to_owned(), entry())).into() };
        let found = templates(&snapshot);
        let found: Vec<_> =
            found.iter().map(|(name, found)| (name.as_str(), found.path.as_str(), found.flat)).collect();
        assert_eq!(found, [("a", "templates/a/template.pkr.hcl", false), ("b", "templates/b.pkr.hcl", true)]);
    }

    #[test]
    fn build_scripts_are_known() {
        for path in ["build.sh", "scripts/build.sh", "build-all.sh"] {
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
