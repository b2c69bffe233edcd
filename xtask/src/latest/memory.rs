//! What a clone remembers between runs, in its git directory: how fast the last upload was, for the next plan's estimate; and that
//! GitHub refused the tag `latest`, because an immutable release had that name. GitHub says so only when a set is about to become
//! live, and never gives such a name out again: a later run stops before it uploads. Best effort: without it nothing is lost.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::failure::{self, Advice as _};
use crate::git::Publisher;
use crate::repo::Repo;

use super::TAG;

/// Bytes a second.
pub const RATE: &str = "upload-rate";
/// The repository whose tag is refused.
pub const BURNT: &str = "burnt-tag";

/// What is shorter says nothing about a line.
const SHORTEST: Duration = Duration::from_secs(1);
const LEAST: u64 = 1 << 20;

pub fn write(git_dir: &Path, what: &str, value: impl Display) {
    let path = path(git_dir, what);
    let _ = path.parent().map(fs::create_dir_all);
    let _ = fs::write(path, format!("{value}\n"));
}

fn read(git_dir: &Path, what: &str) -> Option<String> {
    fs::read_to_string(path(git_dir, what)).ok().map(|text| text.trim().to_owned())
}

fn path(git_dir: &Path, what: &str) -> PathBuf {
    git_dir.join("packer").join(what)
}

pub fn rate(git_dir: &Path) -> Option<u64> {
    read(git_dir, RATE)?.parse().ok().filter(|rate| *rate > 0)
}

/// Bytes a second of an upload; `None` for one too small to tell.
pub fn rate_of(bytes: u64, time: Duration) -> Option<u64> {
    (bytes >= LEAST && time >= SHORTEST).then(|| (bytes as f64 / time.as_secs_f64()) as u64)
}

/// # Errors
///
/// Exit code 3: GitHub refused the tag at an earlier run.
pub fn check_tag(publisher: &Publisher, repo: &Repo) -> anyhow::Result<()> {
    let git_dir = publisher.git_dir()?;
    if read(&git_dir, BURNT) != Some(repo.to_string()) {
        return Ok(());
    }
    Err(failure::missing(format!(
        "GitHub refused the tag {TAG} of {repo} at an earlier publish: it was used by an immutable release, and GitHub never gives \
         such a name out again"
    ))
    .fix(format_args!(
        "publish in another repository, named with --repo; if GitHub accepts the name now, remove {}",
        path(&git_dir, BURNT).display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_that_is_too_small_tells_no_rate() {
        let time = Duration::from_secs;
        for (bytes, took, rate) in
            [(10 << 20, time(5), Some(2 << 20)), (1000, time(5), None), (10 << 20, Duration::from_millis(10), None)]
        {
            assert_eq!(rate_of(bytes, took), rate);
        }
    }

    #[test]
    fn the_last_rate_is_read_again_and_nonsense_is_none() {
        let dir = std::env::temp_dir().join(format!("packer-rate-{}", std::process::id()));
        assert_eq!(rate(&dir), None);
        write(&dir, RATE, 12_345);
        assert_eq!(rate(&dir), Some(12_345));
        for nonsense in ["", "0", "-1", "fast", "99999999999999999999999"] {
            write(&dir, RATE, nonsense);
            assert_eq!(rate(&dir), None, "{nonsense}");
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
