//! Clusters of two and of four nodes that vote, with a witness: nothing is broken, whatever happens to it.

use std::time::Duration;

use quorate_sim::options::TimingInputs;
use quorate_sim::testing::{Cluster, Disk, Status};
use quorate_sim::timeline::Kind;
use quorate_sim::what_if::{Lose, WhatIf};
use quorate_sim::{Faults, Options, run};

fn options(nodes: u16, seed: u64) -> Options {
    Options { nodes: Some(nodes), faults: Faults::turn(seed), ..Options::default() }
}

/// One fault after the other, in the fast profile.
fn fast(nodes: u16, seed: u64) -> Options {
    let timing = TimingInputs::FAST;
    let pace = Some(timing.detect / 3);
    Options { timing: Some(timing), pace, ..options(nodes, seed) }
}

fn clean(nodes: u16, seeds: impl Iterator<Item = u64>, of: fn(u16, u64) -> Options) {
    let mut requests = 0;
    for seed in seeds {
        let outcome = run(seed, &of(nodes, seed));
        requests += outcome.stats.witness_requests;
        assert!(outcome.is_clean(), "{nodes} nodes, seed {seed}: {:?}", outcome.violations);
    }
    assert!(requests > 0, "no witness was ever asked");
}

#[test]
fn two_nodes_and_a_witness_are_clean() {
    clean(2, 0..150, options);
    clean(2, 0..100, fast);
}

#[test]
fn four_nodes_and_a_witness_are_clean() {
    clean(4, 0..100, options);
    clean(4, 0..60, fast);
}

/// A coordinator that hears a majority without the witness asked it nothing, while those that it heard did not hear
/// each other, and lost their leases again and again.
#[test]
fn those_that_hear_the_coordinator_alone_keep_their_leases_by_the_witness() {
    let builder = Cluster::builder().nodes(4).seed(5).witness(true);
    let builder = (1..=4).fold(builder, |one, at| one.group(&format!("vm{at}"), Disk::Cooperative));
    let mut cluster = builder.build().unwrap();
    cluster.settle().unwrap();
    let coordinator = cluster.status().and_then(|status| status.coordinator).unwrap();
    let others: Vec<String> =
        (1..=4).map(|at| format!("n{at}")).filter(|node| *node != coordinator).collect();
    let [lost, one, other] = &others[..] else { unreachable!("there are four") };
    cluster.power_off(lost).unwrap();
    cluster.settle().unwrap();
    let lost_leases = |cluster: &Cluster| {
        cluster.timeline().iter().filter(|entry| entry.kind == Kind::LeaseLost).count()
    };
    let before = lost_leases(&cluster);
    cluster.cut_between(one, other).unwrap();
    cluster.run(Duration::from_secs(60)).unwrap();
    assert_eq!(lost_leases(&cluster), before);
}

/// Seeds that were broken once: requests that were never answered were waited for without end; nobody but its maker had
/// looked at the witness; a directory of a node's own, where the share was not mounted, was taken for the witness, and
/// its versions for those of the witness; a vote counted as a beat; candidates took each other's votes at one moment.
#[test]
fn seeds_that_were_broken_once_are_clean() {
    clean(2, [13, 18, 22, 27, 33, 37, 183].into_iter(), options);
    clean(2, [151, 179, 344].into_iter(), fast);
    clean(4, [21, 22, 120, 153, 213, 244, 382, 754].into_iter(), options);
    clean(4, [210].into_iter(), fast);
}

fn pair() -> Cluster {
    let builder = Cluster::builder().nodes(2).seed(3).witness(true);
    let mut cluster = builder.group("vm1", Disk::Cooperative).build().unwrap();
    cluster.settle().unwrap();
    cluster
}

fn witness_reached(status: Status) -> Option<bool> {
    status.witness.and_then(|witness| witness.reachable)
}

#[test]
fn of_two_nodes_either_may_be_lost_while_the_witness_is_there() {
    for lost in ["n1", "n2"] {
        let mut cluster = pair();
        cluster.power_off(lost).unwrap();
        cluster.settle().unwrap();
        let owner = cluster.owner_of("vm1").unwrap();
        assert!(owner.as_deref().is_some_and(|owner| owner != lost), "{owner:?}");
    }
}

#[test]
fn a_witness_that_is_lost_stops_nothing_and_is_told_of() {
    let mut cluster = pair();
    let owner = cluster.owner_of("vm1").unwrap();
    cluster.cut_witness(None).unwrap();
    let told = |cluster: &Cluster| cluster.status().and_then(witness_reached) == Some(false);
    cluster.run_until(Duration::from_secs(60), told).unwrap();
    cluster.settle().unwrap();
    assert_eq!(cluster.owner_of("vm1").unwrap(), owner);
    assert!(cluster.outage_of("vm1").unwrap().is_zero());
    cluster.mend_witness(None).unwrap();
    let back = |cluster: &Cluster| cluster.status().and_then(witness_reached) == Some(true);
    cluster.run_until(Duration::from_secs(60), back).unwrap();
}

#[test]
fn what_if_the_witness_were_lost_and_a_node_with_it() {
    let config = pair().config().clone();
    let question = |words: &[&str]| {
        let lose: Vec<Lose> = words.iter().map(|word| word.parse().unwrap()).collect();
        WhatIf::new(config.clone(), None).unwrap().report(&lose).unwrap()
    };
    assert!(question(&["witness"]).cases.iter().all(|case| case.quorum));
    assert!(question(&["nodes:1"]).cases.iter().all(|case| case.quorum));
    assert!(question(&["nodes:1", "witness"]).cases.iter().all(|case| !case.quorum));
}
