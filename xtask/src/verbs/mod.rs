//! The verbs, one file each, and what they have in common.

mod consent;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::console::Console;
use crate::packer::{self, Address, Place, Repo};
use crate::signing::Allowed;
use crate::text;

/// Options that every verb takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// The packer directory [default: packer]
    #[arg(long, value_name = "DIR")]
    pub packer_dir: Option<PathBuf>,
    /// Images, flat or one folder each [default: <packer-dir>/images]
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// The repository that publishes [default: the packer directory's own, else homestak-dev/packer]
    #[arg(long, value_name = "[HOST/]OWNER/NAME", env = "HOMESTAK_PACKER_REPO", hide_env_values = true)]
    pub repo: Option<String>,
    /// The git remote where history and version tags come from
    #[arg(long, value_name = "NAME", default_value = "origin")]
    pub remote: String,
    /// Another way for git to the same repository [default: its https address, with gh's login]
    #[arg(long, value_name = "URL", env = "HOMESTAK_PACKER_GIT_URL", hide_env_values = true)]
    pub git_url: Option<String>,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub json: bool,
    /// Say more
    #[arg(long)]
    pub verbose: bool,
}

impl Common {
    pub fn packer_dir(&self) -> PathBuf {
        packer::packer_dir(self.packer_dir.as_deref())
    }

    pub fn images(&self) -> PathBuf {
        self.images.clone().unwrap_or_else(|| self.packer_dir().join("images"))
    }

    pub fn repo(&self) -> anyhow::Result<Repo> {
        packer::repo(self.repo.as_deref(), &self.packer_dir(), &self.remote)
    }

    /// A command to type next, with the options that this one was given, so that it is about the same things.
    pub fn again(&self, command: &str) -> String {
        let mut line = format!("cargo xtask packer {command}");
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let given = [
            ("--packer-dir", path(&self.packer_dir)),
            ("--images", path(&self.images)),
            ("--repo", self.repo.clone()),
            ("--remote", Some(self.remote.clone()).filter(|remote| remote != "origin")),
            ("--git-url", self.git_url.clone()),
        ];
        for (option, value) in given {
            // What stands in the environment stands there next time as well.
            let variable = match option {
                "--repo" => std::env::var("HOMESTAK_PACKER_REPO").ok(),
                "--git-url" => std::env::var("HOMESTAK_PACKER_GIT_URL").ok(),
                _ => None,
            };
            if let Some(value) = value.filter(|value| !value.is_empty() && variable.as_ref() != Some(value)) {
                line.push_str(&format!(" {option} {}", text::word(&text::line(&value))));
            }
        }
        line
    }

    /// Who may sign a set; `None` when nothing says it.
    pub fn allowed_signers(&self) -> Option<Allowed> {
        Allowed::in_dir(&self.packer_dir())
    }

    /// What is to be said where the clone's remote is another repository than the one that publishes.
    pub fn remote_differs(&self, repo: &Repo) -> Option<String> {
        match packer::remote_of(&self.packer_dir(), &self.remote).ok().flatten() {
            Some((_, Place::Repo(other))) if !other.is(repo) => Some(format!(
                "the remote `{}` is {other}, and {repo} publishes: history and version tags come from {other}",
                self.remote
            )),
            _ => None,
        }
    }

    /// Where git reaches the repository that publishes.
    pub fn address(&self, repo: &Repo) -> Address {
        Address::new(self.git_url.as_deref(), repo)
    }
}

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

/// Lists the verbs once: the file, the command's name, and how it is run follow from it.
macro_rules! verbs {
    ($($(#[$attribute:meta])* $module:ident :: $name:ident),* $(,)?) => {
        $(mod $module;)*

        #[derive(Subcommand)]
        pub enum Verb {
            $($(#[$attribute])* $name($module::$name)),*
        }

        impl Verb {
            pub fn common(&self) -> &Common {
                match self { $(Self::$name(verb) => &verb.common),* }
            }

            pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
                match self { $(Self::$name(verb) => verb.run(common, console)),* }
            }
        }
    };
}

verbs! {
    check::Check,
    diff::Diff,
    document::Document,
    status::Status,
    doctor::Doctor,
    #[command(visible_alias = "build")]
    build_and_fetch::BuildAndFetch,
    checksum::Checksum,
    download::Download,
    publish::Publish,
    verify::Verify,
    release::Release,
    rehearse::Rehearse,
    rollback::Rollback,
    split::Split,
}
