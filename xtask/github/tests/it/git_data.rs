//! Refs, tag objects and commits, as git has them at the moment of the request.

use serde_json::{Value, json};

use crate::world::{OWNER, READER, REPO, STRANGER, WRITER, World};

fn get(world: &World, path: &str) -> crate::world::Got {
    world.repo(STRANGER, "GET", path, &Value::Null)
}

#[test]
fn a_ref_names_its_own_object() {
    let world = World::new();
    let (tag, commit) = (world.git(&["rev-parse", "v0.44"]), world.git(&["rev-parse", "v0.45"]));
    let table = [("v0.44", "tag", &tag), ("v0.45", "commit", &commit)];
    for (name, kind, sha) in table {
        let got = get(&world, &format!("/git/ref/tags/{name}")).ok(200);
        assert_eq!(got["ref"], format!("refs/tags/{name}"));
        assert_eq!(json!([got["object"]["type"], got["object"]["sha"]]), json!([kind, sha]));
    }
    assert_eq!(get(&world, "/git/ref/tags/v0.4").status, 404);
    let matching = get(&world, "/git/matching-refs/tags/v0.4").ok(200);
    assert_eq!(matching.as_array().unwrap().len(), 2);
    assert_eq!(get(&world, "/git/matching-refs/tags/none").ok(200), json!([]));
}

#[test]
fn a_tag_object_leads_to_its_commit() {
    let world = World::new();
    let tag = world.git(&["rev-parse", "v0.44"]);
    let commit = world.git(&["rev-parse", "v0.44^{commit}"]);
    let got = get(&world, &format!("/git/tags/{tag}")).ok(200);
    assert_eq!(json!([got["tag"], got["message"]]), json!(["v0.44", "the release"]));
    assert_eq!(json!([got["object"]["type"], got["object"]["sha"]]), json!(["commit", commit]));
    assert_eq!(got["tagger"]["date"], "2026-01-02T03:04:05Z");
    assert_eq!(get(&world, &format!("/git/tags/{commit}")).status, 404);
}

#[test]
fn a_commit_is_found_by_every_name_it_has() {
    let world = World::new();
    let first = world.git(&["rev-parse", "v0.44^{commit}"]);
    let second = world.git(&["rev-parse", "main"]);
    let table = [
        ("v0.44", &first),
        ("tags/v0.44", &first),
        ("main", &second),
        ("heads/main", &second),
        (first.as_str(), &first),
        (&first[..8], &first),
    ];
    for (name, sha) in table {
        let url = format!("http://api.github.com/repos/{REPO}/commits/{name}");
        let described = world.curl(STRANGER, "GET", &url, &[], None).ok(200);
        assert_eq!(described["sha"], sha.as_str(), "{name}");
        let accept = ["-H", "Accept: application/vnd.github.sha"];
        let bare = world.curl(STRANGER, "GET", &url, &accept, None);
        assert_eq!(String::from_utf8_lossy(&bare.body), sha.as_str(), "{name}");
    }
    for name in ["nothing", "tags/main", "v0.44%5E0", "0123456789"] {
        let got = get(&world, &format!("/commits/{name}"));
        let said = got.invalid();
        assert!(said.starts_with("No commit found for SHA: "), "{said}");
    }
}

fn send(world: &World, method: &str, path: &str, body: &Value) -> crate::world::Got {
    world.repo(WRITER, method, path, body)
}

#[test]
fn refs_are_made_moved_and_deleted() {
    let world = World::new();
    let (old, new) = (world.git(&["rev-parse", "v0.44^{commit}"]), world.git(&["rev-parse", "main"]));
    let latest = |sha: &str| json!({ "ref": "refs/tags/latest", "sha": sha });
    let made = send(&world, "POST", "/git/refs", &latest(&new)).ok(201);
    assert_eq!(json!([made["ref"], made["object"]["sha"]]), json!(["refs/tags/latest", new]));

    let back = json!({ "sha": old });
    let refused = send(&world, "PATCH", "/git/refs/tags/latest", &back);
    assert_eq!(refused.invalid(), "Update is not a fast forward");
    let moved = send(&world, "PATCH", "/git/refs/tags/latest", &json!({ "sha": old, "force": true })).ok(200);
    assert_eq!(moved["object"]["sha"], old.as_str());
    let onward = send(&world, "PATCH", "/git/refs/tags/latest", &json!({ "sha": new })).ok(200);
    assert_eq!(onward["object"]["sha"], new.as_str());

    send(&world, "DELETE", "/git/refs/tags/latest", &Value::Null).ok(204);
    assert_eq!(get(&world, "/git/ref/tags/latest").status, 404);
}

#[test]
fn refs_that_cannot_be_are_refused() {
    let world = World::new();
    let main = world.git(&["rev-parse", "main"]);
    let nothing = "1".repeat(40);
    let create = |name: &str, sha: &str| ("POST", "/git/refs", json!({ "ref": name, "sha": sha }));
    let short = "The sha parameter must be exactly 40 characters and contain only [0-9a-f].";
    let table = [
        (create("refs/tags/v0.45", &main), "Reference already exists"),
        (create("refs/tags/new", &nothing), "Object does not exist"),
        (create("refs/tags/new", "main"), short),
        (create("tags/new", &main), "tags/new is not a valid ref name."),
        (create("refs/tags/a b", &main), "refs/tags/a b is not a valid ref name."),
        (("POST", "/git/refs", json!({ "ref": "refs/tags/new" })), "Invalid request.\n\n\"sha\" wasn't supplied."),
        (("PATCH", "/git/refs/tags/none", json!({ "sha": main })), "Reference does not exist"),
        (("PATCH", "/git/refs/tags/v0.45", json!({ "sha": nothing, "force": true })), "Object does not exist"),
        (("DELETE", "/git/refs/tags/none", Value::Null), "Reference does not exist"),
    ];
    for ((method, path, body), said) in table {
        assert_eq!(send(&world, method, path, &body).invalid(), said, "{method} {path} {body}");
    }
    let (_, path, body) = create("refs/tags/new", &main);
    assert_eq!(world.repo(READER, "POST", path, &body).status, 403);
    assert_eq!(get(&world, "/git/matching-refs/tags/new").ok(200), json!([]));
}

#[test]
fn refs_are_held_to_the_rulesets_that_an_administrator_makes() {
    let world = World::new();
    let main = world.git(&["rev-parse", "main"]);
    let rules = ["creation", "update", "deletion"].map(|rule| json!({ "type": rule }));
    let ruleset = json!({
        "name": "pins",
        "target": "tag",
        "enforcement": "active",
        "conditions": { "ref_name": { "include": ["~ALL"], "exclude": ["refs/tags/v*"] } },
        "rules": rules,
    });
    send(&world, "POST", "/git/refs", &json!({ "ref": "refs/tags/latest", "sha": main })).ok(201);
    assert_eq!(send(&world, "POST", "/rulesets", &ruleset).status, 404);
    let id = world.repo(OWNER, "POST", "/rulesets", &ruleset).ok(201)["id"].clone();
    assert_eq!(get(&world, &format!("/rulesets/{id}")).ok(200)["conditions"], ruleset["conditions"]);
    let table = [
        ("POST", "/git/refs", json!({ "ref": "refs/tags/images-v0.44", "sha": main })),
        ("PATCH", "/git/refs/tags/latest", json!({ "sha": main })),
        ("DELETE", "/git/refs/tags/latest", Value::Null),
    ];
    for (method, path, body) in &table {
        let said = send(&world, method, path, body).invalid();
        assert!(said.starts_with("Repository rule violations found"), "{said}");
    }
    send(&world, "POST", "/git/refs", &json!({ "ref": "refs/tags/v0.46", "sha": main })).ok(201);
    let push = |refs: &str| {
        let mut git = crate::world::command("git");
        let ran = git.current_dir(world.path("work")).args(["push", "--porcelain", "--force", "origin", refs]).output();
        String::from_utf8(ran.unwrap().stdout).unwrap()
    };
    for refs in ["main:refs/tags/images-v0.44", "v0.44:refs/tags/latest", ":refs/tags/latest"] {
        assert!(push(refs).contains("[remote rejected] (push declined due to repository rule violations)"), "{refs}");
    }
    for refs in ["v0.44:refs/tags/v0.47", ":refs/tags/v0.47", "main:refs/heads/images"] {
        assert!(!push(refs).contains("rejected"), "{refs}");
    }
    world.repo(OWNER, "DELETE", &format!("/rulesets/{id}"), &Value::Null).ok(204);
    for (method, path, body) in &table {
        assert!(send(&world, method, path, body).status < 300, "{method} {path}");
    }
}

#[test]
fn commits_and_tag_objects_are_made_without_a_clone() {
    let world = World::new();
    let (main, tree) = (world.git(&["rev-parse", "main"]), world.git(&["rev-parse", "main^{tree}"]));
    let body = json!({ "message": "third", "tree": tree, "parents": [main] });
    let commit = send(&world, "POST", "/git/commits", &body).ok(201);
    assert_eq!(json!([commit["message"], commit["parents"][0]["sha"]]), json!(["third", main]));
    let body = json!({ "message": "third", "tree": main });
    assert_eq!(send(&world, "POST", "/git/commits", &body).invalid(), "Tree SHA does not exist");

    let body = json!({ "tag": "v0.46", "message": "the third", "object": commit["sha"], "type": "commit" });
    let tag = send(&world, "POST", "/git/tags", &body).ok(201);
    assert_eq!(get(&world, "/git/ref/tags/v0.46").status, 404);
    send(&world, "POST", "/git/refs", &json!({ "ref": "refs/tags/v0.46", "sha": tag["sha"] })).ok(201);
    assert_eq!(get(&world, "/git/ref/tags/v0.46").ok(200)["object"]["type"], "tag");
    assert_eq!(get(&world, "/commits/tags/v0.46").ok(200)["sha"], commit["sha"]);
    let body = json!({ "tag": "v0.46", "message": "", "object": commit["sha"], "type": "tree" });
    assert_eq!(send(&world, "POST", "/git/tags", &body).status, 422);
}
