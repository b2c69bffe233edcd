//! Compares the images of a folder with the live images: by their bytes, not by their checksum files alone. A damaged image is a
//! fault with its fix, not an error. Verify uses it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::digest::Digest;
use crate::image::hash;
use crate::image::local::{self, LocalImage};
use crate::image::name;

/// What was found in a folder.
#[derive(Debug, Default)]
pub struct Here {
    /// Images that are those of the release.
    pub same: Vec<String>,
    pub faults: Vec<Fault>,
}

/// What is wrong with an image here, or other than on the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub image: String,
    /// Names the file.
    pub said: String,
    pub cure: Cure,
}

/// What helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cure {
    /// Its bytes are not those that were built or fetched.
    FetchAgain,
    /// It is whole, and another one than is live.
    PublishOrFetch,
    /// The message says what to do.
    AsSaid,
}

/// Compares what lies in the folder with the digests that are live, reading all of it.
///
/// # Errors
///
/// The folder can't be read. What is wrong with an image is no error but a fault.
pub fn compare(
    folder: &Path,
    live: &BTreeMap<String, Digest>,
    read: impl Fn(&LocalImage) -> anyhow::Result<Digest> + Sync,
) -> anyhow::Result<Here> {
    let mut here = Here::default();
    if !folder.is_dir() {
        return Ok(here);
    }
    let found = local::scan(folder)?;
    let there = local::present(&found);
    let wanted: Vec<_> = live.iter().filter(|(image, _)| there.contains(*image)).collect();
    let judge = |(image, published): &(&String, &Digest)| {
        let local = LocalImage::open(folder, image, &found[*image]);
        judge(image, local.and_then(|local| Ok((read(&local)?, local.promised))), **published)
    };
    for judged in hash::in_parallel(&wanted, judge) {
        match judged {
            Ok(image) => here.same.push(image),
            Err(fault) => here.faults.push(fault),
        }
    }
    Ok(here)
}

/// `local`: the image's own digest, and the digest in its checksum file.
fn judge(image: &str, local: anyhow::Result<(Digest, Option<Digest>)>, published: Digest) -> Result<String, Fault> {
    let file = name::whole(image);
    let (said, cure) = match local {
        Err(error) => (format!("{error:#}"), Cure::AsSaid),
        Ok((digest, Some(promised))) if promised != digest => (
            format!("{file} here has sha256 {digest}, its own checksum file says {promised}: it is damaged"),
            Cure::FetchAgain,
        ),
        Ok((digest, _)) if digest != published => {
            (format!("{file} here has sha256 {digest}, the live one has {published}"), Cure::PublishOrFetch)
        }
        Ok(_) => return Ok(image.to_owned()),
    };
    Err(Fault { image: image.to_owned(), said, cure })
}
