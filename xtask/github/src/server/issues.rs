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

/// Of a state, and with all of the labels that are asked for. The newest first.
pub(crate) fn list(repo: &Repo, call: &Call) -> Outcome {
    let state = call.parameter("state").unwrap_or("open");
    let labels = call.parameter("labels").unwrap_or_default();
    let labels: Vec<&str> = labels.split(',').filter(|it| !it.is_empty()).collect();
    let is_wanted = |it: &&Issue| {
        let in_state = state == "all" || it.is_open == (state == "open");
        in_state && labels.iter().all(|label| it.labels.iter().any(|has| has == label))
    };
    let issues = repo.issues.iter().rev().filter(is_wanted);
    Ok(page(call, repo, issues.map(|it| json::issue(repo, it)).collect::<Vec<Value>>()))
}

/// Labels that don't exist are made, for who may push; for others they are passed over.
pub(crate) fn create(store: &mut Store, call: &Call, at: usize) -> Outcome {
    call.require_token()?;
    let repo = &mut store.repositories[at];
    call.require_unarchived(repo)?;
    let fields = call.object()?;
    let title = text(&fields, "title")?.flatten().filter(|it| !it.trim().is_empty());
    let title = title.ok_or_else(|| Refusal::invalid("Issue", "missing_field", "title"))?;
    let labels = if call.can_push(repo) { labels(&fields) } else { None };
    let issue = Issue {
        number: repo.issues.iter().map(|it| it.number).max().unwrap_or_default() + 1,
        title,
        body: text(&fields, "body")?.flatten().unwrap_or_default(),
        author: call.login(),
        is_open: true,
        labels: labels.unwrap_or_default(),
        created_at: SystemTime::now(),
        comments: Vec::new(),
    };
    repo.issues.push(issue.clone());
    Ok(Answer::created(&json::issue(repo, &issue)))
}

pub(crate) fn edit(store: &mut Store, call: &Call, at: usize, number: u64) -> Outcome {
    call.require_token()?;
    let repo = &mut store.repositories[at];
    call.require_unarchived(repo)?;
    let fields = call.object()?;
    let may = call.can_push(repo) || find(repo, number)?.author == call.login();
    let issue = repo.issues.iter_mut().find(|it| it.number == number).ok_or_else(Refusal::not_found)?;
    if !may {
        return Err(call.forbidden());
    }
    if let Some(title) = text(&fields, "title")?.flatten() {
        issue.title = title;
    }
    if let Some(body) = text(&fields, "body")? {
        issue.body = body.unwrap_or_default();
    }
    match text(&fields, "state")?.flatten().as_deref() {
        None => {}
        Some("open") => issue.is_open = true,
        Some("closed") => issue.is_open = false,
        Some(_) => return Err(Refusal::invalid("Issue", "invalid", "state")),
    }
    if let Some(labels) = labels(&fields) {
        issue.labels = labels;
    }
    let issue = issue.clone();
    Ok(Answer::json(200, &json::issue(repo, &issue)))
}

/// As names, or as objects with a name.
fn labels(fields: &Value) -> Option<Vec<String>> {
    let labels = fields.get("labels")?.as_array()?.iter();
    Some(labels.filter_map(|it| it.get("name").unwrap_or(it).as_str().map(str::to_owned)).collect())
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
