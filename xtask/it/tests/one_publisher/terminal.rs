//! What a person types at the terminal in the worst moment.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use github_stand_in::{Action, Moment};
use rehearsal::world::World;

use super::{PUBLISH, is_flip, live, lock_of, over_a_set};

const CTRL_C: &[u8] = b"\x03";
const CTRL_Q: &[u8] = b"\x11";
const CTRL_S: &[u8] = b"\x13";
const CTRL_Z: &[u8] = b"\x1a";

/// A shell with job control on a terminal of its own; `script` makes one.
struct Terminal {
    shell: Child,
    keys: Arc<Mutex<ChildStdin>>,
    shown: Arc<Mutex<String>>,
}

/// What the tool is called like there, with more options.
fn tool(more: &str) -> String {
    format!("{} packer {} {more}", env!("CARGO_BIN_EXE_xtask-it"), PUBLISH.join(" "))
}

impl Terminal {
    fn start(world: &World, line: &str) -> Self {
        let mut command = world.command("script");
        command.args(["-qec", &format!("bash -c 'set -m; {line}'"), "/dev/null"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = command.spawn().unwrap();
        let keys = Arc::new(Mutex::new(shell.stdin.take().unwrap()));
        let (mut output, shown) = (shell.stdout.take().unwrap(), Arc::new(Mutex::new(String::new())));
        let screen = Arc::clone(&shown);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read) = output.read(&mut bytes) {
                if read == 0 {
                    return;
                }
                screen.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        });
        Self { shell, keys, shown }
    }

    fn shows(&self, text: &str) {
        until(|| self.shown.lock().unwrap().contains(text), || format!("no `{text}`: {}", self.shown.lock().unwrap()));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

fn types(keys: &Mutex<ChildStdin>, bytes: &[u8]) {
    let mut keys = keys.lock().unwrap();
    keys.write_all(bytes).and_then(|()| keys.flush()).unwrap();
}

/// Waits, but not for ever.
fn until(happened: impl Fn() -> bool, what: impl Fn() -> String) {
    let began = Instant::now();
    while !happened() {
        assert!(began.elapsed() < Duration::from_secs(240), "{}", what());
        thread::sleep(Duration::from_millis(50));
    }
}

/// Types when the old set is about to be taken back.
fn typed_in_the_gap(world: &World, terminal: &Terminal, bytes: &'static [u8]) {
    let (keys, typed) = (Arc::clone(&terminal.keys), AtomicBool::new(false));
    world.hub().on_request(move |request, moment| {
        if moment == Moment::Before && is_flip(request) && !typed.swap(true, Ordering::Relaxed) {
            types(&keys, bytes);
            // Until the terminal has made something of it.
            thread::sleep(Duration::from_millis(500));
        }
        Action::Proceed
    });
}

fn is_switched(world: &World, old: Option<u64>) -> bool {
    live(world).is_some() && live(world) != old
}

#[test]
fn ctrl_z_stops_the_publish_after_the_switch_and_not_in_it() {
    let world = over_a_set("ctrl-z");
    let old = live(&world);
    // The command waits for a line, so that the hook can be set before it begins.
    let line = format!("read -r go; {}; echo first=$?; read -r go; fg; echo second=$?", tool(""));
    let terminal = Terminal::start(&world, &line);
    typed_in_the_gap(&world, &terminal, CTRL_Z);
    types(&terminal.keys, b"\n");
    // 128 and SIGSTOP.
    terminal.shows("first=147");
    assert!(is_switched(&world, old), "it stands still with nothing live");
    types(&terminal.keys, b"\n");
    terminal.shows("second=0");
    world.tool(&["verify"]).expect(0, &["v0.45"]);
}

#[test]
fn ctrl_s_does_not_hold_the_switch() {
    let world = over_a_set("ctrl-s");
    let old = live(&world);
    let terminal = Terminal::start(&world, &format!("read -r go; {}; echo ended=$?", tool("--verbose")));
    typed_in_the_gap(&world, &terminal, CTRL_S);
    types(&terminal.keys, b"\n");
    until(|| is_switched(&world, old), || format!("no switch: {}", terminal.shown.lock().unwrap()));
    types(&terminal.keys, CTRL_Q);
    terminal.shows("ended=0");
    world.tool(&["verify"]).expect(0, &["v0.45"]);
}

/// The server is at work on the tag: git is not ended half-way, and the tag is put back.
#[test]
fn ctrl_c_during_the_push_of_the_tag_puts_it_back() {
    let world = over_a_set("ctrl-c");
    let (old, pushing) = (live(&world), world.dir().join("pushing"));
    let script =
        format!("grep -q refs/tags/latest || exit 0\n[ -e '{0}' ] && exit 0\n: > '{0}'\nsleep 3", pushing.display());
    world.hook("pre-receive", &script).unwrap();
    let terminal = Terminal::start(&world, &format!("{}; echo ended=$?", tool("")));
    until(|| pushing.exists(), || format!("no push: {}", terminal.shown.lock().unwrap()));
    types(&terminal.keys, CTRL_C);
    terminal.shows("ended=130");
    assert_eq!(live(&world), old);
    let said = terminal.shown.lock().unwrap().clone();
    assert_eq!(world.remote_commit("latest"), world.remote_commit("v0.44"), "{said}");
    assert_eq!(lock_of(&world), "", "the lock was given back");
    // Without the images here, which are the others.
    let none = world.dir().join("none");
    world.tool(&["verify", "--images", none.to_str().unwrap()]).expect(0, &["v0.44"]);
    world.tool(PUBLISH).expect(0, &["latest is v0.45"]);
}
