//! The command line: the verbs, one file each, and what they have in common.

mod build_and_fetch;
mod check;
mod checksum;
pub mod common;
mod consent;
mod diff;
mod doctor;
mod document;
mod download;
mod publish;
mod rehearse;
mod release;
mod rollback;
mod split;
mod status;
mod verify;

use std::ffi::OsString;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use serde_json::{Value, json};

use crate::console::Console;
use crate::{failure, help};

pub use common::Common;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Tasks of the homestak repository",
    version,
    max_term_width = 80
)]
pub struct Cli {
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

/// How a verb ended: an exit code and the fields of its JSON object.
#[derive(Debug)]
pub struct Outcome {
    pub exit: u8,
    /// Why it is no success.
    pub error: Option<anyhow::Error>,
    fields: Value,
}

/// Of the JSON object. A field that goes, or means something else, makes it one more.
const SCHEMA: u8 = 1;

impl Outcome {
    /// Exit code 0.
    pub fn done(fields: Value) -> Self {
        Self { exit: 0, error: None, fields }
    }

    /// An answer that was asked for by another exit code than 0.
    pub fn answer(exit: u8, fields: Value) -> Self {
        Self { exit, ..Self::done(fields) }
    }

    /// A failure that has something to show beside its error.
    pub fn failed(error: anyhow::Error, fields: Value) -> Self {
        Self { exit: failure::kind(&error) as u8, error: Some(error), fields }
    }

    /// A failure.
    pub fn error(error: anyhow::Error) -> Self {
        Self::failed(error, Value::Null)
    }

    /// `schema`, `verb`, `status`, `exit_code`, on failure `error` with its `message` and `fix`; then the verb's own fields.
    pub fn to_json(&self, verb: &str) -> Value {
        let status = if self.error.is_none() { "success" } else { "error" };
        let mut object = json!({ "schema": SCHEMA, "verb": verb, "status": status, "exit_code": self.exit });
        if let Some(error) = &self.error {
            let (message, fix) = failure::message_and_fix(error);
            object["error"] = json!({ "message": message, "fix": fix });
        }
        if let (Value::Object(object), Value::Object(fields)) = (&mut object, &self.fields) {
            object.extend(fields.clone());
        }
        object
    }
}

/// Reads a command line, the program's name first. `help VERB` is read as `VERB --help`, which suggests a verb for a misspelt one.
pub fn parse<W: Into<OsString>>(words: impl IntoIterator<Item = W>) -> Result<Verb, clap::Error> {
    let mut command = help::arranged(Cli::command());
    let mut words: Vec<OsString> = words.into_iter().map(Into::into).collect();
    if let [_, packer, help, verb, ..] = words.as_mut_slice()
        && packer == "packer"
        && help == "help"
    {
        std::mem::swap(help, verb);
        *verb = "--help".into();
    }
    let matches = command.try_get_matches_from_mut(words)?;
    let Cli { task: Task::Packer { verb } } =
        Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    Ok(verb)
}

/// Lists the verbs: the command's name, and how it is run, follow from it. Their files are named above, where rustfmt finds them.
macro_rules! verbs {
    ($($(#[$attribute:meta])* $module:ident :: $name:ident),* $(,)?) => {
        #[derive(Subcommand)]
        pub enum Verb {
            $($(#[$attribute])* $name($module::$name)),*
        }

        impl Verb {
            /// As it is typed.
            pub fn name(&self) -> String {
                match self { $(Self::$name(_) => stringify!($module).replace('_', "-")),* }
            }

            pub fn common(&self) -> Common {
                match self { $(Self::$name(verb) => (&verb.common).into()),* }
            }

            pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
                match self { $(Self::$name(verb) => verb.run(common, console)),* }
            }
        }
    };
}

verbs! {
    release::Release,
    rehearse::Rehearse,
    check::Check,
    diff::Diff,
    status::Status,
    document::Document,
    #[command(visible_alias = "build")]
    build_and_fetch::BuildAndFetch,
    split::Split,
    checksum::Checksum,
    publish::Publish,
    verify::Verify,
    download::Download,
    doctor::Doctor,
    rollback::Rollback,
}
