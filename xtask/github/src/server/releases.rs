//! The requests that read, make, change and delete releases.

use std::time::SystemTime;

use serde_json::Value;

use crate::model::Release;
use crate::rules::{Change, Refusal};
use crate::server::answer::{Answer, Outcome};
use crate::server::call::Call;
use crate::server::faults::Fault;
use crate::server::json;
use crate::server::pages;
use crate::server::store::{Repo, Store};

pub(crate) fn list(store: &Store, call: &Call, at: usize) -> Outcome {
    let repo = &store.repositories[at];
    let (page, size) = pages::asked(call);
    let limit = repo.config.listed_releases;
    if (page - 1) * size >= limit {
        return Err(Refusal::new(422, format!("Only the first {limit} results are available.")));
    }
    if repo.config.slow_page.is_some_and(|slow| size >= slow) {
        let message = "We couldn't respond to your request in time. Sorry about that. Please try resubmitting your request \
                       and contact us if the problem persists.";
        return Err(Refusal::new(504, message));
    }
    let all = store.listed(at).iter().rev();
    let seen = all.filter(|it| !it.draft || call.can_push(repo));
    let each: Vec<Value> = seen.map(|it| json::release(repo, it)).collect();
    Ok(pages::page(call, repo, each))
}

pub(crate) fn by_id(store: &Store, call: &Call, at: usize, id: u64) -> Outcome {
    store.require_shown(at, id)?;
    let repo = &store.repositories[at];
    let release = store.by_id(at, id).and_then(|it| visible_to(call, repo, it))?;
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
    let change = change(call)?;
    let (rules, mut git) = repo.parts(call.workflows());
    let id = rules.create(&mut git, &change, &call.login(), SystemTime::now())?.id;
    let json = json::release(repo, repo.rules.release(id)?);
    let late = call.faults.find(|fault| match fault {
        Fault::LateById { lasting } => Some(*lasting),
        _ => None,
    });
    if let Some(lasting) = late {
        store.hide(at, id, lasting);
    }
    Ok(Answer::created(&json))
}

pub(crate) fn edit(store: &mut Store, call: &Call, at: usize, id: u64) -> Outcome {
    store.require_shown(at, id)?;
    let repo = &mut store.repositories[at];
    call.require_push(repo)?;
    let change = change(call)?;
    let (rules, mut git) = repo.parts(call.workflows());
    rules.edit(&mut git, id, &change, SystemTime::now())?;
    Ok(Answer::json(200, &json::release(repo, repo.rules.release(id)?)))
}

pub(crate) fn delete(store: &mut Store, call: &Call, at: usize, id: u64) -> Outcome {
    store.require_shown(at, id)?;
    let repo = &mut store.repositories[at];
    call.require_push(repo)?;
    for asset in repo.rules.delete(id)?.assets {
        // One that never got a byte has no file.
        let _ = std::fs::remove_file(asset.file);
    }
    Ok(Answer::empty(204))
}

fn change(call: &Call) -> Result<Change, Refusal> {
    let mut change = Change::parse(&call.object()?)?;
    if call.faults.has(&Fault::StaysDraft) {
        change.draft = Some(true);
    }
    Ok(change)
}

/// A release that this request may see: drafts are for those who can push.
pub(crate) fn visible<'a>(call: &Call, repo: &'a Repo, id: u64) -> Result<&'a Release, Refusal> {
    visible_to(call, repo, repo.rules.release(id)?)
}

fn visible_to<'a>(call: &Call, repo: &Repo, release: &'a Release) -> Result<&'a Release, Refusal> {
    if release.draft && !call.can_push(repo) {
        return Err(Refusal::not_found());
    }
    Ok(release)
}
