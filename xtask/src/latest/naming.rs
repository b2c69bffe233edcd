//! What assets are called while a set is staged.
//!
//! Readers find an image by its name, so nothing that is sent has such a name before all of the set is there and proven.
//! `packer-new.<12 hex>.<file>` is on its way in, `packer-old.<asset id>.<file>` was set aside; in both `.qcow2` is written
//! `.qcow2-`, which no reader's pattern matches.

use crate::gh::Asset;
use crate::image::digest::Digest;
use crate::manifest;

const NEW: &str = "packer-new.";
const OLD: &str = "packer-old.";

/// What an asset is, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// It has the name that readers know, or nothing to do with this tool.
    Plain,
    /// On its way in.
    New { hex: String, file: String },
    /// Set aside.
    Old { file: String },
}

/// How many hex digits of a digest stand in a name.
const HEX: usize = 12;

impl Named {
    pub fn of(asset: &Asset) -> Self {
        Self::parse(&asset.name, asset.id).unwrap_or(Self::Plain)
    }

    fn parse(name: &str, own_id: u64) -> Option<Self> {
        if let Some(rest) = name.strip_prefix(NEW) {
            let (hex, file) = rest.split_once('.')?;
            return is_hex(hex).then(|| Some(Self::New { hex: hex.to_owned(), file: open(file)? }))?;
        }
        if let Some(rest) = name.strip_prefix(OLD) {
            let (id, file) = rest.split_once('.')?;
            // An asset keeps its id: with another's in its name it is not this tool's.
            return (id == own_id.to_string()).then(|| Some(Self::Old { file: open(file)? }))?;
        }
        earlier(name, own_id)
    }

    /// The file that an asset is or is to be; `None` for one that was set aside.
    pub fn file(asset: &Asset) -> Option<String> {
        match Self::of(asset) {
            Self::Plain => Some(asset.name.clone()),
            Self::New { file, .. } => Some(file),
            Self::Old { .. } => None,
        }
    }

    pub fn is_plain(asset: &Asset) -> bool {
        Self::of(asset) == Self::Plain
    }

    /// Whether it was this file, and was set aside.
    pub fn was(asset: &Asset, name: &str) -> bool {
        matches!(Self::of(asset), Self::Old { file } if file == name)
    }

    /// Whether it is this file, or was.
    pub fn is_or_was(asset: &Asset, name: &str) -> bool {
        asset.name == name || Self::was(asset, name)
    }
}

/// How a manifest and the files beside it were called while an earlier version of this tool replaced them.
fn earlier(name: &str, own_id: u64) -> Option<Named> {
    let manifest = name.strip_prefix("packer-images.").and_then(|rest| rest.strip_suffix(".json"));
    let (tag, file) = match manifest {
        Some(tag) => (tag, manifest::FILE),
        None => name.strip_prefix("packer-file.")?.split_once('.')?,
    };
    let file = file.to_owned();
    match tag.strip_prefix("replaced-") {
        Some(id) => (id == own_id.to_string()).then_some(Named::Old { file }),
        None => is_hex(tag).then(|| Named::New { hex: tag.to_owned(), file }),
    }
}

fn is_hex(text: &str) -> bool {
    text.len() == HEX && text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

/// The file's own name; `None` where readers would find a part of it.
fn open(file: &str) -> Option<String> {
    let plain = file.replace(".qcow2-", ".qcow2");
    (!file.is_empty() && closed(&plain) == file).then_some(plain)
}

fn closed(file: &str) -> String {
    file.replace(".qcow2", ".qcow2-")
}

/// The name of a file on its way in. The digest is the asset's own, or, as long as that isn't known, its image's.
pub fn new_name(digest: Digest, file: &str) -> String {
    format!("{NEW}{}.{}", hex(digest), closed(file))
}

pub fn hex(digest: Digest) -> String {
    digest.to_string()[..HEX].to_owned()
}

pub fn old_name(id: u64, file: &str) -> String {
    format!("{OLD}{id}.{}", closed(file))
}

/// The manifest that was set aside, where none has the name.
pub fn aside(assets: &[Asset]) -> Option<&Asset> {
    let named = assets.iter().any(|asset| asset.name == manifest::FILE);
    let aside = |asset: &&Asset| asset.is_uploaded() && Named::was(asset, manifest::FILE);
    // What went aside last was the last to be sent: more than one is never left for long.
    assets.iter().filter(|_| !named).filter(aside).max_by_key(|asset| asset.id)
}

/// What is of no use on a release whose set is in place: what was set aside, and what was never chosen.
pub fn spare(assets: &[Asset]) -> impl Iterator<Item = &Asset> {
    assets.iter().filter(|asset| !Named::is_plain(asset))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::image::name;

    pub fn asset(id: u64, name: &str) -> Asset {
        let digest = Some(format!("sha256:{}", Digest::of(&id.to_le_bytes())));
        let name = name.to_owned();
        Asset { id, name, size: 1, state: "uploaded".into(), digest, updated_at: None, uploader: None }
    }

    #[test]
    fn a_name_says_what_the_asset_is() {
        let new = |hex: &str, file: &str| Named::New { hex: hex.into(), file: file.into() };
        let old = |file: &str| Named::Old { file: file.into() };
        for (name, named) in [
            ("debian-13-pve.qcow2.partaa", Named::Plain),
            ("packer-images.json", Named::Plain),
            ("packer-new.0123456789ab.a.qcow2-.partaa", new("0123456789ab", "a.qcow2.partaa")),
            ("packer-new.0123456789ab.a.qcow2-", new("0123456789ab", "a.qcow2")),
            ("packer-new.0123456789ab.packer-images.json", new("0123456789ab", "packer-images.json")),
            ("packer-old.7.a.qcow2-.sha256", old("a.qcow2.sha256")),
            // Of another asset, and so nobody's.
            ("packer-old.8.a.qcow2-.sha256", Named::Plain),
            ("packer-old.07.a.json", Named::Plain),
            ("packer-old.7.", Named::Plain),
            ("packer-old.7", Named::Plain),
            ("packer-new.0123456789AB.a.json", Named::Plain),
            ("packer-new.0123456789a.a.json", Named::Plain),
            ("packer-new.0123456789ab", Named::Plain),
            ("packer-new.0123456789ab.", Named::Plain),
            ("packer-newer.txt", Named::Plain),
            ("packer-new.txt", Named::Plain),
            // Readers would take it along.
            ("packer-new.0123456789ab.a.qcow2.partaa", Named::Plain),
            // As they were called before.
            ("packer-images.0123456789ab.json", new("0123456789ab", "packer-images.json")),
            ("packer-images.replaced-7.json", old("packer-images.json")),
            ("packer-images.replaced-8.json", Named::Plain),
            ("packer-file.0123456789ab.SHA256SUMS", new("0123456789ab", "SHA256SUMS")),
            ("packer-file.replaced-7.SHA256SUMS", old("SHA256SUMS")),
            ("packer-images.old.json", Named::Plain),
        ] {
            assert_eq!(Named::of(&asset(7, name)), named, "{name}");
        }
    }

    #[test]
    fn no_name_on_the_way_is_one_that_readers_know() {
        let digest = Digest::of(b"x");
        for file in ["a.qcow2", "a.qcow2.partaa", "a.qcow2.sha256", "a.cdx.json", "SHA256SUMS", "a.qcow2-b.qcow2"] {
            for (name, named) in [
                (new_name(digest, file), Named::New { hex: hex(digest), file: file.into() }),
                (old_name(7, file), Named::Old { file: file.into() }),
            ] {
                assert_eq!(Named::of(&asset(7, &name)), named, "{name}");
                assert!(!name.ends_with(".qcow2") && !name.contains(".qcow2.part"), "{name}");
                assert_eq!(name::read_with(&name), None, "{name}");
            }
        }
    }
}
