//! Tells a qcow2 from anything else before it is blessed with a checksum or published.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;

use crate::failure;

/// The first four bytes of each qcow2 file: `QFI\xfb`, from QEMU's `docs/interop/qcow2.txt`.
pub const MAGIC: [u8; 4] = *b"QFI\xfb";

/// # Errors
///
/// Exit code 1 when the file is empty or begins with other bytes.
pub fn check(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut head))
        .with_context(|| format!("reading {shown}"))?;
    if head.is_empty() {
        return Err(failure::failed(format!("{shown} is empty; fetch or build it again")));
    }
    if head != MAGIC {
        return Err(failure::failed(format!("{shown} is not a qcow2 image; fetch or build it again")));
    }
    Ok(())
}
