//! Options that several verbs share, in groups: each verb takes those that do something in it and refuses the others.

use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Args, CommandFactory as _};

use crate::gh::Gh;
use crate::git::{Git, Place};
use crate::host::folder::PackerDir;
use crate::host::stale;
use crate::latest::client::Client;
use crate::latest::github::GitHub;
use crate::latest::look::Look;
use crate::phase::{self, Options, Picture};
use crate::repo::{Address, Repo};
use crate::signing::Allowed;
use crate::sources::History;
use crate::ssh::Host;
use crate::{failure, packer, suggest, version};

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

    /// Where the phase looks.
    pub fn place(&self) -> phase::Place {
        phase::Place { packer_dir: self.packer_dir(), images: self.images(), remote: self.remote.clone() }
    }

    /// The repository that publishes, for a verb that only reads there.
    pub fn repo(&self) -> anyhow::Result<Repo> {
        packer::repo(self.asked_repo().as_deref(), &self.packer_dir(), &self.remote, false)
    }

    /// The repository that publishes, for a verb that changes something there: never the project's own by default.
    pub fn repo_to_change(&self) -> anyhow::Result<Repo> {
        packer::repo(self.asked_repo().as_deref(), &self.packer_dir(), &self.remote, true)
    }

    fn asked_repo(&self) -> Option<String> {
        self.repo.clone().or_else(|| set("HOMESTAK_PACKER_REPO"))
    }

    /// Takes the clone's only remote where the default isn't there, and says so.
    pub fn settle_remote(&mut self) -> Option<String> {
        let remotes = Some(Git::at(&self.packer_dir())).filter(|_| self.remote == "origin")?.remotes().ok()?;
        let [only] = remotes.as_slice() else { return None };
        let said = format!("using the remote `{only}`, the only one: there is no remote `origin`");
        (only != "origin").then(|| {
            self.remote.clone_from(only);
            said
        })
    }

    /// Who may sign a set; `None` when nothing says it.
    ///
    /// # Errors
    ///
    /// Exit code 3: the file that says it can't be read.
    pub fn allowed_signers(&self) -> anyhow::Result<Option<Allowed>> {
        Allowed::in_dir(&self.packer_dir())
    }

    /// What is to be said where the clone's remote is another repository than the one that publishes.
    pub fn remote_differs(&self, repo: &Repo) -> Option<String> {
        // Without `--repo` the remote is the one that publishes.
        self.asked_repo()?;
        match packer::remote_of(&self.packer_dir(), &self.remote).ok().flatten() {
            Some((_, Place::Repo(other))) if !other.is(repo) => Some(format!(
                "{repo} publishes, but the remote `{}` is {other}: history and version tags come from {other}",
                self.remote
            )),
            _ => None,
        }
    }

    /// The picture of the phase, and what is on GitHub where that could be read.
    pub fn observe(
        &self,
        gh: &Gh,
        history: &mut History,
        options: &Options,
    ) -> anyhow::Result<(Picture, Option<Look>)> {
        let git = history.git().clone();
        let outside = GitHub::new(gh, &git, self.address(gh.repo()), gh.console());
        phase::observe(&self.place(), gh, Client::new(&outside), history, options)
    }

    /// Where git reaches the repository that publishes.
    pub fn address(&self, repo: &Repo) -> Address {
        Address::new(self.git_url.clone().or_else(|| set("HOMESTAK_PACKER_GIT_URL")).as_deref(), repo)
    }
}

/// What suggested commands repeat of this run's command line.
pub fn given(common: &Common) -> suggest::Given {
    let dir = common.packer_dir();
    // Without `--packer-dir` the directory is usually in the repository of the current directory.
    let elsewhere = !matches!(dir.to_str(), Some("" | ".")) && dir.join(".git").exists();
    let git_dir = (common.packer_dir.is_some() || elsewhere).then(|| dir.to_string_lossy().into_owned());
    let common = common.clone();
    suggest::Given { options: Box::new(move |verb| options(&common, verb)), git_dir }
}

/// The options of this run that a verb takes, as words.
pub fn options(common: &Common, verb: &str) -> Vec<String> {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
    let all = [
        ("packer-dir", path(&common.packer_dir)),
        ("images", path(&common.images)),
        ("repo", common.repo.clone()),
        ("remote", Some(common.remote.clone()).filter(|remote| !matches!(remote.as_str(), "" | "origin"))),
        ("git-url", common.git_url.clone()),
    ];
    static CLI: LazyLock<clap::Command> = LazyLock::new(super::Cli::command);
    let packer = CLI.find_subcommand("packer");
    let verb = packer.and_then(|packer| packer.find_subcommand(verb));
    let takes = |long: &str| verb.is_some_and(|verb| verb.get_arguments().any(|it| it.get_long() == Some(long)));
    let given = all.into_iter().filter(|(long, value)| takes(long) && value.as_deref() != Some(""));
    given.filter_map(|(long, value)| Some(suggest::option(&format!("--{long}"), &value?))).flatten().collect()
}

/// # Errors
///
/// Exit code 2: this is not a version that a release can have.
pub fn must_be_version(text: &str) -> anyhow::Result<()> {
    if version::names_a_release(text) {
        return Ok(());
    }
    Err(failure::usage(format!("`{}` is not a version tag, such as v0.46", text.escape_debug())))
}

/// Where images are built.
#[derive(Args, Clone, Debug)]
pub struct Build {
    /// Build host, as for ssh; repeat the option for several hosts [default: $HOMESTAK_BUILD_HOST]
    #[arg(long = "host", value_name = "HOST", allow_hyphen_values = true)]
    hosts: Vec<String>,
    /// Send the packer directory to the host and build there; --remote-dir is not used, and the host needs no clone
    #[arg(long)]
    pub sync: bool,
    /// Packer directory on the host; `~` is the home there [default: $HOMESTAK_PACKER_REMOTE_DIR, else the first that exists
    /// of ~/iac/packer, /usr/local/lib/homestak/packer and ~/packer]
    #[arg(long, value_name = "DIR", allow_hyphen_values = true)]
    remote_dir: Option<String>,
}

impl Build {
    /// As they were typed, or as the environment has them.
    fn named(&self) -> Vec<String> {
        if self.hosts.is_empty() { set("HOMESTAK_BUILD_HOST").into_iter().collect() } else { self.hosts.clone() }
    }

    /// The hosts, each once.
    ///
    /// # Errors
    ///
    /// Exit code 2: ssh takes no such name.
    pub fn hosts(&self) -> anyhow::Result<Vec<Host>> {
        let mut hosts: Vec<Host> = Vec::new();
        for text in self.named() {
            let host = text.parse()?;
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        Ok(hosts)
    }

    /// Where the packer directory is on a host.
    pub fn folder(&self) -> anyhow::Result<PackerDir> {
        if self.sync {
            return stale::SYNCED.parse();
        }
        let named = self.remote_dir.clone().or_else(|| set("HOMESTAK_PACKER_REMOTE_DIR"));
        named.map_or(Ok(PackerDir::Usual), |dir| dir.parse())
    }

    /// What suggested commands repeat.
    pub fn options(&self) -> Options {
        Options {
            hosts: self.hosts.clone(),
            sync: self.sync,
            remote_dir: self.remote_dir.clone(),
            ..Options::default()
        }
    }
}

/// The release issue.
#[derive(Args, Clone, Debug)]
pub struct Issue {
    /// Number of the release issue that gets a comment
    #[arg(long, value_name = "N", value_parser = issue)]
    pub issue: Option<u64>,
    /// Repository of the issue [default: --repo]
    #[arg(long, value_name = "[HOST/]OWNER/NAME", requires = "issue")]
    pub issue_repo: Option<String>,
}

fn issue(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix('#').unwrap_or(text);
    let number = digits.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "expected the number of an issue, such as 123".to_owned())
}

/// A variable of the environment; an empty one says nothing.
fn set(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|value| !value.is_empty())
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
        /// Packer directory [default: $HOMESTAK_PACKER_DIR, else the first of packer, ., ../packer and ../../iac/packer that has
        /// templates/]
        #[arg(long, value_name = "DIR")]
        packer_dir: Option<PathBuf>,
    }
    Images {
        /// Images folder, flat or with a folder for each image [default: <packer-dir>/images]
        #[arg(long, value_name = "DIR")]
        images: Option<PathBuf>,
    }
    Publisher {
        /// GitHub repository that publishes [default: $HOMESTAK_PACKER_REPO, else the packer directory's remote, else, to read
        /// only, homestak-dev/packer]
        #[arg(long, value_name = "[HOST/]OWNER/NAME")]
        repo: Option<String>,
    }
    Remote {
        /// Git remote with the history and the version tags
        #[arg(long, value_name = "NAME", default_value = "origin")]
        remote: String,
    }
    GitUrl {
        /// Git URL of that repository, such as an ssh address [default: $HOMESTAK_PACKER_GIT_URL, else https with gh's login]
        #[arg(long, value_name = "URL")]
        git_url: Option<String>,
    }
    Json {
        /// Print one JSON object on standard output, and messages on standard error
        #[arg(long)]
        json: bool,
    }
    Verbose {
        /// Also show each request to GitHub and its answer
        #[arg(long)]
        verbose: bool,
    }
    VerboseFiles {
        /// Also show each image's size and digest
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
    /// Verbs that compare local images with published ones.
    All {
        folder: Folder, images: Images, publisher: Publisher, remote: Remote, git_url: GitUrl, json: Json, verbose: Verbose
    }
    /// Verbs for the published set alone.
    OfPublished {
        folder: Folder, publisher: Publisher, remote: Remote, git_url: GitUrl, json: Json, verbose: Verbose
    }
    Downloading {
        folder: Folder, images: Images, publisher: Publisher, remote: Remote, json: Json, verbose: Verbose
    }
    Building { folder: Folder, images: Images, remote: Remote, json: Json }
    /// Verbs for local images alone.
    Local { folder: Folder, images: Images, json: Json, verbose: VerboseFiles }
    Rehearsing { folder: Folder, json: Json }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_gets_those_options_that_it_takes() {
        let common = Common {
            packer_dir: Some("-p".into()),
            images: Some("/my images".into()),
            repo: Some("me/packer".into()),
            remote: "origin".into(),
            git_url: Some("https://example.org/packer".into()),
            ..Common::default()
        };
        let words = |verb| options(&common, verb).join(" ");
        assert_eq!(words("split"), "--packer-dir=-p --images /my images");
        assert_eq!(words("rollback"), "--packer-dir=-p --repo me/packer --git-url https://example.org/packer");
        assert!(
            words("publish").ends_with("--repo me/packer --git-url https://example.org/packer"),
            "{}",
            words("publish")
        );
        assert_eq!(words("build"), words("split"));
        assert_eq!(words("nosuch"), "");
        assert_eq!(suggest::word("https://me:secret@example.org/a packer"), "'https://example.org/a packer'");
    }
}
