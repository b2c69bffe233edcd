//! The lock where it isn't as the tool left it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use github_stand_in::{Action, Moment};

use super::{PUBLISH, changed, live, lock_of, over_a_set, world};

#[test]
fn a_lock_of_somebody_else_is_named_with_its_cure() {
    let world = world("foreign");
    let blob = world.git(&["hash-object", "-w", "README.md"]).unwrap();
    // No note of ours, no JSON, no commit at all.
    let json = world.git(&["commit-tree", "-m", "{\"verb\": 5}", "HEAD^{tree}"]).unwrap();
    let plain = world.git(&["rev-parse", "v0.43^{commit}"]).unwrap();
    for object in [&json, &plain, &blob] {
        world.git(&["push", "--quiet", "--force", "origin", &format!("{object}:refs/packer/lock")]).unwrap();
        let before = world.hub().requests().len();
        world.tool(PUBLISH).expect(3, &["refs/packer/lock", object, "is not a lock of this tool", "--take-over"]);
        assert!(!changed(&world.hub().requests()[before..]));
        assert_eq!(lock_of(&world), **object, "it was touched");
        world.tool(&["status"]).expect(0, &[object, "--take-over"]);
    }
    world
        .tool(&[PUBLISH, &["--take-over"]].concat())
        .expect(0, &["replacing the lock of another run", "latest is v0.45"]);
    assert_eq!(lock_of(&world), "");
}

#[test]
fn a_repository_that_takes_no_lock_says_so_before_anything_is_sent() {
    let world = over_a_set("refused");
    world
        .hook("update", "case $1 in refs/packer/*) echo 'only branches and tags are welcome here' >&2; exit 1;; esac")
        .unwrap();
    let before = world.hub().requests().len();
    world.tool(PUBLISH).expect(3, &["refs/packer/lock", "only branches and tags are welcome here"]);
    assert!(!changed(&world.hub().requests()[before..]));
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.44"));
}

/// `git push --mirror` from another clone deletes what that one doesn't have.
#[test]
fn a_lock_that_somebody_deletes_stops_its_holder_and_nothing_is_lost() {
    let world = over_a_set("deleted");
    let old = live(&world);
    let (rival, deleted) = (Arc::new(world.another_machine("rival").unwrap()), AtomicBool::new(false));
    world.hub().on_request(move |request, moment| {
        let upload = moment == Moment::Before && request.host.starts_with("uploads");
        if upload && !deleted.swap(true, Ordering::Relaxed) {
            rival.git(&["fetch", "--quiet", "origin", "+refs/tags/latest:refs/tags/latest"]).unwrap();
            rival.git(&["push", "--quiet", "--mirror", "origin"]).unwrap();
        }
        Action::Proceed
    });
    world.tool(PUBLISH).expect(1, &["it no longer has the lock", "somebody deleted it", "run the same command again"]);
    world.hub().reset_faults();
    assert_eq!(live(&world), old);
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.44"));
    assert_eq!(lock_of(&world), "");
    // What lies on the draft is kept.
    world.tool(&[PUBLISH, &["--verbose"]].concat()).expect(0, &["keep", "latest is v0.45"]);
    world.tool(&["verify"]).expect(0, &["v0.45"]);
}
