//! Uploads: what is refused, what arrives, and what a broken one leaves.

use std::io::Write;
use std::process::{Child, Stdio};

use github_stand_in::{AssetState, BrokenUpload, SeedRelease};
use serde_json::{Value, json};

use crate::world::{Got, REPO, WRITER, World, eventually, upload_url};

/// An upload of ten bytes by `gh`, of which none are sent yet.
fn begin(world: &World, release: u64, name: &str) -> Child {
    let url = format!("https://uploads.github.com/repos/{REPO}/releases/{release}/assets?name={name}");
    let mut command = world.gh_command("gh".as_ref(), WRITER);
    command.args(["api", "-i", "--method", "POST", "-H", "Content-Length: 10", "--input", "-", &url]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn send(child: &mut Child, bytes: &[u8]) {
    child.stdin.as_mut().unwrap().write_all(bytes).unwrap();
}

/// Closes the input and waits for the answer.
fn finish(mut child: Child) -> Got {
    child.stdin = None;
    Got::of(&child.wait_with_output().unwrap())
}

#[test]
fn what_does_not_fit_is_refused() {
    let world = World::with(|it| (it.max_asset_bytes, it.max_assets) = (10, 2));
    let id = world.seed(SeedRelease::draft("t").asset("a.txt", "a"));
    let table = [
        ("", b"b".as_slice(), "missing_field"),
        ("...", b"b", "missing_field"),
        ("a.txt", b"b", "already_exists"),
        ("b.txt", b"", "size must be greater than or equal to 1"),
        ("b.txt", b"0123456789+", "size must be less than 11"),
    ];
    for (name, bytes, said) in table {
        assert_eq!(world.upload(WRITER, id, name, bytes).invalid(), said, "{name}");
    }
    assert_eq!(world.upload(WRITER, id, "b.txt", b"0123456789").status, 201);
    assert_eq!(world.upload(WRITER, id, "c.txt", b"c").invalid(), "file_count limit is 2 files");
    assert_eq!(world.release(id).uploaded(), ["a.txt", "b.txt"]);
    assert_eq!(world.upload(WRITER, 1, "c.txt", b"c").status, 404);
}

#[test]
fn a_length_must_be_announced() {
    let world = World::new();
    let id = world.seed(SeedRelease::draft("t"));
    let chunked = ["-H", "Transfer-Encoding: chunked"];
    let got = world.curl(WRITER, "POST", &upload_url(id, "a.txt"), &chunked, Some(b"a"));
    assert_eq!((got.status, got.message()), (400, "Bad Content-Length: ".into()));
    assert!(world.release(id).assets.is_empty());
}

#[test]
fn an_upload_under_way_holds_its_name() {
    let world = World::new();
    let id = world.seed(SeedRelease::draft("t"));
    let mut child = begin(&world, id, "a.txt");
    send(&mut child, b"01234");
    eventually(|| !world.release(id).assets.is_empty());
    let listed = world.repo(WRITER, "GET", &format!("/releases/{id}/assets"), &Value::Null).ok(200);
    let seen = json!([listed[0]["name"], listed[0]["state"], listed[0]["digest"]]);
    assert_eq!(seen, json!(["a.txt", "starter", null]));
    assert_eq!(world.upload(WRITER, id, "a.txt", b"a").invalid(), "already_exists");
    send(&mut child, b"56789");
    let asset = finish(child).ok(201);
    assert_eq!(json!([asset["state"], asset["size"]]), json!(["uploaded", 10]));
}

#[test]
fn an_upload_that_ends_early_is_no_asset() {
    for (broken_upload, left) in [(BrokenUpload::Starter, 1), (BrokenUpload::Nothing, 0)] {
        let world = World::with(|it| it.broken_upload = broken_upload);
        let id = world.seed(SeedRelease::draft("t"));
        let mut short = begin(&world, id, "short.txt");
        send(&mut short, b"01234");
        assert_eq!(finish(short).status, 0);
        let mut killed = begin(&world, id, "killed.txt");
        send(&mut killed, b"01234");
        eventually(|| world.release(id).asset("killed.txt").is_some());
        killed.kill().unwrap();
        killed.wait().unwrap();
        eventually(|| world.release(id).assets.len() == 2 * left);
        let states = world.release(id).assets.into_iter().map(|it| it.state);
        assert!(states.eq(vec![AssetState::Starter; 2 * left]), "{broken_upload:?}");
    }
}

#[test]
fn an_upload_to_a_release_that_goes_meanwhile_is_lost() {
    let world = World::new();
    let id = world.seed(SeedRelease::draft("t"));
    let mut child = begin(&world, id, "a.txt");
    send(&mut child, b"01234");
    eventually(|| !world.release(id).assets.is_empty());
    world.repo(WRITER, "DELETE", &format!("/releases/{id}"), &Value::Null).ok(204);
    send(&mut child, b"56789");
    assert_eq!(finish(child).status, 404);
    let left = std::fs::read_dir(world.path("storage")).unwrap().count();
    assert_eq!(left, 0);
}
