//! The manifest: the asset `packer-images.json` that says what a published set is.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::image::digest::Digest;
use crate::image::record::{BaseImage, Boot, BuiltFrom, Listed};
use crate::image::{checksum, name};

/// The manifest's asset name.
pub const FILE: &str = "packer-images.json";

/// The version of the format that this code writes. Readers ignore fields that they don't know.
const SCHEMA: u32 = 1;

/// A published set of images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub schema: u32,
    /// The version tag that the set stands for.
    pub source: String,
    /// The commit that the source tag points to.
    pub commit: String,
    /// Sorted by name.
    pub images: Vec<Image>,
}

/// One image of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    pub name: String,
    /// `<name>.qcow2`, also when only its parts are published.
    pub file: String,
    /// Bytes of the whole image.
    pub size: u64,
    /// Of the whole image.
    pub sha256: Digest,
    /// As recorded when it was built; `None` when nobody recorded it.
    pub built_from: Option<BuiltFrom>,
    /// From `image-version.txt`; `None` without it.
    pub versions: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub base_image: Option<BaseImage>,
    /// The asset that lists its packages.
    #[serde(default)]
    pub packages: Option<Listed>,
    /// How it was booted before it was published.
    #[serde(default)]
    pub boot: Option<Boot>,
    /// In order; empty when the image is published whole.
    pub parts: Vec<Part>,
}

/// One part of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub file: String,
    pub size: u64,
    pub sha256: Digest,
}

/// An asset that a set consists of, as it must be on the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    pub file: String,
    pub size: u64,
    pub sha256: Digest,
}

impl Manifest {
    pub fn new(source: String, commit: String, mut images: Vec<Image>) -> Self {
        images.sort_by(|a, b| a.name.cmp(&b.name));
        Self { schema: SCHEMA, source, commit, images }
    }

    /// # Errors
    ///
    /// Not JSON of this form, or written for readers of a later schema.
    pub fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        let manifest: Self = serde_json::from_slice(bytes).with_context(|| format!("reading {FILE}"))?;
        anyhow::ensure!(
            manifest.schema == SCHEMA,
            "{FILE} has schema {}, this tool knows {SCHEMA}; update your checkout",
            manifest.schema
        );
        for image in &manifest.images {
            let expected = name::packages(&image.name);
            anyhow::ensure!(
                image.packages.as_ref().is_none_or(|listed| listed.file == expected),
                "{FILE} names another list of packages for {} than {expected}",
                image.name.escape_debug()
            );
        }
        Ok(manifest)
    }

    /// The asset's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        // A structure of strings and numbers always serialises.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text.into_bytes()
    }

    pub fn image(&self, name: &str) -> Option<&Image> {
        self.images.iter().find(|image| image.name == name)
    }

    /// All assets of the set but the manifest itself, in the order of the images.
    pub fn assets(&self) -> Vec<Expected> {
        self.images.iter().flat_map(Image::assets).collect()
    }
}

impl Image {
    /// The image's assets: its bytes, then its checksum file, then the list of its packages.
    pub fn assets(&self) -> Vec<Expected> {
        let whole = || Expected { file: self.file.clone(), size: self.size, sha256: self.sha256 };
        let mut assets: Vec<Expected> = self
            .parts
            .iter()
            .map(|part| Expected { file: part.file.clone(), size: part.size, sha256: part.sha256 })
            .collect();
        if assets.is_empty() {
            assets.push(whole());
        }
        let line = checksum::line(&self.name, self.sha256);
        assets.push(Expected {
            file: name::checksum(&self.name),
            size: line.len() as u64,
            sha256: Digest::of(line.as_bytes()),
        });
        assets.extend(self.packages.iter().map(|listed| Expected {
            file: listed.file.clone(),
            size: listed.size,
            sha256: listed.sha256,
        }));
        assets
    }
}
