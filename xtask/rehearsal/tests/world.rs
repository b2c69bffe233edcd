//! A world is what it says it is, seen through the real `gh`, `git` and `qemu-img`.

use std::path::{Path, PathBuf};

use rehearsal::world::{IMAGES, Options, REPOSITORY, World};

fn world(test: &str) -> World {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("world-{test}"));
    World::new(&dir, Options::new(PathBuf::from("/bin/echo"))).unwrap()
}

#[test]
fn tags_stand_on_three_commits_of_the_remote() {
    let world = world("tags");
    let commits: Vec<String> = ["v0.43", "v0.44", "v0.45"].map(|tag| world.remote_commit(tag)).into();
    assert!(commits.iter().all(|commit| commit.len() == 40), "{commits:?}");
    assert_eq!(commits[2], world.remote_commit("main"));
    assert_eq!(world.git(&["rev-parse", "HEAD"]).unwrap(), commits[2]);
    assert_eq!(world.git(&["diff", "--name-only", "v0.43", "v0.44"]).unwrap(), "README.md");
    assert_eq!(world.git(&["diff", "--name-only", "v0.44", "v0.45"]).unwrap(), "templates/debian-12-custom/cleanup.sh");
    assert_eq!(world.git(&["status", "--porcelain"]).unwrap(), "");
}

#[test]
fn gh_reaches_the_stand_in_and_may_push() {
    let world = world("gh");
    let query = format!("repos/{REPOSITORY}");
    let ran = world.gh(&["api", &query, "--jq", ".permissions.push"]).unwrap();
    assert_eq!(ran.text(), "true");
}

#[test]
fn images_are_real_and_publishing_by_hand_shows_them() {
    let world = world("images");
    world.build_all(1, Some("v0.44")).unwrap();
    let id = world.publish_by_hand("v0.44").unwrap();
    let published = world.published();
    let latest = published.published("latest").unwrap();
    assert_eq!((latest.id, latest.assets.len()), (id, 2 * IMAGES.len()));
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.44"));
    for name in IMAGES {
        let dir = world.images().join(name);
        let mut check = world.command("sh");
        let script = "sha256sum --quiet -c \"$1.qcow2.sha256\" && qemu-img check -q \"$1.qcow2\"";
        let output = check.args(["-c", script, "sh", name]).current_dir(dir).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn another_machine_has_a_clone_and_no_images() {
    let world = world("machines");
    world.build_all(1, None).unwrap();
    let other = world.another_machine("other").unwrap();
    assert_eq!(other.git(&["rev-parse", "v0.45^{commit}"]).unwrap(), world.remote_commit("v0.45"));
    assert!(world.images().is_dir() && !other.images().exists());
}
