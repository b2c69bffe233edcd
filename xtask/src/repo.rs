//! The repository that publishes, as a value: its name on GitHub and the address at which git reaches it.
//!
//! A name that was read is safe in a command, a path of the API and a message. Used by all that asks GitHub or git.

use crate::{failure, text};

/// The rolling release, and the tag that it is on.
pub const LATEST: &str = "latest";

/// `[HOST/]OWNER/NAME` on GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repo {
    pub host: String,
    pub owner: String,
    pub name: String,
}

/// Where the repository that publishes is reached by git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub url: String,
    /// Given with `--git-url`: then git's logins are the user's own.
    given: bool,
}

impl Address {
    /// `--git-url`, else the repository's own address.
    pub fn new(asked: Option<&str>, repo: &Repo) -> Self {
        match asked.filter(|asked| !asked.is_empty()) {
            Some(asked) => Self { url: asked.to_owned(), given: true },
            None => Self { url: format!("https://{}/{}/{}", repo.host, repo.owner, repo.name), given: false },
        }
    }

    /// Whether somebody named it.
    pub fn is_given(&self) -> bool {
        self.given
    }

    /// Without a password that may stand in it.
    pub fn shown(&self) -> String {
        text::without_logins(&self.url)
    }
}

/// The host of a repository that is named without one.
pub const DEFAULT_HOST: &str = "github.com";

impl std::fmt::Display for Repo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host != DEFAULT_HOST {
            write!(f, "{}/", self.host)?;
        }
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl Repo {
    /// GitHub doesn't tell large letters from small ones in names.
    pub fn is(&self, other: &Self) -> bool {
        let same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
        same(&self.host, &other.host) && same(&self.owner, &other.owner) && same(&self.name, &other.name)
    }

    /// The line that deletes a release by its id.
    pub fn delete_release(&self, id: u64) -> String {
        let host = if self.host == DEFAULT_HOST { String::new() } else { format!(" --hostname {}", self.host) };
        format!("gh api{host} --method DELETE repos/{}/{}/releases/{id}", self.owner, self.name)
    }

    /// The line that makes a release as a draft.
    pub fn draft(&self, release: &str) -> String {
        let word = text::shell_word(release);
        format!("gh release create {word} --draft --prerelease --title {word} --notes '' --repo {self}")
    }

    /// The repository that a page on its host is of.
    pub fn of_page(url: &str) -> Option<Self> {
        let (_, rest) = url.split_once("://")?;
        rest.splitn(4, '/').take(3).collect::<Vec<_>>().join("/").parse().ok()
    }

    /// The same host's repository of this `OWNER/NAME`.
    pub fn renamed(&self, full_name: &str) -> Option<Self> {
        let (owner, name) = full_name.split_once('/')?;
        Some(Self { host: self.host.clone(), owner: owner.to_owned(), name: name.to_owned() })
    }
}

impl std::str::FromStr for Repo {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let kept = |part: &&str| {
            !part.is_empty()
                && !part.starts_with(['-', '.'])
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        };
        let no_repository = || {
            let text = text.escape_debug();
            failure::usage(format!("`{text}` is not a repository; expected [HOST/]OWNER/NAME"))
        };
        let parts: Vec<&str> = text.split('/').collect();
        let (host, owner, name) = match parts.as_slice() {
            [owner, name] => (&DEFAULT_HOST, owner, name),
            [host, owner, name] => (host, owner, name),
            _ => {
                return Err(no_repository());
            }
        };
        if ![host, owner, name].into_iter().all(kept) {
            return Err(no_repository());
        }
        Ok(Self { host: (*host).to_owned(), owner: (*owner).to_owned(), name: (*name).to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_read_or_refused() {
        for (text, expected) in [("a/b", "a/b"), ("ghe.example/a/b", "ghe.example/a/b"), ("github.com/a/b", "a/b")] {
            assert_eq!(text.parse::<Repo>().unwrap().to_string(), expected);
        }
        for text in ["", "a", "a/", "/b", "a/b/c/d", "a b/c", "-a/b", "a/..", "a/b?c"] {
            let error = text.parse::<Repo>().unwrap_err();
            assert_eq!(failure::kind(&error), failure::Kind::Usage, "{text}");
        }
    }
}
