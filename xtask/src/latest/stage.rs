//! The release that a set is staged on: a draft that was made for it, the one that was replaced last, or, for a set whose
//! images stay, the one that is live. The lock says that it is this run's.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::failure;
use crate::gh::{Asset, CallError, NewRelease, Release};
use crate::typed;

use super::held::Held;
use super::look::{self, Look};
use super::marker::{self, Incoming};
use super::naming::{self, Named};
use super::set::Set;
use super::stock::Stock;
use super::swap;
use super::{INCOMING, PREVIOUS, TAG};

/// The release of this run.
pub struct Stage<'a> {
    pub held: Held<'a>,
    pub release: Release,
    on: On,
    /// What lay there when the plan was made, and what vouches for it.
    pub stock: Stock,
    /// The assets of the set by the names that they are to have.
    placed: Mutex<BTreeMap<String, u64>>,
    /// When this run made it: nothing is on it then, and for a while it may not be found by its id.
    made_at: Option<Duration>,
}

/// What a set is staged on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    Incoming,
    Previous,
    Live,
}

impl On {
    fn holds(self, now: &Release) -> bool {
        match self {
            Self::Incoming => now.draft && now.tag_name == INCOMING,
            Self::Previous => now.draft && now.tag_name == PREVIOUS,
            Self::Live => !now.draft && now.tag_name == TAG,
        }
    }
}

/// How long a listing may lag behind what was created. Reported for seconds: <https://github.com/cli/cli/issues/6599>
const LAG: Duration = Duration::from_secs(15);

impl<'a> Stage<'a> {
    /// Creates the draft for this set.
    pub fn create(held: Held<'a>, set: &Set, look: &Look) -> anyhow::Result<Self> {
        let marker = Incoming {
            set: set.identity(),
            commit: Some(set.commit.clone()),
            over: look.live.as_ref().map(|live| live.release.id),
            over_tag: look.tag.as_ref().map(|tag| tag.object.clone()),
        };
        let text = format!("Becomes `latest` for {} when all of it is here. Don't publish it by hand.", set.source);
        let draft = NewRelease {
            tag_name: INCOMING.to_owned(),
            name: format!("{} (incoming)", super::TITLE),
            body: marker::write(&text, &marker),
            draft: true,
            prerelease: true,
            badge: false,
        };
        let mut asked = false;
        let release = held.change(
            "creating the draft",
            || {
                // The plan's own look found none. After that: it may have been made all the same, and be missing in
                // listings for a while.
                if std::mem::replace(&mut asked, true) { made(held, &marker) } else { Ok(None) }
            },
            |outside, how, permit| {
                let made = outside.create_release(how, permit, &draft)?;
                Ok(draft.is(&made).then_some(made))
            },
        )?;
        let made_at = Some(held.now());
        Ok(Self { made_at, ..Self::new(held, release, On::Incoming, Stock::of_draft(Vec::new(), [])) })
    }

    /// Goes on with a release that is there.
    pub fn go_on(held: Held<'a>, release: u64, on: On, stock: Stock) -> anyhow::Result<Self> {
        // What gave its files their names may have been sent twice.
        held.settle()?;
        let stage = Self::new(held, held.release(release)?, on, stock);
        stage.is_still(&stage.release)?;
        Ok(stage)
    }

    fn new(held: Held<'a>, release: Release, on: On, stock: Stock) -> Self {
        Self { held, release, on, stock, placed: Mutex::default(), made_at: None }
    }

    /// Reads the release again.
    ///
    /// # Errors
    ///
    /// It isn't any more what it was.
    pub fn look_again(&self) -> anyhow::Result<()> {
        match self.once_known(|| self.held.release(self.release.id)) {
            Ok(now) => self.is_still(&now),
            Err(error) if error.status() == Some(404) => Err(self.gone("deleted")),
            Err(error) => Err(anyhow::Error::from(error).context("reading the draft again")),
        }
    }

    fn is_still(&self, now: &Release) -> anyhow::Result<()> {
        if self.on.holds(now) { Ok(()) } else { Err(self.gone("changed")) }
    }

    fn gone(&self, what: &str) -> anyhow::Error {
        let id = self.release.id;
        if self.on == On::Live {
            return failure::failed(format!("release {TAG} was {what} by somebody else; run again"));
        }
        failure::failed(format!(
            "the draft {id} was {what} by somebody else; nothing of this run is live; look with {}, then publish again",
            typed::line("status")
        ))
    }

    pub fn assets(&self) -> Result<Vec<Asset>, CallError> {
        self.once_known(|| self.held.assets(self.release.id))
    }

    /// What lies on it now.
    pub fn stock_now(&self) -> Result<Stock, CallError> {
        Ok(self.stock.with(self.assets()?))
    }

    /// Whether "not found" can be said of it although it is there.
    /// Reported for seconds: <https://github.com/softprops/action-gh-release/issues/760>
    pub(super) fn may_be_late(&self, error: &CallError) -> bool {
        let fresh = self.made_at.is_some_and(|made| self.held.now().saturating_sub(made) < LAG);
        fresh && error.refusal() == Some(404)
    }

    fn once_known<T>(&self, ask: impl Fn() -> Result<T, CallError>) -> Result<T, CallError> {
        loop {
            match ask() {
                Err(error) if self.may_be_late(&error) => self.held.pause(Duration::from_secs(1))?,
                answer => return answer,
            }
        }
    }

    /// Which asset is to have a name.
    pub fn place(&self, file: &str, asset: u64) {
        self.placed.lock().unwrap_or_else(PoisonError::into_inner).insert(file.to_owned(), asset);
    }

    pub fn placed(&self) -> BTreeMap<String, u64> {
        self.placed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Removes an asset that can't be used, if it is one on its way in: what has a name of its own is set aside at most.
    pub fn remove(&self, asset: &Asset, why: &str) -> anyhow::Result<()> {
        if !matches!(Named::of(asset), Named::New { .. }) {
            self.held.note(format_args!("{}: not used: {why}", asset.name));
            return Ok(());
        }
        self.look_again()?;
        self.held.note(format_args!("{}: removing what is on the draft: {why}", asset.name));
        self.held.delete_asset(&self.release, asset)
    }

    /// The set takes its names, in renames that take seconds; what has them is set aside, and so is what is `spare`.
    pub fn swap(&self, held: Held<'_>, spare: impl Fn(&Asset) -> bool) -> anyhow::Result<()> {
        // Nothing had a name before on a draft that this run made.
        let assets = if self.made_at.is_some() { self.assets()? } else { look::now(held.doors(), self.release.id)?.1 };
        let placed = self.placed();
        if let Some((file, _)) = placed.iter().find(|(_, id)| assets.iter().all(|asset| asset.id != **id)) {
            return Err(failure::failed(format!(
                "{file} was proven on the release {}, and is not listed there any more; no file has another name yet, run again",
                self.release.id
            )));
        }
        swap::rename(held, &self.release, &assets, &swap::swap(&assets, &placed, spare))
    }

    /// Drops a draft that was made for this set with all that it holds.
    pub fn discard(&self) -> anyhow::Result<()> {
        if self.on == On::Incoming { drop_incoming(self.held, self.release.id) } else { Ok(()) }
    }
}

/// Drops a draft that a publish was to fill.
pub fn drop_incoming(held: Held<'_>, id: u64) -> anyhow::Result<()> {
    held.delete_draft(id, |now| now.tag_name == INCOMING)
}

/// Deletes what is of no use on a release whose set is in place: what was set aside, and what is still on its way.
pub fn clear(held: Held<'_>, release: u64, but: impl Fn(&Asset) -> bool) -> anyhow::Result<()> {
    let (release, assets) = look::now(held.doors(), release)?;
    if naming::aside(&assets).is_some() {
        return Ok(());
    }
    for asset in naming::spare(&assets).filter(|asset| !but(asset)) {
        held.delete_asset(&release, asset)?;
    }
    Ok(())
}

/// Waits until listings don't show any more what [`clear`] deleted: it would be taken for a part of what is staged there next.
pub fn wait_until_cleared(held: Held<'_>, release: u64, but: impl Fn(&Asset) -> bool) -> anyhow::Result<()> {
    look::caught_up(held.doors(), format_args!("assets of release {release} that were deleted"), || {
        let assets = held.assets(release)?;
        Ok((naming::aside(&assets).is_some() || naming::spare(&assets).all(&but)).then_some(()))
    })
}

/// The draft with this marker, once a listing shows it; of two the fuller.
fn made(held: Held<'_>, marker: &Incoming) -> anyhow::Result<Option<Release>> {
    let until = held.now() + LAG;
    loop {
        let drafts = look::incoming(held.doors())?.into_iter();
        let ours = drafts.filter(|draft| draft.marker.as_ref().is_some_and(|there| there.set == marker.set));
        if let Some(draft) = ours.max_by_key(|draft| draft.release.assets.len()) {
            return Ok(Some(draft.release));
        }
        if held.now() >= until {
            return Ok(None);
        }
        held.pause(Duration::from_secs(1))?;
    }
}
