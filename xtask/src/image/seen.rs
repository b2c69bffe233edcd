//! Which signed set of `latest` a folder took last: an older one there is a rollback, or somebody put an old set back.
//!
//! `get-images.sh` keeps the same file: `REPOSITORY CREATED SOURCE`, a line each.

use std::fs;
use std::path::Path;

use super::durable;
use crate::failure;
use crate::text;

const FILE: &str = ".images-seen";

/// Remembers a set; dates are RFC 3339, UTC.
///
/// # Errors
///
/// Exit code 4: the folder has seen a newer one, and `older` doesn't accept that.
pub fn remember(folder: &Path, repo: &str, created: &str, source: &str, older: bool) -> anyhow::Result<()> {
    let path = folder.join(FILE);
    let known = fs::read_to_string(&path).unwrap_or_default();
    let line = format!("{repo} {created} {source}");
    let (own, others): (Vec<&str>, Vec<&str>) =
        known.lines().partition(|line| line.split_whitespace().next() == Some(repo));
    let last = own.last().copied().unwrap_or_default();
    let mut words = last.split_whitespace().skip(1);
    let (when, was) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if when > created && !older {
        return Err(failure::digest(format!(
            "`latest` went from {} ({}) back to {source} ({created}): the maintainers rolled back, or somebody put an old set \
             back; `--older` accepts it",
            text::line(was),
            text::line(when)
        )));
    }
    if last == line {
        return Ok(());
    }
    let lines: String = others.into_iter().chain([line.as_str()]).map(|line| format!("{line}\n")).collect();
    fs::create_dir_all(folder).map_err(|error| durable::write_error(folder, error))?;
    durable::write(&path, lines.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_set_is_refused_where_a_newer_one_was_seen() {
        let dir = std::env::temp_dir().join(format!("packer-seen-{}", std::process::id()));
        let see = |repo, created, source, older| remember(&dir, repo, created, source, older);
        see("a/b", "2026-11-30T12:00:00Z", "v0.46", false).unwrap();
        see("c/d", "2026-10-01T12:00:00Z", "v0.40", false).unwrap();
        see("a/b", "2026-11-30T12:00:00Z", "v0.46", false).unwrap();
        let error = see("a/b", "2026-11-29T12:00:00Z", "v0.45", false).unwrap_err();
        assert_eq!(failure::kind(&error), failure::Kind::Digest);
        assert!(error.to_string().contains("went from v0.46"), "{error}");
        see("a/b", "2026-11-29T12:00:00Z", "v0.45", true).unwrap();
        see("a/b", "2026-11-29T12:00:00Z", "v0.45", false).unwrap();
        assert_eq!(fs::read_to_string(dir.join(FILE)).unwrap().lines().count(), 2);
        fs::remove_dir_all(&dir).unwrap();
    }
}
