//! Runs build.sh on a build host: its output live and in a log, and never longer than this process lives.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;

use super::Voice;
use super::output::Lines;
use crate::image::durable;
use crate::ssh::trouble::{self, Fault};
use crate::ssh::{BuildScript, Ssh};
use crate::text::{self, Quoted};
use crate::{failure, interrupt, ssh};

/// How long a build may take to end once it was told to; then its connection is cut.
const GRACE: Duration = Duration::from_secs(20);

/// So many lines of a failed build are shown again below it.
const LAST: usize = 12;

/// Builds one image. Exit status 0 means built, or nothing to do.
///
/// # Errors
///
/// Exit code 1 with build.sh's own exit code, its last lines and where the log is.
pub fn run(ssh: &Ssh, voice: &Voice<'_>, script: BuildScript<'_>, log: &Log) -> Result<(), Fault> {
    let (host, image) = (&ssh.host, script.image);
    let mut file = &log.file;
    let _ = writeln!(file, "# {host}: cd {} && {}", script.dir, script.line());
    let ended = Ended::default();
    let mut last: VecDeque<String> = VecDeque::new();
    let drain = |from: &mut (dyn Read + Send)| {
        let _ended = ended.when_dropped();
        let mut lines = Lines::default();
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
        let mut buffer = vec![0; 16 * 1024];
        loop {
            match from.read(&mut buffer)? {
                0 => break,
                _ if ended.overdue() => return Err(failure::failed("the build goes on")),
                read => lines.push(&buffer[..read], &mut line),
            }
        }
        lines.end(&mut line);
        Ok(())
    };
    let feed = |input: &mut (dyn std::io::Write + Send)| {
        ssh::hold_open(input, || ended.is() || interrupt::seen().is_some());
        if !ended.is() {
            ended.told();
            voice.warn(format_args!("telling the build on {host} to end"));
        }
        Ok(())
    };
    let streamed = ssh.build(script, Box::new(feed), Box::new(drain), GRACE)?;
    let status = streamed.finished.status;
    if interrupt::seen().is_some() {
        if streamed.cut.is_some() || streamed.drained.is_err() {
            voice.warn(format_args!("the build on {host} didn't end when told to, and may go on there"));
        }
        return Err(Fault::here(trouble::interrupted()));
    }
    if status.success() {
        return Ok(());
    }
    let log = log.path.display();
    if let Some(fault) = trouble::connection(host, &streamed.finished) {
        return Err(Fault { error: fault.error.context(format!("building {image} on {host} (log: {log})")), ..fault });
    }
    let code = status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"));
    let last: Vec<String> = last.into();
    Err(Fault::image(failure::failed(format!(
        "build.sh on {host} failed to build {image}: {code}; log: {log}; its last lines:\n  {}",
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

/// How a build's end is told from one thread to another.
#[derive(Default)]
struct Ended {
    output: AtomicBool,
    told: OnceLock<Instant>,
}

impl Ended {
    fn is(&self) -> bool {
        self.output.load(Ordering::Relaxed)
    }

    fn when_dropped(&self) -> impl Drop {
        struct Tell<'a>(&'a AtomicBool);
        impl Drop for Tell<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        Tell(&self.output)
    }

    /// The build was told to end.
    fn told(&self) {
        self.told.get_or_init(Instant::now);
    }

    /// It goes on and says so: an old build.sh doesn't watch its input.
    fn overdue(&self) -> bool {
        self.told.get().is_some_and(|told| told.elapsed() > GRACE)
    }
}
