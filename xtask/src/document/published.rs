//! After the publish: what the manifest on `latest` says against the one that it replaced. By then `check` finds nothing
//! to do, rightly, and that must not be what gets written down.

use std::collections::BTreeMap;

use super::{ImageRecord, Record};
use crate::decide::History;
use crate::gh::Asset;
use crate::image::checksum;
use crate::image::digest::Digest;
use crate::latest::changes;
use crate::latest::doors::Doors;
use crate::latest::fits::{self, Fit, Made};
use crate::latest::look::{Live, Look};
use crate::latest::previous::{self, Kept};
use crate::manifest::{self, Image, Manifest};

/// What `latest` has to do with a release.
#[derive(Debug)]
pub enum AfterPublish {
    /// It stands for the release; this is what was published for it.
    Published(Box<Record>),
    /// It stands for the release, and nobody recorded what was published: it was made by hand.
    Unrecorded,
    /// It stands for a newer release than this.
    Overtaken(String),
    /// It doesn't stand for the release yet.
    NotYet,
}

/// What was published for a release, if it was.
pub fn after_publish(
    doors: Doors<'_>,
    history: &mut History,
    look: &Look,
    release: &str,
) -> anyhow::Result<AfterPublish> {
    let Some(live) = &look.live else { return Ok(AfterPublish::NotYet) };
    let Some(manifest) = &live.manifest else {
        let by_hand = crate::latest::notes::points_to(live.release.notes()) == Some(release);
        return Ok(if by_hand { AfterPublish::Unrecorded } else { AfterPublish::NotYet });
    };
    if manifest.source != release {
        let newer = crate::version::is_newer(&manifest.source, release);
        return Ok(if newer { AfterPublish::Overtaken(manifest.source.clone()) } else { AfterPublish::NotYet });
    }
    let before = if was_relabelled(live) {
        Before::TheSame
    } else {
        let kept = look.way_back(live).map(|(draft, stamp)| previous::kept(doors, draft, stamp)).transpose()?;
        kept.flatten().map_or(Ok(Before::Nothing), |kept| before(doors, kept))?
    };
    Ok(AfterPublish::Published(Box::new(record(history, live.release.notes(), manifest, &before)?)))
}

/// What was on `latest` before.
enum Before {
    /// These images, under another version.
    TheSame,
    /// With a manifest.
    Set(Manifest),
    /// Made by hand: the digests in its checksum files, by image.
    ByHand(BTreeMap<String, Digest>),
    /// Nothing that is known.
    Nothing,
}

/// Whether the release got its manifest after it went live: then only its version changed. Both times are GitHub's.
fn was_relabelled(live: &Live) -> bool {
    let manifest = live.asset(manifest::FILE).and_then(|asset| asset.updated_at.as_deref());
    manifest.zip(live.release.published_at.as_deref()).is_some_and(|(manifest, release)| manifest > release)
}

fn before(doors: Doors<'_>, kept: Kept) -> anyhow::Result<Before> {
    let Kept { assets, manifest, .. } = kept;
    if let Some(manifest) = manifest {
        return Ok(Before::Set(manifest));
    }
    let mut digests = BTreeMap::new();
    for asset in assets.iter().filter(|asset| asset.is_uploaded()) {
        if let Some(image) = asset.name.strip_suffix(".qcow2.sha256") {
            digests.extend(digest_in(doors, asset, image)?.map(|digest| (image.to_owned(), digest)));
        }
    }
    Ok(Before::ByHand(digests))
}

/// `None` for a checksum file that nobody can make sense of.
fn digest_in(doors: Doors<'_>, asset: &Asset, image: &str) -> anyhow::Result<Option<Digest>> {
    let text = String::from_utf8_lossy(&doors.read_asset(asset)?).into_owned();
    Ok(checksum::parse(image, &text).ok())
}

fn record(history: &mut History, notes: &str, manifest: &Manifest, before: &Before) -> anyhow::Result<Record> {
    let mut images = Vec::new();
    for image in &manifest.images {
        let (rebuilt, reason) = match before {
            Before::TheSame => (false, "the same bytes as before".to_owned()),
            Before::Nothing => (true, "the first that is known".to_owned()),
            Before::Set(old) => against(history, image, old.image(&image.name))?,
            Before::ByHand(digests) => match digests.get(&image.name) {
                None => (true, "new image".to_owned()),
                Some(digest) if *digest == image.sha256 => (false, "the same bytes as before".to_owned()),
                Some(_) => (true, "other bytes than before".to_owned()),
            },
        };
        let changed = changes::line(notes, &image.name).filter(|_| rebuilt);
        let reason = changed.map_or_else(|| reason.clone(), |changed| format!("{reason}; {changed}"));
        images.push(ImageRecord { name: image.name.clone(), rebuilt, reason });
    }
    let old_names: Vec<&String> = match before {
        Before::Set(old) => old.images.iter().map(|image| &image.name).collect(),
        Before::ByHand(digests) => digests.keys().collect(),
        Before::TheSame | Before::Nothing => Vec::new(),
    };
    let against = match before {
        Before::Set(old) => format!("the images published for {}", old.source),
        Before::ByHand(_) => "the images published before, by hand".to_owned(),
        Before::TheSame => "the images published before, which only got another version".to_owned(),
        Before::Nothing => "nothing: no earlier images are known".to_owned(),
    };
    Ok(Record {
        release: manifest.source.clone(),
        rebuilt: images.iter().any(|image| image.rebuilt),
        published: true,
        against,
        removed: old_names.into_iter().filter(|name| manifest.image(name).is_none()).cloned().collect(),
        images,
        review: Vec::new(),
    })
}

/// Whether an image is another than the one before, and why it was built.
fn against(history: &mut History, now: &Image, old: Option<&Image>) -> anyhow::Result<(bool, String)> {
    let Some(old) = old else { return Ok((true, "new image".to_owned())) };
    if old.sha256 == now.sha256 {
        return Ok((false, "the same bytes as before".to_owned()));
    }
    let bases = old.base_image.as_ref().zip(now.base_image.as_ref());
    if bases.is_some_and(|(was, is)| was.digest != is.digest) {
        return Ok((true, "another base image upstream".to_owned()));
    }
    let reason = match fits::fits(history, &now.name, made_of(old), made_of(now))? {
        Fit::Differs(paths) if paths.len() == 1 => format!("{} changed", paths[0]),
        Fit::Differs(paths) => format!("{} inputs changed, the first: {}", paths.len(), paths[0]),
        Fit::Same | Fit::Unknown(_) => "built anew".to_owned(),
    };
    Ok((true, reason))
}

fn made_of(image: &Image) -> Made<'_> {
    Made { inputs: image.inputs.as_ref(), built_from: image.built_from.as_ref() }
}
