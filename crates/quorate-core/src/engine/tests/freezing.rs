//! A cluster in which what runs goes on without a quorum.

use std::time::Duration;

use super::handover::without_lun;
use super::{A, B, Trio, config};
use crate::config::{ClusterConfig, ClusterParts};

#[test]
fn what_is_kept_without_a_quorum_is_given_to_nobody_else() {
    let mut parts = ClusterParts::from(config(true, without_lun));
    parts.policy.keep_without_quorum = true;
    let mut trio = Trio::start_as(ClusterConfig::new(parts).expect("it is valid"));
    trio.run_until(Duration::from_secs(5), |trio| trio.is_online_on(A));
    trio.verbs.clear();
    trio.silent.insert(A);
    trio.pass(Duration::from_secs(60));
    assert_eq!(trio.verbs, [], "it goes on, and no lease that is over proves that it does not");
    let state = |trio: &Trio| trio.engines[&B].status(trio.now).groups[0].state.clone();
    assert_eq!(state(&trio), "lost");
    // Told that it was declared down, it ends what it has, and what it had is free.
    trio.silent.clear();
    trio.run_until(Duration::from_secs(20), |trio| state(trio) == "online");
    assert_eq!(trio.verb_words()[0], (A, "kill"));
    assert_eq!(trio.running.len(), 1);
}
