//! Compares what is on a release with what must be there: names, sizes, digests. A digest that GitHub doesn't give is
//! taken from the bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::console::count;
use crate::gh::{Asset, CallError};
use crate::image::digest::Digest;
use crate::manifest::Expected;

use super::doors::Doors;
use super::stage::Stage;

/// Why the draft isn't proven.
pub(super) enum Unproven {
    /// Something was missing, or wrong and is now removed: sending again can help.
    Removed(String),
    Error(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Unproven {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

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

/// Compares one asset by what GitHub says of it.
pub fn compare(expected: &Expected, asset: Option<&Asset>) -> Option<Difference> {
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

/// A listing may lag behind an upload: what is missing is looked for again until then.
const LAG: Duration = Duration::from_secs(15);

/// Proves that all of these assets are on the draft, and nothing that differs.
pub(super) fn assets(stage: &Stage<'_>, expected: &[Expected]) -> Result<(), Unproven> {
    let until = stage.held.now() + LAG;
    loop {
        let have = stage.assets()?;
        let by_name: BTreeMap<&str, &Asset> = have.iter().map(|asset| (asset.name.as_str(), asset)).collect();
        let mut lagging = None;
        for expected in expected {
            let asset = by_name.get(expected.file.as_str()).copied();
            match (compare(expected, asset), asset) {
                (None, _) => {}
                (Some(Difference::Missing | Difference::Broken), _) => lagging = Some(expected.file.clone()),
                (Some(Difference::Unknown), Some(asset)) => by_bytes(stage, expected, asset)?,
                (Some(difference), asset) => return Err(refuse(stage, expected, asset, &difference)),
            }
        }
        let Some(name) = lagging else { return Ok(()) };
        if stage.held.now() >= until {
            return Err(Unproven::Removed(format!("{name} is not on the draft")));
        }
        stage.held.pause(Duration::from_secs(1))?;
    }
}

fn by_bytes(stage: &Stage<'_>, expected: &Expected, asset: &Asset) -> Result<(), Unproven> {
    stage.held.note(format_args!("{}: GitHub gives no digest; reading it back", asset.name));
    let digest = digest(stage.held.doors(), asset)?;
    if digest == expected.sha256 {
        return Ok(());
    }
    Err(refuse(stage, expected, Some(asset), &Difference::Digest(digest)))
}

/// Downloads and hashes an asset.
pub fn digest(doors: Doors<'_>, asset: &Asset) -> Result<Digest, CallError> {
    let mut hash = Sha256::new();
    doors.read_through(asset, |bytes| {
        hash.update(bytes);
        Ok(())
    })?;
    Ok(Digest::from_hash(hash))
}

fn refuse(stage: &Stage<'_>, expected: &Expected, asset: Option<&Asset>, difference: &Difference) -> Unproven {
    let what = match difference {
        Difference::Digest(digest) => format!("has sha256 {digest}, expected {}", expected.sha256),
        Difference::Size(size) => format!("has {}, expected {}", count(*size, "byte"), expected.size),
        _ => "is not as expected".to_owned(),
    };
    if let Some(Err(error)) = asset.map(|asset| stage.remove(asset, &what)) {
        return Unproven::Error(error);
    }
    Unproven::Removed(format!("{} {what}", expected.file))
}
