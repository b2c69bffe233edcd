//! Errors in one sentence: what was asked, what was said, and the line to type.

use std::fs;

use github_stand_in::SeedRelease;
use rehearsal::world::{REPOSITORY, World};

use super::{PUBLISH, ROLLBACK, by_hand, sends_nothing, world};

/// Every verb that asks GitHub, each in a way that ends soon.
const VERBS: [&[&str]; 6] = [
    &["check"],
    &["verify"],
    &["download"],
    &["publish", "--source", "v0.45", "--execute"],
    &["rollback", "--execute"],
    &["document", "--release", "v0.45", "--execute"],
];

#[track_caller]
fn all_say(world: &mut World, more: &[&str], words: &[&str]) {
    world.set("PACKER_TEST_ATTEMPTS", "1");
    for verb in VERBS {
        let ran = world.tool(&[verb, more].concat()).expect(3, words);
        for bare in ["GET ", "error: Not Found", "attempt 1 of"] {
            assert!(!ran.stderr.contains(bare), "`{bare}` in {ran:?}");
        }
    }
    let status = world.tool(&[&["status"], more].concat()).expect(3, words);
    assert!(status.stdout.contains("doctor"), "{status:?}");
}

#[test]
fn a_token_that_can_not_be_sent() {
    let (mut world, _) = by_hand("line-end");
    for token in ["rehearsal-\ntoken", "rehearsal-token\u{7}"] {
        world.set("GH_TOKEN", token);
        all_say(&mut world, &[], &["gh can't send its token for github.com", "set GH_TOKEN again"]);
    }
}

#[test]
fn no_login_at_all() {
    let (mut world, _) = by_hand("no-login");
    world.unset("GH_TOKEN");
    all_say(&mut world, &[], &["gh is not logged in to github.com", "run `gh auth login --hostname github.com`"]);
}

#[test]
fn a_repository_that_is_not_there() {
    let (mut world, _) = by_hand("no-repository");
    all_say(&mut world, &["--repo", "homestak-dev/paker"], &["homestak-dev/paker", "--repo", "gh auth status"]);
}

#[test]
fn nobody_to_be_reached() {
    let (mut world, _) = by_hand("offline");
    let config = world.dir().join("offline");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("config.yml"), "version: 1\nhttp_unix_socket: /nonexistent/github.sock\n").unwrap();
    world.set("GH_CONFIG_DIR", config);
    world.set("PACKER_TEST_ATTEMPTS", "1");
    for verb in VERBS {
        world.tool(verb).expect(3, &["no answer", "check the network"]);
    }
    world.tool(&["status"]).expect(3, &["no answer", "doctor"]);
}

#[test]
fn a_source_that_is_almost_a_tag() {
    let (world, _) = by_hand("almost");
    for typed in ["0.45", "V0.45", "v0.45.0", "refs/tags/v0.45"] {
        let ran =
            sends_nothing(&world, &["publish", "--source", typed, "--execute"]).expect(3, &["did you mean v0.45?"]);
        assert!(!ran.stderr.contains("make the release's tag"), "{ran:?}");
    }
    sends_nothing(&world, &["publish", "--source", "v9", "--execute"]).expect(3, &["make the release's tag first"]);

    // Somebody else's tag of that name is on the remote.
    let here = world.remote_commit("v0.45");
    world.git(&["push", "--quiet", "--force", "origin", "v0.43^{commit}:refs/tags/v0.45"]).unwrap();
    let there = world.remote_commit("v0.45");
    let ran = sends_nothing(&world, PUBLISH).expect(
        3,
        &[&format!("at {here} here and at {there} on origin"), "git -C packer fetch --force origin tag v0.45"],
    );
    assert!(!ran.stderr.contains("push it there"), "{ran:?}");
    // On the remote it is right, and in the repository that publishes another.
    let fork = world.dir().join("fork.git");
    world.git(&["clone", "--quiet", "--bare", world.remote().to_str().unwrap(), fork.to_str().unwrap()]).unwrap();
    world.git(&["remote", "add", "fork", fork.to_str().unwrap()]).unwrap();
    world.git(&["push", "--quiet", "--force", "fork", "refs/tags/v0.45"]).unwrap();
    let ran = sends_nothing(&world, &[PUBLISH, &["--remote", "fork"]].concat())
        .expect(3, &[&there, &here, "homestak-dev/packer", "git -C packer fetch --force"]);
    assert!(!ran.stderr.contains("push it there"), "{ran:?}");
}

#[test]
fn notes_that_are_full() {
    let world = world("full");
    let release = SeedRelease::published("v0.45").body(&"x".repeat(124_990));
    let id = world.hub().seed_release(REPOSITORY, release).unwrap();
    let document = ["document", "--release", "v0.45", "--execute"];
    world.tool(&document).expect(3, &["the notes of v0.45", "GitHub allows 125000", "shorten the notes by"]);
    world.hub().change_release(REPOSITORY, id, |it| it.body = Some("x".repeat(124_000))).unwrap();
    world.tool(&document).expect(0, &["wrote the notes of v0.45"]);
}

#[test]
fn notes_that_leave_no_room_for_the_stamp() {
    let (world, old) = by_hand("stamp");
    let notes = |length: usize| format!("Points to v0.44\n{}", "ä".repeat(length - 16));
    world.hub().change_release(REPOSITORY, old, |it| it.body = Some(notes(124_990))).unwrap();
    sends_nothing(&world, PUBLISH)
        .expect(3, &["the notes of the release latest", "GitHub allows 125000", "shorten the notes by"]);
    world.hub().change_release(REPOSITORY, old, |it| it.body = Some(notes(124_000))).unwrap();
    world.tool(PUBLISH).expect(0, &["done: latest is v0.45 now"]);
    world.tool(ROLLBACK).expect(0, &["latest is v0.44 again, rolled back from v0.45"]);
    assert_eq!(world.published().published("latest").unwrap().body, Some(notes(124_000)));
}
