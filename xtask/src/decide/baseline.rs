//! Which commit the published images were built from, image by image, from what was observed.

use std::collections::{BTreeMap, BTreeSet};

use crate::git::TagRef;
use crate::image::name::Role;
use crate::latest::TAG as LATEST;
use crate::latest::look::Live;
use crate::latest::notes::points_to;
use crate::manifest::Manifest;

/// What is published on `latest`.
#[derive(Debug, Clone, Default)]
pub struct Published {
    pub notes: String,
    /// The names of the images among its assets.
    pub images: BTreeSet<String>,
    /// An error says why a manifest that is there can't be read.
    pub manifest: Option<Result<Manifest, String>>,
}

/// What was asked, and what came back; an error says what could not be asked.
#[derive(Debug, Clone)]
pub struct Observed {
    /// Where GitHub was asked: `homestak-dev/packer`.
    pub repo: String,
    pub remote: String,
    pub latest: Result<Option<Published>, String>,
    pub remote_tags: Result<BTreeMap<String, TagRef>, String>,
    pub local_tags: BTreeMap<String, TagRef>,
    pub head: Option<String>,
}

impl Published {
    /// From a look at `latest` that has been taken already.
    pub fn of(live: &Live) -> Self {
        let images = live.assets.iter().filter(|asset| asset.is_uploaded()).filter_map(|asset| Role::of(&asset.name));
        let images = images.filter(|role| !matches!(role, Role::Checksum { .. }));
        Self {
            notes: live.release.notes().to_owned(),
            images: images.map(|role| role.image().to_owned()).collect(),
            manifest: live.manifest.clone().map(Ok),
        }
    }
}

impl Observed {
    /// The manifest of what is published, where there is one that can be read.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.latest.as_ref().ok()?.as_ref()?.manifest.as_ref()?.as_ref().ok()
    }
}

/// How a baseline was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Base,
    Manifest,
    Notes,
    LatestTag,
    VersionTag,
}

impl Kind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Manifest => "manifest",
            Self::Notes => "notes",
            Self::LatestTag => "latest-tag",
            Self::VersionTag => "version-tag",
        }
    }
}

/// What an image is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    pub kind: Kind,
    /// For people: what it is and where it was found.
    pub what: String,
    /// The tag or revision, where it is one.
    pub name: Option<String>,
    pub commit: String,
}

/// An image's baseline, or why there is none and it must be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    Known(Baseline),
    /// Published, but nobody can tell from what.
    Unknown(String),
    /// Not published yet.
    New(String),
}

/// The baselines of all images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bases {
    pub images: BTreeMap<String, Base>,
    /// Published, where that is known by name.
    pub published: BTreeSet<String>,
    /// What a person should know about how they were found.
    pub notes: Vec<String>,
}

/// Finds each image's baseline. Whether its commit is here is for the caller to see.
pub fn choose(observed: &Observed, images: &BTreeSet<String>) -> Bases {
    let mut bases = Bases { notes: remarks(observed), ..Bases::default() };
    if let Ok(Some(published)) = &observed.latest {
        bases.published.clone_from(&published.images);
        match &published.manifest {
            Some(Ok(manifest)) => {
                bases.published.extend(manifest.images.iter().map(|image| image.name.clone()));
                bases.images = images.iter().map(|name| (name.clone(), in_manifest(manifest, name))).collect();
                return bases;
            }
            Some(Err(error)) => {
                let unknown = Base::Unknown(format!("the manifest on `{LATEST}` can't be read: {error}"));
                bases.images = images.iter().map(|name| (name.clone(), unknown.clone())).collect();
                return bases;
            }
            None => {}
        }
    }
    let found = in_notes(observed, &mut bases.notes)
        .or_else(|| on_latest(observed))
        .or_else(|| newest_version(observed))
        .map_or_else(|| Base::New("nothing is published or tagged yet".into()), Base::Known);
    let by_hand = matches!(observed.latest, Ok(Some(_)));
    for name in images {
        let missing = by_hand && !bases.published.contains(name);
        let base = if missing { Base::New(format!("not among the images on `{LATEST}`")) } else { found.clone() };
        bases.images.insert(name.clone(), base);
    }
    bases
}

/// What could not be asked, and where here and there differ.
fn remarks(observed: &Observed) -> Vec<String> {
    let mut remarks = Vec::new();
    match &observed.latest {
        Err(error) => {
            remarks.push(format!("could not ask for the release `{LATEST}`, so what is here must do: {error}"));
        }
        Ok(None) => remarks.push(format!("{} has no release `{LATEST}`", observed.repo)),
        Ok(Some(_)) => {}
    }
    let here = observed.local_tags.get(LATEST);
    match &observed.remote_tags {
        Err(error) => remarks.push(format!("could not ask for the remote's tags, so those here must do: {error}")),
        Ok(tags) => match (here, tags.get(LATEST)) {
            (Some(here), None) => remarks.push(format!(
                "the tag `{LATEST}` is here, at {}, but not on {}; the remote counts",
                short(&here.commit),
                observed.remote
            )),
            (Some(here), Some(there)) if here.commit != there.commit => remarks.push(format!(
                "the tag `{LATEST}` is at {} here and at {} on {}; the remote counts",
                short(&here.commit),
                short(&there.commit),
                observed.remote
            )),
            _ => {}
        },
    }
    remarks
}

fn in_manifest(manifest: &Manifest, name: &str) -> Base {
    let Some(image) = manifest.image(name) else {
        return Base::New(format!("not in the manifest on `{LATEST}`"));
    };
    match &image.built_from {
        None => Base::Unknown("the manifest doesn't say which commit it was built from".into()),
        Some(built) if built.dirty => Base::Unknown(format!(
            "it was built from {} with uncommitted changes, which nobody can compare with",
            short(&built.commit)
        )),
        Some(built) => Base::Known(Baseline {
            kind: Kind::Manifest,
            what: format!("built_from in the manifest on `{LATEST}` ({})", manifest.source),
            name: None,
            commit: built.commit.clone(),
        }),
    }
}

/// The version that the notes of a `latest` made by hand name.
fn in_notes(observed: &Observed, remarks: &mut Vec<String>) -> Option<Baseline> {
    let published = observed.latest.as_ref().ok()?.as_ref()?;
    let Some(version) = points_to(&published.notes).filter(|version| is_version(version)) else {
        remarks.push(format!("the release `{LATEST}` has no manifest, and its notes name no version"));
        return None;
    };
    let there = observed.remote_tags.as_ref().ok().and_then(|tags| tags.get(version));
    let Some(tag) = there.or_else(|| observed.local_tags.get(version)) else {
        remarks.push(format!("the notes of `{LATEST}` say `Points to {version}`, and there is no such tag"));
        return None;
    };
    Some(Baseline {
        kind: Kind::Notes,
        what: format!("{version}, which the notes of `{LATEST}` name"),
        name: Some(version.to_owned()),
        commit: tag.commit.clone(),
    })
}

fn on_latest(observed: &Observed) -> Option<Baseline> {
    let (tags, whose) = match &observed.remote_tags {
        Ok(tags) => (tags, format!("on {}", observed.remote)),
        Err(_) => (&observed.local_tags, "here".to_owned()),
    };
    let tag = tags.get(LATEST)?;
    Some(Baseline {
        kind: Kind::LatestTag,
        what: format!("the tag `{LATEST}` {whose}"),
        name: Some(LATEST.into()),
        commit: tag.commit.clone(),
    })
}

/// The newest by version that isn't at HEAD: at release time the new version's tag already is.
fn newest_version(observed: &Observed) -> Option<Baseline> {
    let remote = observed.remote_tags.as_ref().ok();
    // Where a tag is both here and there, the remote's counts.
    let all: BTreeMap<&String, &TagRef> = observed.local_tags.iter().chain(remote.into_iter().flatten()).collect();
    let (name, tag) = all
        .into_iter()
        .filter(|(name, tag)| is_version(name) && observed.head.as_ref() != Some(&tag.commit))
        .max_by(|(a, _), (b, _)| version(a).cmp(&version(b)))?;
    Some(Baseline {
        kind: Kind::VersionTag,
        what: format!("{name}, the newest version tag that is not at HEAD"),
        name: Some(name.clone()),
        commit: tag.commit.clone(),
    })
}

/// Whether a tag is a release's: `v0.45`.
pub fn is_version(tag: &str) -> bool {
    tag.strip_prefix('v').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

/// Whether a version comes after another.
pub fn is_newer(tag: &str, than: &str) -> bool {
    version(tag) > version(than)
}

/// Orders versions: numbers by value, and a prerelease (`v0.45-rc1`) before its release.
fn version(tag: &str) -> (Vec<u64>, bool, Vec<(String, u64)>) {
    let text = tag.strip_prefix('v').unwrap_or(tag);
    let (numbers, rest) = text.split_at(text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len()));
    let mut numbers: Vec<u64> = numbers.split('.').filter_map(|number| number.parse().ok()).collect();
    // `v1.0` and `v1.0.0` are one version.
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    let rest = rest.trim_start_matches(['-', '+', '.']);
    let pieces = rest.split(['.', '-', '_']).filter(|piece| !piece.is_empty()).map(|piece| {
        let word = piece.trim_end_matches(|c: char| c.is_ascii_digit());
        (word.to_owned(), piece[word.len()..].parse().unwrap_or(0))
    });
    let pieces: Vec<(String, u64)> = pieces.collect();
    (numbers, pieces.is_empty(), pieces)
}

/// The first digits of an id, as people quote them.
pub fn short(commit: &str) -> &str {
    commit.get(..9).unwrap_or(commit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::digest::Digest;
    use crate::image::record::BuiltFrom;
    use crate::manifest::Image;

    fn tags(tags: &[(&str, &str)]) -> BTreeMap<String, TagRef> {
        let tag = |(name, commit): &(&str, &str)| {
            ((*name).to_owned(), TagRef { object: format!("tag of {commit}"), commit: (*commit).to_owned() })
        };
        tags.iter().map(tag).collect()
    }

    fn observed(latest: Option<Published>, remote: &[(&str, &str)], local: &[(&str, &str)]) -> Observed {
        Observed {
            repo: "a/b".into(),
            remote: "origin".into(),
            latest: Ok(latest),
            remote_tags: Ok(tags(remote)),
            local_tags: tags(local),
            head: Some("head".into()),
        }
    }

    fn by_hand(notes: &str) -> Published {
        Published { notes: notes.into(), images: ["a".to_owned()].into(), manifest: None }
    }

    fn published(built_from: Option<BuiltFrom>) -> Published {
        let image = Image {
            name: "a".into(),
            file: "a.qcow2".into(),
            size: 1,
            sha256: Digest::of(b"a"),
            built_from,
            versions: None,
            base_image: None,
            packages: None,
            boot: None,
            parts: Vec::new(),
        };
        let manifest = Manifest::new("v1".into(), "c1".into(), vec![image]);
        Published { manifest: Some(Ok(manifest)), ..by_hand("") }
    }

    fn base_of(observed: &Observed, image: &str) -> Base {
        choose(observed, &[image.to_owned()].into()).images.remove(image).unwrap()
    }

    #[test]
    fn baselines_are_taken_in_order() {
        let built = |commit: &str, dirty| Some(BuiltFrom { commit: commit.into(), dirty });
        let tags = [("latest", "l"), ("v0.9", "9"), ("v0.10", "10"), ("v0.11", "head")];
        let offline = Observed {
            latest: Err("offline".into()),
            remote_tags: Err("offline".into()),
            ..observed(None, &[], &[("latest", "here"), ("v0.9", "9")])
        };
        for (what, observed, expected) in [
            ("the manifest", observed(Some(published(built("m", false))), &tags, &tags), Some((Kind::Manifest, "m"))),
            ("dirty", observed(Some(published(built("m", true))), &tags, &tags), None),
            ("unrecorded", observed(Some(published(None)), &tags, &tags), None),
            ("notes", observed(Some(by_hand("Points to v0.9.")), &tags, &tags), Some((Kind::Notes, "9"))),
            ("notes, another tag", observed(Some(by_hand("Points to v7")), &tags, &[]), Some((Kind::LatestTag, "l"))),
            ("no notes", observed(Some(by_hand("")), &tags, &tags), Some((Kind::LatestTag, "l"))),
            ("no release", observed(None, &tags, &[("latest", "x")]), Some((Kind::LatestTag, "l"))),
            ("no latest", observed(None, &tags[1..], &[("latest", "x")]), Some((Kind::VersionTag, "10"))),
            ("local tags", observed(None, &[], &tags[1..]), Some((Kind::VersionTag, "10"))),
            ("offline", offline, Some((Kind::LatestTag, "here"))),
            ("nothing", observed(None, &[], &[("v0.11", "head"), ("vague", "1")]), None),
        ] {
            let base = base_of(&observed, "a");
            let found = match &base {
                Base::Known(base) => Some((base.kind, base.commit.as_str())),
                _ => None,
            };
            assert_eq!(found, expected, "{what}: {base:?}");
        }
    }

    #[test]
    fn an_image_that_is_not_published_is_new() {
        let tags = [("latest", "l"), ("v0.9", "9")];
        for published in [published(None), by_hand("Points to v0.9")] {
            assert!(matches!(base_of(&observed(Some(published), &tags, &tags), "b"), Base::New(_)));
        }
    }

    #[test]
    fn a_manifest_that_cannot_be_read_vouches_for_nothing() {
        let published = Published { manifest: Some(Err("schema 7".into())), ..by_hand("Points to v0.9") };
        assert!(matches!(base_of(&observed(Some(published), &[("v0.9", "9")], &[]), "a"), Base::Unknown(_)));
    }

    #[test]
    fn what_differs_or_is_missing_is_said() {
        let remarks = |observed: &Observed| choose(observed, &BTreeSet::new()).notes.join("\n");
        assert_eq!(remarks(&observed(None, &[("latest", "a")], &[("latest", "a")])), "a/b has no release `latest`");
        assert!(
            remarks(&observed(None, &[("latest", "a")], &[("latest", "b")])).contains("at b here and at a on origin")
        );
        assert!(remarks(&observed(None, &[], &[("latest", "b")])).contains("but not on origin"));
        let offline = Observed { latest: Err("no login".into()), ..observed(None, &[], &[]) };
        assert!(remarks(&offline).contains("no login"));
    }

    #[test]
    fn versions_are_ordered_by_number() {
        let mut tags = ["v0.10", "v0.9", "v0.45-rc2", "v0.45", "v0.45-rc10", "v0.45.1", "v1"];
        tags.sort_by_key(|tag| version(tag));
        assert_eq!(tags, ["v0.9", "v0.10", "v0.45-rc2", "v0.45-rc10", "v0.45", "v0.45.1", "v1"]);
    }
}
