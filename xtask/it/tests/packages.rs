//! The lists of packages: published with their images, kept wherever the images go, compared, and held against archives.
#![allow(clippy::disallowed_methods, reason = "tests start what makes lists and signed archives")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use github_stand_in::SeedRelease;
use rehearsal::image::sha256;
use rehearsal::machine::Machine;
use rehearsal::world::{IMAGES, Options, REPOSITORY, World};
use serde_json::{Value, json};

use crate::begun;

const PUBLISH: &[&str] = &["publish", "--part-size", "1MiB", "--execute", "--source"];

fn options() -> Options {
    let packer = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../packer");
    let mut options = Options::new(env!("CARGO_BIN_EXE_xtask-it"));
    options.packer_dir = Some(packer);
    options.sizes = vec![300 << 10, (5 << 20) / 2, 400 << 10];
    options
}

fn world(name: &str) -> World {
    World::new(&place(name), options()).unwrap()
}

fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages").join(name)
}

/// A package: name, version, source, its version.
type Row<'a> = (&'a str, &'a str, &'a str, &'a str);

/// Gives an image here a list of packages, made by the engine's own code, a list of files, and a record that names both.
fn list(machine: &Machine, image: &str, codename: &str, packages: &[Row<'_>]) {
    let dir = machine.images().join(image);
    let mut rows = format!("os\tdebian\t13\t{codename}\t13.2\n");
    for (name, version, source, source_version) in packages {
        rows += &format!("{name}\t{version}\tamd64\t{source}\t{source_version}\n");
    }
    fs::write(dir.join("rows"), rows).unwrap();
    fs::write(dir.join("details"), format!("cve\topenssl\t{}\tCVE-2026-1 CVE-2026-2\n", FIXED.1)).unwrap();
    let script = r#"PACKER_DIR=$1 VERSION=1; . "$1/lib/common.sh"; . "$1/lib/sbom.sh"; write_sbom "$2" rows "$2.cdx.json" details"#;
    let packer = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../packer").canonicalize().unwrap();
    let output =
        Command::new("bash").current_dir(&dir).args(["-euc", script, "bash"]).arg(packer).arg(image).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    ["rows", "details"].iter().for_each(|file| fs::remove_file(dir.join(file)).unwrap());
    let files: String = packages.iter().map(|(name, version, ..)| file_line(name, version)).collect();
    let zipped = format!("printf '{files}' | gzip -n >{image}.files.gz");
    assert!(Command::new("bash").current_dir(&dir).args(["-euc", &zipped]).status().unwrap().success());
    let listed = |file: String| {
        let bytes = fs::read(dir.join(&file)).unwrap();
        json!({ "file": file, "size": bytes.len(), "sha256": sha256(&bytes) })
    };
    change_record(machine, image, |record| {
        record["packages"] = listed(format!("{image}.cdx.json"));
        record["files"] = listed(format!("{image}.files.gz"));
        record["boot"] = json!({
            "machines": [{ "type": "pc", "firmware": "bios", "seconds": 20 }, { "type": "q35", "firmware": "uefi", "seconds": 21 }],
            "accelerator": "kvm", "kernel": "6.12.107+deb13-amd64",
        });
    });
}

/// The program of a package; `tmux` runs with the rights of its group.
fn file_line(name: &str, version: &str) -> String {
    let mode = if name == "tmux" { "2755" } else { "755" };
    format!("/usr/bin/{name}\\tf{mode}\\t0:0\\t9\\t{}\\n", &sha256(version.as_bytes())[..16])
}

fn change_record(machine: &Machine, image: &str, change: impl FnOnce(&mut Value)) {
    let path = machine.images().join(image).join(format!("{image}.build.json"));
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut record);
    fs::write(path, record.to_string()).unwrap();
}

const BASH: Row<'_> = ("bash", "5.2.37-2+b5", "bash", "5.2.37-2");
const OPENSSL: Row<'_> = ("openssl", "3.5.1-1", "openssl", "3.5.1-1");
const FIXED: Row<'_> = ("openssl", "3.5.4-1~deb13u1", "openssl", "3.5.4-1~deb13u1");

/// What is live has lists and boots; what it replaced is another set with lists.
fn published(name: &str) -> World {
    begun::twin("lists", &place(name), publish_lists)
}

fn publish_lists(dir: &Path) -> World {
    let world = World::new(dir, options()).unwrap();
    world.build_all(1, Some("v0.44")).unwrap();
    IMAGES.iter().for_each(|image| list(&world, image, "trixie", &[BASH, OPENSSL]));
    world.tool(&[PUBLISH, &["v0.44"]].concat()).expect(0, &[]);
    world.build_all(2, Some("v0.45")).unwrap();
    list(&world, IMAGES[0], "trixie", &[BASH, OPENSSL, ("tmux", "3.5a-3", "tmux", "3.5a-3")]);
    list(&world, IMAGES[1], "trixie", &[BASH, FIXED]);
    list(&world, IMAGES[2], "trixie", &[BASH, OPENSSL]);
    world.tool(&[PUBLISH, &["v0.45"]].concat()).expect(0, &[]);
    world
}

fn assets(world: &World) -> Vec<(String, Option<String>)> {
    let live = world.published().published("latest").expect("latest is live").clone();
    let lists =
        live.assets.iter().filter(|asset| [".cdx.json", ".files.gz"].iter().any(|end| asset.name.ends_with(end)));
    let mut lists: Vec<_> = lists.map(|asset| (asset.name.clone(), asset.digest.clone())).collect();
    lists.sort();
    lists
}

fn local(world: &World) -> Vec<(String, Option<String>)> {
    let lists = |image: &&str| {
        let folder = world.images().join(image);
        [format!("{image}.cdx.json"), format!("{image}.files.gz")].map(|name| {
            let bytes = fs::read(folder.join(&name)).unwrap();
            (name, Some(format!("sha256:{}", sha256(&bytes))))
        })
    };
    IMAGES.iter().flat_map(lists).collect()
}

fn manifest(world: &World) -> Value {
    let dir = world.dir().join("manifest");
    let _ = fs::remove_dir_all(&dir);
    let target = dir.to_str().unwrap();
    world
        .gh(&[
            "release",
            "download",
            "latest",
            "--repo",
            REPOSITORY,
            "--dir",
            target,
            "--pattern",
            "packer-images.json",
        ])
        .unwrap();
    serde_json::from_slice(&fs::read(dir.join("packer-images.json")).unwrap()).unwrap()
}

#[test]
fn a_list_stays_with_its_image_wherever_that_goes() {
    let world = published("kept");
    let lists = local(&world);
    assert_eq!(assets(&world), lists);
    let said = manifest(&world);
    for (image, lists) in said["images"].as_array().unwrap().iter().zip(lists.chunks(2)) {
        for (list, (name, digest)) in ["packages", "files"].into_iter().zip(lists) {
            assert_eq!(image[list]["file"], *name);
            assert_eq!(format!("sha256:{}", image[list]["sha256"].as_str().unwrap()), *digest.as_ref().unwrap());
        }
        assert_eq!(image["boot"]["machines"][1]["type"], "q35");
        assert_eq!(image["boot"]["machines"][1]["firmware"], "uefi");
    }
    world.tool(&["verify"]).expect(0, &["ok:", "17 assets"]);
    // Again: nothing to do, although the notes say more than the manifest.
    world.tool(&[PUBLISH, &["v0.45"]].concat()).expect(0, &["nothing to do"]);

    // Back, and forward again.
    world.tool(&["rollback", "--execute"]).expect(0, &[]);
    assert_ne!(assets(&world), lists);
    world.tool(&["verify"]).expect(4, &["differ"]);
    world.tool(&["rollback", "--execute"]).expect(0, &[]);
    assert_eq!(assets(&world), lists);

    // Downloaded, with what is needed to publish it again.
    let elsewhere = world.dir().join("elsewhere");
    world.tool(&["download", "--images", elsewhere.to_str().unwrap()]).expect(0, &[]);
    for list in ["cdx.json", "files.gz"] {
        let file = format!("{0}/{0}.{list}", IMAGES[1]);
        assert_eq!(fs::read(elsewhere.join(&file)).unwrap(), fs::read(world.images().join(&file)).unwrap());
    }

    // Carried over, and relabelled.
    let carry = [PUBLISH, &["v0.45", IMAGES[0], "--carry", IMAGES[1], IMAGES[2]]].concat();
    world.build(IMAGES[0], 500 << 10, 9, Some("v0.45")).unwrap();
    list(&world, IMAGES[0], "trixie", &[BASH]);
    world.tool(&carry).expect(0, &[]);
    assert_eq!(assets(&world)[2..], lists[2..]);
    assert_eq!(assets(&world), local(&world));
    world.tool(&["verify"]).expect(0, &["ok:"]);

    // Copied from the release of a version, with the proofs of their boots.
    let lists = assets(&world);
    let copies = world.dir().join("copies");
    let target = copies.to_str().unwrap();
    world.gh(&["release", "download", "latest", "--repo", REPOSITORY, "--dir", target]).unwrap();
    let file = |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    let files = fs::read_dir(&copies).unwrap().map(|entry| file(entry.unwrap()));
    let release = files.fold(SeedRelease::published("v0.45"), |release, (name, bytes)| release.asset(&name, bytes));
    world.hub().seed_release(REPOSITORY, release).unwrap();
    world.tool(&["rollback", "--execute"]).expect(0, &[]);
    assert_ne!(assets(&world), lists);
    fs::remove_dir_all(world.images()).unwrap();
    world.tool(&[PUBLISH, &["v0.45", "--copy", "--require-boot"]].concat()).expect(0, &["latest is v0.45 now"]);
    assert_eq!(assets(&world), lists);
    world.tool(&["verify"]).expect(0, &["ok:"]);
}

#[test]
fn a_list_that_is_not_the_records_stops_the_publish() {
    let world = world("other");
    world.build_all(1, Some("v0.45")).unwrap();
    IMAGES.iter().for_each(|image| list(&world, image, "trixie", &[BASH]));
    for list in ["debian-12-custom.cdx.json", "debian-12-custom.files.gz"] {
        let path = world.images().join(IMAGES[0]).join(list);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, "{}").unwrap();
        world.tool(&[PUBLISH, &["v0.45"]].concat()).expect(4, &[list, "is not the one of the build record"]);
        fs::remove_file(&path).unwrap();
        world.tool(&[PUBLISH, &["v0.45"]].concat()).expect(4, &[list, "is missing"]);
        fs::write(&path, bytes).unwrap();
    }
    for list in ["packages", "files"] {
        change_record(&world, IMAGES[0], |record| record[list]["file"] = "../../x".into());
        world.tool(&[PUBLISH, &["v0.45"]].concat()).expect(4, &["in the build record", "is named `../../x`"]);
        change_record(&world, IMAGES[0], |record| record[list] = Value::Null);
    }
    assert!(world.published().releases.iter().all(|release| release.tag_name != "latest"));
}

#[test]
fn what_is_above_its_limit_is_refused_or_named() {
    let world = world("limits");
    world.build_all(1, Some("v0.45")).unwrap();
    let limits = world.packer_dir().join("templates").join(IMAGES[0]).join("limits");
    let size = fs::metadata(world.images().join(IMAGES[0]).join(format!("{}.qcow2", IMAGES[0]))).unwrap().len();
    fs::write(&limits, "max_size = 1K\n").unwrap();
    let above = format!("{} has ", IMAGES[0]);
    world.tool(&[PUBLISH, &["v0.45"]].concat()).expect(3, &[&above, "above its limit of 1.0 KiB", "--allow-large"]);
    fs::write(&limits, "max_size = much\n").unwrap();
    world.tool(&[PUBLISH, &["v0.45"]].concat()).expect(2, &["not a limit: max_size = much"]);
    fs::write(&limits, format!("max_size = {}\n", size + 1)).unwrap();
    world.tool(&["publish", "--source", "v0.45", "--dry-run"]).expect(0, &["close to its limit"]);
    fs::write(&limits, "max_size = 1K\n").unwrap();
    world.tool(&[PUBLISH, &["v0.45", "--allow-large"]].concat()).expect(0, &["above its limit", "latest is v0.45"]);
    // What is live stays publishable.
    world.tool(&[PUBLISH, &["v0.45", "--allow-large"]].concat()).expect(0, &["nothing to do"]);
}

#[test]
fn what_was_not_booted_is_named_or_refused() {
    let world = world("unbooted");
    world.build_all(1, Some("v0.45")).unwrap();
    list(&world, IMAGES[0], "trixie", &[BASH]);
    let what = "not boot-tested: debian-13-custom, debian-13-pve";
    world.tool(&[PUBLISH, &["v0.45", "--require-boot"]].concat()).expect(3, &[what, "BOOT_TEST", "--force"]);
    // A record of an engine that knew BIOS alone.
    change_record(&world, IMAGES[0], |record| {
        for machine in record["boot"]["machines"].as_array_mut().unwrap() {
            machine.as_object_mut().unwrap().remove("firmware");
        }
    });
    let bios = "not boot-tested with UEFI: debian-12-custom";
    world.tool(&[PUBLISH, &["v0.45", "--require-boot"]].concat()).expect(3, &[what, bios, "BOOT_FIRMWARE"]);
    world.tool(&[PUBLISH, &["v0.45"]].concat()).expect(0, &[what]);
}

#[test]
fn what_changed_is_in_the_notes_in_document_and_in_diff() {
    let world = published("changed");
    let live = world.published().published("latest").unwrap().clone();
    let notes = live.body.unwrap();
    assert!(notes.starts_with("Points to v0.45\n"), "{notes}");
    for text in [
        "## Changed since v0.44",
        "| `debian-12-custom` | 12.11 | – | – | 1 package added | – |",
        "| `debian-13-custom` | 12.11 | – | – | 1 package changed | openssl 3.5.1-1 → 3.5.4-1~deb13u1 |",
        "| `debian-13-pve` | 12.11 | – | – | the same packages | – |",
        "<details>",
        "+ tmux 3.5a-3",
        "~ openssl 3.5.1-1 → 3.5.4-1~deb13u1",
    ] {
        assert!(notes.contains(text), "no `{text}` in:\n{notes}");
    }

    let files = ["files: 1 added", "setuid /usr/bin/tmux: – → 2755 0:0", "files: 1 changed", "files: the same"];
    let packages = ["from v0.44 to v0.45", "debian-12-custom: 1 package added", "+ tmux 3.5a-3"];
    let few = world.tool(&["diff"]).expect(0, &[&packages[..], &files].concat());
    assert!(!few.text().contains("+ /usr/bin/tmux"), "{}", few.text());
    world.tool(&["diff", "--files"]).expect(0, &["  + /usr/bin/tmux", "  ~ /usr/bin/openssl"]);
    let json =
        world.tool(&["diff", "--from", "v0.45", "--to", "v0.44", "debian-13-custom", "--json"]).expect(0, &[]).json();
    assert_eq!(
        (&json["from"], &json["to"], json["images"].as_array().unwrap().len()),
        (&json!("v0.45"), &json!("v0.44"), 1)
    );
    assert_eq!(json["images"][0]["changed"][0]["to"], "3.5.1-1", "{json}");
    assert_eq!(json["images"][0]["files"]["changed"], 1, "{json}");
    let all = world.tool(&["diff", "--files", IMAGES[0], "--json"]).expect(0, &[]).json();
    assert_eq!(all["images"][0]["files"]["paths"]["new"], json!(["/usr/bin/tmux"]), "{all}");
    world.build(IMAGES[0], 600 << 10, 77, Some("v0.45")).unwrap();
    world.tool(&["diff", "--local", IMAGES[0]]).expect(0, &["the local debian-12-custom has no list of its packages"]);
    list(&world, IMAGES[0], "trixie", &[OPENSSL]);
    let out = world
        .tool(&["diff", "--local", IMAGES[0]])
        .expect(0, &["from v0.45 to the local images", "- bash 5.2.37-2+b5"]);
    assert!(!out.text().contains("debian-13-pve"), "{}", out.text());
    let bytes =
        |folder: &Path| fs::metadata(folder.join(IMAGES[0]).join(format!("{}.qcow2", IMAGES[0]))).unwrap().len();
    let said = manifest(&world)["images"][0]["size"].clone();
    let json = world.tool(&["diff", "--local", IMAGES[0], "--json"]).expect(0, &[]).json();
    assert_eq!(json["images"][0]["size"], json!({ "from": said, "to": bytes(&world.images()) }), "{json}");
    assert_eq!(out.text().contains("KiB →"), said != bytes(&world.images()), "{}", out.text());
    world.tool(&["diff", "--from", "v0.1"]).expect(3, &["no set of v0.1"]);
    world.tool(&["diff", "--local", "--to", "v0.45"]).expect(2, &["cannot be used with"]);

    world.gh(&["release", "create", "v0.45", "--repo", REPOSITORY, "--notes", "Words.", "--title", "v0.45"]).unwrap();
    world
        .tool(&["document", "--release", "v0.45", "--execute"])
        .expect(0, &["1 package changed: openssl 3.5.1-1 → 3.5.4-1~deb13u1"]);
}

/// A signed archive in files, as Debian's is: `dists/SUITE/InRelease` and `main/binary-amd64/Packages.xz`.
struct Archive {
    home: PathBuf,
    top: PathBuf,
}

impl Archive {
    /// `None`, said, where a tool is missing.
    fn new(world: &World) -> Option<Self> {
        for tool in ["gpg", "gpgv", "xz"] {
            if Command::new(tool).arg("--version").output().is_err() {
                println!("skipped: the archives' signatures, since {tool} is not installed");
                return None;
            }
        }
        // A socket of gpg's agent has to fit into its address.
        let home = std::env::temp_dir().join(format!(
            "packages-gpg-{}-{}",
            std::process::id(),
            world.dir().file_name()?.to_str()?
        ));
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(&home).unwrap();
        let archive = Self { home, top: world.dir().join("archive") };
        for user in ["archive", "other"] {
            archive.gpg(&["--quick-generate-key", &format!("{user}@example.org"), "ed25519", "sign", "never"]);
            let keyring = archive.keyring(user);
            fs::create_dir_all(keyring.parent().unwrap()).unwrap();
            archive.gpg(&["--output", keyring.to_str().unwrap(), "--export", &format!("{user}@example.org")]);
        }
        Some(archive)
    }

    fn keyring(&self, user: &str) -> PathBuf {
        self.top.join(format!("{user}.gpg"))
    }

    fn gpg(&self, args: &[&str]) {
        let output = Command::new("gpg")
            .env("GNUPGHOME", &self.home)
            .args([
                "--batch",
                "--quiet",
                "--yes",
                "--no-permission-warning",
                "--passphrase",
                "",
                "--pinentry-mode",
                "loopback",
            ])
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
    }

    /// Signed by all of `users`.
    fn publish(&self, mirror: &str, suite: &str, codename: &str, fields: &str, packages: &[Row<'_>], users: &[&str]) {
        let dir = self.top.join(mirror).join("dists").join(suite);
        fs::create_dir_all(dir.join("main/binary-amd64")).unwrap();
        let mut text = String::new();
        for (name, version, source, source_version) in packages {
            let source = match (*source == *name, source_version == version) {
                (true, true) => String::new(),
                (_, true) => format!("Source: {source}\n"),
                (_, false) => format!("Source: {source} ({source_version})\n"),
            };
            text += &format!("Package: {name}\n{source}Version: {version}\nArchitecture: amd64\n\n");
        }
        let plain = dir.join("main/binary-amd64/Packages");
        fs::write(&plain, text).unwrap();
        assert!(Command::new("xz").arg("--force").arg(&plain).status().unwrap().success());
        let bytes = fs::read(dir.join("main/binary-amd64/Packages.xz")).unwrap();
        let release = format!(
            "Suite: stable\nCodename: {codename}\nDate: Mon, 23 Nov 2026 11:22:38 UTC\n{fields}MD5Sum:\n 00 1 main/binary-amd64/Packages.xz\nSHA256:\n {} {} main/binary-amd64/Packages.xz\n",
            sha256(&bytes),
            bytes.len()
        );
        fs::write(dir.join("Release"), release).unwrap();
        let users: Vec<String> =
            users.iter().flat_map(|user| ["--local-user".to_owned(), format!("{user}@example.org")]).collect();
        let (from, to) = (dir.join("Release"), dir.join("InRelease"));
        let mut args: Vec<&str> = users.iter().map(String::as_str).collect();
        args.extend(["--output", to.to_str().unwrap(), "--clearsign", from.to_str().unwrap()]);
        self.gpg(&args);
    }

    /// All three suites of trixie, with fixes in security.
    fn fill(&self, security: &[Row<'_>], main: &[Row<'_>]) {
        self.publish(
            "security",
            "trixie-security",
            "trixie-security",
            "Valid-Until: Mon, 30 Nov 2099 11:22:38 UTC\n",
            security,
            &["archive", "other"],
        );
        self.publish("debian", "trixie", "trixie", "", main, &["archive"]);
        self.publish("debian", "trixie-updates", "trixie-updates", "", &[], &["archive"]);
    }

    fn point(&self, world: &mut World) {
        for (name, value) in [("DEBIAN_MIRROR", "debian"), ("DEBIAN_SECURITY_MIRROR", "security")] {
            world.set(name, format!("file://{}", self.top.join(value).display()));
        }
        world.set("DEBIAN_KEYRING", self.keyring("archive"));
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf").env("GNUPGHOME", &self.home).args(["--kill", "all"]).status();
        let _ = fs::remove_dir_all(&self.home);
    }
}

const NEWER: Row<'_> = ("openssl", "3.5.5-1~deb13u1", "openssl", "3.5.5-1~deb13u1");

#[test]
fn a_fix_in_the_archive_is_a_reason_to_rebuild() {
    let mut world = published("security");
    let Some(archive) = Archive::new(&world) else { return };
    archive.point(&mut world);
    archive.fill(&[FIXED], &[BASH, OPENSSL]);
    let json = world.tool(&["check", "--security", "--exit-code", "--json"]).expect(10, &[]).json();
    let images = json["images"].as_array().unwrap();
    let states: Vec<_> = images.iter().map(|image| (&image["decision"], &image["security"]["state"])).collect();
    let (fixes, none) = ((&json!("rebuild"), &json!("fixes")), (&json!("skip"), &json!("none")));
    assert_eq!(states, [fixes, none, fixes], "{json}");
    let expected = json!({
        "reason": "security fixes", "name": "openssl", "version": "3.5.1-1", "fixed": "3.5.4-1~deb13u1", "packages": ["openssl"],
    });
    assert_eq!(images[0]["security"]["findings"], json!([expected]), "{json}");
    world.tool(&["check", "--security"]).expect(
        0,
        &[
            "security fixes: openssl",
            "security fixes: openssl 3.5.1-1, now 3.5.4-1~deb13u1",
            "no security fixes, nothing newer",
        ],
    );

    // A point release is another reason, and a fix is told once.
    archive.fill(&[FIXED], &[("bash", "5.2.37-2+b6", "bash", "5.2.37-2"), NEWER]);
    world
        .tool(&["check", "--security", IMAGES[0]])
        .expect(0, &["security fixes: openssl", "point release: bash 5.2.37-2+b5, now 5.2.37-2+b6"]);
    world.tool(&["check", "--security", IMAGES[1]]).expect(0, &["point release: bash, openssl"]);
    world.tool(&["check", "--security", "--base", "v0.44"]).expect(2, &["cannot be used with"]);

    // Before the first fix of a release its security archive is empty, which is an answer.
    archive.fill(&[], &[BASH, OPENSSL]);
    world.tool(&["check", "--security", IMAGES[0]]).expect(0, &["no security fixes, nothing newer"]);

    // The notes of the next set say what it fixes of what `check` found; of nothing else.
    archive.fill(&[FIXED], &[BASH, OPENSSL]);
    world.tool(&["check", "--security"]).expect(0, &["security fixes: openssl"]);
    for image in [IMAGES[0], IMAGES[1]] {
        world.build(image, 500 << 10, 9, Some("v0.45")).unwrap();
        list(&world, image, "trixie", &[FIXED, ("bash", "5.3-1", "bash", "5.3-1")]);
    }
    world.tool(&[PUBLISH, &["v0.45"]].concat()).expect(0, &["latest is v0.45 now"]);
    let notes = world.published().published("latest").unwrap().body.clone().unwrap();
    let fixes =
        "Security fixes:\n\n- `debian-12-custom`: openssl 3.5.1-1 → 3.5.4-1~deb13u1 (CVE-2026-1, CVE-2026-2)\n\n<";
    assert!(notes.contains(fixes), "{notes}");
}

#[test]
fn an_archive_that_is_not_to_be_believed_is_no_answer() {
    let mut world = published("forged");
    let Some(archive) = Archive::new(&world) else { return };
    archive.point(&mut world);
    archive.fill(&[FIXED], &[BASH, OPENSSL]);
    let check = ["check", "--security"];
    world.tool(&check).expect(0, &["rebuild"]);
    let until = "Valid-Until: Mon, 30 Nov 2099 11:22:38 UTC\n";
    let security = |fields: &str, codename: &str, users: &[&str]| {
        archive.publish("security", "trixie-security", codename, fields, &[OPENSSL], users);
    };

    security(until, "trixie-security", &["other"]);
    world.tool(&check).expect(3, &["no good signature", "there are any is unknown"]);
    security("Valid-Until: Mon, 30 Nov 2020 11:22:38 UTC\n", "trixie-security", &["archive"]);
    world.tool(&check).expect(3, &["was valid until Mon, 30 Nov 2020"]);
    security(until, "bookworm-security", &["archive"]);
    world.tool(&check).expect(3, &["is the release bookworm-security, not trixie-security"]);

    // Text before what is signed is nobody's.
    security(until, "trixie-security", &["archive"]);
    let path = archive.top.join("security/dists/trixie-security/InRelease");
    let signed = fs::read_to_string(&path).unwrap();
    let packages = archive.top.join("security/dists/trixie-security/main/binary-amd64/Packages.xz");
    let good = fs::read(&packages).unwrap();
    let forged = fs::read(archive.top.join("debian/dists/trixie/main/binary-amd64/Packages.xz")).unwrap();
    fs::write(&packages, &forged).unwrap();
    world.tool(&check).expect(3, &["does not match the signed InRelease"]);
    let before = format!("SHA256:\n {} {} main/binary-amd64/Packages.xz\n", sha256(&forged), forged.len());
    fs::write(&path, before + &signed).unwrap();
    world.tool(&check).expect(3, &[]);
    fs::write(&packages, good).unwrap();
    fs::write(&path, signed).unwrap();
    world.tool(&check).expect(0, &["no security fixes"]);

    world.set("DEBIAN_KEYRING", "/nonexistent/keyring.gpg");
    world.tool(&check).expect(3, &["no keyring /nonexistent/keyring.gpg"]);
    archive.point(&mut world);
    world.set("DEBIAN_SECURITY_MIRROR", "file:///nonexistent");
    world.tool(&check).expect(3, &["cannot read file:///nonexistent"]);
}

#[test]
fn an_image_without_a_list_is_unknown_and_never_said_to_have_no_fixes() {
    let world = world("unlisted");
    world.build_all(1, Some("v0.45")).unwrap();
    world.tool(&[PUBLISH, &["v0.45"]].concat()).expect(0, &[]);
    let json = world.tool(&["check", "--security", "--json"]).expect(0, &[]).json();
    for image in json["images"].as_array().unwrap() {
        assert_eq!(image["security"]["state"], "unknown", "{json}");
        assert!(image["security"]["reason"].as_str().unwrap().contains("no list of its packages"), "{json}");
    }
    world.tool(&["diff"]).expect(3, &["nothing to compare"]);
}

/// Says so where it isn't.
fn debian_is_reached(codename: &str) -> bool {
    let mirror =
        std::env::var("DEBIAN_SECURITY_MIRROR").unwrap_or_else(|_| "http://deb.debian.org/debian-security".into());
    let release = format!("{mirror}/dists/{codename}-security/InRelease");
    let answer = Command::new("curl").args(["-fsSo", "/dev/null", "--max-time", "20", &release]).status();
    let reached = answer.is_ok_and(|status| status.success())
        && Path::new("/usr/share/keyrings/debian-archive-keyring.gpg").exists();
    if !reached {
        println!("skipped: Debian's own security archive, which needs its mirror and debian-archive-keyring");
    }
    reached
}

/// Packages of Debian 13.0, two of which have had fixes since.
const OF_LAST_YEAR: [Row<'_>; 4] = [
    ("base-files", "99", "base-files", "99"),
    ("linux-image-6.12.41+deb13-amd64", "6.12.41-1", "linux-signed-amd64", "6.12.41+1"),
    ("openssl", "3.5.1-1", "openssl", "3.5.1-1"),
    ("tar", "99", "tar", "99"),
];

#[test]
fn debians_own_archive_has_fixes_for_what_is_old() {
    if !debian_is_reached("trixie") {
        return;
    }
    let world = world("debian");
    world.build_all(1, Some("v0.45")).unwrap();
    IMAGES.iter().for_each(|image| list(&world, image, "trixie", &OF_LAST_YEAR));
    world.tool(&[PUBLISH, &["v0.45"]].concat()).expect(0, &[]);
    let json = world.tool(&["check", "--security", "--json", IMAGES[0]]).expect(0, &[]).json();
    let findings = json["images"][0]["security"]["findings"].as_array().unwrap();
    let names: Vec<&str> = findings.iter().map(|finding| finding["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["linux-signed-amd64", "openssl"], "{json}");
    assert!(findings.iter().all(|finding| finding["reason"] == "security fixes"), "{json}");
    println!("{}", world.tool(&["check", "--security", IMAGES[0]]).expect(0, &[]).text());
}

/// What is installed on this machine, where that is a Debian which this mirror has: real names, real versions, an archive
/// with real signatures.
#[test]
fn this_machines_own_packages_are_held_against_debians_archive() {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename =
        ["bookworm", "trixie"].into_iter().find(|name| release.contains(&format!("VERSION_CODENAME={name}")));
    let Some(codename) = codename.filter(|_| release.contains("ID=debian")) else {
        println!("skipped: real packages, since this is neither Debian 12 nor 13");
        return;
    };
    if !debian_is_reached(codename) {
        return;
    }
    let world = world("real");
    world.build_all(1, Some("v0.45")).unwrap();
    let fields = "${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n";
    let output = Command::new("dpkg-query").args(["-W", "-f", fields]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let installed = text.lines().filter_map(|line| line.strip_prefix("installed\t"));
    let rows: Vec<Vec<&str>> = installed.map(|line| line.split('\t').collect()).collect();
    let rows: Vec<Row<'_>> = rows.iter().map(|row| (row[0], row[1], row[3], row[4])).collect();
    IMAGES.iter().for_each(|image| list(&world, image, codename, &rows));
    world.tool(&[PUBLISH, &["v0.45"]].concat()).expect(0, &[]);

    let json = world.tool(&["check", "--security", "--json", IMAGES[0]]).expect(0, &[]).json();
    let security = &json["images"][0]["security"];
    let findings = security["findings"].as_array().unwrap();
    assert!(findings.is_empty() == (security["state"] == "none"), "{security}");
    for finding in findings {
        let [version, fixed] = ["version", "fixed"].map(|key| finding[key].as_str().unwrap());
        let newer = Command::new("dpkg").args(["--compare-versions", fixed, "gt", version]).status().unwrap();
        assert!(newer.success(), "{finding}");
    }
    println!("{} packages:\n{}", rows.len(), world.tool(&["check", "--security", IMAGES[0]]).expect(0, &[]).text());
}
