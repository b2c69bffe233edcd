//! What a set has beside its images: the script that fetches and checks them, the digests of all, and their signature.
//!
//! `SHA256SUMS` lists images, parts, lists of packages, the script and the manifest, so the signature over it covers version,
//! commit and date as well. It is proven by computing it from the manifest, the signature by verifying it. Filling, proving and
//! auditing a set use it.

use std::sync::{Mutex, PoisonError};

use crate::digest::Digest;
use crate::gh::{Asset, CallError};
use crate::manifest::{self, FileEntry, Image, Manifest};
use crate::repo::Repo;
use crate::signing::Signer;

use super::look::Contents;
use super::set::Set;

pub const READER: &str = "get-images.sh";
pub use crate::trust::{SIGNATURE, SUMS};

const READER_TEXT: &str = include_str!("../../assets/get-images.sh");

/// How a set is signed and attested.
#[derive(Debug, Clone, Default)]
pub struct Signing {
    pub signer: Option<Signer>,
    /// The person named the key for this run.
    pub asked: bool,
    /// The repository whose workflow attests what it built of the set.
    pub attested_by: Option<String>,
}

/// A small file, as it is to be on the release.
#[derive(Clone)]
pub struct File {
    pub part: FileEntry,
    pub bytes: Vec<u8>,
}

impl File {
    pub fn new(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { part: FileEntry::of(name, &bytes), bytes }
    }
}

/// The script on a release of this repository: by itself it reads from there, not from where it was written.
pub fn reader(repo: &Repo) -> File {
    // One run asks for the same repository's script many times.
    static LAST: Mutex<Option<(Repo, File)>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, file)) = last.as_ref().filter(|(of, _)| of == repo) {
        return file.clone();
    }
    let text = READER_TEXT.replace("homestak-dev/packer", &format!("{}/{}", repo.owner, repo.name));
    let text = text.replace("https://github.com/$repo", &format!("https://{}/$repo", repo.host));
    let file = File::new(READER, text.into_bytes());
    *last = Some((repo.clone(), file.clone()));
    file
}

/// The digests of a set with this manifest, as `sha256sum -c --ignore-missing` takes them: each image, its parts and the
/// lists of its packages and files after it, then the script, then the manifest.
pub fn sums(manifest: &Manifest, digest: Digest) -> String {
    let line = |digest: Digest, file: &str| format!("{digest}  {file}\n");
    let entry = |entry: &FileEntry| line(entry.sha256, &entry.file);
    let of_image = |image: &Image| {
        let more: String = image.parts.iter().chain(image.facts.lists()).map(entry).collect();
        line(image.sha256, &image.file) + &more
    };
    let images: String = manifest.images.iter().map(of_image).collect();
    let reader: String = manifest.files.iter().filter(|file| file.file == READER).map(entry).collect();
    images + &reader + &line(digest, manifest::FILE)
}

/// All assets that a set must have by its manifest, but for its signature.
pub fn assets(set: &Contents) -> Vec<FileEntry> {
    let Some((manifest, digest)) = set.manifest.as_ref().zip(set.digest) else { return Vec::new() };
    let mut assets = manifest.assets();
    if manifest.created.is_some() {
        assets.push(File::new(SUMS, sums(manifest, digest).into_bytes()).part);
    }
    assets
}

/// The files beside the images in which a set that is to be published differs from a live one with this manifest and the same
/// images. `is_signed`: the live one is, by somebody who may.
pub fn others(set: &Set, repo: &Repo, manifest: &Manifest, is_signed: bool) -> Vec<String> {
    let mut differ = Vec::new();
    let reader_there = manifest.files.iter().find(|file| file.file == READER).map(|file| file.sha256);
    if reader_there != Some(reader(repo).part.sha256) {
        differ.push(READER.to_owned());
    }
    // An image that has no list doesn't deny what is known of the same bytes.
    for image in &set.images {
        let Some(there) = manifest.image(&image.name) else { continue };
        let new = image.facts.lists().filter(|listed| !there.facts.lists().any(|it| it == *listed));
        differ.extend(new.map(|listed| listed.file.clone()));
    }
    if is_signed != set.signing.signer.is_some() {
        differ.push(SIGNATURE.to_owned());
    }
    differ
}

/// Reads an asset among some by its name: for [`crate::trust`].
pub fn by_name(
    assets: &[Asset],
    mut read: impl FnMut(&Asset) -> Result<Vec<u8>, CallError>,
) -> impl FnMut(&str) -> anyhow::Result<Option<Vec<u8>>> {
    move |file| {
        let asset = assets.iter().find(|asset| asset.name == file && asset.is_uploaded());
        Ok(asset.map(&mut read).transpose()?)
    }
}
