//! `download`: fetches images from a release, joined and verified.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::checksum::hashed;
use super::{Common, Outcome, common};
use crate::console::{Console, size};
use crate::failure::{self, Problems};
use crate::gh::{Asset, Gh, Tries};
use crate::image::arriving::Arriving;
use crate::image::local::{self, LocalImage};
use crate::image::name::Role;
use crate::image::record::{self, BuildRecord};
use crate::image::{checksum, cut, durable, hash, name, templates};
use crate::interrupt;
use crate::latest::files::Trust;
use crate::latest::prove::{self, Difference};
use crate::latest::set::{Origin, SetImage};
use crate::latest::{TAG, audit, choose, look};
use crate::manifest::{Expected, Manifest};
use crate::signing::Allowed;
use crate::typed;

/// Fetch images from a release, join their parts and verify them
///
/// Each byte is written once, in its place, and hashed on the way. A download that ended anywhere goes on where it was.
/// An image takes its name when its digest is the one that the release's manifest or checksum file promises.
#[derive(clap::Args)]
pub struct Download {
    /// Images [default: all on the release]
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
    /// The release's tag
    #[arg(long, value_name = "TAG", default_value = TAG)]
    tag: String,
    /// Replace an image here that has another digest
    #[arg(long)]
    force: bool,
    /// Take images that nobody signed, although allowed_signers names who signs
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
    trust: Trust,
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
        let gh = Gh::new(common.repo()?, self.tries, console);
        let source = Source::find(&gh, &self.tag, common.allowed_signers().as_ref(), self.allow_unsigned)?;
        if let Some(who) = source.trust.who() {
            console.line(format_args!("release {} is signed by {who}", self.tag));
        }
        let folder = common.images();
        let mut problems = Problems::default();
        let mut images = Vec::new();
        for name in source.choose(&common.packer_dir(), &self.names)? {
            let judged = source.image(&name).and_then(|image| Ok((self.task(&folder, &image, console)?, image)));
            images.extend(problems.keep(judged));
        }
        problems.into_result()?;

        let mut problems = Problems::default();
        let results = hash::in_parallel(&images, |(task, image)| source.fetch(task, image, console));
        let done: Vec<Value> = results.into_iter().filter_map(|result| problems.keep(result)).collect();
        problems.into_result()?;
        Ok(Outcome::done(json!({ "tag": self.tag, "signed_by": source.trust.who(), "images": done })))
    }

    /// Compares with what is here under the image's name. An image that was built and not published yet is not for a
    /// download to replace.
    fn task(&self, folder: &Path, image: &SetImage, console: &Console) -> anyhow::Result<Task> {
        let target = folder.join(&image.name).join(name::whole(&image.name));
        let found = if folder.is_dir() { local::scan(folder)? } else { Default::default() };
        let Some(files) = found.get(&image.name).filter(|files| !files.whole.is_empty() || !files.parts.is_empty())
        else {
            return Ok(Task::Fetch(target));
        };
        let place = || files.whole.first().cloned().unwrap_or(target);
        if self.force && files.whole.len() < 2 {
            let here = LocalImage::open(folder, &image.name, files).ok();
            let same = |here: &LocalImage| Ok::<_, anyhow::Error>(hashed(here, console)? == image.sha256);
            return Ok(match here {
                Some(here) if here.bytes.size() == image.size && same(&here)? => Task::Here(Box::new(here)),
                _ => Task::Fetch(place()),
            });
        }
        let here = LocalImage::open(folder, &image.name, files)?;
        let digest = hashed(&here, console)?;
        if digest == image.sha256 {
            return Ok(Task::Here(Box::new(here)));
        }
        Err(failure::digest(format!(
            "{} here has digest {digest}, on release {} it has {}; keep it, or replace it with --force",
            name::whole(&image.name),
            self.tag,
            image.sha256
        )))
    }
}

impl<'a> Source<'a> {
    fn find(gh: &'a Gh, tag: &'a str, allowed: Option<&Allowed>, allow_unsigned: bool) -> anyhow::Result<Self> {
        let Some(release) = gh.release_by_tag(tag)? else {
            gh.repository()?;
            return Err(failure::missing(format!(
                "no release {tag} is published in {}; {} shows what there is",
                gh.repo(),
                typed::line("status")
            )));
        };
        let assets = gh.assets(release.id)?;
        let manifest = look::read_manifest(&assets, |asset| gh.read_asset(asset))?;
        let mut source = Self { gh, tag, assets, manifest, trust: Trust::Asked };
        if source.names().is_empty() {
            return Err(failure::missing(format!(
                "release {tag} in {} has no images; they are on `{TAG}`: leave out --tag",
                gh.repo()
            )));
        }
        let manifest = source.manifest.as_ref();
        source.trust = Trust::of(allowed, allow_unsigned, tag, &source.assets, manifest, |asset| gh.read_asset(asset))?;
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
        let chosen = templates::choose(&known, asked)?;
        match chosen.difference(&there).next() {
            None => Ok(chosen),
            Some(absent) => Err(failure::missing(format!(
                "no image {} on release {}; name one of those that it has: {}",
                name::whole(absent),
                self.tag,
                there.into_iter().collect::<Vec<_>>().join(", ")
            ))),
        }
    }

    /// What vouches for the image must agree: manifest, checksum file, and GitHub's digests of assets.
    fn image(&self, name: &str) -> anyhow::Result<SetImage> {
        let promised = self.manifest.as_ref().and_then(|manifest| manifest.image(name));
        let promised = promised.map(crate::manifest::Image::assets).unwrap_or_default();
        let altered: Vec<String> =
            promised.iter().filter_map(|expected| audit::altered(expected, &self.assets)).collect();
        if !altered.is_empty() {
            let message = format!(
                "{name} on release {} is not what its manifest says: {}; run {}",
                self.tag,
                altered.join("; "),
                typed::line("verify")
            );
            let other_bytes = |expected: &Expected| {
                let asset = self.assets.iter().find(|asset| asset.name == expected.file);
                matches!(prove::compare(expected, asset), Some(Difference::Size(_) | Difference::Digest(_)))
            };
            let replaced = promised.iter().any(other_bytes);
            return Err(if replaced { failure::digest(message) } else { failure::failed(message) });
        }
        if !audit::images(&self.assets).contains(name) {
            return Err(failure::missing(format!(
                "{} is missing on release {}, where its checksum file is; publish it again",
                name::whole(name),
                self.tag
            )));
        }
        choose::trusted(self.gh, &self.trust, name, self.tag, &self.assets, self.manifest.as_ref())
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
                self.list(image, path)?;
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

    /// Brings the list of packages.
    fn list(&self, image: &SetImage, path: &Path) -> anyhow::Result<()> {
        let Some(packages) = &image.facts.packages else { return Ok(()) };
        durable::write(&path.with_file_name(&packages.listed.file), &packages.read(|asset| self.gh.read_asset(asset))?)
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
            console.note(format_args!("{}: going on at {}", name::whole(&image.name), size(arriving.at())));
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
                    "{}: what an earlier run left doesn't fit; once more from the start",
                    image.name
                ));
                resumed = false;
                arriving.restart()?;
                continue;
            }
            arriving.finish()?;
            bar.finish("downloaded");
            return Ok(resumed);
        }
    }
}

/// What the manifest says about the build goes along, so that the image can be published again as what it is.
fn write_record(image: &SetImage, path: &Path) -> anyhow::Result<()> {
    let record_path = path.with_file_name(record::file_name(&image.name));
    if image.facts.built_from.is_none() && image.facts.inputs.is_none() && image.packages().is_none() {
        // One that is here belongs to the image that was here.
        let _ = std::fs::remove_file(record_path);
        return Ok(());
    }
    let record = BuildRecord {
        sha256: image.sha256,
        built_from: image.facts.built_from.clone(),
        inputs: image.facts.inputs.clone(),
        base_image: image.facts.base_image.clone(),
        versions: image.facts.versions.clone().unwrap_or_default(),
        packages: image.packages().cloned(),
        boot: image.facts.boot.clone(),
        built_at: None,
        recorded_by: None,
    };
    durable::write(&record_path, serde_json::to_string_pretty(&record)?.as_bytes())
}
