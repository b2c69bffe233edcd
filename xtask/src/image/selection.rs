//! Which of the images that are there a local command works on.

use std::collections::BTreeSet;
use std::path::Path;

use super::local::{self, Files};
use super::templates;
use crate::failure;
use crate::typed;

/// The images named, or all that are there, by name. An image that is named and known as a template but isn't there
/// comes with no files, for [`local::LocalImage::open`] to judge.
///
/// # Errors
///
/// Exit code 3: no images folder, or no image in it. Exit code 2: a name that is neither there nor a template's.
pub fn select(packer_dir: &Path, images: &Path, asked: &[String]) -> anyhow::Result<Vec<(String, Files)>> {
    let mut found = local::scan(images)?;
    let mut known = local::present(&found);
    if asked.is_empty() && known.is_empty() {
        return Err(failure::missing(format!(
            "no image in {}; run {}",
            images.display(),
            typed::line("build-and-fetch --host HOST")
        )));
    }
    let chosen: BTreeSet<String> = if asked.is_empty() {
        known
    } else {
        // A folder of images is enough: templates only add names.
        known.extend(templates::names(packer_dir).unwrap_or_default());
        templates::choose(&known, asked)?
    };
    Ok(chosen.into_iter().map(|name| (name.clone(), found.remove(&name).unwrap_or_default())).collect())
}
