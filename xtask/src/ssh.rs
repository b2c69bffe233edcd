//! The one file that says `ssh` and `scp`.
//!
//! A person's own configuration holds: aliases, ports, jump hosts, keys. Set here is only what a tool needs: no question
//! is ever asked (`BatchMode`), no connection of ours becomes a master that keeps our pipes open, forwardings are left
//! to people's own sessions, and a dead line is noticed. What goes to the remote shell is made of characters that no
//! shell looks at twice; see [`Host`] and [`RemoteDir`].

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use xshell::{Shell, cmd};

use crate::failure;
use crate::process::{self, Drain, Feed, Patience, Stream, Streamed};

pub mod trouble;

use trouble::Fault;

/// Seconds to connect; a dead line is noticed after three times ten seconds.
const OPTIONS: [&str; 9] = [
    "BatchMode=yes",
    "ClearAllForwardings=yes",
    "ConnectTimeout=15",
    "ControlMaster=no",
    "LogLevel=ERROR",
    "RemoteCommand=none",
    "RequestTTY=no",
    "ServerAliveCountMax=3",
    "ServerAliveInterval=10",
];

/// For a small question. Connecting has a limit of its own.
const ANSWER: Patience = Patience { stall: Duration::from_secs(60), answer: Duration::from_secs(60) };

/// A build host as `ssh` takes it: an alias or `[USER@]HOST`, or `ssh://[USER@]HOST[:PORT]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host {
    user: Option<String>,
    name: String,
    port: Option<u16>,
}

impl FromStr for Host {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let refused = |why: &str| {
            failure::usage(format!(
                "--host `{}` {why}; give a name from your ssh configuration, [USER@]HOST, or ssh://[USER@]HOST:PORT",
                text.escape_debug()
            ))
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
    fn destination(&self) -> String {
        let user = self.user.as_deref().map(|user| format!("{user}@")).unwrap_or_default();
        format!("{user}{}", self.name)
    }

    /// As `scp` takes it before the path's colon.
    fn scp_destination(&self) -> String {
        let user = self.user.as_deref().map(|user| format!("{user}@")).unwrap_or_default();
        if self.name.contains(':') { format!("{user}[{}]", self.name) } else { format!("{user}{}", self.name) }
    }

    fn options(&self) -> Vec<String> {
        let port = self.port.map(|port| format!("Port={port}"));
        let all = OPTIONS.iter().map(|option| (*option).to_owned()).chain(port);
        all.flat_map(|option| ["-o".to_owned(), option]).collect()
    }
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
            return Err(failure::usage(format!(
                "--remote-dir `{shown}` has the character `{}`; use letters, digits and `. _ / + @ , = -`",
                bad.escape_debug()
            )));
        }
        if text.is_empty() || text.starts_with('-') {
            return Err(failure::usage(format!(
                "--remote-dir `{shown}` is empty or begins with `-`; give the folder that holds build.sh"
            )));
        }
        Ok(Self(if text == "/" { text.to_owned() } else { text.trim_end_matches('/').to_owned() }))
    }
}

impl fmt::Display for RemoteDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An image's files below the packer directory, whose names were checked.
pub struct RemoteImage<'a> {
    pub dir: &'a RemoteDir,
    /// One, or its parts in order.
    pub files: &'a [String],
}

impl RemoteImage<'_> {
    fn paths(&self) -> Vec<String> {
        self.files.iter().map(|file| format!("{}/{file}", self.dir)).collect()
    }
}

/// The call of an engine that builds an image: always exactly one, since some build the first of several alone.
#[derive(Debug, Clone, Copy)]
pub struct BuildScript<'a> {
    pub dir: &'a RemoteDir,
    /// `build.sh` or `build`.
    pub script: &'a str,
    pub image: &'a str,
    /// Also when nothing changed.
    pub force: bool,
}

impl BuildScript<'_> {
    /// As it is typed in its folder.
    pub fn line(&self) -> String {
        format!("./{} {}{}", self.script, if self.force { "--force " } else { "" }, self.image)
    }
}

/// Runs an engine in its folder. One that doesn't watch its input gets one that has ended: without a name, or with a
/// question of its own, it would wait for ever. When ours ends, so does the engine.
const RUN: &str = "cd \"$1\" || exit; shift; \
    if grep -q PACKER_BUILD_WATCH_STDIN \"$1\"; then PACKER_BUILD_WATCH_STDIN=1 exec \"$@\" 2>&1; fi; \
    exec 3<&0 </dev/null; setsid \"$@\" 2>&1 3<&- & engine=$!; \
    ( cat <&3; kill -- -$engine ) >/dev/null 2>&1 & watcher=$!; exec 3<&-; \
    wait $engine; status=$?; kill $watcher 2>/dev/null; exit $status";

/// A build host that can be reached with the `ssh` and `scp` of this machine.
#[derive(Debug, Clone)]
pub struct Ssh {
    pub host: Host,
    /// No byte moves for so long: the connection is ended.
    pub stall: Duration,
}

impl Ssh {
    /// Runs a POSIX shell script that arrives on standard input, so that nothing in it needs quotes; gives its output.
    pub fn script(&self, script: &str, arguments: &[&str]) -> Result<Vec<u8>, Fault> {
        let (sh, options, destination) = (shell()?, self.host.options(), self.host.destination());
        let quoted: Vec<String> = arguments.iter().map(|argument| format!("'{argument}'")).collect();
        let remote = format!("exec sh -s -- {}", quoted.join(" "));
        let feed: Feed = Box::new(move |input| {
            // A host that refuses never reads; its own words say why.
            let _ = input.write_all(script.as_bytes());
            Ok(())
        });
        let streamed = process::stream(
            cmd!(sh, "ssh {options...} -- {destination} {remote}"),
            Stream { feed: Some(feed), drain: None, patience: ANSWER, heed_signals: true },
        )?;
        self.judge(streamed).map(|streamed| streamed.finished.stdout)
    }

    /// Runs build.sh and hands its output over as it comes, standard error with it. The build's standard input
    /// stays open until `feed` returns: build.sh ends when it closes, so a build never outlives this process.
    /// The exit status is for the caller to judge.
    pub fn build(
        &self,
        script: BuildScript<'_>,
        feed: Feed<'_>,
        drain: Drain<'_>,
        grace: Duration,
    ) -> anyhow::Result<Streamed> {
        let (sh, options, destination) = (shell()?, self.host.options(), self.host.destination());
        let remote = format!("exec sh -c '{RUN}' sh {} {}", script.dir, script.line());
        // A build may be silent for long; once its input is closed it has the grace to end.
        let patience = Patience { stall: Duration::MAX, answer: grace };
        process::stream(
            cmd!(sh, "ssh {options...} -- {destination} {remote}"),
            Stream { feed: Some(feed), drain: Some(drain), patience, heed_signals: false },
        )
    }

    /// Copies an image to a local file. `gauge` tells how much of it has arrived.
    pub fn copy(&self, from: &RemoteImage<'_>, to: &Path, gauge: impl FnMut() -> u64) -> Result<(), Fault> {
        let (sh, options) = (shell()?, self.host.options());
        let [from] = from.paths().try_into().map_err(|_| Fault::line(failure::failed("it lies there in parts")))?;
        let from: String = format!("{}:{from}", self.host.scp_destination());
        let streamed = process::gauged(cmd!(sh, "scp {options...} -- {from} {to}"), self.stall, gauge)?;
        self.judge(streamed).map(drop)
    }

    /// Hands over an image's bytes from `offset` on.
    pub fn tail(&self, from: &RemoteImage<'_>, offset: u64, drain: Drain<'_>) -> Result<(), Fault> {
        let (sh, options, destination) = (shell()?, self.host.options(), self.host.destination());
        let patience = Patience { stall: self.stall, answer: self.stall };
        let paths = from.paths().iter().map(|path| format!("'{path}'")).collect::<Vec<_>>().join(" ");
        let remote = if from.files.len() == 1 {
            format!("exec tail -c +{} {paths}", offset + 1)
        } else {
            format!("cat {paths} | tail -c +{}", offset + 1)
        };
        let streamed = process::stream(
            cmd!(sh, "ssh {options...} -- {destination} {remote}"),
            Stream { feed: None, drain: Some(drain), patience, heed_signals: true },
        )?;
        self.judge(streamed).map(drop)
    }

    /// Success, or what went wrong and whose fault it is.
    fn judge(&self, streamed: Streamed) -> Result<Streamed, Fault> {
        trouble::of(&self.host, &streamed).map_or(Ok(()), Err)?;
        if let Err(error) = streamed.drained {
            return Err(Fault::here(error));
        }
        if !streamed.finished.status.success() {
            return Err(Fault::image(trouble::words(&streamed.finished)));
        }
        Ok(Streamed { drained: Ok(()), ..streamed })
    }
}

/// # Errors
///
/// Exit code 3, with the cure, when there is no ssh.
pub fn is_installed() -> anyhow::Result<()> {
    let sh = shell()?;
    process::output(cmd!(sh, "ssh -V")).map(drop)
}

/// One for each command: a shell can't be shared between the threads of several hosts.
fn shell() -> anyhow::Result<Shell> {
    Shell::new().context("reading the current directory")
}

/// What a build's input is while it runs: nothing, and open.
pub fn hold_open(_input: &mut (dyn Write + Send), until: impl Fn() -> bool) {
    while !until() {
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
