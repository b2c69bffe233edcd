//! The same images under another source: no image is sent. The new manifest goes up beside the old one, is proven, and
//! takes its name by renames; the tag goes before, notes and the stamp of the way back follow.
//!
//! A run that ends between the renames leaves the old manifest set aside: [`super::heal`] puts it back, and the next run
//! begins with the new one that is there already.

use crate::failure;
use crate::gh::{Asset, CallError, NewRelease, Release};
use crate::image::digest::Digest;
use crate::manifest::{self, Manifest};

use super::TAG;
use super::changes;
use super::files::{self, File};
use super::held::Held;
use super::look::{Live, PreviousDraft};
use super::marker::{self, Replaced};
use super::notes;
use super::switch::{self, Change};

/// How a manifest is called that was set aside.
const ASIDE: &str = "packer-images.replaced-";

/// How the names of files begin that are on their way.
const STAGED: &str = "packer-file.";

/// Gives the live release another manifest, notes and tag.
pub fn relabel(
    held: Held<'_>,
    live: &Live,
    back: Option<&PreviousDraft>,
    change: &Change,
    manifest: &Manifest,
    files: &[File],
) -> anyhow::Result<()> {
    let mut manifest = manifest.clone();
    let mut placed = Vec::new();
    for file in files {
        placed.extend(place(held, live, file)?);
        manifest.files.push(file.part());
    }
    let bytes = manifest.to_bytes();
    let digest = Digest::of(&bytes);
    // The digest in the name: two runs with different sources don't take each other's file.
    let staged = format!("packer-images.{}.json", &digest.to_string()[..12]);
    let new = put(held, &live.release, manifest::FILE, &staged, &bytes, &live.assets)?;
    let old = live.asset(manifest::FILE).filter(|old| old.digest() != Some(digest));

    switch::move_tag_only(held, change)?;
    // From here on the live release is between two states: signals wait.
    let deaf = held.deaf();
    if let (Some(old), Some(_)) = (old, &new) {
        deaf.rename_asset(live.release.id, old.id, &format!("{ASIDE}{}.json", old.id))?;
    }
    if let Some(new) = &new {
        let named = deaf.rename_asset(live.release.id, new.id, manifest::FILE)?;
        if named.digest().is_some_and(|named| named != digest) {
            return Err(failure::failed(format!(
                "{} on the live release is not the one sent; publish again",
                manifest::FILE
            )));
        }
    }
    let face = NewRelease {
        tag_name: TAG.to_owned(),
        name: live.release.name.clone().unwrap_or_default(),
        body: notes::text(&manifest) + changes::kept(live.release.notes()),
        draft: false,
        prerelease: true,
        badge: false,
    };
    deaf.update_release(format_args!("writing the notes of {TAG}"), live.release.id, &face, |now| {
        if now.draft || now.tag_name != TAG {
            return Err(failure::failed(format!("release {TAG} was changed by somebody else; run again")));
        }
        Ok(now.notes() != face.body || !now.prerelease)
    })?;
    if let Some(back) = back {
        stamp(deaf, back, live.release.id, digest, &change.target.object)?;
    }
    // A signature of digests that are there no more.
    let unsigned = |asset: &Asset| {
        asset.name == files::SIGNATURE && manifest.files.iter().all(|file| file.file != files::SIGNATURE)
    };
    let replaced = |asset: &Asset| files.iter().any(|file| file.name == asset.name && !is_that(asset, file));
    let spare = |asset: &&Asset| {
        is_spare(asset, &staged) || old.is_some_and(|old| old.id == asset.id) || unsigned(asset) || replaced(asset)
    };
    for spare in live.assets.iter().filter(spare).filter(|asset| !placed.contains(&asset.id)) {
        held.delete_asset(live.release.id, spare.id)?;
    }
    switch::follow(held, change)
}

/// The way back from a release names its manifest and its tag, which are others now.
fn stamp(held: Held<'_>, back: &PreviousDraft, live: u64, manifest: Digest, tag: &str) -> anyhow::Result<()> {
    let Some(stamp) = &back.marker else { return Ok(()) };
    let stamp = Replaced { by_manifest: Some(manifest), by_tag: Some(tag.to_owned()), ..stamp.clone() };
    let body = marker::write(back.release.notes(), &stamp);
    let again = NewRelease {
        tag_name: back.release.tag_name.clone(),
        name: back.release.name.clone().unwrap_or_default(),
        body: body.clone(),
        draft: true,
        prerelease: back.release.prerelease,
        badge: false,
    };
    held.update_release("stamping the way back", back.release.id, &again, |now| {
        let there: Option<Replaced> = marker::read(now.notes());
        let named = there.as_ref().is_some_and(|there| now.draft && there.by == live);
        Ok(named && there.is_some_and(|there| there.by_manifest != Some(manifest)))
    })
    .map(drop)
}

fn is_that(asset: &Asset, file: &File) -> bool {
    asset.is_uploaded() && asset.digest() == Some(Digest::of(&file.bytes))
}

/// The manifest that was set aside, where none has the name.
pub fn aside(assets: &[Asset]) -> Option<&Asset> {
    let named = assets.iter().any(|asset| asset.name == manifest::FILE);
    assets.iter().find(|asset| !named && asset.name.starts_with(ASIDE) && asset.is_uploaded())
}

/// Staged manifests of earlier runs, and what they set aside.
pub fn is_spare(asset: &Asset, staged: &str) -> bool {
    (asset.name.starts_with("packer-images.") || asset.name.starts_with(STAGED))
        && asset.name != manifest::FILE
        && asset.name != staged
}

/// Puts a file onto the live release: proven under a staged name first, so that what readers see under its own name was
/// never half there. The asset's id, when it isn't the one that was there.
fn place(held: Held<'_>, live: &Live, file: &File) -> anyhow::Result<Option<u64>> {
    let staged = format!("{STAGED}{}.{}", &file.part().sha256.to_string()[..12], file.name);
    let Some(new) = put(held, &live.release, file.name, &staged, &file.bytes, &live.assets)? else {
        return Ok(None);
    };
    let deaf = held.deaf();
    if let Some(old) = live.asset(file.name) {
        deaf.rename_asset(live.release.id, old.id, &format!("{STAGED}replaced-{}.{}", old.id, file.name))?;
    }
    deaf.rename_asset(live.release.id, new.id, file.name).map(|named| Some(named.id))
}

/// The proven asset under its staged name; `None` when the file is in place already.
fn put(
    held: Held<'_>,
    release: &Release,
    file: &str,
    staged: &str,
    bytes: &[u8],
    assets: &[Asset],
) -> anyhow::Result<Option<Asset>> {
    let digest = Digest::of(bytes);
    let right = |asset: &&Asset| asset.is_uploaded() && asset.digest() == Some(digest);
    if assets.iter().find(|asset| asset.name == file).filter(right).is_some() {
        return Ok(None);
    }
    let mut tries = held.backoff();
    let mut there = assets.iter().find(|asset| asset.name == staged).cloned();
    loop {
        if let Some(asset) = there.take() {
            let proven = asset.is_uploaded()
                && match asset.digest() {
                    Some(there) => there == digest,
                    None => held.read_asset(&asset)? == bytes,
                };
            if proven {
                return Ok(Some(asset));
            }
            held.delete_asset(release.id, asset.id)?;
        }
        held.check()?;
        match held.upload(release, staged, bytes.len() as u64, |pipe| Ok(pipe.write_all(bytes)?))? {
            Ok(asset) if asset.digest() == Some(digest) => return Ok(Some(asset)),
            Ok(asset) => {
                if asset.digest().is_some() {
                    tries.wait(staged, CallError::Lost("GitHub holds other bytes".into()))?;
                }
                there = Some(asset);
            }
            Err(error) => {
                tries.wait_for(staged, error, CallError::name_taken)?;
                there = held.assets(release.id)?.into_iter().find(|asset| asset.name == staged);
            }
        }
    }
}
