//! Issues and comments.

use serde_json::{Value, json};

use crate::world::{READER, REPO, STRANGER, WRITER, World};

#[test]
fn comments_are_written_read_and_changed() {
    let world = World::new();
    let number = world.hub.seed_issue(REPO, "Release v0.46").unwrap();
    let issue = format!("/issues/{number}");
    let comments = format!("{issue}/comments");
    let created = world.repo(WRITER, "POST", &comments, &json!({ "body": "one" })).ok(201);
    let path = format!("/issues/comments/{}", created["id"]);
    let changed = world.repo(WRITER, "PATCH", &path, &json!({ "body": "two" })).ok(200);
    assert_eq!(json!([changed["id"], changed["body"]]), json!([created["id"], "two"]));
    let listed = world.repo(STRANGER, "GET", &comments, &Value::Null).ok(200);
    assert_eq!(json!([listed[0]["body"], listed[1]]), json!(["two", null]));
    assert_eq!(listed[0]["user"]["login"], "wim");
    let described = world.repo(STRANGER, "GET", &issue, &Value::Null).ok(200);
    assert_eq!(json!([described["title"], described["comments"]]), json!(["Release v0.46", 1]));
}

#[test]
fn comments_that_cannot_be() {
    let world = World::new();
    let number = world.hub.seed_issue(REPO, "Release v0.46").unwrap();
    let comments = format!("/issues/{number}/comments");
    let one = json!({ "body": "one" });
    assert_eq!(world.repo(STRANGER, "POST", &comments, &one).status, 401);
    assert_eq!(world.repo(WRITER, "POST", "/issues/99/comments", &one).status, 404);
    assert_eq!(world.repo(WRITER, "POST", &comments, &json!({})).invalid(), "missing_field");
    let created = world.repo(WRITER, "POST", &comments, &one).ok(201);
    let path = format!("/issues/comments/{}", created["id"]);
    assert_eq!(world.repo(READER, "PATCH", &path, &one).status, 403);
    assert_eq!(world.repo(WRITER, "PATCH", "/issues/comments/1", &one).status, 404);
}
