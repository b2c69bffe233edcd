//! Never a stale image: whether a build host has what is to be built, and how it gets it.

use std::collections::BTreeMap;

use super::tar;
use super::wanted::Wanted;
use crate::console::count;
use crate::decide::{FOLDERS, short};
use crate::failure;
use crate::git::Git;
use crate::image::inputs::{self, File, Files};
use crate::ssh::trouble::Fault;
use crate::ssh::{Host, RemoteDir, Ssh};

/// Where `--sync` puts a packer directory, below the login's home.
pub const SYNCED: &str = ".cache/homestak-packer/packer";

/// So many files are named.
const NAMED: usize = 5;

/// What a host would build from.
pub struct Found {
    /// Where a clone has it.
    pub commit: Option<String>,
    files: Files,
}

impl Found {
    /// What differs from what is wanted for an image.
    pub fn differing(&self, wanted: &Wanted, image: &str) -> Vec<String> {
        let there = wanted.listing.with_files(self.files.clone()).of_image(image).unwrap_or_default();
        inputs::differing(&wanted.files(image), &there).map(str::to_owned).collect()
    }
}

/// Asks a host for the files below its packer directory: as they are on disk, by the same lines that the engine has.
pub fn ask(ssh: &Ssh, dir: &RemoteDir) -> Result<Found, Fault> {
    const SCRIPT: &str = concat!(include_str!("../../../packer/lib/list-files.sh"), include_str!("inputs.sh"));
    const MARKER: &str = "packer-inputs\0";
    let dir_text = dir.to_string();
    let arguments: Vec<&str> = std::iter::once(dir_text.as_str()).chain(FOLDERS).collect();
    let answer = ssh.script(SCRIPT, MARKER, &arguments)?;
    parse(&ssh.host, dir, &answer.text)
}

fn parse(host: &Host, dir: &RemoteDir, output: &[u8]) -> Result<Found, Fault> {
    let cut_short =
        || Fault::line(failure::failed(format!("the list of files in {dir} on {host} is not complete; try again")));
    let body = output.strip_suffix(b"end\0").ok_or_else(cut_short)?;
    let mut fields = body.split(|byte| *byte == 0);
    let (mut commit, mut files) = (None, Files::new());
    while let Some(field) = fields.next() {
        match field {
            b"" => {}
            b"commit" => {
                let id = String::from_utf8_lossy(fields.next().unwrap_or_default()).into_owned();
                commit = Some(id).filter(|id| id.len() >= 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
            }
            b"unreadable" => {
                return Err(Fault::host(failure::missing(format!(
                    "not all files in {dir} on {host} can be read by this login, so nobody can tell what it would build; \
                     log in as their owner (`--host OWNER@{host}`), or send the files with --sync"
                ))));
            }
            file => {
                let (path, file) = listed(file).ok_or_else(cut_short)?;
                files.insert(path, file);
            }
        }
    }
    Ok(Found { commit, files })
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
        (None, _) => ("it is no clone".to_owned(), None),
        (Some(there), Some(wanted_commit)) if there == wanted_commit => (
            format!("it is at {}, with changes that are not committed", short(there)),
            Some(format!(
                "see `ssh {host} git -C {dir} status`, and put them away with `ssh {host} git -C {dir} stash -u`"
            )),
        ),
        (Some(there), wanted_commit) => {
            let behind = wanted_commit.as_deref().map_or(Ok(None), |to| git.distance(there, to))?;
            let at = match behind {
                Some(commits) => format!("it is at {}, {} behind", short(there), count(commits, "commit")),
                None => format!("it is at {}, which {what} doesn't come from", short(there)),
            };
            let pull = match &wanted.source {
                Some(tag) => format!("`ssh {host} 'git -C {dir} fetch --tags && git -C {dir} checkout {tag}'`"),
                None => format!("`ssh {host} git -C {dir} pull --ff-only`"),
            };
            (at, Some(pull))
        }
    };
    let sync = "run the same command with `--sync`, which sends the files there";
    let cures = pull.map_or_else(|| sync.to_owned(), |pull| format!("{pull}, or {sync}"));
    Err(Fault::host(failure::missing(format!(
        "{host} would build something else in {dir} than {what}: {at}; different: {files}\nnothing was built; {cures}"
    ))))
}

/// Sends a packer directory into a folder of its own on the host.
pub fn send(ssh: &Ssh, dir: &RemoteDir, archive: &[u8]) -> Result<(), Fault> {
    let script = include_str!("sync.sh").replace("@ARCHIVE@\n", &tar::base64(archive));
    if ssh.script(&script, "packer-sync\0", &[&dir.to_string()])?.text == b"done\0" {
        return Ok(());
    }
    let host = &ssh.host;
    Err(Fault::line(failure::failed(format!("the packer directory didn't arrive whole in {dir} on {host}; try again"))))
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
