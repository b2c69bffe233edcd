//! What this tool writes into the body of a release so that another run, on another machine, knows what the release is: a line of
//! JSON in an HTML comment, which GitHub doesn't show. A marker is text from outside: versions, commits and names are validated
//! when it is read. Drafts, the live release and pinned sets have one.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::git::TagRef;

/// Marks an incoming draft: which set it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incoming {
    pub set: Identity,
    /// RFC 3339, UTC: the manifest's `created`, fixed when the draft is made, so that a resumed run makes the same bytes.
    #[serde(default)]
    pub created: Option<String>,
}

/// The version that the live release stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    #[serde(deserialize_with = "crate::claim::version")]
    pub source: String,
    /// Where the tag `latest` belongs.
    #[serde(deserialize_with = "crate::claim::commit")]
    pub commit: String,
}

impl Label {
    /// The tag `latest` under a label: the object that it was, where that is at the label's commit. Without a label as it was.
    pub fn tag(label: Option<&Self>, was: Option<TagRef>) -> Option<TagRef> {
        let Some(Self { commit, .. }) = label else { return was };
        Some(was.filter(|tag| tag.commit == *commit).unwrap_or_else(|| TagRef::lightweight(commit)))
    }
}

/// What makes two publishes the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    #[serde(deserialize_with = "crate::claim::version")]
    pub source: String,
    pub part_size: u64,
    /// Sorted by name.
    pub images: Vec<ImageIdentity>,
    /// The reader's script on the release.
    #[serde(default)]
    pub reader: Option<Digest>,
    #[serde(default)]
    pub signed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageIdentity {
    #[serde(deserialize_with = "crate::image::name::from_outside")]
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

/// Stamped on a set that was replaced: what rollback and recovery read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// The id of the release that took its place.
    pub by: u64,
    /// The digest of that release's manifest.
    #[serde(default)]
    pub by_manifest: Option<Digest>,
    /// What that release stands for.
    #[serde(default)]
    pub by_label: Option<Label>,
    /// The digest of this set's own manifest; absent for a set made by hand.
    #[serde(default)]
    pub manifest: Option<Digest>,
    /// The object of the tag `latest` while this set was live; absent when there was no tag.
    #[serde(default, deserialize_with = "crate::claim::maybe_commit")]
    pub tag_object: Option<String>,
    /// The commit that the tag object peels to.
    #[serde(default, deserialize_with = "crate::claim::maybe_commit")]
    pub commit: Option<String>,
    /// The release's title, full-release flag and badge, where they differ from what this tool publishes.
    #[serde(default)]
    pub title: Option<String>,
    #[serde(default)]
    pub full_release: bool,
    #[serde(default)]
    pub badge: bool,
    /// 1 + the highest order seen; no clock. Markers of the earlier kind have none.
    #[serde(default)]
    pub order: u64,
}

/// The highest order that is believed: numbers above lose precision in other JSON readers.
const MOST_ORDER: u64 = 1 << 53;

impl Replaced {
    /// The digest that the set's manifest must have, `None` inside for a set made by hand; `None` where a marker of an earlier
    /// version doesn't tell which it is.
    pub fn own_manifest(&self) -> Option<Option<Digest>> {
        (self.manifest.is_some() || self.order > 0).then_some(self.manifest)
    }

    /// Reads the marker of a set that was replaced; `None` when the text has none, or one with an order that can't be believed.
    pub fn of(notes: &str) -> Option<Self> {
        read::<Self>(notes).filter(|stamp| stamp.order <= MOST_ORDER)
    }

    /// The tag `latest` as it was while this set was live.
    pub fn tag(&self) -> Option<TagRef> {
        self.tag_object.clone().zip(self.commit.clone()).map(|(object, commit)| TagRef { object, commit })
    }
}

/// A kind of marker, known by how it begins.
pub trait Marker: Serialize + DeserializeOwned {
    const BEGINS: &'static str;
}

impl Marker for Incoming {
    const BEGINS: &'static str = "<!-- packer-incoming ";
}

impl Marker for Label {
    const BEGINS: &'static str = "<!-- packer-label ";
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

/// The text without its marker, to the letter, and without anything else that begins like a marker: a later reader would
/// find that first.
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
            set: Identity { source: source.into(), part_size: 5, images: vec![image], reader: None, signed: false },
            created: None,
        }
    }

    #[test]
    fn a_marker_comes_back_and_goes_away() {
        for source in ["v0.45", "v0.45-rc1"] {
            let text = write("Points to v0.44\n\nmore", &marker(source));
            assert_eq!(read(&text), Some(marker(source)));
            assert_eq!(read(&text.replace("\\u003e", "\\>")), Some(marker(source)), "as gh 2.23 hands it on");
            assert_eq!(strip::<Incoming>(&text), "Points to v0.44\n\nmore");
            assert_eq!(write(&text, &marker("v9")), write("Points to v0.44\n\nmore", &marker("v9")));
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
    fn what_is_no_version_or_no_images_name_is_no_marker() {
        for source in ["v0.45; touch x", "$(x)", "../v1", "latest", "v1\u{1b}[2J"] {
            assert_eq!(read::<Incoming>(&write("", &marker(source))), None, "{source}");
        }
        let mut odd = marker("v1");
        odd.set.images[0].name = "../a".into();
        assert_eq!(read::<Incoming>(&write("", &odd)), None);
    }

    #[test]
    fn a_text_comes_back_to_the_letter() {
        for text in ["", "\n", "a\n", "a\r\n", "a\r\n\r\n", "a \n\n\n", "<!-- a -->"] {
            assert_eq!(strip::<Incoming>(&write(text, &marker("v9"))), text, "{text:?}");
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
        let text = write("Points to v0.44\n\nmore -->", &marker("v0"));
        crate::hostile::try_with(&[text.as_bytes()], |bytes| {
            let text = String::from_utf8_lossy(bytes);
            assert!(strip::<Incoming>(&text).len() <= text.len());
            if let Some(read) = super::read::<Incoming>(&text) {
                assert_eq!(super::read(&write(&text, &read)), Some(read));
            }
        });
    }
}
