//! What goes into the set: images from the images folder, images carried over from `latest`, images copied from the
//! source's own release. Nothing goes in that nothing vouches for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::failure::{self, Problems};
use crate::gh::{Asset, CallError, Gh};
use crate::image::local::{self, LocalImage};
use crate::image::name;
use crate::image::parts::PartSize;
use crate::image::{checksum, templates};
use crate::manifest::Manifest;
use crate::signing::Allowed;
use crate::typed;

use super::TAG;
use super::audit;
use super::files::Trust;
use super::look::{self, Live};
use super::set::{Origin, SetImage};

/// What the person asked for.
#[derive(Debug, Clone)]
pub struct Wish {
    pub packer_dir: PathBuf,
    pub images: PathBuf,
    /// What `latest` is to stand for, and its commit; `None` where its tag isn't as it must be.
    pub source: Option<(String, String)>,
    pub part_size: PartSize,
    /// These come from the images folder; empty: all that are there.
    pub names: Vec<String>,
    /// These stay as they are on `latest`.
    pub carry: Vec<String>,
    /// The set is these and no others.
    pub only: Vec<String>,
    /// Who may sign what is taken over from a release.
    pub allowed: Option<Allowed>,
    pub allow_unsigned: bool,
}

impl Wish {
    fn trust(&self, gh: &Gh, from: &str, assets: &[Asset], manifest: Option<&Manifest>) -> anyhow::Result<Trust> {
        Trust::of(self.allowed.as_ref(), self.allow_unsigned, from, assets, manifest, |asset| gh.read_asset(asset))
    }
}

/// Where each image of the set comes from.
#[derive(Debug, Default)]
pub struct Chosen {
    pub images: Vec<SetImage>,
    /// Said to the person.
    pub warnings: Vec<String>,
}

/// The set from the images folder, completed from `latest`.
///
/// `differs` tells for images that aren't taken from the folder why `check` doesn't say skip for them; those that are left
/// out are as they were.
///
/// # Errors
///
/// All that is wrong, at once.
pub fn from_folder(
    gh: &Gh,
    wish: &Wish,
    live: Option<&Live>,
    differs: impl FnOnce(&BTreeSet<String>) -> anyhow::Result<BTreeMap<String, String>>,
) -> anyhow::Result<Chosen> {
    let known = templates::names(&wish.packer_dir)?;
    let asked = if wish.only.is_empty() { &wish.names } else { &wish.only };
    let carried = templates::choose(&known, &wish.carry)?;
    let full = if wish.only.is_empty() { known.clone() } else { templates::choose(&known, &wish.only)? };
    let carried: BTreeSet<String> = if wish.carry.is_empty() { BTreeSet::new() } else { carried };
    let named = templates::choose(&known, asked)?;

    let everything_carried = full.iter().all(|image| carried.contains(image));
    let found = match local::scan(&wish.images) {
        Ok(found) => found,
        Err(_) if everything_carried => BTreeMap::new(),
        Err(error) => return Err(error),
    };
    let mut chosen = Chosen::default();
    let mut problems = Problems::default();
    let mut absent = BTreeSet::new();
    let there = local::present(&found);
    for image in &full {
        let wanted_here = named.contains(image) && !carried.contains(image);
        match found.get(image).filter(|_| wanted_here && there.contains(image)) {
            Some(files) => {
                let opened = LocalImage::open(&wish.images, image, files);
                chosen.images.extend(problems.keep(opened.and_then(|opened| SetImage::local(opened, wish.part_size))));
            }
            // Named, and not there: never an old one in silence.
            None if wanted_here && !asked.is_empty() => problems.push(failure::missing(format!(
                "no image {} in {}; run {}",
                name::whole(image),
                wish.images.display(),
                typed::line(format_args!("build-and-fetch --host HOST {image}"))
            ))),
            None => {
                absent.insert(image.clone());
            }
        }
    }
    for stray in there.difference(&known) {
        problems.keep(name::check(stray));
        chosen.warnings.push(format!("{} has no template, so it is not published", name::whole(stray)));
    }
    let live_images = live.map(|live| audit::images(&live.assets)).unwrap_or_default();
    chosen.warnings.extend(live_images.difference(&known).map(|gone| dropped(gone, TAG)));
    let ask: BTreeSet<String> = absent.difference(&carried).cloned().collect();
    let reasons = match live {
        _ if ask.is_empty() => BTreeMap::new(),
        Some(live) if is_live(wish, live, &full, &chosen.images) => BTreeMap::new(),
        Some(_) => differs(&ask)?,
        None => ask.iter().map(|image| (image.clone(), format!("no {TAG} is published"))).collect(),
    };
    let carries = |image: &String| carried.contains(image) || !reasons.contains_key(image);
    if let Some(live) = live {
        carry(gh, wish, live, absent.iter().filter(|image| carries(image)), &mut chosen, &mut problems);
    }
    for image in &absent {
        match live {
            Some(_) if carries(image) => {}
            None if carried.contains(image) => problems.push(failure::missing(format!(
                "{image} can't be carried over: no {TAG} is published; build and fetch it"
            ))),
            _ => {
                let file = name::whole(image);
                let why = reasons.get(image).map(String::as_str).unwrap_or_default();
                let here = if there.contains(image) {
                    format!(
                        "{file} is not named, and can't be carried over: {why}; publish the one in {} by naming it as well",
                        wish.images.display()
                    )
                } else {
                    format!(
                        "no image {file} in {}, and it can't be carried over: {why}; run {}",
                        wish.images.display(),
                        typed::line(format_args!("build-and-fetch --host HOST {image}"))
                    )
                };
                let keep = if live.is_some() {
                    format!(", or keep the published one with `--carry {image}`")
                } else {
                    String::new()
                };
                problems.push(failure::missing(format!("{here}{keep}")));
            }
        }
    }
    chosen.warnings.extend(left_out(&known, &full));
    problems.into_result()?;
    Ok(chosen)
}

/// Whether what is here is of the set that is live for this very version already: then there is nothing to decide about
/// its other images.
fn is_live(wish: &Wish, live: &Live, full: &BTreeSet<String>, here: &[SetImage]) -> bool {
    let (Some(manifest), Some((version, commit))) = (&live.manifest, &wish.source) else { return false };
    let names: BTreeSet<String> = manifest.images.iter().map(|image| image.name.clone()).collect();
    let same = |image: &SetImage| manifest.image(&image.name).is_some_and(|there| image.is_like(there));
    (&manifest.source, &manifest.commit) == (version, commit) && names == *full && here.iter().all(same)
}

/// `--copy`: the images named, or all, as they are on the source's own release. The others stay as they are on `latest`.
pub fn from_source(gh: &Gh, wish: &Wish, source: &str, live: Option<&Live>) -> anyhow::Result<Chosen> {
    let known = templates::names(&wish.packer_dir)?;
    let full = templates::choose(&known, &wish.only)?;
    let kept = if wish.carry.is_empty() { BTreeSet::new() } else { templates::choose(&known, &wish.carry)? };
    let named = templates::choose(&full, &wish.names)?;
    let copied: BTreeSet<String> = named.difference(&kept).cloned().collect();
    let Some(release) = gh.release_by_tag(source)? else {
        return Err(failure::missing(format!(
            "no release {source} in {}, so there is nothing to copy; publish from --images instead",
            gh.repo()
        )));
    };
    let assets = gh.assets(release.id)?;
    let manifest = look::read_manifest(&assets, |asset| gh.read_asset(asset))?;
    let mut chosen = Chosen::default();
    let mut problems = Problems::default();
    let there = audit::images(&assets);
    let trust = wish.trust(gh, source, &assets, manifest.as_ref())?;
    match live {
        Some(live) => carry(gh, wish, live, full.difference(&copied), &mut chosen, &mut problems),
        None => full.difference(&copied).for_each(|image| {
            problems.push(failure::missing(format!(
                "{image} can't be carried over: no {TAG} is published; name it, or leave it out with --only"
            )));
        }),
    }
    for image in &copied {
        if there.contains(image) {
            let taken = trusted(gh, &trust, image, source, &assets, manifest.as_ref());
            chosen.images.extend(problems.keep(taken));
        } else {
            problems.push(failure::missing(format!(
                "release {source} has no image {}; publish from --images instead, or leave it out with --only",
                name::whole(image)
            )));
        }
    }
    chosen.warnings.extend(there.difference(&known).map(|gone| dropped(gone, &format!("release {source}"))));
    chosen.warnings.extend(left_out(&known, &full));
    problems.into_result()?;
    Ok(chosen)
}

/// What `--only` means for the other images.
fn left_out(known: &BTreeSet<String>, full: &BTreeSet<String>) -> Option<String> {
    let without: Vec<&str> = known.difference(full).map(String::as_str).collect();
    (!without.is_empty()).then(|| format!("--only: {TAG} will NOT have {}", without.join(", ")))
}

/// Takes images over as they are on `latest`.
fn carry<'a>(
    gh: &Gh,
    wish: &Wish,
    live: &Live,
    images: impl Iterator<Item = &'a String>,
    chosen: &mut Chosen,
    problems: &mut Problems,
) {
    let mut images = images.peekable();
    if images.peek().is_none() {
        return;
    }
    let manifest = live.manifest.as_ref();
    let Some(trust) = problems.keep(wish.trust(gh, TAG, &live.assets, manifest)) else { return };
    for image in images {
        chosen.images.extend(problems.keep(trusted(gh, &trust, image, TAG, &live.assets, manifest)));
    }
}

/// An image of the release `from`, which must be one that was signed where somebody signs.
pub fn trusted(
    gh: &Gh,
    trust: &Trust,
    image: &str,
    from: &str,
    assets: &[Asset],
    manifest: Option<&Manifest>,
) -> anyhow::Result<SetImage> {
    let mut image = from_release(|asset| gh.read_asset(asset), image, from, assets, manifest)?;
    trust.check(&image, from)?;
    // Where somebody signs, a manifest alone vouches for no part.
    if !trust.vouches_for_parts(&image)
        && let Origin::Assets { by_manifest, .. } = &mut image.origin
    {
        *by_manifest = false;
    }
    Ok(image)
}

/// An image of a release, vouched for by its manifest, or by its checksum file.
pub fn from_release(
    read: impl FnOnce(&Asset) -> Result<Vec<u8>, CallError>,
    image: &str,
    from: &str,
    assets: &[Asset],
    manifest: Option<&Manifest>,
) -> anyhow::Result<SetImage> {
    name::check(image)?;
    if let Some(image) = manifest.and_then(|manifest| manifest.image(image)) {
        return SetImage::from_manifest(image, from, assets);
    }
    let file = name::checksum(image);
    let Some(asset) = assets.iter().find(|asset| asset.name == file && asset.is_uploaded()) else {
        return Err(failure::missing(format!(
            "nothing vouches for {} on release {from}: it has neither a manifest nor {file}; give the image with --images",
            name::whole(image)
        )));
    };
    let text = String::from_utf8_lossy(&read(asset)?).into_owned();
    let sha256 = checksum::parse(image, &text)?;
    SetImage::from_assets(image, sha256, from, assets)
}

fn dropped(image: &str, from: &str) -> String {
    format!("{image} on {from} has no template any more, so it is dropped")
}
