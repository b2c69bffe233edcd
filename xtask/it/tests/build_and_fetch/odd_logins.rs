//! Logins that say too much, that may do one thing alone, and builds that somebody began by hand.

use std::fs;
use std::process::{Child, Command, Stdio};

use rehearsal::host::BuildHost;

use super::world::{IMAGE, World, qcow2, until};

#[test]
fn a_login_that_prints_without_end_is_told_from_one_that_prints_much() {
    let world = World::new();
    let host = world.host("build1");
    host.put(IMAGE, &qcow2(300_000)).unwrap();
    // More than any file here has, and the image comes all the same.
    host.at_login("[ -e quiet ] || head -c 3000000 /dev/zero | tr '\\0' x").unwrap();
    world.run_at("build1", &host, &["--skip-build"]).expect(0, &["continuing without scp"]);
    world.assert_fetched(&host, IMAGE);
    host.at_login("yes").unwrap();
    world
        .run_at("build1", &host, &["--skip-build"])
        .expect(1, &["the login on build1 prints without end", "case $- in"]);
}

#[test]
fn an_account_for_sftp_alone_is_said_in_one_sentence() {
    let world = World::new();
    let mut host = world.host("build1");
    host.allow_sftp_alone().unwrap();
    let ran = world.run_at("build1", &host, &[]);
    ran.expect(3, &["the login on build1 runs no commands", "sftp", "give that account a shell"]);
    assert_eq!(ran.stderr.trim().lines().count(), 2, "{}", ran.stderr);
}

/// A build that a person began on the host; killed when it is dropped.
struct ByHand(Child);

impl ByHand {
    #[expect(clippy::disallowed_methods, reason = "the rule is for the tool's children; here a person builds by hand")]
    fn begin(host: &BuildHost, line: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec {line}")]).current_dir(host.packer_dir()).env("BY_HAND", "1");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun =
            || fs::read_to_string(format!("/proc/{}/cmdline", child.id())).is_ok_and(|line| !line.contains("exec"));
        until("it runs", begun);
        Self(child)
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_build_of_all_by_hand_is_one_of_each_image() {
    let world = World::with(&[IMAGE, "debian-13-pve"]);
    let host = world.host("build1");
    let engine = "#!/bin/sh\n# knows --force\n[ -n \"${BY_HAND-}\" ] || exit 5\nwhile :; do sleep 0.2; done\n";
    fs::write(host.packer_dir().join("build.sh"), engine).unwrap();
    for (line, refused) in [
        ("./build.sh", true),
        ("sh -e build.sh --force", true),
        ("./build.sh --force debian-13-pve debian-12-custom", true),
        ("./build.sh debian-13-pve", false),
        ("tail -f build.sh", false),
        ("sh -c 'while :; do sleep 0.2; done' build.sh debian-12-custom", false),
    ] {
        let by_hand = ByHand::begin(&host, line);
        let says = if refused { "is building debian-12-custom already, as process" } else { "exit code 5" };
        world.run_at("build1", &host, &[IMAGE]).expect(1, &[says]);
        drop(by_hand);
    }
}
