//! `release`: the guided walk through the phase.
//!
//! It has no way of its own to do anything: it looks, says which step comes next, and runs the line that a person would
//! type for that step. So it leaves what the single verbs leave, and can begin wherever somebody stopped.

mod line;
mod screen;
mod seen;
mod steps;

use std::collections::BTreeSet;

use clap::Args;
use serde_json::{Value, json};

use super::consent::Consent;
use super::{Common, Outcome, common};
use crate::console::Console;
use crate::failure;
use crate::image::parts::PartSize;
use crate::interrupt;
use crate::typed;
use line::Lines;
use seen::Seen;
use steps::{Name, State, Step};

/// Go through the phase step by step, asking before each change
///
/// The steps are doctor, check, build-and-fetch, publish, verify and document. Each look shows which are done, which is next and
/// what that one will do; then its own command runs, asks, and does it. End it anywhere and start it again: what is done is
/// not done twice. With --json, or where nobody sits at a terminal, it shows the state and the next command, and ends.
#[derive(Args)]
pub struct Release {
    /// The release, by its version tag
    #[arg(value_name = "VERSION")]
    release: String,
    /// Build host, as ssh takes it; give it again for several. Not needed where nothing is to be built
    #[arg(long = "host", value_name = "HOST", allow_hyphen_values = true)]
    hosts: Vec<String>,
    /// Send the packer directory to the host, and build there
    #[arg(long)]
    sync: bool,
    /// The packer directory on the host [default: /usr/local/lib/homestak/packer]
    #[arg(long, value_name = "DIR", allow_hyphen_values = true)]
    remote_dir: Option<String>,
    /// The release issue that gets a comment
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    issue: Option<u64>,
    /// Where the issue is [default: --repo]
    #[arg(long, value_name = "[HOST/]OWNER/NAME", requires = "issue")]
    issue_repo: Option<String>,
    /// Bytes a part may have, or a number with KiB, MiB, GiB [default: 2 GiB - 1]
    #[arg(long, value_name = "SIZE", value_parser = part_size)]
    part_size: Option<String>,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    pub common: common::All,
}

/// How a step ended.
enum Took {
    Done,
    Declined,
    /// The verb told what is wrong; its exit code.
    Refused(u8),
}

impl Release {
    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        if !crate::version::is_one(&self.release) {
            return Err(failure::usage(format!(
                "`{}` is no release; expected a version tag such as v0.46",
                self.release.escape_debug()
            )));
        }
        let acts = self.consent.in_advance() || (self.consent.asks() && !common.json && console.can_ask());
        let lines = Lines { asked: &self, common };
        let mut seen = Seen::first(&lines, console)?;
        let mut taken = BTreeSet::new();
        loop {
            interrupt::check()?;
            let steps = steps::steps(&lines, &seen);
            screen::steps(console, &self.release, &seen, &steps);
            let Some(next) = steps.iter().find(|step| step.state == State::Next) else {
                screen::checklist(console, &lines, &seen);
                return Ok(Outcome::done(self.to_json(&lines, &seen, &steps, &taken)));
            };
            if !acts {
                if next.name == Name::Document {
                    screen::checklist(console, &lines, &seen);
                }
                console.line(format_args!("{} {}", console.bold("next:"), next.line.carried_out()));
                let fields = self.to_json(&lines, &seen, &steps, &taken);
                return Ok(match &seen.ill {
                    Some(why) => Outcome::exit(failure::Kind::Missing as u8, with_error(fields, why)),
                    None => Outcome::done(fields),
                });
            }
            let took = if taken.insert(next.name) {
                self.take(next, &seen, common, console)
            } else {
                Err(failure::failed(format!(
                    "{} ran to its end and is still to be done: {}; {} shows what there is",
                    next.name.word(),
                    next.said,
                    typed::line("status")
                )))
            };
            if let Ok(Took::Done) = took {
                console.note("Looking again …");
                seen = Seen::again(&lines)?;
                continue;
            }
            if next.name == Name::Document {
                screen::checklist(console, &lines, &seen);
            }
            console.note(format_args!("Ended at {}. To go on from here: {}", next.name.word(), lines.again()));
            let fields = self.to_json(&lines, &seen, &steps, &taken);
            let changed = taken.iter().any(|name| *name != next.name && matches!(name, Name::Build | Name::Publish));
            return match took.map_err(|error| if changed { failure::after_changes(error) } else { error })? {
                Took::Refused(exit) => {
                    let why = format!("{} found something that stops the release", next.name.word());
                    Ok(Outcome::exit(exit, with_error(fields, &why)))
                }
                Took::Done | Took::Declined => Ok(Outcome::done(fields)),
            };
        }
    }

    /// Runs the line of a step, as it was shown.
    fn take(&self, step: &Step, seen: &Seen, common: &Common, console: &Console) -> anyhow::Result<Took> {
        let line = if self.consent.in_advance() { step.line.carried_out() } else { step.line.clone() };
        let Some(words) = line.words() else {
            return Err(failure::missing(seen.ill.clone().unwrap_or_else(|| step.said.clone())));
        };
        let shown = format!("{} {line}", console.bold("$"));
        if step.name == Name::Build {
            if self.hosts.is_empty() {
                return Err(failure::missing(format!(
                    "no build host is named for {}; go on with --host HOST",
                    step.images.join(", ")
                )));
            }
            console.note(shown);
            let question = "Run this? A build takes a quarter of an hour or more for each image.";
            if !self.consent.in_advance() && console.ask(question)? != Some(true) {
                return Ok(Took::Declined);
            }
        } else {
            console.note(shown);
        }
        let outcome = line::verb(words)?.run(common, console)?;
        Ok(match (outcome.exit, outcome.fields["executed"].as_bool()) {
            (0, Some(false)) => Took::Declined,
            (0, _) => Took::Done,
            (exit, _) => Took::Refused(exit),
        })
    }

    fn to_json(&self, lines: &Lines<'_>, seen: &Seen, steps: &[Step], taken: &BTreeSet<Name>) -> Value {
        let next = steps.iter().find(|step| step.state == State::Next);
        json!({
            "release": self.release,
            "steps": steps.iter().map(|step| json!({
                "step": step.name.word(),
                "state": step.state.word(),
                "said": step.said,
                "images": step.images,
                "command": step.line.carried_out().to_string(),
            })).collect::<Vec<_>>(),
            "next": next.map(|step| step.line.carried_out().to_string()),
            "checklist": screen::items(lines, seen).iter().map(|item| json!({
                "item": item.what, "done": item.done,
            })).collect::<Vec<_>>(),
            "executed": !taken.is_empty(),
        })
    }
}

/// As it was typed, so that the lines show it so.
fn part_size(text: &str) -> anyhow::Result<String> {
    text.parse::<PartSize>().map(|_| text.to_owned())
}

fn with_error(mut fields: Value, why: &str) -> Value {
    fields["error"] = why.into();
    fields
}
