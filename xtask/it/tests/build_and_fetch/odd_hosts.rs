//! Hosts and configurations as people have them.

use std::fs;
use std::path::Path;
use std::process::Command;

use rehearsal::process::kill;

use super::line;
use super::world::{IMAGE, Ran, World, qcow2, until};

const SIZE: usize = 3 << 20;

/// The tool's doctor, asked about the host.
pub fn doctor(world: &World, dir: &Path) -> Ran {
    doctor_of(world, &["--remote-dir", dir.to_str().unwrap()])
}

/// The same with other options.
pub fn doctor_of(world: &World, more: &[&str]) -> Ran {
    let words = [&["doctor", "--json", "--repo", "a/b", "--host", "build1"], more].concat();
    Ran::from(world.tool(&words).output().unwrap())
}

/// What it says of one thing: its state and its words.
#[track_caller]
pub fn finding(ran: &Ran, what: &str) -> (String, String) {
    let json = ran.json();
    let found =
        json["findings"].as_array().unwrap().iter().find(|finding| finding["what"] == format!("host build1: {what}"));
    let found = found.unwrap_or_else(|| panic!("no {what} in {json:#}"));
    let text = |name: &str| found[name].as_str().unwrap().to_owned();
    (text("state"), text("said"))
}

#[test]
fn a_login_that_prints_something_is_borne_and_told() {
    let world = World::new();
    let host = world.host("build1");
    host.at_login("echo 'Welcome to build1!'; echo 'No mail.' >&2").unwrap();
    host.put(IMAGE, &qcow2(SIZE)).unwrap();
    let ran = world.run_at("build1", &host, &["--skip-build", "--json"]);
    ran.expect(0, &["scp can't work", "case $- in", "continuing without scp"]);
    world.assert_fetched(&host, IMAGE);
    assert_eq!(ran.json()["images"][0]["fetched"], SIZE);
    // Resumed, whatever is printed before.
    fs::remove_dir_all(world.images()).unwrap();
    line::cut_once(&world, &host, 2, SIZE / 2);
    world.run_at("cut", &host, &["--skip-build"]).expect(0, &["resuming in"]);
    world.assert_fetched(&host, IMAGE);
    fs::remove_dir_all(world.images()).unwrap();
    world.run_at("build1", &host, &[]).expect(0, &["unchanged"]);
}

/// Lets somebody do something on the host between the listing and the copy: each time, or once. `$n` counts.
fn meanwhile(world: &World, once: bool, what: &str) {
    let scp = fs::read_to_string(world.network.bin().join("scp")).unwrap();
    let count = world.dir.join("count");
    let script = format!(
        "echo x >>'{count}'\nn=$(wc -l <'{count}')\n[ \"$n\" -gt {most} ] || {{ {what}; }} >&2 </dev/null\n{}",
        scp.lines().last().unwrap(),
        count = count.display(),
        most = if once { 1 } else { 1000 },
    );
    world.network.wrap("scp", &script).unwrap();
}

/// A build of an image that has so many bytes more, or fewer.
fn built_anew(world: &World, host: &rehearsal::host::BuildHost, once: bool, more: i32) {
    let build = host.packer_dir().join("build.sh");
    meanwhile(world, once, &format!("FORCE=1 SIZE=$(({SIZE} + n * {more})) '{}' {IMAGE}", build.display()));
}

#[test]
fn an_image_that_grows_or_shrinks_during_its_fetch_is_listed_again() {
    for more in [1000, -1_000_000] {
        let world = World::new();
        let host = world.host("build1");
        host.put(IMAGE, &qcow2(SIZE)).unwrap();
        built_anew(&world, &host, true, more);
        world.run_at("build1", &host, &["--skip-build"]).expect(0, &["changed on the host during the transfer"]);
        world.assert_fetched(&host, IMAGE);
        // At the second attempt it had the size that it had been listed with.
        assert_eq!(fs::read_to_string(world.dir.join("count")).unwrap().lines().count(), 2);
    }
}

#[test]
fn an_image_that_is_removed_during_its_fetch_is_named() {
    let world = World::new();
    let host = world.host("build1");
    host.put(IMAGE, &qcow2(SIZE)).unwrap();
    meanwhile(&world, true, &format!("rm -r '{}'", host.image_dir(IMAGE).display()));
    world.run_at("build1", &host, &["--skip-build"]).expect(1, &["was removed on build1 while it was fetched"]);
    assert_eq!(world.files(), [""; 0]);
}

#[test]
fn an_image_that_never_stops_growing_is_given_up() {
    let world = World::new();
    let host = world.host("build1");
    host.put(IMAGE, &qcow2(SIZE)).unwrap();
    built_anew(&world, &host, false, 1000);
    let ran = world.run_at("build1", &host, &["--skip-build"]);
    ran.expect(1, &["changed while it was fetched", "wait until the program"]);
    assert!(!world.image(IMAGE).exists());
    assert_eq!(fs::read_to_string(world.dir.join("count")).unwrap().lines().count(), 3);
    assert_eq!(world.files(), [""; 0]);
}

#[test]
fn what_would_break_us_in_a_configuration_is_overridden() {
    let world = World::new();
    let host = world.host("build1");
    let config = fs::read_to_string(world.network.config()).unwrap();
    let own = "SessionType none\nStdinNull yes\nForkAfterAuthentication yes\nPermitLocalCommand yes\n\
               LocalCommand echo local\nForwardAgent yes\nForwardX11 yes\nRequestTTY force\nRemoteCommand false\n";
    fs::write(world.network.config(), format!("{own}{config}")).unwrap();
    world.run_at("build1", &host, &[]).expect(0, &[]);
    world.assert_fetched(&host, IMAGE);
}

/// What a person's configuration says about time, and what the tool says where it is silent.
#[test]
fn a_persons_own_time_limits_hold() {
    let world = World::new();
    let host = world.host("build1");
    host.put(IMAGE, &qcow2(SIZE)).unwrap();
    let calls = world.dir.join("calls");
    for program in ["ssh", "scp"] {
        let real = fs::read_to_string(world.network.bin().join(program)).unwrap();
        let script = format!("echo \"$@\" >>'{}'\n{}", calls.display(), real.lines().last().unwrap());
        world.network.wrap(program, &script).unwrap();
    }
    let config = fs::read_to_string(world.network.config()).unwrap();
    for (own, ours) in [
        ("", &["ConnectTimeout=15", "ServerAliveInterval=10"][..]),
        ("ConnectTimeout 60\n", &["ServerAliveInterval=10"]),
        ("ConnectTimeout 60\nServerAliveInterval 120\n", &[]),
    ] {
        fs::write(world.network.config(), format!("{own}{config}")).unwrap();
        let _ = fs::remove_dir_all(world.images());
        let _ = fs::remove_file(&calls);
        world.run_at("build1", &host, &["--skip-build"]).expect(0, &[]);
        let said = fs::read_to_string(&calls).unwrap();
        let connections: Vec<&str> = said.lines().filter(|line| line.contains("BatchMode=yes")).collect();
        assert!(connections.len() >= 2, "a listing and a copy: {said}");
        for line in connections {
            for option in ["ConnectTimeout=15", "ServerAliveInterval=10"] {
                assert_eq!(line.contains(option), ours.contains(&option), "{option} with `{own}`: {line}");
            }
        }
    }
}

#[test]
fn a_proxy_that_leaves_a_helper_behind_holds_nobody_up() {
    let world = World::new();
    let host = world.host("build1");
    let (config, pids) = (world.network.config(), world.dir.join("helpers"));
    let helper = world.dir.join("proxy");
    fs::write(
        &helper,
        format!(
            "#!/bin/sh\nsleep 300 >/dev/null &\necho $! >>'{}'\nexec ssh -F '{}' -W \"$1:$2\" build1\n",
            pids.display(),
            config.display()
        ),
    )
    .unwrap();
    let alias = format!(
        "Host helped\n  HostName 127.0.0.1\n  Port {}\n  HostKeyAlias build1\n  ProxyCommand sh {} %h %p\n\n",
        host.port(),
        helper.display()
    );
    fs::write(&config, fs::read_to_string(&config).unwrap() + &alias).unwrap();
    let ran = world.run_at("helped", &host, &[]);
    let helpers = fs::read_to_string(&pids).unwrap();
    assert!(helpers.lines().any(|pid| Path::new(&format!("/proc/{pid}")).exists()), "they outlive their ssh");
    for pid in helpers.lines() {
        kill("KILL", pid);
    }
    ran.expect(0, &[]);
    world.assert_fetched(&host, IMAGE);
}

#[test]
fn words_like_sshs_from_a_login_script_hide_no_failure() {
    let world = World::with(&[IMAGE, "debian-13-pve"]);
    let host = world.host("build1");
    host.at_login(
        "echo 'ssh: connect to host nas port 22: Connection refused' >&2; echo 'Host key verification failed.' >&2",
    )
    .unwrap();
    host.set("FAIL", "7").unwrap();
    world
        .run_at("build1", &host, &[])
        .expect(1, &["2 problems", "failed to build debian-12-custom: exit code 7", "failed to build debian-13-pve"]);
    host.set("FAIL", "255").unwrap();
    world.run_at("build1", &host, &[IMAGE]).expect(1, &["exit code 255"]);
}

#[test]
fn another_program_that_is_called_packer_is_told() {
    let world = World::new();
    let host = world.host("build1");
    let bin = world.dir.join("cracklib");
    fs::create_dir_all(&bin).unwrap();
    for (script, says) in [
        ("cat >/dev/null; echo '0 0'", "another program"),
        ("cat >/dev/null", "another program"),
        ("exec sleep 300", "another program"),
    ] {
        fs::write(bin.join("packer"), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(bin.join("packer"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        host.at_login(&format!("PATH='{}':$PATH", bin.display())).unwrap();
        let ran = doctor(&world, &host.packer_dir());
        let (state, said) = finding(&ran, "packer");
        assert!(state == "fail" && said.contains(says) && said.contains("HashiCorp"), "{state}: {said}");
        finding(&ran, "KVM");
    }
}

#[test]
fn what_only_root_may_read_is_said_with_its_path_and_the_cure() {
    use std::os::unix::fs::PermissionsExt as _;

    let world = World::new();
    let host = world.host("build1");
    host.put(IMAGE, &qcow2(SIZE)).unwrap();
    host.log_in_unprivileged().unwrap();
    let packer = host.packer_dir();
    for (path, closed, open) in [
        (host.image_dir(IMAGE).join(format!("{IMAGE}.qcow2")), 0o600, 0o644),
        (host.image_dir(IMAGE).join(format!("{IMAGE}.qcow2.sha256")), 0o000, 0o644),
        (host.image_dir(IMAGE).join(format!("{IMAGE}.build.json")), 0o000, 0o644),
        (host.image_dir(IMAGE), 0o700, 0o755),
        (packer.join("images"), 0o700, 0o755),
        (packer.clone(), 0o700, 0o755),
        (packer.parent().unwrap().to_owned(), 0o700, 0o755),
    ] {
        // As the owner, a file of mode 600 may be read.
        let closed = if fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0) {
            closed
        } else {
            0
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(closed)).unwrap();
        let ran = world.run_at("build1", &host, &["--skip-build"]);
        fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
        let shown = path.display().to_string();
        ran.expect(3, &["no permission to read", &shown, "on build1", "chmod -R a+rX"]);
        assert_eq!(world.files(), [""; 0], "{shown}");
    }
    world.run_at("build1", &host, &["--skip-build"]).expect(0, &[]);
    world.assert_fetched(&host, IMAGE);
}

#[test]
fn too_many_keys_are_told_from_none() {
    let world = World::new();
    let host = world.host("build1");
    let socket = world.dir.join("agent");
    #[expect(clippy::disallowed_methods, reason = "the rule is for the tool's children; here is a person's agent")]
    let program = |name: &str| Command::new(name);
    let mut agent = program("ssh-agent").args(["-D", "-a"]).arg(&socket).spawn().unwrap();
    until("the agent answers", || socket.exists());
    for number in 0..8 {
        let key = world.dir.join(format!("key{number}"));
        assert!(
            program("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().unwrap().success()
        );
        let added = program("ssh-add").arg("-q").arg(&key).env("SSH_AUTH_SOCK", &socket).status().unwrap();
        assert!(added.success());
    }
    let config = fs::read_to_string(world.network.config()).unwrap();
    let config =
        config.replace("IdentitiesOnly yes\nIdentityAgent none", &format!("IdentityAgent {}", socket.display()));
    let config: String =
        config.lines().filter(|line| !line.starts_with("IdentityFile")).map(|line| format!("{line}\n")).collect();
    fs::write(world.network.config(), config).unwrap();
    let ran = world.run_at("build1", &host, &["--skip-build"]);
    agent.kill().unwrap();
    agent.wait().unwrap();
    ran.expect(3, &["too many keys", "`IdentitiesOnly yes`", "IdentityFile"]);
    assert!(!ran.stderr.contains("ssh-add"), "{}", ran.stderr);
}

#[test]
fn a_login_that_runs_no_commands_is_said_in_one_sentence() {
    for (login, said) in [
        ("echo 'This service allows sftp connections only.'; exit 1", "This service allows sftp connections only."),
        ("exec /usr/sbin/nologin", "This account is currently not available."),
        ("exit 0", "it ended with exit status: 0"),
        ("echo 'Menu: 1) mail'; cat >/dev/null", "Menu: 1) mail"),
    ] {
        let world = World::new();
        let host = world.host("build1");
        host.at_login(login).unwrap();
        let ran = world.run_at("build1", &host, &[]);
        ran.expect(3, &["the login on build1 runs no commands", said, "give that account a shell"]);
        assert_eq!(ran.stderr.trim().lines().count(), 2, "{}", ran.stderr);
    }
}

#[test]
fn a_host_without_tail_says_so_when_it_is_needed() {
    let world = World::new();
    let host = world.host("build1");
    host.put(IMAGE, &qcow2(SIZE)).unwrap();
    let bin = world.dir.join("few");
    fs::create_dir_all(&bin).unwrap();
    for tool in ["sh", "stat", "head", "tr", "ls", "readlink"] {
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|dir| dir.join(tool))
            .find(|path| path.exists());
        std::os::unix::fs::symlink(found.unwrap(), bin.join(tool)).unwrap();
    }
    host.at_login(&format!("PATH='{}'", bin.display())).unwrap();
    line::cut_once(&world, &host, 1, SIZE / 2);
    let ran = world.run_at("cut", &host, &["--skip-build"]);
    ran.expect(3, &["stopped at ", "there is no `tail`", "; install coreutils"]);
    assert!(!ran.stderr.contains("run the same command again"), "{}", ran.stderr);
    world.run_at("build1", &host, &["--skip-build"]).expect(3, &["there is no `tail`"]);
}

#[test]
fn a_build_that_leaves_a_daemon_ends_when_it_has_ended() {
    let world = World::new();
    let host = world.host("build1");
    host.set("DAEMON", "1").unwrap();
    let ran = world.run_at("build1", &host, &[]);
    let left = ran
        .stderr
        .split("left processes running there: ")
        .nth(1)
        .and_then(|left| left.split(' ').next())
        .unwrap_or_default();
    let found = Path::new(&format!("/proc/{left}/stat")).exists();
    kill("KILL", left);
    ran.expect(0, &["sleep 300"]);
    assert!(found, "{}", ran.stderr);
    world.assert_fetched(&host, IMAGE);
}

#[test]
fn a_build_that_goes_on_is_not_joined_by_another() {
    let world = World::new();
    let host = world.host("build1");
    for (name, value) in [("DEAF", "1"), ("OLD", "1"), ("SLEEP", "600")] {
        host.set(name, value).unwrap();
    }
    let mut tool = world.start_at("build1", &host, &[]);
    tool.until("the build begins", || host.packer_dir().join("started").exists());
    tool.signal("KILL");
    tool.wait();
    let ran = world.run_at("build1", &host, &[]);
    ran.expect(1, &["build1 is building debian-12-custom already, as process", "build.sh debian-12-custom", "`kill "]);
    let pid = ran.stderr.split("as process ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert_eq!(fs::read_to_string(host.packer_dir().join("started")).unwrap().lines().count(), 1);
    until("it is ended by force", || !Path::new(&format!("/proc/{pid}")).exists());
}
