//! Hashes images: each in one read, several at once over all cores.

use std::io::{self, Read};
use std::sync::Mutex;
use std::thread;

use sha2::{Digest as _, Sha256};

use crate::digest::{BUFFER, Digest};
use crate::failure::{self, Advice as _};
use crate::text::count;
use crate::{interrupt, process};

/// Hashes what a reader gives, and tells how many bytes that was. `moved` is called for each chunk.
pub fn stream(reader: impl Read, moved: impl Fn(u64)) -> anyhow::Result<(Digest, u64)> {
    let mut hash = Sha256::new();
    let total = into(&mut hash, reader, moved)?;
    Ok((Digest::from_hash(hash), total))
}

/// The same, into a hash that goes on.
pub fn into(hash: &mut Sha256, mut reader: impl Read, moved: impl Fn(u64)) -> anyhow::Result<u64> {
    let mut buffer = vec![0; BUFFER];
    let mut total = 0;
    loop {
        interrupt::check()?;
        let read = match reader.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        hash.update(&buffer[..read]);
        total += read as u64;
        moved(read as u64);
    }
}

/// An image that changes while it is read gets no digest.
pub fn shrunk(file: &str, size: u64, read: u64) -> anyhow::Error {
    failure::failed(format!("{file} ended after {read} of {} while it was read", count(size, "byte")))
        .fix("wait until its build or fetch has ended, then try again")
}

/// Does `work` for each item, as many at a time as there are cores; the results keep the items' order.
pub fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, Into::into);
    let queue = Mutex::new(items.iter().enumerate());
    let worker = || {
        let mut done = Vec::new();
        loop {
            // Taken out in a statement of its own, so that the lock is free during the work.
            let next = queue.lock().ok().and_then(|mut queue| queue.next());
            let Some((index, item)) = next else { return done };
            done.push((index, work(item)));
        }
    };
    let mut done: Vec<(usize, R)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores.min(items.len())).map(|_| scope.spawn(worker)).collect();
        let joined = workers.into_iter().map(process::joined);
        joined.flatten().collect()
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order() {
        let items: Vec<u64> = (0..50).collect();
        assert_eq!(in_parallel(&items, |item| item * 2), items.iter().map(|item| item * 2).collect::<Vec<_>>());
        assert!(in_parallel(&[0; 0], |item: &u64| *item).is_empty());
    }

    #[test]
    fn a_stream_is_hashed_and_counted() {
        let bytes = vec![7; BUFFER * 2 + 5];
        let moved = std::cell::Cell::new(0);
        let (digest, read) = stream(&bytes[..], |more| moved.set(moved.get() + more)).unwrap();
        assert_eq!((digest, read, moved.get()), (Digest::of(&bytes), bytes.len() as u64, bytes.len() as u64));
    }
}
