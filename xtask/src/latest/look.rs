//! What is on GitHub under the names of `latest`: read, never assumed.

use std::fmt;
use std::time::Duration;

use crate::failure;
use crate::gh::{Asset, CallError, Release};
use crate::git::TagRef;
use crate::image::digest::Digest;
use crate::manifest::{self, Expected, Image, Manifest};
use crate::typed;

use super::doors::Doors;
use super::marker::{self, Incoming, Replaced};
use super::prove::{self, Difference};
use super::{INCOMING, PREVIOUS, TAG, naming};

/// The state that a plan is made from.
#[derive(Debug, Clone)]
pub struct Look {
    pub live: Option<Live>,
    pub incoming: Vec<IncomingDraft>,
    pub previous: Vec<PreviousDraft>,
    /// Drafts on the tag itself: a `latest` becomes one when somebody deletes its tag.
    pub fallen: Vec<Release>,
    /// The tag `latest` on the remote.
    pub tag: Option<TagRef>,
    /// What the lock points to.
    pub lock: Option<String>,
}

/// The published release on the tag.
#[derive(Debug, Clone)]
pub struct Live {
    pub release: Release,
    pub assets: Vec<Asset>,
    /// `None` on a release made by hand.
    pub manifest: Option<Manifest>,
    pub digest: Option<Digest>,
    /// It has GitHub's own "Latest" badge.
    pub badge: bool,
    /// The manifest was set aside by a change of the version that ended before the new one took its name.
    pub aside: Option<Asset>,
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
    let mut look = Look {
        live: None,
        incoming: Vec::new(),
        previous: Vec::new(),
        fallen: Vec::new(),
        tag: seen.refs.tag,
        lock: seen.refs.lock,
    };
    for release in seen.releases.into_iter().filter(|release| release.draft) {
        match release.tag_name.as_str() {
            INCOMING => look.incoming.push(IncomingDraft { marker: marker::read(release.notes()), release }),
            PREVIOUS => look.previous.push(PreviousDraft { marker: marker::read(release.notes()), release }),
            TAG => look.fallen.push(release),
            _ => {}
        }
    }
    let badge = seen.badge;
    look.live = seen.live.map(|release| with_assets(doors, release, badge)).transpose()?;
    Ok(look)
}

/// Listings, and what is found by a tag, lag behind for so long at most.
const LAG: Duration = Duration::from_secs(30);

/// Asks again until listings have caught up with what was changed. `shown`: what they show until then.
///
/// # Errors
///
/// Exit code 1: they go on showing it.
pub fn caught_up<T>(
    doors: Doors<'_>,
    shown: impl fmt::Display,
    mut ask: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let until = doors.now() + LAG;
    loop {
        if let Some(found) = ask()? {
            return Ok(found);
        }
        if doors.now() >= until {
            return Err(failure::failed(format!(
                "GitHub's listing shows {shown}, for {} s by now; run again in a minute",
                LAG.as_secs()
            )));
        }
        doors.pause(Duration::from_secs(1))?;
    }
}

/// Reads all of it, and what is live is so by its own id as well: what is concluded from it may be that all is in order.
///
/// # Errors
///
/// Exit code 1: GitHub goes on showing what was live before.
pub fn current(doors: Doors<'_>) -> anyhow::Result<Look> {
    caught_up(doors, format_args!("{TAG} of {} as it was before", doors.repo()), || {
        let look = look(doors)?;
        Ok(look.is_current(doors)?.then_some(look))
    })
}

/// A release and its assets, once the listing shows the names that they have by the release's id.
///
/// # Errors
///
/// Exit code 1: it goes on showing others.
pub fn now(doors: Doors<'_>, release: u64) -> anyhow::Result<(Release, Vec<Asset>)> {
    caught_up(doors, format_args!("the assets of release {release} as they were before"), || {
        let (listed, now) = (doors.assets(release)?, doors.release(release)?);
        let shown = |asset: &Asset| listed.iter().any(|seen| seen.id == asset.id && seen.name == asset.name);
        Ok(now.assets.iter().all(shown).then_some((now, listed)))
    })
}

fn with_assets(doors: Doors<'_>, release: Release, badge: Option<u64>) -> anyhow::Result<Live> {
    let assets = doors.assets(release.id)?;
    let mut aside = naming::aside(&assets).cloned();
    let mut found = match &aside {
        Some(asset) => Some(read_one(asset, |asset| doors.read_asset(asset))?),
        None => read(&assets, |asset| doors.read_asset(asset))?,
    };
    // A change of the version moves no image: one whose images aren't there is of a set that was replaced, and somebody
    // removed the manifest of this one.
    if aside.is_some() && found.as_ref().is_some_and(|(manifest, _)| !has_images(&assets, manifest)) {
        (aside, found) = (None, None);
    }
    let (manifest, digest) = found.unzip();
    let badge = badge == Some(release.id);
    Ok(Live { release, assets, manifest, digest, badge, aside })
}

fn has_images(assets: &[Asset], manifest: &Manifest) -> bool {
    let differs = |expected: &Expected| {
        let asset = assets.iter().find(|asset| asset.name == expected.file);
        !matches!(prove::compare(expected, asset), None | Some(Difference::Unknown))
    };
    !manifest.images.iter().flat_map(Image::assets).any(|expected| differs(&expected))
}

/// The manifest among some assets; `None` when there is none.
pub fn read_manifest(
    assets: &[Asset],
    read_asset: impl FnOnce(&Asset) -> Result<Vec<u8>, CallError>,
) -> anyhow::Result<Option<Manifest>> {
    Ok(read(assets, read_asset)?.map(|(manifest, _)| manifest))
}

/// The same, with its digest.
pub fn read(
    assets: &[Asset],
    read_asset: impl FnOnce(&Asset) -> Result<Vec<u8>, CallError>,
) -> anyhow::Result<Option<(Manifest, Digest)>> {
    let asset = assets.iter().find(|asset| asset.name == manifest::FILE && asset.is_uploaded());
    asset.map(|asset| read_one(asset, read_asset)).transpose()
}

fn read_one(
    asset: &Asset,
    read_asset: impl FnOnce(&Asset) -> Result<Vec<u8>, CallError>,
) -> anyhow::Result<(Manifest, Digest)> {
    let bytes = read_asset(asset)?;
    let digest = Digest::of(&bytes);
    if asset.digest().is_some_and(|named| named != digest) {
        return Err(failure::digest(format!(
            "{} on the release arrived with another digest than GitHub names; look with {}",
            asset.name,
            typed::line("verify --download")
        )));
    }
    Ok((Manifest::parse(&bytes)?, digest))
}

/// All drafts that are being filled, read again.
pub fn incoming(doors: Doors<'_>) -> Result<Vec<IncomingDraft>, CallError> {
    let drafts = doors.releases()?.into_iter().filter(|release| release.draft && release.tag_name == INCOMING);
    Ok(drafts.map(|release| IncomingDraft { marker: marker::read(release.notes()), release }).collect())
}

impl Look {
    /// Whether what is live, and its manifest, are the same when they are asked for by the release's id.
    fn is_current(&self, doors: Doors<'_>) -> Result<bool, CallError> {
        let Some(live) = &self.live else { return Ok(true) };
        let now = match doors.release(live.release.id) {
            Err(error) if error.refusal() == Some(404) => return Ok(false),
            answer => answer?,
        };
        // Asset by asset: a set of many is not promised to be whole there.
        let seen = live.aside.as_ref().or_else(|| live.asset(manifest::FILE));
        let moved = now.assets.iter().any(|asset| match seen {
            Some(seen) if seen.id == asset.id => seen.name != asset.name,
            _ => asset.name == manifest::FILE,
        });
        Ok(!now.draft && now.tag_name == TAG && !moved)
    }

    /// What was replaced, each with its stamp.
    pub fn stamped(&self) -> impl Iterator<Item = (&PreviousDraft, &Replaced)> {
        self.previous.iter().filter_map(|draft| Some((draft, draft.marker.as_ref()?)))
    }

    /// The same, what was replaced last first.
    pub fn newest_first(&self) -> Vec<(&PreviousDraft, &Replaced)> {
        let mut stamped: Vec<_> = self.stamped().collect();
        stamped.sort_by(|(_, a), (_, b)| b.at.cmp(&a.at));
        stamped
    }

    /// What a rollback from what is live brings back.
    pub fn way_back(&self, live: &Live) -> Option<(&PreviousDraft, &Replaced)> {
        self.stamped().filter(|(_, stamp)| stamp.by == live.release.id).max_by(|(_, a), (_, b)| a.at.cmp(&b.at))
    }
}

impl Live {
    pub fn asset(&self, name: &str) -> Option<&Asset> {
        self.assets.iter().find(|asset| asset.name == name)
    }
}
