//! `document` on the real `gh` and a stand-in for GitHub: what is written, where, and what stays as it was.

use std::path::Path;
use std::thread;
use std::time::Duration;

use github_stand_in::{Access, SeedRelease, Token};
use rehearsal::world::{Options, REPOSITORY, TOKEN, World};
use serde_json::Value;

const SEE: &str = "Images: See `latest` release";

fn world(test: &str) -> World {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("document").join(test);
    let world = World::new(&dir, Options::new(env!("CARGO_BIN_EXE_xtask-it"))).unwrap();
    world.build_all(1, Some("v0.44")).unwrap();
    world.publish_by_hand("v0.44").unwrap();
    world
}

fn add_release(world: &World, tag: &str, notes: &str) {
    world.hub().seed_release(REPOSITORY, SeedRelease::published(tag).body(notes)).unwrap();
}

fn notes(world: &World, tag: &str) -> String {
    world.published().published(tag).unwrap().body.clone().unwrap_or_default()
}

fn comments(world: &World, issue: u64) -> Vec<String> {
    let state = world.published();
    let issue = state.issues.iter().find(|it| it.number == issue).unwrap();
    issue.comments.iter().map(|comment| comment.body.clone()).collect()
}

#[track_caller]
fn document(world: &World, release: &str, more: &[&str]) -> Value {
    world.tool(&[&["document", "--release", release, "--execute", "--json"], more].concat()).expect(0, &[]).json()
}

/// Builds and publishes the set, with the first image made anew.
fn publish(world: &World, source: &str, first: u64) {
    world.build_all(1, Some("v0.44")).unwrap();
    world.build("debian-12-custom", 1 << 20, first, Some(source)).unwrap();
    world.tool(&["checksum", "--force"]).expect(0, &[]);
    world.tool(&["publish", "--source", source, "--execute"]).expect(0, &[]);
}

/// A further release that changes a document alone.
fn release(world: &World, tag: &str) {
    std::fs::write(world.packer_dir().join("README.md"), format!("# For {tag}\n")).unwrap();
    world.git(&["commit", "--quiet", "--all", "--message", tag]).unwrap();
    world.git(&["tag", tag]).unwrap();
    world.git(&["push", "--quiet", "origin", "HEAD:main", tag]).unwrap();
    add_release(world, tag, "");
}

#[test]
fn the_decision_before_and_after_the_publish() {
    let world = world("phase");
    add_release(&world, "v0.45", "What is new.\r\n\r\n- This\r\n- That");
    let issue = world.hub().seed_issue(REPOSITORY, "Release v0.45").unwrap();
    let number = issue.to_string();
    let with_issue = ["--issue", number.as_str()];

    // Before: what check decides. A preview writes nothing.
    let ran = world.tool(&["document", "--release", "v0.45", "--issue", &number]);
    ran.expect(
        0,
        &[
            "Images: to be rebuilt for v0.45 (debian-12-custom: templates/debian-12-custom/cleanup.sh changed)",
            "--execute",
        ],
    );
    assert_eq!((notes(&world, "v0.45").len(), comments(&world, issue).len()), (30, 0));
    let json = document(&world, "v0.45", &with_issue);
    assert_eq!(
        (&json["decision"], &json["notes"], &json["comment"]),
        (&"rebuild".into(), &"updated".into(), &"created".into())
    );
    let line = json["line"].as_str().unwrap().to_owned();
    assert_eq!(notes(&world, "v0.45"), format!("What is new.\r\n\r\n- This\r\n- That\r\n\r\n{line}\r\n"));
    let written = comments(&world, issue);
    assert!(written.len() == 1 && written[0].contains("**Images for v0.45: to be rebuilt**"), "{written:?}");
    assert!(written[0].contains("| `debian-13-pve` | skip | unchanged since v0.44"), "{written:?}");

    // After: what was published, although check says skip by now.
    publish(&world, "v0.45", 99);
    assert_eq!(world.tool(&["check", "--json"]).expect(0, &[]).json()["decision"], "skip");
    let json = document(&world, "v0.45", &with_issue);
    assert_eq!((&json["decision"], &json["published"]), (&"rebuild".into(), &true.into()), "{json}");
    let rebuilt: Vec<&Value> = json["images"].as_array().unwrap().iter().map(|image| &image["rebuilt"]).collect();
    assert_eq!(rebuilt, [true, false, false], "{json}");
    let written = comments(&world, issue);
    assert!(written.len() == 1 && written[0].contains("**Images for v0.45: rebuilt**"), "{written:?}");
    assert!(
        notes(&world, "v0.45").starts_with("What is new.\r\n\r\n- This\r\n- That\r\n\r\nImages: rebuilt for v0.45 (")
    );
    assert_eq!(notes(&world, "v0.45").matches("Images:").count(), 1);

    // Again: nothing more.
    let json = document(&world, "v0.45", &with_issue);
    assert_eq!(
        (&json["notes"], &json["comment"], &json["executed"]),
        (&"unchanged".into(), &"unchanged".into(), &false.into())
    );
}

#[test]
fn releases_without_new_images_say_see_latest() {
    let world = world("see-latest");
    publish(&world, "v0.45", 99);
    release(&world, "v0.46");
    let json = document(&world, "v0.46", &[]);
    assert_eq!((&json["decision"], &json["line"]), (&"skip".into(), &SEE.into()), "{json}");
    assert_eq!(notes(&world, "v0.46"), format!("{SEE}\n"));
    // The same images under the new version: still none was built for it. GitHub's times have seconds.
    thread::sleep(Duration::from_millis(1100));
    world.tool(&["publish", "--source", "v0.46", "--execute"]).expect(0, &[]);
    let json = document(&world, "v0.46", &[]);
    assert_eq!(
        (&json["decision"], &json["published"], &json["notes"]),
        (&"skip".into(), &true.into(), &"unchanged".into())
    );
    // `latest` has moved on, so nothing can be told about the release before.
    add_release(&world, "v0.45", "");
    world.tool(&["document", "--release", "v0.45"]).expect(1, &["`latest` stands for v0.46"]);
}

#[test]
fn the_second_set_is_compared_with_the_first() {
    let world = world("second");
    publish(&world, "v0.45", 99);
    std::fs::write(world.packer_dir().join("shared/scripts/update.sh"), "#!/bin/sh\ntrue\n").unwrap();
    release(&world, "v0.46");
    world.build_all(2, Some("v0.46")).unwrap();
    world.tool(&["checksum", "--force"]).expect(0, &[]);
    world.tool(&["publish", "--source", "v0.46", "--execute"]).expect(0, &[]);
    let json = document(&world, "v0.46", &[]);
    // Each has its own reason: the first was built from v0.45 before.
    assert_eq!(json["line"], "Images: rebuilt for v0.46 (shared/scripts/update.sh changed), see `latest` release");
}

#[test]
fn a_draft_release_and_an_issue_elsewhere() {
    let world = world("draft");
    world.hub().seed_release(REPOSITORY, SeedRelease::draft("v0.45").body("Draft.\n")).unwrap();
    let elsewhere = "homestak-dev/homestak-dev";
    world.hub().add_repository(elsewhere, github_stand_in::Repository::new(world.remote())).unwrap();

    let token = Token::classic("contributor").with(REPOSITORY, Access::Push).with(elsewhere, Access::Push);
    world.hub().add_token(TOKEN, token);
    let issue = world.hub().seed_issue(elsewhere, "Release").unwrap().to_string();
    document(&world, "v0.45", &["--issue", &issue, "--issue-repo", elsewhere]);
    let draft = world.published().drafts("v0.45").next().unwrap().body.clone().unwrap();
    assert!(draft.starts_with("Draft.\n\nImages: to be rebuilt for v0.45"), "{draft}");
}

#[test]
fn what_is_missing_is_named() {
    let world = world("missing");
    world
        .tool(&["document", "--release", "v0.45"])
        .expect(3, &["has no release v0.45", "phase 65", "gh release create v0.45 --draft --prerelease"]);
    world.tool(&["document", "--release", "latest"]).expect(2, &["`latest` is not a version tag"]);
    add_release(&world, "v0.45", "");
    world.tool(&["document", "--release", "v0.45", "--issue", "77"]).expect(3, &["has no issue 77", "--issue-repo"]);
    assert_eq!(notes(&world, "v0.45"), "");
    // Of a `latest` made by hand nothing is known but that the images are there.
    add_release(&world, "v0.44", "");
    let json = document(&world, "v0.44", &[]);
    assert_eq!((&json["line"], &json["decision"], &json["published"]), (&SEE.into(), &Value::Null, &true.into()));
}

/// The release is made in phase 65, the decision is in phase 64.
#[test]
fn the_issue_is_written_on_before_the_release_exists() {
    let world = world("early");
    let issue = world.hub().seed_issue(REPOSITORY, "Release v0.45").unwrap();
    let number = issue.to_string();
    let json = document(&world, "v0.45", &["--issue", &number]);
    assert_eq!((&json["notes"], &json["comment"]), (&Value::Null, &"created".into()), "{json}");
    assert!(comments(&world, issue)[0].contains("to be rebuilt"));
    assert!(world.published().published("v0.45").is_none());
    world
        .tool(&["document", "--release", "v0.45", "--issue", &number])
        .expect(0, &["Release v0.45 does not exist yet", "phase 65"]);
}
