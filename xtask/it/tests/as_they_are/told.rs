//! What GitHub has told already, by words, by headers, or at an earlier run.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use github_stand_in::{Fault, Injection, Matches, SeedRelease, Times};
use rehearsal::world::{REPOSITORY, World};

use super::{PUBLISH, ROLLBACK, by_hand, live, published_twice, sends_nothing, world};

fn set_immutable(world: &World, on: bool) {
    world.hub().change_repository(REPOSITORY, |it| it.immutable_releases = on).unwrap();
}

#[test]
fn a_release_that_is_immutable_from_earlier_is_seen_before_a_byte_is_sent() {
    let world = world("immutable");
    set_immutable(&world, true);
    world.build_all(2, Some("v0.44")).unwrap();
    let id = world.publish_by_hand("v0.44").unwrap();
    world.hub().change_release(REPOSITORY, id, |it| it.immutable = true).unwrap();
    world.build_all(1, Some("v0.45")).unwrap();
    sends_nothing(&world, PUBLISH).expect(3, &["has been immutable since it was published"]);
    set_immutable(&world, false);
    for verb in [PUBLISH, ROLLBACK] {
        let ran = sends_nothing(&world, verb).expect(
            3,
            &["the release latest of homestak-dev/packer", "has been immutable since it was published", "--repo"],
        );
        assert!(!ran.stderr.contains("run the same command again"), "{ran:?}");
    }
    world.tool(&["doctor"]).expect(3, &["has been immutable since it was published"]);
    assert_eq!(live(&world), id);
}

/// GitHub says it only when a set is about to become live; after that the clone knows.
#[test]
fn a_burnt_tag_is_remembered() {
    let world = world("burnt");
    set_immutable(&world, true);
    let fields = ["-f", "tag_name=latest", "-F", "draft=false", "-F", "prerelease=true"];
    let path = format!("repos/{REPOSITORY}/releases");
    let made = world.gh(&[&["api", "--method", "POST", &path][..], &fields, &["--jq", ".id"]].concat()).unwrap();
    world.gh(&["api", "--method", "DELETE", &format!("{path}/{}", made.text())]).unwrap();
    set_immutable(&world, false);
    let ran = world.tool(PUBLISH).expect(1, &["used by an immutable release"]);
    assert!(!ran.stderr.contains("run the same command again"), "{ran:?}");
    let ran = sends_nothing(&world, PUBLISH)
        .expect(3, &["at an earlier publish", "never gives such a name out again", "--repo"]);
    assert!(!ran.stderr.contains("run the same command again"), "{ran:?}");
}

#[test]
fn a_tag_that_is_a_folder_is_in_the_way() {
    let world = world("folder");
    world
        .git(&["push", "--quiet", "origin", "v0.44^{commit}:refs/tags/latest/x", "v0.44^{commit}:refs/packer/lock/y"])
        .unwrap();
    let line = ":refs/tags/latest/x";
    let ran = sends_nothing(&world, PUBLISH)
        .expect(3, &["refs/tags/latest/x", "refs/packer/lock/y", "conflicts with the tag latest", line]);
    assert!(!ran.stderr.contains("run the same command again"), "{ran:?}");
    world.tool(&["doctor"]).expect(3, &["conflicts with the tag latest"]);
    world.git(&["push", "--quiet", "origin", ":refs/tags/latest/x", ":refs/packer/lock/y"]).unwrap();
    world.tool(PUBLISH).expect(0, &["done: latest is v0.45 now"]);
}

/// The notes are written by then, so something was changed.
#[test]
fn an_issue_that_takes_no_comment_is_told_as_github_tells_it() {
    let world = world("issue");
    world.hub().seed_release(REPOSITORY, SeedRelease::published("v0.45")).unwrap();
    let issue = world.hub().seed_issue(REPOSITORY, "Release v0.45").unwrap().to_string();
    let document = ["document", "--release", "v0.45", "--issue", &issue, "--execute"];
    for (number, (status, said, helps)) in [
        (403, "Unable to create comment because issue is locked.", "unlock the issue"),
        (410, "Issues are disabled for this repo", "--issue-repo"),
        (410, "This issue was deleted", "--issue"),
        (403, "Resource not accessible by integration", "permissions:"),
    ]
    .into_iter()
    .enumerate()
    {
        let fault = Fault::status(status, said);
        let matches = Matches::on("POST", "/repos/*/issues/#/comments");
        world.hub().inject(Injection { matches, times: Times::Count(9), fault });
        // The first time the notes are written as well.
        let code = if number == 0 { 1 } else { 3 };
        let ran = world.tool(&document).expect(code, &[said, helps]);
        assert!(!ran.stderr.contains("`repo` scope") && !ran.stderr.contains("again"), "{ran:?}");
        world.hub().reset_faults();
    }
    world.hub().inject(Injection {
        matches: Matches::on("GET", "/repos/*/issues/#/comments"),
        times: Times::Count(9),
        fault: Fault::status(410, "Issues has been disabled in this repository."),
    });
    world.tool(&document).expect(3, &["has been disabled", "--issue-repo"]);
    world.hub().reset_faults();
    world.tool(&document).expect(0, &["wrote the comment"]);
}

/// No cure by the status alone.
#[test]
fn a_refusal_has_githubs_reason_and_its_link() {
    let (world, _) = by_hand("reasons");
    let sso = "https://github.com/orgs/homestak-dev/sso?authorization_request=A1";
    for (said, headers, helps) in [
        (
            "Resource protected by organization SAML enforcement. You must grant your OAuth token access to this organization.",
            vec![("X-GitHub-SSO".to_owned(), format!("required; url={sso}"))],
            sso,
        ),
        (
            "Although you appear to have the correct authorization credentials, the `homestak-dev` organization has an IP allow list enabled, and your IP address is not permitted to access this resource.",
            Vec::new(),
            "VPN",
        ),
        (
            "`homestak-dev` forbids access via a personal access token (classic). Please use another.",
            Vec::new(),
            "GH_TOKEN",
        ),
        (
            "The 'homestak-dev' organization forbids access via a fine-grained personal access tokens if the token's lifetime is greater than 90 days. Please adjust your token's lifetime at the following URL: https://github.com/settings/personal-access-tokens/1",
            Vec::new(),
            "see https://github.com/settings/personal-access-tokens/1",
        ),
        ("Sorry. Your account was suspended.", Vec::new(), "support.github.com"),
        ("Forbidden", Vec::new(), "(HTTP 403)"),
    ] {
        let fault = Fault::Status { status: 403, message: said.to_owned(), headers };
        world.hub().inject(Injection { matches: Matches::on("GET", "/repos/*"), times: Times::Count(99), fault });
        for verb in [PUBLISH, ROLLBACK, &["verify"][..]] {
            let ran = sends_nothing(&world, verb).expect(3, &[said.trim_end_matches('.'), helps]);
            for wrong in ["`repo` scope", "run the same command again", "attempt"] {
                assert!(!ran.stderr.contains(wrong), "`{wrong}`: {ran:?}");
            }
        }
        world.hub().reset_faults();
    }
}

/// A limit's end is told by GitHub's clock, and so counted by it: here the other side's is hours from ours.
#[test]
fn a_clock_that_is_hours_off_changes_no_wait() {
    let (world, _) = by_hand("clock");
    let here = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    for there in [here - 3 * 3600, here + 3 * 3600] {
        let date = date(&world, there, "+%a, %d %b %Y %H:%M:%S GMT");
        let reset = (there + 8).to_string();
        let headers = [("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", &reset), ("Date", &date)];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let fault = Fault::Status { status: 403, message: "API rate limit exceeded for user ID 1.".into(), headers };
        let matches = Matches::on("GET", "/repos/*/releases/tags/latest");
        world.hub().inject(Injection { matches, times: Times::Once, fault });
        let ran = world.tool(&["verify", "--images", "/nonexistent"]).expect(0, &["attempt 1 of", "next in 8.0 s"]);
        assert!(ran.stderr.contains("rate limit"), "{ran:?}");
    }
}

fn date(world: &World, seconds: u64, format: &str) -> String {
    let mut date = world.command("date");
    date.args(["-u", "-d", &format!("@{seconds}"), format]);
    String::from_utf8(date.output().unwrap().stdout).unwrap().trim().to_owned()
}

/// A manifest is dated by GitHub's clock: readers compare the dates of sets that several machines published.
#[test]
fn a_manifest_is_dated_by_githubs_clock() {
    let (world, _) = by_hand("dated");
    let there = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 3 * 3600;
    world.hub().set_date(&date(&world, there, "+%a, %d %b %Y %H:%M:%S GMT"));
    world.tool(PUBLISH).expect(0, &["done: latest is v0.45 now"]);
    let manifest = world.published().published("latest").unwrap().asset("packer-images.json").unwrap().file.clone();
    let manifest = fs::read_to_string(manifest).unwrap();
    assert!(manifest.contains(&date(&world, there, "+%Y-%m-%dT%H:%M:%SZ")), "{manifest}");
}

#[test]
fn a_clone_that_is_not_writable_is_told_with_what_helps() {
    let (world, old) = by_hand("readonly");
    // Who is root writes everywhere, but not below a file.
    let place = world.packer_dir().join(".git/packer");
    let _ = fs::remove_dir_all(&place);
    fs::write(&place, "").unwrap();
    for verb in [PUBLISH, ROLLBACK] {
        sends_nothing(&world, verb).expect(3, &["can't write", ".git/packer", "chown", "--packer-dir"]);
    }
    world.tool(&["status"]).expect(0, &["v0.44"]);
    world.tool(&["verify", "--images", "/nonexistent"]).expect(0, &["ok:"]);
    fs::remove_file(&place).unwrap();
    world.tool(PUBLISH).expect(0, &["done: latest is v0.45 now"]);
    assert_ne!(live(&world), old);
}

#[test]
fn tags_of_other_forms_are_releases_for_all_verbs() {
    let world = world("forms");
    for tag in ["release/v0.46", "packer@0.48"] {
        world.git(&["tag", tag]).unwrap();
        world.git(&["push", "--quiet", "origin", tag]).unwrap();
        world.build_all(3, Some(tag)).unwrap();
        world.hub().seed_release(REPOSITORY, SeedRelease::published(tag)).unwrap();
        world
            .tool(&["publish", "--source", tag, "--part-size", "1MiB", "--execute"])
            .expect(0, &[&format!("done: latest is {tag} now")]);
        world.tool(&["document", "--release", tag, "--execute"]).expect(0, &[&format!("wrote the notes of {tag}")]);
        world.tool(&["release", tag]).expect(0, &[]);
    }
    for tag in ["nightly", "latest", "images-v0.45", "v0;reboot"] {
        sends_nothing(&world, &["publish", "--source", tag, "--execute"]).expect(2, &["not a version tag"]);
        world.tool(&["document", "--release", tag]).expect(2, &["is not a version tag"]);
    }
}

/// Nothing that a person can't change, and need not know, is said at every run.
#[test]
fn what_only_administrators_see_is_said_to_those_who_ask() {
    let (world, _) = published_twice("noise");
    let note = "only administrators see whether";
    for verb in [&["doctor"][..], PUBLISH, ROLLBACK] {
        let ran = world.tool(verb);
        assert!(!ran.stderr.contains(note) && !ran.stdout.contains(note), "{ran:?}");
    }
    world.tool(&["doctor", "--verbose"]).expect(0, &[note]);
    assert!(world.hub().requests().iter().any(|request| request.method == "PATCH"), "the rollback changed nothing");
}
