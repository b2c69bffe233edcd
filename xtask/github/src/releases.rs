//! Reading, creating and deleting releases, and GitHub's rules about which one owns a tag.

use std::time::SystemTime;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::answer::{Answer, Outcome, Refusal};
use crate::call::Call;
use crate::fields::{Fields, MakeLatest};
use crate::json;
use crate::model::Release;
use crate::pages::page;
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
    let mut all = store.listed(at).iter();
    let release = all.find(|it| !it.draft && it.tag_name == tag);
    let release = release.ok_or_else(Refusal::not_found)?;
    let json = json::release(&store.repositories[at], release);
    Ok(Answer::json(200, &json))
}

pub(crate) fn latest(store: &Store, at: usize) -> Outcome {
    let repo = &store.repositories[at];
    let release = latest_of(repo, store.listed(at)).ok_or_else(Refusal::not_found)?;
    Ok(Answer::json(200, &json::release(repo, release)))
}

/// GitHub's own latest release: the one made so, else the newest by the date of its commit. Never a draft or a prerelease.
pub(crate) fn latest_of<'a>(repo: &Repo, releases: &'a [Release]) -> Option<&'a Release> {
    let full = || releases.iter().filter(|it| !it.draft && !it.prerelease);
    full().find(|it| Some(it.id) == repo.latest).or_else(|| full().max_by_key(|it| (it.created_at, it.id)))
}

pub(crate) fn create(store: &mut Store, call: &Call, at: usize) -> Outcome {
    call.require_push(&store.repositories[at])?;
    let fields = Fields::parse(&call.object()?)?;
    let id = store.next_id();
    let repo = &mut store.repositories[at];
    let Some(tag) = fields.tag_name.clone() else {
        return Err(Refusal::schema("\"tag_name\" wasn't supplied."));
    };
    let mut release = Release {
        id,
        tag_name: tag,
        target_commitish: repo.refs.default_branch().to_owned(),
        name: None,
        body: None,
        draft: false,
        prerelease: false,
        immutable: false,
        created_at: SystemTime::now(),
        published_at: None,
        author: call.login(),
        assets: Vec::new(),
        untagged: untagged(repo.id, id),
    };
    fields.apply(&mut release);
    settle(repo, None, &mut release, fields.make_latest)?;
    let json = json::release(repo, &release);
    repo.releases.push(release);
    Ok(Answer::json(201, &json).with("Location", json["url"].as_str().unwrap_or_default()))
}

pub(crate) fn edit(store: &mut Store, call: &Call, at: usize, id: u64) -> Outcome {
    let repo = &mut store.repositories[at];
    call.require_push(repo)?;
    let before = visible(call, repo, id)?.clone();
    let body = call.object()?;
    let fields = Fields::parse(&body)?;
    let mut release = before.clone();
    fields.apply(&mut release);
    if before.draft && fields.tag_name.is_none() && !only_publishes(&body) {
        release.tag_name.clone_from(&release.untagged);
    }
    let locked = (&release.tag_name, release.draft) != (&before.tag_name, before.draft);
    if before.immutable && locked {
        let message = "Cannot change the tag of an immutable release";
        return Err(Refusal::new(422, message));
    }
    settle(repo, Some(&before), &mut release, fields.make_latest)?;
    let json = json::release(repo, &release);
    *repo.release_mut(id)? = release;
    Ok(Answer::json(200, &json))
}

pub(crate) fn delete(store: &mut Store, call: &Call, at: usize, id: u64) -> Outcome {
    let repo = &mut store.repositories[at];
    call.require_push(repo)?;
    for asset in &visible(call, repo, id)?.assets {
        // One that never got a byte has no file.
        let _ = std::fs::remove_file(&asset.file);
    }
    repo.releases.retain(|it| it.id != id);
    Ok(Answer::empty(204))
}

/// A release that this request may see: drafts are for those who can push.
pub(crate) fn visible<'a>(call: &Call, repo: &'a Repo, id: u64) -> Result<&'a Release, Refusal> {
    let release = repo.release(id).ok_or_else(Refusal::not_found)?;
    if release.draft && !call.can_push(repo) {
        return Err(Refusal::not_found());
    }
    Ok(release)
}

/// `untagged-` and 20 hex digits, the same for the same release.
pub(crate) fn untagged(repository: u64, release: u64) -> String {
    let digest = Sha256::digest(format!("{repository}/{release}"));
    let hex = json::hex(&digest);
    format!("untagged-{}", &hex[..20])
}

/// Applies GitHub's rules to a release as it is to become: whose tag it is, what publishing does.
pub(crate) fn settle(
    repo: &mut Repo,
    before: Option<&Release>,
    release: &mut Release,
    make_latest: Option<MakeLatest>,
) -> Result<(), Refusal> {
    let known = repo.refs.tags.contains_key(&release.tag_name);
    if !known && !repo.git().is_tag_name(&release.tag_name)? {
        let message = "tag_name is not a valid tag";
        return Err(Refusal::custom("Release", Some("tag_name"), message));
    }
    let out_of_reach = release.draft || release.prerelease;
    if make_latest == Some(MakeLatest::True) && out_of_reach {
        let message = "Latest release cannot be draft or prerelease";
        return Err(Refusal::custom("Release", None, message));
    }
    if release.draft {
        release.published_at = None;
    } else {
        own_tag(repo, before, release)?;
        let newly = before.is_none_or(|it| it.draft);
        if newly {
            release.published_at = Some(SystemTime::now());
        }
        if newly && repo.config.immutable_releases {
            release.immutable = true;
            repo.retired_tags.insert(release.tag_name.clone());
        }
        // A release that is published becomes the latest one unless that is declined; an edit doesn't do it by itself.
        let default = newly.then_some(MakeLatest::True);
        match make_latest.or(default) {
            Some(MakeLatest::True) if !release.prerelease => repo.latest = Some(release.id),
            Some(MakeLatest::Legacy) => repo.latest = None,
            _ => {}
        }
    }
    release.created_at = repo.commit_date(&release.tag_name, &release.target_commitish)?;
    Ok(())
}

/// Makes the tag of a release that is published its own: no other published release may have it, and git must.
fn own_tag(repo: &mut Repo, before: Option<&Release>, release: &Release) -> Result<(), Refusal> {
    let tag = &release.tag_name;
    let mut others = repo.releases.iter().filter(|it| it.id != release.id);
    if others.any(|it| !it.draft && it.tag_name == *tag) {
        return Err(Refusal::invalid("Release", "already_exists", "tag_name"));
    }
    let had_it = before.is_some_and(|it| !it.draft && it.tag_name == *tag);
    if repo.retired_tags.contains(tag) && !had_it {
        let message = "tag_name was used by an immutable release";
        return Err(Refusal::custom("Release", Some("tag_name"), message));
    }
    if repo.refs.tags.contains_key(tag) {
        return Ok(());
    }
    let Some(commit) = repo.commit_of(&release.target_commitish)? else {
        return Err(Refusal::invalid("Release", "invalid", "target_commitish"));
    };
    repo.git().create_tag(tag, &commit)?;
    repo.refs = repo.git().look(&repo.refs)?;
    Ok(())
}

/// Whether a change does nothing but publish. `gh release create` sends just that after its uploads, without the tag's name, and
/// GitHub keeps the tag then; with any other change of a draft it is lost.
fn only_publishes(body: &Value) -> bool {
    let allowed = ["draft", "make_latest", "discussion_category_name"];
    let keys = body.as_object().map(|it| it.keys().map(String::as_str));
    body["draft"] == false && keys.is_some_and(|mut keys| keys.all(|key| allowed.contains(&key)))
}
