//! What can go wrong with one operation of one run: data, so that a plan can be printed, replayed and made smaller.

use std::fmt;

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
    /// From here on listings show for so long what is there now.
    Lag { lasting: u64 },
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
}

impl Fault {
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

/// A fault and where it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    pub run: usize,
    /// The run's operation, from 0.
    pub operation: u64,
    pub fault: Fault,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {} operation {}: {:?}", self.run, self.operation, self.fault)
    }
}
