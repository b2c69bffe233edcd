//! Watches a child and its pipes until the child has ended.
//!
//! A child that stalls is ended, a process that it left behind with an open pipe doesn't delay the run, and every byte that the child
//! itself wrote arrives. Only [`super::run`] uses this.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags};

use crate::interrupt;

/// How long a command with a stream may stay silent. Both limits start again whenever a KiB has moved: a byte a minute
/// doesn't keep a command alive.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// No byte moves while some remain to be moved.
    pub stall: Duration,
    /// The input is complete and no answer comes.
    pub answer: Duration,
}

/// Why a streaming command was ended before it ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    Stalled(Duration),
    NoAnswer(Duration),
    Interrupted,
    /// More came than was expected.
    Enough,
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stalled(after) => write!(f, "less than 1 KiB moved in {} s", after.as_secs()),
            Self::NoAnswer(after) => write!(f, "no answer for {} s", after.as_secs()),
            Self::Interrupted => write!(f, "interrupted"),
            Self::Enough => write!(f, "more bytes came than expected"),
        }
    }
}

/// The process group that a child runs in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Ours,
    Own,
}

pub(super) struct Watch<'a, 'g> {
    pub(super) clock: &'a Clock,
    /// No message is ever sent: the channel is closed when both outputs have ended.
    pub(super) closed: mpsc::Receiver<()>,
    /// Reading stopped before the end. A child that prints nothing doesn't notice.
    pub(super) given_up: &'a AtomicBool,
    pub(super) gauge: Option<&'g mut dyn FnMut() -> Option<u64>>,
    pub(super) patience: Patience,
    pub(super) heed: bool,
}

impl Watch<'_, '_> {
    /// Watches the child until it has ended, and ends it when it stalls or a signal arrived.
    pub(super) fn until_the_end(mut self, child: &mut Child, group: Group) -> io::Result<(ExitStatus, Option<Cut>)> {
        const LONGEST: Duration = Duration::from_millis(100);
        /// A child whose output is no longer read gets this long to end by itself.
        const GRACE: Duration = Duration::from_secs(1);
        let mut arrived = 0;
        let mut given_up = None;
        let mut cut = None;
        let mut nap = Duration::from_millis(1);
        loop {
            let status = child.try_wait()?;
            let gauged = self.gauge.as_mut().map(|gauge| gauge());
            if let Some(now) = gauged.flatten() {
                self.clock.count(now.saturating_sub(arrived));
                arrived = now;
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
            // A child that has closed its outputs usually ends at once.
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

/// Kills a child, and with a group of its own every process that it started: the ssh below an scp would run until its connection
/// ends.
fn end_group(child: &mut Child, group: Group) {
    if group == Group::Own
        && let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw)
    {
        // The child may just have ended by itself; then there is nothing to kill.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
}

/// The last of a child's standard error: all of it may not fit into memory.
pub(super) fn last_of(mut from: impl Read) -> Vec<u8> {
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

/// Says whether the child has ended, to the threads that wait on its pipes.
pub(super) struct End {
    pub(super) seen: AtomicBool,
    /// Closed at the end, which wakes these threads.
    pub(super) pipe: io::PipeReader,
}

/// One of a child's pipes. When the child has ended, what is in the pipe is still read, and nothing more.
pub(super) struct Pipe<'a, T> {
    inner: T,
    end: &'a End,
    /// Bytes left, once the child has ended.
    left: Option<u64>,
    /// All was read.
    pub(super) at_end: bool,
}

impl<'a, T: AsFd> Pipe<'a, T> {
    pub(super) fn new(inner: T, end: &'a End) -> anyhow::Result<Self> {
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

/// This many bytes within the stall limit are no stall.
const LEAST: u64 = 1024;

/// When bytes last moved.
pub(super) struct Clock {
    started: Instant,
    /// Milliseconds after `started`.
    moved: AtomicU64,
    /// Bytes since.
    since: AtomicU64,
    /// While input remains to be fed.
    feeding: AtomicBool,
}

impl Clock {
    pub(super) fn start(feeding: bool) -> Self {
        let (moved, since) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { started: Instant::now(), moved, since, feeding: AtomicBool::new(feeding) }
    }

    fn count(&self, bytes: u64) {
        if self.since.fetch_add(bytes, Ordering::Relaxed) + bytes >= LEAST {
            self.tick();
        }
    }

    fn tick(&self) {
        self.since.store(0, Ordering::Relaxed);
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(now, Ordering::Relaxed);
    }

    pub(super) fn all_fed(&self) {
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
pub(super) struct Moving<'a, T> {
    pub(super) inner: T,
    pub(super) clock: &'a Clock,
}

const PIPE: usize = 64 * 1024;

impl<T: Write> Write for Moving<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(&bytes[..bytes.len().min(PIPE)])?;
        self.clock.count(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Moving<'_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.clock.count(read as u64);
        Ok(read)
    }
}
