//! The decision about the images, written where people look for it: a line in the release's notes, and a comment on the
//! release issue.

mod comment;
mod line;
mod published;

pub use comment::{is_comment_for, text as comment};
pub use line::put;
pub use published::{AfterPublish, after_publish};

use crate::decide::{Decision, Report};

/// What is to be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// `v0.46`
    pub release: String,
    /// Whether any image was, or is to be, built anew.
    pub rebuilt: bool,
    /// Whether `latest` already stands for the release.
    pub published: bool,
    /// What the images were compared with, in words.
    pub against: String,
    pub images: Vec<ImageRecord>,
    pub removed: Vec<String>,
    /// Build scripts that differ, which only a person can judge.
    pub review: Vec<String>,
}

/// What becomes of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRecord {
    pub name: String,
    pub rebuilt: bool,
    pub reason: String,
}

impl Record {
    /// Before the publish: the decision is check's.
    pub fn before_publish(release: &str, report: &Report) -> Self {
        let image = |image: &crate::decide::ImageReport| ImageRecord {
            name: image.name.clone(),
            rebuilt: image.decision == Decision::Rebuild,
            reason: image.reason.clone(),
        };
        Self {
            release: release.to_owned(),
            rebuilt: report.decision() == Decision::Rebuild,
            published: false,
            against: report.against(),
            images: report.images.iter().map(image).collect(),
            removed: report.removed.iter().cloned().collect(),
            review: report.review.iter().map(crate::decide::FileChange::describe).collect(),
        }
    }

    /// The line in the notes.
    pub fn line(&self) -> String {
        match (self.rebuilt, self.published) {
            (false, _) => line::SEE.to_owned(),
            (true, true) => line::rebuilt(&self.release, &self.reason()),
            (true, false) => line::to_be_rebuilt(&self.release, &self.reason()),
        }
    }

    /// Why, in few words: the reason of all rebuilt images where they have one, else each one's.
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
        Record {
            release: "v2".into(),
            rebuilt: images.iter().any(|(_, rebuilt, _)| *rebuilt),
            published: false,
            against: "v1".into(),
            images: images.iter().map(image).collect(),
            removed: Vec::new(),
            review: Vec::new(),
        }
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
            record.published = true;
            assert_eq!(record.line(), line);
            // Before, it is not true yet.
            record.published = false;
            let before = line.replace("Images: rebuilt", "Images: to be rebuilt").replace(", see `latest` release", "");
            assert_eq!(record.line(), before);
            assert_eq!(put(&put("", &before), line), format!("{line}\n"));
        }
    }
}
