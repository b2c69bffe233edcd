//! Repositories that were renamed, and listings that end before their releases do.

use std::io::Write as _;
use std::process::Stdio;

use github_stand_in::SeedRelease;
use serde_json::{Value, json};

use crate::world::{OWNER, REPO, STRANGER, WRITER, World, each_gh};

const NEW: &str = "homestak-dev/images";

#[test]
fn a_renamed_repository_is_found_by_its_number() {
    let world = World::new();
    let id = world.seed(SeedRelease::prerelease("latest").asset("a.txt", "a"));
    world.hub.rename_repository(REPO, NEW).unwrap();
    let path = format!("/releases/{id}?per_page=1");
    let change = json!({ "tag_name": "latest", "body": "changed" });
    let requests = [
        ("GET", path.as_str(), 301, Value::Null),
        ("PATCH", &path, 307, change.clone()),
        ("POST", "/releases", 307, json!({ "tag_name": "t", "draft": true })),
        ("DELETE", &path, 307, Value::Null),
    ];
    for (method, path, status, body) in requests {
        let got = world.repo(WRITER, method, path, &body);
        let led = got.header("Location").unwrap().to_owned();
        assert_eq!(got.ok(status)["message"], "Moved Permanently", "{method}");
        let (start, rest) = led.split_once("/repositories/").unwrap();
        assert!(start.ends_with("://api.github.com") && rest.ends_with(path), "{led}");
    }
    // Nothing was done yet; by its number everything is.
    let led = world.get(WRITER, &format!("repos/{REPO}"));
    let number = led.header("Location").unwrap().split_once("api.github.com/").unwrap().1.to_owned();
    assert_eq!(world.get(WRITER, &number).ok(200)["full_name"], NEW);
    let changed = world.api(WRITER, "PATCH", &format!("{number}/releases/{id}"), Some(&change));
    assert_eq!(changed.ok(200)["body"], "changed");
    let url = format!("http://github.com/{REPO}/releases/download/latest/a.txt");
    let got = world.curl(STRANGER, "GET", &url, &["-L"], None);
    assert_eq!((got.status, got.body), (200, b"a".to_vec()));
}

#[test]
fn gh_follows_what_it_can_send_again() {
    for gh in each_gh() {
        let world = World::new();
        let id = world.seed(SeedRelease::draft("t"));
        world.hub.rename_repository(REPO, NEW).unwrap();
        let path = format!("repos/{REPO}/releases/{id}");
        let api = |arguments: &[&str]| world.gh(&gh, &world.path(""), OWNER, &[&["api"], arguments].concat());
        assert!(api(&[&path]).status.success());
        // What stands in its arguments gh can send again, what comes from a pipe it can't.
        assert!(api(&["--method", "PATCH", &path, "-f", "tag_name=t", "-f", "name=n"]).status.success());
        let mut piped = world.gh_command(&gh, OWNER);
        piped.args(["api", "--method", "PATCH", "--input", "-", &path]).stdin(Stdio::piped());
        let mut piped = piped.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        piped.stdin.take().unwrap().write_all(b"{\"tag_name\": \"t\", \"name\": \"m\"}").unwrap();
        let refused = piped.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("HTTP 307"), "{said}");
        assert_eq!(world.hub.state().repository(NEW).releases[0].name.as_deref(), Some("n"));
        assert!(api(&["--method", "DELETE", &path]).status.success());
        assert_eq!(world.hub.state().repository(NEW).releases.len(), 0);
    }
}

#[test]
fn an_administrator_renames_by_a_request() {
    let world = World::new();
    let change = json!({ "name": "images" });
    assert_eq!(world.repo(WRITER, "PATCH", "", &change).status, 404);
    assert_eq!(world.repo(OWNER, "PATCH", "", &change).ok(200)["full_name"], NEW);
    assert_eq!(world.repo(OWNER, "PATCH", "", &change).status, 307);
}

#[test]
fn a_listing_ends_with_a_refusal_where_it_is_cut_off() {
    let world = World::new();
    for number in 0..5 {
        world.seed(SeedRelease::draft(&format!("t{number}")));
    }
    world.hub.change_repository(REPO, |it| it.listed_releases = 4).unwrap();
    let page = |page: u32| world.get(WRITER, &format!("repos/{REPO}/releases?per_page=2&page={page}"));
    assert_eq!(page(2).ok(200).as_array().unwrap().len(), 2);
    let refused = page(3);
    refused.ok(422);
    assert_eq!(refused.message(), "Only the first 4 results are available.");
}

#[test]
fn a_large_page_can_always_take_too_long() {
    let world = World::new();
    world.hub.change_repository(REPO, |it| it.slow_page = Some(100)).unwrap();
    let page = |size: u32| world.get(WRITER, &format!("repos/{REPO}/releases?per_page={size}")).status;
    assert_eq!([page(100), page(100), page(99), page(30)], [504, 504, 200, 200]);
}

#[test]
fn the_limit_of_the_hour_is_told() {
    let world = World::new();
    world.hub.set_remaining(7);
    let got = world.get(WRITER, "rate_limit");
    assert_eq!(got.header("X-RateLimit-Remaining"), Some("7"));
    let told = got.ok(200);
    let core = &told["resources"]["core"];
    assert_eq!(json!([core["limit"], core["remaining"], core["used"]]), json!([5000, 7, 4993]));
    assert_eq!(&told["rate"], core);
    world.hub.set_remaining(0);
    let refused = world.get(WRITER, "user");
    assert_eq!((refused.status, refused.header("X-RateLimit-Remaining")), (403, Some("0")));
    world.get(WRITER, "rate_limit").ok(200);
}
