//! The one `if execute`: whether a plan that was shown is carried out.

use clap::Args;

use crate::console::Console;

#[derive(Args, Debug, Clone, Copy)]
pub struct Consent {
    /// Carry the plan out without asking
    #[arg(long)]
    execute: bool,
    /// Show the plan, never ask, never act
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
}

impl Consent {
    /// Whether acting was asked for on the command line.
    pub fn in_advance(self) -> bool {
        self.execute
    }

    /// Whether a person is to be asked, if one is there.
    pub fn asks(self) -> bool {
        !self.execute && !self.dry_run
    }

    /// With `--execute` yes, with `--dry-run` no; else asks on a terminal, and elsewhere says how to go on.
    pub fn given(self, console: &Console, question: &str) -> anyhow::Result<bool> {
        if self.execute || self.dry_run {
            return Ok(self.execute);
        }
        if let Some(answer) = console.ask(question)? {
            if !answer {
                console.line("Nothing was changed.");
            }
            return Ok(answer);
        }
        console.line("Nothing was changed. To carry the plan out, run the same command with --execute");
        Ok(false)
    }
}
