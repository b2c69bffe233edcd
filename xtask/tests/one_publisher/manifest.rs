//! A manifest on `latest` that somebody damaged: each verb says what is wrong and what to do.

use std::fs;

use rehearsal::world::{REPOSITORY, World};
use serde_json::{Value, json};

use crate::{PUBLISH, ROLLBACK, over_a_set};

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
    let world = over_a_set("damaged");
    let dir = world.dir().join("good");
    let folder = dir.to_str().unwrap();
    world.gh(&["release", "download", "latest", "--repo", REPOSITORY, "--pattern", FILE, "--dir", folder]).unwrap();
    let good: Value = serde_json::from_slice(&fs::read(dir.join(FILE)).unwrap()).unwrap();
    let downloads = world.dir().join("downloads");
    let download = ["download", "--images", downloads.to_str().unwrap()];
    // What nobody can compare with is to be rebuilt, and status shows what it can.
    let verbs: [(&[&str], &[i32]); 6] = [
        (&["check"], &[0]),
        (&["verify"], &[1]),
        (&["status"], &[0, 1]),
        (PUBLISH, &[1]),
        (ROLLBACK, &[1]),
        (&download, &[1]),
    ];
    let mut wrong = Vec::new();
    for (bytes, word) in damaged(&good) {
        replace(&world, &bytes);
        for (verb, codes) in verbs {
            let ran = world.tool(verb);
            let all = format!("{}{}", ran.stdout, ran.stderr);
            let raw = |c: char| c.is_control() && c != '\n';
            let right = ran.code.is_some_and(|code| codes.contains(&code))
                && all.contains(FILE)
                && all.contains(word)
                && (all.contains("gh release delete-asset") || all.contains("update your checkout"))
                && !all.contains("panicked")
                && !all.contains(raw);
            if !right {
                wrong.push(format!("{} ({word}): exit {:?}: {all:?}", verb.join(" "), ran.code));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What they say helps.
    world.gh(&["release", "delete-asset", "latest", FILE, "--repo", REPOSITORY, "--yes"]).unwrap();
    world.tool(PUBLISH).expect(0, &["latest is v0.45 now"]);
    world.tool(&["verify"]).expect(0, &["v0.45"]);
}
