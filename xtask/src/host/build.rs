//! Runs the build script on a build host, with its output shown live and kept in a log.
//!
//! A build never outlives this process for long: on a signal the host is asked to end it, and after a grace the connection is
//! cut. [`super::run`] calls this for each image.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;

use super::Voice;
use super::output::Lines;
use crate::failure::{self, Advice as _};
use crate::image::durable;
use crate::interrupt;
use crate::ssh::trouble::{self, Fault};
use crate::ssh::{BuildScript, Built, Host, Ssh};
use crate::text;

/// How long a build may take to end after a signal; then its connection is cut. The host ends the build by force after 18 s,
/// of which our build.sh takes 15 at most.
const GRACE: Duration = Duration::from_secs(25);

/// The most bytes that a log gets. Builds say far less; a host can't fill the disk here.
const LARGEST_LOG: usize = 64 << 20;

/// Lines of a failed build that are shown again below the error.
const LAST: usize = 12;

/// Builds one image. Exit status 0 means built, or nothing to do.
///
/// # Errors
///
/// Exit code 1 with the build script's own exit code, its last lines and the log; or with a build of this image that runs there
/// already.
pub fn run(ssh: &Ssh, voice: &Voice<'_>, script: BuildScript<'_>, log: &Log) -> Result<(), Fault> {
    let host = &ssh.host;
    let _ = writeln!(&log.file, "# {host}: cd {} && {}", script.dir, script.line());
    let stopping = OnceLock::new();
    let mut output = Output { voice, log, works: true, written: 0, last: VecDeque::new() };
    let mut lines = Lines::default();
    let take = |bytes: &[u8]| {
        // The build was asked to end, has not ended, and still prints.
        if stopping.get().is_some_and(|since: &Instant| since.elapsed() > GRACE) {
            return Err(failure::failed("the build does not stop"));
        }
        lines.push(bytes, |line| output.line(line));
        Ok(())
    };
    let stop = || {
        let stop = interrupt::seen().is_some();
        if stop {
            stopping.get_or_init(|| {
                voice.warn(format_args!("stopping the build on {host}"));
                Instant::now()
            });
        }
        stop
    };
    let built = ssh.build(script, stop, take, GRACE)?;
    lines.end(|line| output.line(line));
    if !built.told.left.is_empty() {
        let left = built.told.left.join("; ");
        voice.warn(format_args!("the build on {host} has ended, but left processes running there: {left}"));
    }
    if interrupt::seen().is_some() {
        if built.told.ended.is_none() {
            voice.warn(format_args!("the build on {host} did not stop, and may still be running there"));
        }
        return Err(Fault::here(trouble::interrupted()));
    }
    let last = Vec::from(output.last).join("\n");
    judge(host, script, &built, log, &last)
}

/// Whether the build ended well.
fn judge(host: &Host, script: BuildScript<'_>, built: &Built, log: &Log, last: &str) -> Result<(), Fault> {
    let (image, log, finished) = (script.image, log.path.display(), &built.streamed.finished);
    if let Some(running) = &built.told.running {
        let pid = running.split(' ').next().unwrap_or_default();
        let running = text::line(running);
        let error = failure::failed(format!("{host} is building {image} already, as process {running}"));
        return Err(Fault::image(error.fix(format!("wait for that build, or stop it there: `kill {pid}`"))));
    }
    match built.told.ended {
        Some(0) => Ok(()),
        Some(code) => {
            let error =
                failure::failed(format!("{} on {host} failed to build {image}: exit code {code}", script.script));
            Err(Fault::image(error.fix(format!("read the log: {log}")).quote(script.script, text::last_lines(last))))
        }
        // The connection ended before the build.
        None => {
            let fault = trouble::of(host, &built.streamed).unwrap_or_else(|| match built.told.began {
                true => trouble::on_the_host(host, finished),
                false => trouble::no_shell(host, finished),
            });
            Err(Fault { error: fault.error.context(format!("building {image} on {host} (log: {log})")), ..fault })
        }
    }
}

/// A build's output: on the terminal, in the log, and its last lines.
struct Output<'a> {
    voice: &'a Voice<'a>,
    log: &'a Log,
    /// The log can be written.
    works: bool,
    written: usize,
    last: VecDeque<String>,
}

impl Output<'_> {
    fn line(&mut self, line: &str) {
        self.voice.quote(line);
        let plain = text::plain(line);
        self.written += plain.len() + 1;
        // Neither a full disk here nor a build that prints too much is a reason to stop the build there.
        let full = self.written > LARGEST_LOG;
        if self.works && (full || writeln!(&self.log.file, "{plain}").is_err()) {
            self.works = false;
            let why = if full { format!("it has {LARGEST_LOG} bytes") } else { "it can't be written".to_owned() };
            self.voice.warn(format_args!("the log {} ends here: {why}; the build continues", self.log.path.display()));
        }
        if !plain.trim().is_empty() {
            self.last.push_back(plain);
        }
        if self.last.len() > LAST {
            self.last.pop_front();
        }
    }
}

/// Where a build's output is kept.
pub struct Log {
    pub path: PathBuf,
    file: File,
}

impl Log {
    /// `<image>-<time>.log`, time in UTC; with a number when there is one of this second already.
    pub fn create(logs: &Path, image: &str) -> anyhow::Result<Self> {
        std::fs::create_dir_all(logs).map_err(|error| durable::write_error(logs, error))?;
        let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string().replace([':', '-'], "");
        for number in 1.. {
            let again = if number == 1 { String::new() } else { format!("-{number}") };
            let path = logs.join(format!("{image}-{time}{again}.log"));
            match File::options().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Self { path, file }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(durable::write_error(&path, error)),
            }
        }
        Err(failure::failed("no free name for a log")).context("creating a log")
    }
}
