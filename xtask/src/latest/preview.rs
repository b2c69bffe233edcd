//! A plan in a person's words: what becomes of each image, how many bytes that moves, and how it is undone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::console::{seconds, size};
use crate::image::name::Role;
use crate::manifest::Image;
use crate::typed;

use super::TAG;
use super::look::Live;
use super::notes;
use super::set::{Set, SetImage};
use super::step::{How, Step, Transfer};

/// What the steps of a plan come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    pub images: Vec<Line>,
    /// Bytes that go from this machine to GitHub.
    pub send: u64,
    /// Bytes that come from GitHub to this machine, on their way to the new release.
    pub fetch: u64,
    /// Bytes that are kept on the release that was replaced last, because the set is staged there.
    pub kept: u64,
    undo: Option<Undo>,
}

/// How a publish is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Undo {
    /// A line to type; `None`: the set that is live is not kept.
    command: Option<String>,
    /// The version that is live, where that is said.
    source: Option<String>,
    /// Another set comes back, not only the old version of this one.
    switches: bool,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub name: String,
    pub change: Change,
    /// Bytes; of one that is dropped those that are live.
    pub size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The same bytes, and how they get into the new set.
    Unchanged(Way),
    New,
    /// From one version to another, where both are known.
    Rebuilt(Option<String>, Option<String>),
    /// Live under this name is something that no manifest describes.
    Replaced,
    Dropped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Kept,
    /// From the release that is live, through this machine.
    Carried,
    Sent,
}

impl Preview {
    pub fn new(set: &Set, live: Option<&Live>, steps: &[Step]) -> Self {
        let transfers = || {
            steps.iter().flat_map(|step| match step {
                Step::Fill(transfers) => transfers.as_slice(),
                _ => &[],
            })
        };
        let bytes = |moved: fn(&How) -> bool| transfers().filter(|it| moved(&it.how)).map(|it| it.size).sum();
        let mut images: Vec<Line> = set
            .images
            .iter()
            .map(|image| {
                let own: Vec<&Transfer> = transfers().filter(|it| is_of(&it.file, &image.name)).collect();
                Line { name: image.name.clone(), change: change(image, live, &own), size: image.size }
            })
            .collect();
        let wanted: BTreeSet<&str> = set.images.iter().map(|image| image.name.as_str()).collect();
        images.extend(dropped(live).into_iter().filter(|line| !wanted.contains(line.name.as_str())));
        images.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            images,
            send: bytes(|how| !matches!(how, How::Keep)),
            fetch: bytes(|how| matches!(how, How::Copy { .. })),
            kept: steps
                .iter()
                .map(|step| match step {
                    Step::Stage { bytes, .. } => *bytes,
                    _ => 0,
                })
                .sum(),
            undo: undo(live, steps),
        }
    }

    /// How long the bytes take at so many a second.
    fn time(&self, rate: Option<u64>) -> Option<Duration> {
        let rate = rate.filter(|rate| *rate > 0 && self.send > 0)?;
        Some(Duration::from_secs(self.send.div_ceil(rate)))
    }

    /// One line an image, one for the bytes, one for the way back. `rate`: bytes a second of the last upload.
    pub fn lines(&self, rate: Option<u64>) -> Vec<String> {
        let width = self.images.iter().map(|line| line.name.chars().count()).max().unwrap_or(0);
        let sizes = self.images.iter().map(|line| size(line.size).chars().count()).max().unwrap_or(0);
        let image = |line: &Line| format!("  {:width$}  {:>sizes$}  {}", line.name, size(line.size), line.change);
        let mut lines: Vec<String> = self.images.iter().map(image).collect();
        let fetch = if self.fetch > 0 { format!(", {} to fetch before", size(self.fetch)) } else { String::new() };
        let time = self.time(rate).zip(rate);
        let time = time.map(|(time, rate)| format!("; about {} at {}/s", seconds(time), size(rate)));
        lines.push(match self.send {
            0 => "  nothing to send".to_owned(),
            send => format!("  {} to send{fetch}{}", size(send), time.unwrap_or_default()),
        });
        lines.extend((self.kept > 0).then(|| format!("  {} kept on the previous release", size(self.kept))));
        lines.extend(self.undo.iter().map(|undo| format!("  {undo}")));
        lines
    }

    /// `bytes` (`send`, `fetch`, `kept`), `seconds` (`null` where no upload was measured before), `undo` (`command`, `null`
    /// where there is no way back, and the `source` that it brings back).
    pub fn to_json(&self, rate: Option<u64>) -> Value {
        json!({
            "bytes": { "send": self.send, "fetch": self.fetch, "kept": self.kept },
            "seconds": self.time(rate).map(|time| time.as_secs()),
            "undo": self.undo.as_ref().map(|undo| json!({ "command": undo.command, "source": undo.source })),
        })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unchanged(way) => {
                let way = match way {
                    Way::Kept => "kept",
                    Way::Carried => "carried over",
                    Way::Sent => "sent again",
                };
                write!(f, "unchanged ({way})")
            }
            Self::Rebuilt(Some(from), Some(to)) if from != to => write!(f, "rebuilt {from} → {to}"),
            Self::Rebuilt(..) => f.write_str("rebuilt"),
            Self::New => f.write_str("new"),
            Self::Replaced => f.write_str("replaced (no manifest says what is live)"),
            Self::Dropped => f.write_str("dropped"),
        }
    }
}

impl Change {
    /// `change`, and what belongs to it.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Unchanged(Way::Kept) => json!({ "change": "unchanged", "way": "kept" }),
            Self::Unchanged(Way::Carried) => json!({ "change": "unchanged", "way": "carried" }),
            Self::Unchanged(Way::Sent) => json!({ "change": "unchanged", "way": "sent" }),
            Self::Rebuilt(from, to) => json!({ "change": "rebuilt", "from": from, "to": to }),
            Self::New => json!({ "change": "new" }),
            Self::Replaced => json!({ "change": "replaced" }),
            Self::Dropped => json!({ "change": "dropped" }),
        }
    }
}

fn image_of(file: &str) -> Option<String> {
    Role::of(file).map(|role| role.image().to_owned())
}

fn is_of(file: &str, image: &str) -> bool {
    Role::of(file).is_some_and(|role| role.image() == image)
}

fn change(image: &SetImage, live: Option<&Live>, transfers: &[&Transfer]) -> Change {
    let Some(live) = live else { return Change::New };
    let Some(manifest) = &live.manifest else {
        let there = live.assets.iter().any(|asset| is_of(&asset.name, &image.name));
        // Nothing moves only where the assets' digests say that it is the same.
        return match there {
            true if transfers.is_empty() => Change::Unchanged(Way::Kept),
            true => Change::Replaced,
            false => Change::New,
        };
    };
    let Some(before) = manifest.images.iter().find(|before| before.name == image.name) else { return Change::New };
    if before.sha256 != image.sha256 {
        return Change::Rebuilt(version(before.versions.as_ref()), version(image.facts.versions.as_ref()));
    }
    let any = |wanted: fn(&How) -> bool| transfers.iter().any(|transfer| wanted(&transfer.how));
    Change::Unchanged(
        if any(|how| matches!(how, How::Send | How::Replace)) && !any(|how| matches!(how, How::Copy { .. })) {
            Way::Sent
        } else if any(|how| matches!(how, How::Copy { .. })) {
            Way::Carried
        } else {
            Way::Kept
        },
    )
}

/// What people know it by: Debian's version, and Proxmox VE's where it is there.
fn version(versions: Option<&BTreeMap<String, String>>) -> Option<String> {
    let versions = versions?;
    let of = |name| versions.get(name).map(String::as_str);
    match (of("DEBIAN_VERSION"), of("PVE_VERSION")) {
        (Some(debian), Some(pve)) => Some(format!("{debian} (PVE {pve})")),
        (Some(debian), None) => Some(debian.to_owned()),
        (None, pve) => pve.map(|pve| format!("PVE {pve}")),
    }
}

/// All that is live.
fn dropped(live: Option<&Live>) -> Vec<Line> {
    let Some(live) = live else { return Vec::new() };
    let line = |name: &str, size| Line { name: name.to_owned(), change: Change::Dropped, size };
    match &live.manifest {
        Some(manifest) => manifest.images.iter().map(|Image { name, size, .. }| line(name, *size)).collect(),
        None => {
            let names: BTreeSet<String> = live.assets.iter().filter_map(|asset| image_of(&asset.name)).collect();
            let bytes =
                |name: &str| live.assets.iter().filter(|asset| is_of(&asset.name, name)).map(|asset| asset.size).sum();
            names.iter().map(|name| line(name, bytes(name))).collect()
        }
    }
}

impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = self.source.as_deref();
        match &self.command {
            None => write!(f, "no way back: {} is not kept", source.unwrap_or("the release that is live")),
            Some(command) if !self.switches => write!(f, "undo: `{command}`"),
            Some(command) => match source {
                Some(source) => write!(f, "undo: `{command}` puts {source} back"),
                None => write!(f, "undo: `{command}` puts what is {TAG} now back"),
            },
        }
    }
}

fn undo(live: Option<&Live>, steps: &[Step]) -> Option<Undo> {
    let live = live?;
    let source = live.manifest.as_ref().map(|manifest| manifest.source.as_str());
    let source = source.or_else(|| notes::points_to(live.release.notes()));
    let gone = |step: &Step| matches!(step, Step::Drop { release, .. } if *release == live.release.id);
    let switches = steps.iter().any(|step| matches!(step, Step::Switch { hide: Some(_), .. }));
    let relabels = steps.iter().any(|step| matches!(step, Step::Relabel { .. }));
    let command = match source {
        _ if steps.iter().any(gone) => None,
        _ if switches => Some(typed::bare("rollback --execute")),
        Some(source) if relabels => Some(typed::bare(format_args!("publish --source {source}"))),
        _ => return None,
    };
    Some(Undo { command, source: source.map(str::to_owned), switches })
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
                line("debian-12-custom", Change::Rebuilt(version("12.11"), version("12.12")), 3 << 30),
                line("debian-13-custom", Change::Unchanged(Way::Carried), 1 << 30),
                line("debian-13-pve", Change::New, 4 << 30),
                line("old", Change::Dropped, 10),
            ],
            send: 8 << 30,
            fetch: 1 << 30,
            kept: 0,
            undo: Some(Undo { command: Some("…".to_owned()), source: None, switches: false }),
        };
        let lines = [
            "  debian-12-custom  3.0 GiB  rebuilt 12.11 → 12.12",
            "  debian-13-custom  1.0 GiB  unchanged (carried over)",
            "  debian-13-pve     4.0 GiB  new",
            "  old                  10 B  dropped",
            "  8.0 GiB to send, 1.0 GiB to fetch before; about 68 min 16 s at 2.0 MiB/s",
            "  undo: `…`",
        ];
        assert_eq!(preview.lines(Some(2 << 20)), lines);
        assert_eq!(preview.lines(None)[4], "  8.0 GiB to send, 1.0 GiB to fetch before");
        assert!(preview.lines(Some(2 << 20)).iter().all(|line| line.chars().count() < 80));
        let nothing = Preview { send: 0, fetch: 0, ..preview };
        assert_eq!(nothing.lines(Some(1))[4], "  nothing to send");
        assert_eq!(nothing.to_json(Some(1))["seconds"], Value::Null);
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
            assert_eq!(Change::Rebuilt(from, to).to_string(), shown);
        }
    }
}
