//! Ways in which `latest`, its tag or its way back were lost once, with real processes.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use github_stand_in::{Action, Fault, Limit, Moment, SeedRelease};
use rehearsal::process::Ran;
use rehearsal::world::{IMAGES, REPOSITORY, World};
use serde_json::Value;

use super::{PUBLISH, ROLLBACK, SIZES, is_flip, is_upload, killed_at, live, lock_of, over_a_set, time_passes, world};

/// The same publish from two clones, a moment after each other, every answer a quarter of a second late.
#[test]
fn two_equal_publishes_leave_one_set_whatever_lies_between_them() {
    let two = |offset: u64| {
        let world = over_a_set(&format!("equal-{offset}"));
        let rival = world.another_machine("rival").unwrap();
        for ((name, size), seed) in IMAGES.iter().zip(SIZES).zip(1001..) {
            rival.build(name, size, seed, Some("v0.45")).unwrap();
        }
        world.hub().on_request(|_, moment| {
            if moment == Moment::Before {
                thread::sleep(Duration::from_millis(250));
            }
            Action::Proceed
        });
        let ran: Vec<Ran> = thread::scope(|scope| {
            let mine = scope.spawn(|| world.tool(PUBLISH));
            thread::sleep(Duration::from_millis(offset));
            let theirs = rival.tool(PUBLISH);
            vec![mine.join().unwrap(), theirs]
        });
        world.hub().reset_faults();
        assert!(ran.iter().any(|ran| ran.code == Some(0)), "{ran:?}");
        for ran in ran {
            if ran.code != Some(0) {
                ran.expect(1, &["another run has the lock: publish of v0.45"]);
            }
        }
        let shown = world.hub().timeline();
        let vanished = shown.windows(2).filter(|two| two[0].release.is_some() && two[1].release.is_none()).count();
        assert_eq!(vanished, 1, "one flip");
        world.tool(&["verify"]).expect(0, &["v0.45"]);
        assert_eq!(lock_of(&world), "");
    };
    // Most of it is waiting.
    thread::scope(|scope| {
        for offset in [0, 2_000, 4_000] {
            scope.spawn(move || two(offset));
        }
    });
}

/// GitHub tells the deleting of a draft to wait, and meanwhile somebody publishes that draft.
#[test]
fn a_draft_that_is_published_while_its_deletion_waits_is_not_deleted() {
    let world = world("waits");
    // As this tool makes it, for another set.
    let set = serde_json::json!({ "source": "v0.44", "part_size": 5, "images": [] });
    let body = format!("of a rival\n\n<!-- packer-incoming {} -->\n", serde_json::json!({ "set": set }));
    let draft = world.hub().seed_release(REPOSITORY, SeedRelease::draft("latest-incoming").body(&body)).unwrap();
    let (rival, came) = (Arc::new(world.another_machine("rival").unwrap()), AtomicBool::new(false));
    world.hub().on_request(move |request, moment| {
        if moment != Moment::Before || request.method != "DELETE" || came.swap(true, Ordering::Relaxed) {
            return Action::Proceed;
        }
        let path = format!("repos/{REPOSITORY}/releases/{draft}");
        let flip = ["api", "--method", "PATCH", &path, "-f", "tag_name=v0.43", "-F", "draft=false"];
        rival.gh(&flip).unwrap();
        Action::Fault(Fault::RateLimited { limit: Limit::Secondary, retry_after: Some(1) })
    });
    world.tool(PUBLISH).expect(1, &["is no longer the draft", "so it is left alone"]);
    assert_eq!(world.published().published("v0.43").map(|there| there.id), Some(draft));
}

/// The first of the two calls has no answer, the next attempt meets a limit, and then the first is done.
#[test]
fn a_first_call_that_is_done_late_is_followed_by_the_second() {
    let world = over_a_set("late-first");
    let (old, flips) = (live(&world), AtomicUsize::new(0));
    world.hub().on_request(move |request, moment| {
        if moment != Moment::Before || !is_flip(request) {
            return Action::Proceed;
        }
        match flips.fetch_add(1, Ordering::Relaxed) {
            // Longer than anybody waits for an answer.
            0 => thread::sleep(Duration::from_secs(32)),
            1 => return Action::Fault(Fault::RateLimited { limit: Limit::Secondary, retry_after: None }),
            _ => {}
        }
        Action::Proceed
    });
    world.tool(PUBLISH).expect(0, &["done: latest is v0.45"]);
    world.hub().reset_faults();
    assert_ne!(live(&world), old);
    world.tool(&["verify"]).expect(0, &["v0.45"]);
}

#[test]
fn killed_before_the_switch_run_again_and_rolled_back_the_old_tag_is_there() {
    let world = over_a_set("killed");
    let old = live(&world);
    killed_at(&world, PUBLISH, 1, is_flip);
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.45"), "the tag goes first");
    assert_eq!(live(&world), old);
    waits_for_what_was_sent(&world);
    // One that is ended while it waits leaves that to the next.
    waits_for_what_was_sent(&world);
    time_passes(&world);
    world.tool(PUBLISH).expect(0, &["which has died; continuing", "done: latest is v0.45"]);
    world.tool(ROLLBACK).expect(0, &[]);
    assert_eq!(live(&world), old);
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.44"));
    // Without the images here, which are the others.
    let none = world.dir().join("none");
    world.tool(&["verify", "--images", none.to_str().unwrap()]).expect(0, &["v0.44"]);
}

/// A run of the clone in which one was killed during the switch waits for what that one had sent; a signal ends the waiting.
fn waits_for_what_was_sent(world: &World) {
    let mut child = world.tool_command(PUBLISH).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("a request of the previous run may still arrive") {
        line.clear();
        assert_ne!(said.read_line(&mut line).unwrap(), 0, "it did not wait");
    }
    let seconds: u64 = line.split("waiting ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((60..=111).contains(&seconds), "{line}");
    assert!(rehearsal::process::kill("TERM", &child.id().to_string()));
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

/// What a killed upload may still do is send an asset of the same draft again: nothing is waited for.
#[test]
fn killed_during_an_upload_the_next_run_of_the_clone_goes_on_at_once() {
    let world = over_a_set("killed-upload");
    killed_at(&world, PUBLISH, 2, is_upload);
    let ran = world.tool(PUBLISH).expect(0, &["which has died; continuing", "done: latest is v0.45"]);
    assert!(!ran.stderr.contains("waiting") && !ran.stderr.contains("watching"), "{}", ran.stderr);
    world.tool(&["verify"]).expect(0, &["v0.45"]);
}

fn built_from(world: &World) -> Value {
    let dir = world.dir().join("manifest");
    let _ = fs::remove_dir_all(&dir);
    let folder = dir.to_str().unwrap();
    let args =
        ["release", "download", "latest", "--repo", REPOSITORY, "--pattern", "packer-images.json", "--dir", folder];
    world.gh(&args).unwrap();
    let manifest: Value = serde_json::from_slice(&fs::read(dir.join("packer-images.json")).unwrap()).unwrap();
    let images = manifest["images"].as_array().unwrap();
    images.iter().map(|image| image["built_from"].clone()).collect()
}

/// The same images get another source; at the PATCH of the body, with the tag moved, it ends, or is told to wait.
#[test]
fn a_relabelling_that_ends_after_its_tag_is_finished_without_an_image() {
    let world = over_a_set("relabel");
    world.build_all(2, Some("v0.44")).unwrap();
    let (old, recorded) = (live(&world), built_from(&world));
    assert!(recorded.as_array().unwrap().iter().all(|it| !it.is_null()), "{recorded}");
    let before = world.hub().requests().len();
    killed_at(&world, PUBLISH, 1, is_flip);
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.45"), "the tag goes first");
    time_passes(&world);
    world.tool(PUBLISH).expect(0, &["first move the tag back", "done: latest is v0.45"]);
    world.tool(&["verify"]).expect(0, &["v0.45"]);
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.45"));

    let limited = AtomicBool::new(false);
    world.hub().on_request(move |request, moment| {
        if moment == Moment::Before && is_flip(request) && !limited.swap(true, Ordering::Relaxed) {
            return Action::Fault(Fault::RateLimited { limit: Limit::Secondary, retry_after: Some(1) });
        }
        Action::Proceed
    });
    let back = ["publish", "--source", "v0.44", "--part-size", "256KiB", "--back", "--execute"];
    world.tool(&back).expect(0, &["done: latest is v0.44"]);
    world.hub().reset_faults();
    world.tool(&["verify"]).expect(0, &["v0.44"]);
    assert_eq!((live(&world), built_from(&world)), (old, recorded));
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.44"));
    let sent = world.hub().requests().split_off(before);
    assert!(!sent.iter().any(is_upload), "something was sent");
}

/// The server takes the push of the lock and is silent: it is given up, and what became of it is seen by its id.
#[test]
fn a_push_without_an_answer_is_given_up_and_looked_after() {
    let world = over_a_set("silent");
    let once = world.dir().join("once");
    world.hook("pre-receive", &format!("[ -e '{0}' ] || {{ : > '{0}'; sleep 45; }}", once.display())).unwrap();
    world.tool(PUBLISH).expect(0, &["taking the lock: attempt 1 of 5 failed", "latest is v0.45"]);
    world.tool(&["verify"]).expect(0, &["v0.45"]);
}

/// A question to git that gets no answer ends with the signal, not with git.
#[test]
fn a_git_that_says_nothing_heeds_a_signal() {
    let mut world = world("mute");
    let asked = world.dir().join("asked");
    let ssh = world.bin().join("mute-ssh");
    fs::write(&ssh, format!("#!/bin/sh\n: > '{}'\nexec sleep 600\n", asked.display())).unwrap();
    fs::set_permissions(&ssh, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    world.set("GIT_SSH_COMMAND", ssh);
    world.set("HOMESTAK_PACKER_GIT_URL", "ssh://git@example.org/homestak-dev/packer.git");
    let mut command = world.tool_command(PUBLISH);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    while !asked.exists() {
        thread::sleep(Duration::from_millis(20));
    }
    assert!(rehearsal::process::kill("TERM", &child.id().to_string()));
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(130), "{said}");
}
