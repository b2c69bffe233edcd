//! A manifest on `latest` that somebody damaged: each verb says what is wrong and what to do.

use std::fs;

use rehearsal::world::{REPOSITORY, World};
use serde_json::{Value, json};

use super::{PUBLISH, world};

const FILE: &str = "packer-images.json";

/// What is made of a good one, and a word that every verb says of it.
fn damaged(good: &Value) -> Vec<(Vec<u8>, &'static str)> {
    let with = |place: &str, value: Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(place).unwrap() = value;
        changed.to_string().into_bytes()
    };
    let image = good["images"][0].clone();
    vec![
        (b"{ no manifest".to_vec(), "line 1"),
        (Vec::from(&b"\xff\xfe\x00"[..]), "line 1"),
        (with("/images", json!("three")), "expected a sequence"),
        (with("/schema", json!(2)), "schema 2"),
        (with("/source", json!("v0.44\u{1b}[2J\u{9b}1m")), "\\u{1b}[2J"),
        (with("/images/0/parts/0/size", json!(u64::MAX)), "too large"),
        (with("/images/1", image), "two images"),
    ]
}

fn replace(world: &World, bytes: &[u8]) {
    let file = world.dir().join(FILE);
    fs::write(&file, bytes).unwrap();
    world.gh(&["release", "upload", "latest", "--repo", REPOSITORY, "--clobber", file.to_str().unwrap()]).unwrap();
}

#[test]
fn each_verb_says_what_is_wrong_with_a_manifest() {
    let world = world("damaged");
    for (seed, source) in [(3, "v0.43"), (2, "v0.44")] {
        world.build_all(seed, Some(source)).unwrap();
        world.tool(&["publish", "--source", source, "--part-size", "256KiB", "--execute"]).expect(0, &[]);
    }
    world.build_all(1, Some("v0.45")).unwrap();
    let dir = world.dir().join("good");
    let folder = dir.to_str().unwrap();
    world.gh(&["release", "download", "latest", "--repo", REPOSITORY, "--pattern", FILE, "--dir", folder]).unwrap();
    let good: Value = serde_json::from_slice(&fs::read(dir.join(FILE)).unwrap()).unwrap();
    let downloads = world.dir().join("downloads");
    let download = ["download", "--images", downloads.to_str().unwrap()];
    let publish = &PUBLISH[..PUBLISH.len() - 1];
    // What nobody can compare with is to be rebuilt, and status shows what it can. To take its place nobody needs it.
    let builds = "`cargo xtask packer build-and-fetch --host HOST debian-12-custom --force`";
    let verbs: [(&[&str], &[i32], Option<&str>); 6] = [
        (&["check"], &[0], Some(builds)),
        (&["verify"], &[4], Some(builds)),
        (&["status"], &[0, 1], Some(builds)),
        (&download, &[4], Some("\nfix: use another release, or publish the set again")),
        (publish, &[0], None),
        (&["rollback"], &[0], None),
    ];
    let mut wrong = Vec::new();
    for (bytes, word) in damaged(&good) {
        replace(&world, &bytes);
        for (verb, codes, what_to_do) in verbs {
            let ran = world.tool(verb);
            let all = format!("{}{}", ran.stdout, ran.stderr);
            let raw = |c: char| c.is_control() && c != '\n';
            let named = |fix| all.contains(FILE) && all.contains(word) && all.contains(fix);
            let right = ran.code.is_some_and(|code| codes.contains(&code))
                && what_to_do.is_none_or(named)
                && !all.contains("panicked")
                && !all.contains(raw);
            if !right {
                wrong.push(format!("{} ({word}): exit {:?}: {all:?}", verb.join(" "), ran.code));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    world.tool(PUBLISH).expect(0, &["done: latest is v0.45"]);
    world.tool(&["verify"]).expect(0, &["v0.45"]);
}
