//! Each verb's object, in success and in failure, against docs/json.md.
#![allow(clippy::disallowed_methods, reason = "tests start the tool")]

use std::path::Path;

use github_stand_in::SeedRelease;
use rehearsal::page;
use rehearsal::world::{Options, REPOSITORY, World};
use serde_json::Value;

#[track_caller]
fn holds(world: &World, words: &[&str], code: i32) {
    let ran = world.tool(&[words, &["--json"]].concat());
    let object = ran.json();
    assert_eq!((ran.code, object["exit_code"].as_i64()), (Some(code), Some(code.into())), "{words:?}: {object}");
    assert_eq!(object["verb"], words[0], "{object}");
    let faults = page::faults(words[0], &object);
    assert!(faults.is_empty(), "{}\n{object:#}", faults.join("\n"));
}

#[test]
fn every_verb_prints_what_is_documented() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("json");
    let mut options = Options::new(env!("CARGO_BIN_EXE_xtask-it"));
    options.sizes = vec![200 << 10, 210 << 10, 220 << 10];
    let mut world = World::new(&dir, options).unwrap();
    // Nothing is published.
    for (words, code) in [
        (&["check"][..], 0),
        (&["status"], 0),
        (&["doctor"], 0),
        (&["verify"], 3),
        (&["release", "v0.45"], 0),
        (&["document", "--release", "v0.45"], 3),
        (&["publish", "--source", "v0.45"], 3),
        (&["rollback"], 3),
        (&["download"], 3),
        (&["diff"], 3),
        (&["split"], 3),
        (&["checksum"], 3),
        (&["build-and-fetch"], 2),
    ] {
        holds(&world, words, code);
    }
    world.build_all(1, Some("v0.44")).unwrap();
    world.publish_by_hand("v0.44").unwrap();
    for words in [&["check"][..], &["status"], &["verify"], &["release", "v0.45"]] {
        holds(&world, words, 0);
    }
    world.build("debian-12-custom", 300 << 10, 9, Some("v0.45")).unwrap();
    world.hub().seed_release(REPOSITORY, SeedRelease::draft("v0.45").body("What is new.")).unwrap();
    let issue = world.hub().seed_issue(REPOSITORY, "Release v0.45").unwrap().to_string();
    let document = ["document", "--release", "v0.45", "--issue", &issue, "--execute"];
    for words in [
        &["publish", "--source", "v0.45", "debian-12-custom"][..],
        &["publish", "--source", "v0.45", "--execute", "debian-12-custom"],
        &["publish", "--source", "v0.45", "--execute", "debian-12-custom"],
        &["check"],
        &["status"],
        &["doctor"],
        &["verify"],
        &document,
        &document,
        &["release", "v0.45"],
        &["download", "--images", "elsewhere"],
        &["diff", "--local"],
        &["split"],
        &["checksum", "--verify"],
        &["rollback", "--to", "images-v0.45"],
        &["rollback"],
        &["rollback", "--execute"],
        &["status"],
    ] {
        holds(&world, words, 0);
    }
    holds(&world, &["check", "--exit-code"], 10);
    holds(&world, &["check", "--base", "v0.44"], 0);
    holds(&world, &["rehearse", "--gh", "/nonexistent"], 3);
    world.unset("GH_TOKEN");
    for words in [
        &["check"][..],
        &["status"],
        &["doctor"],
        &["verify"],
        &["release", "v0.45"],
        &["document", "--release", "v0.45"],
        &["publish", "--source", "v0.45"],
        &["rollback"],
        &["download"],
        &["diff"],
    ] {
        holds(&world, words, 3);
    }
}

#[test]
fn a_rollback_to_the_live_set_says_that_nothing_was_done() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("json-rollback");
    let mut options = Options::new(env!("CARGO_BIN_EXE_xtask-it"));
    options.sizes = vec![200 << 10];
    let world = World::new(&dir, options).unwrap();
    world.build_all(1, Some("v0.45")).unwrap();
    world.tool(&["publish", "--source", "v0.45", "--execute"]).expect(0, &["done: latest is v0.45 now"]);
    let object = world.tool(&["rollback", "--to", "images-v0.45", "--json"]).json();
    assert_eq!((&object["executed"], &object["source"]), (&false.into(), &"v0.45".into()), "{object}");
}

#[test]
fn a_rehearsal_prints_what_is_documented() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_xtask-it"));
    command.env("CARGO_MANIFEST_DIR", Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap());
    let output = command.args(["packer", "rehearse", "--mib", "3", "--json"]).output().unwrap();
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &object["exit_code"]), (Some(0), &0.into()), "{object}");
    let faults = page::faults("rehearse", &object);
    assert!(faults.is_empty(), "{}\n{object:#}", faults.join("\n"));
}
