//! What a publish changes in the images, for the notes: a short table, and the whole of it collapsed below.
//!
//! It stands behind the text that follows from the manifest, and is written once: a manifest doesn't say what was before.

use std::fmt::Write as _;

use super::TAG;
use super::doors::Doors;
use super::look::{self, Live, Look};
use super::notes;
use super::previous::{self, Kept};
use super::set::{Set, SetImage};
use crate::failure;
use crate::gh::{Asset, CallError, Gh};
use crate::image::digest::Digest;
use crate::manifest::{Image, Manifest};
use crate::sbom::Packages;
use crate::sbom::diff::{Difference, NONE};
use crate::typed;

/// What begins it. Everything from here on is this module's.
const BEGIN: &str = "## Changed since ";

/// GitHub takes 125,000 characters; the rest of the notes needs some, and a stamp.
const MOST: usize = 90_000;

/// The part of a release's notes that follows from its manifest.
pub fn without(notes: &str) -> &str {
    notes.find(&format!("\n{BEGIN}")).map_or(notes, |at| &notes[..at])
}

/// The part that this module wrote; empty when there is none.
pub fn kept(notes: &str) -> &str {
    notes.find(&format!("\n{BEGIN}")).map_or("", |at| &notes[at..])
}

/// One image, as it was and as it is.
struct Change<'a> {
    name: &'a str,
    /// `13.1 → 13.2`
    debian: String,
    pve: String,
    kernel: String,
    /// `None` when one of them has no list.
    difference: Option<Difference>,
}

/// The text for the notes: what the set changes in what is live. What can't be read is said and leaves the rest alone.
pub fn section(doors: Doors<'_>, live: Option<&Live>, set: &Set) -> String {
    let Some((live, manifest)) = live.and_then(|live| Some((live, live.manifest.as_ref()?))) else {
        return String::new();
    };
    let mut changes = Vec::new();
    for image in &set.images {
        let Some(old) = manifest.image(&image.name).filter(|old| old.sha256 != image.sha256) else { continue };
        match of_image(doors, live, old, image) {
            Ok(change) => changes.push(change),
            Err(error) => doors.warn(format_args!("the notes won't say all that changed: {error:#}")),
        }
    }
    let text = text(manifest, &changes, MOST);
    // A table of a hundred images is nobody's; still, GitHub would refuse it.
    if text.len() > MOST { String::new() } else { text }
}

fn of_image<'a>(doors: Doors<'_>, live: &Live, old: &Image, new: &'a SetImage) -> anyhow::Result<Change<'a>> {
    let read = |asset: &Asset| doors.read_asset(asset);
    let was = published(read, old, &live.assets)?;
    let is = match &new.facts.packages {
        Some(packages) => Some(Packages::parse(&packages.listed.file, &packages.read(read)?)?),
        None => None,
    };
    let version = |key: &str| {
        let of = |versions: &Option<std::collections::BTreeMap<String, String>>| versions.as_ref()?.get(key).cloned();
        moved(of(&old.versions).as_deref(), of(&new.facts.versions).as_deref())
    };
    let kernel = |packages: &Option<Packages>| packages.as_ref()?.kernel().map(str::to_owned);
    Ok(Change {
        name: &new.name,
        debian: version("DEBIAN_VERSION"),
        pve: version("PVE_VERSION"),
        kernel: moved(kernel(&was).as_deref(), kernel(&is).as_deref()),
        difference: was.zip(is).map(|(was, is)| Difference::between(&was, &is)),
    })
}

/// The list of a published image's packages; `None` when the manifest names none.
pub fn published(
    read_asset: impl FnOnce(&Asset) -> Result<Vec<u8>, CallError>,
    image: &Image,
    assets: &[Asset],
) -> anyhow::Result<Option<Packages>> {
    let Some(listed) = &image.packages else { return Ok(None) };
    let asset = assets.iter().find(|asset| asset.name == listed.file && asset.is_uploaded());
    let asset = asset.ok_or_else(|| {
        failure::missing(format!("{} is not on the release; look with {}", listed.file, typed::line("verify")))
    })?;
    let bytes = read_asset(asset)?;
    let found = Digest::of(&bytes);
    if found != listed.sha256 {
        return Err(failure::digest(format!(
            "{} has sha256 {found}, the manifest says {}; look with {}",
            listed.file,
            listed.sha256,
            typed::line("verify")
        )));
    }
    Packages::parse(&listed.file, &bytes).map(Some)
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
        let (count, of_note) = match &change.difference {
            Some(difference) => {
                let of_note: Vec<String> = difference
                    .of_note
                    .iter()
                    .filter(|(name, ..)| name != "kernel")
                    .map(|(name, from, to)| format!("{name} {from} → {to}"))
                    .collect();
                (difference.count(), if of_note.is_empty() { NONE.to_owned() } else { of_note.join(", ") })
            }
            None => ("not known".to_owned(), NONE.to_owned()),
        };
        let cells = [&change.debian, &change.pve, &change.kernel, &count, &of_note].map(|cell| notes::cell(cell));
        let _ = writeln!(text, "| `{}` | {} |", change.name, cells.join(" | "));
    }
    let different: Vec<(&str, &Difference)> = changes
        .iter()
        .filter_map(|change| {
            Some((change.name, change.difference.as_ref().filter(|difference| !difference.is_empty())?))
        })
        .collect();
    if !different.is_empty() {
        text.push_str("\n<details><summary>All packages that changed</summary>\n");
        let mut left = 0;
        for (name, difference) in different {
            let _ = write!(text, "\n{name}:\n\n```\n");
            for line in difference.lines() {
                if left == 0 && text.len() + line.len() < most {
                    let _ = writeln!(text, "{line}");
                } else {
                    left += 1;
                }
            }
            text.push_str("```\n");
        }
        if left > 0 {
            let _ = writeln!(text, "\n{left} more; `cargo xtask packer diff` shows all.");
        }
        text.push_str("\n</details>\n");
    }
    text
}

/// What the notes say about one image, in one line: `12 packages changed; openssl 3.5.1-1 → 3.5.4-1`.
pub fn line(notes: &str, image: &str) -> Option<String> {
    let row = kept(notes).lines().find_map(|line| line.strip_prefix(&format!("| `{image}` | ")))?;
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

/// A set that can be compared, by the version that it stands for.
pub struct Listed {
    pub source: String,
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
pub fn find(doors: Doors<'_>, gh: &Gh, look: &Look, version: Option<&str>, before: bool) -> anyhow::Result<Listed> {
    let set = |(manifest, digest): (Manifest, Digest), assets| Listed {
        source: manifest.source.clone(),
        manifest,
        digest,
        assets,
    };
    let wanted = |(manifest, _): &(Manifest, Digest)| version.is_none_or(|version| manifest.source == version);
    if (!before || version.is_some())
        && let Some(live) = &look.live
        && let Some(manifest) = live.manifest.clone().zip(live.digest).filter(wanted)
    {
        return Ok(set(manifest, live.assets.clone()));
    }
    for (draft, stamp) in look.newest_first() {
        if let Some(Kept { assets, manifest, digest, .. }) = previous::kept(doors, draft, stamp)?
            && let Some(found) = manifest.zip(digest).filter(wanted)
        {
            return Ok(set(found, assets));
        }
    }
    if let Some(version) = version
        && let Some(release) = gh.release_by_tag(version)?
    {
        let assets = gh.assets(release.id)?;
        if let Some(found) = look::read(&assets, |asset| gh.read_asset(asset))? {
            return Ok(set(found, assets));
        }
    }
    let what = match version {
        Some(version) => format!("no set of {} with a manifest is kept", version.escape_debug()),
        None if before => format!("what {TAG} replaced last has no manifest, or isn't kept"),
        None => format!("no set with a manifest is published as {TAG}"),
    };
    Err(failure::missing(format!(
        "{what} in {}, so there is nothing to compare; {} shows what there is",
        gh.repo(),
        typed::line("status")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom::Package;

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
            of_note: vec![("openssl".into(), "1".into(), "2".into())],
            ..Difference::default()
        }
    }

    fn written(difference: Option<Difference>, most: usize) -> String {
        let old = Manifest::new("v0.44".into(), "c".into(), Vec::new());
        let change =
            Change { name: "a", debian: "13.2".into(), pve: NONE.into(), kernel: "6 → 7".into(), difference };
        text(&old, &[change], most)
    }

    #[test]
    fn the_section_is_found_again_and_bounded() {
        let section = written(Some(change(3)), MOST);
        let notes = format!("Points to v0.45\n\nA table\n{section}");
        assert_eq!(without(&notes), "Points to v0.45\n\nA table\n");
        assert_eq!(kept(&notes), section);
        assert_eq!(line(&notes, "a").as_deref(), Some("3 packages added: kernel 6 → 7, openssl 1 → 2"));
        assert_eq!(line(&notes, "b"), None);
        assert_eq!(line("Points to v0.45", "a"), None);
        assert_eq!(line(&written(None, MOST), "a"), None);
        let bounded = written(Some(change(1000)), 2000);
        assert!(bounded.len() < 2200 && bounded.contains(" more; `cargo xtask packer diff` shows all."), "{bounded}");
        assert_eq!(bounded.matches("```").count(), 2);
    }
}
