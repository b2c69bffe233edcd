//! What can go wrong with one request.

use std::time::Duration;

/// What goes wrong with one request.
///
/// Unless it says otherwise a fault given at [`Moment::Before`] means that nothing of the request's work is done; the same
/// fault at [`Moment::After`] replaces the answer to work that is done. Those about a body's arrival or a listing mean nothing then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answers with this status and GitHub's JSON around `message`, without waiting for the body.
    Status { status: u16, message: String, headers: Vec<(String, String)> },
    /// Takes the whole body and answers 502. An upload can leave an empty asset in the state `starter`, which holds the name.
    BadGateway { leave_starter: bool },
    /// Too many requests; `retry_after` is in seconds.
    RateLimited { limit: Limit, retry_after: Option<u64> },
    /// Closes the connection before it reads a byte of the body.
    DropBeforeBody,
    /// Closes the connection once this many bytes of the body are read. See [`crate::Settings::broken_upload`].
    DropMidBody { after: u64 },
    /// Does the work and closes the connection without an answer.
    DropAfterWork,
    /// Goes on only after a while.
    Stall { at: StallPoint, lasting: Lasting },
    /// Stores the upload with its first byte changed. The digest is that of what is stored.
    CorruptUpload,
    /// The same, and the asset gets no digest: only reading it back shows it.
    CorruptUploadUnseen,
    /// The asset that this request uploads gets no digest.
    NullDigest,
    /// Does the work, but listings and the lookup by tag show for a while what was there before it. Reading by id doesn't.
    StaleListing { lasting: Lasting },
    /// Does the work, but reading a release by its id shows for a while what was there before it. Listings and the lookup by tag don't.
    StaleById { lasting: Lasting },
    /// Announces the whole answer and closes the connection after this many bytes of its body.
    TruncateAnswer { after: u64 },
    /// Answers 200 with a page of HTML, as a proxy does that has something to say.
    Html,
    /// Makes or changes a release and says so, but leaves it a draft, whatever was asked: nanvix#1511,
    /// svenstaro/upload-release-action#99.
    StaysDraft,
    /// Makes a release which is 404 by its id for a while: softprops/action-gh-release#760. Listings show it.
    LateById { lasting: Lasting },
    /// Gives the bytes of an asset itself, 200, where a redirect to them is usual.
    DirectBytes,
    /// Does the work, then this replaces the answer or ends the connection.
    Afterwards(Box<Fault>),
    /// All of these, such as a stall and a refusal after it. Of two that are answers the first counts.
    All(Vec<Fault>),
}

impl Fault {
    /// An answer as GitHub words it, such as `(401, "Bad credentials")`, which for once says nothing about the token.
    pub fn status(status: u16, message: &str) -> Self {
        Self::Status { status, message: message.to_owned(), headers: Vec::new() }
    }
}

/// What goes wrong with one request, each by itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// At the request and its work.
    during: Vec<Fault>,
    /// At the answer alone.
    after: Vec<Fault>,
}

impl Faults {
    pub fn new(fault: Option<Fault>) -> Self {
        let mut faults = Self::default();
        fault.into_iter().for_each(|fault| faults.add(fault));
        faults
    }

    fn add(&mut self, fault: Fault) {
        match fault {
            Fault::All(all) => all.into_iter().for_each(|fault| self.add(fault)),
            Fault::Afterwards(fault) => self.after.push(*fault),
            other => self.during.push(other),
        }
    }

    pub fn has(&self, fault: &Fault) -> bool {
        self.during.contains(fault)
    }

    pub fn any(&self, is_so: impl FnMut(&Fault) -> bool) -> bool {
        self.during.iter().any(is_so)
    }

    /// What the first fault says that says it.
    pub fn find<T>(&self, ask: impl FnMut(&Fault) -> Option<T>) -> Option<T> {
        self.during.iter().find_map(ask)
    }

    /// Whether something is to come after the work.
    pub fn has_later(&self) -> bool {
        !self.after.is_empty()
    }

    /// How long to stop at a place.
    pub fn stall(&self, place: StallPoint) -> Option<Lasting> {
        self.find(|fault| match fault {
            Fault::Stall { at, lasting } if *at == place => Some(*lasting),
            _ => None,
        })
    }

    /// What is left once the work is done: `later` alone, or what was to come then, before what there was all along.
    pub fn at_answer(self, later: Option<Fault>) -> Self {
        let mut faults = Self::new(later);
        if faults.during.is_empty() {
            self.after.into_iter().chain(self.during).for_each(|fault| faults.add(fault));
        }
        faults
    }
}

/// Which of GitHub's limits was hit, and in which of its words it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Requests an hour: `x-ratelimit-remaining` is 0.
    Primary,
    /// Too much in a short time, content above all.
    Secondary,
    /// The same in older words.
    Abuse,
    /// The same as 422 about a release.
    TooQuickly,
}

/// Where in a request to stop for a while. Byte counts are of the body of the request or the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StallPoint {
    BeforeBody,
    /// Uploads alone.
    MidBody {
        after: u64,
    },
    /// The body is read and the work is not begun: it is done late, also when the client is gone by then. Not for uploads.
    BeforeWork,
    BeforeAnswer,
    MidAnswer {
        after: u64,
    },
}

/// For how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    For(Duration),
    /// Until `Hub::release` is called, or `Hub::reset_faults`.
    UntilReleased,
}

/// When a hook is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The headers are read, nothing is done.
    Before,
    /// The work is done and seen by others, the answer isn't sent.
    After,
}

/// What a hook wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Proceed,
    Fault(Fault),
}
