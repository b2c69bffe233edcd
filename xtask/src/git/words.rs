//! Reads what git printed about a push or a failed connection: git's own words, and those of the server behind `remote:`.

use crate::process::Finished;
use crate::refusal::call::CallError;
use crate::refusal::{Reason, Refusal, passes};

use super::Pushed;

/// The result of a push: the porcelain lines have it for each ref, standard error has the words of the server.
pub(super) fn judge(finished: &Finished) -> Result<Pushed, CallError> {
    if finished.status.success() {
        return Ok(Pushed::Moved);
    }
    let text = finished.text();
    let rejected: Vec<&str> = text.lines().filter(|line| line.starts_with('!')).collect();
    // "cannot lock ref" is a rival that moved it while this push was under way.
    const STALE: [&str; 5] =
        ["stale info", "cannot lock ref", "fetch first", "reference already exists", "failed to update ref"];
    let is_stale = |line: &&str| {
        STALE.iter().any(|word| line.contains(word)) && Refusal::of(line).reason != Reason::FolderInTheWay
    };
    if rejected.iter().any(is_stale) {
        return Ok(Pushed::Stale);
    }
    // A receiver on the same machine may say it and send no report, or one that names no reason of a ref's own.
    let said_so = |line: &str| {
        line.contains("error: cannot lock ref")
            && (line.ends_with("reference already exists") || line.contains(" but expected "))
    };
    if rejected.iter().all(|line| line.contains("atomic"))
        && finished.stderr.lines().any(|line| said_so(line.trim_end()))
    {
        return Ok(Pushed::Stale);
    }
    if rejected.is_empty() {
        if passes(&finished.stderr) || finished.stderr.trim().is_empty() {
            return Err(CallError::Lost(first_line(&finished.stderr)));
        }
        return Ok(refused(all_lines(&finished.stderr)));
    }
    let reason = |line: &&str| line.split('\t').nth(2).map(str::to_owned);
    let mut said: Vec<String> = rejected.iter().filter(|line| !line.contains("atomic")).filter_map(reason).collect();
    let remote = finished.stderr.lines().filter_map(|line| line.strip_prefix("remote:")).map(str::trim);
    said.extend(remote.filter(|line| !line.is_empty()).map(str::to_owned));
    Ok(refused(without_controls(&said.join("; "))))
}

fn refused(said: String) -> Pushed {
    Pushed::Refused(if said.trim().is_empty() { "no reason was given".to_owned() } else { said })
}

/// All that was said, in one line.
pub(super) fn all_lines(text: &str) -> String {
    let lines = text.lines().map(|line| line.strip_prefix("remote:").unwrap_or(line).trim().trim_end_matches('.'));
    without_controls(&lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; "))
}

fn without_controls(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

pub(super) fn first_line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no answer");
    without_controls(line)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn ended(code: i32, stdout: &str, stderr: &str) -> Finished {
        Finished {
            command: "git push".to_owned(),
            status: std::process::ExitStatus::from_raw(code << 8),
            stdout: stdout.as_bytes().to_vec(),
            stderr: stderr.to_owned(),
        }
    }

    #[test]
    fn what_a_push_came_to_is_told_apart() {
        let stale = "To x\n!\ta:refs/packer/lock\t[rejected] (stale info)\n!\tb:refs/tags/latest\t[rejected] (atomic push failed)\nDone";
        let declined = "To x\n!\ta:refs/packer/lock\t[remote rejected] (pre-receive hook declined)";
        for (code, stdout, stderr, expected) in [
            (0, "To x\n*\ta:refs/packer/lock\t[new reference]\nDone", "", Some(Pushed::Moved)),
            (1, stale, "", Some(Pushed::Stale)),
            (
                1,
                "To x",
                "error: cannot lock ref 'refs/packer/lock': reference already exists\nerror: failed to push some refs",
                Some(Pushed::Stale),
            ),
            (
                1,
                "To x\n!\ta:refs/packer/lock\t[remote rejected] (atomic transaction failed)\nDone",
                "remote: error: cannot lock ref 'refs/packer/lock': reference already exists",
                Some(Pushed::Stale),
            ),
            (
                1,
                "To x",
                "remote: error: cannot lock ref 'refs/packer/lock': is at 1f but expected 2e",
                Some(Pushed::Stale),
            ),
            (
                1,
                "",
                "error: cannot lock ref 'refs/packer/lock': Unable to create 'x.lock': Permission denied",
                Some(Pushed::Refused(
                    "error: cannot lock ref 'refs/packer/lock': Unable to create 'x.lock': Permission denied"
                        .to_owned(),
                )),
            ),
            (1, "!\ta:refs/packer/lock\t[remote rejected] (cannot lock ref 'x')", "", Some(Pushed::Stale)),
            (
                1,
                declined,
                "remote: not here\nerror: failed to push some refs",
                Some(Pushed::Refused("[remote rejected] (pre-receive hook declined); not here".to_owned())),
            ),
            (
                128,
                "",
                "fatal: unable to access 'x': The requested URL returned error: 403",
                Some(Pushed::Refused("fatal: unable to access 'x': The requested URL returned error: 403".to_owned())),
            ),
            (
                128,
                "",
                "remote: Not granted.\nfatal: unable to access 'x': The requested URL returned error: 403",
                Some(Pushed::Refused(
                    "Not granted; fatal: unable to access 'x': The requested URL returned error: 403".to_owned(),
                )),
            ),
            (128, "", "remote: a proxy\nfatal: unable to access 'x': The requested URL returned error: 502", None),
            (128, "", "fatal: Could not resolve host: x", None),
            (128, "", "", None),
            (1, "!\ta:refs/packer/lock\t\u{1b}", "", Some(Pushed::Refused("no reason was given".to_owned()))),
            (128, "", "remote: .", Some(Pushed::Refused("no reason was given".to_owned()))),
        ] {
            assert_eq!(judge(&ended(code, stdout, stderr)).ok(), expected, "{stdout} {stderr}");
        }
    }

    #[test]
    fn hostile_porcelain() {
        let stale: &[u8] = b"To x\n!\ta:refs/packer/lock\t[rejected] (stale info)\n!\tb:refs/tags/latest\t[rejected] (atomic push failed)\nDone";
        let declined: &[u8] =
            b"remote: not here\x1b[2J\nerror: failed to push some refs\n!\ta:b\t[remote rejected] (hook declined)";
        crate::hostile::try_with(&[stale, declined], |bytes| {
            let text = String::from_utf8_lossy(bytes);
            for (stdout, stderr) in [(text.as_ref(), ""), ("", text.as_ref()), (text.as_ref(), text.as_ref())] {
                match judge(&ended(1, stdout, stderr)) {
                    Ok(Pushed::Refused(said)) => {
                        assert!(!said.is_empty() && !said.contains(char::is_control));
                        Refusal::of(&said).fix(true);
                    }
                    Ok(pushed) => assert_eq!(pushed, Pushed::Stale, "it failed"),
                    Err(error) => assert!(!error.to_string().contains(char::is_control)),
                }
            }
        });
    }
}
