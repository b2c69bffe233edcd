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
mod help;
mod host;
#[cfg(test)]
mod hostile;
pub mod image;
mod interrupt;
pub mod latest;
pub mod manifest;
pub mod packer;
mod process;
mod sbom;
pub mod signing;
mod ssh;
mod text;
mod typed;
mod verbs;
mod version;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use console::Console;
use verbs::{Outcome, Verb};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Tasks of the homestak repository",
    version,
    max_term_width = 80
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Decide, build, publish and verify the packer VM images (phase 64)
    #[command(version)]
    Packer {
        #[command(subcommand)]
        verb: Verb,
    },
}

/// What `cargo xtask` runs.
pub fn main() -> ExitCode {
    let verb = match parse(std::env::args_os()) {
        Ok(verb) => verb,
        Err(error) => return ExitCode::from(not_run(&error)),
    };
    let common = verb.common();
    let console = Console::new(common.json, common.verbose);
    typed::given(&common);
    let outcome = verb.run(&common, &console).unwrap_or_else(|error| {
        console.note(format_args!("{} {error:#}", console.red("error:")));
        Outcome::error(failure::kind(&error) as u8, &error)
    });
    ExitCode::from(told(&console, common.json, &outcome))
}

/// Reads a command line, the program's name first.
fn parse<W: Into<OsString> + Clone>(words: impl IntoIterator<Item = W>) -> Result<Verb, clap::Error> {
    let mut command = help::arranged(Cli::command());
    let matches = command.try_get_matches_from_mut(words)?;
    let Cli { task: Task::Packer { verb } } =
        Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    Ok(verb)
}

/// Ends with what a person or a program asked for on standard output. What was done stays done when that can't be told:
/// the exit code then is that of a failure.
fn told(console: &Console, json: bool, outcome: &Outcome) -> u8 {
    let lost = if json {
        console.object(&outcome.to_json()).err().map(|error| error.to_string())
    } else {
        console.lost().map(str::to_owned)
    };
    let Some(why) = lost else { return outcome.exit };
    console.note(format_args!("{} writing the result to standard output: {why}", console.red("error:")));
    if outcome.exit == 0 { failure::Kind::Failed as u8 } else { outcome.exit }
}

/// `--help`, or a command line that can't be. With `--json` that is an object too.
fn not_run(error: &clap::Error) -> u8 {
    let printed = match error.kind() {
        ErrorKind::DisplayVersion => writeln!(std::io::stdout(), "{}", help::version()),
        _ => error.print(),
    };
    if !error.use_stderr() {
        return if printed.is_ok() { 0 } else { failure::Kind::Failed as u8 };
    }
    let usage = failure::Kind::Usage as u8;
    // Nothing was parsed, so the words themselves are looked at; those after `--` are names.
    if std::env::args_os().take_while(|word| word != "--").any(|word| word == "--json") {
        let said = error.to_string();
        let said = said.trim().trim_start_matches("error: ");
        return told(&Console::new(true, false), true, &Outcome::error(usage, &failure::usage(said)));
    }
    usage
}
