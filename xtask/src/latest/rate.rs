//! How fast the last upload of this clone was: a number in its git directory, for the next plan's estimate.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is shorter says nothing about a line.
const SHORTEST: Duration = Duration::from_secs(1);
const LEAST: u64 = 1 << 20;

/// Bytes a second of an upload; `None` for one too small to tell.
pub fn of(bytes: u64, time: Duration) -> Option<u64> {
    (bytes >= LEAST && time >= SHORTEST).then(|| (bytes as f64 / time.as_secs_f64()) as u64)
}

/// Bytes a second.
pub fn last(git_dir: &Path) -> Option<u64> {
    fs::read_to_string(file(git_dir)).ok()?.trim().parse().ok().filter(|rate| *rate > 0)
}

/// Best effort: without it there is no estimate.
pub fn remember(git_dir: &Path, rate: u64) {
    let path = file(git_dir);
    let _ = path.parent().map(fs::create_dir_all);
    let _ = fs::write(path, format!("{rate}\n"));
}

fn file(git_dir: &Path) -> PathBuf {
    git_dir.join("packer/upload-rate")
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
            assert_eq!(of(bytes, took), rate);
        }
    }

    #[test]
    fn the_last_rate_is_read_again_and_nonsense_is_none() {
        let dir = std::env::temp_dir().join(format!("packer-rate-{}", std::process::id()));
        assert_eq!(last(&dir), None);
        remember(&dir, 12_345);
        assert_eq!(last(&dir), Some(12_345));
        for nonsense in ["", "0", "-1", "fast", "99999999999999999999999"] {
            fs::write(file(&dir), nonsense).unwrap();
            assert_eq!(last(&dir), None, "{nonsense}");
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
