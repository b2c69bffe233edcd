//! Reads that lag: for a while GitHub answers them from a copy that lacks the last changes, while the answers to changes are current.

use std::sync::Arc;

use super::{Refusal, Repo};
use crate::model::Release;

/// Which reads lag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Listings, of releases and of assets, and the lookup by tag.
    Listings,
    /// A release by its id.
    ById,
}

/// What reads show in the place of what is there. `Until` is when that ends, in the time of whoever asks.
#[derive(Clone, Debug)]
pub struct Lag<Until> {
    listings: Option<(Until, Arc<[Release]>)>,
    by_id: Option<(Until, Arc<[Release]>)>,
}

impl<Until> Default for Lag<Until> {
    /// Nothing lags.
    fn default() -> Self {
        Self { listings: None, by_id: None }
    }
}

impl<Until> Lag<Until> {
    /// From now on these reads show what is there now. A view that is older and isn't over stays, with the new end.
    pub fn begin(&mut self, reads: Reads, repo: &Repo, until: Until, is_over: impl Fn(&Until) -> bool) {
        let older = self.view(reads).as_ref().filter(|(until, _)| !is_over(until)).map(|(_, view)| Arc::clone(view));
        let view = older.unwrap_or_else(|| repo.releases.as_slice().into());
        *(match reads {
            Reads::Listings => &mut self.listings,
            Reads::ById => &mut self.by_id,
        }) = Some((until, view));
    }

    /// The releases as these reads show them, the oldest first.
    pub fn shown<'a>(&'a self, reads: Reads, repo: &'a Repo, is_over: impl Fn(&Until) -> bool) -> &'a [Release] {
        match self.view(reads) {
            Some((until, view)) if !is_over(until) => view,
            _ => &repo.releases,
        }
    }

    /// A release, also a draft, as reading it by its id shows it.
    ///
    /// # Errors
    /// 404 without one, and for one that is newer than what is shown.
    pub fn release<'a>(
        &'a self,
        repo: &'a Repo,
        id: u64,
        is_over: impl Fn(&Until) -> bool,
    ) -> Result<&'a Release, Refusal> {
        let shown = self.shown(Reads::ById, repo, is_over);
        shown.iter().find(|it| it.id == id).ok_or_else(Refusal::not_found)
    }

    fn view(&self, reads: Reads) -> &Option<(Until, Arc<[Release]>)> {
        match reads {
            Reads::Listings => &self.listings,
            Reads::ById => &self.by_id,
        }
    }
}
