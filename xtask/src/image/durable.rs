//! Files that are complete or not there, also after a power cut.
//!
//! Work goes into a hidden file in the same folder; it takes its final name only when its bytes are on the disk, and the
//! folder is synced after the rename. The images folder passes over hidden files, so nobody takes work for a result.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::{console, failure};

/// A hidden file that becomes `path`, or goes when this is dropped.
#[derive(Debug)]
pub struct Pending {
    path: PathBuf,
    hidden: PathBuf,
}

impl Pending {
    /// Makes the hidden file; one that a killed run left is emptied.
    pub fn create(path: &Path) -> anyhow::Result<(Self, File)> {
        let hidden = hidden(path);
        let file = File::create(&hidden).map_err(|error| write_error(&hidden, error))?;
        Ok((Self { path: path.to_owned(), hidden }, file))
    }

    /// Where the bytes are until [`Self::finish`].
    pub fn hidden(&self) -> &Path {
        &self.hidden
    }

    /// Gives the file its name, in place of one that had it. Sync the file before, and the folder after.
    pub fn finish(self) -> anyhow::Result<()> {
        fs::rename(&self.hidden, &self.path).with_context(|| format!("renaming to {}", self.path.display()))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // After `finish` there is none.
        let _ = fs::remove_file(&self.hidden);
    }
}

/// `.<file>.tmp` beside `path`.
pub fn hidden(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".tmp");
    path.with_file_name(name)
}

/// Writes a small file whole.
pub fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let (pending, mut file) = Pending::create(path)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| write_error(path, error))?;
    pending.finish()?;
    sync_dir_of(path)
}

/// Makes renames and removals beside `path` last.
pub fn sync_dir_of(path: &Path) -> anyhow::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).with_context(|| format!("syncing folder {}", dir.display()))
}

/// Names the file, and for a full disk the cure.
pub fn write_error(path: &Path, error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => failure::failed(format!(
            "writing {}: the disk is full ({error}); free space there, or name another folder with --images",
            path.display()
        )),
        _ => anyhow::Error::new(error).context(format!("writing {}", path.display())),
    }
}

/// Names the file or folder, and for one that only others may read the cure.
///
/// # Errors
///
/// Exit code 3 without permission, else 1.
pub fn read_error(shown: impl Display, error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::PermissionDenied {
        return failure::missing(format!(
            "no permission to read {shown}; make it yours, or readable: `sudo chmod -R a+rX FOLDER`"
        ));
    }
    anyhow::Error::new(error).context(format!("reading {shown}"))
}

/// Asks the file system before the line is used.
pub fn check_room(dir: &Path, image: &str, needed: u64) -> anyhow::Result<()> {
    // Where it doesn't tell, the write will.
    let Ok(room) = rustix::fs::statvfs(dir) else { return Ok(()) };
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    if free < needed {
        return Err(failure::missing(format!(
            "no room for image {image}: {} are needed in {} and {} are free; free some, or name another folder with --images",
            console::size(needed),
            dir.display(),
            console::size(free)
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let dir = std::env::temp_dir().join(format!("packer-durable-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("a.qcow2.sha256");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let (pending, mut file) = Pending::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        drop(pending);
        let left: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["a.qcow2.sha256"]);
        assert_eq!(fs::read(&path).unwrap(), b"two");
        fs::remove_dir_all(&dir).unwrap();
    }
}
