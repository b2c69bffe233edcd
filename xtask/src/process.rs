//! The one door to other processes.
//!
//! Commands are written with xshell's `cmd!`, which never involves a shell; here they are started. Variables that would
//! lead a child astray (another repository, another host, a debug log with a token in it, colours in what we parse)
//! don't reach it. A failure names the whole command with its output. Secrets never stand in an argument list, so the
//! command can be shown.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags};
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

/// Runs to the end and keeps what it prints. An exit status other than 0 is for the caller to judge. It stays in this
/// process's group, so that what asks on the terminal can, and Ctrl-C there reaches it directly.
pub fn output(cmd: Cmd<'_>) -> anyhow::Result<Finished> {
    let patience = Patience { stall: Duration::MAX, answer: Duration::MAX };
    let stream = Stream { feed: None, drain: None, patience, heed_signals: false };
    Ok(run(cmd, stream, None, Group::Ours)?.finished)
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
/// Reads a command's output to its end, or for as long as it wants: a command that goes on after that is ended.
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
    /// More came than was wanted.
    Enough,
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stalled(after) => write!(f, "no byte moved for {} s", after.as_secs()),
            Self::NoAnswer(after) => write!(f, "no answer for {} s", after.as_secs()),
            Self::Interrupted => write!(f, "interrupted"),
            Self::Enough => write!(f, "more came than was expected"),
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
    run(cmd, stream, None, Group::Own)
}

/// Runs a command that moves bytes past this process, as scp does: `gauge` says how many have arrived, and when that
/// number changes a byte has moved; `None` ends the command. Heeds signals, in a process group of its own, as [`stream`]
/// does.
///
/// # Errors
///
/// Only when the command can't be started.
pub fn gauged(cmd: Cmd<'_>, stall: Duration, mut gauge: impl FnMut() -> Option<u64>) -> anyhow::Result<Streamed> {
    let patience = Patience { stall, answer: stall };
    let stream = Stream { feed: None, drain: None, patience, heed_signals: true };
    run(cmd, stream, Some(&mut gauge), Group::Own)
}

/// The process group that a child runs in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Ours,
    Own,
}

/// The one kind of child. It is watched until it has ended, whatever becomes of its pipes: what it started may hold them
/// open for longer than it lives (a ProxyCommand's helper, a daemon), or it may close them and go on. Every byte that it
/// wrote itself arrives; what others write into its pipes after its end is nobody's answer.
fn run(
    cmd: Cmd<'_>,
    stream: Stream<'_>,
    gauge: Option<&mut dyn FnMut() -> Option<u64>>,
    group: Group,
) -> anyhow::Result<Streamed> {
    use std::os::unix::process::CommandExt as _;

    let shown = cmd.to_string();
    let mut command = command(cmd);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if group == Group::Own {
        command.process_group(0);
    }
    if stream.feed.is_some() {
        command.stdin(Stdio::piped());
    }
    let (end, end_is_near) = io::pipe().with_context(|| format!("making a pipe for `{shown}`"))?;
    let mut child = command.spawn().map_err(|error| not_started(&shown, &error))?;
    // The pipes were asked for above.
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let end = End { seen: AtomicBool::new(false), pipe: end };
    let clock = Clock::start(stream.feed.is_some());
    let given_up = AtomicBool::new(false);
    let (open, closed) = mpsc::channel::<()>();

    thread::scope(|scope| {
        let (end, clock, given_up) = (&end, &clock, &given_up);
        let open_too = open.clone();
        let feeding = scope.spawn(move || match (stream.feed, stdin) {
            (Some(feed), Some(stdin)) => {
                let result = Pipe::new(stdin, end).and_then(|stdin| feed(&mut Moving { inner: stdin, clock }));
                clock.all_fed();
                result
            }
            _ => Ok(()),
        });
        let draining = scope.spawn(move || {
            // Dropped when this thread ends, however it ends: that wakes the watch below.
            let _open = open;
            let mut kept = Vec::new();
            let Some(stdout) = stdout else { return (kept, Ok(())) };
            let result = Pipe::new(stdout, end).and_then(|stdout| {
                let mut moving = Moving { inner: stdout, clock };
                let result = match stream.drain {
                    Some(drain) => drain(&mut moving),
                    None => moving.read_to_end(&mut kept).map(drop).map_err(Into::into),
                };
                // It may be no more than the end of the pipe that wasn't read.
                given_up.store(!moving.inner.at_end, Ordering::Relaxed);
                result
            });
            (kept, result)
        });
        let complaints = scope.spawn(move || {
            let _open = open_too;
            stderr.and_then(|stderr| Pipe::new(stderr, end).ok()).map(last_of).unwrap_or_default()
        });

        let watch = Watch { clock, closed, given_up, gauge, patience: stream.patience, heed: stream.heed_signals };
        let ended = watch.until_the_end(&mut child, group);
        end.seen.store(true, Ordering::Release);
        drop(end_is_near);
        let (stdout, drained) = joined(draining);
        let fed = joined(feeding);
        let stderr = String::from_utf8_lossy(&joined(complaints)).into_owned();
        let (status, cut) = ended.with_context(|| format!("waiting for `{shown}`"))?;
        Ok(Streamed { finished: Finished { command: shown, status, stdout, stderr }, fed, drained, cut })
    })
}

struct Watch<'a, 'g> {
    clock: &'a Clock,
    /// Says nothing, and is hung up once both outputs are at their end.
    closed: mpsc::Receiver<()>,
    /// Nobody reads on, before the end. The child may not notice for as long as it has nothing to say.
    given_up: &'a AtomicBool,
    gauge: Option<&'g mut dyn FnMut() -> Option<u64>>,
    patience: Patience,
    heed: bool,
}

impl Watch<'_, '_> {
    /// Looks at the child until it has ended, and ends it when it stands still for too long or a signal arrived.
    fn until_the_end(mut self, child: &mut Child, group: Group) -> io::Result<(ExitStatus, Option<Cut>)> {
        const LONGEST: Duration = Duration::from_millis(100);
        /// For a child of which nobody wants more, to end by itself: most are about to.
        const GRACE: Duration = Duration::from_secs(1);
        let mut arrived = None;
        let mut given_up = None;
        let mut cut = None;
        let mut nap = Duration::from_millis(1);
        loop {
            let status = child.try_wait()?;
            let gauged = self.gauge.as_mut().map(|gauge| gauge());
            if gauged.is_some_and(|now| now.is_some() && now != arrived) {
                arrived = gauged.flatten();
                self.clock.tick();
            }
            if cut.is_none() && gauged == Some(None) {
                cut = Some(Cut::Enough);
            }
            if let Some(status) = status {
                return Ok((status, cut));
            }
            cut = cut.or_else(|| self.reason_to_cut());
            if self.given_up.load(Ordering::Relaxed) {
                given_up = given_up.or_else(|| Some(Instant::now()));
            }
            if cut.is_some() || given_up.is_some_and(|since| since.elapsed() >= GRACE) {
                end_group(child, group);
            }
            // A child that has closed its outputs ends in a moment, or has a reason not to.
            if self.closed.recv_timeout(LONGEST) == Err(mpsc::RecvTimeoutError::Disconnected) {
                thread::sleep(nap);
                nap = (nap * 2).min(LONGEST);
            }
        }
    }

    fn reason_to_cut(&self) -> Option<Cut> {
        let Patience { stall, answer } = self.patience;
        let still = self.clock.still();
        if self.heed && interrupt::seen().is_some() {
            Some(Cut::Interrupted)
        } else if self.clock.feeding() || self.gauge.is_some() {
            (still >= stall).then_some(Cut::Stalled(stall))
        } else {
            (still >= answer).then_some(Cut::NoAnswer(answer))
        }
    }
}

/// Kills a child, and with a group of its own all that it started: the ssh below an scp would go on for as long as it
/// believes in its connection.
fn end_group(child: &mut Child, group: Group) {
    if group == Group::Own
        && let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw)
    {
        // It may just have ended by itself; then there is nothing to kill.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
}

/// What a child prints on standard error: the last of it, since a host can say more than memory holds.
fn last_of(mut from: impl Read) -> Vec<u8> {
    const KEPT: usize = 64 * 1024;
    let mut kept = Vec::new();
    let mut buffer = [0; 8 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..read]);
        if kept.len() > 2 * KEPT {
            kept.drain(..kept.len() - KEPT);
        }
    }
    kept
}

/// The child's end, as all who wait on its pipes are told of it.
struct End {
    seen: AtomicBool,
    /// Hung up at the end: it wakes whoever sleeps.
    pipe: io::PipeReader,
}

/// One of a child's pipes. It ends where the child does: reading goes on for what is in the pipe then, and no further.
struct Pipe<'a, T> {
    inner: T,
    end: &'a End,
    /// Bytes left, once the child has ended.
    left: Option<u64>,
    /// All was read.
    at_end: bool,
}

impl<'a, T: AsFd> Pipe<'a, T> {
    fn new(inner: T, end: &'a End) -> anyhow::Result<Self> {
        // Only this side of the pipe: the child's is another description.
        rustix::io::ioctl_fionbio(&inner, true).context("preparing a child's pipe")?;
        Ok(Self { inner, end, left: None, at_end: false })
    }

    /// Sleeps until the pipe is ready, or the child has ended.
    fn wait(&self, ready: PollFlags) -> io::Result<()> {
        let mut both = [PollFd::new(&self.inner, ready), PollFd::new(&self.end.pipe, PollFlags::IN)];
        match rustix::event::poll(&mut both, None) {
            Err(rustix::io::Errno::INTR) | Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl<T: Read + AsFd> Read for Pipe<'_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.left.is_none() && self.end.seen.load(Ordering::Acquire) {
                self.left = Some(rustix::io::ioctl_fionread(&self.inner)?);
            }
            let most =
                self.left.map_or(buffer.len(), |left| buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
            match self.inner.read(&mut buffer[..most]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(PollFlags::IN)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(read) => {
                    self.at_end |= read == 0 && !buffer.is_empty();
                    self.left = self.left.map(|left| left.saturating_sub(read as u64));
                    return Ok(read);
                }
            }
        }
    }
}

impl<T: Write + AsFd> Write for Pipe<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            if self.end.seen.load(Ordering::Acquire) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            match self.inner.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(PollFlags::OUT)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
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
    /// While input remains to be fed.
    feeding: AtomicBool,
}

impl Clock {
    fn start(feeding: bool) -> Self {
        Self { started: Instant::now(), moved: AtomicU64::new(0), feeding: AtomicBool::new(feeding) }
    }

    fn tick(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(now, Ordering::Relaxed);
    }

    fn all_fed(&self) {
        self.tick();
        self.feeding.store(false, Ordering::Relaxed);
    }

    fn feeding(&self) -> bool {
        self.feeding.load(Ordering::Relaxed)
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

#[cfg(test)]
mod tests {
    use super::*;
    use xshell::cmd;

    const LONG: Patience = Patience { stall: Duration::from_secs(60), answer: Duration::from_secs(60) };

    fn script(script: &str, stream: Stream<'_>) -> Streamed {
        let sh = shell().unwrap();
        run(cmd!(sh, "sh -c {script}"), stream, None, Group::Own).unwrap()
    }

    fn quiet(patience: Patience) -> Stream<'static> {
        Stream { feed: None, drain: None, patience, heed_signals: false }
    }

    /// A process that the child left, by the number that it printed.
    struct Left(String);

    impl Drop for Left {
        fn drop(&mut self) {
            let pid = self.0.trim().parse().ok().and_then(rustix::process::Pid::from_raw);
            let _ = rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::KILL);
        }
    }

    #[test]
    fn what_a_child_leaves_behind_holds_nobody_up() {
        let streamed = script("echo said >&2; sleep 300 & echo $!", quiet(LONG));
        let _left = Left(streamed.finished.text());
        assert!(streamed.finished.status.success() && streamed.cut.is_none());
        assert_eq!(streamed.finished.stderr, "said\n");
    }

    #[test]
    fn what_goes_on_talking_after_the_end_is_not_listened_to() {
        let streamed = script("(trap '' PIPE; while :; do echo more; sleep 0.01; done) & echo $!; exit 7", quiet(LONG));
        let _left = Left(streamed.finished.text().lines().find(|line| *line != "more").unwrap().to_owned());
        assert_eq!(streamed.finished.status.code(), Some(7));
    }

    #[test]
    fn every_byte_of_the_child_arrives_however_late_it_is_read() {
        let mut got = 0;
        let drain: Drain<'_> = Box::new(|from| {
            let mut buffer = [0; 1000];
            while let read @ 1.. = from.read(&mut buffer)? {
                got += read;
                thread::sleep(Duration::from_millis(5));
            }
            Ok(())
        });
        script("head -c 65000 /dev/zero", Stream { drain: Some(drain), ..quiet(LONG) }).drained.unwrap();
        assert_eq!(got, 65_000);
    }

    #[test]
    fn a_child_that_closes_its_outputs_and_goes_on_is_ended() {
        let short = Duration::from_millis(300);
        let streamed = script("exec sleep 300 >&- 2>&-", quiet(Patience { stall: short, answer: short }));
        assert_eq!(streamed.cut, Some(Cut::NoAnswer(short)));
    }

    #[test]
    fn nobody_feeds_what_a_child_left() {
        let feed: Feed<'_> = Box::new(|input| Ok(input.write_all(&vec![0; 1 << 20])?));
        let streamed =
            script("exec 3<&0; sleep 300 <&3 >/dev/null 2>&1 & echo $!", Stream { feed: Some(feed), ..quiet(LONG) });
        let _left = Left(streamed.finished.text());
        assert!(streamed.fed.is_err());
    }

    #[test]
    fn a_child_whose_output_nobody_wants_any_more_is_ended() {
        let drain: Drain<'_> = Box::new(|_| anyhow::bail!("enough"));
        let streamed = script("sleep 300", Stream { drain: Some(drain), ..quiet(LONG) });
        assert!(streamed.drained.is_err() && streamed.cut.is_none());
    }

    #[test]
    fn of_complaints_the_last_are_kept() {
        let streamed = script("head -c 1000000 /dev/zero | tr '\\0' x >&2; echo end >&2", quiet(LONG));
        assert!(streamed.finished.stderr.ends_with("xend\n") && streamed.finished.stderr.len() <= 128 * 1024 + 8192);
    }
}
