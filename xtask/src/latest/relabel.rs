//! The same images under another source: no image is sent. The new manifest goes up beside the old one, is proven, and
//! takes its name by renames; then tag and notes follow.

use crate::failure;
use crate::gh::{Asset, CallError, NewRelease, Release, Upload};
use crate::image::digest::Digest;
use crate::interrupt;
use crate::manifest::{self, Manifest};

use super::changes;
use super::look::Live;
use super::switch::{self, Change, Doors};
use super::{TAG, notes};

/// Gives the live release another manifest, notes and tag.
pub fn relabel(doors: Doors<'_>, live: &Live, change: &Change, manifest: &Manifest) -> anyhow::Result<()> {
    let bytes = manifest.to_bytes();
    let digest = Digest::of(&bytes);
    // The digest in the name: two runs with different sources don't take each other's file.
    let staged = format!("packer-images.{}.json", &digest.to_string()[..12]);
    let new = put(doors, &live.release, &staged, &bytes, &live.assets)?;
    let old = live.asset(manifest::FILE).filter(|old| old.digest() != Some(digest));

    let moved = switch::move_tag_only(doors, change)?;
    let renamed = rename(doors, live, old, new.as_ref(), &bytes, manifest);
    if let Err(error) = renamed {
        if let (Some(old), Some(new)) = (old, &new) {
            // Both are no-ops where the renames had not begun.
            let gh = doors.gh.deaf();
            let back = gh.rename_asset(new.id, &staged).and_then(|_| gh.rename_asset(old.id, manifest::FILE));
            if let Err(error) = back {
                doors
                    .console
                    .warn(format_args!("{} could not be put back: {error}; publish again to mend it", manifest::FILE));
            }
        }
        if moved {
            switch::put_tag_back(doors, change);
        }
        return Err(error);
    }
    for spare in
        live.assets.iter().filter(|asset| is_spare(asset, &staged) || old.is_some_and(|old| old.id == asset.id))
    {
        doors.gh.delete_asset(spare.id)?;
    }
    switch::follow(doors, change)
}

/// Staged manifests of earlier runs, and what they set aside.
fn is_spare(asset: &Asset, staged: &str) -> bool {
    asset.name.starts_with("packer-images.") && asset.name != manifest::FILE && asset.name != staged
}

fn set_aside(old: &Asset) -> String {
    format!("packer-images.replaced-{}.json", old.id)
}

/// The proven asset under its staged name; `None` when the manifest is in place already.
fn put(
    doors: Doors<'_>,
    release: &Release,
    staged: &str,
    bytes: &[u8],
    assets: &[Asset],
) -> anyhow::Result<Option<Asset>> {
    let gh = doors.gh;
    let digest = Digest::of(bytes);
    let right = |asset: &&Asset| asset.is_uploaded() && asset.digest() == Some(digest);
    if assets.iter().find(|asset| asset.name == manifest::FILE).filter(right).is_some() {
        return Ok(None);
    }
    let mut backoff = gh.backoff();
    let mut there = assets.iter().find(|asset| asset.name == staged).cloned();
    loop {
        if let Some(asset) = there.take() {
            let proven = asset.is_uploaded()
                && match asset.digest() {
                    Some(there) => there == digest,
                    None => gh.read_asset(&asset)? == bytes,
                };
            if proven {
                return Ok(Some(asset));
            }
            gh.delete_asset(asset.id)?;
        }
        interrupt::check()?;
        let upload = Upload { release, name: staged, size: bytes.len() as u64 };
        match gh.upload(&upload, |pipe| Ok(pipe.write_all(bytes)?)) {
            Ok(asset) if asset.digest() == Some(digest) => return Ok(Some(asset)),
            Ok(asset) => {
                there = Some(asset.clone());
                if asset.digest().is_some() {
                    backoff.wait(doors.console, staged, CallError::Lost("GitHub holds other bytes".into()))?;
                }
            }
            Err(error) => {
                backoff.wait_for(doors.console, staged, error, CallError::name_taken)?;
                there = gh.assets(release.id)?.into_iter().find(|asset| asset.name == staged);
            }
        }
    }
}

fn rename(
    doors: Doors<'_>,
    live: &Live,
    old: Option<&Asset>,
    new: Option<&Asset>,
    bytes: &[u8],
    manifest: &Manifest,
) -> anyhow::Result<()> {
    // From here on the live release is between two states: signals wait.
    let gh = doors.gh.deaf();
    if let (Some(old), Some(_)) = (old, new) {
        gh.rename_asset(old.id, &set_aside(old))?;
    }
    if let Some(new) = new {
        // The answer itself tells: a listing may lag behind the rename.
        let named = gh.rename_asset(new.id, manifest::FILE)?;
        if named.name != manifest::FILE || named.digest().is_some_and(|digest| digest != Digest::of(bytes)) {
            return Err(failure::failed(format!(
                "{} on the live release is not the one sent; publish again",
                manifest::FILE
            )));
        }
    }
    let face = NewRelease {
        tag_name: TAG.to_owned(),
        name: live.release.name.clone().unwrap_or_default(),
        body: notes::text(manifest) + changes::kept(live.release.notes()),
        draft: false,
        prerelease: true,
        target: None,
    };
    gh.update_release(live.release.id, &face)?;
    Ok(())
}
