//! Plays the stories, two publishes in every order with at most one fault as far as a minute goes, random schedules, and
//! random ones whose requests arrive as late as they like; what fails is made smaller and told in words.
//!
//! `SIM_SEED=7` tells the schedule of one seed (as it is with `SIM_WHOLE=1`, else with as few faults as still fail),
//! `SIM_COUNT=1000000` plays so many random ones, `SIM_MINUTES=10` plays for so long, `SIM_FROM=5` begins there, `SIM_ARRIVAL` is
//! the longest time in milliseconds that a request may take to arrive, `SIM_EXPLORE` the seconds for the orders of two
//! publishes, and `SIM_JOBS` how many threads there are. The stories end with the one that brings the violations to `SIM_ENOUGH`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use simulation::{Explored, Plan, cases, explore, play, shrink, tell};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Random schedules of a test run. Their seeds are the same each time; after a change of the protocol, a million are played by hand.
const COUNT: u64 = 30_000;
/// Of those whose requests arrive after hours.
const LATE_COUNT: u64 = 10_000;
/// What the numbers of the lock allow for.
const IN_TIME: u64 = 110_000;
const AFTER_HOURS: u64 = 4 * 3_600_000;
/// Seconds for the orders of two publishes.
const EXPLORE: u64 = 30;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn main() -> ExitCode {
    let arrival = number("SIM_ARRIVAL");
    if let Some(seed) = number("SIM_SEED") {
        let plan = Plan::random(seed, arrival.unwrap_or(IN_TIME));
        let whole = std::env::var_os("SIM_WHOLE").is_some();
        return code(told(&if whole { plan } else { shrink(&plan) }));
    }
    let jobs =
        number("SIM_JOBS").unwrap_or_else(|| thread::available_parallelism().map_or(1, |jobs| jobs.get() as u64));
    let minutes = number("SIM_MINUTES").map(|minutes| Duration::from_secs(60 * minutes));
    let (from, count) = (number("SIM_FROM").unwrap_or(1), number("SIM_COUNT").unwrap_or(COUNT));
    let random = |arrival, count, minutes| Random { from, count, minutes, arrival }.play(jobs);
    let violations = match arrival {
        Some(arrival) => random(arrival, count, minutes),
        None => {
            play_stories(jobs)
                + play_orders(Duration::from_secs(number("SIM_EXPLORE").unwrap_or(EXPLORE)), jobs)
                + random(IN_TIME, count, minutes)
                + random(AFTER_HOURS, LATE_COUNT.min(count), None)
        }
    };
    code(violations)
}

fn code(violations: usize) -> ExitCode {
    ExitCode::from(u8::from(violations > 0))
}

/// Each thread's own share of some work.
fn shared<T: Send>(jobs: u64, work: impl Fn(u64) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs)
            .map(|part| {
                scope.spawn({
                    let work = &work;
                    move || work(part)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread that plays")).collect()
    })
}

/// Random schedules.
struct Random {
    from: u64,
    count: u64,
    minutes: Option<Duration>,
    arrival: u64,
}

/// What one thread saw of them.
#[derive(Default)]
struct Seen {
    played: u64,
    operations: u64,
    bad: Vec<(u64, String)>,
}

impl Random {
    fn play(&self, jobs: u64) -> usize {
        let (started, next) = (Instant::now(), AtomicU64::new(0));
        let all = shared(jobs, |_| {
            let mut seen = Seen::default();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if self.minutes.map_or(at >= self.count, |minutes| started.elapsed() >= minutes) {
                    return seen;
                }
                let outcome = play(&Plan::random(self.from + at, self.arrival));
                (seen.played, seen.operations) = (seen.played + 1, seen.operations + outcome.operations);
                seen.bad.extend(outcome.violation.map(|violation| (self.from + at, violation)));
            }
        });
        let seconds = started.elapsed().as_secs_f64();
        let (played, operations) =
            all.iter().fold((0, 0), |(played, operations), it| (played + it.played, operations + it.operations));
        let mut bad: Vec<(u64, String)> = all.into_iter().flat_map(|it| it.bad).collect();
        bad.sort();
        if let Some((seed, _)) = bad.first() {
            told(&shrink(&Plan::random(*seed, self.arrival)));
        }
        let mut kinds: BTreeMap<String, Vec<&(u64, String)>> = BTreeMap::new();
        for one in &bad {
            let kind = one.1.chars().filter(|c| !c.is_ascii_digit()).take(60).collect();
            kinds.entry(kind).or_default().push(one);
        }
        let late = if self.arrival == IN_TIME { String::new() } else { format!(" SIM_ARRIVAL={}", self.arrival) };
        for all in kinds.values() {
            println!("violation, {} times, first with SIM_SEED={}{late}: {}", all.len(), all[0].0, all[0].1);
        }
        println!(
            "simulation matrix: {played} schedules, requests arriving within {} s, {operations} operations, {} violations in {seconds:.0} s ({:.0} schedules a second on {jobs} threads)",
            self.arrival / 1000,
            bad.len(),
            played as f64 / seconds
        );
        bad.len()
    }
}

fn play_orders(time: Duration, jobs: u64) -> usize {
    let parts = shared(jobs, |part| explore(time, part, jobs));
    let played: u64 = parts.iter().map(|it| it.played).sum();
    let all = parts.iter().map(|it| it.all).max().unwrap_or_default();
    let violations: Vec<_> = parts.iter().filter_map(|Explored { violation, .. }| violation.as_ref()).collect();
    if let Some((plan, _)) = violations.first() {
        told(plan);
    }
    println!(
        "simulation matrix: {played} of {all} orders of two publishes with at most one fault, {} violations",
        violations.len()
    );
    violations.len()
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

fn play_stories(jobs: u64) -> usize {
    let (mut plans, mut violations) = (0, 0);
    let stories = cases::all();
    let enough = number("SIM_ENOUGH").map_or(usize::MAX, |enough| enough as usize);
    for story in &stories {
        if violations >= enough {
            break;
        }
        let every = |part: u64| {
            let part = story.plans.iter().enumerate().skip(part as usize).step_by(jobs as usize);
            part.filter_map(|(at, plan)| Some((at, play(plan).violation?))).collect::<Vec<_>>()
        };
        let mut failed = shared(jobs, every).concat();
        failed.sort();
        if let Some((at, why)) = failed.first() {
            told(&story.plans[*at]);
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
