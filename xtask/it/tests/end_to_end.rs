//! The whole phase as `cargo xtask packer rehearse` runs it: check, build and fetch, split, checksum, publish, verify, and
//! what a reader then downloads, with the installed `gh` and with the newest one.
#![allow(clippy::disallowed_methods, reason = "tests start the tool")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// The tool as `cargo xtask` starts it: it finds the stand-ins beside the package that cargo names.
fn tool() -> Command {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_xtask-it"));
    tool.env("CARGO_MANIFEST_DIR", Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap());
    tool
}

fn rehearse(args: &[&str]) -> Value {
    let output = tool().args(["packer", "rehearse", "--json"]).args(args).output();
    let output = output.unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
}

fn assert_published(report: &Value) {
    assert_eq!(report["status"], "success");
    let stages: Vec<&str> =
        report["stages"].as_array().unwrap().iter().map(|stage| stage["command"].as_str().unwrap()).collect();
    let begins = [
        "cargo xtask packer check",
        "cargo xtask packer build-and-fetch --host builder --sync",
        "cargo xtask packer split",
        "cargo xtask packer checksum --verify",
        "cargo xtask packer publish --source v0.45",
        "cargo xtask packer verify",
        "gh release download latest",
        "cd downloaded && for first in *.partaa",
        "cd downloaded && sha256sum -c",
        "cargo xtask packer check",
        "echo true >> packer/shared/scripts/update.sh",
        "cargo xtask packer check",
    ];
    assert_eq!(stages.len(), begins.len(), "{stages:?}");
    for (stage, begin) in stages.iter().zip(begins) {
        assert!(stage.starts_with(begin), "{stage}");
    }
    assert_eq!((&report["before"]["source"], &report["after"]["source"]), (&"v0.44".into(), &"v0.45".into()));
    let assets = report["after"]["assets"].as_object().unwrap();
    for name in ["debian-12-custom", "debian-13-custom", "debian-13-pve"] {
        for suffix in ["qcow2.partaa", "qcow2.partab", "qcow2.sha256", "cdx.json", "files.gz"] {
            assert!(assets.contains_key(&format!("{name}.{suffix}")), "{name} {suffix}: {assets:?}");
        }
    }
    assert!(assets.contains_key("packer-images.json"), "{assets:?}");
    assert_eq!(assets.len(), 18, "{assets:?}");
}

#[test]
fn the_phase_runs_with_the_installed_gh() {
    assert_published(&rehearse(&[]));
}

#[test]
fn the_phase_runs_with_the_newest_gh() {
    let Some(gh) = std::env::var_os("GH_NEWEST").filter(|gh| !gh.is_empty()) else {
        eprintln!("skipped: GH_NEWEST names no gh; `GH_NEWEST=$(scripts/newest-gh)` fetches the newest");
        return;
    };
    assert_published(&rehearse(&["--gh", gh.to_str().unwrap()]));
}

#[test]
fn a_gh_that_is_none_is_refused() {
    for (gh, says) in
        [("/nosuch", "--gh /nosuch can't be found"), ("/etc/passwd", "is not a program"), ("/", "is not a program")]
    {
        let args = ["packer", "rehearse", "--json", "--gh", gh];
        let output = tool().args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(says), "{output:?}");
    }
}

#[test]
fn an_interrupted_rehearsal_leaves_nothing() {
    let temporary = std::env::temp_dir().join(format!("interrupted-rehearsal-{}", std::process::id()));
    fs::create_dir_all(&temporary).unwrap();
    let mut child = tool()
        .args(["packer", "rehearse"])
        .env("TMPDIR", &temporary)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let begun = lines.by_ref().map_while(Result::ok).any(|line| line.contains("build and fetch"));
    assert!(begun, "it ended before: {:?}", child.wait_with_output());
    // Ctrl-C on a terminal reaches all of its foreground.
    let group = format!("-{}", child.id());
    assert!(Command::new("kill").args(["-INT", "--", &group]).status().unwrap().success());
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{rest:?} {output:?}");
    let left: Vec<_> = fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?} {output:?}");
    fs::remove_dir(&temporary).unwrap();
}
