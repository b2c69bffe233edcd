//! Fills the stage with a set and proves it: the images first, then the manifest that vouches for them, all on their way
//! in; when all of it is there, it takes its names.

use crate::gh::CallError;
use crate::manifest::{self, Manifest};

use super::files::{self, File};
use super::naming::Named;
use super::prove::{self, Unproven};
use super::send;
use super::set::Set;
use super::stage::Stage;

/// Sends what is missing, `jobs` images side by side. What is right already is kept.
pub fn fill(stage: &Stage<'_>, set: &Set, jobs: usize) -> anyhow::Result<Manifest> {
    let mut tries = stage.held.backoff();
    let mut stock = stage.stock.clone();
    loop {
        let images = send::images(stage, set, &stock, jobs)?;
        let mut manifest = Manifest::new(set.source.clone(), set.commit.clone(), images);
        manifest.attested_by.clone_from(&set.signing.attested_by);
        for file in files::all(&manifest.images, &set.signing)? {
            send::small(stage, &file, &stock)?;
            manifest.files.push(file.part);
        }
        let own = File::new(manifest::FILE, manifest.to_bytes());
        let mut expected = manifest.assets();
        // The images are proven before a manifest vouches for them.
        let proven = prove::staged(stage, &expected).and_then(|()| {
            send::small(stage, &own, &stock)?;
            let own = own.part.expected();
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
