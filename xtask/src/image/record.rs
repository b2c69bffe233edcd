//! The build record: what `packer/build.sh` writes beside an image when it builds one, and only then.
//!
//! It is the one source for "which commit was this built from": nothing is guessed later from a clone's HEAD. The record
//! carries the digest of its image, so a record that stayed behind beside another image is seen and not believed.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{durable, name};
use crate::claim;
use crate::digest::Digest;
use crate::failure::Advice as _;
use crate::sources::{BuiltFrom, Inputs, Made};
use crate::text::count;

/// Bytes: the same for a record, a list of packages and a manifest, wherever they are read or written.
pub const LARGEST: usize = 1 << 20;

/// `<name>.build.json`. Fields that are not known here are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildRecord {
    /// Of the qcow2 file that this build gave.
    pub sha256: Digest,
    #[serde(flatten)]
    pub facts: Facts,
    /// RFC 3339, UTC.
    #[serde(default)]
    pub built_at: Option<String>,
    /// Who wrote this in place of the engine: `fetch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_by: Option<String>,
}

/// What upstream's image was when an image was built on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseImage {
    pub url: String,
    /// `<algorithm>:<hex>`
    pub digest: String,
}

/// A file by its name, its size in bytes and its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    pub file: String,
    pub size: u64,
    pub sha256: Digest,
}

impl FileEntry {
    pub fn of(file: impl Into<String>, bytes: &[u8]) -> Self {
        Self { file: file.into(), size: bytes.len() as u64, sha256: Digest::of(bytes) }
    }
}

/// What is recorded about an image apart from its bytes; `None` where no record has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub built_from: Option<BuiltFrom>,
    /// All that it was made of; `None` when an engine built it that keeps no list.
    pub inputs: Option<Inputs>,
    /// From `image-version.txt`: `DEBIAN_VERSION`, `PVE_VERSION`.
    pub versions: Option<BTreeMap<String, String>>,
    pub base_image: Option<BaseImage>,
    /// The asset that lists the image's packages.
    pub packages: Option<FileEntry>,
    /// The asset that lists the image's files; `None` in records of older engines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<FileEntry>,
    /// How the image was booted before it was published.
    pub boot: Option<Boot>,
    /// `None` in records of older engines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builder: Option<Builder>,
}

impl Facts {
    /// The lists that go with the image: of its packages and of its files.
    pub fn lists(&self) -> impl Iterator<Item = &FileEntry> {
        self.packages.iter().chain(&self.files)
    }

    /// Whether the lists have the names and at most the size that readers take.
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    pub fn check_lists(&self, image: &str) -> Result<(), String> {
        for (listed, file) in [(&self.packages, name::packages(image)), (&self.files, name::files(image))] {
            let Some(listed) = listed else { continue };
            if listed.file != file {
                return Err(format!("the list {file} of image {image} is named `{}`", listed.file.escape_debug()));
            }
            if listed.size > LARGEST as u64 {
                return Err(format!("the list {file} has {}, more than {LARGEST}", count(listed.size, "byte")));
            }
        }
        Ok(())
    }

    pub fn made(&self) -> Made<'_> {
        Made { inputs: self.inputs.as_ref(), built_from: self.built_from.as_ref() }
    }
}

/// The versions of the programs that built an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Builder {
    pub packer: String,
    /// Of packer's QEMU plugin; `None` where packer has the builder built in.
    #[serde(default)]
    pub plugin: Option<String>,
    pub qemu: String,
}

/// The boots of a finished image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    pub machines: Vec<Machine>,
    /// `kvm` or `tcg`
    pub accelerator: String,
    /// Its release, as `uname -r` says it.
    pub kernel: String,
    /// Whether it was upgraded, started again and asked again.
    #[serde(default)]
    pub upgraded: bool,
    /// The names of the template's own tests that it passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<String>,
    /// The one firmware that it boots with by design, as its template says; `None`: both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<String>,
}

/// What an image is booted with: every machine that readers have has one of these.
const FIRMWARES: [&str; 2] = ["bios", "uefi"];

impl Boot {
    /// The firmwares that it should boot with and was not booted with.
    pub fn unproven(&self) -> Vec<&str> {
        let wanted = FIRMWARES.into_iter().filter(|firmware| self.only.as_deref().is_none_or(|only| only == *firmware));
        wanted.filter(|firmware| !self.machines.iter().any(|machine| machine.firmware() == *firmware)).collect()
    }
}

/// One boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// `pc`, `q35`
    #[serde(rename = "type")]
    pub kind: String,
    /// `bios` or `uefi`; `None` in records of older engines, which knew `bios` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
    /// Whether the firmware started a signed loader alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secure_boot: bool,
    /// From power-on to power-off, the checks between them.
    pub seconds: u64,
}

impl BuildRecord {
    pub fn new(sha256: Digest, facts: Facts) -> Self {
        Self { sha256, facts, built_at: None, recorded_by: None }
    }

    /// A record is text from outside: whoever reads one, from a host or from a folder, reads it here.
    ///
    /// # Errors
    ///
    /// It is larger than a manifest may be, no JSON of this form, or says what no manifest may say.
    pub fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        anyhow::ensure!(bytes.len() <= LARGEST, "it has {} bytes, more than the limit of {LARGEST}", bytes.len());
        let record = serde_json::from_slice(bytes)?;
        claim::check_texts(&record)?;
        Ok(record)
    }
}

impl Machine {
    fn firmware(&self) -> &str {
        self.firmware.as_deref().unwrap_or(FIRMWARES[0])
    }
}

/// `<name>.build.json`
pub fn file_name(image: &str) -> String {
    format!("{image}.build.json")
}

/// The record in `dir`, if there is one.
pub fn read(image: &str, dir: &Path) -> anyhow::Result<Option<BuildRecord>> {
    let path = dir.join(file_name(image));
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(durable::read_error(path.display(), error)),
    };
    BuildRecord::parse(&bytes).map(Some).map_err(|error| {
        error
            .context(format!("build record {} is damaged", path.display()))
            .fix("build the image again, or remove the file")
    })
}

/// The file in which a build notes what is in the image: lines `NAME=value`.
pub const VERSIONS_FILE: &str = "image-version.txt";

/// The lines of `image-version.txt`; quotes as in a shell assignment are taken off. Lines that no manifest could carry are
/// passed over.
pub fn versions(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.trim().split_once('='))
        .filter(|(name, _)| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
        .map(|(name, value)| (name.to_owned(), value.trim().trim_matches(['"', '\'']).to_owned()))
        .filter(|(name, value)| claim::is_text(name) && claim::is_text(value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_lines_are_read() {
        let read = versions("# comment = no\nDEBIAN_VERSION=12.11\nPVE_VERSION=\"8.4.1\"\n\nbad name=1\n");
        let expected = [("DEBIAN_VERSION", "12.11"), ("PVE_VERSION", "8.4.1")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn a_record_that_no_manifest_could_carry_is_refused_with_the_field() {
        use serde_json::json;
        let record = json!({
            "sha256": Digest::of(b"x"),
            "built_from": { "commit": "c".repeat(40), "dirty": false },
            "base_image": { "url": "https://example.org/a.qcow2", "digest": "sha512:1" },
            "versions": { "DEBIAN_VERSION": "12.11" },
            "packages": { "file": "a.cdx.json", "size": 1, "sha256": Digest::of(b"y") },
            "boot": { "machines": [{ "type": "pc", "seconds": 1 }], "accelerator": "kvm", "kernel": "6.1" },
            "built_at": "2026-01-02T03:04:05Z",
        });
        BuildRecord::parse(record.to_string().as_bytes()).unwrap();
        for (place, value, why) in [
            ("/base_image/url", json!("https://x/\u{1b}]0;x\u{7}"), "it has the invalid text"),
            ("/base_image/url", json!("x".repeat(5000)), "it has the invalid text"),
            ("/base_image/digest", json!("sha512:\n"), "`sha512:\\n`"),
            ("/versions/DEBIAN_VERSION", json!("1".repeat(LARGEST)), "more than the limit of 1048576"),
            ("/versions/DEBIAN_VERSION", json!("1".repeat(10_000)), "it has the invalid text"),
            ("/versions/DEBIAN_VERSION", json!("12\u{202e}"), "it has the invalid text"),
            ("/versions", json!({ "\u{1b}[2J": "1" }), "it has the invalid text"),
            ("/built_from/commit", json!("main"), "`main` is not a commit id"),
            ("/built_from/commit", json!("--upload-pack=x"), "is not a commit id"),
            ("/boot/kernel", json!("\u{9b}2J"), "it has the invalid text"),
            ("/boot/machines/0/type", json!("\r"), "`\\r`"),
            ("/built_at", json!("\u{1b}[2J"), "it has the invalid text"),
        ] {
            let mut changed = record.clone();
            *changed.pointer_mut(place).unwrap() = value;
            let error = format!("{:#}", BuildRecord::parse(changed.to_string().as_bytes()).unwrap_err());
            assert!(error.contains(why) && !error.contains('\u{1b}') && error.len() < 2000, "{place}: {error}");
        }
    }

    #[test]
    fn boots_of_all_ages_say_which_firmware_is_not_proven() {
        let unproven = |machines: serde_json::Value, only: Option<&str>| {
            let boot = serde_json::json!({ "machines": machines, "accelerator": "kvm", "kernel": "6", "only": only, "later": 1 });
            let boot: Boot = serde_json::from_value(boot).unwrap();
            boot.unproven().join(" ")
        };
        let machine = |firmware: &str| serde_json::json!({ "type": "q35", "firmware": firmware, "seconds": 1 });
        // As written before there was UEFI.
        let old = serde_json::json!([{ "type": "pc", "seconds": 1 }, { "type": "q35", "seconds": 1 }]);
        assert_eq!(unproven(old.clone(), None), "uefi");
        assert_eq!(unproven(old, Some("bios")), "");
        assert_eq!(unproven(serde_json::json!([machine("bios"), machine("uefi")]), None), "");
        assert_eq!(unproven(serde_json::json!([machine("uefi")]), None), "bios");
        assert_eq!(unproven(serde_json::json!([]), None), "bios uefi");
    }

    #[test]
    fn hostile_records_and_versions() {
        let record = format!(
            r#"{{"sha256": "{}", "built_from": {{"commit": "{}", "dirty": false}}, "versions": {{"A": "1"}},
                "base_image": {{"url": "https://example.org/a.qcow2", "digest": "sha512:1"}}}}"#,
            Digest::of(b"x"),
            "c".repeat(40)
        );
        crate::hostile::try_with(&[record.as_bytes(), b"DEBIAN_VERSION=\"12.11\"\nPVE_VERSION='8'\n"], |bytes| {
            if let Ok(record) = BuildRecord::parse(bytes) {
                let words = record.facts.versions.iter().flatten().flat_map(|(name, value)| [name, value]);
                assert!(
                    words.chain(record.facts.base_image.iter().map(|base| &base.url)).all(|text| claim::is_text(text))
                );
            }
            assert!(versions(&String::from_utf8_lossy(bytes)).values().all(|value| claim::is_text(value)));
        });
    }
}
