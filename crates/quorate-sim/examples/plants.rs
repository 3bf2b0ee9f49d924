//! Puts every bug on purpose into the simulator, one at a time, and tells which checker caught it and how soon.
//!
//!     cargo run --release -p quorate-sim --features plants --example plants -- [SECONDS [NAME..]]
//!
//! `SECONDS` is how long each bug is looked for at most; 60 unless told. With names, only these.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "an example is called with arguments, and measures time"
)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use quorate_sim::planting::Bug;

/// At least so many of a hundred are to be caught.
const SHARE_MIN: usize = 95;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let seconds = words.first().and_then(|word| word.parse().ok()).unwrap_or(60);
    let names = words.get(1..).unwrap_or_default();
    let patience = Duration::from_secs(seconds);
    let is_wanted = |bug: &Bug| names.is_empty() || names.contains(&bug.name());
    let mut times = Vec::new();
    let mut count = 0;
    println!("{:<28} {:<14} {:>6} {:>8}", "bug", "caught by", "seeds", "seconds");
    for bug in Bug::all().filter(is_wanted) {
        count += 1;
        let began = Instant::now();
        let caught = bug.hunt(|_| began.elapsed() < patience);
        let took = began.elapsed().as_secs_f64();
        match caught {
            Some(caught) => {
                times.push(took);
                println!(
                    "{:<28} {:<14} {:>6} {took:>8.2}   {}",
                    bug.name(),
                    caught.checker,
                    caught.seeds,
                    caught.what.chars().take(90).collect::<String>()
                );
            }
            None => {
                println!("{:<28} NOT CAUGHT            {took:>8.2}   {}", bug.name(), bug.what())
            }
        }
    }
    times.sort_by(f64::total_cmp);
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let caught = times.len();
    println!("{caught} of {count} caught, the median in {median:.2} s");
    if caught * 100 >= count * SHARE_MIN { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
