//! Which of the images that are there a local command works on.

use std::collections::BTreeSet;
use std::path::Path;

use super::local::{self, Files};
use super::name;
use crate::failure::{self, Advice as _};
use crate::sources::templates;
use crate::{suggest, text};

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
        return Err(failure::missing(format!("no image in {}", images.display()))
            .fix(format_args!("run {}", suggest::command("build-and-fetch --host HOST"))));
    }
    let chosen: BTreeSet<String> = if asked.is_empty() {
        known
    } else {
        // A folder of images is enough: templates only add names.
        known.extend(templates::names(packer_dir).unwrap_or_default());
        choose(&known, asked)?
    };
    Ok(chosen.into_iter().map(|name| (name.clone(), found.remove(&name).unwrap_or_default())).collect())
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
        asked.iter().map(|name| name.strip_suffix(name::EXTENSION).unwrap_or(name).to_owned()).collect();
    if let Some(unknown) = asked.iter().find(|name| !known.contains(*name)) {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let meant = text::nearest(unknown, known.iter().copied());
        let meant = meant.map(|meant| format!("did you mean `{meant}`? ")).unwrap_or_default();
        return Err(failure::usage(format!(
            "unknown image `{}`; {meant}known images: {}",
            text::line(unknown),
            known.join(", ")
        )));
    }
    Ok(asked)
}
