//! Years of releases: a maintainer's life as a seeded random walk over the real tool, gh, git and ssh. After every command
//! the verbs must agree, and from time to time, on a copy of the world, the printed next commands must lead to the end.
//!
//! `YEARS=100` plays so many walks, from the seed `YEARS_SEED` on; `YEARS_SEED=7` alone plays one. A walk that fails is told
//! as a story and played again without one step after another, as long as it still fails.

mod checks;
mod deeds;
mod maintainer;
mod oracle;
mod place;
mod typing;

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use deeds::Deed;
use maintainer::Maintainer;

/// Deeds in a walk.
const LENGTH: usize = 10;

/// After how many deeds a copy of the world is played to its end.
const OFTEN: usize = 5;

/// Marsaglia's xorshift.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % most
    }
}

/// What a seed's maintainer does, and how the world begins.
fn story(seed: u64) -> Vec<Deed> {
    let mut dice = Dice::new(seed);
    let mut deeds = vec![Deed::beginning(&mut dice)];
    deeds.extend((0..LENGTH).map(|_| Deed::random(&mut dice)));
    deeds
}

/// How a story went wrong, and how many deeds it took.
struct Fault {
    why: String,
    deeds: usize,
}

/// Plays it. How many commands of the tool it took, or how it went wrong.
fn play(seed: u64, deeds: &[Deed], often: usize) -> Result<u64, Fault> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("years/{seed}-{number}"));
    let begun = Cell::new(0);
    let told = AssertUnwindSafe(|| {
        let mut maintainer = Maintainer::new(&dir);
        for (number, deed) in (1..).zip(deeds) {
            begun.set(number);
            maintainer.does(deed);
            if number % often == 0 {
                maintainer.ways_lead_on();
            }
        }
        maintainer.reaches_the_end();
        maintainer.life.commands
    });
    let result = panic::catch_unwind(told).map_err(|payload| {
        let text = payload.downcast_ref::<String>().cloned();
        let why = text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
        Fault { why, deeds: begun.get() }
    });
    for left in [dir.clone(), dir.with_extension("copy"), dir.with_extension("packer")] {
        let _ = std::fs::remove_dir_all(left);
    }
    result
}

/// The shortest part of a story that still goes wrong, without taking longer than a few minutes.
fn shrunk(seed: u64, fault: Fault) -> (Vec<Deed>, String) {
    let until = Instant::now() + Duration::from_secs(180);
    let (mut deeds, mut why) = (story(seed), fault.why);
    deeds.truncate(fault.deeds);
    let mut at = deeds.len();
    while at > 1 && Instant::now() < until {
        at -= 1;
        let mut shorter = deeds.clone();
        shorter.remove(at);
        // What went wrong on a copy must be found wherever its deed is now.
        if let Err(still) = play(seed, &shorter, 1) {
            shorter.truncate(still.deeds);
            (deeds, why) = (shorter, still.why);
            at = at.min(deeds.len());
        }
    }
    (deeds, why)
}

#[test]
fn a_maintainers_years() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds: Vec<u64> = match (number("YEARS_SEED"), number("YEARS")) {
        (Some(seed), None) => vec![seed],
        (from, Some(years)) => (from.unwrap_or(1000)..).take(usize::try_from(years).unwrap()).collect(),
        (None, None) => (1..=3).collect(),
    };
    let (next, commands) = (AtomicU64::new(0), AtomicU64::new(0));
    let faults = std::thread::scope(|scope| {
        let walk = || {
            let mut faults = Vec::new();
            while let Some(&seed) = seeds.get(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap()) {
                let began = Instant::now();
                match play(seed, &story(seed), OFTEN) {
                    Ok(number) => {
                        commands.fetch_add(number, Ordering::Relaxed);
                        println!("seed {seed}: {number} commands in {} s", began.elapsed().as_secs());
                    }
                    Err(fault) => {
                        println!("seed {seed}: went wrong: {}", fault.why);
                        faults.push((seed, fault));
                    }
                }
            }
            faults
        };
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(walk)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    println!("{} commands of the tool in {} walks", commands.load(Ordering::Relaxed), seeds.len());
    let seeds: Vec<u64> = faults.iter().map(|(seed, _)| *seed).collect();
    if std::env::var_os("YEARS_WHOLE").is_some() && !faults.is_empty() {
        let told: Vec<String> = faults.into_iter().map(|(seed, fault)| format!("seed {seed}: {}", fault.why)).collect();
        panic!("went wrong: {}", told.join("\n\n"));
    }
    if let Some((seed, fault)) = faults.into_iter().next() {
        let (deeds, why) = shrunk(seed, fault);
        let told: String = deeds.iter().map(|deed| format!("  - {deed}\n")).collect();
        panic!("{} walks went wrong: seeds {seeds:?}; seed {seed}, made shorter:\n{told}{why}", seeds.len());
    }
}
