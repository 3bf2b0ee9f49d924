//! Fence agents: programs outside that can end a node, and in which order they are asked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ClusterConfig, ClusterParts, ConfigError};
use crate::id::NodeId;

/// The highest level.
///
/// Source: Pacemaker, fencing topology (indexes 1 to 9).
pub const FENCE_LEVEL_MAX: u8 = 9;
/// An agent has this long at most for one request.
pub const FENCE_TIMEOUT_MAX: Duration = Duration::from_secs(3_600);
/// At most so many times in a row.
pub const FENCE_TRIES_MAX: u32 = 100;

/// A fence agent with its settings: it ends nodes by other means than their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceAgentConfig {
    /// Its name, for people.
    pub name: String,
    /// Which program it is and what it is given, a JSON object.
    pub settings: String,
    /// Whom it can end, and what each is called there (its plug, port or virtual machine); empty: the agent knows one
    /// node only.
    ///
    /// Source: Pacemaker, pcmk_host_map.
    pub plugs: BTreeMap<NodeId, String>,
    /// Levels are tried in order, from 1 to [`FENCE_LEVEL_MAX`]: where all agents of one have succeeded, the node is
    /// fenced.
    ///
    /// Source: Pacemaker, fencing topology.
    pub level: u8,
    /// Whether the node is to boot again by itself. Where several agents of a level have to cut one node off together,
    /// all switch it off first, and on again when that is proven.
    ///
    /// Source: Pacemaker, stonith-action (default there and here: yes).
    pub reboots: bool,
    /// How long one request may take; then it is ended and has failed.
    ///
    /// Source: Pacemaker, stonith-timeout 60 s.
    pub timeout: Duration,
    /// How often it is asked before the next level is tried.
    ///
    /// Source: Pacemaker, pcmk_reboot_retries 2 ("the maximum number of times to try").
    pub tries: u32,
}

/// Checks agents by themselves and against the nodes.
pub(super) fn check(parts: &ClusterParts) -> Result<(), ConfigError> {
    for agent in &parts.fence_agents {
        let place = |key: &str| format!("fence_agents.{}.{key}", agent.name);
        let refused = |key: &str, problem: String, remedy: &str| {
            Err(ConfigError::new(place(key), problem, remedy))
        };
        super::check_name("fence_agents.name", &agent.name)?;
        if agent.plugs.is_empty() {
            return refused("nodes", "it can end no node".to_owned(), "name one at least");
        }
        let known = |node: &NodeId| parts.nodes.iter().any(|one| one.id == *node);
        if let Some(node) = agent.plugs.keys().find(|node| !known(node)) {
            return refused("nodes", format!("there is no node {node}"), "name one that there is");
        }
        let unnamed = agent.plugs.values().any(String::is_empty);
        if unnamed && agent.plugs.len() > 1 {
            let problem =
                "it can end several nodes, and is not told what each is called there".to_owned();
            return refused("nodes", problem, "give each its plug, or each an agent of its own");
        }
        let names: BTreeSet<&String> = agent.plugs.values().collect();
        if names.len() < agent.plugs.len() {
            let problem = "two nodes have the same plug".to_owned();
            return refused("nodes", problem, "give each its own: the wrong one would be ended");
        }
        if !(1..=FENCE_LEVEL_MAX).contains(&agent.level) {
            let problem = format!("{} is not from 1 to {FENCE_LEVEL_MAX}", agent.level);
            return refused("level", problem, "the lowest is tried first");
        }
        if agent.timeout < Duration::from_secs(1) || agent.timeout > FENCE_TIMEOUT_MAX {
            let problem = format!("{:?} is not from 1 s to {FENCE_TIMEOUT_MAX:?}", agent.timeout);
            return refused("timeout_s", problem, "60 suits most agents");
        }
        if !(1..=FENCE_TRIES_MAX).contains(&agent.tries) {
            let problem = format!("{} is not from 1 to {FENCE_TRIES_MAX}", agent.tries);
            return refused("tries", problem, "2 suits most agents");
        }
    }
    super::check_unique(
        "fence_agents",
        "the name",
        parts.fence_agents.iter().map(|one| &one.name),
    )?;
    if parts.policy.fence_lost_nodes && parts.fence_agents.is_empty() {
        return Err(ConfigError::new(
            "policy.fence_lost_nodes",
            "there is no fence agent",
            "add a [[fence_agents]] that can end the nodes, or leave it out",
        ));
    }
    Ok(())
}

/// A group that takes an agent's word has agents wherever it may run. Not asked of a node that is only being added:
/// no agent can name it before.
pub(super) fn check_required(parts: &ClusterParts) -> Result<(), ConfigError> {
    for group in parts.groups.iter().filter(|group| group.wishes.fence_agent_required) {
        let guarded =
            |node: &NodeId| parts.fence_agents.iter().any(|one| one.plugs.contains_key(node));
        let possible = |node: &NodeId| {
            group.possible_owners.is_empty() || group.possible_owners.contains(node)
        };
        let mut nodes = parts.nodes.iter().filter(|node| possible(&node.id));
        if let Some(node) = nodes.find(|node| !guarded(&node.id)) {
            return Err(ConfigError::new(
                format!("groups.{}.fence_agent_required", group.name),
                format!("no fence agent can end {}, where it may run", node.name),
                "add a [[fence_agents]] for that node, or take it out of possible_owners",
            ));
        }
    }
    Ok(())
}

impl ClusterConfig {
    /// The fence agents.
    pub fn fence_agents(&self) -> &[FenceAgentConfig] {
        &self.parts.fence_agents
    }

    /// The fence agent with this name.
    pub fn fence_agent(&self, name: &str) -> Option<&FenceAgentConfig> {
        self.fence_agents().iter().find(|agent| agent.name == name)
    }

    /// The agents that can end a node, by level, lowest first.
    pub fn fence_levels(&self, node: NodeId) -> Vec<Vec<&FenceAgentConfig>> {
        let mut levels: BTreeMap<u8, Vec<&FenceAgentConfig>> = BTreeMap::new();
        for agent in self.fence_agents().iter().filter(|agent| agent.plugs.contains_key(&node)) {
            levels.entry(agent.level).or_default().push(agent);
        }
        levels.into_values().collect()
    }
}
