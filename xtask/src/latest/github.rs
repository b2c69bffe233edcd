//! The outside as it is: GitHub through the contributor's gh, the remote through git, and a person at the console.

use std::fmt;
use std::io::Read as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;

use crate::backoff;
use crate::console::{Console, Transfer};
use crate::failure;
use crate::gh::{Asset, CallError, Download, Gh, NewRelease, Release, Upload};
use crate::git::{Git, Publisher, Pushed, TagRef, Update, Waits};
use crate::interrupt;
use crate::packer::{Address, Repo};
use crate::process::joined;

use super::TAG;
use super::doors::Doors;
use super::lease::Permit;
use super::lock;
use super::outside::{Bell, Budget, Feed, How, Move, Outside, Push, Refs, Say, Seen, Take, Task};
use super::own_clone::OwnClone;
use super::rate;

pub struct GitHub {
    /// Asks once; repeating is for those above.
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
            publisher: Arc::new(Publisher::new(git, gh.repo(), address)),
            clone: Arc::default(),
            console: console.clone(),
            started: Instant::now(),
        }
    }

    pub fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// The same for another thread.
    fn twin(&self) -> Self {
        Self {
            gh: self.gh.clone(),
            attempts: self.attempts,
            git: self.git.clone(),
            publisher: Arc::clone(&self.publisher),
            clone: Arc::clone(&self.clone),
            console: self.console.clone(),
            started: self.started,
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
            let refs = scope.spawn(|| Doors::with(self, how).refs());
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
        permit.check(self.elapsed())?;
        self.gh(how).create_release(&|| permit.last_byte(self.elapsed()), new)
    }

    fn update_release(&self, how: How, permit: &Permit<'_>, id: u64, new: &NewRelease) -> Result<Release, CallError> {
        permit.check(self.elapsed())?;
        self.gh(how).update_release(&|| permit.last_byte(self.elapsed()), id, new)
    }

    fn delete_release(&self, how: How, permit: &Permit<'_>, id: u64) -> Result<(), CallError> {
        permit.check(self.elapsed())?;
        self.gh(how).delete_release(&|| permit.last_byte(self.elapsed()), id)
    }

    fn upload(&self, how: How, permit: &Permit<'_>, upload: Upload<'_>, feed: Feed<'_>) -> Result<Asset, CallError> {
        permit.check(self.elapsed())?;
        self.gh(how).upload(&|| permit.last_byte(self.elapsed()), &upload, feed)
    }

    fn rename_asset(&self, how: How, permit: &Permit<'_>, id: u64, name: &str) -> Result<Asset, CallError> {
        permit.check(self.elapsed())?;
        self.gh(how).rename_asset(&|| permit.last_byte(self.elapsed()), id, name)
    }

    fn delete_asset(&self, how: How, permit: &Permit<'_>, id: u64) -> Result<(), CallError> {
        permit.check(self.elapsed())?;
        self.gh(how).delete_asset(&|| permit.last_byte(self.elapsed()), id)
    }

    fn budget(&self, how: How) -> Result<Budget, CallError> {
        let (remaining, renews_in) = self.gh(how).rate_limit()?;
        Ok(Budget { remaining, renews_in })
    }

    fn commit_of_tag(&self, how: How, tag: &str) -> Result<Option<String>, CallError> {
        self.gh(how).commit_of_tag(tag)
    }

    fn refs(&self, how: How) -> Result<Refs, CallError> {
        let (tag, lock) = self.publisher.refs(waits(how), TAG, lock::REF)?;
        Ok(Refs { tag, lock })
    }

    fn lock_note(&self, how: How, id: &str) -> Result<Option<String>, CallError> {
        self.publisher.message(waits(how), lock::REF, id)
    }

    fn new_lock(&self, text: &str) -> anyhow::Result<String> {
        let id = self.publisher.commit(text)?;
        if let Some(clone) = &*self.clone.lock().unwrap_or_else(PoisonError::into_inner) {
            clone.keeps(&id)?;
        }
        Ok(id)
    }

    fn push(&self, how: How, push: &Push) -> Result<Pushed, CallError> {
        let tag = format!("refs/tags/{TAG}");
        let update = |name, it: &Move| (name, it.to.clone(), it.expected.clone());
        let moves: Vec<_> = [update(lock::REF, &push.lock)]
            .into_iter()
            .chain(push.tag.iter().map(|it| update(tag.as_str(), it)))
            .collect();
        let updates: Vec<Update<'_>> =
            moves.iter().map(|(name, to, expected)| (*name, to.as_deref(), expected.as_deref())).collect();
        self.publisher.push(waits(how), &updates)
    }

    fn hold_clone(&self) -> anyhow::Result<bool> {
        let held = OwnClone::hold(&self.git.common_dir()?)?;
        let alone = held.is_some();
        *self.clone.lock().unwrap_or_else(PoisonError::into_inner) = held;
        Ok(alone)
    }

    fn pushed_by_this_clone(&self, lock: &str) -> anyhow::Result<Option<Duration>> {
        let clone = self.clone.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(clone.as_ref().and_then(|clone| clone.pushed(lock, boottime())))
    }

    fn leave_lock(&self, unclear_for: Duration) {
        if let Some(clone) = &*self.clone.lock().unwrap_or_else(PoisonError::into_inner) {
            clone.leaves(boottime() + unclear_for);
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
        let (git, url) = (&self.git, self.publisher.url());
        let here = |id: &str| matches!(git.resolve(&format!("{id}^{{object}}")), Ok(Some(_)));
        if !here(&target.object) {
            // By its id, where the server allows it.
            let _ = git.fetch(url, std::slice::from_ref(&target.object));
        }
        if !here(&target.commit) {
            // The tags of the remote lead to all released commits.
            git.fetch(url, &["refs/tags/*".to_owned()])?;
        }
        for id in [&target.object, &target.commit] {
            if here(id) {
                return Ok(id.clone());
            }
        }
        Err(failure::missing(format!(
            "commit {} is not in {} any more; publish the set anew",
            target.commit,
            self.gh.repo()
        )))
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn elapsed(&self) -> Duration {
        boottime()
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
        }
    }

    fn last_rate(&self) -> Option<u64> {
        rate::last(&self.git.common_dir().ok()?)
    }

    fn remember_rate(&self, rate: u64) {
        if let Ok(dir) = self.git.common_dir() {
            rate::remember(&dir, rate);
        }
    }

    fn transfer(&self, what: String, bytes: u64) -> Transfer {
        self.console.transfer(what, bytes)
    }

    fn side_by_side(&self, jobs: usize, work: &(dyn Fn() + Sync)) {
        thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(work);
            }
        });
    }

    fn beside(&self, task: Task) {
        let outside = self.twin();
        thread::spawn(move || task(&outside));
    }

    fn wait(&self, bell: &Arc<Bell>, at_most: Duration) {
        bell.wait(at_most);
    }

    fn ring(&self, bell: &Arc<Bell>) {
        bell.ring();
    }

    fn hold_still(&self, still: bool) {
        self.console.hold(still);
        interrupt::hold_job_control(still);
    }
}

fn waits(how: How) -> Waits {
    let at_most = how.at_most.unwrap_or(Duration::from_secs(60));
    Waits { at_most, heeds_signals: how.heeds_signals }
}

/// The clock that counts the time in which the machine sleeps.
fn boottime() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
