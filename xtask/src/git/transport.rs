//! How git connects to the publishing repository: with the clone's settings for proxies, TLS and addresses, and gh's login.
//!
//! No other setting of a person reaches the pushes: no guard, no default, no hook, no login that git knows for the address.
//! Settings are passed in the environment, because proxies and headers can have passwords.

use xshell::cmd;

use super::Git;
use super::place::{Place, place};
use crate::gh;
use crate::process;
use crate::repo::{Address, Repo};
use crate::text::base64;

/// Settings with their keys as `git config --list` gives them.
pub(super) type Settings = Vec<(String, String)>;

/// Everything that is set for the clone: by the system, the person, the clone, its includes and the environment.
pub(super) fn all(git: &Git) -> anyhow::Result<Settings> {
    let (sh, dir) = (process::shell()?, git.dir());
    let finished = process::output(cmd!(sh, "git -C {dir} config --list -z"))?.success()?;
    let text = String::from_utf8_lossy(&finished.stdout).into_owned();
    let setting = |entry: &str| {
        // A key without `=` is a boolean that is true.
        let (key, value) = entry.split_once('\n').unwrap_or((entry, "true"));
        (key.to_owned(), value.to_owned())
    };
    Ok(text.split('\0').filter(|entry| !entry.is_empty()).map(setting).collect())
}

/// The settings for the connection, then the settings of this tool.
pub(super) fn for_connection(all: &Settings, address: &Address, repo: &Repo) -> Settings {
    let mut kept: Settings = all.iter().filter(|(key, value)| holds(key, value, address.is_given())).cloned().collect();
    kept.extend(proxies(all, repo));
    let mut ours = |key: &str, value: &str| kept.push((key.to_owned(), value.to_owned()));
    for (key, value) in [("core.hooksPath", "/dev/null"), ("push.pushOption", ""), ("push.negotiate", "false")] {
        ours(key, value);
    }
    if address.is_given() {
        return kept;
    }
    ours("credential.helper", "");
    ours("credential.helper", "!gh auth git-credential");
    // Sent with the first request: before git asks a helper, curl would take what a netrc file has for the host.
    if let Some(token) = gh::token(&repo.host) {
        let login = base64(format!("x-access-token:{token}").as_bytes()).replace('\n', "");
        ours(&format!("http.{}.extraHeader", address.url), &format!("Authorization: Basic {login}"));
    }
    kept
}

fn holds(key: &str, value: &str, given: bool) -> bool {
    let section = key.split('.').next().unwrap_or_default();
    let is_login = key.ends_with(".extraheader") && value.to_ascii_lowercase().starts_with("authorization:");
    match section {
        "http" => given || !is_login,
        "protocol" | "ssh" => true,
        "url" | "credential" => given,
        "core" => matches!(key, "core.sshcommand" | "core.gitproxy") || (given && key == "core.askpass"),
        _ => false,
    }
}

/// What is set for a remote that is this repository holds for its address as well.
fn proxies<'a>(all: &'a Settings, repo: &'a Repo) -> impl Iterator<Item = (String, String)> + 'a {
    let is_ours = |name: &str| {
        let url = format!("remote.{name}.url");
        all.iter().any(|(key, url_of)| *key == url && matches!(place(url_of), Place::Repo(there) if there.is(repo)))
    };
    all.iter().filter_map(move |(key, value)| {
        let (name, key) = key.strip_prefix("remote.")?.rsplit_once('.')?;
        let key = match key {
            "proxy" => "http.proxy",
            "proxyauthmethod" => "http.proxyAuthMethod",
            _ => return None,
        };
        is_ours(name).then(|| (key.to_owned(), value.clone()))
    })
}

/// The URL to which `insteadOf` or `pushInsteadOf` redirects an address: the longest setting that fits, as git does.
/// <https://git-scm.com/docs/git-config#Documentation/git-config.txt-urlbaseinsteadOf>
pub(super) fn redirected(all: &Settings, url: &str, setting: &str) -> Option<String> {
    let suffix = format!(".{}", setting.to_ascii_lowercase());
    let fits = all.iter().filter_map(|(key, start)| {
        let base = key.strip_prefix("url.")?.strip_suffix(&suffix)?;
        Some((start.len(), format!("{base}{}", url.strip_prefix(start.as_str())?)))
    });
    fits.max_by_key(|(length, _)| *length).map(|(_, url)| url)
}

/// As the variable in which git takes what `-c` sets, and which no list of processes shows.
pub(super) fn parameters(settings: &Settings) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let all = settings.iter().map(|(key, value)| format!("{}={}", quoted(key), quoted(value)));
    all.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &[(&str, &str)]) -> Settings {
        text.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn only_the_way_holds() {
        let repo: Repo = "a/b".parse().unwrap();
        let all = settings(&[
            ("http.proxy", "http://proxy"),
            ("http.https://github.com/.extraheader", "AUTHORIZATION: basic x"),
            ("http.extraheader", "X-Trace: 1"),
            ("http.sslcainfo", "~/ca.pem"),
            ("core.sshcommand", "ssh -F x"),
            ("core.fsmonitor", "evil"),
            ("safe.barerepository", "explicit"),
            ("credential.https://github.com.username", "somebody"),
            ("url.https://x:secret@github.com/.insteadof", "https://github.com/"),
            ("push.gpgsign", "true"),
            ("remote.origin.url", "git@github.com:A/B.git"),
            ("remote.origin.proxy", "socks5://other"),
            ("remote.fork.url", "git@github.com:c/b.git"),
            ("remote.fork.proxy", "socks5://fork"),
        ]);
        let names = |address: &Address| {
            let kept = for_connection(&all, address, &repo);
            kept.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("\n")
        };
        let own = names(&Address::new(None, &repo));
        for kept in ["http.proxy=http://proxy", "X-Trace", "ca.pem", "ssh -F x", "http.proxy=socks5://other", "gh auth"]
        {
            assert!(own.contains(kept), "{kept}: {own}");
        }
        for left in ["basic x", "evil", "safe.", "somebody", "secret", "gpgsign", "socks5://fork"] {
            assert!(!own.contains(left), "{left}: {own}");
        }
        let given = names(&Address::new(Some("https://mirror.example/b"), &repo));
        assert!(given.contains("somebody") && given.contains("basic x") && !given.contains("gh auth"), "{given}");
    }

    #[test]
    fn the_longest_setting_redirects() {
        let all = settings(&[
            ("url.ssh://git@github.com/.insteadof", "https://github.com/"),
            ("url.https://mirror/.insteadof", "https://github.com/a/"),
            ("url.https://push/.pushinsteadof", "https://github.com/"),
        ]);
        assert_eq!(redirected(&all, "https://github.com/a/b", "insteadOf").as_deref(), Some("https://mirror/b"));
        assert_eq!(
            redirected(&all, "https://github.com/c/b", "insteadOf").as_deref(),
            Some("ssh://git@github.com/c/b")
        );
        assert_eq!(redirected(&all, "https://github.com/c/b", "pushInsteadOf").as_deref(), Some("https://push/c/b"));
        assert_eq!(redirected(&all, "https://example.org/", "insteadOf"), None);
    }
}
