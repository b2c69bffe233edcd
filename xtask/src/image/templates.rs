//! The templates in the work tree, which say what the full set of images is.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;

use crate::{failure, text};

/// The file that makes a folder under `templates/` a template.
pub const FILE: &str = "template.pkr.hcl";

/// The names of all templates, sorted: `templates/<name>/template.pkr.hcl`, or in the older layout
/// `templates/<name>.pkr.hcl`.
///
/// # Errors
///
/// Exit code 3 when there is no packer directory, or no template in it.
pub fn names(packer_dir: &Path) -> anyhow::Result<BTreeSet<String>> {
    let dir = packer_dir.join("templates");
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(failure::missing(format!(
                "no templates folder {}; name the packer directory with --packer-dir",
                dir.display()
            )));
        }
        Err(error) => return Err(error).with_context(|| format!("reading {}", dir.display())),
    };
    let mut names = BTreeSet::new();
    for entry in entries {
        let path = entry.with_context(|| format!("reading {}", dir.display()))?.path();
        let Some(file) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if path.join(FILE).is_file() {
            names.insert(file.to_owned());
        } else if let Some(name) = file.strip_suffix(".pkr.hcl").filter(|_| path.is_file()) {
            names.insert(name.to_owned());
        }
    }
    if names.is_empty() {
        return Err(failure::missing(format!("no template in {}; expected <name>/{FILE}", dir.display())));
    }
    Ok(names)
}

/// The names asked for, checked against the known ones; all known ones when none is asked for.
///
/// # Errors
///
/// Exit code 2 for an unknown name; the message lists the known ones.
pub fn choose(known: &BTreeSet<String>, asked: &[String]) -> anyhow::Result<BTreeSet<String>> {
    if asked.is_empty() {
        return Ok(known.clone());
    }
    let asked: BTreeSet<String> =
        asked.iter().map(|name| name.strip_suffix(super::name::EXTENSION).unwrap_or(name).to_owned()).collect();
    if let Some(unknown) = asked.iter().find(|name| !known.contains(*name)) {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let meant = text::nearest(unknown, known.iter().copied());
        let meant = meant.map(|meant| format!(", did you mean `{meant}`?")).unwrap_or_default();
        return Err(failure::usage(format!(
            "unknown image `{}`{meant}; known: {}",
            text::line(unknown),
            known.join(", ")
        )));
    }
    Ok(asked)
}
