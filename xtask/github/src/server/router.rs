//! Which handler answers which method, host and path.

use serde_json::{Value, json};

use crate::model::TokenKind;
use crate::rules::Refusal;
use crate::server::answer::{Answer, Outcome};
use crate::server::call::Call;
use crate::server::json;
use crate::server::store::{RATE, Store};
use crate::server::{assets, download, git_data, graphql, issues, releases, repository, rulesets};

pub(super) const API: &str = "api.github.com";
const UPLOADS: &str = "uploads.github.com";

pub(super) fn is_upload(call: &Call) -> bool {
    let path: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    call.host == UPLOADS && call.method == "POST" && matches!(path.as_slice(), ["repos", _, _, "releases", _, "assets"])
}

/// The repository that a path is about.
pub(super) fn repository_of(store: &Store, segments: &[String]) -> Option<usize> {
    match segments {
        [first, owner, name, ..] if first == "repos" => store.find(&format!("{owner}/{name}")),
        [first, id, ..] if first == "repositories" => {
            let id: u64 = id.parse().ok()?;
            store.repositories.iter().position(|it| it.rules.id == id)
        }
        [owner, name, ..] => store.find(&format!("{owner}/{name}")),
        _ => None,
    }
}

/// Answers everything but uploads. `None` is what this stand-in doesn't know.
pub(super) fn route(store: &mut Store, call: &Call) -> Option<Outcome> {
    // Releases lose their tag and the timeline sees a push before anybody is answered.
    let at = repository_of(store, &call.segments);
    let look = |store: &mut Store| at.map_or(Ok(()), |at| store.look(at, Some(call.number)));
    if let Err(error) = look(store) {
        return Some(Err(error.into()));
    }
    let outcome = match call.host.as_str() {
        API => api(store, call),
        "github.com" => website(store, call),
        download::HOST => asset_host(store, call),
        _ => None,
    }?;
    if call.method == "GET" {
        return Some(outcome);
    }
    match look(store) {
        Ok(()) => Some(outcome),
        Err(error) => Some(Err(error.into())),
    }
}

fn api(store: &mut Store, call: &Call) -> Option<Outcome> {
    let path: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    match (call.method.as_str(), path.as_slice()) {
        ("GET", []) => Some(Ok(Answer::json(200, &json!({ "current_user_url": "https://api.github.com/user" })))),
        ("GET", ["rate_limit"]) => Some(Ok(Answer::json(200, &rate_limit(store)))),
        ("GET", ["user"]) => Some(current_user(call)),
        ("GET", ["installation", "repositories"]) => Some(installation(store, call)),
        ("POST", ["graphql"]) => graphql::answer(store, call),
        (_, ["repos", owner, name, rest @ ..]) => match call.repository(store, &format!("{owner}/{name}")) {
            Ok(at) => in_repository(store, call, at, rest),
            Err(refusal) => Some(repository::moved(store, call).ok_or(refusal)),
        },
        (_, ["repositories", _, rest @ ..]) => {
            let found = repository_of(store, &call.segments);
            let found = found.filter(|at| call.access(&store.repositories[*at]).is_some());
            match found {
                Some(at) => in_repository(store, call, at, rest),
                None => Some(Err(Refusal::not_found())),
            }
        }
        _ => None,
    }
}

fn in_repository(store: &mut Store, call: &Call, at: usize, path: &[&str]) -> Option<Outcome> {
    if call.method == "GET" {
        return reading(store, call, at, path);
    }
    Some(match (call.method.as_str(), path) {
        ("PATCH", []) => repository::edit(store, call, at),
        ("POST", ["releases"]) => releases::create(store, call, at),
        ("PATCH", ["releases", id]) => releases::edit(store, call, at, number(id)?),
        ("DELETE", ["releases", id]) => releases::delete(store, call, at, number(id)?),
        ("PATCH", ["releases", "assets", id]) => assets::edit(store, call, at, number(id)?),
        ("DELETE", ["releases", "assets", id]) => assets::delete(store, call, at, number(id)?),
        ("POST", ["rulesets"]) => rulesets::create(&mut store.repositories[at], call),
        ("DELETE", ["rulesets", id]) => rulesets::delete(&mut store.repositories[at], call, number(id)?),
        ("POST", ["git", "refs"]) => git_data::create_ref(&store.repositories[at], call),
        ("PATCH", ["git", "refs", name @ ..]) => git_data::move_ref(&store.repositories[at], call, &name.join("/")),
        ("DELETE", ["git", "refs", name @ ..]) => git_data::delete_ref(&store.repositories[at], call, &name.join("/")),
        ("POST", ["git", "tags"]) => git_data::create_tag_object(&store.repositories[at], call),
        ("POST", ["git", "commits"]) => git_data::create_commit(&store.repositories[at], call),
        ("POST", ["issues"]) => issues::create(store, call, at),
        ("PATCH", ["issues", id]) => issues::edit(store, call, at, number(id)?),
        ("POST", ["issues", id, "comments"]) => issues::comment(store, call, at, number(id)?),
        ("PATCH", ["issues", "comments", id]) => issues::edit_comment(store, call, at, number(id)?),
        _ => return None,
    })
}

fn reading(store: &mut Store, call: &Call, at: usize, path: &[&str]) -> Option<Outcome> {
    if let ["releases", "assets", id] = path {
        return Some(assets::by_id(store, call, at, number(id)?));
    }
    let (store, repo) = (&*store, &store.repositories[at]);
    Some(match path {
        [] => repository::get(store, call, at),
        ["immutable-releases"] => repository::immutable_releases(store, call, at),
        ["rulesets"] => rulesets::list(repo, call),
        ["rulesets", id] => rulesets::one(repo, number(id)?),
        ["releases"] => releases::list(store, call, at),
        ["releases", "latest"] => releases::latest(store, at),
        ["releases", "tags", tag @ ..] => releases::by_tag(store, at, &tag.join("/")),
        ["releases", id] => releases::by_id(store, call, at, number(id)?),
        ["releases", id, "assets"] => assets::list(store, call, at, number(id)?),
        // No longer described, and still answered: a listing of all.
        ["git", "refs"] => git_data::matching(repo, call, ""),
        ["git", "ref", name @ ..] => git_data::one_ref(repo, &name.join("/")),
        ["git", "matching-refs", prefix @ ..] => git_data::matching(repo, call, &prefix.join("/")),
        ["git", "tags", sha] => git_data::tag_object(repo, sha),
        ["commits", name @ ..] if !name.is_empty() => git_data::commit(repo, call, &name.join("/")),
        ["issues"] => issues::list(repo, call),
        ["issues", id] => issues::get(repo, number(id)?),
        ["issues", id, "comments"] => issues::comments(repo, call, number(id)?),
        _ => return None,
    })
}

fn website(store: &mut Store, call: &Call) -> Option<Outcome> {
    if let Some(answer) = repository::moved(store, call) {
        return Some(Ok(answer));
    }
    let path: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    match (call.method.as_str(), path.as_slice()) {
        ("GET", [owner, name, "releases", "latest", "download", file]) => {
            Some(download::latest(store, call, &format!("{owner}/{name}"), file))
        }
        ("GET", [owner, name, "releases", "download", tag @ .., file]) if !tag.is_empty() => {
            let repository = format!("{owner}/{name}");
            Some(download::public(store, call, &repository, &tag.join("/"), file))
        }
        _ => None,
    }
}

fn asset_host(store: &mut Store, call: &Call) -> Option<Outcome> {
    let known = call.segments.first().map(String::as_str) == Some(download::FOLDER);
    (call.method == "GET" && known).then(|| Ok(download::bytes(store, call)))
}

/// <https://docs.github.com/rest/rate-limit/rate-limit>
fn rate_limit(store: &Store) -> Value {
    let (remaining, reset) = (store.remaining, super::reset());
    let rate = json!({ "limit": RATE, "remaining": remaining, "used": RATE - remaining, "reset": reset });
    let search = json!({ "limit": 30, "remaining": 30, "used": 0, "reset": reset });
    json!({ "resources": { "core": rate, "search": search }, "rate": rate })
}

fn current_user(call: &Call) -> Outcome {
    let token = call.require_token()?;
    if token.kind == TokenKind::Actions {
        return Err(call.forbidden());
    }
    Ok(Answer::json(200, &json::current_user(&token.login)))
}

/// <https://docs.github.com/rest/apps/installations#list-repositories-accessible-to-the-app-installation>
fn installation(store: &Store, call: &Call) -> Outcome {
    if call.require_token()?.kind != TokenKind::Actions {
        let why = "You must authenticate with an installation access token in order to list repositories for an installation.";
        return Err(Refusal::new(403, why.to_owned()));
    }
    let reached = store.repositories.iter().filter(|repo| call.access(repo).is_some());
    let each: Vec<_> = reached.map(json::repository).collect();
    Ok(Answer::json(200, &json!({ "total_count": each.len(), "repositories": each })))
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}
