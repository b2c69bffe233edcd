//! `release`: the guided walk through the phase.
//!
//! It observes the phase, shows which step is next, and runs the command that a person would type for that step. So it leaves
//! what the single verbs leave, and continues wherever a person stopped.

mod screen;

use std::collections::BTreeSet;

use clap::Args;
use serde_json::{Value, json};

use super::consent::{self, Consent};
use super::doctor::needs;
use super::status::TRIES;
use super::{Common, Outcome, common};
use crate::console::Console;
use crate::failure::{self, Advice as _};
use crate::gh::Gh;
use crate::image::parts::PartSize;
use crate::interrupt;
use crate::latest::client::Client;
use crate::latest::github::GitHub;
use crate::latest::publish::goes_back;
use crate::latest::source;
use crate::phase::{self, Command, Name, Options, Picture, Problem, Standing, Step};
use crate::sources::History;
use crate::suggest;

/// Go through the phase step by step, asking before each change
///
/// The steps are doctor, check, build-and-fetch, publish, verify and document. The walk shows which steps are done, which is
/// next, and what it will do; then the step's own command runs and asks. Stop anywhere and start again: no step is done twice.
/// With --json, or without a terminal, the walk shows the state and the next command, and ends.
#[derive(Args)]
pub struct Release {
    /// Version tag of the release
    #[arg(value_name = "VERSION")]
    release: String,
    #[command(flatten)]
    build: common::Build,
    #[command(flatten)]
    issue: common::Issue,
    /// Maximum size of a part: bytes, or a number with KiB, MiB, GiB [default: 2 GiB - 1]
    #[arg(long, value_name = "SIZE", value_parser = part_size)]
    part_size: Option<String>,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    pub common: common::All,
}

impl Release {
    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        common::must_be_version(&self.release)?;
        let acts = self.consent.in_advance() || (self.consent.asks() && !common.json && console.can_ask());
        let options = self.options();
        console.note("Checking tools, login, hosts and GitHub …");
        let mut picture = self.look(common, &options, true)?;
        let (mut taken, mut changed) = (BTreeSet::new(), false);
        loop {
            interrupt::check()?;
            let steps = phase::steps(&picture, &options);
            screen::steps(console, &self.release, &picture, &steps);
            let fields = |taken: &BTreeSet<Name>| to_json(&picture, &options, &steps, taken);
            let next = phase::next(&steps);
            let last = next.is_none_or(|step| step.name == Name::Document);
            let Some(next) = next.filter(|_| acts) else {
                if last {
                    screen::checklist(console, &options, &picture, &steps);
                }
                if let Some(next) = next {
                    console.line(format_args!("{} {}", console.bold("next:"), next.command.executed()));
                }
                return Ok(match next {
                    Some(next) if next.name == Name::Doctor => Outcome::failed(by_person(next), fields(&taken)),
                    _ => Outcome::done(fields(&taken)),
                });
            };
            let Err(error) = self.take(next, &mut taken, common, console) else {
                changed |= matches!(next.name, Name::BuildAndFetch | Name::Publish | Name::Document);
                console.note("Checking again …");
                picture = self.look(common, &options, false)?;
                continue;
            };
            if last {
                screen::checklist(console, &options, &picture, &steps);
            }
            console.note(format_args!("Stopped at {}. To continue from here: {}", next.name.word(), options.release()));
            let error = if changed { failure::after_changes(error) } else { error };
            return Ok(Outcome::failed(error, fields(&taken)));
        }
    }

    fn options(&self) -> Options {
        Options {
            release: Some(self.release.clone()),
            issue: self.issue.issue,
            issue_repo: self.issue.issue_repo.clone(),
            part_size: self.part_size.clone(),
            ..self.build.options()
        }
    }

    /// The picture; the first time with what `doctor` checks.
    fn look(&self, common: &Common, options: &Options, first: bool) -> anyhow::Result<Picture> {
        let silent = Console::silent();
        let mut history = History::open(&common.packer_dir())?;
        let git = history.git().clone();
        let gh = Gh::new(common.repo_to_change()?, TRIES, &silent);
        let address = common.address(gh.repo());
        let outside = GitHub::new(&gh, &git, address.clone(), &silent);
        let found = if first {
            needs::problem(&needs::needs(common, Ok(&history), Ok(&gh), Some(&outside), &self.build)?)
        } else {
            None
        };
        let problem = match found {
            Some(found) => Some(found),
            None => source::absent(&gh, &git, &common.remote, &address, &self.release)?
                .map(|absent| Problem { why: absent.what, command: Some(absent.line) }),
        };
        let client = Client::new(&outside);
        let (picture, _) = phase::observe(&common.place(), &gh, client, &mut history, options)?;
        match (&picture.goal.standing, &problem) {
            (Standing::Overtaken(newer), None) => Err(goes_back(newer, &self.release)),
            _ => Ok(Picture { problem, ..picture }),
        }
    }

    /// Runs the command of a step, as it was shown.
    fn take(&self, step: &Step, taken: &mut BTreeSet<Name>, common: &Common, console: &Console) -> anyhow::Result<()> {
        let command = if self.consent.in_advance() { step.command.executed() } else { step.command.clone() };
        let (Command::Verb { words, .. }, false) = (&command, step.name == Name::Doctor) else {
            return Err(by_person(step));
        };
        if !taken.insert(step.name) {
            let what = format!("{} succeeded, but is still the next step: {}", step.name.word(), step.reason);
            return Err(failure::failed(what).fix(format_args!("look at {}", suggest::command("status"))));
        }
        let builds = step.name == Name::BuildAndFetch && words[0] == step.name.word();
        if builds && self.build.hosts()?.is_empty() {
            let error = failure::missing(format!("no build host is named for {}", step.images.join(", ")));
            return Err(error.fix("name the build host with --host HOST"));
        }
        console.note(format_args!("{} {command}", console.bold("$")));
        if builds && !self.consent.in_advance() {
            let question = "Run this? A build takes a quarter of an hour or more for each image.";
            if console.ask(question)? != Some(true) {
                return Err(consent::declined());
            }
        }
        let words = ["cargo xtask", "packer"].into_iter().map(str::to_owned).chain(suggest::with_options(words));
        super::parse(words)?.run(common, console)?.error.map_or(Ok(()), Err)
    }
}

/// What a person must do first, with the command.
fn by_person(step: &Step) -> anyhow::Error {
    let (error, command) = (failure::missing(step.reason.clone()), step.command.to_string());
    let has_fix = step.reason.contains(&command) || failure::why_and_fix(&step.reason).1.is_some();
    if has_fix { error } else { error.fix(format_args!("run `{command}`")) }
}

fn to_json(picture: &Picture, options: &Options, steps: &[Step], taken: &BTreeSet<Name>) -> Value {
    json!({
        "release": options.release,
        "label": picture.label(),
        "steps": steps.iter().map(Step::to_json).collect::<Vec<_>>(),
        "next": phase::next(steps).map(Step::next_to_json),
        "checklist": screen::items(options, picture, steps),
        "executed": !taken.is_empty(),
    })
}

/// As it was typed, for the commands that repeat it.
fn part_size(text: &str) -> anyhow::Result<String> {
    text.parse::<PartSize>().map(|_| text.to_owned())
}
