//! Build hosts and folders on them, as a person names them.
//!
//! A name can never become an option or a shell word, and the person's own ssh configuration holds: aliases, ports, jump hosts,
//! keys. [`super::Ssh`] runs commands on such a host.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use xshell::cmd;

use crate::failure::{self, Advice as _};
use crate::process::{self, Patience};

const OPTIONS: [&str; 10] = [
    "BatchMode=yes",
    "ClearAllForwardings=yes",
    "ControlMaster=no",
    "ForwardAgent=no",
    "ForwardX11=no",
    "LogLevel=ERROR",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
    "Tunnel=no",
];

/// Where a person's configuration says nothing: seconds to connect; a dead line is noticed after three times ten seconds.
/// With each the words of `ssh -G` for nothing said.
const CONNECT_TIMEOUT: u64 = 15;
const DEFAULTS: [(&str, &str, u64); 2] =
    [("ConnectTimeout", "connecttimeout none", CONNECT_TIMEOUT), ("ServerAliveInterval", "serveraliveinterval 0", 10)];

/// What OpenSSH knows since 8.7, and refuses before.
const NEWER_OPTIONS: [&str; 2] = ["ForkAfterAuthentication=no", "StdinNull=no"];

/// For a small question, once the connection stands.
const ANSWER: Duration = Duration::from_secs(60);

/// A build host as `ssh` takes it: an alias or `[USER@]HOST`, or `ssh://[USER@]HOST[:PORT]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host {
    user: Option<String>,
    pub(super) name: String,
    port: Option<u16>,
}

impl FromStr for Host {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let refused = |why: &str| {
            failure::usage(format!("--host `{}` {why}", text.escape_debug()))
                .fix("give a name from your ssh configuration, [USER@]HOST, or ssh://[USER@]HOST:PORT")
        };
        let (rest, uri) = text.strip_prefix("ssh://").map_or((text, false), |rest| (rest.trim_end_matches('/'), true));
        let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
        let (name, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((name, "")) => (name, None),
            Some((name, port)) => (name, Some(port.strip_prefix(':').ok_or_else(|| refused("has a stray bracket"))?)),
            None if uri => rest.split_once(':').map_or((rest, None), |(name, port)| (name, Some(port))),
            None => (rest, None),
        };
        if text.starts_with('-') || name.starts_with('-') || user.is_some_and(|user| user.starts_with('-')) {
            return Err(refused("begins with `-`, as an option does"));
        }
        if name.is_empty() || user.is_some_and(str::is_empty) {
            return Err(refused("names no host"));
        }
        // `:` and `%` are for IPv6 addresses and their zones, `\` for a Windows domain before a user.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
        let name_bad = name.chars().find(|c| !plain(*c) && !matches!(c, ':' | '%'));
        let user_bad = user.and_then(|user| user.chars().find(|c| !plain(*c) && *c != '@'));
        if let Some(bad) = name_bad.or(user_bad) {
            return Err(refused(&format!("has the character `{}`", bad.escape_debug())));
        }
        if name.matches(':').count() == 1 {
            return Err(refused("has a port where ssh expects none"));
        }
        let port =
            port.map(|port| port.parse::<u16>().map_err(|_| refused("has no port from 1 to 65535"))).transpose()?;
        Ok(Self { user: user.map(str::to_owned), name: name.to_owned(), port })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_deref().map(|user| format!("{user}@")).unwrap_or_default();
        match self.port {
            None => write!(f, "{user}{}", self.name),
            Some(port) if self.name.contains(':') => write!(f, "ssh://{user}[{}]:{port}", self.name),
            Some(port) => write!(f, "ssh://{user}{}:{port}", self.name),
        }
    }
}

impl Host {
    /// As `ssh` takes it, beside `-o Port=`.
    pub(super) fn destination(&self) -> String {
        let user = self.user.as_deref().map(|user| format!("{user}@")).unwrap_or_default();
        format!("{user}{}", self.name)
    }

    /// As `scp` takes it before the path's colon.
    pub(super) fn scp_destination(&self) -> String {
        let user = self.user.as_deref().map(|user| format!("{user}@")).unwrap_or_default();
        if self.name.contains(':') { format!("{user}[{}]", self.name) } else { format!("{user}{}", self.name) }
    }

    pub(super) fn options(&self) -> Vec<String> {
        let port = self.port.map(|port| format!("Port={port}"));
        let newer: &[&str] = if is_newer() { &NEWER_OPTIONS } else { &[] };
        let said = self.configuration();
        let silent =
            DEFAULTS.iter().filter(|(_, nothing, _)| said.is_empty() || said.lines().any(|line| line == *nothing));
        let defaults = silent.map(|(option, _, value)| format!("{option}={value}"));
        let all = OPTIONS.iter().chain(newer).map(|option| (*option).to_owned()).chain(defaults).chain(port);
        all.flat_map(|option| ["-o".to_owned(), option]).collect()
    }

    /// What `ssh -G` says of this host, asked once; nothing where it can't tell.
    pub(super) fn configuration(&self) -> String {
        static SAID: Mutex<BTreeMap<Host, String>> = Mutex::new(BTreeMap::new());
        let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
        said.entry(self.clone())
            .or_insert_with(|| {
                let destination = self.destination();
                let port = self.port.map(|port| format!("-oPort={port}"));
                let asked =
                    process::shell().and_then(|sh| process::output(cmd!(sh, "ssh -G {port...} -- {destination}")));
                asked
                    .ok()
                    .filter(|finished| finished.status.success())
                    .map_or_else(String::new, |finished| finished.text())
            })
            .clone()
    }

    /// A small question's patience: as long as a person's configuration lets connecting take, and an answer's time more.
    pub(super) fn patience(&self) -> Patience {
        let said = self.configuration();
        let connect = said.lines().find_map(|line| line.strip_prefix("connecttimeout ")?.parse().ok());
        let connect = Duration::from_secs(connect.unwrap_or(CONNECT_TIMEOUT));
        Patience { stall: ANSWER + connect, answer: ANSWER + connect }
    }
}

/// Whether the ssh here knows [`NEWER_OPTIONS`]. One that isn't OpenSSH, or isn't there, says so itself later.
pub(super) fn is_newer() -> bool {
    static NEWER: OnceLock<bool> = OnceLock::new();
    *NEWER.get_or_init(|| {
        let said = process::shell().and_then(|sh| process::output(cmd!(sh, "ssh -V"))).map(|finished| finished.stderr);
        said.ok().as_deref().and_then(version).is_some_and(|version| version >= (8, 7))
    })
}

/// `OpenSSH_9.2p1 Debian-2, OpenSSL …`
fn version(said: &str) -> Option<(u32, u32)> {
    let (_, rest) = said.split_once("OpenSSH_")?;
    let rest = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
    let (major, rest) = rest.split_once('.')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The packer directory on a build host: absolute, or below the login's home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteDir(String);

impl FromStr for RemoteDir {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let kept = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '+' | '@' | ',' | '=' | '-');
        let shown = text.escape_debug();
        // A login begins in its home, where a path without a slash at its front begins as well.
        let text = match text.strip_prefix('~') {
            Some("" | "/") => ".",
            Some(below) if below.starts_with('/') => below.trim_start_matches('/'),
            _ => text,
        };
        if let Some(bad) = text.chars().find(|c| !kept(*c)) {
            return Err(failure::usage(format!("--remote-dir `{shown}` has the character `{}`", bad.escape_debug()))
                .fix("use letters, digits and `. _ / + @ , = -`"));
        }
        if text.is_empty() || text.starts_with('-') {
            return Err(failure::usage(format!("--remote-dir `{shown}` is empty or begins with `-`"))
                .fix("give the folder that holds build.sh"));
        }
        Ok(Self(if text == "/" { text.to_owned() } else { text.trim_end_matches('/').to_owned() }))
    }
}

impl fmt::Display for RemoteDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read() {
        for (said, read) in [
            ("OpenSSH_9.2p1 Debian-2+deb12u7, OpenSSL 3.0.17", Some((9, 2))),
            ("OpenSSH_8.4p1", Some((8, 4))),
            ("OpenSSH_for_Windows_8.6p1, LibreSSL 3.4.3", Some((8, 6))),
            ("OpenSSH_10.0p2", Some((10, 0))),
            ("Dropbear v2022.83", None),
            ("OpenSSH_", None),
        ] {
            assert_eq!(version(said), read, "{said}");
        }
    }

    #[test]
    fn hosts_are_read() {
        for (text, destination, scp, port) in [
            ("build1", "build1", "build1", None),
            ("root@build-1.example", "root@build-1.example", "root@build-1.example", None),
            ("::1", "::1", "[::1]", None),
            ("me@[fe80::1%eth0]", "me@fe80::1%eth0", "me@[fe80::1%eth0]", None),
            ("ssh://me@build1:2222", "me@build1", "me@build1", Some(2222)),
            ("ssh://build1/", "build1", "build1", None),
            ("ssh://[::1]:22", "::1", "[::1]", Some(22)),
            ("me@corp@build1", "me@corp@build1", "me@corp@build1", None),
        ] {
            let host: Host = text.parse().unwrap();
            assert_eq!((host.destination().as_str(), host.scp_destination().as_str()), (destination, scp), "{text}");
            assert_eq!(host.port, port, "{text}");
            assert_eq!(host.to_string().parse::<Host>().unwrap(), host, "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            "-oProxyCommand=touch x",
            "-",
            "me@-oProxyCommand=x",
            "-l@host",
            "a b",
            "a;b",
            "a$b",
            "a`b`",
            "a\nb",
            "a'b",
            "a|b",
            "a\u{1b}b",
            "host:22",
            "ssh://host:99999",
            "ssh://host:",
            "@host",
            "me@",
            "a/b",
            "ä",
            "[::1",
            "*",
        ] {
            let error = text.parse::<Host>().unwrap_err();
            assert_eq!(failure::kind(&error), failure::Kind::Usage, "{text}");
        }
    }

    #[test]
    fn remote_folders_are_read_or_refused() {
        for (text, kept) in [
            ("/usr/local/lib/homestak/packer", "/usr/local/lib/homestak/packer"),
            ("a/b/", "a/b"),
            ("/", "/"),
            ("~", "."),
            ("~/", "."),
            ("~/a/b", "a/b"),
            ("~//a", "a"),
        ] {
            assert_eq!(text.parse::<RemoteDir>().unwrap().to_string(), kept);
        }
        for text in ["", "-rf", "a b", "/x;reboot", "$HOME", "~x/y", "~/-x", "a'b", "a\nb", "a\"b", "a\\b", "a*", "ä"]
        {
            let error = text.parse::<RemoteDir>().unwrap_err();
            assert_eq!(failure::kind(&error), failure::Kind::Usage, "{text}");
        }
    }

    #[test]
    fn hostile_hosts_and_versions() {
        crate::hostile::try_with(&[b"ssh://me@[fe80::1%eth0]:22", b"OpenSSH_9.2p1"], |bytes| {
            let text = String::from_utf8_lossy(bytes);
            version(&text);
            if let Ok(host) = text.parse::<Host>() {
                assert_eq!(host.to_string().parse::<Host>().unwrap(), host);
                assert!(!host.destination().starts_with('-'));
            }
        });
    }
}
