//! Issues and their comments, as far as a release's documentation needs them.

use std::time::SystemTime;

use serde_json::Value;

use crate::model::{Comment, Issue};
use crate::rules::Refusal;
use crate::server::answer::{Answer, Outcome};
use crate::server::call::Call;
use crate::server::fields::text;
use crate::server::json;
use crate::server::pages::page;
use crate::server::store::{Repo, Store};

pub(crate) fn get(repo: &Repo, number: u64) -> Outcome {
    Ok(Answer::json(200, &json::issue(repo, find(repo, number)?)))
}

pub(crate) fn comments(repo: &Repo, call: &Call, number: u64) -> Outcome {
    let comments = find(repo, number)?.comments.iter();
    let each = comments.map(|it| json::comment(repo, number, it));
    Ok(page(call, repo, each.collect::<Vec<Value>>()))
}

pub(crate) fn comment(store: &mut Store, call: &Call, at: usize, number: u64) -> Outcome {
    call.require_token()?;
    call.require_unarchived(&store.repositories[at])?;
    let body = required_body(call)?;
    let now = SystemTime::now();
    let comment = Comment {
        id: store.repositories[at].rules.take_id(),
        body,
        author: call.login(),
        created_at: now,
        updated_at: now,
    };
    let repo = &mut store.repositories[at];
    find(repo, number)?;
    let json = json::comment(repo, number, &comment);
    let mut issues = repo.issues.iter_mut();
    if let Some(issue) = issues.find(|it| it.number == number) {
        issue.comments.push(comment);
    }
    Ok(Answer::created(&json))
}

pub(crate) fn edit_comment(store: &mut Store, call: &Call, at: usize, id: u64) -> Outcome {
    call.require_token()?;
    let repo = &mut store.repositories[at];
    call.require_unarchived(repo)?;
    let body = required_body(call)?;
    let pushes = call.can_push(repo);
    let mut all = repo.issues.iter_mut().flat_map(|issue| issue.comments.iter_mut().map(|it| (issue.number, it)));
    let (issue, comment) = all.find(|(_, comment)| comment.id == id).ok_or_else(Refusal::not_found)?;
    if comment.author != call.login() && !pushes {
        return Err(call.forbidden());
    }
    comment.body = body;
    comment.updated_at = SystemTime::now();
    let comment = comment.clone();
    Ok(Answer::json(200, &json::comment(repo, issue, &comment)))
}

fn find(repo: &Repo, number: u64) -> Result<&Issue, Refusal> {
    let mut all = repo.issues.iter();
    all.find(|it| it.number == number).ok_or_else(Refusal::not_found)
}

fn required_body(call: &Call) -> Result<String, Refusal> {
    let body = text(&call.object()?, "body")?.flatten();
    body.filter(|it| !it.trim().is_empty()).ok_or_else(|| Refusal::invalid("IssueComment", "missing_field", "body"))
}
