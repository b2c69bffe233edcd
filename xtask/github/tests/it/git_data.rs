//! Refs, tag objects and commits, as git has them at the moment of the request.

use serde_json::{Value, json};

use crate::world::{REPO, STRANGER, World};

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

#[test]
fn a_push_shows_at_once() {
    let world = World::new();
    let sha = |got: Value| got["object"]["sha"].as_str().unwrap().to_owned();
    let commit = world.git(&["rev-parse", "v0.44^{commit}"]);
    world.git(&["push", "-q", "origin", &format!("{commit}:refs/tags/latest")]);
    assert_eq!(sha(get(&world, "/git/ref/tags/latest").ok(200)), commit);
    let main = world.git(&["rev-parse", "main"]);
    world.git(&["push", "-q", "--force", "origin", "main:refs/tags/latest"]);
    assert_eq!(sha(get(&world, "/git/ref/tags/latest").ok(200)), main);
}
