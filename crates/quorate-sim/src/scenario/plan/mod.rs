//! What a scenario asks of the engine, as configuration; or the first thing that the engine lacks.
//!
//! Each feature of the format is translated in one place, or named as missing there: policies of the cluster in
//! `cluster`, groups in `groups`, rules in `rules`.

mod cluster;
mod groups;
mod names;
mod rules;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_core::config::{
    ClusterConfig, ClusterParts, GroupConfig, NewGroup, NodeConfig, Rule, TimingInputs,
};
use quorate_core::id::{ClusterId, GroupId, NodeId, ResourceId};

use super::model::{Desired, Scenario, Story};
pub(super) use cluster::loses_quorum;
pub(super) use groups::amounts;
pub(super) use names::Names;

/// How many nodes beside the scenario's hold the votes of a snapshot, whose quorum is given.
const HIDDEN_VOTERS: usize = 3;

/// How many nodes a snapshot may have. More than a cluster that runs: no heartbeat of the simulated world is too long.
const SNAPSHOT_NODES_MAX: usize = 250;

/// A feature that the engine lacks, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Missing(pub(in super::super) String);

impl Missing {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// A group as the engine gets it.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    /// Its name in the scenario.
    pub(super) name: String,
    /// Its name in the configuration.
    pub(super) configured: String,
    /// Its number.
    pub(super) id: GroupId,
    /// The group of the scenario of which it is a member; none: it is a whole one.
    pub(super) of: Option<String>,
    /// What runs in it.
    pub(super) resource: ResourceId,
    /// What is wanted of it when the facts begin.
    pub(super) desired: Desired,
    /// It runs on its first owner before the facts begin.
    pub(super) runs_before: bool,
    /// Where else it runs, though nobody has asked for it.
    pub(super) also_on: Vec<String>,
    /// It could not be stopped, and is left as it is.
    pub(super) stuck: bool,
    /// It is found failed: what becomes of it.
    pub(super) recovery: Recovery,
    /// How often it has failed on each node before.
    pub(super) fail_count: BTreeMap<String, u32>,
}

/// What a failure that is found leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// Nothing: there is none, or it does not matter.
    None,
    /// It is stopped and started again.
    Restart,
    /// It is stopped.
    Stop,
    /// It is left as it is.
    Leave,
    /// Its node is fenced.
    Fence,
}

/// A scenario as the engine gets it.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// What every node is started with.
    pub(super) config: ClusterConfig,
    /// The groups, in the order of the scenario.
    pub(super) groups: Vec<Planned>,
    /// All rules, those about groups to come too.
    rules: Vec<Rule>,
    /// Groups that are added in the course of the story, in its order.
    pub(super) later: VecDeque<(GroupConfig, Planned)>,
    /// Nodes that are not the scenario's.
    pub(super) hidden: Vec<NodeId>,
    /// Names in the scenario and in the configuration.
    pub(super) names: Names,
}

impl Plan {
    /// Translates a scenario.
    ///
    /// # Errors
    /// The first feature that the engine lacks.
    pub(super) fn of(scenario: &Scenario) -> Result<Self, Missing> {
        let hidden = match scenario.story {
            Story::Snapshot { .. } => HIDDEN_VOTERS,
            Story::Timeline { .. } => 0,
        };
        let most = match scenario.story {
            Story::Snapshot { .. } => SNAPSHOT_NODES_MAX,
            Story::Timeline { .. } => quorate_core::config::RUNNING_NODES_MAX,
        };
        if scenario.nodes.len() > most {
            return Err(Missing::new(format!("more than {most} nodes")));
        }
        let mut names = Names::default();
        let mut nodes = nodes(scenario, hidden, &mut names);
        let scores = rules::scores(scenario);
        let (mut groups, mut planned) = groups::groups(scenario, &scores, &mut names);
        name_all_kinds(&mut nodes, &groups);
        let all_rules = rules::between(scenario, &planned);
        let first = match &scenario.story {
            Story::Timeline { groups, .. } => groups.len(),
            Story::Snapshot { .. } => groups.len(),
        };
        let later: VecDeque<(GroupConfig, Planned)> =
            groups.split_off(first).into_iter().zip(planned.split_off(first)).collect();
        let first_hidden = nodes.len() - hidden;
        let hidden = nodes[first_hidden..].iter().map(|node| node.id).collect();
        let there = |id: &GroupId| groups.iter().any(|group| group.id == *id);
        let to_come: Vec<GroupId> =
            later.iter().map(|(group, _)| group.id).filter(|id| !there(id)).collect();
        let config = ClusterConfig::with_circles(ClusterParts {
            name: "scenario".into(),
            id: ClusterId(1),
            timing: TimingInputs::DEFAULT,
            nodes,
            luns: Vec::new(),
            groups,
            rules: without(&all_rules, to_come.into_iter()),
            policy: cluster::policy(scenario),
            witness: None,
            fence_agents: Vec::new(),
        });
        let config =
            config.map_err(|error| Missing::new(format!("a cluster like this: {error}")))?;
        Ok(Self { config, groups: planned, later, rules: all_rules, hidden, names })
    }

    /// The next group that is added, with the rules that name it.
    pub(super) fn next_group(&mut self, removed: &BTreeSet<String>) -> Option<(NewGroup, Planned)> {
        let (group, planned) = self.later.pop_front()?;
        let there = self.groups.iter().filter(|one| !removed.contains(&one.name));
        let there: BTreeSet<GroupId> = there.map(|one| one.id).chain([group.id]).collect();
        let named = self.rules.iter().flat_map(|rule| rule.says.groups()).copied();
        let absent: BTreeSet<GroupId> = named.filter(|id| !there.contains(id)).collect();
        let mut rules = without(&self.rules, absent.into_iter());
        rules.retain(|rule| rule.says.groups().any(|id| *id == group.id));
        Some((NewGroup { group, luns: Vec::new(), rules, only_if: None }, planned))
    }
}

/// What groups take and no node names, the first node has none of.
fn name_all_kinds(nodes: &mut [NodeConfig], groups: &[GroupConfig]) {
    let known = |kind: &&String| nodes.iter().any(|node| node.capacity.contains_key(*kind));
    let taken = groups.iter().flat_map(|one| one.wishes.uses.keys().chain(one.wishes.load.keys()));
    let missing: BTreeSet<String> = taken.filter(|kind| !known(kind)).cloned().collect();
    let is_empty = nodes.iter().all(|node| node.capacity.is_empty());
    if let Some(first) = nodes.first_mut().filter(|_| !is_empty) {
        first.capacity.extend(missing.into_iter().map(|kind| (kind, 0)));
    }
}

/// What rules say of all groups but some.
fn without(rules: &[Rule], groups: impl Iterator<Item = GroupId>) -> Vec<Rule> {
    groups.fold(rules.to_vec(), |rules, group| {
        rules.into_iter().filter_map(|rule| rule.without(group)).collect()
    })
}

/// The nodes of a timeline vote, as many as may; those of a snapshot do not: whether there is a quorum is given.
fn nodes(scenario: &Scenario, hidden: usize, names: &mut Names) -> Vec<NodeConfig> {
    let mut nodes = Vec::new();
    for (at, node) in scenario.nodes.iter().enumerate() {
        let voter = hidden == 0 && at < quorate_core::config::VOTERS_MAX;
        let name = names.node(&node.name, number(at));
        let capacity = groups::amounts(&node.capacity);
        nodes.push(NodeConfig { capacity, ..node_config(number(at), name, voter) });
    }
    for at in 0..hidden {
        let id = number(scenario.nodes.len() + at);
        let name = names.hidden_node(&format!("votes-{}", at + 1), id);
        nodes.push(node_config(id, name, true));
    }
    nodes
}

fn node_config(id: NodeId, name: String, voter: bool) -> NodeConfig {
    let addresses = vec![format!("10.0.0.{}:7400", id.0)];
    let capacity = quorate_core::config::Amounts::new();
    let domain = quorate_core::config::Domain::default();
    NodeConfig { id, name, addresses, voter, capacity, domain }
}

fn number(at: usize) -> NodeId {
    NodeId(u16::try_from(at + 1).unwrap_or(u16::MAX))
}

/// For each group or member by name, the score of each node by name.
pub(super) type Scores = BTreeMap<String, BTreeMap<String, super::model::Score>>;

/// What the engine gets of a group.
pub(super) type Configured = (Vec<GroupConfig>, Vec<Planned>);
