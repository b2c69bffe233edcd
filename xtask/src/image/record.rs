//! The build record: what `packer/build.sh` writes beside an image when it builds one, and only then.
//!
//! It is the one source for "which commit was this built from": nothing is guessed later from a clone's HEAD. The record
//! carries the digest of its image, so a record that stayed behind beside another image is seen and not believed.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::durable;
use super::inputs::Inputs;

/// `<name>.build.json`. Fields that are not known here are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildRecord {
    /// Of the qcow2 file that this build gave.
    pub sha256: Digest,
    pub built_from: Option<BuiltFrom>,
    /// All that it was made of; `None` when an engine built it that keeps no list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Inputs>,
    #[serde(default)]
    pub base_image: Option<BaseImage>,
    /// `DEBIAN_VERSION`, `PVE_VERSION`.
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
    /// The list of its packages, beside it.
    #[serde(default)]
    pub packages: Option<Listed>,
    /// How it was booted when it was finished; `None` when it wasn't.
    #[serde(default)]
    pub boot: Option<Boot>,
    /// RFC 3339, UTC.
    #[serde(default)]
    pub built_at: Option<String>,
    /// Who wrote this in place of the engine: `fetch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_by: Option<String>,
}

/// The state of the packer directory that an image was built from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltFrom {
    /// 40 (or 64) hex digits.
    pub commit: String,
    /// Whether inputs differed from that commit.
    pub dirty: bool,
}

/// What upstream's image was when an image was built on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseImage {
    pub url: String,
    /// `<algorithm>:<hex>`
    pub digest: String,
}

/// A small file that belongs to an image, by its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    pub file: String,
    pub size: u64,
    pub sha256: Digest,
}

/// The boots of a finished image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    pub machines: Vec<Machine>,
    /// `kvm` or `tcg`
    pub accelerator: String,
    /// Its release, as `uname -r` says it.
    pub kernel: String,
}

/// One boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// `pc`, `q35`
    #[serde(rename = "type")]
    pub kind: String,
    /// From power-on to power-off, the checks between them.
    pub seconds: u64,
}

/// `<name>.build.json`
pub fn file_name(image: &str) -> String {
    format!("{image}.build.json")
}

/// The record in `dir`, if there is one.
pub fn read(image: &str, dir: &Path) -> anyhow::Result<Option<BuildRecord>> {
    let path = dir.join(file_name(image));
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(durable::read_error(path.display(), error)),
    };
    serde_json::from_str(&text).map(Some).with_context(|| {
        format!("build record {} is damaged; build the image again, or remove the file", path.display())
    })
}

/// The file in which a build notes what is in the image: lines `NAME=value`.
pub const VERSIONS_FILE: &str = "image-version.txt";

/// The lines of `image-version.txt`; quotes as in a shell assignment are taken off.
pub fn versions(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.trim().split_once('='))
        .filter(|(name, _)| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
        .map(|(name, value)| (name.to_owned(), value.trim().trim_matches(['"', '\'']).to_owned()))
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
    fn hostile_records_and_versions() {
        let record = format!(
            r#"{{"sha256": "{}", "built_from": {{"commit": "c", "dirty": false}}, "versions": {{"A": "1"}}}}"#,
            Digest::of(b"x")
        );
        crate::hostile::try_with(&[record.as_bytes(), b"DEBIAN_VERSION=\"12.11\"\nPVE_VERSION='8'\n"], |bytes| {
            let _ = serde_json::from_slice::<BuildRecord>(bytes);
            versions(&String::from_utf8_lossy(bytes));
        });
    }
}
