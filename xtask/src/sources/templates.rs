//! Which files are templates: their names are the names of the images, and all of them together are the full set.
//!
//! A name that cannot be shown on one line is not a template, as in the engine. Used by all that needs the full set, and
//! by [`super::listing`] for other moments than now.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context as _;

use crate::failure::{self, Advice as _};
use crate::text;

/// The file that makes a folder under `templates/` a template.
pub const FILE: &str = "template.pkr.hcl";

/// Where an image's template may be, from the packer directory: today's layout, and the older, flat one.
pub fn paths(image: &str) -> [String; 2] {
    [format!("templates/{image}/{FILE}"), format!("templates/{image}.pkr.hcl")]
}

/// The image whose template this path is.
pub fn name_of(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("templates/")?;
    let name = match rest.split_once('/') {
        Some((name, file)) => (file == FILE).then_some(name)?,
        None => rest.strip_suffix(".pkr.hcl")?,
    };
    (!name.contains(text::is_obeyed)).then_some(name)
}

/// The names of all templates in the work tree, sorted.
///
/// # Errors
///
/// Exit code 3 when there is no packer directory, or no template in it.
pub fn names(packer_dir: &Path) -> anyhow::Result<BTreeSet<String>> {
    const FIX: &str = "name the packer directory with `--packer-dir`";
    let dir = packer_dir.join("templates");
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(failure::missing(format!("no templates folder {}", dir.display())).fix(FIX));
        }
        Err(error) => return Err(error).with_context(|| format!("reading {}", dir.display())),
    };
    let mut names = BTreeSet::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("reading {}", dir.display()))?.file_name();
        let Some(entry) = entry.to_str() else { continue };
        for path in [format!("templates/{entry}/{FILE}"), format!("templates/{entry}")] {
            let name = name_of(&path).filter(|_| packer_dir.join(&path).is_file());
            names.extend(name.map(str::to_owned));
        }
    }
    if names.is_empty() {
        return Err(failure::missing(format!("no template `<name>/{FILE}` in {}", dir.display())).fix(FIX));
    }
    Ok(names)
}
