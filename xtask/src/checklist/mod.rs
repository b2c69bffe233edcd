//! The image checklist: what there is of each image here and on `latest`, and what is to be done next.

mod next;
mod row;

use serde_json::{Value, json};

use crate::decide::{self, Report};
use crate::git::TagRef;
use crate::latest::doors::Doors;
use crate::latest::look::{IncomingDraft, Live, Look};
use crate::latest::{heal, lock, notes, previous};

pub use next::next;
pub use row::{Agreement, Local, Row, rows};

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
    pub heal: Option<String>,
    /// Who has the lock.
    pub lock: Option<String>,
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
    /// In a few words.
    pub what: String,
    pub source: Option<String>,
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
            let version = source.as_deref().unwrap_or("an unknown version");
            let what = match &draft.marker {
                Some(marker) => format!("{version}, replaced {}", marker.at),
                None => version.to_owned(),
            };
            let what = previous::staged_on(draft).map_or_else(|| what.clone(), |staged| format!("{what}; {staged}"));
            Draft { id: draft.release.id, what, source }
        });
        Ok(Self {
            release,
            tag: look.tag.clone(),
            incoming: look.incoming.iter().map(incoming).collect(),
            previous: previous.collect(),
            heal: heal::plan(doors, look)?.map(|heal| heal.to_string()),
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
    let (what, source) = match &draft.marker {
        Some(marker) => {
            let pieces = |size: u64| if size > marker.set.part_size { size.div_ceil(marker.set.part_size) } else { 1 };
            // Each image's bytes and its checksum file, and the manifest.
            let all: u64 = marker.set.images.iter().map(|image| pieces(image.size) + 1).sum::<u64>() + 1;
            (format!("{uploaded} of {all} assets of {}", marker.set.describe()), Some(marker.set.source.clone()))
        }
        None => (format!("{uploaded} assets, not made by this tool"), None),
    };
    Draft { id: draft.release.id, what, source }
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
        let draft = |draft: &Draft| json!({ "id": draft.id, "what": draft.what, "source": draft.source });
        let drafts = |drafts: &[Draft]| drafts.iter().map(draft).collect::<Vec<_>>();
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
            "heal": self.latest.as_ref().and_then(|latest| latest.heal.clone()),
            "lock": self.latest.as_ref().and_then(|latest| latest.lock.clone()),
            "head": self.head,
            "version_here": self.version_here,
            "unasked": self.unasked,
            "next": next(self),
        })
    }

    /// The lines below the table.
    pub fn below(&self) -> Vec<String> {
        let Some(latest) = &self.latest else { return Vec::new() };
        let mut lines = Vec::new();
        lines.push(match &latest.release {
            None => "release   none is published".to_owned(),
            Some(release) => {
                let source = release.source.as_deref().unwrap_or("an unknown version");
                let by_hand = if release.commit.is_none() { ", made by hand: no manifest" } else { "" };
                let at = release.published_at.as_deref().map_or_else(String::new, |at| format!(", published {at}"));
                format!("release   {source}{by_hand}{at}")
            }
        });
        lines.push(match (&latest.tag, latest.release.as_ref().and_then(|release| release.commit.as_ref())) {
            (None, _) => "tag       none on the remote".to_owned(),
            (Some(tag), Some(commit)) if *commit != tag.commit => {
                format!("tag       {}, and the manifest is for {}", decide::short(&tag.commit), decide::short(commit))
            }
            (Some(tag), _) => format!("tag       {}", decide::short(&tag.commit)),
        });
        for (label, drafts) in [("incoming", &latest.incoming), ("previous", &latest.previous)] {
            if drafts.is_empty() {
                lines.push(format!("{label:9} none"));
            }
            lines.extend(drafts.iter().map(|draft| format!("{label:9} {} (draft {})", draft.what, draft.id)));
        }
        lines.extend(self.rows.iter().filter_map(|row| Some(format!("altered   {}", row.altered.as_ref()?))));
        lines.extend(latest.lock.iter().map(|holder| format!("lock      {holder}")));
        lines.extend(latest.heal.iter().map(|heal| format!("broken    {heal}")));
        lines
    }
}
