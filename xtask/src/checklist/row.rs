//! One image: its template, what lies here, what is published, and whether these agree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::console::{count, size};
use crate::decide::{Decision, Published};
use crate::image::digest::Digest;
use crate::image::local::{self, Files, LocalImage};
use crate::image::name::Role;
use crate::latest::look::Live;

/// A line of the checklist.
#[derive(Debug)]
pub struct Row {
    pub name: String,
    pub template: bool,
    pub local: Local,
    pub published: Option<PublishedImage>,
    pub agreement: Agreement,
    /// Since the local image was built, else since the published one arrived; `None` when nothing tells.
    pub age: Option<Duration>,
    /// check's, with its reason.
    pub decision: Option<(Decision, String)>,
    /// How its assets are not what the manifest says: somebody replaced or removed one by hand.
    pub altered: Option<String>,
}

/// What lies in the images folder.
#[derive(Debug)]
pub enum Local {
    Absent,
    /// Something that can't be used, and why.
    Bad(String),
    Present {
        bytes: u64,
        /// 0 when it is whole.
        parts: usize,
        /// From the checksum file.
        promised: Option<Digest>,
        built_at: Option<String>,
    },
}

/// What is on `latest`.
#[derive(Debug)]
pub struct PublishedImage {
    pub bytes: u64,
    pub parts: usize,
    pub sha256: Option<Digest>,
    pub updated_at: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// By digest.
    Same,
    Differs,
    /// Both are there, and no digest tells.
    Unknown,
    /// One of them isn't there.
    Nothing,
}

/// A row for every image that has a template, lies here, or is published.
pub fn rows(templates: &BTreeSet<String>, images: &Path, live: Option<&Live>) -> anyhow::Result<Vec<Row>> {
    let found = if images.is_dir() { local::scan(images)? } else { BTreeMap::new() };
    let altered = live.map(|live| Published::of(live).damaged).unwrap_or_default();
    let published = live.map(published).unwrap_or_default();
    let names: BTreeSet<&String> = templates.iter().chain(found.keys()).chain(published.keys()).collect();
    let mut rows = Vec::new();
    for name in names {
        let local = found.get(name).map_or(Local::Absent, |files| local_image(images, name, files));
        let published =
            published.get(name).map(|image| PublishedImage { updated_at: image.updated_at.clone(), ..*image });
        rows.push(Row {
            name: name.clone(),
            template: templates.contains(name),
            agreement: agreement(&local, published.as_ref()),
            age: age(&local, published.as_ref()),
            local,
            published,
            decision: None,
            altered: altered.get(name).cloned(),
        });
    }
    Ok(rows)
}

fn local_image(images: &Path, name: &str, files: &Files) -> Local {
    if files.whole.is_empty() && files.parts.is_empty() {
        return Local::Bad("a checksum file without its image".to_owned());
    }
    match LocalImage::open(images, name, files) {
        Err(error) => Local::Bad(format!("{error:#}")),
        Ok(image) => Local::Present {
            bytes: image.bytes.size(),
            parts: if image.bytes.in_parts() { image.bytes.paths().count() } else { 0 },
            promised: image.promised,
            built_at: image.record.and_then(|record| record.built_at),
        },
    }
}

/// From the manifest; without one from the assets themselves.
fn published(live: &Live) -> BTreeMap<String, PublishedImage> {
    let mut images: BTreeMap<String, PublishedImage> = BTreeMap::new();
    for asset in live.assets.iter().filter(|asset| asset.is_uploaded()) {
        let (name, part) = match Role::of(&asset.name) {
            Some(Role::Whole { image }) => (image, false),
            Some(Role::Part { image, .. }) => (image, true),
            _ => continue,
        };
        let image = images.entry(name).or_insert(PublishedImage { bytes: 0, parts: 0, sha256: None, updated_at: None });
        image.bytes += asset.size;
        image.parts += usize::from(part);
        image.sha256 = asset.digest().filter(|_| !part);
        image.updated_at = image.updated_at.take().max(asset.updated_at.clone());
    }
    for image in live.manifest.iter().flat_map(|manifest| &manifest.images) {
        let updated_at = images.get(&image.name).and_then(|there| there.updated_at.clone());
        let there =
            PublishedImage { bytes: image.size, parts: image.parts.len(), sha256: Some(image.sha256), updated_at };
        images.insert(image.name.clone(), there);
    }
    images
}

fn agreement(local: &Local, published: Option<&PublishedImage>) -> Agreement {
    let (Local::Present { bytes, promised, .. }, Some(published)) = (local, published) else {
        return Agreement::Nothing;
    };
    match (promised, published.sha256) {
        _ if *bytes != published.bytes => Agreement::Differs,
        (Some(here), Some(there)) if *here == there => Agreement::Same,
        (Some(_), Some(_)) => Agreement::Differs,
        _ => Agreement::Unknown,
    }
}

fn age(local: &Local, published: Option<&PublishedImage>) -> Option<Duration> {
    let since = match local {
        Local::Present { built_at: Some(at), .. } => Some(at.as_str()),
        _ => published.and_then(|published| published.updated_at.as_deref()),
    };
    SystemTime::now().duration_since(humantime::parse_rfc3339(since?).ok()?).ok()
}

/// Of the table.
pub const HEADINGS: [&str; 6] = ["image", "local", "published", "agree", "age", "check"];

impl Row {
    /// The cells of the table, as [`HEADINGS`] names them.
    pub fn cells(&self) -> [String; 6] {
        let dash = || "-".to_owned();
        let whole = |bytes: u64, parts: usize| match parts {
            0 => size(bytes),
            parts => format!("{}, {}", size(bytes), count(parts, "part")),
        };
        let local = match &self.local {
            Local::Absent => dash(),
            Local::Bad(_) => "damaged".to_owned(),
            Local::Present { bytes, parts, promised, .. } => {
                let unsummed = if promised.is_none() { ", no checksum" } else { "" };
                whole(*bytes, *parts) + unsummed
            }
        };
        [
            self.name.clone(),
            local,
            self.published.as_ref().map_or_else(dash, |published| whole(published.bytes, published.parts)),
            self.agreement.word().to_owned(),
            self.age.map_or_else(dash, age_word),
            match &self.decision {
                _ if !self.template => "no template".to_owned(),
                Some((decision, _)) => decision.word().to_owned(),
                None => dash(),
            },
        ]
    }

    pub fn to_json(&self) -> Value {
        let local = match &self.local {
            Local::Absent => Value::Null,
            Local::Bad(why) => json!({ "problem": why }),
            Local::Present { bytes, parts, promised, built_at } => json!({
                "size": bytes, "parts": parts, "sha256": promised.map(|digest| digest.to_string()), "built_at": built_at,
            }),
        };
        json!({
            "name": self.name,
            "template": self.template,
            "local": local,
            "published": self.published.as_ref().map(|published| json!({
                "size": published.bytes,
                "parts": published.parts,
                "sha256": published.sha256.map(|digest| digest.to_string()),
                "updated_at": published.updated_at,
            })),
            "agreement": self.agreement.word(),
            "altered": self.altered,
            "age_seconds": self.age.map(|age| age.as_secs()),
            "decision": self.decision.as_ref().map(|(decision, _)| decision.word()),
            "reason": self.decision.as_ref().map(|(_, reason)| reason),
        })
    }
}

impl Agreement {
    pub fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Differs => "differs",
            Self::Unknown => "unknown",
            Self::Nothing => "-",
        }
    }
}

/// `12 min`, `5 h`, `3 d`.
fn age_word(age: Duration) -> String {
    let minutes = age.as_secs() / 60;
    match minutes {
        0..120 => format!("{minutes} min"),
        120..2880 => format!("{} h", minutes / 60),
        _ => format!("{} d", minutes / 1440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_well() {
        for (seconds, word) in [(59, "0 min"), (7199, "119 min"), (7200, "2 h"), (172_799, "47 h"), (172_800, "2 d")] {
            assert_eq!(age_word(Duration::from_secs(seconds)), word);
        }
    }

    #[test]
    fn images_agree_by_digest() {
        let here = |bytes, text: Option<&[u8]>| Local::Present {
            bytes,
            parts: 0,
            promised: text.map(Digest::of),
            built_at: None,
        };
        let there = |text: Option<&[u8]>| {
            Some(PublishedImage { bytes: 1, parts: 0, sha256: text.map(Digest::of), updated_at: None })
        };
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
