//! What goes into the set: images from the images folder, images carried over from `latest`, images copied from the source's
//! own release. Every image has a digest from a checksum file or a manifest. `publish` asks for the set; `download` reads images of
//! a release in the same way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::failure::{self, Advice as _, Problems};
use crate::gh::{Asset, Gh};
use crate::image::local::{self, LocalImage};
use crate::image::name;
use crate::image::parts::PartSize;
use crate::image::{checksum, selection};
use crate::manifest::Manifest;
use crate::sources::BuiltFrom;
use crate::sources::templates;
use crate::suggest;
use crate::trust::{Policy, Signed};

use super::TAG;
use super::audit;
use super::files;
use super::look::{self, Live};
use super::set::SetImage;

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
    /// Who must sign what is taken over from a release.
    pub policy: Policy,
    /// What images without a record were built from: in words, and the commit.
    pub built_from: Option<(String, String)>,
}

/// The images of a set, and what is to be said to the person.
pub type Chosen = (Vec<SetImage>, Vec<String>);

/// What is known of images that are to stay as they are on `latest`.
#[derive(Debug, Default)]
pub struct Judged {
    /// Why check doesn't say skip, for those for which it doesn't.
    pub reasons: BTreeMap<String, String>,
    /// What check compared the others with: in words, and the commit.
    pub origins: BTreeMap<String, (String, String)>,
}

/// A set that is being put together.
struct Choice<'a> {
    gh: &'a Gh,
    wish: &'a Wish,
    live: Option<&'a Live>,
    /// Images that have a template.
    known: BTreeSet<String>,
    /// Images that the set is to have.
    full: BTreeSet<String>,
    /// Images that stay as they are because the person says so.
    carried: BTreeSet<String>,
    images: Vec<SetImage>,
    warnings: Vec<String>,
    problems: Problems,
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
    differs: impl FnOnce(&BTreeSet<String>) -> anyhow::Result<Judged>,
) -> anyhow::Result<Chosen> {
    let mut choice = Choice::new(gh, wish, live)?;
    let asked = if wish.only.is_empty() { &wish.names } else { &wish.only };
    let here: BTreeSet<String> =
        selection::choose(&choice.known, asked)?.difference(&choice.carried).cloned().collect();
    let found = match local::scan(&wish.images) {
        Err(error) if !choice.full.is_subset(&choice.carried) => return Err(error),
        found => found.unwrap_or_default(),
    };
    let there = local::present(&found);
    let mut absent = BTreeSet::new();
    for image in choice.full.clone() {
        match found.get(&image).filter(|_| here.contains(&image) && there.contains(&image)) {
            Some(files) => {
                let opened = LocalImage::open(&wish.images, &image, files);
                choice.take(opened.and_then(|opened| SetImage::local(opened, wish.part_size)));
            }
            // A named image is never replaced by an old one silently.
            None if here.contains(&image) && !asked.is_empty() => choice.missing(&image, &there, None),
            None => drop(absent.insert(image)),
        }
    }
    for stray in there.difference(&choice.known) {
        choice.problems.keep(name::check(stray));
        choice.warnings.push(format!("{} has no template, so it is not published", name::whole(stray)));
    }
    let ask: BTreeSet<String> = absent.difference(&choice.carried).cloned().collect();
    let judged = match live {
        Some(live) if !ask.is_empty() && !is_live(wish, live, &choice.full, &choice.images) => differs(&ask)?,
        _ => Judged::default(),
    };
    let lacks = |image: &&String| live.is_none() || judged.reasons.contains_key(*image);
    for image in ask.iter().filter(lacks) {
        choice.missing(image, &there, Some(judged.reasons.get(image).map_or(NOTHING_LIVE, String::as_str)));
    }
    choice.carry(&absent.into_iter().filter(|image| !ask.contains(image) || !lacks(&image)).collect());
    choice.done(live.map(|live| (audit::images(&live.assets), TAG.to_owned())), &judged.origins)
}

/// `--copy`: the images named, or all, as they are on the source's own release. The others stay as they are on `latest`.
pub fn from_source(gh: &Gh, wish: &Wish, source: &str, live: Option<&Live>) -> anyhow::Result<Chosen> {
    let mut choice = Choice::new(gh, wish, live)?;
    let copied: BTreeSet<String> =
        selection::choose(&choice.full, &wish.names)?.difference(&choice.carried).cloned().collect();
    let Some(release) = gh.release_or_draft(source)? else {
        return Err(failure::missing(format!("no release {source} in {}, so there is nothing to copy", gh.repo()))
            .fix("publish images from files: leave out --copy"));
    };
    let assets = gh.assets(release.id)?;
    let manifest = look::read_manifest(&assets, |asset| gh.read_asset(asset))?.map(|(manifest, _)| manifest);
    let there = audit::images(&assets);
    let signed = choice.trust(source, &assets)?;
    choice.carry(&choice.full.difference(&copied).cloned().collect());
    for image in &copied {
        choice.take(if there.contains(image) {
            trusted(gh, signed.as_ref(), image, source, &assets, manifest.as_ref())
        } else {
            Err(failure::missing(format!("release {source} has no image {}", name::whole(image)))
                .fix("publish the image from a file without --copy, or leave it out with --only"))
        });
    }
    choice.done(Some((there, format!("release {source}"))), &BTreeMap::new())
}

/// Why an image cannot be carried over.
const NOTHING_LIVE: &str = "nothing is published as `latest`";

impl<'a> Choice<'a> {
    fn new(gh: &'a Gh, wish: &'a Wish, live: Option<&'a Live>) -> anyhow::Result<Self> {
        let known = templates::names(&wish.packer_dir)?;
        let full = selection::choose(&known, &wish.only)?;
        let carried = if wish.carry.is_empty() { BTreeSet::new() } else { selection::choose(&known, &wish.carry)? };
        let (images, warnings, problems) = Default::default();
        Ok(Self { gh, wish, live, known, full, carried, images, warnings, problems })
    }

    fn take(&mut self, image: anyhow::Result<SetImage>) {
        self.images.extend(self.problems.keep(image));
    }

    /// Who signed a release, where somebody must.
    fn trust(&mut self, from: &str, assets: &[Asset]) -> anyhow::Result<Option<Signed>> {
        let read = files::by_name(assets, |asset| self.gh.read_asset(asset));
        let (signed, warning) = self.wish.policy.check_taken(&format!("release {from}"), read)?;
        self.warnings.extend(warning);
        Ok(signed)
    }

    /// Takes images over as they are on `latest`.
    fn carry(&mut self, images: &BTreeSet<String>) {
        if images.is_empty() {
            return;
        }
        let Some(live) = self.live else {
            for image in images {
                let error = failure::missing(format!("{image} can't be carried over: {NOTHING_LIVE}"));
                self.problems.push(error.fix("build and fetch the image, or leave it out with --only"));
            }
            return;
        };
        let manifest = live.manifest.as_ref();
        let signed = self.trust(TAG, &live.assets);
        let Some(signed) = self.problems.keep(signed) else { return };
        for image in images {
            self.take(trusted(self.gh, signed.as_ref(), image, TAG, &live.assets, manifest));
        }
    }

    /// `why`: the reason that the image isn't carried over, where it could be.
    fn missing(&mut self, image: &str, there: &BTreeSet<String>, why: Option<&str>) {
        let (file, images) = (name::whole(image), self.wish.images.display());
        let carried =
            why.map(|why| format!(", and {image} can't be carried over from {TAG}: {why}")).unwrap_or_default();
        let (what, fix) = if there.contains(image) {
            (
                format!("{file} is not among the named images{carried}"),
                format!("to publish the image in {images}, name it too"),
            )
        } else {
            let build = suggest::command(format_args!("build-and-fetch --host HOST {image}"));
            (format!("no image {file} in {images}{carried}"), format!("run {build}"))
        };
        let keep = why.filter(|_| self.live.is_some());
        let keep = keep.map(|_| format!(", or keep the published image with `--carry {image}`")).unwrap_or_default();
        self.problems.push(failure::missing(what).fix(fix + &keep));
    }

    /// `of`: the images of a release and its name, to say which of them are left out.
    fn done(
        mut self,
        of: Option<(BTreeSet<String>, String)>,
        origins: &BTreeMap<String, (String, String)>,
    ) -> anyhow::Result<Chosen> {
        self.take_as_built_from(origins);
        let warnings = &mut self.warnings;
        if let Some((images, from)) = of {
            let gone = images.difference(&self.known);
            warnings.extend(gone.map(|gone| format!("{gone} on {from} no longer has a template, so it is dropped")));
        }
        let without: Vec<&str> = self.known.difference(&self.full).map(String::as_str).collect();
        if !without.is_empty() {
            warnings.push(format!("--only: {TAG} will NOT have {}", without.join(", ")));
        }
        self.problems.into_result()?;
        // The same set, however it was named, is the same manifest.
        self.images.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((self.images, self.warnings))
    }

    /// Records the origin of images that have no build record: what the person says, else, for an image that is carried over,
    /// what `check` compared it with; so `check` still says skip afterwards.
    fn take_as_built_from(&mut self, origins: &BTreeMap<String, (String, String)>) {
        let mut taken: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for SetImage { name, facts, .. } in &mut self.images {
            let unrecorded = facts.built_from.is_none() && facts.inputs.is_none();
            let origin = self.wish.built_from.as_ref().or_else(|| origins.get(name));
            if let Some((what, commit)) = origin.filter(|_| unrecorded) {
                facts.built_from = Some(BuiltFrom { commit: commit.clone(), dirty: false });
                taken.entry(what.as_str()).or_default().push(name);
            }
        }
        for (what, images) in taken {
            let images = images.join(", ");
            self.warnings.push(format!(
            "no build record says what {images} was built from; recorded as built from {what} (change that with --built-from REV)"
        ));
        }
    }
}

/// Whether what is here is of the set that is live for this very version already: then there is nothing to decide about
/// its other images.
fn is_live(wish: &Wish, live: &Live, full: &BTreeSet<String>, here: &[SetImage]) -> bool {
    let (Some(manifest), Some((version, commit))) = (&live.manifest, &wish.source) else { return false };
    let names: BTreeSet<String> = manifest.images.iter().map(|image| image.name.clone()).collect();
    let same = |image: &SetImage| manifest.image(&image.name).is_some_and(|there| image.sha256 == there.sha256);
    let is_label = live.label.as_ref().is_some_and(|label| (&label.source, &label.commit) == (version, commit));
    is_label && names == *full && here.iter().all(same)
}

/// An image of the release `from`, with the digest from its manifest, else from its checksum file. Where a signature is
/// required, the image must be a signed one.
pub fn trusted(
    gh: &Gh,
    signed: Option<&Signed>,
    image: &str,
    from: &str,
    assets: &[Asset],
    manifest: Option<&Manifest>,
) -> anyhow::Result<SetImage> {
    name::check(image)?;
    let (file, checksum) = (name::whole(image), name::checksum(image));
    let image = if let Some(image) = manifest.and_then(|manifest| manifest.image(image)) {
        SetImage::from_manifest(image, from, assets)?
    } else if let Some(bytes) = files::by_name(assets, |asset| gh.read_asset(asset))(&checksum)? {
        let sha256 = checksum::parse(image, &String::from_utf8_lossy(&bytes))?;
        SetImage::from_assets(image, sha256, from, assets)?
    } else {
        let why = format!("{file} on release {from} has no digest: neither a manifest nor {checksum} is there");
        return Err(failure::missing(why).fix("publish the image from a file: name its folder with --images"));
    };
    match signed.filter(|signed| !signed.sums.has(&file, image.sha256)) {
        None => Ok(image),
        Some(signed) => {
            Err(failure::digest(format!("{file} on release {from} is not among the files that {} signed", signed.who))
                .fix(suggest::command("verify")))
        }
    }
}
