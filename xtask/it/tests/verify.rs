//! `verify`'s two verdicts, for `latest` and for the images here; and what a publish takes from where.

use std::fs;
use std::path::{Path, PathBuf};

use github_stand_in::SeedRelease;
use rehearsal::world::{Options, REPOSITORY, World};

use crate::begun;

const IMAGES: [&str; 3] = ["debian-12-custom", "debian-13-custom", "debian-13-pve"];
const PUBLISH: &[&str] = &["publish", "--source", "v0.45", "--execute"];

fn world(test: &str) -> World {
    World::new(&place(test), Options::new(env!("CARGO_BIN_EXE_xtask-it"))).unwrap()
}

fn published(test: &str) -> World {
    begun::twin("v0.45-whole", &place(test), |dir| {
        let world = World::new(dir, Options::new(env!("CARGO_BIN_EXE_xtask-it"))).unwrap();
        world.build_all(1, Some("v0.45")).unwrap();
        world.tool(PUBLISH).expect(0, &[]);
        world
    })
}

fn place(test: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("verify-{test}"))
}

fn image(world: &World, name: &str) -> PathBuf {
    world.images().join(name).join(format!("{name}.qcow2"))
}

#[test]
fn one_byte_is_seen_and_latest_is_not_to_blame() {
    let world = published("byte");
    world.tool(&["verify"]).expect(0, &["ok: latest of", "ok: 3 images in packer/images match"]);
    let path = image(&world, IMAGES[1]);
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    let ran = world.tool(&["verify"]);
    ran.expect(
        4,
        &[
            "ok: latest of",
            "ok: 2 images in packer/images",
            "debian-13-custom.qcow2 here has sha256",
            "it is damaged",
            "    fix: fetch it again: `cargo xtask packer download --force debian-13-custom`",
            "error: images here differ from `latest`: debian-13-custom.qcow2 here has sha256",
            "\nfix: fetch it again: `cargo xtask packer download --force debian-13-custom`",
        ],
    );
    let ran = world.tool(&["verify", "--json"]).expect(4, &[]);
    let json = ran.json();
    assert_eq!(json["differences"].as_array().unwrap().len(), 0, "{json}");
    assert_eq!(json["local_differences"][0]["image"], IMAGES[1], "{json}");
    assert_eq!(json["local"].as_array().unwrap().len(), 2, "{json}");
    world.tool(&["verify", "--no-local"]).expect(0, &["ok: latest of"]);
    // The cure cures.
    world.tool(&["download", "--force", IMAGES[1]]).expect(0, &[]);
    world.tool(&["verify"]).expect(0, &["ok: 3 images in packer/images"]);
}

#[test]
fn what_is_wrong_here_has_its_own_cure() {
    let world = published("here");
    let twice = world.images().join(format!("{}.qcow2", IMAGES[0]));
    fs::copy(image(&world, IMAGES[0]), &twice).unwrap();
    let said = world.tool(&["verify"]).expect(4, &["ok: latest of", "two files for the image of debian-12-custom"]);
    assert!(!said.stdout.contains("publish again"), "{}", said.stdout);
    fs::remove_file(twice).unwrap();
    // Another build, whole and fine.
    world.build(IMAGES[2], 2 << 20, 77, Some("v0.45")).unwrap();
    let said =
        world.tool(&["verify"]).expect(4, &["the live one has", "fix: publish it: ", "or take the published image"]);
    assert!(!said.stdout.contains("publish again") && !said.stdout.contains("damaged"), "{}", said.stdout);
    // The person's own options stand in the cure.
    let images = world.images().display().to_string();
    let said = world.tool(&["verify", "--images", &images]);
    said.expect(4, &[&format!("download --force debian-13-pve --images {images}")]);
}

#[test]
fn a_set_made_by_hand_is_compared_as_well() {
    let world = world("by-hand");
    world.build_all(1, Some("v0.44")).unwrap();
    world.publish_by_hand("v0.44").unwrap();
    world.tool(&["verify"]).expect(0, &["a set made by hand", "ok: 3 images in packer/images"]);
    world.build(IMAGES[0], 1 << 20, 5, None).unwrap();
    world.tool(&["verify"]).expect(4, &["ok: latest", "debian-12-custom.qcow2 here has sha256"]);
}

/// A release with one image of its own.
fn with_release(world: &World) {
    let name = IMAGES[2];
    let mut release = SeedRelease::published("v0.45");
    for file in [format!("{name}.qcow2"), format!("{name}.qcow2.sha256")] {
        release = release.asset(&file, fs::read(world.images().join(name).join(&file)).unwrap());
    }
    world.hub().seed_release(REPOSITORY, release).unwrap();
}

#[test]
fn copy_takes_the_named_images_and_carries_the_others() {
    let world = published("copy");
    world.build(IMAGES[2], 2 << 20, 77, None).unwrap();
    with_release(&world);
    fs::remove_dir_all(world.images()).unwrap();
    let live = |world: &World| world.published().published("latest").unwrap().clone();
    let before = live(&world);
    world
        .tool(&[PUBLISH, &["--copy", "--verbose", IMAGES[2]]].concat())
        .expect(0, &["copy from v0.45", "copy from latest"]);
    let after = live(&world);
    for name in IMAGES {
        let digest = |release: &github_stand_in::Release| {
            release.asset(&format!("{name}.qcow2.sha256")).map(|asset| asset.digest.clone())
        };
        assert!(digest(&after).is_some(), "{name} is missing");
        assert_eq!(digest(&before) == digest(&after), name != IMAGES[2], "{name}");
    }
    // Alone only when that is asked for.
    world.tool(&[PUBLISH, &["--copy", "--only", IMAGES[2]]].concat()).expect(0, &["will NOT have debian-12-custom"]);
}

#[test]
fn an_image_that_is_here_and_not_named_is_not_called_missing() {
    let world = world("unnamed");
    world.build_all(1, None).unwrap();
    world.publish_by_hand("v0.44").unwrap();
    world.build_all(2, Some("v0.45")).unwrap();
    let ran = world.tool(&["publish", "--source", "v0.45", IMAGES[1]]);
    let ran = ran.expect(
        3,
        &[
            "debian-12-custom.qcow2 is not among the named images, and debian-12-custom can't be carried over from latest: ",
            "name it too",
            "--carry debian-12-custom",
        ],
    );
    assert!(!ran.stderr.contains("build-and-fetch"), "{}", ran.stderr);
}
