//! Replays a seed of the simulator and tells its story.
//!
//!     cargo run -p quorate-sim --example replay -- SEED [turn|members|configured] [from SECOND] [to SECOND] [quiet]
//!
//! `turn` draws only the faults whose turn it is with this seed; in `members` nodes come and go; in `configured`
//! configurations change.
//! `quiet` leaves the story out: the verdict and the counts only.

#![expect(clippy::disallowed_methods, reason = "an example is called with arguments")]

use std::process::ExitCode;

use quorate_sim::{Faults, Options, run};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(seed) = words.first().and_then(|word| word.parse().ok()) else {
        eprintln!("usage: replay SEED [turn|members|configured] [from SECOND] [to SECOND] [quiet]");
        return ExitCode::FAILURE;
    };
    let after = |name: &str| {
        let at = words.iter().position(|word| word == name)?;
        words.get(at + 1)?.parse::<f64>().ok()
    };
    let (from, to) = (after("from").unwrap_or(0.0), after("to").unwrap_or(f64::MAX));
    let story = !words.iter().any(|word| word == "quiet");
    let is_said = |name: &str| words.iter().any(|word| word == name);
    let options = match () {
        () if is_said("members") => Options::of_members(seed),
        () if is_said("configured") => Options::of_configurations(seed),
        () if is_said("turn") => Options { faults: Faults::turn(seed), ..Options::default() },
        () => Options::default(),
    };
    let outcome = run(seed, &Options { story, ..options });
    println!("seed {seed}: {}", outcome.cluster);
    for line in &outcome.story {
        let second = line.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
        if second.is_none_or(|second| (from..=to).contains(&second)) {
            println!("{line}");
        }
    }
    for (name, count) in outcome.stats.table() {
        println!("  {name:<20} {count}");
    }
    println!("  trace hash           {:016x}", outcome.trace_hash);
    match (outcome.converged_after, outcome.is_clean()) {
        (Some(length), true) => println!("clean; online {length:?} after the faults"),
        _ => outcome.violations.iter().for_each(|violation| println!("BROKEN {violation}")),
    }
    if outcome.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
