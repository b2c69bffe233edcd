//! `build-and-fetch` against real sshds on loopback, with the real ssh and scp.

mod engine;
mod interrupted;
mod line;
mod odd_hosts;
mod odd_logins;
mod refused;
mod running;
mod several;
mod stale;
mod world;

use std::fs;

use world::{IMAGE, World, qcow2};

#[test]
fn builds_fetches_and_verifies() {
    let world = World::new();
    let host = world.host("build1");
    host.set("SAY", "first\\033[2J line\\tend").unwrap();
    let ran = world.run_at("build1", &host, &["--json"]);
    ran.expect(0, &["building debian-12-custom on build1", "first line\tend"]);
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
    fs::create_dir_all(world.images()).unwrap();
    fs::write(world.images().join(format!("{IMAGE}.qcow2")), qcow2(10)).unwrap();
    world.run_at("build1", &host, &["--skip-build"]).expect(0, &[]);
    assert_eq!(
        world.files(),
        [format!("{IMAGE}.build.json"), format!("{IMAGE}.qcow2"), format!("{IMAGE}.qcow2.sha256")]
    );
    assert_eq!(fs::read(world.images().join(format!("{IMAGE}.qcow2"))).unwrap(), qcow2(300_000));
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
