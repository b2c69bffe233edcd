//! Cuts an image into parts in one read, with the image's digest on the way.
//!
//! The kernel copies each range into its part (`copy_file_range`, through `std::io::copy`), so that on a file system with
//! reflinks the part shares the image's blocks where the range is aligned to them. A second thread hashes each part as it grows:
//! the digest is that of what was written, and the disk is read once, since the part's pages are still in memory.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use super::durable::{self, Pending};
use super::name::{self, Role};
use super::stamp::Stamp;
use super::{hash, parts};
use crate::digest::{BUFFER, Digest};
use crate::interrupt;
use crate::process::joined;

/// How far the copy runs ahead is bounded by this times [`AHEAD`]: far less than memory, far more than a disk's latency.
const CHUNK: u64 = 4 << 20;
const AHEAD: usize = 8;

/// Parts that are written and on the disk, under hidden names. They go unless [`Cut::finish`] is called.
#[derive(Debug)]
pub struct Cut {
    /// Of the whole image.
    pub digest: Digest,
    parts: Vec<Pending>,
}

/// The paths of an image's parts, beside it, in order.
pub fn paths(image: &str, whole: &Path, count: usize) -> Vec<PathBuf> {
    (0..count as u64).map(|index| whole.with_file_name(name::part(image, &parts::suffix(index)))).collect()
}

/// Cuts `whole` at `ranges`, which cover it.
///
/// # Errors
///
/// Exit code 1: the image can't be read or becomes shorter, the disk is full, a signal arrived. No part is left then.
pub fn cut(image: &str, whole: &Path, ranges: &[Range<u64>], moved: impl Fn(u64) + Send) -> anyhow::Result<Cut> {
    let source = File::open(whole).with_context(|| format!("opening {}", whole.display()))?;
    let paths = paths(image, whole, ranges.len());
    let (written, to_hash) = sync_channel::<Written>(AHEAD);
    let (parts, digest) = thread::scope(|scope| {
        let hashing = scope.spawn(move || {
            let mut hash = Sha256::new();
            for (part, length) in to_hash {
                let hashed = hash::into(&mut hash, (&*part).take(length), &moved);
                hashed.with_context(|| format!("reading the parts of {image}"))?;
            }
            anyhow::Ok(Digest::from_hash(hash))
        });
        let parts = copy(&source, &paths, ranges, &written);
        drop(written);
        (parts, joined(hashing))
    });
    // When hashing failed, the copy only saw that the hashing thread was gone.
    let digest = digest?;
    Ok(Cut { digest, parts: parts? })
}

/// A part, opened for reading, and how many bytes more it has now.
type Written = (Arc<File>, u64);

fn copy(
    source: &File,
    paths: &[PathBuf],
    ranges: &[Range<u64>],
    written: &SyncSender<Written>,
) -> anyhow::Result<Vec<Pending>> {
    let mut parts = Vec::new();
    for (path, range) in paths.iter().zip(ranges) {
        let reading = || format!("reading for {}", path.display());
        let (pending, mut part) = Pending::create(path)?;
        let reader = Arc::new(File::open(pending.hidden()).with_context(reading)?);
        (&*source).seek(SeekFrom::Start(range.start)).with_context(reading)?;
        let mut at = range.start;
        while at < range.end {
            interrupt::check()?;
            let want = CHUNK.min(range.end - at);
            let copied = io::copy(&mut source.take(want), &mut part);
            let copied = copied.map_err(|error| durable::write_error(path, error))?;
            at += copied;
            if copied < want {
                return Err(hash::shrunk(&path.display().to_string(), range.end, at));
            }
            written.send((Arc::clone(&reader), want)).context("hashing ended early")?;
        }
        durable::sync(&part, path).map_err(|error| durable::write_error(path, error))?;
        parts.push(pending);
    }
    Ok(parts)
}

impl Cut {
    /// Gives the parts their names and removes what a former cut left, so that `cat <name>.qcow2.part*` joins these alone.
    pub fn finish(self, image: &str, whole: &Path) -> anyhow::Result<()> {
        let count = self.parts.len();
        self.parts.into_iter().try_for_each(Pending::finish)?;
        remove_leftovers(image, whole, count)?;
        durable::sync_dir_of(whole)
    }
}

/// Removes the parts beside an image that don't belong to a cut into `count` parts. Returns how many went.
pub fn remove_leftovers(image: &str, whole: &Path, count: usize) -> anyhow::Result<usize> {
    let keep = paths(image, whole, count);
    let removed = remove(whole, |path, file| {
        matches!(Role::of(file), Some(Role::Part { image: of, .. }) if of == image) && !keep.contains(path)
    })?;
    if removed > 0 {
        durable::sync_dir_of(whole)?;
    }
    Ok(removed)
}

/// Removes the hidden parts that a killed run left: they take the space that the next one needs.
pub fn remove_hidden(image: &str, whole: &Path) -> anyhow::Result<()> {
    let hidden = format!(".{}", name::part(image, ""));
    remove(whole, |_, file| file.starts_with(&hidden) && file.ends_with(".tmp")).map(drop)
}

fn remove(whole: &Path, unwanted: impl Fn(&PathBuf, &str) -> bool) -> anyhow::Result<usize> {
    let dir = whole.parent().unwrap_or(Path::new("."));
    let mut removed = 0;
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let path = entry.with_context(|| format!("reading {}", dir.display()))?.path();
        if path.file_name().and_then(|file| file.to_str()).is_some_and(|file| unwanted(&path, file)) {
            fs::remove_file(&path).with_context(|| format!("removing the former part {}", path.display()))?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Whether the parts beside an image are its ranges, byte for byte; the image's digest comes from the same read.
/// `None` when they aren't, as soon as that shows.
///
/// # Errors
///
/// Exit code 1: a file can't be read, or a part changes meanwhile.
pub fn compare(
    image: &str,
    whole: &Path,
    ranges: &[Range<u64>],
    moved: impl Fn(u64),
) -> anyhow::Result<Option<Digest>> {
    let paths = paths(image, whole, ranges.len());
    let mut stamps = Vec::new();
    for (path, range) in paths.iter().zip(ranges) {
        let regular = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file);
        match regular.filter(|meta| meta.len() == range.end - range.start) {
            Some(meta) => stamps.push(Stamp::from(&meta)),
            None => return Ok(None),
        }
    }
    let mut source = File::open(whole).with_context(|| format!("opening {}", whole.display()))?;
    let mut hash = Sha256::new();
    let (mut ours, mut theirs) = (vec![0; BUFFER], vec![0; BUFFER]);
    for (path, range) in paths.iter().zip(ranges) {
        let mut part = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        let mut left = range.end - range.start;
        while left > 0 {
            interrupt::check()?;
            let length = ours.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            source.read_exact(&mut ours[..length]).with_context(|| format!("reading {}", whole.display()))?;
            part.read_exact(&mut theirs[..length]).with_context(|| format!("reading {}", path.display()))?;
            if ours[..length] != theirs[..length] {
                return Ok(None);
            }
            hash.update(&ours[..length]);
            moved(length as u64);
            left -= length as u64;
        }
    }
    stamps.iter().zip(&paths).try_for_each(|(stamp, path)| stamp.must_hold(path))?;
    Ok(Some(Digest::from_hash(hash)))
}
