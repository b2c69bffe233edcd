//! The change of places: the tag with a lease, then two PATCHes. GitHub offers no atomic swap, so `latest` lacks a
//! release between the two; nothing waits there, signals included.
//!
//! Whoever stops after the tag was moved puts it back, with a lease on what it pushed, and only while the old release is
//! the one that is live.

use std::time::Duration;

use anyhow::Context as _;

use crate::failure;
use crate::gh::{NewRelease, Release};
use crate::git::{Pushed, TagRef};

use super::doors::Doors;
use super::marker::{self, Replaced};
use super::{PREVIOUS, TAG, TITLE};

/// What is to take the place of what.
#[derive(Debug, Clone)]
pub struct Change {
    /// The live release, as it was when the plan was made.
    pub old: Option<Release>,
    /// The tag on the remote, as it was then.
    pub tag: Option<TagRef>,
    /// The draft that becomes live.
    pub draft: u64,
    /// Its notes then.
    pub notes: String,
    /// What the tag is to point to.
    pub target: TagRef,
}

/// GitHub ends a request of its own after 10 s; a call between the two halves is not waited for any longer.
pub const CALL: Duration = Duration::from_secs(12);
/// How often publishing and restoring are tried in turn before a person must type the commands.
const ROUNDS: u32 = 100;
const READ_BACK: Duration = Duration::from_secs(30);

/// Moves tag and release. `own` says whether the draft is still this run's.
pub fn change(doors: Doors<'_>, change: &Change, own: impl Fn() -> anyhow::Result<()>) -> anyhow::Result<()> {
    own()?;
    assert_unchanged(doors, change)?;
    doors.check()?;
    bring_object(doors, change.tag.as_ref());
    let moved = move_tag(doors, change)?;
    if moved {
        doors.note(format_args!("tag {TAG} moved to {}", change.target.commit));
    }
    let flipped = doors.check().and_then(|()| flip(doors, change));
    if let Err(error) = flipped {
        if moved {
            put_tag_back(doors, change);
        }
        return Err(error);
    }
    follow(doors, change)
}

/// Moves the tag alone: the release that is live stays. Whether it had to be moved.
pub fn move_tag_only(doors: Doors<'_>, change: &Change) -> anyhow::Result<bool> {
    assert_unchanged(doors, change)?;
    doors.check()?;
    bring_object(doors, change.tag.as_ref());
    move_tag(doors, change)
}

/// Reads back what is live; the local tag follows.
pub fn follow(doors: Doors<'_>, change: &Change) -> anyhow::Result<()> {
    read_back(doors.deaf(), change).with_context(|| {
        format!("{TAG} was switched, but reading it back failed; look with `cargo xtask packer verify`")
    })?;
    if let Err(error) = doors.outside().set_local_tag(&change.target.object) {
        doors.warn(format_args!("the local tag {TAG} does not follow: {error:#}"));
    }
    Ok(())
}

/// Has the tag point to `target`.
pub fn set_tag(doors: Doors<'_>, seen: Option<&TagRef>, target: &TagRef) -> anyhow::Result<()> {
    if seen.is_some_and(|seen| seen.object == target.object) {
        return Ok(());
    }
    let object = doors.outside().bring(target)?;
    match doors.push_tag(&object, seen.map(|seen| seen.object.as_str()))? {
        Pushed::Moved | Pushed::Already => Ok(()),
        Pushed::Stale => {
            Err(failure::failed(format!("tag {TAG} on the remote moved meanwhile: another run is at work; run again")))
        }
    }
}

/// # Errors
///
/// Release or tag isn't what the plan was made from.
pub fn assert_unchanged(doors: Doors<'_>, change: &Change) -> anyhow::Result<()> {
    let lost = |what: String| {
        failure::failed(format!(
            "{what} since the plan was made, so nothing was switched; look with `cargo xtask packer status`, then run again"
        ))
    };
    match &change.old {
        Some(old) => {
            let now = doors.release(old.id);
            match now {
                Err(error) if error.status() == Some(404) => return Err(lost(format!("release {TAG} was deleted"))),
                Err(error) => return Err(error.into()),
                Ok(now) if !now.is_still(old) => return Err(lost(format!("release {TAG} changed"))),
                Ok(_) => {}
            }
        }
        None => {
            if doors.release_by_tag(TAG)?.is_some() {
                return Err(lost(format!("another run published {TAG}")));
            }
        }
    }
    let tag = doors.remote_tag()?;
    if tag != change.tag {
        let shown = |tag: &Option<TagRef>| tag.as_ref().map_or_else(|| "nothing".to_owned(), |tag| tag.object.clone());
        return Err(lost(format!("tag {TAG} moved from {} to {}", shown(&change.tag), shown(&tag))));
    }
    Ok(())
}

/// Has the object here that the tag points to now, so that it can be put back. Best effort: without it the commit is.
fn bring_object(doors: Doors<'_>, tag: Option<&TagRef>) {
    if let Some(tag) = tag {
        let _ = doors.outside().bring(tag);
    }
}

/// Whether this run moved it: not when it was there already.
fn move_tag(doors: Doors<'_>, change: &Change) -> anyhow::Result<bool> {
    let seen = change.tag.as_ref().map(|tag| tag.object.as_str());
    let target = change.target.object.as_str();
    if seen == Some(target) {
        return Ok(false);
    }
    let rival = || {
        failure::failed(format!(
            "tag {TAG} on the remote moved while this run was under way: another publish is running; nothing was switched"
        ))
    };
    match doors.push_tag(target, seen) {
        Ok(Pushed::Moved) => Ok(true),
        // It wasn't there a moment ago, and git checks no lease when the value pushed is there already.
        Ok(Pushed::Already | Pushed::Stale) => Err(rival()),
        Err(error) => {
            match doors.remote_tag() {
                // The answer was lost, the work was done.
                Ok(Some(now)) if now.object == target => Ok(true),
                _ => Err(error.context(format!(
                    "moving tag {TAG} on the remote; is it protected by a rule? Nothing was switched"
                ))),
            }
        }
    }
}

/// The two PATCHes.
fn flip(doors: Doors<'_>, change: &Change) -> anyhow::Result<()> {
    let steady = doors.steady(CALL);
    if let Some(old) = &change.old {
        hide(doors, steady, old, change)?;
    }
    let new = NewRelease {
        tag_name: TAG.to_owned(),
        name: TITLE.to_owned(),
        body: change.notes.clone(),
        draft: false,
        prerelease: true,
        target: Some(change.target.commit.clone()),
    };
    show(doors, steady, change.draft, &new, change.old.as_ref())
}

/// PATCH 1: the live release becomes the draft `latest-previous`. Until it is done the old set stays live, so failing
/// and waiting are harmless; as soon as it may be done, nothing waits.
fn hide(doors: Doors<'_>, steady: Doors<'_>, old: &Release, change: &Change) -> anyhow::Result<()> {
    let stamp = Replaced {
        by: change.draft,
        tag_object: change.tag.as_ref().map(|tag| tag.object.clone()),
        commit: change.tag.as_ref().map(|tag| tag.commit.clone()),
        at: humantime::format_rfc3339_seconds(doors.outside().wall_clock()).to_string(),
    };
    let hidden = NewRelease {
        tag_name: PREVIOUS.to_owned(),
        name: format!("{TITLE} (previous)"),
        body: marker::write(old.notes(), &stamp),
        draft: true,
        prerelease: old.prerelease,
        target: None,
    };
    let mut backoff = doors.backoff();
    loop {
        let Err(error) = steady.update_release(old.id, &hidden) else { return Ok(()) };
        match reread(steady, old.id) {
            // Hidden, or unknown: what comes next finds out.
            None => return Ok(()),
            Some(now) if now.draft => return Ok(()),
            Some(_) => backoff.wait(format!("taking {TAG} back to a draft"), error)?,
        }
    }
}

/// A release as it is now, asked at once and again if need be; `None` when nobody answers.
fn reread(steady: Doors<'_>, id: u64) -> Option<Release> {
    (0..3).find_map(|_| steady.release(id).ok())
}

fn is_live(release: &Release) -> bool {
    !release.draft && release.tag_name == TAG
}

/// PATCH 2: a draft becomes live. If that can't be, what was live before becomes so again; the two are tried in turn.
pub fn show(
    doors: Doors<'_>,
    steady: Doors<'_>,
    draft: u64,
    new: &NewRelease,
    old: Option<&Release>,
) -> anyhow::Result<()> {
    let mut last = None;
    for round in 0..ROUNDS {
        let Err(error) = steady.update_release(draft, new) else { return Ok(()) };
        if reread(steady, draft).is_some_and(|now| is_live(&now)) {
            return Ok(());
        }
        if error.name_taken() {
            match steady.release_by_tag(TAG) {
                Ok(Some(live)) if live.id == draft => return Ok(()),
                Ok(Some(live)) if old.is_some_and(|old| old.id == live.id) => {
                    return Err(failure::failed(format!(
                        "{TAG} could not be taken back to a draft; the old set is live: {error}"
                    )));
                }
                Ok(Some(_)) => {
                    return Err(failure::failed(format!(
                        "another run published {TAG} first; its set is live, this one stays a draft"
                    )));
                }
                Ok(None) | Err(_) => {}
            }
        }
        doors.note(format_args!("publishing {TAG}: attempt {} failed: {error}", round + 1));
        // Once more at once; from then on the old set is the surer way.
        if round > 0 || !error.passes() {
            if let Some(old) = old {
                if restore(steady, old) {
                    return Err(failure::failed(format!(
                        "publishing {TAG} failed and the old set is live again: {error}"
                    )));
                }
            } else if round + 1 >= doors.attempts() || !error.passes() {
                // Nothing was live before, so nobody waits.
                return Err(error.into());
            }
            let _ = steady.pause(Duration::from_millis(u64::from(round) * 500).min(Duration::from_secs(2)));
        }
        last = Some(error);
    }
    let repo = doors.repo();
    let command = |id: u64, tag: &str| {
        format!(
            "gh api --hostname {} --method PATCH repos/{}/{}/releases/{id} -f tag_name={tag} -F draft=false -F prerelease=true -f make_latest=false",
            repo.host, repo.owner, repo.name
        )
    };
    let back = old.map(|old| format!("\nor the old set again:\n  {}", command(old.id, TAG))).unwrap_or_default();
    let last = last.map(|error| error.to_string()).unwrap_or_default();
    Err(failure::failed(format!(
        "{TAG} HAS NO RELEASE NOW, and GitHub takes neither the new nor the old one ({last}).\n\
         `cargo xtask packer publish` from any clone mends it. By hand, the new set:\n  {}{back}",
        command(draft, TAG)
    )))
}

/// Makes the old release what it was. Whether it is.
fn restore(steady: Doors<'_>, old: &Release) -> bool {
    let was = NewRelease {
        tag_name: old.tag_name.clone(),
        name: old.name.clone().unwrap_or_default(),
        body: old.notes().to_owned(),
        draft: false,
        prerelease: old.prerelease,
        target: None,
    };
    steady.update_release(old.id, &was).is_ok() || reread(steady, old.id).is_some_and(|now| is_live(&now))
}

/// After a stop: the tag goes back to where it was, unless somebody else's set is live by now.
pub fn put_tag_back(doors: Doors<'_>, change: &Change) {
    let deaf = doors.deaf();
    let ours_to_undo = match &change.old {
        Some(old) => deaf.release(old.id).map(|now| is_live(&now)),
        None => deaf.release_by_tag(TAG).map(|live| live.is_none()),
    };
    match ours_to_undo {
        Ok(true) => {}
        Ok(false) => return,
        Err(error) => {
            doors.warn(format_args!("can't see what is live ({error}); putting tag {TAG} back all the same"));
        }
    }
    let pushed = change.target.object.as_str();
    let result = match &change.tag {
        None => doors.push_tag("", Some(pushed)),
        // An old tag object that git can't bring here any more still has its commit.
        Some(tag) => doors.push_tag(&tag.object, Some(pushed)).or_else(|_| doors.push_tag(&tag.commit, Some(pushed))),
    };
    match result {
        Ok(Pushed::Moved | Pushed::Already) => doors.note(format_args!("tag {TAG} put back")),
        Ok(Pushed::Stale) => doors.note(format_args!("tag {TAG} was moved by another run meanwhile and stays there")),
        Err(error) => {
            let was = change.tag.as_ref().map_or("", |tag| &tag.object);
            doors.warn(format_args!(
                "tag {TAG} could not be put back: {error:#}\n  by hand: git push --force-with-lease=refs/tags/{TAG}:{pushed} origin {was}:refs/tags/{TAG}"
            ));
        }
    }
}

/// Looks as a stranger would. Listings lag, so one stale answer undoes nothing.
fn read_back(doors: Doors<'_>, change: &Change) -> anyhow::Result<()> {
    let until = doors.now() + READ_BACK;
    loop {
        match doors.release_by_tag(TAG) {
            Ok(Some(live)) if live.id == change.draft => break,
            _ if doors.now() < until => doors.pause(Duration::from_secs(1))?,
            _ => {
                let by_id = doors.release(change.draft)?;
                if !is_live(&by_id) {
                    return Err(failure::failed(format!(
                        "{TAG} was published, but is not live now: another run changed it"
                    )));
                }
                doors.warn(format_args!("{TAG} is published; looking it up by its tag still gives another answer"));
                break;
            }
        }
    }
    // A rival that stopped may have put the tag back after this set went live.
    if let Some(now) = doors.remote_tag()?.filter(|now| now.commit != change.target.commit) {
        doors.note(format_args!("tag {TAG} was moved to {} meanwhile; moving it to the live set again", now.commit));
        doors.push_tag(&change.target.object, Some(&now.object))?;
    }
    Ok(())
}
