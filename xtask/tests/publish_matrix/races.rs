//! Races: two publishers, requests let through in an order drawn from a seed. One set wins as a whole, with its tag.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use github_stand_in::{Access, Action, Moment, Shown, Token};
use rehearsal::machine::{Machine, Ran};
use rehearsal::world::REPOSITORY;

use crate::Tally;
use crate::case::{self, Recorded, Run, Scenario, Start};
use crate::pool::{self, Case};

/// What the rival publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rival {
    SameSet,
    OtherImages,
    OtherSource,
}

pub fn run(recorded: &[Recorded], seeds: u64) -> Tally {
    let start = |scenario| {
        let found = recorded.iter().find(|recorded| recorded.start.scenario == scenario);
        Arc::clone(&found.expect("a start of each scenario").start)
    };
    let case = |seed: u64| {
        let rival = [Rival::SameSet, Rival::OtherImages, Rival::OtherSource][(seed % 3) as usize];
        let scenario = if seed.is_multiple_of(2) { Scenario::OverOurs } else { Scenario::First };
        let how = if has_slow_pushes(seed) { ", slow pushes" } else { "" };
        Case {
            name: format!("race {seed}, {scenario:?}, {rival:?}{how}"),
            run: {
                let start = start(scenario);
                Box::new(move || race(seed, &start, rival))
            },
        }
    };
    pool::run((0..seeds).map(case).collect())
}

fn race(seed: u64, start: &Start, rival: Rival) -> Result<(), String> {
    let run = Run::new(start);
    let scenario = run.scenario;
    let hub = run.world.hub();
    let mut other = run.world.another_machine("rival").map_err(|error| format!("{error:#}"))?;
    hub.add_token("rival-token", Token::classic("rival").with(REPOSITORY, Access::Push));
    other.set("GH_TOKEN", "rival-token");
    let source = if rival == Rival::OtherSource {
        run.world
            .git(&["tag", "v0.46", "v0.43"])
            .and_then(|_| run.world.git(&["push", "--quiet", "origin", "v0.46"]))
            .map_err(|error| format!("{error:#}"))?;
        other.git(&["fetch", "--quiet", "origin", "tag", "v0.46"]).map_err(|error| format!("{error:#}"))?;
        "v0.46"
    } else {
        "v0.45"
    };
    for (number, (image, size)) in run.images().iter().zip(case::SIZES).enumerate() {
        let seed = if rival == Rival::OtherImages { 3000 } else { 2000 } + number as u64 + 1;
        other.build(image, size, seed, Some("v0.45")).map_err(|error| format!("{error:#}"))?;
    }

    if has_slow_pushes(seed) {
        slow_pushes(&other);
    }
    let gate = Arc::new(Gate::new(seed));
    let gate_in_hook = Arc::clone(&gate);
    hub.on_request(move |request, moment| {
        if moment == Moment::Before && request.login.is_some() {
            gate_in_hook.pass(request.login.as_deref() == Some("rival"));
        }
        Action::Proceed
    });
    let mut args = scenario.args();
    let mine_args = args.clone();
    let place = args.iter().position(|arg| *arg == "v0.45").expect("a source");
    args[place] = source;
    let (mine, theirs) = thread::scope(|scope| {
        let theirs = scope.spawn(|| ended(&gate, other.tool(&args)));
        let mine = ended(&gate, run.world.tool(&mine_args));
        (mine, theirs.join().expect("the rival"))
    });
    hub.reset_faults();

    let sets = [
        (identity(&run.world, run.images()), run.world.remote_commit("v0.45"), &mine),
        (identity(&other, run.images()), run.world.remote_commit(source), &theirs),
    ];
    judge(&run, &run.now(), &sets, rival)
        .map_err(|error| format!("{error}\nmine: {}\ntheirs: {}", run.tell(&mine), run.tell(&theirs)))?;
    run.readers_are_well_served()?;
    // Whatever is left over stands in nobody's way.
    let again = run.world.tool(&[&mine_args[..], &["--discard-incoming"]].concat());
    run.finished_set(&again, &identity(&run.world, run.images()))
}

fn has_slow_pushes(seed: u64) -> bool {
    seed % 5 == 2
}

/// Between the last look at the tag and its push the other run has time for a whole flip: only the lease sees that.
fn slow_pushes(machine: &Machine) {
    let real = machine.command("sh").args(["-c", "command -v git"]).output().expect("looking for git");
    let real = String::from_utf8_lossy(&real.stdout).trim().to_owned();
    let script = format!("#!/bin/sh\ncase \" $* \" in *\" push \"*) sleep 4 ;; esac\nexec {real} \"$@\"\n");
    let path = machine.bin().join("git");
    std::fs::write(&path, script).expect("writing a slow git");
    let mut mode = std::fs::metadata(&path).expect("reading its mode").permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    std::fs::set_permissions(&path, mode).expect("making it executable");
}

/// The gate learns that a client is gone.
fn ended(gate: &Gate, ran: Ran) -> Ran {
    gate.alone.store(true, Ordering::Relaxed);
    gate.bell.notify_all();
    ran
}

type Identity = BTreeMap<String, String>;

fn judge(run: &Run, shown: &Shown, sets: &[(Identity, String, &Ran)], rival: Rival) -> Result<(), String> {
    let (Some(release), Some(tag)) = (&shown.release, &shown.tag) else { return Err("nothing is live".to_owned()) };
    case::complete(release, run.images())?;
    let live = case::checksums(release);
    let fits = |(set, commit, _): &&(Identity, String, &Ran)| *set == live && tag.commit == *commit;
    let winners: Vec<_> = sets.iter().filter(fits).collect();
    if winners.is_empty() {
        return Err(format!("live is {live:?} with the tag at {}: neither set with its tag", tag.commit));
    }
    if !sets.iter().any(|(_, _, ran)| ran.code == Some(0)) {
        return Err("nobody won".to_owned());
    }
    if !winners.iter().any(|(_, _, ran)| ran.code == Some(0)) {
        return Err("the set that is live is of the run that failed".to_owned());
    }
    if rival == Rival::SameSet {
        return Ok(());
    }
    for shown in run.world.hub().timeline() {
        if let Some(release) = &shown.release {
            case::complete(release, run.images())?;
        }
    }
    Ok(())
}

/// The digest of each image's checksum file, which says what the image is.
fn identity(machine: &Machine, images: &[&str]) -> Identity {
    images
        .iter()
        .map(|image| {
            let path = machine.images().join(image).join(format!("{image}.qcow2.sha256"));
            let output = machine.command("sha256sum").arg(path).output().expect("sha256sum");
            let digest = String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap_or_default().to_owned();
            ((*image).to_owned(), format!("sha256:{digest}"))
        })
        .collect()
}

/// Lets one request through at a time, of the client that the seed draws.
struct Gate {
    state: Mutex<Waiting>,
    bell: Condvar,
    alone: AtomicBool,
}

struct Waiting {
    mine: usize,
    theirs: usize,
    random: u64,
    turn: Option<bool>,
}

impl Gate {
    fn new(seed: u64) -> Self {
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self {
            state: Mutex::new(Waiting { mine: 0, theirs: 0, random, turn: None }),
            bell: Condvar::new(),
            alone: AtomicBool::new(false),
        }
    }

    fn pass(&self, rival: bool) {
        let mut state = self.state.lock().unwrap();
        *state.count(rival) += 1;
        self.bell.notify_all();
        loop {
            if self.alone.load(Ordering::Relaxed) {
                break;
            }
            if state.mine > 0 && state.theirs > 0 && state.turn.is_none() {
                state.turn = Some(state.draw());
                self.bell.notify_all();
            }
            if state.turn == Some(rival) {
                state.turn = None;
                break;
            }
            let (next, timeout) = self.bell.wait_timeout(state, Duration::from_millis(120)).unwrap();
            state = next;
            // The other one is busy elsewhere: pushing, hashing, waiting.
            if timeout.timed_out() && *state.count(!rival) == 0 {
                break;
            }
        }
        *state.count(rival) -= 1;
    }
}

impl Waiting {
    fn count(&mut self, rival: bool) -> &mut usize {
        if rival { &mut self.theirs } else { &mut self.mine }
    }

    /// xorshift64: the same order for the same seed. Runs of a few requests, so that one can get ahead of the other.
    fn draw(&mut self) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 33).is_multiple_of(2)
    }
}
