//! Help, version, and which options each verb takes.
#![allow(clippy::disallowed_methods, reason = "tests start the tool")]

use std::process::Command;

/// The exit code, and what it said on both ways.
fn run(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask-it")).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said)
}

#[track_caller]
fn help(args: &[&str]) -> String {
    let (code, said) = run(args);
    assert_eq!(code, Some(0), "{args:?}: {said}");
    said
}

/// Each verb, and the common options that do something in it.
const VERBS: [(&str, &[&str]); 14] = [
    ("release", &["--packer-dir", "--images", "--repo", "--remote", "--git-url", "--json", "--verbose"]),
    ("rehearse", &["--packer-dir", "--json"]),
    ("check", &["--packer-dir", "--images", "--repo", "--remote", "--git-url", "--json", "--verbose"]),
    ("diff", &["--packer-dir", "--images", "--repo", "--remote", "--git-url", "--json", "--verbose"]),
    ("status", &["--packer-dir", "--images", "--repo", "--remote", "--git-url", "--json", "--verbose"]),
    ("document", &["--packer-dir", "--images", "--repo", "--remote", "--git-url", "--json", "--verbose"]),
    ("build-and-fetch", &["--packer-dir", "--images", "--remote", "--json"]),
    ("split", &["--packer-dir", "--images", "--json", "--verbose"]),
    ("checksum", &["--packer-dir", "--images", "--json", "--verbose"]),
    ("publish", &["--packer-dir", "--images", "--repo", "--remote", "--git-url", "--json", "--verbose"]),
    ("verify", &["--packer-dir", "--images", "--repo", "--remote", "--git-url", "--json", "--verbose"]),
    ("download", &["--packer-dir", "--images", "--repo", "--remote", "--json", "--verbose"]),
    ("doctor", &["--packer-dir", "--images", "--repo", "--remote", "--git-url", "--json", "--verbose"]),
    ("rollback", &["--packer-dir", "--repo", "--remote", "--git-url", "--json", "--verbose"]),
];

const COMMON: [&str; 7] = ["--packer-dir", "--images", "--repo", "--remote", "--git-url", "--json", "--verbose"];

#[test]
fn the_verbs_stand_in_groups() {
    let said = help(&["packer", "--help"]);
    let mut rest = said.as_str();
    for word in
        ["release", "rehearse", "Decide:", "check", "Build:", "build-and-fetch", "Publish:", "publish", "verify"]
            .into_iter()
            .chain(["Repair:", "doctor", "rollback", "Options:"])
    {
        let at = rest.find(word).unwrap_or_else(|| panic!("no {word} in its place: {said}"));
        rest = &rest[at..];
    }
    for (verb, _) in VERBS {
        assert!(said.contains(&format!("\n  {verb} ")), "{verb}: {said}");
    }
    assert_eq!(help(&["packer", "help"]), said);
    assert_eq!(run(&["packer"]), (Some(2), said));
}

#[test]
fn each_verb_tells_about_itself_with_examples() {
    for (verb, _) in VERBS {
        let said = help(&["packer", verb, "--help"]);
        assert_eq!(help(&["packer", "help", verb]), said, "{verb}");
        let (_, examples) = said.split_once("\nExamples:\n").unwrap_or_else(|| panic!("{verb}: {said}"));
        let lines = examples.lines().filter(|line| line.starts_with(&format!("  cargo xtask packer {verb}"))).count();
        assert!((2..=3).contains(&lines), "{verb}: {examples}");
        for line in said.lines() {
            assert!(line.chars().count() <= 80, "{verb}: {line}");
        }
    }
    assert!(help(&["packer", "publish", "-h"]).contains("Examples:"));
    assert_eq!(help(&["packer", "help", "build"]), help(&["packer", "build-and-fetch", "--help"]));
    assert_eq!(run(&["packer", "help", "nosuch"]).0, Some(2));
}

#[test]
fn options_are_taken_where_they_do_something() {
    for (verb, takes) in VERBS {
        let said = help(&["packer", verb, "-h"]);
        for option in COMMON {
            let listed = said.lines().any(|line| line.split_whitespace().next() == Some(option));
            assert_eq!(listed, takes.contains(&option), "{verb} {option}: {said}");
            if !listed {
                let value = if matches!(option, "--json" | "--verbose") { vec![option] } else { vec![option, "a/b"] };
                let (code, said) = run(&[&["packer", verb][..], &value].concat());
                assert_eq!(code, Some(2), "{verb} {option}: {said}");
                assert!(said.contains(&format!("'{option}'")), "{verb} {option}: {said}");
            }
        }
    }
}

#[test]
fn the_version_names_the_commit() {
    let number = env!("CARGO_PKG_VERSION");
    let said = help(&["packer", "--version"]);
    assert!(said.starts_with(&format!("cargo xtask {number} (")), "{said}");
    assert_eq!(help(&["--version"]), said);
    let git = |args: &[&str]| {
        let output = Command::new("git").arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let head = git(&["rev-parse", "HEAD"]);
    if head.is_empty() {
        eprintln!("skipped: these sources are in no git repository with a commit");
        return;
    }
    assert!(said.contains(&head[..9]), "{said}");
    let dirty = !git(&["status", "--porcelain", "--untracked-files=no"]).is_empty();
    assert_eq!(said.contains("uncommitted"), dirty, "{said}");
}

/// Typing mistakes, each with what the answer must name. None of them reaches the network.
#[test]
fn a_typing_mistake_is_answered_with_what_was_meant() {
    for (words, meant) in [
        (&["help", "publsh"][..], "'publish'"),
        (&["publsh"], "'publish'"),
        (&["check", "--exit-cod"], "'--exit-code'"),
        (&["document", "--release", "v0.45", "--issue", "abc"], "the number of an issue, such as 123"),
        (&["diff", "v0.44", "v0.45"], "cargo xtask packer diff --from v0.44 --to v0.45"),
        (&["diff", "v0.44"], "cargo xtask packer diff --from v0.44"),
    ] {
        let (code, said) = run(&[&["packer"], words].concat());
        assert_eq!(code, Some(2), "{words:?}: {said}");
        assert!(said.contains(meant), "{words:?}: {said}");
    }
}

#[test]
fn the_environment_makes_no_option_required() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask-it"));
    command.args(["packer", "publish"]).env("HOMESTAK_PACKER_GIT_URL", "/srv/a").env("HOMESTAK_PACKER_REPO", "me/a");
    let said = String::from_utf8(command.output().unwrap().stderr).unwrap();
    assert!(said.contains("--source <TAG>") && !said.contains("--git-url") && !said.contains("--repo"), "{said}");
}
