//! Runs build.sh on a build host: its output live and in a log, and never longer than this process lives.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;

use super::Voice;
use super::output::Lines;
use crate::image::durable;
use crate::ssh::trouble::{self, Fault};
use crate::ssh::{BuildScript, Ssh, Told};
use crate::text::{self, Quoted};
use crate::{failure, interrupt};

/// How long a build may take to end once it was told to; then its connection is cut. The host ends it by force after 18 s:
/// our build.sh takes 15 at most.
const GRACE: Duration = Duration::from_secs(25);

/// So many lines of a failed build are shown again below it.
const LAST: usize = 12;

/// Builds one image. Exit status 0 means built, or nothing to do.
///
/// # Errors
///
/// Exit code 1 with build.sh's own exit code, its last lines and where the log is; or with the build that runs there
/// already.
pub fn run(ssh: &Ssh, voice: &Voice<'_>, script: BuildScript<'_>, log: &Log) -> Result<(), Fault> {
    let (host, image) = (&ssh.host, script.image);
    let mut file = &log.file;
    let _ = writeln!(file, "# {host}: cd {} && {}", script.dir, script.line());
    let told_to_end = OnceLock::new();
    let mut last: VecDeque<String> = VecDeque::new();
    let mut log_works = true;
    let mut line = |line: &str| {
        voice.quote(line);
        let plain = text::drawn(line, false);
        // A full disk here is no reason to stop a build there.
        if log_works && writeln!(file, "{plain}").is_err() {
            log_works = false;
            voice.warn(format_args!("can't write {} any further; the build goes on", log.path.display()));
        }
        if !plain.trim().is_empty() {
            last.push_back(plain);
        }
        if last.len() > LAST {
            last.pop_front();
        }
    };
    let mut lines = Lines::default();
    let take = |bytes: &[u8]| {
        // It goes on and says so, whatever it was told.
        if told_to_end.get().is_some_and(|told: &Instant| told.elapsed() > GRACE) {
            return Err(failure::failed("the build goes on"));
        }
        lines.push(bytes, &mut line);
        Ok(())
    };
    let stop = || {
        let stop = interrupt::seen().is_some();
        if stop {
            told_to_end.get_or_init(|| {
                voice.warn(format_args!("telling the build on {host} to end"));
                Instant::now()
            });
        }
        stop
    };
    let built = ssh.build(script, stop, take, GRACE)?;
    lines.end(&mut line);
    let Told { running, ended, left, .. } = built.told;
    let finished = &built.streamed.finished;
    if !left.is_empty() {
        voice.warn(format_args!("the build on {host} has ended and left running there: {}", left.join("; ")));
    }
    if interrupt::seen().is_some() {
        if ended.is_none() {
            voice.warn(format_args!("the build on {host} didn't end when told to, and may go on there"));
        }
        return Err(Fault::here(trouble::interrupted()));
    }
    if let Some(running) = running {
        let pid = running.split(' ').next().unwrap_or_default();
        return Err(Fault::image(failure::failed(format!(
            "{host} is building {image} already, as process {}; let it end, or end it there: `kill {}`",
            text::line(&running),
            text::line(pid)
        ))));
    }
    let log = log.path.display();
    let Some(code) = ended else {
        // Nobody there said how it ended.
        let fault = trouble::of(host, &built.streamed).unwrap_or_else(|| {
            if built.told.began { trouble::on_the_host(host, finished) } else { trouble::no_shell(host, finished) }
        });
        return Err(Fault { error: fault.error.context(format!("building {image} on {host} (log: {log})")), ..fault });
    };
    if code == 0 {
        return Ok(());
    }
    let last: Vec<String> = last.into();
    Err(Fault::image(failure::failed(format!(
        "{} on {host} failed to build {image}: exit code {code}; log: {log}; its last lines:\n  {}",
        script.script,
        Quoted(&last.join("\n"))
    ))))
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
