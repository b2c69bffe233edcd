//! What is on GitHub under the names of this tool: the live release, drafts that a publish fills, pinned sets, the tag and the
//! lock. What could not be read is an error, never "not there". Plans of publish, rollback and recovery are made from it, and
//! every verb that shows the state of `latest` reads it here.

use std::cmp::Reverse;
use std::ops::Deref;
use std::time::Duration;

use crate::digest::Digest;
use crate::failure::{self, Advice as _};
use crate::gh::{Asset, CallError, Release};
use crate::manifest::{self, Manifest};

use super::client::Client;
use super::lock;
use super::marker::{self, Incoming, Label, Replaced};
use super::outside::Refs;
use super::pin::{self, Unfit};
use super::{INCOMING, PINNED, PREVIOUS, TAG, files, notes};

/// The state that a plan is made from.
#[derive(Debug, Clone, Default)]
pub struct Look {
    pub live: Option<Live>,
    pub incoming: Vec<IncomingDraft>,
    /// Sets that were live, the one replaced last first.
    pub pinned: Vec<Pinned>,
    /// Drafts on the tag itself: a `latest` becomes one when somebody deletes its tag.
    pub fallen: Vec<Release>,
    /// The tags on the remote, and the lock.
    pub refs: Refs,
}

/// A release with what is on it.
#[derive(Debug, Clone)]
pub struct Contents {
    pub release: Release,
    pub assets: Vec<Asset>,
    /// `None` on a release made by hand, and where the manifest is damaged.
    pub manifest: Option<Manifest>,
    pub digest: Option<Digest>,
    /// Why the manifest that is there can't be used.
    pub damaged: Option<String>,
}

/// The published release on the tag.
#[derive(Debug, Clone)]
pub struct Live {
    contents: Contents,
    /// It has GitHub's own "Latest" badge.
    pub badge: bool,
    /// The version that it stands for; `None` where nothing tells that can be believed.
    pub label: Option<Label>,
}

/// A release that has a marker in its body.
#[derive(Debug, Clone)]
pub struct Marked<M> {
    pub release: Release,
    /// `None` when there is none: somebody else made the release, or edited its body.
    pub marker: Option<M>,
}

/// A draft that a publish fills.
pub type IncomingDraft = Marked<Incoming>;
/// A set that was live, published as `images-…` or hidden as a draft. Without a marker only its name tells which set it is.
pub type Pinned = Marked<Replaced>;

/// Reads all of it.
pub fn look(client: Client<'_>) -> anyhow::Result<Look> {
    let seen = client.seen()?;
    let mut look = Look { refs: seen.refs, ..Look::default() };
    let mut listed = None;
    for release in seen.releases {
        match release.tag_name.as_str() {
            INCOMING => look.incoming.extend(IncomingDraft::of(release)),
            TAG if release.draft => look.fallen.push(release),
            TAG => listed = Some(release),
            name => {
                let marker = Replaced::of(release.notes());
                if marker.is_some() || name.starts_with(PINNED) || name == PREVIOUS {
                    look.pinned.push(Pinned { release, marker });
                }
            }
        }
    }
    look.pinned.sort_by_key(|set| Reverse((set.marker.as_ref().map_or(0, |marker| marker.order), set.release.id)));
    let live = match (seen.live, listed) {
        // Not found by its tag while the listing shows it: one of the two lags, so the release is read by its id.
        (None, Some(listed)) => match client.release(listed.id) {
            Ok(now) => Some(now).filter(is_live),
            Err(error) if error.refusal() == Some(404) => None,
            Err(error) => return Err(error.into()),
        },
        (live, _) => live,
    };
    if let Some(release) = live {
        let badge = seen.badge == Some(release.id);
        let contents = Contents::read(client, release)?;
        let label = label(client, &contents, &look.refs)?;
        look.live = Some(Live { contents, badge, label });
    }
    Ok(look)
}

/// Published on the tag `latest`.
pub fn is_live(release: &Release) -> bool {
    !release.draft && release.tag_name == TAG
}

/// Listings, and what is found by a tag or an id, lag behind for this long at most.
pub const LAG: Duration = Duration::from_secs(30);

/// Reads all of it until the live release is live by its own id as well: a plan may conclude from it that nothing is to do.
///
/// # Errors
///
/// Exit code 1: GitHub goes on showing what was live before.
pub fn current(client: Client<'_>) -> anyhow::Result<Look> {
    let current = client.until_shown(|| {
        let look = look(client)?;
        Ok(look.is_current(client)?.then_some(look))
    })?;
    current.ok_or_else(|| {
        let (repo, seconds) = (client.repo(), LAG.as_secs());
        failure::failed(format!("GitHub still shows an earlier state of {TAG} in {repo} after {seconds} s"))
            .fix("run the same command again in a minute")
    })
}

/// The version that a live release stands for: its marker; else the version in the notes, if its tag is where `latest` is;
/// else the manifest's source, where a run of this tool moved the tag away from it.
fn label(client: Client<'_>, live: &Contents, refs: &Refs) -> anyhow::Result<Option<Label>> {
    let notes = live.release.notes();
    if let Some(label) = marker::read(notes) {
        return Ok(Some(label));
    }
    let Some(tag) = &refs.tag else { return Ok(None) };
    if let Some(source) = notes::points_to(notes)
        && client.commit_of_tag(source)?.as_ref() == Some(&tag.commit)
    {
        return Ok(Some(Label { source: source.to_owned(), commit: tag.commit.clone() }));
    }
    let Some(label) = live.label() else { return Ok(None) };
    let pushed = lock::intent(client, refs.lock.as_deref())?.is_some_and(|intent| intent.tag_to == tag.object);
    Ok(pushed.then_some(label))
}

/// The manifest among some assets with its digest; `Ok(Err(why))` where it is there and can't be used.
///
/// # Errors
///
/// GitHub doesn't answer.
fn read(
    assets: &[Asset],
    read_asset: impl FnOnce(&Asset) -> Result<Vec<u8>, CallError>,
) -> Result<Result<Option<(Manifest, Digest)>, String>, CallError> {
    let Some(asset) = assets.iter().find(|asset| asset.name == manifest::FILE && asset.is_uploaded()) else {
        return Ok(Ok(None));
    };
    if asset.size > crate::gh::SMALL {
        return Ok(Err(format!("{} has {} bytes, too many for a manifest", asset.name, asset.size)));
    }
    let bytes = read_asset(asset)?;
    let digest = Digest::of(&bytes);
    if asset.digest().is_some_and(|named| named != digest) {
        return Ok(Err(format!("{} arrived with another digest than GitHub reports", asset.name)));
    }
    Ok(Manifest::parse(&bytes).map(|manifest| Some((manifest, digest))).map_err(|error| format!("{error:#}")))
}

/// The manifest among some assets with its digest; `None` when there is none.
///
/// # Errors
///
/// Exit code 4: it is damaged.
pub fn read_manifest(
    assets: &[Asset],
    read_asset: impl FnOnce(&Asset) -> Result<Vec<u8>, CallError>,
) -> anyhow::Result<Option<(Manifest, Digest)>> {
    read(assets, read_asset)?.map_err(|why| failure::digest(why).fix("use another release, or publish the set again"))
}

impl IncomingDraft {
    /// `None` for any other release.
    pub fn of(release: Release) -> Option<Self> {
        super::draft::is_incoming(&release).then(|| Self { marker: marker::read(release.notes()), release })
    }
}

impl Look {
    /// Whether the live release, and its manifest, are the same when they are read by the release's id: listings lag, and so does
    /// what is found by a tag.
    pub fn is_current(&self, client: Client<'_>) -> Result<bool, CallError> {
        let Some(live) = &self.live else { return Ok(true) };
        let now = match client.release(live.release.id) {
            Err(error) if error.refusal() == Some(404) => return Ok(false),
            answer => answer?,
        };
        let seen = live.asset(manifest::FILE).map(|asset| asset.id);
        let there = now.assets.iter().find(|asset| asset.name == manifest::FILE).map(|asset| asset.id);
        Ok(now.is_still(&live.release) && (there.is_none() || there == seen))
    }

    /// Pinned sets with their markers, the one that was replaced last first.
    pub fn stamped(&self) -> impl Iterator<Item = (&Pinned, &Replaced)> {
        self.pinned.iter().filter_map(|set| Some((set, set.marker.as_ref()?)))
    }

    /// The set that the live one replaced, which a rollback restores.
    pub fn way_back(&self, live: &Live) -> Option<(&Pinned, &Replaced)> {
        self.stamped().find(|(_, stamp)| stamp.by == live.release.id)
    }

    /// # Errors
    ///
    /// Exit code 3: an earlier version of this tool ended while it exchanged the names of files.
    pub fn is_not_half_swapped(&self) -> anyhow::Result<()> {
        let earlier = self.pinned.iter().map(|set| &set.release).filter(|set| set.tag_name == PREVIOUS);
        let mut both = self.live.iter().map(|live| &live.release).chain(earlier);
        let aside = |asset: &Asset| asset.name.starts_with("packer-old.") && asset.name.ends_with(manifest::FILE);
        let is_half = |Release { assets, .. }: &&Release| {
            assets.iter().any(aside) && assets.iter().all(|asset| asset.name != manifest::FILE)
        };
        let Some(release) = both.find(is_half) else { return Ok(()) };
        Err(failure::missing(format!(
            "an earlier version of this tool ended while it exchanged the file names of release {} (`packer-old.…` on it)",
            release.id
        ))
        .fix("run that version once more, or give the files their names back on GitHub"))
    }
}

impl Contents {
    pub fn read(client: Client<'_>, release: Release) -> Result<Self, CallError> {
        let assets = client.assets(release.id)?;
        let (found, damaged) = match read(&assets, |asset| client.read_asset(asset))? {
            Ok(found) => (found, None),
            Err(why) => (None, Some(why)),
        };
        let (manifest, digest) = found.unzip();
        Ok(Self { release, assets, manifest, digest, damaged })
    }

    pub fn asset(&self, name: &str) -> Option<&Asset> {
        self.assets.iter().find(|asset| asset.name == name)
    }

    /// The version that the set stands for, or did: its own label, else its manifest's source.
    pub fn label(&self) -> Option<Label> {
        let of = |manifest: &Manifest| Label { source: manifest.source.clone(), commit: manifest.commit.clone() };
        marker::read(self.release.notes()).or_else(|| self.manifest.as_ref().map(of))
    }

    /// Reads its assets by their names: for [`crate::trust`].
    pub fn by_name(&self, client: Client<'_>) -> impl FnMut(&str) -> anyhow::Result<Option<Vec<u8>>> {
        files::by_name(&self.assets, move |asset| client.read_asset(asset))
    }
}

impl Deref for Live {
    type Target = Contents;

    fn deref(&self) -> &Contents {
        &self.contents
    }
}

impl Live {
    /// The version that it stands for, else that of its manifest, else the one in its notes.
    pub fn source(&self) -> Option<&str> {
        let label = self.label.as_ref().map(|label| label.source.as_str());
        let manifest = self.manifest.as_ref().map(|manifest| manifest.source.as_str());
        label.or(manifest).or_else(|| notes::points_to(self.release.notes()))
    }
}

impl Pinned {
    /// Proves that it is the set that it was when it was replaced.
    pub fn prove(&self, client: Client<'_>) -> anyhow::Result<Result<Contents, Unfit>> {
        pin::prove(client, self.release.id, self.marker.as_ref().and_then(Replaced::own_manifest))
    }

    pub fn contents(&self, client: Client<'_>) -> Result<Contents, CallError> {
        Contents::read(client, self.release.clone())
    }

    /// The version that it stood for, where that is said.
    pub fn source(&self) -> Option<String> {
        let noted = || notes::points_to(self.release.notes()).map(str::to_owned);
        marker::read::<Label>(self.release.notes()).map(|label| label.source).or_else(noted)
    }

    /// How people know it: its tag, and of a draft its id.
    pub fn describe(&self) -> String {
        let Release { id, tag_name, draft, .. } = &self.release;
        if *draft { format!("{tag_name} (draft {id})") } else { tag_name.clone() }
    }
}
