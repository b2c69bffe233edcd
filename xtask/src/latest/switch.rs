//! The switch: first the tags move, then two PATCHes exchange the live release and the next. GitHub has no atomic exchange, so
//! `latest` has no release between the two; signals and the terminal wait meanwhile. A run that ends early is recovered by
//! [`super::recover`], at its own end or by the next run. Used by publish, rollback and recovery.

use crate::digest::Digest;
use crate::failure::{self, Advice as _};
use crate::gh::{NewRelease, Release};
use crate::git::TagRef;
use crate::suggest;
use crate::text::count;

use super::TAG;
use super::exchange;
use super::face::Old;
use super::held::Held;
use super::lock::Intent;
use super::look::{self, Look};
use super::session;

/// What takes the place of what.
#[derive(Debug, Clone)]
pub struct Change {
    /// What is live, as it was when the plan was made.
    pub old: Option<Old>,
    /// The tag then.
    pub tag: Option<TagRef>,
    /// The release that becomes live.
    pub new: u64,
    /// That release, live.
    pub face: NewRelease,
    /// What the tag is to point to.
    pub target: TagRef,
}

impl Change {
    /// `new` with this manifest takes the place of what is live.
    pub fn of(look: &Look, new: u64, manifest: Option<Digest>, face: NewRelease, target: TagRef) -> Self {
        let old = look.live.as_ref().map(|live| Old::of(live, look, new, manifest, &face));
        Self { old, tag: look.refs.tag.clone(), new, face, target }
    }
}

/// A switch and its reading back need up to this many requests.
const ENOUGH: u64 = 30;

/// Moves tags and releases. `ready` checks that the release that becomes live is still what it was.
pub fn change(held: Held<'_>, change: &Change, ready: impl Fn() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let hidden = change.old.as_ref().map(|old| pin(held, old)).transpose()?.unwrap_or_default();
    ready()?;
    assert_unchanged(held, change, object(change.tag.as_ref()))?;
    held.lease().intends(Intent {
        hide: change.old.as_ref().map(|old| old.release.id),
        show: change.new,
        tag_from: change.tag.clone(),
        tag_to: change.target.object.clone(),
    });
    held.check()?;
    if held.move_tag(object(change.tag.as_ref()), &change.target.object)? {
        held.note(format_args!("tag {TAG} moved to {}", change.target.commit));
    }
    let seen = is_where_readers_look(held, &change.target)
        .and_then(|()| assert_unchanged(held, change, Some(&change.target.object)))
        .and_then(|()| has_budget(held))
        .and_then(|()| held.check());
    if let Err(error) = seen {
        if tag_back(held, change) {
            held.lease().is_in_order();
        }
        return Err(error);
    }
    exchange::exchange(held, change, hidden)?;
    follow(held, change)
}

/// Makes the tag under which the replaced release is published. Whether that release must be hidden instead, because GitHub
/// refuses the tag.
fn pin(held: Held<'_>, old: &Old) -> anyhow::Result<bool> {
    let pin = &old.pin;
    if pin.is_there {
        return Ok(false);
    }
    held.check()?;
    let commit = pin.commit.as_ref().ok_or_else(|| failure::failed("its commit is unknown"));
    let refused = match commit.and_then(|commit| held.outside().bring(&TagRef::lightweight(commit))) {
        Err(error) => format!("{error:#}"),
        Ok(commit) => match held.lease().pin(held.client(), &pin.name, &commit)? {
            Some(refused) => refused,
            None if shows(held, &pin.name, &commit)?.is_ok() => return Ok(false),
            None => "GitHub does not show it".to_owned(),
        },
    };
    held.note(format_args!(
        "creating the tag {} failed, so the previous set is kept as a hidden draft: {refused}",
        pin.name
    ));
    Ok(true)
}

fn object(tag: Option<&TagRef>) -> Option<&str> {
    tag.map(|tag| tag.object.as_str())
}

/// Moves the tag alone: the live release stays.
pub fn move_tag_only(held: Held<'_>, from: Option<&TagRef>, target: &TagRef) -> anyhow::Result<()> {
    held.check()?;
    held.move_tag(object(from), &target.object)?;
    is_where_readers_look(held, target)
}

/// Release and both tags are read back; the local tag follows.
fn follow(held: Held<'_>, change: &Change) -> anyhow::Result<()> {
    read_back(held.ignoring_signals(), change).map_err(|error| {
        let (_, fix) = failure::message_and_fix(&error);
        let error = error.context(format!("{TAG} is switched, but reading it back failed"));
        if fix.is_some() { error } else { error.fix(format_args!("run {}", suggest::command("verify"))) }
    })?;
    held.lease().is_in_order();
    set_local_tag(held, &change.target.object);
    Ok(())
}

/// The tag in this clone follows: best effort.
pub fn set_local_tag(held: Held<'_>, object: &str) {
    if let Err(error) = held.outside().set_local_tag(object) {
        held.detail(format_args!("moving the local tag {TAG} failed: {error:#}"));
    }
}

/// # Errors
///
/// Release or tag isn't what the plan was made from.
fn assert_unchanged(held: Held<'_>, change: &Change, tag: Option<&str>) -> anyhow::Result<()> {
    let lost = match &change.old {
        Some(old) => match held.release(old.release.id) {
            Err(error) if error.status() == Some(404) => Some("the live release was deleted".to_owned()),
            Err(error) => return Err(error.into()),
            Ok(now) => (!now.is_still(&old.release)).then(|| "the live release changed".to_owned()),
        },
        None => held.release_by_tag(TAG)?.map(|_| format!("another run published {TAG}")),
    };
    let what = match (lost, held.refs()?.tag.map(|tag| tag.object)) {
        (Some(lost), _) => lost,
        (None, there) if there.as_deref() == tag => return Ok(()),
        (None, there) => {
            let shown = |tag: Option<&str>| tag.unwrap_or("nothing").to_owned();
            format!("the tag {TAG} moved from {} to {}", shown(tag), shown(there.as_deref()))
        }
    };
    Err(session::changed(format_args!("{what} since the plan was made, so nothing was switched")))
}

/// A limit between the two PATCHes would leave nothing live until it ends, so the number of requests left is read before.
fn has_budget(held: Held<'_>) -> anyhow::Result<()> {
    match held.budget() {
        Ok(budget) if budget.remaining < ENOUGH => Err(failure::failed(format!(
            "GitHub accepts only {} in the next {} s, and a switch needs up to {ENOUGH}; nothing was switched",
            count(budget.remaining, "more request"),
            budget.renews_in.as_secs()
        ))
        .fix("run the same command again after that time")),
        Ok(_) => Ok(()),
        Err(error) => {
            held.detail(format_args!("reading the number of requests left failed: {error}"));
            Ok(())
        }
    }
}

/// Waits until GitHub's API shows a tag at a commit; else where the API shows it.
fn shows(held: Held<'_>, tag: &str, commit: &str) -> anyhow::Result<Result<(), Option<String>>> {
    let mut there = None;
    let shown = held.until_shown(|| {
        there = held.commit_of_tag(tag)?;
        Ok((there.as_deref() == Some(commit)).then_some(()))
    })?;
    Ok(shown.ok_or(there))
}

/// The address of the push and the repository that readers use must be the same.
fn is_where_readers_look(held: Held<'_>, target: &TagRef) -> anyhow::Result<()> {
    let Err(there) = shows(held, TAG, &target.commit)? else { return Ok(()) };
    let (there, repo) = (there.unwrap_or_else(|| "nothing".to_owned()), held.repo());
    Err(failure::failed(format!(
        "the tag {TAG} was pushed to {}, and {repo} shows it at {there}: the push went to another repository; nothing was switched",
        target.commit
    ))
    .fix("give the address of the repository with --git-url"))
}

/// Puts the tag back where the set that stays live has it. Whether the tag is there.
pub fn tag_back(held: Held<'_>, change: &Change) -> bool {
    let Some(tag) = change.tag.as_ref().filter(|tag| tag.object != change.target.object) else { return true };
    match held.ignoring_signals().move_tag(Some(&change.target.object), &tag.object) {
        Ok(_) => held.line(format_args!("tag {TAG} is back at {}", tag.object)),
        Err(error) => {
            held.warn(format_args!("moving the tag {TAG} back failed: {error:#}"));
            return false;
        }
    }
    true
}

/// Looks as a reader would. Listings lag, so one stale answer undoes nothing.
fn read_back(held: Held<'_>, change: &Change) -> anyhow::Result<()> {
    let is_new = |live: Option<Release>| live.filter(|live| live.id == change.new);
    if held.until_shown(|| Ok(held.release_by_tag(TAG).ok().and_then(is_new)))?.is_none() {
        if !look::is_live(&held.release(change.new)?) {
            return Err(failure::failed(format!("{TAG} was published and is not live now: somebody changed it")));
        }
        held.warn(format_args!("{TAG} is published; GitHub still shows another release by that tag"));
    }
    let refs = held.refs()?;
    if let Some(Old { pin, .. }) = &change.old
        && let Some(there) = refs.pinned.get(&pin.name).filter(|there| Some(&there.commit) != pin.commit.as_ref())
    {
        let commit = pin.commit.as_deref().unwrap_or("any known commit");
        let (name, there) = (&pin.name, &there.commit);
        held.warn(format_args!("the tag {name} is at {there} and not at {commit}: somebody moved it; it stays there"));
    }
    // GitHub makes a deleted tag anew, at the default branch, when its release is published.
    let there = refs.tag.map(|tag| tag.object);
    if there.as_deref() == Some(change.target.object.as_str()) {
        return Ok(());
    }
    held.warn(format_args!(
        "the tag {TAG} is at {}, not at the commit of the set: somebody changed it during the switch; moving it back",
        there.as_deref().unwrap_or("nothing")
    ));
    held.move_tag(there.as_deref(), &change.target.object)?;
    is_where_readers_look(held, &change.target)
}
