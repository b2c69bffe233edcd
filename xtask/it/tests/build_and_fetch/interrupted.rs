//! Signals, kills and lines that stand still: what was fetched is gone on with, and no build is left running.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rehearsal::host::BuildHost;

use super::running::Running;
use super::world::{IMAGE, World, qcow2, until};

const SIZE: usize = 6 << 20;

/// The hidden file of a transfer that has begun.
fn partial(world: &World) -> Option<PathBuf> {
    let files = fs::read_dir(world.images().join(IMAGE)).ok()?.map(|entry| entry.unwrap().path());
    files.into_iter().find(|path| path.to_str().is_some_and(|path| path.contains(".qcow2.arriving-")))
}

/// Bytes in it.
pub fn arrived(world: &World) -> u64 {
    partial(world).and_then(|path| fs::metadata(path).ok()).map_or(0, |meta| meta.len())
}

/// A line to a build host that lets so many bytes through on each connection in turn, then stands still; 0 is without
/// end. The last number holds for all further connections.
fn slow_line(host: &BuildHost, limits: &'static [usize]) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (port, to) = (listener.local_addr().unwrap().port(), host.port());
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    thread::spawn(move || {
        for client in listener.incoming() {
            let number = counted.fetch_add(1, Ordering::Relaxed);
            let limit = limits[number.min(limits.len() - 1)];
            let Ok(mut client) = client else { return };
            let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).unwrap();
            let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || {
                let _ = std::io::copy(&mut from_client, &mut to_server);
                let _ = to_server.shutdown(std::net::Shutdown::Write);
            });
            thread::spawn(move || {
                let mut buffer = vec![0; 16 * 1024];
                let mut passed = 0;
                while let Ok(read) = server.read(&mut buffer) {
                    if read == 0 || client.write_all(&buffer[..read]).is_err() {
                        return;
                    }
                    passed += read;
                    if limit > 0 && passed >= limit {
                        // The connection stays open and nothing comes any more.
                        thread::sleep(std::time::Duration::from_secs(120));
                        return;
                    }
                }
                let _ = client.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    (port, connections)
}

/// The host behind a slow line, as another alias.
fn behind(world: &World, host: &BuildHost, limits: &'static [usize]) -> Arc<AtomicUsize> {
    let (port, connections) = slow_line(host, limits);
    let config = fs::read_to_string(world.network.config()).unwrap();
    let alias = format!("Host slow\n  HostName 127.0.0.1\n  Port {port}\n  HostKeyAlias build1\n\n");
    fs::write(world.network.config(), config + &alias).unwrap();
    connections
}

#[test]
fn ctrl_c_ends_the_remote_build() {
    let world = World::new();
    let host = world.host("build1");
    host.set("SLEEP", "100").unwrap();
    let mut tool = world.start_at("build1", &host, &[]);
    tool.until("the build begins", || host.packer_dir().join("started").exists());
    tool.signal("INT");
    let ran = tool.wait();
    ran.expect(130, &["stopping the build on build1", "interrupted by signal 2", "run the same command again"]);
    assert!(!ran.stderr.contains("may still be running there"), "{}", ran.stderr);
    assert!(host.packer_dir().join("stopped").exists(), "the build was told to end before the tool ended");
    assert_eq!(world.files(), [""; 0]);
}

#[test]
fn a_killed_tool_leaves_no_build_behind() {
    let world = World::new();
    let host = world.host("build1");
    host.set("SLEEP", "100").unwrap();
    let mut tool = world.start_at("build1", &host, &[]);
    tool.until("the build begins", || host.packer_dir().join("started").exists());
    tool.signal("KILL");
    tool.wait();
    until("the build ends", || host.packer_dir().join("stopped").exists());
}

#[test]
fn an_old_build_script_that_does_not_watch_its_input_is_ended_as_well() {
    let world = World::new();
    let host = world.host("build1");
    for (name, value) in [("OLD", "1"), ("CHATTER", "600")] {
        host.set(name, value).unwrap();
    }
    let mut tool = world.start_at("build1", &host, &[]);
    tool.until("the build begins", || host.packer_dir().join("started").exists());
    tool.signal("INT");
    let ran = tool.wait();
    ran.expect(130, &["stopping the build on build1", "interrupted by signal 2"]);
    assert!(!ran.stderr.contains("may still be running there"), "{}", ran.stderr);
    assert!(host.packer_dir().join("stopped").exists());
}

/// A fetch that stands still half-way; later connections do not.
fn half_way() -> (World, BuildHost, Running) {
    let world = World::new();
    let host = world.host("build1");
    host.put(IMAGE, &qcow2(SIZE)).unwrap();
    // The listing, and then the image.
    behind(&world, &host, &[0, 3 << 20, 0]);
    let mut tool = world.start_at("slow", &host, &["--skip-build"]);
    tool.until("half is here", || arrived(&world) > 2 << 20);
    (world, host, tool)
}

#[test]
fn ctrl_c_keeps_what_was_fetched() {
    let (world, host, mut tool) = half_way();
    tool.signal("INT");
    tool.wait().expect(130, &["interrupted by signal 2", "stopped at ", "it resumes there"]);
    let kept = arrived(&world);
    assert!(kept > 2 << 20, "{kept}");
    assert!(!world.image(IMAGE).exists());
    let ran = world.run_at("build1", &host, &["--skip-build", "--json"]);
    ran.expect(0, &["resuming at"]);
    world.assert_fetched(&host, IMAGE);
    assert_eq!(ran.json()["images"][0]["fetched"], SIZE as u64 - kept);
}

#[test]
fn a_killed_run_leaves_no_scp_and_the_next_run_resumes() {
    let (world, host, mut tool) = half_way();
    assert!(!copies_to(&world).is_empty(), "scp is at work");
    tool.signal("KILL");
    tool.wait();
    until("scp ends", || copies_to(&world).is_empty());
    world.run_at("build1", &host, &["--skip-build"]).expect(0, &["resuming at"]);
    world.assert_fetched(&host, IMAGE);
}

/// The processes whose command line ends with the hidden file's path.
fn copies_to(world: &World) -> Vec<u32> {
    let Some(path) = partial(world).and_then(|path| path.canonicalize().ok()) else { return Vec::new() };
    let end = format!("{}\0", path.display());
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(end.as_bytes())))
        .collect()
}

#[test]
fn a_line_that_stands_still_is_left_and_the_transfer_resumed() {
    let world = World::new();
    let host = world.host("build1");
    host.put(IMAGE, &qcow2(SIZE)).unwrap();
    let connections = behind(&world, &host, &[0, 2 << 20, 2 << 20, 0]);
    let ran = world.run_at("slow", &host, &["--skip-build", "--stall-timeout", "4", "--json"]);
    ran.expect(0, &["stalled", "resuming in"]);
    world.assert_fetched(&host, IMAGE);
    assert_eq!(ran.json()["images"][0]["fetched"], SIZE as u64, "no byte came twice");
    assert!(connections.load(Ordering::Relaxed) >= 4, "a listing, scp, and tail twice");
}

#[test]
fn a_transfer_without_headway_is_given_up() {
    let world = World::new();
    let host = world.host("build1");
    host.put(IMAGE, &qcow2(SIZE)).unwrap();
    behind(&world, &host, &[0, 64 << 10]);
    let ran = world.twice_at_most("slow", &host, &["--skip-build", "--stall-timeout", "2"]);
    ran.expect(1, &["the connection to slow stalled", "for 2 s"]);
    assert!(!world.image(IMAGE).exists());
}

#[test]
fn a_remote_file_that_changed_is_fetched_from_the_start() {
    let (world, host, mut tool) = half_way();
    tool.signal("TERM");
    tool.wait().expect(130, &["interrupted by signal 15"]);
    host.put(IMAGE, &qcow2(SIZE + 8)).unwrap();
    let ran = world.run_at("build1", &host, &["--skip-build", "--json"]);
    ran.expect(0, &[]);
    assert_eq!(ran.json()["images"][0]["fetched"], SIZE as u64 + 8);
    world.assert_fetched(&host, IMAGE);
}

#[test]
fn a_damaged_partial_is_noticed_and_fetched_whole() {
    let (world, host, mut tool) = half_way();
    tool.signal("INT");
    tool.wait().expect(130, &[]);
    let path = partial(&world).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[1 << 20] ^= 1;
    fs::write(&path, bytes).unwrap();
    world
        .run_at("build1", &host, &["--skip-build"])
        .expect(0, &["resuming at", "don't match the checksum", "fetching the whole image again"]);
    world.assert_fetched(&host, IMAGE);
}

#[test]
fn an_image_that_is_built_anew_meanwhile_is_fetched_anew() {
    let world = World::new();
    let host = world.host("build1");
    host.put(IMAGE, &qcow2(300_000)).unwrap();
    // Between the listing and the copy another person builds.
    let scp = fs::read_to_string(world.network.bin().join("scp")).unwrap();
    let marker = world.dir.join("once");
    let build = format!(
        "[ -e '{marker}' ] || {{ touch '{marker}'; FORCE=1 SIZE=300000 '{dir}/build.sh' {IMAGE} >&2 </dev/null; }}",
        marker = marker.display(),
        dir = host.packer_dir().display(),
    );
    world.network.wrap("scp", &format!("{build}\n{}", scp.lines().last().unwrap())).unwrap();
    world.run_at("build1", &host, &["--skip-build"]).expect(0, &["changed on the host during the transfer"]);
    world.assert_fetched(&host, IMAGE);
}

#[test]
fn two_runs_do_not_write_into_one_partial() {
    let (world, host, mut tool) = half_way();
    world.run_at("build1", &host, &["--skip-build"]).expect(1, &["debian-12-custom.qcow2: another run is fetching it"]);
    tool.signal("INT");
    tool.wait();
}
