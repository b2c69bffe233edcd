//! `status` and `doctor` on the real `gh`, `git`, `ssh` and `scp`, in the states that a release goes through.

use std::fs;
use std::path::Path;

use github_stand_in::{Access, SeedRelease, Token};
use rehearsal::host::Network;
use rehearsal::terminal::Terminal;
use rehearsal::world::{Options, REPOSITORY, TOKEN, World};
use serde_json::Value;

const FIRST: &str = "debian-12-custom";

fn world(test: &str) -> World {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("status-doctor").join(test);
    World::new(&dir, Options::new(env!("CARGO_BIN_EXE_xtask-it"))).unwrap()
}

#[track_caller]
fn status(world: &World) -> Value {
    world.tool(&["status", "--json"]).expect(0, &[]).json()
}

#[track_caller]
fn next(world: &World) -> String {
    status(world)["next"]["command"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn status_follows_a_release_from_end_to_end() {
    let world = world("phase");
    // Nothing is published, nothing is here.
    assert!(next(&world).ends_with("build-and-fetch --host HOST"), "{}", next(&world));
    world.build_all(1, Some("v0.44")).unwrap();
    world.publish_by_hand("v0.44").unwrap();
    let json = status(&world);
    assert_eq!((&json["live"]["label"], &json["live"]["by_hand"]), (&"v0.44".into(), &true.into()));
    assert_eq!(json["images"][0]["agreement"], "same", "{json}");
    assert!(next(&world).ends_with("build-and-fetch --host HOST debian-12-custom"), "{}", next(&world));
    // The rebuilt image is here.
    world.build(FIRST, 5 << 20, 9, Some("v0.45")).unwrap();
    let json = status(&world);
    assert_eq!((&json["images"][0]["agreement"], &json["images"][1]["agreement"]), (&"differs".into(), &"same".into()));
    assert!(next(&world).contains("publish --source v0.45 debian-12-custom --execute"), "{}", next(&world));
    world.tool(&["publish", "--source", "v0.45", "--part-size", "2MiB", "--execute"]).expect(0, &[]);
    let json = status(&world);
    assert_eq!((&json["live"]["source"], &json["images"][0]["published"]["parts"]), (&"v0.45".into(), &3.into()));
    assert_eq!(json["tag"]["commit"], world.remote_commit("v0.45"));
    assert_eq!(json["pinned"].as_array().unwrap().len(), 1, "{json}");
    assert_eq!(json["images"][0]["agreement"], "same");
    // Its notes are not written before the release is there.
    assert!(next(&world).starts_with("gh release create v0.45 --draft"), "{}", next(&world));
    world.hub().seed_release(REPOSITORY, SeedRelease::draft("v0.45").body("What is new.")).unwrap();
    assert!(next(&world).ends_with("document --release v0.45 --execute"), "{}", next(&world));
    world.tool(&["document", "--release", "v0.45", "--execute"]).expect(0, &["nothing: all steps are done"]);
    assert_eq!(status(&world)["next"], Value::Null);
    let ran = world.tool(&["status"]);
    ran.expect(
        0,
        &[
            "image",
            "local",
            "5.0 MiB, 3 parts",
            "latest    v0.45, published",
            "pinned    v0.44, kept as images-v0.44",
            "next",
        ],
    );
}

#[test]
fn status_names_what_is_wrong_here() {
    let world = world("bad-files");
    world.build_all(1, Some("v0.45")).unwrap();
    fs::remove_file(world.images().join(format!("{FIRST}/{FIRST}.qcow2.sha256"))).unwrap();
    fs::write(world.images().join("debian-13-pve/debian-13-pve.qcow2"), "no qcow2").unwrap();
    fs::create_dir_all(world.images().join("stray")).unwrap();
    fs::copy(world.images().join(format!("{FIRST}/{FIRST}.qcow2")), world.images().join("stray/stray.qcow2")).unwrap();
    let json = status(&world);
    let images = json["images"].as_array().unwrap();
    assert_eq!(images[0]["local"]["sha256"], Value::Null);
    assert!(images[2]["local"]["problem"].as_str().unwrap().contains("qcow2"), "{json}");
    assert_eq!((&images[3]["name"], &images[3]["template"]), (&"stray".into(), &false.into()));
    world.tool(&["status"]).expect(0, &["debian-13-pve: ", "write the missing checksum files of debian-12-custom"]);
}

#[test]
fn status_offline_shows_what_is_here() {
    let mut world = world("offline");
    world.build_all(1, Some("v0.45")).unwrap();
    world.unset("GH_TOKEN");
    let json = world.tool(&["status", "--json"]).expect(3, &[]).json();
    assert_eq!((&json["status"], &json["next"]["verb"]), (&"error".into(), &"doctor".into()), "{json}");
    assert!(json["unasked"][0].as_str().unwrap().contains("gh auth login"), "{json}");
    assert_eq!(json["images"].as_array().unwrap().len(), 3);
    for field in ["live", "tag", "incoming", "pinned", "taken_back", "recovery", "lock", "differences"] {
        assert_eq!(json.get(field), Some(&Value::Null), "{field}: {json}");
    }
    world.tool(&["status"]).expect(3, &["cannot read `latest`", "doctor"]);
}

#[test]
fn status_names_a_draft_that_was_begun() {
    let world = world("begun");
    world.hub().seed_release(REPOSITORY, SeedRelease::draft("latest-incoming").body("by hand")).unwrap();
    world.build_all(1, Some("v0.45")).unwrap();
    let json = status(&world);
    assert_eq!((&json["incoming"][0]["uploaded"], &json["incoming"][0]["source"]), (&0.into(), &Value::Null));
    assert!(next(&world).starts_with("gh api --method DELETE repos/homestak-dev/packer/releases/"), "{json}");
    world.tool(&["doctor", "--json"]).expect(0, &["not made by this tool"]);
}

/// What doctor says about each thing.
#[track_caller]
fn findings(world: &World, args: &[&str], code: i32) -> Vec<(String, String, String)> {
    let json = world.tool(&[&["doctor", "--json"], args].concat()).expect(code, &[]).json();
    assert_eq!(json["healthy"], code == 0, "{json}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = json["findings"].as_array().unwrap().iter();
    all.map(|finding| (text(&finding["what"]), text(&finding["state"]), text(&finding["said"]))).collect()
}

#[track_caller]
fn said<'f>(findings: &'f [(String, String, String)], what: &str, state: &str) -> Vec<&'f str> {
    let found: Vec<&str> = findings
        .iter()
        .filter(|(found, its, _)| found == what && its == state)
        .map(|(_, _, said)| said.as_str())
        .collect();
    assert!(!found.is_empty(), "no {state} {what}: {findings:?}");
    found
}

#[test]
fn doctor_finds_all_in_order() {
    let world = world("healthy");
    let found = findings(&world, &[], 0);
    for what in ["git", "gh", "ssh", "scp", "templates", "login", "repository", "remote", "latest"] {
        said(&found, what, "ok");
    }
    assert!(said(&found, "login", "ok")[0].contains("repo"), "{found:?}");
    world.tool(&["doctor"]).expect(0, &["A release can go ahead."]);
}

#[test]
fn doctor_says_everything_that_is_wrong_at_once() {
    let mut world = world("ill");
    world.hub().add_token(TOKEN, Token::classic("reader").with(REPOSITORY, Access::Read));
    world.hub().change_repository(REPOSITORY, |repository| repository.archived = true).unwrap();
    world.git(&["remote", "set-url", "origin", "/nonexistent/packer.git"]).unwrap();
    fs::rename(world.packer_dir().join("templates"), world.packer_dir().join("away")).unwrap();
    let found = findings(&world, &["--host", "no-such-host.invalid"], 3);
    let repository = said(&found, "repository", "fail");
    assert!(repository.iter().any(|said| said.contains("archived")), "{repository:?}");
    assert!(repository.iter().any(|said| said.contains("may not push")), "{repository:?}");
    said(&found, "remote", "fail");
    said(&found, "templates", "fail");
    said(&found, "host no-such-host.invalid", "fail");
    world.unset("GH_TOKEN");
    assert!(said(&findings(&world, &[], 3), "login", "fail")[0].contains("gh auth login"));
    // Not even gh.
    let bin = world.dir().join("few-tools");
    fs::create_dir_all(&bin).unwrap();
    let git =
        std::env::split_paths(&std::env::var_os("PATH").unwrap()).map(|dir| dir.join("git")).find(|git| git.exists());
    std::os::unix::fs::symlink(git.unwrap(), bin.join("git")).unwrap();
    world.set("PATH", bin);
    let found = findings(&world, &[], 3);
    assert!(said(&found, "gh", "fail")[0].contains("apt install gh"), "{found:?}");
    assert!(said(&found, "scp", "fail")[0].contains("openssh-client"), "{found:?}");
}

#[test]
fn doctor_looks_at_build_hosts() {
    let mut world = world("hosts");
    let network = Network::create(&std::env::temp_dir().join(format!("doctor-{}", std::process::id()))).unwrap();
    let host = network.host("builder").unwrap();
    world.first_on_path(&network.bin()).unwrap();
    let dir = host.packer_dir();
    fs::create_dir_all(&dir).unwrap();
    let dir = dir.to_str().unwrap().to_owned();
    let found = findings(&world, &["--host", "builder", "--remote-dir", &format!("{dir}/missing")], 3);
    assert!(said(&found, "host builder: packer directory", "fail")[0].contains("no folder"));
    // There is packer on the host if there is one here: it is the same machine.
    let found = world.tool(&["doctor", "--host", "builder", "--remote-dir", &dir, "--json"]).json();
    let said = found["findings"].to_string();
    for what in ["packer directory", "disk space", "packer", "qemu-img", "qemu-system-x86_64", "KVM"] {
        assert!(said.contains(&format!("host builder: {what}")), "{what}: {said}");
    }
    world.tool(&["doctor", "--host", "-oProxyCommand=x"]).expect(2, &["--host"]);
}

/// What a terminal of so many columns shows.
fn on_terminal(world: &World, columns: usize, words: &str) -> String {
    let line = format!("stty cols {columns} rows 50; exec {} packer {words}", env!("CARGO_BIN_EXE_xtask-it"));
    let mut script = world.command("script");
    script.env("TERM", "dumb");
    Terminal::start(script, &line).end().1.replace('\r', "")
}

#[test]
fn screens_fit_the_terminal() {
    let world = world("narrow");
    world.build_all(1, Some("v0.44")).unwrap();
    world.publish_by_hand("v0.44").unwrap();
    for columns in [40, 80] {
        for words in
            ["status", "check", "doctor", "verify", "publish --source v0.45 --dry-run", "release v0.45 --dry-run"]
        {
            let shown = on_terminal(&world, columns, words);
            assert!(shown.lines().count() > 1, "{words}: {shown}");
            let mut continues = false;
            for line in shown.lines() {
                // What is to be copied, and a long word, stay whole; a command breaks before its options alone.
                let breaks = line.trim_start().get(1..).is_some_and(|rest| rest.contains(" --"));
                let begins = line.trim_start().starts_with(['`', '$']) || line.contains("cargo xtask ");
                let whole = begins || (continues && !breaks);
                continues = line.ends_with('\\');
                let one_word = line.split_whitespace().count() == 1;
                assert!(
                    line.chars().count() <= columns || whole || one_word,
                    "{words} at {columns}: `{line}`\n{shown}"
                );
            }
        }
    }
    let wide = on_terminal(&world, 80, "status");
    assert!(wide.lines().any(|line| line.starts_with("image  ") && line.ends_with("check")), "{wide}");
    let narrow = on_terminal(&world, 40, "status");
    assert!(narrow.contains("\ndebian-13-pve\n  local      3.0 MiB\n"), "{narrow}");
}
