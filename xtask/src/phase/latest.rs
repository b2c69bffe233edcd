//! The rolling release as the picture shows it: its state as data for programs, and a finding a line for people.
//!
//! `status` and `doctor` print these findings; no other place describes `latest` in words of its own.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Finding, Grade};
use crate::failure::{self, FIX};
use crate::gh::Asset;
use crate::git::{TagRef, short};
use crate::image::name::Role;
use crate::latest::TAG;
use crate::latest::audit::{self, Audit};
use crate::latest::client::Client;
use crate::latest::lock::{self, Holder};
use crate::latest::look::{IncomingDraft, Live, Look};
use crate::latest::recover::{self, Recovery};
use crate::text::{count, size};
use crate::{suggest, version};

/// The state of `latest`.
#[derive(Debug, Default)]
pub struct Latest {
    pub live: Option<Published>,
    /// The tag on the remote.
    pub tag: Option<TagRef>,
    pub incoming: Vec<Incoming>,
    /// Sets that were live, the set replaced last first.
    pub pinned: Vec<PinnedSet>,
    /// How to finish the switch of a run that died.
    pub recovery: Option<Recovery>,
    pub lock: Option<Holder>,
    /// Why only a person can repair `latest`.
    pub stuck: Option<String>,
    /// How the live set differs from its manifest, notes, tag and signature, as far as GitHub's digests tell.
    pub audit: Audit,
    pub signed_by: Option<String>,
    /// Those differences that concern the signature.
    pub unsigned: Vec<String>,
    /// The version of the set that a rollback took from `latest`.
    pub taken_back: Option<String>,
    /// What is known of a `latest` that a person made in place of a set of this tool.
    pub remade: Option<String>,
}

/// The published release.
#[derive(Debug, Default, Serialize)]
pub struct Published {
    pub release_id: u64,
    /// The version in the manifest; `None` when the release was made by hand.
    pub source: Option<String>,
    /// The version that it stands for, where that is known.
    pub label: Option<String>,
    /// The commit of the label.
    pub commit: Option<String>,
    pub by_hand: bool,
    #[serde(skip)]
    pub images: usize,
    pub published_at: Option<String>,
    pub url: String,
}

/// A draft named as the draft that a publish fills.
#[derive(Debug, Serialize)]
pub struct Incoming {
    pub release_id: u64,
    /// The version that it is for; `None`: a person made the draft.
    pub source: Option<String>,
    /// Bytes of images that are on it, and bytes that the images of its set have.
    pub uploaded: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The set in words.
    #[serde(skip)]
    pub set: String,
}

/// A set that was live.
#[derive(Debug, Serialize)]
pub struct PinnedSet {
    pub release_id: u64,
    pub source: Option<String>,
    pub tag: String,
    pub hidden: bool,
}

/// The version of the newer set that a rollback replaced by the live set.
fn taken_back(look: &Look) -> Option<String> {
    let live = look.live.as_ref()?;
    let now = live.source()?;
    let replaced = |by: u64| look.stamped().find(|(_, stamp)| stamp.by == by).map(|(kept, _)| kept);
    let mut kept = replaced(live.release.id)?;
    // Sets of the same version were published one after another, to repair `latest`.
    for _ in look.stamped() {
        if kept.source().as_deref() != Some(now) {
            break;
        }
        kept = replaced(kept.release.id)?;
    }
    kept.source().filter(|version| version::is_newer(version, now))
}

/// Whether a person made `latest` by hand where a set of this tool was.
pub fn is_remade(look: &Look, live: &Live) -> bool {
    live.manifest.is_none() && look.stamped().next().is_some() && look.way_back(live).is_none()
}

impl Latest {
    pub fn of(client: Client<'_>, look: &Look) -> Self {
        let live = look.live.as_ref().map(|live| Published {
            release_id: live.release.id,
            source: live.manifest.as_ref().map(|manifest| manifest.source.clone()),
            label: live.source().map(str::to_owned),
            commit: live.label.as_ref().map(|label| label.commit.clone()),
            by_hand: live.manifest.is_none(),
            images: audit::images(&live.assets).len(),
            published_at: live.release.published_at.clone(),
            url: live.release.html_url.clone(),
        });
        let pinned = look.pinned.iter().map(|set| PinnedSet {
            release_id: set.release.id,
            source: set.source(),
            tag: set.release.tag_name.clone(),
            hidden: set.release.draft,
        });
        let remade = look.live.as_ref().filter(|live| is_remade(look, live)).map(|_| {
            let kept = look.stamped().filter_map(|(kept, _)| kept.source()).collect::<Vec<_>>().join(", ");
            let kept = if kept.is_empty() { String::new() } else { format!("; {kept} is kept for rollback") };
            format!("made by hand in place of the set that this tool published{kept}")
        });
        let (recovery, stuck) = match recover::plan(client, look) {
            Ok(recovery) => (recovery, None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        Self {
            live,
            tag: look.refs.tag.clone(),
            incoming: look.incoming.iter().map(incoming).collect(),
            pinned: pinned.collect(),
            recovery,
            stuck,
            lock: lock::holder(client, look.refs.lock.as_deref()),
            taken_back: taken_back(look),
            remade,
            ..Self::default()
        }
    }

    /// A finding for each thing that the state consists of.
    pub fn findings(&self) -> Vec<Finding> {
        let mut found = vec![self.release(), self.tag()];
        let mut add = |what: &str, grade, said: String| found.push(Finding::new(what, grade, said));
        if let Some(version) = &self.taken_back {
            let back = suggest::command(format_args!("publish --source {version}"));
            add("taken back", Grade::Warn, format!("{version}; {back} puts it back"));
        }
        for draft in &self.incoming {
            let (uploaded, set, id) = (size(draft.uploaded), &draft.set, draft.release_id);
            let is = match draft.bytes.map(size) {
                Some(all) => format!("{uploaded} of {all} of {set}; the same publish continues it"),
                None => "not made by this tool: blocks a publish".to_owned(),
            };
            add("incoming", Grade::Warn, format!("{is} (release {id})"));
        }
        for set in &self.pinned {
            let source = set.source.as_deref().unwrap_or("an unknown version");
            let hidden = if set.hidden { " (hidden)" } else { "" };
            add("pinned", Grade::Ok, format!("{source}, kept as {}{hidden} (release {})", set.tag, set.release_id));
        }
        self.lock.iter().for_each(|holder| add("lock", Grade::Warn, holder.to_string()));
        self.signed_by.iter().for_each(|who| add("signature", Grade::Ok, format!("{TAG} is signed by {who}")));
        let sign_again = |said: &str| match failure::why_and_fix(said).1 {
            Some(_) => said.to_owned(),
            None => format!("{said}\n{FIX}publish the images as a new set with --resend --sign KEY"),
        };
        self.unsigned.iter().for_each(|said| add("signature", Grade::Fail, sign_again(said)));
        let others = self.audit.differences.iter().filter(|said| !self.unsigned.contains(said));
        others.for_each(|said| add("differs", Grade::Warn, said.clone()));
        let broken = self.recovery.iter().map(Recovery::to_string).chain(self.stuck.clone());
        broken.for_each(|said| add("broken", Grade::Fail, said));
        found
    }

    fn release(&self) -> Finding {
        let Some(live) = &self.live else {
            return Finding::new(TAG, Grade::Ok, "not published yet; the first publish creates it");
        };
        let label = live.label.as_deref().unwrap_or("an unknown version");
        let at = live.published_at.as_deref().map_or_else(String::new, |at| format!(", published {at}"));
        let (grade, more) = match (&live.source, &self.remade) {
            (Some(_), _) => (Grade::Ok, count(live.images, "image")),
            (None, Some(remade)) => (Grade::Warn, remade.clone()),
            (None, None) => {
                (Grade::Warn, "made by hand: no manifest records what its images were built from".to_owned())
            }
        };
        Finding::new(TAG, grade, format!("{label}{at}, {more}"))
    }

    fn tag(&self) -> Finding {
        let live = self.live.as_ref();
        let (grade, said) = match (&self.tag, live.and_then(|live| live.commit.as_ref())) {
            (None, _) if live.is_none() => (Grade::Ok, "none on the remote".to_owned()),
            (None, _) => (Grade::Warn, "none on the remote; the next publish creates it".to_owned()),
            (Some(tag), Some(commit)) if *commit != tag.commit => {
                let label = live.and_then(|live| live.label.as_deref()).unwrap_or("the set");
                (Grade::Warn, format!("{}, but {label} is at {}", short(&tag.commit), short(commit)))
            }
            (Some(tag), _) => (Grade::Ok, short(&tag.commit).to_owned()),
        };
        Finding::new("tag", grade, said)
    }

    /// The fields of the picture that are about `latest`.
    pub fn to_json(&self) -> Value {
        json!({
            "live": self.live,
            "tag": self.tag,
            "incoming": self.incoming,
            "pinned": self.pinned,
            "taken_back": self.taken_back,
            "recovery": self.recovery.as_ref().map(Recovery::to_json),
            "lock": self.lock.as_ref().map(Holder::to_json),
            "differences": self.audit.differences,
        })
    }

    /// The same fields, each null, where GitHub could not be asked.
    pub fn unknown() -> Value {
        let mut fields = Self::default().to_json();
        fields.as_object_mut().into_iter().flatten().for_each(|(_, value)| *value = Value::Null);
        fields
    }
}

fn incoming(draft: &IncomingDraft) -> Incoming {
    let is_of_image = |asset: &&Asset| Role::of(&asset.name).is_some_and(|role| role.has_bytes());
    let there = draft.release.assets.iter().filter(|asset| asset.is_uploaded()).filter(is_of_image);
    let set = draft.marker.as_ref().map(|marker| &marker.set);
    Incoming {
        release_id: draft.release.id,
        source: set.map(|set| set.source.clone()),
        uploaded: there.map(|asset| asset.size).sum(),
        bytes: set.map(|set| set.images.iter().map(|image| image.size).sum()),
        set: set.map_or_else(String::new, crate::latest::marker::Identity::describe),
    }
}
