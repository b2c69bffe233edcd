//! Creating, finding, listing and deleting releases.

use github_stand_in::SeedRelease;
use serde_json::{Value, json};

use crate::world::{OWNER, REPO, STRANGER, WRITER, World};

#[test]
fn a_release_has_the_fields_that_github_gives() {
    let world = World::new();
    let new = json!({ "tag_name": "v0.45", "name": "N", "body": "B", "draft": true, "prerelease": true });
    let created = world.repo(WRITER, "POST", "/releases", &new).ok(201);
    let id = created["id"].as_u64().unwrap();
    let api = format!("https://api.github.com/repos/{REPO}/releases/{id}");
    let expected = json!({
        "url": api,
        "assets_url": format!("{api}/assets"),
        "upload_url": format!("https://uploads.github.com/repos/{REPO}/releases/{id}/assets{{?name,label}}"),
        "tag_name": "v0.45",
        "target_commitish": "main",
        "name": "N",
        "body": "B",
        "draft": true,
        "prerelease": true,
        "immutable": false,
        "created_at": "2026-01-02T03:04:05Z",
        "published_at": null,
        "assets": [],
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&created[key], value, "{key}");
    }
    assert_eq!(created["author"]["login"], "wim");
    let address = created["html_url"].as_str().unwrap();
    assert!(address.contains("/releases/tag/untagged-"), "{address}");
    let read = world.repo(WRITER, "GET", &format!("/releases/{id}"), &Value::Null);
    assert_eq!(read.ok(200), created);
}

#[test]
fn what_does_not_fit_is_refused() {
    let world = World::new();
    let long = "x".repeat(125_001);
    let table = [
        (json!({}), "\"tag_name\" wasn't supplied"),
        (json!({ "tag_name": 1 }), "1 is not a string"),
        (json!({ "tag_name": "t", "draft": "true" }), "\"true\" is not a boolean"),
        (json!({ "tag_name": "t", "prerelease": null }), "null is not a boolean"),
        (json!({ "tag_name": "t", "make_latest": true }), "true is not a member"),
        (json!({ "tag_name": "a..b" }), "tag_name is not a valid tag"),
        (json!({ "tag_name": "" }), "tag_name is not a valid tag"),
        (json!({ "tag_name": "t", "target_commitish": "nowhere" }), "invalid"),
        (json!({ "tag_name": "t", "body": long }), "body is too long"),
        (
            json!({ "tag_name": "t", "make_latest": "true", "prerelease": true }),
            "Latest release cannot be draft or prerelease",
        ),
    ];
    for (body, said) in table {
        let message = world.repo(WRITER, "POST", "/releases", &body).invalid();
        assert!(message.contains(said), "{said}: {message}");
    }
    let url = format!("http://api.github.com/repos/{REPO}/releases");
    let broken = world.curl(WRITER, "POST", &url, &[], Some(b"{"));
    assert_eq!((broken.status, broken.message()), (400, "Problems parsing JSON".into()));
    assert!(world.state().releases.is_empty());
}

#[test]
fn make_latest_decides_which_release_is_the_latest() {
    let world = World::new();
    let latest = || {
        let got = world.repo(STRANGER, "GET", "/releases/latest", &Value::Null);
        got.ok(200)["tag_name"].as_str().unwrap().to_owned()
    };
    let publish = |tag: &str, make_latest: &str| {
        let new = json!({ "tag_name": tag, "make_latest": make_latest });
        world.repo(WRITER, "POST", "/releases", &new).ok(201);
    };
    publish("v0.45", "true");
    publish("v0.44", "false");
    assert_eq!(latest(), "v0.45");
    publish("v0.43", "true");
    assert_eq!(latest(), "v0.43");
    let new = json!({ "tag_name": "latest", "prerelease": true });
    world.repo(WRITER, "POST", "/releases", &new).ok(201);
    assert_eq!(latest(), "v0.43");
}

#[test]
fn listings_come_in_pages() {
    let world = World::new();
    for number in 0..5 {
        world.seed(SeedRelease::published(&format!("t{number}")));
    }
    let tags = |got: &Value| -> Vec<String> {
        let each = got.as_array().unwrap().iter();
        each.map(|it| it["tag_name"].as_str().unwrap().to_owned()).collect()
    };
    let first = world.get(OWNER, &format!("repos/{REPO}/releases?per_page=2"));
    assert_eq!(tags(&first.ok(200)), ["t4", "t3"]);
    let link = first.header("Link").unwrap();
    let next = link.split(['<', '>']).nth(1).unwrap();
    assert!(link.contains("rel=\"next\"") && link.contains("page=3>; rel=\"last\""), "{link}");
    let next = world.get(OWNER, next.trim_start_matches("https://api.github.com/"));
    assert_eq!(tags(&next.ok(200)), ["t2", "t1"]);
    let link = next.header("Link").unwrap();
    assert!(link.contains("rel=\"prev\"") && link.contains("rel=\"first\""), "{link}");
    let beyond = world.get(OWNER, &format!("repos/{REPO}/releases?per_page=2&page=9"));
    assert_eq!(beyond.ok(200), json!([]));
    let whole = world.get(OWNER, &format!("repos/{REPO}/releases"));
    assert_eq!((whole.header("Link"), tags(&whole.ok(200)).len()), (None, 5));
}

#[test]
fn a_page_holds_thirty_and_at_most_a_hundred() {
    let world = World::new();
    let full = (0..101).fold(SeedRelease::draft("t"), |seed, number| seed.asset(&format!("{number}"), "a"));
    let id = world.seed(full);
    for (query, count) in [("", 30), ("?per_page=100", 100), ("?per_page=500", 100)] {
        let got = world.get(OWNER, &format!("repos/{REPO}/releases/{id}/assets{query}"));
        assert_eq!(got.ok(200).as_array().unwrap().len(), count, "{query}");
    }
}
