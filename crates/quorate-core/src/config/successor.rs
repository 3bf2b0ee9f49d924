//! What may come in place of a configuration while the cluster runs. All else is refused, with the remedy.

use serde::{Deserialize, Serialize};

use super::{ClusterConfig, ClusterParts, ConfigError, GroupConfig, NodeConfig};
use crate::id::{GroupId, LunId};

/// The largest configuration that passes in one piece, in bytes as encoded: it is one entry of the log.
pub const CONFIG_BYTES_MAX: usize = 32 << 20;

/// A configuration that is to come in place of the one in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewConfig {
    /// All of it.
    pub parts: ClusterParts,
    /// Only in place of this version; none: of whichever is in force.
    pub only_if: Option<u64>,
    /// Why, for the history.
    pub reason: String,
    /// When its author gave it, in milliseconds since 1970, for the history.
    pub unix_ms: u64,
}

impl ClusterConfig {
    /// The parts that it was made of.
    pub fn parts(&self) -> &ClusterParts {
        &self.parts
    }

    /// Checks whether `next` may come in place of this one. `in_use` says of a group what keeps it from being changed
    /// at its core, as in "runs on n1".
    ///
    /// # Errors
    /// The first thing that cannot change while the cluster runs.
    pub fn check_successor(
        &self,
        next: &ClusterConfig,
        in_use: impl Fn(GroupId) -> Option<String>,
    ) -> Result<(), ConfigError> {
        if self.id() != next.id() {
            let problem = "a running cluster keeps its identity";
            return Err(ConfigError::new("cluster.id", problem, "write the one it has"));
        }
        if self.parts.timing != next.parts.timing {
            let problem = "the timing of a running cluster cannot change: its safety rests on it";
            let remedy = "leave it as it is, or found the cluster anew with it";
            return Err(ConfigError::new("timing", problem, remedy));
        }
        let place = |config: &ClusterConfig| config.witness().map(|one| one.path.clone());
        if place(self) != place(next) {
            let problem = "the witness of a running cluster cannot change: it is one of its voters";
            let remedy = "leave it as it is, or found the cluster anew with it";
            return Err(ConfigError::new("witness", problem, remedy));
        }
        check_nodes(self.nodes(), next.nodes())?;
        for group in self.groups() {
            if let Some(how) = in_use(group.id) {
                self.check_in_use(group, next, &how)?;
            }
        }
        Ok(())
    }

    fn check_in_use(
        &self,
        group: &GroupConfig,
        next: &ClusterConfig,
        how: &str,
    ) -> Result<(), ConfigError> {
        let refused = |place: String, what: &str| {
            let problem = format!("{} {how}, and {what}", group.name);
            Err(ConfigError::new(place, problem, "take it offline first"))
        };
        let place = format!("groups.{}", group.name);
        let Some(after) = next.group(group.id) else {
            return refused(place, "would run on with nobody to look after it");
        };
        if after.name != group.name {
            return refused(place, "its name is in use with it");
        }
        let luns = |config: &ClusterConfig, luns: &[LunId]| -> Vec<_> {
            luns.iter().map(|&lun| config.lun(lun).cloned()).collect()
        };
        if luns(self, &group.luns) != luns(next, &after.luns) {
            return refused(format!("{place}.luns"), "its LUNs are in use with it");
        }
        let running = |group: &GroupConfig| -> Vec<_> {
            let resources = group.resources.iter();
            resources
                .map(|one| {
                    let needs = (one.depends_on.clone(), one.depends_on_any.clone());
                    (one.id, one.name.clone(), one.driver.clone(), one.settings.clone(), needs)
                })
                .collect()
        };
        if running(group) != running(after) {
            return refused(format!("{place}.resources"), "what runs in it cannot change under it");
        }
        Ok(())
    }
}

/// What a node has room for and where it stands may change; which nodes there are may not.
fn check_nodes(before: &[NodeConfig], after: &[NodeConfig]) -> Result<(), ConfigError> {
    for node in before {
        let place = format!("nodes.{}", node.name);
        let Some(next) = after.iter().find(|next| next.id == node.id) else {
            let problem = "a node is not taken out of a running cluster by its configuration";
            let remedy = "evict it by the command evict-node, or leave it in";
            return Err(ConfigError::new(place, problem, remedy));
        };
        let fixed = |one: &NodeConfig| (one.name.clone(), one.addresses.clone(), one.voter);
        if fixed(node) != fixed(next) {
            let problem = "name, addresses and vote of a node in a running cluster cannot change";
            return Err(ConfigError::new(place, problem, "leave them as they are"));
        }
    }
    let known = |one: &NodeConfig| before.iter().any(|node| node.id == one.id);
    match after.iter().find(|one| !known(one)) {
        None => Ok(()),
        Some(node) => Err(ConfigError::new(
            format!("nodes.{}", node.name),
            format!("no node with the number {} is in the running cluster", node.id.0),
            "add it by the command add-node first, or correct its number: a node keeps its own for life",
        )),
    }
}
