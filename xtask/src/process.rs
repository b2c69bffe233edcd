//! The one door to other processes.
//!
//! Commands are written with xshell's `cmd!`, which never involves a shell; here they are started. Variables that would
//! lead a child astray (another repository, another host, a debug log with a token in it, colours in what we parse)
//! don't reach it. A failure names the whole command with its output. Secrets never stand in an argument list, so the
//! command can be shown.

use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use xshell::{Cmd, Shell};

use crate::{failure, interrupt};

/// What `git rev-parse --local-env-vars` lists, and what makes gh and git print or ask otherwise than their defaults.
const ASTRAY: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_DIFF_OPTS",
    "GIT_DIR",
    "GIT_EXTERNAL_DIFF",
    "GIT_GLOB_PATHSPECS",
    "GIT_GRAFT_FILE",
    "GIT_ICASE_PATHSPECS",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_LITERAL_PATHSPECS",
    "GIT_NAMESPACE",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_TRACE",
    "GIT_TRACE_CURL",
    "GIT_TRACE_PACKET",
    "GIT_CURL_VERBOSE",
    "GIT_WORK_TREE",
    "CLICOLOR_FORCE",
    "DEBUG",
    "GH_DEBUG",
    "GH_FORCE_TTY",
    "GH_HOST",
    "GH_REPO",
    "SSH_ASKPASS_REQUIRE",
];

/// What a finished command left.
#[derive(Debug)]
pub struct Finished {
    /// As a person would type it.
    pub command: String,
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Finished {
    /// Standard output as text, without the line end.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }

    /// An error with the command and what it printed.
    pub fn error(&self) -> anyhow::Error {
        let said = if self.stderr.trim().is_empty() { self.text() } else { self.stderr.trim().to_owned() };
        failure::failed(format!("`{}` failed ({}): {said}", self.command, self.status))
    }

    /// The same, or an error unless the exit status is 0.
    pub fn success(self) -> anyhow::Result<Self> {
        if self.status.success() { Ok(self) } else { Err(self.error()) }
    }
}

/// What `cmd!` makes commands with. It holds no more than the current directory, so each use takes its own and threads
/// need not share one.
pub fn shell() -> anyhow::Result<Shell> {
    Shell::new().map_err(|error| failure::failed(format!("reading the current directory: {error}")))
}

/// Makes a command ready to start: variables cleared, no input.
pub fn command(cmd: Cmd<'_>) -> Command {
    let mut command = Command::from(cmd);
    for name in ASTRAY {
        command.env_remove(name);
    }
    command.env("GH_PROMPT_DISABLED", "1").env("GH_NO_UPDATE_NOTIFIER", "1").env("LC_ALL", "C");
    // Without it gh 2.23 takes twice as long to start, 40 ms: it measures every character for a terminal's table.
    command.env("TCELL_MINIMIZE", "1");
    command.stdin(Stdio::null());
    command
}

/// Runs to the end and keeps what it prints. An exit status other than 0 is for the caller to judge.
pub fn output(cmd: Cmd<'_>) -> anyhow::Result<Finished> {
    let shown = cmd.to_string();
    let output = command(cmd).output().map_err(|error| not_started(&shown, &error))?;
    Ok(Finished {
        command: shown,
        status: output.status,
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Standard output as text; any exit status but 0 is an error.
pub fn read(cmd: Cmd<'_>) -> anyhow::Result<String> {
    Ok(output(cmd)?.success()?.text())
}

/// How long a command with a stream may stay silent. Both are counted anew with each byte that moves.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// No byte moves while some remain to be moved.
    pub stall: Duration,
    /// All is handed over and no answer comes.
    pub answer: Duration,
}

/// Writes a command's input; drop the writer by returning.
pub type Feed<'a> = Box<dyn FnOnce(&mut (dyn Write + Send)) -> anyhow::Result<()> + Send + 'a>;
/// Reads a command's output to its end.
pub type Drain<'a> = Box<dyn FnOnce(&mut (dyn Read + Send)) -> anyhow::Result<()> + Send + 'a>;

/// A command with bytes going in or coming out, and how long that may stand still.
pub struct Stream<'a> {
    pub feed: Option<Feed<'a>>,
    /// Without it the output is kept in [`Finished::stdout`].
    pub drain: Option<Drain<'a>>,
    pub patience: Patience,
    /// End the command when a signal arrived. Off between the two calls of a flip.
    pub heed_signals: bool,
}

/// Why a streaming command was ended before it ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    Stalled(Duration),
    NoAnswer(Duration),
    Interrupted,
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stalled(after) => write!(f, "no byte moved for {} s", after.as_secs()),
            Self::NoAnswer(after) => write!(f, "no answer for {} s", after.as_secs()),
            Self::Interrupted => write!(f, "interrupted"),
        }
    }
}

/// How a streaming command went. All of it can be true at once: an answer arrived while the input was still being fed.
pub struct Streamed {
    pub finished: Finished,
    pub fed: anyhow::Result<()>,
    pub drained: anyhow::Result<()>,
    pub cut: Option<Cut>,
}

/// Runs a command whose bytes are watched, in a process group of its own: Ctrl-C on the terminal reaches this process,
/// which then decides what becomes of the child.
///
/// # Errors
///
/// Only when the command can't be started.
pub fn stream(cmd: Cmd<'_>, stream: Stream<'_>) -> anyhow::Result<Streamed> {
    use std::os::unix::process::CommandExt as _;

    let shown = cmd.to_string();
    let mut command = command(cmd);
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
    if stream.feed.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().map_err(|error| not_started(&shown, &error))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let clock = Clock::start(stream.feed.is_some());
    let (done, ended) = mpsc::channel::<()>();

    thread::scope(|scope| {
        let clock = &clock;
        let feeding = scope.spawn(move || match (stream.feed, stdin) {
            (Some(feed), Some(stdin)) => {
                let result = feed(&mut Moving { inner: stdin, clock });
                clock.all_fed();
                result
            }
            _ => Ok(()),
        });
        let draining = scope.spawn(move || {
            // Dropped when this thread ends, however it ends: that is what wakes the watch below.
            let _done = done;
            let mut kept = Vec::new();
            let Some(stdout) = stdout else { return (kept, Ok(())) };
            let mut moving = Moving { inner: stdout, clock };
            let result = match stream.drain {
                Some(drain) => drain(&mut moving),
                None => moving.read_to_end(&mut kept).map(|_| ()).map_err(Into::into),
            };
            (kept, result)
        });
        let complaints = scope.spawn(move || kept(stderr));

        let cut = watch(&mut child, &ended, clock, stream.patience, stream.heed_signals);
        let (stdout, drained) = joined(draining);
        if drained.is_err() {
            // Nobody reads on; the child may not notice for as long as it has nothing to say.
            end_group(&mut child);
        }
        let status = child.wait().map_err(|error| failure::failed(format!("waiting for `{shown}`: {error}")));
        let fed = joined(feeding);
        let stderr = String::from_utf8_lossy(&joined(complaints)).into_owned();
        let finished = Finished { command: shown, status: status?, stdout, stderr };
        Ok(Streamed { finished, fed, drained, cut })
    })
}

/// Runs a command that moves bytes past this process, as scp does: `gauge` says how many have arrived. Ends it when that
/// number stands still for so long, or when a signal arrived. In a process group of its own, as [`stream`] is.
///
/// # Errors
///
/// Only when the command can't be started.
pub fn gauged(cmd: Cmd<'_>, stall: Duration, mut gauge: impl FnMut() -> u64) -> anyhow::Result<Streamed> {
    use std::os::unix::process::CommandExt as _;

    let shown = cmd.to_string();
    let mut command = command(cmd);
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| not_started(&shown, &error))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let output = scope.spawn(move || kept(stdout));
        let complaints = scope.spawn(move || kept(stderr));
        let (mut arrived, mut moved) = (gauge(), Instant::now());
        let mut cut = None;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Ok(status),
                Ok(None) => thread::sleep(Duration::from_millis(50)),
                Err(error) => break Err(failure::failed(format!("waiting for `{shown}`: {error}"))),
            }
            let now = gauge();
            if now != arrived {
                (arrived, moved) = (now, Instant::now());
            }
            if cut.is_none() && (interrupt::seen().is_some() || moved.elapsed() >= stall) {
                cut = Some(if interrupt::seen().is_some() { Cut::Interrupted } else { Cut::Stalled(stall) });
                end_group(&mut child);
            }
        };
        gauge();
        let stderr = String::from_utf8_lossy(&joined(complaints)).into_owned();
        let finished = Finished { command: shown.clone(), status: status?, stdout: joined(output), stderr };
        Ok(Streamed { finished, fed: Ok(()), drained: Ok(()), cut })
    })
}

/// What a child prints, to the end.
fn kept(from: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        let _ = from.read_to_end(&mut bytes);
    }
    bytes
}

/// Kills a child that leads a process group, with all that it started: the ssh below an scp would hold the pipes that
/// are read here for as long as it believes in its connection.
fn end_group(child: &mut Child) {
    // It may just have ended by itself; then there is nothing to kill.
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
}

/// Waits for the end of the output; ends the child when it stands still for too long or a signal arrived.
fn watch(child: &mut Child, ended: &mpsc::Receiver<()>, clock: &Clock, patience: Patience, heed: bool) -> Option<Cut> {
    loop {
        if let Err(mpsc::RecvTimeoutError::Disconnected) = ended.recv_timeout(Duration::from_millis(100)) {
            return None;
        }
        let cut = if heed && interrupt::seen().is_some() {
            Some(Cut::Interrupted)
        } else if clock.feeding() {
            (clock.still() >= patience.stall).then_some(Cut::Stalled(patience.stall))
        } else {
            (clock.still() >= patience.answer).then_some(Cut::NoAnswer(patience.answer))
        };
        if cut.is_some() {
            end_group(child);
            return cut;
        }
    }
}

/// What a thread gave; its panic goes on here.
pub fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn not_started(shown: &str, error: &io::Error) -> anyhow::Error {
    let program = shown.split_whitespace().next().unwrap_or(shown);
    if error.kind() != io::ErrorKind::NotFound {
        return failure::failed(format!("starting `{shown}`: {error}"));
    }
    let package = match program {
        "ssh" | "scp" => "openssh-client",
        other => other,
    };
    failure::missing(format!("{program} is not installed; on Debian: `apt install {package}`, or run scripts/setup"))
}

/// When a byte last moved.
struct Clock {
    started: Instant,
    /// Milliseconds after `started`.
    moved: AtomicU64,
    /// 1 while input remains to be fed.
    feeding: AtomicU64,
}

impl Clock {
    fn start(feeding: bool) -> Self {
        Self { started: Instant::now(), moved: AtomicU64::new(0), feeding: AtomicU64::new(feeding.into()) }
    }

    fn tick(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(now, Ordering::Relaxed);
    }

    fn all_fed(&self) {
        self.tick();
        self.feeding.store(0, Ordering::Relaxed);
    }

    fn feeding(&self) -> bool {
        self.feeding.load(Ordering::Relaxed) == 1
    }

    fn still(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_millis(self.moved.load(Ordering::Relaxed)))
    }
}

/// Ticks the clock with each piece. A piece is at most what a pipe holds, so that a slow line still ticks.
struct Moving<'a, T> {
    inner: T,
    clock: &'a Clock,
}

const PIPE: usize = 64 * 1024;

impl<T: Write> Write for Moving<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(&bytes[..bytes.len().min(PIPE)])?;
        self.clock.tick();
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Moving<'_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.clock.tick();
        Ok(read)
    }
}
