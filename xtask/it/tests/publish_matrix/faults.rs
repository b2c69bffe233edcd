//! Server faults: the run ends with the new set live all the same.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use github_stand_in::{Action, Fault, Lasting, Limit, Moment, StallPoint};

use super::Tally;
use super::case::{Run, Start};
use super::keys::{Key, Keys, Recorded};
use super::pool::{self, Case};
use super::reader::is_readers;

type Kind = (&'static str, fn() -> Fault, fn(&Key) -> bool);

fn any(_: &Key) -> bool {
    true
}

fn upload(key: &Key) -> bool {
    key.upload
}

fn change(key: &Key) -> bool {
    key.changes
}

/// The faults, and which requests they can meet.
pub const KINDS: &[Kind] = &[
    ("500", || Fault::Status { status: 500, message: "Server Error".into(), headers: Vec::new() }, any),
    ("502 with a starter asset left", || Fault::BadGateway { leave_starter: true }, upload),
    ("dropped before the body", || Fault::DropBeforeBody, any),
    ("dropped in the middle", || Fault::DropMidBody { after: 20 }, upload),
    ("dropped after the work", || Fault::DropAfterWork, any),
    (
        "a stall before the answer",
        || Fault::Stall { at: StallPoint::BeforeAnswer, lasting: Lasting::UntilReleased },
        any,
    ),
    (
        "a stall in the body",
        || Fault::Stall { at: StallPoint::MidBody { after: 10 }, lasting: Lasting::UntilReleased },
        upload,
    ),
    ("a secondary rate limit", || Fault::RateLimited { limit: Limit::Secondary, retry_after: Some(1) }, any),
    ("a corrupted upload", || Fault::CorruptUpload, upload),
    ("a corrupted upload without a digest", || Fault::CorruptUploadUnseen, upload),
    ("a listing that lags by 5 s", || Fault::StaleListing { lasting: Lasting::For(Duration::from_secs(5)) }, change),
    ("a read by id that lags by 5 s", || Fault::StaleById { lasting: Lasting::For(Duration::from_secs(5)) }, change),
    ("a digest that is null", || Fault::NullDigest, upload),
];

/// One fault: the run ends with the new set live.
pub fn once(recorded: &[Recorded], full: bool) -> Tally {
    let cases = cases(recorded, full, |start, key, kind| {
        let run = Run::new(start);
        let key_of = key.what.clone();
        arm(&run, key, kind.1);
        let ran = run.tool();
        // While the old set is taken back nothing is waited out: it stays live, and a plain re-run finishes.
        if ran.code != Some(0) && is_patch_of_old(&key_of) {
            run.sound(&ran)?;
            run.world.hub().reset_faults();
            return run.finished(&run.tool());
        }
        run.finished(&ran)
    });
    pool::run(cases, pool::WORKING)
}

fn is_patch_of_old(what: &str) -> bool {
    what.starts_with("PATCH") && what.contains("OLD")
}

type Check = fn(&Start, Key, Kind) -> Result<(), String>;

/// Each request with each fault that can meet it: of the richest scenario, and of the others where that is asked for. A read
/// that was asked before in the same words, and the upload of another file of the same sort, go through the same code, so they
/// meet one of the faults, in turn: what follows from where it fails is for the simulation.
fn cases(recorded: &[Recorded], full: bool, check: Check) -> Vec<Case> {
    let mut cases = Vec::new();
    for Recorded { start, keys } in &recorded[..if full { recorded.len() } else { 1 }] {
        let mut sorts = HashSet::new();
        for (number, key) in keys.iter().enumerate() {
            let kinds: Vec<Kind> = KINDS.iter().filter(|kind| kind.2(key)).copied().collect();
            let again = if key.upload { !sorts.insert(sort(&key.what)) } else { !key.changes && key.nth > 1 };
            let again = again && !full;
            let (skip, take) = if again { (number % kinds.len(), 1) } else { (0, kinds.len()) };
            for kind in kinds.into_iter().skip(skip).take(take) {
                let (start, key) = (Arc::clone(start), key.clone());
                cases.push(Case {
                    name: format!(
                        "{:?}, request {} ({} #{}): {}",
                        start.scenario,
                        number + 1,
                        key.what,
                        key.nth,
                        kind.0
                    ),
                    run: Box::new(move || check(&start, key, kind)),
                });
            }
        }
    }
    cases
}

/// What kind of file an upload has: an image or a part of one, a checksum file, or one of which there is one.
fn sort(upload: &str) -> &str {
    let ending = upload.rsplit('.').next().unwrap_or_default();
    if ending.starts_with("part") { "qcow2" } else { ending }
}

fn arm(run: &Run, target: Key, fault: fn() -> Fault) {
    let keys = Arc::new(Keys::new(run));
    run.world.hub().on_request(move |request, moment| {
        if moment != Moment::Before || is_readers(request) {
            return Action::Proceed;
        }
        let key = keys.key(request);
        let hit = key.what == target.what && key.nth == target.nth;
        if hit { Action::Fault(fault()) } else { Action::Proceed }
    });
}
