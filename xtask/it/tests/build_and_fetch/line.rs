//! Lines that break: a connection that is cut, one that freezes, and the shells at the other end.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rehearsal::host::BuildHost;
use rehearsal::process::kill;

use super::world::{IMAGE, World, qcow2};

const SIZE: usize = 2 << 20;

/// The host behind a line, as the alias `cut`, whose connection number `which` (from 0) ends after so many bytes.
pub fn cut_once(world: &World, host: &BuildHost, which: usize, after: usize) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (port, to) = (listener.local_addr().unwrap().port(), host.port());
    thread::spawn(move || {
        let connections = AtomicUsize::new(0);
        for client in listener.incoming() {
            let limit = if connections.fetch_add(1, Ordering::Relaxed) == which { after } else { usize::MAX };
            let (Ok(mut client), Ok(mut server)) = (client, TcpStream::connect((Ipv4Addr::LOCALHOST, to))) else {
                return;
            };
            let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || {
                let _ = std::io::copy(&mut from_client, &mut to_server);
                let _ = to_server.shutdown(std::net::Shutdown::Write);
            });
            thread::spawn(move || {
                let mut buffer = vec![0; 16 * 1024];
                let mut passed = 0;
                while let Ok(read @ 1..) = server.read(&mut buffer) {
                    passed += read;
                    if passed > limit || client.write_all(&buffer[..read]).is_err() {
                        break;
                    }
                }
                let _ = client.shutdown(std::net::Shutdown::Both);
                let _ = server.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    let config = fs::read_to_string(world.network.config()).unwrap();
    let alias = format!("Host cut\n  HostName 127.0.0.1\n  Port {port}\n  HostKeyAlias build1\n\n");
    // Of several with this name the first counts, and what stands before all hosts is for all.
    let (general, hosts) = config.split_once("Host ").unwrap();
    fs::write(world.network.config(), format!("{general}{alias}Host {hosts}")).unwrap();
}

#[test]
fn a_connection_that_is_cut_anywhere_is_gone_on_with() {
    let world = World::new();
    let host = world.network.host("build1").unwrap();
    host.put(IMAGE, &qcow2(SIZE)).unwrap();
    for tenth in 1..10 {
        let _ = fs::remove_dir_all(world.images());
        cut_once(&world, &host, 1, SIZE / 10 * tenth);
        let ran = world.run_at("cut", &host, &["--skip-build", "--json"]);
        ran.expect(0, &[]);
        world.assert_fetched(&host, IMAGE);
        assert_eq!(ran.json()["images"][0]["fetched"], SIZE, "cut at {tenth} tenths: no byte came twice");
    }
    // The listing itself: nothing is known then, and it is said.
    cut_once(&world, &host, 0, 10);
    world.run_at("cut", &host, &["--skip-build"]).expect(1, &["the connection to cut ended"]);
}

/// Stops or wakes the sshd processes that serve the host's connections.
fn freeze(host: &BuildHost, signal: &str) {
    for pid in host.sessions() {
        kill(signal, &pid.to_string());
    }
}

#[test]
fn a_frozen_link_is_left_and_ctrl_c_is_heard() {
    let world = World::new();
    let host = world.network.host("build1").unwrap();
    host.put(IMAGE, &qcow2(SIZE)).unwrap();
    // Slow enough to be caught on the way: bits, in thousands, a second.
    let scp = fs::read_to_string(world.network.bin().join("scp")).unwrap();
    world.network.wrap("scp", &scp.lines().last().unwrap().replace("\"$@\"", "-l 8000 \"$@\"")).unwrap();
    let half = || super::interrupted::arrived(&world) > 256 << 10;

    let mut tool = world.start_at("build1", &host, &["--skip-build", "--stall-timeout", "600"]);
    tool.until("some of it is here", half);
    freeze(&host, "STOP");
    tool.signal("INT");
    let ran = tool.wait();
    freeze(&host, "KILL");
    ran.expect(130, &["stopped at ", "fix: run the same command again: it resumes there"]);

    fs::remove_dir_all(world.images()).unwrap();
    // More than scp needs for its first byte on a busy machine.
    let mut tool = world.start_at("build1", &host, &["--skip-build", "--stall-timeout", "6"]);
    tool.until("some of it is here", half);
    freeze(&host, "STOP");
    let ran = tool.wait();
    freeze(&host, "KILL");
    ran.expect(0, &["stalled: less than 1 KiB moved in 6 s", "resuming in"]);
    world.assert_fetched(&host, IMAGE);
}

#[test]
fn any_login_shell_will_do() {
    for (shell, noise) in [("bash", "echo noise; echo noise >&2"), ("dash", ""), ("fish", ""), ("tcsh", "")] {
        let found = ["/bin", "/usr/bin"].map(|dir| Path::new(dir).join(shell)).into_iter().find(|path| path.exists());
        let Some(found) = found else {
            println!("skipped: no login with {shell}, which is not installed");
            continue;
        };
        let world = World::new();
        let host = world.host("build1");
        host.export("SHELL", found.to_str().unwrap()).unwrap();
        if !noise.is_empty() {
            host.at_login(noise).unwrap();
        }
        host.set("SAY", "\"said\" & done").unwrap();
        world.run_at("build1", &host, &[]).expect(0, &["\"said\" & done"]);
        world.assert_fetched(&host, IMAGE);
        // What scp doesn't bring comes through the shell.
        fs::remove_dir_all(world.images()).unwrap();
        world.network.wrap("scp", "exit 255").unwrap();
        world.run_at("build1", &host, &["--skip-build"]).expect(0, &["continuing without scp"]);
        world.assert_fetched(&host, IMAGE);
        let dir = host.packer_dir().join("missing");
        world.run(&["--host", "build1", "--remote-dir", dir.to_str().unwrap()]).expect(3, &["no folder"]);
    }
}
