//! The few GraphQL queries that `gh` sends by itself, told apart by the names it gives them.

use serde_json::{Value, json};

use crate::model::Release;
use crate::rules::Refusal;
use crate::server::answer::{Answer, Outcome};
use crate::server::call::Call;
use crate::server::json;
use crate::server::store::Store;

/// `None` is a query that this stand-in doesn't know.
pub(crate) fn answer(store: &Store, call: &Call) -> Option<Outcome> {
    let body = match call.object() {
        Ok(body) => body,
        Err(refusal) => return Some(Err(refusal)),
    };
    let query = body["query"].as_str()?;
    if query.starts_with("mutation UpdateRefs(") {
        let answered = update_refs(store, call, &body["variables"]["input"]);
        return Some(answered.map(|answer| Answer::json(200, &answer)));
    }
    let name = query.strip_prefix("query ")?.split(['(', '{']).next()?;
    let asked = Query { text: query, variables: &body["variables"] };
    let data: fn(&Store, &Call, &Query) -> Result<Value, Refusal> = match name {
        "UserCurrent" => current_user,
        "Release_fields" => release_fields,
        "RepositoryReleaseByTag" => by_tag,
        "RepositoryReleaseList" => list,
        _ => return None,
    };
    let answered = call.require_token().and_then(|_| data(store, call, &asked));
    Some(answered.map(|answer| Answer::json(200, &answer)))
}

struct Query<'a> {
    text: &'a str,
    variables: &'a Value,
}

impl Query<'_> {
    /// The fields of an object that the query asks for: `gh` refuses others.
    fn only(&self, mut object: Value) -> Value {
        let asked: Vec<&str> = self.text.split(|it: char| !it.is_alphanumeric()).collect();
        if let Some(fields) = object.as_object_mut() {
            fields.retain(|name, _| asked.contains(&name.as_str()));
        }
        object
    }
}

/// `gh auth status`.
fn current_user(_: &Store, call: &Call, _: &Query) -> Result<Value, Refusal> {
    Ok(json!({ "data": { "viewer": { "login": call.login() } } }))
}

/// `gh release list` asks what a release has before it asks for releases.
fn release_fields(_: &Store, _: &Call, _: &Query) -> Result<Value, Refusal> {
    let names = [
        "createdAt",
        "databaseId",
        "immutable",
        "isDraft",
        "isLatest",
        "isPrerelease",
        "name",
        "publishedAt",
        "tagName",
    ];
    let fields: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
    Ok(json!({ "data": { "Release": { "fields": fields } } }))
}

/// The half of `gh release view` that finds drafts.
fn by_tag(store: &Store, call: &Call, query: &Query) -> Result<Value, Refusal> {
    let Some(at) = repository(store, call, query.variables) else {
        return Ok(unresolved(query.variables));
    };
    let seen = visible(store, call, at);
    let with_tag: Vec<&&Release> = seen.iter().filter(|it| query.variables["tagName"] == it.tag_name).collect();
    let published = with_tag.iter().find(|it| !it.draft);
    let found = published.or(with_tag.last());
    let release = found.map(|it| json!({ "databaseId": it.id, "isDraft": it.draft }));
    Ok(json!({ "data": { "repository": { "release": release } } }))
}

/// `gh release list`, newest first.
fn list(store: &Store, call: &Call, query: &Query) -> Result<Value, Refusal> {
    let Some(at) = repository(store, call, query.variables) else {
        return Ok(unresolved(query.variables));
    };
    let number = |name: &str| {
        let value = &query.variables[name];
        let text = value.as_str().and_then(|it| it.parse().ok());
        text.or_else(|| value.as_u64()).and_then(|it| usize::try_from(it).ok())
    };
    let (from, size) = (number("endCursor").unwrap_or(0), number("perPage").unwrap_or(30));
    let mut all = visible(store, call, at);
    all.sort_by_key(|it| std::cmp::Reverse((it.created_at, it.id)));
    let latest = store.repositories[at].rules.latest_of(store.listed(at)).map(|it| it.id);
    let node = |it: &&Release| {
        query.only(json!({
            "name": it.name,
            "tagName": it.tag_name,
            "isDraft": it.draft,
            "isLatest": Some(it.id) == latest,
            "isPrerelease": it.prerelease,
            "immutable": it.immutable,
            "createdAt": json::time(it.created_at),
            "publishedAt": it.published_at.map(json::time),
        }))
    };
    let nodes: Vec<Value> = all.iter().skip(from).take(size).map(node).collect();
    let end = from + nodes.len();
    let page = json!({ "hasNextPage": end < all.len(), "endCursor": end.to_string() });
    Ok(json!({ "data": { "repository": { "releases": { "nodes": nodes, "pageInfo": page } } } }))
}

/// Moves refs, all or none, each from the object that it is said to have. <https://docs.github.com/graphql/reference/mutations#updaterefs>
fn update_refs(store: &Store, call: &Call, input: &Value) -> Result<Value, Refusal> {
    call.require_token()?;
    let mut repositories = store.repositories.iter();
    let found = repositories.find(|it| input["repositoryId"] == json::repository(it)["node_id"]);
    let Some(repo) = found.filter(|repo| call.access(repo).is_some()) else {
        return Ok(failed("NOT_FOUND", "Could not resolve to a node with the global id"));
    };
    if call.require_push(repo).is_err() {
        return Ok(failed("FORBIDDEN", "Resource not accessible"));
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let updates = input["refUpdates"].as_array().into_iter().flatten();
    let updates: Vec<[String; 3]> =
        updates.map(|it| [text(&it["name"]), text(&it["afterOid"]), text(&it["beforeOid"])]).collect();
    match repo.git().set_refs(&updates)? {
        None => Ok(json!({ "data": { "updateRefs": { "clientMutationId": null } } })),
        Some(why) => Ok(failed("UNPROCESSABLE", &why)),
    }
}

fn failed(kind: &str, message: &str) -> Value {
    json!({
        "data": { "updateRefs": null },
        "errors": [{ "type": kind, "path": ["updateRefs"], "message": message }],
    })
}

fn repository(store: &Store, call: &Call, variables: &Value) -> Option<usize> {
    let (owner, name) = (variables["owner"].as_str()?, variables["name"].as_str()?);
    let name = format!("{owner}/{name}");
    // A former name leads on without a word.
    let at = store.find(&name).or_else(|| store.find_former(&name))?;
    call.access(&store.repositories[at]).map(|_| at)
}

fn visible<'a>(store: &'a Store, call: &Call, at: usize) -> Vec<&'a Release> {
    let push = call.can_push(&store.repositories[at]);
    let all = store.listed(at).iter();
    all.filter(|it| push || !it.draft).collect()
}

/// GraphQL answers 200 to this as well.
fn unresolved(variables: &Value) -> Value {
    let name = |key: &str| variables[key].as_str().unwrap_or_default().to_owned();
    let (owner, name) = (name("owner"), name("name"));
    let message = format!("Could not resolve to a Repository with the name '{owner}/{name}'.");
    json!({
        "data": { "repository": null },
        "errors": [{ "type": "NOT_FOUND", "path": ["repository"], "message": message }],
    })
}
