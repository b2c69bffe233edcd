//! Changing releases: which one owns a tag, and what publishing does.

use github_stand_in::SeedRelease;
use serde_json::{Value, json};

use crate::world::{REPO, WRITER, World};

fn patch(world: &World, id: u64, body: &Value) -> crate::world::Got {
    world.repo(WRITER, "PATCH", &format!("/releases/{id}"), body)
}

#[test]
fn a_draft_changed_without_its_tag_name_loses_it() {
    let table = [
        (json!({ "name": "n" }), true),
        (json!({ "body": "b" }), true),
        (json!({ "draft": false, "prerelease": true }), true),
        (json!({ "tag_name": "latest-incoming", "name": "n" }), false),
        // What `gh release create` ends with.
        (json!({ "draft": false }), false),
        (json!({ "draft": false, "make_latest": "false" }), false),
    ];
    for (body, lost) in table {
        let world = World::new();
        let id = world.seed(SeedRelease::draft("latest-incoming"));
        let tag = patch(&world, id, &body).ok(200)["tag_name"].clone();
        let tag = tag.as_str().unwrap();
        assert_eq!(tag.starts_with("untagged-"), lost, "{body} {tag}");
    }
    let world = World::new();
    let id = world.seed(SeedRelease::prerelease("latest"));
    let kept = patch(&world, id, &json!({ "name": "n" })).ok(200);
    assert_eq!(kept["tag_name"], "latest");
}

#[test]
fn what_is_not_said_stays() {
    let world = World::new();
    let seed = SeedRelease::draft("t").body("B").asset("a.txt", "a");
    let id = world.seed(seed);
    let changed = patch(&world, id, &json!({ "tag_name": "t", "name": "N" })).ok(200);
    let kept = json!([changed["name"], changed["body"], changed["draft"], changed["prerelease"]]);
    assert_eq!(kept, json!(["N", "B", true, true]));
    assert_eq!(changed["assets"][0]["name"], "a.txt");
    let emptied = patch(&world, id, &json!({ "tag_name": "t", "name": null })).ok(200);
    assert_eq!(emptied["name"], Value::Null);
}

#[test]
fn an_immutable_release_is_locked_when_it_is_published() {
    let world = World::new();
    world.hub.change_repository(REPO, |it| it.immutable_releases = true).unwrap();
    let id = world.seed(SeedRelease::draft("latest").asset("a.txt", "a"));
    world.upload(WRITER, id, "b.txt", b"b").ok(201);
    let publish = json!({ "tag_name": "latest", "draft": false });
    assert_eq!(patch(&world, id, &publish).ok(200)["immutable"], true);

    let asset = format!("/releases/assets/{}", world.release(id).assets[0].id);
    world.upload(WRITER, id, "c.txt", b"c").ok(422);
    world.repo(WRITER, "DELETE", &asset, &Value::Null).ok(422);
    world.repo(WRITER, "PATCH", &asset, &json!({ "name": "z" })).ok(422);
    patch(&world, id, &json!({ "tag_name": "other" })).ok(422);
    patch(&world, id, &json!({ "tag_name": "latest", "draft": true })).ok(422);
    patch(&world, id, &json!({ "name": "still allowed" })).ok(200);

    world.repo(WRITER, "DELETE", &format!("/releases/{id}"), &Value::Null).ok(204);
    let again = json!({ "tag_name": "latest", "prerelease": true });
    let refused = world.repo(WRITER, "POST", "/releases", &again).invalid();
    assert_eq!(refused, "tag_name was used by an immutable release");
    assert!(world.state().retired_tags.contains("latest"));
}
