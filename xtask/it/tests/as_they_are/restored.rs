//! What a person changes by hand on a set that this tool published is put right by the commands that `status` prints, one
//! after another: from every kind of change, with images here and without.

use std::fs;
use std::path::Path;

use rehearsal::world::{IMAGES, Options, REPOSITORY, World};
use serde_json::Value;

use crate::begun;

use self::Here::{First, Live, Nothing, Outdated, TakenBack};

/// Commands from any state to the end.
const MOST: usize = 6;

/// What is in the images folder, and which version HEAD has.
#[derive(Clone, Copy, Debug)]
enum Here {
    /// The images that are live.
    Live,
    Nothing,
    /// The first image that is live alone.
    First,
    /// The images that are live; a commit of the next version changed the templates.
    Outdated,
    /// The images of the next version, which a rollback took from `latest`.
    TakenBack,
}

fn world(name: &str, here: Here) -> World {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("as-they-are").join(format!("restored-{name}"));
    begun::twin(&format!("restored-{here:?}"), &place, |dir| begin(dir, here))
}

fn begin(dir: &Path, here: Here) -> World {
    let mut options = Options::new(env!("CARGO_BIN_EXE_xtask-it"));
    options.sizes = vec![200 << 10, (3 << 20) / 2, 210 << 10];
    let world = World::new(dir, options).unwrap();
    world.build_all(1, Some("v0.45")).unwrap();
    world.tool(super::PUBLISH).expect(0, &[]);
    match here {
        Live => {}
        Nothing => fs::remove_dir_all(world.images()).unwrap(),
        First => {
            IMAGES[1..].iter().for_each(|name| fs::remove_dir_all(world.images().join(name)).unwrap());
        }
        Outdated => edit_and_tag(&world),
        TakenBack => {
            edit_and_tag(&world);
            world.build_all(2, Some("v0.46")).unwrap();
            world.tool(&["publish", "--source", "v0.46", "--part-size", "1MiB", "--execute"]).expect(0, &[]);
            world.tool(super::ROLLBACK).expect(0, &[]);
        }
    }
    world
}

fn edit_and_tag(world: &World) {
    for name in IMAGES {
        let path = world.packer_dir().join(format!("templates/{name}/cleanup.sh"));
        fs::write(&path, fs::read_to_string(&path).unwrap() + "echo more\n").unwrap();
    }
    world.git(&["commit", "--quiet", "--all", "--message", "A change"]).unwrap();
    world.git(&["tag", "v0.46"]).unwrap();
    world.git(&["push", "--quiet", "origin", "HEAD:main", "v0.46"]).unwrap();
}

fn replace(world: &World, name: &str, bytes: &[u8]) {
    let path = world.dir().join(name);
    fs::write(&path, bytes).unwrap();
    let file = path.to_str().unwrap();
    world.gh(&["release", "upload", "latest", "--clobber", "--repo", REPOSITORY, file]).unwrap();
}

fn remove(world: &World, name: &str) {
    world.gh(&["release", "delete-asset", "latest", name, "--yes", "--repo", REPOSITORY]).unwrap();
}

/// Types what `status` prints until all is done; an error when that does not end.
fn follow(world: &World) -> Result<(), String> {
    let mut typed = Vec::new();
    loop {
        let status = world.tool(&["status", "--json"]).json();
        let Some(line) = status["next"]["command"].as_str() else { break };
        if typed.len() == MOST {
            return Err(format!("the commands do not end:\n  {}\n  {}", typed.join("\n  "), status["next"]["why"]));
        }
        let words: Vec<&str> = line.strip_prefix("cargo xtask packer ").unwrap_or(line).split(' ').collect();
        let (code, said) = match words[0] {
            // What a build host would give: other bytes.
            "build-and-fetch" => {
                let source = words.iter().skip_while(|word| **word != "--source").nth(1).copied();
                let named: Vec<&str> = IMAGES.into_iter().filter(|name| words.contains(name)).collect();
                for name in if named.is_empty() { IMAGES.to_vec() } else { named } {
                    let seed = 50 + u64::try_from(typed.len()).unwrap();
                    world.build(name, 220 << 10, seed, Some(source.unwrap_or("HEAD"))).unwrap();
                }
                (Some(0), String::new())
            }
            "git" | "gh" => {
                let output = world.command("sh").args(["-c", line]).output().unwrap();
                (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
            }
            _ => {
                let ran = world.tool(&words);
                (ran.code, ran.stderr)
            }
        };
        typed.push(format!("{line}\n    {code:?} {}", if code == Some(0) { "" } else { said.trim() }));
    }
    let status = world.tool(&["status", "--json"]).json();
    let verify = world.tool(&["verify", "--no-local"]);
    if status["differences"] != Value::Array(Vec::new()) || verify.code != Some(0) {
        return Err(format!("all is done, and verify says:\n{}{}\n{status}", verify.stdout, verify.stderr));
    }
    Ok(())
}

/// From each of these places the commands lead to the end.
#[track_caller]
fn ends(name: &str, places: &[Here], change: impl Fn(&World)) {
    let mut faults = Vec::new();
    for here in places {
        let world = world(&format!("{name}-{here:?}").to_lowercase(), *here);
        world.hub().seed_release(REPOSITORY, github_stand_in::SeedRelease::draft("v0.45").body("New.")).unwrap();
        world.hub().seed_release(REPOSITORY, github_stand_in::SeedRelease::draft("v0.46").body("New.")).unwrap();
        change(&world);
        faults.extend(follow(&world).err().map(|fault| format!("{here:?}: {fault}")));
    }
    assert!(faults.is_empty(), "{name}:\n{}", faults.join("\n"));
}

fn whole(image: usize) -> String {
    format!("{}.qcow2", IMAGES[image])
}

fn sum(image: usize) -> String {
    format!("{}.qcow2.sha256", IMAGES[image])
}

fn part() -> String {
    format!("{}.qcow2.partab", IMAGES[1])
}

#[test]
fn two_images_replaced() {
    ends("two-images", &[First, Outdated, TakenBack], |world| {
        replace(world, &whole(2), b"by hand");
        replace(world, &whole(0), b"by hand");
    });
}

#[test]
fn an_image_replaced_or_removed() {
    ends("image-replaced", &[Live, Nothing], |world| replace(world, &whole(0), b"by hand"));
    ends("image-removed", &[TakenBack], |world| remove(world, &whole(2)));
}

#[test]
fn a_part_replaced_or_removed() {
    ends("part-replaced", &[First], |world| replace(world, &part(), b"by hand"));
    ends("part-removed", &[Outdated], |world| remove(world, &part()));
}

#[test]
fn a_checksum_file_replaced_or_removed() {
    ends("sum-replaced", &[Nothing], |world| replace(world, &sum(0), b"by hand"));
    ends("sum-removed", &[TakenBack], |world| remove(world, &sum(1)));
    ends("sums-replaced", &[Nothing, TakenBack], |world| replace(world, "SHA256SUMS", b"by hand"));
}

#[test]
fn the_manifest_replaced_or_removed() {
    ends("manifest-nonsense", &[Nothing, TakenBack], |world| replace(world, "packer-images.json", b"by hand"));
    ends("manifest-removed", &[Live, TakenBack], |world| remove(world, "packer-images.json"));
    ends("manifest-replaced", &[Nothing], |world| {
        let asset = world.published().published("latest").unwrap().asset("packer-images.json").unwrap().clone();
        let text = fs::read_to_string(&asset.file).unwrap();
        replace(world, "packer-images.json", format!("{text}\n").as_bytes());
    });
}

#[test]
fn an_asset_added() {
    ends("image-added", &[Nothing, TakenBack], |world| replace(world, "strange.qcow2", b"by hand"));
    ends("part-added", &[First], |world| replace(world, &format!("{}.qcow2.partac", IMAGES[1]), b"by hand"));
    ends("whole-added", &[Outdated], |world| replace(world, &whole(1), b"by hand"));
}

#[test]
fn notes_and_kind_edited() {
    ends("notes", &[Live], |world| {
        world.gh(&["release", "edit", "latest", "--notes", "By hand.", "--repo", REPOSITORY]).unwrap();
    });
    ends("notes-kept", &[Live, TakenBack], |world| {
        let body = world.published().published("latest").unwrap().body.clone().unwrap();
        let body = body.replace("Points to v0.45", "By hand");
        world.gh(&["release", "edit", "latest", "--notes", &body, "--repo", REPOSITORY]).unwrap();
    });
    ends("kind", &[Nothing], |world| {
        world.gh(&["release", "edit", "latest", "--prerelease=false", "--repo", REPOSITORY]).unwrap();
    });
}
