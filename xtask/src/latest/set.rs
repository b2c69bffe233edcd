//! The set that is to be published: which images, of which bytes, in which assets.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::console::count;
use crate::failure;
use crate::gh::{Asset, CallError};
use crate::image::digest::Digest;
use crate::image::inputs::Inputs;
use crate::image::local::{Bytes, LocalImage};
use crate::image::name::{self, Role};
use crate::image::parts::{self, PartSize};
use crate::image::record::{BaseImage, Boot, BuiltFrom, Listed};
use crate::manifest;
use crate::typed;

use super::files::{self, Signing};
use super::marker::{Identity, ImageIdentity};

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
}

/// The bytes of one asset.
#[derive(Debug, Clone)]
pub struct Piece {
    pub file: String,
    pub range: Range<u64>,
    /// Known before the bytes are read only when a manifest or GitHub vouches for them.
    pub sha256: Option<Digest>,
}

impl Piece {
    pub fn size(&self) -> u64 {
        self.range.end - self.range.start
    }
}

/// Where an image's bytes come from.
#[derive(Debug, Clone)]
pub enum Origin {
    Local(Bytes),
    /// Held in memory, all of it: sets as small as a simulation's.
    Memory(Vec<u8>),
    /// Assets of a release, one a piece; `from` is its tag.
    Assets {
        from: String,
        assets: Vec<Asset>,
    },
}

/// What is recorded about an image besides its bytes.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub built_from: Option<BuiltFrom>,
    pub inputs: Option<Inputs>,
    pub versions: Option<BTreeMap<String, String>>,
    pub base_image: Option<BaseImage>,
    pub packages: Option<Packages>,
    pub boot: Option<Boot>,
}

/// The list of an image's packages, and where its bytes are.
#[derive(Debug, Clone)]
pub struct Packages {
    pub listed: Listed,
    pub origin: ListOrigin,
}

#[derive(Debug, Clone)]
pub enum ListOrigin {
    File(PathBuf),
    Asset(Asset),
}

impl Packages {
    /// The list's bytes, checked.
    pub fn read(&self, read_asset: impl Fn(&Asset) -> Result<Vec<u8>, CallError>) -> anyhow::Result<Vec<u8>> {
        let Listed { file, sha256, .. } = &self.listed;
        let bytes = match &self.origin {
            ListOrigin::File(path) => fs::read(path).with_context(|| format!("reading {}", path.display()))?,
            ListOrigin::Asset(asset) => read_asset(asset)?,
        };
        let found = Digest::of(&bytes);
        if found == *sha256 {
            return Ok(bytes);
        }
        Err(failure::digest(format!("{file} has sha256 {found}, expected {sha256}; fetch the image again")))
    }
}

impl Set {
    pub fn identity(&self) -> Identity {
        let image =
            |image: &SetImage| ImageIdentity { name: image.name.clone(), size: image.size, sha256: image.sha256 };
        Identity {
            source: self.source.clone(),
            part_size: self.part_size.bytes(),
            images: self.images.iter().map(image).collect(),
        }
    }

    /// The names of all assets: the images', those of what goes along, the manifest's.
    pub fn asset_names(&self) -> Vec<String> {
        let image = |image: &SetImage| -> Vec<String> {
            let pieces = image.pieces.iter().map(|piece| piece.file.clone());
            let packages = image.packages().map(|listed| listed.file.clone());
            pieces.chain([name::checksum(&image.name)]).chain(packages).collect()
        };
        let others = [files::READER, files::SUMS, manifest::FILE].into_iter();
        let signature = self.signing.signer.iter().map(|_| files::SIGNATURE);
        self.images.iter().flat_map(image).chain(others.chain(signature).map(str::to_owned)).collect()
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
        let LocalImage { name, bytes, promised, checksum_path, record, versions, packages } = image;
        let Some(sha256) = promised else {
            return Err(failure::missing(format!(
                "no checksum file {}; fetch it from the build host, or write it with {}",
                checksum_path.display(),
                typed::line(format_args!("checksum {name}"))
            )));
        };
        let size = bytes.size();
        let facts = Facts {
            built_from: record.as_ref().and_then(|record| record.built_from.clone()),
            boot: record.as_ref().and_then(|record| record.boot.clone()),
            inputs: record.as_ref().and_then(|record| record.inputs.clone()),
            base_image: record.and_then(|record| record.base_image),
            packages: packages.map(|(listed, path)| Packages { listed, origin: ListOrigin::File(path) }),
            versions: (!versions.is_empty()).then_some(versions),
        };
        let pieces = pieces(&name, parts::ranges(&name::whole(&name), size, part_size)?, size, |_| None);
        Ok(Self { name, size, sha256, pieces, origin: Origin::Local(bytes), facts })
    }

    /// An image as it is on a release with a manifest: its parts are kept as they are.
    ///
    /// # Errors
    ///
    /// The release doesn't hold what the manifest says.
    pub fn from_manifest(image: &manifest::Image, from: &str, assets: &[Asset]) -> anyhow::Result<Self> {
        let (mut taken, mut packages) = (Vec::new(), None);
        for expected in image.assets() {
            if expected.file == name::checksum(&image.name) {
                continue;
            }
            let asset = assets.iter().find(|asset| asset.name == expected.file && asset.is_uploaded());
            let Some(asset) = asset.filter(|asset| asset.size == expected.size) else {
                return Err(failure::failed(format!(
                    "{} on release {from} is not what its manifest says; give the image with --images",
                    expected.file
                )));
            };
            if let Some(digest) = asset.digest().filter(|digest| *digest != expected.sha256) {
                return Err(failure::digest(format!(
                    "{} on release {from} has sha256 {digest}, its manifest says {}; give the image with --images",
                    expected.file, expected.sha256
                )));
            }
            match &image.packages {
                Some(listed) if listed.file == expected.file => {
                    let origin = ListOrigin::Asset(asset.clone());
                    packages = Some(Packages { listed: listed.clone(), origin });
                }
                _ => taken.push(asset.clone()),
            }
        }
        let digests = image.parts.iter().map(|part| Some(part.sha256)).collect::<Vec<_>>();
        let pieces = pieces(&image.name, consecutive(&taken, image.parts.is_empty()), image.size, |index| {
            if image.parts.is_empty() { Some(image.sha256) } else { digests.get(index).copied().flatten() }
        });
        let facts = Facts {
            built_from: image.built_from.clone(),
            inputs: image.inputs.clone(),
            versions: image.versions.clone(),
            base_image: image.base_image.clone(),
            packages,
            boot: image.boot.clone(),
        };
        let origin = Origin::Assets { from: from.to_owned(), assets: taken };
        Ok(Self { name: image.name.clone(), size: image.size, sha256: image.sha256, pieces, origin, facts })
    }

    /// An image on a release made by hand, known by its assets' names; `sha256` is what its checksum file says.
    ///
    /// # Errors
    ///
    /// A part is missing, or an asset is broken.
    pub fn from_assets(image: &str, sha256: Digest, from: &str, assets: &[Asset]) -> anyhow::Result<Self> {
        let (mut whole, mut in_parts) = (None, BTreeMap::new());
        for asset in assets {
            match Role::of(&asset.name) {
                Some(Role::Whole { image: found }) if found == image => whole = Some(asset.clone()),
                Some(Role::Part { image: found, suffix }) if found == image => {
                    in_parts.insert(suffix, asset.clone());
                }
                _ => {}
            }
        }
        if let Some(gap) = parts::gap(in_parts.keys().map(String::as_str)).filter(|_| whole.is_none()) {
            let missing = name::part(image, &gap);
            return Err(failure::missing(format!(
                "{missing} is missing on release {from}; give the image with --images"
            )));
        }
        let is_whole = whole.is_some();
        let taken: Vec<Asset> = whole.map_or_else(|| in_parts.into_values().collect(), |whole| vec![whole]);
        if taken.is_empty() {
            return Err(failure::missing(format!(
                "no image {} on release {from}; give it with --images",
                name::whole(image)
            )));
        }
        if let Some(broken) = taken.iter().find(|asset| !asset.is_uploaded() || asset.size == 0) {
            return Err(failure::failed(format!(
                "{} on release {from} is broken (state {}, {}); give the image with --images",
                broken.name,
                broken.state,
                count(broken.size, "byte")
            )));
        }
        let size = taken.iter().map(|asset| asset.size).sum();
        let digests: Vec<_> = taken.iter().map(Asset::digest).collect();
        if let Some(digest) = digests[0].filter(|digest| is_whole && *digest != sha256) {
            return Err(failure::digest(format!(
                "{} on release {from} has sha256 {digest}, its checksum file says {sha256}; give the image with --images",
                name::whole(image)
            )));
        }
        let pieces = pieces(image, consecutive(&taken, is_whole), size, |index| digests[index]);
        let origin = Origin::Assets { from: from.to_owned(), assets: taken };
        Ok(Self { name: image.to_owned(), size, sha256, pieces, origin, facts: Facts::default() })
    }

    pub fn packages(&self) -> Option<&Listed> {
        self.facts.packages.as_ref().map(|packages| &packages.listed)
    }

    /// How the manifest describes it, once the digest of each piece is known.
    pub fn to_manifest(&self, digests: &[Digest]) -> manifest::Image {
        let split = self.pieces.first().is_none_or(|piece| piece.file != name::whole(&self.name));
        let part = |(piece, sha256): (&Piece, &Digest)| manifest::Part {
            file: piece.file.clone(),
            size: piece.size(),
            sha256: *sha256,
        };
        manifest::Image {
            name: self.name.clone(),
            file: name::whole(&self.name),
            size: self.size,
            sha256: self.sha256,
            built_from: self.facts.built_from.clone(),
            inputs: self.facts.inputs.clone(),
            versions: self.facts.versions.clone(),
            base_image: self.facts.base_image.clone(),
            packages: self.packages().cloned(),
            boot: self.facts.boot.clone(),
            parts: if split { self.pieces.iter().zip(digests).map(part).collect() } else { Vec::new() },
        }
    }

    /// Whether a published image has these bytes, cut this way, as far as is known without reading them.
    pub fn is_like(&self, published: &manifest::Image) -> bool {
        let assets = published.assets();
        let small = [name::checksum(&self.name), name::packages(&self.name)];
        let cut = assets.iter().filter(|asset| !small.contains(&asset.file));
        self.sha256 == published.sha256
            && self.size == published.size
            // One that says nothing about its packages doesn't deny what is known of the same bytes.
            && self.packages().is_none_or(|listed| published.packages.as_ref() == Some(listed))
            && cut
                .map(|asset| (&asset.file, asset.size))
                .eq(self.pieces.iter().map(|piece| (&piece.file, piece.size())))
    }
}

/// Pieces for ranges; no ranges means one piece under the image's own name.
fn pieces(image: &str, ranges: Vec<Range<u64>>, size: u64, digest: impl Fn(usize) -> Option<Digest>) -> Vec<Piece> {
    if ranges.is_empty() {
        return vec![Piece { file: name::whole(image), range: 0..size, sha256: digest(0) }];
    }
    let named =
        |(index, range)| Piece { file: name::part(image, &parts::suffix(index as u64)), range, sha256: digest(index) };
    ranges.into_iter().enumerate().map(named).collect()
}

/// The ranges of assets that lie one after the other; none for an image that is whole.
fn consecutive(assets: &[Asset], whole: bool) -> Vec<Range<u64>> {
    let mut start = 0;
    let mut next = |asset: &Asset| {
        let range = start..start + asset.size;
        start = range.end;
        range
    };
    if whole { Vec::new() } else { assets.iter().map(&mut next).collect() }
}
