//! What the simulation answered is what real gh and real git are answered: timelines of random schedules are asked again, one
//! exchange after the other, of the HTTP stand-in and of a real repository.
//!
//! `SIM_REPLAY=20` replays so many. gh and git find the stand-in through their environment, so a worker is this very program
//! with that environment.

mod asking;
mod same;

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::{Child, Stdio};

use asking::Asking;
use rehearsal::world::{Options, World};
use simulation::{Fault, Plan, changes, record, shown};

/// About a minute and a half on two cores.
const TIMELINES: u64 = 200;
const WORKERS: u64 = 2;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Whether the stand-in can be brought to do the same: it can't be told which byte it is to spoil, what it lags behind, and when
/// it is to lie.
fn can_be_asked_again(plan: &Plan) -> bool {
    let odd = |fault: &Fault| {
        fault.is_of_a_person()
            || matches!(
                fault,
                Fault::Corrupt
                    | Fault::Lag { .. }
                    | Fault::LagById { .. }
                    | Fault::NoPins
                    | Fault::DraftInstead
                    | Fault::NeverLive
                    | Fault::NotesEdited
            )
    };
    plan.runs.len() == 2 && !plan.faults.iter().any(|planned| odd(&planned.fault))
}

#[test]
fn the_answers_are_those_of_gh_and_git() {
    if let Some(part) = number("SIM_REPLAY_PART") {
        return replay(part);
    }
    let timelines = number("SIM_REPLAY").unwrap_or(TIMELINES);
    let worlds: Vec<World> = (0..WORKERS).map(world).collect();
    let workers: Vec<Child> = worlds.iter().zip(0..).map(|(world, part)| start(world, part, timelines)).collect();
    let mut exchanges = 0;
    for worker in workers {
        let output = worker.wait_with_output().expect("waiting for a worker");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        exchanges += said.lines().find_map(|line| line.strip_prefix("asked ")?.parse::<u64>().ok()).expect("a count");
    }
    assert!(exchanges > timelines, "only {exchanges} exchanges");
    println!(
        "replay matrix: {timelines} timelines, {exchanges} exchanges with gh and git, all as the simulation had them"
    );
}

/// A clone and its remote, with a tag for each source that schedules have.
fn world(number: u64) -> World {
    let mut options = Options::new("/nowhere");
    options.templates.truncate(1);
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("replay-{number}"));
    let world = World::new(&place, options).unwrap();
    for source in ["v0.46", "v0.47"] {
        world.git(&["commit", "--quiet", "--allow-empty", "--message", source]).unwrap();
        world.git(&["tag", source]).unwrap();
    }
    world.git(&["push", "--quiet", "--tags", "origin", "HEAD:main"]).unwrap();
    world
}

fn start(world: &World, part: u64, timelines: u64) -> Child {
    let mut command = world.command(std::env::current_exe().unwrap());
    command.args(["--exact", "the_answers_are_those_of_gh_and_git", "--nocapture"]);
    command.env("SIM_REPLAY_PART", part.to_string()).env("SIM_REPLAY", timelines.to_string());
    // The worker starts a stand-in of its own, in which it can seed releases.
    command.env("GH_CONFIG_DIR", world.dir().join("worker")).env("SIM_REPLAY_REMOTE", world.remote());
    command.env("SIM_REPLAY_CLONE", world.packer_dir());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn replay(part: u64) {
    let timelines = number("SIM_REPLAY").unwrap_or(TIMELINES);
    let mut asking = Asking::start();
    let plans = (1..).map(|seed| Plan::random(seed, 110_000)).filter(can_be_asked_again).take(timelines as usize);
    // What was asked after which changes, in this timeline or another.
    let mut known = HashSet::new();
    for plan in plans.filter(|plan| plan.seed % WORKERS == part) {
        let recorded = record(&plan);
        asking.begin(&plan, &recorded);
        let mut history = hash(&plan.start, 0);
        for exchange in &recorded.exchanges {
            // Refused or lost on the way: nothing reached the rules.
            if exchange.meets.refused.is_some() || exchange.meets.lost {
                continue;
            }
            let ask = shown(&exchange.ask);
            if changes(&exchange.ask) || ask.starts_with("Push") {
                history = hash(&(&exchange.ask, exchange.meets), history);
                if exchange.meets.starter {
                    // What is left has an id that only this timeline's listings tell.
                    history = hash(&plan.seed, history);
                }
            } else if !known.insert(hash(&ask, history)) {
                continue;
            }
            if let Err(why) = asking.again(exchange) {
                panic!("SIM_SEED={} SIM_WHOLE=1, {ask}: {why}", plan.seed);
            }
        }
    }
    println!("asked {}", asking.count);
}

/// Of a thing and what came before it.
fn hash(it: &impl Debug, before: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (format!("{it:?}"), before).hash(&mut hasher);
    hasher.finish()
}
