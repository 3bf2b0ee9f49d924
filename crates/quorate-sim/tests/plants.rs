//! Every bug on purpose that shows itself within a few seeds does so, by the checkers; without one, the same runs are
//! clean.

use quorate_sim::planting::Bug;
use quorate_sim::{Faults, Options, run};

/// How many seeds each has here. `make plants` looks longer, for all of them.
const SEEDS: u64 = 11;
/// What needs longer, or is seen in a long run only: `make plants` finds it.
const SLOW: &[&str] = &[
    "FailedKillCountsAsDone",
    "LeaseFromReceipt",
    "AcknowledgesTheDown",
    "ClockBeyondBound",
    "DetachNotAwaited",
    "EpochForgotten",
    "FenceByMinority",
    "FenceByStaleWord",
    "FenceOnBelief",
    "LaterOwnerPreempted",
    "LatenessIgnored",
    "LunLossIgnored",
    "OthersNotAsked",
    "OthersStayRegistered",
    "ReadmittedWithoutStopping",
    "ReserveForgotten",
    "ResetIsDeath",
    "ResetReleases",
    "RewriteDropsVote",
    "RewriteTears",
    "RotUnnoticed",
    "RunsBeforeConsumed",
    "SameIncarnationReadmitted",
    "SaveStaysUsable",
    "StaleAnswerTaken",
    "StartBeforeFence",
    "StuckCountsAsFenced",
    "SuspectIsDown",
    "SyncErrorIgnored",
    "VoteForgotten",
];

#[test]
fn bugs_are_caught_within_a_few_seeds() {
    let fast = Bug::all().filter(|bug| !SLOW.contains(&bug.name().as_str()));
    let missed: Vec<String> = fast
        .filter(|bug| bug.hunt(|seed| seed < SEEDS).is_none())
        .map(|bug| format!("{}: {}", bug.name(), bug.what()))
        .collect();
    assert!(missed.is_empty(), "not caught in {SEEDS} seeds:\n{}", missed.join("\n"));
}

#[test]
fn without_a_bug_the_same_runs_are_clean() {
    for seed in 0..SEEDS {
        let options = Options { faults: Faults::turn(seed), ..Options::default() };
        let outcome = run(seed, &options);
        assert!(outcome.is_clean(), "seed {seed}: {:?}", outcome.violations);
    }
}
