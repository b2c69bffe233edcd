//! Fills the draft with a set and proves it: the images first, then the manifest that vouches for them.

use crate::gh::{Asset, CallError};
use crate::image::digest::Digest;
use crate::manifest::{self, Expected, Manifest};

use super::set::Set;
use super::stage::Stage;
use super::{files, prove, send};

/// Sends what is missing, `jobs` images side by side. What is right already is kept.
pub fn fill(stage: &Stage<'_>, set: &Set, jobs: usize) -> anyhow::Result<Manifest> {
    let mut tries = stage.held.backoff();
    let mut have = if stage.is_new() { Vec::new() } else { stage.assets()? };
    loop {
        remove_strangers(stage, set, &have)?;
        let images = send::images(stage, set, &have, jobs)?;
        let mut manifest = Manifest::new(set.source.clone(), set.commit.clone(), images);
        manifest.attested_by.clone_from(&set.signing.attested_by);
        for file in files::all(&manifest.images, &set.signing)? {
            send::small(stage, file.name, &file.bytes, &have)?;
            manifest.files.push(file.part());
        }
        let bytes = manifest.to_bytes();
        let mut expected = manifest.assets();
        // The images are proven before a manifest vouches for them.
        let proven = prove::assets(stage, &expected).and_then(|()| {
            send::small(stage, manifest::FILE, &bytes, &have)?;
            expected.push(manifest_asset(&bytes));
            prove::assets(stage, &expected)
        });
        match proven {
            Ok(()) => return Ok(manifest),
            // What is wrong has been removed: fill the gap. What was right is kept.
            Err(prove::Unproven::Removed(what)) => {
                tries.wait("proving the draft", CallError::Lost(what))?;
                have = stage.assets()?;
            }
            Err(prove::Unproven::Error(error)) => return Err(error),
        }
    }
}

/// What doesn't belong to the set goes.
fn remove_strangers(stage: &Stage<'_>, set: &Set, have: &[Asset]) -> anyhow::Result<()> {
    let wanted = set.asset_names();
    for asset in have.iter().filter(|asset| !wanted.contains(&asset.name)) {
        stage.remove(asset, "it is not of this set")?;
    }
    Ok(())
}

fn manifest_asset(bytes: &[u8]) -> Expected {
    Expected { file: manifest::FILE.to_owned(), size: bytes.len() as u64, sha256: Digest::of(bytes) }
}
