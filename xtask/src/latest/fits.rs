//! Whether an image is made of what another moment has, and so whether a set fits its source.

use crate::decide::{History, Moment, short};
use crate::failure::{self, Problems};
use crate::image::inputs::{Files, Inputs};
use crate::image::record::BuiltFrom;

use super::set::Set;

/// An image that doesn't fit is a problem, or with `allow_stale` a warning; where nobody can tell, it is said once.
pub fn judge(
    history: &mut History,
    set: &Set,
    allow_stale: bool,
    warnings: &mut Vec<String>,
    problems: &mut Problems,
) -> anyhow::Result<()> {
    let mut unrecorded = Vec::new();
    for image in &set.images {
        let (name, source) = (&image.name, &set.source);
        let made = Made { inputs: image.facts.inputs.as_ref(), built_from: image.facts.built_from.as_ref() };
        if made.inputs.is_none() && made.built_from.is_none() {
            unrecorded.push(name.as_str());
            continue;
        }
        match fits_commit(history, name, made, &set.commit)? {
            Fit::Same => {}
            Fit::Unknown(why) => warnings.push(format!("whether {name} fits {source} is unknown: {why}")),
            Fit::Differs(files) => {
                let files = files.join(", ");
                let what = format!("{name} does not fit {source}: changed since it was built: {files}");
                if allow_stale {
                    warnings.push(what);
                } else {
                    problems.push(failure::failed(format!(
                        "{what}; build it again, or publish it as it is with --allow-stale"
                    )));
                }
            }
        }
    }
    if !unrecorded.is_empty() {
        warnings.push(format!(
            "no build record tells what {} was made of, so whether it fits {} is unknown; the next check will say rebuild",
            unrecorded.join(", "),
            set.source
        ));
    }
    Ok(())
}

/// What tells what an image was made of.
#[derive(Debug, Clone, Copy)]
pub struct Made<'a> {
    pub inputs: Option<&'a Inputs>,
    pub built_from: Option<&'a BuiltFrom>,
}

/// Whether two are made of the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    Same,
    /// What it is made of differs; the paths.
    Differs(Vec<String>),
    /// Nobody can tell, and why.
    Unknown(String),
}

/// Compares what two images are made of, comments aside.
pub fn fits(history: &mut History, image: &str, was: Made<'_>, now: Made<'_>) -> anyhow::Result<Fit> {
    let (was, now) = match (files(history, image, was)?, files(history, image, now)?) {
        (Ok(was), Ok(now)) => (was, now),
        (Err(why), _) | (_, Err(why)) => return Ok(Fit::Unknown(why)),
    };
    let counted = history.compare(&was, &now)?.counted;
    if counted.is_empty() {
        return Ok(Fit::Same);
    }
    Ok(Fit::Differs(counted.into_iter().map(|change| change.path).collect()))
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
        None => return Ok(Err("no build record tells what it was built from".to_owned())),
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
