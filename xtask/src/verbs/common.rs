//! Options that several verbs share, in groups: each verb takes those that do something in it and refuses the others.

use std::path::PathBuf;

use clap::Args;

use crate::packer::{self, Address, Place, Repo};
use crate::signing::Allowed;

/// What was asked for, for every verb. What a verb has no option for is at its default, and the verb doesn't read it.
#[derive(Clone, Debug, Default)]
pub struct Common {
    pub packer_dir: Option<PathBuf>,
    pub images: Option<PathBuf>,
    pub repo: Option<String>,
    pub remote: String,
    pub git_url: Option<String>,
    pub json: bool,
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

/// One option, or two that go together, each with its help.
macro_rules! groups {
    ($($group:ident { $($(#[$attribute:meta])* $field:ident: $type:ty),* $(,)? })*) => {$(
        #[derive(Args, Clone, Debug)]
        #[command(next_help_heading = "Common options")]
        pub struct $group { $($(#[$attribute])* $field: $type),* }

        impl $group {
            fn put(&self, common: &mut Common) {
                $(common.$field.clone_from(&self.$field);)*
            }
        }
    )*};
}

groups! {
    Folder {
        /// The packer directory [default: packer]
        #[arg(long, value_name = "DIR")]
        packer_dir: Option<PathBuf>,
    }
    Images {
        /// Images, flat or one folder each [default: <packer-dir>/images]
        #[arg(long, value_name = "DIR")]
        images: Option<PathBuf>,
    }
    Publisher {
        /// The repository that publishes [default: the packer directory's own, else homestak-dev/packer]
        #[arg(long, value_name = "[HOST/]OWNER/NAME", env = "HOMESTAK_PACKER_REPO", hide_env_values = true)]
        repo: Option<String>,
    }
    Remote {
        /// The git remote where history and version tags come from
        #[arg(long, value_name = "NAME", default_value = "origin")]
        remote: String,
    }
    GitUrl {
        /// Another way for git to the same repository [default: its https address, with gh's login]
        #[arg(long, value_name = "URL", env = "HOMESTAK_PACKER_GIT_URL", hide_env_values = true)]
        git_url: Option<String>,
    }
    Json {
        /// Print one JSON object on standard output, and text for people on standard error
        #[arg(long)]
        json: bool,
    }
    Verbose {
        /// Show each request to GitHub and its answer as well
        #[arg(long)]
        verbose: bool,
    }
    VerboseFiles {
        /// Show each image's size and digest as well
        #[arg(long)]
        verbose: bool,
    }
}

/// What a kind of verb takes.
macro_rules! kinds {
    ($($(#[$attribute:meta])* $kind:ident { $($field:ident: $group:ident),* })*) => {$(
        $(#[$attribute])*
        #[derive(Args, Clone, Debug)]
        pub struct $kind { $(#[command(flatten)] $field: $group),* }

        impl From<&$kind> for Common {
            fn from(taken: &$kind) -> Self {
                let mut common = Self::default();
                $(taken.$field.put(&mut common);)*
                common
            }
        }
    )*};
}

kinds! {
    /// Verbs that hold local images against published ones.
    All {
        folder: Folder, images: Images, publisher: Publisher, remote: Remote, git_url: GitUrl, json: Json, verbose: Verbose
    }
    /// Verbs that are about the published set, not about images here.
    OfPublished {
        folder: Folder, publisher: Publisher, remote: Remote, git_url: GitUrl, json: Json, verbose: Verbose
    }
    /// Verbs that ask what is published, and push nothing.
    Asking { folder: Folder, publisher: Publisher, remote: Remote, json: Json, verbose: Verbose }
    Downloading {
        folder: Folder, images: Images, publisher: Publisher, remote: Remote, json: Json, verbose: Verbose
    }
    Building { folder: Folder, images: Images, remote: Remote, json: Json }
    /// Verbs that read and write images here, and nothing else.
    Local { folder: Folder, images: Images, json: Json, verbose: VerboseFiles }
    Rehearsing { folder: Folder, json: Json }
}
