//! The decision about the images as text: a line in the release's notes, and a comment on the release issue.
//!
//! It says only what is true at the time: before the publish what `check` decides, afterwards what the manifests show. The
//! picture of the phase plans it, and `document` writes it.

mod comment;
mod line;
mod plan;
mod published;

pub use line::put;
pub use plan::{CommentPlan, Plan, no_release};
pub use published::record;

use serde::Serialize;

use crate::decide::{Decision, Report};

/// What to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// `v0.46`
    pub release: String,
    /// Whether any image was, or must be, rebuilt.
    pub rebuilt: bool,
    pub stage: Stage,
    /// What the images were compared with.
    pub against: String,
    pub images: Vec<ImageRecord>,
    pub removed: Vec<String>,
    /// Build scripts that differ, which only a person can judge.
    pub review: Vec<String>,
}

/// How far a release's images are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// `latest` does not stand for the release: the decision is that of `check`.
    Decided,
    /// `latest` stands for it.
    Published,
    /// `latest` stands for it and was made by hand: what changed is not recorded.
    ByHand,
    /// The images were live until a rollback; `latest` is this version again.
    TakenBack(String),
}

/// What becomes of one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageRecord {
    pub name: String,
    pub rebuilt: bool,
    pub reason: String,
}

impl Record {
    fn new(release: &str, stage: Stage, against: impl Into<String>, images: Vec<ImageRecord>) -> Self {
        let rebuilt = images.iter().any(|image| image.rebuilt);
        let (release, against) = (release.to_owned(), against.into());
        Self { release, rebuilt, stage, against, images, removed: Vec::new(), review: Vec::new() }
    }

    /// Before the publish: the decision of `check`.
    pub fn before_publish(release: &str, report: &Report) -> Self {
        let image = |image: &crate::decide::ImageReport| ImageRecord {
            name: image.name.clone(),
            rebuilt: image.decision == Decision::Rebuild,
            reason: image.reason.clone(),
        };
        Self {
            removed: report.removed.iter().cloned().collect(),
            review: report.review.iter().map(|change| report.describe(change)).collect(),
            ..Self::new(release, Stage::Decided, report.against(), report.images.iter().map(image).collect())
        }
    }

    /// The line in the notes.
    pub fn line(&self) -> String {
        match (self.rebuilt, &self.stage) {
            (_, Stage::TakenBack(_)) => line::rebuilt(&self.release, "taken back"),
            (false, _) => line::SEE.to_owned(),
            (true, Stage::Decided) => line::to_be_rebuilt(&self.release, &self.reason()),
            (true, _) => line::rebuilt(&self.release, &self.reason()),
        }
    }

    /// The images that were, or must be, rebuilt.
    pub fn rebuilt(&self) -> impl Iterator<Item = &str> {
        self.images.iter().filter(|image| image.rebuilt).map(|image| image.name.as_str())
    }

    /// Why, in few words: the common reason of all images, else a reason for each rebuilt image.
    fn reason(&self) -> String {
        let rebuilt: Vec<&ImageRecord> = self.images.iter().filter(|image| image.rebuilt).collect();
        match rebuilt.as_slice() {
            [] => String::new(),
            [first, rest @ ..]
                if rest.len() + 1 == self.images.len() && rest.iter().all(|image| image.reason == first.reason) =>
            {
                first.reason.clone()
            }
            some => {
                let each = some.iter().map(|image| format!("{}: {}", image.name, image.reason));
                each.collect::<Vec<_>>().join("; ")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(images: &[(&str, bool, &str)]) -> Record {
        let image = |(name, rebuilt, reason): &(&str, bool, &str)| ImageRecord {
            name: (*name).into(),
            rebuilt: *rebuilt,
            reason: (*reason).into(),
        };
        Record::new("v2", Stage::Decided, "v1", images.iter().map(image).collect())
    }

    #[test]
    fn the_line_says_what_was_decided() {
        for (images, line) in [
            (&[("a", false, "x"), ("b", false, "x")][..], "Images: See `latest` release"),
            (&[("a", true, "x"), ("b", true, "x")], "Images: rebuilt for v2 (x), see `latest` release"),
            (&[("a", true, "x"), ("b", false, "y")], "Images: rebuilt for v2 (a: x), see `latest` release"),
            (&[("a", true, "x"), ("b", true, "y")], "Images: rebuilt for v2 (a: x; b: y), see `latest` release"),
            (&[("a", true, "x\ny")], "Images: rebuilt for v2 (x y), see `latest` release"),
        ] {
            let mut record = record(images);
            record.stage = Stage::Published;
            assert_eq!(record.line(), line);
            // Before the publish, the line is not true yet.
            record.stage = Stage::Decided;
            let before = line.replace("Images: rebuilt", "Images: to be rebuilt").replace(", see `latest` release", "");
            assert_eq!(record.line(), before);
            assert_eq!(put(&put("", &before), line), format!("{line}\n"));
        }
    }
}
