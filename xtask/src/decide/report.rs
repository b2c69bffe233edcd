//! The decision with its reasons, for people and for programs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::baseline::{Baseline, short};
use super::compare::{Change, Difference, How, Side};
use super::history::History;
use super::layout;
use super::security::SecurityReport;
use super::upstream::BaseImageReport;
use crate::git::LastChange;

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

    /// Until differences are added.
    pub fn unchanged(name: &str, baseline: Baseline) -> Self {
        Self { decision: Decision::Skip, ..Self::rebuild(name, Some(baseline), String::new()) }
    }

    pub fn add(&mut self, difference: Difference, uncommitted: bool) {
        self.files.extend(difference.counted.into_iter().map(|change| FileChange { change, uncommitted }));
        self.comments.extend(difference.comments.into_iter().map(|change| FileChange { change, uncommitted }));
    }

    /// Decides by the differences.
    pub fn conclude(&mut self) {
        let since = self.baseline.as_ref().map_or_else(String::new, |base| format!(" since {}", base.what));
        let Some(first) = self.files.first() else {
            let comments = if self.comments.is_empty() { "" } else { " but for comments" };
            self.reason = format!("inputs unchanged{comments}{since}");
            return;
        };
        self.decision = Decision::Rebuild;
        let first = first.describe();
        self.reason = match self.files.len() {
            1 => first,
            more => format!("{more} inputs differ{since}, the first: {first}"),
        };
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

impl FileChange {
    /// `shared/a.sh changed, uncommitted`
    pub fn describe(&self) -> String {
        let Change { path, how, was } = &self.change;
        let was = was.as_ref().map_or_else(String::new, |was| format!(" (was {was})"));
        let uncommitted = if self.uncommitted { ", uncommitted" } else { "" };
        format!("{path} {}{was}{uncommitted}", how.word())
    }

    fn to_json(&self, authors: &BTreeMap<String, LastChange>) -> Value {
        let last = authors.get(&self.change.path).filter(|_| !self.uncommitted);
        json!({
            "path": self.change.path,
            "change": self.change.how.word(),
            "was": self.change.was,
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

/// Files whose last commit is looked up one by one, when the range since the baseline doesn't show it.
const LOOKED_UP: usize = 20;

impl Report {
    pub fn new(notes: Vec<String>) -> Self {
        Self { notes, ..Self::default() }
    }

    pub fn decision(&self) -> Decision {
        self.images.iter().map(|image| image.decision).max().unwrap_or(Decision::Skip)
    }

    /// The one baseline of all images; `None` when they have none or several.
    pub fn baseline(&self) -> Option<&Baseline> {
        let (first, rest) = self.images.split_first()?;
        let first = first.baseline.as_ref()?;
        rest.iter().all(|image| image.baseline.as_ref() == Some(first)).then_some(first)
    }

    /// What the images are compared with, in words.
    pub fn against(&self) -> String {
        if let Some(base) = self.baseline() {
            return format!("{} ({})", base.what, short(&base.commit));
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

    /// Finds who changed the files last: for each baseline one question, then one for each file that it didn't answer.
    pub fn name_authors<'c>(
        &mut self,
        history: &History,
        baselines: impl Iterator<Item = &'c String>,
    ) -> anyhow::Result<()> {
        let files = self.images.iter().flat_map(|image| image.files.iter().chain(&image.comments)).chain(&self.review);
        let committed: BTreeSet<String> =
            files.filter(|file| !file.uncommitted).map(|file| file.change.path.clone()).collect();
        if committed.is_empty() {
            return Ok(());
        }
        let prefix = &history.checkout.prefix;
        let mut found = BTreeMap::new();
        for baseline in baselines {
            found.extend(history.git().last_changes(Some(baseline), prefix)?);
        }
        for path in &committed {
            let full = super::paths::absolute(path, prefix);
            let mut last = found.remove(&full);
            if last.is_none() && self.authors.len() < LOOKED_UP {
                last = history.git().last_change(&full)?;
            }
            self.authors.extend(last.map(|last| (path.clone(), last)));
        }
        Ok(())
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
                json!({ "kind": base.kind.word(), "what": base.what, "name": base.name, "commit": base.commit })
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
    old: &Side,
    new: &Side,
    uncommitted: bool,
) -> anyhow::Result<BTreeSet<FileChange>> {
    let mut text = String::new();
    for side in [old, new] {
        for (path, entry) in side.snapshot.files.iter().filter(|(path, _)| layout::is_build_script(path)) {
            if !old.snapshot.files.get(path).is_some_and(|was| was == entry && std::ptr::eq(side, new)) {
                text.extend(history.read(&entry.id)?.map(|text| String::from_utf8_lossy(&text).into_owned()));
            }
        }
    }
    let owned: BTreeSet<&str> = [old, new]
        .into_iter()
        .flat_map(|side| side.images.values())
        .flat_map(|inputs| inputs.files.values())
        .map(|input| input.path.as_str())
        .collect();
    let concerned =
        |path: &str| !owned.contains(path) && (layout::is_build_script(path) || layout::is_build_helper(path, &text));
    let (before, after) = (&old.snapshot.files, &new.snapshot.files);
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).filter(|path| concerned(path)).collect();
    let mut changes = BTreeSet::new();
    for path in paths {
        let how = match (before.get(path), after.get(path)) {
            (Some(was), Some(now)) if was == now => continue,
            (Some(was), Some(now)) if was.id == now.id => How::Mode,
            (Some(_), Some(_)) => How::Changed,
            (Some(was), None) if after.values().any(|now| now == was) => continue,
            (None, Some(now)) if before.values().any(|was| now == was) => continue,
            (Some(_), None) => How::Removed,
            _ => How::Added,
        };
        changes.insert(FileChange { change: Change { path: path.clone(), how, was: None }, uncommitted });
    }
    Ok(changes)
}
