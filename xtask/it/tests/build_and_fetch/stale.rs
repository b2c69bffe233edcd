//! Never a stale image: hosts that are behind, changed, bare, or whose engines keep no list of what they built from.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rehearsal::host::BuildHost;
use serde_json::{Value, json};

use super::engine;
use super::world::{IMAGE, World, copy};

const SCRIPT: &str = "templates/debian-12-custom/cleanup.sh";

/// Two commits, `v0.58` and `v0.59`, which changes a script; a host with a clone of the first or the second.
pub struct Phase {
    pub world: World,
    pub host: BuildHost,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the rule is for the tool's children; here a repository of a test is made"
)]
pub fn git(dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(dir).args(args).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Ann").env(format!("GIT_{role}_EMAIL"), "ann@example.org");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// What builds on the host.
#[derive(Clone, Copy)]
pub enum Engine {
    Ours,
    Older,
    Newer,
}

impl Phase {
    pub fn new(engine: Engine, at: &str) -> Self {
        let world = World::new();
        let host = world.network.host("build1").unwrap();
        let packer = world.dir.join("packer");
        if matches!(engine, Engine::Ours) {
            engine::install(&world, &host);
        } else {
            fs::write(packer.join(SCRIPT), "#!/bin/sh\ntrue\n").unwrap();
            install(engine, &packer);
        }
        fs::write(packer.join(".gitignore"), "/images/\n/logs/\n/.cache/\n/stand-in.env\n/calls\n").unwrap();
        git(&packer, &["init", "--quiet", "--initial-branch=main"]);
        commit(&packer, "Add all");
        git(&packer, &["tag", "v0.58"]);
        append(&packer.join(SCRIPT), "echo more\n");
        commit(&packer, "Clean more");
        git(&packer, &["tag", "v0.59"]);
        let there = host.packer_dir();
        let env = fs::read(there.join("stand-in.env")).unwrap_or_default();
        fs::remove_dir_all(&there).unwrap();
        git(&world.dir, &["clone", "--quiet", packer.to_str().unwrap(), there.to_str().unwrap()]);
        git(&there, &["reset", "--quiet", "--hard", at]);
        fs::write(there.join("stand-in.env"), env).unwrap();
        Self { world, host }
    }

    pub fn packer(&self) -> PathBuf {
        self.world.dir.join("packer")
    }

    pub fn run(&self, more: &[&str]) -> super::world::Ran {
        self.world.run_at("build1", &self.host, &[more, &[IMAGE]].concat())
    }

    /// Exit code 3, and nothing was built or fetched.
    #[track_caller]
    fn refused(&self, more: &[&str], says: &[&str]) {
        let before = images_of(&self.host);
        self.run(more).expect(3, &[says, &["nothing was built", "--sync"][..]].concat());
        assert_eq!(images_of(&self.host), before);
        assert_eq!(self.world.files(), [""; 0]);
    }

    fn set(&self, name: &str, value: &str) {
        self.host.set(name, value).unwrap();
    }
}

fn install(engine: Engine, packer: &Path) {
    let (file, text) = match engine {
        Engine::Ours => return,
        Engine::Older => ("build.sh", include_str!("engines/older.sh")),
        Engine::Newer => ("build", include_str!("engines/newer")),
    };
    let smallest: String = rehearsal::image::smallest().iter().map(|byte| format!("\\{byte:03o}")).collect();
    fs::write(packer.join(file), text.replace("@SMALLEST@", &smallest)).unwrap();
    fs::set_permissions(packer.join(file), fs::Permissions::from_mode(0o755)).unwrap();
}

fn append(path: &Path, text: &str) {
    fs::write(path, fs::read_to_string(path).unwrap() + text).unwrap();
}

pub fn commit(dir: &Path, message: &str) {
    git(dir, &["add", "--all"]);
    git(dir, &["commit", "--quiet", "--message", message]);
}

fn images_of(host: &BuildHost) -> Vec<PathBuf> {
    let found = fs::read_dir(host.packer_dir().join("images"));
    found.map(|entries| entries.map(|entry| entry.unwrap().path()).collect()).unwrap_or_default()
}

#[test]
fn a_host_that_is_behind_or_changed_builds_nothing_with_any_engine() {
    for engine in [Engine::Ours, Engine::Older, Engine::Newer] {
        let behind = Phase::new(engine, "v0.58");
        let there = git(&behind.packer(), &["rev-parse", "v0.58"]);
        let pull = format!("git -C {} pull --ff-only", behind.host.packer_dir().display());
        behind.refused(&[], &["nothing was built", "differs from HEAD", &there[..9], "1 commit behind", SCRIPT, &pull]);
        behind.refused(&["--source", "v0.59"], &["v0.59", "1 commit behind", "git -C", "checkout v0.59"]);
        // Where that checkout was done, there is no branch to pull.
        git(&behind.host.packer_dir(), &["checkout", "--quiet", "--detach"]);
        let head = git(&behind.packer(), &["rev-parse", "HEAD"]);
        behind.refused(&[], &["fetch --tags && git -C", &format!("checkout {head}")]);
        let dirty = Phase::new(engine, "v0.59");
        append(&dirty.host.packer_dir().join(SCRIPT), "echo by hand\n");
        fs::create_dir_all(dirty.host.packer_dir().join("shared")).unwrap();
        fs::write(dirty.host.packer_dir().join("shared/a.swp"), "x").unwrap();
        dirty.refused(&[], &["uncommitted changes", SCRIPT, "shared/a.swp", "stash -u"]);
    }
}

#[test]
fn a_mode_and_a_commit_that_is_not_here_differ_as_well() {
    let phase = Phase::new(Engine::Older, "v0.59");
    let script = phase.host.packer_dir().join("shared/scripts/update.sh");
    git(&phase.host.packer_dir(), &["config", "core.fileMode", "false"]);
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    phase.refused(&[], &["shared/scripts/update.sh"]);
    fs::set_permissions(&script, fs::Permissions::from_mode(0o644)).unwrap();
    append(&script, "true\n");
    git(
        &phase.host.packer_dir(),
        &["-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-qam", "Elsewhere"],
    );
    phase.refused(&[], &["which is not an ancestor of HEAD", "shared/scripts/update.sh"]);
    fs::remove_dir_all(phase.host.packer_dir().join(".git")).unwrap();
    phase.refused(&[], &["no clone, or a clone"]);
}

#[test]
fn what_is_not_committed_here_is_named_and_not_built() {
    let phase = Phase::new(Engine::Older, "v0.59");
    append(&phase.packer().join(SCRIPT), "echo by hand\n");
    phase.run(&[]).expect(0, &["uncommitted changes are not built", SCRIPT]);
    let record = phase.world.record(IMAGE);
    assert_eq!(record["built_from"], json!({ "commit": git(&phase.packer(), &["rev-parse", "HEAD"]), "dirty": false }));
}

#[test]
fn a_tag_is_built_where_the_host_has_it() {
    let phase = Phase::new(Engine::Older, "v0.58");
    phase.run(&["--source", "v0.58"]).expect(0, &[]);
    assert_eq!(phase.world.record(IMAGE)["built_from"]["commit"], git(&phase.packer(), &["rev-parse", "v0.58"]));
    phase.run(&["--source", "v0.99"]).expect(3, &["there is no tag v0.99 in this clone", "fetch --tags"]);
    phase.run(&["--source", "v0;reboot"]).expect(2, &["--source"]);
    // What is fetched without a build must be the wanted one as well.
    phase.run(&["--skip-build"]).expect(3, &["is made of other files", SCRIPT, "--source"]);
    phase.run(&["--skip-build", "--source", "v0.58"]).expect(0, &[]);
}

#[test]
fn a_bare_host_gets_the_files_and_builds_them() {
    let mut phase = Phase::new(Engine::Ours, "v0.58");
    // Attributes for other purposes, an odd name, and a link come along as they are in the commit.
    let packer = phase.packer();
    fs::write(packer.join(".gitattributes"), "/shared/** export-ignore\n*.sh export-subst eol=lf\n").unwrap();
    fs::write(packer.join("shared/scripts/grüße \"a\\b\" $x.sh"), "$Format:%H$\n").unwrap();
    std::os::unix::fs::symlink("update.sh", packer.join("shared/scripts/link.sh")).unwrap();
    let long = format!("shared/{}/{}", "folder-".repeat(12), "name-".repeat(20));
    fs::create_dir_all(packer.join(&long).parent().unwrap()).unwrap();
    fs::write(packer.join(&long), "x\n").unwrap();
    commit(&packer, "Add more");
    fs::remove_dir_all(phase.host.packer_dir()).unwrap();
    phase.refused_without_folder();
    let ran = phase.run(&["--sync", "--json"]);
    ran.expect(0, &["stub packer building"]);
    assert_eq!(
        (&ran.json()["images"][0]["built"], &ran.json()["images"][0]["recorded_by"]),
        (&json!(true), &json!("engine"))
    );
    let record = phase.world.record(IMAGE);
    assert_eq!(record["built_from"], json!({ "commit": git(&packer, &["rev-parse", "HEAD"]), "dirty": false }));
    let paths: Vec<&str> =
        record["inputs"]["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    for path in ["shared/scripts/grüße \"a\\b\" $x.sh", "shared/scripts/link.sh", long.as_str(), SCRIPT] {
        assert!(paths.contains(&path), "no {path} in {paths:?}");
    }
    // Again: the engine there knows that nothing changed.
    phase.run(&["--sync", "--json"]).expect(0, &["unchanged"]);
    assert_eq!(phase.world.record(IMAGE), record);
    // What the host has of its own stays, what was sent before and is gone here goes.
    let synced = phase.host.packer_dir().with_file_name(".cache/homestak-packer/packer");
    fs::write(synced.join("build.env"), "ACCELERATOR=tcg\n").unwrap();
    fs::write(synced.join("shared/by-hand"), "x").unwrap();
    phase.run(&["--sync", "--source", "v0.58"]).expect(0, &["stub packer building"]);
    assert!(synced.join("build.env").exists() && !synced.join("shared/by-hand").exists());
    assert_eq!(phase.world.record(IMAGE)["built_from"]["commit"], git(&packer, &["rev-parse", "v0.58"]));
    phase.host.stop();
}

impl Phase {
    fn refused_without_folder(&self) {
        self.run(&[]).expect(3, &["build1 has no folder"]);
    }
}

#[test]
fn an_unpacked_archive_builds_on_a_bare_host() {
    let world = World::new();
    let host = world.network.host("build1").unwrap();
    install(Engine::Older, &world.dir.join("packer"));
    fs::remove_dir_all(host.packer_dir()).unwrap();
    world.run(&["--host", "build1", "--sync"]).expect(0, &["this fetch recorded them"]);
    let record = world.record(IMAGE);
    assert_eq!((&record["recorded_by"], &record["built_from"]), (&json!("fetch"), &Value::Null));
}

#[test]
fn a_home_is_named_with_a_tilde() {
    let world = World::new();
    let _host = world.host("build1");
    world.run(&["--host", "build1", "--remote-dir", "~/packer"]).expect(0, &[]);
    world.run(&["--host", "build1", "--remote-dir", "~"]).expect(3, &["no executable"]);
}

#[test]
fn an_older_engine_with_names_of_its_own() {
    let phase = Phase::new(Engine::Older, "v0.59");
    let ran = phase.run(&["--json"]);
    ran.expect(0, &["this fetch recorded them"]);
    assert_eq!(
        (&ran.json()["images"][0]["built"], &ran.json()["images"][0]["recorded_by"]),
        (&json!(true), &json!("fetch"))
    );
    assert_eq!(
        phase.world.files(),
        ["build.json", "qcow2", "qcow2.sha256"].map(|end| format!("{IMAGE}/{IMAGE}.{end}"))
    );
    let dir = phase.host.packer_dir().join("images/debian-12");
    assert_eq!(fs::read(phase.world.image(IMAGE)).unwrap(), fs::read(dir.join("deb12.13-custom.qcow2")).unwrap());
    let checksum = fs::read_to_string(phase.world.images().join(IMAGE).join(format!("{IMAGE}.qcow2.sha256"))).unwrap();
    assert!(checksum.ends_with(&format!("  {IMAGE}.qcow2\n")), "{checksum}");
    assert_eq!(fs::read_to_string(phase.host.packer_dir().join("calls")).unwrap(), format!("{IMAGE}\n"));
    // It knows no option, and says so before it takes one for a name.
    phase.run(&["--force"]).expect(3, &["build.sh on build1 has no option --force"]);
}

#[test]
fn parts_of_an_older_engine_are_joined_while_they_are_fetched() {
    let phase = Phase::new(Engine::Older, "v0.59");
    phase.set("LIMIT", "100000");
    phase.run(&[]).expect(0, &[]);
    let dir = phase.host.packer_dir().join("images/debian-12");
    assert!(!dir.join("deb12.13-custom.qcow2").exists() && dir.join("deb12.13-custom.qcow2.partac").exists());
    let whole: Vec<u8> = ["aa", "ab", "ac"]
        .iter()
        .flat_map(|end| fs::read(dir.join(format!("deb12.13-custom.qcow2.part{end}"))).unwrap())
        .collect();
    assert_eq!(fs::read(phase.world.image(IMAGE)).unwrap(), whole);
    // A part that is of another build, or missing, doesn't fit the checksum.
    fs::remove_file(dir.join("deb12.13-custom.qcow2.partac")).unwrap();
    phase.run(&["--skip-build"]).expect(4, &["has digest", "but its checksum file there says"]);
    assert_eq!(fs::read(phase.world.image(IMAGE)).unwrap(), whole, "what was here stays");
}

#[test]
fn a_hit_of_a_newer_engine_is_no_build() {
    let phase = Phase::new(Engine::Newer, "v0.59");
    phase.run(&[]).expect(0, &["this fetch recorded them"]);
    let first = phase.world.record(IMAGE);
    // The same again: it was seen being built.
    let ran = phase.run(&["--json"]);
    ran.expect(0, &["not rebuilt"]);
    assert_eq!(
        (&ran.json()["images"][0]["built"], &ran.json()["images"][0]["recorded_by"]),
        (&json!(false), &json!("fetch"))
    );
    assert_eq!(phase.world.record(IMAGE), first);
    // A mode that it doesn't look at: what is there is known to be made of something else.
    for dir in [phase.packer(), phase.host.packer_dir()] {
        fs::set_permissions(dir.join("shared/scripts/update.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    }
    commit(&phase.packer(), "Make it executable");
    phase.run(&[]).expect(1, &["was not rebuilt", "shared/scripts/update.sh"]);
    assert_eq!(phase.world.record(IMAGE), first);
    // Nobody saw it being built: nothing is recorded.
    fs::remove_dir_all(phase.world.images()).unwrap();
    let ran = phase.run(&["--json"]);
    ran.expect(
        0,
        &[
            "no record says what debian-12-custom on build1 was built from",
            "engine's cache key",
            "`check` will say rebuild",
        ],
    );
    assert_eq!(
        (&ran.json()["images"][0]["built"], &ran.json()["images"][0]["recorded_by"]),
        (&json!(false), &Value::Null)
    );
    assert!(!phase.world.files().iter().any(|file| file.ends_with(".build.json")));
    // Nor is an empty image one.
    fs::write(phase.host.image_dir(IMAGE).join(format!("{IMAGE}.qcow2")), "").unwrap();
    phase.run(&[]).expect(1, &["is empty"]);
}

/// As a template names what it brings from the guest. It is there after the first build.
#[test]
fn what_a_template_downloads_is_output() {
    let read = |path: &str| {
        format!("build {{\n  provisioner \"file\" {{\n    source = \"${{path.root}}/../../{path}\"\n  }}\n}}\n")
    };
    for (engine, image_dir) in [(Engine::Older, "debian-12"), (Engine::Newer, IMAGE)] {
        let phase = Phase::new(engine, "v0.59");
        let template = phase.packer().join("templates").join(IMAGE).join("template.pkr.hcl");
        let written = format!("images/{image_dir}/image-version.txt");
        let download = format!(
            "build {{\n  provisioner \"file\" {{\n    source      = \"/tmp/image-version.txt\"\n    destination = \
             \"${{path.root}}/../../{written}\"\n    direction   = \"download\"\n  }}\n}}\n"
        );
        fs::write(&template, download).unwrap();
        commit(&phase.packer(), "Bring the version here");
        phase.run(&[]).expect(3, &["1 commit behind"]);
        git(&phase.host.packer_dir(), &["pull", "--quiet", "--ff-only"]);
        phase.set("BEFORE", &format!("echo DEBIAN_VERSION=12.13 >{written}"));
        phase.run(&[]).expect(0, &[]);
        // Beside each other, and where the template says.
        fs::create_dir_all(phase.packer().join("images").join(image_dir)).unwrap();
        fs::write(phase.packer().join(&written), "DEBIAN_VERSION=12.13\n").unwrap();
        phase.run(&[]).expect(0, &[]);
        phase.run(&["--sync"]).expect(0, &[]);
        // A host that is behind is said first.
        append(&phase.packer().join(SCRIPT), "echo even more\n");
        commit(&phase.packer(), "Clean even more");
        phase.run(&[]).expect(3, &["1 commit behind"]);
        // What is read there is no output.
        fs::write(phase.packer().join(&written), "DEBIAN_VERSION=12.13\n").unwrap();
        append(&template, &read(&written));
        commit(&phase.packer(), "Put the version into the guest");
        phase.run(&["--sync"]).expect(3, &["which is not an input: it is outside of", "image-version.txt"]);
    }
}

/// The base image that the build took is recorded where it is known: not where it may have become another meanwhile.
#[test]
fn a_base_image_is_recorded_by_what_the_template_says() {
    for engine in [Engine::Older, Engine::Newer] {
        let phase = Phase::new(engine, "v0.59");
        let list = phase.world.dir.join("SHA512SUMS");
        let publish = |digit: &str| format!("{}  a.qcow2\n", digit.repeat(128));
        fs::write(&list, publish("a")).unwrap();
        let says = |url: &str, checksum: &str| {
            let template = phase.packer().join("templates").join(IMAGE).join("template.pkr.hcl");
            fs::write(
                template,
                format!("source \"qemu\" \"a\" {{\n  iso_url = {url}\n  iso_checksum = {checksum}\n}}\n"),
            )
            .unwrap();
            commit(&phase.packer(), "Start from another image");
            git(&phase.host.packer_dir(), &["pull", "--quiet", "--ff-only"]);
        };
        let recorded = |words: &[&str]| {
            let ran = phase.run(&[]);
            ran.expect(0, words);
            assert_eq!(words.is_empty(), !ran.stderr.contains("is not recorded"), "{}", ran.stderr);
            phase.world.record(IMAGE)["base_image"].clone()
        };
        let (url, checksum) = ("\"https://me:secret@mirror.invalid/a.qcow2\"", format!("\"file:{}\"", list.display()));
        says(url, &checksum);
        let digest = format!("sha512:{}", "a".repeat(128));
        assert_eq!(recorded(&[]), json!({ "url": "https://mirror.invalid/a.qcow2", "digest": digest }));
        says(url, &format!("\"sha256:{}\"", "B".repeat(64)));
        assert_eq!(recorded(&[])["digest"], format!("sha256:{}", "b".repeat(64)));
        // Upstream publishes while it is built; says nothing; the template must be worked out.
        says(&format!("{url} # again"), &checksum);
        phase.set("BEFORE", &format!("echo {} a.qcow2 >{}", "c".repeat(128), list.display()));
        assert_eq!(
            recorded(&["is not recorded: https://mirror.invalid/a.qcow2 changed during the build"]),
            Value::Null
        );
        phase.set("BEFORE", "true");
        says(url, "\"file:/nowhere/SHA512SUMS\"");
        assert_eq!(recorded(&["is not recorded: cannot read file:///nowhere/SHA512SUMS"]), Value::Null);
        says("\"${var.mirror}/a.qcow2\"", &checksum);
        assert_eq!(recorded(&["is not recorded", "cannot be asked for", "${var.mirror}"]), Value::Null);
    }
}

#[test]
fn the_flat_layout_of_an_older_engine() {
    let phase = Phase::new(Engine::Older, "v0.59");
    let packer = phase.packer();
    for (from, to) in [
        ("templates/debian-12-custom/template.pkr.hcl", "templates/debian-12-custom.pkr.hcl"),
        (SCRIPT, "scripts/cleanup.sh"),
        ("shared/scripts/update.sh", "scripts/update.sh"),
    ] {
        fs::create_dir_all(packer.join("scripts")).unwrap();
        fs::rename(packer.join(from), packer.join(to)).unwrap();
    }
    append(&packer.join("templates/debian-12-custom.pkr.hcl"), "build {}\n");
    commit(&packer, "The older layout");
    phase.refused(&[], &["1 commit behind", "scripts/cleanup.sh"]);
    git(&phase.host.packer_dir(), &["pull", "--quiet", "--ff-only"]);
    phase.run(&[]).expect(0, &[]);
    let record = phase.world.record(IMAGE);
    let paths: Vec<&str> =
        record["inputs"]["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["scripts/cleanup.sh", "scripts/update.sh", "templates/debian-12-custom.pkr.hcl"]);
}

#[test]
fn ctrl_c_ends_an_engine_that_does_not_watch_its_input() {
    let phase = Phase::new(Engine::Newer, "v0.59");
    phase.set("BEFORE", "echo $$ >pid; sleep 300");
    let mut tool = phase.world.start_at("build1", &phase.host, &[]);
    let pid = || fs::read_to_string(phase.host.packer_dir().join("pid")).unwrap_or_default().trim().to_owned();
    tool.until("the build begins", || !pid().is_empty());
    tool.signal("INT");
    tool.wait();
    super::world::until("the build ends", || !Path::new("/proc").join(pid()).exists());
}

#[test]
fn inputs_that_change_while_they_are_built_are_noticed_afterwards() {
    for engine in [Engine::Older, Engine::Newer] {
        let phase = Phase::new(engine, "v0.59");
        phase.set("BEFORE", "echo more >>shared/scripts/update.sh");
        phase.run(&[]).expect(1, &["changed on build1 during the build", "shared/scripts/update.sh", "build it again"]);
        assert!(!phase.world.image(IMAGE).exists());
    }
}

#[test]
fn a_record_with_a_list_that_cannot_be_or_of_something_else_is_refused() {
    let world = World::new();
    let host = world.host("build1");
    host.put(IMAGE, &super::world::qcow2(300_000)).unwrap();
    let path = host.image_dir(IMAGE).join(format!("{IMAGE}.build.json"));
    let mut record: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let file = |path: &str| json!({ "path": path, "mode": "100644", "id": "0".repeat(40) });
    for (files, code, says) in [
        (vec![file("../x")], 1, "`../x`"),
        (vec![file("shared/a\nb")], 1, "`shared/a\\nb`"),
        (vec![file("shared/a"), file("shared/a")], 1, "`shared/a` is listed twice"),
        (vec![file("/x")], 1, "`/x`"),
        (vec![file("shared/other")], 3, "shared/other"),
    ] {
        record["inputs"] = json!({ "files": files });
        fs::write(&path, record.to_string()).unwrap();
        world.run_at("build1", &host, &["--skip-build"]).expect(code, &[says]);
    }
    assert_eq!(world.files(), [""; 0]);
}

#[test]
fn the_engine_learns_the_version_that_a_person_named() {
    for (at, more, says) in [
        ("v0.58", &["--source", "v0.58"][..], "version=v0.58"),
        ("v0.59", &[], "version=none"),
        // Our engine would refuse it.
        ("v0.58", &["--source", "release/v0.58"], "version=none"),
    ] {
        let phase = Phase::new(Engine::Older, at);
        git(&phase.packer(), &["tag", "release/v0.58", "v0.58"]);
        let script = phase.host.packer_dir().join("build.sh");
        fs::write(&script, "#!/bin/sh\necho \"version=${IMAGE_VERSION-none}\"\nexit 7\n").unwrap();
        phase.run(more).expect(1, &[says, "exit code 7"]);
    }
}

#[test]
fn what_a_commit_does_not_tell_is_refused_by_name() {
    let phase = Phase::new(Engine::Older, "v0.59");
    let packer = phase.packer();
    for (attributes, says) in [
        ("*.sh text eol=crlf\n", "eol=crlf"),
        ("update.sh ident\n", "shared/scripts/update.sh has the attribute `ident=set`"),
        ("*.sh filter=lfs\n", "filter=lfs"),
    ] {
        fs::write(packer.join(".gitattributes"), attributes).unwrap();
        commit(&packer, "Attributes");
        phase.run(&[]).expect(3, &[says, ".gitattributes"]);
        phase.run(&["--sync"]).expect(3, &[says]);
    }
    fs::write(packer.join(".gitattributes"), "* text=auto\n*.sh eol=lf\n").unwrap();
    std::os::unix::fs::symlink("../../outside", packer.join("shared/out")).unwrap();
    commit(&packer, "Link");
    phase.run(&[]).expect(3, &["shared/out is a symlink that leads out"]);
    fs::remove_file(packer.join("shared/out")).unwrap();
    commit(&packer, "No link");
    let vendor = phase.world.dir.join("vendor");
    copy(&packer.join("shared"), &vendor);
    git(&vendor, &["init", "--quiet"]);
    commit(&vendor, "x");
    let url = vendor.to_str().unwrap();
    git(&packer, &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", url, "shared/vendor"]);
    commit(&packer, "Submodule");
    phase.run(&["--sync"]).expect(3, &["shared/vendor is a submodule"]);
    assert_eq!(phase.world.files(), [""; 0]);
}
