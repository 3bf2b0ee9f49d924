//! A thousand seeds of random faults: nothing is broken in any. Those that ever failed are in
//! crates/quorate-cli/tests/command.

use quorate_sim::{Faults, Options, Outcome, Stats, run};

/// Runs seeds and demands that all are clean; gives what was counted. `turn`: each with the faults whose turn it is.
fn clean(seeds: impl Iterator<Item = u64>, turn: bool) -> Stats {
    let mut stats = Stats::default();
    let mut broken: Vec<Outcome> = Vec::new();
    for seed in seeds {
        let faults = if turn { Faults::turn(seed) } else { Faults::ALL };
        let outcome = run(seed, &Options { faults, ..Options::default() });
        stats += &outcome.stats;
        if !outcome.is_clean() {
            broken.push(outcome);
        }
    }
    let lines: Vec<String> = broken
        .iter()
        .flat_map(|outcome| {
            let seed = outcome.seed;
            let word = if turn { " turn" } else { "" };
            let replay = format!("cargo run -p quorate-sim --example replay -- {seed}{word}");
            let found = outcome.violations.iter().map(|violation| format!("    {violation}"));
            std::iter::once(format!("{replay}\n    {}", outcome.cluster)).chain(found)
        })
        .collect();
    assert!(broken.is_empty(), "{} seeds are broken:\n{}", broken.len(), lines.join("\n"));
    stats
}

/// One shard of the thousand. Whatever can happen has happened in each, or the seeds miss the point.
fn shard(number: u64) {
    const SEEDS: u64 = 125;
    let stats = clean(number * SEEDS..(number + 1) * SEEDS, false);
    let of_members = ["nodes_added", "nodes_evicted", "votes_changed"];
    for (name, count) in stats.table().into_iter().filter(|(name, _)| !of_members.contains(name)) {
        println!("{name:<20} {count}");
        assert!(count > 0, "not once in {SEEDS} seeds: {name}");
    }
}

#[test]
fn seeds_0_to_124_are_clean() {
    shard(0);
}

#[test]
fn seeds_125_to_249_are_clean() {
    shard(1);
}

#[test]
fn seeds_250_to_374_are_clean() {
    shard(2);
}

#[test]
fn seeds_375_to_499_are_clean() {
    shard(3);
}

#[test]
fn seeds_500_to_624_are_clean() {
    shard(4);
}

#[test]
fn seeds_625_to_749_are_clean() {
    shard(5);
}

#[test]
fn seeds_750_to_874_are_clean() {
    shard(6);
}

#[test]
fn seeds_875_to_999_are_clean() {
    shard(7);
}

#[test]
fn seeds_in_turn_through_the_faults_are_clean() {
    clean(0..250, true);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 14, 159] {
        let [one, other] = [0; 2].map(|_| run(seed, &Options::default()));
        assert_eq!(one.trace_hash, other.trace_hash, "seed {seed}");
        assert_eq!(one.stats, other.stats, "seed {seed}");
    }
    let hashes = [1, 2].map(|seed| run(seed, &Options::default()).trace_hash);
    assert_ne!(hashes[0], hashes[1]);
}
