//! The change of places: the tag, then two PATCHes. GitHub offers no atomic swap, so `latest` lacks a release between the
//! two; nothing waits there that needn't, signals and the terminal included.
//!
//! Whoever stops here is put right by [`super::heal`]: by this run before it ends, or by the next one.

use std::time::Duration;

use anyhow::Context as _;

use crate::console::{count, seconds};
use crate::failure;
use crate::gh::{CallError, NewRelease};
use crate::git::TagRef;
use crate::image::digest::Digest;
use crate::typed;

use super::TAG;
use super::face::{Face, Old};
use super::held::Held;
use super::lease;

/// What is to take the place of what.
#[derive(Debug, Clone)]
pub struct Change {
    /// What is live, as it was when the plan was made.
    pub old: Option<Old>,
    /// The object of the tag then.
    pub tag: Option<String>,
    /// The draft that becomes live, and its manifest's digest.
    pub new: u64,
    pub manifest: Option<Digest>,
    pub face: Face,
    /// What the tag is to point to.
    pub target: TagRef,
}

/// How long publishing and restoring are tried in turn before a person must type the commands.
const GAP: Duration = lease::GIVE_UP;
/// A pause between two tries while GitHub names a limit.
const SLOWLY: Duration = Duration::from_secs(30);
/// A pause between two tries.
const BREATH: Duration = Duration::from_secs(2);
/// While the first call may still be done, the release is looked at so often: nothing is live from then on.
const GLANCE: Duration = Duration::from_secs(5);
const READ_BACK: Duration = Duration::from_secs(30);
/// Fewer requests than this are not enough for a switch and its reading back.
const ENOUGH: u64 = 30;

/// Moves tag and release. `ready` says whether the draft is still what it was.
pub fn change(held: Held<'_>, change: &Change, ready: impl Fn() -> anyhow::Result<()>) -> anyhow::Result<()> {
    ready()?;
    assert_unchanged(held, change)?;
    has_budget(held)?;
    held.check()?;
    if held.move_tag(change.tag.as_deref(), &change.target.object)? {
        held.note(format_args!("tag {TAG} moved to {}", change.target.commit));
    }
    is_where_readers_look(held, change)?;
    held.check()?;
    flip(held, change)?;
    follow(held, change)
}

/// Moves the tag alone: the release that is live stays.
pub fn move_tag_only(held: Held<'_>, change: &Change) -> anyhow::Result<()> {
    assert_unchanged(held, change)?;
    held.check()?;
    held.move_tag(change.tag.as_deref(), &change.target.object)?;
    is_where_readers_look(held, change)
}

/// What is live is read back; the local tag follows.
pub fn follow(held: Held<'_>, change: &Change) -> anyhow::Result<()> {
    read_back(held.deaf(), change).with_context(|| {
        format!("{TAG} was switched, but reading it back failed; look with {}", typed::line("verify"))
    })?;
    if let Err(error) = held.outside().set_local_tag(&change.target.object) {
        held.warn(format_args!("the local tag {TAG} does not follow: {error:#}"));
    }
    Ok(())
}

/// # Errors
///
/// Release or tag isn't what the plan was made from.
pub fn assert_unchanged(held: Held<'_>, change: &Change) -> anyhow::Result<()> {
    let lost = |what: String| {
        failure::failed(format!(
            "{what} since the plan was made, so nothing was switched; look with {}, then run again",
            typed::line("status")
        ))
    };
    match &change.old {
        Some(old) => match held.release(old.release.id) {
            Err(error) if error.status() == Some(404) => return Err(lost(format!("release {TAG} was deleted"))),
            Err(error) => return Err(error.into()),
            Ok(now) if !now.is_still(&old.release) => return Err(lost(format!("release {TAG} changed"))),
            Ok(_) => {}
        },
        None => {
            if held.release_by_tag(TAG)?.is_some() {
                return Err(lost(format!("another run published {TAG}")));
            }
        }
    }
    let tag = held.refs()?.tag.map(|tag| tag.object);
    if tag != change.tag {
        let shown = |tag: Option<String>| tag.unwrap_or_else(|| "nothing".to_owned());
        return Err(lost(format!("tag {TAG} moved from {} to {}", shown(change.tag.clone()), shown(tag))));
    }
    Ok(())
}

/// A limit that is hit between the two calls is waited out with nothing live: asked before.
fn has_budget(held: Held<'_>) -> anyhow::Result<()> {
    match held.budget() {
        Ok(budget) if budget.remaining < ENOUGH => Err(failure::failed(format!(
            "GitHub takes only {} for the next {} s, too few for a switch; nothing was switched, run again then",
            count(budget.remaining, "more request"),
            budget.renews_in.as_secs()
        ))),
        Ok(_) => Ok(()),
        Err(error) => {
            held.detail(format_args!("how many requests are left is not told: {error}"));
            Ok(())
        }
    }
}

/// The tag was pushed to one address, and readers look at another: they must be the same repository.
fn is_where_readers_look(held: Held<'_>, change: &Change) -> anyhow::Result<()> {
    let seen = is_seen(held, &change.target);
    if seen.is_err() {
        tag_back(held, change);
    }
    seen
}

fn is_seen(held: Held<'_>, target: &TagRef) -> anyhow::Result<()> {
    let until = held.now() + READ_BACK;
    loop {
        let there = held.commit_of_tag(TAG)?;
        if there.as_ref() == Some(&target.commit) {
            return Ok(());
        }
        if held.now() >= until {
            return Err(failure::failed(format!(
                "tag {TAG} was pushed to {}, and {} shows it at {}: the address of the push is another repository; nothing was switched, see --git-url",
                target.commit,
                held.repo(),
                there.unwrap_or_else(|| "nothing".to_owned())
            )));
        }
        held.pause(Duration::from_secs(1))?;
    }
}

/// The two PATCHes.
fn flip(held: Held<'_>, change: &Change) -> anyhow::Result<()> {
    let outside = held.outside();
    // Here a signal still ends it; from the first call on nothing waits for a renewal.
    held.lease().permit(held.doors())?;
    outside.hold_still(true);
    let hidden = hide(held.steady(), change).or_else(|error| late(held, change, error));
    let shown = match &hidden {
        Ok(Hidden::Yes) => {
            held.lease().gap_begins(outside);
            let shown = show(held.steady(), change);
            held.lease().gap_ends();
            shown
        }
        _ => Ok(Shown::New),
    };
    outside.hold_still(false);
    match hidden? {
        Hidden::Yes => match shown? {
            Shown::New => Ok(()),
            Shown::Old(why) => {
                tag_back(held, change);
                Err(failure::failed(format!(
                    "publishing {TAG} failed: {why}; the old set is live again, run the same command again"
                )))
            }
        },
        Hidden::Refused(why) => {
            tag_back(held, change);
            Err(anyhow::Error::from(why).context(format!("taking {TAG} back to a draft; the old set stays live")))
        }
    }
}

/// The old set is live for certain, so its tag goes back at once: what refused may be a limit that lasts, and this needs
/// git alone. Of a set made by hand nobody else knows it.
fn tag_back(held: Held<'_>, change: &Change) {
    let Some(tag) = &change.tag else { return };
    if *tag == change.target.object {
        // It never moved.
        held.lease().is_in_order();
        return;
    }
    match held.deaf().move_tag(Some(&change.target.object), tag) {
        Ok(_) => {
            held.lease().is_in_order();
            held.line(format_args!("tag {TAG} is back at {tag}"));
        }
        Err(error) => held.warn(format_args!("the tag {TAG} could not be put back yet: {error:#}")),
    }
}

/// What PATCH 1 came to.
enum Hidden {
    Yes,
    /// GitHub refused: it is not done, and won't be.
    Refused(CallError),
}

/// PATCH 1: the live release becomes the draft `latest-previous`. Until it is done the old set stays live, so giving up is
/// harmless, and a limit isn't waited out here: the tag stands on the new set already.
fn hide(held: Held<'_>, change: &Change) -> anyhow::Result<Hidden> {
    let Some(old) = &change.old else { return Ok(Hidden::Yes) };
    let hidden = old.hidden(held, change);
    let mut last = None;
    let mut unread = None;
    let until = held.now() + GAP;
    for _ in 0..3 {
        match held.once(|outside, how, permit| outside.update_release(how, permit, old.release.id, &hidden))? {
            Ok(now) if hidden.is(&now) => return Ok(Hidden::Yes),
            Ok(_) => {}
            Err(error) if last.is_none() && error.is_clear() && (!error.passes() || error.retry_after().is_some()) => {
                // Something on the way may have sent it twice: then the first is done, and the second was refused.
                return Ok(match held.release(old.release.id) {
                    Ok(now) if now.draft => Hidden::Yes,
                    _ => Hidden::Refused(error),
                });
            }
            Err(error) => last = Some(error),
        }
        // Whether it is done must be known before anything else is.
        let now = loop {
            match held.release(old.release.id) {
                Ok(now) => break now,
                Err(error) if held.now() < until => unread = Some(error),
                Err(error) => return Err(error.into()),
            }
            held.outside().sleep(BREATH, false);
        };
        if now.draft {
            return Ok(Hidden::Yes);
        }
        if last.as_ref().is_some_and(|error| !error.passes() || error.retry_after().is_some()) {
            break;
        }
        held.outside().sleep(BREATH, false);
    }
    let why = last.or(unread).unwrap_or(CallError::Lost("GitHub answered, and did nothing".to_owned()));
    Err(anyhow::Error::from(why).context(format!("taking {TAG} back to a draft; the old set stays live")))
}

/// What PATCH 1 comes to after all: an attempt that had no answer may arrive late, and then nothing would be live with nobody
/// there. Until then the old set is, so a signal is heeded.
fn late(held: Held<'_>, change: &Change, error: anyhow::Error) -> anyhow::Result<Hidden> {
    let outside = held.outside();
    let may_come = || held.lease().unclear_for(outside).filter(|_| !held.lease().is_lost());
    let (Some(old), Some(left)) = (&change.old, may_come()) else { return Err(error) };
    let watch = || {
        while let Some(left) = may_come() {
            if held.release(old.release.id).is_ok_and(|now| now.draft) {
                return Ok(true);
            }
            held.pause(left.min(GLANCE))?;
        }
        Ok::<_, CallError>(held.release(old.release.id)?.draft)
    };
    held.note(format_args!("taking {TAG} back to a draft may still be done; watching it for {}", seconds(left)));
    outside.hold_still(false);
    let hidden = watch();
    outside.hold_still(true);
    match hidden {
        Ok(true) => Ok(Hidden::Yes),
        Ok(false) => Err(error),
        Err(unread) => Err(anyhow::Error::from(unread).context(format!(
            "taking {TAG} back to a draft had no answer, and may still be done; look with {}, then run the same command again",
            typed::line("status")
        ))),
    }
}

/// What PATCH 2 came to.
enum Shown {
    New,
    /// What was live before is so again, since the new one couldn't be.
    Old(String),
}

/// PATCH 2: the draft becomes live. If that can't be, what was live before becomes so again; the two are tried in turn.
fn show(held: Held<'_>, change: &Change) -> anyhow::Result<Shown> {
    let new = change.face.live();
    let restored = change.old.as_ref().map(|old| (old.release.id, old.live()));
    let started = held.outside().elapsed();
    let mut last = String::new();
    let mut waited_out = false;
    let mut round = 0;
    while held.outside().elapsed().saturating_sub(started) < GAP {
        // Once more at once; from then on the old set is the surer way.
        let tries = [Some((change.new, &new)), restored.as_ref().filter(|_| round > 0).map(|(id, old)| (*id, old))];
        for (id, wanted) in tries.into_iter().flatten() {
            let sent = held.once(|outside, how, permit| outside.update_release(how, permit, id, wanted))?;
            let live = match &sent {
                Ok(now) if wanted.is(now) => Some(id),
                // Another's answer, none, or one that isn't what was asked for: what is live says what is so.
                _ => live_now(held, change),
            };
            match live {
                Some(live) if live == change.new => return Ok(Shown::New),
                Some(live) if restored.as_ref().is_some_and(|(old, _)| *old == live) => return Ok(Shown::Old(last)),
                Some(_) => {
                    return Err(failure::failed(format!(
                        "somebody else published {TAG}; that set is live, this one stays a draft: look with {}",
                        typed::line("status")
                    )));
                }
                None => {}
            }
            if let Err(error) = sent {
                last = error.to_string();
                if restored.is_none() && !error.passes() {
                    // Nothing was live before, so nobody waits.
                    return Err(error.into());
                }
                if let Some(limit) = error.retry_after() {
                    // Named by GitHub, and waited out once; asking into it more often makes it longer.
                    held.outside().sleep(limit.min(if waited_out { SLOWLY } else { GAP / 2 }), false);
                    waited_out = true;
                }
            }
        }
        round += 1;
        held.outside().sleep(BREATH, false);
    }
    Err(stranded(held, change, &last))
}

/// The release that is live, of those two or another; `None`: nothing is, or nobody knows.
fn live_now(held: Held<'_>, change: &Change) -> Option<u64> {
    let two: Vec<u64> = [change.new].into_iter().chain(change.old.as_ref().map(|old| old.release.id)).collect();
    let is_live = |id: &u64| held.release(*id).is_ok_and(|now| !now.draft && now.tag_name == TAG);
    two.iter().copied().find(is_live).or_else(|| {
        // What is found by its tag may be what was there before: of those two their ids have told.
        held.release_by_tag(TAG).ok().flatten().map(|live| live.id).filter(|id| !two.contains(id))
    })
}

fn stranded(held: Held<'_>, change: &Change, last: &str) -> anyhow::Error {
    let repo = held.repo();
    let command = |id: u64, wanted: &NewRelease| {
        format!(
            "gh api --hostname {} --method PATCH repos/{}/{}/releases/{id} -f tag_name={TAG} -F draft=false -F prerelease={} -f make_latest={}",
            repo.host,
            repo.owner,
            repo.name,
            wanted.prerelease,
            wanted.make_latest()
        )
    };
    let old = change.old.as_ref().map(|old| command(old.release.id, &old.live()));
    let back = old.map(|command| format!("\nor the old set again:\n  {command}"));
    failure::failed(format!(
        "{TAG} HAS NO RELEASE NOW, and GitHub takes neither the new nor the old one ({last}).\n\
         {} from any clone mends it. By hand, the new set:\n  {}{}",
        typed::line("publish --source TAG"),
        command(change.new, &change.face.live()),
        back.unwrap_or_default()
    ))
}

/// Looks as a stranger would. Listings lag, so one stale answer undoes nothing.
fn read_back(held: Held<'_>, change: &Change) -> anyhow::Result<()> {
    let until = held.now() + READ_BACK;
    loop {
        match held.release_by_tag(TAG) {
            Ok(Some(live)) if live.id == change.new => return Ok(()),
            _ if held.now() < until => held.pause(Duration::from_secs(1))?,
            _ => {
                let by_id = held.release(change.new)?;
                if by_id.draft || by_id.tag_name != TAG {
                    return Err(failure::failed(format!(
                        "{TAG} was published, but is not live now: somebody changed it; look with {}",
                        typed::line("status")
                    )));
                }
                held.warn(format_args!("{TAG} is published; looking it up by its tag still gives another answer"));
                return Ok(());
            }
        }
    }
}

/// Makes a draft live where nothing is.
pub fn publish_again(held: Held<'_>, id: u64, face: &Face) -> anyhow::Result<()> {
    let new = face.live();
    held.update_release(format_args!("publishing {TAG}"), id, &new, |now| {
        if !now.draft && now.tag_name == TAG {
            return Ok(false);
        }
        match held.release_by_tag(TAG)? {
            None => Ok(true),
            Some(live) => Err(failure::failed(format!("release {} is live by now; run again", live.id))),
        }
    })
    .map(drop)
}
