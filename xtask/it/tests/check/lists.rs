//! What the images are compared with when the manifest has the list of what they were made of: no history is needed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use github_stand_in::SeedRelease;
use rehearsal::machine::Machine;
use rehearsal::world::{IMAGES, Options, REPOSITORY, World};
use serde_json::{Value, json};

const FIRST: &str = IMAGES[0];

/// Of `image`, which is what the images of this world are.
const SHA256: &str = "6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d";

fn world(test: &str) -> World {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("check-lists").join(test);
    World::new(&dir, Options::new(env!("CARGO_BIN_EXE_xtask-it"))).unwrap()
}

/// What an image is made of in a folder, as git names the bytes.
fn list(packer: &Path, image: &str) -> Vec<Value> {
    let mut files = Vec::new();
    for folder in ["shared".to_owned(), format!("templates/{image}")] {
        for path in walk(&packer.join(folder)) {
            let id = Command::new("git").args(["hash-object", "--no-filters"]).arg(&path).output().unwrap().stdout;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            files.push(json!({
                "path": path.strip_prefix(packer).unwrap().to_str().unwrap(),
                "mode": if mode & 0o100 == 0 { "100644" } else { "100755" },
                "id": String::from_utf8(id).unwrap().trim(),
            }));
        }
    }
    files
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

/// A `latest` of these lists, built from nothing that anybody knows.
fn publish(world: &World, lists: &[Vec<Value>]) {
    let image = |(name, files): (&&str, &Vec<Value>)| {
        json!({
            "name": name, "file": format!("{name}.qcow2"), "size": 5, "sha256": SHA256, "built_from": null,
            "inputs": { "files": files, "base_image": null, "settings": {} }, "versions": null, "parts": [],
        })
    };
    let images: Vec<Value> = IMAGES.iter().zip(lists).map(image).collect();
    let manifest = json!({ "schema": 1, "source": "v0.45", "commit": world.remote_commit("v0.45"), "images": images });
    let release = IMAGES.iter().fold(SeedRelease::prerelease("latest").body("Points to v0.45"), |release, name| {
        let line = format!("{SHA256}  {name}.qcow2\n");
        release.asset(&format!("{name}.qcow2"), *b"image").asset(&format!("{name}.qcow2.sha256"), line)
    });
    world.hub().seed_release(REPOSITORY, release.asset("packer-images.json", manifest.to_string())).unwrap();
}

fn publish_what_is_here(world: &World) {
    publish(world, &IMAGES.map(|image| list(&world.packer_dir(), image)));
}

#[track_caller]
fn check(machine: &Machine) -> (Value, Vec<String>) {
    let json = machine.tool(&["check", "--json"]).expect(0, &[]).json();
    let rebuild = json["images"].as_array().unwrap().iter().filter(|image| image["decision"] == "rebuild");
    let rebuild = rebuild.map(|image| image["name"].as_str().unwrap().to_owned()).collect();
    (json, rebuild)
}

#[test]
fn a_shallow_clone_and_one_without_tags_decide_and_name_who_changed_what() {
    let world = world("shallow");
    publish_what_is_here(&world);
    for (name, depth) in [("shallow", "--depth=1"), ("no-tags", "--no-tags")] {
        let other = world.another_machine(name).unwrap();
        fs::remove_dir_all(other.packer_dir()).unwrap();
        let url = format!("file://{}", world.remote().display());
        world.git(&["clone", "--quiet", depth, &url, other.packer_dir().to_str().unwrap()]).unwrap();
        let (json, rebuild) = check(&other);
        assert_eq!((json["decision"].as_str(), rebuild.len()), (Some("skip"), 0), "{name}: {json}");
        assert_eq!((&json["baseline"]["kind"], &json["baseline"]["commit"]), (&json!("manifest"), &Value::Null));
        fs::write(other.packer_dir().join(format!("templates/{FIRST}/cleanup.sh")), "#!/bin/sh\n").unwrap();
        let (json, rebuild) = check(&other);
        assert_eq!(rebuild, [FIRST], "{name}: {json}");
        assert_eq!(json["images"][0]["changes"][0]["uncommitted"], true, "{name}");
        other.git(&["commit", "--quiet", "--all", "--message", "Clean less"]).unwrap();
        let (json, rebuild) = check(&other);
        assert_eq!(rebuild, [FIRST], "{name}: {json}");
        assert_eq!(json["images"][0]["changes"][0]["last_commit"]["subject"], "Clean less", "{name}: {json}");
    }
}

#[test]
fn an_unpacked_archive_decides_without_any_repository() {
    let world = world("archive");
    publish_what_is_here(&world);
    let other = world.another_machine("archive").unwrap();
    let tar = other.dir().join("packer.tar");
    world.git(&["archive", "--output", tar.to_str().unwrap(), "HEAD"]).unwrap();
    fs::remove_dir_all(other.packer_dir()).unwrap();
    fs::create_dir(other.packer_dir()).unwrap();
    let unpack = Command::new("tar").arg("-xf").arg(&tar).arg("-C").arg(other.packer_dir()).status().unwrap();
    assert!(unpack.success());
    // No repository above takes part.
    let mut outside = other;
    outside.set("GIT_CEILING_DIRECTORIES", world.dir());
    let (json, rebuild) = check(&outside);
    assert_eq!((json["decision"].as_str(), rebuild.len()), (Some("skip"), 0), "{json}");
    fs::write(outside.packer_dir().join("shared/scripts/more.sh"), "true\n").unwrap();
    let (json, rebuild) = check(&outside);
    assert_eq!((rebuild.len(), &json["images"][1]["files"]), (3, &json!(["shared/scripts/more.sh"])), "{json}");
    outside.tool(&["check", "--base", "v0.44"]).expect(3, &["there is no revision `v0.44`", "not in a git work tree"]);
}

#[test]
fn a_build_from_uncommitted_files_is_compared_like_any_other() {
    let world = world("dirty");
    let script = world.packer_dir().join("shared/scripts/update.sh");
    fs::write(&script, "#!/bin/sh\n# Updates.\napt-get update\n").unwrap();
    publish_what_is_here(&world);
    assert_eq!(check(&world).1, [""; 0]);
    // Nobody has the text that it was built from any more, so nobody can tell that only a comment changed.
    fs::write(&script, "#!/bin/sh\n# Updates all.\napt-get update\n").unwrap();
    assert_eq!(check(&world).1.len(), 3);
    world.git(&["stash", "--quiet"]).unwrap();
    assert_eq!(check(&world).1.len(), 3);
}

#[test]
fn comments_are_told_where_both_versions_can_be_read() {
    let world = world("comments");
    publish_what_is_here(&world);
    let script = world.packer_dir().join("shared/scripts/update.sh");
    fs::write(&script, "#!/bin/sh\n# Updates.\napt-get update\n").unwrap();
    let (json, rebuild) = check(&world);
    assert_eq!((rebuild.len(), &json["comment_only"][0]["path"]), (0, &json!("shared/scripts/update.sh")), "{json}");
}

#[test]
fn an_asset_that_somebody_replaced_or_removed_is_a_reason() {
    let world = world("assets");
    publish_what_is_here(&world);
    let release = world.published().published("latest").unwrap().clone();
    let id = |name: &str| release.assets.iter().find(|asset| asset.name == name).unwrap().id.to_string();
    let address = |id: &str| format!("repos/{REPOSITORY}/releases/assets/{id}");
    world.gh(&["api", "--method", "DELETE", &address(&id(&format!("{FIRST}.qcow2.sha256")))]).unwrap();
    let (json, rebuild) = check(&world);
    assert_eq!(rebuild, [FIRST], "{json}");
    let reason = json["images"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("debian-12-custom.qcow2.sha256 is missing"), "{reason}");
    world.gh(&["api", "--method", "DELETE", &address(&id("debian-13-pve.qcow2"))]).unwrap();
    fs::write(world.dir().join("debian-13-pve.qcow2"), "other").unwrap();
    world.gh(&["release", "upload", "latest", "debian-13-pve.qcow2", "--repo", REPOSITORY]).unwrap();
    let (json, rebuild) = check(&world);
    assert_eq!(rebuild, [FIRST, "debian-13-pve"], "{json}");
    assert!(json["images"][2]["reason"].as_str().unwrap().contains("debian-13-pve.qcow2"), "{json}");
}

#[test]
fn a_list_that_no_engine_writes_means_rebuild_and_is_named() {
    let world = world("bad-list");
    let mut bad = list(&world.packer_dir(), FIRST);
    bad.push(json!({ "path": "shared/../../etc/passwd", "mode": "100644", "id": "0".repeat(40) }));
    publish(&world, &[bad]);
    let (json, rebuild) = check(&world);
    assert_eq!(rebuild.len(), 3);
    assert!(json["images"][0]["reason"].as_str().unwrap().contains("`shared/../../etc/passwd`"), "{json}");
}
