//! Builds and fetches images on one or several hosts.
//!
//! Each host builds one image at a time, and the image is fetched while the next build runs. Every image ends here or as a
//! problem. `build-and-fetch` calls [`look`] and [`run`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Voice;
use super::build::{self, Log};
use super::fetch::{Fetch, Fetched};
use super::folder::{self, PackerDir};
use super::listing::{self, Engine, Listing, Remote};
use super::made::{How, Made, RecordedBy};
use super::schedule::{After, Job, Next, Schedule};
use super::stale;
use super::wanted::Wanted;
use crate::console::Console;
use crate::failure::{self, Advice as _, Problems};
use crate::git::Git;
use crate::interrupt;
use crate::process::joined;
use crate::sources::base_image::Template;
use crate::ssh::trouble::{Blame, Fault};
use crate::ssh::{BuildScript, RemoteDir, Ssh};

/// What all hosts share.
pub struct Work<'a> {
    pub console: &'a Console,
    pub folder: &'a PackerDir,
    pub wanted: &'a Wanted,
    /// The clone here, which knows how many commits a host is behind.
    pub git: &'a Git,
    /// `--sync`: the packer directory, sent to each host before it builds.
    pub archive: Option<&'a [u8]>,
    pub images: &'a Path,
    pub logs: &'a Path,
    /// Fetch what is there, build nothing.
    pub skip_build: bool,
    /// Build also images that didn't change.
    pub force: bool,
    /// Output lines name host and image.
    pub several: bool,
}

/// A host that answered, and what it had then.
pub struct Ready {
    pub ssh: Ssh,
    pub listing: Listing,
    dir: RemoteDir,
    engine: Engine,
}

/// An image that is here.
pub struct Done {
    pub host: String,
    /// The build made a new file on the host.
    pub built: bool,
    pub recorded_by: RecordedBy,
    /// The build's log, and how long it took; `None` with `--skip-build`.
    pub log: Option<(PathBuf, Duration)>,
    pub fetched: Fetched,
}

/// Looks at each host, all at once.
pub fn look(work: &Work<'_>, hosts: Vec<Ssh>, images: &[&str]) -> Vec<Result<Ready, Fault>> {
    thread::scope(|scope| {
        let asked: Vec<_> = hosts.into_iter().map(|ssh| scope.spawn(|| ready(work, ssh, images))).collect();
        asked.into_iter().map(joined).collect()
    })
}

/// Whether a host can do the work, and would build what is wanted.
fn ready(work: &Work<'_>, ssh: Ssh, images: &[&str]) -> Result<Ready, Fault> {
    let host = &ssh.host;
    let dir = work.folder.on(&ssh)?;
    if matches!(work.folder, PackerDir::Usual) {
        work.console.note(format_args!("{host}: the packer directory is {dir}"));
    }
    if let Some(archive) = work.archive {
        stale::send(&ssh, &dir, archive)?;
    }
    let listing = listing::ask(&ssh, &dir, images)?;
    for odd in listing.passed_over(host) {
        work.console.warn(odd);
    }
    if work.skip_build {
        let engine = listing.engine.clone().unwrap_or(Engine { script: "build.sh", knows_force: true });
        return Ok(Ready { ssh, listing, dir, engine });
    }
    let Some(engine) = listing.engine.clone() else {
        let error = failure::missing(format!("{host} has no executable {dir}/build.sh or {dir}/build"));
        return Err(Fault::host(error.fix(folder::FIX)));
    };
    if work.force && !engine.knows_force {
        let error = failure::missing(format!("{dir}/{} on {host} has no option --force", engine.script));
        return Err(Fault::host(error.fix("remove the image there that is to be rebuilt, or use --sync")));
    }
    stale::check(&ssh, &dir, work.wanted, work.git, images, &stale::ask(&ssh, &dir)?)?;
    Ok(Ready { ssh, listing, dir, engine })
}

/// Builds and fetches until each image is here or has failed. Returns the images that are here, and the problems.
pub fn run(work: &Work<'_>, hosts: &[Ready], jobs: Vec<Job>) -> (BTreeMap<String, Done>, Problems) {
    let pool = Pool {
        work,
        hosts,
        all: jobs.len(),
        state: Mutex::new(State {
            begun: 0,
            schedule: Schedule::new(jobs, hosts.len()),
            done: BTreeMap::new(),
            faults: Vec::new(),
        }),
        changed: Condvar::new(),
    };
    thread::scope(|scope| {
        for host in 0..hosts.len() {
            // At most one built image waits for its fetch: a slow line must not collect a queue.
            let (built, to_fetch) = mpsc::sync_channel(1);
            let pool = &pool;
            scope.spawn(move || pool.build_all(host, &built));
            scope.spawn(move || pool.fetch_all(host, &to_fetch));
        }
    });
    let State { schedule, done, faults, .. } = pool.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut problems = Problems::default();
    for (image, error) in faults {
        if done.contains_key(&image) {
            continue;
        }
        problems.push(error);
    }
    if interrupt::seen().is_none() {
        for image in schedule.left() {
            let error = failure::missing(format!("image {image} was not built: no host is left to build it"));
            problems.push(error.fix("name another host with --host"));
        }
    }
    (done, problems)
}

/// Whether the engine takes a tag as the image's version; it refuses others, such as `release/v0.45`.
fn engine_takes(tag: &str) -> bool {
    let number = tag.strip_prefix('v').unwrap_or_default();
    number.starts_with(|first: char| first.is_ascii_digit())
        && number.chars().all(|c| c.is_ascii_alphanumeric() || ".+-".contains(c))
}

/// An image on its way from the build to the fetch.
struct Built {
    job: Job,
    remote: Remote,
    how: How,
    recorded_by: RecordedBy,
    log: Option<(PathBuf, Duration)>,
}

struct State {
    /// Builds that were started; one that another host does again counts again.
    begun: usize,
    schedule: Schedule,
    done: BTreeMap<String, Done>,
    faults: Vec<(String, anyhow::Error)>,
}

struct Pool<'a> {
    work: &'a Work<'a>,
    hosts: &'a [Ready],
    /// How many images are to be built.
    all: usize,
    state: Mutex<State>,
    changed: Condvar,
}

impl Pool<'_> {
    fn build_all(&self, host: usize, built: &mpsc::SyncSender<Built>) {
        while let Some(job) = self.next(host) {
            match self.build(host, &job) {
                // The receiver lives as long as this sender does.
                Ok(image) => drop(built.send(image)),
                Err(fault) => self.failed(host, job, fault),
            }
        }
    }

    fn fetch_all(&self, host: usize, to_fetch: &mpsc::Receiver<Built>) {
        for Built { job, remote, how, recorded_by, log } in to_fetch {
            let Ready { ssh, dir, .. } = &self.hosts[host];
            let voice = self.voice(host, &job.image);
            let fetch = Fetch { ssh, voice: &voice, dir, image: &job.image, images: self.work.images };
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
    fn build(&self, host: usize, job: &Job) -> Result<Built, Fault> {
        let Ready { ssh, listing, dir, engine } = &self.hosts[host];
        let Work { wanted, images, .. } = *self.work;
        let image = job.image.as_str();
        let voice = self.voice(host, image);
        // Before the build, which takes what upstream publishes then.
        let template = wanted.templates.get(image).filter(|_| !self.work.skip_build);
        let base = template.map(Template::ask);
        let built = |how, mut remote: Remote, listing: &Listing, log| {
            let cache_key = listing.cache_keys.get(image).copied();
            let made = Made { host: &ssh.host, image, wanted, how, cache_key, base: base.as_ref() };
            let recorded_by = made.ensure_record(&voice, &mut remote, images)?;
            Ok(Built { job: job.clone(), remote, how, recorded_by, log })
        };
        if self.work.skip_build {
            let remote = listing.image(&ssh.host, image)?.cloned().ok_or_else(|| {
                let error = failure::missing(format!("{} has no image {image}", ssh.host));
                Fault::image(error.fix("build it: leave --skip-build out"))
            })?;
            return built(How::Existing, remote, listing, None);
        }
        let log = Log::create(self.work.logs, image)?;
        let number = self.number();
        voice.note(format_args!("{number}building {image} on {} (log: {})", ssh.host, log.path.display()));
        let began = Instant::now();
        let version = wanted.source.as_deref().filter(|tag| engine_takes(tag));
        build::run(
            ssh,
            &voice,
            BuildScript { dir, script: engine.script, image, force: self.work.force, version },
            &log,
        )?;
        let took = began.elapsed();
        let mut after = listing::ask(ssh, dir, &[image])?;
        after.image(&ssh.host, image)?;
        let remote = after.images.remove(image).ok_or_else(|| {
            let (script, host) = (engine.script, &ssh.host);
            let error = failure::failed(format!("{script} on {host} succeeded, but left no images/*/{image}.qcow2"));
            Fault::image(error.fix(format!("read the log: {}", log.path.display())))
        })?;
        let changed = stale::ask(ssh, dir)?.differing(wanted, image);
        if !changed.is_empty() {
            let changed: Vec<String> = changed.iter().map(|path| path.escape_debug().to_string()).collect();
            let error = format!("files of {image} changed on {} during the build: {}", ssh.host, changed.join(", "));
            return Err(Fault::image(failure::failed(error).fix("build it again")));
        }
        let how = match listing.images.get(image) {
            Some(before) if !remote.is_another_than(before) => How::Unchanged,
            _ if self.work.archive.is_some() => How::BuiltFromCopy,
            _ => How::Built,
        };
        built(how, remote, &after, Some((log.path, took)))
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
                    // A signal doesn't end this wait, so it has a time limit.
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
        // A signal ends all work, and is reported once.
        let said = interrupt::seen().is_some() && !state.faults.is_empty();
        if !said {
            state.faults.push((image, fault.error));
        }
        self.changed.notify_all();
    }

    fn voice(&self, host: usize, image: &str) -> Voice<'_> {
        Voice::new(self.work.console, &self.hosts[host].ssh.host, image, self.work.several)
    }

    /// Counts the build that starts now: `[2/3] ` where several images are built.
    fn number(&self) -> String {
        let mut state = self.state();
        state.begun += 1;
        if self.all > 1 { format!("[{}/{}] ", state.begun.min(self.all), self.all) } else { String::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
