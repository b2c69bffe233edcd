//! [`Outside`] with real programs: GitHub through the contributor's gh, the remote through git, output on the console. Each call is
//! made once; what may be repeated is decided above. Every verb that looks at `latest` makes one.

use std::fmt;
use std::io::Read as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;

use crate::backoff;
use crate::console::{Console, Transfer};
use crate::failure::{self, Advice as _};
use crate::gh::{Asset, CallError, Download, Gh, NewRelease, Release, Upload};
use crate::git::{Git, Publisher, Pushed, TagRef, Update};
use crate::interrupt;
use crate::process::joined;
use crate::refusal::Reason;
use crate::repo::{Address, Repo};
use crate::testing;

use super::client::Client;
use super::lock;
use super::outside::{Budget, Feed, How, Move, Outside, Push, Refs, Say, Seen, Stop, Take, Task};
use super::own_clone::OwnClone;
use super::permit::Permit;
use super::{PINNED, TAG, memory};

#[derive(Clone)]
pub struct GitHub {
    /// Makes each request once.
    gh: Gh,
    attempts: u32,
    git: Git,
    publisher: Arc<Publisher>,
    clone: Arc<Mutex<Option<OwnClone>>>,
    console: Console,
    started: Instant,
}

impl GitHub {
    pub fn new(gh: &Gh, git: &Git, address: Address, console: &Console) -> Self {
        Self {
            attempts: gh.tries().attempts,
            gh: gh.patient(1),
            git: git.clone(),
            publisher: Arc::new(Publisher::new(git, gh.repo(), address, gh.tries().stall())),
            clone: Arc::default(),
            console: console.clone(),
            started: Instant::now(),
        }
    }

    pub fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// Remembers for later runs that GitHub refused a tag name for good.
    fn note_burnt_tag(&self, error: &CallError) {
        if error.reason() == Reason::BurntTag
            && let Ok(dir) = self.git.common_dir()
        {
            memory::write(&dir, memory::BURNT, self.gh.repo());
        }
    }

    fn gh(&self, how: How) -> Gh {
        self.gh.like(how.at_most, how.heeds_signals)
    }
}

impl Outside for GitHub {
    fn repo(&self) -> &Repo {
        self.gh.repo()
    }

    fn attempts(&self) -> u32 {
        self.attempts
    }

    fn seen(&self, how: How) -> anyhow::Result<Seen> {
        // Asking changes nothing, so gh itself may repeat it.
        let gh = self.gh(how).patient(self.attempts);
        thread::scope(|scope| {
            let refs = scope.spawn(|| Client::with(self, how).refs());
            let releases = scope.spawn(|| gh.releases());
            let live = gh.release_by_tag(TAG);
            let refs = joined(refs);
            let releases = joined(releases)?;
            let live = live?;
            // Only a full release can have it.
            let badge = match &live {
                Some(live) if !live.prerelease => gh.newest()?,
                _ => None,
            };
            Ok(Seen { live, releases, refs: refs?, badge })
        })
    }

    fn release_by_tag(&self, how: How, tag: &str) -> Result<Option<Release>, CallError> {
        self.gh(how).release_by_tag(tag)
    }

    fn releases(&self, how: How) -> Result<Vec<Release>, CallError> {
        self.gh(how).releases()
    }

    fn release(&self, how: How, id: u64) -> Result<Release, CallError> {
        self.gh(how).release(id)
    }

    fn assets(&self, how: How, release: u64) -> Result<Vec<Asset>, CallError> {
        self.gh(how).assets(release)
    }

    fn read(&self, how: How, asset: &Asset, start: u64, take: Take<'_>) -> Result<(), CallError> {
        self.gh(how).download(&Download { asset: asset.id, start }, take)
    }

    fn create_release(&self, how: How, permit: &Permit<'_>, new: &NewRelease) -> Result<Release, CallError> {
        let made = self.gh(how).create_release(&|| permit.last_byte(self), new);
        made.inspect_err(|error| self.note_burnt_tag(error))
    }

    fn update_release(&self, how: How, permit: &Permit<'_>, id: u64, new: &NewRelease) -> Result<Release, CallError> {
        let changed = self.gh(how).update_release(&|| permit.last_byte(self), id, new);
        changed.inspect_err(|error| self.note_burnt_tag(error))
    }

    fn delete_release(&self, how: How, permit: &Permit<'_>, id: u64) -> Result<(), CallError> {
        self.gh(how).delete_release(&|| permit.last_byte(self), id)
    }

    fn upload(&self, how: How, permit: &Permit<'_>, upload: Upload<'_>, feed: Feed<'_>) -> Result<Asset, CallError> {
        self.gh(how).upload(&|| permit.check(self.elapsed()), &upload, feed)
    }

    fn delete_asset(&self, how: How, permit: &Permit<'_>, id: u64) -> Result<(), CallError> {
        self.gh(how).delete_asset(&|| permit.last_byte(self), id)
    }

    fn budget(&self, how: How) -> Result<Budget, CallError> {
        let (remaining, renews_in, now) = self.gh(how).rate_limit()?;
        Ok(Budget { remaining, renews_in, date: SystemTime::UNIX_EPOCH + now })
    }

    fn commit_of_tag(&self, how: How, tag: &str) -> Result<Option<String>, CallError> {
        self.gh(how).commit_of_tag(tag)
    }

    fn refs(&self, how: How) -> Result<Refs, CallError> {
        let (mut tags, lock) = self.publisher.refs(how, &[TAG, &format!("{PINNED}*")], lock::REF)?;
        Ok(Refs { tag: tags.remove(TAG), lock, pinned: tags })
    }

    fn lock_note(&self, how: How, id: &str) -> Result<Option<String>, CallError> {
        self.publisher.message(how, lock::REF, id)
    }

    fn new_lock(&self, text: &str) -> anyhow::Result<String> {
        let id = self.publisher.commit(text)?;
        if let Some(clone) = &*self.clone.lock().unwrap_or_else(PoisonError::into_inner) {
            clone.keeps(&id)?;
        }
        Ok(id)
    }

    fn push(&self, how: How, push: &Push) -> Result<Pushed, CallError> {
        let tag = push.tag.as_ref().map(|(name, it)| (format!("refs/tags/{name}"), it));
        let moves = [(lock::REF, &push.lock)].into_iter().chain(tag.as_ref().map(|(name, it)| (name.as_str(), *it)));
        let updates: Vec<Update<'_>> =
            moves.map(|(name, Move { to, expected })| (name, to.as_deref(), expected.as_deref())).collect();
        self.publisher.push(how, &updates)
    }

    fn hold_clone(&self) -> anyhow::Result<()> {
        *self.clone.lock().unwrap_or_else(PoisonError::into_inner) = OwnClone::hold(&self.git.common_dir()?)?;
        Ok(())
    }

    fn pushed_by_this_clone(&self, lock: &str) -> Option<Duration> {
        self.clone.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.pushed(lock, uptime())
    }

    fn may_arrive(&self, for_at_most: Option<Duration>) {
        if let Some(clone) = &*self.clone.lock().unwrap_or_else(PoisonError::into_inner)
            && let Err(error) = clone.arrives(for_at_most.map_or(Duration::ZERO, |time| uptime() + time))
        {
            self.console.detail(format_args!("the next run of this clone will wait longer than it must: {error:#}"));
        }
    }

    fn address_of_run(&self) -> Option<String> {
        let variable = |name| std::env::var(name).ok();
        let (server, repository) = (variable("GITHUB_SERVER_URL")?, variable("GITHUB_REPOSITORY")?);
        Some(format!("{server}/{repository}/actions/runs/{}", variable("GITHUB_RUN_ID")?))
    }

    fn set_local_tag(&self, object: &str) -> anyhow::Result<()> {
        self.git.set_local_tag(TAG, object)
    }

    fn bring(&self, target: &TagRef) -> anyhow::Result<String> {
        for id in [&target.object, &target.commit] {
            if self.publisher.bring(id)? {
                return Ok(id.clone());
            }
        }
        let why = format!("commit {} is no longer in {}", target.commit, self.gh.repo());
        Err(failure::missing(why).fix("publish the set again"))
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn elapsed(&self) -> Duration {
        // macOS has no clock of that name; its monotonic clock counts sleep.
        #[cfg(target_vendor = "apple")]
        let with_sleep = rustix::time::ClockId::Monotonic;
        #[cfg(not(target_vendor = "apple"))]
        let with_sleep = rustix::time::ClockId::Boottime;
        clock(with_sleep)
    }

    fn wall_clock(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, time: Duration, heeds_signals: bool) {
        if heeds_signals {
            // Whoever asked looks for the signal.
            let _ = backoff::pause(time);
        } else {
            thread::sleep(time);
        }
    }

    fn signal(&self) -> Option<usize> {
        interrupt::seen()
    }

    fn random(&self) -> anyhow::Result<[u8; 16]> {
        let mut bytes = [0; 16];
        std::fs::File::open("/dev/urandom")
            .and_then(|mut file| file.read_exact(&mut bytes))
            .context("reading /dev/urandom")?;
        Ok(bytes)
    }

    fn say(&self, how: Say, text: fmt::Arguments<'_>) {
        match how {
            Say::Line => self.console.line(text),
            Say::Note => self.console.note(text),
            Say::Warning => self.console.warn(text),
            Say::Detail => self.console.detail(text),
            Say::Urgent => self.console.urgent(text),
        }
    }

    fn last_rate(&self) -> Option<u64> {
        memory::rate(&self.git.common_dir().ok()?)
    }

    fn remember_rate(&self, rate: u64) {
        if let Ok(dir) = self.git.common_dir() {
            memory::write(&dir, memory::RATE, rate);
        }
    }

    fn transfer(&self, what: String, bytes: u64) -> Transfer {
        self.console.transfer(what, bytes)
    }

    fn side_by_side(&self, work: &(dyn Fn() + Sync)) {
        thread::scope(|scope| {
            for _ in 0..testing::jobs() {
                scope.spawn(work);
            }
        });
    }

    fn beside(&self, task: Task) {
        let outside = self.clone();
        thread::spawn(move || task(&outside));
    }

    fn wait(&self, stop: &Arc<Stop>, at_most: Duration) {
        stop.wait(at_most);
    }

    fn stop(&self, stop: &Arc<Stop>) {
        stop.set();
    }

    fn hold_still(&self, still: bool) {
        self.console.hold(still);
        interrupt::hold_job_control(still);
    }
}

/// The clock since the machine started, without the time in which it sleeps.
fn uptime() -> Duration {
    clock(rustix::time::ClockId::Monotonic)
}

fn clock(which: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(which);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
