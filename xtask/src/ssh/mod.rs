//! Runs commands on build hosts; no other module starts `ssh` or `scp`.
//!
//! The person's ssh configuration holds: aliases, ports, jump hosts, keys. Only what a tool needs is set: no question is asked
//! (`BatchMode`), a dead connection is noticed, no connection becomes a master that keeps our pipes open, forwardings are off, and so
//! is what would turn ssh into another command (no session, no input, in the background). `host` builds and fetches with [`Ssh`].
//!
//! Any login shell works: it gets `exec sh -s -- 'WORD' …`, which bash, dash, zsh, fish and tcsh read alike, in characters that
//! no shell interprets (see [`Host`] and [`RemoteDir`]); the script comes on standard input. A marker is printed first, so that
//! the output of a login script does not count as the answer.

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use xshell::cmd;

use crate::digest::BUFFER;
use crate::failure::{self, Advice as _};
use crate::process::{self, Drain, Feed, Patience, Stream, Streamed};
use crate::scratch::random_hex;

mod frames;
mod host;
pub mod trouble;

use frames::Frames;
pub use frames::Told;
use host::is_newer;
pub use host::{Host, RemoteDir};
use trouble::Fault;

/// Of the same age, and for ssh alone: scp asks for a session of its own kind.
const SESSION: &str = "SessionType=default";

/// Printed before a script runs.
const MARKER: &[u8] = b"packer-answer\0";

/// More than any script here has to say.
const LARGEST_ANSWER: usize = 16 << 20;

/// An answer comes in at most so much time, however it comes.
const WHOLE_ANSWER: Duration = Duration::from_secs(300);

/// The call of an engine that builds an image: always exactly one, since some build the first of several alone.
#[derive(Debug, Clone, Copy)]
pub struct BuildScript<'a> {
    pub dir: &'a RemoteDir,
    /// `build.sh` or `build`.
    pub script: &'a str,
    pub image: &'a str,
    /// Also when nothing changed.
    pub force: bool,
    /// The version tag that the image is built for, where a person named one.
    pub version: Option<&'a str>,
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
    /// The connection is ended when no byte moves for this long.
    pub stall: Duration,
}

/// How a build went.
pub struct Built {
    pub streamed: Streamed,
    pub told: Told,
}

impl Ssh {
    /// What a POSIX shell script prints. It arrives on standard input, so that nothing in it needs quotes.
    ///
    /// # Errors
    ///
    /// Exit code 3, in one sentence, when the host runs no script for this login.
    pub fn script(&self, script: &str, arguments: &[&str]) -> Result<Vec<u8>, Fault> {
        let (began, mut output) = (Instant::now(), Vec::new());
        let take = |bytes: &[u8]| {
            output.extend_from_slice(bytes);
            let limit = WHOLE_ANSWER.as_secs();
            anyhow::ensure!(output.len() <= LARGEST_ANSWER, "it has more than {LARGEST_ANSWER} bytes");
            anyhow::ensure!(began.elapsed() < WHOLE_ANSWER, "it is incomplete after {limit} s");
            Ok(())
        };
        let unread = |error: anyhow::Error| Fault::host(error.context(format!("reading the answer of {}", self.host)));
        self.answer(script, arguments, self.host.patience(), take, unread)?;
        Ok(output)
    }

    /// Hands over the bytes of files, one after the other, from `offset` on. `take` may refuse more.
    pub fn tail(
        &self,
        files: &[String],
        offset: u64,
        take: impl FnMut(&[u8]) -> anyhow::Result<()> + Send,
    ) -> Result<(), Fault> {
        let first = (offset + 1).to_string();
        let arguments: Vec<&str> = std::iter::once(&first).chain(files).map(String::as_str).collect();
        let patience = Patience { stall: self.stall, answer: self.stall };
        self.answer(include_str!("tail.sh"), &arguments, patience, take, Fault::here)
    }

    /// Runs a script and hands over what it prints; `refused` says whose fault it is when `take` refuses that.
    fn answer(
        &self,
        script: &str,
        arguments: &[&str],
        patience: Patience,
        mut take: impl FnMut(&[u8]) -> anyhow::Result<()> + Send,
        refused: impl FnOnce(anyhow::Error) -> Fault,
    ) -> Result<(), Fault> {
        let feed: Feed = Box::new(move |input| {
            // A host that refuses never reads; its own words say why.
            let _ = write!(input, "printf 'packer-answer\\0'\n{script}");
            Ok(())
        });
        // What a login script printed, until the marker came.
        let mut noise = Some(Vec::new());
        let drain: Drain = Box::new(|output| {
            let mut buffer = vec![0; BUFFER];
            loop {
                let read = output.read(&mut buffer)?;
                if read == 0 {
                    return Ok(());
                }
                let Some(before) = &mut noise else {
                    take(&buffer[..read])?;
                    continue;
                };
                let seen = before.len().saturating_sub(MARKER.len());
                before.extend_from_slice(&buffer[..read]);
                if let Some(at) = before[seen..].windows(MARKER.len()).position(|window| window == MARKER) {
                    take(&before[seen + at + MARKER.len()..])?;
                    noise = None;
                } else if before.len() > LARGEST_ANSWER {
                    let endless = format!("the login on {} prints without end before any answer", self.host);
                    return Err(failure::failed(endless).fix(trouble::NOISE_FIX));
                }
            }
        });
        let stream = Stream { feed: Some(feed), drain: Some(drain), patience, heed_signals: true };
        let mut streamed = self.run(arguments, stream)?;
        if let Err(error) = std::mem::replace(&mut streamed.drained, Ok(())) {
            return Err(refused(error));
        }
        trouble::of(&self.host, &streamed).map_or(Ok(()), Err)?;
        if let Some(noise) = noise {
            streamed.finished.stdout = noise;
            return Err(trouble::no_shell(&self.host, &streamed.finished));
        }
        self.judge(streamed)
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
        let force = if script.force { "--force" } else { "" };
        let arguments = [&dir, script.script, script.image, force, script.version.unwrap_or_default()];
        // It comes with the script, which no other process there reads, and not as an argument, which all can read.
        let nonce = random_hex()?;
        let text = format!("unset nonce\nnonce={nonce}\n{}", include_str!("build.sh"));
        let (output, ended) = mpsc::channel::<()>();
        let feed: Feed = Box::new(move |input| {
            // One that refuses never reads.
            let _ = input.write_all(text.as_bytes());
            while ended.recv_timeout(Duration::from_millis(50)) == Err(mpsc::RecvTimeoutError::Timeout) && !stop() {}
            Ok(())
        });
        let mut frames = Frames::new(&nonce);
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

    /// Copies a file to a local file that is there. `gauge` says how many bytes have arrived, or `None` when these are too
    /// many. scp ends when this process ends, however it ends.
    pub fn copy(&self, from: &str, to: &Path, gauge: impl FnMut() -> Option<u64>) -> Result<(), Fault> {
        const SCRIPT: &str = include_str!("copy.sh");
        // scp takes a relative path with a colon in it for another host's.
        let to = std::path::absolute(to).context("reading the current directory")?;
        let (sh, options) = (process::shell()?, self.host.options());
        let from = format!("{}:{from}", self.host.scp_destination());
        let mut streamed =
            process::gauged(cmd!(sh, "sh -c {SCRIPT} scp {options...} -- {from} {to}"), self.stall, gauge)?;
        streamed.finished.command = format!("scp {from} {}", to.display());
        self.judge(streamed)
    }

    /// A shell on the host that reads its script from the stream.
    fn run(&self, arguments: &[&str], stream: Stream<'_>) -> anyhow::Result<Streamed> {
        let (sh, mut options, destination) = (process::shell()?, self.host.options(), self.host.destination());
        if is_newer() {
            options.extend(["-o".to_owned(), SESSION.to_owned()]);
        }
        let quoted: Vec<String> = arguments.iter().map(|argument| format!("'{argument}'")).collect();
        let remote = format!("exec sh -s -- {}", quoted.join(" "));
        process::stream(cmd!(sh, "ssh {options...} -- {destination} {remote}"), stream)
    }

    /// Success, or what went wrong and whose fault it is.
    fn judge(&self, streamed: Streamed) -> Result<(), Fault> {
        trouble::of(&self.host, &streamed).map_or(Ok(()), Err)?;
        streamed.drained.map_err(Fault::here)?;
        if streamed.finished.status.success() {
            return Ok(());
        }
        Err(trouble::on_the_host(&self.host, &streamed.finished))
    }
}

/// # Errors
///
/// Exit code 3, with the fix, when there is no ssh.
pub fn is_installed() -> anyhow::Result<()> {
    let sh = process::shell()?;
    process::output(cmd!(sh, "ssh -V")).map(drop)
}

/// The host that ssh's configuration says a name stands for; `None` when ssh can't say.
pub fn host_name(alias: &str) -> Option<String> {
    let said = alias.parse::<Host>().ok()?.configuration();
    said.lines().find_map(|line| line.strip_prefix("hostname ")).map(|host| host.trim().to_ascii_lowercase())
}
