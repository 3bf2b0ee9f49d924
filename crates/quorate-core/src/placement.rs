//! Where a group belongs: a pure function of the configuration, the nodes and who runs what.
//!
//! Order of choice, first difference wins: possible (hard) > not where it failed > the node that has it, if it runs
//! nowhere > the higher score > preferred, in order > the node that owns the fewest groups > the lowest number.
//! Source: Windows clustering, preferred and possible owners.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::{GroupConfig, SCORE_NEVER};
use crate::id::NodeId;

/// What placement needs to know of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// It takes part.
    pub up: bool,
    /// It gets no new groups.
    pub paused: bool,
    /// How many groups it owns.
    pub groups: usize,
}

impl Candidate {
    /// Whether it can get a group.
    pub fn is_open(&self) -> bool {
        self.up && !self.paused
    }
}

/// What has been, as far as it bears on where a group goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Past<'a> {
    /// The node that has it while it runs nowhere.
    pub seat: Option<NodeId>,
    /// Where it has failed, or shall leave.
    pub failed_on: &'a [NodeId],
}

/// Why a node was not chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotHere {
    /// It does not take part.
    NotUp,
    /// It is paused.
    Paused,
    /// It is not a possible owner.
    NotPossible,
    /// The group has just failed there, and another node can run it.
    FailedThere,
    /// The node that has it can run it.
    HasItNot,
    /// A node with a higher score can run it.
    LowerScore,
    /// A node earlier in the preferred owners can run it.
    LessPreferred,
    /// Another node owns fewer groups.
    MoreLoaded,
    /// Equal in all, but another has the lower number.
    HigherNumber,
}

impl fmt::Display for NotHere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotHere::NotUp => "it does not take part",
            NotHere::Paused => "it is paused",
            NotHere::NotPossible => "it is not a possible owner",
            NotHere::FailedThere => "the group has just failed there, and another node can run it",
            NotHere::HasItNot => "the node that has it can run it",
            NotHere::LowerScore => "a node with a higher score can run it",
            NotHere::LessPreferred => "a node earlier in the preferred owners can run it",
            NotHere::MoreLoaded => "another node owns fewer groups",
            NotHere::HigherNumber => "equal in all, but another node has the lower number",
        })
    }
}

/// The chosen node, and for each other why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Where the group should run; none: nowhere can it.
    pub chosen: Option<NodeId>,
    /// Why not there.
    pub others: BTreeMap<NodeId, NotHere>,
}

/// Chooses a node for a group that runs nowhere.
pub fn place(
    group: &GroupConfig,
    nodes: &BTreeMap<NodeId, Candidate>,
    past: Past<'_>,
) -> Placement {
    let mut others = BTreeMap::new();
    let mut ranked: Vec<(Rank, NodeId)> = Vec::new();
    for (&node, candidate) in nodes {
        match obstacle(group, node, candidate) {
            Some(reason) => {
                others.insert(node, reason);
            }
            None => ranked.push((rank(group, node, candidate, past), node)),
        }
    }
    ranked.sort_unstable();
    let chosen = ranked.first().map(|&(_, node)| node);
    for &(rank, node) in ranked.iter().skip(1) {
        others.insert(node, why_behind(ranked[0].0, rank));
    }
    Placement { chosen, others }
}

/// Whether a node could run the group at all now.
pub fn obstacle(group: &GroupConfig, node: NodeId, candidate: &Candidate) -> Option<NotHere> {
    if !is_possible(group, node) {
        Some(NotHere::NotPossible)
    } else if !candidate.up {
        Some(NotHere::NotUp)
    } else if candidate.paused {
        Some(NotHere::Paused)
    } else {
        None
    }
}

/// Whether the group may ever run on the node.
pub fn is_possible(group: &GroupConfig, node: NodeId) -> bool {
    let named = group.possible_owners.is_empty() || group.possible_owners.contains(&node);
    named && score(group, node) != SCORE_NEVER
}

/// Whether a group that fails back leaves `node`, where it runs, for `other`.
pub fn returns(group: &GroupConfig, node: NodeId, other: NodeId) -> bool {
    let gain = i64::from(score(group, other)) - i64::from(score(group, node));
    let earlier = preference(group, other) < preference(group, node);
    gain > i64::from(group.stickiness) || gain == 0 && group.stickiness == 0 && earlier
}

fn score(group: &GroupConfig, node: NodeId) -> i32 {
    group.scores.get(&node).copied().unwrap_or_default()
}

/// How far down in the preferred owners the node stands; those that are not named share the last
/// place.
fn preference(group: &GroupConfig, node: NodeId) -> usize {
    let owners = &group.preferred_owners;
    owners.iter().position(|&owner| owner == node).unwrap_or(owners.len())
}

/// Failed there, does not have it, score, place in the preferred owners, load: less is better.
// A tuple, since its order is the rule.
type Rank = (bool, bool, Reverse<i32>, usize, usize);

fn rank(group: &GroupConfig, node: NodeId, candidate: &Candidate, past: Past<'_>) -> Rank {
    let failed = past.failed_on.contains(&node);
    let elsewhere = past.seat != Some(node);
    (failed, elsewhere, Reverse(score(group, node)), preference(group, node), candidate.groups)
}

fn why_behind(best: Rank, rank: Rank) -> NotHere {
    if rank.0 != best.0 {
        NotHere::FailedThere
    } else if rank.1 != best.1 {
        NotHere::HasItNot
    } else if rank.2 != best.2 {
        NotHere::LowerScore
    } else if rank.3 != best.3 {
        NotHere::LessPreferred
    } else if rank.4 != best.4 {
        NotHere::MoreLoaded
    } else {
        NotHere::HigherNumber
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn group(possible: Vec<u16>, preferred: Vec<u16>, scores: Vec<(u16, i32)>) -> GroupConfig {
        let nodes = |ids: Vec<u16>| ids.into_iter().map(NodeId).collect();
        GroupConfig {
            id: crate::id::GroupId(1),
            name: "vm".into(),
            auto_start: true,
            possible_owners: nodes(possible),
            preferred_owners: nodes(preferred),
            scores: scores.into_iter().map(|(node, score)| (NodeId(node), score)).collect(),
            initial_owner: None,
            failback: false,
            stickiness: 0,
            failover_threshold: 2,
            failover_period: Duration::from_secs(1),
            retry_period: Duration::from_secs(1),
            luns: Vec::new(),
            resources: Vec::new(),
        }
    }

    fn nodes() -> impl Strategy<Value = BTreeMap<NodeId, Candidate>> {
        let candidate = (any::<bool>(), any::<bool>(), 0usize..4)
            .prop_map(|(up, paused, groups)| Candidate { up, paused, groups });
        proptest::collection::btree_map((1u16..6).prop_map(NodeId), candidate, 0..6)
    }

    /// The rule, said slowly: drop what cannot, then keep the best by each criterion in turn.
    fn slowly(
        group: &GroupConfig,
        nodes: &BTreeMap<NodeId, Candidate>,
        past: Past<'_>,
    ) -> Option<NodeId> {
        let mut left: Vec<NodeId> = nodes
            .iter()
            .filter(|(id, one)| {
                let named = group.possible_owners.contains(id);
                let never = group.scores.get(id) == Some(&SCORE_NEVER);
                one.up && !one.paused && !never && (named || group.possible_owners.is_empty())
            })
            .map(|(&id, _)| id)
            .collect();
        if left.iter().any(|id| !past.failed_on.contains(id)) {
            left.retain(|id| !past.failed_on.contains(id));
        }
        if let Some(seat) = past.seat.filter(|seat| left.contains(seat)) {
            return Some(seat);
        }
        let score = |id: &NodeId| group.scores.get(id).copied().unwrap_or(0);
        let highest = left.iter().map(score).max()?;
        left.retain(|id| score(id) == highest);
        if let Some(best) = group.preferred_owners.iter().find(|id| left.contains(id)) {
            return Some(*best);
        }
        let fewest = left.iter().map(|id| nodes[id].groups).min()?;
        left.into_iter().find(|id| nodes[id].groups == fewest)
    }

    proptest! {
        #[test]
        fn the_quick_choice_is_the_slow_one(
            nodes in nodes(),
            possible in proptest::collection::vec(1u16..6, 0..4),
            preferred in proptest::collection::vec(1u16..6, 0..4),
            scores in proptest::collection::vec((1u16..6, prop_oneof![-1i32..2, Just(SCORE_NEVER)]), 0..3),
            failed in proptest::collection::vec((1u16..6).prop_map(NodeId), 0..3),
            seat in proptest::option::of((1u16..6).prop_map(NodeId)),
        ) {
            let group = group(possible, preferred, scores);
            let past = Past { seat, failed_on: &failed };
            let placement = place(&group, &nodes, past);
            prop_assert_eq!(placement.chosen, slowly(&group, &nodes, past));
            let named = placement.others.len() + usize::from(placement.chosen.is_some());
            prop_assert_eq!(named, nodes.len(), "every node is chosen or told why not");
        }
    }

    #[test]
    fn a_group_leaves_for_a_node_that_is_better_by_more_than_it_sticks() {
        let sticky =
            |stickiness| GroupConfig { stickiness, ..group(vec![], vec![], vec![(2, 10)]) };
        assert!(returns(&sticky(9), NodeId(1), NodeId(2)));
        assert!(!returns(&sticky(10), NodeId(1), NodeId(2)));
        let preferred = group(vec![], vec![1, 2], vec![(1, 5), (2, 5)]);
        assert!(
            returns(&preferred, NodeId(2), NodeId(1)),
            "the order decides between equal scores"
        );
    }
}
