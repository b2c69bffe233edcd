//! What can be wrong with a host or what it has: each with its exit code and cure, and nothing here is lost.

use std::fs;
use std::path::Path;

use super::world::{IMAGE, World, qcow2};

const BEFORE: &[u8] = b"QFI\xfb the image that was here";

/// A world with an image from before, which must survive.
fn with_image() -> World {
    let world = World::new();
    fs::create_dir_all(world.images().join(IMAGE)).unwrap();
    fs::write(world.image(IMAGE), BEFORE).unwrap();
    world
}

fn assert_nothing_changed(world: &World) {
    assert_eq!(fs::read(world.image(IMAGE)).unwrap(), BEFORE);
    assert_eq!(world.files(), [format!("{IMAGE}/{IMAGE}.qcow2")]);
}

#[test]
fn names_that_are_no_host_or_folder() {
    let world = with_image();
    let marker = world.dir.join("marker");
    let proxy = format!("-oProxyCommand=touch {}", marker.display());
    for (arguments, word) in [
        (vec!["--host", proxy.as_str()], "begins with `-`"),
        (vec!["--host", "a b"], "character ` `"),
        (vec!["--host", "a;touch marker"], "character `;`"),
        (vec!["--host", "a\u{1b}[2J"], "character `\\u{1b}`"),
        (vec!["--host", "build1:22"], "ssh://"),
        (vec!["--host", "build1", "--remote-dir", "-x"], "--remote-dir"),
        (vec!["--host", "build1", "--remote-dir", "/a;touch marker"], "character `;`"),
        (vec!["--host", "build1", "--remote-dir", "$(touch marker)"], "character `$`"),
        (vec!["--host", "build1", "no-such-image"], "unknown image `no-such-image`; known images: debian-12-custom"),
        (vec![], "--host"),
    ] {
        world.run(&arguments).expect(2, &[word]);
    }
    assert!(!marker.exists());
    assert_nothing_changed(&world);
}

#[test]
fn a_host_that_is_unreachable() {
    let world = with_image();
    let mut host = world.host("build1");
    host.stop();
    world.run_at("build1", &host, &[]).expect(3, &["can't reach build1", "Connection refused", "ssh build1 true"]);
    world.run(&["--host", "no-such-host.invalid"]).expect(3, &["no-such-host.invalid", "check the name"]);
    assert_nothing_changed(&world);
}

#[test]
fn a_host_that_refuses_the_key() {
    let world = with_image();
    let host = world.host("build1");
    host.refuse_keys().unwrap();
    world.run_at("build1", &host, &[]).expect(3, &["build1 refused the login", "ssh-copy-id build1"]);
    assert_nothing_changed(&world);
}

#[test]
fn a_host_whose_key_is_unknown_or_has_changed() {
    let world = with_image();
    let mut host = world.host("build1");
    host.change_host_key().unwrap();
    world.run_at("build1", &host, &[]).expect(3, &["host key of build1 has changed", "ssh-keygen -R 'build1'"]);
    fs::write(world.network.known_hosts(), "").unwrap();
    world.run_at("build1", &host, &[]).expect(3, &["host key of build1 is not known", "fingerprint"]);
    assert_nothing_changed(&world);
}

#[test]
fn a_host_whose_key_is_revoked_or_whose_certificate_has_expired() {
    let world = with_image();
    let mut host = world.host("build1");
    let known = fs::read_to_string(world.network.known_hosts()).unwrap();
    fs::write(world.network.known_hosts(), format!("@revoked * {}{known}", known.strip_prefix("build1 ").unwrap()))
        .unwrap();
    let ran = world.run_at("build1", &host, &[]);
    ran.expect(3, &["the host key of build1 is revoked", "REVOKED", "fix: don't connect"]);
    assert!(!ran.stderr.contains("connect once by hand"), "{}", ran.stderr);
    // One that is good, one that was, and one that is for another name.
    for (name, validity, says) in [
        ("build1", "always:forever", None),
        ("build1", "20200101:20200102", Some("expired")),
        ("build2", "always:forever", Some("not valid")),
    ] {
        let ca = host.certify(name, validity).unwrap();
        fs::write(world.network.known_hosts(), format!("@cert-authority * {ca}")).unwrap();
        let ran = world.run_at("build1", &host, &["--skip-build"]);
        let Some(says) = says else {
            ran.expect(3, &["no image debian-12-custom"]);
            continue;
        };
        ran.expect(3, &["the host certificate of build1 is not valid", says, "signed again"]);
        assert!(!ran.stderr.contains("connect once by hand"), "{}", ran.stderr);
    }
    assert_nothing_changed(&world);
}

#[test]
fn a_remote_folder_or_build_script_that_is_missing() {
    let world = with_image();
    let host = world.host("build1");
    world
        .run(&["--host", "build1", "--remote-dir", "/no/such/folder"])
        .expect(3, &["no folder /no/such/folder", "--remote-dir"]);
    fs::remove_file(host.packer_dir().join("build.sh")).unwrap();
    world.run_at("build1", &host, &[]).expect(3, &["build1 has no executable", "build.sh"]);
    world
        .run_at("build1", &host, &["--skip-build"])
        .expect(3, &["no image debian-12-custom", "leave --skip-build out"]);
    assert_nothing_changed(&world);
}

#[test]
fn a_build_that_fails() {
    let world = with_image();
    let host = world.host("build1");
    host.set("FAIL", "7").unwrap();
    let ran = world.run_at("build1", &host, &[]);
    ran.expect(1, &["exit code 7", "no space for the guest's disk", "packer/logs/debian-12-custom-"]);
    assert!(
        ran.stderr.lines().any(|line| line == "  build.sh: debian-12-custom: no space for the guest's disk"),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("build.sh:  "), "{}", ran.stderr);
    let log = ran.stderr.split("read the log: ").last().unwrap().lines().next().unwrap();
    assert!(fs::read_to_string(world.dir.join(log)).unwrap().contains("no space for the guest's disk"), "{log}");
    let ran = world.run_at("build1", &host, &["--json"]);
    assert_eq!((&ran.json()["status"], &ran.json()["exit_code"]), (&"error".into(), &1.into()));
    host.set("FAIL", "255").unwrap();
    world.run_at("build1", &host, &[]).expect(1, &["exit code 255"]);
    assert_nothing_changed(&world);
}

#[test]
fn an_image_without_a_checksum_or_with_another_one() {
    let world = with_image();
    let host = world.host("build1");
    host.put(IMAGE, &qcow2(300_000)).unwrap();
    let checksum = host.image_dir(IMAGE).join(format!("{IMAGE}.qcow2.sha256"));
    let right = fs::read_to_string(&checksum).unwrap();
    let right = right.split(' ').next().unwrap();
    let wrong = "ab".repeat(32);
    fs::write(&checksum, format!("{wrong}  {IMAGE}.qcow2\n")).unwrap();
    world.run_at("build1", &host, &["--skip-build"]).expect(4, &[right, &wrong, "build1", "with `--force`"]);
    assert_nothing_changed(&world);
    fs::write(&checksum, format!("{right}  ../{IMAGE}.qcow2\n")).unwrap();
    world.run_at("build1", &host, &["--skip-build"]).expect(1, &["checksum file", "build1", "damaged"]);
    fs::remove_file(&checksum).unwrap();
    world.run_at("build1", &host, &["--skip-build"]).expect(3, &["without its checksum file", "./checksums.sh"]);
    assert_nothing_changed(&world);
}

#[test]
fn an_image_that_is_no_qcow2() {
    let world = with_image();
    let host = world.host("build1");
    host.put(IMAGE, b"<html>not found</html>").unwrap();
    world.run_at("build1", &host, &["--skip-build"]).expect(1, &["not a qcow2", "build1"]);
    assert_nothing_changed(&world);
}

#[test]
fn remote_names_that_lead_elsewhere_are_passed_over() {
    let world = with_image();
    let host = world.host("build1");
    host.put(IMAGE, &qcow2(300_000)).unwrap();
    for (folder, file, shown) in [
        ("x\ny", "x.qcow2", "images/x\\ny/x.qcow2"),
        ("x", "it's.qcow2", "images/x/it's.qcow2"),
        ("x", "a\"b.qcow2", "images/x/a\"b.qcow2"),
        ("x", "a\\..\\x.qcow2", "images/x/a\\..\\x.qcow2"),
        ("x", "\u{1b}]0;x\u{7}.qcow2", "\\u{1b}]0;x\\u{7}.qcow2"),
    ] {
        let dir = host.image_dir(folder);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(file), "x").unwrap();
        let ran = world.run_at("build1", &host, &["--skip-build"]);
        ran.expect(0, &["build1 has `", shown, "ignored: not the name of an image"]);
        assert!(!ran.stderr.contains('\u{1b}'));
        fs::remove_dir_all(dir).unwrap();
    }
    world.assert_fetched(&host, IMAGE);
}

#[test]
fn two_files_for_one_image_and_a_symlink() {
    let world = with_image();
    let host = world.host("build1");
    host.put(IMAGE, &qcow2(300_000)).unwrap();
    let flat = world.images().join(format!("{IMAGE}.qcow2"));
    fs::write(&flat, BEFORE).unwrap();
    world.run_at("build1", &host, &["--skip-build"]).expect(1, &["two files", "fix: remove one"]);
    fs::remove_file(&flat).unwrap();
    let elsewhere = world.dir.join("elsewhere.qcow2");
    fs::rename(world.image(IMAGE), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, world.image(IMAGE)).unwrap();
    world.run_at("build1", &host, &["--skip-build"]).expect(1, &["not a regular file"]);
    assert_eq!(fs::read(&elsewhere).unwrap(), BEFORE);
}

#[test]
fn ssh_that_is_not_installed() {
    let world = with_image();
    let empty = world.dir.join("empty");
    fs::create_dir_all(&empty).unwrap();
    let output = world.command(&["--host", "build1"]).env("PATH", &empty).output().unwrap();
    super::world::Ran::from(output).expect(3, &["ssh is not installed", "apt install openssh-client"]);
    assert_nothing_changed(&world);
}

/// A small file system of its own, for root only.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    #[expect(clippy::disallowed_methods, reason = "the rule is for the tool's children; here a disk of a test is made")]
    fn mount(at: &'a Path, size: &str) -> Option<Self> {
        let options = format!("size={size}");
        let mount = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(at)),
            Ok(output) => {
                println!("skipped: no small disk can be mounted: {}", String::from_utf8_lossy(&output.stderr).trim());
                None
            }
            Err(error) => {
                println!("skipped: no small disk can be mounted: {error}");
                None
            }
        }
    }
}

impl Drop for SmallDisk<'_> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the rule is for the tool's children; here a disk of a test is taken away"
    )]
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_disk_that_is_full() {
    let world = World::new();
    let host = world.host("build1");
    host.put(IMAGE, &qcow2(3 << 20)).unwrap();
    let images = world.images();
    fs::create_dir_all(&images).unwrap();
    let Some(_disk) = SmallDisk::mount(&images, "4m") else { return };
    fs::create_dir_all(images.join(IMAGE)).unwrap();
    fs::write(world.image(IMAGE), BEFORE).unwrap();

    let filler = images.join("filler");
    fs::write(&filler, vec![1; 2 << 20]).unwrap();
    world
        .run_at("build1", &host, &["--skip-build"])
        .expect(3, &["no room for image", "3.0 MiB are needed", "--images"]);
    assert_nothing_full(&world);

    // There is room when it begins, and none when the bytes come.
    fs::remove_file(&filler).unwrap();
    let real = fs::read_to_string(world.network.bin().join("scp")).unwrap();
    let real = real.lines().last().unwrap();
    let fill = format!("head -c 2097152 /dev/zero >'{}'\n{real}", filler.display());
    world.network.wrap("scp", &fill).unwrap();
    world
        .run_at("build1", &host, &["--skip-build"])
        .expect(1, &["stopped at ", "the disk is full", "fix: free space there"]);
    assert_nothing_full(&world);

    fs::remove_file(&filler).unwrap();
    world.run_at("build1", &host, &["--skip-build"]).expect(0, &["resuming at"]);
    world.assert_fetched(&host, IMAGE);
}

/// No file system with quotas is at hand: what scp says there, today's and an older one.
#[test]
fn a_quota_that_is_reached() {
    for said in ["scp: write local \"$file\": Disk quota exceeded", "$file: Disk quota exceeded"] {
        let world = with_image();
        let host = world.host("build1");
        host.put(IMAGE, &qcow2(3 << 20)).unwrap();
        let script = format!("for file; do :; done\nhead -c 100000 /dev/zero >\"$file\"\necho \"{said}\" >&2\nexit 1");
        world.network.wrap("scp", &script).unwrap();
        let ran = world.run_at("build1", &host, &["--skip-build"]);
        ran.expect(1, &["Disk quota exceeded: the disk is full", "fix: free space there, or name another folder"]);
        for wrong in ["BatchMode", "builder said", "build1 said", "the same command"] {
            assert!(!ran.stderr.contains(wrong), "`{wrong}`: {}", ran.stderr);
        }
        assert_nothing_full(&world);
    }
}

#[test]
fn a_host_whose_disk_is_full_during_a_sync() {
    let world = with_image();
    let host = world.host("build1");
    let mut state: u32 = 1;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    fs::create_dir_all(world.dir.join("packer/shared")).unwrap();
    fs::write(world.dir.join("packer/shared/large"), noise.take(600_000).collect::<Vec<u8>>()).unwrap();
    let synced = host.packer_dir().with_file_name(".cache/homestak-packer");
    fs::create_dir_all(&synced).unwrap();
    let Some(_disk) = SmallDisk::mount(&synced, "400k") else { return };
    let ran = world.run(&["--host", "build1", "--sync"]);
    ran.expect(
        1,
        &["the disk of build1 is full, or a quota is reached", "No space left on device", "fix: free space there"],
    );
    assert!(!ran.stderr.contains("BatchMode"), "{}", ran.stderr);
    let left = fs::read_dir(synced.join("packer")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), [""; 0]);
    assert_nothing_changed(&world);
}

fn assert_nothing_full(world: &World) {
    assert_eq!(fs::read(world.image(IMAGE)).unwrap(), BEFORE);
    let shown: Vec<_> = world.files().into_iter().filter(|file| !file.contains("/.") && file != "filler").collect();
    assert_eq!(shown, [format!("{IMAGE}/{IMAGE}.qcow2")]);
}
