//! `build-and-fetch` against real sshds on loopback, with the real ssh and scp.

mod attacks;
mod engine;
mod interrupted;
mod line;
mod odd_hosts;
mod odd_logins;
mod places;
mod refused;
mod running;
mod several;
mod stale;
pub mod world;

use std::fs;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use world::{IMAGE, World, qcow2};

#[test]
fn builds_fetches_and_verifies() {
    let world = World::new();
    let host = world.host("build1");
    host.set("SAY", "first\\033[2J line\\tend").unwrap();
    let ran = world.run_at("build1", &host, &["--json"]);
    ran.expect(0, &["building debian-12-custom on build1", "first line\tend", ": built in "]);
    world.assert_fetched(&host, IMAGE);
    let image = &ran.json()["images"][0];
    assert_eq!((&image["name"], &image["host"]), (&IMAGE.into(), &"build1".into()));
    assert_eq!((&image["built"], &image["skipped"]), (&true.into(), &false.into()));
    assert_eq!(image["fetched"], 262_144);
    let log = fs::read_to_string(world.dir.join(image["log"].as_str().unwrap())).unwrap();
    assert!(log.contains("first line\tend\n") && log.contains(": built\n"), "{log}");

    // Built once and fetched once; a small file that was lost comes again.
    fs::remove_file(world.images().join(IMAGE).join("image-version.txt")).unwrap();
    let ran = world.run_at("build1", &host, &["--json"]);
    ran.expect(0, &[": unchanged"]);
    let image = &ran.json()["images"][0];
    assert_eq!((&image["built"], &image["skipped"]), (&false.into(), &true.into()));
    assert_eq!(image["fetched"], 0);
    world.assert_fetched(&host, IMAGE);
}

#[test]
fn fetches_alone_and_replaces_an_older_image() {
    let world = World::new();
    let host = world.host("build1");
    host.put(IMAGE, &qcow2(300_000)).unwrap();
    world.run_at("build1", &host, &["--skip-build"]).expect(0, &[]);
    world.assert_fetched(&host, IMAGE);
    host.put(IMAGE, &qcow2(400_000)).unwrap();
    fs::remove_file(host.image_dir(IMAGE).join("image-version.txt")).unwrap();
    let builds = host.packer_dir().join("started");
    let before = fs::read_to_string(&builds).unwrap();
    world.run_at("build1", &host, &["--skip-build", IMAGE]).expect(0, &[]);
    assert_eq!(fs::read(world.image(IMAGE)).unwrap(), qcow2(400_000));
    assert!(!world.images().join(IMAGE).join("image-version.txt").exists(), "the older image's versions stayed");
    assert_eq!(fs::read_to_string(&builds).unwrap(), before, "nothing is built");
}

#[test]
fn an_image_in_a_flat_folder_stays_there() {
    let world = World::new();
    let host = world.host("build1");
    host.put(IMAGE, &qcow2(300_000)).unwrap();
    // Also where its checksum file alone is left.
    for left in [format!("{IMAGE}.qcow2"), format!("{IMAGE}.qcow2.sha256")] {
        let _ = fs::remove_dir_all(world.images());
        fs::create_dir_all(world.images()).unwrap();
        fs::write(world.images().join(&left), qcow2(10)).unwrap();
        world.run_at("build1", &host, &["--skip-build"]).expect(0, &[]);
        assert_eq!(
            world.files(),
            [format!("{IMAGE}.build.json"), format!("{IMAGE}.qcow2"), format!("{IMAGE}.qcow2.sha256")],
            "{left}"
        );
        assert_eq!(fs::read(world.images().join(format!("{IMAGE}.qcow2"))).unwrap(), qcow2(300_000));
    }
}

#[test]
fn a_folder_that_leads_to_another_disk_is_fetched_into() {
    let world = World::new();
    let host = world.host("build1");
    let disk = world.dir.join("disk");
    fs::create_dir_all(&disk).unwrap();
    fs::create_dir_all(world.images()).unwrap();
    std::os::unix::fs::symlink(&disk, world.images().join(IMAGE)).unwrap();
    for again in [0, 1] {
        host.put(IMAGE, &qcow2(300_000 + again)).unwrap();
        world.run_at("build1", &host, &["--skip-build"]).expect(0, &[]);
        world.assert_fetched(&host, IMAGE);
        assert!(disk.join(format!("{IMAGE}.qcow2")).exists() && world.images().join(IMAGE).is_symlink());
        assert_eq!(world.tool(&["checksum", "--verify", IMAGE]).output().unwrap().status.code(), Some(0));
    }
}

#[test]
fn an_image_that_is_here_as_parts_is_not_fetched_again() {
    let world = World::new();
    let host = world.host("build1");
    let bytes = qcow2(300_000);
    host.put(IMAGE, &bytes).unwrap();
    fs::create_dir_all(world.images().join(IMAGE)).unwrap();
    for (suffix, part) in [("aa", &bytes[..200_000]), ("ab", &bytes[200_000..])] {
        fs::write(world.images().join(IMAGE).join(format!("{IMAGE}.qcow2.part{suffix}")), part).unwrap();
    }
    let ran = world.run_at("build1", &host, &["--skip-build", "--json"]);
    ran.expect(0, &[]);
    assert_eq!(ran.json()["images"][0]["skipped"], true);
    assert!(!world.image(IMAGE).exists());
    assert!(world.images().join(IMAGE).join(format!("{IMAGE}.build.json")).exists());
    host.put(IMAGE, &qcow2(400_000)).unwrap();
    world.run_at("build1", &host, &["--skip-build"]).expect(0, &["parts here are of an older image"]);
    assert_eq!(fs::read(world.image(IMAGE)).unwrap(), qcow2(400_000));
}

#[test]
fn a_host_without_sftp_gives_its_images_too() {
    let world = World::new();
    let host = world.host("build1");
    world
        .network
        .wrap("scp", "echo 'subsystem request failed on channel 0' >&2\necho 'scp: Connection closed' >&2\nexit 255")
        .unwrap();
    world.run_at("build1", &host, &[]).expect(0, &["subsystem request failed"]);
    world.assert_fetched(&host, IMAGE);
}

/// sftp that begins elsewhere, and sftp for which the images are not there at all, while a shell sees them.
#[test]
fn a_host_whose_sftp_sees_other_files_gives_its_images_too() {
    for (script, as_root) in [
        ("exec \"$SFTP_SERVER\" -d /", false),
        (
            "exec unshare --mount sh -c 'mount -t tmpfs tmpfs \"$1\" && exec \"$2\"' sh \"$HOME/packer/images\" \"$SFTP_SERVER\"",
            true,
        ),
    ] {
        let world = World::new();
        let mut host = world.host("build1");
        host.put(IMAGE, &qcow2(300_000)).unwrap();
        host.serve_sftp(script).unwrap();
        let ran = world.run(&["--host", "build1", "--remote-dir", "packer", "--skip-build"]);
        if as_root && ran.stderr.contains("unshare failed") {
            println!("skipped: no mount of one's own can be made");
            continue;
        }
        ran.expect(0, &["continuing without scp", "No such file"]);
        world.assert_fetched(&host, IMAGE);
    }
}

/// A library in which calls fail that not all file systems know: CIFS syncs no folder, exFAT and WSL know no mode, NFS may lock
/// nothing.
const FEW_CALLS: &str = r#"
#include <errno.h>
#include <sys/types.h>
#define FAILS(name, arguments, number) int name arguments { errno = number; return -1; }
FAILS(fsync, (int fd), EINVAL)
FAILS(flock, (int fd, int how), ENOLCK)
FAILS(chmod, (const char *path, mode_t mode), EPERM)
FAILS(fchmod, (int fd, mode_t mode), EPERM)
FAILS(fchmodat, (int fd, const char *path, mode_t mode, int flags), EPERM)
"#;

#[test]
#[expect(clippy::disallowed_methods, reason = "the rule is for the tool's children; here a file system is imitated")]
fn a_file_system_that_lacks_calls_gets_images_with_warnings() {
    let world = World::new();
    let host = world.host("build1");
    let (source, library) = (world.dir.join("few.c"), world.dir.join("few.so"));
    fs::write(&source, FEW_CALLS).unwrap();
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    assert!(made.unwrap().success());
    let run = |words: &[&str]| world::Ran::from(world.tool(words).env("LD_PRELOAD", &library).output().unwrap());
    let dir = host.packer_dir().display().to_string();
    let fetch = ["build-and-fetch", "--host", "build1", "--remote-dir", &dir];
    run(&fetch).expect(0, &["does not support syncing", "does not support locking", "so it was left out"]);
    world.assert_fetched(&host, IMAGE);
    run(&["split", IMAGE, "--part-size", "100000"]).expect(0, &["does not support syncing"]);
    fs::remove_file(world.image(IMAGE).with_extension("qcow2.sha256")).unwrap();
    run(&["checksum", IMAGE]).expect(0, &["does not support syncing"]);
    let verified = world.tool(&["checksum", "--verify", IMAGE]).output().unwrap();
    assert_eq!(verified.status.code(), Some(0));
}

/// Several copies on the host: the one in the engine's own place, however old, and the others are named.
#[test]
fn of_several_copies_the_engines_own_is_fetched() {
    let world = World::new();
    let host = world.host("build1");
    // In the order of their age, where the last one is older than all computers.
    for (folder, size, since) in [("a-copy", 500_000, 200), ("backup", 400_000, 100), (IMAGE, 300_000, -100)] {
        host.put(IMAGE, &qcow2(size)).unwrap();
        let file = fs::File::options().append(true).open(host.image_dir(IMAGE).join(format!("{IMAGE}.qcow2"))).unwrap();
        let time = Duration::from_secs(i64::abs(since).cast_unsigned());
        file.set_modified(if since < 0 { UNIX_EPOCH - time } else { UNIX_EPOCH + time }).unwrap();
        if folder != IMAGE {
            fs::rename(host.image_dir(IMAGE), host.image_dir(folder)).unwrap();
        }
    }
    let ran = world.run_at("build1", &host, &["--skip-build"]);
    let others = ["`images/a-copy/debian-12-custom.qcow2`", "`images/backup/debian-12-custom.qcow2`"];
    ran.expect(0, &[others[0], others[1], "another file of the same image is used"]);
    assert_eq!(fs::read(world.image(IMAGE)).unwrap(), qcow2(300_000));
    // Where the engine's own place has none, the newest.
    fs::remove_dir_all(host.image_dir(IMAGE)).unwrap();
    world.run_at("build1", &host, &["--skip-build"]).expect(0, &["`images/backup/debian-12-custom.qcow2`"]);
    assert_eq!(fs::read(world.image(IMAGE)).unwrap(), qcow2(500_000));
}

#[test]
fn an_old_build_script_without_records_works() {
    let world = World::new();
    let host = world.host("build1");
    host.set("OLD", "1").unwrap();
    world.run_at("build1", &host, &[]).expect(0, &[]);
    assert_eq!(
        fs::read(world.image(IMAGE)).unwrap(),
        fs::read(host.image_dir(IMAGE).join(format!("{IMAGE}.qcow2"))).unwrap()
    );
    let record = world.record(IMAGE);
    assert_eq!((&record["recorded_by"], &record["built_from"]), (&"fetch".into(), &serde_json::Value::Null));
    assert_eq!(record["inputs"]["files"][1]["path"], "templates/debian-12-custom/template.pkr.hcl");
}

#[test]
fn a_record_of_another_build_is_not_brought() {
    let world = World::new();
    let host = world.host("build1");
    host.put(IMAGE, &qcow2(300_000)).unwrap();
    let record = host.image_dir(IMAGE).join(format!("{IMAGE}.build.json"));
    let text = fs::read_to_string(&record).unwrap();
    let digest = text.split('"').nth(3).unwrap();
    fs::write(&record, text.replace(digest, &"0".repeat(64))).unwrap();
    world.run_at("build1", &host, &["--skip-build"]).expect(0, &["build record", "another build"]);
    assert!(world.image(IMAGE).exists());
    assert!(!world.files().iter().any(|file| file.ends_with(".build.json")));
}

#[test]
fn the_users_own_ssh_configuration_holds() {
    let world = World::new();
    let host = world.host("build1");
    // A master that persists would hold our pipes open; a forwarding may be taken; a remote command would be in the way.
    let config = fs::read_to_string(world.network.config()).unwrap();
    let own = format!(
        "Host jump-*\n  HostName 127.0.0.1\n  Port {}\n  HostKeyAlias build1\n  ProxyJump build1\n\
         Host *\n  ControlMaster auto\n  ControlPath {}/%C\n  ControlPersist 2\n  RemoteCommand false\n  RequestTTY yes\n\
         LocalForward 127.0.0.1:{} 127.0.0.1:1\n  ExitOnForwardFailure yes\n",
        host.port(),
        world.network.bin().display(),
        host.port(),
    );
    fs::write(world.network.config(), format!("{config}\n{own}")).unwrap();
    world.run_at("jump-build", &host, &[]).expect(0, &[]);
    world.assert_fetched(&host, IMAGE);
}
