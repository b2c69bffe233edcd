//! The one file that says `ssh` and `scp`.
//!
//! A person's own configuration holds: aliases, ports, jump hosts, keys. Set here is only what a tool needs: no question
//! is ever asked (`BatchMode`), no connection of ours becomes a master that keeps our pipes open, forwardings are left
//! to people's own sessions, a dead line is noticed, and what makes ssh another kind of command (no session, another
//! command, no input, in the background) is off.
//!
//! The host's login shell may be any: it gets `exec sh -s -- 'WORD' …`, which bash, dash, zsh, fish and tcsh read alike, in
//! characters that no shell looks at twice (see [`Host`] and [`RemoteDir`]); the script comes on standard input. What a
//! login script prints comes before the script's own output, which begins with a marker.

use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::str::FromStr;
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use anyhow::Context as _;
use xshell::{Shell, cmd};

use crate::failure;
use crate::image::hash;
use crate::process::{self, Drain, Feed, Patience, Stream, Streamed};

mod frames;
pub mod trouble;

use frames::Frames;
pub use frames::Told;
use trouble::Fault;

/// Seconds to connect; a dead line is noticed after three times ten seconds.
const OPTIONS: [&str; 13] = [
    "BatchMode=yes",
    "ClearAllForwardings=yes",
    "ConnectTimeout=15",
    "ControlMaster=no",
    "ForwardAgent=no",
    "ForwardX11=no",
    "LogLevel=ERROR",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
    "ServerAliveCountMax=3",
    "ServerAliveInterval=10",
    "Tunnel=no",
];

/// What OpenSSH knows since 8.7, and refuses before.
const NEWER_OPTIONS: [&str; 2] = ["ForkAfterAuthentication=no", "StdinNull=no"];

/// Of the same age, and for ssh alone: scp asks for a session of its own kind.
const SESSION: &str = "SessionType=default";

/// More than any script here has to say.
const LARGEST_ANSWER: usize = 16 << 20;

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
        let newer: &[&str] = if is_newer() { &NEWER_OPTIONS } else { &[] };
        let all = OPTIONS.iter().chain(newer).map(|option| (*option).to_owned()).chain(port);
        all.flat_map(|option| ["-o".to_owned(), option]).collect()
    }
}

/// Whether the ssh here knows [`NEWER_OPTIONS`]. One that isn't OpenSSH, or isn't there, says so itself later.
fn is_newer() -> bool {
    static NEWER: OnceLock<bool> = OnceLock::new();
    *NEWER.get_or_init(|| {
        let said = shell().and_then(|sh| process::output(cmd!(sh, "ssh -V"))).map(|finished| finished.stderr);
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
    /// As it is typed in its folder; the log begins with it.
    pub fn line(&self) -> String {
        format!("./{} {}{}", self.script, if self.force { "--force " } else { "" }, self.image)
    }
}

/// A build host that can be reached with the `ssh` and `scp` of this machine.
#[derive(Debug, Clone)]
pub struct Ssh {
    pub host: Host,
    /// No byte moves for so long: the connection is ended.
    pub stall: Duration,
}

/// How a build went.
pub struct Built {
    pub streamed: Streamed,
    pub told: Told,
}

impl Ssh {
    /// Runs a POSIX shell script that arrives on standard input, so that nothing in it needs quotes; gives its output, and
    /// whatever a login script printed before. The script begins with printing `marker`.
    ///
    /// # Errors
    ///
    /// Exit code 3, in one sentence, when the host runs no script for this login.
    pub fn script(&self, script: &str, marker: &str, arguments: &[&str]) -> Result<Answer, Fault> {
        let feed: Feed = Box::new(move |input| {
            // A host that refuses never reads; its own words say why.
            let _ = input.write_all(script.as_bytes());
            Ok(())
        });
        let mut output = Vec::new();
        let drain: Drain = Box::new(|from| {
            from.take(LARGEST_ANSWER as u64 + 1).read_to_end(&mut output)?;
            if position(&output, marker.as_bytes()).is_none() {
                self.is_bearable(&output)?;
            }
            anyhow::ensure!(output.len() <= LARGEST_ANSWER, "it says more than {LARGEST_ANSWER} bytes");
            Ok(())
        });
        let stream = Stream { feed: Some(feed), drain: Some(drain), patience: ANSWER, heed_signals: true };
        let mut streamed = self.run(arguments, stream)?;
        if let Err(error) = std::mem::replace(&mut streamed.drained, Ok(())) {
            return Err(Fault::host(error.context(format!("the answer of {} can't be read", self.host))));
        }
        trouble::of(&self.host, &streamed).map_or(Ok(()), Err)?;
        let Some(at) = position(&output, marker.as_bytes()) else {
            streamed.finished.stdout = output;
            return Err(trouble::no_shell(&self.host, &streamed.finished));
        };
        let rest = output.split_off(at + marker.len());
        output.truncate(at);
        self.judge(streamed)?;
        Ok(Answer { noise: output, text: rest })
    }

    /// Runs an engine and hands its output over as it comes, standard error with it. Once `stop` says so, or this process is
    /// gone, the build's input ends, and the host ends the build; it may take `grace` for that.
    pub fn build(
        &self,
        script: BuildScript<'_>,
        stop: impl Fn() -> bool + Send,
        mut take: impl FnMut(&[u8]) -> anyhow::Result<()> + Send,
        grace: Duration,
    ) -> anyhow::Result<Built> {
        let dir = script.dir.to_string();
        let mut arguments = vec![dir.as_str(), script.script, script.image];
        if script.force {
            arguments.push("--force");
        }
        let (output, ended) = mpsc::channel::<()>();
        let feed: Feed = Box::new(move |input| {
            // One that refuses never reads.
            let _ = input.write_all(include_str!("host/build.sh").as_bytes());
            while ended.recv_timeout(Duration::from_millis(50)) == Err(mpsc::RecvTimeoutError::Timeout) && !stop() {}
            Ok(())
        });
        let mut frames = Frames::default();
        let drain: Drain = Box::new(|from| {
            // Dropped when the output ends, however it ends.
            let _output = output;
            let mut buffer = vec![0; 16 * 1024];
            let mut result = Ok(());
            while result.is_ok() && !frames.told.end {
                let read = from.read(&mut buffer)?;
                if read == 0 {
                    break;
                }
                frames.push(&buffer[..read], |bytes| {
                    if result.is_ok() {
                        result = take(bytes);
                    }
                });
            }
            frames.end(|bytes| drop(take(bytes)));
            result
        });
        // A build may be silent for long; once its input is closed it has the grace to end.
        let patience = Patience { stall: Duration::MAX, answer: grace };
        let stream = Stream { feed: Some(feed), drain: Some(drain), patience, heed_signals: false };
        let streamed = self.run(&arguments, stream)?;
        Ok(Built { streamed, told: frames.told })
    }

    /// Copies a file to a local file. `gauge` tells how much of it has arrived, or `None` when that is too much.
    pub fn copy(&self, from: &str, to: &Path, gauge: impl FnMut() -> Option<u64>) -> Result<(), Fault> {
        let (sh, options) = (shell()?, self.host.options());
        let from = format!("{}:{from}", self.host.scp_destination());
        let streamed = process::gauged(cmd!(sh, "scp {options...} -- {from} {to}"), self.stall, gauge)?;
        self.judge(streamed).map(drop)
    }

    /// Hands over the bytes of files, one after the other, from `offset` on. `take` may refuse more.
    pub fn tail(
        &self,
        files: &[String],
        offset: u64,
        mut take: impl FnMut(&[u8]) -> anyhow::Result<()> + Send,
    ) -> Result<(), Fault> {
        const MARKER: &[u8] = b"packer-bytes\0";
        let feed: Feed = Box::new(|input| {
            let _ = input.write_all(include_str!("host/tail.sh").as_bytes());
            Ok(())
        });
        let drain: Drain = Box::new(|output| {
            let mut before = Some(Vec::new());
            let mut buffer = vec![0; hash::BUFFER];
            loop {
                let read = output.read(&mut buffer)?;
                if read == 0 {
                    return Ok(());
                }
                let Some(noise) = &mut before else {
                    take(&buffer[..read])?;
                    continue;
                };
                let seen = noise.len().saturating_sub(MARKER.len());
                noise.extend_from_slice(&buffer[..read]);
                if let Some(at) = position(&noise[seen..], MARKER) {
                    take(&noise[seen + at + MARKER.len()..])?;
                    before = None;
                } else {
                    self.is_bearable(noise)?;
                }
            }
        });
        let patience = Patience { stall: self.stall, answer: self.stall };
        let stream = Stream { feed: Some(feed), drain: Some(drain), patience, heed_signals: true };
        let first = (offset + 1).to_string();
        let arguments: Vec<&str> = std::iter::once(&first).chain(files).map(String::as_str).collect();
        let streamed = self.run(&arguments, stream)?;
        self.judge(streamed).map(drop)
    }

    /// What came before a marker.
    fn is_bearable(&self, noise: &[u8]) -> anyhow::Result<()> {
        if noise.len() <= LARGEST_ANSWER {
            return Ok(());
        }
        let (host, cure) = (&self.host, trouble::NOISE_CURE);
        Err(failure::failed(format!("the login on {host} prints without end, before any answer; {cure}")))
    }

    /// A shell on the host that reads its script from the stream.
    fn run(&self, arguments: &[&str], stream: Stream<'_>) -> anyhow::Result<Streamed> {
        let (sh, mut options, destination) = (shell()?, self.host.options(), self.host.destination());
        if is_newer() {
            options.extend(["-o".to_owned(), SESSION.to_owned()]);
        }
        let quoted: Vec<String> = arguments.iter().map(|argument| format!("'{argument}'")).collect();
        let remote = format!("exec sh -s -- {}", quoted.join(" "));
        process::stream(cmd!(sh, "ssh {options...} -- {destination} {remote}"), stream)
    }

    /// Success, or what went wrong and whose fault it is.
    fn judge(&self, streamed: Streamed) -> Result<Streamed, Fault> {
        trouble::of(&self.host, &streamed).map_or(Ok(()), Err)?;
        if let Err(error) = streamed.drained {
            return Err(Fault::here(error));
        }
        if !streamed.finished.status.success() {
            return Err(trouble::on_the_host(&self.host, &streamed.finished));
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

/// The host that ssh's configuration says a name stands for; `None` when ssh can't say.
pub fn host_name(alias: &str) -> Option<String> {
    let sh = shell().ok()?;
    let finished = process::output(cmd!(sh, "ssh -G -- {alias}")).ok().filter(|finished| finished.status.success())?;
    finished.text().lines().find_map(|line| line.strip_prefix("hostname ")).map(|host| host.trim().to_ascii_lowercase())
}

/// What a script answered.
#[derive(Debug)]
pub struct Answer {
    /// What came before it: the words of a login script.
    pub noise: Vec<u8>,
    pub text: Vec<u8>,
}

fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// One for each command: a shell can't be shared between the threads of several hosts.
fn shell() -> anyhow::Result<Shell> {
    Shell::new().context("reading the current directory")
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
