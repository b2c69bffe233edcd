//! Commands that the steps suggest, as data: [`suggest`] renders them for people, and `release` runs them.
//!
//! A command repeats the options of the walk that its verb takes; `suggest` adds the options that all verbs share.

use std::fmt;

use crate::suggest;

/// What the person asked for: the release, and the options that commands repeat.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The release that the phase is for; `None`: the release that follows from the state.
    pub release: Option<String>,
    pub hosts: Vec<String>,
    pub sync: bool,
    pub remote_dir: Option<String>,
    pub issue: Option<u64>,
    pub issue_repo: Option<String>,
    pub part_size: Option<String>,
    /// Whether to plan what `document` writes in every state.
    pub document: bool,
}

/// A command to type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A verb and its words, and whether `--execute` carries its plan out.
    Verb { words: Vec<String>, asks: bool },
    /// A command of another program.
    Other(String),
}

impl Command {
    /// The command with one more word.
    pub fn with(mut self, word: &str) -> Self {
        if let Self::Verb { words, .. } = &mut self {
            words.push(word.to_owned());
        }
        self
    }

    /// The command that does not ask before it changes something.
    pub fn executed(&self) -> Self {
        match self {
            Self::Verb { words, asks: true } => {
                let words = words.iter().cloned().chain(["--execute".to_owned()]).collect();
                Self::Verb { words, asks: false }
            }
            command => command.clone(),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verb { words, .. } => f.write_str(&suggest::line(words)),
            Self::Other(command) => f.write_str(command),
        }
    }
}

impl Options {
    pub fn doctor(&self) -> Command {
        verb("doctor", self.hosts().chain(self.place()), false)
    }

    pub fn check(&self) -> Command {
        verb("check", [], false)
    }

    /// `source`: the version to build; `None`: HEAD. Without a host the command has the placeholder `HOST`, unless the
    /// environment names a host.
    pub fn build(&self, source: Option<&str>, images: &[String]) -> Command {
        let unset = self.hosts.is_empty() && std::env::var("HOMESTAK_BUILD_HOST").unwrap_or_default().is_empty();
        let host = option("--host", unset.then_some("HOST"));
        let words = self.hosts().chain(host).chain(self.place()).chain(option("--source", source));
        verb("build-and-fetch", words.chain(images.to_vec()), false)
    }

    pub fn checksum(&self, images: &[String]) -> Command {
        verb("checksum", images.to_vec(), false)
    }

    /// `carried`: images that stay as they are on `latest`, although other files of that name are here.
    pub fn publish(&self, source: &str, images: &[String], carried: &[String]) -> Command {
        let words = option("--source", Some(source)).chain(option("--part-size", self.part_size.as_deref()));
        let carry = (!carried.is_empty()).then(|| "--carry".to_owned());
        verb("publish", words.chain(images.to_vec()).chain(carry).chain(carried.to_vec()), true)
    }

    pub fn verify(&self) -> Command {
        verb("verify", [], false)
    }

    pub fn document(&self, release: &str) -> Command {
        verb("document", option("--release", Some(release)).chain(self.issue()), true)
    }

    /// The walk itself.
    pub fn release(&self) -> Command {
        let words = self.release.iter().cloned().chain(self.hosts()).chain(self.place()).chain(self.issue());
        verb("release", words.chain(option("--part-size", self.part_size.as_deref())), false)
    }

    fn hosts(&self) -> impl Iterator<Item = String> {
        self.hosts.iter().flat_map(|host| suggest::option("--host", host))
    }

    /// Where the host builds.
    fn place(&self) -> impl Iterator<Item = String> {
        let sync = self.sync.then(|| "--sync".to_owned());
        sync.into_iter().chain(option("--remote-dir", self.remote_dir.as_deref()))
    }

    fn issue(&self) -> impl Iterator<Item = String> {
        let issue = self.issue.map(|issue| issue.to_string());
        option("--issue", issue.as_deref()).chain(option("--issue-repo", self.issue_repo.as_deref()))
    }
}

fn verb(name: &str, words: impl IntoIterator<Item = String>, asks: bool) -> Command {
    Command::Verb { words: [name.to_owned()].into_iter().chain(words).collect(), asks }
}

fn option(name: &str, value: Option<&str>) -> impl Iterator<Item = String> + use<> {
    value.map(|value| suggest::option(name, value)).unwrap_or_default().into_iter()
}
