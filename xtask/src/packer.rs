//! Where things are: the packer directory, the images folder, the repository that publishes.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::failure;
use crate::git::Git;

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

    /// Options for git: gh's login serves it and no other does; the header that a workflow's checkout leaves for this
    /// address would take its place.
    pub fn login(&self) -> Vec<String> {
        if self.given {
            return Vec::new();
        }
        let header = format!("http.{}.extraheader=", self.url);
        ["credential.helper=", "credential.helper=!gh auth git-credential", &header]
            .into_iter()
            .flat_map(|setting| ["-c".to_owned(), setting.to_owned()])
            .collect()
    }

    /// Without a password that may stand in it.
    pub fn shown(&self) -> String {
        match self.url.split_once("://") {
            Some((scheme, rest)) => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
                format!("{scheme}://{host}/{path}")
            }
            None => self.url.clone(),
        }
    }
}

const DEFAULT_REPO: &str = "homestak-dev/packer";
const DEFAULT_HOST: &str = "github.com";

impl std::fmt::Display for Repo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host != DEFAULT_HOST {
            write!(f, "{}/", self.host)?;
        }
        write!(f, "{}/{}", self.owner, self.name)
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
        let parts: Vec<&str> = text.split('/').collect();
        let (host, owner, name) = match parts.as_slice() {
            [owner, name] => (&DEFAULT_HOST, owner, name),
            [host, owner, name] => (host, owner, name),
            _ => {
                return Err(failure::usage(format!(
                    "`{}` is no repository; expected [HOST/]OWNER/NAME",
                    text.escape_debug()
                )));
            }
        };
        if ![host, owner, name].into_iter().all(kept) {
            return Err(failure::usage(format!(
                "`{}` is no repository; expected [HOST/]OWNER/NAME",
                text.escape_debug()
            )));
        }
        Ok(Self { host: (*host).to_owned(), owner: (*owner).to_owned(), name: (*name).to_owned() })
    }
}

/// The repository that a remote's URL names, as `https://…`, `ssh://…` or `git@host:owner/name`.
fn repo_in_url(url: &str) -> Option<Repo> {
    let rest = match url.split_once("://") {
        Some(("file", _)) => return None,
        Some((_, rest)) => rest.to_owned(),
        // scp-like: the first colon parts host and path. A path of this machine has a slash before it, or no colon.
        None => {
            url.split_once(':').filter(|(host, _)| !host.contains('/')).map(|(host, path)| format!("{host}/{path}"))?
        }
    };
    let rest = rest.rsplit_once('@').map_or(rest.as_str(), |(_, rest)| rest);
    let path = rest.trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let mut parts = path.split('/');
    let host = parts.next()?.split(':').next()?;
    let host = if host == "ssh.github.com" { DEFAULT_HOST } else { host };
    format!("{host}/{}", parts.collect::<Vec<_>>().join("/")).parse().ok()
}

/// `--repo`, else `HOMESTAK_PACKER_REPO` (clap reads both into `asked`), else the remote of a packer directory that is a
/// repository of its own, else the project's.
pub fn repo(asked: Option<&str>, packer_dir: &Path, remote: &str) -> anyhow::Result<Repo> {
    if let Some(asked) = asked.filter(|asked| !asked.is_empty()) {
        return asked.parse();
    }
    let git = Git::at(packer_dir);
    if packer_dir.is_dir()
        && is_own_repository(&git, packer_dir)?
        && let Some(repo) = git.remote_url(remote)?.as_deref().and_then(repo_in_url)
    {
        return Ok(repo);
    }
    DEFAULT_REPO.parse()
}

fn is_own_repository(git: &Git, packer_dir: &Path) -> anyhow::Result<bool> {
    let Some(top) = git.top()? else { return Ok(false) };
    let dir = packer_dir.canonicalize().with_context(|| format!("reading {}", packer_dir.display()))?;
    Ok(top.canonicalize().is_ok_and(|top| top == dir))
}

/// `--packer-dir`, else `packer` here, else `packer` at the top of the workspace, so that the command works from any of
/// its folders.
pub fn packer_dir(asked: Option<&Path>) -> PathBuf {
    let here = PathBuf::from("packer");
    match asked {
        Some(asked) => asked.to_owned(),
        None if here.is_dir() => here,
        None => workspace().map(|top| top.join("packer")).filter(|dir| dir.is_dir()).unwrap_or(here),
    }
}

/// The folder above `xtask`, which cargo names at run time.
pub fn workspace() -> Option<PathBuf> {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?).parent().map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_read_from_urls() {
        for (url, expected) in [
            ("https://github.com/homestak-dev/packer.git", Some("homestak-dev/packer")),
            ("https://user:token@github.com/a/b", Some("a/b")),
            ("git@github.com:a/b.git", Some("a/b")),
            ("ssh://git@ssh.github.com:443/a/b.git", Some("a/b")),
            ("ssh://git@ghe.example:2222/a/b", Some("ghe.example/a/b")),
            ("/srv/git/packer.git", None),
            ("../a/b", None),
            ("file:///srv/a/b", None),
            ("https://example.org/a/b/c", None),
        ] {
            assert_eq!(repo_in_url(url).map(|repo| repo.to_string()).as_deref(), expected, "{url}");
        }
    }

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
