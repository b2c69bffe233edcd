//! The lines that a person would type, with the options that were given to the walk.

use std::fmt;

use super::Release;
use crate::typed;
use crate::verbs::{Common, Verb};

/// A line to type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// The words after `cargo xtask packer`, and whether `--execute` carries it out.
    Verb { words: Vec<String>, asks: bool },
    /// Another program's.
    Other(String),
}

impl Line {
    /// What can be run here; `None` for what a person must do.
    pub fn words(&self) -> Option<&[String]> {
        match self {
            Self::Verb { words, .. } => Some(words),
            Self::Other(_) => None,
        }
    }

    /// The same, agreed to in advance.
    pub fn carried_out(&self) -> Self {
        match self {
            Self::Verb { words, asks: true } => {
                let words = words.iter().cloned().chain(["--execute".to_owned()]).collect();
                Self::Verb { words, asks: false }
            }
            line => line.clone(),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verb { words, .. } => {
                f.write_str("cargo xtask packer")?;
                words.iter().try_for_each(|word| write!(f, " {}", typed::word(word)))
            }
            Self::Other(line) => f.write_str(line),
        }
    }
}

/// Reads a line back.
pub fn verb(words: &[String]) -> anyhow::Result<Verb> {
    let all = ["cargo xtask", "packer"].into_iter().chain(words.iter().map(String::as_str));
    Ok(crate::parse(all)?)
}

/// Makes the lines.
pub struct Lines<'a> {
    pub asked: &'a Release,
    pub common: &'a Common,
}

impl Lines<'_> {
    pub fn release(&self) -> &str {
        &self.asked.release
    }

    pub fn doctor(&self) -> Line {
        let mut words = self.hosts();
        words.extend(flag("--sync", self.asked.sync));
        words.extend(option("--remote-dir", self.asked.remote_dir.as_deref()));
        self.line("doctor", words, false)
    }

    pub fn check(&self) -> Line {
        self.line("check", Vec::new(), false)
    }

    pub fn build(&self, images: &[String]) -> Line {
        let mut words = self.hosts();
        if words.is_empty() {
            words = vec!["--host".into(), "HOST".into()];
        }
        words.extend(flag("--sync", self.asked.sync));
        words.extend(option("--remote-dir", self.asked.remote_dir.as_deref()));
        words.extend(["--source".into(), self.release().into()]);
        words.extend(images.iter().cloned());
        self.line("build-and-fetch", words, false)
    }

    pub fn publish(&self, images: &[String]) -> Line {
        let mut words = vec!["--source".into(), self.release().into()];
        words.extend(option("--part-size", self.asked.part_size.as_deref()));
        words.extend(images.iter().cloned());
        self.line("publish", words, true)
    }

    pub fn verify(&self) -> Line {
        self.line("verify", Vec::new(), false)
    }

    pub fn document(&self) -> Line {
        let mut words = vec!["--release".into(), self.release().into()];
        words.extend(self.issue());
        self.line("document", words, true)
    }

    /// document, for a comment on the issue as well.
    pub fn comment(&self) -> String {
        match self.asked.issue {
            Some(_) => self.document().to_string(),
            None => format!("{} --issue N", self.document()),
        }
    }

    /// The walk itself, from wherever it is.
    pub fn again(&self) -> Line {
        let mut words = vec![self.release().to_owned()];
        words.extend(self.hosts());
        words.extend(flag("--sync", self.asked.sync));
        words.extend(option("--remote-dir", self.asked.remote_dir.as_deref()));
        words.extend(self.issue());
        words.extend(option("--part-size", self.asked.part_size.as_deref()));
        self.line("release", words, false)
    }

    fn hosts(&self) -> Vec<String> {
        self.asked.hosts.iter().flat_map(|host| ["--host".to_owned(), host.clone()]).collect()
    }

    fn issue(&self) -> Vec<String> {
        let mut words = option("--issue", self.asked.issue.map(|issue| issue.to_string()).as_deref());
        words.extend(option("--issue-repo", self.asked.issue_repo.as_deref()));
        words
    }

    fn line(&self, verb: &str, more: Vec<String>, asks: bool) -> Line {
        let mut words = vec![verb.to_owned()];
        words.extend(more);
        words.extend(typed::options(self.common, verb));
        Line::Verb { words, asks }
    }
}

fn option(name: &str, value: Option<&str>) -> Vec<String> {
    value.map(|value| typed::option(name, value)).unwrap_or_default()
}

fn flag(name: &str, given: bool) -> Option<String> {
    given.then(|| name.to_owned())
}
