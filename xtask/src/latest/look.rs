//! What is on GitHub under the names of `latest`: read, never assumed.

use std::thread;

use crate::failure;
use crate::gh::{Asset, CallError, Gh, Release};
use crate::git::{Git, TagRef};
use crate::manifest::{self, Manifest};
use crate::process::joined;

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

/// Reads all of it; the questions that don't depend on each other are asked side by side.
pub fn look(gh: &Gh, git: &Git, remote: &str) -> anyhow::Result<Look> {
    thread::scope(|scope| {
        let tag = scope.spawn(|| remote_tag(git, remote));
        let drafts = scope.spawn(|| drafts(gh));
        let live = live(gh);
        let tag = joined(tag);
        let (incoming, previous) = joined(drafts)?;
        Ok(Look { live: live?, incoming, previous, tag: tag? })
    })
}

/// The tag `latest` on the remote.
pub fn remote_tag(git: &Git, remote: &str) -> anyhow::Result<Option<TagRef>> {
    Ok(git.remote_tags(remote, &[TAG])?.pop().flatten())
}

/// The published release with its assets and manifest.
pub fn live(gh: &Gh) -> anyhow::Result<Option<Live>> {
    let Some(release) = gh.release_by_tag(TAG)? else { return Ok(None) };
    let assets = gh.assets(release.id)?;
    let manifest = read_manifest(gh, &assets)?;
    Ok(Some(Live { release, assets, manifest }))
}

/// The manifest among some assets; `None` when there is none.
pub fn read_manifest(gh: &Gh, assets: &[Asset]) -> anyhow::Result<Option<Manifest>> {
    let Some(asset) = assets.iter().find(|asset| asset.name == manifest::FILE && asset.is_uploaded()) else {
        return Ok(None);
    };
    let bytes = gh.read_asset(asset)?;
    if asset.digest().is_some_and(|digest| digest != crate::image::digest::Digest::of(&bytes)) {
        return Err(failure::digest(format!(
            "{} on the release arrived with another digest than GitHub names",
            asset.name
        )));
    }
    Manifest::parse(&bytes).map(Some)
}

fn drafts(gh: &Gh) -> Result<(Vec<IncomingDraft>, Vec<PreviousDraft>), CallError> {
    let (mut incoming, mut previous) = (Vec::new(), Vec::new());
    for release in gh.releases()?.into_iter().filter(|release| release.draft) {
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
    Ok((incoming, previous))
}

/// All drafts that are being filled, read again.
pub fn incoming(gh: &Gh) -> Result<Vec<IncomingDraft>, CallError> {
    drafts(gh).map(|(incoming, _)| incoming)
}

impl Live {
    pub fn asset(&self, name: &str) -> Option<&Asset> {
        self.assets.iter().find(|asset| asset.name == name)
    }
}
