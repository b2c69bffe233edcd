//! The text of the published release: `Points to v0.45`, a table of the images, and what readers type.

use std::fmt::Display;

use crate::claim;
use crate::digest::Digest;
use crate::failure::{self, Advice as _};
use crate::image::name;
use crate::manifest::{Image, Manifest};
use crate::repo::Repo;
use crate::text::size;

use super::TAG;

/// How the first line begins. `check` reads the version behind it on releases that have no manifest.
const POINTS_TO: &str = "Points to ";

/// Characters that the commands for Proxmox VE may take; whole images beyond that have none.
const MOST_FOR_PROXMOX: usize = 20_000;

/// The notes for a set that stands for `source`, on the release `latest` of this repository.
pub fn text(manifest: &Manifest, repo: &Repo, source: &str) -> String {
    let mut text = format!("{POINTS_TO}{source}\n\n");
    text.push_str("| Image | Size | Debian | PVE | sha256 |\n|---|---|---|---|---|\n");
    for Image { name, size: bytes, sha256, facts, .. } in &manifest.images {
        let version = |key| facts.versions.as_ref().and_then(|versions| versions.get(key)).map_or("–", String::as_str);
        let [debian, pve] = ["DEBIAN_VERSION", "PVE_VERSION"].map(|key| cell(version(key)));
        text.push_str(&format!("| `{name}` | {} | {debian} | {pve} | `{sha256}` |\n", size(*bytes)));
    }
    let (whole, split): (Vec<&Image>, Vec<&Image>) = manifest.images.iter().partition(|image| image.parts.is_empty());
    if !split.is_empty() {
        text.push_str("\nJoin the parts of an image and check it:\n\n```\n");
        for Image { name, file, .. } in split {
            text.push_str(&format!("cat {file}.part* > {file} && sha256sum -c {}\n", name::checksum(name)));
        }
        text.push_str("```\n");
    }
    if !whole.is_empty() {
        text.push_str(&for_proxmox(&whole, repo));
    }
    if let Some(repo) = &manifest.attested_by {
        let repo = cell(repo);
        text.push_str(&format!("\nCheck what built an image: `gh attestation verify IMAGE.qcow2 --repo {repo}`\n"));
    }
    text
}

/// Commands and Terraform resources with which Proxmox VE downloads images without parts and checks them.
fn for_proxmox(images: &[&Image], repo: &Repo) -> String {
    let Repo { host, owner, name: repo } = repo;
    let (mut commands, mut resources) = (String::new(), String::new());
    for Image { name, file, sha256, .. } in images {
        let url = format!("https://{host}/{owner}/{repo}/releases/download/{TAG}/{file}");
        let plain = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let command = format!(
            "pvesh create /nodes/NODE/storage/STORAGE/download-url --content import --filename {file} --url {url} \
             --checksum-algorithm sha256 --checksum {sha256}\n"
        );
        let resource = format!(
            r#"resource "proxmox_virtual_environment_download_file" "image_{plain}" {{
  node_name          = "NODE"
  datastore_id       = "STORAGE"
  content_type       = "import"
  file_name          = "{file}"
  url                = "{url}"
  checksum_algorithm = "sha256"
  checksum           = "{sha256}"
}}
"#
        );
        if commands.len() + resources.len() + command.len() + resource.len() <= MOST_FOR_PROXMOX {
            commands.push_str(&command);
            resources.push_str(&resource);
        }
    }
    format!(
        "\nProxmox VE can download an image without parts, and checks it:\n\n```sh\n{commands}```\n\n\
         With Terraform and its provider `bpg/proxmox`:\n\n```hcl\n{resources}```\n"
    )
}

/// The version that notes written by hand or by [`text`] name; `None` for what is not a version tag.
pub fn points_to(notes: &str) -> Option<&str> {
    let rest = notes.lines().find_map(|line| line.trim().strip_prefix(POINTS_TO))?;
    let version = rest.split_whitespace().next()?.trim_matches(['`', '*', '"', '\'', '.', ',', ';']);
    Some(version).filter(|version| claim::is_version(version))
}

/// Notes that name another version, else as they were.
pub fn pointing_to(notes: &str, source: &str) -> String {
    let is_it = |line: &&str| line.trim_start().starts_with(POINTS_TO);
    match notes.lines().find(is_it) {
        Some(line) => notes.replacen(line, &format!("{POINTS_TO}{source}"), 1),
        None if notes.is_empty() => format!("{POINTS_TO}{source}\n"),
        None => format!("{POINTS_TO}{source}\n\n{notes}"),
    }
}

/// Two sets by their versions; where those are the same, by the first 12 hex digits of their manifests' digests as well.
/// A set that somebody made by hand has none.
pub fn told_apart(one: (&str, Option<Digest>), other: (&str, Option<Digest>)) -> (String, String) {
    let name = |(version, digest): (&str, Option<Digest>)| match digest {
        _ if one.0 != other.0 => version.to_owned(),
        Some(digest) => format!("{version} (manifest {})", &digest.to_string()[..12]),
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
    Err(failure::missing(format!("{what} would have {length} characters, and GitHub allows {most}"))
        .fix(format_args!("shorten the notes by {} characters or more", length - most)))
}

/// A version comes from a file on the build host: it must not end the table's cell.
pub(super) fn cell(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).map(|c| if matches!(c, '|' | '<' | '`') { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::record::Facts;

    #[test]
    fn notes_of_many_images_are_bounded() {
        let image = |number| {
            let name = format!("image-{number}");
            let (file, sha256) = (name::whole(&name), Digest::of(name.as_bytes()));
            Image { name, file, size: 3, sha256, facts: Facts::default(), parts: Vec::new() }
        };
        let manifest = Manifest::new("v0.44".into(), "c".into(), (0..100).map(image).collect());
        let text = text(&manifest, &"me/packer".parse().unwrap(), "v0.45");
        assert!(text.len() < MOST_FOR_PROXMOX + 100 * 150, "{}", text.len());
        let commands = text.matches("\npvesh create ").count();
        assert!(commands > 10 && text.matches("\nresource ").count() == commands, "{text}");
    }

    #[test]
    fn notes_name_another_version_and_keep_the_rest() {
        for (notes, other) in [
            ("Points to v0.44", "Points to v0.45"),
            ("Hello\n\nPoints to v0.44\nPoints to me\n", "Hello\n\nPoints to v0.45\nPoints to me\n"),
            ("Our images", "Points to v0.45\n\nOur images"),
            ("", "Points to v0.45\n"),
        ] {
            assert_eq!(pointing_to(notes, "v0.45"), other);
        }
    }

    #[test]
    fn the_version_is_found() {
        for (notes, version) in [
            ("Points to v0.44", Some("v0.44")),
            ("Hello\r\n  Points to `v0.44`.\r\n", Some("v0.44")),
            ("points at v0.44", None),
            ("Points to ", None),
            ("Points to v0.44;touch${IFS}x", None),
            ("Points to ../../heads/main", None),
            ("", None),
        ] {
            assert_eq!(points_to(notes), version, "{notes:?}");
        }
    }
}
