//! The release that was replaced last, which can hold most of the next set: a place to stage it.

use crate::console::count;
use crate::gh::{Asset, CallError};
use crate::image::digest::Digest;
use crate::manifest::{self, Manifest};

use super::doors::Doors;
use super::look::{self, Look, PreviousDraft};
use super::marker::Replaced;
use super::naming::Named;
use super::prove;
use super::stock::Stock;
use super::swap::{self, Own};

/// The way back from what is live, known by the manifest that its stamp names.
#[derive(Debug, Clone)]
pub struct Previous {
    pub id: u64,
    /// The digest of its own manifest.
    pub own: Digest,
    /// Its own set has its names.
    pub in_place: bool,
    /// What lies on it now.
    pub stock: Stock,
    /// The same when its own set has its names again.
    pub restored: Stock,
    /// Why nothing can be staged on it.
    pub unfit: Option<String>,
}

/// The set that a release which was replaced holds as the way back.
#[derive(Debug)]
pub struct Kept {
    /// By the names that they have, or get back when the set becomes live again.
    pub assets: Vec<Asset>,
    /// `None` for a set that somebody made by hand.
    pub manifest: Option<Manifest>,
    pub digest: Option<Digest>,
    /// Another set was staged on it and has some of the names.
    pub restores: bool,
}

/// Finds it, whatever its files are called while the next set is staged on the release; `None` where another set is there
/// than when it was replaced.
///
/// # Errors
///
/// GitHub doesn't answer, or the manifest can't be read.
pub fn kept(doors: Doors<'_>, draft: &PreviousDraft, stamp: &Replaced) -> anyhow::Result<Option<Kept>> {
    let assets = doors.assets(draft.release.id)?;
    if let Some(wanted) = stamp.manifest {
        if let Some(own) = Own::find(doors, &assets, wanted)? {
            let restores = !own.is_in_place();
            let assets = own.view(&assets);
            return Ok(Some(Kept { assets, manifest: Some(own.manifest), digest: Some(own.digest), restores }));
        }
        if assets.iter().any(|asset| asset.name == manifest::FILE || !Named::is_plain(asset)) {
            return Ok(None);
        }
    }
    let (manifest, digest) = look::read(&assets, |asset| doors.read_asset(asset))?.unzip();
    Ok(Some(Kept { assets, manifest, digest, restores: false }))
}

/// What a publish that ended early left on a release that was replaced, in a few words; `None`: nothing.
pub fn staged_on(draft: &PreviousDraft) -> Option<String> {
    let own = draft.marker.as_ref()?.manifest?;
    let assets = &draft.release.assets;
    let named = assets.iter().find(|asset| asset.name == manifest::FILE);
    let is_own = |asset: &Asset| asset.digest().is_none_or(|digest| digest == own);
    if named.is_some_and(is_own) {
        let new = assets.iter().filter(|asset| matches!(Named::of(asset), Named::New { .. })).count();
        return (new > 0).then(|| format!("{} of the next set on it", count(new, "file")));
    }
    let is_aside = assets.iter().any(|asset| Named::was(asset, manifest::FILE) && is_own(asset));
    is_aside.then(|| match named {
        Some(_) => "the next set in its place, not published yet".to_owned(),
        None => "the next set half-way into its place".to_owned(),
    })
}

/// Looks at it; `None` where nothing tells what its own set is.
pub fn look_at(doors: Doors<'_>, look: &Look) -> anyhow::Result<Option<Previous>> {
    let Some(live) = look.live.as_ref().filter(|live| live.manifest.is_some()) else { return Ok(None) };
    let way_back = look.way_back(live).filter(|(_, stamp)| stamp.names(live.release.id, live.digest));
    let Some((draft, Some(own))) = way_back.map(|(draft, stamp)| (draft, stamp.manifest)) else { return Ok(None) };
    let id = draft.release.id;
    let (_, assets) = match look::now(doors, id) {
        // Gone by now, or on its way there: the listing that told of it lags.
        Err(error) if error.downcast_ref().and_then(CallError::refusal) == Some(404) => return Ok(None),
        found => found?,
    };
    let Some(own) = Own::find(doors, &assets, own)? else { return Ok(None) };
    let mut manifests: Vec<Manifest> = Vec::new();
    for asset in assets.iter().filter(|asset| asset.is_uploaded() && asset.id != own.asset.id) {
        if Named::file(asset).as_deref() == Some(manifest::FILE) {
            manifests.extend(swap::read(doors, asset)?.map(|(manifest, _)| manifest));
        }
    }
    let view = own.view(&assets);
    let unfit = unfit(&own, &view);
    let in_place = own.is_in_place();
    let vouching = || manifests.iter().chain([&own.manifest]);
    let (stock, restored) = (Stock::new(assets, vouching()), Stock::new(view, vouching()));
    Ok(Some(Previous { id, own: own.digest, in_place, stock, restored, unfit }))
}

/// All of its own set must be proven, and nothing else be there: what is put aside on it is not missed later.
fn unfit(own: &Own, view: &[Asset]) -> Option<String> {
    let expected = own.manifest.assets();
    let unproven = expected
        .iter()
        .find(|expected| prove::compare(expected, view.iter().find(|asset| asset.name == expected.file)).is_some());
    if let Some(unproven) = unproven {
        return Some(format!("{} on it is not what its manifest says", unproven.file));
    }
    let strange = |asset: &&Asset| {
        Named::is_plain(asset)
            && asset.name != manifest::FILE
            && expected.iter().all(|expected| expected.file != asset.name)
    };
    view.iter().find(strange).map(|asset| format!("{} on it is not of its set", asset.name))
}
