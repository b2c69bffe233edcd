//! A transfer under way: a hidden file beside the image's place, and a note of what it is a part of.
//!
//! The note is what makes resuming safe: bytes are added only to a partial of the same remote file. It is locked while a
//! run works on it, so two runs never write into one partial.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::failure;
use crate::image::digest::Digest;
use crate::image::{durable, name};

/// The remote file that a partial belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Bytes.
    pub size: u64,
    /// See [`super::listing::Remote::stamp`].
    pub stamp: String,
    /// What the checksum file promises.
    pub sha256: Digest,
}

/// The hidden file, and the lock on its note.
pub struct Partial {
    /// Absolute: scp takes a relative path with a colon in it for another host's.
    pub path: PathBuf,
    note_path: PathBuf,
    note: File,
}

impl Partial {
    /// Takes the lock. An scp that outlived a killed run is ended: it would write into the same file.
    ///
    /// # Errors
    ///
    /// Exit code 1 when another run holds the lock.
    pub fn open(dir: &Path, image: &str) -> anyhow::Result<Self> {
        let dir = dir.canonicalize().with_context(|| format!("reading {}", dir.display()))?;
        let path = dir.join(format!(".{}.fetching", name::whole(image)));
        let note_path = dir.join(format!(".{}.fetching.json", name::whole(image)));
        loop {
            let note = File::options().read(true).write(true).create(true).truncate(false).open(&note_path);
            let note = note.map_err(|error| durable::write_error(&note_path, error))?;
            match note.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(failure::failed(format!(
                        "another run is fetching {image} into {}; let it end, or stop it",
                        dir.display()
                    )));
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("locking {}", note_path.display()));
                }
            }
            // A run that ended in this moment has taken its note away: then the lock is on a file that nobody finds.
            let same = |named: fs::Metadata| note.metadata().is_ok_and(|ours| ours.ino() == named.ino());
            if fs::metadata(&note_path).is_ok_and(same) {
                end_left_over(&path);
                return Ok(Self { path, note_path, note });
            }
        }
    }

    /// Makes the partial one of this source; gives how many bytes of it are here already.
    pub fn begin(&mut self, source: &Source) -> anyhow::Result<u64> {
        let mut text = String::new();
        self.note.seek(SeekFrom::Start(0)).context("reading the note of a partial image")?;
        let read = self.note.read_to_string(&mut text);
        let noted: Option<Source> = read.ok().and_then(|_| serde_json::from_str(&text).ok());
        if noted.as_ref() == Some(source) && self.len() <= source.size {
            return Ok(self.len());
        }
        self.clear()?;
        let text = serde_json::to_vec(source).context("writing the note of a partial image")?;
        self.note
            .set_len(0)
            .and_then(|()| self.note.seek(SeekFrom::Start(0)))
            .and_then(|_| self.note.write_all(&text))
            .map_err(|error| durable::write_error(&self.note_path, error))?;
        Ok(0)
    }

    /// Bytes here.
    pub fn len(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |meta| meta.len())
    }

    /// Removes the bytes.
    pub fn clear(&self) -> anyhow::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", self.path.display()))
            }
            _ => Ok(()),
        }
    }

    /// The file, to add bytes at its end.
    pub fn append(&self) -> anyhow::Result<File> {
        let file = File::options().append(true).create(true).open(&self.path);
        file.map_err(|error| durable::write_error(&self.path, error))
    }

    /// Without bytes there is nothing to be resumed. The lock stays.
    pub fn forget_if_empty(&self) {
        if self.len() == 0 {
            let _ = fs::remove_file(&self.path);
            let _ = fs::remove_file(&self.note_path);
        }
    }

    /// Nothing is to be resumed: the note goes, and the lock with it.
    pub fn end(self) {
        let _ = fs::remove_file(&self.note_path);
    }
}

/// Ends an scp whose target is this partial. The lock says that no run is at work on it, so its run was killed.
fn end_left_over(partial: &Path) {
    let Ok(processes) = fs::read_dir("/proc") else { return };
    for entry in processes.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments: Vec<&[u8]> = arguments.strip_suffix(b"\0").unwrap_or(&arguments).split(|b| *b == 0).collect();
        let is_scp = arguments
            .iter()
            .any(|argument| Path::new(OsStr::from_bytes(argument)).file_name() == Some(OsStr::new("scp")));
        if !is_scp || arguments.last() != Some(&partial.as_os_str().as_bytes()) {
            continue;
        }
        if let Some(pid) = rustix::process::Pid::from_raw(pid) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            // It writes nothing once its files are closed; /proc shows that at once, and waiting for it is init's.
            for _ in 0..100 {
                if fs::read_dir(entry.path().join("fd")).map_or(true, |mut fds| fds.next().is_none()) {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_partial_of_the_same_file_is_gone_on_with() {
        let dir = std::env::temp_dir().join(format!("packer-partial-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let source = Source { size: 10, stamp: "1 a".into(), sha256: Digest::of(b"x") };
        let others = [
            Source { size: 11, ..source.clone() },
            Source { stamp: "2 a".into(), ..source.clone() },
            Source { sha256: Digest::of(b"y"), ..source.clone() },
        ];
        for other in &others {
            let mut partial = Partial::open(&dir, "a").unwrap();
            assert!(Partial::open(&dir, "a").is_err(), "locked");
            partial.begin(&source).unwrap();
            partial.append().unwrap().write_all(b"12345").unwrap();
            drop(partial);
            let mut partial = Partial::open(&dir, "a").unwrap();
            assert_eq!(partial.begin(&source).unwrap(), 5);
            assert_eq!(partial.begin(other).unwrap(), 0, "{other:?}");
            assert_eq!(partial.len(), 0);
            partial.end();
        }
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        fs::remove_dir_all(dir).unwrap();
    }
}
