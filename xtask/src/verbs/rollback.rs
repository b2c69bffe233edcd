//! `rollback`: restores the set that the live one replaced, or a pinned set that is named.

use clap::Args;
use serde_json::json;

use super::consent::{self, Consent};
use super::{Common, Outcome, common};
use crate::console::Console;
use crate::failure;
use crate::gh::Tries;
use crate::latest::client::Client;
use crate::latest::github::GitHub;
use crate::latest::look::Look;
use crate::latest::publish::Person;
use crate::latest::recover::Ended;
use crate::latest::rollback;
use crate::latest::set::Set;
use crate::latest::{PINNED, TAG, preflight};
use crate::trust::Policy;

/// Restore the set that the last publish replaced, or a pinned set
///
/// Release and tag move back together, with the same safety as a publish. The live set stays public as `images-VERSION`, so a
/// rollback can be undone.
#[derive(Args)]
pub struct Rollback {
    /// Pinned set to restore, such as images-v0.43 [default: the set that the live set replaced]
    #[arg(long, value_name = "SET")]
    to: Option<String>,
    /// Restore an unsigned set, although packer/allowed_signers names signers
    #[arg(long)]
    allow_unsigned: bool,
    /// Replace the lock of another run
    #[arg(long)]
    take_over: bool,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    tries: Tries,
    #[command(flatten)]
    pub common: common::OfPublished,
}

impl Rollback {
    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        let policy = Policy { allowed: common.allowed_signers()?, allow_unsigned: self.allow_unsigned };
        let (gh, git) = consent::open(common, self.tries, console)?;
        let outside = GitHub::new(&gh, &git, common.address(gh.repo()), console);
        preflight::repository(&gh, outside.publisher())?;
        let executes = self.consent.in_advance();
        let mut person = Asked { consent: self.consent, console };
        let wish = rollback::Rollback { to: self.to, take_over: self.take_over, policy };
        match wish.run(Client::new(&outside), &mut person)? {
            Ended::Recovered { recovery, executed } => {
                Ok(Outcome::done(json!({ "executed": executed, "plan": [recovery.to_json()] })))
            }
            Ended::Planned(None) => {
                let source = wish.to.as_deref().map(|name| name.trim_start_matches(PINNED));
                Ok(Outcome::done(json!({ "executed": executes, "plan": [], "source": source })))
            }
            Ended::Planned(Some(plan)) => {
                let executed = plan.executed;
                if executed {
                    let (now, back) = plan.names();
                    console
                        .line(format_args!("{} {TAG} is {back} again, rolled back from {now}", console.green("done:")));
                }
                Ok(Outcome::done(json!({
                    "executed": executed,
                    "plan": plan.steps,
                    "source": plan.source(),
                    "release_id": if executed { plan.set.release.id } else { plan.live.release.id },
                })))
            }
        }
    }
}

struct Asked<'a> {
    consent: Consent,
    console: &'a Console,
}

impl Person for Asked<'_> {
    fn want(&mut self, _look: &Look) -> anyhow::Result<(Set, Vec<String>)> {
        Err(failure::failed("a rollback publishes no set of its own"))
    }

    fn agrees(&mut self, question: &str) -> anyhow::Result<bool> {
        self.consent.given(self.console, question)
    }
}
