//! The draft that a publish fills: created or taken over, and owned by one run at a time.

use std::time::Duration;

use anyhow::Context as _;

use crate::failure;
use crate::gh::{Asset, CallError, NewRelease, Release};

use super::INCOMING;
use super::doors::Doors;
use super::look::{self, IncomingDraft};
use super::marker::{self, Incoming};
use super::set::Set;

/// The draft of this run.
pub struct Stage<'a> {
    pub doors: Doors<'a>,
    pub release: Release,
    token: String,
    /// Made by this run a moment ago, so that nothing is on it.
    pub(super) is_new: bool,
}

/// How long a listing may lag behind what was created. Reported for seconds: <https://github.com/cli/cli/issues/6599>
const LAG: Duration = Duration::from_secs(15);

impl<'a> Stage<'a> {
    /// Creates the draft for this set.
    pub fn create(doors: Doors<'a>, set: &Set) -> anyhow::Result<Self> {
        let token = token(doors)?;
        let body = body(set, &token);
        let mut backoff = doors.backoff();
        loop {
            match doors.create_release(&draft(body.clone())) {
                Ok(release) => return Ok(Self { doors, release, token, is_new: true }),
                Err(error @ (CallError::Interrupted | CallError::NoLogin(_) | CallError::Local(_))) => {
                    return Err(error.into());
                }
                Err(error) => {
                    // The draft may have been made all the same, and be missing in listings for a while. A refusal made
                    // none.
                    let lost = error.status().is_none_or(|status| status >= 500);
                    if let Some(release) = lost.then(|| created(doors, &token)).transpose()?.flatten() {
                        return Ok(Self { doors, release, token, is_new: true });
                    }
                    backoff.wait("creating the draft", error)?;
                }
            }
        }
    }

    /// Makes a draft of the same set this run's own: from now on any other run that fills it ends.
    pub fn take_over(doors: Doors<'a>, set: &Set, draft_id: u64) -> anyhow::Result<Self> {
        // It may have gone live since the plan was made, and a PATCH would take it back.
        if !still_a_draft(doors, draft_id)? {
            return Err(failure::failed(format!(
                "another run dropped the draft {draft_id} since the plan was made; run again"
            )));
        }
        let token = token(doors)?;
        let release = doors.update_release(draft_id, &draft(body(set, &token)))?;
        let stage = Self { doors, release, token, is_new: false };
        stage.assert_own()?;
        Ok(stage)
    }

    /// Reads the draft again.
    ///
    /// # Errors
    ///
    /// It isn't this run's any more.
    pub fn assert_own(&self) -> anyhow::Result<()> {
        let now = self.doors.release(self.release.id);
        let lost = |what: &str| {
            failure::failed(format!(
                "{what}; nothing of this run is live. Look with `cargo xtask packer status`, then publish again"
            ))
        };
        match now {
            Err(error) if error.status() == Some(404) => Err(lost("another run dropped this run's draft")),
            Err(error) => Err(anyhow::Error::from(error)).context("reading the draft again"),
            Ok(now) if !now.draft => Err(lost("another run published this run's draft")),
            Ok(now) => match marker::read::<Incoming>(now.notes()) {
                Some(marker) if marker.token == self.token => Ok(()),
                _ => Err(lost("another run took over this run's draft")),
            },
        }
    }

    pub fn assets(&self) -> Result<Vec<Asset>, CallError> {
        self.doors.assets(self.release.id)
    }

    /// Removes one asset of the draft, if the draft is still this run's.
    pub fn remove(&self, asset: &Asset, why: &str) -> anyhow::Result<()> {
        self.assert_own()?;
        self.doors.note(format_args!("{}: removing what is on the draft: {why}", asset.name));
        Ok(self.doors.delete_asset(asset.id)?)
    }

    /// Drops the draft with all that it holds.
    pub fn discard(&self) -> anyhow::Result<()> {
        self.assert_own()?;
        Ok(self.doors.delete_release(self.release.id)?)
    }
}

/// Drops a draft with all that it holds. One that is gone already is no error.
///
/// # Errors
///
/// It was published meanwhile, and so is not for a plan to drop that was made before.
pub fn drop_draft(doors: Doors<'_>, id: u64) -> anyhow::Result<()> {
    if still_a_draft(doors, id)? { Ok(doors.delete_release(id)?) } else { Ok(()) }
}

/// `false` when it is gone.
fn still_a_draft(doors: Doors<'_>, id: u64) -> anyhow::Result<bool> {
    match doors.release(id) {
        Ok(now) if now.draft => Ok(true),
        Ok(_) => Err(failure::failed(format!(
            "release {id} was a draft when the plan was made and is published now, so it is left alone: another run was at work. \
             Look with `cargo xtask packer status`, then run again"
        ))),
        Err(error) if error.status() == Some(404) => Ok(false),
        Err(error) => Err(anyhow::Error::from(error).context(format!("reading the draft {id} again"))),
    }
}

/// The draft with this run's token, once a listing shows it.
fn created(doors: Doors<'_>, token: &str) -> Result<Option<Release>, CallError> {
    let until = doors.now() + LAG;
    loop {
        let found: Option<IncomingDraft> = look::incoming(doors)?
            .into_iter()
            .find(|draft| draft.marker.as_ref().is_some_and(|marker| marker.token == token));
        if let Some(draft) = found {
            return Ok(Some(draft.release));
        }
        if doors.now() >= until {
            return Ok(None);
        }
        doors.pause(Duration::from_secs(1))?;
    }
}

fn draft(body: String) -> NewRelease {
    NewRelease {
        tag_name: INCOMING.to_owned(),
        name: format!("{} (incoming)", super::TITLE),
        body,
        draft: true,
        prerelease: true,
        target: None,
    }
}

fn body(set: &Set, token: &str) -> String {
    let marker = Incoming { set: set.identity(), token: token.to_owned() };
    let text = format!("Becomes `latest` for {} when all of it is here. Don't publish it by hand.", set.source);
    marker::write(&text, &marker)
}

/// 32 random hex digits.
fn token(doors: Doors<'_>) -> anyhow::Result<String> {
    let bytes = doors.outside().random().context("drawing a run token")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
