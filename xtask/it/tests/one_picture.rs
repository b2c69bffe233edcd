//! The states in which verbs contradicted each other: each is one story, in which all of them are asked.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use github_stand_in::SeedRelease;
use rehearsal::host::Network;
use rehearsal::terminal::Terminal;
use rehearsal::world::{IMAGES, Options, REPOSITORY, World};
use serde_json::Value;

const FIRST: &str = IMAGES[0];

/// Small images, a draft of the release v0.45, and its issue.
fn world(test: &str) -> World {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("one-picture").join(test);
    let mut options = Options::new(env!("CARGO_BIN_EXE_xtask-it"));
    options.sizes = vec![200 << 10, 210 << 10, 220 << 10];
    let world = World::new(&dir, options).unwrap();
    world.hub().seed_release(REPOSITORY, SeedRelease::draft("v0.45").body("What is new.")).unwrap();
    world.hub().seed_issue(REPOSITORY, "Release v0.45").unwrap();
    world
}

/// v0.44 by hand, from files that no record tells of; nothing lies here.
fn by_hand(test: &str) -> World {
    let world = world(test);
    world.build_all(1, None).unwrap();
    world.publish_by_hand("v0.44").unwrap();
    fs::remove_dir_all(world.images()).unwrap();
    world
}

fn build(world: &World, name: &str, seed: u64, revision: Option<&str>) {
    world.build(name, 250 << 10, seed, revision).unwrap();
}

#[track_caller]
fn json(world: &World, words: &[&str], code: i32) -> Value {
    world.tool(&[words, &["--json"]].concat()).expect(code, &[]).json()
}

/// The verb that all verbs say is next; empty when all is done.
#[track_caller]
fn next(world: &World) -> String {
    let verb = |object: &Value| object["next"]["verb"].as_str().unwrap_or_default().to_owned();
    let status = verb(&json(world, &["status"], 0));
    for words in [&["check"][..], &["doctor"], &["release", "v0.45"]] {
        assert_eq!(verb(&json(world, words, 0)), status, "{words:?}");
    }
    status
}

#[test]
fn a_first_publish_over_a_handmade_set_ends_the_phase() {
    let world = by_hand("first");
    assert_eq!(json(&world, &["check"], 0)["images"][0]["decision"], "rebuild");
    build(&world, FIRST, 7, Some("v0.45"));
    let publish = ["publish", "--source", "v0.45", "--execute", FIRST];
    world.tool(&publish).expect(0, &["recorded as built from v0.44", "--built-from REV"]);
    assert_eq!(json(&world, &["check"], 0)["decision"], "skip");
    assert_eq!(next(&world), "document");
    world.tool(&publish).expect(0, &["nothing to do"]);
    world.tool(&["publish", "--source", "v0.45", "--execute"]).expect(0, &["nothing to do"]);
    // The reason is check's.
    let words = ["document", "--release", "v0.45", "--issue", "1", "--execute"];
    world.tool(&words).expect(0, &["templates/debian-12-custom/cleanup.sh changed"]);
    assert_eq!(next(&world), "");
}

#[test]
fn the_same_set_in_any_form_is_nothing_to_do() {
    let world = world("same");
    world.build_all(1, Some("v0.44")).unwrap();
    world.tool(&["publish", "--source", "v0.44", "--execute"]).expect(0, &[]);
    for (name, seed) in IMAGES.iter().zip(7..) {
        build(&world, name, seed, Some("v0.45"));
    }
    world.tool(&["publish", "--source", "v0.45", "--execute"]).expect(0, &[]);
    let releases = || world.published().releases.iter().map(|it| (it.id, it.tag_name.clone())).collect::<Vec<_>>();
    let (before, sent) = (releases(), world.hub().requests().len());
    let publish = |images: &[&str]| {
        world.tool(&[&["publish", "--source", "v0.45", "--execute"], images].concat()).expect(0, &["nothing to do"]);
    };
    publish(&[IMAGES[2]]);
    publish(&[IMAGES[2], IMAGES[0], IMAGES[1]]);
    fs::remove_dir_all(world.images().join(IMAGES[0])).unwrap();
    fs::remove_dir_all(world.images().join(IMAGES[1])).unwrap();
    publish(&[]);
    publish(&[IMAGES[2]]);
    assert!(world.hub().requests()[sent..].iter().all(|request| request.method == "GET"));
    assert_eq!(releases(), before);
    world.tool(&["rollback", "--execute"]).expect(0, &["latest is v0.44 again"]);
}

#[test]
fn an_image_without_a_record_is_published_as_what_a_person_says() {
    let world = by_hand("built-from");
    for (name, seed) in IMAGES.iter().zip(7..) {
        build(&world, name, seed, None);
    }
    assert_eq!(next(&world), "build-and-fetch");
    world.tool(&["status"]).expect(0, &["no build record says", "--built-from REV"]);
    world.tool(&["publish", "--source", "v0.45", "--built-from", "v9"]).expect(3, &["no revision `v9`"]);
    let publish = ["publish", "--source", "v0.45", "--execute", "--built-from", "v0.45"];
    world.tool(&publish).expect(0, &["recorded as built from v0.45"]);
    assert_eq!(json(&world, &["check"], 0)["decision"], "skip");
    assert_eq!(next(&world), "document");
    world.tool(&publish).expect(0, &["nothing to do"]);
}

#[test]
fn what_was_taken_back_is_not_proposed_again() {
    let world = world("taken-back");
    world.build_all(1, Some("v0.44")).unwrap();
    world.tool(&["publish", "--source", "v0.44", "--execute"]).expect(0, &[]);
    build(&world, FIRST, 7, Some("v0.45"));
    world.tool(&["publish", "--source", "v0.45", "--execute"]).expect(0, &[]);
    world.tool(&["document", "--release", "v0.45", "--execute"]).expect(0, &[]);
    assert_eq!(next(&world), "");
    world.tool(&["rollback", "--execute"]).expect(0, &[]);
    assert_eq!(json(&world, &["status"], 0)["taken_back"], "v0.45");
    let steps = json(&world, &["release", "v0.45"], 0)["steps"].clone();
    assert_eq!((&steps[2]["state"], &steps[3]["state"]), (&"done".into(), &"done".into()), "{steps}");
    assert!(steps[3]["reason"].as_str().unwrap().contains("v0.45 was taken back"), "{steps}");
    assert!(steps[3]["reason"].as_str().unwrap().contains("publish --source v0.45"), "{steps}");
    assert_eq!(next(&world), "document");
    world.tool(&["document", "--release", "v0.45", "--execute"]).expect(0, &["taken back"]);
    assert_eq!(next(&world), "");
}

#[test]
fn what_was_taken_back_names_the_images_that_changed() {
    let world = world("taken-back-by-hand");
    world.build_all(1, Some("v0.44")).unwrap();
    world.publish_by_hand("v0.44").unwrap();
    build(&world, FIRST, 7, Some("v0.45"));
    world.tool(&["publish", "--source", "v0.45", "--execute"]).expect(0, &[]);
    world.tool(&["rollback", "--execute"]).expect(0, &[]);
    let object = json(&world, &["document", "--release", "v0.45"], 0);
    let images = object["images"].as_array().unwrap();
    let rebuilt: Vec<&Value> = images.iter().filter(|it| it["rebuilt"] == true).map(|it| &it["name"]).collect();
    assert_eq!(rebuilt, [FIRST], "{object}");
}

#[test]
fn notes_are_written_when_they_are_there() {
    let world = world("no-release");
    world.build_all(1, Some("v0.44")).unwrap();
    world.tool(&["publish", "--source", "v0.44", "--execute"]).expect(0, &[]);
    build(&world, FIRST, 7, Some("v0.45"));
    world.tool(&["publish", "--source", "v0.45", "--execute"]).expect(0, &[]);
    let draft = world.published().drafts("v0.45").next().unwrap().id;
    world.gh(&["api", "--method", "DELETE", &format!("repos/{REPOSITORY}/releases/{draft}")]).unwrap();
    let words = ["release", "v0.45", "--issue", "1"];
    world.tool(&[&words[..], &["--execute"]].concat()).expect(1, &["has no release v0.45", "gh release create v0.45"]);
    let object = json(&world, &words, 0);
    assert_eq!((&object["steps"][5]["state"], &object["next"]["verb"]), (&"next".into(), &"document".into()));
    let items = object["checklist"].as_array().unwrap();
    let done =
        |what: &str| items.iter().find(|item| item["item"].as_str().unwrap().contains(what)).unwrap()["done"].clone();
    assert_eq!((done("in the notes"), done("on the release issue")), (false.into(), true.into()), "{object}");
}

#[test]
fn a_set_made_anew_by_hand_is_not_taken_for_ours() {
    let world = world("remade");
    world.build_all(1, Some("v0.43")).unwrap();
    world.tool(&["publish", "--source", "v0.44", "--execute", "--allow-stale"]).expect(0, &[]);
    for (name, seed) in IMAGES.iter().zip(7..) {
        build(&world, name, seed, Some("v0.45"));
    }
    world.tool(&["publish", "--source", "v0.45", "--execute"]).expect(0, &[]);
    // As the page of phase 65 said until v0.49: delete, and make it again from what lies in some folder.
    world.gh(&["release", "delete", "latest", "--yes", "--cleanup-tag", "--repo", REPOSITORY]).unwrap();
    world.build_all(1, None).unwrap();
    build(&world, IMAGES[2], 99, None);
    world.publish_by_hand("v0.45").unwrap();
    let check = json(&world, &["check"], 0);
    // The first is known by its bytes, and so by its inputs; what the last was built from is unknown.
    let reason = |image: usize| check["images"][image]["reason"].as_str().unwrap().to_owned();
    assert!(reason(0).contains("cleanup.sh changed"), "{check}");
    assert_eq!(check["images"][1]["decision"], "skip", "{check}");
    assert!(reason(2).contains("what it was built from is unknown"), "{check}");
    for verb in ["status", "doctor", "verify"] {
        let ran = world.tool(&[verb, "--images", "elsewhere"]);
        let shown = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(shown.contains("made by hand in place of the set"), "{verb}: {shown}");
        assert!(shown.contains("v0.44 is kept for rollback"), "{verb}: {shown}");
    }
    assert_eq!(next(&world), "build-and-fetch");
}

#[test]
fn local_files_are_told_as_they_are() {
    let world = world("local");
    world.build_all(1, Some("v0.45")).unwrap();
    world.tool(&["publish", "--source", "v0.45", "--execute"]).expect(0, &[]);
    world.tool(&["status"]).expect(0, &["same, unread", "compared by their checksum files"]);
    let image = |name: &str| world.images().join(name).join(format!("{name}.qcow2"));
    let mut file = fs::File::options().write(true).open(image(FIRST)).unwrap();
    file.seek(SeekFrom::Start(198 << 10)).unwrap();
    file.write_all(b"damaged").unwrap();
    drop(file);
    fs::remove_file(image(IMAGES[1])).unwrap();
    world.tool(&["status"]).expect(0, &["it is damaged", "download --force debian-12-custom", "checksum file alone"]);
    assert_eq!(next(&world), "document");
}

#[test]
fn images_are_copied_from_a_draft_release() {
    let world = world("copy");
    world.build_all(1, Some("v0.45")).unwrap();
    let draft = world.published().drafts("v0.45").next().unwrap().id;
    for name in IMAGES {
        for file in [format!("{name}.qcow2"), format!("{name}.qcow2.sha256")] {
            let bytes = fs::read(world.images().join(name).join(&file)).unwrap();
            let seed = github_stand_in::SeedAsset::new(&file, github_stand_in::SeedBytes::Here(bytes));
            world.hub().seed_asset(REPOSITORY, draft, seed).unwrap();
        }
    }
    fs::remove_dir_all(world.images()).unwrap();
    let copy = ["publish", "--copy", "--source", "v0.45", "--execute", "--built-from", "v0.45"];
    world.tool(&copy).expect(0, &["done: latest is v0.45 now"]);
    assert_eq!(next(&world), "document");
}

#[test]
fn what_was_typed_before_a_question_is_no_answer() {
    let world = world("typed");
    world.build_all(1, Some("v0.44")).unwrap();
    world.tool(&["publish", "--source", "v0.44", "--execute"]).expect(0, &[]);
    build(&world, FIRST, 7, Some("v0.45"));
    let live = world.published().published("latest").unwrap().id;
    let line = format!("TERM=dumb exec {} packer release v0.45", env!("CARGO_BIN_EXE_xtask-it"));
    let mut terminal = Terminal::start(world.command("script"), &line);
    terminal.until("Checking tools");
    terminal.types("y\ny\ny\n");
    terminal.until("[y/N] ");
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(world.published().published("latest").unwrap().id, live);
    terminal.types("n\n");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("declined, so nothing was changed"), "{shown}");
    assert_eq!(world.published().published("latest").unwrap().id, live);
}

#[test]
fn the_walk_says_what_is_wrong_itself() {
    let mut world = world("ill");
    world.unset("GH_TOKEN");
    world.tool(&["release", "v0.45"]).expect(3, &["login: gh is not logged in", "gh auth login"]);
    let status = json(&world, &["status"], 3);
    assert_eq!(status["next"]["verb"], "doctor");
    assert!(status["error"]["fix"].as_str().unwrap().starts_with("gh auth login"), "{status}");
}

#[test]
fn the_walk_says_that_a_host_refuses_the_key() {
    let mut world = world("refused");
    let network = Network::create(&world.dir().join("network")).unwrap();
    let host = network.host("builder").unwrap();
    world.first_on_path(&network.bin()).unwrap();
    host.refuse_keys().unwrap();
    world
        .tool(&["release", "v0.45", "--host", "builder"])
        .expect(3, &["builder refused the login", "ssh-copy-id builder"]);
}
