//! Two nodes and a witness.

use std::time::Duration;

use super::{A, B, Trio, config};
use crate::action::WitnessVerb;
use crate::codec;
use crate::config::{ClusterConfig, WitnessConfig};
use crate::consensus::witness::WitnessState;
use crate::event::WitnessReply;
use crate::id::NodeId;
use crate::notice::{Notice, WitnessTrouble};

impl Trio {
    /// The register carries out a request, if it is there.
    pub(super) fn take_witness(&mut self, verb: WitnessVerb) -> Result<WitnessReply, String> {
        let Some((version, bytes)) = &mut self.register else { return Err("away".to_owned()) };
        Ok(match verb {
            WitnessVerb::Read => WitnessReply::State { version: *version, bytes: bytes.clone() },
            WitnessVerb::Swap { expected, .. } if expected != *version => WitnessReply::Changed,
            WitnessVerb::Swap { bytes: new, .. } => {
                (*version, *bytes) = (*version + 1, new);
                WitnessReply::Swapped
            }
        })
    }

    fn version(&self) -> u64 {
        self.register.as_ref().map_or(0, |register| register.0)
    }

    fn witness(&self) -> WitnessState {
        let (_, bytes) = self.register.as_ref().expect("it is there");
        codec::decode(bytes).expect("it was written by an engine")
    }

    fn witness_is_made(&self) -> bool {
        let made = |node| self.engines[&node].status(self.now).witness.is_some_and(|one| one.made);
        [A, B].into_iter().all(made)
    }

    fn has_told(&self, node: NodeId, which: impl Fn(&Notice) -> bool) -> bool {
        self.notices.iter().any(|(_, teller, notice)| *teller == node && which(notice))
    }

    fn may_act(&self, node: NodeId) -> bool {
        self.engines[&node].lease().is_some_and(|until| self.now < until)
    }
}

/// Two nodes, a witness that takes part, and the guest on A.
fn pair() -> Trio {
    let mut parts = config(true, |_| {}).parts().clone();
    parts.nodes.truncate(2);
    parts.witness = Some(WitnessConfig { path: "/mnt/share/pair".into(), votes: None });
    let mut pair = Trio::start_as(ClusterConfig::new(parts).unwrap());
    pair.run_until(Duration::from_secs(20), |pair| pair.witness_is_made() && pair.is_online_on(A));
    pair
}

fn rest(pair: &mut Trio, length: Duration) {
    let end = pair.now + length;
    pair.run_until(length + Duration::from_secs(1), |pair| pair.now >= end);
}

#[test]
fn while_both_nodes_are_there_nothing_is_written_to_the_witness() {
    let mut pair = pair();
    rest(&mut pair, Duration::from_secs(2));
    let before = pair.version();
    rest(&mut pair, Duration::from_secs(20));
    assert_eq!(pair.version(), before);
}

#[test]
fn a_node_goes_on_with_the_witness_when_the_other_dies() {
    let mut pair = pair();
    pair.kill(A);
    pair.run_until(Duration::from_secs(10), |pair| pair.is_online_on(B));
    assert_eq!(pair.witness().follows.map(|voter| voter.node()), Some(B));
    rest(&mut pair, Duration::from_secs(20));
    assert!(pair.may_act(B) && pair.is_online_on(B));
}

#[test]
fn without_the_witness_a_node_that_is_left_alone_stops() {
    let mut pair = pair();
    pair.register = None;
    pair.kill(A);
    pair.run_until(Duration::from_secs(10), |pair| !pair.may_act(B));
    rest(&mut pair, Duration::from_secs(10));
    assert!(!pair.may_act(B) && pair.running.is_empty());
    let away = |notice: &Notice| {
        let trouble = WitnessTrouble::Unreachable("away".into());
        *notice == Notice::Witness { trouble: Some(trouble) }
    };
    assert!(pair.has_told(B, away));
}

#[test]
fn an_empty_register_is_not_made_anew_once_the_cluster_knows_of_one() {
    let mut pair = pair();
    pair.register = Some((0, Vec::new()));
    pair.kill(A);
    rest(&mut pair, Duration::from_secs(20));
    assert_eq!(pair.version(), 0);
    assert!(!pair.may_act(B));
    let empty = Notice::Witness { trouble: Some(WitnessTrouble::Empty) };
    assert!(pair.has_told(B, |notice| *notice == empty));
}

#[test]
fn of_two_nodes_that_do_not_hear_each_other_the_witness_keeps_the_coordinator() {
    let mut pair = pair();
    let coordinator = pair.engines[&A].coordinator().0.expect("there is one");
    let other = if coordinator == A { B } else { A };
    pair.silent.insert(other);
    rest(&mut pair, Duration::from_secs(10));
    assert!(pair.may_act(coordinator) && !pair.may_act(other));
}

#[test]
fn a_node_that_has_missed_something_is_not_elected_and_is_told_who_has_it() {
    let mut pair = pair();
    pair.kill(B);
    pair.run_until(Duration::from_secs(10), |pair| {
        pair.engines[&A].database().is_some_and(|database| !database.is_up(B))
    });
    rest(&mut pair, Duration::from_secs(2));
    pair.kill(A);
    pair.boot(B);
    rest(&mut pair, Duration::from_secs(20));
    assert!(!pair.may_act(B));
    assert!(pair.has_told(B, |notice| *notice == Notice::WitnessAhead { node: Some(A) }));
    pair.boot(A);
    pair.run_until(Duration::from_secs(20), |pair| pair.is_online_on(A) || pair.is_online_on(B));
}
