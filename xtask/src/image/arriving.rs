//! An image on its way here: a hidden file that grows, hashed as it is written, and becomes the image only when its digest
//! is the promised one.
//!
//! The digest is part of the hidden file's name, so what an interrupted run left is only ever continued with the same
//! image. What a power cut can have damaged shows in the digest at the end.

use std::fs::{self, File, TryLockError};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use super::digest::Digest;
use super::{durable, hash, qcow2};
use crate::failure;
use crate::typed;

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
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&hidden);
        let file = file.map_err(|error| durable::write_error(&hidden, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(failure::failed(format!(
                    "another run is downloading {}; let it end, or stop it",
                    path.display()
                )));
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("locking {}", hidden.display()));
            }
        }
        let mut arriving = Self { path: path.to_owned(), hidden, file, hash: Sha256::new(), at: 0, promised };
        let here = arriving.file.metadata().with_context(|| format!("reading {}", arriving.hidden.display()))?.len();
        if here > size {
            arriving.restart()?;
        } else {
            let read = hash::into(&mut arriving.hash, &arriving.file, moved);
            arriving.at = read.with_context(|| format!("reading {}", arriving.hidden.display()))?;
        }
        Ok(arriving)
    }

    /// Bytes here.
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

    /// Gives the image its name, once it is on the disk. What other images were on their way to that name goes.
    ///
    /// # Errors
    ///
    /// Exit code 4 when the digest isn't the promised one, 1 when this is no qcow2. The bytes go then.
    pub fn finish(self) -> anyhow::Result<()> {
        let found = self.digest();
        if found != self.promised {
            self.discard();
            return Err(failure::digest(format!(
                "{} arrived with digest {found}, but the release promises {}; nothing was kept, and {} tells what is published",
                self.path.display(),
                self.promised,
                typed::line("verify --download")
            )));
        }
        if let Err(error) = qcow2::check(&self.hidden) {
            self.discard();
            return Err(error.context("the release has the promised bytes, but they are no image, so nothing was kept; build and publish it anew"));
        }
        self.file.sync_all().map_err(|error| durable::write_error(&self.hidden, error))?;
        fs::rename(&self.hidden, &self.path).with_context(|| format!("renaming to {}", self.path.display()))?;
        for other in fs::read_dir(self.path.parent().unwrap_or(Path::new("."))).into_iter().flatten().flatten() {
            if other.file_name().to_str().is_some_and(|file| file.starts_with(&prefix(&self.path))) {
                let _ = fs::remove_file(other.path());
            }
        }
        durable::sync_dir_of(&self.path)
    }

    fn discard(&self) {
        let _ = fs::remove_file(&self.hidden);
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if self.at == 0 {
            self.discard();
        }
    }
}

/// `.<file>.arriving-`; a digest and an ending follow.
fn prefix(path: &Path) -> String {
    format!(".{}.arriving-", path.file_name().unwrap_or_default().to_string_lossy())
}
