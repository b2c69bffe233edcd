//! What keeps two publishes apart and `latest` whole, with real gh, git and terminals: the lock and what can stand in its way,
//! the stories in which `latest` was lost once, and what a person types in the wrong moment. Schedules by the hundred thousand
//! are the simulation's.

mod lock;
mod manifest;
mod stories;
mod terminal;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use github_stand_in::{Action, Fault, Moment, Request};
use rehearsal::world::{Options, World};

use crate::begun;

const PUBLISH: &[&str] = &["publish", "--source", "v0.45", "--part-size", "256KiB", "--allow-stale", "--execute"];
const PUBLISH_OLD: &[&str] = &["publish", "--source", "v0.44", "--part-size", "256KiB", "--execute"];
const ROLLBACK: &[&str] = &["rollback", "--execute"];

const SIZES: [u64; 2] = [400 << 10, 200 << 10];

/// Two templates, and images of v0.45.
fn world(name: &str) -> World {
    let mut world = begun::twin("one", &place(name), begin);
    world.set("PACKER_TEST_JOBS", "1");
    world
}

fn begin(dir: &Path) -> World {
    let mut options = Options::new(env!("CARGO_BIN_EXE_xtask-it"));
    options.sizes = SIZES.to_vec();
    options.templates.truncate(SIZES.len());
    let world = World::new(dir, options).unwrap();
    world.build_all(1, Some("v0.45")).unwrap();
    world
}

fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("one-{name}"))
}

/// One where v0.44 is live.
fn over_a_set(name: &str) -> World {
    let mut world = begun::twin("one-v0.44", &place(name), |dir| {
        let world = begin(dir);
        world.build_all(2, Some("v0.44")).unwrap();
        world.tool(PUBLISH_OLD).expect(0, &[]);
        world.build_all(1, Some("v0.45")).unwrap();
        world
    });
    world.set("PACKER_TEST_JOBS", "1");
    world
}

fn lock_of(world: &World) -> String {
    let remote = format!("--git-dir={}", world.remote().display());
    world.git(&[&remote, "rev-parse", "--verify", "--quiet", "refs/packer/lock"]).unwrap_or_default()
}

fn live(world: &World) -> Option<u64> {
    world.published().published("latest").map(|live| live.id)
}

/// Whether any request changed a release.
fn changed(requests: &[Request]) -> bool {
    requests.iter().any(|request| request.method != "GET" && request.path.contains("/releases"))
}

/// Kills the tool when the `nth` such request comes, before it is worked on.
fn killed_at(world: &World, args: &[&str], nth: usize, at: fn(&Request) -> bool) {
    let child = Arc::new(Mutex::new(None::<Child>));
    let (victim, count) = (Arc::clone(&child), Mutex::new(0));
    world.hub().on_request(move |request, moment| {
        if moment != Moment::Before || !at(request) {
            return Action::Proceed;
        }
        let mut count = count.lock().unwrap();
        *count += 1;
        if *count != nth {
            return Action::Proceed;
        }
        let _ = victim.lock().unwrap().as_mut().map(Child::kill);
        Action::Fault(Fault::DropBeforeBody)
    });
    let mut command = world.tool_command(args);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    {
        // The hook waits on this lock until there is somebody to kill.
        let mut child = child.lock().unwrap();
        *child = Some(command.spawn().unwrap());
    }
    let mut victim = loop {
        let ended = child.lock().unwrap().as_mut().unwrap().try_wait().unwrap().is_some();
        if ended {
            break child.lock().unwrap().take().unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert_eq!(victim.wait().unwrap().code(), None, "it was to be killed at that request");
    world.hub().reset_faults();
}

/// PATCH of a release.
fn is_flip(request: &Request) -> bool {
    request.method == "PATCH" && request.path.contains("/releases/") && !request.path.contains("/assets/")
}

/// POST of an asset.
fn is_upload(request: &Request) -> bool {
    request.method == "POST" && request.host.starts_with("uploads")
}

/// As if so much time had gone by that what a killed run sent can't arrive any more: a run of the same clone waits for that.
fn time_passes(world: &World) {
    let runs = world.packer_dir().join(".git/packer/runs");
    let mut text = fs::read_to_string(&runs).unwrap();
    text.push_str("arrives 0\n");
    fs::write(runs, text).unwrap();
}
