//! One publisher at a time. The lock is the ref `refs/packer/lock` in the publishing repository, moved by pushes with a lease,
//! git's compare-and-swap: only its holder may change what others see.
//!
//! The ref points to a commit of its own whose message says who holds the lock. A holder renews its [`Lease`]; a holder that
//! doesn't for [`WATCH`] counts as dead. `session.rs` takes the lock; `status` and `doctor` show its holder.

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::claim;
use crate::failure::{self, Advice as _};
use crate::gh::CallError;
use crate::git::TagRef;

use super::client::Client;
use super::lease::Lease;
use super::outside::Outside;
use super::times::{ARRIVES, WATCH};

/// The ref.
pub const REF: &str = "refs/packer/lock";

/// How often a lock that is watched is looked at.
const GLANCE: Duration = Duration::from_secs(5);

/// What the lock's commit says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// `publish` or `rollback`.
    pub verb: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// RFC 3339, UTC.
    pub started: String,
    /// 32 random hex digits, the same for all of a run's renewals.
    pub token: String,
    /// Another for each renewal: the same content would be the same id, and git checks no lease for that.
    pub nonce: String,
    /// In GitHub Actions the run's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Written before a switch, so that recovery reads what was meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
}

/// What a run is about to switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The live release that gives way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hide: Option<u64>,
    /// The release that becomes live.
    pub show: u64,
    /// The tag `latest` before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_from: Option<TagRef>,
    /// The object of the tag `latest` after.
    pub tag_to: String,
}

impl Note {
    fn new(outside: &dyn Outside, claim: &Claim) -> anyhow::Result<Self> {
        Ok(Self {
            verb: claim.verb.to_owned(),
            source: claim.source.clone(),
            started: humantime::format_rfc3339_seconds(outside.wall_clock()).to_string(),
            token: hex(outside)?,
            nonce: String::new(),
            run: outside.address_of_run(),
            intent: None,
        })
    }

    /// The note of another renewal.
    pub fn anew(&self, outside: &dyn Outside, intent: Option<Intent>) -> anyhow::Result<Self> {
        Ok(Self { nonce: hex(outside)?, intent, ..self.clone() })
    }

    /// A note is text from outside; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text.trim()).ok().filter(|note| claim::check_texts(note).is_ok())
    }
}

/// `publish of v0.45, since 2026-01-02T03:04:05Z`
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more =
            |how: &str, what: &Option<String>| what.iter().map(|what| format!("{how}{what}")).collect::<String>();
        let (source, run) = (more(" of ", &self.source), more(", ", &self.run));
        write!(f, "{}{source}, since {}{run}", self.verb, self.started)
    }
}

/// Who wants the lock.
#[derive(Debug, Clone)]
pub struct Claim {
    pub verb: &'static str,
    pub source: Option<String>,
    /// Replace a lock of somebody else.
    pub take_over: bool,
}

/// Who has the lock.
#[derive(Debug)]
pub enum Holder {
    /// A run of this tool.
    Run(Box<Note>),
    /// The ref is at this id, which is not a lock of this tool.
    Stranger(String),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(note) => write!(f, "{note}: running, or dead; the next publish finds out which"),
            Self::Stranger(id) => {
                write!(f, "{id}, not a lock of this tool: ask who made it; publish --take-over replaces it")
            }
        }
    }
}

impl Holder {
    /// `ours`, and `verb`, `source`, `started`, `run` as the lock's note has them, or the `id` of another lock.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Run(note) => json!({
                "ours": true, "verb": note.verb, "source": note.source, "started": note.started, "run": note.run,
            }),
            Self::Stranger(id) => json!({ "ours": false, "id": id }),
        }
    }
}

/// Who holds the lock with this id; `None` when the lock is gone.
pub fn holder(client: Client<'_>, lock: Option<&str>) -> Option<Holder> {
    let id = lock?;
    read(client, id).unwrap_or_else(|_| Some(Holder::Stranger(id.to_owned())))
}

/// What the run with this lock was about to switch; `None` where it was not, or the lock tells nothing.
pub fn intent(client: Client<'_>, lock: Option<&str>) -> Result<Option<Intent>, CallError> {
    let Some(id) = lock else { return Ok(None) };
    let is_plain = |intent: &Intent| {
        let from = intent.tag_from.iter().flat_map(|tag| [&tag.object, &tag.commit]);
        from.chain([&intent.tag_to]).all(|id| claim::is_commit(id))
    };
    let note = client.lock_note(id)?.as_deref().and_then(Note::parse);
    Ok(note.and_then(|note| note.intent).filter(is_plain))
}

/// As [`holder`]; a lock may be given back or renewed before its note was read.
fn read(client: Client<'_>, id: &str) -> Result<Option<Holder>, CallError> {
    if let Some(note) = client.lock_note(id)?.as_deref().and_then(Note::parse) {
        return Ok(Some(Holder::Run(Box::new(note))));
    }
    let is_there = client.refs()?.lock.as_deref() == Some(id);
    Ok(is_there.then(|| Holder::Stranger(id.to_owned())))
}

/// Waits until the lock is this run's.
///
/// # Errors
///
/// Exit code 1: somebody else is at work. Exit code 3: the lock isn't this tool's, or the remote refuses such a ref.
pub fn acquire(client: Client<'_>, claim: &Claim) -> anyhow::Result<Lease> {
    let outside = client.outside();
    let lease = Lease::new(Note::new(outside, claim)?);
    outside.hold_clone()?;
    let mut tries = client.backoff();
    loop {
        client.check()?;
        let there = client.refs()?.lock;
        let mut wait = Duration::ZERO;
        if let Some(id) = there.as_deref().filter(|id| !lease.is_ours(id)) {
            match may_replace(client, claim, id)? {
                Some(then_wait) => wait = then_wait,
                None => continue,
            }
            // What a dead run was about to switch must not be forgotten before it is recovered.
            if let Some(intent) = intent(client, Some(id))? {
                lease.intends(intent);
            }
        }
        if let Err(why) = lease.take(client, there)? {
            tries.wait("taking the lock", CallError::Lost(why.into()))?;
            continue;
        }
        if !wait.is_zero() {
            client.note(format_args!("waiting {} s: a request of the previous run may still arrive", wait.as_secs()));
            outside.may_arrive(Some(wait));
            if let Err(error) = client.pause(wait) {
                // The next run has to wait as well.
                lease.stays();
                // The signal is the reason that counts.
                let _ = lease.release(client);
                return Err(error.into());
            }
            outside.may_arrive(None);
        }
        return Ok(lease);
    }
}

/// Whether another run's lock may be replaced, and how long to wait after that: what the other run sent may still arrive.
/// `None`: the lock is gone by now.
fn may_replace(client: Client<'_>, claim: &Claim, id: &str) -> anyhow::Result<Option<Duration>> {
    if let Some(unclear) = client.outside().pushed_by_this_clone(id) {
        client.note("the lock belongs to an earlier run of this clone, which has died; continuing");
        return Ok(Some(unclear));
    }
    let Some(holder) = read(client, id)? else { return Ok(None) };
    if claim.take_over {
        client.warn(format_args!("replacing the lock of another run: {holder}"));
        return Ok(Some(ARRIVES));
    }
    let Holder::Run(note) = holder else {
        let why = format!("{REF} in {} is not a lock of this tool ({id})", client.repo());
        return Err(failure::missing(why).fix("ask who made it, then run the same command again with --take-over"));
    };
    let watch = WATCH.as_secs();
    client.note(format_args!(
        "another run has the lock ({note}); watching for up to {watch} s to see whether that run is alive"
    ));
    let since = client.now();
    while client.now().saturating_sub(since) < WATCH {
        client.pause(GLANCE)?;
        match client.refs()?.lock {
            None => return Ok(None),
            Some(now) if now == id => {}
            Some(_) => {
                let why = format!("another run has the lock: {note}; this run changed nothing");
                return Err(failure::failed(why).fix("run the same command again when that run has ended"));
            }
        }
    }
    client.note(format_args!("the lock did not change for {watch} s, so that run has died; continuing"));
    Ok(Some(Duration::ZERO))
}

/// 32 random hex digits.
fn hex(outside: &dyn Outside) -> anyhow::Result<String> {
    let bytes = outside.random().context("drawing a token for the lock")?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
