//! Which images must be rebuilt, and why.
//!
//! [`by_latest`] compares the packer directory with what each published image was made of, [`by_revision`] with a revision of
//! this clone; base images and security fixes add reasons that no file shows. What is on `latest` is handed in, never asked
//! for here, and what is unknown means rebuild, never skip. Used by `phase`, `document` and `verbs/check.rs`.

mod baseline;
mod report;
mod security;
mod upstream;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use xshell::cmd;

use crate::failure::{self, Advice as _};
use crate::git::short;
use crate::process::{self, Finished};
use crate::repo::LATEST;
use crate::sources::{self, Files, History, Listing, Moment};

pub use baseline::{Baseline, Observed, Published};
pub use report::{Decision, ImageReport, Report};
pub use security::{List, add as add_security, lines as security_lines};
pub use upstream::add as add_base_images;

use baseline::{Found, Kind};

/// Compares images with a revision; only this clone is asked.
///
/// # Errors
///
/// Exit code 3 when this clone has no such revision.
pub fn by_revision(
    history: &mut History,
    revision: &str,
    remote: &str,
    images: &BTreeSet<String>,
) -> anyhow::Result<Report> {
    let Some(commit) = history.commit(revision)? else {
        let shown = revision.escape_debug();
        let error = failure::missing(format!("there is no revision `{shown}` in this clone to compare with"));
        return Err(error.fix(history.how_to_fetch(remote)));
    };
    let base = Baseline::at(Kind::Base, format!("--base {revision}"), Some(revision), &commit);
    let baselines = images.iter().map(|name| (name.clone(), Ok(base.clone()))).collect();
    compare(history, baselines, remote, &Moment::WorkTree)
}

/// Compares images as they are at a moment with what is published.
///
/// # Errors
///
/// Exit code 3 when what is needed for an answer could not be asked.
pub fn by_latest(
    history: &mut History,
    observed: &Observed,
    images: &BTreeSet<String>,
    moment: &Moment,
) -> anyhow::Result<Report> {
    let head = match moment {
        Moment::Commit(commit) => Some(commit.clone()),
        Moment::WorkTree => history.head.clone(),
    };
    let mut notes = Vec::new();
    let baselines = observed.baselines(images, head.as_deref(), &mut notes)?;
    let mut report = compare(history, baselines, &observed.remote, moment)?;
    report.notes = notes;
    match &observed.latest {
        Ok(Some(latest)) => {
            let now = history.listing(moment)?;
            report.removed.extend(latest.images.keys().filter(|name| now.template(name).is_none()).cloned());
            for image in &mut report.images {
                latest.altered.get(&image.name).iter().for_each(|why| image.rebuild_for(why));
            }
        }
        _ => {
            for image in report.images.iter_mut().filter(|image| image.baseline.is_some()) {
                image.rebuild_for(&format!("not published: there is no release `{LATEST}`"));
            }
        }
    }
    Ok(report)
}

fn compare(
    history: &mut History,
    baselines: BTreeMap<String, Found>,
    remote: &str,
    moment: &Moment,
) -> anyhow::Result<Report> {
    let now = history.listing(moment)?;
    let mut report = Report::default();
    if let (Moment::WorkTree, Some(head)) = (moment, history.head.clone()) {
        let head = history.listing(&Moment::Commit(head))?;
        report.uncommitted = sources::inputs::differing(&head.files, &now.files).map(str::to_owned).collect();
    }
    let mut commits = BTreeSet::new();
    for (name, found) in baselines {
        let image = match found {
            Err(reason) => ImageReport::rebuild(&name, None, reason),
            Ok(base) => {
                let commit = base.commit.as_deref().map_or(Ok(None), |commit| history.commit(commit))?;
                commits.extend(commit.clone());
                match made_of(history, &name, &base, commit, remote)? {
                    Err(reason) => ImageReport::rebuild(&name, Some(base), reason),
                    Ok(old) => {
                        let new = now.of_image(&name).unwrap_or_default();
                        ImageReport::compared(&name, base, history.compare(&old, &new)?, &report.uncommitted)
                    }
                }
            }
        };
        report.images.push(image);
    }
    for commit in &commits {
        let old = history.listing(&Moment::Commit(commit.clone()))?;
        report.removed.extend(old.names().into_iter().filter(|name| now.template(name).is_none()));
        report.review.extend(build_scripts(&old, &now));
    }
    report.authors = history.authors(&report.committed())?;
    Ok(report)
}

/// The files that an image's baseline names, or why they are unknown.
fn made_of(
    history: &mut History,
    name: &str,
    base: &Baseline,
    commit: Option<String>,
    remote: &str,
) -> anyhow::Result<Result<Files, String>> {
    if let Some(inputs) = &base.inputs {
        return Ok(Ok(inputs.files.clone()));
    }
    let Some(commit) = commit else {
        let (commit, fix) = (base.commit.as_deref().map_or("", short), history.how_to_fetch(remote));
        return Ok(Err(format!("{} is {commit}, which is not in this clone; {fix}", base.what)));
    };
    let files = history.of_image(name, &Moment::Commit(commit))?;
    Ok(files.ok_or_else(|| format!("new image: no template in {}", base.what)))
}

/// The build scripts that differ; they belong to no image.
fn build_scripts(old: &Listing, new: &Listing) -> impl Iterator<Item = sources::Change> {
    let changes: Vec<_> = sources::compare::changes(&old.files, &new.files).collect();
    changes.into_iter().filter(|change| sources::is_build_script(&change.path))
}

/// Runs a script of the engine; `None` where it has none of this name.
fn script(packer_dir: &Path, name: &str, arguments: &[&str]) -> anyhow::Result<Option<Finished>> {
    // A bare name would be looked for in PATH.
    let script = packer_dir.canonicalize().unwrap_or_else(|_| packer_dir.to_owned()).join(name);
    if !script.is_file() {
        return Ok(None);
    }
    let sh = process::shell()?;
    process::output(cmd!(sh, "{script} {arguments...}")).map(Some)
}
