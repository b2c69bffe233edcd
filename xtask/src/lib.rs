//! `cargo xtask packer`: phase 64 of a homestak release, the packer VM images.
//!
//! Each verb observes (processes), plans (pure functions), and applies (processes). See CONTRIBUTING.md for the map.

mod backoff;
mod checklist;
pub mod console;
mod decide;
mod document;
pub mod failure;
pub mod gh;
pub mod git;
mod host;
pub mod image;
mod interrupt;
pub mod latest;
pub mod manifest;
pub mod packer;
mod process;
mod sbom;
mod ssh;
mod verbs;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use console::Console;
use verbs::{Outcome, Verb};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Tasks of the homestak repository",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Decide, build, publish and verify the packer VM images (phase 64)
    Packer {
        #[command(subcommand)]
        verb: Verb,
    },
}

/// What `cargo xtask` runs.
pub fn main() -> ExitCode {
    let Task::Packer { verb } = Cli::parse().task;
    let common = verb.common().clone();
    let console = Console::new(common.json, common.verbose);
    let code = match verb.run(&common, &console) {
        Ok(outcome) => {
            if common.json {
                print_json(&outcome);
            }
            outcome.exit
        }
        Err(error) => {
            let exit = failure::kind(&error) as u8;
            console.note(format_args!("{} {error:#}", console.red("error:")));
            if common.json {
                print_json(&Outcome::error(exit, &error));
            }
            exit
        }
    };
    ExitCode::from(code)
}

/// The one object on standard output.
fn print_json(outcome: &Outcome) {
    println!("{:#}", outcome.to_json());
}
