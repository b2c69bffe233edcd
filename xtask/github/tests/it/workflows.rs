//! The rule for workflows: who may not change them may not release or push a commit that does.

use std::process::Output;

use github_stand_in::{Access, Token, TokenKind};
use serde_json::{Value, json};

use crate::world::{OWNER, REPO, WORKFLOW, WRITER, Who, World};

/// A world where `v0.46` has another workflow than `main`, and `v0.45` none.
fn world() -> World {
    let world = World::new();
    let work = world.path("work");
    std::fs::create_dir_all(work.join(".github/workflows")).unwrap();
    for (content, tag) in [("one", Some("v0.46")), ("two", None)] {
        std::fs::write(work.join(".github/workflows/ci.yml"), content).unwrap();
        world.git(&["add", "."]);
        world.git(&["commit", "-q", "-m", content]);
        if let Some(tag) = tag {
            world.git(&["tag", tag]);
        }
    }
    world.git(&["push", "-q", "origin", "main", "v0.46"]);
    world
}

fn push(world: &World, arguments: &[&str]) -> (bool, String) {
    let mut command = crate::world::command("git");
    command.current_dir(world.path("work")).args(["push", "--porcelain", "origin"]).args(arguments);
    let Output { status, stdout, .. } = command.output().unwrap();
    (status.success(), String::from_utf8(stdout).unwrap())
}

#[test]
fn a_target_that_changes_a_workflow_needs_the_permission() {
    let world = world();
    let create = |who: Who, target: &Value| {
        let new = json!({ "tag_name": "v0.46", "draft": true, "target_commitish": target });
        world.repo(who, "POST", "/releases", &new)
    };
    let changes = json!(world.git(&["rev-parse", "v0.46"]));
    assert_eq!(create(WRITER, &changes).status, 404);
    let refused = create(WORKFLOW, &changes);
    assert_eq!((refused.status, refused.message()), (403, "Resource not accessible by integration".into()));
    assert!(world.state().releases.is_empty());
    for allowed in [json!("v0.45"), json!("main"), json!(null)] {
        create(WRITER, &allowed).ok(201);
        create(WORKFLOW, &allowed).ok(201);
    }

    // The target that came with an earlier request counts, until another takes its place.
    let id = create(OWNER, &changes).ok(201)["id"].clone();
    let edit = |who: Who, change: &Value| world.repo(who, "PATCH", &format!("/releases/{id}"), change);
    assert_eq!(edit(WRITER, &json!({ "tag_name": "v0.46", "draft": false })).status, 404);
    assert!(world.state().published("v0.46").is_none());
    edit(WRITER, &json!({ "tag_name": "v0.46", "target_commitish": "main" })).ok(200);
    edit(WRITER, &json!({ "tag_name": "v0.46", "draft": false })).ok(200);

    let mut allowed = Token::fine_grained("wim").with(REPO, Access::Push);
    allowed.workflows = true;
    world.hub.add_token("writer-secret", allowed);
    create(WRITER, &changes).ok(201);
}

#[test]
fn a_push_that_changes_a_workflow_is_refused_with_the_reason() {
    let world = world();
    world.hub.refuse_workflow_pushes(REPO, Some(TokenKind::Actions)).unwrap();
    let (done, said) = push(&world, &["+v0.46:refs/tags/latest", "v0.45:refs/tags/other"]);
    let reason = "[remote rejected] (refusing to allow a GitHub App to create or update workflow `.github/workflows/ci.yml` \
                  without `workflows` permission)";
    assert!(!done && said.contains(reason), "{said}");
    // Each ref by itself, unless the push is atomic.
    assert_ne!(world.git(&["ls-remote", "origin", "refs/tags/other"]), "");
    let (done, said) = push(&world, &["--atomic", "v0.46:refs/tags/latest", "main:refs/packer/lock"]);
    assert!(!done && said.contains(reason) && said.matches("[remote rejected]").count() == 2, "{said}");
    assert_eq!(world.git(&["ls-remote", "origin", "refs/tags/latest", "refs/packer/lock"]), "");

    // A lease is compared as ever, and what changes no workflow passes.
    let (done, said) = push(&world, &["--atomic", "v0.45:refs/tags/latest", "main:refs/packer/lock"]);
    assert!(done, "{said}");
    let stale = format!("--force-with-lease=refs/tags/latest:{}", world.git(&["rev-parse", "main"]));
    let (done, said) = push(&world, &[&stale, "v0.44:refs/tags/latest"]);
    assert!(!done && said.contains("stale info"), "{said}");
    assert!(push(&world, &["--delete", "refs/packer/lock"]).0);

    world.hub.refuse_workflow_pushes(REPO, None).unwrap();
    assert!(push(&world, &["+v0.46:refs/tags/latest"]).0);
}
