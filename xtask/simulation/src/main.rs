//! Plays schedules by the million.

use std::process::ExitCode;
use std::time::Instant;

use simulation::{Plan, play, shrink, tell};

fn main() -> ExitCode {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let latest_arrival = number("SIM_ARRIVAL").unwrap_or(110_000);
    if let Some(seed) = number("SIM_SEED") {
        let plan = Plan::random(seed, latest_arrival);
        let plan = if std::env::var_os("SIM_WHOLE").is_some() { plan } else { shrink(&plan) };
        println!("{plan:#?}");
        let outcome = tell(&plan);
        println!("{}", outcome.timeline.join("\n"));
        println!("{:?}", outcome.violation);
        return ExitCode::from(u8::from(outcome.violation.is_some()));
    }
    let (from, count) = (number("SIM_FROM").unwrap_or(1), number("SIM_COUNT").unwrap_or(10_000));
    let started = Instant::now();
    let (mut bad, mut operations) = (Vec::new(), 0);
    for seed in from..from + count {
        let outcome = play(&Plan::random(seed, latest_arrival));
        operations += outcome.operations;
        if let Some(violation) = outcome.violation {
            if bad.len() < 20 {
                println!("seed {seed}: {violation}");
            }
            bad.push(seed);
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{count} schedules, {operations} operations, {} violations in {seconds:.1} s: {:.0} a second",
        bad.len(),
        count as f64 / seconds
    );
    ExitCode::from(u8::from(!bad.is_empty()))
}
