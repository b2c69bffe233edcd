//! The same images under another source: no image is sent. Manifest and files go up beside those that are live, are proven,
//! and take their names by renames; the tag goes before, notes and the stamp of the way back follow.
//!
//! A run that ends between the renames leaves the old manifest set aside: [`super::heal`] gives all of them their names
//! back, and the next run begins with the new ones that are there already.

use crate::failure;
use crate::gh::{Asset, NewRelease};
use crate::image::digest::Digest;
use crate::manifest::{self, Manifest};

use super::TAG;
use super::changes;
use super::files::{self, File};
use super::held::Held;
use super::look::{Live, PreviousDraft};
use super::marker::{self, Replaced};
use super::naming::Named;
use super::notes;
use super::prove::{self, Unproven};
use super::send;
use super::stage::{self, On, Stage};
use super::stock::Stock;
use super::switch::{self, Change};

/// Gives the live release another manifest, notes and tag.
pub fn relabel(
    held: Held<'_>,
    live: &Live,
    back: Option<&PreviousDraft>,
    change: &Change,
    manifest: &Manifest,
    files: &[File],
) -> anyhow::Result<()> {
    let id = live.release.id;
    // What is set aside from here on must be all that is: it tells what to give back.
    if live.assets.iter().any(|asset| matches!(Named::of(asset), Named::Old { .. })) {
        stage::clear(held, id, |asset| matches!(Named::of(asset), Named::New { .. }))?;
    }
    let stage = Stage::go_on(held, id, On::Live, Stock::new(live.assets.clone(), []))?;
    let mut manifest = manifest.clone();
    let mut expected = Vec::new();
    for file in files {
        send::small(&stage, file, &stage.stock)?;
        expected.push(file.part.expected());
        manifest.files.push(file.part.clone());
    }
    let own = File::new(manifest::FILE, manifest.to_bytes());
    send::small(&stage, &own, &stage.stock)?;
    expected.push(own.part.expected());
    prove::staged(&stage, &expected).map_err(|unproven| match unproven {
        Unproven::Removed(what) => failure::failed(format!("{what}, so nothing was changed; publish again")),
        Unproven::Error(error) => error,
    })?;

    switch::move_tag_only(held, change)?;
    // From here on the live release is between two states: signals wait.
    let deaf = held.deaf();
    // A signature of digests that are there no more.
    let unsigned = |asset: &Asset| {
        asset.name == files::SIGNATURE && manifest.files.iter().all(|file| file.file != files::SIGNATURE)
    };
    stage.swap(deaf, unsigned)?;
    let face = NewRelease {
        tag_name: TAG.to_owned(),
        name: live.release.name.clone().unwrap_or_default(),
        body: notes::text(&manifest) + changes::kept(live.release.notes()),
        draft: false,
        prerelease: true,
        badge: false,
    };
    deaf.update_release(format_args!("writing the notes of {TAG}"), id, &face, |now| {
        if now.draft || now.tag_name != TAG {
            return Err(failure::failed(format!("release {TAG} was changed by somebody else; run again")));
        }
        Ok(now.notes() != face.body || !now.prerelease)
    })?;
    if let Some(back) = back {
        stamp(deaf, back, id, own.part.sha256, &change.target.object)?;
    }
    stage::clear(held, id, |_| false)?;
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
