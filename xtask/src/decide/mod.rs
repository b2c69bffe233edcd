//! Whether the images need a rebuild, image by image, and why.
//!
//! [`inputs`] says which files an image is made of, [`observe`] asks git, the remote and GitHub, [`baseline`] says what
//! each published image was made of, and [`compare`] holds one list against the other, with [`comments`] aside. [`decide`]
//! puts these together.

mod baseline;
mod comments;
mod compare;
mod history;
mod inputs;
mod observe;
mod report;
mod security;
mod upstream;

use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

use crate::failure;

pub use baseline::{Base, Baseline, Bases, Kind, Observed, Published, choose, short};
pub use history::{History, Moment};
pub use inputs::{FOLDERS, Listing};
pub use observe::observe;
pub use report::{Decision, FileChange, ImageReport, Report};
pub use security::add as add_security;

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
    let base = Baseline::at(Kind::Base, format!("--base {revision}"), Some(revision), &commit);
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
    let now = history.listing(moment)?;
    let head = match history.head.clone() {
        Some(head) => history.listing(&Moment::Commit(head))?,
        None => Rc::default(),
    };
    let uncommitted = |path: &str| *moment == Moment::WorkTree && head.files.get(path) != now.files.get(path);
    let mut report = Report { notes: bases.notes.clone(), ..Report::default() };
    let mut commits = BTreeSet::new();
    for (name, base) in &bases.images {
        let mut image = match base {
            Base::New(reason) => ImageReport::rebuild(name, None, format!("new image: {reason}")),
            Base::Unknown(reason) => ImageReport::rebuild(name, None, reason.clone()),
            Base::Known(base) => {
                let commit = base.commit.as_deref().map_or(Ok(None), |commit| history.commit(commit))?;
                commits.extend(commit.clone());
                judge(history, name, base, commit, &now, remote, &uncommitted)?
            }
        };
        if let Some(reason) = bases.reasons.get(name) {
            image.rebuild_for(reason);
        }
        report.images.push(image);
    }
    for commit in &commits {
        let old = history.listing(&Moment::Commit(commit.clone()))?;
        report.removed.extend(old.names());
        report.review.extend(report::review(history, &old, &now, &uncommitted)?);
    }
    report.removed.extend(bases.published.iter().cloned());
    report.removed.retain(|name| now.template(name).is_none());
    report.authors = history.authors(&report.committed(), &commits)?;
    Ok(report)
}

fn judge(
    history: &mut History,
    name: &str,
    base: &Baseline,
    commit: Option<String>,
    now: &Listing,
    remote: &str,
    uncommitted: report::Uncommitted<'_>,
) -> anyhow::Result<ImageReport> {
    let rebuild = |reason| Ok(ImageReport::rebuild(name, Some(base.clone()), reason));
    let old = match (&base.inputs, commit) {
        (Some(inputs), _) => inputs.files.clone(),
        (None, Some(commit)) => match history.of_image(name, &Moment::Commit(commit))? {
            Some(files) => files,
            None => return rebuild(format!("new image: no template in {}", base.what)),
        },
        (None, None) => {
            let (commit, cure) = (base.commit.as_deref().map_or("", short), history.cure(remote));
            return rebuild(format!("{} is {commit}, which is not in this clone; {cure}", base.what));
        }
    };
    let new = now.of_image(name).unwrap_or_default();
    Ok(ImageReport::compared(name, base.clone(), history.compare(&old, &new)?, uncommitted))
}
