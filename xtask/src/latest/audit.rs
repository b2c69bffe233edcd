//! Compares what is published with itself: assets, digests, parts, checksum files, manifest, notes and tag. A difference names its
//! object; what only the bytes can show is listed apart. Verify, status and proofs of sets use it.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::failure::{self, Kind};
use crate::gh::Asset;
use crate::git::TagRef;
use crate::image::name::{self, Role};
use crate::image::{checksum, parts};
use crate::manifest::{self, FileEntry, Image};
use crate::signing::Allowed;
use crate::suggest;
use crate::trust::{self, Verdict};

use super::client::Client;
use super::look::{Contents, Live, Look};
use super::prove::{self, Difference};
use super::{TAG, files, notes};

/// What was found.
#[derive(Debug, Default)]
pub struct Audit {
    /// Each names its object. Empty: all agrees.
    pub differences: Vec<String>,
    /// What only the bytes could show.
    pub unproven: Vec<String>,
}

impl Audit {
    fn differs(&mut self, what: impl Into<String>) {
        self.differences.push(what.into());
    }
}

/// Compares what is live with its manifest, notes and tag, and with the templates, by what GitHub says; reads no image.
pub fn published(client: Client<'_>, look: &Look, live: &Live, templates: &BTreeSet<String>) -> anyhow::Result<Audit> {
    let mut audit = Audit::default();
    if !live.release.prerelease {
        audit.differs(format!("release {TAG} is not marked as a prerelease"));
    }
    audit.differences.extend(broken(&live.assets));
    audit.differences.extend(live.damaged.iter().cloned());
    labelled(&mut audit, live, look.refs.tag.as_ref());
    let recorded = look.way_back(live).and_then(|(_, stamp)| stamp.by_manifest);
    if recorded.is_some() && live.digest.is_none() && live.damaged.is_none() {
        audit.differs(format!("{} was removed since the publish", manifest::FILE));
    } else if recorded.is_some() && recorded != live.digest {
        audit.unproven.push(format!("{} is not the file that the publish sent", manifest::FILE));
    }
    if templates.is_empty() {
        audit.unproven.push("there is no template here, so whether the set is complete is unknown".to_owned());
    }
    let Some(manifest) = &live.manifest else {
        if live.damaged.is_none() {
            audit.unproven.push(format!("{} is missing: made by hand, or by an older tool", manifest::FILE));
        }
        by_checksum_files(client, &mut audit, &live.assets)?;
        by_hand(client, look, live, templates, &mut audit)?;
        return Ok(audit);
    };
    audit.differences.extend(by_listing(live));
    let unknown = without_digest(live).into_iter().map(|(it, _)| format!("GitHub gives no digest for {}", it.file));
    audit.unproven.extend(unknown);
    let without = templates.iter().filter(|name| manifest.image(name).is_none());
    let without = without.map(|name| format!("{name} has a template here and is not in the published set"));
    audit.unproven.extend(without);
    Ok(audit)
}

/// What is known of a live set without a manifest.
fn by_hand(
    client: Client<'_>,
    look: &Look,
    live: &Live,
    templates: &BTreeSet<String>,
    audit: &mut Audit,
) -> anyhow::Result<()> {
    let there = images(&live.assets);
    for name in templates.difference(&there) {
        audit.differs(format!("{} is missing on the release, and there is a template for it", name::whole(name)));
    }
    if there.is_empty() && templates.is_empty() {
        audit.differs("no image is on the release");
    }
    for (asset, image) in live.assets.iter().filter_map(|asset| Some((asset, Role::stray_part_of(&asset.name)?))) {
        let (joined, by) = (format!("`cat {}.part*` would include it", name::whole(image)), asset.last_touched());
        audit.differs(format!("{} is not a part, and {joined}; last touched by {by}", asset.name));
    }
    if let Some(tag) = &look.refs.tag {
        let version = notes::points_to(live.release.notes());
        match version.map(|version| client.commit_of_tag(version)).transpose()?.flatten() {
            Some(commit) if commit == tag.commit => {}
            Some(commit) => {
                let version = version.unwrap_or_default();
                audit.differs(format!("tag {TAG} is at {}, the notes say {version} at {commit}", tag.commit));
            }
            None => audit.unproven.push(format!("whether the tag {TAG} belongs to these images is unknown")),
        }
        audit.unproven.push("no record says what the images were built from".to_owned());
    }
    Ok(())
}

fn broken(assets: &[Asset]) -> Vec<String> {
    let broken = assets.iter().filter(|asset| !asset.is_uploaded());
    broken.map(|asset| format!("{} is in state {}: its upload was interrupted", asset.name, asset.state)).collect()
}

/// Whether label, notes and tag agree.
fn labelled(audit: &mut Audit, live: &Live, tag: Option<&TagRef>) {
    let Some(tag) = tag else { return audit.differs(format!("tag {TAG} is missing on the remote")) };
    match &live.label {
        Some(label) if label.commit != tag.commit => audit.differs(format!(
            "tag {TAG} is at {}, and the release stands for {} at {}",
            tag.commit, label.source, label.commit
        )),
        Some(label) if notes::points_to(live.release.notes()) != Some(label.source.as_str()) => {
            audit.differs(format!("the notes don't say `Points to {}`, which the release stands for", label.source));
        }
        None if live.manifest.is_some() => {
            audit.unproven.push(format!("which version {TAG} stands for is unknown; publish sets it"));
        }
        _ => {}
    }
}

/// What differs between a manifest and its release's assets, by what GitHub says of them.
pub fn by_listing(set: &Contents) -> Vec<String> {
    differences(&files::assets(set), &set.assets, None)
}

/// What is altered, and what readers take for an image's, or for this image's, and is not expected.
fn differences(expected: &[FileEntry], assets: &[Asset], image: Option<&str>) -> Vec<String> {
    let known: BTreeSet<&str> = expected.iter().map(|expected| expected.file.as_str()).collect();
    let is_read = |asset: &&Asset| name::read_with(&asset.name).is_some_and(|of| image.is_none_or(|image| of == image));
    let added = assets.iter().filter(|asset| !known.contains(asset.name.as_str())).filter(is_read).map(|asset| {
        let by = asset.last_touched();
        format!("{} is on the release, but is not in the manifest; last touched by {by}", asset.name)
    });
    expected.iter().filter_map(|expected| altered(expected, assets)).chain(added).collect()
}

/// Assets whose names and sizes are right, and of which GitHub gives no digest.
fn without_digest(set: &Contents) -> Vec<(FileEntry, &Asset)> {
    let pair = |it: FileEntry| set.asset(&it.file).map(|asset| (it, asset));
    let unknown = |(it, asset): &(FileEntry, &Asset)| prove::compare(it, Some(asset)) == Some(Difference::Unknown);
    files::assets(set).into_iter().filter_map(pair).filter(unknown).collect()
}

/// Reads an asset of which GitHub gives no digest.
fn differs_in_bytes(client: Client<'_>, expected: &FileEntry, asset: &Asset) -> anyhow::Result<Option<String>> {
    let (found, FileEntry { file, sha256, .. }) = (prove::digest(client, asset)?, expected);
    let says = || format!("{file} has sha256 {found} as downloaded, the manifest says {sha256}");
    Ok((found != *sha256).then(says))
}

/// What differs in a set that is to become live; what GitHub gives no digest of is read.
///
/// # Errors
///
/// GitHub doesn't answer.
pub fn set(client: Client<'_>, set: &Contents) -> anyhow::Result<Vec<String>> {
    if let Some(why) = &set.damaged {
        return Ok(vec![why.clone()]);
    }
    if set.manifest.is_none() {
        let mut audit = Audit { differences: broken(&set.assets), ..Audit::default() };
        by_checksum_files(client, &mut audit, &set.assets)?;
        if images(&set.assets).is_empty() {
            audit.differs("it has no image");
        }
        return Ok(audit.differences);
    }
    let mut differences = by_listing(set);
    for (expected, asset) in without_digest(set) {
        differences.extend(differs_in_bytes(client, &expected, asset)?);
    }
    Ok(differences)
}

/// The first thing about a published image that isn't what the manifest says: somebody changed it by hand.
pub fn altered_image(image: &Image, assets: &[Asset]) -> Option<String> {
    differences(&image.assets(), assets, Some(&image.name)).into_iter().next()
}

/// Who signed the live set; what is wrong with the signature goes to `audit`.
///
/// # Errors
///
/// The signature could not be read, or nothing here checks it.
pub fn signature(
    client: Client<'_>,
    live: &Live,
    allowed: Option<&Allowed>,
    audit: &mut Audit,
) -> anyhow::Result<Option<String>> {
    let is_signed = live.asset(files::SIGNATURE).is_some();
    match (trust::verdict(allowed, live.by_name(client)), allowed) {
        (Ok(Verdict::SignedBy(signed)), _) => return Ok(Some(signed.who)),
        (Ok(Verdict::NotSigned), Some(allowed)) => audit.differs(allowed.unsigned()),
        (Ok(_), _) if is_signed => {
            audit.unproven.push("it is signed, but no allowed_signers file says who may sign".to_owned());
        }
        (Ok(_), _) => {}
        (Err(error), _) if failure::kind(&error) == Kind::Digest => audit.differs(format!("{error:#}")),
        (Err(error), _) => return Err(error),
    }
    Ok(None)
}

/// How an asset among some is not what the manifest says, as far as that shows without reading it, and who touched it last.
pub fn altered(expected: &FileEntry, assets: &[Asset]) -> Option<String> {
    let asset = assets.iter().find(|asset| asset.name == expected.file);
    let difference = prove::compare(expected, asset).filter(|difference| *difference != Difference::Unknown)?;
    let by = asset.map(|asset| format!("; last touched by {}", asset.last_touched())).unwrap_or_default();
    Some(format!("{} {}{by}", expected.file, difference.words(expected, "the manifest says")))
}

/// Without a manifest, only the checksum files say what the images must be.
fn by_checksum_files(client: Client<'_>, audit: &mut Audit, assets: &[Asset]) -> anyhow::Result<()> {
    for image in images(assets) {
        let in_parts = parts_of(assets, &image);
        let whole = assets.iter().find(|asset| asset.name == name::whole(&image));
        if whole.is_some() && !in_parts.is_empty() {
            audit.differs(format!("{image} is there whole and in parts"));
        }
        if let Some(gap) = parts::gap(in_parts.keys().map(String::as_str)) {
            audit.differs(format!("{} is missing on the release", name::part(&image, &gap)));
        }
        let Some(promised) = promised(client, assets, &image)? else {
            audit.differs(format!("{} is missing or damaged, so {image} cannot be checked", name::checksum(&image)));
            continue;
        };
        match whole.and_then(Asset::digest) {
            Some(digest) if digest == promised => {}
            Some(digest) => {
                audit
                    .differs(format!("{} has sha256 {digest}, its checksum file says {promised}", name::whole(&image)));
            }
            None => audit.unproven.push(format!(
                "GitHub gives no digest for the whole of {image}; {} reads its bytes",
                suggest::command("verify --download")
            )),
        }
    }
    Ok(())
}

/// What the image's checksum file promises; `None` when there is none that can be read.
pub fn promised(client: Client<'_>, assets: &[Asset], image: &str) -> anyhow::Result<Option<Digest>> {
    let bytes = files::by_name(assets, |asset| client.read_asset(asset))(&name::checksum(image))?;
    Ok(bytes.and_then(|bytes| checksum::parse(image, &String::from_utf8_lossy(&bytes)).ok()))
}

/// The digest of each image: from the manifest, else from its checksum file, if that can be read.
pub fn digests(client: Client<'_>, set: &Contents) -> anyhow::Result<BTreeMap<String, Digest>> {
    if let Some(manifest) = &set.manifest {
        return Ok(manifest.images.iter().map(|image| (image.name.clone(), image.sha256)).collect());
    }
    let promise = |image: String| Ok(promised(client, &set.assets, &image)?.map(|digest| (image, digest)));
    images(&set.assets).into_iter().filter_map(|image| promise(image).transpose()).collect()
}

/// The parts of an image among some assets, by their suffixes.
pub fn parts_of<'a>(assets: &'a [Asset], wanted: &str) -> BTreeMap<String, &'a Asset> {
    let part = |asset: &'a Asset| match Role::of(&asset.name)? {
        Role::Part { image, suffix } if image == wanted => Some((suffix, asset)),
        _ => None,
    };
    assets.iter().filter_map(part).collect()
}

/// Names of the images that have bytes among some assets.
pub fn images(assets: &[Asset]) -> BTreeSet<String> {
    let roles = assets.iter().filter_map(|asset| Role::of(&asset.name)).filter(Role::has_bytes);
    roles.map(|role| role.image().to_owned()).collect()
}

/// Downloads each image and compares its digest with the manifest or the checksum file.
pub fn by_bytes(client: Client<'_>, live: &Live, audit: &mut Audit) -> anyhow::Result<()> {
    for image in images(&live.assets) {
        let promised = match live.manifest.as_ref().and_then(|manifest| manifest.image(&image)) {
            Some(image) => Some(image.sha256),
            None => promised(client, &live.assets, &image)?,
        };
        // Reported already.
        let Some(promised) = promised else { continue };
        let mut pieces: Vec<&Asset> = parts_of(&live.assets, &image).into_values().collect();
        pieces.extend(live.asset(&name::whole(&image)));
        let bar = client.outside().transfer(name::whole(&image), pieces.iter().map(|piece| piece.size).sum());
        let mut hash = Sha256::new();
        for piece in pieces {
            client.read_through(piece, |bytes| {
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
    // Nothing has read the other files yet.
    let of_image = |it: &FileEntry| Role::of(&it.file).is_some_and(|role| role.has_bytes());
    for (it, asset) in without_digest(live).into_iter().filter(|(it, _)| !of_image(it)) {
        audit.differences.extend(differs_in_bytes(client, &it, asset)?);
    }
    audit.unproven.retain(|unproven| !unproven.contains("no digest"));
    Ok(())
}
