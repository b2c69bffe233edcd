//! What the published images were made of, image by image, from what was observed: the manifest's list, or a commit.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::failure;
use crate::gh::Asset;
use crate::git::TagRef;
use crate::image::inputs::Inputs;
use crate::latest::TAG as LATEST;
use crate::latest::audit;
use crate::latest::look::Live;
use crate::latest::notes::points_to;
use crate::manifest::Manifest;
use crate::version;

/// What is published on `latest`.
#[derive(Debug, Clone, Default)]
pub struct Published {
    pub notes: String,
    /// The names of the images among its assets.
    pub images: BTreeSet<String>,
    /// An error says why a manifest that is there can't be read.
    pub manifest: Option<Result<Manifest, String>>,
    /// Images with an asset that isn't what the manifest says: somebody replaced or removed it by hand.
    pub damaged: BTreeMap<String, String>,
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
        Self::new(live.release.notes(), &live.assets, live.manifest.clone().map(Ok))
    }

    pub fn new(notes: &str, assets: &[Asset], manifest: Option<Result<Manifest, String>>) -> Self {
        let mut damaged = BTreeMap::new();
        for image in manifest.iter().flatten().flat_map(|manifest| &manifest.images) {
            damaged.extend(audit::altered_image(image, assets).map(|why| (image.name.clone(), why)));
        }
        Self { notes: notes.to_owned(), images: audit::images(assets), manifest, damaged }
    }
}

impl Observed {
    /// The manifest of what is published, where there is one that can be read.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.latest.as_ref().ok()?.as_ref()?.manifest.as_ref()?.as_ref().ok()
    }
}

/// How a baseline was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Base,
    Manifest,
    Notes,
    LatestTag,
    VersionTag,
}

/// What an image is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    pub kind: Kind,
    /// For people: what it is and where it was found.
    pub what: String,
    /// The tag or revision, where it is one.
    pub name: Option<String>,
    /// `None` when only its list is known.
    pub commit: Option<String>,
    /// The list that was recorded when the image was built; without it, it is read from the commit.
    pub inputs: Option<Inputs>,
}

impl Baseline {
    /// A commit.
    pub fn at(kind: Kind, what: String, name: Option<&str>, commit: &str) -> Self {
        Self { kind, what, name: name.map(str::to_owned), commit: Some(commit.to_owned()), inputs: None }
    }

    /// In a word: the version or revision, else the commit, else what it is.
    pub fn short(&self) -> &str {
        match (&self.name, &self.commit) {
            (Some(name), _) => name,
            (None, Some(commit)) => short(commit),
            (None, None) => &self.what,
        }
    }

    /// ` (f0a3d77b4)`
    pub fn commit_in_brackets(&self) -> String {
        self.commit.as_deref().map_or_else(String::new, |commit| format!(" ({})", short(commit)))
    }
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
    /// Reasons to rebuild that no file shows, by image.
    pub reasons: BTreeMap<String, String>,
    /// What a person should know about how they were found.
    pub notes: Vec<String>,
}

/// Finds each image's baseline. Whether its commit is here is for the caller to see.
///
/// # Errors
///
/// Exit code 3 when what is needed for an answer could not be asked.
pub fn choose(observed: &Observed, images: &BTreeSet<String>) -> anyhow::Result<Bases> {
    let published = observed.latest.as_ref().map_err(|error| {
        failure::missing(format!(
            "could not ask {} for the release `{LATEST}`: {error}\nwithout that nobody can tell what is published; \
             `--base REV` compares with a revision that is here and asks nobody",
            observed.repo
        ))
    })?;
    let mut bases = Bases { notes: remarks(observed), ..Bases::default() };
    if let Some(published) = published {
        bases.published.clone_from(&published.images);
        bases.reasons.clone_from(&published.damaged);
        if let Some(manifest) = &published.manifest {
            let base = |name: &String| match manifest {
                Ok(manifest) => in_manifest(manifest, name),
                Err(error) => Base::Unknown(format!("the manifest on `{LATEST}` can't be read: {error}")),
            };
            bases.images = images.iter().map(|name| (name.clone(), base(name))).collect();
            bases
                .published
                .extend(manifest.iter().flat_map(|manifest| &manifest.images).map(|image| image.name.clone()));
            return Ok(bases);
        }
    }
    let tags = observed.remote_tags.as_ref().map_err(|error| {
        failure::missing(format!(
            "could not ask {} for its tags, and nothing else tells what `{LATEST}` was built from: {error}\n\
             `--base REV` compares with a revision that is here and asks nobody",
            observed.remote
        ))
    })?;
    let found = in_notes(observed, tags, &mut bases.notes)
        .or_else(|| on_latest(observed, tags))
        .or_else(|| newest_version(observed, tags))
        .map_or_else(|| Base::New("nothing is published or tagged yet".into()), Base::Known);
    for name in images {
        let missing = published.is_some() && !bases.published.contains(name);
        let base = if missing { Base::New(format!("not among the images on `{LATEST}`")) } else { found.clone() };
        if published.is_none() && matches!(&base, Base::Known(base) if base.kind == Kind::LatestTag) {
            let why = format!("there is a tag `{LATEST}` and no such release: the image is not published");
            bases.reasons.insert(name.clone(), why);
        }
        bases.images.insert(name.clone(), base);
    }
    Ok(bases)
}

/// Where here and there differ.
fn remarks(observed: &Observed) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Ok(None) = &observed.latest {
        remarks.push(format!("{} has no release `{LATEST}`", observed.repo));
    }
    let here = observed.local_tags.get(LATEST);
    match &observed.remote_tags {
        Err(error) => remarks.push(format!("could not ask {} for its tags: {error}", observed.remote)),
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
    let what = format!("the manifest on `{LATEST}` ({})", manifest.source);
    let commit = image.built_from.as_ref().map(|built| built.commit.clone());
    if let Some(inputs) = &image.inputs {
        let (what, inputs) = (format!("the list in {what}"), Some(inputs.clone()));
        return Base::Known(Baseline { kind: Kind::Manifest, what, name: None, commit, inputs });
    }
    match &image.built_from {
        None => Base::Unknown("the manifest doesn't say which commit it was built from".into()),
        Some(built) if built.dirty => Base::Unknown(format!(
            "it was built from {} with uncommitted changes, which nobody can compare with",
            short(&built.commit)
        )),
        Some(built) => Base::Known(Baseline::at(Kind::Manifest, format!("built_from in {what}"), None, &built.commit)),
    }
}

type Tags = BTreeMap<String, TagRef>;

/// The version that the notes of a `latest` made by hand name.
fn in_notes(observed: &Observed, tags: &Tags, remarks: &mut Vec<String>) -> Option<Baseline> {
    let published = observed.latest.as_ref().ok()?.as_ref()?;
    let Some(version) = points_to(&published.notes).filter(|version| version::is_one(version)) else {
        remarks.push(format!("the release `{LATEST}` has no manifest, and its notes name no version"));
        return None;
    };
    let Some(tag) = tags.get(version).or_else(|| observed.local_tags.get(version)) else {
        remarks.push(format!("the notes of `{LATEST}` say `Points to {version}`, and there is no such tag"));
        return None;
    };
    let what = format!("{version}, which the notes of `{LATEST}` name");
    Some(Baseline::at(Kind::Notes, what, Some(version), &tag.commit))
}

fn on_latest(observed: &Observed, tags: &Tags) -> Option<Baseline> {
    let commit = &tags.get(LATEST)?.commit;
    Some(Baseline::at(Kind::LatestTag, format!("the tag `{LATEST}` on {}", observed.remote), Some(LATEST), commit))
}

/// The newest by version that isn't at HEAD: at release time the new version's tag already is.
fn newest_version(observed: &Observed, tags: &Tags) -> Option<Baseline> {
    // Where a tag is both here and there, the remote's counts.
    let all: BTreeMap<&String, &TagRef> = observed.local_tags.iter().chain(tags).collect();
    let (name, tag) = all
        .into_iter()
        .filter(|(name, tag)| version::is_one(name) && observed.head.as_ref() != Some(&tag.commit))
        .max_by(|(a, _), (b, _)| version::order(a).cmp(&version::order(b)))?;
    let what = format!("{name}, the newest version tag that is not at HEAD");
    Some(Baseline::at(Kind::VersionTag, what, Some(name), &tag.commit))
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
        Published { notes: notes.into(), images: ["a".to_owned()].into(), ..Published::default() }
    }

    fn published(built_from: Option<BuiltFrom>) -> Published {
        let image = Image {
            name: "a".into(),
            file: "a.qcow2".into(),
            size: 1,
            sha256: Digest::of(b"a"),
            built_from,
            inputs: None,
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
        choose(observed, &[image.to_owned()].into()).unwrap().images.remove(image).unwrap()
    }

    #[test]
    fn baselines_are_taken_in_order() {
        let built = |commit: &str, dirty| Some(BuiltFrom { commit: commit.into(), dirty });
        let tags = [("latest", "l"), ("v0.9", "9"), ("v0.10", "10"), ("v0.11", "head")];
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
            ("nothing", observed(None, &[], &[("v0.11", "head"), ("vague", "1")]), None),
        ] {
            let base = base_of(&observed, "a");
            let found = match &base {
                Base::Known(base) => Some((base.kind, base.commit.as_deref().unwrap())),
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
    fn what_differs_is_said() {
        let remarks = |observed: &Observed| choose(observed, &BTreeSet::new()).unwrap().notes.join("\n");
        assert_eq!(remarks(&observed(None, &[("latest", "a")], &[("latest", "a")])), "a/b has no release `latest`");
        assert!(
            remarks(&observed(None, &[("latest", "a")], &[("latest", "b")])).contains("at b here and at a on origin")
        );
        assert!(remarks(&observed(None, &[], &[("latest", "b")])).contains("but not on origin"));
    }

    #[test]
    fn what_could_not_be_asked_is_never_an_answer() {
        let error = |observed: &Observed| choose(observed, &BTreeSet::new()).unwrap_err();
        let offline = Observed { latest: Err("no login".into()), ..observed(None, &[], &[("latest", "here")]) };
        assert_eq!(failure::kind(&error(&offline)), failure::Kind::Missing);
        assert!(error(&offline).to_string().contains("no login"));
        let no_tags =
            |latest| Observed { remote_tags: Err("no route".into()), ..observed(latest, &[], &[("v0.9", "9")]) };
        for latest in [None, Some(by_hand("Points to v0.9"))] {
            assert!(error(&no_tags(latest)).to_string().contains("no route"));
        }
        // The manifest tells all that is needed.
        let built = Some(BuiltFrom { commit: "m".into(), dirty: false });
        assert!(matches!(base_of(&no_tags(Some(published(built))), "a"), Base::Known(_)));
    }

    #[test]
    fn a_tag_without_a_release_is_no_publication() {
        let bases = choose(&observed(None, &[("latest", "l")], &[]), &["a".to_owned()].into()).unwrap();
        assert!(bases.reasons["a"].contains("not published"), "{bases:?}");
    }
}
