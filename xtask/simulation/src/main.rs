//! Plays the ten stories, then random schedules; what fails is made smaller and told in words.
//!
//! `SIM_SEED=7` tells the schedule of one seed (as it is with `SIM_WHOLE=1`, else with as few faults as still fail),
//! `SIM_COUNT=1000000` plays so many, `SIM_MINUTES=10` plays for so long, `SIM_FROM=5` begins there, and `SIM_ARRIVAL` is the longest
//! time in milliseconds that a request may take to arrive.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use simulation::{Plan, cases, play, shrink, tell};

/// What a run of the tests plays.
const COUNT: u64 = 100_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn main() -> ExitCode {
    let latest_arrival = number("SIM_ARRIVAL").unwrap_or(110_000);
    if let Some(seed) = number("SIM_SEED") {
        let plan = Plan::random(seed, latest_arrival);
        let whole = std::env::var_os("SIM_WHOLE").is_some();
        return code(told(&if whole { plan } else { shrink(&plan) }));
    }
    let stories = play_stories();
    code(play_random(latest_arrival) + stories)
}

fn code(violations: usize) -> ExitCode {
    ExitCode::from(u8::from(violations > 0))
}

fn play_random(latest_arrival: u64) -> usize {
    let minutes = number("SIM_MINUTES").map(|minutes| Duration::from_secs(60 * minutes));
    let (from, count) = (number("SIM_FROM").unwrap_or(1), number("SIM_COUNT").unwrap_or(COUNT));
    let started = Instant::now();
    let (mut bad, mut operations, mut played) = (BTreeMap::new(), 0, 0);
    while minutes.map_or(played < count, |minutes| started.elapsed() < minutes) {
        let seed = from + played;
        let outcome = play(&Plan::random(seed, latest_arrival));
        (played, operations) = (played + 1, operations + outcome.operations);
        if let Some(violation) = outcome.violation {
            let kind: String = violation.chars().filter(|c| !c.is_ascii_digit()).take(60).collect();
            bad.entry(kind).or_insert_with(Vec::new).push((seed, violation));
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let violations: usize = bad.values().map(Vec::len).sum();
    if let Some((seed, _)) = bad.values().flatten().min_by_key(|(seed, _)| *seed) {
        told(&shrink(&Plan::random(*seed, latest_arrival)));
    }
    for all in bad.values() {
        println!("violation, {} times, first with SIM_SEED={}: {}", all.len(), all[0].0, all[0].1);
    }
    println!(
        "simulation matrix: {played} schedules, {operations} operations, {violations} violations in {seconds:.0} s ({:.0} schedules a second)",
        played as f64 / seconds
    );
    violations
}

/// How many violations there are: one or none.
fn told(plan: &Plan) -> usize {
    println!("{plan:#?}");
    let outcome = tell(plan);
    println!("{}", outcome.timeline.join("\n"));
    if let Some(violation) = &outcome.violation {
        println!("violation: {violation}");
    }
    usize::from(outcome.violation.is_some())
}

fn play_stories() -> usize {
    let (mut plans, mut violations) = (0, 0);
    let stories = cases::all();
    for story in &stories {
        let failed: Vec<(&Plan, String)> =
            story.plans.iter().filter_map(|plan| Some((plan, play(plan).violation?))).collect();
        if let Some((plan, why)) = failed.first() {
            told(plan);
            println!(
                "violation in story {}: {} of {} plans, such as: {why}",
                story.name,
                failed.len(),
                story.plans.len()
            );
        }
        (plans, violations) = (plans + story.plans.len(), violations + failed.len());
    }
    println!("simulation matrix: {} stories of lost releases in {plans} plans, {violations} violations", stories.len());
    violations
}
