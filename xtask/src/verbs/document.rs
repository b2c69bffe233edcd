//! `document`: writes the decision about the images into a release's notes and onto the release issue.
//!
//! It writes only what is not written yet, and touches nothing of the notes but its own line.

use std::thread;
use std::time::Duration;

use serde_json::json;

use super::consent::Consent;
use super::status::show_next;
use super::{Common, Outcome, common};
use crate::console::Console;
use crate::document::{self, CommentPlan, Plan, Stage};
use crate::failure::{self, Advice as _};
use crate::gh::{CallError, Comment, Gh, Release, Tries};
use crate::interrupt;
use crate::latest::preflight;
use crate::phase::{self, Options, Picture};
use crate::sources::History;

/// Write the decision about the images into a release's notes, and onto the release issue
#[derive(clap::Args)]
pub struct Document {
    /// Release whose notes get the line about the images
    #[arg(long, value_name = "VERSION")]
    release: String,
    #[command(flatten)]
    issue: common::Issue,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    tries: Tries,
    #[command(flatten)]
    pub common: common::All,
}

impl Document {
    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        interrupt::watch();
        common::must_be_version(&self.release)?;
        let gh = Gh::new(common.repo_to_change()?, self.tries, console);
        preflight::has_its_name(&gh, &gh.repository()?.full_name)?;
        let mut history = History::open(&common.packer_dir())?;
        let options = Options {
            release: Some(self.release.clone()),
            issue: self.issue.issue,
            issue_repo: self.issue.issue_repo.clone(),
            document: true,
            ..Options::default()
        };
        let (picture, _) = common.observe(&gh, &mut history, &options)?;
        let plan = self.plan(&picture, console)?;
        show(&plan, console);
        let execute = if plan.changes() {
            self.consent.given(console, "Write this?")?
        } else {
            console.line("Everything is written already.");
            false
        };
        if execute {
            carry_out(&plan, &gh, console)?;
        }
        let record = &plan.record;
        let decision = match (&record.stage, record.rebuilt) {
            (Stage::ByHand, _) => None,
            (_, true) => Some("rebuild"),
            (_, false) => Some("skip"),
        };
        let mut fields = json!({
            "release": self.release,
            "decision": decision,
            "published": matches!(record.stage, Stage::Published | Stage::ByHand),
            "line": plan.line,
            "notes": plan.release.as_ref().map(|_| change_word(plan.notes_change, true)),
            "comment": plan.comment.as_ref().map(|comment| change_word(comment.changes(), comment.there.is_some())),
            "images": record.images,
            "executed": execute,
        });
        let plan = if execute { plan.written() } else { plan };
        let steps = phase::steps(&Picture { document: Some(Ok(plan)), ..picture }, &options);
        fields["next"] = show_next(console, &steps, 4);
        Ok(Outcome::done(fields))
    }

    /// What to write, where there are notes or an issue to write to.
    fn plan(&self, picture: &Picture, console: &Console) -> anyhow::Result<Plan> {
        if let Err(unasked) = &picture.latest {
            return Err(anyhow::Error::from(unasked.clone()).context("cannot read `latest`"));
        }
        let plan = match &picture.document {
            Some(Ok(plan)) => plan.clone(),
            Some(Err(error)) => return Err(error.clone().into()),
            None => return Err(failure::failed(format!("no decision is known for {}", self.release))),
        };
        if picture.goal.commit.is_none() {
            console.note(format_args!("this clone has no tag {}: the decision is for HEAD", self.release));
        }
        if plan.record.stage == Stage::Decided {
            picture.report.iter().flat_map(|report| &report.notes).for_each(|note| console.warn(note));
        }
        if plan.release.is_none() && self.issue.issue.is_none() {
            let no_release = failure::missing(document::no_release(&picture.repo, &self.release));
            let draft = picture.repo.draft(&self.release);
            return Err(no_release.fix(format_args!("run `{draft}`, or name the release issue with --issue N")));
        }
        Ok(plan)
    }
}

fn show(plan: &Plan, console: &Console) {
    match &plan.release {
        Some(Release { tag_name, html_url, .. }) => {
            let kept = if plan.notes_change { "" } else { " (unchanged)" };
            console.line(format_args!("{} of {tag_name}{kept}, {html_url}:", console.bold("Notes")));
            console.line(format_args!("  {}", plan.line));
        }
        None => console.line(format_args!(
            "Release {} does not exist yet, so it has no notes: phase 65 creates it, then run `document` again",
            plan.record.release
        )),
    }
    let Some(comment) = &plan.comment else {
        for image in &plan.record.images {
            let word = if image.rebuilt { "rebuild" } else { "skip" };
            console.detail(format_args!("  {}  {word}  {}", image.name, image.reason));
        }
        return;
    };
    let change = change_word(comment.changes(), comment.there.is_some());
    console.line(format_args!("{} on issue {}#{} ({change}):", console.bold("Comment"), comment.repo, comment.issue));
    for line in comment.text.lines().filter(|line| !line.starts_with("<!--")) {
        console.line(format_args!("  {line}"));
    }
}

fn carry_out(plan: &Plan, gh: &Gh, console: &Console) -> anyhow::Result<()> {
    let written = plan.release.as_ref().filter(|_| plan.notes_change);
    if let Some(release) = written {
        // Read again: somebody may have edited the notes while the plan was looked at.
        let fresh = gh.release(release.id)?;
        gh.update_notes(&fresh, &document::put(fresh.notes(), &plan.line))?;
        console.line(format_args!("wrote the notes of {}", release.tag_name));
    }
    let Some(comment) = plan.comment.as_ref().filter(|comment| comment.changes()) else { return Ok(()) };
    let gh = gh.of(comment.repo.clone());
    let commented = match &comment.there {
        Some(there) => gh.update_comment(there.id, &comment.text).map_err(Into::into),
        None => create(&gh, comment, console),
    };
    let commented = commented.map_err(|error| if written.is_some() { failure::after_changes(error) } else { error })?;
    console.line(format_args!("wrote the comment {}", commented.html_url));
    Ok(())
}

/// A comment without an answer may have been written: look before the command fails.
fn create(gh: &Gh, comment: &CommentPlan, console: &Console) -> anyhow::Result<Comment> {
    match gh.create_comment(comment.issue, &comment.text) {
        Err(CallError::Lost(reason)) => {
            console.note(format_args!("GitHub did not answer ({reason}); checking whether the comment was written"));
            thread::sleep(Duration::from_secs(2));
            let comments = gh.comments(comment.issue)?.unwrap_or_default();
            let found = comments.into_iter().rev().find(|it| it.text().trim() == comment.text.trim());
            found.ok_or_else(|| {
                failure::failed(format!("the comment on issue {} was not written: {reason}", comment.issue))
                    .fix("run the same command again")
            })
        }
        answer => Ok(answer?),
    }
}

fn change_word(changes: bool, existed: bool) -> &'static str {
    match (changes, existed) {
        (false, _) => "unchanged",
        (true, true) => "updated",
        (true, false) => "created",
    }
}
