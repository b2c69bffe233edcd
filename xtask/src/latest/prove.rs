//! Compares what is on a release with what must be there: names, sizes, digests. Where GitHub gives no digest, the bytes are
//! read. Filling proves a draft with it, and audits compare with it.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::gh::{Asset, CallError};
use crate::manifest::FileEntry;
use crate::text::count;

use super::client::Client;
use super::draft::Draft;
use super::look::LAG;

/// How an asset differs from what must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    Missing,
    /// Not in state `uploaded`.
    Broken,
    Size(u64),
    Digest(Digest),
    /// GitHub gives no digest for it.
    Unknown,
}

impl Difference {
    /// What is said of the asset; `says`: who says what is expected.
    pub fn words(&self, expected: &FileEntry, says: &str) -> String {
        match self {
            Self::Missing => "is missing on the release".to_owned(),
            Self::Broken => "was not uploaded completely".to_owned(),
            Self::Size(size) => format!("has {}, {says} {}", count(*size, "byte"), expected.size),
            Self::Digest(digest) => format!("has sha256 {digest}, {says} {}", expected.sha256),
            Self::Unknown => "has no digest".to_owned(),
        }
    }
}

/// Compares one asset by what GitHub says of it.
pub fn compare(expected: &FileEntry, asset: Option<&Asset>) -> Option<Difference> {
    let Some(asset) = asset else { return Some(Difference::Missing) };
    if !asset.is_uploaded() {
        return Some(Difference::Broken);
    }
    if asset.size != expected.size {
        return Some(Difference::Size(asset.size));
    }
    match asset.digest() {
        None => Some(Difference::Unknown),
        Some(digest) if digest != expected.sha256 => Some(Difference::Digest(digest)),
        Some(_) => None,
    }
}

/// Whether GitHub says that exactly this is among some assets.
pub fn is_there(expected: &FileEntry, assets: &[Asset]) -> bool {
    compare(expected, assets.iter().find(|asset| asset.name == expected.file)).is_none()
}

/// Proves that all of these are on the draft, by name, size and digest, and deletes an asset that differs. `Some`: what was
/// missing, or was wrong and is now removed; sending it again can help.
pub(super) fn assets(draft: &Draft<'_>, expected: &[FileEntry]) -> anyhow::Result<Option<String>> {
    // A listing may lag behind an upload.
    let until = draft.held.now() + LAG;
    loop {
        let have = draft.assets()?;
        let mut lagging = None;
        for expected in expected {
            let asset = have.iter().find(|asset| asset.name == expected.file);
            let difference = match (compare(expected, asset), asset) {
                (Some(Difference::Unknown), Some(asset)) => {
                    draft.held.note(format_args!("{}: GitHub gives no digest; reading the asset back", asset.name));
                    let digest = digest(draft.held.client(), asset)?;
                    (digest != expected.sha256).then_some(Difference::Digest(digest))
                }
                (difference, _) => difference,
            };
            match (difference, asset) {
                (None, _) => {}
                (Some(difference @ (Difference::Size(_) | Difference::Digest(_))), Some(asset)) => {
                    let what = difference.words(expected, "expected");
                    draft.remove(asset, &what)?;
                    return Ok(Some(format!("{} {what}", expected.file)));
                }
                (Some(_), _) => lagging = Some(format!("{} is not on the draft", expected.file)),
            }
        }
        if lagging.is_none() || draft.held.now() >= until {
            return Ok(lagging);
        }
        draft.held.pause(Duration::from_secs(1))?;
    }
}

/// Downloads and hashes an asset.
pub fn digest(client: Client<'_>, asset: &Asset) -> Result<Digest, CallError> {
    let mut hash = Sha256::new();
    client.read_through(asset, |bytes| {
        hash.update(bytes);
        Ok(())
    })?;
    Ok(Digest::from_hash(hash))
}
