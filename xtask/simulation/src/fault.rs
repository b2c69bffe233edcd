//! What can go wrong with one operation of one run: data, so that a plan can be printed, replayed and made smaller.

use std::fmt;

use xtask::latest::TAG;

use crate::outside::Ask;

/// Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The run's process is killed before it sends this.
    Kill,
    /// It is killed when it has sent this, which is served so much later.
    KillAfterSending { served: u64 },
    /// Refused, nothing is done: a limit with `Retry-After` in seconds.
    Limit { status: u16, retry_after: Option<u64> },
    /// From here on all that changes something is refused for so long, with a `Retry-After` that is right.
    Limited { lasting: u64 },
    /// Refused, nothing is done.
    Refuse { status: u16 },
    /// The connection breaks, nothing is done.
    Lost,
    /// It is done, and the answer is lost at once.
    AnswerLost,
    /// It is done so long after it was sent; whoever asked may have given up by then.
    Late { served: u64 },
    /// Done now, and once more so much later, before it is answered.
    Twice { again: u64 },
    /// Neither done nor answered.
    Never,
    /// GitHub answers the publishing of a draft with a success whose release is a draft that lost its tag.
    DraftInstead,
    /// The draft that this is to publish is refused, now and for good.
    NeverLive,
    /// Stored with another byte.
    Corrupt,
    /// Stored, and GitHub gives no digest.
    NoDigest,
    /// An upload ends with 502 and leaves a broken asset.
    Starter,
    /// From here on listings and what is found by a tag show for so long what is there now.
    Lag { lasting: u64 },
    /// From here on releases read by their ids show for so long what is there now.
    LagById { lasting: u64 },
    /// The machine sleeps before this is sent, after it was decided.
    Nap { lasting: u64 },
    /// The person's signal arrives.
    Signal,
    /// From here on GitHub can't be reached for so long.
    NoHub { lasting: u64 },
    /// From here on the repository can't be reached by git for so long.
    NoGit { lasting: u64 },
    /// What the run prints blocks for so long.
    Blocked { lasting: u64 },
    /// The clock on the wall goes back so far.
    ClockBack { by: u64 },
    /// Somebody deletes the lock, as `git push --mirror` from another clone does.
    LockDeleted,
    /// Somebody writes a line below the notes of what is live, on GitHub's page.
    NotesEdited,
    /// The images folder changes before the run looks again.
    FolderChanged,
    /// The repository refuses the tags of pinned sets.
    NoPins,
    /// Somebody deletes the tag `latest`, so that its release becomes a draft.
    TagDeleted,
    /// Somebody moves the tag `latest` to another commit.
    TagMoved,
    /// Somebody deletes the release that is live.
    LiveDeleted,
    /// Somebody publishes a set made by hand as `latest`, if nothing is.
    PublishedByHand,
    /// Somebody writes a line below the notes of the newest set that was replaced.
    PinnedEdited,
}

impl Fault {
    /// Whether somebody does by hand what changes what readers see, or a set.
    pub fn is_of_a_person(&self) -> bool {
        matches!(
            self,
            Self::TagDeleted | Self::TagMoved | Self::LiveDeleted | Self::PublishedByHand | Self::PinnedEdited
        )
    }

    /// Whether it comes to the run or the world, and not to a request.
    pub fn is_of_the_machine(&self) -> bool {
        !matches!(
            self,
            Self::Limit { .. }
                | Self::Refuse { .. }
                | Self::Lost
                | Self::AnswerLost
                | Self::Late { .. }
                | Self::Twice { .. }
                | Self::Never
                | Self::DraftInstead
                | Self::NeverLive
                | Self::Corrupt
                | Self::NoDigest
                | Self::Starter
                | Self::KillAfterSending { .. }
        )
    }
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The push that takes or renews the lock alone.
    Lock,
    /// The push that makes the tag of a pinned set.
    PinsTag,
    /// The push that moves the tag `latest`.
    MovesTag,
    Creates,
    Uploads,
    Deletes,
    /// PATCH 1: the live release gets its pinned name.
    Hides,
    /// A PATCH after which a release is live under the name `latest`: PATCH 2, or the old set again, or a label.
    Publishes,
    /// Any other read or change.
    Other,
}

impl Kind {
    pub fn of(ask: &Ask) -> Self {
        match ask {
            Ask::Push(push) => match &push.tag {
                None => Self::Lock,
                Some((name, _)) if name == TAG => Self::MovesTag,
                Some(_) => Self::PinsTag,
            },
            Ask::Create(_) => Self::Creates,
            Ask::Upload { .. } => Self::Uploads,
            Ask::Delete(_) | Ask::DeleteAsset(_) => Self::Deletes,
            Ask::Update(_, new) if new.tag_name == TAG && !new.draft => Self::Publishes,
            Ask::Update(..) => Self::Hides,
            _ => Self::Other,
        }
    }
}

/// Where a fault comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the run's operation of this number, from 0.
    Number(u64),
    /// At the run's request of this kind and number, from 0.
    Of(Kind, u64),
}

/// A fault and where it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    pub run: usize,
    pub place: Place,
    pub fault: Fault,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {} at {:?}: {:?}", self.run, self.place, self.fault)
    }
}
