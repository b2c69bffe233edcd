//! One picture of the phase: what is here, what is published, and the steps between the two.
//!
//! [`observe`] asks everything once, and [`steps`] is a pure function of the answers. Every verb that shows the phase shows
//! a part of this picture, so no two verbs can judge a state differently.

mod command;
mod freshness;
mod latest;
mod observe;
mod row;
mod steps;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};

use crate::decide::Report;
use crate::document;
use crate::failure::{Failure, Kind};
use crate::repo::Repo;

pub use command::{Command, Options};
pub use freshness::Freshness;
pub use latest::Latest;
pub use observe::{differs, observe};
pub use row::{Agreement, Local, Row};
pub use steps::{Name, State, Step, next, steps};

/// Where to look: the packer directory, the images, and the git remote with the version tags.
pub struct Place {
    pub packer_dir: PathBuf,
    pub images: PathBuf,
    pub remote: String,
}

/// Why something could not be asked: exit code 3. It never counts as an answer.
fn unasked(error: &anyhow::Error) -> Failure {
    let mut failure = Failure::of(error);
    failure.kind = Kind::Missing;
    failure
}

/// One thing that was looked at, as `doctor` and `status` show it.
#[derive(Debug, Serialize)]
pub struct Finding {
    pub what: String,
    #[serde(rename = "state")]
    pub grade: Grade,
    pub said: String,
}

/// How much a finding matters to a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    Ok,
    /// A release can go ahead.
    Warn,
    Fail,
}

impl Finding {
    pub fn new(what: impl Into<String>, grade: Grade, said: impl Into<String>) -> Self {
        Self { what: what.into(), grade, said: said.into() }
    }
}

/// All that the steps follow from.
#[derive(Debug)]
pub struct Picture {
    /// The repository that publishes.
    pub repo: Repo,
    /// The git remote with the version tags.
    pub remote: String,
    pub goal: Goal,
    /// A row for each image that has a template, is here, or is published.
    pub rows: Vec<Row>,
    pub latest: Result<Latest, Failure>,
    /// The decisions of `check`.
    pub report: Result<Report, Failure>,
    /// The newest version tag at HEAD.
    pub version_here: Option<String>,
    pub head: Option<String>,
    /// Images that must be built.
    pub to_build: Vec<String>,
    /// Images here that must be published.
    pub to_publish: Vec<String>,
    /// Images here that have no checksum file.
    pub unsummed: Vec<String>,
    /// Inputs that are not committed: a build does not see them.
    pub uncommitted: Vec<String>,
    /// What `document` writes, where it follows from the state.
    pub document: Option<Result<document::Plan, Failure>>,
    /// What doctor found that stops a release, where doctor looked.
    pub problem: Option<Problem>,
}

/// What the phase is for.
#[derive(Debug, Default)]
pub struct Goal {
    /// The release asked for, else the version at HEAD, else the version that `latest` stands for. `None`: no version
    /// has the changes of HEAD yet.
    pub release: Option<String>,
    pub commit: Option<String>,
    pub standing: Standing,
    /// A free version, for a HEAD without a version.
    pub suggestion: String,
}

/// How the release compares with what is live.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Standing {
    #[default]
    Ahead,
    /// A rollback took the set of this version from `latest`.
    TakenBack(String),
    /// `latest` stands for this newer version.
    Overtaken(String),
}

/// Why a release cannot begin, and the command that fixes it; `None`: `doctor` shows more.
#[derive(Debug)]
pub struct Problem {
    pub why: String,
    pub command: Option<String>,
}

impl Picture {
    /// The version that `latest` stands for.
    pub fn label(&self) -> Option<&str> {
        self.latest.as_ref().ok()?.live.as_ref()?.label.as_deref()
    }

    /// The release whose notes `document` writes.
    fn documented<'a>(&'a self, options: &'a Options) -> Option<&'a str> {
        options.release.as_deref().or(self.goal.release.as_deref()).or(self.label())
    }

    /// The fields of `status --json`.
    pub fn to_json(&self) -> Value {
        let mut fields = json!({
            "release": self.goal.release,
            "images": self.rows,
            "head": self.head,
            "version_here": self.version_here,
            "unasked": self.latest.as_ref().err().map(Failure::to_string).into_iter().collect::<Vec<_>>(),
        });
        let latest = self.latest.as_ref().map_or_else(|_| Latest::unknown(), Latest::to_json);
        if let (Value::Object(fields), Value::Object(latest)) = (&mut fields, latest) {
            fields.extend(latest);
        }
        fields
    }
}
