//! Sets the hosts to work: each builds one image at a time, and fetches what it built while it builds the next.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::Voice;
use super::build::{self, Log};
use super::fetch::{Fetch, Fetched};
use super::listing::{self, Engine, Listing, Remote};
use super::made::{How, Made, RecordedBy};
use super::schedule::{After, Job, Next, Schedule};
use super::stale;
use super::wanted::Wanted;
use crate::console::Console;
use crate::failure::{self, Problems};
use crate::git::Git;
use crate::interrupt;
use crate::process::joined;
use crate::ssh::trouble::{Blame, Fault};
use crate::ssh::{BuildScript, RemoteDir, Ssh};

/// What all hosts share.
pub struct Work<'a> {
    pub console: &'a Console,
    pub dir: &'a RemoteDir,
    pub wanted: &'a Wanted,
    /// Knows how far a host is behind.
    pub git: &'a Git,
    /// `--sync`: what is sent to each host before it builds.
    pub archive: Option<&'a [u8]>,
    pub images: &'a Path,
    pub logs: &'a Path,
    pub attempts: u32,
    /// Fetch what is there, build nothing.
    pub skip_build: bool,
    /// Build also what didn't change.
    pub force: bool,
    /// Lines name host and image.
    pub several: bool,
}

/// A host that answered, and what it had then.
pub struct Ready {
    pub ssh: Ssh,
    pub listing: Listing,
    engine: Engine,
}

/// An image that is here.
pub struct Done {
    pub host: String,
    /// A new one lay on the host after its engine ran.
    pub built: bool,
    pub recorded_by: RecordedBy,
    pub log: Option<PathBuf>,
    pub fetched: Fetched,
}

/// Looks at each host, all at once.
pub fn look(work: &Work<'_>, hosts: Vec<Ssh>, images: &[&str]) -> Vec<Result<Ready, (Ssh, Fault)>> {
    let ask = |ssh: Ssh| match ready(work, &ssh, images) {
        Ok((listing, engine)) => Ok(Ready { ssh, listing, engine }),
        Err(fault) => Err((ssh, fault)),
    };
    thread::scope(|scope| {
        let asked: Vec<_> = hosts.into_iter().map(|ssh| scope.spawn(|| ask(ssh))).collect();
        asked.into_iter().map(joined).collect()
    })
}

/// Whether a host can do the work, and would build what is wanted.
fn ready(work: &Work<'_>, ssh: &Ssh, images: &[&str]) -> Result<(Listing, Engine), Fault> {
    let (host, dir) = (&ssh.host, work.dir);
    if let Some(archive) = work.archive {
        stale::send(ssh, dir, archive)?;
    }
    let listing = listing::ask(ssh, dir, images)?;
    if let Some(odd) = listing.odd_files(host) {
        work.console.warn(odd);
    }
    if work.skip_build {
        let engine = listing.engine.clone().unwrap_or(Engine { script: "build.sh", knows_force: true });
        return Ok((listing, engine));
    }
    let Some(engine) = listing.engine.clone() else {
        return Err(Fault::host(failure::missing(format!(
            "{host} has no executable {dir}/build.sh or {dir}/build; install the packer directory there, name it with \
             --remote-dir, or send it with --sync"
        ))));
    };
    if work.force && !engine.knows_force {
        return Err(Fault::host(failure::missing(format!(
            "{dir}/{} on {host} knows no --force; remove the image there that is to be built anew, or use --sync",
            engine.script
        ))));
    }
    stale::check(ssh, dir, work.wanted, work.git, images, &stale::ask(ssh, dir)?)?;
    Ok((listing, engine))
}

/// Works until each image is here or lost. Gives what is here, and what went wrong.
pub fn run(work: &Work<'_>, hosts: &[Ready], jobs: Vec<Job>) -> (BTreeMap<String, Done>, Problems) {
    let floor = Floor {
        work,
        hosts,
        state: Mutex::new(State {
            schedule: Schedule::new(jobs, hosts.len()),
            done: BTreeMap::new(),
            faults: Vec::new(),
        }),
        changed: Condvar::new(),
    };
    thread::scope(|scope| {
        for host in 0..hosts.len() {
            // One image lies ready for the fetch at most, so that a slow line doesn't collect a queue.
            let (built, to_fetch) = mpsc::sync_channel(1);
            let floor = &floor;
            scope.spawn(move || floor.build_all(host, &built));
            scope.spawn(move || floor.fetch_all(host, &to_fetch));
        }
    });
    let State { schedule, done, faults } = floor.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut problems = Problems::default();
    for (image, error) in faults {
        if done.contains_key(&image) {
            continue;
        }
        problems.push(error);
    }
    if interrupt::seen().is_none() {
        for image in schedule.left() {
            problems.push(failure::missing(format!(
                "image {image} was not built: no host is left to build it; name another with --host"
            )));
        }
    }
    (done, problems)
}

/// An image on its way from the build to the fetch.
struct Built {
    job: Job,
    remote: Remote,
    how: How,
    recorded_by: RecordedBy,
    log: Option<PathBuf>,
}

struct State {
    schedule: Schedule,
    done: BTreeMap<String, Done>,
    faults: Vec<(String, anyhow::Error)>,
}

struct Floor<'a> {
    work: &'a Work<'a>,
    hosts: &'a [Ready],
    state: Mutex<State>,
    changed: Condvar,
}

impl Floor<'_> {
    fn build_all(&self, host: usize, built: &mpsc::SyncSender<Built>) {
        while let Some(job) = self.next(host) {
            match self.build(host, &job) {
                Ok((remote, how, recorded_by, log)) => {
                    // The receiver lives as long as this sender does.
                    let _ = built.send(Built { job, remote, how, recorded_by, log });
                }
                Err(fault) => self.failed(host, job, fault),
            }
        }
    }

    fn fetch_all(&self, host: usize, to_fetch: &mpsc::Receiver<Built>) {
        for Built { job, remote, how, recorded_by, log } in to_fetch {
            let ssh = &self.hosts[host].ssh;
            let voice = self.voice(host, &job.image);
            let Work { dir, images, attempts, .. } = *self.work;
            let fetch = Fetch { ssh, voice: &voice, dir, image: &job.image, images, attempts };
            match fetch.run(&remote) {
                Ok(fetched) => {
                    let built = matches!(how, How::Built | How::BuiltFromCopy);
                    let done = Done { host: ssh.host.to_string(), built, recorded_by, log, fetched };
                    let mut state = self.state();
                    state.done.insert(job.image, done);
                    state.schedule.done();
                    self.changed.notify_all();
                }
                Err(fault) => self.failed(host, job, fault),
            }
        }
    }

    /// Builds the image unless it is only to be fetched, and looks at what is there then.
    fn build(&self, host: usize, job: &Job) -> Result<(Remote, How, RecordedBy, Option<PathBuf>), Fault> {
        let Ready { ssh, listing, engine } = &self.hosts[host];
        let Work { dir, wanted, images, .. } = *self.work;
        let image = job.image.as_str();
        let voice = self.voice(host, image);
        let made = |how| Made { host: &ssh.host, image, wanted, how };
        let before = listing.images.get(image);
        if self.work.skip_build {
            let mut remote = listing.image(&ssh.host, image)?.cloned().ok_or_else(|| absent(ssh, image))?;
            let recorded_by = made(How::Found).settle(&voice, &mut remote, images)?;
            return Ok((remote, How::Found, recorded_by, None));
        }
        let log = Log::create(self.work.logs, image)?;
        voice.note(format_args!("building {image} on {} (log: {})", ssh.host, log.path.display()));
        build::run(ssh, &voice, BuildScript { dir, script: engine.script, image, force: self.work.force }, &log)?;
        let mut after = listing::ask(ssh, dir, &[image])?;
        after.image(&ssh.host, image)?;
        let mut remote = after.images.remove(image).ok_or_else(|| {
            Fault::image(failure::failed(format!(
                "{} on {} ended well but left no images/*/{image}.qcow2; log: {}",
                engine.script,
                ssh.host,
                log.path.display()
            )))
        })?;
        let changed = stale::ask(ssh, dir)?.differing(wanted, image);
        if !changed.is_empty() {
            return Err(Fault::image(failure::failed(format!(
                "what {image} is made of changed on {} while it was built, so nobody can tell from what it is: {}; build it again",
                ssh.host,
                changed.iter().map(|path| path.escape_debug().to_string()).collect::<Vec<_>>().join(", ")
            ))));
        }
        let how = match before {
            Some(before) if !remote.is_another_than(before) => How::Left,
            _ if self.work.archive.is_some() => How::BuiltFromCopy,
            _ => How::Built,
        };
        let recorded_by = made(how).settle(&voice, &mut remote, images)?;
        Ok((remote, how, recorded_by, Some(log.path)))
    }

    /// The next image for this host; waits while another host may leave one.
    fn next(&self, host: usize) -> Option<Job> {
        let mut state = self.state();
        loop {
            if interrupt::seen().is_some() {
                state.schedule.stop();
            }
            match state.schedule.next(host) {
                Next::Take(job) => return Some(job),
                Next::End => return None,
                Next::Wait => {
                    // A signal wakes nobody, hence the time.
                    let waited = self.changed.wait_timeout(state, Duration::from_millis(200));
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    fn failed(&self, host: usize, job: Job, fault: Fault) {
        let image = job.image.clone();
        let mut state = self.state();
        if matches!(fault.blame, Blame::Host | Blame::Line) {
            state.schedule.down(host);
        }
        let after = state.schedule.failed(job, host, fault.blame != Blame::Here);
        if after == After::Elsewhere {
            self.voice(host, &image).warn(format_args!("{:#}\nanother host will try {image}", fault.error));
        }
        // A signal ends all that is under way, and is said once.
        let said = interrupt::seen().is_some() && !state.faults.is_empty();
        if !said {
            state.faults.push((image, fault.error));
        }
        self.changed.notify_all();
    }

    fn voice(&self, host: usize, image: &str) -> Voice<'_> {
        Voice::new(self.work.console, &self.hosts[host].ssh.host, image, self.work.several)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn absent(ssh: &Ssh, image: &str) -> Fault {
    Fault::image(failure::missing(format!("{} has no image {image}; build it: leave --skip-build away", ssh.host)))
}
