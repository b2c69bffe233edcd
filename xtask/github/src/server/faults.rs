//! What can go wrong with one request, and how a test says with which.

use std::time::Duration;

use crate::server::log::Request;

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

/// A fault set in advance.
#[derive(Clone, Debug)]
pub struct Injection {
    pub matches: Matches,
    pub times: Times,
    pub fault: Fault,
}

/// Which requests. Only those that come after the injection are counted.
#[derive(Clone, Debug, Default)]
pub struct Matches {
    /// `None` is any method.
    pub method: Option<String>,
    /// The path without the query, where `*` is any run of characters and `#` a number. `None` is any path.
    pub path: Option<String>,
    /// Text that the query must contain, such as `name=a.qcow2`.
    pub query: Option<String>,
    /// How many matching requests pass before the first that gets the fault.
    pub skip: usize,
}

impl Matches {
    /// Any request at all.
    pub fn any() -> Self {
        Self::default()
    }

    /// A method and a path pattern, such as `("PATCH", "/repos/*/releases/*")`.
    pub fn on(method: &str, path: &str) -> Self {
        Self { method: Some(method.into()), path: Some(path.into()), ..Self::default() }
    }

    /// Uploads of an asset whose name holds this.
    pub fn upload(name: &str) -> Self {
        Self { query: Some(name.to_owned()), ..Self::on("POST", "/repos/*/releases/*/assets") }
    }

    /// The nth matching request, from 1.
    #[must_use]
    pub fn nth(mut self, nth: usize) -> Self {
        self.skip = nth.saturating_sub(1);
        self
    }

    fn fits(&self, request: &Request) -> bool {
        self.method.as_ref().is_none_or(|it| *it == request.method)
            && self.path.as_ref().is_none_or(|it| fits_pattern(it, &request.path))
            && self.query.as_ref().is_none_or(|it| request.query.contains(it))
    }
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    Once,
    Count(usize),
    Forever,
}

/// An injection with what is left of it.
#[derive(Debug)]
pub(crate) struct Armed {
    injection: Injection,
    left: Option<usize>,
}

impl Armed {
    pub fn new(injection: Injection) -> Self {
        let left = match injection.times {
            Times::Once => Some(1),
            Times::Count(count) => Some(count),
            Times::Forever => None,
        };
        Self { injection, left }
    }
}

/// The fault for this request of those that are armed. The first that fits is used up; the others count the request all the same.
pub(crate) fn draw(armed: &mut [Armed], request: &Request) -> Option<Fault> {
    let mut drawn = None;
    for it in armed.iter_mut().filter(|it| it.injection.matches.fits(request)) {
        if it.injection.matches.skip > 0 {
            it.injection.matches.skip -= 1;
        } else if drawn.is_none() && it.left != Some(0) {
            it.left = it.left.map(|left| left - 1);
            drawn = Some(it.injection.fault.clone());
        }
    }
    drawn
}

/// Whether `text` fits `pattern`, where `*` stands for any run of characters.
fn fits_pattern(pattern: &str, text: &str) -> bool {
    let Some(wild) = pattern.find(['*', '#']) else {
        return pattern == text;
    };
    let (head, rest) = (&pattern[..wild], &pattern[wild + 1..]);
    let Some(text) = text.strip_prefix(head) else {
        return false;
    };
    if pattern[wild..].starts_with('#') {
        let after = text.trim_start_matches(|it: char| it.is_ascii_digit());
        return after.len() < text.len() && fits_pattern(rest, after);
    }
    let mut starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    starts.any(|at| fits_pattern(rest, &text[at..]))
}

#[cfg(test)]
mod tests {
    use super::fits_pattern;

    #[test]
    fn patterns() {
        let table = [
            ("/user", "/user", true),
            ("/user", "/user/1", false),
            ("*", "", true),
            ("/repos/*/releases", "/repos/a/b/releases", true),
            ("/repos/*/releases", "/repos/a/b/releases/1", false),
            ("/repos/*/releases/*", "/repos/a/b/releases/1", true),
            ("/repos/*/assets/*", "/repos/a/b/releases/assets/1", true),
            ("/repos/*/releases/#", "/repos/a/b/releases/12", true),
            ("/repos/*/releases/#", "/repos/a/b/releases/", false),
            ("/repos/*/releases/#", "/repos/a/b/releases/assets/1", false),
            ("/repos/*/releases/#/assets", "/repos/a/b/releases/1/assets", true),
            ("*latest", "/latest/latest", true),
        ];
        for (pattern, text, fits) in table {
            assert_eq!(fits_pattern(pattern, text), fits, "{pattern} {text}");
        }
    }
}
