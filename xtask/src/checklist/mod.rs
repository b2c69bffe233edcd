//! The image checklist: what there is of each image here and on `latest`, and what is to be done next.

mod next;
mod row;

use std::fmt;

use serde_json::{Value, json};

use crate::console::count;
use crate::decide::{self, Report};
use crate::git::TagRef;
use crate::latest::doors::Doors;
use crate::latest::heal::{self, Heal};
use crate::latest::lock::{self, Holder};
use crate::latest::look::{IncomingDraft, Live, Look};
use crate::latest::notes;

pub use next::next;
pub use row::{Agreement, HEADINGS, Local, Row, rows};

/// All that `status` shows.
#[derive(Debug, Default)]
pub struct Checklist {
    pub rows: Vec<Row>,
    /// `None` when GitHub or the remote could not be asked.
    pub latest: Option<Latest>,
    /// The newest version tag at HEAD.
    pub version_here: Option<String>,
    pub head: Option<String>,
    /// What could not be asked.
    pub unasked: Vec<String>,
}

/// The state of the rolling release.
#[derive(Debug, Default)]
pub struct Latest {
    pub release: Option<Published>,
    /// The tag on the remote.
    pub tag: Option<TagRef>,
    pub incoming: Vec<Draft>,
    pub previous: Vec<Draft>,
    /// How a publish that ended half-way is to be finished.
    pub heal: Option<Heal>,
    pub lock: Option<Holder>,
}

/// The published release.
#[derive(Debug)]
pub struct Published {
    /// The version that it stands for, where that is said.
    pub source: Option<String>,
    /// The commit that the manifest names; `None` when it was made by hand.
    pub commit: Option<String>,
    pub published_at: Option<String>,
    pub url: String,
}

/// A draft of ours.
#[derive(Debug)]
pub struct Draft {
    pub id: u64,
    /// The version that it is for, where that is said.
    pub source: Option<String>,
    pub state: State,
}

/// How far a draft is, or was.
#[derive(Debug)]
pub enum State {
    /// A publish fills it: so many assets are up, of so many; the set in words.
    Filling { uploaded: usize, of: u64, set: String },
    /// Somebody else made it.
    Strange { uploaded: usize },
    /// It was live until then; `None` where no stamp says it.
    Replaced { at: Option<String> },
}

impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Filling { uploaded, of, set } => write!(f, "{uploaded} of {} of {set}", count(*of, "asset")),
            State::Strange { uploaded } => write!(f, "{}, not made by this tool", count(*uploaded, "asset")),
            State::Replaced { at } => {
                f.write_str(self.source.as_deref().unwrap_or("an unknown version"))?;
                at.iter().try_for_each(|at| write!(f, ", replaced {at}"))
            }
        }
    }
}

impl Draft {
    /// `id`, `source`, and of one that is filled `uploaded` and `assets`, of one that was live `replaced_at`.
    fn to_json(&self) -> Value {
        let mut draft = json!({ "id": self.id, "source": self.source });
        match &self.state {
            State::Filling { uploaded, of, .. } => {
                draft["uploaded"] = (*uploaded).into();
                draft["assets"] = (*of).into();
            }
            State::Strange { uploaded } => draft["uploaded"] = (*uploaded).into(),
            State::Replaced { at } => draft["replaced_at"] = at.clone().into(),
        }
        draft
    }
}

impl Latest {
    /// Sorts out what was seen.
    pub fn of(doors: Doors<'_>, look: &Look) -> anyhow::Result<Self> {
        let release = look.live.as_ref().map(|live| Published {
            source: source(live),
            commit: live.manifest.as_ref().map(|manifest| manifest.commit.clone()),
            published_at: live.release.published_at.clone(),
            url: live.release.html_url.clone(),
        });
        let previous = look.previous.iter().map(|draft| {
            let source = notes::points_to(draft.release.notes()).map(str::to_owned);
            let at = draft.marker.as_ref().map(|marker| marker.at.clone());
            Draft { id: draft.release.id, source, state: State::Replaced { at } }
        });
        Ok(Self {
            release,
            tag: look.tag.clone(),
            incoming: look.incoming.iter().map(incoming).collect(),
            previous: previous.collect(),
            heal: heal::plan(doors, look)?,
            lock: lock::holder(doors, look.lock.as_deref()),
        })
    }
}

fn source(live: &Live) -> Option<String> {
    let noted = || notes::points_to(live.release.notes()).map(str::to_owned);
    live.manifest.as_ref().map(|manifest| manifest.source.clone()).or_else(noted)
}

fn incoming(draft: &IncomingDraft) -> Draft {
    let uploaded = draft.release.assets.iter().filter(|asset| asset.is_uploaded()).count();
    let (state, source) = match &draft.marker {
        Some(marker) => {
            let pieces = |size: u64| if size > marker.set.part_size { size.div_ceil(marker.set.part_size) } else { 1 };
            // Each image's bytes and its checksum file, and the manifest.
            let all: u64 = marker.set.images.iter().map(|image| pieces(image.size) + 1).sum::<u64>() + 1;
            (State::Filling { uploaded, of: all, set: marker.set.describe() }, Some(marker.set.source.clone()))
        }
        None => (State::Strange { uploaded }, None),
    };
    Draft { id: draft.release.id, source, state }
}

impl Checklist {
    /// Adds check's decisions to the rows.
    pub fn add_decisions(&mut self, report: &Report) {
        for image in &report.images {
            if let Some(row) = self.rows.iter_mut().find(|row| row.name == image.name) {
                row.decision = Some((image.decision, image.reason.clone()));
            }
        }
    }

    /// The fields of `status --json`.
    pub fn to_json(&self) -> Value {
        let drafts = |drafts: &[Draft]| drafts.iter().map(Draft::to_json).collect::<Vec<_>>();
        json!({
            "images": self.rows.iter().map(Row::to_json).collect::<Vec<_>>(),
            "release": self.latest.as_ref().and_then(|latest| latest.release.as_ref()).map(|release| json!({
                "source": release.source,
                "commit": release.commit,
                "by_hand": release.commit.is_none(),
                "published_at": release.published_at,
                "url": release.url,
            })),
            "tag": self.latest.as_ref().and_then(|latest| latest.tag.as_ref()).map(|tag| json!({
                "object": tag.object,
                "commit": tag.commit,
            })),
            "incoming": self.latest.as_ref().map(|latest| drafts(&latest.incoming)),
            "previous": self.latest.as_ref().map(|latest| drafts(&latest.previous)),
            "heal": self.latest.as_ref().and_then(|latest| latest.heal.as_ref()).map(Heal::to_json),
            "lock": self.latest.as_ref().and_then(|latest| latest.lock.as_ref()).map(Holder::to_json),
            "head": self.head,
            "version_here": self.version_here,
            "unasked": self.unasked,
            "next": next(self),
        })
    }

    /// What stands below the table: a label and what is said.
    pub fn below(&self) -> Vec<(&'static str, String)> {
        let Some(latest) = &self.latest else { return Vec::new() };
        let mut lines = Vec::new();
        lines.push(match &latest.release {
            None => ("release", "none is published".to_owned()),
            Some(release) => {
                let source = release.source.as_deref().unwrap_or("an unknown version");
                let by_hand = if release.commit.is_none() { ", made by hand: no manifest" } else { "" };
                let at = release.published_at.as_deref().map_or_else(String::new, |at| format!(", published {at}"));
                ("release", format!("{source}{by_hand}{at}"))
            }
        });
        let tag = match (&latest.tag, latest.release.as_ref().and_then(|release| release.commit.as_ref())) {
            (None, _) => "none on the remote".to_owned(),
            (Some(tag), Some(commit)) if *commit != tag.commit => {
                format!("{}, and the manifest is for {}", decide::short(&tag.commit), decide::short(commit))
            }
            (Some(tag), _) => decide::short(&tag.commit).to_owned(),
        };
        lines.push(("tag", tag));
        for (label, drafts) in [("incoming", &latest.incoming), ("previous", &latest.previous)] {
            if drafts.is_empty() {
                lines.push((label, "none".to_owned()));
            }
            lines.extend(drafts.iter().map(|draft| (label, format!("{draft} (draft {})", draft.id))));
        }
        lines.extend(self.rows.iter().filter_map(|row| Some(("altered", row.altered.clone()?))));
        lines.extend(latest.lock.iter().map(|holder| ("lock", holder.to_string())));
        lines.extend(latest.heal.iter().map(|heal| ("broken", heal.to_string())));
        lines
    }
}
