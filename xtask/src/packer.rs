//! Where things are: the packer directory, the images folder, the repository that publishes.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::failure;
use crate::git::Git;
use crate::ssh;

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

    /// Whether somebody named it.
    pub fn is_given(&self) -> bool {
        self.given
    }

    /// Without a password that may stand in it.
    pub fn shown(&self) -> String {
        without_password(&self.url)
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

impl Repo {
    /// GitHub doesn't tell large letters from small ones in names.
    pub fn is(&self, other: &Self) -> bool {
        let same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
        same(&self.host, &other.host) && same(&self.owner, &other.owner) && same(&self.name, &other.name)
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

/// What a remote's URL leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder of this machine: it says nothing of GitHub.
    Here,
    Repo(Repo),
    /// `None`: not a form that names a repository.
    Unknown,
}

/// What a URL leads to, as git understands it: `https://…`, `ssh://…`, or `git@host:owner/name`, with ssh's own names for hosts
/// resolved by ssh.
pub fn place(url: &str) -> Place {
    let scheme = url.split_once("://").map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest));
    let (ssh, authority, path) = match &scheme {
        Some((scheme, _)) if scheme == "file" => return Place::Here,
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            (scheme.contains("ssh"), authority, path)
        }
        // scp-like: the first colon parts host and path. A path of this machine has a slash before it, or no colon.
        None => match url.strip_prefix('[').and_then(|rest| rest.split_once("]:")).or_else(|| url.split_once(':')) {
            Some((host, path)) if !host.contains('/') && !path.starts_with(':') => (true, host, path),
            Some((host, _)) if !host.contains('/') => return Place::Unknown,
            _ => return Place::Here,
        },
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.split(':').next().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    let path = path.trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let Some(host) = github_host(host, ssh) else { return Place::Unknown };
    match parts.as_slice() {
        [owner, name] => format!("{host}/{owner}/{name}").parse().map_or(Place::Unknown, Place::Repo),
        _ => Place::Unknown,
    }
}

/// The host as gh calls it; `None` for an alias that ssh doesn't know.
fn github_host(host: String, ssh: bool) -> Option<String> {
    let known = |host: &str| matches!(host, "github.com" | "ssh.github.com" | "www.github.com");
    if known(&host) {
        return Some(DEFAULT_HOST.to_owned());
    }
    let host = if ssh { ssh::host_name(&host).unwrap_or(host) } else { host };
    if known(&host) {
        return Some(DEFAULT_HOST.to_owned());
    }
    // A host on the internet has a dot in its name; what ssh gives back without one is an alias that nothing explains.
    (!ssh || host.contains('.')).then_some(host)
}

/// `--repo`, else `HOMESTAK_PACKER_REPO` (clap reads both into `asked`), else the remote of a packer directory that is a
/// repository of its own, else the project's.
///
/// # Errors
///
/// Exit code 3 when git refuses to tell the remote, or nobody can tell which repository it is.
pub fn repo(asked: Option<&str>, packer_dir: &Path, remote: &str) -> anyhow::Result<Repo> {
    if let Some(asked) = asked.filter(|asked| !asked.is_empty()) {
        return asked.parse();
    }
    match remote_of(packer_dir, remote).context("can't tell which repository publishes; name it with --repo")? {
        None | Some((_, Place::Here)) => DEFAULT_REPO.parse(),
        Some((_, Place::Repo(repo))) => Ok(repo),
        Some((url, Place::Unknown)) => Err(failure::missing(format!(
            "the remote `{remote}` is {}, and nobody can tell which repository on GitHub that is; name it with --repo [HOST/]OWNER/NAME",
            without_password(&url)
        ))),
    }
}

/// Where a remote of the packer directory leads, if that is a repository of its own and has the remote.
pub fn remote_of(packer_dir: &Path, remote: &str) -> anyhow::Result<Option<(String, Place)>> {
    let git = Git::at(packer_dir);
    if !packer_dir.is_dir() || !is_own_repository(&git, packer_dir)? {
        return Ok(None);
    }
    Ok(git.remote_url(remote)?.map(|url| {
        let place = place(&url);
        (url, place)
    }))
}

/// A URL as it may be shown.
pub fn without_password(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}/{path}")
        }
        None => url.to_owned(),
    }
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
            ("https://github.com/homestak-dev/packer.git", "homestak-dev/packer"),
            ("https://user:token@github.com/a/b", "a/b"),
            ("HTTPS://GitHub.com:443/a/b.git/", "a/b"),
            ("https://www.github.com/a/b", "a/b"),
            ("https://ghe.example:8443//a/b", "ghe.example/a/b"),
            ("git@github.com:a/b.git", "a/b"),
            ("github.com:a/b", "a/b"),
            ("git@github.com:/a/b.git", "a/b"),
            ("[git@github.com:22]:a/b.git", "a/b"),
            ("ssh://git@ssh.github.com:443/a/b.git", "a/b"),
            ("ssh://git@github.com//a/b.git", "a/b"),
            ("git+ssh://git@github.com/a/b", "a/b"),
            ("git://github.com/a/b", "a/b"),
            ("ssh://git@ghe.example:2222/a/b", "ghe.example/a/b"),
        ] {
            assert_eq!(place(url), Place::Repo(expected.parse().unwrap()), "{url}");
        }
        for url in ["/srv/git/packer.git", "../a/b", "file:///srv/a/b", "packer.git", "./a:b/c"] {
            assert_eq!(place(url), Place::Here, "{url}");
        }
        for url in [
            "https://example.org/a/b/c",
            "https://github.com/a",
            "git@github.com:22/a/b",
            "ext::sh -c x",
            "git@no-such-alias:a/b",
        ] {
            assert_eq!(place(url), Place::Unknown, "{url}");
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
