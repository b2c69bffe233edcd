//! Pages of a listing, with the `Link` header that leads from one to the next.

use serde_json::Value;

use crate::server::answer::Answer;
use crate::server::call::Call;
use crate::server::store::Repo;

/// Which page a request asks for, from 1, and how much is on one.
pub(crate) fn asked(call: &Call) -> (usize, usize) {
    let number = |name: &str| call.parameter(name).and_then(|it| it.parse::<usize>().ok());
    let size = number("per_page").filter(|it| *it > 0).unwrap_or(30).min(100);
    (number("page").unwrap_or(1).max(1), size)
}

/// The page that a request asks for. Like GitHub, links name the repository by its number.
pub(crate) fn page(call: &Call, repo: &Repo, all: Vec<Value>) -> Answer {
    let (current, size) = asked(call);
    let last = all.len().div_ceil(size).max(1);

    let rest = call.segments.iter().skip(if call.segments[0] == "repos" { 3 } else { 2 });
    let rest: Vec<&str> = rest.map(String::as_str).collect();
    let link = |page: usize, relation: &str| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let others = call.query.iter().filter(|(key, _)| key != "page");
        query.extend_pairs(others).append_pair("page", &page.to_string());
        let (id, rest, query) = (repo.rules.id, rest.join("/"), query.finish());
        format!("<https://api.github.com/repositories/{id}/{rest}?{query}>; rel=\"{relation}\"")
    };
    let mut links = Vec::new();
    if current > 1 {
        links.push(link(last.min(current - 1), "prev"));
    }
    if current < last {
        links.push(link(current + 1, "next"));
        links.push(link(last, "last"));
    }
    if current > 1 {
        links.push(link(1, "first"));
    }

    let shown: Vec<Value> = all.into_iter().skip((current - 1) * size).take(size).collect();
    let answer = Answer::json(200, &Value::Array(shown));
    if links.is_empty() { answer } else { answer.with("Link", links.join(", ")) }
}
