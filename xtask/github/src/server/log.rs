//! What a test looks at afterwards: every request in order, and what the rolling tag showed at each moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::model::AssetState;
use crate::server::faults::Fault;

/// One request and what became of it.
#[derive(Clone, Debug)]
pub struct Request {
    /// From 1, in the order in which the requests' headers arrived.
    pub number: usize,
    /// Since the start of the stand-in.
    pub began: Duration,
    pub method: String,
    pub host: String,
    /// As sent, without the query.
    pub path: String,
    /// As sent, without `?`; empty when there is none.
    pub query: String,
    /// Whose token it carries; none without a token and for an unknown one.
    pub login: Option<String>,
    /// Whether it has an `Authorization` header at all.
    pub authorized: bool,
    /// Its `Range` header.
    pub range: Option<String>,
    pub content_length: Option<u64>,
    /// Its body where that is JSON.
    pub body: Option<Value>,
    /// What was answered; none while it runs and when the connection was closed without an answer.
    pub status: Option<u16>,
    /// The answer's body where that is JSON.
    pub answer: Option<Value>,
    /// Bytes of the body that were read.
    pub bytes_received: u64,
    /// Bytes of the answer's body that went out.
    pub bytes_sent: u64,
    /// What went wrong with it on demand. When two faults did, the later.
    pub fault: Option<Fault>,
}

/// What a reader of the rolling tag saw from a moment on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Since the start of the stand-in.
    pub at: Duration,
    /// `owner/name`.
    pub repository: String,
    /// The request under which it was noticed. A tag moved by a push is noticed at the next request.
    pub request: Option<usize>,
    /// What git has under the tag's name.
    pub tag: Option<ShownTag>,
    /// The published release on the tag; none means that readers find nothing.
    pub release: Option<ShownRelease>,
}

/// A tag in git.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownTag {
    /// The ref's own object id.
    pub object: String,
    /// The commit it peels to.
    pub commit: String,
}

/// A published release as its readers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownRelease {
    pub id: u64,
    pub name: Option<String>,
    pub body: Option<String>,
    pub prerelease: bool,
    /// Sorted by name.
    pub assets: Vec<ShownAsset>,
}

impl ShownRelease {
    /// The names of the assets that can be downloaded, sorted.
    pub fn names(&self) -> Vec<&str> {
        let uploaded = self.assets.iter().filter(|it| it.state == AssetState::Uploaded);
        uploaded.map(|it| it.name.as_str()).collect()
    }
}

/// An asset of a published release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownAsset {
    pub name: String,
    pub size: u64,
    pub digest: Option<String>,
    pub state: AssetState,
}

/// A request under way, with counters that are written while bytes move.
#[derive(Debug)]
pub(crate) struct Logged {
    pub request: Request,
    pub received: Arc<AtomicU64>,
    pub sent: Arc<AtomicU64>,
}

impl Logged {
    pub fn new(request: Request) -> Self {
        Self { request, received: Arc::default(), sent: Arc::default() }
    }

    pub fn snapshot(&self) -> Request {
        Request {
            bytes_received: self.received.load(Ordering::Relaxed),
            bytes_sent: self.sent.load(Ordering::Relaxed),
            ..self.request.clone()
        }
    }
}
