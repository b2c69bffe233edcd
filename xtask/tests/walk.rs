//! `release`: where one is in the phase, and the next command, from nothing to the last screen.

use std::path::Path;

use github_stand_in::SeedRelease;
use rehearsal::world::{Options, REPOSITORY, World};
use serde_json::Value;

fn world(test: &str) -> World {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("walk-{test}"));
    World::new(&dir, Options::new(env!("CARGO_BIN_EXE_xtask"))).unwrap()
}

fn walk(world: &World) -> Value {
    world.tool(&["release", "v0.45", "--json"]).expect(0, &[]).json()
}

#[track_caller]
fn assert_at(walk: &Value, verb: &str, command: &str) {
    let steps = walk["steps"].as_array().unwrap();
    let next: Vec<&str> =
        steps.iter().filter(|step| step["state"] == "next").map(|step| step["verb"].as_str().unwrap()).collect();
    assert_eq!(next, [verb], "{walk}");
    assert!(walk["next"].as_str().unwrap().starts_with(command), "{walk}");
}

#[test]
fn each_next_command_brings_one_further() {
    let world = world("phase");
    world.build_all(1, Some("v0.44")).unwrap();
    world.publish_by_hand("v0.44").unwrap();
    std::fs::remove_dir_all(world.images()).unwrap();
    world.hub().seed_release(REPOSITORY, SeedRelease::published("v0.45")).unwrap();
    assert_at(&walk(&world), "build-and-fetch", "cargo xtask packer build-and-fetch --host HOST debian-12-custom");
    // It changes nothing where it can't ask.
    let said =
        world.tool(&["release", "v0.45"]).expect(0, &["next   build-and-fetch", "later  publish", "--host HOST"]);
    assert!(said.stdout.contains("Release v0.45 of homestak-dev/packer"), "{}", said.stdout);

    world.build("debian-12-custom", 1 << 20, 9, Some("v0.45")).unwrap();
    assert_at(&walk(&world), "publish", "cargo xtask packer publish --source v0.45");
    world.tool(&["publish", "--source", "v0.45", "--execute"]).expect(0, &[]);
    assert_at(&walk(&world), "document", "cargo xtask packer document --release v0.45");
    world.tool(&["document", "--release", "v0.45", "--execute"]).expect(0, &[]);
    let last = walk(&world);
    assert!(
        last["next"].is_null() && last["steps"].as_array().unwrap().iter().all(|step| step["state"] == "done"),
        "{last}"
    );
    world.tool(&["release", "v0.45"]).expect(0, &["All of it is done."]);
}

#[test]
fn a_release_that_keeps_its_images_is_only_documented() {
    let world = world("keeps");
    world.build_all(1, Some("v0.45")).unwrap();
    world.tool(&["publish", "--source", "v0.45", "--execute"]).expect(0, &[]);
    world.git(&["tag", "v0.46"]).unwrap();
    world.git(&["push", "--quiet", "origin", "v0.46"]).unwrap();
    world.hub().seed_release(REPOSITORY, SeedRelease::published("v0.46")).unwrap();
    let at = world.tool(&["release", "v0.46", "--json"]).expect(0, &[]).json();
    assert_at(&at, "document", "cargo xtask packer document --release v0.46");
    assert_eq!(at["steps"][3]["said"], "not needed: `latest` keeps its images", "{at}");
}

#[test]
fn what_is_missing_comes_first() {
    let mut world = world("missing");
    world.set("GH_TOKEN", "wrong");
    world.tool(&["release", "v0.45", "--json"]).expect(3, &[]);
    world.tool(&["release", "latest"]).expect(2, &["`latest` is no release"]);
}
