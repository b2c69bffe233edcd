//! The outside as it is: GitHub through the contributor's gh, the remote through git, and a person at the console.

use std::fmt;
use std::io::Read as _;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;

use crate::backoff;
use crate::console::{Console, Transfer};
use crate::failure;
use crate::gh::{Asset, CallError, Download, Gh, NewRelease, Release, Upload};
use crate::git::{Git, Pushed, TagRef};
use crate::interrupt;
use crate::packer::Repo;
use crate::process::joined;

use super::TAG;
use super::outside::{Feed, How, Outside, Say, Seen, Take};

pub struct GitHub {
    /// Asks once; repeating is for those above.
    gh: Gh,
    attempts: u32,
    git: Git,
    remote: String,
    console: Console,
    started: Instant,
}

impl GitHub {
    pub fn new(gh: &Gh, git: &Git, remote: &str, console: &Console) -> Self {
        Self {
            attempts: gh.tries().attempts,
            gh: gh.once_each(),
            git: git.clone(),
            remote: remote.to_owned(),
            console: console.clone(),
            started: Instant::now(),
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

    fn seen(&self, _how: How) -> anyhow::Result<Seen> {
        // Asking changes nothing, so gh itself may repeat it.
        let gh = self.gh.patient(self.attempts);
        thread::scope(|scope| {
            let tag = scope.spawn(|| self.remote_tag());
            let releases = scope.spawn(|| gh.releases());
            let live = gh.release_by_tag(TAG);
            let tag = joined(tag);
            let releases = joined(releases)?;
            Ok(Seen { live: live?, releases, tag: tag? })
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

    fn create_release(&self, how: How, new: &NewRelease) -> Result<Release, CallError> {
        self.gh(how).create_release(new)
    }

    fn update_release(&self, how: How, id: u64, new: &NewRelease) -> Result<Release, CallError> {
        self.gh(how).update_release(id, new)
    }

    fn delete_release(&self, how: How, id: u64) -> Result<(), CallError> {
        self.gh(how).delete_release(id)
    }

    fn upload(&self, how: How, release: &Release, name: &str, size: u64, feed: Feed<'_>) -> Result<Asset, CallError> {
        self.gh(how).upload(&Upload { release, name, size }, feed)
    }

    fn rename_asset(&self, how: How, id: u64, name: &str) -> Result<Asset, CallError> {
        self.gh(how).rename_asset(id, name)
    }

    fn delete_asset(&self, how: How, id: u64) -> Result<(), CallError> {
        self.gh(how).delete_asset(id)
    }

    fn remote_tag(&self) -> anyhow::Result<Option<TagRef>> {
        Ok(self.git.remote_tags(&self.remote, &[TAG])?.pop().flatten())
    }

    fn push_tag(&self, object: &str, expected: Option<&str>) -> anyhow::Result<Pushed> {
        self.git.push_tag(&self.remote, TAG, object, expected)
    }

    fn set_local_tag(&self, object: &str) -> anyhow::Result<()> {
        self.git.set_local_tag(TAG, object)
    }

    fn bring(&self, target: &TagRef) -> anyhow::Result<String> {
        let (git, remote) = (&self.git, &self.remote);
        let here = |id: &str| matches!(git.resolve(&format!("{id}^{{object}}")), Ok(Some(_)));
        if !here(&target.object) {
            // By its id, where the server allows it.
            let _ = git.fetch(remote, std::slice::from_ref(&target.object));
        }
        if !here(&target.commit) {
            // The tags of the remote lead to all released commits.
            git.fetch(remote, &["refs/tags/*".to_owned()])?;
        }
        for id in [&target.object, &target.commit] {
            if here(id) {
                return Ok(id.clone());
            }
        }
        Err(failure::missing(format!("commit {} is not on {remote} any more; publish the set anew", target.commit)))
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
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
}
