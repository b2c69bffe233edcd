//! `cargo xtask packer`: phase 64 of a homestak release, the packer VM images.
//!
//! Each verb observes (processes), plans (pure functions), and applies (processes). See CONTRIBUTING.md for the map.

mod backoff;
pub mod claim;
pub mod console;
mod decide;
pub mod digest;
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
mod packages;
pub mod packer;
mod phase;
mod process;
mod refusal;
pub mod repo;
mod scratch;
pub mod signing;
pub mod sources;
mod ssh;
mod suggest;
mod testing;
mod text;
pub mod trust;
mod verbs;
mod version;

use std::io::Write as _;
use std::process::ExitCode;

use clap::error::ErrorKind;

use console::Console;
use verbs::Outcome;

/// What `cargo xtask` runs.
pub fn main() -> ExitCode {
    let verb = match verbs::parse(std::env::args_os()) {
        Ok(verb) => verb,
        Err(error) => return ExitCode::from(usage_error(&error)),
    };
    let (name, mut common) = (verb.name(), verb.common());
    let console = Console::new(common.json, common.verbose);
    common.settle_remote().iter().for_each(|said| console.note(said));
    suggest::set(verbs::common::given(&common));
    packer::several(common.packer_dir.as_deref()).iter().for_each(|said| console.warn(said));
    let outcome = verb.run(&common, &console).unwrap_or_else(Outcome::error);
    if let Some(error) = &outcome.error {
        console.error(error);
    }
    for odd in image::durable::passed_over() {
        console.warn(odd);
    }
    ExitCode::from(finish(&console, common.json, &name, &outcome))
}

/// Prints the result on standard output and gives the exit code. A result that can't be printed makes a success a failure.
fn finish(console: &Console, json: bool, verb: &str, outcome: &Outcome) -> u8 {
    let lost = if json {
        console.object(&outcome.to_json(verb)).err().map(|error| error.to_string())
    } else {
        console.lost().map(str::to_owned)
    };
    let Some(why) = lost else { return outcome.exit };
    console.note(format_args!("{} writing the result to standard output: {why}", console.red("error:")));
    if outcome.exit == 0 { failure::Kind::Failed as u8 } else { outcome.exit }
}

/// Prints help, the version, or why the command line is wrong: with `--json` as an object.
fn usage_error(error: &clap::Error) -> u8 {
    let printed = match error.kind() {
        ErrorKind::DisplayVersion => writeln!(std::io::stdout(), "{}", help::version()),
        _ => error.print(),
    };
    if !error.use_stderr() {
        return if printed.is_ok() { 0 } else { failure::Kind::Failed as u8 };
    }
    let usage = failure::Kind::Usage as u8;
    // The options were not parsed, so the words are searched; words after `--` are names.
    if std::env::args_os().take_while(|word| word != "--").any(|word| word == "--json") {
        let said = error.to_string();
        let said = said.trim().trim_start_matches("error: ");
        let outcome = Outcome::error(failure::usage(said));
        let verb = std::env::args().skip_while(|word| word != "packer").nth(1).unwrap_or_default();
        return finish(&Console::new(true, false), true, &verb, &outcome);
    }
    usage
}
