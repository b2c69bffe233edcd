//! Checks that an image is a complete, self-contained qcow2 file, before it gets a checksum file or is published.
//!
//! The header and the two levels of tables are read here, after QEMU's `docs/interop/qcow2.txt`: this machine need not have
//! `qemu-img`. An image with a valid header can still be unusable: it has a backing file, is encrypted, unfinished or truncated.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::{io, path::Path};

use anyhow::Context as _;

use super::durable;
use crate::digest::BUFFER;
use crate::failure::{self, Advice as _};
use crate::text::count;

/// The first four bytes of each qcow2 file.
pub const MAGIC: [u8; 4] = *b"QFI\xfb";

/// The header of version 2 ends here; version 3 goes on.
const SHORTEST: usize = 72;
const SHORTEST_3: usize = 104;

/// Bits of `incompatible_features` that QEMU knows since 5.1 and 5.2: a compression type, extended L2 entries.
const KNOWN: u64 = 1 << 3 | 1 << 4;

/// Where a table's entry leads.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const COMPRESSED: u64 = 1 << 62;
/// The cluster reads as zeros, whatever is at its place.
const ZEROS: u64 = 1;
const SECTOR: u64 = 512;

/// # Errors
///
/// Exit code 1, with the field and its value, for what isn't a qcow2 that stands by itself, whole.
pub fn check(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    let reading = || format!("reading {shown}");
    let file = File::open(path).with_context(reading)?;
    let size = file.metadata().with_context(reading)?.len();
    check_bytes(&shown.to_string(), size, |at, buffer| file.read_exact_at(buffer, at))
}

/// The same for an image that lies in several files; `read` fills a buffer from an offset on.
pub fn check_bytes(shown: &str, size: u64, read: impl Fn(u64, &mut [u8]) -> io::Result<()>) -> anyhow::Result<()> {
    let image = Image { size, read };
    let examined = Header::read(&image).and_then(|header| {
        header.is_self_contained()?;
        header.is_understood()?;
        image.is_whole(&header)
    });
    match examined {
        Ok(()) => Ok(()),
        Err(Bad::Unreadable(error)) => Err(durable::read_error(shown, error)),
        Err(Bad::Not(why, fix)) => Err(failure::failed(format!("{shown} {why}")).fix(fix)),
    }
}

enum Bad {
    Unreadable(io::Error),
    /// What is wrong with the image, and the fix.
    Not(String, &'static str),
}

impl From<io::Error> for Bad {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

const AGAIN: &str = "fetch or build it again";
const ALONE: &str = "make an image that needs no other file: `qemu-img convert -O qcow2 OLD NEW`";

fn not(why: impl Into<String>, fix: &'static str) -> Bad {
    Bad::Not(why.into(), fix)
}

struct Image<R> {
    size: u64,
    read: R,
}

impl<R: Fn(u64, &mut [u8]) -> io::Result<()>> Image<R> {
    /// All that the tables lead to is there, to the last sector: QEMU reads a truncated end as zeros, without an error.
    fn is_whole(&self, header: &Header) -> Result<(), Bad> {
        let cluster = 1_u64 << header.cluster_bits;
        let cut = |what: &str, end: Option<u64>| {
            let end = end.map_or_else(|| "beyond 2^64 bytes".to_owned(), |end| format!("at {end}"));
            not(format!("is cut short: {what} ends {end}, the file after {}", count(self.size, "byte")), AGAIN)
        };
        let must_hold = |what: &str, at: u64, length: u64| match at.checked_add(length) {
            Some(end) if end <= self.size => Ok(()),
            end => Err(cut(what, end)),
        };
        let refcounts = u64::from(header.refcount_table_clusters) * cluster;
        must_hold("the refcount table", header.refcount_table_offset, refcounts)?;
        self.entries(header.refcount_table_offset, refcounts, 8, |entry| match number(entry, 0) & OFFSET {
            0 => Ok(()),
            block => must_hold("a refcount block", block, cluster),
        })?;
        must_hold("the L1 table", header.l1_table_offset, u64::from(header.l1_size) * 8)?;
        let extended = header.incompatible & 1 << 4 != 0;
        let entry = if extended { 16 } else { 8 };
        let covered = u128::from(header.l1_size) * u128::from(cluster / entry) * u128::from(cluster);
        if covered < u128::from(header.virtual_size) {
            return Err(not(format!("has an L1 table of {} entries, too few for its disk", header.l1_size), AGAIN));
        }
        // More tables than there is room for would be one table many times.
        let mut left = self.size / cluster + 1;
        // Where the disk goes on that the tables describe.
        let mut place = 0_u64;
        self.entries(header.l1_table_offset, u64::from(header.l1_size) * 8, 8, |l1| {
            let table = number(l1, 0) & OFFSET;
            let mut here = place;
            place = place.saturating_add((cluster / entry).saturating_mul(cluster));
            if table == 0 {
                return Ok(());
            }
            left = left.checked_sub(1).ok_or_else(|| not("has an L1 table with one offset many times", AGAIN))?;
            must_hold("an L2 table", table, cluster)?;
            self.entries(table, cluster, entry as usize, |l2| {
                let rest = header.virtual_size.saturating_sub(here).min(cluster).next_multiple_of(SECTOR);
                here = here.saturating_add(cluster);
                let (l2, subclusters) = (number(l2, 0), extended.then(|| number(l2, 8)));
                if l2 & COMPRESSED != 0 {
                    let bits = 62 - (header.cluster_bits - 8);
                    let (data, sectors) = (l2 & ((1 << bits) - 1), (l2 & (COMPRESSED - 1)) >> bits);
                    // QEMU ends a file where the data ends, and the last sector may be short.
                    let least = (sectors * SECTOR).max(data % SECTOR) + 1;
                    return must_hold("a compressed cluster", data - data % SECTOR, least);
                }
                let used = match subclusters {
                    // The lower half says which of 32 are there.
                    Some(bitmap) => cluster / 32 * u64::from(32 - (bitmap as u32).leading_zeros()),
                    None if l2 & ZEROS != 0 => 0,
                    None => cluster,
                };
                match l2 & OFFSET {
                    0 => Ok(()),
                    data => must_hold("a cluster of data", data, used.min(rest)),
                }
            })
        })
    }

    /// The entries of a table, one after the other.
    fn entries(
        &self,
        at: u64,
        length: u64,
        entry: usize,
        mut look: impl FnMut(&[u8]) -> Result<(), Bad>,
    ) -> Result<(), Bad> {
        let mut buffer = vec![0; BUFFER.min(usize::try_from(length).unwrap_or(usize::MAX))];
        let mut done = 0;
        while done < length {
            let part = buffer.len().min(usize::try_from(length - done).unwrap_or(usize::MAX));
            (self.read)(at + done, &mut buffer[..part])?;
            buffer[..part].chunks_exact(entry).try_for_each(&mut look)?;
            done += part as u64;
        }
        Ok(())
    }
}

/// The fields that matter here, under the names that QEMU's document gives them.
struct Header {
    version: u32,
    backing_file_offset: u64,
    cluster_bits: u32,
    virtual_size: u64,
    crypt_method: u32,
    l1_size: u32,
    l1_table_offset: u64,
    refcount_table_offset: u64,
    refcount_table_clusters: u32,
    incompatible: u64,
    compression_type: u8,
}

impl Header {
    fn read<R: Fn(u64, &mut [u8]) -> io::Result<()>>(image: &Image<R>) -> Result<Self, Bad> {
        if image.size == 0 {
            return Err(not("is empty", AGAIN));
        }
        let mut bytes = [0; SHORTEST_3 + 8];
        let there = bytes.len().min(usize::try_from(image.size).unwrap_or(usize::MAX));
        (image.read)(0, &mut bytes[..there])?;
        if bytes[..4] != MAGIC {
            return Err(not("is not a qcow2 image", AGAIN));
        }
        let version = small(&bytes, 4);
        let needed = match version {
            2 => SHORTEST,
            3 => SHORTEST_3,
            _ => return Err(not(format!("is a qcow2 of version {version}, and readers support 2 and 3"), ALONE)),
        };
        let length = if version == 3 && there >= SHORTEST_3 { small(&bytes, 100) } else { needed as u32 };
        if there < needed || image.size < u64::from(length) {
            return Err(not(format!("ends after {}, within its header", count(image.size, "byte")), AGAIN));
        }
        Ok(Self {
            version,
            backing_file_offset: number(&bytes, 8),
            cluster_bits: small(&bytes, 20),
            virtual_size: number(&bytes, 24),
            crypt_method: small(&bytes, 32),
            l1_size: small(&bytes, 36),
            l1_table_offset: number(&bytes, 40),
            refcount_table_offset: number(&bytes, 48),
            refcount_table_clusters: small(&bytes, 56),
            incompatible: if version == 3 { number(&bytes, 72) } else { 0 },
            compression_type: if version == 3 && length as usize > SHORTEST_3 { bytes[SHORTEST_3] } else { 0 },
        })
    }

    /// Nothing else is needed to read it: no other file, no password.
    fn is_self_contained(&self) -> Result<(), Bad> {
        if self.backing_file_offset != 0 {
            return Err(not("has a backing file, without which it cannot be used", ALONE));
        }
        match self.crypt_method {
            0 => {}
            1 => return Err(not("is encrypted (crypt_method 1, AES)", ALONE)),
            2 => return Err(not("is encrypted (crypt_method 2, LUKS)", ALONE)),
            other => return Err(not(format!("is encrypted (crypt_method {other})"), ALONE)),
        }
        if self.incompatible & 1 << 2 != 0 {
            return Err(not("has its data in another file (incompatible_features, bit 2: external data file)", ALONE));
        }
        Ok(())
    }

    /// Readers take it, and nothing says that it is damaged.
    fn is_understood(&self) -> Result<(), Bad> {
        const REPAIR: &str = "wait until its writer has ended, build it again, or try `qemu-img check -r all`";
        if self.incompatible & 1 != 0 {
            return Err(not("was not closed by its writer (incompatible_features, bit 0: dirty)", REPAIR));
        }
        if self.incompatible & 1 << 1 != 0 {
            return Err(not("is marked as corrupt (incompatible_features, bit 1)", REPAIR));
        }
        let unknown = self.incompatible & !KNOWN;
        if unknown != 0 {
            let why = format!(
                "needs a feature that readers don't support (incompatible_features, bit {})",
                unknown.trailing_zeros()
            );
            return Err(not(why, ALONE));
        }
        if self.compression_type > 1 {
            let kind = self.compression_type;
            let why = format!("is compressed in a way that readers don't support (compression_type {kind})");
            return Err(not(why, ALONE));
        }
        if !(9..=21).contains(&self.cluster_bits) {
            let bits = self.cluster_bits;
            let why = format!("has clusters of 2^{bits} bytes (cluster_bits), and readers support 2^9 to 2^21");
            return Err(not(why, AGAIN));
        }
        if self.refcount_table_clusters == 0 || self.refcount_table_offset == 0 {
            return Err(not(format!("is a qcow2 of version {} without a refcount table", self.version), AGAIN));
        }
        Ok(())
    }
}

fn small(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn number(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// The smallest that `qemu-img check` takes: clusters of 512 bytes, in order header, refcount table, its one block, an
    /// L1 table without an entry in use.
    pub fn smallest(version: u32) -> Vec<u8> {
        let mut bytes = vec![0; 2048];
        bytes[..4].copy_from_slice(&MAGIC);
        for (at, value) in [(4, version), (20, 9), (36, 1), (56, 1), (96, 4), (100, 104)] {
            put(&mut bytes, at, &value.to_be_bytes());
        }
        for (at, value) in [(24, 512_u64), (40, 1536), (48, 512), (512, 1024)] {
            put(&mut bytes, at, &value.to_be_bytes());
        }
        for cluster in 0..4 {
            put(&mut bytes, 1024 + 2 * cluster, &1_u16.to_be_bytes());
        }
        bytes
    }

    pub fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
        bytes[at..at + value.len()].copy_from_slice(value);
    }

    pub fn examined(bytes: &[u8]) -> anyhow::Result<()> {
        check_bytes("a.qcow2", bytes.len() as u64, |at, buffer| {
            let at = usize::try_from(at).map_err(io::Error::other)?;
            let from = bytes.get(at..at + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            buffer.copy_from_slice(from);
            Ok(())
        })
    }

    #[test]
    fn what_stands_by_itself_is_taken() {
        for version in [2, 3] {
            examined(&smallest(version)).unwrap();
        }
        let mut zstd = smallest(3);
        put(&mut zstd, 72, &(1_u64 << 3).to_be_bytes());
        put(&mut zstd, 100, &112_u32.to_be_bytes());
        zstd[104] = 1;
        examined(&zstd).unwrap();
    }

    #[test]
    fn anything_else_is_refused_with_the_field() {
        let header = |at: usize, value: &[u8]| {
            let mut bytes = smallest(3);
            put(&mut bytes, at, value);
            bytes
        };
        let bit = |bit: u32| header(72, &(1_u64 << bit).to_be_bytes());
        let data = |entry: u64| {
            let mut bytes = header(1536, &2048_u64.to_be_bytes());
            bytes.resize(2560, 0);
            put(&mut bytes, 2048, &entry.to_be_bytes());
            bytes
        };
        for (bytes, field) in [
            (Vec::new(), "is empty"),
            (b"QFI".to_vec(), "is not a qcow2"),
            (b"<html>".to_vec(), "is not a qcow2"),
            (smallest(2)[..71].to_vec(), "within its header"),
            (smallest(3)[..103].to_vec(), "within its header"),
            (header(100, &4096_u32.to_be_bytes()), "within its header"),
            (smallest(1), "version 1"),
            (smallest(9), "version 9"),
            (header(8, &4096_u64.to_be_bytes()), "backing file"),
            (header(32, &1_u32.to_be_bytes()), "crypt_method 1"),
            (header(32, &2_u32.to_be_bytes()), "LUKS"),
            (bit(0), "bit 0: dirty"),
            (bit(1), "bit 1"),
            (bit(2), "external data file"),
            (bit(5), "bit 5"),
            (bit(63), "bit 63"),
            (header(100, &[0, 0, 0, 112, 7]), "compression_type 7"),
            (header(20, &8_u32.to_be_bytes()), "cluster_bits"),
            (header(20, &64_u32.to_be_bytes()), "cluster_bits"),
            (header(56, &0_u32.to_be_bytes()), "refcount table"),
            (header(48, &u64::MAX.to_be_bytes()), "the refcount table ends beyond"),
            (header(48, &8192_u64.to_be_bytes()), "the refcount table ends at"),
            (header(40, &4096_u64.to_be_bytes()), "the L1 table ends"),
            (header(36, &u32::MAX.to_be_bytes()), "the L1 table ends"),
            (header(24, &u64::MAX.to_be_bytes()), "too few for its disk"),
            (header(1536, &8192_u64.to_be_bytes()), "an L2 table ends"),
            (header(512, &4096_u64.to_be_bytes()), "a refcount block ends"),
            (data(1 << 20), "a cluster of data ends"),
            (data(2048 + 512), "a cluster of data ends at 3072"),
            (smallest(3)[..1535].to_vec(), "a refcount block ends"),
            (data(COMPRESSED | 1 << 20), "a compressed cluster ends"),
            (smallest(3)[..1540].to_vec(), "the L1 table ends"),
        ] {
            let error = examined(&bytes).unwrap_err();
            assert!(error.to_string().contains(field), "{field}: {error}");
            assert_eq!(failure::kind(&error), failure::Kind::Failed);
        }
    }

    #[test]
    fn the_last_sector_of_a_compressed_cluster_may_be_short() {
        let image = |sectors: u64, length: usize| {
            let mut bytes = smallest(3);
            put(&mut bytes, 1536, &2048_u64.to_be_bytes());
            bytes.resize(2560, 0);
            // Clusters of 512 bytes: the number of sectors stands above bit 61. The data begin within a sector.
            put(&mut bytes, 2048, &(COMPRESSED | sectors << 61 | 2570).to_be_bytes());
            bytes.resize(length, 0);
            examined(&bytes)
        };
        for (sectors, length) in [(0, 2571), (0, 3072), (1, 3073), (1, 3584)] {
            image(sectors, length).unwrap();
        }
        for (sectors, length) in [(0, 2570), (0, 2560), (1, 3072), (1, 2600)] {
            assert!(image(sectors, length).unwrap_err().to_string().contains("a compressed cluster ends"));
        }
    }

    #[test]
    fn a_table_that_leads_in_circles_is_no_endless_work() {
        let mut bytes = smallest(3);
        put(&mut bytes, 36, &60_000_u32.to_be_bytes());
        let table = (1536_u64 + 60_000 * 8).next_multiple_of(512);
        bytes.resize(table as usize + 512, 0);
        for entry in 0..60_000 {
            put(&mut bytes, 1536 + entry * 8, &table.to_be_bytes());
        }
        assert!(examined(&bytes).unwrap_err().to_string().contains("many times"));
    }

    #[test]
    fn hostile_images() {
        let (old, new) = (smallest(2), smallest(3));
        crate::hostile::try_with(&[&old, &new], |bytes| drop(examined(bytes)));
        // The field that leads furthest, alone.
        crate::hostile::try_with(&[&new[..104]], |head| {
            let mut bytes = new.clone();
            let length = head.len().min(104);
            bytes[..length].copy_from_slice(&head[..length]);
            drop(examined(&bytes));
        });
    }
}
