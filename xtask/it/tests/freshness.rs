//! `scripts/ci-freshness`: the one issue that says what `latest` lacks, with the real `gh` on the stand-in for GitHub.

use std::path::Path;
use std::process::{Output, Stdio};

use github_stand_in::Issue;
use rehearsal::world::{Options, REPOSITORY, World};
use serde_json::{Value, json};

fn world(test: &str) -> World {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("freshness").join(test);
    World::new(&dir, Options::new(env!("CARGO_BIN_EXE_xtask-it"))).unwrap()
}

/// The script's answer to what check said on a day.
fn keep(world: &World, day: &str, check: &str) -> (i32, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/ci-freshness").canonicalize().unwrap();
    std::fs::write(world.dir().join("check.json"), check).unwrap();
    let mut command = world.command("bash");
    command.arg(script).env("HOMESTAK_PACKER_REPO", REPOSITORY).env("FRESHNESS_TODAY", day);
    command.current_dir(world.packer_dir()).stdin(std::fs::File::open(world.dir().join("check.json")).unwrap());
    let Output { status, stdout, stderr } = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    (status.code().unwrap(), said)
}

fn check(findings: &[(&str, &str, &str)]) -> String {
    let findings: Vec<Value> = findings
        .iter()
        .map(|(name, version, fixed)| {
            json!({ "reason": "security fixes", "name": name, "version": version, "fixed": fixed, "packages": [name] })
        })
        .collect();
    let state = if findings.is_empty() { "none" } else { "fixes" };
    let image = |name: &str, findings: &Value, state: &str| {
        json!({
            "name": name, "decision": "skip", "reason": "",
            "security": { "state": state, "reason": null, "findings": findings },
            "base_image": { "state": "same", "reason": null, "version": "20261117-2299" },
        })
    };
    let images = [image("debian-13-custom", &json!(findings), state), image("debian-12-custom", &json!([]), "none")];
    json!({ "status": "success", "images": images }).to_string()
}

fn issues(world: &World) -> Vec<Issue> {
    world.published().issues
}

#[test]
fn one_issue_is_opened_changed_and_closed() {
    let world = world("one");
    // Others' issues are nothing to it, whatever they are called.
    world.hub().seed_issue(REPOSITORY, "`latest` lacks fixes").unwrap();
    let (code, said) = keep(&world, "2026-11-02", &check(&[]));
    assert_eq!((code, said.as_str(), issues(&world).len()), (0, "`latest` lacks nothing\n", 1));

    let openssl = ("openssl", "3.5.1-1", "3.5.4-1~deb13u1");
    let (code, said) = keep(&world, "2026-11-09", &check(&[openssl]));
    assert_eq!((code, said.as_str()), (0, "opened issue 2\n"));
    let row = "| debian-13-custom | security fixes: `openssl` 3.5.1-1, now 3.5.4-1~deb13u1 | 2026-11-09 |";
    let issue = &issues(&world)[1];
    assert!(issue.body.contains(row), "{}", issue.body);
    assert!(
        issue.body.contains("gh workflow run images.yml") && issue.body.contains("images='debian-13-custom'"),
        "{}",
        issue.body
    );
    assert_eq!(issue.labels, ["stale-images"]);

    // A week later it is known since then, and there is one more.
    let (code, said) = keep(&world, "2026-11-16", &check(&[openssl, ("bash", "5.2", "5.3")]));
    assert_eq!((code, said.as_str()), (0, "changed issue 2\n"));
    let body = issues(&world)[1].body.clone();
    assert!(body.contains(row) && body.contains("`bash` 5.2, now 5.3 | 2026-11-16 |"), "{body}");
    let (_, said) = keep(&world, "2026-11-23", &check(&[openssl, ("bash", "5.2", "5.3")]));
    assert_eq!(said, "issue 2 is up to date\n");
    assert_eq!(issues(&world).len(), 2);

    // What cannot be asked is said, and what was known stays.
    let error = json!({ "status": "error", "exit_code": 3, "error": { "message": "cannot read \u{1b}[2J the archive", "fix": null } });
    let (code, said) = keep(&world, "2026-11-30", &error.to_string());
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("check could not be asked: cannot read 2J the archive"), "{said}");
    let body = issues(&world)[1].body.clone();
    assert!(body.contains("On 2026-11-30 it was not possible to ask") && body.contains(row), "{body}");
    assert!(!body.contains('\u{1b}'), "{body}");

    let (code, said) = keep(&world, "2026-12-07", &check(&[]));
    assert_eq!((code, said.as_str()), (0, "closed issue 2: `latest` lacks nothing\n"));
    let issue = &issues(&world)[1];
    assert!(!issue.is_open && issue.comments.len() == 1, "{issue:?}");
    let (_, said) = keep(&world, "2026-12-14", &check(&[]));
    assert_eq!(said, "`latest` lacks nothing\n");

    // The same one again, not another.
    let (_, said) = keep(&world, "2026-12-21", &check(&[openssl]));
    assert_eq!(said, "opened issue 2 again\n");
    assert!(issues(&world)[1].is_open && issues(&world).len() == 2);
    assert!(issues(&world)[1].body.contains("3.5.4-1~deb13u1 | 2026-12-21 |"), "{}", issues(&world)[1].body);
}

#[test]
fn what_could_not_be_asked_is_no_silence() {
    let world = world("unasked");
    for answer in
        ["", "not json", "{}", "[]", r#"{"status":"success","images":[]}"#, r#"{"status":"error","error":"no login"}"#]
    {
        let (code, said) = keep(&world, "2026-11-30", answer);
        assert_eq!(code, 3, "{answer}: {said}");
    }
    assert_eq!(issues(&world).len(), 1);
    assert!(issues(&world)[0].body.contains("> no login"), "{}", issues(&world)[0].body);

    // Nor is an image of which nobody can tell.
    let mut unknown: Value = serde_json::from_str(&check(&[])).unwrap();
    unknown["images"][0]["security"] =
        json!({ "state": "unknown", "reason": "no list of its packages", "findings": [] });
    keep(&world, "2026-11-30", &unknown.to_string());
    let body = issues(&world)[0].body.clone();
    assert!(body.contains("- debian-13-custom: no list of its packages") && issues(&world)[0].is_open, "{body}");
}

#[test]
fn names_from_outside_write_nothing_into_the_issue() {
    let world = world("hostile");
    let (code, _) = keep(&world, "2026-11-30", &check(&[("x`|<script>@all --> #1", "1\n| a |", "$(reboot)")]));
    assert_eq!(code, 0);
    let body = issues(&world)[0].body.clone();
    for text in ["<script>", "@all", "$(", "\n| a |"] {
        assert!(!body.contains(text), "{text}: {body}");
    }
    assert_eq!(body.matches("-->").count(), 1, "{body}");
}
