//! What the runs of one clone know of each other: a file in the clone's git directory. A run that publishes locks the file, and the
//! gh and git that it started keep the lock while one of them lives. So the next run knows whether the run before is gone, and how
//! long its requests may still arrive. `github.rs` uses it.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rustix::fs::FlockOperation;
use rustix::io::Errno;

/// The file, locked.
pub struct OwnClone {
    file: File,
    /// What earlier runs wrote since the machine started.
    earlier: String,
}

impl OwnClone {
    /// `None` while another run of this clone is alive, or a child of one, and where the file system cannot lock.
    pub fn hold(git_dir: &Path) -> anyhow::Result<Option<Self>> {
        let dir = git_dir.join("packer");
        let path = dir.join("runs");
        let opening = || format!("opening {}", path.display());
        fs::create_dir_all(&dir).with_context(opening)?;
        let mut file = OpenOptions::new().read(true).create(true).append(true).open(&path).with_context(opening)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            // Held by another run, or on a file system without locks: then nothing tells whether one is alive.
            Err(Errno::WOULDBLOCK | Errno::NOLCK | Errno::NOTSUP | Errno::NOSYS) => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("locking {}", path.display())),
        }
        // Children keep it: one that outlives this run may still be sending.
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).with_context(opening)?;
        let mut earlier = String::new();
        file.read_to_string(&mut earlier).with_context(|| format!("reading {}", path.display()))?;
        let boot = format!("boot {}\n", boot_id());
        if !earlier.starts_with(&boot) {
            file.set_len(0).and_then(|()| file.write_all(boot.as_bytes())).with_context(opening)?;
            earlier = boot;
        }
        Ok(Some(Self { file, earlier }))
    }

    /// Kept before it is pushed.
    pub fn keeps(&self, lock: &str) -> anyhow::Result<()> {
        (&self.file).write_all(format!("lock {lock}\n").as_bytes()).context("writing down the lock")
    }

    /// For a lock that an earlier run pushed: how long that run's requests may still arrive, as it wrote before it sent them.
    /// `now`: a clock that all processes share since the machine started, without the time that the machine slept.
    pub fn pushed(&self, lock: &str, now: Duration) -> Option<Duration> {
        let ours = self.earlier.lines().any(|line| line.strip_prefix("lock ") == Some(lock));
        let until = self.earlier.lines().rev().find_map(|line| line.strip_prefix("arrives ")?.parse().ok());
        ours.then(|| Duration::from_secs(until.unwrap_or(0)).saturating_sub(now))
    }

    /// What was sent may arrive until then; zero: all of it was answered.
    pub fn arrives(&self, until: Duration) -> anyhow::Result<()> {
        let seconds = if until.is_zero() { 0 } else { until.as_secs() + 1 };
        (&self.file).write_all(format!("arrives {seconds}\n").as_bytes()).context("writing down what is sent")
    }
}

/// Another after each start of the machine; a machine that doesn't tell has a new one each time.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| format!("of process {}", std::process::id()), |id| id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_run_knows_what_an_earlier_one_pushed() {
        let dir = std::env::temp_dir().join(format!("packer-own-clone-{}", std::process::id()));
        let first = OwnClone::hold(&dir).unwrap().unwrap();
        first.keeps("aaa").unwrap();
        assert!(OwnClone::hold(&dir).unwrap().is_none(), "held by the first");
        first.arrives(Duration::from_secs(100)).unwrap();
        drop(first);
        let second = OwnClone::hold(&dir).unwrap().unwrap();
        assert_eq!(second.pushed("aaa", Duration::from_secs(90)), Some(Duration::from_secs(11)));
        assert_eq!(second.pushed("aaa", Duration::from_secs(200)), Some(Duration::ZERO));
        assert_eq!(second.pushed("bbb", Duration::from_secs(90)), None);
        second.keeps("ccc").unwrap();
        second.arrives(Duration::from_secs(300)).unwrap();
        second.arrives(Duration::ZERO).unwrap();
        drop(second);
        let third = OwnClone::hold(&dir).unwrap().unwrap();
        assert_eq!(third.pushed("ccc", Duration::from_secs(200)), Some(Duration::ZERO), "all was answered");
        fs::remove_dir_all(dir).unwrap();
    }
}
