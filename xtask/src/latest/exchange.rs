//! The two PATCHes of a switch, repeated until one of both releases is live.
//!
//! PATCH 1 gives the live release its pinned name, PATCH 2 publishes the new release as `latest`; if PATCH 2 is impossible, the
//! old release gets its name back. Reads lag, so a read only proves that a change was made: that the old release is live again is
//! proven by the answer to its own PATCH, or by reads long after PATCH 1 could last arrive. A failed read means "unknown".
//! `switch.rs` and `recover.rs` use it.

use std::time::Duration;

use crate::failure::{self, Advice as _};
use crate::gh::{CallError, NewRelease, Release};
use crate::repo::Repo;
use crate::suggest;

use super::TAG;
use super::face::Old;
use super::gap::Gap;
use super::held::Held;
use super::look::{LAG, is_live};
use super::session;
use super::switch::{self, Change};
use super::times::{self, GIVE_UP};

/// A pause between two attempts while GitHub names a limit.
const WHILE_LIMITED: Duration = Duration::from_secs(30);
/// A pause between two attempts.
const PAUSE: Duration = Duration::from_secs(2);

/// Exchanges the two; without an old release the new release becomes live. `hidden`: the old release becomes a draft, because
/// its tag could not be made.
///
/// # Errors
///
/// The old release stayed live or is live again, GitHub accepts neither, or somebody else published.
pub fn exchange(held: Held<'_>, change: &Change, hidden: bool) -> anyhow::Result<()> {
    // The last place where a signal ends the run; from the first PATCH on nothing waits for a renewal of the lock.
    held.lease().permit(held.client())?;
    let outside = held.outside();
    outside.hold_still(true);
    let gap = Gap::begins(outside, held.lease().clone(), by_hand(held.repo(), change.new, &change.face));
    let both = |old: &Old| (old.release.id, NewRelease { draft: hidden, ..old.pinned.clone() }, old.live.clone());
    let old = change.old.as_ref().map(both);
    let mut exchange = Exchange { held: held.trying_once(), change, old, gap: &gap, is: State::default() };
    exchange.set_freed(change.old.is_none());
    let ended = exchange.run();
    gap.ends(outside);
    held.lease().set_gap(None);
    outside.hold_still(false);
    if ended.is_ok() {
        name_the_old(held, change);
    }
    ended
}

struct Exchange<'a> {
    held: Held<'a>,
    change: &'a Change,
    /// The old release's id, as it is pinned, and as it was.
    old: Option<(u64, NewRelease, NewRelease)>,
    gap: &'a Gap,
    is: State,
}

#[derive(Default)]
struct State {
    /// The old release no longer has the name `latest`.
    freed: bool,
    /// The old release was without the name at some time.
    gave_way: bool,
    /// PATCH 1 was refused and is not sent again.
    kept: bool,
    /// The tag `latest` is where it was before.
    tag_is_back: bool,
    /// Until when a PATCH 1 without an answer may still arrive: the old release is not live for certain before that.
    may_arrive_until: Duration,
    /// When PATCH 1 was last answered with a refusal.
    refused_at: Duration,
    /// A release of somebody else that was seen on the tag, and since when.
    stranger: Option<(u64, Duration)>,
    /// What failed last, and what to do about it.
    failure: String,
    fix: Option<String>,
    waited_for_limit: bool,
}

impl Exchange<'_> {
    fn elapsed(&self) -> Duration {
        self.held.outside().elapsed()
    }

    fn run(mut self) -> anyhow::Result<()> {
        let started = self.elapsed();
        let mut round = 0;
        while self.elapsed().saturating_sub(started) < GIVE_UP {
            // PATCH 1 and 2 are tried twice at once; from then on the old release is the surer way.
            let mut restores = round > 0;
            if !self.is.freed && !self.is.kept && round < 2 {
                self.hide()?;
                if self.is.kept && !self.is.freed {
                    // The refusal may be a limit that lasts; the tag needs git alone.
                    restores = true;
                    self.is.tag_is_back = switch::tag_back(self.held, self.change);
                }
            }
            if self.is.freed {
                if std::mem::take(&mut self.is.tag_is_back) {
                    let before = self.change.tag.as_ref().map(|tag| tag.object.as_str());
                    self.held.move_tag(before, &self.change.target.object)?;
                }
                match self.show()? {
                    None => return Ok(()),
                    // Nothing was live before, so nothing is lost.
                    Some(error) if self.old.is_none() && !error.passes() => return Err(error.into()),
                    Some(error) => restores |= error.is_clear() && !error.passes(),
                }
            }
            if restores && self.restore()? {
                if self.is.tag_is_back || switch::tag_back(self.held, self.change) {
                    self.held.lease().is_in_order();
                }
                let old = if self.is.gave_way { "the old set is live again" } else { "the old set stays live" };
                let why = format!("publishing {TAG} failed, and {old}: {}", self.is.failure);
                let error = failure::failed(why);
                return Err(match self.is.fix {
                    Some(fix) => error.fix(fix),
                    None => error,
                });
            }
            self.somebody_else()?;
            round += 1;
            self.held.outside().sleep(PAUSE, false);
        }
        // The next run reads in the lock what this run meant to do.
        self.held.lease().stays();
        let state = if self.is.freed { "HAS NO RELEASE NOW" } else { "MAY HAVE NO RELEASE NOW" };
        let (minutes, why) = (GIVE_UP.as_secs() / 60, &self.is.failure);
        let again = suggest::command("publish --source TAG");
        let by_hand = |id: u64, release: &NewRelease| format!("`{}`", by_hand(self.held.repo(), id, release));
        let new = by_hand(self.change.new, &self.change.face);
        let old = self.old.as_ref().map(|(id, _, live)| format!("; the old set: {}", by_hand(*id, live)));
        let error = failure::failed(format!("{TAG} {state}: for {minutes} minutes GitHub accepted neither set: {why}"));
        let old = old.unwrap_or_default();
        Err(error.fix(format_args!("run {again} from any clone, or by hand: {new}{old}")))
    }

    /// Notes whether the old release is without the name `latest`: then nothing is live.
    fn set_freed(&mut self, freed: bool) {
        if freed == self.is.freed {
            return;
        }
        self.is.freed = freed;
        self.is.gave_way |= freed;
        self.held.lease().set_gap(freed.then(|| self.elapsed()));
    }

    /// Sends a PATCH once. The release in GitHub's answer, and why it isn't what was asked for.
    fn patch(&self, id: u64, wanted: &NewRelease) -> anyhow::Result<(Option<Release>, Option<CallError>)> {
        Ok(match self.held.once(|outside, how, permit| outside.update_release(how, permit, id, wanted))? {
            Ok(now) if wanted.is(&now) => (Some(now), None),
            Ok(now) => {
                let why = format!("GitHub answered, and release {id} is not what was asked for");
                (Some(now), Some(CallError::Lost(why)))
            }
            Err(error) => (None, Some(error)),
        })
    }

    fn failed(&mut self, what: &str, error: &CallError) {
        (self.is.failure, self.is.fix) = (format!("{what}: {error}"), error.fix());
        self.gap.blocked_by(&self.is.failure, error);
    }

    /// Waits for the end of a limit that GitHub names: each request before that prolongs it.
    fn wait_for_limit(&mut self, error: &CallError) {
        if let Some(limit) = error.retry_after() {
            let at_most = if self.is.waited_for_limit { WHILE_LIMITED } else { GIVE_UP / 2 };
            self.held.outside().sleep(limit.min(at_most), false);
            self.is.waited_for_limit = true;
        }
    }

    /// PATCH 1. It is done when the old release has another name, or is a draft.
    fn hide(&mut self) -> anyhow::Result<()> {
        let Some((id, pinned, _)) = self.old.clone() else { return Ok(()) };
        let may_arrive_until = self.elapsed() + times::ARRIVES;
        let before = std::mem::replace(&mut self.is.may_arrive_until, may_arrive_until);
        let (answer, error) = self.patch(id, &pinned)?;
        if let Some(now) = &answer {
            self.is.may_arrive_until = before;
            self.set_freed(!is_live(now));
        }
        let Some(error) = error else { return Ok(()) };
        self.failed("pinning the live release", &error);
        if error.is_clear() {
            // A proxy may have sent the request twice: done first, then refused. A read shows it.
            (self.is.may_arrive_until, self.is.refused_at) = (before, self.elapsed());
        }
        if !self.is.freed {
            self.look_at_old(id)?;
        }
        // Not waiting for a limit here: the tag is on the new set already, and the old set is still live.
        let is_meant = error.is_clear() && !error.passes();
        if !self.is.freed && (is_meant || error.retry_after().is_some()) {
            match &mut self.old {
                // Publishing it under its tag is refused: try a hidden draft.
                Some((_, pinned, _)) if !pinned.draft && is_meant => {
                    pinned.draft = true;
                    return self.hide();
                }
                _ => self.is.kept = true,
            }
        }
        Ok(())
    }

    /// Reads the old release by its id. Whether it is live; `None` if that is unknown.
    fn look_at_old(&mut self, id: u64) -> anyhow::Result<Option<bool>> {
        match self.held.release(id) {
            Ok(now) => self.set_freed(!is_live(&now)),
            Err(error) if error.refusal() == Some(404) => self.set_freed(true),
            Err(error) => {
                self.failed("reading the release that was live", &error);
                return Ok(None);
            }
        }
        Ok(Some(!self.is.freed))
    }

    /// PATCH 2. `None`: the new release is live; else why it is not.
    fn show(&mut self) -> anyhow::Result<Option<CallError>> {
        let id = self.change.new;
        let (_, Some(error)) = self.patch(id, &self.change.face)? else { return Ok(None) };
        self.failed("publishing the new release", &error);
        // The release was a draft until now, so a read that shows it live is not an old state.
        if self.held.release(id).is_ok_and(|now| is_live(&now)) {
            return Ok(None);
        }
        self.wait_for_limit(&error);
        Ok(Some(error))
    }

    /// Gives the old release its name back. Whether it is live for certain: its own answer says so after PATCH 1 can no longer
    /// arrive.
    fn restore(&mut self) -> anyhow::Result<bool> {
        let Some((id, _, live)) = self.old.clone() else { return Ok(false) };
        loop {
            while !self.is.freed && self.is.may_arrive_until > self.elapsed() {
                // When PATCH 1 arrives after this run ended, nothing is live.
                self.gap.set(|state| state.may_arrive_until = self.is.may_arrive_until);
                self.held.outside().sleep(PAUSE, false);
                if self.look_at_old(id)? == Some(false) {
                    return Ok(false);
                }
            }
            let is_last = self.is.may_arrive_until <= self.elapsed();
            let (answer, error) = self.patch(id, &live)?;
            if answer.as_ref().is_some_and(is_live) {
                self.set_freed(false);
                if is_last {
                    return Ok(true);
                }
                continue;
            }
            if let Some(error) = error {
                self.failed("restoring the release that was live", &error);
                if self.is.freed {
                    self.wait_for_limit(&error);
                }
            }
            return if self.is.freed { Ok(false) } else { self.stayed(id) };
        }
    }

    /// Whether the old release was live all the time: reads show it live until long after PATCH 1 could last arrive.
    fn stayed(&mut self, id: u64) -> anyhow::Result<bool> {
        let until = self.is.may_arrive_until.max(self.is.refused_at) + LAG;
        loop {
            match self.look_at_old(id)? {
                Some(false) => return Ok(false),
                Some(true) if self.elapsed() >= until => return Ok(true),
                None if self.elapsed() >= until + LAG => return Ok(false),
                _ => self.held.outside().sleep(PAUSE, false),
            }
        }
    }

    /// # Errors
    ///
    /// A third release is on the tag for longer than a read lags.
    fn somebody_else(&mut self) -> anyhow::Result<()> {
        let ours = |id| id == self.change.new || self.old.as_ref().is_some_and(|(old, ..)| *old == id);
        let live = self.held.release_by_tag(TAG).ok().flatten().map(|live| live.id).filter(|id| !ours(*id));
        let seen = self.is.stranger.filter(|(id, _)| Some(*id) == live);
        self.is.stranger = seen.or(live.map(|id| (id, self.elapsed())));
        let Some((id, since)) = seen else { return Ok(()) };
        if self.elapsed().saturating_sub(since) > LAG && self.held.release(id).is_ok_and(|now| is_live(&now)) {
            return Err(session::changed(format_args!(
                "somebody else published {TAG}: release {id} is live, and this run's release is not"
            )));
        }
        Ok(())
    }
}

/// Gives a replaced release that became a draft and kept the name `latest` its pinned name, and reports its state.
fn name_the_old(held: Held<'_>, change: &Change) {
    let Some(old) = &change.old else { return };
    let id = old.release.id;
    let pinned = NewRelease { draft: true, ..old.pinned.clone() };
    let named = held.change(
        format_args!("naming the release {id}"),
        || Ok(Some(held.release(id)?).filter(|now| !now.draft || now.tag_name != TAG)),
        |outside, how, permit| Ok(Some(outside.update_release(how, permit, id, &pinned)?).filter(|now| pinned.is(now))),
    );
    match named {
        Ok(now) => {
            let how = if now.draft { "a hidden draft" } else { "public" };
            held.note(format_args!("the previous set is {how}: {} (release {id})", now.tag_name));
        }
        Err(error) => held.warn(format_args!("reading the previous set, release {id}, failed: {error:#}")),
    }
}

/// The command that makes a release live.
pub fn by_hand(Repo { host, owner, name }: &Repo, id: u64, release: &NewRelease) -> String {
    let (prerelease, latest) = (release.prerelease, release.make_latest());
    format!(
        "gh api --hostname {host} --method PATCH repos/{owner}/{name}/releases/{id} -f tag_name={TAG} -F draft=false \
         -F prerelease={prerelease} -f make_latest={latest}"
    )
}
