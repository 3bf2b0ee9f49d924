//! How a cluster stands, apart from the engine: what another configuration would change is asked of it.

use std::collections::BTreeMap;

use super::{Candidate, NotHere, Now, Remedy, Survival, counterfactual, place, plan, survival};
use crate::config::{ClusterConfig, GroupConfig};
use crate::id::{GroupId, NodeId};

/// Of so many groups that would go elsewhere the reasons are looked for.
const REASONS_MAX: usize = 100;

impl Now {
    /// Of a group that the database does not hold yet.
    pub fn fresh(group: &GroupConfig) -> Self {
        Self { wanted: group.auto_start, at: group.initial_owner, ..Self::default() }
    }
}

/// A cluster at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlook {
    /// The configuration in force.
    pub config: ClusterConfig,
    /// Its number; 0: it is not known.
    pub version: u64,
    /// The nodes.
    pub nodes: BTreeMap<NodeId, Candidate>,
    /// The groups.
    pub groups: BTreeMap<GroupId, Now>,
}

/// What becomes of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The group.
    pub group: GroupId,
    /// Where it belongs as it is; none: nowhere.
    pub from: Option<NodeId>,
    /// Where it would belong; none: nowhere.
    pub to: Option<NodeId>,
    /// Whether it runs.
    pub runs: bool,
    /// For each node but `to`, why not there. Empty where very many groups go elsewhere.
    pub others: BTreeMap<NodeId, NotHere>,
}

impl Outlook {
    /// Which groups would belong elsewhere if `next` were in force, in its order; and those that it brings and nowhere
    /// can run.
    pub fn effects(&self, next: &ClusterConfig) -> Vec<Effect> {
        self.compare(next, &self.nodes, &self.now_in(next), None)
    }

    /// Which groups would belong elsewhere if the cluster stood like `after`; and those that would stay on a node that
    /// is to be empty.
    pub fn effects_until(&self, after: &Outlook, emptied: Option<NodeId>) -> Vec<Effect> {
        self.compare(&after.config, &after.nodes, &after.now_in(&after.config), emptied)
    }

    fn compare(
        &self,
        next: &ClusterConfig,
        nodes: &BTreeMap<NodeId, Candidate>,
        new: &[Now],
        emptied: Option<NodeId>,
    ) -> Vec<Effect> {
        let before = plan(&self.config, &self.nodes, self.now_in(&self.config));
        let after = plan(next, nodes, new.to_vec());
        let mut effects = Vec::new();
        for (at, group) in next.groups().iter().enumerate() {
            let was = self.config.place_of(group.id);
            let from = was.and_then(|was| before.node(was));
            let to = after.node(at);
            let now = &new[at];
            let is_stranded = was.is_none() && now.wanted && to.is_none();
            let stays =
                now.runs && now.wanted && to.is_some() && now.at == emptied && to == emptied;
            if from == to && !is_stranded && !stays {
                continue;
            }
            let others = if effects.len() < REASONS_MAX && !now.fixed {
                place(next, nodes, new.to_vec(), at).others
            } else {
                BTreeMap::new()
            };
            effects.push(Effect { group: group.id, from, to, runs: now.runs, others });
        }
        effects
    }

    /// What would have to change for the group to be on the node; see [`counterfactual`].
    pub fn counterfactual(&self, group: GroupId, node: NodeId) -> Option<Vec<Remedy>> {
        let place = self.config.place_of(group)?;
        counterfactual(&self.config, &self.nodes, self.now_in(&self.config), place, node)
    }

    /// What would have no place after each loss of so many nodes; see [`survival`].
    pub fn survival(&self, losses: u32) -> Survival {
        survival(&self.config, &self.nodes, self.now_in(&self.config), losses)
    }

    /// How the groups of a configuration are.
    fn now_in(&self, config: &ClusterConfig) -> Vec<Now> {
        let of_group = |group: &GroupConfig| {
            let known = self.groups.get(&group.id);
            known.cloned().unwrap_or_else(|| Now::fresh(group))
        };
        config.groups().iter().map(of_group).collect()
    }
}
