//! Runs seeds in which nodes are added and evicted.
//!
//!     cargo run -p quorate-sim --example members -- FIRST COUNT
//!
//! One seed alone tells its story.

#![expect(clippy::disallowed_methods, reason = "an example is called with arguments")]

use std::process::ExitCode;

use quorate_sim::{Options, Stats, run};

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let [first, count] = numbers[..] else {
        eprintln!("usage: members FIRST COUNT");
        return ExitCode::FAILURE;
    };
    let mut broken = 0;
    let mut stats = Stats::default();
    for seed in first..first + count {
        let outcome = run(seed, &Options { story: count == 1, ..Options::of_members(seed) });
        outcome.story.iter().for_each(|line| println!("{line}"));
        outcome.violations.iter().for_each(|found| println!("seed {seed}: {found}"));
        broken += u64::from(!outcome.is_clean());
        stats += &outcome.stats;
    }
    let (added, evicted, votes) = (stats.nodes_added, stats.nodes_evicted, stats.votes_changed);
    println!(
        "{count} seeds from {first}: {broken} broken; {added} nodes added, {evicted} evicted, {votes} changes of votes"
    );
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
