//! Plays schedules by the million.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use simulation::{Plan, cases, play, shrink, tell};

fn main() -> ExitCode {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let latest_arrival = number("SIM_ARRIVAL").unwrap_or(110_000);
    if std::env::args().nth(1).as_deref() == Some("cases") {
        return play_cases();
    }
    if let Some(seed) = number("SIM_SEED") {
        let plan = Plan::random(seed, latest_arrival);
        return told(&if std::env::var_os("SIM_WHOLE").is_some() { plan } else { shrink(&plan) });
    }
    let (from, count) = (number("SIM_FROM").unwrap_or(1), number("SIM_COUNT").unwrap_or(10_000));
    let started = Instant::now();
    let (mut bad, mut operations) = (BTreeMap::new(), 0);
    for seed in from..from + count {
        let outcome = play(&Plan::random(seed, latest_arrival));
        operations += outcome.operations;
        if let Some(violation) = outcome.violation {
            let kind: String = violation.chars().filter(|c| !c.is_ascii_digit()).take(60).collect();
            bad.entry(kind).or_insert_with(Vec::new).push((seed, violation));
        }
    }
    for all in bad.values() {
        println!("{} times, first seed {}: {}", all.len(), all[0].0, all[0].1);
    }
    let seconds = started.elapsed().as_secs_f64();
    let violations: usize = bad.values().map(Vec::len).sum();
    println!(
        "{count} schedules, {operations} operations, {violations} violations in {seconds:.1} s: {:.0} a second",
        count as f64 / seconds
    );
    ExitCode::from(u8::from(violations > 0))
}

fn told(plan: &Plan) -> ExitCode {
    println!("{plan:#?}");
    let outcome = tell(plan);
    println!("{}", outcome.timeline.join("\n"));
    println!("{:?}", outcome.violation);
    ExitCode::from(u8::from(outcome.violation.is_some()))
}

fn play_cases() -> ExitCode {
    let mut all = 0;
    for case in cases::all() {
        let failed: Vec<(&Plan, String)> =
            case.plans.iter().filter_map(|plan| Some((plan, play(plan).violation?))).collect();
        println!(
            "{}: {} of {} fail{}",
            case.name,
            failed.len(),
            case.plans.len(),
            failed.first().map_or_else(String::new, |(_, why)| format!(", such as: {why}"))
        );
        if let Some((plan, _)) =
            failed.first().filter(|_| std::env::var("SIM_CASE").is_ok_and(|wanted| case.name.starts_with(&wanted)))
        {
            told(plan);
        }
        all += failed.len();
    }
    ExitCode::from(u8::from(all > 0))
}
