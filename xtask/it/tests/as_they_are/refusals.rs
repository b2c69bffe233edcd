//! Pushes that are not let in, and what the other side says of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use github_stand_in::TokenKind;

use super::{PUBLISH, ROLLBACK, by_hand, live, sends, sends_nothing, verify_and_roll_back, verify_and_roll_back_from};

#[test]
fn a_server_that_takes_no_lock_is_told_before_a_byte_is_sent() {
    let (world, old) = by_hand("no-lock");
    let remote = format!("--git-dir={}", world.remote().display());
    world.git(&[&remote, "config", "receive.hideRefs", "refs/packer"]).unwrap();
    for verb in [PUBLISH, &["publish", "--source", "v0.44", "--allow-stale", "--execute"]] {
        sends_nothing(&world, verb).expect(3, &["refuses the push to refs/packer/lock", "hidden ref"]);
    }
    world.git(&[&remote, "config", "--unset", "receive.hideRefs"]).unwrap();
    world.hook("pre-receive", "echo 'no pushes from here on Fridays' >&2; exit 1").unwrap();
    sends_nothing(&world, PUBLISH).expect(3, &["no pushes from here on Fridays"]);
    fs::remove_file(world.remote().join("hooks/pre-receive")).unwrap();
    assert_eq!(live(&world), old);
    world.tool(PUBLISH).expect(0, &[]);
    verify_and_roll_back(&world, old);
}

#[test]
fn what_a_rule_says_of_the_tag_reaches_the_person() {
    let (world, old) = by_hand("rule");
    let rule =
        "case $1 in refs/tags/*) echo 'GH013: Repository rule violations found: the council of tags' >&2; exit 1; esac";
    world.hook("update", rule).unwrap();
    let before = world.remote_commit("latest");
    world.tool(PUBLISH).expect(1, &["refuses the push to the tag `latest`", "the council of tags", "Settings, Rules"]);
    assert_eq!((live(&world), world.remote_commit("latest")), (old, before));
    world.tool(&["verify", "--no-local"]).expect(0, &["ok:"]);
    assert_eq!(world.git(&["ls-remote", "origin", "refs/packer/*"]).unwrap(), "", "the lock is given back");

    // What went up stays, and isn't sent again.
    fs::remove_file(world.remote().join("hooks/update")).unwrap();
    let before = world.hub().requests().len();
    world.tool(PUBLISH).expect(0, &["done: latest is v0.45 now"]);
    let again = world.hub().requests()[before..].iter().filter(|it| sends(it)).count();
    assert_eq!(again, 0);
    verify_and_roll_back(&world, old);
}

/// The source has another workflow than the default branch, and the token may not bring one in.
#[test]
fn a_push_without_the_workflow_scope_says_so() {
    let (world, old) = by_hand("workflow");
    let workflow = world.packer_dir().join(".github/workflows/ci.yml");
    fs::create_dir_all(workflow.parent().unwrap()).unwrap();
    let commit = |text: &str| {
        fs::write(&workflow, text).unwrap();
        world.git(&["add", ".github"]).unwrap();
        world.git(&["commit", "--quiet", "--message", text]).unwrap();
    };
    commit("one");
    world.git(&["tag", "v0.46"]).unwrap();
    commit("two");
    world.git(&["push", "--quiet", "origin", "v0.46", "HEAD:main"]).unwrap();
    world.build_all(3, Some("v0.46")).unwrap();
    let publish = ["publish", "--source", "v0.46", "--execute"];
    for kind in [TokenKind::Actions, TokenKind::Classic] {
        world.hub().refuse_workflow_pushes("homestak-dev/packer", Some(kind)).unwrap();
        world.tool(&publish).expect(1, &["refusing to allow", "workflow", "gh auth refresh --scopes workflow"]);
        assert_eq!(live(&world), old);
        world.tool(&["verify", "--images", "/nonexistent"]).expect(0, &["ok:"]);
    }
    world.hub().refuse_workflow_pushes("homestak-dev/packer", None).unwrap();
    world.tool(&publish).expect(0, &["done: latest is v0.46 now"]);
    verify_and_roll_back_from(&world, "v0.46", old);
}

/// Settings of the clone that reach its own pushes don't reach these.
#[test]
fn signing_mirrors_and_hooks_of_the_clone_have_no_say() {
    let (world, old) = by_hand("clone");
    for (name, value) in [
        ("push.gpgSign", "true"),
        ("tag.gpgSign", "true"),
        ("remote.origin.mirror", "true"),
        ("push.followTags", "true"),
        ("push.default", "nothing"),
        ("push.recurseSubmodules", "only"),
        ("core.hooksPath", "/nonexistent"),
    ] {
        world.git(&["config", name, value]).unwrap();
    }
    let refusing = world.packer_dir().join(".git/hooks/pre-push");
    fs::create_dir_all(refusing.parent().unwrap()).unwrap();
    fs::write(&refusing, "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(&refusing, fs::Permissions::from_mode(0o755)).unwrap();
    world.tool(PUBLISH).expect(0, &["done: latest is v0.45 now"]);
    world.tool(ROLLBACK).expect(0, &[]);
    assert_eq!(live(&world), old);
}
