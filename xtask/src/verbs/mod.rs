//! The verbs, one file each, and what they have in common.

mod build_and_fetch;
mod check;
mod checksum;
mod common;
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

use clap::Subcommand;
use serde_json::{Value, json};

use crate::console::Console;

pub use common::Common;

/// How a verb ended: an exit code and the fields of its JSON object.
#[derive(Debug)]
pub struct Outcome {
    pub exit: u8,
    fields: Value,
}

impl Outcome {
    /// Exit code 0.
    pub fn done(fields: Value) -> Self {
        Self { exit: 0, fields }
    }

    /// Another exit code, with fields that say why.
    pub fn exit(exit: u8, fields: Value) -> Self {
        Self { exit, fields }
    }

    pub fn error(exit: u8, error: &anyhow::Error) -> Self {
        Self { exit, fields: json!({ "error": format!("{error:#}") }) }
    }

    /// 0 and 10 are success: 10 is an answer that was asked for.
    pub fn to_json(&self) -> Value {
        let status = if matches!(self.exit, 0 | 10) { "success" } else { "error" };
        let mut object = json!({ "status": status });
        if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), &self.fields) {
            if status == "error" {
                object.insert("exit_code".into(), self.exit.into());
            }
            object.extend(fields.clone());
        }
        object
    }
}

/// Lists the verbs: the command's name, and how it is run, follow from it. Their files are named above, where rustfmt finds them.
macro_rules! verbs {
    ($($(#[$attribute:meta])* $module:ident :: $name:ident),* $(,)?) => {
        #[derive(Subcommand)]
        pub enum Verb {
            $($(#[$attribute])* $name($module::$name)),*
        }

        impl Verb {
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
