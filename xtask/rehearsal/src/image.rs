//! Small images for rehearsals and tests: real qcow2 files, of any size, with bytes that don't compress.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::process;

/// Writes a qcow2 of exactly `size` bytes: an empty disk as `qemu-img` makes it, then bytes that `seed` chooses, which no
/// table of the file refers to. `qemu-img check` takes it.
///
/// # Errors
///
/// When there is no `qemu-img`, or `size` is less than the 196 KiB or so of an empty disk.
pub fn write(path: &Path, size: u64, seed: u64) -> anyhow::Result<()> {
    let mut create = process::program("qemu-img");
    create.args(["create", "-q", "-f", "qcow2"]).arg(path).arg("64M");
    process::run(create)?.success()?;
    let empty = fs::metadata(path)?.len();
    ensure!(size >= empty, "an image of {size} bytes can't be: an empty one has {empty}");
    let mut file = BufWriter::new(File::options().append(true).open(path)?);
    // Marsaglia's xorshift: cheap, and no two 8-byte blocks of one image are the same.
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut left = usize::try_from(size - empty)?;
    while left > 0 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bytes = state.to_le_bytes();
        let length = left.min(bytes.len());
        file.write_all(&bytes[..length])?;
        left -= length;
    }
    file.flush().with_context(|| format!("writing {}", path.display()))
}

/// The digest of some bytes, as checksum files have it.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The 2048 bytes of the smallest qcow2 that `qemu-img check` takes. What follows them no table refers to.
pub fn smallest() -> Vec<u8> {
    let mut bytes = vec![0; 2048];
    // Version 2, clusters of 512 bytes: the header, a refcount table, its one block, an L1 table without an entry in use.
    for (at, value) in [
        (0, b"QFI\xfb\0\0\0\x02"),
        (16, b"\0\0\0\0\0\0\0\x09"),
        (24, b"\0\0\0\0\0\0\x02\0"),
        (32, b"\0\0\0\0\0\0\0\x01"),
        (40, b"\0\0\0\0\0\0\x06\0"),
        (48, b"\0\0\0\0\0\0\x02\0"),
        (56, b"\0\0\0\x01\0\0\0\0"),
        (512, b"\0\0\0\0\0\0\x04\0"),
        (1024, b"\0\x01\0\x01\0\x01\0\x01"),
    ] {
        bytes[at..at + 8].copy_from_slice(value);
    }
    bytes
}

/// Writes what a build leaves beside the image: checksum file, versions, and the build record where `commit` is given.
/// Returns the digest.
pub fn describe(path: &Path, name: &str, commit: Option<&str>) -> anyhow::Result<String> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let digest = sha256(&bytes);
    let dir = path.parent().context("an image lies in a folder")?;
    fs::write(dir.join(format!("{name}.qcow2.sha256")), format!("{digest}  {name}.qcow2\n"))?;
    fs::write(dir.join("image-version.txt"), "DEBIAN_VERSION=12.11\n")?;
    let record = dir.join(format!("{name}.build.json"));
    if let Some(commit) = commit {
        let value = json!({
            "sha256": digest,
            "built_from": { "commit": commit, "dirty": false },
            "base_image": { "url": "https://cloud.debian.org/base.qcow2", "digest": format!("sha512:{}", "0".repeat(128)) },
            "versions": { "DEBIAN_VERSION": "12.11" },
            "built_at": "2025-09-01T12:00:00Z",
        });
        fs::write(record, value.to_string())?;
    } else if record.exists() {
        fs::remove_file(record)?;
    }
    Ok(digest)
}
