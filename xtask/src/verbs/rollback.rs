//! `rollback`: puts the release that the last publish replaced back as `latest`.

use clap::Args;
use serde_json::json;

use super::consent::Consent;
use super::{Common, Outcome, common};
use crate::console::Console;
use crate::failure;
use crate::gh::{Gh, Tries};
use crate::git::Git;
use crate::interrupt;
use crate::latest::doors::Doors;
use crate::latest::github::GitHub;
use crate::latest::look::Look;
use crate::latest::publish::Person;
use crate::latest::rollback::{self, Ended};
use crate::latest::set::Set;
use crate::latest::{TAG, preflight};

/// Put back the release that the last publish replaced
///
/// Release and tag go back together, in the same safe order as a publish; what is live now becomes the way forward
/// again, so a rollback can be rolled back.
#[derive(Args)]
pub struct Rollback {
    /// Replace a lock that somebody else left, whatever it says
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
        interrupt::watch();
        let gh = Gh::new(common.repo()?, self.tries, console);
        common.remote_differs(gh.repo()).iter().for_each(|said| console.note(said));
        let git = Git::at(&common.packer_dir());
        let outside = GitHub::new(&gh, &git, common.address(gh.repo()), console);
        for warning in preflight::repository(&gh, outside.publisher())?.warnings {
            console.detail(warning);
        }
        let mut person = Asked { consent: self.consent, console };
        match rollback::run(Doors::new(&outside), self.take_over, &mut person)? {
            Ended::Healed { heal, executed } => {
                Ok(Outcome::done(json!({ "executed": executed, "plan": [heal.to_json()] })))
            }
            Ended::Planned { plan, executed } => {
                if executed {
                    let (now, back) = plan.names();
                    console.line(format_args!(
                        "{} {TAG} is what it was before, from {now} back to {back}",
                        console.green("done:")
                    ));
                }
                Ok(Outcome::done(json!({
                    "executed": executed,
                    "plan": plan.to_json(),
                    "release": if executed { plan.previous.release.id } else { plan.live.release.id },
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
