//! The part of the API that shows refs, tag objects and commits, and makes them for clients without a clone.

use serde_json::Value;

use crate::rules::Refusal;
use crate::server::answer::{Answer, Outcome};
use crate::server::call::Call;
use crate::server::fields::text;
use crate::server::json;
use crate::server::pages::page;
use crate::server::store::Repo;

/// `GET git/ref/…`: the ref of exactly this name, without `refs/`.
pub(crate) fn one_ref(repo: &Repo, name: &str) -> Outcome {
    require_commits(repo)?;
    let full = format!("refs/{name}");
    let all = repo.git().refs(&full)?;
    let (_, sha, kind) = all.iter().find(|(name, ..)| *name == full).ok_or_else(Refusal::not_found)?;
    Ok(Answer::json(200, &json::git_ref(repo, &full, sha, kind)))
}

/// `GET git/matching-refs/…`: every ref that begins so.
pub(crate) fn matching(repo: &Repo, call: &Call, prefix: &str) -> Outcome {
    let all = repo.git().refs(&format!("refs/{prefix}"))?;
    let each = all.iter().map(|(name, sha, kind)| json::git_ref(repo, name, sha, kind));
    Ok(page(call, repo, each.collect::<Vec<Value>>()))
}

/// `GET git/tags/SHA`: an annotated tag.
pub(crate) fn tag_object(repo: &Repo, sha: &str) -> Outcome {
    let tag = repo.git().tag_object(sha)?.ok_or_else(Refusal::not_found)?;
    Ok(Answer::json(200, &json::tag_object(repo, sha, &tag)))
}

/// `GET commits/REF`: a commit, or its bare id for those who ask for that.
pub(crate) fn commit(repo: &Repo, call: &Call, name: &str) -> Outcome {
    require_commits(repo)?;
    let Some(sha) = repo.commit_of(name)? else {
        let message = format!("No commit found for SHA: {name}");
        return Err(Refusal::new(422, message));
    };
    let bare = ["application/vnd.github.sha", "application/vnd.github.v3.sha"];
    let accepted = call.header("accept").unwrap_or_default();
    if bare.iter().any(|kind| accepted.contains(kind)) {
        let kind = format!("{}; charset=utf-8", bare[0]);
        return Ok(Answer::text(200, &kind, sha));
    }
    let commit = repo.git().commit(&sha)?;
    Ok(Answer::json(200, &json::commit(repo, &commit)))
}

/// `POST git/refs`: a new ref, by its full name.
pub(crate) fn create_ref(repo: &Repo, call: &Call) -> Outcome {
    call.require_push(repo)?;
    require_commits(repo)?;
    let body = call.object()?;
    let (name, sha) = (required(&body, "ref")?, object_id(&required(&body, "sha")?)?);
    let short = name.strip_prefix("refs/tags/").or_else(|| name.strip_prefix("refs/heads/"));
    if short.is_none() || !repo.git().is_ref_name(&name)? {
        return Err(Refusal::new(422, format!("{name} is not a valid ref name.")));
    }
    if repo.git().refs(&name)?.iter().any(|(known, ..)| *known == name) {
        return Err(Refusal::new(422, "Reference already exists"));
    }
    let kind = kind_of(repo, &name, &sha)?;
    repo.rules.check_rulesets(&name, "creation")?;
    repo.git().set_ref(&name, &sha, Some(&"0".repeat(40)))?;
    Ok(Answer::created(&json::git_ref(repo, &name, &sha, &kind)))
}

/// `PATCH git/refs/…`: moves a ref, forward alone unless `force` says otherwise.
pub(crate) fn move_ref(repo: &Repo, call: &Call, name: &str) -> Outcome {
    call.require_push(repo)?;
    let body = call.object()?;
    let sha = object_id(&required(&body, "sha")?)?;
    let force = flag(&body, "force")?;
    let full = format!("refs/{name}");
    let old = existing(repo, &full)?;
    let kind = kind_of(repo, &full, &sha)?;
    if !force && !repo.git().is_forward(&old, &sha)? {
        return Err(Refusal::new(422, "Update is not a fast forward"));
    }
    repo.rules.check_rulesets(&full, "update")?;
    repo.git().set_ref(&full, &sha, Some(&old))?;
    Ok(Answer::json(200, &json::git_ref(repo, &full, &sha, &kind)))
}

/// `DELETE git/refs/…`.
pub(crate) fn delete_ref(repo: &Repo, call: &Call, name: &str) -> Outcome {
    call.require_push(repo)?;
    let full = format!("refs/{name}");
    let old = existing(repo, &full)?;
    if full == format!("refs/heads/{}", repo.rules.default_branch) {
        return Err(Refusal::new(422, "Cannot delete the default branch"));
    }
    repo.rules.check_rulesets(&full, "deletion")?;
    repo.git().delete_ref(&full, &old)?;
    Ok(Answer::empty(204))
}

/// `POST git/tags`: the object of an annotated tag; no ref.
pub(crate) fn create_tag_object(repo: &Repo, call: &Call) -> Outcome {
    call.require_push(repo)?;
    require_commits(repo)?;
    let body = call.object()?;
    let (tag, message) = (required(&body, "tag")?, required(&body, "message")?);
    let (object, kind) = (object_id(&required(&body, "object")?)?, required(&body, "type")?);
    if repo.git().kind(&object)?.as_ref() != Some(&kind) || !repo.git().is_tag_name(&tag)? {
        return Err(Refusal::new(422, "Could not verify tag"));
    }
    let sha = repo.git().write_tag(&tag, &object, &kind, &call.login(), &message)?;
    let written = repo.git().tag_object(&sha)?.ok_or_else(Refusal::not_found)?;
    Ok(Answer::created(&json::tag_object(repo, &sha, &written)))
}

/// `POST git/commits`: a commit of a tree that is there; no ref.
pub(crate) fn create_commit(repo: &Repo, call: &Call) -> Outcome {
    call.require_push(repo)?;
    require_commits(repo)?;
    let body = call.object()?;
    let (message, tree) = (required(&body, "message")?, object_id(&required(&body, "tree")?)?);
    if repo.git().kind(&tree)?.as_deref() != Some("tree") {
        return Err(Refusal::new(422, "Tree SHA does not exist"));
    }
    let mut parents = Vec::new();
    for parent in body["parents"].as_array().into_iter().flatten() {
        let parent = object_id(parent.as_str().unwrap_or_default())?;
        if repo.git().kind(&parent)?.as_deref() != Some("commit") {
            return Err(Refusal::new(422, "Parent SHA does not exist or is not a commit object"));
        }
        parents.push(parent);
    }
    let sha = repo.git().write_commit(&tree, &parents, &call.login(), &message)?;
    let commit = repo.git().commit(&sha)?;
    Ok(Answer::created(&json::git_commit(repo, &commit)))
}

/// GitHub has a status of its own for a repository without a commit.
fn require_commits(repo: &Repo) -> Result<(), Refusal> {
    if repo.is_empty() { Err(Refusal::new(409, "Git Repository is empty.")) } else { Ok(()) }
}

fn required(body: &Value, key: &str) -> Result<String, Refusal> {
    let missing = || Refusal::schema(&format!("\"{key}\" wasn't supplied."));
    text(body, key)?.flatten().ok_or_else(missing)
}

fn flag(body: &Value, key: &str) -> Result<bool, Refusal> {
    match body.get(key) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => Err(Refusal::schema(&format!("For 'properties/{key}', {other} is not a boolean."))),
    }
}

fn object_id(text: &str) -> Result<String, Refusal> {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != 40 || !text.bytes().all(hex) {
        let message = "The sha parameter must be exactly 40 characters and contain only [0-9a-f].";
        return Err(Refusal::new(422, message));
    }
    Ok(text.to_owned())
}

/// The object that a ref points to.
fn existing(repo: &Repo, full: &str) -> Result<String, Refusal> {
    let all = repo.git().refs(full)?;
    let found = all.into_iter().find(|(name, ..)| name == full);
    found.map(|(_, sha, _)| sha).ok_or_else(|| Refusal::new(422, "Reference does not exist"))
}

/// What kind of object a ref is to point to: anything under `tags`, a commit under `heads`.
fn kind_of(repo: &Repo, full: &str, sha: &str) -> Result<String, Refusal> {
    let kind = repo.git().kind(sha)?.ok_or_else(|| Refusal::new(422, "Object does not exist"))?;
    if full.starts_with("refs/heads/") && kind != "commit" {
        return Err(Refusal::new(422, "Object is not a commit"));
    }
    Ok(kind)
}
