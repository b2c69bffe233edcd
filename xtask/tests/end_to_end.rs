//! The whole phase as `cargo xtask packer rehearse` runs it: check, build and fetch, split, checksum, publish, verify, and
//! what a reader then downloads, with the installed `gh` and with the newest one.
#![allow(clippy::disallowed_methods, reason = "tests start the tool")]

use std::process::Command;

use serde_json::Value;

fn rehearse(args: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask")).args(["packer", "rehearse", "--json"]).args(args).output();
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
        for suffix in ["partaa", "partab", "sha256"] {
            assert!(assets.contains_key(&format!("{name}.qcow2.{suffix}")), "{name} {suffix}: {assets:?}");
        }
    }
    assert!(assets.contains_key("packer-images.json"), "{assets:?}");
    assert_eq!(assets.len(), 10, "{assets:?}");
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
