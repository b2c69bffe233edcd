//! What somebody may try who can change the release, a build record or a file in the packer directory, and has no key;
//! docs/security.md lists it.
#![allow(clippy::disallowed_methods, reason = "tests start the tools that people use beside this one")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use github_stand_in::Release;
use rehearsal::image::sha256;
use rehearsal::machine::Machine;
use rehearsal::process::Ran;
use rehearsal::world::{Options, REPOSITORY, World};
use serde_json::{Value, json};

use crate::begun;

const IMAGE: &str = "debian-12-custom";
const KEY: &str = "release-key";
const PUBLISH: &[&str] = &["publish", "--source", "v0.45", "--part-size", "1MiB", "--execute"];

fn world(test: &str) -> World {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("attacks-{test}"));
    let world = World::new(&dir, Options::new(env!("CARGO_BIN_EXE_xtask-it"))).unwrap();
    world.build_all(1, Some("v0.45")).unwrap();
    world
}

fn with(machine: &Machine, words: &[&str], more: &[&str]) -> Ran {
    machine.tool(&[words, more].concat())
}

/// How many requests changed something.
fn changes(world: &World) -> usize {
    world.hub().requests().iter().filter(|request| !matches!(request.method.as_str(), "GET" | "HEAD")).count()
}

/// Rewrites an asset of `latest`.
fn rewrite(world: &World, name: &str, change: impl FnOnce(String) -> String) {
    let id = world.published().published("latest").unwrap().id;
    let edit = |release: &mut Release| {
        let text = change(String::from_utf8(bytes(release, name)).unwrap());
        put(release, name, text.as_bytes());
    };
    world.hub().change_release(REPOSITORY, id, edit).unwrap();
}

#[test]
fn a_list_of_signers_that_cannot_be_read_is_never_nobody() {
    let world = world("signers");
    let (dir, list) = (world.remote().with_file_name(""), world.packer_dir().join("allowed_signers"));
    let key = |name: &str| {
        let path = dir.join(name);
        let mut make = Command::new("ssh-keygen");
        make.args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(&path);
        assert!(make.status().unwrap().success());
        path
    };
    let (ours, stranger) = (key("ours"), key("stranger").display().to_string());
    with(&world, PUBLISH, &["--sign", &stranger]).expect(0, &["latest is v0.45 now"]);
    let line = format!("me@example.org {}", fs::read_to_string(ours.with_extension("pub")).unwrap());
    fs::write(&list, &line).unwrap();
    world.tool(&["download", "--images", "elsewhere"]).expect(4, &["doesn't name"]);
    let spoil: [(&str, &dyn Fn()); 4] = [
        ("is not UTF-8", &|| fs::write(&list, [line.as_bytes(), b"# caf\xe9\n"].concat()).unwrap()),
        ("control character", &|| fs::write(&list, format!("{line}# \u{1b}[2J\n")).unwrap()),
        ("it is not a file", &|| fs::create_dir(&list).unwrap()),
        ("No such file", &|| symlink("nowhere", &list).unwrap()),
    ];
    for (says, spoil) in spoil {
        drop(fs::remove_file(&list));
        spoil();
        let before = changes(&world);
        for verb in [
            &["download", "--images", "elsewhere"][..],
            &["download", "--images", "elsewhere", "--allow-unsigned"],
            &["verify", "--no-local"],
            &["publish", "--source", "v0.46", "--no-sign"],
            &["publish", "--source", "v0.45", "--no-sign", "--execute"],
            &["rollback", "--execute"],
            &["doctor"],
        ] {
            let ran = world.tool(verb);
            assert_eq!(ran.code, Some(3), "{verb:?}: {}{}", ran.stdout, ran.stderr);
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert!(said.contains("allowed_signers") && said.contains(says), "{verb:?}: {said}");
        }
        assert_eq!(changes(&world), before, "{says}");
        drop(fs::remove_dir(&list));
    }
    assert!(!world.dir().join("elsewhere").exists());
}

/// Puts other bytes in an asset of a release, with the size and digest that GitHub then says.
fn put(release: &mut Release, name: &str, bytes: &[u8]) {
    let asset = release.assets.iter_mut().find(|asset| asset.name == name).unwrap();
    fs::write(&asset.file, bytes).unwrap();
    asset.size = bytes.len() as u64;
    asset.digest = Some(format!("sha256:{}", sha256(bytes)));
}

fn bytes(release: &Release, name: &str) -> Vec<u8> {
    fs::read(&release.asset(name).unwrap().file).unwrap()
}

/// v0.44 and then v0.45, each signed by somebody who may; the key.
fn signed_twice(test: &str) -> (World, String) {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("attacks-{test}"));
    let world = begun::twin("signed-twice", &place, sign_twice);
    let key = world.remote().with_file_name(KEY).display().to_string();
    (world, key)
}

fn sign_twice(dir: &Path) -> World {
    let world = World::new(dir, Options::new(env!("CARGO_BIN_EXE_xtask-it"))).unwrap();
    let key = world.remote().with_file_name(KEY);
    let mut make = Command::new("ssh-keygen");
    assert!(make.args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(&key).status().unwrap().success());
    let line = format!("me@example.org {}", fs::read_to_string(key.with_extension("pub")).unwrap());
    fs::write(world.packer_dir().join("allowed_signers"), line).unwrap();
    let key = key.display().to_string();
    for (seed, source) in [(2, "v0.44"), (1, "v0.45")] {
        world.build_all(seed, Some(source)).unwrap();
        let publish = ["publish", "--source", source, "--allow-stale", "--execute", "--sign", &key];
        world.tool(&publish).expect(0, &[&format!("latest is {source} now")]);
    }
    world
}

/// Somebody replaces an image of a release, and all that names its digest, also in the markers of other releases; the signature
/// goes, if it doesn't stay as it was.
fn forge(world: &World, tag: &str, keeps_signature: bool) {
    let id = world.published().published(tag).unwrap().id;
    let mut manifests = (String::new(), String::new());
    let edit = |release: &mut Release| {
        let file = format!("{IMAGE}.qcow2");
        let (old, mut new) = (bytes(release, &file), bytes(release, &file));
        *new.last_mut().unwrap() ^= 1;
        put(release, &file, &new);
        for name in [&format!("{file}.sha256"), "packer-images.json", "SHA256SUMS"] {
            let before = bytes(release, name);
            let text = String::from_utf8(before.clone()).unwrap().replace(&sha256(&old), &sha256(&new));
            let text = text.replace(&manifests.0, &manifests.1);
            put(release, name, text.as_bytes());
            if name == "packer-images.json" {
                manifests = (sha256(&before), sha256(text.as_bytes()));
            }
        }
        release.assets.retain(|asset| keeps_signature || asset.name != "SHA256SUMS.sig");
    };
    world.hub().change_release(REPOSITORY, id, edit).unwrap();
    for release in world.published().releases {
        let body = release.body.unwrap_or_default().replace(&manifests.0, &manifests.1);
        world.hub().change_release(REPOSITORY, release.id, |it| it.body = Some(body)).unwrap();
    }
}

fn live(world: &World) -> Option<u64> {
    world.published().published("latest").map(|release| release.id)
}

#[test]
fn no_set_that_nobody_signed_comes_back() {
    for keeps_signature in [false, true] {
        let (world, _) = signed_twice("rollback");
        forge(&world, "images-v0.44", keeps_signature);
        let (before, was) = (changes(&world), live(&world));
        for rollback in [&["rollback", "--execute"][..], &["rollback", "--execute", "--to", "images-v0.44"]] {
            world.tool(rollback).expect(4, &["images-v0.44 can't be trusted", "signed"]);
        }
        assert_eq!((changes(&world), live(&world)), (before, was));
        let ran = world.tool(&["rollback", "--execute", "--allow-unsigned"]);
        ran.expect(0, &["images-v0.44 can't be trusted", "accepted with --allow-unsigned", "latest is v0.44 again"]);
    }
}

#[test]
fn no_set_that_nobody_signed_is_recovered() {
    // As when a run died between the two calls of its switch; and as a release is after its tag was deleted.
    for name in ["latest-incoming", "latest"] {
        let (world, _) = signed_twice("recovery");
        let id = live(&world).unwrap();
        forge(&world, "latest", false);
        let edit = |release: &mut Release| {
            release.draft = true;
            release.tag_name = name.to_owned();
        };
        world.hub().change_release(REPOSITORY, id, edit).unwrap();
        if name == "latest" {
            world.git(&["push", "--quiet", "--delete", "origin", "latest"]).unwrap();
        }
        for verb in [&["rollback", "--execute"][..], &["publish", "--source", "v0.45", "--no-sign", "--execute"]] {
            world.tool(verb).expect(4, &["can't be trusted", "signed"]);
            assert_eq!(live(&world), None, "{verb:?}");
        }
        world.tool(&["rollback", "--execute", "--allow-unsigned"]).expect(0, &["accepted with --allow-unsigned"]);
        assert_eq!(live(&world), Some(id));
    }
}

#[test]
fn an_old_signed_set_is_not_a_newer_one() {
    let (world, key) = signed_twice("older");
    let old = world.published().published("images-v0.44").unwrap().clone();
    let id = live(&world).unwrap();
    let edit = |release: &mut Release| {
        let new: Value = serde_json::from_slice(&bytes(release, "packer-images.json")).unwrap();
        for asset in &old.assets {
            let mut bytes = bytes(&old, &asset.name);
            if asset.name == "packer-images.json" {
                let mut manifest: Value = serde_json::from_slice(&bytes).unwrap();
                for field in ["source", "commit", "created"] {
                    manifest[field] = new[field].clone();
                }
                bytes = serde_json::to_vec_pretty(&manifest).unwrap();
            }
            put(release, &asset.name, &bytes);
        }
    };
    world.hub().change_release(REPOSITORY, id, edit).unwrap();
    let says = "packer-images.json is not what me@example.org signed";
    world.tool(&["verify", "--no-local"]).expect(4, &[says]);
    world.tool(&["download", "--images", "elsewhere"]).expect(4, &[says]);
    assert!(!world.dir().join("elsewhere").exists());
    let check = world.tool(&["check", "--json"]);
    assert_ne!(check.json()["decision"], "skip", "{}{}", check.stdout, check.stderr);
    // Nor is it signed as the new one.
    fs::remove_dir_all(world.images()).unwrap();
    let carry = ["debian-12-custom", "debian-13-custom", "debian-13-pve"].map(|name| ["--carry", name]).concat();
    let sign = ["publish", "--source", "v0.45", "--resend", "--execute", "--sign", &key];
    let before = changes(&world);
    world.tool(&[&sign[..], &carry].concat()).expect(4, &["can't be trusted", says]);
    assert_eq!(changes(&world), before);
}

fn record(world: &World, change: impl FnOnce(&mut Value)) {
    let path = world.images().join(IMAGE).join(format!("{IMAGE}.build.json"));
    let mut record: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut record);
    fs::write(path, record.to_string()).unwrap();
}

#[test]
fn nothing_is_sent_that_our_own_reader_would_refuse() {
    let world = world("unreadable");
    let before = changes(&world);
    let files: Vec<Value> = (0..4000)
        .map(|number| json!({ "path": format!("shared/{}{number}", "x".repeat(140)), "mode": "100644", "id": "0".repeat(40) }))
        .collect();
    for (field, value, code, says) in [
        ("base_image", json!({ "url": "https://x/\u{1b}]0;x\u{7}", "digest": "sha512:1" }), 1, "build record"),
        ("versions", json!({ "DEBIAN_VERSION": "1".repeat(1_500_000) }), 1, "build record"),
        ("versions", json!({ "DEBIAN_VERSION": "12\u{202e}" }), 1, "build record"),
        ("built_from", json!({ "commit": "main", "dirty": false }), 1, "build record"),
        // As large as a record may be, and too large beside others.
        ("inputs", json!({ "files": files }), 3, "readers would refuse the manifest of this set"),
    ] {
        let path = world.images().join(IMAGE).join(format!("{IMAGE}.build.json"));
        let good = fs::read(&path).unwrap();
        record(&world, |record| record[field] = value);
        let ran = with(&world, PUBLISH, &["--allow-stale"]);
        assert_eq!(ran.code, Some(code), "{field}: {}", ran.stderr);
        assert!(ran.stderr.contains(says) && !ran.stderr.contains(['\u{1b}', '\u{202e}']), "{field}: {}", ran.stderr);
        fs::write(&path, good).unwrap();
    }
    assert_eq!(changes(&world), before);
    world.tool(PUBLISH).expect(0, &["latest is v0.45 now"]);
}

/// Types every line that was printed to be copied, with programs that do nothing but say that they ran.
fn typed(world: &World, said: &str) {
    let bin = world.dir().join("typed-bin");
    fs::create_dir_all(&bin).unwrap();
    for name in ["cargo", "git", "gh", "ssh", "cat", "sha256sum", "ssh-keygen", "kill"] {
        fs::write(bin.join(name), "#!/bin/sh\n").unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let begins =
        |line: &str| ["cargo ", "git ", "gh ", "ssh ", "ssh-keygen "].iter().any(|word| line.starts_with(word));
    let in_backticks = said.split('`').skip(1).step_by(2);
    let after_a_colon = said.lines().filter_map(|line| Some(&line[line.find("cargo xtask")?..]));
    for line in in_backticks.chain(after_a_colon).filter(|line| begins(line)) {
        // `sh` itself is named by its path.
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", line]).env("PATH", &bin).current_dir(world.dir());
        shell.output().unwrap();
    }
}

fn owned(world: &World) -> PathBuf {
    world.dir().join("owned")
}

#[test]
fn no_text_of_a_release_is_part_of_a_line_to_copy() {
    let verbs: &[&[&str]] = &[
        &["status"],
        &["check"],
        &["verify"],
        &["doctor"],
        &["download", "--images", "elsewhere"],
        &["document", "--release", "v0.46"],
        &["rollback"],
        &["publish", "--source", "v0.45"],
        &["release", "v0.46"],
    ];
    let world = world("lines");
    world.tool(PUBLISH).expect(0, &[]);
    let manifest = world.published().published("latest").unwrap().asset("packer-images.json").unwrap().file.clone();
    let good: Value = serde_json::from_str(&fs::read_to_string(manifest).unwrap()).unwrap();
    let owned = owned(&world);
    // In both forms: one that a shell runs as it is, and one without a blank. Without a manifest the notes tell the version.
    let mut changed = good.clone();
    changed["source"] = json!(format!("v0.45; : >{} #", owned.display()));
    for (manifest, evil) in [
        (changed.to_string(), format!("v0.45; : >{} #", owned.display())),
        (String::new(), format!("v0.45$(:>{})", owned.display())),
    ] {
        rewrite(&world, "packer-images.json", |_| manifest.clone());
        let id = world.published().published("latest").unwrap().id;
        let marker = json!({ "set": { "source": evil, "part_size": 1, "images": [] } });
        let body = format!("Points to {evil}\n\n<!-- packer-incoming {marker} -->\n");
        world.hub().change_release(REPOSITORY, id, |release| release.body = Some(body)).unwrap();
        for verb in verbs {
            let ran = world.tool(verb);
            assert!(!ran.stderr.contains("panicked"), "{verb:?}: {}", ran.stderr);
            typed(&world, &format!("{}\n{}", ran.stdout, ran.stderr));
            assert!(!owned.exists(), "{verb:?}: a line to copy ran it: {}{}", ran.stdout, ran.stderr);
        }
    }
}
