//! Holds what is published against itself: assets, digests, parts, checksum files, manifest, notes and tag.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use crate::console::count;
use crate::gh::Asset;
use crate::git::TagRef;
use crate::image::digest::Digest;
use crate::image::name::{self, Role};
use crate::image::{checksum, parts};
use crate::manifest::{self, Expected, Image, Manifest};
use crate::signing::Allowed;
use crate::typed;

use super::doors::Doors;
use super::files::Signed;
use super::look::{Live, Look};
use super::naming::Named;
use super::prove::{self, Difference};
use super::{TAG, files, notes};

/// What was found.
#[derive(Debug, Default)]
pub struct Audit {
    /// Each names its object. Empty: all agrees.
    pub differences: Vec<String>,
    /// What can't be told without reading the bytes.
    pub unproven: Vec<String>,
}

impl Audit {
    fn differs(&mut self, what: impl Into<String>) {
        self.differences.push(what.into());
    }
}

/// Compares by what GitHub says; reads no image.
pub fn published(doors: Doors<'_>, live: &Live, tag: Option<&TagRef>) -> anyhow::Result<Audit> {
    let mut audit = Audit::default();
    if !live.release.prerelease {
        audit.differs(format!("release {TAG} is not marked as a prerelease"));
    }
    for asset in live.assets.iter().filter(|asset| !asset.is_uploaded() && Named::is_plain(asset)) {
        audit.differs(format!("{} is in state {}: an upload that broke off", asset.name, asset.state));
    }
    match &live.manifest {
        Some(manifest) => with_manifest(&mut audit, live, manifest, tag),
        None => {
            audit.unproven.push(format!("{} is missing: made by hand, or by an older tool", manifest::FILE));
            by_checksum_files(doors, &mut audit, live)?;
        }
    }
    Ok(audit)
}

/// Whether each template has its image there, whether the manifest is the one that was published, and, without one, whether
/// the tag is where the notes say.
pub fn full_set(
    doors: Doors<'_>,
    look: &Look,
    live: &Live,
    templates: &BTreeSet<String>,
    audit: &mut Audit,
) -> anyhow::Result<()> {
    let published = look.way_back(live).and_then(|(_, stamp)| stamp.by_manifest);
    if published.is_some() && live.digest.is_none() {
        audit.differs(format!("{} was removed since the publish", manifest::FILE));
    } else if published.is_some() && published != live.digest {
        audit.unproven.push(format!("{} is another than the publish put there", manifest::FILE));
    }
    if templates.is_empty() {
        audit.unproven.push("no template is here, so nothing tells whether the set is full".to_owned());
    }
    if let Some(manifest) = &live.manifest {
        let without = templates.iter().filter(|name| manifest.image(name).is_none());
        audit
            .unproven
            .extend(without.map(|name| format!("{name} has a template here and is not in the published set")));
        return Ok(());
    }
    let there = images(&live.assets);
    for name in templates.difference(&there) {
        audit.differs(format!("{} is missing on the release, and there is a template for it", name::whole(name)));
    }
    if there.is_empty() && templates.is_empty() {
        audit.differs("no image is on the release");
    }
    for asset in &live.assets {
        if let Some(image) = Role::stray_part_of(&asset.name) {
            let joined = format!("`cat {}.part*` takes it along", name::whole(image));
            audit.differs(format!("{} is no part, and {joined}; last touched by {}", asset.name, asset.last_touched()));
        }
    }
    let Some(tag) = &look.tag else {
        audit.differs(format!("tag {TAG} is missing on the remote"));
        return Ok(());
    };
    let version = notes::points_to(live.release.notes());
    match version.map(|version| doors.commit_of_tag(version)).transpose()?.flatten() {
        Some(commit) if commit == tag.commit => {}
        Some(commit) => audit.differs(format!(
            "tag {TAG} is at {}, the notes say {} at {commit}",
            tag.commit,
            version.unwrap_or_default()
        )),
        None => audit.unproven.push(format!("nothing tells whether the tag {TAG} belongs to these images")),
    }
    audit.unproven.push("nothing tells what the images were built from".to_owned());
    Ok(())
}

fn with_manifest(audit: &mut Audit, live: &Live, manifest: &Manifest, tag: Option<&TagRef>) {
    match tag {
        None => audit.differs(format!("tag {TAG} is missing on the remote")),
        Some(tag) if tag.commit != manifest.commit => audit.differs(format!(
            "tag {TAG} is at {}, the manifest is for {} at {}",
            tag.commit, manifest.source, manifest.commit
        )),
        Some(_) => {}
    }
    if notes::points_to(live.release.notes()) != Some(manifest.source.as_str()) {
        audit.differs(format!("the notes don't say `Points to {}`, which is the manifest's source", manifest.source));
    }
    let expected = manifest.assets();
    for expected in &expected {
        let asset = live.asset(&expected.file);
        match prove::compare(expected, asset) {
            // Those that broke off are told already.
            None | Some(Difference::Broken) => {}
            Some(Difference::Unknown) => audit.unproven.push(format!("GitHub gives no digest for {}", expected.file)),
            Some(_) => audit.differences.extend(altered(expected, &live.assets)),
        }
    }
    for image in manifest.images.iter().filter(|image| !image.parts.is_empty()) {
        let size: u64 = image.parts.iter().map(|part| part.size).sum();
        if size != image.size {
            audit.differs(format!(
                "the parts of {} have {} together, the image has {}",
                image.name,
                count(size, "byte"),
                image.size
            ));
        }
    }
    audit.differences.extend(files::differs(manifest));
    for asset in added(&expected, &live.assets) {
        audit.differs(is_added(asset));
    }
}

/// Assets that readers take for an image's, and that the manifest doesn't know.
fn added<'a>(expected: &[Expected], assets: &'a [Asset]) -> Vec<&'a Asset> {
    let known: BTreeSet<&str> = expected.iter().map(|expected| expected.file.as_str()).collect();
    let of_images = assets.iter().filter(|asset| name::read_with(&asset.name).is_some());
    of_images.filter(|asset| !known.contains(asset.name.as_str())).collect()
}

fn is_added(asset: &Asset) -> String {
    format!("{} is on the release, but is not in the manifest; last touched by {}", asset.name, asset.last_touched())
}

/// The first thing about a published image that isn't what the manifest says: somebody changed it by hand.
pub fn altered_image(image: &Image, assets: &[Asset]) -> Option<String> {
    let expected = image.assets();
    let altered = expected.iter().find_map(|expected| altered(expected, assets));
    altered.or_else(|| {
        let its = |asset: &&Asset| name::read_with(&asset.name).as_ref() == Some(&image.name);
        added(&expected, assets).into_iter().find(its).map(is_added)
    })
}

/// What the signature says. By whom it is, where that can be told.
pub fn signature(doors: Doors<'_>, live: &Live, allowed: Option<&Allowed>, audit: &mut Audit) -> Option<String> {
    let manifest = live.manifest.as_ref();
    match files::signed(allowed, &live.assets, manifest, |asset| doors.read_asset(asset)) {
        Err(error) => audit.differs(format!("{error:#}")),
        Ok(Signed::Unknown) => {
            audit.unproven.push("it is signed, and no file allowed_signers says who may sign".to_owned());
        }
        Ok(Signed::Not) => {
            let unsigned =
                |allowed: &Allowed| format!("it is not signed, and {} names who signs", allowed.path().display());
            audit.differences.extend(allowed.map(unsigned));
        }
        Ok(Signed::By(who, sums)) => {
            let strange = |image: &&Image| !files::vouches(&sums, &image.name, image.sha256);
            for image in manifest.into_iter().flat_map(|manifest| &manifest.images).filter(strange) {
                audit.differs(format!("{} in the manifest is not what {who} signed", image.file));
            }
            return Some(who);
        }
    }
    None
}

/// How an asset is not what the manifest says, as far as that shows without reading it.
pub fn differs(expected: &Expected, asset: Option<&Asset>) -> Option<String> {
    let file = &expected.file;
    match prove::compare(expected, asset)? {
        Difference::Missing => Some(format!("{file} is missing on the release")),
        Difference::Broken => Some(format!("{file} is an upload that broke off")),
        Difference::Size(size) => {
            Some(format!("{file} has {}, the manifest says {}", count(size, "byte"), expected.size))
        }
        Difference::Digest(digest) => {
            Some(format!("{file} has sha256 {digest}, the manifest says {}", expected.sha256))
        }
        Difference::Unknown => None,
    }
}

/// The same of an asset among others, and who touched it last.
pub fn altered(expected: &Expected, assets: &[Asset]) -> Option<String> {
    let asset = assets.iter().find(|asset| asset.name == expected.file);
    let differs = differs(expected, asset)?;
    Some(match asset {
        Some(asset) => format!("{differs}; last touched by {}", asset.last_touched()),
        None => differs,
    })
}

/// Without a manifest the checksum files are all that vouches for the images.
fn by_checksum_files(doors: Doors<'_>, audit: &mut Audit, live: &Live) -> anyhow::Result<()> {
    for image in images(&live.assets) {
        let suffixes: BTreeSet<String> = live.assets.iter().filter_map(|asset| suffix(asset, &image)).collect();
        let whole = live.asset(&name::whole(&image));
        if whole.is_some() && !suffixes.is_empty() {
            audit.differs(format!("{image} is there whole and in parts"));
        }
        if let Some(gap) = parts::gap(suffixes.iter().map(String::as_str)) {
            audit.differs(format!("{} is missing on the release", name::part(&image, &gap)));
        }
        let Some(promised) = promised(doors, live, &image)? else {
            audit.differs(format!("{} is missing or damaged: nothing vouches for {image}", name::checksum(&image)));
            continue;
        };
        match whole.and_then(Asset::digest) {
            Some(digest) if digest == promised => {}
            Some(digest) => {
                audit
                    .differs(format!("{} has sha256 {digest}, its checksum file says {promised}", name::whole(&image)));
            }
            None => audit.unproven.push(format!(
                "GitHub gives no digest for the whole of {image}, so its bytes alone tell whether all of it is there: \
                 {}",
                typed::line("verify --download")
            )),
        }
    }
    Ok(())
}

/// What the image's checksum file promises; `None` when there is none that can be read.
pub fn promised(doors: Doors<'_>, live: &Live, image: &str) -> anyhow::Result<Option<Digest>> {
    let Some(asset) = live.asset(&name::checksum(image)).filter(|asset| asset.is_uploaded()) else { return Ok(None) };
    let text = String::from_utf8_lossy(&doors.read_asset(asset)?).into_owned();
    Ok(checksum::parse(image, &text).ok())
}

fn suffix(asset: &Asset, wanted: &str) -> Option<String> {
    match Role::of(&asset.name)? {
        Role::Part { image, suffix } if image == wanted => Some(suffix),
        _ => None,
    }
}

/// Names of the images that have bytes among some assets.
pub fn images(assets: &[Asset]) -> BTreeSet<String> {
    let image = |asset: &Asset| match Role::of(&asset.name)? {
        Role::Checksum { .. } => None,
        Role::Whole { image } | Role::Part { image, .. } => Some(image),
    };
    assets.iter().filter_map(image).collect()
}

/// Downloads each image and compares its digest with what vouches for it.
pub fn by_bytes(doors: Doors<'_>, live: &Live, audit: &mut Audit) -> anyhow::Result<()> {
    for image in images(&live.assets) {
        let promised = match live.manifest.as_ref().and_then(|manifest| manifest.image(&image)) {
            Some(image) => Some(image.sha256),
            None => promised(doors, live, &image)?,
        };
        // Reported already.
        let Some(promised) = promised else { continue };
        let mut pieces: Vec<&Asset> = live.assets.iter().filter(|asset| suffix(asset, &image).is_some()).collect();
        pieces.sort_by(|a, b| a.name.cmp(&b.name));
        pieces.extend(live.asset(&name::whole(&image)));
        let bar = doors.outside().transfer(name::whole(&image), pieces.iter().map(|piece| piece.size).sum());
        let mut hash = Sha256::new();
        for piece in pieces {
            doors.read_through(piece, |bytes| {
                hash.update(bytes);
                bar.moved(bytes.len() as u64);
                Ok(())
            })?;
        }
        bar.finish("downloaded and hashed");
        let digest = Digest::from_hash(hash);
        if digest != promised {
            audit.differs(format!("{} hashes to {digest} as downloaded, expected {promised}", name::whole(&image)));
        }
    }
    // Nothing has read the checksum files yet.
    for expected in live.manifest.iter().flat_map(Manifest::assets) {
        let checksum = matches!(Role::of(&expected.file), Some(Role::Checksum { .. }));
        let asset = live.asset(&expected.file).filter(|_| checksum);
        if let (Some(asset), Some(Difference::Unknown)) = (asset, prove::compare(&expected, asset)) {
            let digest = prove::digest(doors, asset)?;
            if digest != expected.sha256 {
                audit.differs(format!(
                    "{} hashes to {digest} as downloaded, the manifest says {}",
                    expected.file, expected.sha256
                ));
            }
        }
    }
    audit.unproven.retain(|unproven| !unproven.contains("no digest"));
    Ok(())
}
