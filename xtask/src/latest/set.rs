//! The set that is to be published: which images, of which bytes, in which assets.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::digest::Digest;
use crate::failure::{self, Advice as _};
use crate::gh::{Asset, CallError};
use crate::image::checksum;
use crate::image::local::{Bytes, LocalImage};
use crate::image::name;
use crate::image::parts::{self, PartSize};
pub use crate::image::record::Facts;
use crate::image::record::FileEntry;
use crate::manifest;
use crate::repo::Repo;
use crate::suggest;
use crate::text::count;

use super::audit;
use super::files::{self, File, Signing};
use super::marker::{Identity, ImageIdentity, Label};
use super::prove::{self, Difference};

/// What `latest` is to become.
#[derive(Debug, Clone)]
pub struct Set {
    pub source: String,
    pub commit: String,
    pub part_size: PartSize,
    /// Sorted by name.
    pub images: Vec<SetImage>,
    pub signing: Signing,
}

/// One image of the set.
#[derive(Debug, Clone)]
pub struct SetImage {
    pub name: String,
    pub size: u64,
    pub sha256: Digest,
    /// In order; one piece under the image's own name when it stays whole.
    pub pieces: Vec<Piece>,
    pub origin: Origin,
    pub facts: Facts,
    /// The lists that the facts name.
    pub lists: Vec<(FileEntry, ListOrigin)>,
}

/// What to do about an image on a release that cannot be used.
const FROM_A_FILE: &str = "publish the image from a file: name its folder with --images";

/// The bytes of one asset.
#[derive(Debug, Clone)]
pub struct Piece {
    pub file: String,
    pub range: Range<u64>,
    /// `None` until the bytes are read, unless a manifest or GitHub names it.
    pub sha256: Option<Digest>,
}

impl Piece {
    pub fn size(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// The digest, as far as it is known before the bytes are read.
    pub fn digest(&self, image: &SetImage) -> Option<Digest> {
        self.sha256.or((self.file == name::whole(&image.name)).then_some(image.sha256))
    }
}

/// Where an image's bytes come from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A file of the images folder, or its parts.
    Local(Bytes),
    /// Held in memory, all of it: sets as small as a simulation's.
    Memory(Vec<u8>),
    /// Assets of the release with the tag `from`, one for each piece. `prove_whole`: the source of the pieces' digests also says
    /// that together they are the image.
    Assets { from: String, assets: Vec<Asset>, prove_whole: bool },
}

/// Where a list of an image's packages or files is read from.
#[derive(Debug, Clone)]
pub enum ListOrigin {
    File(PathBuf),
    Asset(Asset),
}

impl Set {
    /// What the live release stands for once this set is live.
    pub fn label(&self) -> Label {
        Label { source: self.source.clone(), commit: self.commit.clone() }
    }

    pub fn identity(&self, repo: &Repo) -> Identity {
        let image =
            |image: &SetImage| ImageIdentity { name: image.name.clone(), size: image.size, sha256: image.sha256 };
        let mut images: Vec<ImageIdentity> = self.images.iter().map(image).collect();
        images.sort_by(|a, b| a.name.cmp(&b.name));
        Identity {
            source: self.source.clone(),
            part_size: self.part_size.bytes(),
            images,
            reader: Some(files::reader(repo).part.sha256),
            signed: self.signing.signer.is_some(),
        }
    }

    /// How many assets it has: the images', those of what goes along, the manifest.
    pub fn assets(&self) -> usize {
        let of_image = |image: &SetImage| image.pieces.len() + 1 + image.facts.lists().count();
        let others = [files::READER, files::SUMS, manifest::FILE].len() + usize::from(self.signing.signer.is_some());
        self.images.iter().map(of_image).sum::<usize>() + others
    }

    /// Whether readers take the manifest that this set will have. Digests that aren't known yet are as long as those that are.
    ///
    /// # Errors
    ///
    /// Exit code 3: they would refuse it.
    pub fn check_readable(&self) -> anyhow::Result<()> {
        let described = |image: &SetImage| image.to_manifest(&vec![Digest::of(b""); image.pieces.len()]);
        let images = self.images.iter().map(described).collect();
        manifest::Manifest::new(self.source.clone(), self.commit.clone(), images).readable_bytes().map(drop)
    }

    /// Bytes of all images.
    pub fn size(&self) -> u64 {
        self.images.iter().map(|image| image.size).sum()
    }
}

impl SetImage {
    /// An image from the images folder.
    ///
    /// # Errors
    ///
    /// Exit code 3 when it has no checksum file.
    pub fn local(image: LocalImage, part_size: PartSize) -> anyhow::Result<Self> {
        let LocalImage { name, bytes, promised, checksum_path, record, versions, lists } = image;
        let Some(sha256) = promised else {
            let line = suggest::command(format_args!("checksum {name}"));
            return Err(failure::missing(format!("no checksum file {}", checksum_path.display()))
                .fix(format_args!("fetch it from the build host, or write it with {line}")));
        };
        let lists = lists.into_iter().map(|(listed, path)| (listed, ListOrigin::File(path))).collect();
        let recorded = record.map(|record| record.facts);
        let versions = (!versions.is_empty()).then_some(versions);
        let facts = Facts { versions, ..recorded.unwrap_or_default() };
        let (file, size) = (name::whole(&name), bytes.size());
        let ranges = parts::ranges(&file, size, part_size)?;
        let pieces = if ranges.is_empty() {
            pieces([(file, size, None)])
        } else {
            let part = |(range, index): (Range<u64>, _)| {
                (name::part(&name, &parts::suffix(index)), range.end - range.start, None)
            };
            pieces(ranges.into_iter().zip(0..).map(part))
        };
        Ok(Self { name, size, sha256, pieces, origin: Origin::Local(bytes), facts, lists })
    }

    /// An image as it is on a release with a manifest: its parts are kept as they are.
    ///
    /// # Errors
    ///
    /// The release doesn't hold what the manifest says.
    pub fn from_manifest(image: &manifest::Image, from: &str, assets: &[Asset]) -> anyhow::Result<Self> {
        let find = |expected: &FileEntry| -> anyhow::Result<Asset> {
            let asset = assets.iter().find(|asset| asset.name == expected.file);
            match (asset, audit::altered(expected, assets)) {
                (Some(asset), None) => Ok(asset.clone()),
                (_, why) => {
                    let replaced = matches!(prove::compare(expected, asset), Some(Difference::Digest(_)));
                    let why = format!("release {from} does not match its manifest: {}", why.unwrap_or_default());
                    Err(if replaced { failure::digest(why) } else { failure::failed(why) }.fix(FROM_A_FILE))
                }
            }
        };
        let bytes = image.bytes();
        let taken = bytes.iter().map(find).collect::<anyhow::Result<Vec<Asset>>>()?;
        let list = |listed: &FileEntry| Ok((listed.clone(), ListOrigin::Asset(find(listed)?)));
        let lists = image.facts.lists().map(list).collect::<anyhow::Result<_>>()?;
        let pieces = pieces(bytes.into_iter().map(|entry| (entry.file, entry.size, Some(entry.sha256))));
        let origin = Origin::Assets { from: from.to_owned(), assets: taken, prove_whole: true };
        let facts = image.facts.clone();
        Ok(Self { name: image.name.clone(), size: image.size, sha256: image.sha256, pieces, origin, facts, lists })
    }

    /// An image on a release made by hand, known by its assets' names; `sha256` is what its checksum file says.
    ///
    /// # Errors
    ///
    /// A part is missing, or an asset is broken.
    pub fn from_assets(image: &str, sha256: Digest, from: &str, assets: &[Asset]) -> anyhow::Result<Self> {
        let (file, in_parts) = (name::whole(image), audit::parts_of(assets, image));
        let whole = assets.iter().find(|asset| asset.name == file);
        let is_whole = whole.is_some();
        let gap = parts::gap(in_parts.keys().map(String::as_str)).filter(|_| !is_whole);
        let taken = whole.map_or_else(|| in_parts.into_values().cloned().collect(), |whole| vec![whole.clone()]);
        let broken = taken.iter().find(|asset| !asset.is_uploaded() || asset.size == 0);
        let other = taken.first().and_then(Asset::digest).filter(|digest| is_whole && *digest != sha256);
        let error = if let Some(gap) = gap {
            failure::missing(format!("{} is missing on release {from}", name::part(image, &gap)))
        } else if taken.is_empty() {
            failure::missing(format!("no image {file} on release {from}"))
        } else if let Some(Asset { name, state, size, .. }) = broken {
            failure::failed(format!("{name} on release {from} is broken (state {state}, {})", count(*size, "byte")))
        } else if let Some(other) = other {
            failure::digest(format!("{file} on release {from} has sha256 {other}, its checksum file says {sha256}"))
        } else {
            let pieces = pieces(taken.iter().map(|asset| (asset.name.clone(), asset.size, asset.digest())));
            let size = taken.iter().map(|asset| asset.size).sum();
            let origin = Origin::Assets { from: from.to_owned(), assets: taken, prove_whole: is_whole };
            let (name, facts) = (image.to_owned(), Facts::default());
            return Ok(Self { name, size, sha256, pieces, origin, facts, lists: Vec::new() });
        };
        Err(error.fix(FROM_A_FILE))
    }

    pub fn checksum_file(&self) -> File {
        File::new(name::checksum(&self.name), checksum::line(&self.name, self.sha256).into_bytes())
    }

    /// The bytes of one of its lists, checked.
    ///
    /// # Errors
    ///
    /// Exit code 4: another digest than the record's or the manifest's.
    pub fn read_list(
        &self,
        (listed, from): &(FileEntry, ListOrigin),
        read_asset: impl Fn(&Asset) -> Result<Vec<u8>, CallError>,
    ) -> anyhow::Result<Vec<u8>> {
        let bytes = match from {
            ListOrigin::File(path) => fs::read(path).with_context(|| format!("reading {}", path.display()))?,
            ListOrigin::Asset(asset) => read_asset(asset)?,
        };
        let (found, FileEntry { file, sha256, .. }) = (Digest::of(&bytes), listed);
        if found == *sha256 {
            return Ok(bytes);
        }
        Err(failure::digest(format!("{file} has sha256 {found}, expected {sha256}"))
            .fix(format_args!("fetch the image {} again", self.name)))
    }

    /// Its pieces where it is split.
    pub fn parts(&self) -> &[Piece] {
        let is_whole = self.pieces.first().is_some_and(|piece| piece.file == name::whole(&self.name));
        if is_whole { &[] } else { &self.pieces }
    }

    /// How the manifest describes it, once the digest of each piece is known.
    pub fn to_manifest(&self, digests: &[Digest]) -> manifest::Image {
        let part = |(piece, sha256): (&Piece, &Digest)| FileEntry {
            file: piece.file.clone(),
            size: piece.size(),
            sha256: *sha256,
        };
        let parts = self.parts().iter().zip(digests).map(part).collect();
        let (name, facts) = (self.name.clone(), self.facts.clone());
        manifest::Image { file: name::whole(&name), name, size: self.size, sha256: self.sha256, facts, parts }
    }

    /// Whether its pieces need not be read, because their digests prove the whole as well.
    pub fn is_proven(&self) -> bool {
        matches!(self.origin, Origin::Assets { prove_whole: true, .. })
    }
}

/// Names, sizes and known digests as pieces that lie one after the other.
fn pieces(files: impl IntoIterator<Item = (String, u64, Option<Digest>)>) -> Vec<Piece> {
    let mut start = 0;
    let piece = |(file, size, sha256)| {
        let range = start..start + size;
        start = range.end;
        Piece { file, range, sha256 }
    };
    files.into_iter().map(piece).collect()
}
