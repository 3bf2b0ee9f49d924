//! Runs a range of seeds and lists those that are broken.
//!
//!     cargo run --release -p quorate-sim --example sweep -- FIRST END [DURATION]
//!
//! `DURATION` is how long faults happen, in detection times.

#![expect(clippy::disallowed_methods, reason = "an example is called with arguments")]

use std::process::ExitCode;
use std::time::Duration;

use quorate_sim::{Options, Stats, run};

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let [first, end, rest @ ..] = &numbers[..] else {
        eprintln!("usage: sweep FIRST END [DURATION]");
        return ExitCode::FAILURE;
    };
    let mut options = Options::default();
    if let Some(&duration) = rest.first() {
        options.duration = u32::try_from(duration).unwrap_or(u32::MAX);
    }
    let mut stats = Stats::default();
    let mut broken = 0;
    let mut slowest = (Duration::ZERO, 0);
    for seed in *first..*end {
        let outcome = run(seed, &options);
        stats += &outcome.stats;
        slowest = slowest.max((outcome.converged_after.unwrap_or_default(), seed));
        broken += u64::from(!outcome.is_clean());
        for violation in &outcome.violations {
            println!("{seed}  {violation}");
        }
    }
    for (name, count) in stats.table() {
        println!("  {name:<20} {count}");
    }
    println!("  slowest convergence  {:?}, seed {}", slowest.0, slowest.1);
    println!("  broken               {broken} of {}", end - first);
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
