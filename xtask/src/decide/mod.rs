//! Whether the images need a rebuild, image by image, and why.
//!
//! [`observe`] asks git, the remote and GitHub; [`baseline`] says which commit each image was built from; [`compare`]
//! judges what it is made of by content, from [`snapshot`]s, by the places of files ([`layout`]) and by what its
//! template names ([`references`], read by [`hcl`]). [`decide`] puts these together. [`fits`] answers the same question
//! for a publish.

mod baseline;
mod comments;
mod compare;
mod hcl;
mod history;
mod inputs;
mod layout;
mod observe;
mod paths;
mod references;
mod report;
mod security;
mod snapshot;
mod upstream;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::failure;

pub use baseline::{Base, Baseline, Bases, Kind, Observed, Published, choose, is_newer, is_version, short};
pub use compare::{Comparison, Side};
pub use history::{History, Moment};
pub use observe::observe;
pub use report::{Decision, FileChange, ImageReport, Report};
pub use security::add as add_security;

/// Whether an image fits a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    Same,
    /// What it is made of differs; the paths.
    Differs(Vec<String>),
    /// Nobody can tell, and why.
    Unknown(String),
}

/// Whether what `image` is made of is the same at both commits.
pub fn fits(history: &mut History, image: &str, built_from: &str, source: &str) -> anyhow::Result<Fit> {
    let mut commits = Vec::new();
    for revision in [built_from, source] {
        match history.commit(revision)? {
            Some(commit) => commits.push(Moment::Commit(commit)),
            None => return Ok(Fit::Unknown(format!("commit {} is not in this clone", short(revision)))),
        }
    }
    let (old, new) = history.sides(&commits[0], &commits[1])?;
    Ok(match history.compare(image, &old, &new)? {
        Comparison::Both(difference) if difference.counted.is_empty() => Fit::Same,
        Comparison::Both(difference) => {
            Fit::Differs(difference.counted.into_iter().map(|change| change.path).collect())
        }
        Comparison::New => Fit::Unknown(format!("there was no template {image} at {}", short(built_from))),
        Comparison::Gone => Fit::Unknown(format!("there is no template {image} at {}", short(source))),
    })
}

/// `--base REV` for all images; nothing but this clone is asked.
///
/// # Errors
///
/// Exit code 3 when there is no such revision here.
pub fn given(history: &mut History, revision: &str, remote: &str, images: &BTreeSet<String>) -> anyhow::Result<Bases> {
    let Some(commit) = history.commit(revision)? else {
        let shown = revision.escape_debug();
        return Err(failure::missing(format!(
            "there is no revision `{shown}` in this clone to compare with; {}",
            history.cure(remote)
        )));
    };
    let what = format!("--base {revision}");
    let base = Baseline { kind: Kind::Base, what, name: Some(revision.to_owned()), commit };
    let images = images.iter().map(|name| (name.clone(), Base::Known(base.clone()))).collect();
    Ok(Bases { images, ..Bases::default() })
}

/// Adds what upstream publishes as a base today: another one than an image was built on is a reason to rebuild it.
pub fn add_base_images(report: &mut Report, packer_dir: &Path, observed: &Observed) -> anyhow::Result<()> {
    let names: Vec<&str> = report.images.iter().map(|image| image.name.as_str()).collect();
    let (upstream, notes) = upstream::ask(packer_dir, &names)?;
    let manifest = observed.manifest();
    for image in &mut report.images {
        let found = upstream::compare(&image.name, manifest, upstream.get(&image.name));
        if found.state == upstream::State::Differs {
            image.rebuild_for(&found.describe());
        }
        image.base_image = Some(found);
    }
    report.notes.extend(notes);
    Ok(())
}

/// Decides for the images that have a baseline, as they are in the work tree.
pub fn decide(history: &mut History, bases: &Bases, remote: &str) -> anyhow::Result<Report> {
    decide_for(history, bases, remote, &Moment::WorkTree)
}

/// The same for another moment than now.
pub fn decide_for(history: &mut History, bases: &Bases, remote: &str, moment: &Moment) -> anyhow::Result<Report> {
    let now = history.templates(moment)?;
    let mut sides: BTreeMap<String, Vec<(Side, Side, bool)>> = BTreeMap::new();
    let mut report = Report::new(bases.notes.clone());
    for (name, base) in &bases.images {
        let image = match base {
            Base::New(reason) => ImageReport::rebuild(name, None, format!("new image: {reason}")),
            Base::Unknown(reason) => ImageReport::rebuild(name, None, reason.clone()),
            Base::Known(base) => match history.commit(&base.commit)? {
                None => {
                    let (commit, cure) = (short(&base.commit), history.cure(remote));
                    let reason = format!("{} is {commit}, which is not in this clone; {cure}", base.what);
                    ImageReport::rebuild(name, Some(base.clone()), reason)
                }
                Some(commit) => {
                    if !sides.contains_key(&commit) {
                        let steps = steps(history, &commit, moment)?;
                        sides.insert(commit.clone(), steps);
                    }
                    judge(history, name, base, &sides[&commit])?
                }
            },
        };
        report.images.push(image);
    }
    for steps in sides.values() {
        let old = steps.first().map(|(old, ..)| old.images.keys());
        report.removed.extend(old.into_iter().flatten().filter(|name| !now.contains(*name)).cloned());
        for (old, new, uncommitted) in steps {
            report.review.extend(report::review(history, old, new, *uncommitted)?);
        }
    }
    report.removed.extend(bases.published.difference(&now).cloned());
    report.name_authors(history, sides.keys())?;
    Ok(report)
}

/// From a baseline to HEAD, and from there to the work tree if that differs: what is uncommitted counts, also when it
/// takes a change back.
fn steps(history: &mut History, base: &str, moment: &Moment) -> anyhow::Result<Vec<(Side, Side, bool)>> {
    let base = Moment::Commit(base.to_owned());
    if let Moment::Commit(_) = moment {
        let (old, new) = history.sides(&base, moment)?;
        return Ok(vec![(old, new, false)]);
    }
    let Some(head) = history.head.clone().map(Moment::Commit) else {
        let (old, new) = history.sides(&base, &Moment::WorkTree)?;
        return Ok(vec![(old, new, true)]);
    };
    let (old, new) = history.sides(&base, &head)?;
    let mut steps = vec![(old, new, false)];
    if !history.uncommitted()?.is_empty() {
        let (old, new) = history.sides(&head, &Moment::WorkTree)?;
        steps.push((old, new, true));
    }
    Ok(steps)
}

fn judge(
    history: &mut History,
    name: &str,
    base: &Baseline,
    steps: &[(Side, Side, bool)],
) -> anyhow::Result<ImageReport> {
    let mut image = ImageReport::unchanged(name, base.clone());
    let mut existed = false;
    for (at, (old, new, uncommitted)) in steps.iter().enumerate() {
        existed |= at == 0 && old.images.contains_key(name);
        match history.compare(name, old, new)? {
            Comparison::Both(difference) => image.add(difference, *uncommitted),
            Comparison::New if existed => image.reason = "its template was gone and is back".into(),
            Comparison::New => image.reason = format!("new image: no template in {}", base.what),
            Comparison::Gone => continue,
        }
        if !image.reason.is_empty() {
            image.decision = Decision::Rebuild;
            return Ok(image);
        }
    }
    image.conclude();
    Ok(image)
}
