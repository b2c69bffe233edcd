//! The decision with its reasons, for people and for programs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::baseline::Baseline;
use super::compare::{self, Change, Difference};
use super::history::History;
use super::inputs::{self, Listing};
use super::security::SecurityReport;
use super::upstream::BaseImageReport;
use crate::git::LastChange;
use crate::image::inputs::Files;

/// What to do about an image, or about all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    Skip,
    Rebuild,
}

impl Decision {
    pub fn word(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Rebuild => "rebuild",
        }
    }
}

/// One file that differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileChange {
    pub change: Change,
    pub uncommitted: bool,
}

/// The decision for one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReport {
    pub name: String,
    pub decision: Decision,
    pub reason: String,
    pub baseline: Option<Baseline>,
    /// Why it must be built.
    pub files: BTreeSet<FileChange>,
    /// What differs in comment lines and blank lines alone.
    pub comments: BTreeSet<FileChange>,
    /// Where it was asked for.
    pub base_image: Option<BaseImageReport>,
    /// Where it was asked for.
    pub security: Option<SecurityReport>,
}

impl ImageReport {
    /// For a reason that no file shows.
    pub fn rebuild(name: &str, baseline: Option<Baseline>, reason: String) -> Self {
        let (files, comments) = (BTreeSet::new(), BTreeSet::new());
        let name = name.to_owned();
        Self { name, decision: Decision::Rebuild, reason, baseline, files, comments, base_image: None, security: None }
    }

    /// By what differs from the baseline.
    pub fn compared(name: &str, baseline: Baseline, difference: Difference, uncommitted: Uncommitted<'_>) -> Self {
        let mark = |change| FileChange::new(change, uncommitted);
        let files: BTreeSet<FileChange> = difference.counted.into_iter().map(mark).collect();
        let comments: BTreeSet<FileChange> = difference.comments.into_iter().map(mark).collect();
        let since = baseline.short();
        let (decision, reason) = match (files.first(), files.len()) {
            (None, _) if comments.is_empty() => (Decision::Skip, format!("unchanged since {since}")),
            (None, _) => (Decision::Skip, format!("unchanged but for comments since {since}")),
            (Some(first), 1) => (Decision::Rebuild, first.describe()),
            (Some(first), more) => {
                (Decision::Rebuild, format!("{more} inputs differ since {since}, the first: {}", first.describe()))
            }
        };
        Self { decision, files, comments, ..Self::rebuild(name, Some(baseline), reason) }
    }

    /// Adds a reason that no file shows.
    pub fn rebuild_for(&mut self, reason: &str) {
        self.reason = match self.decision {
            Decision::Rebuild => format!("{}; {reason}", self.reason),
            Decision::Skip => reason.to_owned(),
        };
        self.decision = Decision::Rebuild;
    }
}

/// Whether a file is not as HEAD has it.
pub type Uncommitted<'a> = &'a dyn Fn(&str) -> bool;

impl FileChange {
    pub fn new(change: Change, uncommitted: Uncommitted<'_>) -> Self {
        Self { uncommitted: uncommitted(&change.path), change }
    }

    /// `shared/a.sh changed, uncommitted`
    pub fn describe(&self) -> String {
        let Change { path, how } = &self.change;
        let uncommitted = if self.uncommitted { ", uncommitted" } else { "" };
        format!("{path} {}{uncommitted}", how.word())
    }

    fn to_json(&self, authors: &BTreeMap<String, LastChange>) -> Value {
        let last = authors.get(&self.change.path).filter(|_| !self.uncommitted);
        json!({
            "path": self.change.path,
            "change": self.change.how.word(),
            "was": Value::Null,
            "uncommitted": self.uncommitted,
            "last_commit": last.map(|last| json!({
                "commit": last.commit,
                "author": last.author,
                "date": last.date,
                "subject": last.subject,
            })),
        })
    }
}

/// The decision for all images asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Sorted by name.
    pub images: Vec<ImageReport>,
    /// Published or built once, and without a template now.
    pub removed: BTreeSet<String>,
    /// Build scripts that differ: only a person can tell whether that changes an image.
    pub review: BTreeSet<FileChange>,
    /// What a person should know about how this was found.
    pub notes: Vec<String>,
    /// Who changed each of the files last, by its path from the packer directory.
    pub authors: BTreeMap<String, LastChange>,
}

impl Report {
    pub fn decision(&self) -> Decision {
        self.images.iter().map(|image| image.decision).max().unwrap_or(Decision::Skip)
    }

    /// The one baseline of all images; `None` when they have none or several.
    pub fn baseline(&self) -> Option<&Baseline> {
        let first = self.images.first()?.baseline.as_ref()?;
        let is_it = |base: &Baseline| (&base.what, &base.commit) == (&first.what, &first.commit);
        self.images.iter().all(|image| image.baseline.as_ref().is_some_and(is_it)).then_some(first)
    }

    /// What the images are compared with, in words.
    pub fn against(&self) -> String {
        if let Some(base) = self.baseline() {
            return format!("{}{}", base.what, base.commit_in_brackets());
        }
        let known = self.images.iter().filter(|image| image.baseline.is_some()).count();
        if known == 0 { "nothing".into() } else { "each image's own baseline".into() }
    }

    /// Files that differ in comments alone, over all images.
    pub fn comments(&self) -> BTreeSet<&FileChange> {
        self.images.iter().flat_map(|image| &image.comments).collect()
    }

    /// Files that count, with the images that they count for.
    pub fn files(&self) -> BTreeMap<&FileChange, Vec<&str>> {
        let mut files: BTreeMap<&FileChange, Vec<&str>> = BTreeMap::new();
        for image in &self.images {
            for file in &image.files {
                files.entry(file).or_default().push(&image.name);
            }
        }
        files
    }

    /// The files that a commit changed.
    pub fn committed(&self) -> BTreeSet<String> {
        let files = self.images.iter().flat_map(|image| image.files.iter().chain(&image.comments)).chain(&self.review);
        files.filter(|file| !file.uncommitted).map(|file| file.change.path.clone()).collect()
    }

    /// The fields of `check --json`.
    pub fn to_json(&self) -> Value {
        let paths = |files: &mut dyn Iterator<Item = &FileChange>| -> Vec<String> {
            let paths: BTreeSet<String> = files.map(|file| file.change.path.clone()).collect();
            paths.into_iter().collect()
        };
        let baseline = |base: Option<&Baseline>| match base {
            None => Value::Null,
            Some(base) => {
                json!({ "kind": base.kind, "what": base.what, "name": base.name, "commit": base.commit })
            }
        };
        let all = |files: &mut dyn Iterator<Item = &FileChange>| -> Vec<Value> {
            files.map(|file| file.to_json(&self.authors)).collect()
        };
        let images: Vec<Value> = self
            .images
            .iter()
            .map(|image| {
                json!({
                    "name": image.name,
                    "decision": image.decision.word(),
                    "reason": image.reason,
                    "baseline": baseline(image.baseline.as_ref()),
                    "files": paths(&mut image.files.iter()),
                    "changes": all(&mut image.files.iter()),
                    "comment_only": paths(&mut image.comments.iter()),
                    "base_image": image.base_image.as_ref().map(BaseImageReport::to_json),
                    "security": image.security.as_ref().map(SecurityReport::to_json),
                })
            })
            .collect();
        json!({
            "decision": self.decision().word(),
            "baseline": match self.baseline() {
                Some(base) => baseline(Some(base)),
                None => json!({ "kind": Value::Null, "what": self.against(), "name": Value::Null, "commit": Value::Null }),
            },
            "images": images,
            "removed": self.removed,
            "review": paths(&mut self.review.iter()),
            "review_changes": all(&mut self.review.iter()),
            "comment_only": all(&mut self.comments().into_iter()),
            "notes": self.notes,
        })
    }
}

/// The build scripts that differ and belong to no image.
pub fn review(
    history: &mut History,
    old: &Listing,
    new: &Listing,
    uncommitted: Uncommitted<'_>,
) -> anyhow::Result<BTreeSet<FileChange>> {
    let mut text = String::new();
    let mut owned = BTreeSet::new();
    for side in [old, new] {
        for (_, file) in side.files.iter().filter(|(path, _)| inputs::is_build_script(path)) {
            text.extend(history.read(&file.id)?.map(|text| String::from_utf8_lossy(&text).into_owned()));
        }
        owned.extend(side.names().iter().filter_map(|name| side.of_image(name)).flat_map(Files::into_keys));
    }
    let concerned =
        |path: &str| !owned.contains(path) && (inputs::is_build_script(path) || inputs::is_build_helper(path, &text));
    let changes = compare::changes(&old.files, &new.files).filter(|change| concerned(&change.path));
    Ok(changes.map(|change| FileChange::new(change, uncommitted)).collect())
}
