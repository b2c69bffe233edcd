//! What a person and a program read.

use super::repo::Repo;

/// The answer with ids and dates taken out.
fn shown(repo: &Repo, args: &[&str]) -> String {
    let mut text = repo.check(args).expect(0, &[]).out;
    for commit in repo.git(&["log", "--all", "--format=%H"]).lines() {
        text = text.replace(&commit[..9], "COMMIT");
    }
    let date = repo.git(&["log", "-1", "--format=%as"]);
    text.replace(&date, "DATE")
}

#[test]
fn the_decision_comes_first_then_images_then_files() {
    let repo = Repo::new("output");
    assert_eq!(
        shown(&repo, &["--base", "v0.1"]),
        "skip: No template changes detected since --base v0.1 (COMMIT)\n  \
         debian-12  skip     unchanged since v0.1\n  \
         pve        skip     unchanged since v0.1\n"
    );
    repo.append("templates/pve/cleanup.sh", "true\n");
    repo.append("build.sh", "true\n");
    repo.append("shared/scripts/update.sh", "# more\n");
    repo.commit("Clean more");
    repo.write("templates/pve/new", "x\n");
    assert_eq!(
        shown(&repo, &["--base", "v0.1"]),
        "rebuild: 1 of 2 images, compared with --base v0.1 (COMMIT)\n  \
         debian-12  skip     unchanged but for comments since v0.1\n  \
         pve        rebuild  2 inputs differ since v0.1, the first: templates/pve/cleanup.sh changed\n\
         changed inputs:\n  \
         templates/pve/cleanup.sh changed [pve] — COMMIT DATE Ann Author: Clean more\n  \
         templates/pve/new added, uncommitted [pve]\n\
         review (build scripts changed; check whether the change affects the images):\n  \
         build.sh changed — COMMIT DATE Ann Author: Clean more\n\
         changed only in comments or blank lines, ignored:\n  \
         shared/scripts/update.sh changed — COMMIT DATE Ann Author: Clean more\n"
    );
}

#[test]
fn what_a_commit_says_is_shown_and_not_obeyed() {
    let repo = Repo::new("output-escapes");
    repo.append("templates/pve/cleanup.sh", "true\n");
    repo.write("templates/pve/\u{1b}[2J\u{202e}", "x\n");
    repo.write("templates/pve/a\n    shared/forged.sh", "x\n");
    repo.git(&["config", "user.name", "Ann \u{9b}31m"]);
    repo.commit("Clean \u{1b}]0;title\u{7} more\u{202e}");
    for args in [&["--base", "v0.1"][..], &["--base", "v0.1", "--json"], &["--base", "v0.1", "--verbose"]] {
        let ran = repo.check(args);
        let all = format!("{}{}", ran.out, ran.err);
        for c in ['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}'] {
            assert!(!all.contains(c), "{args:?}: {all:?}");
        }
        assert!(all.contains("0;title"), "{all:?}");
        // One line stays one line.
        assert!(
            all.contains("forged") && !all.lines().any(|line| line.trim_start().starts_with("shared/forged")),
            "{all}"
        );
        if args.contains(&"--json") {
            let text = ran.json().to_string();
            assert!(text.contains("Clean \\u001b]0;title"), "{text}");
        }
        ran.expect(0, &[]);
    }
}

#[test]
fn json_is_one_object_and_text_goes_to_standard_error() {
    let repo = Repo::new("output-json");
    repo.append("templates/pve/cleanup.sh", "true\n");
    let commit = repo.commit("Clean more");
    let base = repo.git(&["rev-parse", "v0.1"]);
    let ran = repo.check(&["--base", "v0.1", "--json", "--exit-code"]).expect(10, &[]);
    assert!(ran.err.starts_with("rebuild: 1 of 2 images"), "{}", ran.err);
    let json = ran.json();
    assert_eq!(json["status"], "success");
    assert_eq!((&json["decision"], &json["baseline"]["commit"]), (&"rebuild".into(), &base.as_str().into()));
    let pve = &json["images"][1];
    assert_eq!(
        (&pve["name"], &pve["decision"], &pve["baseline"]["kind"]),
        (&"pve".into(), &"rebuild".into(), &"base".into())
    );
    assert_eq!(pve["reason"], "templates/pve/cleanup.sh changed");
    assert_eq!(pve["changes"][0]["last_commit"]["commit"], commit);
    let failed = repo.check(&["--base", "v9", "--json"]).expect(3, &[]).json();
    assert_eq!((&failed["status"], &failed["exit_code"]), (&"error".into(), &3.into()));
    assert!(failed["error"]["message"].as_str().unwrap().contains("no revision `v9`"), "{failed}");
}

#[test]
fn names_narrow_the_decision() {
    let repo = Repo::new("output-names");
    repo.append("templates/pve/cleanup.sh", "true\n");
    repo.check(&["--base", "v0.1", "--exit-code", "debian-12"]).expect(0, &["skip: No template changes detected"]);
    repo.check(&["--base", "v0.1", "--exit-code", "pve.qcow2"]).expect(10, &["rebuild: 1 of 1 image,"]);
    repo.check(&["--base", "v0.1", "pvee"]).expect(2, &["unknown image `pvee`; did you mean `pve`?", "debian-12, pve"]);
    repo.check(&["--base=--exec=x"]).expect(3, &["no revision"]);
}
