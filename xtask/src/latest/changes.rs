//! What a publish changes in the images, for the notes: a short table, and all packages collapsed below.
//!
//! The section stands behind the text that follows from the manifest, and is written once, since a manifest doesn't know the
//! previous set. `publish` writes the section, `document` quotes it, and `diff` compares the same sets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::TAG;
use super::client::Client;
use super::look::{Contents, Live, Look};
use super::notes;
use super::set::{Set, SetImage};
use crate::digest::Digest;
use crate::failure::{self, Advice as _};
use crate::gh::{Asset, CallError};
use crate::image::name;
use crate::manifest::{FileEntry, Image, Manifest};
use crate::packages::Packages;
use crate::packages::diff::{Difference, NONE};
use crate::suggest;
use crate::text::size;

/// What begins it. Everything from here on is this module's.
const BEGIN: &str = "## Changed since ";

/// GitHub takes 125,000 characters; the rest of the notes needs some, and a stamp.
const MOST: usize = 90_000;

/// The part of a release's notes that this module wrote; empty when there is none.
fn own_part(notes: &str) -> &str {
    notes.find(&format!("\n{BEGIN}")).map_or("", |at| &notes[at..])
}

/// The security fixes that a release was found to lack.
pub struct Lacking {
    pub release_id: u64,
    /// By image: source packages.
    pub fixes: BTreeMap<String, BTreeSet<String>>,
}

/// One image, as it was and as it is.
struct Change<'a> {
    name: &'a str,
    /// Debian, Proxmox VE and the kernel: `13.1 → 13.2`.
    versions: [String; 3],
    /// `600.0 MiB → 612.3 MiB`; one of them where both are as large.
    size: String,
    /// `None` when one of them has no list.
    difference: Option<Difference>,
    /// `openssl 3.5.1-1 → 3.5.4-1 (CVE-2026-1)`: of what the image was found to lack.
    fixes: Vec<String>,
}

/// The text for the notes: what the set changes in what is live. What can't be read is said and leaves the rest alone.
pub fn section(client: Client<'_>, live: Option<&Live>, set: &Set, lacking: Option<&Lacking>) -> String {
    let Some((live, manifest)) = live.and_then(|live| Some((live, live.manifest.as_ref()?))) else {
        return String::new();
    };
    let mut changes = Vec::new();
    for image in &set.images {
        let Some(old) = manifest.image(&image.name).filter(|old| old.sha256 != image.sha256) else { continue };
        let lacking = lacking.filter(|it| it.release_id == live.release.id).and_then(|it| it.fixes.get(&image.name));
        match of_image(client, live, old, image, lacking) {
            Ok(change) => changes.push(change),
            Err(error) => client.warn(format_args!("the notes will not list all changes: {error:#}")),
        }
    }
    let text = text(manifest, &changes, MOST);
    // GitHub would refuse the table of very many images.
    if text.len() > MOST { String::new() } else { text }
}

fn of_image<'a>(
    client: Client<'_>,
    live: &Live,
    old: &Image,
    new: &'a SetImage,
    lacking: Option<&BTreeSet<String>>,
) -> anyhow::Result<Change<'a>> {
    let read = |asset: &Asset| client.read_asset(asset);
    let was = packages(read, old, &live.assets)?;
    let list = new.lists.iter().find(|(listed, _)| new.facts.packages.as_ref() == Some(listed));
    let parse = |list| Packages::parse(&name::packages(&new.name), &new.read_list(list, read)?);
    let is = list.map(parse).transpose()?;
    let version = |key: &str| {
        let of = |versions: &Option<BTreeMap<String, String>>| versions.as_ref()?.get(key).cloned();
        moved(of(&old.facts.versions).as_deref(), of(&new.facts.versions).as_deref())
    };
    let kernel = |packages: &Option<Packages>| packages.as_ref()?.kernel().map(str::to_owned);
    Ok(Change {
        name: &new.name,
        versions: [
            version("DEBIAN_VERSION"),
            version("PVE_VERSION"),
            moved(kernel(&was).as_deref(), kernel(&is).as_deref()),
        ],
        size: moved(Some(&size(old.size)), Some(&size(new.size))),
        fixes: match (&was, &is, lacking) {
            (Some(was), Some(is), Some(lacking)) => is.fixes(was, lacking),
            _ => Vec::new(),
        },
        difference: was.zip(is).map(|(was, is)| Difference::between(&was, &is)),
    })
}

/// The list of a published image's packages; `None` when the manifest names none.
pub fn packages(
    read_asset: impl FnOnce(&Asset) -> Result<Vec<u8>, CallError>,
    image: &Image,
    assets: &[Asset],
) -> anyhow::Result<Option<Packages>> {
    let Some(listed) = &image.facts.packages else { return Ok(None) };
    Packages::parse(&listed.file, &published(read_asset, listed, assets)?).map(Some)
}

/// The bytes of a list of a published image.
///
/// # Errors
///
/// Exit code 3: it is missing. 4: it has another digest than the manifest says.
pub fn published(
    read_asset: impl FnOnce(&Asset) -> Result<Vec<u8>, CallError>,
    listed: &FileEntry,
    assets: &[Asset],
) -> anyhow::Result<Vec<u8>> {
    let asset = assets.iter().find(|asset| asset.name == listed.file && asset.is_uploaded());
    let verify = format!("run {} to see what differs", suggest::command("verify"));
    let asset =
        asset.ok_or_else(|| failure::missing(format!("{} is missing on the release", listed.file)).fix(&verify))?;
    let bytes = read_asset(asset)?;
    let found = Digest::of(&bytes);
    if found != listed.sha256 {
        let what = format!("{} has sha256 {found}, the manifest says {}", listed.file, listed.sha256);
        return Err(failure::digest(what).fix(verify));
    }
    Ok(bytes)
}

/// `13.1 → 13.2`, or the one there is.
fn moved(old: Option<&str>, new: Option<&str>) -> String {
    match (old.unwrap_or(NONE), new.unwrap_or(NONE)) {
        (old, new) if old == new => new.to_owned(),
        (old, new) => format!("{old} → {new}"),
    }
}

fn text(old: &Manifest, changes: &[Change<'_>], most: usize) -> String {
    if changes.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{BEGIN}{}\n\n", notes::cell(&old.source));
    text.push_str("| Image | Debian | PVE | Kernel | Packages | Of note |\n|---|---|---|---|---|---|\n");
    for change in changes {
        let count = change.difference.as_ref().map_or_else(|| "not known".to_owned(), Difference::count);
        let moved = change.difference.iter().flat_map(|difference| &difference.of_note);
        let moved = moved.filter(|it| it.name != "kernel").map(|it| format!("{} {} → {}", it.name, it.from, it.to));
        let size = change.size.contains('→').then(|| format!("size {}", change.size));
        let of_note: Vec<String> = moved.chain(size).collect();
        let of_note = if of_note.is_empty() { NONE.to_owned() } else { of_note.join(", ") };
        let cells: Vec<String> =
            change.versions.iter().chain([&count, &of_note]).map(|cell| notes::cell(cell)).collect();
        let _ = writeln!(text, "| `{}` | {} |", change.name, cells.join(" | "));
    }
    let fixes = changes.iter().flat_map(|change| change.fixes.iter().map(|fix| (change.name, fix)));
    let fixes: String = fixes.map(|(name, fix)| format!("- `{name}`: {}\n", notes::cell(fix))).collect();
    if !fixes.is_empty() {
        let _ = write!(text, "\nSecurity fixes:\n\n{fixes}");
    }
    let (mut details, mut left) = (String::new(), 0);
    for Change { name, difference, .. } in changes {
        let Some(difference) = difference.as_ref().filter(|difference| !difference.is_empty()) else { continue };
        let _ = write!(details, "\n{name}:\n\n```\n");
        for line in difference.lines() {
            if left == 0 && text.len() + details.len() + line.len() < most {
                let _ = writeln!(details, "{line}");
            } else {
                left += 1;
            }
        }
        details.push_str("```\n");
    }
    if left > 0 {
        let _ = writeln!(details, "\n{left} more; `cargo xtask packer diff` shows all.");
    }
    if !details.is_empty() {
        let _ = write!(text, "\n<details><summary>All packages that changed</summary>\n{details}\n</details>\n");
    }
    text
}

/// What the notes say about one image, in one line: `12 packages changed; openssl 3.5.1-1 → 3.5.4-1`.
pub fn line(notes: &str, image: &str) -> Option<String> {
    let row = own_part(notes).lines().find_map(|line| line.strip_prefix(&format!("| `{image}` | ")))?;
    let cells: Vec<&str> = row.trim_end().trim_end_matches('|').split(" | ").map(str::trim).collect();
    let [_, _, kernel, count, of_note] = cells[..] else { return None };
    if count == "not known" {
        return None;
    }
    let kernel = if kernel.contains('→') { format!("kernel {kernel}") } else { String::new() };
    let details: Vec<&str> =
        [kernel.as_str(), of_note].into_iter().filter(|it| !it.is_empty() && *it != NONE).collect();
    Some(if details.is_empty() { count.to_owned() } else { format!("{count}: {}", details.join(", ")) })
}

/// A set that can be compared.
pub struct Listed {
    pub manifest: Manifest,
    /// Of the manifest.
    pub digest: Digest,
    pub assets: Vec<Asset>,
}

/// The set of a version: what is live, what it replaced, or that version's own release; without a version what is live, or
/// with `before` what it replaced.
///
/// # Errors
///
/// Exit code 3: there is none, or it has no manifest.
pub fn find(client: Client<'_>, look: &Look, version: Option<&str>, before: bool) -> anyhow::Result<Listed> {
    let listed = |Contents { manifest, digest, assets, .. }: Contents| {
        let manifest = manifest.filter(|manifest| version.is_none_or(|version| manifest.source == version))?;
        Some(Listed { manifest, digest: digest?, assets })
    };
    let live = look.live.as_ref().filter(|_| !before || version.is_some());
    if let Some(found) = live.and_then(|live| listed((**live).clone())) {
        return Ok(found);
    }
    let replaced = look.live.as_ref().filter(|_| version.is_none()).and_then(|live| look.way_back(live));
    let replaced = replaced.map(|(set, _)| set.release.id);
    let pinned = look.pinned.iter().map(|set| &set.release);
    let pinned = pinned.filter(|set| replaced.is_none_or(|replaced| set.id == replaced));
    let own = version.map(|version| client.release_by_tag(version)).transpose()?.flatten();
    for release in pinned.chain(&own) {
        if let Some(found) = listed(Contents::read(client, release.clone())?) {
            return Ok(found);
        }
    }
    let what = match version {
        Some(version) => format!("no set of {} with a manifest", version.escape_debug()),
        None if before => format!("no previous set of {TAG} with a manifest"),
        None => format!("{TAG} has no manifest"),
    };
    Err(failure::missing(format!("{what} in {}, so there is nothing to compare", client.repo()))
        .fix(format_args!("run {} to see the sets", suggest::command("status"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::Package;
    use crate::packages::diff::Moved;

    fn change(packages: usize) -> Difference {
        let package = |number: usize| Package {
            name: format!("package{number}"),
            architecture: "amd64".into(),
            version: "1.0-1".into(),
            source: "source".into(),
            source_version: "1.0-1".into(),
        };
        Difference {
            added: (0..packages).map(package).collect(),
            of_note: vec![Moved { name: "openssl".into(), from: "1".into(), to: "2".into() }],
            ..Difference::default()
        }
    }

    fn written(difference: Option<Difference>, most: usize) -> String {
        let old = Manifest::new("v0.44".into(), "c".into(), Vec::new());
        let change = Change {
            name: "a",
            versions: ["13.2", NONE, "6 → 7"].map(str::to_owned),
            size: NONE.into(),
            difference,
            fixes: vec!["openssl 1 → 2 (CVE-2026-1)".into()],
        };
        text(&old, &[change], most)
    }

    #[test]
    fn the_section_is_found_again_and_bounded() {
        let section = written(Some(change(3)), MOST);
        let notes = format!("Points to v0.45\n\nA table\n{section}");
        assert_eq!(own_part(&notes), section);
        assert!(section.contains("\nSecurity fixes:\n\n- `a`: openssl 1 → 2 (CVE-2026-1)\n"), "{section}");
        assert_eq!(line(&notes, "a").as_deref(), Some("3 packages added: kernel 6 → 7, openssl 1 → 2"));
        assert_eq!(line(&notes, "b"), None);
        assert_eq!(line("Points to v0.45", "a"), None);
        assert_eq!(line(&written(None, MOST), "a"), None);
        let bounded = written(Some(change(1000)), 2000);
        assert!(bounded.len() < 2200 && bounded.contains(" more; `cargo xtask packer diff` shows all."), "{bounded}");
        assert_eq!(bounded.matches("```").count(), 2);
    }
}
