//! Reading, renaming and deleting assets.

use github_stand_in::{SeedAsset, SeedBytes, SeedRelease};
use serde_json::{Value, json};

use crate::world::{REPO, STRANGER, WRITER, World};

#[test]
fn only_the_assets_of_a_release_show_broken_ones() {
    let world = World::new();
    let id = world.seed(SeedRelease::prerelease("latest").asset("a.txt", "a"));
    let starter = SeedAsset::starter("b.txt");
    world.hub.seed_asset(REPO, id, starter).unwrap();
    let names = |path: &str| -> Vec<String> {
        let got = world.repo(STRANGER, "GET", path, &Value::Null).ok(200);
        let assets = if got.is_array() { &got } else { &got["assets"] };
        let each = assets.as_array().unwrap().iter();
        each.map(|it| format!("{} {}", it["name"], it["state"])).collect()
    };
    let (whole, broken) = ("\"a.txt\" \"uploaded\"", "\"b.txt\" \"starter\"");
    assert_eq!(names(&format!("/releases/{id}")), [whole]);
    assert_eq!(names("/releases/tags/latest"), [whole]);
    assert_eq!(names(&format!("/releases/{id}/assets")), [whole, broken]);
    assert_eq!(names(&format!("/releases/{id}/assets?per_page=1&page=2")), [broken]);
}

#[test]
fn an_asset_without_a_digest_has_null() {
    let world = World::new();
    let id = world.seed(SeedRelease::prerelease("latest"));
    let seed = SeedAsset { with_digest: false, ..SeedAsset::new("old.txt", SeedBytes::Here(b"old".to_vec())) };
    let asset = world.hub.seed_asset(REPO, id, seed).unwrap();
    let path = format!("/releases/assets/{asset}");
    let json = world.repo(STRANGER, "GET", &path, &Value::Null).ok(200);
    assert_eq!(json!([json["digest"], json["size"]]), json!([null, 3]));
}

#[test]
fn renaming_cleans_the_name_and_minds_the_others() {
    let world = World::new();
    let seed = SeedRelease::draft("t").asset("a.txt", "a").asset("b.txt", "b");
    let id = world.seed(seed);
    let asset = world.release(id).assets[0].id;
    let rename = |name: &str| {
        let path = format!("/releases/assets/{asset}");
        world.repo(WRITER, "PATCH", &path, &json!({ "name": name }))
    };
    assert_eq!(rename("c d.txt").ok(200)["name"], "c.d.txt");
    assert_eq!(rename("b.txt").invalid(), "already_exists");
    assert_eq!(rename("b txt").invalid(), "already_exists");
    assert_eq!(rename("...").invalid(), "missing_field");
    assert_eq!(rename("c.d.txt").ok(200)["name"], "c.d.txt");
    assert_eq!(world.release(id).uploaded(), ["b.txt", "c.d.txt"]);
}

#[test]
fn the_bytes_of_what_is_deleted_go() {
    let world = World::new();
    let id = world.seed(SeedRelease::draft("t").asset("a.txt", "a").asset("b.txt", "b"));
    let [a, b] = world.release(id).assets.try_into().unwrap();
    for (path, left) in [(format!("/releases/assets/{}", a.id), 1), (format!("/releases/{id}"), 0)] {
        assert_eq!(world.repo(WRITER, "DELETE", &path, &Value::Null).status, 204);
        assert_eq!([&a.file, &b.file].into_iter().filter(|it| it.exists()).count(), left);
    }
}
