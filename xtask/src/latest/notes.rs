//! The text of the published release: `Points to v0.45`, then a table of the images.

use std::fmt::Display;

use crate::console::size;
use crate::failure;
use crate::image::digest::Digest;
use crate::image::name;
use crate::manifest::{Image, Manifest};

use super::naming;

/// How the first line begins. `check` reads the version behind it on releases that have no manifest.
const POINTS_TO: &str = "Points to ";

/// The notes for a set.
pub fn text(manifest: &Manifest) -> String {
    let mut text = format!("{POINTS_TO}{}\n\n", manifest.source);
    text.push_str("| Image | Size | Debian | PVE | sha256 |\n|---|---|---|---|---|\n");
    for image in &manifest.images {
        let version = |key| image.versions.as_ref().and_then(|versions| versions.get(key)).map_or("–", String::as_str);
        let (debian, pve) = (version("DEBIAN_VERSION"), version("PVE_VERSION"));
        text.push_str(&format!(
            "| `{}` | {} | {} | {} | `{}` |\n",
            image.name,
            size(image.size),
            cell(debian),
            cell(pve),
            image.sha256
        ));
    }
    let split: Vec<&Image> = manifest.images.iter().filter(|image| !image.parts.is_empty()).collect();
    if !split.is_empty() {
        text.push_str("\nAn image in parts is put together and checked with:\n\n```\n");
        for image in split {
            let file = &image.file;
            text.push_str(&format!("cat {file}.part* > {file} && sha256sum -c {}\n", name::checksum(&image.name)));
        }
        text.push_str("```\n");
    }
    if let Some(repo) = &manifest.attested_by {
        text.push_str(&format!(
            "\nWhat built an image is attested: `gh attestation verify IMAGE.qcow2 --repo {}`\n",
            cell(repo)
        ));
    }
    text
}

/// The version that notes written by hand or by [`text`] name.
pub fn points_to(notes: &str) -> Option<&str> {
    let rest = notes.lines().find_map(|line| line.trim().strip_prefix(POINTS_TO))?;
    let version = rest.split_whitespace().next()?.trim_matches(['`', '*', '"', '\'', '.', ',', ';']);
    (!version.is_empty()).then_some(version)
}

/// Two sets by their versions; where those are the same, by the first 12 hex digits of their manifests' digests as well.
/// A set that somebody made by hand has none.
pub fn told_apart(one: (&str, Option<Digest>), other: (&str, Option<Digest>)) -> (String, String) {
    let name = |(version, digest): (&str, Option<Digest>)| match digest {
        _ if one.0 != other.0 => version.to_owned(),
        Some(digest) => format!("{version} (manifest {})", naming::hex(digest)),
        None => format!("{version} (no manifest)"),
    };
    (name(one), name(other))
}

/// Characters that GitHub takes as a release's notes.
pub const MOST: usize = 125_000;
/// Characters that GitHub takes as a comment.
pub const MOST_IN_COMMENT: usize = 65_536;

/// # Errors
///
/// Exit code 3: more than GitHub takes.
pub fn fit(what: impl Display, length: usize, most: usize) -> anyhow::Result<()> {
    if length <= most {
        return Ok(());
    }
    Err(failure::missing(format!(
        "{what} would have {length} characters, and GitHub takes {most}: shorten by {} or more, then run again",
        length - most
    )))
}

/// A version comes from a file on the build host: it must not end the table's cell.
pub(super) fn cell(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).map(|c| if matches!(c, '|' | '<' | '`') { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found() {
        for (notes, version) in [
            ("Points to v0.44", Some("v0.44")),
            ("Hello\r\n  Points to `v0.44`.\r\n", Some("v0.44")),
            ("points at v0.44", None),
            ("Points to ", None),
            ("", None),
        ] {
            assert_eq!(points_to(notes), version, "{notes:?}");
        }
    }
}
