//! Reading, renaming and deleting release assets. Uploads are in `upload`, the bytes in `download`.

use std::time::SystemTime;

use serde_json::Value;

use crate::model::{Asset, AssetState, Release};
use crate::rules::Refusal;
use crate::server::answer::{Answer, Outcome};
use crate::server::call::Call;
use crate::server::download;
use crate::server::faults::Fault;
use crate::server::fields::text;
use crate::server::json;
use crate::server::pages::page;
use crate::server::releases;
use crate::server::store::{Repo, Store};

/// Every asset of a release, those that broke included.
pub(crate) fn list(store: &Store, call: &Call, at: usize, release: u64) -> Outcome {
    store.require_shown(at, release)?;
    let repo = &store.repositories[at];
    let current = releases::visible(call, repo, release)?;
    let listed = store.listed(at).iter().find(|it| it.id == release);
    // A release that is newer than the view has no asset there.
    let assets = listed.map(|it| it.assets.as_slice()).unwrap_or_default();
    let each = assets.iter().map(|it| json::asset(repo, current, it));
    Ok(page(call, repo, each.collect::<Vec<Value>>()))
}

/// An asset as JSON, or the way to its bytes.
pub(crate) fn by_id(store: &mut Store, call: &Call, at: usize, id: u64) -> Outcome {
    let (release, asset) = visible(call, &store.repositories[at], id)?;
    let wants_bytes = call.header("accept").is_some_and(|it| it.contains("application/octet-stream"));
    if !wants_bytes {
        let json = json::asset(&store.repositories[at], release, asset);
        return Ok(Answer::json(200, &json));
    }
    if asset.state != AssetState::Uploaded {
        return Err(Refusal::not_found());
    }
    let direct = call.faults.has(&Fault::DirectBytes).then(|| download::content(call, asset));
    let address = download::signed(store, at, asset);
    store.repositories[at].count_download(id);
    if let Some(answer) = direct {
        return Ok(answer);
    }
    Ok(download::redirect(call, &address))
}

pub(crate) fn edit(store: &mut Store, call: &Call, at: usize, id: u64) -> Outcome {
    let repo = &mut store.repositories[at];
    call.require_push(repo)?;
    repo.rules.asset(id)?;
    let body = call.object()?;
    let (name, label) = (text(&body, "name")?.flatten(), text(&body, "label")?);
    repo.rules.edit_asset(id, name.as_deref(), label, SystemTime::now())?;
    let (release, asset) = repo.rules.asset(id)?;
    Ok(Answer::json(200, &json::asset(repo, release, asset)))
}

pub(crate) fn delete(store: &mut Store, call: &Call, at: usize, id: u64) -> Outcome {
    let repo = &mut store.repositories[at];
    call.require_push(repo)?;
    let asset = repo.rules.delete_asset(id)?;
    // One that never got a byte has no file.
    let _ = std::fs::remove_file(asset.file);
    Ok(Answer::empty(204))
}

/// An asset that this request may see, with its release.
fn visible<'a>(call: &Call, repo: &'a Repo, id: u64) -> Result<(&'a Release, &'a Asset), Refusal> {
    let (release, asset) = repo.rules.asset(id)?;
    releases::visible(call, repo, release.id)?;
    Ok((release, asset))
}
