//! The next set is staged on the release that was replaced last, under names that readers don't know: what is sent, what is
//! kept, and what every end half-way leaves.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use github_stand_in::{Action, Fault, Injection, Matches, Moment, Request, SeedAsset, SeedBytes, SeedRelease, Times};
use rehearsal::world::{IMAGES, Options, REPOSITORY, World};
use serde_json::Value;

const SIZES: [u64; 3] = [400 << 10, 250 << 10, 200 << 10];

fn args(source: &str) -> Vec<&str> {
    vec!["publish", "--source", source, "--part-size", "256KiB", "--allow-stale", "--execute"]
}

/// With v0.43 as the way back from v0.44, which differ in the first image; that is rebuilt once more, for v0.45.
fn world(name: &str) -> World {
    let mut options = Options::new(env!("CARGO_BIN_EXE_xtask"));
    options.sizes = SIZES.to_vec();
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stage-{name}"));
    let world = World::new(&place, options).unwrap();
    world.build_all(1, Some("v0.43")).unwrap();
    world.tool(&args("v0.43")).expect(0, &[]);
    rebuild(&world, 2, "v0.44");
    world.tool(&args("v0.44")).expect(0, &[]);
    rebuild(&world, 3, "v0.45");
    world
}

fn rebuild(world: &World, seed: u64, source: &str) {
    world.build(IMAGES[0], SIZES[0], 1000 + seed, Some(source)).unwrap();
}

fn live(world: &World) -> u64 {
    world.published().published("latest").unwrap().id
}

fn previous(world: &World) -> u64 {
    world.published().drafts("latest-previous").next().unwrap().id
}

fn is_rename(request: &Request) -> bool {
    request.method == "PATCH" && request.path.contains("/releases/assets/")
}

/// Names and bytes of what was sent of images since so many requests.
fn sent(world: &World, since: usize) -> (Vec<String>, u64) {
    let requests = world.hub().requests().split_off(since);
    let uploads = requests.iter().filter(|it| it.method == "POST" && it.host.starts_with("uploads"));
    let images: Vec<&Request> =
        uploads.filter(|it| it.query.contains("qcow2") && !it.query.contains("sha256")).collect();
    let names = images.iter().map(|it| it.query.split('.').skip(2).collect::<Vec<_>>().join(".")).collect();
    (names, images.iter().map(|it| it.bytes_received).sum())
}

fn names(world: &World, release: u64) -> Vec<String> {
    let state = world.published();
    let release = state.releases.iter().find(|it| it.id == release).unwrap();
    release.assets.iter().map(|asset| asset.name.clone()).collect()
}

/// Nothing of a publish is left on what is live.
fn is_tidy(world: &World) {
    let names = names(world, live(world));
    assert!(!names.iter().any(|name| name.starts_with("packer-new") || name.starts_with("packer-old")), "{names:?}");
    world.tool(&["verify", "--images", "/nonexistent"]).expect(0, &["ok:"]);
}

/// The `nth` rename is refused, and all after it; the run ends.
fn refused_at(world: &World, source: &str, nth: usize) {
    let matches = Matches::on("PATCH", "/repos/*/releases/assets/*").nth(nth);
    world.hub().inject(Injection { matches, times: Times::Forever, fault: Fault::status(403, "not now") });
    world.tool(&args(source)).expect(1, &["not now"]);
    world.hub().reset_faults();
}

fn does(plan: &Value) -> Vec<&str> {
    plan["plan"].as_array().unwrap().iter().map(|step| step["do"].as_str().unwrap()).collect()
}

#[test]
fn one_image_new_is_all_that_is_sent_three_times_in_turn() {
    let world = world("in-turn");
    let releases = (live(&world), previous(&world));
    let plan = world.tool(&["publish", "--source", "v0.45", "--part-size", "256KiB", "--allow-stale", "--json"]).json();
    let bytes = &plan["preview"]["bytes"];
    assert_eq!((&bytes["kept"], &bytes["fetch"]), (&Value::from(SIZES[1] + SIZES[2]), &Value::from(0)), "{plan}");
    let all: Vec<(&str, &str)> = plan["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|image| (image["change"].as_str().unwrap(), image["way"].as_str().unwrap_or("")))
        .collect();
    assert_eq!(all, [("rebuilt", ""), ("unchanged", "kept"), ("unchanged", "kept")]);
    for (seed, source) in [(3, "v0.45"), (4, "v0.44"), (5, "v0.45")] {
        rebuild(&world, seed, source);
        let (was_live, before) = (live(&world), world.hub().requests().len());
        world.tool(&args(source)).expect(0, &["kept on the previous release", "unchanged (kept)"]);
        let (names, bytes) = sent(&world, before);
        assert_eq!(bytes, SIZES[0], "{names:?}");
        assert!(names.iter().all(|name| name.starts_with(IMAGES[0])), "{names:?}");
        assert_eq!(previous(&world), was_live);
        is_tidy(&world);
    }
    assert_eq!((previous(&world), live(&world)), releases, "two releases take turns");
    world.tool(&["rollback", "--execute"]).expect(0, &[]);
    is_tidy(&world);
}

/// What readers list is the old set until the flip, wherever a swap ends, and a rollback brings the set before.
#[test]
fn a_swap_that_ends_half_way_costs_nothing() {
    let world = world("half-way");
    let (new, old) = (live(&world), previous(&world));
    let before = names(&world, old);
    for nth in [1, 2, 5] {
        refused_at(&world, "v0.45", nth);
        assert_eq!((live(&world), previous(&world)), (new, old));
        is_tidy(&world);
        let said = if nth == 1 { "of the next set on it" } else { "the next set half-way into its place" };
        world.tool(&["status"]).expect(0, &[said]);
        world.tool(&["doctor"]).expect(0, &[said]);
    }
    let plan = world.tool(&["rollback", "--json"]).json();
    assert_eq!(does(&plan), ["restore", "tag", "hide", "publish"]);
    world.tool(&["rollback", "--execute"]).expect(0, &["v0.43"]);
    assert_eq!(live(&world), old);
    let plain: Vec<String> = names(&world, old).into_iter().filter(|name| !name.starts_with("packer-new")).collect();
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    assert_eq!(sorted(plain), sorted(before));
    world.tool(&["verify", "--images", "/nonexistent"]).expect(0, &["ok:", "v0.43"]);

    // Half-way onto the other release: the same set goes forward from there, and no image is sent.
    refused_at(&world, "v0.45", 6);
    let since = world.hub().requests().len();
    world.tool(&args("v0.45")).expect(0, &[]);
    assert_eq!(sent(&world, since).0, [] as [String; 0]);
    is_tidy(&world);
    assert_eq!(previous(&world), old);

    // Another set begins with giving the names back.
    rebuild(&world, 7, "v0.44");
    refused_at(&world, "v0.44", 5);
    rebuild(&world, 8, "v0.45");
    let plan = world.tool(&["publish", "--source", "v0.45", "--part-size", "256KiB", "--allow-stale", "--json"]).json();
    assert_eq!(does(&plan)[..2], ["restore", "stage"]);
    let discarding = [args("v0.45"), vec!["--discard-incoming"]].concat();
    world.tool(&discarding).expect(0, &[]);
    is_tidy(&world);
}

/// What was set aside goes when the new set is live; where that fails the next publish does it.
#[test]
fn what_was_set_aside_is_deleted_later_where_it_can_not_be_now() {
    let world = world("aside");
    let matches = Matches::on("DELETE", "/repos/*/releases/assets/*");
    world.hub().inject(Injection { matches, times: Times::Forever, fault: Fault::status(403, "not now") });
    world.tool(&args("v0.45")).expect(0, &["could not be deleted", "latest is v0.45 now"]);
    world.hub().reset_faults();
    assert!(names(&world, live(&world)).iter().any(|name| name.starts_with("packer-old.")));
    world.tool(&["verify", "--images", "/nonexistent"]).expect(0, &["ok:"]);
    world.tool(&["doctor"]).expect(0, &["the next publish deletes them"]);
    // And a rollback before that brings the right set.
    let set = live(&world);
    world.tool(&["rollback", "--execute"]).expect(0, &["v0.44"]);
    world.tool(&["rollback", "--execute"]).expect(0, &["v0.45"]);
    assert_eq!(live(&world), set);
    world.tool(&args("v0.45")).expect(0, &["done: latest is v0.45 now"]);
    is_tidy(&world);
    world.tool(&args("v0.45")).expect(0, &["nothing to do"]);
}

/// What isn't proven isn't kept.
#[test]
fn a_previous_release_that_was_edited_by_hand_is_not_used() {
    let world = world("by-hand");
    let old = previous(&world);
    let seen = world.published();
    let release = seen.releases.iter().find(|it| it.id == old).unwrap();
    let body = release.body.clone().unwrap();
    let image = format!("{}.qcow2", IMAGES[2]);
    let kept = release.asset(&image).unwrap().clone();
    let bytes = std::fs::read(&kept.file).unwrap();
    let plan =
        || world.tool(&["publish", "--source", "v0.45", "--part-size", "256KiB", "--allow-stale", "--json"]).json();
    let staged = |what: &str, wanted: bool| {
        let plan = plan();
        assert_eq!(does(&plan).contains(&"stage"), wanted, "{what}: {plan}");
        assert_eq!(plan["preview"]["bytes"]["kept"], if wanted { SIZES[1] + SIZES[2] } else { 0 }, "{what}");
    };
    let change =
        |body: &str| world.hub().change_release(REPOSITORY, old, |it| it.body = Some(body.to_owned())).unwrap();
    let add = |name: &str, bytes: &[u8]| {
        world.hub().seed_asset(REPOSITORY, old, SeedAsset::new(name, SeedBytes::Here(bytes.to_vec()))).unwrap();
    };
    let api = |method: &str, id: u64, more: &[&str]| {
        let path = format!("repos/{REPOSITORY}/releases/assets/{id}");
        world.gh(&[&["api", "--method", method, &path][..], more].concat()).unwrap();
    };
    let id_of = |name: &str| {
        let state = world.published();
        state.releases.iter().find(|it| it.id == old).unwrap().asset(name).unwrap().id
    };
    staged("as it was", true);
    change(&body.replace("v0.43", "v0.12"));
    staged("other notes", true);
    world.tool(&["rollback"]).expect(0, &["latest goes back from v0.44 to v0.43"]);
    change("Points to v0.43");
    staged("no stamp", false);
    change(&body);

    api("PATCH", kept.id, &["-f", "name=another.qcow2"]);
    staged("renamed", false);
    api("PATCH", kept.id, &["-f", &format!("name={image}")]);
    staged("named again", true);

    add("notes.txt", b"of mine");
    staged("something else on it", false);
    api("DELETE", id_of("notes.txt"), &[]);
    for name in ["packer-old.1.a.txt", "packer-new.txt", "packer-new.0123456789ab.a.qcow2.partaa"] {
        add(name, b"of somebody");
        staged(name, false);
        api("DELETE", id_of(name), &[]);
    }

    api("DELETE", kept.id, &[]);
    staged("deleted", false);
    add(&image, &vec![7; bytes.len()]);
    staged("replaced", false);
    world.tool(&args("v0.45")).expect(0, &["latest is v0.45 now"]);
    is_tidy(&world);
}

#[test]
fn names_that_are_taken_and_releases_that_are_full() {
    let world = world("taken");
    let old = previous(&world);
    let whole = format!("{}.qcow2", IMAGES[0]);
    let sum = std::fs::read_to_string(world.images().join(IMAGES[0]).join(format!("{whole}.sha256"))).unwrap();
    // A name that the first part would have, and other bytes.
    let taken = format!("packer-new.{}.{whole}-.partaa", &sum[..12]);
    world.hub().seed_asset(REPOSITORY, old, SeedAsset::new(&taken, SeedBytes::Here(vec![1; 256 << 10]))).unwrap();
    let plan = ["publish", "--source", "v0.45", "--part-size", "256KiB", "--allow-stale", "--json"];
    assert!(does(&world.tool(&plan).json()).contains(&"stage"));
    let there = names(&world, old).len();
    for number in there..995 {
        let name = format!("packer-new.{number:012x}.left");
        world.hub().seed_asset(REPOSITORY, old, SeedAsset::new(&name, SeedBytes::Here(vec![1]))).unwrap();
    }
    let full = world.tool(&plan).json();
    assert!(does(&full).contains(&"create") && !does(&full).contains(&"stage"), "{full}");
    let discarding = [args("v0.45"), vec!["--discard-incoming"]].concat();
    world.tool(&discarding).expect(0, &["latest is v0.45 now"]);
    is_tidy(&world);
}

#[test]
fn no_rename_is_made_while_images_are_sent() {
    let world = world("order");
    let before = world.hub().requests().len();
    world.tool(&args("v0.45")).expect(0, &[]);
    let requests = world.hub().requests().split_off(before);
    let first = requests.iter().position(is_rename).unwrap();
    let last_upload = requests.iter().rposition(|it| it.method == "POST" && it.host.starts_with("uploads")).unwrap();
    assert!(last_upload < first);
    let manifest = |it: &Request| it.body.as_ref().is_some_and(|body| body["name"] == "packer-images.json");
    let renames: Vec<&Request> = requests.iter().filter(|it| is_rename(it)).collect();
    let aside = renames[0].body.as_ref().unwrap()["name"].as_str().unwrap().to_owned();
    assert!(aside.starts_with("packer-old.") && aside.ends_with(".packer-images.json"), "{aside}");
    assert!(manifest(renames.last().unwrap()) && renames.iter().filter(|it| manifest(it)).count() == 1);
}

/// What was set aside of the older set must not come back in place of the one that is live.
#[test]
fn a_manifest_that_is_removed_beside_what_was_set_aside_brings_no_older_set() {
    let world = world("no-manifest");
    let matches = Matches::on("DELETE", "/repos/*/releases/assets/*");
    world.hub().inject(Injection { matches, times: Times::Forever, fault: Fault::status(403, "not now") });
    world.tool(&args("v0.45")).expect(0, &["could not be deleted"]);
    world.hub().reset_faults();
    let before = names(&world, live(&world));
    let manifest = world.published().published("latest").unwrap().asset("packer-images.json").unwrap().id;
    world.gh(&["api", "--method", "DELETE", &format!("repos/{REPOSITORY}/releases/assets/{manifest}")]).unwrap();
    world.tool(&["verify"]).expect(4, &["packer-images.json was removed since the publish"]);
    world.tool(&["rollback", "--execute"]).expect(0, &["v0.44"]);
    let after = names(&world, previous(&world));
    assert!(before.iter().filter(|name| *name != "packer-images.json").all(|name| after.contains(name)), "{after:?}");
}

/// Half-way into its place, and in it but not published: the set that was replaced is still told by its own manifest.
#[test]
fn what_was_before_is_the_replaced_set_wherever_a_swap_ended() {
    let world = world("before");
    world.hub().seed_release(REPOSITORY, SeedRelease::published("v0.44")).unwrap();
    let issue = world.hub().seed_issue(REPOSITORY, "Release v0.44").unwrap().to_string();
    let told = || {
        let args = ["document", "--release", "v0.44", "--issue", &issue];
        let said = world.tool(&args).expect(0, &["the images published for v0.43"]);
        assert!(!said.text().contains("v0.45"), "{}", said.text());
        world.tool(&["diff"]).expect(0, &["from v0.43 to v0.44"]);
        world.tool(&["diff", "--from", "v0.43", "--to", "v0.44"]).expect(0, &["from v0.43 to v0.44"]);
    };
    told();
    refused_at(&world, "v0.45", 5);
    world.tool(&["status"]).expect(0, &["the next set half-way into its place"]);
    told();
    let matches = Matches::on("PATCH", "/repos/*/releases/#");
    world.hub().inject(Injection { matches, times: Times::Forever, fault: Fault::status(403, "not now") });
    world.tool(&args("v0.45")).expect(1, &["not now"]);
    world.hub().reset_faults();
    world.tool(&["status"]).expect(0, &["the next set in its place, not published yet"]);
    told();
}

/// One version twice: what is printed says which of the two sets is meant.
#[test]
fn two_sets_of_one_version_are_told_apart() {
    let world = world("one-version");
    let manifest = |release: u64| {
        let state = world.published();
        let release = state.releases.iter().find(|it| it.id == release).unwrap();
        let asset = release.asset("packer-images.json").unwrap();
        format!("v0.44 (manifest {})", &asset.digest.as_deref().unwrap()["sha256:".len()..][..12])
    };
    rebuild(&world, 7, "v0.44");
    world.tool(&args("v0.44")).expect(0, &[]);
    let (new, old) = (manifest(live(&world)), manifest(previous(&world)));
    assert_ne!(new, old);
    world.tool(&["diff"]).expect(0, &[&format!("from {old} to {new}:")]);
    let plan = format!("latest goes back from {new} to {old}, which was replaced");
    world.tool(&["rollback"]).expect(0, &[&plan, &format!("keep {new} as the way back")]);
    let back = world.tool(&["rollback", "--execute"]).expect(0, &[&plan]);
    let last = back.text().trim_end().lines().next_back().unwrap().to_owned();
    assert_eq!(last, format!("done: latest is what it was before, from {new} back to {old}"));
    assert_eq!((manifest(previous(&world)), manifest(live(&world))), (new, old));
    // Of two versions the version says it all.
    world.tool(&args("v0.45")).expect(0, &[]);
    world.tool(&["diff"]).expect(0, &["from v0.44 to v0.45:"]);
    let done = "done: latest is what it was before, from v0.45 back to v0.44\n";
    world.tool(&["rollback", "--execute"]).expect(0, &[done]);
}

/// It comes while images are sent, and is told at the renewal before the swap that somebody is at work.
#[test]
fn a_rollback_of_somebody_else_is_kept_out_while_the_stage_is_filled() {
    let world = world("rival");
    let (was_live, was_previous) = (live(&world), previous(&world));
    let rival = world.another_machine("rival").unwrap();
    let came = Arc::new(Mutex::new(None));
    let told = Arc::new(Mutex::new(None));
    let (child, answer) = (Arc::clone(&came), Arc::clone(&told));
    world.hub().on_request(move |request, moment| {
        let upload = request.method == "POST" && request.host.starts_with("uploads");
        if moment == Moment::Before && upload {
            let mut child = child.lock().unwrap();
            if child.is_none() && answer.lock().unwrap().is_none() {
                let mut command = rival.tool_command(&["rollback", "--execute"]);
                let mut started = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
                let mut said = BufReader::new(started.stderr.take().unwrap());
                let mut line = String::new();
                while !line.contains("another publisher has the lock") {
                    assert_ne!(said.read_line(&mut line).unwrap(), 0, "{line}");
                }
                *child = Some((started, said, line));
            }
        }
        if moment == Moment::Before && is_rename(request) {
            // The lock was renewed just now; with it this run goes on when the other one has seen that.
            if let Some((mut started, mut said, mut text)) = child.lock().unwrap().take() {
                said.read_to_string(&mut text).unwrap();
                *answer.lock().unwrap() = Some((started.wait().unwrap().code(), text));
            }
        }
        Action::Proceed
    });
    world.tool(&args("v0.45")).expect(0, &["latest is v0.45 now"]);
    world.hub().reset_faults();
    let (code, text) = told.lock().unwrap().take().expect("the other one came and went");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("another publisher is at work: publish of v0.45"), "{text}");
    assert_eq!((live(&world), previous(&world)), (was_previous, was_live));
    is_tidy(&world);
    world.tool(&["rollback", "--execute"]).expect(0, &["v0.44"]);
    assert_eq!((live(&world), previous(&world)), (was_live, was_previous));
    is_tidy(&world);
}
