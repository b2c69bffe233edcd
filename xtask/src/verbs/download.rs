//! `download`: fetches images from a release, joined and verified.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::checksum::hashed;
use super::{Common, Outcome, common};
use crate::console::Console;
use crate::failure::{self, Advice as _, Failure, Kind, Problems};
use crate::gh::{Asset, Gh, Tries};
use crate::image::arriving::Arriving;
use crate::image::local::{self, Files, LocalImage};
use crate::image::name::Role;
use crate::image::record::{self, BuildRecord};
use crate::image::{checksum, cut, durable, hash, name, seen, selection};
use crate::interrupt;
use crate::latest::files;
use crate::latest::marker::{self, Label};
use crate::latest::prove::{self, Difference};
use crate::latest::set::{Origin, SetImage};
use crate::latest::{PINNED, TAG, audit, choose, look};
use crate::manifest::{FileEntry, Manifest};
use crate::signing::Allowed;
use crate::sources::templates;
use crate::suggest;
use crate::text::size;
use crate::trust::{Policy, Signed};

/// Download images from a release, join their parts and verify them
///
/// Each byte is written once and hashed on the way. The same command continues an interrupted download. An image gets its name
/// when its digest matches the manifest or the checksum file of the release.
#[derive(clap::Args)]
pub struct Download {
    /// Images to download [default: all on the release]
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
    /// Tag of the release
    #[arg(long, value_name = "TAG", default_value = TAG)]
    tag: String,
    /// Download the set that was published for this version, from `latest` or the pinned set
    #[arg(long, value_name = "VERSION", conflicts_with = "tag")]
    set: Option<String>,
    /// Accept a signed set that is older than the last set downloaded to this folder
    #[arg(long)]
    older: bool,
    /// Replace a local image that has another digest
    #[arg(long)]
    force: bool,
    /// Accept unsigned images, although packer/allowed_signers names signers
    #[arg(long)]
    allow_unsigned: bool,
    #[command(flatten)]
    tries: Tries,
    #[command(flatten)]
    pub common: common::Downloading,
}

/// A release with images, as found.
struct Source<'a> {
    gh: &'a Gh,
    tag: &'a str,
    assets: Vec<Asset>,
    manifest: Option<Manifest>,
    signed: Option<Signed>,
}

/// What is to be done for one image.
enum Task {
    /// It is here, of the promised digest.
    Here(Box<LocalImage>),
    Fetch(PathBuf),
}

impl Download {
    pub fn run(self, common: &Common, console: &Console) -> anyhow::Result<Outcome> {
        interrupt::watch();
        let allowed = common.allowed_signers()?;
        let gh = Gh::new(common.repo()?, self.tries, console);
        let tag = self.set.as_deref().map_or(Ok(self.tag.clone()), |version| release_of(&gh, version))?;
        let source = Source::find(&gh, &tag, allowed.as_ref(), self.allow_unsigned)?;
        if let Some(version) = &self.set {
            source.is_of(version)?;
        }
        if let Some(Signed { who, .. }) = &source.signed {
            console.line(format_args!("release {tag} is signed by {who}"));
        }
        let folder = common.images();
        let created =
            source.manifest.as_ref().and_then(|manifest| Some((manifest.created.as_deref()?, &manifest.source)));
        if let Some((created, version)) = created
            && tag == TAG
            && self.set.is_none()
            && source.signed.is_some()
        {
            seen::remember(&folder, &gh.repo().to_string(), created, version, self.older)?;
        }
        let mut problems = Problems::default();
        let mut images = Vec::new();
        let here = if folder.is_dir() { local::scan(&folder)? } else { BTreeMap::new() };
        for name in source.choose(&common.packer_dir(), &self.names)? {
            let files = here.get(&name);
            let judged = source.image(&name).and_then(|image| Ok((self.task(&source, &folder, files, &image)?, image)));
            images.extend(problems.keep(judged));
        }
        problems.into_result()?;

        let mut problems = Problems::default();
        let results = hash::in_parallel(&images, |(task, image)| source.fetch(task, image, console));
        let done: Vec<Value> = results.into_iter().filter_map(|result| problems.keep(result)).collect();
        problems.into_result()?;
        Ok(Outcome::done(
            json!({ "release": tag, "signed_by": source.signed.as_ref().map(|signed| &signed.who), "images": done }),
        ))
    }

    /// Compares with what is here under the image's name. An image that was built and not published yet is not for a
    /// download to replace.
    fn task(
        &self,
        source: &Source<'_>,
        folder: &Path,
        files: Option<&Files>,
        image: &SetImage,
    ) -> anyhow::Result<Task> {
        let target = folder.join(&image.name).join(name::whole(&image.name));
        let Some(files) = files.filter(|files| !files.whole.is_empty() || !files.parts.is_empty()) else {
            return Ok(Task::Fetch(target));
        };
        let place = || files.whole.first().cloned().unwrap_or(target);
        if self.force && files.whole.len() < 2 {
            let here = LocalImage::open(folder, &image.name, files).ok();
            let same = |here: &LocalImage| Ok::<_, anyhow::Error>(hashed(here, source.gh.console())? == image.sha256);
            return Ok(match here {
                Some(here) if here.bytes.size() == image.size && same(&here)? => Task::Here(Box::new(here)),
                _ => Task::Fetch(place()),
            });
        }
        let here = LocalImage::open(folder, &image.name, files)?;
        let digest = hashed(&here, source.gh.console())?;
        if digest == image.sha256 {
            return Ok(Task::Here(Box::new(here)));
        }
        Err(failure::digest(format!(
            "the local {} has digest {digest}, the image on release {} has {}",
            name::whole(&image.name),
            source.tag,
            image.sha256
        ))
        .fix("keep the local image, or replace it with --force"))
    }
}

/// The release with the set that was published for a version: `latest`, or the one that keeps the set since.
///
/// # Errors
///
/// Exit code 3: no set was built for it.
fn release_of(gh: &Gh, version: &str) -> anyhow::Result<String> {
    let latest = gh.release_by_tag(TAG)?;
    let mut live = None;
    if let Some(release) = &latest {
        let manifest = look::read_manifest(&gh.assets(release.id)?, |asset| gh.read_asset(asset))?;
        live = manifest.map(|(manifest, _)| manifest.source);
    }
    if live.as_deref() == Some(version) {
        return Ok(TAG.to_owned());
    }
    let pinned = format!("{PINNED}{version}");
    if gh.release_by_tag(&pinned)?.is_some() {
        return Ok(pinned);
    }
    let has = live.map(|live| format!(", with the set of {live}")).unwrap_or_default();
    let label = latest.and_then(|release| marker::read::<Label>(release.notes())).map(|label| label.source);
    Err(if label.as_deref() == Some(version) {
        failure::missing(format!("no set was built for {version}: `{TAG}` stands for {version}{has}"))
            .fix("leave out --set")
    } else {
        failure::missing(format!("there is no set of {version}: there is `{TAG}`{has}, but no release {pinned}"))
            .fix("look for another version: `gh release list` shows all releases")
    })
}

impl<'a> Source<'a> {
    /// # Errors
    ///
    /// Exit code 4: the release has the set of another version.
    fn is_of(&self, version: &str) -> anyhow::Result<()> {
        // Without a manifest the set was made by hand, and its release is named after the version in its notes.
        match &self.manifest {
            Some(manifest) if manifest.source != version => Err(failure::digest(format!(
                "release {} has the set of {}, not that of {version}; nothing was fetched",
                self.tag, manifest.source
            ))),
            _ => Ok(()),
        }
    }

    fn find(gh: &'a Gh, tag: &'a str, allowed: Option<&Allowed>, allow_unsigned: bool) -> anyhow::Result<Self> {
        let Some(release) = gh.release_by_tag(tag)? else {
            gh.repository()?;
            return Err(failure::missing(format!("no release {tag} is published in {}", gh.repo()))
                .fix(format_args!("see what there is: {}", suggest::command("status"))));
        };
        let assets = gh.assets(release.id)?;
        let manifest = look::read_manifest(&assets, |asset| gh.read_asset(asset))?;
        let manifest = manifest.map(|(manifest, _)| manifest);
        let mut source = Self { gh, tag, assets, manifest, signed: None };
        if source.names().is_empty() {
            return Err(failure::missing(format!("release {tag} in {} has no images; they are on `{TAG}`", gh.repo()))
                .fix("leave out --tag"));
        }
        let policy = Policy { allowed: allowed.cloned(), allow_unsigned };
        let read = files::by_name(&source.assets, |asset| gh.read_asset(asset));
        let (signed, warning) = policy.check_taken(&format!("release {tag}"), read)?;
        warning.iter().for_each(|warning| gh.console().warn(warning));
        source.signed = signed;
        Ok(source)
    }

    /// The images whose bytes are there or should be: the manifest promises them, or a checksum file was left behind.
    fn names(&self) -> BTreeSet<String> {
        let promised = self.manifest.iter().flat_map(|manifest| &manifest.images).map(|image| image.name.clone());
        let of_assets = self.assets.iter().filter_map(|asset| Some(Role::of(&asset.name)?.image().to_owned()));
        of_assets.chain(promised).collect()
    }

    /// The images named, or all on the release.
    fn choose(&self, packer_dir: &Path, asked: &[String]) -> anyhow::Result<BTreeSet<String>> {
        let there = self.names();
        if asked.is_empty() {
            return Ok(there);
        }
        let known = there.iter().cloned().chain(templates::names(packer_dir).unwrap_or_default()).collect();
        let chosen = selection::choose(&known, asked)?;
        match chosen.difference(&there).next() {
            None => Ok(chosen),
            Some(absent) => {
                Err(failure::missing(format!("no image {} on release {}", name::whole(absent), self.tag)).fix(
                    format_args!("name an image of this release: {}", there.into_iter().collect::<Vec<_>>().join(", ")),
                ))
            }
        }
    }

    /// Manifest, checksum file and GitHub's digests of the assets must agree.
    fn image(&self, name: &str) -> anyhow::Result<SetImage> {
        let promised = self.manifest.as_ref().and_then(|manifest| manifest.image(name));
        let promised = promised.map(crate::manifest::Image::assets).unwrap_or_default();
        let altered: Vec<String> =
            promised.iter().filter_map(|expected| audit::altered(expected, &self.assets)).collect();
        if !altered.is_empty() {
            let message = format!("{name} on release {} does not match its manifest: {}", self.tag, altered.join("; "));
            let other_bytes = |expected: &FileEntry| {
                let asset = self.assets.iter().find(|asset| asset.name == expected.file);
                matches!(prove::compare(expected, asset), Some(Difference::Size(_) | Difference::Digest(_)))
            };
            let replaced = promised.iter().any(other_bytes);
            let kind = if replaced { Kind::Digest } else { Kind::Failed };
            return Err(Failure::error(kind, message).fix(format_args!("run {}", suggest::command("verify"))));
        }
        if !audit::images(&self.assets).contains(name) {
            let file = name::whole(name);
            let missing = format!("{file} is missing on release {}, although its checksum file is there", self.tag);
            return Err(failure::missing(missing).fix("publish the image again"));
        }
        choose::trusted(self.gh, self.signed.as_ref(), name, self.tag, &self.assets, self.manifest.as_ref())
    }

    fn fetch(&self, task: &Task, image: &SetImage, console: &Console) -> anyhow::Result<Value> {
        let (result, path, checksum_path) = match task {
            Task::Here(here) => (
                "unchanged",
                here.bytes.paths().next().map(Path::to_owned).unwrap_or_default(),
                here.checksum_path.clone(),
            ),
            Task::Fetch(path) => {
                let resumed = self.bytes(image, path, console)?;
                cut::remove_leftovers(&image.name, path, 0)?;
                self.lists(image, path)?;
                write_record(image, path)?;
                (
                    if resumed { "resumed" } else { "downloaded" },
                    path.clone(),
                    path.with_file_name(name::checksum(&image.name)),
                )
            }
        };
        let line = checksum::line(&image.name, image.sha256);
        if std::fs::read(&checksum_path).ok().as_deref() != Some(line.as_bytes()) {
            durable::write(&checksum_path, line.as_bytes())?;
        }
        console.line(format_args!("{}: {}, verified", name::whole(&image.name), console.green(result)));
        Ok(json!({
            "name": image.name,
            "file": path,
            "size": image.size,
            "sha256": image.sha256,
            "result": result,
        }))
    }

    /// Brings the lists of its packages and files.
    fn lists(&self, image: &SetImage, path: &Path) -> anyhow::Result<()> {
        for list in &image.lists {
            let bytes = image.read_list(list, |asset| self.gh.read_asset(asset))?;
            durable::write(&path.with_file_name(&list.0.file), &bytes)?;
        }
        Ok(())
    }

    /// Brings the bytes; `true` when some of them were here from an earlier run.
    fn bytes(&self, image: &SetImage, path: &Path, console: &Console) -> anyhow::Result<bool> {
        let dir = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(dir).map_err(|error| durable::write_error(dir, error))?;
        let Origin::Assets { assets, .. } = &image.origin else {
            return Err(failure::failed(format!("{} is not on a release", image.name)));
        };
        let bar = console.transfer(format!("downloading {}", name::whole(&image.name)), image.size);
        let mut arriving = Arriving::open(path, image.size, image.sha256, |bytes| bar.moved(bytes))?;
        let mut resumed = arriving.at() > 0;
        durable::check_room(dir, &image.name, image.size - arriving.at())?;
        if resumed {
            console.note(format_args!("{}: resuming at {}", name::whole(&image.name), size(arriving.at())));
        }
        loop {
            bar.restart_at(arriving.at());
            for (piece, asset) in image.pieces.iter().zip(assets) {
                if arriving.at() < piece.range.end {
                    let start = arriving.at() - piece.range.start;
                    self.gh.read_from(asset, start, |bytes| {
                        bar.moved(bytes.len() as u64);
                        arriving.write(bytes)
                    })?;
                }
            }
            if resumed && arriving.digest() != image.sha256 {
                console.warn(format_args!(
                    "{}: the partial download of an earlier run does not match; downloading again from the start",
                    image.name
                ));
                resumed = false;
                arriving.restart()?;
                continue;
            }
            arriving.verified().map_err(|error| self.unfit(error))?.finish()?;
            bar.finish("downloaded");
            return Ok(resumed);
        }
    }

    /// What to do about bytes that arrived and can't be used.
    fn unfit(&self, error: anyhow::Error) -> anyhow::Error {
        let by_digest = failure::kind(&error) == Kind::Digest;
        let error = error.context(format!("release {}", self.tag));
        if !by_digest {
            return error.fix("build and publish the image again");
        }
        match self.tag == TAG {
            true => error.fix(format!("compare `{TAG}` with its manifest: {}", suggest::command("verify --download"))),
            false => error
                .fix("run the same command again; if it fails again, take the image from `latest`: leave out --tag"),
        }
    }
}

/// What the manifest says about the build goes along, so that the image can be published again as what it is.
fn write_record(image: &SetImage, path: &Path) -> anyhow::Result<()> {
    let record_path = path.with_file_name(record::file_name(&image.name));
    let facts = &image.facts;
    if facts.built_from.is_none() && facts.inputs.is_none() && facts.lists().next().is_none() {
        // One that is here belongs to the image that was here.
        let _ = std::fs::remove_file(record_path);
        return Ok(());
    }
    let record = BuildRecord::new(image.sha256, facts.clone());
    durable::write(&record_path, serde_json::to_string_pretty(&record)?.as_bytes())
}
