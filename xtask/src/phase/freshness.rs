//! What the last `check --upstream` of this clone found: how many fixes the live images lack.
//!
//! `check` keeps the answer in the clone's git directory, so that `status` can show it, and `publish` name the fixes of a new
//! set in its notes, without asking the archives. An answer about another release, or one that is older than a week, is not used.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::decide::Report;
use crate::latest::changes::Lacking;

const VALID: Duration = Duration::from_secs(7 * 24 * 3600);

/// The answer about a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freshness {
    /// RFC 3339.
    pub asked: String,
    pub release_id: u64,
    /// By image: the source packages that have a newer version.
    pub fixes: BTreeMap<String, BTreeSet<String>>,
}

impl Freshness {
    /// What a report says; `None` unless the archives answered for each image.
    pub fn of(report: &Report, release_id: u64, now: SystemTime) -> Option<Self> {
        let image = |image: &crate::decide::ImageReport| {
            let fixes = image.security.as_ref()?.as_ref().ok()?;
            Some((image.name.clone(), fixes.iter().map(|finding| finding.name.clone()).collect()))
        };
        let fixes = report.images.iter().map(image).collect::<Option<_>>()?;
        Some(Self { asked: humantime::format_rfc3339_seconds(now).to_string(), release_id, fixes })
    }

    /// Best effort: without the file, `status` shows nothing.
    pub fn remember(&self, git_dir: &Path) {
        let path = file(git_dir);
        let _ = path.parent().map(fs::create_dir_all);
        let _ = serde_json::to_vec(self).map(|text| fs::write(path, text));
    }

    /// The last answer, if it is from the last seven days. Whether it is about the release that is live now is for the caller
    /// to compare.
    pub fn last(git_dir: &Path, now: SystemTime) -> Option<Self> {
        let found: Self = serde_json::from_slice(&fs::read(file(git_dir)).ok()?).ok()?;
        let age = now.duration_since(humantime::parse_rfc3339(&found.asked).ok()?).ok()?;
        (age <= VALID).then_some(found)
    }

    /// Of all images.
    pub fn lacking(&self) -> usize {
        self.fixes.values().map(BTreeSet::len).sum()
    }
}

impl From<Freshness> for Lacking {
    fn from(Freshness { release_id, fixes, .. }: Freshness) -> Self {
        Self { release_id, fixes }
    }
}

fn file(git_dir: &Path) -> PathBuf {
    git_dir.join("packer/upstream.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_for_a_week() {
        let dir = std::env::temp_dir().join(format!("packer-fresh-{}", std::process::id()));
        let now = humantime::parse_rfc3339("2026-11-28T12:00:00Z").unwrap();
        assert_eq!(Freshness::last(&dir, now), None);
        let names = ["curl", "openssl", "linux"].map(str::to_owned);
        let fixes = [("a".to_owned(), names.into()), ("b".to_owned(), BTreeSet::new())].into();
        let found = Freshness { asked: "2026-11-28T12:00:00Z".into(), release_id: 1, fixes };
        found.remember(&dir);
        assert_eq!(found.lacking(), 3);
        assert_eq!(Freshness::last(&dir, now), Some(found.clone()));
        assert_eq!(Freshness::last(&dir, now + VALID), Some(found));
        assert_eq!(Freshness::last(&dir, now + VALID + Duration::from_secs(1)), None);
        for nonsense in ["", "{}", r#"{"asked":"soon","release_id":1,"fixes":{}}"#] {
            fs::write(file(&dir), nonsense).unwrap();
            assert_eq!(Freshness::last(&dir, now), None, "{nonsense}");
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
