//! What the tool carries with it, so that `xtask/{Cargo.toml,src,assets}` is all of it, is what `packer/` has.

#![allow(clippy::disallowed_methods, reason = "tests start the script")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn each_asset_is_the_file_of_the_packer_directory() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let assets = top.join("xtask/assets");
    let mut read = 0;
    for asset in fs::read_dir(&assets).unwrap().map(|entry| entry.unwrap().path()) {
        let name = asset.file_name().unwrap();
        let original = ["packer", "packer/lib", "."].map(|folder| top.join(folder).join(name));
        let original = original
            .iter()
            .find(|path| path.exists())
            .unwrap_or_else(|| panic!("{name:?} is neither in packer/ nor at the top"));
        let same = fs::read(&asset).unwrap() == fs::read(original).unwrap();
        assert!(same, "they differ: cp {} {}", original.display(), assets.display());
        read += 1;
    }
    assert!(read >= 2, "{read}");
}

/// xtask inherits nothing from the workspace, and must not differ from the other packages for that.
#[test]
fn the_package_says_itself_what_the_workspace_says() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let lines = |file: &str, begin: &str| -> Vec<String> {
        let text = fs::read_to_string(top.join(file)).unwrap().replace("[workspace.", "[");
        let (_, section) = text.split_once(begin).unwrap_or_else(|| panic!("no {begin} in {file}"));
        let section = section.split("\n[").next().unwrap();
        let set = section.lines().filter(|line| line.contains(" = ") && !line.starts_with('#'));
        set.map(str::to_owned).collect()
    };
    for section in ["[lints.rust]", "[lints.clippy]"] {
        assert_eq!(lines("xtask/Cargo.toml", section), lines("Cargo.toml", section), "{section}");
    }
    let own = lines("xtask/Cargo.toml", "[package]");
    for line in lines("Cargo.toml", "[package]") {
        assert!(own.contains(&line), "no {line} in {own:?}");
    }
}

/// The script as it lies on a release, run by somebody who has nothing else: what it asks for.
#[test]
fn the_script_on_a_release_reads_from_that_release() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readers");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(dir.join("bin")).unwrap();
    let curl = format!("#!/bin/sh\n{{ echo \"$@\"; cat; }} >>'{}'\nexit 6\n", dir.join("asked").display());
    fs::write(dir.join("bin/curl"), curl).unwrap();
    fs::set_permissions(dir.join("bin/curl"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", dir.join("bin").display(), std::env::var("PATH").unwrap());
    for (repo, url) in [
        ("homestak-dev/packer", "https://github.com/homestak-dev/packer/"),
        ("homestak-iac/packer", "https://github.com/homestak-iac/packer/"),
        ("me/my.images", "https://github.com/me/my.images/"),
        ("ghe.example/team/packer", "https://ghe.example/team/packer/"),
    ] {
        let script = dir.join("get-images.sh");
        fs::write(&script, xtask::latest::files::reader(&repo.parse().unwrap()).bytes).unwrap();
        let run = |words: &[&str]| {
            let mut run = Command::new("sh");
            run.arg(&script).args(words).current_dir(&dir).env("PATH", &path).env("HOME", &dir);
            run.env_remove("HOMESTAK_PACKER_REPO").stdin(Stdio::null()).output().unwrap()
        };
        let _ = fs::remove_file(dir.join("asked"));
        assert!(!run(&["debian-13-custom"]).status.success());
        let asked = fs::read_to_string(dir.join("asked")).unwrap();
        assert!(asked.contains(url), "{repo}: {asked}");
        let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
        let name = repo.rsplitn(3, '/').take(2).collect::<Vec<_>>();
        assert!(help.contains(&format!("{}/{}", name[1], name[0])), "{help}");
    }
}
