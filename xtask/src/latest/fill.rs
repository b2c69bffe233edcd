//! Fills the draft with a set and proves it: first images and files, then the manifest that describes them, then `SHA256SUMS` and
//! its signature, which cover the manifest. What is right already is kept. Publish uses it.

use crate::gh::CallError;
use crate::manifest::{self, FileEntry, Manifest};

use super::draft::Draft;
use super::files::{self, File};
use super::prove;
use super::send;
use super::set::Set;

/// Sends what is missing. What is right already is kept.
pub fn fill(draft: &Draft<'_>, set: &Set) -> anyhow::Result<Manifest> {
    let mut tries = draft.held.backoff();
    loop {
        let there = draft.assets()?;
        let images = send::images(draft, set, &there)?;
        let mut manifest = Manifest::new(set.source.clone(), set.commit.clone(), images);
        manifest.created.clone_from(&draft.created);
        manifest.attested_by.clone_from(&set.signing.attested_by);
        let reader = files::reader(draft.held.repo());
        manifest.files.push(reader.part.clone());
        let bytes = manifest.to_bytes();
        // A manifest that readers would refuse is not sent.
        Manifest::parse(&bytes)?;
        let own = File::new(manifest::FILE, bytes);
        let sums = File::new(files::SUMS, files::sums(&manifest, own.part.sha256).into_bytes());
        let signature = set.signing.signer.as_ref().map(|signer| signer.sign(&sums.bytes)).transpose()?;
        let signature = signature.map(|bytes| File::new(files::SIGNATURE, bytes));
        let mut wrong = None;
        let mut expected = manifest.images.iter().flat_map(manifest::Image::assets).collect::<Vec<FileEntry>>();
        // The images are proven before the manifest that describes them is sent.
        for file in [Some(&reader), Some(&own), Some(&sums), signature.as_ref()].into_iter().flatten() {
            if file.part.file == manifest::FILE {
                wrong = prove::assets(draft, &expected)?;
            }
            if wrong.is_some() {
                break;
            }
            send::small(draft, file, &there)?;
            expected.push(file.part.clone());
        }
        if wrong.is_none() {
            for asset in draft.assets()?.iter().filter(|asset| expected.iter().all(|it| it.file != asset.name)) {
                draft.remove(asset, "the set has no such file")?;
            }
            wrong = prove::assets(draft, &expected)?;
        }
        // What is wrong has been removed: fill the gap. What was right is kept.
        let Some(wrong) = wrong else { return Ok(manifest) };
        tries.wait("proving the draft", CallError::Lost(wrong))?;
    }
}
