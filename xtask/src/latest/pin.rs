//! Pinned sets: the name of a set that another replaces, and the proof that a set is complete. A set that was live stays as it is,
//! public as `images-<source>`. Publish, rollback and recovery prove a set here before it becomes live.

use crate::digest::Digest;
use crate::failure;
use crate::git::TagRef;
use crate::trust::Policy;

use super::client::Client;
use super::look::{Contents, Live, Look, Pinned};
use super::{PINNED, TAG, audit, lock, notes};

/// Where a set goes that is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The tag, such as `images-v0.44`.
    pub name: String,
    /// The commit for the tag: the manifest's, or where `latest` was; `None` where there is no tag either.
    pub commit: Option<String>,
    /// The tag is there already.
    pub is_there: bool,
}

impl Pin {
    /// Where the live set goes when a set of `next` takes its place.
    pub fn of(look: &Look, live: &Live, next: &str) -> Self {
        let (id, manifest) = (live.release.id, live.manifest.as_ref());
        let of_latest = || look.refs.tag.as_ref().map(|tag| tag.commit.clone());
        let commit = manifest.map(|manifest| manifest.commit.clone()).or_else(of_latest);
        let is_right = |name: &str| look.refs.pinned.get(name).map(|tag| Some(&tag.commit) == commit.as_ref());
        let own = own_name(live);
        let mut name = format!("{PINNED}{own}");
        let taken = look.pinned.iter().any(|set| set.release.tag_name == name && set.release.id != id);
        if own != id.to_string() && (taken || is_right(&name) == Some(false) || own == next) {
            name = format!("{name}-{id}");
        }
        let is_there = is_right(&name) == Some(true);
        Self { name, commit, is_there }
    }
}

/// What follows `images-` when a set is replaced, where nothing else has that name: the version of its manifest, else the version
/// in its notes, else the release's id.
fn own_name(live: &Live) -> String {
    let of_notes = || notes::points_to(live.release.notes());
    let source = live.manifest.as_ref().map_or_else(of_notes, |manifest| Some(manifest.source.as_str()));
    source.map_or_else(|| live.release.id.to_string(), str::to_owned)
}

/// Whether somebody can know the live set by this name, from when it was a pinned set.
pub fn was_named(live: &Live, name: &str) -> bool {
    let (own, name) = (own_name(live), name.strip_prefix(PINNED).unwrap_or(name));
    name == own || name == format!("{own}-{}", live.release.id)
}

/// Why a set can't become live.
#[derive(Debug)]
pub enum Unfit {
    /// It was deleted.
    Gone,
    /// It holds another set than before.
    Another,
    /// What differs, each naming its object.
    Broken(Vec<String>),
}

/// Proves a release's set: with the digest that its manifest must have, where that is known; `None` inside for a set made by
/// hand.
///
/// # Errors
///
/// GitHub doesn't answer.
pub fn prove(client: Client<'_>, id: u64, wanted: Option<Option<Digest>>) -> anyhow::Result<Result<Contents, Unfit>> {
    let release = match client.release(id) {
        Err(error) if error.refusal() == Some(404) => return Ok(Err(Unfit::Gone)),
        release => release?,
    };
    let set = Contents::read(client, release)?;
    if set.damaged.is_none() && wanted.is_some_and(|wanted| wanted != set.digest) {
        return Ok(Err(Unfit::Another));
    }
    let differences = audit::set(client, &set)?;
    Ok(if differences.is_empty() { Ok(set) } else { Err(Unfit::Broken(differences)) })
}

/// Whether the tag `latest` may go to a commit: one that the label's version has in the repository, or that a pinned set's
/// own tag is at. A manifest or a marker alone is text from outside.
///
/// # Errors
///
/// Exit code 4: neither is at that commit.
pub fn may_be_tagged(client: Client<'_>, look: &Look, source: Option<&str>, target: &TagRef) -> anyhow::Result<()> {
    if look.refs.tag.as_ref().is_some_and(|tag| tag.commit == target.commit)
        || look.refs.pinned.values().any(|tag| tag.commit == target.commit)
    {
        return Ok(());
    }
    if let Some(source) = source
        && client.commit_of_tag(source)?.as_ref() == Some(&target.commit)
    {
        return Ok(());
    }
    // Where a run of this tool took the tag away from.
    let from = lock::intent(client, look.refs.lock.as_deref())?.and_then(|intent| intent.tag_from);
    if from.is_some_and(|from| from.commit == target.commit) {
        return Ok(());
    }
    Err(failure::digest(format!(
        "the set names commit {}, but no version tag in {} is at that commit ({}); the tag {TAG} was not moved",
        target.commit,
        client.repo(),
        source.map_or_else(
            || "the set names no version".to_owned(),
            |source| format!("the tag {source} is missing or elsewhere")
        )
    )))
}

/// Whether a set that is to become live is signed, where somebody is named who signs.
///
/// # Errors
///
/// Exit code 4: none of them signed it.
pub fn is_signed(client: Client<'_>, policy: &Policy, set: &Contents) -> anyhow::Result<()> {
    let (_, warning) = policy.check(&format!("the set {}", set.release.tag_name), set.by_name(client))?;
    warning.iter().for_each(|warning| client.warn(warning));
    Ok(())
}

/// Finds the pinned set that somebody names by its tag or by its version.
///
/// # Errors
///
/// Exit code 3: there is none; what there is.
pub fn find<'l>(client: Client<'_>, look: &'l Look, name: &str) -> anyhow::Result<&'l Pinned> {
    let named = |set: &&Pinned| set.release.tag_name == name || set.release.tag_name == format!("{PINNED}{name}");
    if let Some(set) = look.pinned.iter().find(named) {
        return Ok(set);
    }
    let there: Vec<String> = look.pinned.iter().map(Pinned::describe).collect();
    let there =
        if there.is_empty() { "no pinned set is there".to_owned() } else { format!("there is {}", there.join(", ")) };
    Err(failure::missing(format!("no pinned set `{}` in {}; {there}", name.escape_debug(), client.repo())))
}
