//! One publisher at a time. The lock is the ref `refs/packer/lock` in the publishing repository, moved by pushes with a
//! lease, git's compare-and-swap: whoever holds it may change what others see.
//!
//! It points to a commit of its own whose message says who holds it. A holder renews its [`Lease`]; one that doesn't for
//! [`WATCH`] is taken for dead.

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::failure;
use crate::gh::CallError;

use super::doors::Doors;
use super::lease::{Lease, WATCH};
use super::outside::Outside;

/// The ref.
pub const REF: &str = "refs/packer/lock";

/// How often a lock that is watched is looked at.
const GLANCE: Duration = Duration::from_secs(5);
/// What this clone's own dead run had sent has arrived after this: its processes are known to be gone.
const SAME_CLONE: Duration = Duration::from_secs(30);
/// `--take-over` waits so long for what the other one had sent, and looks again.
const TAKE_OVER: Duration = Duration::from_secs(60);

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
        })
    }

    /// The same for another renewal.
    pub fn anew(&self, outside: &dyn Outside) -> anyhow::Result<Self> {
        Ok(Self { nonce: hex(outside)?, ..self.clone() })
    }

    /// A note is text from outside: nothing else is taken for one.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text.trim()).ok()
    }
}

/// `publish of v0.45, since 2026-01-02T03:04:05Z`
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let safe = |text: &str| text.chars().filter(|c| !c.is_control()).take(200).collect::<String>();
        f.write_str(&safe(&self.verb))?;
        if let Some(source) = &self.source {
            write!(f, " of {}", safe(source))?;
        }
        write!(f, ", since {}", safe(&self.started))?;
        self.run.as_ref().map_or(Ok(()), |run| write!(f, ", {}", safe(run)))
    }
}

/// Who wants the lock.
#[derive(Debug, Clone)]
pub struct Claim {
    pub verb: &'static str,
    pub source: Option<String>,
    /// Replace a lock of somebody else, whatever it says.
    pub take_over: bool,
}

/// Who has the lock.
#[derive(Debug)]
pub enum Holder {
    /// A run of this tool.
    Run(Note),
    /// The ref is at this id, which is no lock of this tool.
    Stranger(String),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(note) => write!(f, "{note}: at work, or ended early; the next publish finds out"),
            Self::Stranger(id) => {
                write!(f, "{id}, which is no lock of this tool: see who made it; publish --take-over replaces it")
            }
        }
    }
}

impl Holder {
    /// `ours`, and `verb`, `source`, `started`, `run` as the lock's note has them, or the `id` of a stranger's.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Run(note) => json!({
                "ours": true, "verb": note.verb, "source": note.source, "started": note.started, "run": note.run,
            }),
            Self::Stranger(id) => json!({ "ours": false, "id": id }),
        }
    }
}

/// `None` when nobody has it.
pub fn holder(doors: Doors<'_>, lock: Option<&str>) -> Option<Holder> {
    let id = lock?;
    match read(doors, id) {
        Ok(Read::Gone) => None,
        Ok(Read::Of(note)) => Some(Holder::Run(note)),
        Ok(Read::Strange) | Err(_) => Some(Holder::Stranger(id.to_owned())),
    }
}

/// What stands behind a lock's id.
enum Read {
    Of(Note),
    /// It is no lock of this tool.
    Strange,
    /// It was given back, or renewed, before its note was read.
    Gone,
}

fn read(doors: Doors<'_>, id: &str) -> Result<Read, CallError> {
    if let Some(note) = doors.lock_note(id)?.as_deref().and_then(Note::parse) {
        return Ok(Read::Of(note));
    }
    Ok(if doors.refs()?.lock.as_deref() == Some(id) { Read::Strange } else { Read::Gone })
}

/// Waits until the lock is this run's.
///
/// # Errors
///
/// Exit code 1: somebody else is at work. Exit code 3: the lock isn't one of ours, or the remote takes no such ref.
pub fn acquire(doors: Doors<'_>, claim: &Claim) -> anyhow::Result<Lease> {
    let outside = doors.outside();
    let lease = Lease::new(Note::new(outside, claim)?);
    let alone_in_clone = outside.hold_clone()?;
    let mut tries = doors.backoff();
    loop {
        doors.check()?;
        let there = doors.refs()?.lock;
        let mut settle = Duration::ZERO;
        match &there {
            None => {}
            Some(id) if lease.is_ours(id) => {}
            Some(id) => match found(doors, claim, id, alone_in_clone)? {
                Found::Gone => continue,
                Found::Replace { then_wait } => settle = then_wait,
            },
        }
        if let Err(why) = lease.take(doors, there)? {
            tries.wait("taking the lock", CallError::Lost(why.into()))?;
            continue;
        }
        if !settle.is_zero() {
            doors.note(format_args!("waiting {} s for what the run before had sent", settle.as_secs()));
            if let Err(error) = doors.pause(settle) {
                // Nothing was done under it.
                let _ = lease.release(doors);
                return Err(error.into());
            }
        }
        return Ok(lease);
    }
}

/// What to do about a lock that is there.
enum Found {
    Gone,
    Replace { then_wait: Duration },
}

fn found(doors: Doors<'_>, claim: &Claim, id: &str, alone_in_clone: bool) -> anyhow::Result<Found> {
    let outside = doors.outside();
    if alone_in_clone && let Some(unclear) = outside.pushed_by_this_clone(id)? {
        doors.note("the lock is that of an earlier run of this clone, which is gone; going on");
        return Ok(Found::Replace { then_wait: SAME_CLONE.max(unclear) });
    }
    let note = match read(doors, id)? {
        Read::Of(note) => Some(note),
        Read::Strange => None,
        Read::Gone => return Ok(Found::Gone),
    };
    if claim.take_over {
        let whose = note.map_or_else(|| "of unknown origin".to_owned(), |note| note.to_string());
        doors.warn(format_args!("replacing the lock of somebody else ({whose})"));
        return Ok(Found::Replace { then_wait: TAKE_OVER });
    }
    let Some(note) = note else {
        return Err(failure::missing(format!(
            "{REF} in {} is not a lock of this tool ({id}); see who made it, then run again with --take-over",
            doors.repo()
        )));
    };
    doors.note(format_args!(
        "another publisher has the lock ({note}); watching it for up to {} s: a run that is alive renews it",
        WATCH.as_secs()
    ));
    let since = doors.now();
    while doors.now().saturating_sub(since) < WATCH {
        doors.pause(GLANCE)?;
        match doors.refs()?.lock {
            None => return Ok(Found::Gone),
            Some(now) if now == id => {}
            Some(_) => {
                return Err(failure::failed(format!(
                    "another publisher is at work: {note}; nothing was changed by this run, so run it again when that is done"
                )));
            }
        }
    }
    doors.note(format_args!("it stood still for {} s, so its run is gone; going on", WATCH.as_secs()));
    Ok(Found::Replace { then_wait: Duration::ZERO })
}

/// 32 random hex digits.
fn hex(outside: &dyn Outside) -> anyhow::Result<String> {
    let bytes = outside.random().context("drawing a token for the lock")?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
