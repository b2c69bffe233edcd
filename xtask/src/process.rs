//! Starts other programs; no other module does.
//!
//! Commands are written with xshell's `cmd!`, which never involves a shell. Variables that would mislead a child (another
//! repository, another host, a debug log with a token in it, colours in output that is parsed) are removed. A failure shows the
//! whole command and its output: secrets are never in an argument. `gh`, `git`, `ssh` and a few scripts are started here.

mod watch;

use std::io::{self, Read, Write};
use std::process::{ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use xshell::{Cmd, Shell};

use crate::failure::{self, Advice as _};
use watch::{Clock, End, Group, Moving, Pipe, Watch};
pub use watch::{Cut, Patience};

/// What `git rev-parse --local-env-vars` lists, and what makes gh and git print or ask otherwise than their defaults.
const UNSET_IN_CHILDREN: &[&str] = &[
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

/// Settings of git that no repository may set for us: each would run a command of whoever wrote the repository's configuration, or
/// take a folder that merely looks like a repository for one. A folder of another user is refused by git itself.
const GIT_SETTINGS: [(&str, &str); 3] =
    [("core.fsmonitor", "false"), ("core.hooksPath", "/dev/null"), ("safe.bareRepository", "explicit")];

/// The result of a command that has ended.
#[derive(Debug)]
pub struct Finished {
    /// As a person would type it.
    pub command: String,
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Finished {
    /// Standard output as text, without the last line end.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }

    /// An error with the command and what it printed.
    pub fn error(&self) -> anyhow::Error {
        let said = if self.stderr.trim().is_empty() { self.text() } else { self.stderr.trim().to_owned() };
        failure::failed(format!("`{}` failed ({}): {said}", self.command, self.status))
    }

    /// An error unless the exit status is 0.
    pub fn success(self) -> anyhow::Result<Self> {
        if self.status.success() { Ok(self) } else { Err(self.error()) }
    }
}

/// A shell for `cmd!`. It holds only the current directory, so each use makes its own and no thread shares one.
pub fn shell() -> anyhow::Result<Shell> {
    Shell::new().map_err(|error| failure::failed(format!("reading the current directory: {error}")))
}

/// Makes a command ready to start: variables cleared, no input.
pub fn command(cmd: Cmd<'_>) -> Command {
    let mut command = Command::from(cmd);
    let traces =
        std::env::vars_os().map(|(name, _)| name).filter(|name| name.as_encoded_bytes().starts_with(b"GIT_TRACE"));
    for name in UNSET_IN_CHILDREN.iter().map(|name| (*name).into()).chain(traces) {
        command.env_remove(name);
    }
    command.env("GH_PROMPT_DISABLED", "1").env("GH_NO_UPDATE_NOTIFIER", "1").env("LC_ALL", "C");
    // After the settings that the person's environment has: the last of a name counts.
    let kept = !command.get_envs().any(|(name, value)| name == "GIT_CONFIG_COUNT" && value.is_none());
    let theirs = std::env::var("GIT_CONFIG_COUNT").ok().filter(|_| kept).and_then(|count| count.parse().ok());
    let first: usize = theirs.unwrap_or_default();
    for (number, (name, value)) in (first..).zip(GIT_SETTINGS) {
        command.env(format!("GIT_CONFIG_KEY_{number}"), name).env(format!("GIT_CONFIG_VALUE_{number}"), value);
    }
    command.env("GIT_CONFIG_COUNT", (first + GIT_SETTINGS.len()).to_string());
    // Without it gh 2.23 takes twice as long to start, 40 ms: it measures every character for a terminal's table.
    command.env("TCELL_MINIMIZE", "1");
    command.stdin(Stdio::null());
    command
}

/// Runs a command to its end and keeps its output. An exit status other than 0 is for the caller to judge. The command stays in
/// this process's group, so that it can ask on the terminal and Ctrl-C reaches it directly.
pub fn output(cmd: Cmd<'_>) -> anyhow::Result<Finished> {
    Ok(within(cmd, Duration::MAX)?.finished)
}

/// Like [`output`], but ends the command when it is silent for this long.
pub fn within(cmd: Cmd<'_>, silent: Duration) -> anyhow::Result<Streamed> {
    let patience = Patience { stall: silent, answer: silent };
    run(cmd, Stream { feed: None, drain: None, patience, heed_signals: false }, None, Group::Ours)
}

/// Standard output as text; any exit status but 0 is an error.
pub fn read(cmd: Cmd<'_>) -> anyhow::Result<String> {
    Ok(output(cmd)?.success()?.text())
}

/// Writes a command's input; drop the writer by returning.
pub type Feed<'a> = Box<dyn FnOnce(&mut (dyn Write + Send)) -> anyhow::Result<()> + Send + 'a>;
/// Reads a command's output, to its end or as far as needed: a command that continues after that is ended.
pub type Drain<'a> = Box<dyn FnOnce(&mut (dyn Read + Send)) -> anyhow::Result<()> + Send + 'a>;

/// A command with streamed input or output, and how long it may make no progress.
pub struct Stream<'a> {
    pub feed: Option<Feed<'a>>,
    /// Without it the output is kept in [`Finished::stdout`].
    pub drain: Option<Drain<'a>>,
    pub patience: Patience,
    /// End the command when a signal arrived. Off between the two requests of a switch.
    pub heed_signals: bool,
}

/// The result of a streaming command. An answer may have arrived while the input was still being fed.
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
/// number changes a byte has moved; `None` ends the command. Its standard input stays open for as long as this process
/// lives, so that the command can end with it. Heeds signals, in a process group of its own, as [`stream`] does.
///
/// # Errors
///
/// Only when the command can't be started.
pub fn gauged(cmd: Cmd<'_>, stall: Duration, mut gauge: impl FnMut() -> Option<u64>) -> anyhow::Result<Streamed> {
    let (running, ended) = mpsc::channel::<()>();
    let feed: Feed<'_> = Box::new(move |_| {
        // No message is ever sent: the channel is closed when the command's output has ended.
        let _ = ended.recv();
        Ok(())
    });
    let drain: Drain<'_> = Box::new(move |output| {
        let _running = running;
        io::copy(output, &mut io::sink())?;
        Ok(())
    });
    let patience = Patience { stall, answer: stall };
    let stream = Stream { feed: Some(feed), drain: Some(drain), patience, heed_signals: true };
    run(cmd, stream, Some(&mut gauge), Group::Own)
}

/// Runs a child and watches it until it has ended, even if its pipes stay open or close early: a process that the child started may hold
/// them open for longer (a ProxyCommand's helper, a daemon), or the child may close them and continue. Every byte that the child
/// wrote arrives; bytes that other processes write after its end are ignored.
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
            let keep: Drain<'_> = Box::new(|output| output.read_to_end(&mut kept).map(|_| ()).map_err(Into::into));
            let drained = drain_all(stdout, end, clock, given_up, stream.drain.unwrap_or(keep));
            (kept, drained)
        });
        let complaints = scope.spawn(move || {
            let _open = open_too;
            stderr.and_then(|stderr| Pipe::new(stderr, end).ok()).map(watch::last_of).unwrap_or_default()
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

/// Reads a child's output. `given_up` says afterwards whether reading stopped before the end.
fn drain_all(
    stdout: ChildStdout,
    end: &End,
    clock: &Clock,
    given_up: &AtomicBool,
    drain: Drain<'_>,
) -> anyhow::Result<()> {
    let mut moving = Moving { inner: Pipe::new(stdout, end)?, clock };
    let drained = drain(&mut moving);
    // Perhaps only the end of the pipe was not read: the child then ends by itself.
    given_up.store(!moving.inner.at_end, Ordering::Relaxed);
    drained
}

/// A thread's result; a panic there continues here.
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
    failure::missing(format!("{program} is not installed"))
        .fix(format!("on Debian: `apt install {package}`, or run scripts/setup"))
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
    fn a_byte_now_and_then_is_a_stall() {
        let short = Duration::from_millis(600);
        let streamed = script("while sleep 0.05; do printf x; done", quiet(Patience { stall: short, answer: short }));
        assert_eq!(streamed.cut, Some(Cut::NoAnswer(short)));
        let slow = "for i in 1 2 3 4 5 6 7 8; do head -c 2000 /dev/zero; sleep 0.2; done";
        assert_eq!(script(slow, quiet(Patience { stall: short, answer: short })).cut, None);
    }

    #[test]
    fn of_complaints_the_last_are_kept() {
        let streamed = script("head -c 1000000 /dev/zero | tr '\\0' x >&2; echo end >&2", quiet(LONG));
        assert!(streamed.finished.stderr.ends_with("xend\n") && streamed.finished.stderr.len() <= 128 * 1024 + 8192);
    }
}
