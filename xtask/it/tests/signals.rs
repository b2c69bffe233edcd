//! Ctrl-C during a publish: it stops between two pieces of work and goes on from there, but never between the two calls
//! of a flip.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use github_stand_in::{Action, Moment, Request};
use rehearsal::terminal::Terminal;
use rehearsal::world::{Options, World};

use crate::begun;

const PUBLISH: &[&str] = &["publish", "--source", "v0.45", "--execute", "--part-size", "1MiB"];

fn world(name: &str) -> World {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("signals-{name}"));
    let mut world = begun::twin("signals", &place, |dir| {
        let mut options = Options::new(env!("CARGO_BIN_EXE_xtask-it"));
        options.sizes = vec![300 << 10, (5 << 20) / 2, 400 << 10];
        let world = World::new(dir, options).unwrap();
        world.build_all(1, Some("v0.44")).unwrap();
        world.tool(&["publish", "--source", "v0.44", "--execute", "--part-size", "1MiB"]).expect(0, &[]);
        world.build_all(2, Some("v0.45")).unwrap();
        world
    });
    world.set("PACKER_TEST_JOBS", "1");
    world
}

/// Runs a publish that gets SIGINT when the stand-in sees a request. Its exit code and what it said.
fn interrupted(world: &World, at: fn(&Request) -> bool) -> (Option<i32>, String) {
    let child = Arc::new(Mutex::new(None::<Child>));
    let victim = Arc::clone(&child);
    world.hub().on_request(move |request, moment| {
        if moment == Moment::Before && at(request) {
            let id = victim.lock().unwrap().as_ref().map(|child| child.id().to_string());
            if let Some(id) = id {
                let sent = rehearsal::process::kill("INT", &id);
                assert!(sent, "SIGINT to {id}");
            }
        }
        Action::Proceed
    });
    let mut command = world.tool_command(PUBLISH);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let stderr = {
        // The hook waits on this lock until there is somebody to interrupt.
        let mut child = child.lock().unwrap();
        let started = child.insert(command.spawn().unwrap());
        started.stderr.take().unwrap()
    };
    let said = std::io::read_to_string(stderr).unwrap();
    let code = child.lock().unwrap().as_mut().unwrap().wait().unwrap().code();
    world.hub().reset_faults();
    (code, said)
}

#[test]
fn during_an_upload_it_stops_and_goes_on_later() {
    let world = world("upload");
    let (code, said) = interrupted(&world, |request| request.query.contains("debian-13-custom.qcow2.partab"));
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("interrupted") && said.contains("`latest` is still v0.44"), "{said}");
    assert!(said.contains("run the same command again to continue"), "{said}");
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.44"));

    let before = world.hub().requests().len();
    world
        .tool(&[PUBLISH, &["--verbose"]].concat())
        .expect(0, &["continue with the draft", "keep    debian-13-custom.qcow2.partaa"]);
    let again = world.hub().requests().split_off(before);
    let sent = |name: &str| again.iter().any(|request| request.query.ends_with(&format!("={name}")));
    assert!(!sent("debian-12-custom.qcow2") && !sent("debian-13-custom.qcow2.partaa"), "proven and sent again");
    assert!(sent("debian-13-pve.qcow2"));
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.45"));
}

#[test]
fn on_a_terminal_it_leaves_no_bar() {
    let world = world("bar");
    let (began, begun) = std::sync::mpsc::channel();
    // Long enough for a bar to be drawn, and for Ctrl-C to arrive.
    world.hub().on_request(move |request, moment| {
        if moment == Moment::Before && request.query.contains("debian-13-custom.qcow2.partab") {
            let _ = began.send(());
            std::thread::sleep(Duration::from_secs(4));
        }
        Action::Proceed
    });
    let line = format!("exec {} packer {}", env!("CARGO_BIN_EXE_xtask-it"), PUBLISH.join(" "));
    let mut script = world.command("script");
    script.env("TERM", "xterm");
    let mut terminal = Terminal::start(script, &line);
    begun.recv().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    terminal.types("\x03");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(130), "{shown:?}");
    // What is drawn of a bar last is erased, and then comes what was said.
    let (_, last) = shown.rsplit_once(" left ").unwrap_or_else(|| panic!("no bar: {shown:?}"));
    assert!(last.contains("\x1b[2K") && last.contains("`latest` is still v0.44"), "{shown:?}");
}

#[test]
fn between_the_two_calls_of_a_flip_it_waits() {
    let world = world("flip");
    let hides = |request: &Request| {
        let of_release = request.path.contains("/releases/") && !request.path.contains("/assets/");
        request.method == "PATCH" && request.body.is_none() && of_release
    };
    let (code, said) = interrupted(&world, hides);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.45"));
    world.tool(&["verify"]).expect(0, &["v0.45"]);
}

/// Starts the tool on a terminal of its own (`script` makes one) and gives what it shows, until it waits for an answer.
fn at_the_question(world: &World, args: &[&str]) -> (Child, String) {
    let typed = format!("{} packer {}", env!("CARGO_BIN_EXE_xtask-it"), args.join(" "));
    let mut command = world.command("script");
    command.args(["-qec", &typed, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut shown = Vec::new();
    let mut byte = [0];
    while !shown.ends_with(b"[y/N] ") {
        let read = child.stdout.as_mut().unwrap().read(&mut byte).unwrap();
        assert_eq!(read, 1, "it ended without a question: {}", String::from_utf8_lossy(&shown));
        shown.push(byte[0]);
    }
    (child, String::from_utf8_lossy(&shown).into_owned())
}

/// Types into the terminal; the exit code and all that comes after.
fn answered(mut child: Child, typed: &[u8]) -> (Option<i32>, String) {
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(typed).unwrap();
    let said = std::io::read_to_string(child.stdout.take().unwrap()).unwrap();
    drop(stdin);
    (child.wait().unwrap().code(), said)
}

#[test]
fn at_a_question_it_ends_at_once() {
    let world = world("question");
    let before = world.hub().requests().len();
    for args in [&["publish", "--source", "v0.45"][..], &["publish", "--source", "v0.45", "--json"]] {
        let (child, _) = at_the_question(&world, args);
        // What Ctrl-C is on a terminal.
        let (code, said) = answered(child, b"\x03");
        assert_eq!(code, Some(130), "{args:?}: {said}");
        assert!(said.contains("nothing was changed"), "{args:?}: {said}");
    }
    let (child, _) = at_the_question(&world, &["publish", "--source", "v0.45"]);
    assert_eq!(answered(child, b"n\n").0, Some(1));
    let changing = |request: &Request| request.method != "GET" && !request.path.contains("graphql");
    assert!(!world.hub().requests()[before..].iter().any(changing));
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.44"));
}
