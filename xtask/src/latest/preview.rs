//! What a plan comes to: what becomes of each image, how many bytes are uploaded, and how it is undone.
//!
//! The preview follows from the plan's steps alone, so people agree to what is carried out. `publish` shows it as text and as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::image::name::Role;
use crate::image::record::Facts;
use crate::manifest::Manifest;
use crate::suggest;
use crate::text::{seconds, size};

use super::TAG;
use super::look::Live;
use super::plan::{How, Step, Transfer};
use super::set::{Set, SetImage};

/// What the steps of a plan come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preview {
    #[serde(skip)]
    pub images: Vec<Line>,
    pub bytes: Bytes,
    /// Seconds that the upload takes; `None` where no upload was measured before.
    seconds: Option<u64>,
    /// Bytes a second of the last upload.
    #[serde(skip)]
    rate: Option<u64>,
    undo: Option<Undo>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// From this machine to GitHub.
    pub send: u64,
    /// From GitHub to this machine, on their way to the new release.
    fetch: u64,
}

/// How a publish is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Undo {
    /// A line to type.
    command: String,
    /// The version that comes back, where it is known.
    source: Option<String>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub name: String,
    pub change: Change,
    /// Bytes of the new image; of a dropped image, bytes of the live one.
    pub size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub enum Change {
    /// The same bytes, and how they get into the new set.
    Unchanged { way: Way },
    /// The live set has no image of this name.
    New,
    /// From one version to another, where both are known. `was`: bytes of the live image.
    Rebuilt {
        from: Option<String>,
        to: Option<String>,
        #[serde(skip)]
        was: u64,
    },
    /// The live image of this name is in no manifest.
    Replaced,
    /// The new set has no image of this name.
    Dropped,
}

/// Of an image's assets, the one that takes most counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    Kept,
    Sent,
    /// From the release that is live, through this machine.
    Carried,
}

impl Preview {
    pub fn new(set: &Set, live: Option<&Live>, steps: &[Step], rate: Option<u64>) -> Self {
        let transfers: Vec<&Transfer> =
            steps.iter().filter_map(|step| if let Step::Transfer(it) = step { Some(it) } else { None }).collect();
        let bytes = |moved: fn(&How) -> bool| transfers.iter().filter(|it| moved(&it.how)).map(|it| it.size).sum();
        let mut lines = live.map(all_dropped).unwrap_or_default();
        for image in &set.images {
            let change = change(image, live, lines.contains_key(&image.name), &transfers);
            lines.insert(image.name.clone(), Line { name: image.name.clone(), change, size: image.size });
        }
        let send: u64 = bytes(|how| !matches!(how, How::Keep));
        Self {
            images: lines.into_values().collect(),
            bytes: Bytes { send, fetch: bytes(|how| matches!(how, How::Copy { .. })) },
            seconds: rate.filter(|rate| *rate > 0 && send > 0).map(|rate| send.div_ceil(rate)),
            rate,
            undo: live.and_then(|live| undo(live, steps)),
        }
    }

    /// One line for each image, one for the bytes, one for undoing it.
    pub fn lines(&self) -> Vec<String> {
        let width = self.images.iter().map(|line| line.name.chars().count()).max().unwrap_or(0);
        let sizes = self.images.iter().map(|line| size(line.size).chars().count()).max().unwrap_or(0);
        let was = |line: &Line| match line.change {
            Change::Rebuilt { was, .. } if size(was) != size(line.size) => format!(", was {}", size(was)),
            _ => String::new(),
        };
        let image =
            |line: &Line| format!("  {:width$}  {:>sizes$}  {}{}", line.name, size(line.size), line.change, was(line));
        let mut lines: Vec<String> = self.images.iter().map(image).collect();
        let Bytes { send, fetch } = self.bytes;
        let fetch = if fetch > 0 { format!(", after downloading {}", size(fetch)) } else { String::new() };
        let time = self.seconds.map(Duration::from_secs).zip(self.rate);
        let time = time.map(|(time, rate)| format!("; about {} at {}/s", seconds(time), size(rate)));
        lines.push(match send {
            0 => "  nothing to upload".to_owned(),
            send => format!("  upload {}{fetch}{}", size(send), time.unwrap_or_default()),
        });
        lines.extend(self.undo.iter().map(|Undo { command, source }| {
            let restored = source.clone().unwrap_or_else(|| format!("what is {TAG} now"));
            format!("  undo: `{command}` restores {restored}")
        }));
        lines
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unchanged { way: Way::Kept } => f.write_str("unchanged (kept)"),
            Self::Unchanged { way: Way::Carried } => f.write_str("unchanged (carried over)"),
            Self::Unchanged { way: Way::Sent } => f.write_str("unchanged (uploaded again)"),
            Self::Rebuilt { from: Some(from), to: Some(to), .. } if from != to => write!(f, "rebuilt {from} → {to}"),
            Self::Rebuilt { .. } => f.write_str("rebuilt"),
            Self::New => f.write_str("new"),
            Self::Replaced => f.write_str("replaces an image published without a manifest"),
            Self::Dropped => f.write_str("dropped"),
        }
    }
}

fn change(image: &SetImage, live: Option<&Live>, is_live: bool, transfers: &[&Transfer]) -> Change {
    match live.and_then(|live| live.manifest.as_ref()?.image(&image.name)) {
        None if is_live => Change::Replaced,
        None => Change::New,
        Some(before) if before.sha256 != image.sha256 => {
            Change::Rebuilt { from: version(&before.facts), to: version(&image.facts), was: before.size }
        }
        Some(_) => {
            let is_own = |it: &&&Transfer| Role::of(&it.file).is_some_and(|role| role.image() == image.name);
            let ways = transfers.iter().filter(is_own).map(|it| match it.how {
                How::Keep => Way::Kept,
                How::Send | How::Replace => Way::Sent,
                How::Copy { .. } => Way::Carried,
            });
            Change::Unchanged { way: ways.max().unwrap_or(Way::Kept) }
        }
    }
}

/// Debian's version, and Proxmox VE's where the image has it.
fn version(facts: &Facts) -> Option<String> {
    let of = |name| facts.versions.as_ref()?.get(name).map(String::as_str);
    match (of("DEBIAN_VERSION"), of("PVE_VERSION")) {
        (Some(debian), Some(pve)) => Some(format!("{debian} (PVE {pve})")),
        (Some(debian), None) => Some(debian.to_owned()),
        (None, pve) => pve.map(|pve| format!("PVE {pve}")),
    }
}

/// All images that are live, as if the new set had none of them.
fn all_dropped(live: &Live) -> BTreeMap<String, Line> {
    let of_manifest =
        |manifest: &Manifest| manifest.images.iter().map(|image| (image.name.clone(), image.size)).collect();
    let of_assets =
        || live.assets.iter().filter_map(|it| Some((Role::of(&it.name)?.image().to_owned(), it.size))).collect();
    let sizes: Vec<(String, u64)> = live.manifest.as_ref().map_or_else(of_assets, of_manifest);
    let mut lines = BTreeMap::new();
    for (name, size) in sizes {
        let line = Line { name: name.clone(), change: Change::Dropped, size: 0 };
        lines.entry(name).or_insert(line).size += size;
    }
    lines
}

fn undo(live: &Live, steps: &[Step]) -> Option<Undo> {
    let source = live.source();
    let command = match (steps.last()?, source) {
        (Step::Label { .. }, source) => suggest::bare(format_args!("publish --source {} --back", source?)),
        _ => suggest::bare("rollback --execute"),
    };
    Some(Undo { command, source: source.map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_said_in_few_lines() {
        let version = |text: &str| Some(text.to_owned());
        let line = |name: &str, change, size| Line { name: name.to_owned(), change, size };
        let preview = Preview {
            images: vec![
                line(
                    "debian-12-custom",
                    Change::Rebuilt { from: version("12.11"), to: version("12.12"), was: 2 << 30 },
                    3 << 30,
                ),
                line("debian-13-custom", Change::Unchanged { way: Way::Carried }, 1 << 30),
                line("debian-13-pve", Change::New, 4 << 30),
                line("old", Change::Dropped, 10),
            ],
            bytes: Bytes { send: 8 << 30, fetch: 1 << 30 },
            seconds: Some(4096),
            rate: Some(2 << 20),
            undo: Some(Undo { command: "…".to_owned(), source: version("v0.44") }),
        };
        let lines = [
            "  debian-12-custom  3.0 GiB  rebuilt 12.11 → 12.12, was 2.0 GiB",
            "  debian-13-custom  1.0 GiB  unchanged (carried over)",
            "  debian-13-pve     4.0 GiB  new",
            "  old                  10 B  dropped",
            "  upload 8.0 GiB, after downloading 1.0 GiB; about 68 min 16 s at 2.0 MiB/s",
            "  undo: `…` restores v0.44",
        ];
        assert_eq!(preview.lines(), lines);
        assert!(preview.lines().iter().all(|line| line.chars().count() < 80));
        let unmeasured = Preview { rate: None, ..preview.clone() };
        assert_eq!(unmeasured.lines()[4], "  upload 8.0 GiB, after downloading 1.0 GiB");
        let nothing = Preview { bytes: Bytes::default(), ..preview };
        assert_eq!(nothing.lines()[4], "  nothing to upload");
    }

    #[test]
    fn a_rebuild_names_versions_where_both_are_known_and_differ() {
        let version = |text: &str| Some(text.to_owned());
        for (from, to, shown) in [
            (version("12.11"), version("12.12"), "rebuilt 12.11 → 12.12"),
            (version("12.12"), version("12.12"), "rebuilt"),
            (None, version("12.12"), "rebuilt"),
            (version("12.11"), None, "rebuilt"),
        ] {
            assert_eq!(Change::Rebuilt { from, to, was: 1 }.to_string(), shown);
        }
    }
}
