//! The manifest: the asset `packer-images.json` that says what a published set is.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::console::count;
use crate::image::digest::Digest;
use crate::image::inputs::Inputs;
use crate::image::record::{BaseImage, Boot, BuiltFrom, Listed};
use crate::image::{checksum, name, parts};
use crate::packer::Repo;
use crate::text;

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
    /// The repository, `OWNER/NAME`, whose workflow attests what it built of the set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attested_by: Option<String>,
    /// What the set has beside its images: the script that fetches them, their digests, a signature.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Part>,
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
    /// All that it was made of, as recorded when it was built; `None` when nobody recorded it.
    #[serde(default)]
    pub inputs: Option<Inputs>,
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

/// One part of an image, or a file beside the images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub file: String,
    pub size: u64,
    pub sha256: Digest,
}

impl Part {
    /// As it must be on the release.
    pub fn expected(&self) -> Expected {
        Expected { file: self.file.clone(), size: self.size, sha256: self.sha256 }
    }
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
        Self { schema: SCHEMA, source, commit, images, attested_by: None, files: Vec::new() }
    }

    /// # Errors
    ///
    /// Not JSON of this form, or written for readers of a later schema.
    pub fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        let manifest: Self =
            serde_json::from_slice(bytes).with_context(|| format!("reading {FILE}")).map_err(damaged)?;
        anyhow::ensure!(
            manifest.schema == SCHEMA,
            "{FILE} has schema {}, this tool knows {SCHEMA}; update your checkout",
            manifest.schema
        );
        let unbelievable = || format!("{FILE} can't be believed");
        // In plain text without an escape there is nothing that a field could hold.
        let plain = |byte: &u8| matches!(byte, b'\n' | b' '..=b'~') && *byte != b'\\';
        if !bytes.iter().all(plain) {
            manifest.check_texts().with_context(unbelievable).map_err(damaged)?;
        }
        manifest.check().with_context(unbelievable).map_err(damaged)?;
        Ok(manifest)
    }

    /// Nothing that a terminal obeys.
    fn check_texts(&self) -> anyhow::Result<()> {
        let fields = serde_json::to_value(self).context("reading its fields")?;
        odd_text(&fields).map_or(Ok(()), |odd| Err(anyhow::anyhow!("it holds the text `{}`", text::line(odd))))
    }

    /// A manifest is input from outside: names by the rules of file names, sums that hold.
    fn check(&self) -> anyhow::Result<()> {
        let mut names = BTreeSet::new();
        for image in &self.images {
            name::check(&image.name)?;
            anyhow::ensure!(names.insert(&image.name), "it has two images {}", image.name);
            anyhow::ensure!(
                image.file == name::whole(&image.name),
                "it has image {} in the file `{}`",
                image.name,
                text::line(&image.file)
            );
            let packages = name::packages(&image.name);
            anyhow::ensure!(
                image.packages.as_ref().is_none_or(|listed| listed.file == packages),
                "the list of packages of image {} is not {packages}",
                image.name
            );
            let mut sum = 0_u64;
            for (part, index) in image.parts.iter().zip(0..) {
                let file = name::part(&image.name, &parts::suffix(index));
                anyhow::ensure!(
                    part.file == file,
                    "part {index} of image {} is `{}`, not {file}",
                    image.name,
                    text::line(&part.file)
                );
                sum = sum
                    .checked_add(part.size)
                    .with_context(|| format!("the parts of image {} are too large", image.name))?;
            }
            anyhow::ensure!(
                image.parts.is_empty() || sum == image.size,
                "the parts of image {} have {}, the image has {}",
                image.name,
                count(sum, "byte"),
                image.size
            );
        }
        if let Some(repo) = &self.attested_by {
            repo.parse::<Repo>()?;
        }
        let mut files = BTreeSet::from([FILE]);
        for file in &self.files {
            name::check_file(&file.file)?;
            anyhow::ensure!(
                name::Role::of(&file.file).is_none() && files.insert(&file.file),
                "it lists the file `{}`, which has another place in a set",
                text::line(&file.file)
            );
        }
        let all = self.images.iter().try_fold(0_u64, |sum, image| sum.checked_add(image.size));
        all.context("its images are too large").map(drop)
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
        self.images.iter().flat_map(Image::assets).chain(self.files.iter().map(Part::expected)).collect()
    }
}

impl Image {
    /// The image's assets: its bytes, then its checksum file, then the list of its packages.
    pub fn assets(&self) -> Vec<Expected> {
        let whole = || Expected { file: self.file.clone(), size: self.size, sha256: self.sha256 };
        let mut assets: Vec<Expected> = self.parts.iter().map(Part::expected).collect();
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

/// With the cure: no run of this tool leaves such a one.
#[expect(clippy::needless_pass_by_value, reason = "what `map_err` takes")]
fn damaged(why: anyhow::Error) -> anyhow::Error {
    anyhow::anyhow!("{why:#}; take it off the release with `gh release delete-asset`, then publish again")
}

/// A name or a text in which a terminal would find something to obey.
fn odd_text(value: &serde_json::Value) -> Option<&str> {
    match value {
        serde_json::Value::String(text) => Some(text.as_str()).filter(|text| text.contains(text::is_obeyed)),
        serde_json::Value::Array(values) => values.iter().find_map(odd_text),
        serde_json::Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            Some(name.as_str()).filter(|name| name.contains(text::is_obeyed)).or_else(|| odd_text(value))
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn manifest() -> Value {
        let digest = Digest::of(b"x");
        json!({
            "schema": 1, "source": "v1", "commit": "c", "later": "\u{1b}",
            "images": [
                { "name": "a", "file": "a.qcow2", "size": 3, "sha256": digest, "built_from": null, "versions": null, "parts": [
                    { "file": "a.qcow2.partaa", "size": 2, "sha256": digest },
                    { "file": "a.qcow2.partab", "size": 1, "sha256": digest },
                ] },
                { "name": "b", "file": "b.qcow2", "size": 1, "sha256": digest, "built_from": null, "versions": {}, "parts": [] },
            ],
        })
    }

    #[test]
    fn a_manifest_is_read_and_what_is_not_known_passed_over() {
        let read = Manifest::parse(manifest().to_string().as_bytes()).unwrap();
        assert_eq!(Manifest::parse(&read.to_bytes()).unwrap(), read);
    }

    #[test]
    fn what_contradicts_itself_or_leads_elsewhere_is_refused() {
        for (place, value, why) in [
            ("/schema", json!(2), "schema 2"),
            ("/source", json!("v1\u{1b}[2J"), "`v1\\u{1b}[2J`"),
            ("/commit", json!("c\n"), "`c\\n`"),
            ("/images/1/name", json!("a"), "two images a"),
            ("/images/1/name", json!("../b"), "`../b`"),
            ("/images/1/name", json!(""), "must begin with"),
            ("/images/1/file", json!("/etc/passwd"), "`/etc/passwd`"),
            ("/images/1/versions", json!({ "X": "\u{9b}" }), "\\u{9b}"),
            ("/images/0/parts/0/file", json!("a.qcow2.partab"), "not a.qcow2.partaa"),
            ("/images/0/parts/0/file", json!("../x"), "`../x`"),
            ("/images/0/parts/0/size", json!(u64::MAX), "too large"),
            ("/images/0/parts/0/size", json!(u64::MAX - 1), "have 18446744073709551615 bytes"),
            ("/images/0/size", json!(4), "have 3 bytes"),
            ("/images/1/size", json!(u64::MAX), "its images are too large"),
            ("/images/1/size", json!(-1), "reading"),
        ] {
            let mut changed = manifest();
            *changed.pointer_mut(place).unwrap() = value;
            let error = format!("{:#}", Manifest::parse(changed.to_string().as_bytes()).unwrap_err());
            assert!(error.contains(why), "{place}: {error}");
        }
    }

    #[test]
    fn hostile_manifests() {
        let text = manifest().to_string();
        crate::hostile::try_with(&[text.as_bytes()], |bytes| {
            if let Ok(manifest) = Manifest::parse(bytes) {
                assert_eq!(Manifest::parse(&manifest.to_bytes()).unwrap(), manifest);
                manifest.assets();
            }
        });
    }
}
