//! Puts right what a run left that ended somewhere, perhaps on a machine that is gone: no local image is needed, what is on
//! GitHub is enough.
//!
//! Nothing live: what was live last is named by the newest stamp. Something live: its manifest has its name, and its tag
//! stands where the manifest says.

use std::fmt;

use serde_json::{Value, json};

use crate::failure;
use crate::gh::{Asset, Release};
use crate::git::TagRef;
use crate::image::digest::Digest;
use crate::image::name;
use crate::manifest::{self, Manifest};

use super::doors::Doors;
use super::face::Face;
use super::held::Held;
use super::look::{self, Live, Look, PreviousDraft};
use super::marker::Replaced;
use super::switch;
use super::{TAG, audit, notes, prove, swap};

/// One thing that is put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heal {
    /// Nothing is live: this becomes it, where another set was staged on it with the names of its `own` again.
    Publish { release: u64, face: Box<Face>, tag: Option<TagRef>, own: Option<Digest>, why: Why },
    /// A change of the version ended between its renames: the set with this manifest gets its names back.
    Name { release: u64, own: Digest },
    /// The tag stands on another set than the one that is live.
    Tag { from: Option<String>, to: String },
}

/// Why a release is the one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It was about to become live, and holds all of its set.
    Chosen { source: String },
    /// It was live last.
    WasLive,
    /// It lost its tag.
    LostItsTag,
}

impl fmt::Display for Heal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish { release, why, .. } => {
                let ended = format!("{TAG} has no release: a publish ended between its two last steps");
                match why {
                    Why::Chosen { source } => {
                        write!(f, "{ended}; first finish it: the draft {release} holds all of {source}, proven")
                    }
                    Why::WasLive => write!(f, "{ended}; first make the release {release} live, which was live before"),
                    Why::LostItsTag => write!(
                        f,
                        "somebody deleted the tag {TAG}, so its release {release} became a draft; first put both back, which sends nothing"
                    ),
                }
            }
            Self::Name { .. } => write!(
                f,
                "{TAG} has no {}: a change of its version ended half-way; first put the old one back in its place",
                manifest::FILE
            ),
            Self::Tag { to, .. } => write!(
                f,
                "the tag {TAG} stands on another set than the one that is live: a run ended half-way; first put it back to {}",
                to.get(..12).unwrap_or(to)
            ),
        }
    }
}

impl Heal {
    /// As a step of a plan: `kind` is `publish`, `rename` or `tag`.
    pub fn to_json(&self) -> Value {
        let mut step = match self {
            Self::Publish { release, tag, .. } => {
                json!({ "kind": "publish", "release": release, "tag": tag.as_ref().map(|tag| &tag.commit) })
            }
            Self::Name { release, .. } => json!({ "kind": "rename", "release": release }),
            Self::Tag { from, to } => json!({ "kind": "tag", "from": from, "to": to }),
        };
        step["do"] = "heal".into();
        step["said"] = self.to_string().into();
        step
    }
}

/// What there is to heal; `None` when all is as a run leaves it that ended well.
pub fn plan(doors: Doors<'_>, look: &Look) -> anyhow::Result<Option<Heal>> {
    match &look.live {
        Some(live) => beside_live(doors, look, live),
        None => without_live(doors, look),
    }
}

fn beside_live(doors: Doors<'_>, look: &Look, live: &Live) -> anyhow::Result<Option<Heal>> {
    if let Some(own) = live.digest.filter(|_| live.aside.is_some()) {
        return Ok(Some(Heal::Name { release: live.release.id, own }));
    }
    let now = look.tag.as_ref();
    let from = now.map(|tag| tag.object.clone());
    if let Some(manifest) = &live.manifest {
        let right = now.is_some_and(|tag| tag.commit == manifest.commit);
        return Ok((!right).then(|| Heal::Tag { from, to: manifest.commit.clone() }));
    }
    // Made by hand, so it doesn't tell its tag: the draft that was to take its place does, or the one that gave way to it.
    let over = look.incoming.iter().filter_map(|draft| draft.marker.as_ref());
    let over = over.filter(|marker| marker.over == Some(live.release.id)).find_map(|marker| marker.over_tag.clone());
    let gave_way = || look.way_back(live).and_then(|(_, stamp)| stamp.by_tag.clone());
    let (Some(now), Some(to)) = (now, over.or_else(gave_way)) else { return Ok(None) };
    // Where somebody moved it by hand, and no run would have, it stays.
    let incoming = look.incoming.iter().filter_map(|draft| draft.marker.as_ref()?.commit.as_ref());
    let previous = look.stamped().filter_map(|(_, stamp)| stamp.commit.as_ref());
    let by_a_run = incoming.chain(previous).any(|commit| *commit == now.commit);
    if !by_a_run || now.object == to || !is_still_live(doors, live)? {
        return Ok(None);
    }
    Ok(Some(Heal::Tag { from, to }))
}

/// By its id: listings lag.
fn is_still_live(doors: Doors<'_>, live: &Live) -> anyhow::Result<bool> {
    match doors.release(live.release.id) {
        Ok(now) => Ok(!now.draft && now.tag_name == TAG),
        Err(error) if error.status() == Some(404) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn without_live(doors: Doors<'_>, look: &Look) -> anyhow::Result<Option<Heal>> {
    let stamped = look.newest_first();
    let Some((old, stamp)) = stamped.first() else { return never_replaced(doors, look) };

    let chosen = |release: &Release| release.id == stamp.by && release.id != old.release.id;
    if let Some(fallen) = look.fallen.iter().find(|release| chosen(release)) {
        return lost_its_tag(doors, fallen);
    }
    if let Some(draft) = look.incoming.iter().find(|draft| chosen(&draft.release))
        && let Some(found) = whole(doors, &draft.release)?
        && stamp.names(draft.release.id, Some(found.digest))
    {
        return Ok(Some(found.publish(&draft.release)));
    }
    // What was replaced before was chosen: by a rollback, or by a publish that staged its set there.
    if let Some((back, its)) = stamped.iter().find(|(draft, _)| chosen(&draft.release)) {
        match whole(doors, &back.release)? {
            Some(found) if !stamp.names(back.release.id, Some(found.digest)) => {}
            Some(found) if its.manifest.is_none_or(|own| own == found.digest) => return Ok(Some(was_live(back, its))),
            Some(found) => return Ok(Some(found.publish(&back.release))),
            // Made by hand, and taken as it is.
            None if its.manifest.is_none() && stamp.names(back.release.id, None) && is_by_hand(doors, back)? => {
                return Ok(Some(was_live(back, its)));
            }
            None => {}
        }
    }
    // Somebody made a `latest` by hand in place of the one that is stamped, and it lost its tag since.
    if let [fallen] = look.fallen.as_slice()
        && matches!(doors.release(stamp.by), Err(error) if error.refusal() == Some(404))
    {
        return lost_its_tag(doors, fallen);
    }
    Ok(Some(was_live(old, stamp)))
}

/// No stamp: nothing was ever replaced. A complete draft was chosen when the tag stands on it.
fn never_replaced(doors: Doors<'_>, look: &Look) -> anyhow::Result<Option<Heal>> {
    if let Some(fallen) = look.fallen.first() {
        return lost_its_tag(doors, fallen);
    }
    let Some(tag) = &look.tag else { return Ok(None) };
    for draft in &look.incoming {
        if let Some(found) = whole(doors, &draft.release)?
            && found.manifest.commit == tag.commit
        {
            return Ok(Some(found.publish(&draft.release)));
        }
    }
    Ok(None)
}

fn lost_its_tag(doors: Doors<'_>, fallen: &Release) -> anyhow::Result<Option<Heal>> {
    let assets = doors.assets(fallen.id)?;
    let commit = match look::read_manifest(&assets, |asset| doors.read_asset(asset))? {
        Some(manifest) => manifest.commit,
        // A draft that somebody began and that nobody ever saw.
        None if audit::images(&assets).is_empty() => return Ok(None),
        None => of_handmade(doors, fallen, &assets)?,
    };
    let face = Face {
        title: fallen.name.clone().unwrap_or_default(),
        notes: fallen.notes().to_owned(),
        prerelease: fallen.prerelease,
        badge: false,
    };
    let tag = TagRef { object: commit.clone(), commit };
    let why = Why::LostItsTag;
    Ok(Some(Heal::Publish { release: fallen.id, face: Box::new(face), tag: Some(tag), own: None, why }))
}

/// The commit of a release made by hand: that of the version which its notes name.
///
/// # Errors
///
/// Exit code 3: nothing tells, or it is no set that anybody would have published.
fn of_handmade(doors: Doors<'_>, fallen: &Release, assets: &[Asset]) -> anyhow::Result<String> {
    let by_hand = |why: &str| {
        failure::missing(format!(
            "release {} is a draft named {TAG}, as it becomes when somebody deletes the tag, and {why}; if it was live, make \
             the tag again (`git push URL COMMIT:refs/tags/{TAG}`) and publish it (`gh api --method PATCH \
             repos/{}/{}/releases/{} -f tag_name={TAG} -F draft=false -F prerelease={}`), else delete the draft",
            fallen.id,
            doors.repo().owner,
            doors.repo().name,
            fallen.id,
            fallen.prerelease
        ))
    };
    let images = audit::images(assets);
    if !images.iter().all(|image| assets.iter().any(|asset| asset.name == name::checksum(image))) {
        return Err(by_hand("it holds no whole set of images"));
    }
    let Some(version) = notes::points_to(fallen.notes()) else {
        return Err(by_hand("its notes don't say which version it stands for"));
    };
    doors.commit_of_tag(version)?.ok_or_else(|| by_hand("the version that its notes name has no tag"))
}

fn was_live(draft: &PreviousDraft, stamp: &Replaced) -> Heal {
    Heal::Publish {
        release: draft.release.id,
        face: Box::new(Face::before(&draft.release, stamp)),
        tag: tag_of(stamp),
        own: stamp.manifest,
        why: Why::WasLive,
    }
}

/// The tag that a replaced set had.
pub fn tag_of(stamp: &Replaced) -> Option<TagRef> {
    stamp.tag_object.clone().zip(stamp.commit.clone()).map(|(object, commit)| TagRef { object, commit })
}

/// A set that is all there.
struct Whole {
    manifest: Manifest,
    digest: Digest,
}

impl Whole {
    fn publish(self, release: &Release) -> Heal {
        let tag = TagRef { object: self.manifest.commit.clone(), commit: self.manifest.commit.clone() };
        Heal::Publish {
            release: release.id,
            face: Box::new(Face::ours(notes::text(&self.manifest))),
            tag: Some(tag),
            own: None,
            why: Why::Chosen { source: self.manifest.source },
        }
    }
}

/// The draft's manifest, if all that it names is there.
fn whole(doors: Doors<'_>, draft: &Release) -> anyhow::Result<Option<Whole>> {
    let assets = doors.assets(draft.id)?;
    let Ok(Some((manifest, digest))) = look::read(&assets, |asset| doors.read_asset(asset)) else { return Ok(None) };
    for expected in manifest.assets() {
        let asset = assets.iter().find(|asset| asset.name == expected.file);
        let right = match (prove::compare(&expected, asset), asset) {
            (None, _) => true,
            (Some(prove::Difference::Unknown), Some(asset)) => prove::digest(doors, asset)? == expected.sha256,
            _ => false,
        };
        if !right {
            return Ok(None);
        }
    }
    Ok(Some(Whole { manifest, digest }))
}

fn is_by_hand(doors: Doors<'_>, draft: &PreviousDraft) -> anyhow::Result<bool> {
    Ok(doors.assets(draft.release.id)?.iter().all(|asset| asset.name != manifest::FILE))
}

/// Does it.
pub fn heal(held: Held<'_>, heal: &Heal, tag: Option<&TagRef>) -> anyhow::Result<()> {
    match heal {
        Heal::Name { release, own } => {
            swap::restore(held, *release, *own)?;
            held.line(format_args!("{} of {TAG} is in its place again", manifest::FILE));
        }
        Heal::Tag { from, to } => {
            put_tag(held, from.as_deref(), &TagRef { object: to.clone(), commit: to.clone() })?;
            held.line(format_args!("tag {TAG} is back at {to}"));
        }
        Heal::Publish { release, face, tag: target, own, .. } => {
            own.map(|own| swap::restore(held, *release, own)).transpose()?;
            if let Some(target) = target
                && tag.is_none_or(|now| now.commit != target.commit)
            {
                put_tag(held, tag.map(|tag| tag.object.as_str()), target)?;
            }
            switch::publish_again(held, *release, face)?;
            held.line(format_args!("{TAG} is live again: release {release}"));
        }
    }
    Ok(())
}

fn put_tag(held: Held<'_>, from: Option<&str>, target: &TagRef) -> anyhow::Result<()> {
    let object = held.outside().bring(target)?;
    held.move_tag(from, &object)?;
    if let Err(error) = held.outside().set_local_tag(&object) {
        held.detail(format_args!("the local tag {TAG} does not follow: {error:#}"));
    }
    Ok(())
}

/// More than a run can leave behind.
const MOST: u32 = 4;

/// Heals until there is nothing to heal, and gives what is there then.
pub fn all(held: Held<'_>) -> anyhow::Result<Look> {
    let mut look = look::current(held.doors())?;
    for _ in 0..MOST {
        let Some(found) = plan(held.doors(), &look)? else { break };
        heal(held, &found, look.tag.as_ref())?;
        look = look::current(held.doors())?;
    }
    Ok(look)
}
