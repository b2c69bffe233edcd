//! One image: its template, the files here, what is published, and whether these agree.
//!
//! A row is data: `status` prints it as a line of its table and as an object of its JSON. Images are compared by the digests
//! in checksum files; only an image that was written to after its checksum file is read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::SystemTime;

use serde::Serialize;

use crate::console::Console;
use crate::decide::Decision;
use crate::digest::Digest;
use crate::image::local::{self, Files, LocalImage};
use crate::image::name::{self, Role};
use crate::image::record::BuildRecord;
use crate::latest::look::Live;
use crate::suggest;

#[derive(Debug, Serialize)]
pub struct Row {
    pub name: String,
    pub template: bool,
    pub local: Local,
    pub published: Option<PublishedImage>,
    pub agreement: Agreement,
    /// How its assets differ from the manifest: a person replaced or removed an asset.
    pub altered: Option<String>,
    /// Since the local image was built, else since the published image was uploaded; `None` when both are unknown.
    pub age_seconds: Option<u64>,
    /// The decision of `check`, and its reason.
    pub decision: Option<Decision>,
    pub reason: Option<String>,
    /// Why the image here must not be published, where that was looked at.
    #[serde(skip)]
    pub unfit: Option<String>,
    /// Whether the image here can be of the inputs that are wanted, so that an engine keeps it as it is.
    #[serde(skip)]
    pub is_of_goal: bool,
}

/// What is in the images folder.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Local {
    Absent,
    /// Files that cannot be used: for the table in few words, and why.
    Unusable {
        #[serde(skip)]
        brief: &'static str,
        problem: String,
    },
    Present {
        size: u64,
        /// 0 for a whole file.
        parts: usize,
        /// From the checksum file.
        sha256: Option<Digest>,
        built_at: Option<String>,
        /// Whether the image itself was read, not only its checksum file.
        read: bool,
        #[serde(skip)]
        record: Option<Box<BuildRecord>>,
    },
}

/// What is on `latest`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PublishedImage {
    pub size: u64,
    pub parts: usize,
    pub sha256: Option<Digest>,
    pub updated_at: Option<String>,
}

/// Whether the image here is the published image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Agreement {
    /// By digest.
    Same,
    Differs,
    /// Both exist, and a digest is missing.
    Unknown,
    /// One of the two is missing.
    #[serde(rename = "-")]
    Nothing,
}

/// A row for each image that has a template, is here, or is published.
pub fn rows(
    console: &Console,
    templates: &BTreeSet<String>,
    images: &Path,
    live: Option<&Live>,
    mut altered: BTreeMap<String, String>,
) -> anyhow::Result<Vec<Row>> {
    let found = if images.is_dir() { local::scan(images)? } else { BTreeMap::new() };
    let mut published = live.map(published).unwrap_or_default();
    let names: BTreeSet<String> = templates.iter().chain(found.keys()).chain(published.keys()).cloned().collect();
    let row = |name: String| {
        let local = found.get(&name).map_or(Local::Absent, |files| local_image(console, images, &name, files));
        let published = published.remove(&name);
        Row {
            template: templates.contains(&name),
            agreement: agreement(&local, published.as_ref()),
            age_seconds: age(&local, published.as_ref()),
            local,
            published,
            decision: None,
            reason: None,
            altered: altered.remove(&name),
            unfit: None,
            is_of_goal: false,
            name,
        }
    };
    Ok(names.into_iter().map(row).collect())
}

fn local_image(console: &Console, images: &Path, name: &str, files: &Files) -> Local {
    if files.whole.is_empty() && files.parts.is_empty() && files.strays.is_empty() {
        return Local::Unusable {
            brief: "checksum file alone",
            problem: "a checksum file without its image".to_owned(),
        };
    }
    match LocalImage::open(images, name, files).and_then(|image| Ok((is_proven(console, &image)?, image))) {
        Err(error) => Local::Unusable { brief: "damaged", problem: format!("{error:#}") },
        Ok((read, image)) => Local::Present {
            size: image.bytes.size(),
            parts: if image.bytes.in_parts() { image.bytes.paths().count() } else { 0 },
            sha256: image.promised,
            built_at: image.record.as_ref().and_then(|record| record.built_at.clone()),
            read,
            record: image.record.map(Box::new),
        },
    }
}

/// Reads an image that was written to after its checksum file; reading all images would cost minutes.
///
/// # Errors
///
/// The image is damaged, or can't be read.
fn is_proven(console: &Console, image: &LocalImage) -> anyhow::Result<bool> {
    let modified = |path: &Path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let summed = modified(&image.checksum_path);
    let Some(promised) = image.promised.filter(|_| image.bytes.paths().any(|path| modified(path) > summed)) else {
        return Ok(false);
    };
    let file = name::whole(&image.name);
    let bar = console.transfer(format!("reading {file}, newer than its checksum file"), image.bytes.size());
    let digest = image.hash(|more| bar.moved(more))?;
    anyhow::ensure!(
        digest == promised,
        "{file} has sha256 {digest}, its checksum file says {promised}: it is damaged; fetch it again with {}, or build it again",
        suggest::command(format_args!("download --force {}", image.name))
    );
    Ok(true)
}

/// From the manifest; without a manifest from the assets themselves.
fn published(live: &Live) -> BTreeMap<String, PublishedImage> {
    let mut images: BTreeMap<String, PublishedImage> = BTreeMap::new();
    for asset in live.assets.iter().filter(|asset| asset.is_uploaded()) {
        let (name, part) = match Role::of(&asset.name) {
            Some(Role::Whole { image }) => (image, false),
            Some(Role::Part { image, .. }) => (image, true),
            _ => continue,
        };
        let image = images.entry(name).or_default();
        image.size += asset.size;
        image.parts += usize::from(part);
        image.sha256 = asset.digest().filter(|_| !part);
        image.updated_at = image.updated_at.take().max(asset.updated_at.clone());
    }
    for image in live.manifest.iter().flat_map(|manifest| &manifest.images) {
        let there = images.entry(image.name.clone()).or_default();
        (there.size, there.parts, there.sha256) = (image.size, image.parts.len(), Some(image.sha256));
    }
    images
}

fn agreement(local: &Local, published: Option<&PublishedImage>) -> Agreement {
    let (Local::Present { size, sha256, .. }, Some(published)) = (local, published) else {
        return Agreement::Nothing;
    };
    match (sha256, published.sha256) {
        _ if *size != published.size => Agreement::Differs,
        (Some(here), Some(there)) if *here == there => Agreement::Same,
        (Some(_), Some(_)) => Agreement::Differs,
        _ => Agreement::Unknown,
    }
}

fn age(local: &Local, published: Option<&PublishedImage>) -> Option<u64> {
    let since = local.built_at().or(published.and_then(|published| published.updated_at.as_deref()));
    let since = humantime::parse_rfc3339(since?).ok()?;
    Some(SystemTime::now().duration_since(since).ok()?.as_secs())
}

impl Local {
    pub fn built_at(&self) -> Option<&str> {
        match self {
            Self::Present { built_at, .. } => built_at.as_deref(),
            _ => None,
        }
    }

    pub fn is_present(&self) -> bool {
        matches!(self, Self::Present { .. })
    }
}

impl Row {
    /// Whether it must be built: `check` says so, or it is not published yet.
    pub fn is_wanted(&self) -> bool {
        self.decision == Some(Decision::Rebuild) || self.published.is_none()
    }

    /// Whether the image here is another than the published image.
    pub fn is_news(&self) -> bool {
        self.local.is_present() && (self.agreement == Agreement::Differs || self.published.is_none())
    }

    /// Whether the image here was built after the published image was uploaded: on purpose, for a reason that no file
    /// shows. An older image is left over from an earlier release.
    pub fn is_forced(&self) -> bool {
        let time = |text: &str| humantime::parse_rfc3339(text).ok();
        let there = self.published.as_ref().and_then(|published| time(published.updated_at.as_deref()?));
        self.local.built_at().and_then(time).zip(there).is_some_and(|(built, there)| built > there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_agree_by_digest() {
        let here = |size, text: Option<&[u8]>| Local::Present {
            size,
            parts: 0,
            sha256: text.map(Digest::of),
            built_at: None,
            record: None,
            read: false,
        };
        let there =
            |text: Option<&[u8]>| Some(PublishedImage { size: 1, sha256: text.map(Digest::of), ..Default::default() });
        for (local, published, expected) in [
            (here(1, Some(b"a")), there(Some(b"a")), Agreement::Same),
            (here(1, Some(b"a")), there(Some(b"b")), Agreement::Differs),
            (here(2, None), there(None), Agreement::Differs),
            (here(1, None), there(Some(b"a")), Agreement::Unknown),
            (here(1, Some(b"a")), there(None), Agreement::Unknown),
            (here(1, Some(b"a")), None, Agreement::Nothing),
            (Local::Absent, there(Some(b"a")), Agreement::Nothing),
        ] {
            assert_eq!(agreement(&local, published.as_ref()), expected, "{local:?} {published:?}");
        }
    }
}
