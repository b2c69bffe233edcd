//! A repository itself: what it says of itself, its names, and whether its releases are immutable.

use serde_json::json;

use crate::model::{Access, TokenKind};
use crate::rules::Refusal;
use crate::server::answer::{Answer, Outcome};
use crate::server::call::Call;
use crate::server::download::redirect;
use crate::server::fields::text;
use crate::server::json;
use crate::server::store::Store;

pub(crate) fn get(store: &Store, call: &Call, at: usize) -> Outcome {
    let repo = &store.repositories[at];
    let mut body = json::repository(repo);
    if call.token.is_some() {
        // To the token of an app's installation, such as a workflow's, GitHub says no to all of them, whatever it may do:
        // <https://github.com/semantic-release/github/issues/182>
        let of_app = call.token.as_ref().is_some_and(|token| token.kind == TokenKind::Actions);
        let access = call.access(repo).filter(|_| !of_app);
        let push = access >= Some(Access::Push);
        let admin = access >= Some(Access::Admin);
        body["permissions"] = json!({
            "admin": admin, "maintain": admin, "push": push, "triage": push, "pull": !of_app,
        });
    }
    Ok(Answer::json(200, &body))
}

/// Of what can be changed only the name is heeded.
pub(crate) fn edit(store: &mut Store, call: &Call, at: usize) -> Outcome {
    if call.access(&store.repositories[at]) < Some(Access::Admin) {
        return Err(Refusal::not_found());
    }
    let name = text(&call.object()?, "name")?.flatten();
    let old = store.repositories[at].rules.name.clone();
    if let (Some(name), Some((owner, old))) = (name, old.split_once('/'))
        && name != old
    {
        let name = format!("{owner}/{name}");
        if store.find(&name).is_some() {
            return Err(Refusal::custom("Repository", Some("name"), "name already exists on this account"));
        }
        store.rename(at, &name);
    }
    get(store, call, at)
}

/// Where a request is led that names a repository by a name which it had before. gh follows where it can send the same again.
pub(crate) fn moved(store: &Store, call: &Call) -> Option<Answer> {
    let of_api = call.segments.first().is_some_and(|it| it == "repos");
    let [owner, name, rest @ ..] = &call.segments[usize::from(of_api)..] else {
        return None;
    };
    let name = format!("{owner}/{name}");
    if store.find(&name).is_some() {
        return None;
    }
    let repo = &store.repositories[store.find_former(&name)?];
    call.access(repo)?;
    let start = match of_api {
        true => format!("https://api.github.com/repositories/{}", repo.rules.id),
        false => format!("https://github.com/{}", repo.rules.name),
    };
    let rest = rest.iter().map(|it| format!("/{}", json::path(it)));
    let query = Some(&call.raw_query).filter(|it| !it.is_empty()).map(|it| format!("?{it}"));
    let address: String = [start].into_iter().chain(rest).chain(query).collect();
    let status = if call.method == "GET" { 301 } else { 307 };
    let body = json!({
        "message": "Moved Permanently",
        "url": address,
        "documentation_url": "https://docs.github.com/v3/#http-redirects",
    });
    Some(Answer { status, ..redirect(call, &address) }.with_json(&body))
}

/// 200 whether they are or not, since 2026: apache/infrastructure-asfyaml#84.
pub(crate) fn immutable_releases(store: &Store, call: &Call, at: usize) -> Outcome {
    let repo = &store.repositories[at];
    call.require_token()?;
    if call.access(repo) < Some(Access::Admin) {
        return Err(call.forbidden());
    }
    let body = json!({ "enabled": repo.config.immutable_releases, "enforced_by_owner": false });
    Ok(Answer::json(200, &body))
}
