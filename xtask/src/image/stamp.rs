//! Whether a file is still the one that was looked at. Hashing, sending or comparing an image takes seconds or
//! minutes, and another run may build or fetch into the same file meanwhile.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;

use crate::failure::{self, Advice as _};
use crate::text::count;

/// Which file it is, its size, and when its bytes and its inode last changed, to the nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    inode: (u64, u64),
    pub size: u64,
    modified: (i64, i64),
    /// The inode's change time, which no program can set: it shows a write that reset the modification time.
    changed: (i64, i64),
}

impl Stamp {
    pub fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|meta| Self::from(&meta))
    }

    /// # Errors
    ///
    /// Exit code 1 when the path now leads to another file, or to other bytes.
    pub fn must_hold(self, path: &Path) -> anyhow::Result<()> {
        let now = Self::of(path).with_context(|| format!("reading {}", path.display()))?;
        if now == self {
            return Ok(());
        }
        let what = if now.inode != self.inode {
            "it is another file now".to_owned()
        } else if now.size != self.size {
            format!("it had {} and has {}", count(self.size, "byte"), now.size)
        } else {
            "it was written to".to_owned()
        };
        Err(failure::failed(format!("{} changed while it was read: {what}", path.display()))
            .fix("wait until its build or fetch has ended, then try again"))
    }
}

impl From<&Metadata> for Stamp {
    fn from(meta: &Metadata) -> Self {
        Self {
            inode: (meta.dev(), meta.ino()),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}
