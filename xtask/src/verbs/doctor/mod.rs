//! `doctor`: what a release needs, and the state of `latest`.
//!
//! It only reads, and looks at everything before it judges: each failure is shown with its fix, and again at the end.

pub(super) mod needs;

use serde_json::json;

use super::status::{TRIES, show_next};
use super::{Common, Outcome, common};
use crate::console::Console;
use crate::failure;
use crate::gh::Gh;
use crate::git::Git;
use crate::latest::TAG;
use crate::latest::client::Client;
use crate::latest::github::GitHub;
use crate::phase::{self, Finding, Grade};
use crate::sources::History;
use crate::text::count;

/// Check every tool, login, permission and host that a release needs
///
/// Shows all problems at once, each with its fix. Exit code 3 if a release would fail.
#[derive(clap::Args)]
pub struct Doctor {
    #[command(flatten)]
    build: common::Build,
    #[command(flatten)]
    pub common: common::All,
}

impl Doctor {
    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        let gh = common.repo_to_change().map(|repo| Gh::new(repo, TRIES, console));
        let git = Git::at(&common.packer_dir());
        let mut history = History::open(&common.packer_dir());
        let outside = gh.as_ref().ok().map(|gh| GitHub::new(gh, &git, common.address(gh.repo()), console));
        let mut findings = needs::needs(common, history.as_ref(), gh.as_ref(), outside.as_ref(), &self.build)?;
        let options = self.build.options();
        let mut steps = None;
        if let (Ok(gh), Some(outside), Ok(history)) = (&gh, &outside, &mut history) {
            let client = Client::new(outside);
            let (mut picture, _) = phase::observe(&common.place(), gh, client, history, &options)?;
            match &picture.latest {
                Ok(latest) => findings.extend(latest.findings()),
                // The failed login is the reason.
                Err(_) if findings.iter().any(|it| it.what == "login" && it.grade == Grade::Fail) => {}
                Err(unasked) => findings.push(Finding::new(TAG, Grade::Fail, unasked.to_string())),
            }
            picture.problem = needs::problem(&findings);
            steps = Some(phase::steps(&picture, &options));
        }
        findings.iter().for_each(|finding| show(finding, console));
        let bad: Vec<&Finding> = findings.iter().filter(|finding| finding.grade == Grade::Fail).collect();
        let mut fields = json!({ "healthy": bad.is_empty(), "findings": findings });
        if bad.is_empty() {
            console.line("A release can go ahead.");
        }
        if let Some(steps) = &steps {
            fields["next"] = if bad.is_empty() {
                show_next(console, steps, 4)
            } else {
                phase::next(steps).map_or(serde_json::Value::Null, phase::Step::next_to_json)
            };
        }
        if bad.is_empty() {
            return Ok(Outcome::done(fields));
        }
        let what = format!("{} to fix before you can release:", count(bad.len(), "problem"));
        let each = |finding: &&Finding| format!("{}: {}", finding.what, finding.said);
        let message = match bad.as_slice() {
            [one] => format!("{what} {}", each(one)),
            some => {
                let some = some.iter().map(|finding| format!("\n  - {}", each(finding).replace('\n', "\n    ")));
                what + &some.collect::<String>()
            }
        };
        Ok(Outcome::failed(failure::missing(message), fields))
    }
}

/// A long name has a line of its own.
const NAMES: usize = 14;

fn show(finding: &Finding, console: &Console) {
    let Finding { what, grade, said } = finding;
    let mark = match grade {
        Grade::Ok => console.green("ok   "),
        Grade::Warn => console.yellow("warn "),
        Grade::Fail => console.red("fail "),
    };
    let indent = 5 + 2 + NAMES;
    let said = said.replace('\n', &format!("\n{}", " ".repeat(indent)));
    let gap = if what.chars().count() < NAMES { String::new() } else { format!("\n{}", " ".repeat(indent)) };
    console.line(format_args!("{mark}  {what:NAMES$}{gap}{said}"));
}
