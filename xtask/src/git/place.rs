//! What the URL of a remote leads to: a repository on GitHub, a folder of this machine, or neither.
//!
//! URLs are read as git reads them, and ssh's own names for hosts as ssh resolves them. Used to find the repository that
//! publishes, and to see that a push leads there.

use crate::repo::{DEFAULT_HOST, Repo};
use crate::ssh;

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
}
