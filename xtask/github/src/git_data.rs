//! The part of the API that shows refs, tag objects and commits.

use serde_json::Value;

use crate::answer::{Answer, Outcome, Refusal};
use crate::call::Call;
use crate::json;
use crate::pages::page;
use crate::store::Repo;

/// `GET git/ref/…`: the ref of exactly this name, without `refs/`.
pub(crate) fn one_ref(repo: &Repo, name: &str) -> Outcome {
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
