//! The simulator at length, as `quorate torture` runs it, in a program that is soon built.
//!
//!     cargo run --release -p quorate-sim --example long -- NAME SEEDS
//!
//! `NAME` says what is run, see [`options`]. Prints a hash over all that every engine was told and asked for: it is the
//! same in every build. Fails where a seed is broken.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "an example is called with arguments, measures time, and uses every core"
)]

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{available_parallelism, scope};
use std::time::{Duration, Instant};

use quorate_sim::options::SLOW;
use quorate_sim::{Options, Outcome, run};

const HOUR: Duration = Duration::from_secs(3600);

/// The options of a seed; none: there is no such name.
fn options(name: &str, seed: u64) -> Option<Options> {
    let options = Options::default();
    Some(match name {
        "drawn" => options,
        "five" => Options { nodes: Some(5), groups: Some(20), ..options },
        "members" => Options::of_members(seed),
        "configured" => Options::of_configurations(seed),
        "quiet" => Options { time: Some(HOUR * 12), pace: Some(HOUR), ..options },
        "years" => Options {
            nodes: Some(3),
            timing: Some(SLOW),
            time: Some(HOUR * 24 * 92),
            pace: Some(HOUR * 3),
            ..options
        },
        _ => return None,
    })
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let asked = match &words[..] {
        [name, seeds] if options(name, 0).is_some() => {
            seeds.parse().ok().map(|seeds| (name, seeds))
        }
        _ => None,
    };
    let Some((name, seeds)) = asked else {
        eprintln!("usage: long drawn|five|members|configured|quiet|years SEEDS");
        return ExitCode::FAILURE;
    };
    let began = Instant::now();
    let outcomes = run_all(name, seeds);
    let mut hash = 0u64;
    let (mut broken, mut simulated) = (0, Duration::ZERO);
    for outcome in &outcomes {
        hash = (hash.rotate_left(5) ^ outcome.trace_hash).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        simulated += outcome.simulated;
        broken += u64::from(!outcome.is_clean());
        for found in &outcome.violations {
            println!("seed {}: {found}", outcome.seed);
        }
    }
    let real = began.elapsed().as_secs_f64();
    let days = simulated.as_secs_f64() / 86_400.0;
    eprintln!("{name}: {seeds} seeds, {broken} broken, {days:.2} days in {real:.1} s");
    println!("{hash:016x}");
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs all seeds, as many at once as there are cores; in their order.
fn run_all(name: &str, seeds: u64) -> Vec<Outcome> {
    let next = AtomicU64::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            match options(name, seed).filter(|_| seed < seeds) {
                Some(options) => done.push(run(seed, &options)),
                None => return done,
            }
        }
    };
    let cores = available_parallelism().map_or(1, usize::from);
    let mut all: Vec<Outcome> = scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no run panics")).collect()
    });
    all.sort_by_key(|outcome| outcome.seed);
    all
}
