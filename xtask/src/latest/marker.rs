//! What this tool writes into the body of a draft so that another run, on another machine, knows what the draft is: a
//! line of JSON in an HTML comment, which GitHub doesn't show.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::image::digest::Digest;

/// Marks an incoming draft: which set it is for, and what was live when it was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incoming {
    pub set: Identity,
    /// The commit that the tag is to point to.
    #[serde(default)]
    pub commit: Option<String>,
    /// The release that was live.
    #[serde(default)]
    pub over: Option<u64>,
    /// The object of its tag: a release made by hand doesn't tell it.
    #[serde(default)]
    pub over_tag: Option<String>,
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
    /// The digest of that release's manifest: ids stay when a release is filled again. Absent for one made by hand.
    #[serde(default)]
    pub by_manifest: Option<Digest>,
    /// The object of that release's tag: one made by hand doesn't tell it.
    #[serde(default)]
    pub by_tag: Option<String>,
    /// The digest of this release's own manifest.
    #[serde(default)]
    pub manifest: Option<Digest>,
    /// The object of the tag of this set; absent when there was no tag.
    pub tag_object: Option<String>,
    /// What that peels to.
    pub commit: Option<String>,
    /// What it looked like, when that isn't as this tool publishes.
    #[serde(default)]
    pub title: Option<String>,
    #[serde(default)]
    pub full_release: bool,
    /// It had GitHub's own "Latest" badge.
    #[serde(default)]
    pub badge: bool,
    /// RFC 3339, UTC. Never before that of another stamp, whatever the clock says.
    pub at: String,
}

impl Replaced {
    /// Whether this names a release with this manifest as the one that took the place.
    pub fn names(&self, id: u64, manifest: Option<Digest>) -> bool {
        self.by == id && (self.by_manifest.is_none() || self.by_manifest == manifest)
    }
}

/// A kind of marker, known by how it begins.
pub trait Marker: Serialize + DeserializeOwned {
    const BEGINS: &'static str;
}

impl Marker for Incoming {
    const BEGINS: &'static str = "<!-- packer-incoming ";
}

impl Marker for Replaced {
    const BEGINS: &'static str = "<!-- packer-replaced ";
}

/// Between a text and its marker.
const GAP: &str = "\n\n";

/// The text with a marker at its end, in place of one that it had.
pub fn write<M: Marker>(text: &str, marker: &M) -> String {
    let text = strip::<M>(text);
    // A structure of strings and numbers always serialises. `>` could end the comment.
    let json = serde_json::to_string(marker).unwrap_or_default().replace('>', "\\u003e");
    format!("{text}{GAP}{}{json} -->\n", M::BEGINS)
}

/// The marker in a text; `None` when there is none, or it can't be read.
pub fn read<M: Marker>(text: &str) -> Option<M> {
    let (_, rest) = text.split_once(M::BEGINS)?;
    let (json, _) = rest.split_once("-->")?;
    // gh 2.23 hands `\u003e` on as `\>`; no `>` is written in another way.
    serde_json::from_str(&json.trim().replace("\\>", "\\u003e")).ok()
}

/// The text without its marker, as it was to the letter, and without whatever else begins like one: a later reader would find
/// that first.
pub fn strip<M: Marker>(text: &str) -> String {
    let mut text = text.to_owned();
    while let Some((before, rest)) = text.split_once(M::BEGINS) {
        let after = rest.split_once("-->").map_or("", |(_, after)| after);
        // GitHub's page writes line ends of two characters.
        let before = ["\r\n\r\n", GAP].iter().find_map(|gap| before.strip_suffix(gap)).unwrap_or(before);
        text = format!("{before}{}", after.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(source: &str) -> Incoming {
        let image = ImageIdentity { name: "a".into(), size: 1, sha256: Digest::of(b"a") };
        Incoming {
            set: Identity { source: source.into(), part_size: 5, images: vec![image] },
            commit: None,
            over: None,
            over_tag: None,
        }
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
    fn a_marker_is_found_whatever_was_there_before() {
        for before in [
            "<!-- packer-incoming {\"a\" -->\n<!-- packer-incoming x -->",
            "<!-- packer-incoming <!-- packer-incoming -->",
        ] {
            assert_eq!(read(&write(before, &marker("v1"))), Some(marker("v1")), "{before}");
        }
    }

    #[test]
    fn a_text_comes_back_to_the_letter() {
        for text in ["", "\n", "a\n", "a\r\n", "a\r\n\r\n", "a \n\n\n", "<!-- a -->"] {
            assert_eq!(strip::<Incoming>(&write(text, &marker("x"))), text, "{text:?}");
            assert_eq!(strip::<Incoming>(text), text, "{text:?}");
        }
    }

    #[test]
    fn other_text_has_no_marker() {
        for text in ["", "<!-- packer-incoming", "<!-- packer-incoming {} -->", "<!-- packer-replaced {\"by\":1} -->"] {
            assert_eq!(read::<Incoming>(text), None, "{text}");
        }
    }

    #[test]
    fn hostile_notes() {
        let text = write("Points to v0.44\n\nmore -->", &marker("v-->0"));
        crate::hostile::try_with(&[text.as_bytes()], |bytes| {
            let text = String::from_utf8_lossy(bytes);
            assert!(strip::<Incoming>(&text).len() <= text.len());
            if let Some(read) = super::read::<Incoming>(&text) {
                assert_eq!(super::read(&write(&text, &read)), Some(read));
            }
        });
    }
}
