//! Changing releases: which one owns a tag, and what publishing does.

use github_stand_in::SeedRelease;
use serde_json::{Value, json};

use crate::world::{OWNER, REPO, STRANGER, WRITER, World};

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
fn a_tag_that_is_taken_cannot_be_had() {
    let table = [
        // A draft that is published onto it, a published release that is renamed onto it.
        (SeedRelease::draft("latest"), json!({ "tag_name": "latest", "draft": false })),
        (SeedRelease::draft("other"), json!({ "tag_name": "latest", "draft": false })),
        (SeedRelease::published("v0.45"), json!({ "tag_name": "latest" })),
    ];
    for (seed, change) in table {
        let world = World::new();
        world.seed(SeedRelease::prerelease("latest"));
        let id = world.seed(seed.clone());
        assert_eq!(patch(&world, id, &change).invalid(), "already_exists");
        let after = world.release(id);
        assert_eq!((after.tag_name, after.draft), (seed.tag, seed.draft));
    }
}

#[test]
fn a_draft_may_take_the_name_of_a_tag_that_is_taken() {
    let world = World::new();
    world.seed(SeedRelease::prerelease("latest"));
    let id = world.seed(SeedRelease::draft("other"));
    patch(&world, id, &json!({ "tag_name": "latest" })).ok(200);
    assert_eq!(world.state().drafts("latest").count(), 1);
}

#[test]
fn two_changes_make_another_release_the_latest() {
    let world = World::new();
    let old = world.seed(SeedRelease::prerelease("latest").asset("a.txt", "old"));
    let new = world.seed(SeedRelease::draft("latest-incoming").asset("a.txt", "new"));
    let download = || {
        let url = format!("http://github.com/{REPO}/releases/download/latest/a.txt");
        let got = world.curl(STRANGER, "GET", &url, &["-L"], None);
        (got.status, String::from_utf8_lossy(&got.body).into_owned())
    };
    assert_eq!(download(), (200, "old".into()));
    patch(&world, old, &json!({ "tag_name": "latest-previous", "draft": true })).ok(200);
    assert_eq!(download().0, 404);
    let publish = json!({ "tag_name": "latest", "draft": false, "prerelease": true, "make_latest": "false" });
    let published = patch(&world, new, &publish).ok(200);
    assert_eq!(download(), (200, "new".into()));
    assert!(published["published_at"].is_string());
    assert_eq!(world.release(old).uploaded(), ["a.txt"]);
    let shown = world.hub.timeline();
    let ids: Vec<_> = shown.iter().map(|it| it.release.as_ref().map(|it| it.id)).collect();
    assert_eq!(ids, [None, Some(old), None, Some(new)]);
}

#[test]
fn publishing_makes_a_tag_that_is_missing() {
    let world = World::new();
    let first = world.git(&["rev-parse", "v0.44^{commit}"]);
    let second = world.git(&["rev-parse", "main"]);
    let table = [
        (json!({ "tag_name": "a" }), &second),
        (json!({ "tag_name": "b", "target_commitish": "v0.44" }), &first),
        (json!({ "tag_name": "c", "target_commitish": first }), &first),
        (json!({ "tag_name": "v0.44", "target_commitish": "main" }), &first),
    ];
    for (new, commit) in table {
        world.repo(OWNER, "POST", "/releases", &new).ok(201);
        let tag = new["tag_name"].as_str().unwrap();
        let peeled = world.git(&["ls-remote", "origin", tag, &format!("{tag}^{{}}")]);
        assert!(peeled.lines().last().unwrap().starts_with(commit.as_str()), "{new} {peeled}");
    }
    let draft = json!({ "tag_name": "d", "draft": true });
    world.repo(OWNER, "POST", "/releases", &draft).ok(201);
    assert_eq!(world.git(&["ls-remote", "origin", "d"]), "");
}

#[test]
fn a_release_whose_tag_goes_becomes_a_draft_that_keeps_its_name() {
    let world = World::new();
    let id = world.seed(SeedRelease::prerelease("latest").asset("a.txt", "a"));
    world.git(&["push", "-q", "origin", ":refs/tags/latest"]);
    let look = world.repo(WRITER, "GET", "/releases/tags/latest", &Value::Null);
    assert_eq!(look.status, 404);
    let release = world.release(id);
    assert!(release.draft && release.tag_name == "latest");
    let read = world.repo(WRITER, "GET", &format!("/releases/{id}"), &Value::Null).ok(200);
    assert!(read["html_url"].as_str().unwrap().contains("/tag/untagged-"), "{read}");
    assert_eq!(release.uploaded(), ["a.txt"]);
}

#[test]
fn a_tag_that_moves_keeps_its_release() {
    let world = World::new();
    let id = world.seed(SeedRelease::prerelease("latest"));
    world.git(&["push", "-q", "--force", "origin", "v0.44^{commit}:refs/tags/latest"]);
    let look = world.repo(WRITER, "GET", "/releases/tags/latest", &Value::Null);
    assert_eq!(look.ok(200)["id"], id);
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
