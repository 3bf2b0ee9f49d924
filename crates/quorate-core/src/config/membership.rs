//! Changes of who belongs to the cluster: a node more, a node less, a vote more or less.
//!
//! A node comes in without a vote, and goes without one. Who votes changes by one vote at a time: so any majority
//! before a change and any after it have a node in common. The witness, whose vote follows from how many nodes vote,
//! keeps what it has until a step of its own: after that of a node, or before it where it votes in the place of a node
//! that goes.

use serde::{Deserialize, Serialize};

use super::{ClusterConfig, ConfigError, NodeConfig, RUNNING_NODES_MAX, witness};
use crate::id::NodeId;

/// A node that comes into a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewNode {
    /// The node. Its number is its own, and was never another's. If it is to vote, it does once it has caught up.
    pub node: NodeConfig,
    /// Only into this version of the configuration; none: into whichever is in force.
    pub only_if: Option<u64>,
}

impl ClusterConfig {
    /// The same with one node more, which does not vote yet.
    ///
    /// # Errors
    /// The first thing about it that does not fit to the rest.
    pub fn with_node(&self, new: &NewNode) -> Result<Self, ConfigError> {
        if self.nodes().len() >= RUNNING_NODES_MAX {
            return Err(ConfigError::new(
                "nodes",
                format!("{} nodes are as many as a cluster that runs may have", self.nodes().len()),
                "evict one first",
            ));
        }
        let mut parts = self.parts.clone();
        parts.nodes.push(NodeConfig { voter: false, ..new.node.clone() });
        Self::with_circles(parts)
    }

    /// The same without a node that does not vote, and what is said of it.
    ///
    /// # Errors
    /// It votes, or what is left does not hold together.
    pub fn without_node(&self, id: NodeId) -> Result<Self, ConfigError> {
        let name = self.node(id).map_or("", |node| &node.name);
        if self.voters().any(|voter| voter == id) {
            let problem = "it votes";
            return Err(ConfigError::new(format!("nodes.{name}"), problem, "take its vote first"));
        }
        let mut parts = self.parts.clone();
        parts.nodes.retain(|node| node.id != id);
        for agent in &mut parts.fence_agents {
            agent.plugs.remove(&id);
        }
        parts.fence_agents.retain(|agent| !agent.plugs.is_empty());
        parts.policy.fence_lost_nodes &= !parts.fence_agents.is_empty();
        for group in &mut parts.groups {
            if group.possible_owners == [id] {
                return Err(ConfigError::new(
                    format!("groups.{}.possible_owners", group.name),
                    format!("{} may run on {name} alone", group.name),
                    "name other nodes there first, or take the group out",
                ));
            }
            group.possible_owners.retain(|&node| node != id);
            group.preferred_owners.retain(|&node| node != id);
            group.scores.remove(&id);
            group.initial_owner = group.initial_owner.filter(|&node| node != id);
        }
        Self::with_circles(parts)
    }

    /// The same where a node votes, or does not. The witness votes on, or does not, as before.
    ///
    /// # Errors
    /// There would be too many votes, or too few.
    pub fn with_vote(&self, id: NodeId, votes: bool) -> Result<Self, ConfigError> {
        let mut parts = self.parts.clone();
        parts.nodes.iter_mut().filter(|node| node.id == id).for_each(|node| node.voter = votes);
        let by_witness = self.witness_votes();
        if let Some(witness) = &mut parts.witness {
            witness.votes = None;
        }
        let nodes = parts.nodes.iter().filter(|node| node.voter).count();
        let by_rule = witness::votes(&parts, nodes);
        if let Some(witness) = parts.witness.as_mut().filter(|_| by_rule != by_witness) {
            witness.votes = Some(by_witness);
        }
        Self::with_circles(parts)
    }

    /// The same where the witness votes already, as it will by its rule once a node has lost its vote; none: it does
    /// so, or will not.
    ///
    /// # Errors
    /// There would be too many votes.
    pub fn with_witness_ahead(&self, leaving: NodeId) -> Option<Result<Self, ConfigError>> {
        let mut parts = self.parts.clone();
        parts.witness.as_mut()?.votes = None;
        let left = self.voters().filter(|&voter| voter != leaving).count();
        let loses = left < self.voters().count();
        let gains = loses && !self.witness_votes() && witness::votes(&parts, left);
        parts.witness.as_mut()?.votes = Some(true);
        gains.then(|| Self::with_circles(parts))
    }

    /// The same where the witness votes if the nodes that vote are even in number; none: it is so already.
    ///
    /// # Errors
    /// What is left does not hold together.
    pub fn with_witness_settled(&self) -> Option<Result<Self, ConfigError>> {
        self.witness()?.votes?;
        let mut parts = self.parts.clone();
        parts.witness.as_mut()?.votes = None;
        Some(Self::with_circles(parts))
    }
}
