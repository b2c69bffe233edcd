//! The way to an asset's bytes.

use std::time::Duration;

use github_stand_in::SeedRelease;
use serde_json::Value;

use crate::world::{READER, REPO, STRANGER, WRITER, World};

fn public(world: &World, tag: &str, name: &str) -> crate::world::Got {
    let url = format!("http://github.com/{REPO}/releases/download/{tag}/{name}");
    world.curl(STRANGER, "GET", &url, &[], None)
}

/// The signed address of the one asset there is.
fn signed(world: &World) -> String {
    let got = public(world, "latest", "a.txt");
    assert_eq!(got.status, 302);
    got.header("Location").unwrap().to_owned()
}

fn with_asset() -> World {
    let world = World::new();
    let asset = ("a.txt", "0123456789");
    world.seed(SeedRelease::prerelease("latest").asset(asset.0, asset.1));
    world
}

#[test]
fn public_addresses_know_published_releases_only() {
    let world = with_asset();
    world.seed(SeedRelease::draft("v0.45").asset("b.txt", "b"));
    world.seed(SeedRelease::published("a/b").asset("c.txt", "c"));
    let table = [
        ("latest", "a.txt", 302),
        ("a/b", "c.txt", 302),
        ("latest", "b.txt", 404),
        ("v0.45", "b.txt", 404),
        ("none", "a.txt", 404),
    ];
    for (tag, name, status) in table {
        assert_eq!(public(&world, tag, name).status, status, "{tag} {name}");
    }
    let url = format!("http://github.com/{REPO}/releases/latest/download/c.txt");
    let latest = world.curl(STRANGER, "GET", &url, &["-L"], None);
    assert_eq!((latest.status, latest.body), (200, b"c".to_vec()));
}

#[test]
fn the_api_leads_to_the_bytes_as_well() {
    let world = with_asset();
    let asset = world.state().releases[0].assets[0].id;
    let url = format!("http://api.github.com/repos/{REPO}/releases/assets/{asset}");
    let octets = ["-L", "-H", "Accept: application/octet-stream"];
    for who in [STRANGER, READER] {
        let got = world.curl(who, "GET", &url, &octets, None);
        assert_eq!((got.status, got.body), (200, b"0123456789".to_vec()));
    }
    let described = world.curl(STRANGER, "GET", &url, &[], None);
    assert_eq!(described.ok(200)["download_count"], 2);
}

#[test]
fn ranges_are_honoured() {
    let world = with_asset();
    let address = signed(&world);
    let table = [
        ("0-", 206, "0123456789", "bytes 0-9/10"),
        ("4-", 206, "456789", "bytes 4-9/10"),
        ("4-5", 206, "45", "bytes 4-5/10"),
        ("-2", 206, "89", "bytes 8-9/10"),
    ];
    for (range, status, bytes, content_range) in table {
        let got = world.curl(STRANGER, "GET", &address, &["-r", range], None);
        assert_eq!((got.status, got.body.as_slice()), (status, bytes.as_bytes()));
        assert_eq!(got.header("Content-Range"), Some(content_range));
    }
    let outside = world.curl(STRANGER, "GET", &address, &["-r", "10-"], None);
    assert_eq!(outside.status, 416);
    assert_eq!(outside.header("Content-Range"), Some("bytes */10"));
    let whole = world.curl(STRANGER, "GET", &address, &[], None);
    assert_eq!((whole.status, whole.header("Content-Range")), (200, None));
    let ranges: Vec<_> = world.hub.requests().into_iter().filter_map(|it| it.range).collect();
    assert_eq!(ranges[1], "bytes=4-");
}

#[test]
fn the_asset_host_takes_no_token_and_no_forged_signature() {
    let world = with_asset();
    let address = signed(&world);
    assert_eq!(world.curl(WRITER, "GET", &address, &[], None).status, 400);
    let forged = address.replace("sig=", "sig=0");
    assert_eq!(world.curl(STRANGER, "GET", &forged, &[], None).status, 403);
    let (unsigned, _) = address.split_once('?').unwrap();
    assert_eq!(world.curl(STRANGER, "GET", unsigned, &[], None).status, 403);
}

#[test]
fn a_signature_expires() {
    let world = World::with(|it| it.signature_lifetime = Duration::ZERO);
    world.seed(SeedRelease::prerelease("latest").asset("a.txt", "a"));
    let address = signed(&world);
    assert_eq!(world.curl(STRANGER, "GET", &address, &[], None).status, 403);
}

#[test]
fn a_head_request_has_the_size_and_no_body() {
    let world = with_asset();
    let address = signed(&world);
    let got = world.curl(STRANGER, "HEAD", &address, &["-I"], None);
    assert_eq!((got.status, got.header("Content-Length")), (200, Some("10")));
    let sent = world.hub.requests().last().unwrap().bytes_sent;
    assert_eq!(sent, 0);
}

#[test]
fn a_draft_can_be_read_through_the_api_by_its_owner() {
    let world = World::new();
    let id = world.seed(SeedRelease::draft("t").asset("a.txt", "draft"));
    let asset = world.release(id).assets[0].id;
    let url = format!("http://api.github.com/repos/{REPO}/releases/assets/{asset}");
    let octets = ["-L", "-H", "Accept: application/octet-stream"];
    let got = world.curl(WRITER, "GET", &url, &octets, None);
    assert_eq!((got.status, got.body), (200, b"draft".to_vec()));
    assert_eq!(world.curl(STRANGER, "GET", &url, &octets, None).status, 404);
    let described = world.repo(WRITER, "GET", &format!("/releases/assets/{asset}"), &Value::Null);
    let address = described.ok(200)["browser_download_url"].clone();
    assert!(address.as_str().unwrap().contains("/download/untagged-"));
}
