//! What each published image was made of: the list or the commit in the manifest, else a commit that a tag names.
//!
//! Nothing is asked here: what is on `latest` and which tags there are is handed in as [`Observed`]. What could not be
//! asked is an error, and an image whose origin is unknown has no baseline and so must be rebuilt. Used by [`super::decide`].

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::failure::{self, Advice as _, Failure};
use crate::git::{TagRef, short};
use crate::image::record::Facts;
use crate::repo::LATEST;
use crate::sources::Inputs;
use crate::{suggest, version};

pub type Tags = BTreeMap<String, TagRef>;

/// What is on GitHub and which tags there are; an error says why it could not be asked.
#[derive(Debug, Clone)]
pub struct Observed {
    /// Where GitHub was asked: `homestak-dev/packer`.
    pub repo: String,
    pub remote: String,
    /// `None`: there is no release `latest`.
    pub latest: Result<Option<Published>, Failure>,
    pub remote_tags: Result<Tags, Failure>,
    pub local_tags: Tags,
}

/// What is published on `latest`.
#[derive(Debug, Clone)]
pub struct Published {
    /// The version that its notes name.
    pub version: Option<String>,
    /// Its images, each with what a manifest records of it.
    pub images: BTreeMap<String, Option<Facts>>,
    /// Which manifest that is; `None` for a release made by hand. An error says why the manifest cannot be read.
    pub manifest: Result<Option<String>, String>,
    /// Images whose assets are not what the manifest says, and how they differ.
    pub altered: BTreeMap<String, String>,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Baseline {
    pub kind: Kind,
    /// For people: what it is and where it was found.
    pub what: String,
    /// The tag or revision, if it has a name.
    pub name: Option<String>,
    /// `None` when only the list of inputs is known.
    pub commit: Option<String>,
    /// The list that was recorded when the image was built; without it, the commit is read.
    #[serde(skip)]
    pub inputs: Option<Inputs>,
}

/// An image's baseline, or why it has none, which is a reason to rebuild it.
pub type Found = Result<Baseline, String>;

impl Baseline {
    pub fn at(kind: Kind, what: String, name: Option<&str>, commit: &str) -> Self {
        Self { kind, what, name: name.map(str::to_owned), commit: Some(commit.to_owned()), inputs: None }
    }

    /// In a word: the version or revision, else the commit, else what it is.
    pub fn short(&self) -> &str {
        self.name.as_deref().or(self.commit.as_deref().map(short)).unwrap_or(&self.what)
    }

    /// What it is, with its commit: `v0.44, which the notes of `latest` name (f0a3d77b4)`
    pub fn describe(&self) -> String {
        let commit = self.commit.as_deref().map(|commit| format!(" ({})", short(commit)));
        format!("{}{}", self.what, commit.unwrap_or_default())
    }
}

impl Observed {
    /// Each image's baseline, for a decision about files at `head`. Whether its commit is in this clone is not checked.
    ///
    /// # Errors
    ///
    /// Exit code 3 when what is needed for an answer could not be asked.
    pub fn baselines(
        &self,
        images: &BTreeSet<String>,
        head: Option<&str>,
        notes: &mut Vec<String>,
    ) -> anyhow::Result<BTreeMap<String, Found>> {
        let latest = self.latest.as_ref();
        let latest = latest.map_err(|error| unasked(&self.repo, &format!("the release `{LATEST}`"), error))?;
        notes.extend(self.remarks());
        let by_tag = match latest.as_ref().map(|latest| &latest.manifest) {
            None | Some(Ok(None)) => {
                let tags = self.remote_tags.as_ref().map_err(|error| unasked(&self.remote, "its tags", error))?;
                self.in_notes(tags, notes).or_else(|| self.on_latest(tags)).or_else(|| self.newest_version(tags, head))
            }
            Some(_) => None,
        };
        let by_tag = by_tag.ok_or_else(|| "new image: nothing is published or tagged yet".to_owned());
        let found = |name: &String| match latest {
            None => by_tag.clone(),
            Some(latest) => match (latest.images.get(name), &latest.manifest) {
                (_, Err(why)) => Err(format!("the manifest on `{LATEST}` cannot be read: {why}")),
                (None, _) => Err(format!("new image: not on `{LATEST}`")),
                (Some(_), Ok(None)) => by_tag.clone(),
                (Some(None), Ok(Some(manifest))) => {
                    Err(format!("not in {manifest}, so what it was built from is unknown"))
                }
                (Some(Some(facts)), Ok(Some(manifest))) => recorded(facts, manifest),
            },
        };
        Ok(images.iter().map(|name| (name.clone(), found(name))).collect())
    }

    /// Where this clone and the remote differ.
    fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if let Ok(None) = &self.latest {
            remarks.push(format!("{} has no release `{LATEST}`", self.repo));
        }
        let here = self.local_tags.get(LATEST).map(|tag| short(&tag.commit));
        let remote = &self.remote;
        match (&self.remote_tags, here) {
            (Err(error), _) => {
                let fix = error.fix.as_ref().map(|fix| format!("; {fix}")).unwrap_or_default();
                remarks.push(format!("could not ask {remote} for its tags: {}{fix}", error.message));
            }
            (Ok(tags), Some(here)) => match tags.get(LATEST).map(|tag| short(&tag.commit)) {
                None => remarks.push(format!(
                    "the tag `{LATEST}` is at {here} in this clone, but not on {remote}; the remote counts"
                )),
                Some(there) if there != here => remarks.push(format!(
                    "the tag `{LATEST}` is at {here} in this clone and at {there} on {remote}; the remote counts"
                )),
                Some(_) => {}
            },
            (Ok(_), None) => {}
        }
        remarks
    }

    /// The version that the notes of a `latest` made by hand name.
    fn in_notes(&self, tags: &Tags, remarks: &mut Vec<String>) -> Option<Baseline> {
        let latest = self.latest.as_ref().ok()?.as_ref()?;
        let Some(version) = latest.version.as_deref().filter(|version| version::names_a_release(version)) else {
            remarks.push(format!("the release `{LATEST}` has no manifest, and its notes name no version"));
            return None;
        };
        let Some(tag) = tags.get(version).or_else(|| self.local_tags.get(version)) else {
            remarks.push(format!("the notes of `{LATEST}` say `Points to {version}`, but there is no such tag"));
            return None;
        };
        let what = format!("{version}, which the notes of `{LATEST}` name");
        Some(Baseline::at(Kind::Notes, what, Some(version), &tag.commit))
    }

    fn on_latest(&self, tags: &Tags) -> Option<Baseline> {
        let what = format!("the tag `{LATEST}` on {}", self.remote);
        Some(Baseline::at(Kind::LatestTag, what, Some(LATEST), &tags.get(LATEST)?.commit))
    }

    /// The newest by version that isn't at HEAD: at release time the new version's tag already is.
    fn newest_version(&self, tags: &Tags, head: Option<&str>) -> Option<Baseline> {
        // Where a tag is both here and there, the remote's counts.
        let all: BTreeMap<&String, &TagRef> = self.local_tags.iter().chain(tags).collect();
        let (name, tag) = all
            .into_iter()
            .filter(|(name, tag)| version::is_version_tag(name) && head != Some(tag.commit.as_str()))
            .max_by(|(a, _), (b, _)| version::order(a).cmp(&version::order(b)))?;
        let what = format!("{name}, the newest version tag that is not at HEAD");
        Some(Baseline::at(Kind::VersionTag, what, Some(name), &tag.commit))
    }
}

/// Without this answer nothing is decided.
fn unasked(who: &str, what: &str, error: &Failure) -> anyhow::Error {
    let again = error.fix.clone().unwrap_or_else(|| format!("try again when {who} can be asked"));
    let alone = suggest::command("check --base REV");
    let mut error = error.clone();
    error.kind = failure::Kind::Missing;
    anyhow::Error::from(error)
        .context(format!("could not ask {who} for {what}, so what is published is unknown"))
        .fix(format!("{again}, or compare with a revision in this clone: {alone}"))
}

/// What a manifest records of an image.
fn recorded(facts: &Facts, manifest: &str) -> Found {
    let commit = facts.built_from.as_ref().map(|built| built.commit.clone());
    if let Some(inputs) = &facts.inputs {
        let (what, inputs) = (format!("the inputs in {manifest}"), Some(inputs.clone()));
        return Ok(Baseline { kind: Kind::Manifest, what, name: None, commit, inputs });
    }
    match &facts.built_from {
        None => Err("the manifest doesn't say which commit it was built from".to_owned()),
        Some(built) if built.dirty => {
            Err(format!("it was built from {} with uncommitted changes, which were not recorded", short(&built.commit)))
        }
        Some(built) => Ok(Baseline::at(Kind::Manifest, format!("the commit in {manifest}"), None, &built.commit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::BuiltFrom;

    fn tags(tags: &[(&str, &str)]) -> Tags {
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
        }
    }

    fn by_hand(version: Option<&str>) -> Published {
        Published {
            version: version.map(str::to_owned),
            images: [("a".to_owned(), None)].into(),
            manifest: Ok(None),
            altered: BTreeMap::new(),
        }
    }

    fn published(built_from: Option<BuiltFrom>) -> Published {
        let facts = Facts { built_from, ..Facts::default() };
        let images = [("a".to_owned(), Some(facts)), ("added by hand".to_owned(), None)].into();
        Published { images, manifest: Ok(Some("the manifest".into())), ..by_hand(None) }
    }

    fn base_of(observed: &Observed, image: &str) -> Found {
        let mut found = observed.baselines(&[image.to_owned()].into(), Some("head"), &mut Vec::new()).unwrap();
        found.remove(image).unwrap()
    }

    #[test]
    fn baselines_are_taken_in_order() {
        let built = |commit: &str, dirty| Some(BuiltFrom { commit: commit.into(), dirty });
        let tags = [("latest", "l"), ("v0.9", "9"), ("v0.10", "10"), ("v0.11", "head")];
        let unreadable = Published { manifest: Err("damaged".into()), ..by_hand(Some("v0.9")) };
        for (what, observed, expected) in [
            ("the manifest", observed(Some(published(built("m", false))), &tags, &tags), Some((Kind::Manifest, "m"))),
            ("dirty", observed(Some(published(built("m", true))), &tags, &tags), None),
            ("unrecorded", observed(Some(published(None)), &tags, &tags), None),
            ("unreadable", observed(Some(unreadable), &tags, &tags), None),
            ("notes", observed(Some(by_hand(Some("v0.9"))), &tags, &tags), Some((Kind::Notes, "9"))),
            ("notes, another tag", observed(Some(by_hand(Some("v7"))), &tags, &[]), Some((Kind::LatestTag, "l"))),
            ("no notes", observed(Some(by_hand(None)), &tags, &tags), Some((Kind::LatestTag, "l"))),
            ("no release", observed(None, &tags, &[("latest", "x")]), Some((Kind::LatestTag, "l"))),
            ("no latest", observed(None, &tags[1..], &[("latest", "x")]), Some((Kind::VersionTag, "10"))),
            ("local tags", observed(None, &[], &tags[1..]), Some((Kind::VersionTag, "10"))),
            ("nothing", observed(None, &[], &[("v0.11", "head"), ("vague", "1")]), None),
        ] {
            let base = base_of(&observed, "a");
            let found = base.as_ref().ok().map(|base| (base.kind, base.commit.as_deref().unwrap()));
            assert_eq!(found, expected, "{what}: {base:?}");
        }
    }

    #[test]
    fn an_image_that_is_not_published_is_new() {
        let tags = [("latest", "l"), ("v0.9", "9")];
        for published in [published(None), by_hand(Some("v0.9"))] {
            let reason = base_of(&observed(Some(published), &tags, &tags), "b").unwrap_err();
            assert!(reason.starts_with("new image"), "{reason}");
        }
        let reason = base_of(&observed(Some(published(None)), &tags, &tags), "added by hand").unwrap_err();
        assert!(reason.starts_with("not in the manifest,"), "{reason}");
    }

    #[test]
    fn what_differs_between_clone_and_remote_is_said() {
        let remarks = |observed: &Observed| {
            let mut notes = Vec::new();
            observed.baselines(&BTreeSet::new(), None, &mut notes).unwrap();
            notes.join("\n")
        };
        assert_eq!(remarks(&observed(None, &[("latest", "a")], &[("latest", "a")])), "a/b has no release `latest`");
        let differ = remarks(&observed(None, &[("latest", "a")], &[("latest", "b")]));
        assert!(differ.contains("at b in this clone and at a on origin"), "{differ}");
        assert!(remarks(&observed(None, &[], &[("latest", "b")])).contains("but not on origin"));
    }

    #[test]
    fn what_could_not_be_asked_is_never_an_answer() {
        let error = |observed: &Observed| observed.baselines(&BTreeSet::new(), None, &mut Vec::new()).unwrap_err();
        let because = |error: &anyhow::Error| Failure::of(error);
        let no_login = because(&anyhow::anyhow!("no login"));
        let offline = Observed { latest: Err(no_login), ..observed(None, &[], &[("latest", "here")]) };
        assert_eq!(failure::kind(&error(&offline)), failure::Kind::Missing);
        assert!(error(&offline).to_string().contains("no login"));
        let no_route = because(&anyhow::anyhow!("no route"));
        let no_tags =
            |latest| Observed { remote_tags: Err(no_route.clone()), ..observed(latest, &[], &[("v0.9", "9")]) };
        for latest in [None, Some(by_hand(Some("v0.9")))] {
            assert!(error(&no_tags(latest)).to_string().contains("no route"));
        }
        // The fix is that of the cause.
        let no_login = because(&failure::failed("no login").fix("run `gh auth login`").quote("gh", "HTTP 401"));
        let no_login = Observed { latest: Err(no_login), ..offline };
        let text = format!("{:#}", error(&no_login));
        assert_eq!(text.matches("fix: ").count(), 1, "{text}");
        assert!(text.contains(": no login\nfix: run `gh auth login`, or compare"), "{text}");
        // The manifest has everything that is needed.
        let built = Some(BuiltFrom { commit: "m".into(), dirty: false });
        assert!(base_of(&no_tags(Some(published(built))), "a").is_ok());
    }
}
