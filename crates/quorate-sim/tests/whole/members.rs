//! Nodes come and go, amid all faults.

use quorate_sim::{Options, Stats, run};

#[test]
fn nodes_come_and_go_and_nothing_is_broken() {
    let mut stats = Stats::default();
    for seed in 0..20 {
        let outcome = run(seed, &Options::of_members(seed));
        assert!(outcome.is_clean(), "seed {seed}: {:?}", outcome.violations);
        stats += &outcome.stats;
    }
    assert!(stats.nodes_added > 5 && stats.nodes_evicted > 5, "{stats:?}");
    assert!(stats.votes_changed > 5, "{stats:?}");
}

/// Seeds that were broken once. A founder that came late began with the configuration in force, and not with its file
/// as the others had (179). A vote was given or taken while those who then had to be a majority had not acknowledged
/// everybody, and leases ended (2, 27, 76, 155, 463). The last but one that votes was evicted (8, 59). A node was
/// evicted by hand while the log of another was damaged, which no two of three survive (116). The judges took hosts
/// that are no part of the cluster for nodes (1052, 1057), and a lease by the old voters, which had lasted until its
/// node heard of the new ones, for one that was over (717). A log that was not folded after a change of voters began
/// again with the old ones (606, 1456). A vote was taken while another node that votes was lost, and nobody knew it yet
/// (2356, 4696). The witness's vote was taken by way of a joint majority that needed it still, and it was asked no more
/// (5316). The judge of bystanders took a lease that was over for one that is (1112, 4407), and a node that came later
/// and was cut off for one that was not (5638).
#[test]
fn seeds_that_were_broken_once_are_clean() {
    for seed in [
        2, 8, 27, 59, 76, 116, 155, 179, 463, 606, 717, 1052, 1057, 1112, 1456, 2356, 4407, 4696,
        5316, 5638,
    ] {
        let outcome = run(seed, &Options::of_members(seed));
        assert!(outcome.is_clean(), "seed {seed}: {:?}", outcome.violations);
    }
}
