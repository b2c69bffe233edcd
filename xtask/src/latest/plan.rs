//! From what is wanted and what is there to the steps between them: pure, so the preview is the plan itself. A step is data, with
//! words for people and JSON for programs. Publish and rollback carry steps out.

use std::fmt;

use serde::Serialize;

use crate::digest::Digest;
use crate::gh::{Asset, Release};
use crate::git::short;
use crate::manifest::FileEntry;
use crate::repo::Repo;
use crate::text::size;

use super::look::{Contents, Live, Look};
use super::pin::Pin;
use super::set::{Origin, Piece, Set, SetImage};
use super::{INCOMING, TAG, audit, files, notes};

/// One thing that a run does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub enum Step {
    /// Delete a draft of another set, which was never live; its uploaded bytes are lost.
    Delete { release_id: u64, reason: String, bytes: u64 },
    /// Make the draft.
    Create,
    /// Continue with a draft of the same set.
    Continue { release_id: u64 },
    /// Move the tag, from the object that it points to now.
    Tag { from: Option<String>, to: String },
    /// The live set stays, and stands for another version.
    Label { label: String },
    /// The live set is replaced and becomes a pinned set.
    Pin { release_id: u64, r#as: String },
    /// The draft becomes live.
    Publish,
    /// A pinned set becomes live again.
    #[serde(rename = "publish")]
    Restore { release_id: u64, set: String },
    /// Put an asset onto the draft; all of them are proven before the switch.
    #[serde(untagged)]
    Transfer(Transfer),
}

/// How one asset gets onto the draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transfer {
    #[serde(flatten)]
    pub how: How,
    pub file: String,
    #[serde(rename = "bytes")]
    pub size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub enum How {
    /// The asset is on the draft; its digest is compared before it is kept.
    Keep,
    /// From this machine.
    Send,
    /// The asset on the draft is broken or of another size.
    Replace,
    /// From another release's asset.
    Copy { from: String },
}

impl Step {
    pub fn restore(pinned: &Release) -> Self {
        Self::Restore { release_id: pinned.id, set: pinned.tag_name.clone() }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delete { release_id, reason, bytes } => {
                write!(f, "delete the draft {release_id} ({reason}), which loses {}", size(*bytes))
            }
            Self::Create => write!(f, "create the draft {INCOMING}"),
            Self::Continue { release_id } => write!(f, "continue with the draft {release_id}"),
            Self::Transfer(Transfer { how, file, size: bytes }) => {
                let how = match how {
                    How::Keep => "keep".to_owned(),
                    How::Send => "upload".to_owned(),
                    How::Replace => "replace".to_owned(),
                    How::Copy { from } => format!("copy from {from}"),
                };
                write!(f, "{how:7} {file} ({})", size(*bytes))
            }
            Self::Tag { from: Some(from), to } if from == to => write!(f, "leave the tag {TAG} at {}", short(to)),
            Self::Tag { from: Some(from), to } => {
                write!(f, "move the tag {TAG} from {} to {}", short(from), short(to))
            }
            Self::Tag { from: None, to } => write!(f, "make the tag {TAG} at {}", short(to)),
            Self::Label { label } => write!(f, "name {label} in the notes of the live release; no asset changes"),
            Self::Pin { release_id, r#as: name } => write!(f, "keep the live set as {name} (release {release_id})"),
            Self::Publish => write!(f, "publish the draft as {TAG}"),
            Self::Restore { release_id, set } => write!(f, "make {set} live again (release {release_id})"),
        }
    }
}

/// GitHub takes 1000 assets on a release: fewer, so that none is refused while one is sent again.
pub const MOST_ASSETS: usize = 999;

/// The drafts that are there: the draft of this set with what lies on it, and the deletion of all others.
pub type Drafts = (Option<(u64, Vec<Asset>)>, Vec<Step>);

/// The steps; none when the live set is the wanted one, under its label. `stays`: the live set has the same images and stays.
/// `pinned`: a pinned set that is the wanted one, proven.
pub fn plan(look: &Look, set: &Set, stays: bool, pinned: Option<&Contents>, (draft, deletes): Drafts) -> Vec<Step> {
    let label = set.label();
    if let Some(live) = look.live.as_ref().filter(|_| stays) {
        let named = notes::points_to(live.release.notes()) == Some(label.source.as_str());
        let tag_right = look.refs.tag.as_ref().is_some_and(|tag| tag.commit == label.commit);
        let done = live.label.as_ref() == Some(&label) && named && tag_right && live.release.prerelease;
        return if done { Vec::new() } else { vec![tag(look, &label.commit), Step::Label { label: label.source }] };
    }
    let mut steps = Vec::new();
    let publish = if let Some(pinned) = pinned {
        Step::restore(&pinned.release)
    } else {
        let (id, there) = draft.unzip();
        steps.extend(deletes);
        steps.push(id.map_or(Step::Create, |release_id| Step::Continue { release_id }));
        steps.extend(transfers(set, &there.unwrap_or_default()).into_iter().map(Step::Transfer));
        Step::Publish
    };
    steps.extend(switch(look, &label.source, &label.commit, publish));
    steps
}

/// The steps of a switch. They are carried out as one: nothing comes between, and a run that stops within moves the tag back.
/// `next`: the source of the set that becomes live.
pub fn switch(look: &Look, next: &str, to: &str, publish: Step) -> Vec<Step> {
    let pin = |live: &Live| Step::Pin { release_id: live.release.id, r#as: Pin::of(look, live, next).name };
    let pin = look.live.as_ref().map(pin);
    [tag(look, to)].into_iter().chain(pin).chain([publish]).collect()
}

fn tag(look: &Look, to: &str) -> Step {
    Step::Tag { from: look.refs.tag.as_ref().map(|tag| tag.object.clone()), to: to.to_owned() }
}

/// The other files in which the wanted set differs from a published set of the same images, compared by name and digest, in any
/// order; `None` where the images differ, or the published set is not whole.
pub fn same_images(set: &Set, repo: &Repo, there: &Contents, is_signed: bool) -> Option<Vec<String>> {
    let manifest = there.manifest.as_ref()?;
    let is_same = |image: &SetImage| manifest.image(&image.name).is_some_and(|there| there.sha256 == image.sha256);
    let same = set.images.len() == manifest.images.len() && set.images.iter().all(is_same);
    (same && audit::by_listing(there).is_empty()).then(|| files::others(set, repo, manifest, is_signed))
}

fn transfers(set: &Set, there: &[Asset]) -> Vec<Transfer> {
    let transfer = |file: String, size: u64, digest: Option<Digest>, origin: Option<&Origin>| {
        let found = there.iter().find(|asset| asset.name == file);
        let fits = |asset: &Asset| {
            let known = asset.digest().zip(digest);
            asset.is_uploaded() && asset.size == size && known.is_none_or(|(there, wanted)| there == wanted)
        };
        let how = match (found, origin) {
            (Some(asset), _) if fits(asset) => How::Keep,
            (Some(_), _) => How::Replace,
            (None, Some(Origin::Assets { from, .. })) => How::Copy { from: from.clone() },
            (None, _) => How::Send,
        };
        Transfer { file, size, how }
    };
    let of_image = |image: &SetImage| -> Vec<Transfer> {
        let piece =
            |piece: &Piece| transfer(piece.file.clone(), piece.size(), piece.digest(image), Some(&image.origin));
        let small = |it: FileEntry, origin| transfer(it.file, it.size, Some(it.sha256), origin);
        let checksum = small(image.checksum_file().part, None);
        let lists = image.facts.lists().map(|listed| small(listed.clone(), Some(&image.origin)));
        image.pieces.iter().map(piece).chain([checksum]).chain(lists).collect()
    };
    set.images.iter().flat_map(of_image).collect()
}
