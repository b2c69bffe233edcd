//! What `publish` and `rollback` have in common: they open the repository that publishes, show a plan, and carry it out if the
//! person agrees. Nothing is changed without `--execute` or a yes.

use clap::Args;

use super::Common;
use crate::console::Console;
use crate::failure;
use crate::gh::{Gh, Tries};
use crate::git::Git;
use crate::interrupt;

#[derive(Args, Debug, Clone, Copy)]
pub struct Consent {
    /// Carry out the plan without asking
    // Both may be typed, as with other tools that have both.
    #[arg(long, visible_alias = "yes", overrides_with = "execute")]
    execute: bool,
    /// Show the plan, without asking or acting
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
}

/// A person said no: exit code 1.
pub fn declined() -> anyhow::Error {
    failure::failed("declined, so nothing was changed")
}

/// gh and git for a command that changes what others see.
///
/// # Errors
///
/// Exit code 3: nothing names the repository that publishes.
pub fn open(common: &Common, tries: Tries, console: &Console) -> anyhow::Result<(Gh, Git)> {
    interrupt::watch();
    let gh = Gh::new(common.repo_to_change()?, tries, console);
    common.remote_differs(gh.repo()).iter().for_each(|said| console.note(said));
    Ok((gh, Git::at(&common.packer_dir()).within(tries.stall())))
}

impl Consent {
    /// Whether `--execute` was given.
    pub fn in_advance(self) -> bool {
        self.execute
    }

    /// Whether a person is asked, if one is there.
    pub fn asks(self) -> bool {
        !self.execute && !self.dry_run
    }

    /// With `--execute` yes, with `--dry-run` no; else asks on a terminal, and elsewhere says how to continue.
    ///
    /// # Errors
    ///
    /// Exit code 1: the person declined.
    pub fn given(self, console: &Console, question: &str) -> anyhow::Result<bool> {
        if !self.asks() {
            return Ok(self.execute);
        }
        match console.ask(question)? {
            Some(true) => Ok(true),
            Some(false) => Err(declined()),
            None => {
                console.line("Nothing was changed. To carry out the plan, run the same command with --execute");
                Ok(false)
            }
        }
    }
}
