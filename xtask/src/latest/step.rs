//! What a publish does, step by step, in words for people and for programs.

use std::fmt;

use serde_json::{Value, json};

use crate::console::size;
use crate::image::digest::Digest;
use crate::manifest::{self, Manifest};

use super::files::Judged;
use super::{INCOMING, PREVIOUS, TAG};

/// One thing that a publish does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Drop a draft of another set.
    Discard { draft: u64, what: String },
    /// Make the draft.
    Create,
    /// Go on with a draft of the same set.
    GoOn { draft: u64 },
    /// Stage the set on the release that was replaced last: so many bytes of images are there already.
    Stage { release: u64, bytes: u64 },
    /// Give the set that a release held before another was staged on it its names back. `own`: its manifest.
    Restore { release: u64, own: Digest },
    /// Delete what was set aside, and what is on its way in and not kept.
    Clear { release: Option<u64>, but: Vec<u64> },
    /// Put the set onto the draft and prove it.
    Fill(Vec<Transfer>),
    /// Only source, notes and tag change: the images that are live stay as they are.
    Relabel { manifest: Box<Manifest>, tag: TagMove, files: Judged },
    /// Move the tag alone.
    Tag(TagMove),
    /// Move the tag, take the live release back to the draft `latest-previous`, publish the new draft. One step,
    /// because nothing comes between, and whoever stops in it puts the tag back.
    Switch { tag: TagMove, hide: Option<u64> },
    /// Drop what is no longer the way back.
    Drop { release: u64, what: &'static str },
}

/// From the object that the tag points to now to the commit that it is to point to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagMove {
    pub from: Option<String>,
    pub to: String,
}

/// One asset's way onto the draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    pub file: String,
    pub size: u64,
    pub how: How,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// It is there; its digest is compared before it is kept.
    Keep,
    Send,
    /// What is there is broken or of another size.
    Replace,
    /// From another release's asset.
    Copy {
        from: String,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discard { draft, what } => write!(f, "drop the draft {draft} ({what})"),
            Self::Create => write!(f, "create the draft {INCOMING}"),
            Self::GoOn { draft } => write!(f, "go on with the draft {draft}"),
            Self::Stage { release, bytes } => {
                write!(f, "use the previous release {release}, which holds {} of the set", size(*bytes))
            }
            Self::Restore { release, .. } => {
                write!(f, "give the set of the previous release {release} its names back: a publish ended half-way")
            }
            Self::Clear { release: None, .. } => f.write_str("delete what was set aside on it"),
            Self::Clear { release: Some(release), .. } => {
                write!(f, "delete what an earlier publish left on the release {release}")
            }
            Self::Fill(transfers) => {
                write!(f, "fill it, prove each asset by its digest, then give all of them their names:")?;
                transfers.iter().try_for_each(|transfer| write!(f, "\n     {transfer}"))
            }
            Self::Relabel { manifest, tag, files } => {
                write!(
                    f,
                    "{tag}, and replace {} and the notes to name {}; no image is sent",
                    manifest::FILE,
                    manifest.source
                )?;
                files.place.iter().try_for_each(|file| write!(f, "\n     send    {file}"))
            }
            Self::Tag(tag) => tag.fmt(f),
            Self::Switch { tag, hide } => {
                write!(f, "switch, if {TAG} is still what it is now:\n     {tag}")?;
                if let Some(release) = hide {
                    write!(f, "\n     take the release {release} back to the draft {PREVIOUS}")?;
                }
                write!(f, "\n     publish the draft as {TAG}")
            }
            Self::Drop { release, what } => write!(f, "drop the release {release} ({what})"),
        }
    }
}

impl Step {
    /// What it does, one object each: `do`, and its object. A draft that isn't made yet has no `release`.
    pub fn to_json(&self) -> Vec<Value> {
        let tagged = |tag: &TagMove| json!({ "do": "tag", "from": tag.from, "to": tag.to });
        match self {
            Self::Discard { draft, what } => vec![json!({ "do": "drop", "release": draft, "reason": what })],
            Self::Create => vec![json!({ "do": "create" })],
            Self::GoOn { draft } => vec![json!({ "do": "continue", "release": draft })],
            Self::Stage { release, bytes } => vec![json!({ "do": "stage", "release": release, "bytes": bytes })],
            Self::Restore { release, .. } => vec![json!({ "do": "restore", "release": release })],
            Self::Clear { release, .. } => vec![json!({ "do": "clear", "release": release })],
            Self::Fill(transfers) => transfers.iter().map(Transfer::to_json).collect(),
            Self::Relabel { manifest, tag, files } => {
                let relabel = json!({ "do": "relabel", "source": manifest.source });
                let placed = files.place.iter().map(|file| json!({ "do": "send", "file": file }));
                [tagged(tag), relabel].into_iter().chain(placed).collect()
            }
            Self::Tag(tag) => vec![tagged(tag)],
            Self::Switch { tag, hide } => {
                let hide = hide.map(|release| json!({ "do": "hide", "release": release }));
                [tagged(tag)].into_iter().chain(hide).chain([json!({ "do": "publish" })]).collect()
            }
            Self::Drop { release, what } => vec![json!({ "do": "drop", "release": release, "reason": what })],
        }
    }
}

impl Transfer {
    fn to_json(&self) -> Value {
        let Self { file, size, how } = self;
        match how {
            How::Keep => json!({ "do": "keep", "file": file, "bytes": size }),
            How::Send => json!({ "do": "send", "file": file, "bytes": size }),
            How::Replace => json!({ "do": "replace", "file": file, "bytes": size }),
            How::Copy { from } => json!({ "do": "copy", "file": file, "bytes": size, "from": from }),
        }
    }
}

impl fmt::Display for TagMove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.from {
            Some(from) if *from == self.to => write!(f, "leave the tag {TAG} at {}", short(&self.to)),
            Some(from) => write!(f, "move the tag {TAG} from {} to {}", short(from), short(&self.to)),
            None => write!(f, "make the tag {TAG} at {}", short(&self.to)),
        }
    }
}

impl fmt::Display for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match &self.how {
            How::Keep => "keep".to_owned(),
            How::Send => "send".to_owned(),
            How::Replace => "replace".to_owned(),
            How::Copy { from } => format!("copy from {from}"),
        };
        write!(f, "{how:7} {} ({})", self.file, size(self.size))
    }
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
