//! Whether every loss of some nodes can be placed, before it happens.

use std::collections::{BTreeMap, BTreeSet};

use super::{Candidate, Keeps, Now, Planner, plan};
use crate::config::{ClusterConfig, ConfigError};
use crate::id::{GroupId, NodeId};

/// At most so many nodes are lost at once.
pub const LOSSES_MAX: u32 = 4;
/// So many losses are named; the others are counted.
const NAMED_MAX: usize = 100;

/// What the losses of a number of nodes leave without a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survival {
    /// How many different losses were tried.
    pub tried: u64,
    /// How many of them leave something without a place.
    pub failing: u64,
    /// The first hundred of these, in the order of the nodes' numbers.
    pub losses: Vec<Loss>,
}

/// Nodes that are lost together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Which.
    pub nodes: Vec<NodeId>,
    /// The groups that no other node can run then, and that ran before.
    pub unplaced: Vec<GroupId>,
}

/// Loses each set of `count` nodes in turn, of those that take part, and looks what has no place then.
///
/// The time that it takes grows with the number of sets: a million for 4 of 70 nodes.
pub fn survival(
    config: &ClusterConfig,
    nodes: &BTreeMap<NodeId, Candidate>,
    now: Vec<Now>,
    count: u32,
) -> Survival {
    let planner = Planner::new(config, nodes, now);
    let unplaced: BTreeSet<usize> = planner.unplaced().collect();
    let up: Vec<(NodeId, Candidate)> =
        nodes.iter().filter(|(_, node)| node.up).map(|(&id, &node)| (id, node)).collect();
    let mut losing =
        Losing { config, planner, unplaced, lost: Vec::new(), survival: Survival::default() };
    losing.lose(&up, count.min(LOSSES_MAX));
    losing.survival
}

struct Losing<'a> {
    config: &'a ClusterConfig,
    planner: Planner,
    /// What has no place as it is.
    unplaced: BTreeSet<usize>,
    lost: Vec<NodeId>,
    survival: Survival,
}

impl Losing<'_> {
    fn lose(&mut self, left: &[(NodeId, Candidate)], count: u32) {
        if count == 0 {
            return self.judge();
        }
        for (at, &(node, candidate)) in left.iter().enumerate() {
            if left.len() - at < count as usize {
                break;
            }
            let stranded: Vec<(usize, Now)> = self
                .planner
                .on(node)
                .iter()
                .copied()
                .filter_map(|group| Some((group, self.planner.now(group)?.clone())))
                .collect();
            for (group, now) in &stranded {
                let lost = Now { at: None, runs: false, fixed: false, ..now.clone() };
                self.planner.set_group(self.config, *group, lost);
            }
            self.planner.set_node(node, Candidate { up: false, ..candidate });
            self.lost.push(node);
            self.lose(&left[at + 1..], count - 1);
            self.lost.pop();
            self.planner.set_node(node, candidate);
            for (group, now) in stranded {
                self.planner.set_group(self.config, group, now);
            }
        }
    }

    fn judge(&mut self) {
        self.planner.mend(self.config);
        self.survival.tried += 1;
        let mut unplaced: Vec<usize> =
            self.planner.unplaced().filter(|group| !self.unplaced.contains(group)).collect();
        if unplaced.is_empty() {
            return;
        }
        unplaced.sort_unstable();
        self.survival.failing += 1;
        if self.survival.losses.len() < NAMED_MAX {
            let groups = unplaced.into_iter().map(|group| self.config.groups()[group].id);
            self.survival
                .losses
                .push(Loss { nodes: self.lost.clone(), unplaced: groups.collect() });
        }
    }
}

/// The same for a cluster in which every node is open and everything runs that is started by itself.
pub fn survival_of(config: &ClusterConfig, count: u32) -> Survival {
    let open = Candidate { up: true, heard: true, paused: false, keeps: Keeps::All };
    let nodes: BTreeMap<NodeId, Candidate> =
        config.nodes().iter().map(|node| (node.id, open)).collect();
    let now: Vec<Now> = config.groups().iter().map(Now::fresh).collect();
    let placed = plan(config, &nodes, now.clone());
    let runs = |(at, now): (usize, Now)| match placed.node(at) {
        Some(node) => Now { at: Some(node), runs: true, ..now },
        None => now,
    };
    survival(config, &nodes, now.into_iter().enumerate().map(runs).collect(), count)
}

/// Refuses a configuration that leaves a group without a place when as many nodes are lost as it wants to survive.
///
/// # Errors
/// The first loss that it does not survive, with the groups.
pub fn admit(config: &ClusterConfig) -> Result<(), ConfigError> {
    let Some(count) = config.policy().survives else { return Ok(()) };
    let survival = survival_of(config, count);
    let Some(loss) = survival.losses.first() else { return Ok(()) };
    let node =
        |id: &NodeId| config.node(*id).map_or_else(|| id.to_string(), |node| node.name.clone());
    let group =
        |id: &GroupId| config.group(*id).map_or_else(|| id.to_string(), |group| group.name.clone());
    let (lost, unplaced): (Vec<String>, Vec<String>) =
        (loss.nodes.iter().map(node).collect(), loss.unplaced.iter().map(group).collect());
    let problem = format!(
        "the loss of {} leaves no place for {} ({} of {} losses of {count} do so)",
        lost.join(" and "),
        unplaced.join(", "),
        survival.failing,
        survival.tried
    );
    Err(ConfigError::new("policy.survives", problem, "add room or owners, or demand less"))
}
