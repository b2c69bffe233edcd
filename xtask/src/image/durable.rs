//! Files that are complete or not there, also after a power cut.
//!
//! Work goes into a hidden file in the same folder; it takes its final name only when its bytes are on the disk, and the
//! folder is synced after the rename. Readers of the images folder skip hidden files, so unfinished work never counts as a result.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use rustix::io::Errno;

use crate::failure::{self, Advice as _};
use crate::text::size;

/// A hidden file that becomes `path`, or goes when this is dropped.
#[derive(Debug)]
pub struct Pending {
    path: PathBuf,
    hidden: PathBuf,
}

impl Pending {
    /// Creates the hidden file, in place of any file of that name: a killed run's, or a link that somebody planted.
    pub fn create(path: &Path) -> anyhow::Result<(Self, File)> {
        let hidden = hidden(path);
        let _ = fs::remove_file(&hidden);
        let file = File::create_new(&hidden).map_err(|error| write_error(&hidden, error))?;
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

/// Opens a file of our own that is there from an earlier run, or makes it.
///
/// # Errors
///
/// It is a link, another user's, or no file: what is written there would go elsewhere.
pub fn open_own(path: &Path) -> anyhow::Result<File> {
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o644).custom_flags(no_follow);
    let is_own =
        |meta: &fs::Metadata| meta.is_file() && meta.nlink() == 1 && meta.uid() == rustix::process::geteuid().as_raw();
    match options.open(path) {
        Ok(file) if file.metadata().is_ok_and(|meta| is_own(&meta)) => return Ok(file),
        Err(error) if !path.is_symlink() => return Err(write_error(path, error)),
        _ => {}
    }
    Err(failure::failed(format!("{} is not a file that this tool made: a link, or another user's", path.display()))
        .fix("find out who put it there, then remove it"))
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
    file.write_all(bytes).and_then(|()| sync(&file, path)).map_err(|error| write_error(path, error))?;
    pending.finish()?;
    sync_dir_of(path)
}

/// Makes renames and removals beside `path` last.
pub fn sync_dir_of(path: &Path) -> anyhow::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    if_known("syncing", dir, synced).with_context(|| format!("syncing folder {}", dir.display()))
}

/// Brings a file's bytes onto the disk, where the file system can be told to.
pub fn sync(file: &File, path: &Path) -> io::Result<()> {
    if_known("syncing", path, file.sync_all())
}

/// Takes a lock that ends with the process; on a file system without locks it succeeds always. `Ok(false)`: another run
/// has the lock.
pub fn lock(file: &File, path: &Path) -> anyhow::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => {
            if_known("locking", path, Err(error)).with_context(|| format!("locking {}", path.display())).map(|()| true)
        }
    }
}

/// What the file system was asked for and doesn't know, a sentence each.
static PASSED_OVER: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Those sentences, for the end of a run.
pub fn passed_over() -> BTreeSet<String> {
    std::mem::take(&mut PASSED_OVER.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Passes over a failure of a call that not all file systems know: it makes files safer, and the bytes decide.
pub fn if_known(what: &str, path: &Path, done: io::Result<()>) -> io::Result<()> {
    const UNKNOWN: [Errno; 8] = [
        Errno::INVAL,
        Errno::NOSYS,
        Errno::OPNOTSUPP,
        Errno::NOTTY,
        Errno::PERM,
        Errno::ACCESS,
        Errno::NOLCK,
        Errno::BADF,
    ];
    let Err(error) = done else { return Ok(()) };
    if !Errno::from_io_error(&error).is_some_and(|number| UNKNOWN.contains(&number)) {
        return Err(error);
    }
    let place = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    let said = format!("the file system of {} does not support {what}, so it was left out ({error})", place.display());
    PASSED_OVER.lock().unwrap_or_else(PoisonError::into_inner).insert(said);
    Ok(())
}

/// An error that names the file, and for a full disk the fix.
pub fn write_error(path: &Path, error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            failure::failed(format!("writing {}: the disk is full ({error})", path.display()))
                .fix("free space there, or name another folder with --images")
        }
        _ => anyhow::Error::new(error).context(format!("writing {}", path.display())),
    }
}

/// An error that names the file or folder, and the fix where a permission is missing.
///
/// # Errors
///
/// Exit code 3 without permission, else 1.
pub fn read_error(shown: impl Display, error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::PermissionDenied {
        return failure::missing(format!("no permission to read {shown}"))
            .fix("make it yours, or readable: `sudo chmod -R a+rX FOLDER`");
    }
    anyhow::Error::new(error).context(format!("reading {shown}"))
}

/// Asks the file system before the line is used.
pub fn check_room(dir: &Path, image: &str, needed: u64) -> anyhow::Result<()> {
    // Where it doesn't tell, the write will.
    let Ok(room) = rustix::fs::statvfs(dir) else { return Ok(()) };
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    if free < needed {
        let (needed, dir, free) = (size(needed), dir.display(), size(free));
        return Err(failure::missing(format!(
            "no room for image {image} in {dir}: {needed} are needed, {free} are free"
        ))
        .fix("free space there, or name another folder with --images"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn only_what_a_file_system_does_not_know_is_passed_over() {
        let path = std::env::temp_dir();
        for errno in [Errno::INVAL, Errno::PERM, Errno::NOLCK, Errno::NOSYS, Errno::NOTSUP] {
            if_known("syncing", &path, Err(errno.into())).unwrap();
        }
        for errno in [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::ROFS, Errno::NOENT] {
            if_known("syncing", &path, Err(errno.into())).unwrap_err();
        }
        assert!(passed_over().iter().any(|said| said.contains("does not support syncing")));
    }

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

    #[test]
    fn a_link_that_somebody_planted_is_not_followed() {
        let scratch = Scratch::new().unwrap();
        let precious = scratch.write("precious", b"precious").unwrap();
        let path = scratch.path().join("a.qcow2");
        let hard: fn(&Path, &Path) -> io::Result<()> = |from, to| fs::hard_link(from, to);
        for plant in [|from: &Path, to: &Path| std::os::unix::fs::symlink(from, to), hard] {
            plant(&precious, &hidden(&path)).unwrap();
            write(&path, b"image").unwrap();
            assert!(!path.is_symlink() && !hidden(&path).is_symlink());
            plant(&precious, &hidden(&path)).unwrap();
            let error = open_own(&hidden(&path)).unwrap_err();
            assert!(error.to_string().contains("is not a file that this tool made"), "{error}");
            fs::remove_file(hidden(&path)).unwrap();
            assert_eq!(fs::read(&precious).unwrap(), b"precious");
        }
        std::os::unix::fs::symlink(scratch.path().join("new"), hidden(&path)).unwrap();
        assert!(open_own(&hidden(&path)).is_err() && !scratch.path().join("new").exists());
        fs::remove_file(hidden(&path)).unwrap();
        open_own(&hidden(&path)).unwrap().write_all(b"one").unwrap();
        open_own(&hidden(&path)).unwrap();
        assert_eq!(fs::read(hidden(&path)).unwrap(), b"one");
    }
}
