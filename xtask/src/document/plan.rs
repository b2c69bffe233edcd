//! What to write for a release, and what of it is written already: a comparison of the record with the notes and the issue.

use super::{Record, comment, line};
use crate::failure::{self, Advice as _};
use crate::gh::{Comment, Gh, Release};
use crate::latest::{notes, preflight};
use crate::repo::Repo;

/// The line and the comment, and what stands in their places.
#[derive(Debug, Clone)]
pub struct Plan {
    pub record: Record,
    /// `None` before the release exists: its notes are not written then.
    pub release: Option<Release>,
    pub line: String,
    pub notes_change: bool,
    pub comment: Option<CommentPlan>,
}

#[derive(Debug, Clone)]
pub struct CommentPlan {
    pub repo: Repo,
    pub issue: u64,
    pub text: String,
    pub there: Option<Comment>,
    is_written: bool,
}

impl Plan {
    /// Reads the release and the issue, and compares.
    ///
    /// # Errors
    ///
    /// Exit code 3: no such issue, or notes that would be longer than GitHub takes. Exit code 1: several drafts of the release.
    pub fn of(gh: &Gh, record: Record, issue: Option<(u64, Option<&str>)>) -> anyhow::Result<Self> {
        let release = gh.release_or_draft(&record.release)?;
        let line = record.line();
        let mut notes_change = false;
        if let Some(release) = &release {
            let new = line::put(release.notes(), &line);
            notes_change = new != release.notes();
            if notes_change {
                let what = format!("the notes of {}, with the line `{line}`,", release.tag_name);
                notes::fit(what, new.chars().count(), notes::MOST)?;
            }
        }
        let comment = issue.map(|(issue, repo)| CommentPlan::of(gh, &record, issue, repo)).transpose()?;
        Ok(Self { record, release, line, notes_change, comment })
    }

    /// The plan after it was carried out.
    pub fn written(mut self) -> Self {
        self.notes_change = false;
        if let Some(comment) = &mut self.comment {
            comment.is_written = true;
        }
        self
    }

    /// Whether existing notes or an issue must be written to.
    pub fn changes(&self) -> bool {
        self.notes_change || self.comment.as_ref().is_some_and(CommentPlan::changes)
    }
}

impl CommentPlan {
    fn of(gh: &Gh, record: &Record, issue: u64, repo: Option<&str>) -> anyhow::Result<Self> {
        let at: Repo = repo.map_or_else(|| Ok(gh.repo().clone()), str::parse)?;
        let gh = gh.of(at.clone());
        if repo.is_some() {
            preflight::has_its_name(&gh, &gh.repository()?.full_name)?;
        }
        let Some(comments) = gh.comments(issue)? else {
            return Err(failure::missing(format!("{at} has no issue {issue}"))
                .fix("look up the issue's number, and name its repository with --issue-repo"));
        };
        let there = comments.into_iter().find(|it| comment::is_comment_for(&record.release, it.text()));
        let text = comment::text(record);
        notes::fit(format_args!("the comment on issue {issue}"), text.chars().count(), notes::MOST_IN_COMMENT)?;
        Ok(Self { repo: at, issue, text, there, is_written: false })
    }

    /// GitHub may change line ends.
    pub fn changes(&self) -> bool {
        let plain = |text: &str| text.replace("\r\n", "\n").trim_end().to_owned();
        !self.is_written && self.there.as_ref().is_none_or(|there| plain(there.text()) != plain(&self.text))
    }
}

/// Why there are no notes to write; the command that creates a draft is [`Repo::draft`]'s.
pub fn no_release(repo: &Repo, release: &str) -> String {
    format!("{repo} has no release {release}: phase 65 creates the release; wait for it, or create a draft")
}
