//! `document`: writes the decision about the images into a release's notes and onto the release issue.

use std::thread;
use std::time::Duration;

use serde_json::json;

use super::consent::Consent;
use super::{Common, Outcome, common};
use crate::console::Console;
use crate::decide::{self, History, Moment};
use crate::document::{self, AfterPublish, Record};
use crate::failure;
use crate::gh::{CallError, Comment, Gh, Release, Tries};
use crate::interrupt;
use crate::latest::doors::Doors;
use crate::latest::github::GitHub;
use crate::latest::look::{self, Look};
use crate::latest::{notes, preflight};
use crate::packer::Repo;
use crate::typed;

/// Write the decision about the images into a release's notes, and onto the release issue
#[derive(clap::Args)]
pub struct Document {
    /// The release in whose notes the line goes
    #[arg(long, value_name = "VERSION")]
    release: String,
    /// The release issue that gets a comment
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    issue: Option<u64>,
    /// Where the issue is [default: --repo]
    #[arg(long, value_name = "[HOST/]OWNER/NAME", requires = "issue")]
    issue_repo: Option<String>,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    tries: Tries,
    #[command(flatten)]
    pub common: common::OfPublished,
}

/// What is there, and what is to be there.
struct Plan {
    /// `None` before it exists: then the issue alone is written on.
    release: Option<Release>,
    line: String,
    notes_change: bool,
    comment: Option<CommentPlan>,
}

struct CommentPlan {
    gh: Gh,
    issue: u64,
    text: String,
    there: Option<Comment>,
}

impl Document {
    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        interrupt::watch();
        if !crate::version::is_one(&self.release) {
            return Err(failure::usage(format!(
                "`{}` is no release; expected a version tag such as v0.46",
                self.release.escape_debug()
            )));
        }
        let gh = Gh::new(common.repo()?, self.tries, console);
        preflight::has_its_name(&gh, &gh.repository()?.full_name)?;
        let mut history = History::open(&common.packer_dir())?;
        let outside = GitHub::new(&gh, history.git(), common.address(gh.repo()), console);
        let doors = Doors::new(&outside);
        let look = look::look(doors)?;
        let record = self.record(common, console, &gh, doors, &mut history, &look)?;
        let plan = self.plan(console, &gh, &record)?;
        plan.show(console, &record);
        let changes = plan.notes_change || plan.comment.as_ref().is_some_and(CommentPlan::changes);
        let execute = if changes {
            self.consent.given(console, "Write this?")?
        } else {
            console.line("All of it is written already.");
            false
        };
        if execute {
            plan.carry_out(&gh, console)?;
        }
        Ok(Outcome::done(json!({
            "release": self.release,
            "decision": if record.rebuilt { "rebuild" } else { "skip" },
            "published": record.published,
            "line": plan.line,
            "notes": plan.release.as_ref().map(|_| change_word(plan.notes_change, true)),
            "comment": plan.comment.as_ref().map(|comment| change_word(comment.changes(), comment.there.is_some())),
            "images": record.images.iter().map(|image| json!({
                "name": image.name, "rebuilt": image.rebuilt, "reason": image.reason,
            })).collect::<Vec<_>>(),
            "executed": execute,
        })))
    }

    /// What was published for the release, else what check decides for it.
    fn record(
        &self,
        common: &Common,
        console: &Console,
        gh: &Gh,
        doors: Doors<'_>,
        history: &mut History,
        look: &Look,
    ) -> anyhow::Result<Record> {
        let release = &self.release;
        match document::after_publish(doors, history, look, release)? {
            AfterPublish::Published(record) => return Ok(*record),
            AfterPublish::Unrecorded => {
                return Err(failure::missing(format!(
                    "`latest` was made by hand for {release} and has no manifest, so nobody can tell which images are new; \
                     write the line by hand, or publish with {}",
                    typed::line(format_args!("publish --source {release}"))
                )));
            }
            AfterPublish::Overtaken(newer) => {
                return Err(failure::failed(format!(
                    "`latest` already stands for {newer}, and what was decided for {release} can't be told from it; \
                     write the line by hand"
                )));
            }
            AfterPublish::NotYet => {}
        }
        let commit = match history.commit(&format!("refs/tags/{release}"))? {
            Some(commit) => commit,
            None => {
                console.note(format_args!("there is no tag {release} here yet: the decision is for HEAD"));
                history.head.clone().ok_or_else(|| {
                    failure::missing("there is no commit yet to decide for; commit the packer directory first")
                })?
            }
        };
        let moment = Moment::Commit(commit.clone());
        let images = history.templates(&moment)?;
        let mut observed = decide::observe(history, Ok(gh.clone()), &common.remote)?;
        observed.head = Some(commit);
        let bases = decide::choose(&observed, &images)?;
        let report = decide::decide_for(history, &bases, &common.remote, &moment)?;
        for note in &report.notes {
            console.warn(note);
        }
        Ok(Record::before_publish(release, &report))
    }

    fn plan(&self, console: &Console, gh: &Gh, record: &Record) -> anyhow::Result<Plan> {
        let release = find_release(gh, &self.release)?;
        if release.is_none() && self.issue.is_none() {
            let (repo, tag) = (gh.repo(), &self.release);
            return Err(failure::missing(format!(
                "{repo} has no release {tag} to write into; phase 65 makes it: wait for that, and write onto the release issue \
                 now with --issue N, or make it as a draft: `gh release create {tag} --draft --prerelease --repo {repo}`"
            )));
        }
        let line = record.line();
        let mut notes_change = false;
        if let Some(release) = &release {
            let notes = document::put(release.notes(), &line);
            notes_change = notes != release.notes();
            if notes_change {
                let what = format!("the notes of {}, with the line `{line}`,", release.tag_name);
                notes::fit(what, notes.chars().count(), notes::MOST)?;
            }
        }
        let comment = self.issue.map(|issue| self.plan_comment(console, gh, issue, record)).transpose()?;
        Ok(Plan { release, line, notes_change, comment })
    }

    fn plan_comment(&self, console: &Console, gh: &Gh, issue: u64, record: &Record) -> anyhow::Result<CommentPlan> {
        let repo: Repo = self.issue_repo.as_deref().map_or_else(|| Ok(gh.repo().clone()), str::parse)?;
        let gh = Gh::new(repo, self.tries, console);
        if self.issue_repo.is_some() {
            preflight::has_its_name(&gh, &gh.repository()?.full_name)?;
        }
        let there = find_comment(&gh, issue, &record.release)?;
        let text = document::comment(record);
        notes::fit(format_args!("the comment on issue {issue}"), text.chars().count(), notes::MOST_IN_COMMENT)?;
        Ok(CommentPlan { gh, issue, text, there })
    }
}

/// Published, else a draft.
fn find_release(gh: &Gh, tag: &str) -> anyhow::Result<Option<Release>> {
    if let Some(release) = gh.release_by_tag(tag)? {
        return Ok(Some(release));
    }
    let mut drafts: Vec<Release> = gh.releases()?.into_iter().filter(|release| release.tag_name == tag).collect();
    match (drafts.pop(), drafts.len()) {
        (draft, 0) => Ok(draft),
        (None, _) => Ok(None),
        (Some(_), more) => {
            Err(failure::failed(format!("{} has {} drafts of release {tag}; delete all but one", gh.repo(), more + 1)))
        }
    }
}

fn find_comment(gh: &Gh, issue: u64, release: &str) -> anyhow::Result<Option<Comment>> {
    let Some(comments) = gh.comments(issue)? else {
        return Err(failure::missing(format!(
            "{} has no issue {issue}; look the number up, and name its repository with --issue-repo",
            gh.repo()
        )));
    };
    Ok(comments.into_iter().find(|comment| document::is_comment_for(release, comment.text())))
}

impl CommentPlan {
    /// GitHub may give line ends back as it likes.
    fn changes(&self) -> bool {
        let plain = |text: &str| text.replace("\r\n", "\n").trim_end().to_owned();
        self.there.as_ref().is_none_or(|there| plain(there.text()) != plain(&self.text))
    }

    fn carry_out(&self, console: &Console) -> anyhow::Result<()> {
        let written = match &self.there {
            Some(there) => self.gh.update_comment(there.id, &self.text)?,
            None => self.create(console)?,
        };
        console.line(format_args!("wrote the comment {}", written.html_url));
        Ok(())
    }

    /// One that got no answer may have been written: look before saying that it wasn't.
    fn create(&self, console: &Console) -> anyhow::Result<Comment> {
        match self.gh.create_comment(self.issue, &self.text) {
            Err(CallError::Lost(reason)) => {
                console.note(format_args!("no answer to the comment ({reason}); looking whether it is there"));
                thread::sleep(Duration::from_secs(2));
                let comments = self.gh.comments(self.issue)?.unwrap_or_default();
                let found = comments.into_iter().rev().find(|comment| comment.text().trim() == self.text.trim());
                found.ok_or_else(|| {
                    failure::failed(format!("the comment on issue {} was not written; run the same again", self.issue))
                })
            }
            answer => Ok(answer?),
        }
    }
}

impl Plan {
    fn show(&self, console: &Console, record: &Record) {
        match &self.release {
            Some(Release { tag_name, html_url, .. }) => {
                let kept = if self.notes_change { "" } else { " (as it is there)" };
                console.line(format_args!("{} the notes of {tag_name}{kept}, {html_url}:", console.bold("In")));
                console.line(format_args!("  {}", self.line));
            }
            None => console.line(format_args!(
                "There is no release {} yet, so no notes: phase 65 makes it, then run this again",
                record.release
            )),
        }
        if let Some(comment) = &self.comment {
            let verb = match (&comment.there, comment.changes()) {
                (None, _) => "On",
                (Some(_), true) => "Again on",
                (Some(_), false) => "As it is there on",
            };
            console.line(format_args!("{} issue {}#{}:", console.bold(verb), comment.gh.repo(), comment.issue));
            for line in comment.text.lines().filter(|line| !line.starts_with("<!--")) {
                console.line(format_args!("  {line}"));
            }
        } else {
            for image in &record.images {
                let word = if image.rebuilt { "rebuild" } else { "skip" };
                console.detail(format_args!("  {}  {word}  {}", image.name, image.reason));
            }
        }
    }

    fn carry_out(&self, gh: &Gh, console: &Console) -> anyhow::Result<()> {
        if let Some(release) = self.release.as_ref().filter(|_| self.notes_change) {
            // Read again: somebody may have edited the notes while the plan was looked at.
            let fresh = gh.release(release.id)?;
            gh.update_notes(&fresh, &document::put(fresh.notes(), &self.line))?;
            console.line(format_args!("wrote the notes of {}", release.tag_name));
        }
        match &self.comment {
            Some(comment) if comment.changes() => comment.carry_out(console),
            _ => Ok(()),
        }
    }
}

fn change_word(changes: bool, existed: bool) -> &'static str {
    match (changes, existed) {
        (false, _) => "unchanged",
        (true, true) => "updated",
        (true, false) => "created",
    }
}
