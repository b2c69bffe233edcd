//! Uploads: the name is held from the first byte on, the body goes to disk while it is hashed, and only a whole one becomes an asset.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use anyhow::{Context, Result};
use bytes::Bytes;
use hyper::body::Incoming;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::block_in_place;

use crate::model::BrokenUpload;
use crate::rules::Refusal;
use crate::server::answer::{Answer, Outcome};
use crate::server::call::Call;
use crate::server::faults::{Fault, Faults, StallPoint};
use crate::server::hub::Shared;
use crate::server::json;
use crate::server::releases;
use crate::server::store::Store;
use crate::server::{Closed, next};

/// Takes an upload, or breaks it as its faults say. `Err` closes the connection.
pub(crate) async fn receive(
    shared: &Arc<Shared>,
    call: &Call,
    body: &mut Incoming,
    received: &AtomicU64,
) -> Result<Outcome, Closed> {
    let faults = &call.faults;
    let begun = block_in_place(|| begin(&mut shared.lock(), call));
    let started = match begun {
        Ok(started) => started,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let stored = store_body(shared, body, received, &started, faults).await?;
    let bad_gateway = faults.find(|fault| match fault {
        Fault::BadGateway { leave_starter } => Some(*leave_starter),
        _ => None,
    });
    let mut store = shared.lock();
    block_in_place(|| match (stored, bad_gateway) {
        (Some(stored), None) => {
            let unseen = faults.has(&Fault::NullDigest) || faults.has(&Fault::CorruptUploadUnseen);
            let digest = (!unseen).then_some(stored.digest);
            Ok(finish(&mut store, call, &started, stored.size, digest))
        }
        (None, None) => {
            let leave = store.settings.broken_upload == BrokenUpload::Starter;
            abandon(&mut store, call, &started, leave);
            Err(Closed)
        }
        (_, Some(leave)) => {
            abandon(&mut store, call, &started, leave);
            Ok(Err(Refusal::new(502, "Server Error")))
        }
    })
}

/// An upload that holds its name.
struct Started {
    at: usize,
    asset: u64,
    length: u64,
    file: PathBuf,
}

struct Stored {
    size: u64,
    digest: String,
}

/// Checks all that can be known from the headers, then takes the name with a `starter` asset.
fn begin(store: &mut Store, call: &Call) -> Result<Started, Refusal> {
    let [_, owner, name, _, release, _] = call.segments.as_slice() else {
        return Err(Refusal::not_found());
    };
    let at = call.repository(store, &format!("{owner}/{name}"))?;
    store.look(at, Some(call.number))?;
    let repo = &store.repositories[at];
    call.require_push(repo)?;
    let release = release.parse().map_err(|_| Refusal::not_found())?;
    store.require_shown(at, release)?;
    releases::visible(call, repo, release)?;
    let length: Option<u64> = call.header("content-length").and_then(|it| it.parse().ok());
    let length = length.ok_or_else(|| Refusal::new(400, "Bad Content-Length: "))?;
    let rules = &mut store.repositories[at].rules;
    let id = rules.begin_upload(release, call.parameter("name").unwrap_or_default(), length, SystemTime::now())?;
    let file = store.file(id);
    let asset = store.repositories[at].rules.asset_mut(id)?;
    asset.label = call.parameter("label").map(str::to_owned);
    asset.content_type = call.header("content-type").unwrap_or("application/octet-stream").to_owned();
    asset.uploader = call.login();
    asset.file.clone_from(&file);
    store.look(at, Some(call.number))?;
    Ok(Started { at, asset: id, length, file })
}

/// Moves the body to its file. `None` when it ended before its length.
async fn store_body(
    shared: &Arc<Shared>,
    body: &mut Incoming,
    received: &AtomicU64,
    started: &Started,
    faults: &Faults,
) -> Result<Option<Stored>, Closed> {
    let corrupt = faults.has(&Fault::CorruptUpload) || faults.has(&Fault::CorruptUploadUnseen);
    let drop_after = faults.find(|fault| match fault {
        Fault::DropMidBody { after } => Some(*after),
        _ => None,
    });
    let mut stall = faults.find(|fault| match fault {
        Fault::Stall { at: StallPoint::MidBody { after }, lasting } => Some((*after, *lasting)),
        _ => None,
    });
    let (sender, chunks) = mpsc::channel(16);
    let file = started.file.clone();
    let writer = tokio::task::spawn_blocking(move || write(&file, chunks, corrupt));
    let mut total: u64 = 0;
    let whole = loop {
        if drop_after.is_some_and(|after| total >= after) {
            break false;
        }
        if let Some((_, lasting)) = stall.take_if(|(after, _)| total >= *after) {
            shared.pause(lasting).await;
        }
        match next(body, received).await {
            Some(Ok(data)) => {
                total += data.len() as u64;
                if sender.send(data).await.is_err() {
                    break false;
                }
            }
            Some(Err(Closed)) => break false,
            None => break total == started.length,
        }
    };
    drop(sender);
    let stored = writer.await.map_err(|_| Closed)?;
    match stored {
        Ok(stored) => Ok(whole.then_some(stored)),
        Err(error) => {
            eprintln!("github stand-in: {error:#}");
            Ok(None)
        }
    }
}

/// Writes and hashes what arrives, in a thread of its own.
fn write(file: &PathBuf, mut chunks: mpsc::Receiver<Bytes>, corrupt: bool) -> Result<Stored> {
    let storing = || format!("storing an upload in {}", file.display());
    let mut output = std::fs::File::create(file).with_context(storing)?;
    let mut hash = Sha256::new();
    let mut size: u64 = 0;
    while let Some(mut chunk) = chunks.blocking_recv() {
        if corrupt && size == 0 && !chunk.is_empty() {
            let mut changed = chunk.to_vec();
            changed[0] ^= 1;
            chunk = changed.into();
        }
        hash.update(&chunk);
        output.write_all(&chunk).with_context(storing)?;
        size += chunk.len() as u64;
    }
    let digest = format!("sha256:{}", json::hex(&hash.finalize()));
    Ok(Stored { size, digest })
}

/// Makes the asset what it is to be. It or its release may have been deleted meanwhile.
fn finish(store: &mut Store, call: &Call, started: &Started, size: u64, digest: Option<String>) -> Outcome {
    let rules = &mut store.repositories[started.at].rules;
    if let Err(refusal) = rules.finish_upload(started.asset, size, digest, SystemTime::now()) {
        let _ = std::fs::remove_file(&started.file);
        return Err(refusal);
    }
    store.look(started.at, Some(call.number))?;
    let repo = &store.repositories[started.at];
    let (release, asset) = repo.rules.asset(started.asset)?;
    let json = json::asset(repo, release, asset);
    Ok(Answer::created(&json))
}

/// Gives an upload up. The name stays held where a `starter` is left.
fn abandon(store: &mut Store, call: &Call, started: &Started, leave_starter: bool) {
    let _ = std::fs::remove_file(&started.file);
    store.repositories[started.at].rules.abandon_upload(started.asset, leave_starter);
    if let Err(error) = store.look(started.at, Some(call.number)) {
        eprintln!("github stand-in: {error:#}");
    }
}
