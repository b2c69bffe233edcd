//! The manifest: the asset `packer-images.json` that says what a published set is. What is read here is text from outside: names
//! follow the rules of file names, and sizes add up. `publish` writes the manifest; all that reads a release reads it here.

use std::collections::BTreeSet;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::failure::{self, Advice as _};
pub use crate::image::record::FileEntry;
use crate::image::record::{Facts, LARGEST};
use crate::image::{checksum, name, parts};
use crate::repo::Repo;
use crate::text::count;
use crate::{claim, text};

/// The manifest's asset name.
pub const FILE: &str = "packer-images.json";

/// The version of the format that this code writes. Readers ignore fields that they don't know.
const SCHEMA: u32 = 1;

/// A published set of images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub schema: u32,
    /// The version tag that the set stands for.
    #[serde(deserialize_with = "claim::version")]
    pub source: String,
    /// The commit that the source tag points to.
    #[serde(deserialize_with = "claim::commit")]
    pub commit: String,
    /// RFC 3339, UTC, seconds: when the set was begun, by GitHub's clock, and later than the set that it replaces. Absent on
    /// sets of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Sorted by name.
    pub images: Vec<Image>,
    /// The repository, `OWNER/NAME`, whose workflow attests what it built of the set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attested_by: Option<String>,
    /// What the set has beside its images: the script that fetches them. Earlier versions list digests and signature as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileEntry>,
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
    #[serde(flatten)]
    pub facts: Facts,
    /// In order; empty when the image is published whole.
    pub parts: Vec<FileEntry>,
}

impl Manifest {
    pub fn new(source: String, commit: String, mut images: Vec<Image>) -> Self {
        images.sort_by(|a, b| a.name.cmp(&b.name));
        Self { schema: SCHEMA, source, commit, created: None, images, attested_by: None, files: Vec::new() }
    }

    /// # Errors
    ///
    /// Not JSON of this form, larger than it may be, or written for readers of a later schema.
    pub fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        if bytes.len() > LARGEST {
            anyhow::bail!("{FILE} has {} bytes, more than the limit of {LARGEST}", bytes.len());
        }
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|error| anyhow::anyhow!("{FILE} is damaged ({error})"))?;
        anyhow::ensure!(
            manifest.schema == SCHEMA,
            "{FILE} has schema {}, this tool knows {SCHEMA}; update your checkout",
            manifest.schema
        );
        let damaged = || format!("{FILE} is damaged");
        // In plain text without an escape, and as short as that, there is nothing that a field could hold.
        let plain = |byte: &u8| matches!(byte, b'\n' | b' '..=b'~') && *byte != b'\\';
        if bytes.len() > claim::LONGEST_TEXT || !bytes.iter().all(plain) {
            claim::check_texts(&manifest).with_context(damaged)?;
        }
        manifest.check().with_context(damaged)?;
        Ok(manifest)
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
            image.facts.check_lists(&image.name).map_err(anyhow::Error::msg)?;
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
        if let Some(created) = &self.created {
            humantime::parse_rfc3339(created).with_context(|| format!("`{}` is not a time", text::line(created)))?;
        }
        if let Some(repo) = &self.attested_by {
            repo.parse::<Repo>()?;
        }
        let mut files = BTreeSet::from([FILE]);
        for file in &self.files {
            name::check_file(&file.file)?;
            anyhow::ensure!(
                name::Role::of(&file.file).is_none() && files.insert(&file.file),
                "its list `files` has `{}`, a duplicate or a name reserved for images",
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

    /// The asset's bytes, as our own reader takes them: what it would refuse must not be sent.
    ///
    /// # Errors
    ///
    /// Exit code 3: it would be refused, with the reason.
    pub fn readable_bytes(&self) -> anyhow::Result<Vec<u8>> {
        let bytes = self.to_bytes();
        let why = match Self::parse(&bytes) {
            Ok(read) if read == *self => return Ok(bytes),
            Ok(_) => "reading the manifest back gives another manifest".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        Err(failure::missing(format!("readers would refuse the manifest of this set, so nothing was sent: {why}"))
            .fix("build or fetch that image again"))
    }

    pub fn image(&self, name: &str) -> Option<&Image> {
        self.images.iter().find(|image| image.name == name)
    }

    /// All assets of the set but the manifest itself, in the order of the images.
    pub fn assets(&self) -> Vec<FileEntry> {
        self.images.iter().flat_map(Image::assets).chain(self.files.iter().cloned()).collect()
    }
}

impl Image {
    /// The assets that hold the image's bytes: its parts, or the image itself.
    pub fn bytes(&self) -> Vec<FileEntry> {
        let whole = FileEntry { file: self.file.clone(), size: self.size, sha256: self.sha256 };
        if self.parts.is_empty() { vec![whole] } else { self.parts.clone() }
    }

    /// The image's assets: its bytes, then its checksum file, then the lists of its packages and files.
    pub fn assets(&self) -> Vec<FileEntry> {
        let line = checksum::line(&self.name, self.sha256);
        let checksum = FileEntry::of(name::checksum(&self.name), line.as_bytes());
        self.bytes().into_iter().chain([checksum]).chain(self.facts.lists().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use serde_json::{Value, json};

    fn manifest() -> Value {
        let digest = Digest::of(b"x");
        json!({
            "schema": 1, "source": "v1", "commit": "c".repeat(40), "later": "\u{1b}",
            "images": [
                { "name": "a", "file": "a.qcow2", "size": 3, "sha256": digest, "built_from": null, "versions": null, "parts": [
                    { "file": "a.qcow2.partaa", "size": 2, "sha256": digest },
                    { "file": "a.qcow2.partab", "size": 1, "sha256": digest },
                ] },
                { "name": "b", "file": "b.qcow2", "size": 1, "sha256": digest, "built_from": null, "base_image": null, "versions": {},
                    "parts": [] },
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
            ("/source", json!("v0.45; touch /tmp/x #"), "`v0.45; touch /tmp/x #` is not a version tag"),
            ("/source", json!("../../heads/main"), "not a version tag"),
            ("/source", json!("--upload-pack=x"), "not a version tag"),
            ("/source", json!("latest"), "not a version tag"),
            ("/commit", json!("c\n"), "`c\\n`"),
            ("/commit", json!("main"), "`main` is not a commit id"),
            ("/commit", json!("refs/pull/1/head"), "is not a commit id"),
            ("/images/1/built_from", json!({ "commit": "$(x)", "dirty": false }), "`$(x)` is not a commit id"),
            ("/images/1/base_image", json!({ "url": "x".repeat(9000), "digest": "" }), "it has the invalid text"),
            ("/images/1/versions", json!({ "X": "1".repeat(9000) }), "it has the invalid text"),
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
            ("/images/1/size", json!(-1), "is damaged"),
        ] {
            let mut changed = manifest();
            *changed.pointer_mut(place).unwrap() = value;
            let error = format!("{:#}", Manifest::parse(changed.to_string().as_bytes()).unwrap_err());
            assert!(error.contains(why), "{place}: {error}");
        }
    }

    #[test]
    fn what_our_reader_would_refuse_is_not_sent() {
        let good = Manifest::parse(manifest().to_string().as_bytes()).unwrap();
        assert_eq!(good.readable_bytes().unwrap(), good.to_bytes());
        let with = |versions: BTreeMap<String, String>| {
            let mut changed = good.clone();
            changed.images[0].facts.versions = Some(versions);
            changed
        };
        let odd = with([("X".to_owned(), "\u{1b}[2J".to_owned())].into());
        let long = with([("X".to_owned(), "1".repeat(2000))].into());
        let large = with((0..300).map(|number| (number.to_string(), "1".repeat(4000))).collect());
        assert!(long.readable_bytes().is_ok());
        for bad in [odd, large, Manifest { source: "v1;x".into(), ..good.clone() }] {
            let error = bad.readable_bytes().unwrap_err();
            assert_eq!(failure::kind(&error), failure::Kind::Missing);
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
