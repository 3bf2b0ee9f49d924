//! Proofs that a node can no longer run, or no longer write, what it owned. The only place that
//! makes them.
//!
//! ```text
//! Up --silence, reset--> Down (believed) --lease over | returned | agents | human--> Fenced (proven)
//! ```
//!
//! A storage fence is no proof about the node: it frees one group, by its LUNs; see
//! [`crate::group::VacancyProof`].

use std::time::Duration;

use crate::change::{Change, FenceKind};
use crate::id::{Incarnation, NodeId};
use crate::plant::{self, Plant};
use crate::quorum;

/// A node is harmless. Can be made only here, of what is written at each function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FenceProof {
    node: NodeId,
    incarnation: Incarnation,
    kind: FenceKind,
    reason: String,
}

impl FenceProof {
    /// The change that makes the proof known to all.
    pub fn into_change(self) -> Change {
        let Self { node, incarnation, kind, reason } = self;
        Change::Fenced { node, incarnation, kind, reason }
    }
}

/// What one voter says about a node that is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// How much of the log it had applied when it said so.
    pub applied: u64,
    /// At least this long ago it last acknowledged a heartbeat of the node.
    pub age: Duration,
}

/// The lease of a node is over: for each of a majority of voters it is known that it has applied
/// the change by which the node is down (`since`), so that it acknowledges no heartbeat of it any
/// more until it is admitted again, and that its last acknowledgement is at least `lease_over` old.
pub fn lease_over(
    node: NodeId,
    incarnation: Incarnation,
    since: u64,
    voters: usize,
    words: impl IntoIterator<Item = Withheld>,
    lease_over: Duration,
) -> Option<FenceProof> {
    let good = words.into_iter().filter(|word| {
        (word.applied >= since || plant::is(Plant::FenceByStaleWord))
            && (word.age >= lease_over || plant::is(Plant::FenceOnBelief))
    });
    let needed = if plant::is(Plant::FenceByMinority) { 1 } else { quorum::majority(voters) };
    (voters > 0 && good.count() >= needed).then(|| FenceProof {
        node,
        incarnation,
        kind: FenceKind::LeaseOver,
        reason: String::new(),
    })
}

/// A fence agent's word that it has ended a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentWord {
    /// How much of the log was applied where it was asked, at that time.
    pub asked_at: u64,
    /// It was asked to keep the node off, not to let it boot.
    pub stays_off: bool,
}

/// Fence agents have ended the node: all of one level, `needed` in number, each asked when it was known that this
/// incarnation is down (`since`). What was ended before that may have been an earlier one. Several cut it off together
/// only if none has let it boot before the last was done.
pub fn agents(
    node: NodeId,
    incarnation: Incarnation,
    since: u64,
    needed: usize,
    words: &[AgentWord],
) -> Option<FenceProof> {
    let counts = |word: &&AgentWord| word.asked_at >= since && (needed <= 1 || word.stays_off);
    let good = words.iter().filter(counts).count();
    let needed = if plant::is(Plant::OneAgentIsEnough) { 1 } else { needed };
    (needed > 0 && good >= needed).then(|| FenceProof {
        node,
        incarnation,
        kind: FenceKind::Agent,
        reason: String::new(),
    })
}

/// A named human's word, with the reason written down.
pub fn human(node: NodeId, incarnation: Incarnation, reason: &str) -> Option<FenceProof> {
    (!reason.trim().is_empty()).then(|| FenceProof {
        node,
        incarnation,
        kind: FenceKind::Human,
        reason: reason.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_millis(100);

    fn proven(words: &[(u64, u64)]) -> bool {
        let words = words
            .iter()
            .map(|&(applied, age)| Withheld { applied, age: Duration::from_millis(age) });
        lease_over(NodeId(1), Incarnation::of_boot(1), 10, 3, words, LEASE).is_some()
    }

    #[test]
    fn a_lease_is_over_when_a_majority_has_withheld_for_its_length() {
        assert!(proven(&[(10, 100), (12, 150)]));
        assert!(!proven(&[(10, 100)]), "one of three is no majority");
        assert!(!proven(&[(10, 100), (10, 99)]), "one acknowledged it too lately");
    }

    #[test]
    fn the_word_of_a_voter_that_may_still_acknowledge_counts_for_nothing() {
        assert!(!proven(&[(10, 200), (9, 200)]));
    }

    #[test]
    fn a_node_is_ended_when_every_agent_of_a_level_was_asked_after_it_went_down() {
        let proven = |needed, asked: &[u64]| {
            let words: Vec<AgentWord> = asked
                .iter()
                .map(|&asked_at| AgentWord { asked_at, stays_off: asked_at != 12 })
                .collect();
            agents(NodeId(1), Incarnation::of_boot(1), 10, needed, &words).is_some()
        };
        assert!(proven(1, &[10]));
        assert!(proven(2, &[10, 11]));
        assert!(!proven(2, &[10]), "one power supply of two");
        assert!(!proven(1, &[9]), "what was ended then may have been an earlier incarnation");
        assert!(!proven(2, &[10, 12]), "one has let it boot before the other was done");
        assert!(!proven(0, &[]), "a level without agents proves nothing");
    }

    #[test]
    fn a_human_must_give_a_reason() {
        assert!(human(NodeId(1), Incarnation::of_boot(1), "  ").is_none());
    }
}
