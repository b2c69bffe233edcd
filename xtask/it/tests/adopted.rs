//! The tool in repositories of upstream's shape: found from wherever a person stands, with an engine and templates as they are
//! there, from the first check to what a reader fetches.
#![allow(clippy::disallowed_methods, reason = "tests start the tool and git")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use github_stand_in::SeedRelease;
use rehearsal::host::Network;
use rehearsal::process::Ran;
use rehearsal::world::{Options, REPOSITORY, World};
use serde_json::Value;

const NAMES: [&str; 3] = ["debian-12", "debian-13", "pve-9"];

/// A template with what upstream's have: a download from the guest, scripts that are shared, a base image by a plain URL.
fn template(name: &str, mirror: &Path) -> String {
    let mirror = mirror.display();
    format!(
        r#"variable "ssh_private_key_file" {{
  type    = string
  default = "~/.ssh/id_ed25519"
}}

source "qemu" "guest" {{
  iso_url          = "https://mirror.invalid/{name}.qcow2"
  iso_checksum     = "file:{mirror}/SHA512SUMS"
  iso_target_path  = "cache/{name}.qcow2"
  output_directory = "images/{name}"
  accelerator      = "kvm"
  cd_content = {{
    "meta-data" = file("../../shared/cloud-init/meta-data")
  }}
}}

build {{
  sources = ["source.qemu.guest"]

  provisioner "shell" {{
    script = "${{path.root}}/../../shared/scripts/versions.sh"
  }}

  # For the build script.
  provisioner "file" {{
    source      = "/tmp/image-version.txt"
    destination = "${{path.root}}/../../images/{name}/image-version.txt"
    direction   = "download"
  }}

  provisioner "shell" {{
    script = "${{path.root}}/cleanup.sh"
  }}
}}
"#
    )
}

/// What upstream publishes as base images: their digests begin so.
fn publish_base_images(mirror: &Path, digits: [&str; 3]) {
    fs::create_dir_all(mirror).unwrap();
    let lines = NAMES.iter().zip(digits).map(|(name, digit)| format!("{}  {name}.qcow2\n", digit.repeat(128)));
    fs::write(mirror.join("SHA512SUMS"), lines.collect::<String>()).unwrap();
}

/// A packer repository of that shape, with an engine that is called `build` and keeps a cache of its own.
fn packer_repository(dir: &Path) {
    for name in NAMES {
        let folder = dir.join("templates").join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("template.pkr.hcl"), template(name, &dir.with_extension("mirror"))).unwrap();
        fs::write(folder.join("cleanup.sh"), "#!/bin/bash\nset -e\n").unwrap();
    }
    for (path, text) in [
        ("shared/cloud-init/meta-data", "instance-id: packer\n"),
        ("shared/scripts/versions.sh", "#!/bin/bash\n"),
        ("test/build.bats", "#!/usr/bin/env bats\n"),
        (".gitignore", "images/\nlogs/\ncache/\n*.log\n"),
    ] {
        fs::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
        fs::write(dir.join(path), text).unwrap();
    }
    let smallest: String = rehearsal::image::smallest().iter().map(|byte| format!("\\{byte:03o}")).collect();
    let engine = include_str!("build_and_fetch/engines/newer").replace("@SMALLEST@", &smallest);
    let engine = engine.replace(r#"eval "${BEFORE-}""#, r#"echo "DEBIAN_VERSION=13.4" >"$dir/image-version.txt""#);
    fs::write(dir.join("build"), engine).unwrap();
    fs::set_permissions(dir.join("build"), fs::Permissions::from_mode(0o755)).unwrap();
}

fn git(dir: &Path, args: &[&str]) {
    let mut git = Command::new("git");
    git.arg("-C").arg(dir).args(["-c", "user.name=x", "-c", "user.email=x@example.org"]).args(args);
    let output = git.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// `scripts/adopt`, and what `git status` then has.
fn adopt(dir: &Path) -> Vec<String> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let output = Command::new(top.join("scripts/adopt")).arg(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = Command::new("git").arg("-C").arg(dir).args(["status", "--porcelain"]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// The meta repository beside a packer repository of upstream's newest layout.
struct Upstream {
    world: World,
    network: Network,
    meta: PathBuf,
    mirror: PathBuf,
}

impl Upstream {
    fn new(test: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("adopted").join(test);
        let packer = dir.with_extension("packer");
        let _ = fs::remove_dir_all(&packer);
        packer_repository(&packer);
        let mirror = packer.with_extension("mirror");
        publish_base_images(&mirror, ["a", "b", "c"]);
        let templates = NAMES.map(str::to_owned).to_vec();
        let options = Options { templates, packer_dir: Some(packer), ..Options::new(env!("CARGO_BIN_EXE_xtask-it")) };
        let mut world = World::new(&dir, options).unwrap();
        world.git(&["update-index", "--chmod=+x", "build"]).unwrap();
        let meta = world.dir().join("dev/meta");
        fs::create_dir_all(world.dir().join("iac")).unwrap();
        symlink("../packer", world.dir().join("iac/packer")).unwrap();
        fs::create_dir_all(&meta).unwrap();
        git(&meta, &["init", "--quiet"]);
        let network =
            Network::create(&std::env::temp_dir().join(format!("adopted-{}-{test}", std::process::id()))).unwrap();
        world.first_on_path(&network.bin()).unwrap();
        world.set("CARGO_MANIFEST_DIR", meta.join("xtask"));
        Self { world, network, meta, mirror }
    }

    /// As `cargo xtask packer` in a folder of the meta repository.
    #[track_caller]
    fn tool_in(&self, folder: &str, words: &[&str]) -> Ran {
        let mut tool = self.world.tool_command(words);
        let output = tool.current_dir(self.meta.join(folder)).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let ran = Ran {
            command: words.join(" "),
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        rehearsal::form::check(words, ran.code, &ran.stdout, &ran.stderr);
        ran
    }

    #[track_caller]
    fn tool(&self, words: &[&str]) -> Ran {
        self.tool_in(".", words)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.network.bin().parent().unwrap());
    }
}

#[test]
fn the_phase_in_upstreams_newest_layout() {
    let mut upstream = Upstream::new("phase");
    let status = adopt(&upstream.meta);
    assert!(status.len() <= 8 && status.contains(&"?? xtask/".to_owned()), "{status:?}");
    let host = upstream.network.host("srv1").unwrap();
    let home = host.packer_dir().parent().unwrap().to_owned();
    fs::remove_dir_all(host.packer_dir()).unwrap();
    fs::create_dir_all(home.join("iac")).unwrap();
    let remote = upstream.world.remote();
    git(&home, &["clone", "--quiet", remote.to_str().unwrap(), home.join("iac/packer").to_str().unwrap()]);
    // What the engine calls is not on every machine that runs this.
    let bin = home.join("bin");
    fs::create_dir_all(&bin).unwrap();
    for tool in ["packer", "qemu-img", "qemu-system-x86_64", "xorriso"] {
        fs::write(bin.join(tool), "#!/bin/sh\necho 1.11.2\n").unwrap();
        fs::set_permissions(bin.join(tool), fs::Permissions::from_mode(0o755)).unwrap();
    }
    host.at_login(&format!("PATH='{}':$PATH", bin.display())).unwrap();
    upstream.world.set("HOMESTAK_BUILD_HOST", "srv1");
    upstream.world.hub().seed_release(REPOSITORY, SeedRelease::draft("v0.45").body("What is new.")).unwrap();

    upstream.tool(&["check"]).expect(0, &["rebuild: 3 of 3", "not published: there is no release `latest`"]);
    let next = |upstream: &Upstream| {
        let json = upstream.tool(&["release", "v0.45", "--json"]).expect(0, &[]).json();
        json["next"]["command"].as_str().or_else(|| json["next"].as_str()).unwrap_or_default().to_owned()
    };
    // The variable names the host.
    assert!(next(&upstream).contains("build-and-fetch --source v0.45"), "{}", next(&upstream));
    let built =
        upstream.tool(&["build-and-fetch"]).expect(0, &["srv1: the packer directory is iac/packer", "pve-9: built"]);
    assert!(!built.stderr.contains("can't be built"), "{built:?}");
    // Once more: what came from the guest lies in images/ now.
    assert!(upstream.world.images().join("pve-9/image-version.txt").is_file());
    upstream.tool(&["build-and-fetch"]).expect(0, &["pve-9: not rebuilt"]);
    assert!(next(&upstream).contains("publish --source v0.45"), "{}", next(&upstream));
    upstream.tool(&["publish", "--source", "v0.45", "--execute", "--yes"]).expect(0, &["done: latest is v0.45"]);
    upstream.tool(&["verify"]).expect(0, &[]);
    upstream.tool(&["check"]).expect(0, &["No template changes detected"]);
    // The engine has no script that asks and keeps no record: the template said what to ask, and the fetch recorded the answer.
    let states = |exit_code: i32, says: &[&str]| {
        let ran = upstream.tool(&["check", "--base-images", "--exit-code", "--json"]).expect(exit_code, says);
        let images = ran.json()["images"].as_array().cloned().unwrap_or_default();
        images.iter().map(|image| image["base_image"]["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(states(0, &[]), ["same", "same", "same"]);
    publish_base_images(&upstream.mirror, ["a", "d", "c"]);
    assert_eq!(states(10, &[]), ["same", "differs", "same"]);
    fs::remove_file(upstream.mirror.join("SHA512SUMS")).unwrap();
    assert_eq!(states(3, &["cannot read file://", "unknown whether they changed"]), ["unknown"; 3]);
    publish_base_images(&upstream.mirror, ["a", "b", "c"]);
    upstream.tool(&["release", "v0.45", "--yes"]).expect(0, &[]);
    assert_eq!(next(&upstream), "");
    upstream.tool_in("xtask/src", &["check", "pve-9"]).expect(0, &["No template changes detected"]);
    // A reader, somewhere else.
    let elsewhere = upstream.world.dir().join("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    let download = ["download", "--images", elsewhere.to_str().unwrap(), "pve-9"];
    upstream.tool(&download).expect(0, &["pve-9"]);
    let file = "pve-9/pve-9.qcow2";
    let there = [elsewhere.join(file), elsewhere.join("pve-9.qcow2")].into_iter().find(|path| path.exists()).unwrap();
    assert!(fs::read(there).unwrap() == fs::read(upstream.world.images().join(file)).unwrap());
    // The stand-ins stayed where they are.
    let _ = upstream.tool(&["rehearse"]).expect(3, &["in a clone of that repository"]);
}

/// A folder with a template of this name, in a repository of its own.
fn packer_at(dir: &Path, name: &str) {
    let folder = dir.join("templates").join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("template.pkr.hcl"), template(name, dir)).unwrap();
    git(dir, &["init", "--quiet"]);
    git(dir, &["add", "--all"]);
    git(dir, &["commit", "--quiet", "--message", "x"]);
}

/// What `check` finds from a folder, with the tool of the repository `top`.
fn found(top: &Path, folder: &Path, words: &[&str], variable: &str) -> (Vec<String>, String) {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_xtask-it"));
    tool.args(["packer", "check", "--base", "HEAD", "--json"]).args(words).current_dir(folder);
    tool.env("CARGO_MANIFEST_DIR", top.join("xtask")).env("HOMESTAK_PACKER_DIR", variable);
    let output = tool.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    let images = json["images"].as_array().cloned().unwrap_or_default();
    let names = images.iter().map(|image| image["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(output.status.code() == Some(0), !images.is_empty(), "{json} {said}");
    (names, said)
}

#[test]
fn the_packer_directory_is_found_in_each_layout() {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("layouts");
    let _ = fs::remove_dir_all(&root);
    let meta = root.join("dev/meta");
    fs::create_dir_all(meta.join("scripts/lib")).unwrap();
    let places = ["dev/meta/packer", "dev/meta", "dev/packer", "iac/packer"];
    let folders = [meta.clone(), meta.join("scripts/lib"), std::env::temp_dir()];
    // From the last to the first: each comes before those that are there already, which are named.
    for (number, place) in places.iter().enumerate().rev() {
        if *place == "dev/meta" {
            packer_at(&meta, "image-1");
        } else {
            packer_at(&root.join(place), &format!("image-{number}"));
        }
        for folder in &folders {
            let (names, said) = found(&meta, folder, &[], "");
            assert_eq!(names, [format!("image-{number}")], "{place} from {}: {said}", folder.display());
            let others = places.len() - number - 1;
            assert_eq!(
                said.contains("has templates/ as well"),
                others > 0,
                "{place} from {}: {said}",
                folder.display()
            );
        }
    }
    // What is named comes first, and then nothing is guessed.
    let fourth = root.join("iac/packer");
    let (names, said) = found(&meta, &meta, &[], fourth.to_str().unwrap());
    assert!(names == ["image-3"] && !said.contains("as well"), "{names:?} {said}");
    let (names, said) = found(&meta, &meta, &["--packer-dir", "../packer"], fourth.to_str().unwrap());
    assert!(names == ["image-2"] && !said.contains("as well"), "{names:?} {said}");
    let (names, said) = found(&meta, &meta, &[], "/nosuch");
    assert!(names.is_empty() && said.contains("no packer directory /nosuch"), "{said}");
}

#[test]
fn one_packer_directory_on_two_ways_is_one() {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ways");
    let _ = fs::remove_dir_all(&root);
    let meta = root.join("dev/meta");
    fs::create_dir_all(&meta).unwrap();
    packer_at(&root.join("iac/packer"), "image");
    symlink("../../iac/packer", meta.join("packer")).unwrap();
    let (names, said) = found(&meta, &meta, &[], "");
    assert!(names == ["image"] && !said.contains("as well"), "{names:?} {said}");
    // The packer repository itself, which is beside itself as well; and a packer without templates.
    let packer = root.join("iac/packer");
    let (names, said) = found(&packer, &packer.join("templates"), &[], "");
    assert!(names == ["image"] && !said.contains("as well"), "{names:?} {said}");
    fs::remove_file(meta.join("packer")).unwrap();
    fs::create_dir_all(meta.join("packer")).unwrap();
    assert_eq!(found(&meta, &meta, &[], "").0, ["image"]);
    fs::rename(root.join("iac"), root.join("away")).unwrap();
    assert!(found(&meta, &meta, &[], "").1.contains("--packer-dir"));
}
