//! What a publish makes of the lists in build records: it carries them into the manifest, and publishes no image that is made
//! of something else than the source has.

use std::fs;
use std::path::Path;

use rehearsal::world::{IMAGES, Options, World};
use serde_json::{Value, json};

const PUBLISH: [&str; 4] = ["publish", "--source", "v0.45", "--execute"];

fn world(test: &str) -> World {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("publish-inputs").join(test);
    World::new(&dir, Options::new(env!("CARGO_BIN_EXE_xtask-it"))).unwrap()
}

/// The list of an image at a revision.
fn list(world: &World, image: &str, revision: &str) -> Value {
    let template = format!("templates/{image}");
    let tree = world.git(&["ls-tree", "-r", revision, "--", "shared", &template]).unwrap();
    let file = |line: &str| {
        let (head, path) = line.split_once('\t').unwrap();
        let words: Vec<&str> = head.split(' ').collect();
        json!({ "path": path, "mode": words[0], "id": words[2] })
    };
    json!({ "files": tree.lines().map(file).collect::<Vec<_>>(), "base_image": "sha512:1", "settings": { "DISK_SIZE": "" } })
}

/// Changes an image's build record; `None` takes it away.
fn record(world: &World, image: &str, change: Option<&dyn Fn(&mut Value)>) {
    let path = world.images().join(image).join(format!("{image}.build.json"));
    let mut record: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    match change {
        Some(change) => {
            change(&mut record);
            fs::write(path, record.to_string()).unwrap();
        }
        None => fs::remove_file(path).unwrap(),
    }
}

/// Images with the lists of a revision and no commit, as a build outside of any clone leaves them.
fn built(test: &str, revision: &str) -> World {
    let world = world(test);
    world.build_all(1, Some("v0.45")).unwrap();
    for image in IMAGES {
        let inputs = list(&world, image, revision);
        record(
            &world,
            image,
            Some(&|record| {
                record["inputs"] = inputs.clone();
                record["built_from"] = Value::Null;
            }),
        );
    }
    world
}

fn manifest(world: &World) -> Value {
    let _ = fs::remove_file(world.dir().join("packer-images.json"));
    world
        .gh(&[
            "release",
            "download",
            "latest",
            "--repo",
            rehearsal::world::REPOSITORY,
            "--pattern",
            "packer-images.json",
        ])
        .unwrap();
    serde_json::from_str(&fs::read_to_string(world.dir().join("packer-images.json")).unwrap()).unwrap()
}

#[test]
fn the_list_goes_into_the_manifest_and_back_into_check_and_a_download() {
    let world = built("carried", "v0.45");
    world.tool(&PUBLISH).expect(0, &["done:"]);
    for (number, image) in IMAGES.iter().enumerate() {
        assert_eq!(manifest(&world)["images"][number]["inputs"], list(&world, image, "v0.45"));
    }
    let json = world.tool(&["check", "--json"]).expect(0, &[]).json();
    assert_eq!(
        (&json["decision"], &json["images"][0]["baseline"]["kind"]),
        (&json!("skip"), &json!("manifest")),
        "{json}"
    );
    // It goes along with a download, and stays with an image that is carried over.
    fs::remove_dir_all(world.images()).unwrap();
    world.tool(&["download"]).expect(0, &[]);
    let path = world.images().join(IMAGES[0]).join(format!("{}.build.json", IMAGES[0]));
    let record: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(record["inputs"], list(&world, IMAGES[0], "v0.45"));
    fs::remove_dir_all(world.images()).unwrap();
    world.build(IMAGES[0], 1 << 20, 77, Some("v0.45")).unwrap();
    world.tool(&PUBLISH).expect(0, &["done:"]);
    assert_eq!(manifest(&world)["images"][0]["inputs"], Value::Null);
    assert_eq!(manifest(&world)["images"][1]["inputs"], list(&world, IMAGES[1], "v0.45"));
}

#[test]
fn an_image_of_something_else_is_refused_with_the_files() {
    let world = built("differs", "v0.44");
    let says =
        "debian-12-custom does not fit v0.45: it was built from other files: templates/debian-12-custom/cleanup.sh";
    world.tool(&PUBLISH).expect(1, &[says, "--allow-stale"]);
    assert!(world.published().releases.is_empty());
    world.tool(&[&PUBLISH[..], &["--allow-stale"]].concat()).expect(0, &[says, "done:"]);
    // What was published is told as it is.
    let json = world.tool(&["check", "--json"]).expect(0, &[]).json();
    assert_eq!(json["images"][0]["files"], json!(["templates/debian-12-custom/cleanup.sh"]), "{json}");
}

#[test]
fn an_image_of_a_newer_version_names_the_version_and_both_ways_out() {
    let world = world("newer");
    world.build_all(1, Some("v0.45")).unwrap();
    world.tool(&["publish", "--source", "v0.44", "--execute"]).expect(
        1,
        &[
            "debian-12-custom does not fit v0.44: it was built from v0.45, and these files differ: \
             templates/debian-12-custom/cleanup.sh",
            "build-and-fetch --host HOST --source v0.44 debian-12-custom",
            "publish --source v0.45",
            "--allow-stale",
        ],
    );
    assert!(world.published().releases.is_empty());
}

#[test]
fn an_image_without_a_record_is_said_once_with_what_it_means() {
    let world = built("unrecorded", "v0.45");
    for image in &IMAGES[1..] {
        record(&world, image, None);
    }
    let ran = world
        .tool(&PUBLISH)
        .expect(0, &["no build record says what debian-13-custom, debian-13-pve", "the next check will say rebuild"]);
    assert_eq!(
        ran.stderr.matches("the next check will say rebuild").count()
            + ran.stdout.matches("the next check will say rebuild").count(),
        1
    );
    let json = world.tool(&["check", "--json"]).expect(0, &[]).json();
    let decisions: Vec<&Value> = json["images"].as_array().unwrap().iter().map(|image| &image["decision"]).collect();
    assert_eq!(decisions, ["skip", "rebuild", "rebuild"], "{json}");
}

#[test]
fn a_record_with_a_list_that_cannot_be_is_refused_by_name() {
    let world = built("bad", "v0.45");
    for path in ["../x", "/x", "shared/a\nb", "shared/./x"] {
        let file = json!({ "path": path, "mode": "100644", "id": "0".repeat(40) });
        record(&world, IMAGES[0], Some(&|record| record["inputs"]["files"] = json!([file.clone()])));
        let shown = format!("`{}`", path.escape_debug());
        world.tool(&PUBLISH).expect(1, &[&shown, "debian-12-custom.build.json"]);
    }
    assert!(world.published().releases.is_empty());
}

/// Nobody recorded what images made by hand are made of; what `check` said of them stands for it afterwards.
#[test]
fn the_same_line_again_after_a_first_publish_over_a_set_made_by_hand_has_nothing_to_do() {
    let world = world("again");
    world.build_all(1, Some("v0.44")).unwrap();
    world.publish_by_hand("v0.44").unwrap();
    fs::remove_dir_all(world.images()).unwrap();
    world.build(IMAGES[0], 1 << 20, 77, Some("v0.45")).unwrap();
    world.tool(&PUBLISH).expect(0, &["after downloading 5.5 MiB", "done:"]);
    let before = world.hub().requests().len();
    world.tool(&PUBLISH).expect(0, &["nothing to do"]);
    assert!(world.hub().requests()[before..].iter().all(|request| request.method == "GET"));
    // What was carried over is taken as built from what check compared it with, so it can be carried again.
    world.build(IMAGES[0], 1 << 20, 78, Some("v0.45")).unwrap();
    world.tool(&PUBLISH).expect(0, &["done: latest is v0.45"]);
    world.git(&["tag", "v0.46"]).unwrap();
    world.git(&["push", "--quiet", "origin", "v0.46"]).unwrap();
    world.tool(&["publish", "--source", "v0.46", "--execute"]).expect(0, &["done: latest is v0.46"]);
    world.tool(&["check"]).expect(0, &["skip"]);
}
