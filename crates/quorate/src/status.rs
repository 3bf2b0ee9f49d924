//! What a node knows of its cluster, with names, for people and programs.

use std::collections::BTreeMap;

use serde::Serialize;

pub use quorate_core::status::{GroupStatus, NodeStatus, WitnessStatus};

use crate::notice::Stamp;

/// One node's view of the cluster at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// The cluster's name.
    pub cluster: String,
    /// This node.
    pub node: String,
    /// When this view was made.
    pub at: Stamp,
    /// This start of the node: larger than every earlier one.
    pub boot: u64,
    /// How often it was readmitted in this boot.
    pub session: u32,
    /// Whether the cluster has been founded and this node belongs to it.
    pub member: bool,
    /// The coordinator that this node follows.
    pub coordinator: Option<String>,
    /// The coordinator's epoch.
    pub epoch: u64,
    /// Whether a coordinator is followed: a majority of votes stands behind it.
    pub quorum: bool,
    /// How many votes there are, that of the witness included.
    pub votes: u32,
    /// The witness, if there is one.
    pub witness: Option<WitnessStatus>,
    /// How long this node may act without hearing more, in milliseconds; none: it may not.
    pub lease_left_ms: Option<u64>,
    /// How much of the log is applied here.
    pub applied: u64,
    /// The cluster's time in milliseconds.
    pub cluster_ms: u64,
    /// Whether nothing is started, stopped or moved: `freeze` or `ignore`; none: the cluster is armed.
    pub disarmed: Option<String>,
    /// How long until it arms itself, in milliseconds; none: not by itself.
    pub disarm_left_ms: Option<u64>,
    /// The number of the configuration in force: 1 is what the cluster was founded with; 0: none is known.
    pub config_version: u64,
    /// Where the configuration that this node was started with differs from the one in force, which stands; nothing,
    /// if it was in force before that was applied.
    pub config_differs: Vec<String>,
    /// The nodes, by number.
    pub nodes: Vec<NodeStatus>,
    /// The groups, by number.
    pub groups: Vec<GroupStatus>,
    /// What was dropped since the start, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// How often a queue of this node was full since the start, by queue.
    pub queue_full: BTreeMap<String, u64>,
}

impl Status {
    /// The node with this name.
    pub fn node(&self, name: &str) -> Option<&NodeStatus> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The group with this name.
    pub fn group(&self, name: &str) -> Option<&GroupStatus> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// The node on which the group is online; none: it is not.
    pub fn online_on(&self, group: &str) -> Option<&str> {
        let group = self.group(group)?;
        group.owner.as_deref().filter(|_| group.state == "online")
    }
}
