//! What is on GitHub under the names of `latest`: read, never assumed.

use crate::failure;
use crate::gh::{Asset, CallError, Release};
use crate::git::TagRef;
use crate::manifest::{self, Manifest};

use super::doors::Doors;
use super::marker::{self, Incoming, Replaced};
use super::{INCOMING, PREVIOUS, TAG};

/// The state that a plan is made from.
#[derive(Debug, Clone)]
pub struct Look {
    pub live: Option<Live>,
    pub incoming: Vec<IncomingDraft>,
    pub previous: Vec<PreviousDraft>,
    /// The tag `latest` on the remote.
    pub tag: Option<TagRef>,
}

/// The published release on the tag.
#[derive(Debug, Clone)]
pub struct Live {
    pub release: Release,
    pub assets: Vec<Asset>,
    /// `None` on a release made by hand.
    pub manifest: Option<Manifest>,
}

/// A draft that a publish fills.
#[derive(Debug, Clone)]
pub struct IncomingDraft {
    pub release: Release,
    /// `None` when its body tells nothing: not made by this tool.
    pub marker: Option<Incoming>,
}

/// A draft that was `latest` before.
#[derive(Debug, Clone)]
pub struct PreviousDraft {
    pub release: Release,
    pub marker: Option<Replaced>,
}

/// Reads all of it.
pub fn look(doors: Doors<'_>) -> anyhow::Result<Look> {
    let seen = doors.seen()?;
    let (incoming, previous) = drafts(seen.releases);
    let live = seen.live.map(|release| with_assets(doors, release)).transpose()?;
    Ok(Look { live, incoming, previous, tag: seen.tag })
}

/// The published release with its assets and manifest.
pub fn live(doors: Doors<'_>) -> anyhow::Result<Option<Live>> {
    doors.release_by_tag(TAG)?.map(|release| with_assets(doors, release)).transpose()
}

fn with_assets(doors: Doors<'_>, release: Release) -> anyhow::Result<Live> {
    let assets = doors.assets(release.id)?;
    let manifest = read_manifest(&assets, |asset| doors.read_asset(asset))?;
    Ok(Live { release, assets, manifest })
}

/// The manifest among some assets; `None` when there is none.
pub fn read_manifest(
    assets: &[Asset],
    read: impl FnOnce(&Asset) -> Result<Vec<u8>, CallError>,
) -> anyhow::Result<Option<Manifest>> {
    let Some(asset) = assets.iter().find(|asset| asset.name == manifest::FILE && asset.is_uploaded()) else {
        return Ok(None);
    };
    let bytes = read(asset)?;
    if asset.digest().is_some_and(|digest| digest != crate::image::digest::Digest::of(&bytes)) {
        return Err(failure::digest(format!(
            "{} on the release arrived with another digest than GitHub names",
            asset.name
        )));
    }
    Manifest::parse(&bytes).map(Some)
}

fn drafts(releases: Vec<Release>) -> (Vec<IncomingDraft>, Vec<PreviousDraft>) {
    let (mut incoming, mut previous) = (Vec::new(), Vec::new());
    for release in releases.into_iter().filter(|release| release.draft) {
        match release.tag_name.as_str() {
            INCOMING => {
                let marker = marker::read(release.notes());
                incoming.push(IncomingDraft { release, marker });
            }
            PREVIOUS => {
                let marker = marker::read(release.notes());
                previous.push(PreviousDraft { release, marker });
            }
            _ => {}
        }
    }
    (incoming, previous)
}

/// All drafts that are being filled, read again.
pub fn incoming(doors: Doors<'_>) -> Result<Vec<IncomingDraft>, CallError> {
    Ok(drafts(doors.releases()?).0)
}

impl Live {
    pub fn asset(&self, name: &str) -> Option<&Asset> {
        self.assets.iter().find(|asset| asset.name == name)
    }
}
