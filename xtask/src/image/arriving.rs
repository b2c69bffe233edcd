//! An image on its way here: a hidden file that grows, is hashed as it is written, and becomes the image only when its
//! digest is the promised one.
//!
//! The digest is part of the hidden file's name, so what an interrupted run left is only ever continued with the same
//! image; damage by a power cut shows in the digest at the end. `download` and the fetch from a build host use this file.

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use super::{durable, hash, qcow2};
use crate::digest::Digest;
use crate::failure::{self, Advice as _};

/// The hidden file, locked while this lives. When this is dropped, what is there stays, to be continued.
pub struct Arriving {
    path: PathBuf,
    hidden: PathBuf,
    file: File,
    hash: Sha256,
    at: u64,
    promised: Digest,
}

impl Arriving {
    /// Begins, or goes on after what is there: at most `size` bytes, which are read and hashed. `moved` is called with
    /// them.
    ///
    /// # Errors
    ///
    /// Exit code 1 when another run is at work on the same file.
    pub fn open(path: &Path, size: u64, promised: Digest, moved: impl Fn(u64)) -> anyhow::Result<Self> {
        let hidden = path.with_file_name(format!("{}{promised}.part", prefix(path)));
        let mut arriving =
            Self { path: path.to_owned(), file: locked(path, &hidden)?, hidden, hash: Sha256::new(), at: 0, promised };
        if arriving.size()? > size {
            arriving.restart()?;
        }
        arriving.catch_up(moved)?;
        Ok(arriving)
    }

    /// Reads and hashes what is in the file beyond [`Self::at`]: an earlier run's bytes, or what scp has written.
    pub fn catch_up(&mut self, moved: impl Fn(u64)) -> anyhow::Result<()> {
        let read = hash::into(&mut self.hash, &self.file, moved);
        self.at += read.with_context(|| format!("reading {}", self.hidden.display()))?;
        Ok(())
    }

    /// The hidden file, for scp to write into.
    pub fn hidden(&self) -> &Path {
        &self.hidden
    }

    /// Bytes in the file, hashed or not.
    pub fn size(&self) -> anyhow::Result<u64> {
        Ok(self.file.metadata().with_context(|| format!("reading {}", self.hidden.display()))?.len())
    }

    /// Bytes here, hashed.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Adds bytes at the end.
    pub fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.file.write_all(bytes).map_err(|error| durable::write_error(&self.hidden, error))?;
        self.hash.update(bytes);
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Throws away what is here.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map_err(|error| durable::write_error(&self.hidden, error))?;
        self.hash = Sha256::new();
        self.at = 0;
        Ok(())
    }

    /// The digest of what is here.
    pub fn digest(&self) -> Digest {
        Digest::from_hash(self.hash.clone())
    }

    /// Checks what is here against the promise.
    ///
    /// # Errors
    ///
    /// Exit code 4 when the digest isn't the promised one, 1 when the file is no qcow2. The bytes are removed then.
    pub fn verified(self) -> anyhow::Result<Verified> {
        let found = self.digest();
        if found != self.promised {
            self.discard();
            return Err(failure::digest(format!(
                "{} arrived with digest {found}, but {} was promised; nothing was kept",
                self.path.display(),
                self.promised
            )));
        }
        if let Err(error) = qcow2::check(&self.hidden) {
            self.discard();
            return Err(error.context("the bytes have the promised digest, but are not an image; nothing was kept"));
        }
        Ok(Verified(self))
    }

    fn discard(&self) {
        let _ = fs::remove_file(&self.hidden);
    }
}

/// An image that arrived whole.
pub struct Verified(Arriving);

impl Verified {
    /// Gives the image its name, once it is on the disk. Hidden files of other images with that name are removed.
    pub fn finish(self) -> anyhow::Result<()> {
        let Arriving { path, hidden, file, .. } = &self.0;
        durable::sync(file, hidden).map_err(|error| durable::write_error(hidden, error))?;
        fs::rename(hidden, path).with_context(|| format!("renaming to {}", path.display()))?;
        for other in fs::read_dir(path.parent().unwrap_or(Path::new("."))).into_iter().flatten().flatten() {
            if other.file_name().to_str().is_some_and(|file| file.starts_with(&prefix(path))) {
                let _ = fs::remove_file(other.path());
            }
        }
        durable::sync_dir_of(path)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if self.size().is_ok_and(|bytes| bytes == 0) {
            self.discard();
        }
    }
}

/// The hidden file, opened and locked.
fn locked(path: &Path, hidden: &Path) -> anyhow::Result<File> {
    loop {
        let file = durable::open_own(hidden)?;
        if !durable::lock(&file, hidden)? {
            let error = failure::failed(format!("fetching {}: another run is fetching it", path.display()));
            return Err(error.fix("wait until that run has ended, or stop it"));
        }
        // The run that held the lock may have renamed the file: then this is the lock of the finished image.
        let inode = |meta: fs::Metadata| meta.ino();
        if fs::metadata(hidden).map(inode).ok() == file.metadata().map(inode).ok() {
            return Ok(file);
        }
    }
}

/// `.<file>.arriving-`; a digest and an ending follow.
fn prefix(path: &Path) -> String {
    format!(".{}.arriving-", path.file_name().unwrap_or_default().to_string_lossy())
}
