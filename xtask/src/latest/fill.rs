//! Fills the stage with a set and proves it: the images first, then the manifest that vouches for them, all on their way
//! in; when all of it is there, it takes its names.

use crate::gh::CallError;
use crate::image::digest::Digest;
use crate::manifest::{self, Expected, Manifest};

use super::naming::Named;
use super::prove::{self, Unproven};
use super::set::Set;
use super::stage::Stage;
use super::{files, send};

/// Sends what is missing, `jobs` images side by side. What is right already is kept.
pub fn fill(stage: &Stage<'_>, set: &Set, jobs: usize) -> anyhow::Result<Manifest> {
    let mut tries = stage.held.backoff();
    let mut stock = stage.stock.clone();
    loop {
        let images = send::images(stage, set, &stock, jobs)?;
        let mut manifest = Manifest::new(set.source.clone(), set.commit.clone(), images);
        manifest.attested_by.clone_from(&set.signing.attested_by);
        for file in files::all(&manifest.images, &set.signing)? {
            send::small(stage, file.name, &file.bytes, &stock)?;
            manifest.files.push(file.part());
        }
        let bytes = manifest.to_bytes();
        let mut expected = manifest.assets();
        // The images are proven before a manifest vouches for them.
        let proven = prove::staged(stage, &expected).and_then(|()| {
            send::small(stage, manifest::FILE, &bytes, &stock)?;
            let own = of_manifest(&bytes);
            prove::staged(stage, std::slice::from_ref(&own))?;
            expected.push(own);
            stage.swap(stage.held, Named::is_plain)?;
            prove::named(stage, &expected)
        });
        match proven {
            Ok(()) => return Ok(manifest),
            // What is wrong has been removed: fill the gap. What was right is kept.
            Err(Unproven::Removed(what)) => {
                tries.wait("proving the draft", CallError::Lost(what))?;
                stock = stage.stock_now()?;
            }
            Err(Unproven::Error(error)) => return Err(error),
        }
    }
}

pub(super) fn of_manifest(bytes: &[u8]) -> Expected {
    Expected { file: manifest::FILE.to_owned(), size: bytes.len() as u64, sha256: Digest::of(bytes) }
}
