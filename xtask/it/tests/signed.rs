//! Sets with their checksums and signatures: what is published, what `verify`, `download` and `doctor` say of it, and what
//! the published script fetches.
#![allow(clippy::disallowed_methods, reason = "tests start the tools that people use beside this one")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use github_stand_in::{Asset, Release};
use rehearsal::image::sha256;
use rehearsal::machine::Machine;
use rehearsal::world::{Options, REPOSITORY, World};

use crate::begun;

const SMALL: &str = "debian-12-custom";
const BIG: &str = "debian-13-pve";
const PUBLISH: &[&str] = &["publish", "--source", "v0.45", "--part-size", "1MiB", "--execute"];
const WHO: &str = "releases@example.org";

fn world(test: &str) -> World {
    begun::twin("images-of-v0.45-whole", &place(test), begin)
}

fn begin(dir: &Path) -> World {
    let world = World::new(dir, Options::new(env!("CARGO_BIN_EXE_xtask-it"))).unwrap();
    world.build_all(1, Some("v0.45")).unwrap();
    world
}

fn place(test: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("signed-{test}"))
}

/// A key, and its public half as a line of `allowed_signers`.
fn key(dir: &Path, name: &str) -> (PathBuf, String) {
    let path = dir.join(name);
    let mut make = Command::new("ssh-keygen");
    make.args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(&path);
    assert!(make.status().unwrap().success());
    let public = fs::read_to_string(path.with_extension("pub")).unwrap();
    (path, format!("{WHO} {public}"))
}

fn allow(machine: &Machine, line: &str) {
    fs::write(machine.packer_dir().join("allowed_signers"), line).unwrap();
}

/// A signed set; the key it is signed with.
fn signed(test: &str) -> (World, PathBuf) {
    const KEY: &str = "release-key";
    let world = begun::twin("signed", &place(test), |dir| {
        let world = begin(dir);
        let (key, line) = key(&world.remote().with_file_name(""), KEY);
        allow(&world, &line);
        let mut publish = PUBLISH.to_vec();
        let path = key.display().to_string();
        publish.extend(["--sign", &path]);
        world.tool(&publish).expect(0, &["latest is v0.45 now"]);
        world
    });
    let key = world.remote().with_file_name(KEY);
    (world, key)
}

fn change(world: &World, change: impl FnOnce(&mut Release)) {
    let id = world.published().published("latest").unwrap().id;
    world.hub().change_release(REPOSITORY, id, change).unwrap();
}

fn with(machine: &Machine, words: &[&str], key: &Path) -> rehearsal::process::Ran {
    let key = key.display().to_string();
    let words: Vec<&str> = words.iter().copied().chain(["--sign", &key, "--verbose"]).collect();
    machine.tool(&words)
}

fn asset(world: &World, name: &str) -> Option<Vec<u8>> {
    let latest = world.published().published("latest").unwrap().clone();
    latest.asset(name).map(|asset| fs::read(&asset.file).unwrap())
}

fn rewrite(asset: &mut Asset, bytes: &[u8]) {
    fs::write(&asset.file, bytes).unwrap();
    asset.size = bytes.len() as u64;
    asset.digest = Some(format!("sha256:{}", sha256(bytes)));
}

/// Somebody with the right to write replaces an image, and all that names its digest.
fn tamper(world: &World) {
    let old = asset(world, &format!("{SMALL}.qcow2")).unwrap();
    let mut new = old.clone();
    let last = new.len() - 1;
    new[last] ^= 1;
    let (was, is) = (sha256(&old), sha256(&new));
    change(world, |release| {
        let sums = "SHA256SUMS";
        let mut manifest_needs = Vec::new();
        for name in [&format!("{SMALL}.qcow2"), &format!("{SMALL}.qcow2.sha256"), sums] {
            let asset = release.assets.iter_mut().find(|asset| asset.name == *name).unwrap();
            let before = fs::read(&asset.file).unwrap();
            let after = if name.ends_with(".qcow2") {
                new.clone()
            } else {
                String::from_utf8(before.clone()).unwrap().replace(&was, &is).into_bytes()
            };
            manifest_needs.push((sha256(&before), sha256(&after)));
            rewrite(asset, &after);
        }
        let manifest = release.assets.iter_mut().find(|asset| asset.name == "packer-images.json").unwrap();
        let mut text = fs::read_to_string(&manifest.file).unwrap();
        for (before, after) in manifest_needs {
            text = text.replace(&before, &after);
        }
        rewrite(manifest, text.as_bytes());
    });
}

/// The published script, run by somebody who has no more than it and who may sign.
fn reader(world: &World, dir: &Path, words: &[&str]) -> (i32, String) {
    fs::create_dir_all(dir).unwrap();
    let script = dir.join("get-images.sh");
    fs::write(&script, asset(world, "get-images.sh").unwrap()).unwrap();
    fs::write(dir.join(".curlrc"), format!("unix-socket = \"{}\"\n", world.hub().socket().display())).unwrap();
    let mut run = Command::new("sh");
    run.arg(&script).args(["--url", &format!("http://github.com/{REPOSITORY}/releases/download/latest")]);
    let output = run.args(words).current_dir(dir).env("HOME", dir).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn every_set_has_its_checksums_and_a_script_that_fetches_it() {
    let world = world("sums");
    world.tool(PUBLISH).expect(0, &[]);
    assert!(asset(&world, "SHA256SUMS.sig").is_none());
    let dir = world.remote().with_file_name("downloads");
    let (code, said) = reader(&world, &dir, &["--all"]);
    assert_eq!(code, 0, "{said}");
    for image in [SMALL, "debian-13-custom", BIG] {
        let built = world.images().join(image).join(format!("{image}.qcow2"));
        assert!(fs::read(built).unwrap() == fs::read(dir.join(format!("{image}.qcow2"))).unwrap(), "{image}");
    }
    // By hand: what is there is checked, parts included, and what isn't is no matter.
    let part = format!("{BIG}.qcow2.partab");
    fs::write(dir.join(&part), asset(&world, &part).unwrap()).unwrap();
    fs::write(dir.join("SHA256SUMS"), asset(&world, "SHA256SUMS").unwrap()).unwrap();
    fs::remove_file(dir.join("debian-13-custom.qcow2")).unwrap();
    let mut check = Command::new("sha256sum");
    let output = check.args(["-c", "--strict", "--ignore-missing", "SHA256SUMS"]).current_dir(&dir).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains(&format!("{part}: OK")) && said.contains("get-images.sh: OK"),
        "{said}"
    );
    world.tool(&["verify"]).expect(0, &["3 images, 13 assets"]);
    world.tool(PUBLISH).expect(0, &["nothing to do"]);
}

#[test]
fn a_signed_set_says_who_signed() {
    let (world, key) = signed("who");
    assert!(asset(&world, "SHA256SUMS.sig").is_some());
    let ran = world.tool(&["verify", "--json"]).expect(0, &[]);
    assert_eq!(ran.json()["signed_by"], WHO);
    world.tool(&["verify"]).expect(0, &["signed by releases@example.org"]);
    world.tool(&["doctor"]).expect(0, &["latest is signed by releases@example.org"]);
    world
        .tool(&["download", "--images", "elsewhere", SMALL])
        .expect(0, &["signed by releases@example.org", "verified"]);
    let dir = world.remote().with_file_name("downloads");
    let allowed = world.packer_dir().join("allowed_signers").display().to_string();
    let (code, said) = reader(&world, &dir, &["--verify-signature", "--allowed-signers", &allowed, BIG]);
    assert!(code == 0 && said.contains("signed by releases@example.org"), "{said}");
    // Without the list: signed, by somebody.
    fs::remove_file(world.packer_dir().join("allowed_signers")).unwrap();
    world.tool(&["verify"]).expect(0, &["not verified: it is signed"]);
    with(&world, PUBLISH, &key).expect(0, &["nothing to do"]);
}

#[test]
fn what_was_changed_after_it_was_signed_is_refused() {
    let (world, _key) = signed("tampered");
    tamper(&world);
    world.tool(&["verify", "--no-local"]).expect(4, &["not what releases@example.org signed"]);
    world.tool(&["doctor"]).expect(3, &["signature", "not what releases@example.org signed"]);
    let images = world.remote().with_file_name("elsewhere");
    let to = images.display().to_string();
    world.tool(&["download", "--images", &to, SMALL]).expect(4, &["release latest can't be trusted"]);
    assert!(!images.exists());
    let dir = world.remote().with_file_name("downloads");
    let allowed = world.packer_dir().join("allowed_signers").display().to_string();
    let (code, said) = reader(&world, &dir, &["--allowed-signers", &allowed, SMALL]);
    assert!(code == 4 && said.contains("not what releases@example.org signed"), "{said}");
    assert!(!dir.join(format!("{SMALL}.qcow2")).exists());
    // Nor are such bytes signed anew.
    fs::remove_dir_all(world.images().join(SMALL)).unwrap();
    let key = world.remote().with_file_name("release-key");
    with(&world, &[PUBLISH, &["--carry", SMALL]].concat(), &key).expect(4, &["can't be trusted"]);
}

#[test]
fn a_set_that_was_signed_and_is_not_any_more_is_refused() {
    for everything in [false, true] {
        let (world, key) = signed(&format!("removed-{everything}"));
        change(&world, |release| {
            release
                .assets
                .retain(|asset| asset.name != "SHA256SUMS.sig" && !(everything && asset.name == "SHA256SUMS"));
            if everything {
                let manifest = release.assets.iter_mut().find(|asset| asset.name == "packer-images.json").unwrap();
                let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&manifest.file).unwrap()).unwrap();
                json.as_object_mut().unwrap().remove("files");
                rewrite(manifest, json.to_string().as_bytes());
            }
        });
        world.tool(&["verify", "--no-local"]).expect(4, &["signed"]);
        world.tool(&["doctor"]).expect(3, &["signature"]);
        world.tool(&["download", "--images", "elsewhere", SMALL]).expect(4, &["signed"]);
        // A live set is never changed: the fix is a new set.
        with(&world, &[PUBLISH, &["--resend"]].concat(), &key).expect(0, &["latest is v0.45 now"]);
        world.tool(&["verify"]).expect(0, &["signed by releases@example.org"]);
    }
}

#[test]
fn a_set_signed_by_a_stranger_is_refused_and_mended() {
    let (world, key) = signed("stranger");
    let (strange, _) = self::key(&world.remote().with_file_name(""), "strange-key");
    let sums = world.remote().with_file_name("SHA256SUMS");
    fs::write(&sums, asset(&world, "SHA256SUMS").unwrap()).unwrap();
    let mut sign = Command::new("ssh-keygen");
    assert!(
        sign.args(["-q", "-Y", "sign", "-n", "file", "-f"]).arg(&strange).arg(&sums).output().unwrap().status.success()
    );
    let signature = fs::read(sums.with_extension("sig")).unwrap();
    let old = sha256(asset(&world, "SHA256SUMS.sig").unwrap());
    change(&world, |release| {
        let asset = release.assets.iter_mut().find(|asset| asset.name == "SHA256SUMS.sig").unwrap();
        rewrite(asset, &signature);
        let manifest = release.assets.iter_mut().find(|asset| asset.name == "packer-images.json").unwrap();
        let text = fs::read_to_string(&manifest.file).unwrap().replace(&old, &sha256(&signature));
        rewrite(manifest, text.as_bytes());
    });
    world.tool(&["verify"]).expect(4, &["by a key that", "doesn't name"]);
    with(&world, PUBLISH, &strange).expect(3, &["the key ", "is not accepted: ", "--sign KEY"]);
    with(&world, PUBLISH, &key).expect(3, &["--resend --sign"]);
    with(&world, &[PUBLISH, &["--resend"]].concat(), &key).expect(0, &["latest is v0.45 now"]);
    world.tool(&["verify"]).expect(0, &["signed by releases@example.org"]);
}

#[test]
fn the_key_is_looked_at_before_a_byte_is_sent() {
    let world = world("keys");
    let (key, line) = key(&world.remote().with_file_name(""), "release-key");
    let posts = |world: &World| world.hub().requests().iter().filter(|it| it.method == "POST").count();
    with(&world, PUBLISH, Path::new("/nothing/here")).expect(3, &["signing with /nothing/here failed", "No such file"]);
    allow(&world, &line);
    world.tool(PUBLISH).expect(3, &["lists signers", "--sign KEY", "--no-sign"]);
    assert_eq!(posts(&world), 0);
    // Git's own key, when it is one of ssh.
    let public = key.with_extension("pub").display().to_string();
    world.git(&["config", "user.signingkey", &key.display().to_string()]).unwrap();
    world.tool(PUBLISH).expect(3, &["--sign KEY"]);
    world.git(&["config", "gpg.format", "ssh"]).unwrap();
    world.git(&["config", "user.signingkey", &public]).unwrap();
    world.tool(PUBLISH).expect(0, &["latest is v0.45 now"]);
    world.tool(&["verify"]).expect(0, &["signed by releases@example.org"]);
}

#[test]
fn an_unsigned_set_is_taken_only_when_somebody_says_so() {
    let world = world("unsigned");
    world.tool(PUBLISH).expect(0, &[]);
    let (key, line) = key(&world.remote().with_file_name(""), "release-key");
    allow(&world, &line);
    world.tool(&["verify"]).expect(4, &["it is not signed", "--resend"]);
    // Below the words that it belongs to.
    world.tool(&["status"]).expect(0, &["it is not signed", "\n           fix: "]);
    world.tool(&["download", "--images", "elsewhere", SMALL]).expect(4, &["is not signed", "--allow-unsigned"]);
    world.tool(&["download", "--images", "elsewhere", SMALL, "--allow-unsigned"]).expect(0, &["verified"]);
    with(&world, PUBLISH, &key).expect(3, &["--resend --sign"]);
    with(&world, &[PUBLISH, &["--resend"]].concat(), &key).expect(0, &["latest is v0.45 now"]);
    world.tool(&["verify"]).expect(0, &["signed by"]);
}

/// A key that is named and may not sign this, or not now; a signature that is none; an ssh-keygen that knows none.
#[test]
fn the_reason_why_a_signature_counts_for_nothing_is_the_right_one() {
    let (world, key) = signed("reasons");
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    let refused = |code: i32, says: &[&str]| {
        for verb in [&["verify", "--no-local"][..], &["download", "--images", "elsewhere", SMALL]] {
            let ran = world.tool(verb).expect(code, says);
            for wrong in ["is not what", "doesn't name", "somebody changed"] {
                assert!(!ran.stderr.contains(wrong) && !ran.stdout.contains(wrong), "`{wrong}`: {ran:?}");
            }
        }
    };
    let (git, old, not_yet) = ("namespaces=\"git\"", "valid-before=\"20200101\"", "valid-after=\"20400101\"");
    for (options, says) in [(git, "not permitted"), (old, "expired"), (not_yet, "not yet valid")] {
        allow(&world, &format!("# Who may sign\n{WHO} {options} {public}"));
        refused(4, &["does not allow to sign it: line 2", says]);
    }
    // One line of several is enough.
    allow(&world, &format!("old@example.org {old} {public}git@example.org {git} {public}new@example.org,x {public}"));
    world.tool(&["verify", "--no-local"]).expect(0, &["signed by new@example.org"]);
    let signature = asset(&world, "SHA256SUMS.sig").unwrap();
    let put = |bytes: &[u8]| {
        change(&world, |release| {
            rewrite(release.assets.iter_mut().find(|asset| asset.name == "SHA256SUMS.sig").unwrap(), bytes);
        });
    };
    put(b"garbage");
    refused(4, &["SHA256SUMS.sig is not a signature"]);
    put(&signature);
    for words in ["unknown option -- Y", "Unsupported operation for -Y: \"find-principals\""] {
        let program = world.bin().join("ssh-keygen");
        fs::write(&program, format!("#!/bin/sh\necho '{words}' >&2\nexit 1\n")).unwrap();
        fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        refused(3, &["can't check signatures", "openssh-client 8.2"]);
    }
}
