//! Whether two images, or an image and a commit, are made of the same inputs.
//!
//! A list of inputs counts before a commit, and comments do not count. What was not recorded, or is not in this clone, is
//! unknown, never the same. Used by `publish`, `document` and the picture of the phase.

use std::collections::BTreeSet;

use super::compare::Change;
use super::history::{History, Moment};
use super::inputs::{BuiltFrom, Files, Inputs};
use crate::git::short;

/// What was recorded of an image's origin.
#[derive(Debug, Clone, Copy, Default)]
pub struct Made<'a> {
    pub inputs: Option<&'a Inputs>,
    pub built_from: Option<&'a BuiltFrom>,
}

/// Whether two images are made of the same inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    Same,
    /// These inputs differ.
    Differs(BTreeSet<Change>),
    /// Why it is unknown.
    Unknown(String),
}

/// Compares what two images are made of.
pub fn fits(history: &mut History, image: &str, was: Made<'_>, now: Made<'_>) -> anyhow::Result<Fit> {
    let (was, now) = match (files(history, image, was)?, files(history, image, now)?) {
        (Ok(was), Ok(now)) => (was, now),
        (Err(why), _) | (_, Err(why)) => return Ok(Fit::Unknown(why)),
    };
    let counted = history.compare(&was, &now)?.counted;
    Ok(if counted.is_empty() { Fit::Same } else { Fit::Differs(counted) })
}

/// Whether an image is made of what a commit has.
pub fn fits_commit(history: &mut History, image: &str, was: Made<'_>, commit: &str) -> anyhow::Result<Fit> {
    let built_from = BuiltFrom { commit: commit.to_owned(), dirty: false };
    fits(history, image, was, Made { inputs: None, built_from: Some(&built_from) })
}

fn files(history: &mut History, image: &str, made: Made<'_>) -> anyhow::Result<Result<Files, String>> {
    if let Some(inputs) = made.inputs {
        return Ok(Ok(inputs.files.clone()));
    }
    let commit = match made.built_from {
        None => return Ok(Err("no build record says what it was built from".to_owned())),
        Some(BuiltFrom { commit, dirty: true }) => {
            return Ok(Err(format!("it was built from uncommitted changes on top of {}", short(commit))));
        }
        Some(BuiltFrom { commit, .. }) => commit,
    };
    let Some(commit) = history.commit(commit)? else {
        return Ok(Err(format!("commit {} is not in this clone", short(commit))));
    };
    let files = history.of_image(image, &Moment::Commit(commit.clone()))?;
    Ok(files.ok_or_else(|| format!("there is no template {image} at {}", short(&commit))))
}
