//! What this tool writes into the body of a draft so that another run, on another machine, knows what the draft is: a
//! line of JSON in an HTML comment, which GitHub doesn't show.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::image::digest::Digest;

/// Marks an incoming draft: which set it is for, and which run fills it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incoming {
    pub set: Identity,
    /// 32 random hex digits of the run that owns the draft.
    pub token: String,
}

/// What makes two publishes the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub source: String,
    pub part_size: u64,
    /// Sorted by name.
    pub images: Vec<ImageIdentity>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageIdentity {
    pub name: String,
    pub size: u64,
    pub sha256: Digest,
}

impl Identity {
    /// `v0.45: debian-12-custom, debian-13-pve`
    pub fn describe(&self) -> String {
        let names: Vec<&str> = self.images.iter().map(|image| image.name.as_str()).collect();
        format!("{}: {}", self.source, names.join(", "))
    }
}

/// Stamped on the release that a flip replaced: the way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// The id of the release that took its place.
    pub by: u64,
    /// The object that the tag `latest` pointed to before; absent when there was no tag.
    pub tag_object: Option<String>,
    /// What that peels to.
    pub commit: Option<String>,
    /// RFC 3339, UTC.
    pub at: String,
}

/// A kind of marker, known by its first word.
pub trait Marker: Serialize + DeserializeOwned {
    const WORD: &'static str;
}

impl Marker for Incoming {
    const WORD: &'static str = "packer-incoming";
}

impl Marker for Replaced {
    const WORD: &'static str = "packer-replaced";
}

/// The text with a marker at its end, in place of one that it had.
pub fn write<M: Marker>(text: &str, marker: &M) -> String {
    let text = strip::<M>(text);
    // A structure of strings and numbers always serialises. `>` could end the comment.
    let json = serde_json::to_string(marker).unwrap_or_default().replace('>', "\\u003e");
    format!("{text}\n\n<!-- {} {json} -->\n", M::WORD)
}

/// The marker in a text; `None` when there is none, or it can't be read.
pub fn read<M: Marker>(text: &str) -> Option<M> {
    let (_, rest) = text.split_once(&opening::<M>())?;
    let (json, _) = rest.split_once("-->")?;
    // gh 2.23 hands `\u003e` on as `\>`; no `>` is written in another way.
    serde_json::from_str(&json.trim().replace("\\>", "\\u003e")).ok()
}

/// The text without its marker.
pub fn strip<M: Marker>(text: &str) -> String {
    let Some((before, rest)) = text.split_once(&opening::<M>()) else { return text.trim_end().to_owned() };
    let after = rest.split_once("-->").map_or("", |(_, after)| after);
    format!("{}{}", before.trim_end(), after.trim_end())
}

fn opening<M: Marker>() -> String {
    format!("<!-- {} ", M::WORD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(source: &str) -> Incoming {
        let image = ImageIdentity { name: "a".into(), size: 1, sha256: Digest::of(b"a") };
        Incoming { set: Identity { source: source.into(), part_size: 5, images: vec![image] }, token: "t".into() }
    }

    #[test]
    fn a_marker_comes_back_and_goes_away() {
        for source in ["v0.45", "v-->0"] {
            let text = write("Points to v0.44\n\nmore", &marker(source));
            assert_eq!(read(&text), Some(marker(source)));
            assert_eq!(read(&text.replace("\\u003e", "\\>")), Some(marker(source)), "as gh 2.23 hands it on");
            assert_eq!(strip::<Incoming>(&text), "Points to v0.44\n\nmore");
            assert_eq!(write(&text, &marker("x")), write("Points to v0.44\n\nmore", &marker("x")));
        }
    }

    #[test]
    fn other_text_has_no_marker() {
        for text in ["", "<!-- packer-incoming", "<!-- packer-incoming {} -->", "<!-- packer-replaced {\"by\":1} -->"] {
            assert_eq!(read::<Incoming>(text), None, "{text}");
        }
    }
}
