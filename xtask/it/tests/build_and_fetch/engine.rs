//! The real packer/build.sh on the other side, with a stand-in for HashiCorp Packer below it.

use std::fs;
use std::path::{Path, PathBuf};

use rehearsal::host::BuildHost;

use super::world::{IMAGE, World, copy};

/// Puts the packer directory of this repository on the host.
pub fn install(world: &World, host: &BuildHost) -> PathBuf {
    let packer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packer");
    fs::remove_dir_all(host.packer_dir()).unwrap();
    copy(&packer, &host.packer_dir());
    // The same to build from here.
    fs::remove_dir_all(world.dir.join("packer")).unwrap();
    copy(&packer, &world.dir.join("packer"));
    let base = world.dir.join("base.qcow2");
    fs::write(&base, super::world::qcow2(1000)).unwrap();
    let pids = world.dir.join("pids");
    let path =
        format!("{}:{}", packer.join("tests/stub").canonicalize().unwrap().display(), std::env::var("PATH").unwrap());
    for (name, value) in [
        ("PATH", path.as_str()),
        ("BASE_IMAGE_URL", base.to_str().unwrap()),
        ("ACCELERATOR", "tcg"),
        // What the stand-in writes is no system that could boot.
        ("BOOT_TEST", "no"),
        ("STUB_PIDS", pids.to_str().unwrap()),
    ] {
        host.export(name, value).unwrap();
    }
    pids
}

fn runs(pid: &str) -> bool {
    // A zombie has ended; who reaps it is another matter.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn an_image_is_built_once_fetched_and_known_by_its_record() {
    let world = World::new();
    let host = world.host("build1");
    install(&world, &host);
    let ran = world.run_at("build1", &host, &["--json"]);
    ran.expect(0, &["stub packer building"]);
    world.assert_fetched(&host, IMAGE);
    assert_eq!(ran.json()["images"][0]["built"], true);
    let ran = world.run_at("build1", &host, &["--json"]);
    ran.expect(0, &["unchanged"]);
    let image = &ran.json()["images"][0];
    assert_eq!((&image["built"], &image["skipped"]), (&false.into(), &true.into()));
    let ran = world.run_at("build1", &host, &["--json", "--force"]);
    ran.expect(0, &["because of --force", "stub packer building"]);
    world.assert_fetched(&host, IMAGE);
    assert_eq!(ran.json()["images"][0]["built"], true);
}

#[test]
fn the_lists_of_packages_and_files_come_with_their_image() {
    let world = World::new();
    let host = world.network.host("build1").unwrap();
    install(&world, &host);
    world.run_at("build1", &host, &[]).expect(0, &["stub packer building"]);
    for (file, least) in [(format!("{IMAGE}.cdx.json"), 1000), (format!("{IMAGE}.files.gz"), 100)] {
        let (there, here) = (host.image_dir(IMAGE).join(&file), world.images().join(IMAGE).join(&file));
        let list = fs::read(&there).unwrap();
        assert!(list.len() > least && fs::read(&here).unwrap() == list);

        // One that was lost here comes again with an image that is here already.
        fs::remove_file(&here).unwrap();
        world.run_at("build1", &host, &["--skip-build"]).expect(0, &[]);
        assert_eq!(fs::read(&here).unwrap(), list);

        // One that isn't the record's is not believed.
        fs::write(&there, "{}").unwrap();
        fs::remove_file(&here).unwrap();
        let not_the_one = format!("on build1, the list {file} of image {IMAGE} has sha256");
        world.run_at("build1", &host, &["--skip-build"]).expect(4, &[&not_the_one, "the build record there says"]);
        assert!(!here.exists());
        fs::write(&there, list).unwrap();
    }
}

#[test]
fn a_failed_build_tells_what_the_engine_said() {
    let world = World::new();
    let host = world.host("build1");
    install(&world, &host);
    host.export("STUB_PACKER", "fail").unwrap();
    world
        .run_at("build1", &host, &[])
        .expect(1, &["build.sh on build1 failed", "exit code 1", "non-zero exit status: 7"]);
    assert_eq!(world.files(), [""; 0]);
}

#[test]
fn ctrl_c_ends_packer_and_what_packer_started() {
    let world = World::new();
    let host = world.host("build1");
    let pids = install(&world, &host);
    host.export("STUB_PACKER", "hang").unwrap();
    let mut tool = world.start_at("build1", &host, &[]);
    let started = || fs::read_to_string(&pids).unwrap_or_default();
    tool.until("packer runs", || started().lines().count() == 2);
    assert!(started().lines().all(runs));
    tool.signal("INT");
    let ran = tool.wait();
    ran.expect(130, &["stopping the build on build1", "interrupted by signal 2"]);
    assert!(!ran.stderr.contains("may still be running there"), "{}", ran.stderr);
    assert!(!started().lines().any(runs), "packer ended before the tool did");
}
