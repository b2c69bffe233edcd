//! Compares the files on a build host with the files that are to be built, and sends them there for `--sync`.
//!
//! A host that would build something else builds nothing: exit 3 with both fixes. [`super::run`] compares before and after a
//! build, so no image is fetched whose files changed meanwhile.

use std::collections::BTreeMap;

use super::wanted::Wanted;
use crate::failure::{self, Advice as _};
use crate::git::Git;
use crate::git::short;
use crate::sources::inputs::{self, File, Files};
use crate::sources::{FOLDERS, Listing};
use crate::ssh::trouble::Fault;
use crate::ssh::{Host, RemoteDir, Ssh};
use crate::text::{self, count};

/// Where `--sync` puts a packer directory, below the login's home.
pub const SYNCED: &str = ".cache/homestak-packer/packer";

/// How many differing files an error names.
const NAMED: usize = 5;

/// What a host would build from.
pub struct Found {
    /// Where a clone has it.
    pub commit: Option<String>,
    /// The clone is on no branch.
    detached: bool,
    files: Files,
}

impl Found {
    /// What differs from what is wanted for an image.
    pub fn differing(&self, wanted: &Wanted, image: &str) -> Vec<String> {
        let there = Listing::new(self.files.clone()).of_image(image).unwrap_or_default();
        inputs::differing(&wanted.files(image), &there).map(str::to_owned).collect()
    }
}

/// Asks a host for the files below its packer directory: as they are on disk, by the same lines that the engine has.
pub fn ask(ssh: &Ssh, dir: &RemoteDir) -> Result<Found, Fault> {
    const SCRIPT: &str = concat!(include_str!("../../assets/list-files.sh"), include_str!("inputs.sh"));
    let dir_text = dir.to_string();
    let arguments: Vec<&str> = std::iter::once(dir_text.as_str()).chain(FOLDERS).collect();
    let answer = ssh.script(SCRIPT, &arguments)?;
    parse(&ssh.host, dir, &answer)
}

fn parse(host: &Host, dir: &RemoteDir, output: &[u8]) -> Result<Found, Fault> {
    let cut_short =
        || Fault::line(failure::failed(format!("the list of files in {dir} on {host} is incomplete")).fix("try again"));
    let body = output.strip_suffix(b"end\0").ok_or_else(cut_short)?;
    let mut fields = body.split(|byte| *byte == 0);
    let (mut commit, mut detached, mut files) = (None, false, Files::new());
    while let Some(field) = fields.next() {
        match field {
            b"" => {}
            b"commit" => {
                let id = String::from_utf8_lossy(fields.next().unwrap_or_default()).into_owned();
                commit = Some(id).filter(|id| id.len() >= 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
            }
            b"detached" => detached = true,
            b"unreadable" => {
                let error = failure::missing(format!("some files in {dir} on {host} can't be read by this account"));
                let fix = format!("log in as their owner (`--host OWNER@{host}`), or send the files with --sync");
                return Err(Fault::host(error.fix(fix)));
            }
            file => {
                let (path, file) = listed(file).ok_or_else(cut_short)?;
                files.insert(path, file);
            }
        }
    }
    Ok(Found { commit, detached, files })
}

/// `MODE ID PATH`
fn listed(field: &[u8]) -> Option<(String, File)> {
    let mut parts = field.splitn(3, |byte| *byte == b' ');
    let mode = u32::from_str_radix(std::str::from_utf8(parts.next()?).ok()?, 8).ok()?;
    let id = std::str::from_utf8(parts.next()?).ok().filter(|id| id.len() == 40)?.to_owned();
    Some((crate::git::path_text(parts.next()?), File { mode, id }))
}

/// # Errors
///
/// Exit code 3 when the host would build something else, with what differs and what brings it there.
pub fn check(
    ssh: &Ssh,
    dir: &RemoteDir,
    wanted: &Wanted,
    git: &Git,
    images: &[&str],
    found: &Found,
) -> Result<(), Fault> {
    let mut differing: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for image in images {
        for path in found.differing(wanted, image) {
            differing.entry(path).or_default().push(image);
        }
    }
    if differing.is_empty() {
        return Ok(());
    }
    let (host, what) = (&ssh.host, &wanted.what);
    let shown = |path: &String| path.escape_debug().to_string();
    let mut files = differing.keys().take(NAMED).map(shown).collect::<Vec<_>>().join(", ");
    if differing.len() > NAMED {
        files.push_str(&format!(" and {} more", differing.len() - NAMED));
    }
    let (at, pull) = match (&found.commit, &wanted.commit) {
        (None, _) => ("no clone, or a clone that git doesn't let this account use".to_owned(), None),
        (Some(there), Some(wanted_commit)) if there == wanted_commit => (
            format!("at {}, with uncommitted changes", short(there)),
            Some(format!("see `ssh {host} git -C {dir} status`, and stash them: `ssh {host} git -C {dir} stash -u`")),
        ),
        (Some(there), wanted_commit) => {
            let behind = wanted_commit.as_deref().map_or(Ok(None), |to| git.distance(there, to))?;
            let at = match behind {
                Some(commits) => format!("at {}, {} behind", short(there), count(commits, "commit")),
                None => format!("at {}, which is not an ancestor of {what}", short(there)),
            };
            let checkout = |revision: &str| {
                let there =
                    format!("git -C {dir} fetch --tags && git -C {dir} checkout {}", text::shell_word(revision));
                format!("`ssh {host} {}`", text::shell_word(&there))
            };
            let pull = match (&wanted.source, wanted_commit) {
                (Some(tag), _) => checkout(tag),
                (None, Some(commit)) if found.detached => checkout(commit),
                (None, _) => format!("`ssh {host} git -C {dir} pull --ff-only`"),
            };
            (at, Some(pull))
        }
    };
    let sync = "run the same command with `--sync`, which sends the files there";
    let fix = pull.map_or_else(|| sync.to_owned(), |pull| format!("{pull}, or {sync}"));
    let error = format!("nothing was built: {dir} on {host} ({at}) differs from {what}: {files}");
    Err(Fault::host(failure::missing(error).fix(fix)))
}

/// Sends a packer directory into a folder of its own on the host.
pub fn send(ssh: &Ssh, dir: &RemoteDir, archive: &[u8]) -> Result<(), Fault> {
    let script = include_str!("sync.sh").replace("@ARCHIVE@\n", &text::base64(archive));
    if ssh.script(&script, &[&dir.to_string()])? == b"done\0" {
        return Ok(());
    }
    let host = &ssh.host;
    let error = failure::failed(format!("the packer directory was not copied completely to {dir} on {host}"));
    Err(Fault::line(error.fix("try again")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_lists() {
        let example = format!("commit\0{0}\x00100644 {0} templates/a/a.sh\0unreadable\0end\0", "a".repeat(40));
        let (host, dir) = ("build1".parse().unwrap(), "/srv/packer".parse().unwrap());
        crate::hostile::try_with(&[example.as_bytes()], |bytes| {
            if let Ok(found) = parse(&host, &dir, bytes) {
                assert!(found.files.values().all(|file| file.id.len() == 40));
                assert!(found.commit.is_none_or(|id| id.bytes().all(|byte| byte.is_ascii_hexdigit())));
            }
        });
    }
}
