//! The record after the publish: what the manifest on `latest` says, compared with the set that it replaced.
//!
//! Once a set is live, `check` rightly finds nothing to do; that must not be what is written down. The record is made from
//! what GitHub shows, so it is true also for a publish that another person made.

use std::collections::BTreeMap;

use super::{ImageRecord, Record, Stage};
use crate::decide::Report;
use crate::digest::Digest;
use crate::failure::{self, Advice as _};
use crate::image::record::Facts;
use crate::latest::client::Client;
use crate::latest::look::{Live, Look, Pinned};
use crate::latest::{audit, changes};
use crate::manifest::{Image, Manifest};
use crate::sources::{self, BuiltFrom, Fit, History, fits};
use crate::version;

const SAME: &str = "the same bytes as before";

/// What to write for a release: what was published for it, else what `check` decides for it.
///
/// # Errors
///
/// Exit code 1: `latest` stands for a newer release, so the decision for this release is not known any more.
pub fn record(
    client: Client<'_>,
    history: &mut History,
    look: &Look,
    report: &Report,
    (label, taken_back): (Option<&str>, bool),
    release: &str,
) -> anyhow::Result<Record> {
    let (Some(live), Some(label)) = (&look.live, label) else { return Ok(Record::before_publish(release, report)) };
    if taken_back {
        return taken(client, look, live, label, release);
    }
    if label != release {
        if version::is_newer(label, release) {
            let what = format!("`latest` stands for {label}, so the decision for {release} is no longer known");
            return Err(failure::failed(what).fix("write the line by hand"));
        }
        return Ok(Record::before_publish(release, report));
    }
    let Some(manifest) = &live.manifest else {
        let reason = "published by hand: what changed is not recorded";
        let image = |name: String| ImageRecord { name, rebuilt: false, reason: reason.to_owned() };
        let images = audit::images(&live.assets).into_iter().map(image).collect();
        return Ok(Record::new(release, Stage::ByHand, "nothing", images));
    };
    // A set that was published for an earlier version only got another label.
    let before = if label == manifest.source {
        look.way_back(live).map(|(set, _)| Before::of(client, history, set)).transpose()?
    } else {
        Some(Before::of_manifest(manifest))
    };
    published(history, live.release.notes(), release, manifest, before.as_ref())
}

/// What a rollback took back: the images that are other images on `latest` now.
fn taken(client: Client<'_>, look: &Look, live: &Live, label: &str, release: &str) -> anyhow::Result<Record> {
    let manifest = match look.way_back(live) {
        Some((set, _)) => set.contents(client)?.manifest,
        None => None,
    };
    let now = audit::digests(client, live)?;
    let image = |image: &Image| {
        let rebuilt = now.get(&image.name) != Some(&image.sha256);
        let reason = if rebuilt { format!("`latest` has the image of {label} again") } else { SAME.to_owned() };
        ImageRecord { name: image.name.clone(), rebuilt, reason }
    };
    let images = manifest.iter().flat_map(|manifest| &manifest.images).map(image).collect();
    let against = format!("the images published for {label}");
    Ok(Record { rebuilt: true, ..Record::new(release, Stage::TakenBack(label.to_owned()), against, images) })
}

/// The set that was on `latest` before.
struct Before {
    what: String,
    /// The version that changes are counted from, in words.
    since: String,
    /// Digest and facts of each image; of a set made by hand, the digests are those in its checksum files.
    images: BTreeMap<String, (Digest, Facts)>,
}

impl Before {
    fn of_manifest(manifest: &Manifest) -> Self {
        let image = |image: &Image| (image.name.clone(), (image.sha256, image.facts.clone()));
        Self {
            what: format!("the images published for {}", manifest.source),
            since: manifest.source.clone(),
            images: manifest.images.iter().map(image).collect(),
        }
    }

    fn of(client: Client<'_>, history: &mut History, set: &Pinned) -> anyhow::Result<Self> {
        let contents = set.contents(client)?;
        if let Some(manifest) = &contents.manifest {
            return Ok(Self::of_manifest(manifest));
        }
        let label = set.source();
        let tagged = label.as_ref().map(|label| history.commit(&format!("refs/tags/{label}"))).transpose()?.flatten();
        let commit = tagged.or_else(|| set.marker.as_ref().and_then(|marker| marker.commit.clone()));
        let facts = Facts { built_from: commit.map(|commit| BuiltFrom { commit, dirty: false }), ..Facts::default() };
        let images = audit::digests(client, &contents)?
            .into_iter()
            .map(|(name, digest)| (name, (digest, facts.clone())))
            .collect();
        let what = label.as_ref().map(|label| format!("the images published by hand for {label}"));
        let what = what.unwrap_or_else(|| "the images published before, by hand".to_owned());
        Ok(Self { what, since: label.unwrap_or_else(|| "then".to_owned()), images })
    }
}

/// `before`: `None` where no earlier set is known.
fn published(
    history: &mut History,
    notes: &str,
    release: &str,
    manifest: &Manifest,
    before: Option<&Before>,
) -> anyhow::Result<Record> {
    let mut images = Vec::new();
    for image in &manifest.images {
        let (rebuilt, mut reason) = match before.map(|before| (before, before.images.get(&image.name))) {
            None => (true, "no earlier published image is known".to_owned()),
            Some((_, None)) => (true, "new image".to_owned()),
            Some((_, Some((digest, _)))) if *digest == image.sha256 => (false, SAME.to_owned()),
            Some((before, Some((_, was)))) => (true, because(history, image, was, &before.since)?),
        };
        if let Some(changed) = changes::line(notes, &image.name).filter(|_| rebuilt) {
            reason = format!("{reason}; {changed}");
        }
        images.push(ImageRecord { name: image.name.clone(), rebuilt, reason });
    }
    let against = before.map_or("nothing: no earlier images are known", |before| &before.what);
    let names = before.into_iter().flat_map(|before| before.images.keys());
    let removed = names.filter(|name| manifest.image(name).is_none()).cloned().collect();
    Ok(Record { removed, ..Record::new(release, Stage::Published, against, images) })
}

/// What of an image's inputs changed, in the words of `check`.
fn because(history: &mut History, now: &Image, was: &Facts, since: &str) -> anyhow::Result<String> {
    let bases = was.base_image.as_ref().zip(now.facts.base_image.as_ref());
    if bases.is_some_and(|(was, is)| was.digest != is.digest) {
        return Ok("another base image upstream".to_owned());
    }
    Ok(match fits::fits(history, &now.name, was.made(), now.facts.made())? {
        Fit::Differs(changes) => sources::because(&changes, since),
        Fit::Same | Fit::Unknown(_) => "rebuilt".to_owned(),
    })
}
