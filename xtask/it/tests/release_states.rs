//! States that a repository can be in and that no run of the tool leaves it in, and what others change between a plan
//! and its execution.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use github_stand_in::{Action, Fault, Injection, Matches, Moment, Request, Times};
use rehearsal::machine::Machine;
use rehearsal::world::{IMAGES, REPOSITORY, World};
use serde_json::json;

use super::as_they_are::{PUBLISH, ROLLBACK, live, published, published_twice, world};

/// A rival acts once, before the first such request is worked on.
fn rival_acts(
    world: &World,
    at: impl Fn(&Request) -> bool + Send + Sync + 'static,
    act: impl Fn(&Machine) -> anyhow::Result<()> + Send + Sync + 'static,
) {
    let (rival, acted) = (Arc::new(world.another_machine("rival").unwrap()), AtomicBool::new(false));
    world.hub().on_request(move |request, moment| {
        if moment == Moment::Before && at(request) && !acted.swap(true, Ordering::Relaxed) {
            act(&rival).expect("the rival's change");
        }
        Action::Proceed
    });
}

/// After the look, before the plan.
fn asks_for_the_source(request: &Request) -> bool {
    request.path.ends_with("/git/ref/tags/v0.45")
}

fn goes_live(rival: &Machine, release: u64) -> anyhow::Result<()> {
    let path = format!("repos/{REPOSITORY}/releases/{release}");
    rival
        .gh(&["api", "--method", "PATCH", &path, "-f", "tag_name=latest", "-F", "draft=false", "-F", "prerelease=true"])
        .map(drop)
}

fn refuse(status: u16, message: &str) -> Fault {
    Fault::Status { status, message: message.to_owned(), headers: Vec::new() }
}

/// A world with the draft of a publish that failed.
fn with_a_draft(name: &str) -> (World, u64) {
    let world = world(name);
    world.hub().inject(Injection {
        matches: Matches::upload("packer-images.json"),
        times: Times::Once,
        fault: refuse(400, "not now"),
    });
    world.tool(PUBLISH).expect(1, &["not now"]);
    let draft = world.published().releases[0].id;
    (world, draft)
}

#[test]
fn a_draft_of_another_set_that_went_live_is_left_alone() {
    let (world, draft) = with_a_draft("discard");
    world.build_all(2, Some("v0.45")).unwrap();
    rival_acts(&world, asks_for_the_source, move |rival| goes_live(rival, draft));
    world.tool(PUBLISH).expect(1, &["what there is to do changed since the plan was made"]);
    assert_eq!(live(&world), draft);
}

#[test]
fn a_draft_to_take_over_that_went_live_is_left_alone() {
    let (world, draft) = with_a_draft("take-over");
    rival_acts(&world, asks_for_the_source, move |rival| goes_live(rival, draft));
    world.tool(PUBLISH).expect(1, &["what there is to do changed since the plan was made"]);
    let shown = world.hub().timeline();
    let vanished = shown.windows(2).any(|two| two[0].release.is_some() && two[1].release.is_none());
    assert!(!vanished, "the live release was taken back to a draft");
    assert_eq!(live(&world), draft);
}

/// A contributor's `origin` can be a fork, where the tag `latest` is another: the one of the release is moved.
#[test]
fn the_tag_is_moved_where_the_release_is() {
    let (world, old) = published_twice("fork");
    let (remote, fork) = (world.remote(), world.dir().join("fork.git"));
    let (remote, fork) = (remote.to_str().unwrap(), fork.to_str().unwrap());
    world.git(&["clone", "--quiet", "--bare", remote, fork]).unwrap();
    world.git(&["remote", "set-url", "origin", fork]).unwrap();
    world.git(&["push", "--quiet", "--force", "origin", "v0.43^{commit}:refs/tags/latest"]).unwrap();
    let new = live(&world);
    let with_repo = |args: &[&'static str]| [args, &["--repo", REPOSITORY]].concat();
    world.tool(&with_repo(ROLLBACK)).expect(0, &["latest is v0.44 again, rolled back from v0.45"]);
    assert_eq!(live(&world), old);
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.44"));
    assert_eq!(world.git(&["--git-dir", fork, "rev-parse", "latest"]).unwrap(), world.remote_commit("v0.43"));

    // The set that took the other's place is the one to come back, whatever it is called.
    let hide = format!("repos/{REPOSITORY}/releases/{old}");
    world.gh(&["api", "--method", "PATCH", &hide, "-f", "tag_name=latest-hidden", "-F", "draft=true"]).unwrap();
    world.tool(&with_repo(ROLLBACK)).expect(0, &["latest is live again"]);
    assert_eq!(live(&world), old);
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.44"));
    assert!(world.published().published("images-v0.45").is_some_and(|release| release.id == new), "it stays as it is");
}

#[test]
fn a_tag_that_moved_since_the_look_ends_a_rollback() {
    let (world, old) = published_twice("moved");
    let new = live(&world);
    rival_acts(
        &world,
        move |request| request.path.ends_with(&format!("/releases/{old}/assets")),
        |rival| rival.git(&["push", "--quiet", "--force", "origin", "v0.43^{commit}:refs/tags/latest"]).map(drop),
    );
    world.tool(ROLLBACK).expect(1, &["what there is to do changed", "nothing was switched"]);
    assert_eq!(live(&world), new);
    // What is live and its tag belong together, whoever parted them.
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.45"));
}

#[test]
fn no_other_tag_is_pushed() {
    let world = world("tags");
    world.git(&["config", "push.followTags", "true"]).unwrap();
    world.git(&["tag", "--annotate", "--message", "not yet", "v0.46"]).unwrap();
    world.tool(PUBLISH).expect(0, &[]);
    assert_eq!(world.remote_commit("v0.46"), "");
}

#[test]
fn a_handmade_release_that_is_no_prerelease_can_come_back() {
    let world = world("handmade");
    let mut handmade = world.handmade("v0.44").unwrap();
    handmade.prerelease = false;
    world.git(&["push", "--quiet", "origin", "v0.44^{commit}:refs/tags/latest"]).unwrap();
    let old = world.hub().seed_release(REPOSITORY, handmade).unwrap();
    world.build_all(2, Some("v0.45")).unwrap();
    world.tool(PUBLISH).expect(0, &[]);
    // Its name again, once that set is live: the set has no manifest that names its version.
    for says in ["latest is v0.44 again", "latest is the set of images-v0.44 already; nothing to do"] {
        world.tool(&["rollback", "--to", "images-v0.44", "--execute"]).expect(0, &[says]);
    }
    assert_eq!(live(&world), old);
}

/// What `verify` tells to mend by publishing again, publishing again mends, without sending an image.
#[test]
fn a_release_that_is_no_prerelease_any_more_is_mended() {
    let world = published("mended");
    world.gh(&["release", "edit", "latest", "--repo", REPOSITORY, "--prerelease=false"]).unwrap();
    world.tool(&["verify"]).expect(
        4,
        &[
            "`latest` is not as it was published: release latest is not marked as a prerelease",
            "publish again to repair",
            "fix: run `cargo xtask packer publish",
        ],
    );
    let before = world.hub().requests().len();
    world.tool(PUBLISH).expect(0, &["nothing to upload"]);
    assert!(world.hub().requests()[before..].iter().all(|request| request.method != "POST"));
    world.tool(&["verify"]).expect(0, &["ok:"]);
    world.tool(PUBLISH).expect(0, &["nothing to do"]);
}

/// Exit code 3 promises that nothing was changed.
#[test]
fn what_is_missing_after_a_change_is_no_exit_3() {
    let (world, _) = published_twice("exit-code");
    let new = live(&world);
    // Fine-grained tokens: the repository says what their user may do, not what they may.
    let refused = Matches::on("PATCH", "/repos/*/releases/#");
    let fault = refuse(403, "Resource not accessible by personal access token");
    world.hub().inject(Injection { matches: refused, times: Times::Forever, fault });
    world.tool(ROLLBACK).expect(1, &["tag latest is back at", "Resource not accessible"]);
    world.hub().reset_faults();

    let hide = format!("repos/{REPOSITORY}/releases/{}", live(&world));
    world.gh(&["api", "--method", "PATCH", &hide, "-f", "tag_name=latest-hidden", "-F", "draft=true"]).unwrap();
    let without_images = world.another_machine("other").unwrap();
    without_images.tool(PUBLISH).expect(1, &["latest is live again", "no images folder"]);
    assert_eq!(live(&world), new);
}

#[test]
fn a_verify_with_download_reads_checksum_files_without_a_digest() {
    let world = published("checksum");
    let release = world.published().published("latest").unwrap().clone();
    let name = format!("{}.qcow2.sha256", IMAGES[0]);
    let right = release.assets.iter().find(|asset| asset.name == name).unwrap();
    let wrong = world.dir().join(&name);
    fs::write(&wrong, format!("{}  {}.qcow2\n", "0".repeat(64), IMAGES[0])).unwrap();
    world.hub().inject(Injection { matches: Matches::upload(&name), times: Times::Once, fault: Fault::NullDigest });
    world.gh(&["api", "--method", "DELETE", &format!("repos/{REPOSITORY}/releases/assets/{}", right.id)]).unwrap();
    let url = format!("https://uploads.github.com/repos/{REPOSITORY}/releases/{}/assets?name={name}", release.id);
    world.gh(&["api", "--method", "POST", &url, "--input", wrong.to_str().unwrap()]).unwrap();
    world.tool(&["verify"]).expect(0, &["not verified: GitHub gives no digest"]);
    world
        .tool(&["verify", "--download"])
        .expect(4, &[&name, "as downloaded, the manifest says", "fix: publish the images as a new set: ", "--resend"]);
}

#[test]
fn a_rollbacks_plan_is_objects_in_json() {
    let (world, old) = published_twice("plan-objects");
    let published = live(&world);
    let (from, to) = (world.remote_commit("latest"), world.remote_commit("v0.44"));

    let plan = world.tool(&["rollback", "--json"]).json();
    assert_eq!(plan["executed"], false);
    assert_eq!(
        plan["plan"],
        json!([
            { "do": "tag", "from": from, "to": to },
            { "do": "pin", "release_id": published, "as": "images-v0.45" },
            { "do": "publish", "release_id": old, "set": "images-v0.44" },
        ])
    );
    let done = world.tool(&["rollback", "--execute", "--json"]).json();
    assert_eq!((&done["executed"], &done["plan"]), (&json!(true), &plan["plan"]));
    assert_eq!(done["release_id"], old);
}
