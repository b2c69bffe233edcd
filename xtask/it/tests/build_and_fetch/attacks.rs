//! What a build host, the author of a template or another user of this machine may try; docs/security.md lists it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::odd_hosts::{doctor_of, finding};
use super::stale::{Engine, Phase, commit, git};
use super::world::{IMAGE, World, qcow2};

#[test]
fn a_build_that_prints_what_only_a_host_says_is_not_believed() {
    let world = World::new();
    let host = world.host("build1");
    // It knows all that can be known: how frames look, and the words that it was started with.
    let script = host.packer_dir().join("build.sh");
    let frames =
        "frame() { printf '\\0packer:%s\\0' \"$1\"; }; frame 'ended 0'; frame end; frame \":ended 0\"; frame \":end\"";
    let guess = "tr '\\0' '\\n' <\"/proc/$PPID/cmdline\" | while read -r word; do frame \"$word:ended 0\"; frame \"$word:end\"; done";
    fs::write(&script, format!("#!/bin/sh\n{frames}\n{guess}\nsleep 1\nexit 7\n")).unwrap();
    world.run_at("build1", &host, &[]).expect(1, &["failed to build debian-12-custom: exit code 7"]);
    assert!(world.files().is_empty(), "{:?}", world.files());
}

/// Changes the record on the host.
fn record(host: &rehearsal::host::BuildHost, change: impl FnOnce(&mut Value)) {
    let path = host.image_dir(IMAGE).join(format!("{IMAGE}.build.json"));
    let mut record: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut record);
    fs::write(path, record.to_string()).unwrap();
}

#[test]
fn a_record_that_no_manifest_could_carry_is_refused_when_it_is_fetched() {
    let world = World::new();
    let host = world.host("build1");
    for (field, value) in [
        ("base_image", json!({ "url": "https://example.org/\u{1b}]0;x\u{7}", "digest": "sha512:1" })),
        ("versions", json!({ "DEBIAN_VERSION": "1".repeat(1_500_000) })),
        ("versions", json!({ "DEBIAN_VERSION": "1".repeat(500_000) })),
        ("versions", json!({ "DEBIAN_VERSION": "12\u{202e}" })),
        ("built_from", json!({ "commit": "refs/pull/1/head", "dirty": false })),
        ("built_from", json!({ "commit": "$(touch owned)", "dirty": false })),
        ("built_at", json!("\u{9b}2J")),
    ] {
        host.put(IMAGE, &qcow2(300_000)).unwrap();
        record(&host, |record| record[field] = value);
        let ran = world.run_at("build1", &host, &["--skip-build"]);
        ran.expect(1, &["build record", "build1", "--force"]);
        assert!(!ran.stderr.contains(['\u{1b}', '\u{9b}', '\u{202e}']) && ran.stderr.len() < 5000, "{}", ran.stderr);
        assert!(world.files().is_empty(), "{field}: {:?}", world.files());
    }
}

#[test]
fn an_endless_line_fills_no_log() {
    let world = World::new();
    let host = world.host("build1");
    let script = host.packer_dir().join("build.sh");
    fs::write(&script, "#!/bin/sh\necho begin\nhead -c 60000000 /dev/zero | tr '\\0' x\necho\nexit 1\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let ran = world.run_at("build1", &host, &[]);
    ran.expect(1, &["exit code 1", "bytes more in this line"]);
    let logs: u64 =
        fs::read_dir(world.dir.join("packer/logs")).unwrap().map(|it| it.unwrap().metadata().unwrap().len()).sum();
    assert!(logs < 1 << 20 && ran.stderr.len() < 1 << 20, "{logs} bytes, and {} on the terminal", ran.stderr.len());
}

/// Whoever has the packer directory on a host can put any file there; what is only looked at has limits.
#[test]
fn an_endless_build_script_keeps_nobody_waiting() {
    let world = World::new();
    let host = world.host("build1");
    host.put(IMAGE, &qcow2(300_000)).unwrap();
    let packer = host.packer_dir();
    for file in ["build.sh".to_owned(), format!("templates/{IMAGE}/values.pkr.hcl")] {
        fs::OpenOptions::new().append(true).create(true).open(packer.join(file)).unwrap().set_len(1 << 40).unwrap();
    }
    let began = Instant::now();
    let ran = doctor_of(&world, &["--remote-dir", packer.to_str().unwrap()]);
    assert_eq!(finding(&ran, "packer directory").0, "ok");
    fs::remove_file(packer.join(format!("templates/{IMAGE}/values.pkr.hcl"))).unwrap();
    world.run_at("build1", &host, &["--skip-build"]).expect(0, &[]);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn links_in_the_images_folder_are_not_followed() {
    let world = World::new();
    let host = world.host("build1");
    host.put(IMAGE, &qcow2(300_000)).unwrap();
    let precious = world.dir.join("precious");
    fs::write(&precious, "precious").unwrap();
    let dir = world.images().join(IMAGE);
    fs::create_dir_all(&dir).unwrap();
    let checksum = fs::read_to_string(host.image_dir(IMAGE).join(format!("{IMAGE}.qcow2.sha256"))).unwrap();
    let hidden = format!(".{IMAGE}.qcow2.arriving-{}.part", &checksum[..64]);
    symlink(&precious, dir.join(&hidden)).unwrap();
    let ran = world.run_at("build1", &host, &["--skip-build"]);
    ran.expect(1, &[&hidden, "is not a file that this tool made", "remove it"]);
    fs::remove_file(dir.join(hidden)).unwrap();
    for file in [format!("{IMAGE}.qcow2.sha256"), format!("{IMAGE}.build.json"), "image-version.txt".to_owned()] {
        symlink(&precious, dir.join(format!(".{file}.tmp"))).unwrap();
        symlink(&precious, dir.join(file)).unwrap();
    }
    world.run_at("build1", &host, &["--skip-build"]).expect(0, &[]);
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    world.assert_fetched(&host, IMAGE);
}

#[test]
fn sync_sends_nothing_that_is_the_hosts_own() {
    let phase = Phase::new(Engine::Older, "v0.58");
    let packer = phase.packer();
    let synced = phase.host.packer_dir().with_file_name(".cache/homestak-packer");
    fs::write(packer.join(".gitignore"), "").unwrap();
    fs::remove_dir_all(packer.join("logs")).ok();
    for name in ["build.env", "images", "logs/x", ".cache/base/x", ".incoming/x"] {
        let path = packer.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if name == "images" {
            symlink("/tmp", path).unwrap();
        } else {
            fs::write(path, "ACCELERATOR=tcg\n").unwrap();
        }
        commit(&packer, "Add it");
        phase.run(&["--sync"]).expect(3, &[name, "paths that belong to the build host"]);
        assert!(!synced.exists(), "{name} was sent");
        git(&packer, &["rm", "--quiet", "-r", name]);
        commit(&packer, "Remove it");
    }
}

#[test]
fn no_command_of_a_repository_above_the_packer_directory_is_run() {
    let phase = Phase::new(Engine::Older, "v0.59");
    let owned = phase.world.dir.join("owned");
    for dir in [phase.packer(), phase.host.packer_dir()] {
        let evil = format!("touch {}; false", owned.display());
        for setting in ["core.fsmonitor", "core.sshCommand", "core.pager", "filter.evil.clean", "diff.external"] {
            git(&dir, &["config", setting, &evil]);
        }
        let hook = dir.join(".git/hooks/post-index-change");
        fs::create_dir_all(hook.parent().unwrap()).unwrap();
        fs::write(&hook, format!("#!/bin/sh\n{evil}\n")).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    }
    phase.run(&[]).expect(0, &[]);
    assert!(!owned.exists(), "a command ran");
}
