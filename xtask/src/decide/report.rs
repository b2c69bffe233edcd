//! The decision with its reasons, for people and for programs.
//!
//! A [`Report`] has one [`ImageReport`] for each image asked about; the strongest of these decisions is the decision about all.
//! `verbs/check.rs` shows it, `phase` and `document` read it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::baseline::Baseline;
use crate::git::LastChange;
use crate::packages::security::Finding;
use crate::sources::{Change, Difference, because};

/// What to do about an image, or about all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    Skip,
    /// No file changed, but something that was asked for got no answer. In JSON: `null`.
    Unknown,
    Rebuild,
}

impl Decision {
    pub fn word(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Unknown => "unknown",
            Self::Rebuild => "rebuild",
        }
    }
}

impl Serialize for Decision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Some(self.word()).filter(|_| *self != Self::Unknown).serialize(serializer)
    }
}

/// An image's base compared with upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BaseImageReport {
    /// `same`, `differs`, or `unknown`, which never counts as `same`.
    pub state: &'static str,
    /// Why it is unknown.
    pub reason: Option<&'static str>,
    pub url: Option<String>,
    /// The digest of what the image was built on.
    pub built_on: Option<String>,
    /// The digest of what upstream publishes.
    pub upstream: Option<String>,
    pub version: Option<String>,
}

impl BaseImageReport {
    /// `upstream has another base image 20260101-1`
    pub fn describe(&self) -> String {
        let version = self.version.as_ref().map_or_else(String::new, |version| format!(" {version}"));
        match (self.state, self.reason) {
            (_, Some(why)) => format!("base image unknown: {why}"),
            ("differs", None) => format!("upstream has another base image{version}"),
            _ => format!("base image{version} unchanged"),
        }
    }
}

/// The decision for one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReport {
    pub name: String,
    pub decision: Decision,
    pub reason: String,
    pub baseline: Option<Baseline>,
    /// Why it must be built.
    pub files: BTreeSet<Change>,
    /// Files that differ in comment lines and blank lines alone.
    pub comments: BTreeSet<Change>,
    /// With `--base-images`.
    pub base_image: Option<BaseImageReport>,
    /// With `--security`; an error says why the fixes are unknown.
    pub security: Option<Result<Vec<Finding>, String>>,
}

impl ImageReport {
    /// For a reason that no file shows.
    pub fn rebuild(name: &str, baseline: Option<Baseline>, reason: String) -> Self {
        let (files, comments) = (BTreeSet::new(), BTreeSet::new());
        let name = name.to_owned();
        Self { name, decision: Decision::Rebuild, reason, baseline, files, comments, base_image: None, security: None }
    }

    /// By what differs from the baseline.
    pub fn compared(name: &str, baseline: Baseline, differs: Difference, uncommitted: &BTreeSet<String>) -> Self {
        let since = baseline.short();
        let (decision, reason) = match differs.counted.first() {
            None if differs.comments.is_empty() => (Decision::Skip, format!("unchanged since {since}")),
            None => (Decision::Skip, format!("unchanged but for comments since {since}")),
            Some(first) => {
                let uncommitted = if uncommitted.contains(&first.path) { ", uncommitted" } else { "" };
                (Decision::Rebuild, because(&differs.counted, since) + uncommitted)
            }
        };
        let (files, comments) = (differs.counted, differs.comments);
        Self { decision, files, comments, ..Self::rebuild(name, Some(baseline), reason) }
    }

    /// Adds a reason that no file shows.
    pub fn rebuild_for(&mut self, reason: &str) {
        self.reason = match self.decision {
            Decision::Rebuild => format!("{}; {reason}", self.reason),
            Decision::Skip | Decision::Unknown => reason.to_owned(),
        };
        self.decision = Decision::Rebuild;
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
    pub review: BTreeSet<Change>,
    /// What a person should know about how this was found.
    pub notes: Vec<String>,
    /// Paths that are not as HEAD has them.
    pub uncommitted: BTreeSet<String>,
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
        match self.baseline() {
            Some(base) => base.describe(),
            None if self.images.iter().all(|image| image.baseline.is_none()) => "nothing".to_owned(),
            None => "each image's own baseline".to_owned(),
        }
    }

    /// `shared/a.sh changed, uncommitted`
    pub fn describe(&self, change: &Change) -> String {
        let uncommitted = if self.uncommitted.contains(&change.path) { ", uncommitted" } else { "" };
        format!("{}{uncommitted}", change.describe())
    }

    /// Files that differ in comments alone, over all images.
    pub fn comments(&self) -> BTreeSet<&Change> {
        self.images.iter().flat_map(|image| &image.comments).collect()
    }

    /// Files that count, with the images that they count for.
    pub fn files(&self) -> BTreeMap<&Change, Vec<&str>> {
        let mut files: BTreeMap<&Change, Vec<&str>> = BTreeMap::new();
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
        files.map(|file| file.path.clone()).filter(|path| !self.uncommitted.contains(path)).collect()
    }

    /// The fields of `check --json`.
    pub fn to_json(&self) -> Value {
        let image = |image: &ImageReport| {
            json!({
                "name": image.name,
                "decision": image.decision,
                "reason": image.reason,
                "baseline": image.baseline,
                "files": paths(&image.files),
                "changes": self.changes(&image.files),
                "comment_only": paths(&image.comments),
                "base_image": image.base_image,
                "security": image.security.as_ref().map(security),
            })
        };
        let none = || json!({ "kind": null, "what": self.against(), "name": null, "commit": null });
        json!({
            "decision": self.decision(),
            "baseline": self.baseline().map_or_else(none, |base| json!(base)),
            "images": self.images.iter().map(image).collect::<Vec<_>>(),
            "removed": self.removed,
            "review": paths(&self.review),
            "review_changes": self.changes(&self.review),
            "comment_only": self.changes(self.comments()),
            "notes": self.notes,
        })
    }

    fn changes<'a>(&self, changes: impl IntoIterator<Item = &'a Change>) -> Vec<Value> {
        let with_author = |change: &Change| {
            let mut value = json!(change);
            let uncommitted = self.uncommitted.contains(&change.path);
            value["uncommitted"] = json!(uncommitted);
            value["last_commit"] = json!(self.authors.get(&change.path).filter(|_| !uncommitted));
            value
        };
        changes.into_iter().map(with_author).collect()
    }
}

/// Newer packages for the JSON object.
fn security(found: &Result<Vec<Finding>, String>) -> Value {
    let (state, findings) = match found {
        Err(_) => ("unknown", &[][..]),
        Ok(findings) => (if findings.is_empty() { "none" } else { "fixes" }, findings.as_slice()),
    };
    json!({ "state": state, "reason": found.as_ref().err(), "findings": findings })
}

fn paths(changes: &BTreeSet<Change>) -> Vec<&str> {
    changes.iter().map(|change| change.path.as_str()).collect()
}
