//! The requests that read, make, change and delete releases.

use std::time::SystemTime;

use serde_json::Value;

use crate::answer::{Answer, Outcome};
use crate::call::Call;
use crate::json;
use crate::model::Release;
use crate::pages::page;
use crate::rules::{Change, Refusal};
use crate::store::{Repo, Store};

pub(crate) fn list(store: &Store, call: &Call, at: usize) -> Outcome {
    let repo = &store.repositories[at];
    let all = store.listed(at).iter().rev();
    let seen = all.filter(|it| !it.draft || call.can_push(repo));
    let each: Vec<Value> = seen.map(|it| json::release(repo, it)).collect();
    Ok(page(call, repo, each))
}

pub(crate) fn by_id(store: &Store, call: &Call, at: usize, id: u64) -> Outcome {
    let repo = &store.repositories[at];
    let release = visible(call, repo, id)?;
    Ok(Answer::json(200, &json::release(repo, release)))
}

pub(crate) fn by_tag(store: &Store, at: usize, tag: &str) -> Outcome {
    let release = Release::published(store.listed(at), tag).ok_or_else(Refusal::not_found)?;
    Ok(Answer::json(200, &json::release(&store.repositories[at], release)))
}

pub(crate) fn latest(store: &Store, at: usize) -> Outcome {
    let repo = &store.repositories[at];
    let release = repo.rules.latest_of(store.listed(at)).ok_or_else(Refusal::not_found)?;
    Ok(Answer::json(200, &json::release(repo, release)))
}

pub(crate) fn create(store: &mut Store, call: &Call, at: usize) -> Outcome {
    let repo = &mut store.repositories[at];
    call.require_push(repo)?;
    let change = Change::parse(&call.object()?)?;
    let (rules, mut git) = repo.parts();
    let id = rules.create(&mut git, &change, &call.login(), SystemTime::now())?.id;
    let json = json::release(repo, repo.rules.release(id)?);
    Ok(Answer::json(201, &json).with("Location", json["url"].as_str().unwrap_or_default()))
}

pub(crate) fn edit(store: &mut Store, call: &Call, at: usize, id: u64) -> Outcome {
    let repo = &mut store.repositories[at];
    call.require_push(repo)?;
    let change = Change::parse(&call.object()?)?;
    let (rules, mut git) = repo.parts();
    rules.edit(&mut git, id, &change, SystemTime::now())?;
    Ok(Answer::json(200, &json::release(repo, repo.rules.release(id)?)))
}

pub(crate) fn delete(store: &mut Store, call: &Call, at: usize, id: u64) -> Outcome {
    let repo = &mut store.repositories[at];
    call.require_push(repo)?;
    for asset in repo.rules.delete(id)?.assets {
        // One that never got a byte has no file.
        let _ = std::fs::remove_file(asset.file);
    }
    Ok(Answer::empty(204))
}

/// A release that this request may see: drafts are for those who can push.
pub(crate) fn visible<'a>(call: &Call, repo: &'a Repo, id: u64) -> Result<&'a Release, Refusal> {
    let release = repo.rules.release(id)?;
    if release.draft && !call.can_push(repo) {
        return Err(Refusal::not_found());
    }
    Ok(release)
}
