//! The cluster's configuration: parsed once, then always valid.
//!
//! [`ClusterConfig::new`] is the only way to make one: whoever holds one need not check it again.
//! The text format (`cluster.toml`) is read by the `quorate` crate, which hands [`ClusterParts`] to
//! it.

mod amend;
mod bounds;
mod circles;
mod digest;
mod fencing;
mod membership;
pub mod policy;
pub mod rules;
mod successor;
pub mod timing;
mod witness;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::{ClusterId, GroupId, LunId, NodeId, ResourceId};
pub use amend::NewGroup;
pub use bounds::{FAILURES_MAX, LENGTH_MAX, SURVIVES_MAX};
pub use circles::Turn;
pub use fencing::{FENCE_LEVEL_MAX, FENCE_TIMEOUT_MAX, FENCE_TRIES_MAX, FenceAgentConfig};
pub use membership::NewNode;
pub use policy::{
    By, Domain, Hours, Limits, OnDeadlock, Quarantine, ResourcePolicy, RestartAction,
};
pub use rules::{
    Amounts, Balance, Bonds, FoundTwice, OnShutdown, OrderAct, OrderKind, Policy, Rule, Says,
    Wishes,
};
pub use successor::{CONFIG_BYTES_MAX, NewConfig};
pub use timing::{Timing, TimingError, TimingInputs};
pub use witness::WitnessConfig;

/// At most this many nodes in one configuration: for so many it is known how long placement takes.
pub const NODES_MAX: usize = 10_000;
/// At most this many nodes in a cluster that runs: a heartbeat tells of each node, and has to fit into one datagram.
pub const RUNNING_NODES_MAX: usize = 64;
/// At most this many voters: more cost every commit and protect no better.
pub const VOTERS_MAX: usize = 7;
/// At most this many groups.
pub const GROUPS_MAX: usize = 100_000;
/// At most this many resources in one group.
pub const RESOURCES_PER_GROUP_MAX: usize = 64;
/// At most this many networks.
pub const PATHS_MAX: usize = 8;
/// The score of a node on which a group may not run.
///
/// Source: Pacemaker, -INFINITY is a million below 0.
pub const SCORE_NEVER: i32 = -1_000_000;
/// The score of what must be so.
pub const SCORE_MUST: i32 = 1_000_000;
/// The longest name, in bytes.
pub const NAME_MAX: usize = 64;

/// What is wrong with a configuration, where, and what to do. The configuration is not used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {problem}; {remedy}")]
pub struct ConfigError {
    /// The path inside the configuration, as in `groups.vm1.possible_owners`.
    pub place: String,
    /// What is wrong, with the value and the limit.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl ConfigError {
    /// An error at `place`.
    pub fn new(
        place: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { place: place.into(), problem: problem.into(), remedy: remedy.into() }
    }
}

/// The parts of a configuration before they have been checked against each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterParts {
    /// The cluster's name, for people.
    pub name: String,
    /// The cluster's identity.
    pub id: ClusterId,
    /// What every timeout is derived from.
    pub timing: TimingInputs,
    /// The nodes.
    pub nodes: Vec<NodeConfig>,
    /// The LUNs.
    pub luns: Vec<LunConfig>,
    /// The groups.
    pub groups: Vec<GroupConfig>,
    /// Rules between groups.
    pub rules: Vec<Rule>,
    /// Policies of the whole cluster.
    pub policy: Policy,
    /// A voter that lives in storage: it votes where the nodes that vote are even in number.
    pub witness: Option<WitnessConfig>,
    /// Programs that can end a node.
    pub fence_agents: Vec<FenceAgentConfig>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeConfig {
    /// Its number, stable for its life, from 1.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Its address on each network, in the order of the networks, as `host:port`.
    pub addresses: Vec<String>,
    /// Whether it holds the log and votes. The others only run groups.
    pub voter: bool,
    /// What it has room for.
    pub capacity: Amounts,
    /// Where it stands.
    pub domain: Domain,
}

/// One LUN, or a part of one: what one group owns as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LunConfig {
    /// Its number.
    pub id: LunId,
    /// Its name.
    pub name: String,
    /// Which driver serves it: `iscsi`, `device` or `file`.
    pub driver: String,
    /// The driver's settings, a JSON object.
    pub settings: String,
    /// Whether the device itself refuses a stale writer. A cooperative LUN is protected by time
    /// alone.
    pub enforced: bool,
    /// It is a part of a LUN on which others have parts too, each with registrations of its own.
    pub part: bool,
}

/// One group: what fails over together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupConfig {
    /// Its number.
    pub id: GroupId,
    /// Its name.
    pub name: String,
    /// Whether it is started when the cluster forms.
    pub auto_start: bool,
    /// Where it may run. Empty: on any node.
    pub possible_owners: Vec<NodeId>,
    /// Where it should run, best first.
    pub preferred_owners: Vec<NodeId>,
    /// How well each node suits it: a higher score comes before the order of the preferred owners; a node that is
    /// not named has 0; [`SCORE_NEVER`] means not there at all.
    ///
    /// Source: Pacemaker, location constraints.
    pub scores: BTreeMap<NodeId, i32>,
    /// Which node has it before it has ever run: it starts there, if it can.
    pub initial_owner: Option<NodeId>,
    /// Whether it returns by itself to a more preferred owner. Default: no.
    ///
    /// Source: Windows clustering, AutoFailbackType 0 (prevent failback).
    pub failback: bool,
    /// By how much another node's score must be higher before it moves there by itself, where `failback` is on.
    ///
    /// Source: Pacemaker, resource-stickiness.
    pub stickiness: i32,
    /// How often it may fail over within `failover_period` before it is left failed.
    ///
    /// Source: Windows clustering, FailoverThreshold (nodes - 1) in FailoverPeriod (6 h).
    pub failover_threshold: u32,
    /// See `failover_threshold`.
    pub failover_period: Duration,
    /// How long after it was left failed it is tried again.
    ///
    /// Source: Windows clustering, RetryPeriodOnFailure 3600000 ms.
    pub retry_period: Duration,
    /// What placement needs to know of it beside.
    pub wishes: Wishes,
    /// The LUNs that pass with it.
    pub luns: Vec<LunId>,
    /// What runs in it.
    pub resources: Vec<ResourceConfig>,
}

/// One resource of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceConfig {
    /// Its number, unique in the cluster.
    pub id: ResourceId,
    /// Its name, unique in the cluster.
    pub name: String,
    /// Who runs it: `process`, `qemu`, or `host` (the embedding program answers for it).
    pub driver: String,
    /// The driver's settings, a JSON object.
    pub settings: String,
    /// What must be online in this group before it starts, and stops after it.
    pub depends_on: Vec<ResourceId>,
    /// Of each of these sets one at least must be online before it starts, and all stop after it. Any expression of
    /// "and" and "or" can be written so.
    ///
    /// Source: Windows clustering, dependency expressions.
    pub depends_on_any: Vec<Vec<ResourceId>>,
    /// Whether a planned move saves and resumes it, instead of stopping and starting it.
    pub save_on_move: bool,
    /// Whether a planned move hands it over as it runs: its state goes straight to the driver on the other node. Comes
    /// before `save_on_move`.
    pub live_on_move: bool,
    /// How often it is restarted on the same node within `restart_period` before the group fails
    /// over.
    ///
    /// Source: Windows clustering, RestartThreshold 3 in RestartPeriod 900000 ms.
    pub restart_threshold: u32,
    /// See `restart_threshold`.
    pub restart_period: Duration,
    /// How long after a failure it is started again on the same node.
    ///
    /// Source: Windows clustering, RestartDelay 500 ms.
    pub restart_delay: Duration,
    /// How long a start, a save or a stop may take before the resource is killed and counts as
    /// failed.
    ///
    /// Source: Windows clustering, PendingTimeout 180000 ms.
    pub pending_timeout: Duration,
    /// What is done about its failures beside.
    pub policy: ResourcePolicy,
}

/// A configuration that holds together.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "ClusterParts")]
pub struct ClusterConfig {
    parts: ClusterParts,
    timing: Timing,
    places: Places,
}

/// Where in the parts each thing stands.
#[derive(Clone, Debug, Default, PartialEq)]
struct Places {
    /// The nodes that vote, by number, and after them the witness, if it votes.
    voting: Vec<NodeId>,
    luns: BTreeMap<LunId, usize>,
    groups: BTreeMap<GroupId, usize>,
    resources: BTreeMap<ResourceId, (usize, usize)>,
    group_of_lun: BTreeMap<LunId, GroupId>,
    bonds: Bonds,
}

impl Places {
    fn of(parts: &ClusterParts) -> Self {
        let voters = parts.nodes.iter().filter(|node| node.voter).map(|node| node.id);
        let mut voting: Vec<NodeId> = voters.collect();
        voting.extend(witness::votes(parts, voting.len()).then_some(NodeId::WITNESS));
        let mut places = Self { voting, ..Self::default() };
        places.luns.extend(parts.luns.iter().enumerate().map(|(at, lun)| (lun.id, at)));
        for (at, group) in parts.groups.iter().enumerate() {
            places.groups.insert(group.id, at);
            places.group_of_lun.extend(group.luns.iter().map(|&lun| (lun, group.id)));
            let resources = group.resources.iter().enumerate();
            places.resources.extend(resources.map(|(inner, one)| (one.id, (at, inner))));
        }
        places.bonds = Bonds::of(parts, &places.groups);
        places
    }
}

impl GroupConfig {
    /// Whether a resource of it is handed over while it runs.
    pub fn moves_live(&self) -> bool {
        self.resources.iter().any(|resource| resource.live_on_move)
    }
}

impl ClusterConfig {
    /// Checks the parts against each other.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place and the remedy.
    pub fn new(parts: ClusterParts) -> Result<Self, ConfigError> {
        let config = Self::with_circles(parts)?;
        rules::check_circles(&config.parts)?;
        fencing::check_required(&config.parts)?;
        Ok(config)
    }

    /// As [`ClusterConfig::new`], but orders may lead back to their start: nothing in such a circle
    /// ever starts, and what runs there runs on while all of it does. For what is found elsewhere
    /// and tried out.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place and the remedy.
    pub fn with_circles(mut parts: ClusterParts) -> Result<Self, ConfigError> {
        let timing = Timing::derive(&parts.timing).map_err(|error| {
            ConfigError::new("timing", error.to_string(), "change one of the values it names")
        })?;
        check_name("cluster.name", &parts.name)?;
        check_nodes(&parts.nodes)?;
        witness::check(parts.witness.as_ref())?;
        check_luns(&parts.luns)?;
        check_groups(&parts)?;
        policy::check_policies(&parts)?;
        bounds::check_bounds(&parts)?;
        fencing::check(&parts)?;
        rules::check_rules(&parts)?;
        parts.nodes.sort_by_key(|node| node.id);
        let places = Places::of(&parts);
        Ok(Self { parts, timing, places })
    }

    /// The cluster's name.
    pub fn name(&self) -> &str {
        &self.parts.name
    }

    /// The cluster's identity.
    pub fn id(&self) -> ClusterId {
        self.parts.id
    }

    /// Every timeout.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// The nodes, by number.
    pub fn nodes(&self) -> &[NodeConfig] {
        &self.parts.nodes
    }

    /// The LUNs.
    pub fn luns(&self) -> &[LunConfig] {
        &self.parts.luns
    }

    /// The groups.
    pub fn groups(&self) -> &[GroupConfig] {
        &self.parts.groups
    }

    /// The node with this number.
    pub fn node(&self, id: NodeId) -> Option<&NodeConfig> {
        let at = self.parts.nodes.binary_search_by_key(&id, |node| node.id).ok()?;
        self.parts.nodes.get(at)
    }

    /// The node with this name.
    pub fn node_named(&self, name: &str) -> Option<&NodeConfig> {
        self.parts.nodes.iter().find(|node| node.name == name)
    }

    /// The LUN with this number.
    pub fn lun(&self, id: LunId) -> Option<&LunConfig> {
        self.places.luns.get(&id).map(|&at| &self.parts.luns[at])
    }

    /// The group with this number.
    pub fn group(&self, id: GroupId) -> Option<&GroupConfig> {
        self.places.groups.get(&id).map(|&at| &self.parts.groups[at])
    }

    /// Where the group stands among the groups.
    pub fn place_of(&self, id: GroupId) -> Option<usize> {
        self.places.groups.get(&id).copied()
    }

    /// Rules between groups.
    pub fn rules(&self) -> &[Rule] {
        &self.parts.rules
    }

    /// What the rules say, for each group at hand.
    pub fn bonds(&self) -> &Bonds {
        &self.places.bonds
    }

    /// Policies of the whole cluster.
    pub fn policy(&self) -> &Policy {
        &self.parts.policy
    }

    /// The group with this name.
    pub fn group_named(&self, name: &str) -> Option<&GroupConfig> {
        self.parts.groups.iter().find(|group| group.name == name)
    }

    /// The resource with this number, and its group.
    pub fn resource(&self, id: ResourceId) -> Option<(&GroupConfig, &ResourceConfig)> {
        let &(at, inner) = self.places.resources.get(&id)?;
        let group = &self.parts.groups[at];
        Some((group, &group.resources[inner]))
    }

    /// The group to which a LUN belongs.
    pub fn group_of_lun(&self, id: LunId) -> Option<GroupId> {
        self.places.group_of_lun.get(&id).copied()
    }

    /// The nodes that vote.
    pub fn voters(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.voting().iter().copied().filter(|&voter| voter != NodeId::WITNESS)
    }

    /// All that vote: the nodes that do, by number, and after them [`NodeId::WITNESS`], if the witness does.
    pub fn voting(&self) -> &[NodeId] {
        &self.places.voting
    }

    /// Whether a LUN is a part of one.
    pub fn is_part(&self, lun: LunId) -> bool {
        self.lun(lun).is_some_and(|lun| lun.part)
    }

    /// Whether every LUN of the group is enforced, and it has one: then a storage fence suffices to
    /// take it over.
    pub fn is_enforced(&self, group: &GroupConfig) -> bool {
        !group.luns.is_empty()
            && group.luns.iter().all(|&lun| self.lun(lun).is_some_and(|lun| lun.enforced))
    }

    /// Where this configuration, a node's own, differs from the committed one.
    pub fn differences(&self, committed: &Self) -> Vec<String> {
        let (own, theirs) = (&self.parts, &committed.parts);
        let mut places = Vec::new();
        if (&own.name, own.id) != (&theirs.name, theirs.id) {
            places.push("cluster".to_owned());
        }
        if own.timing != theirs.timing {
            places.push("timing".to_owned());
        }
        compare("nodes", &own.nodes, &theirs.nodes, |node| &node.name, &mut places);
        compare("luns", &own.luns, &theirs.luns, |lun| &lun.name, &mut places);
        compare("groups", &own.groups, &theirs.groups, |group| &group.name, &mut places);
        compare("rules", &own.rules, &theirs.rules, |rule| &rule.name, &mut places);
        if own.policy != theirs.policy {
            places.push("policy".to_owned());
        }
        if own.witness != theirs.witness {
            places.push("witness".to_owned());
        }
        let (own, theirs) = (&own.fence_agents, &theirs.fence_agents);
        compare("fence_agents", own, theirs, |agent| &agent.name, &mut places);
        places
    }
}

impl TryFrom<ClusterParts> for ClusterConfig {
    type Error = ConfigError;
    /// What was refused when it was made is not written down.
    fn try_from(parts: ClusterParts) -> Result<Self, ConfigError> {
        Self::with_circles(parts)
    }
}

/// As its parts, which nothing is copied for.
impl Serialize for ClusterConfig {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.parts.serialize(serializer)
    }
}

impl From<ClusterConfig> for ClusterParts {
    fn from(config: ClusterConfig) -> Self {
        config.parts
    }
}

/// Adds where the things of one kind differ.
fn compare<T: PartialEq>(
    kind: &str,
    own: &[T],
    committed: &[T],
    name: impl Fn(&T) -> &str,
    places: &mut Vec<String>,
) {
    for one in own {
        match committed.iter().find(|other| name(other) == name(one)) {
            None => places.push(format!("{kind}.{} (only in this node's file)", name(one))),
            Some(other) if other != one => places.push(format!("{kind}.{}", name(one))),
            Some(_) => {}
        }
    }
    let gone = committed.iter().filter(|other| !own.iter().any(|one| name(one) == name(other)));
    places.extend(gone.map(|other| format!("{kind}.{} (not in this node's file)", name(other))));
}

fn check_name(place: &str, name: &str) -> Result<(), ConfigError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(plain) {
        return Err(ConfigError::new(
            place,
            format!("the name {name:?} is not valid"),
            format!("use 1 to {NAME_MAX} letters, digits, '-', '_' or '.'"),
        ));
    }
    Ok(())
}

fn check_unique<K: Ord + std::fmt::Display>(
    place: &str,
    what: &str,
    items: impl Iterator<Item = K>,
) -> Result<(), ConfigError> {
    let mut seen = BTreeSet::new();
    for item in items {
        let text = item.to_string();
        if !seen.insert(item) {
            return Err(ConfigError::new(
                place,
                format!("{what} {text} stands twice"),
                "give each its own",
            ));
        }
    }
    Ok(())
}

fn check_count(place: &str, count: usize, most: usize) -> Result<(), ConfigError> {
    if count <= most {
        return Ok(());
    }
    Err(ConfigError::new(place, format!("{count} are too many"), format!("use at most {most}")))
}

fn check_nodes(nodes: &[NodeConfig]) -> Result<(), ConfigError> {
    if nodes.is_empty() {
        return Err(ConfigError::new("nodes", "there is no node", "add a [[nodes]] table"));
    }
    check_count("nodes", nodes.len(), NODES_MAX)?;
    check_unique("nodes", "the name", nodes.iter().map(|node| node.name.as_str()))?;
    check_unique("nodes", "the number", nodes.iter().map(|node| node.id))?;
    let voters = nodes.iter().filter(|node| node.voter).count();
    if voters == 0 {
        return Err(ConfigError::new("nodes", "no node votes", "leave voter = true on 3 of them"));
    }
    check_count("nodes.voter", voters, VOTERS_MAX)?;
    let networks = nodes[0].addresses.len();
    for node in nodes {
        let place = format!("nodes.{}", node.name);
        check_name(&place, &node.name)?;
        if node.id.0 == 0 {
            return Err(ConfigError::new(place, "its id is 0", "count nodes from 1"));
        }
        if node.id == NodeId::WITNESS {
            let problem = format!("its id is {}, which stands for the witness", node.id.0);
            return Err(ConfigError::new(place, problem, "count nodes from 1"));
        }
        check_count(&format!("{place}.addresses"), node.addresses.len(), PATHS_MAX)?;
        if node.addresses.is_empty() || node.addresses.len() != networks {
            return Err(ConfigError::new(
                format!("{place}.addresses"),
                format!("{} addresses, but {} has {networks}", node.addresses.len(), nodes[0].name),
                "give every node one address on each network, in the same order",
            ));
        }
    }
    check_unique("nodes", "the address", nodes.iter().flat_map(|node| node.addresses.iter()))
}

fn check_luns(luns: &[LunConfig]) -> Result<(), ConfigError> {
    check_unique("luns", "the name", luns.iter().map(|lun| lun.name.as_str()))?;
    check_unique("luns", "the number", luns.iter().map(|lun| lun.id))?;
    luns.iter().try_for_each(|lun| check_name(&format!("luns.{}", lun.name), &lun.name))
}

fn check_groups(parts: &ClusterParts) -> Result<(), ConfigError> {
    let groups = &parts.groups;
    check_count("groups", groups.len(), GROUPS_MAX)?;
    check_unique("groups", "the name", groups.iter().map(|group| group.name.as_str()))?;
    check_unique("groups", "the number", groups.iter().map(|group| group.id))?;
    let resources = || groups.iter().flat_map(|group| &group.resources);
    check_unique("resources", "the name", resources().map(|resource| resource.name.as_str()))?;
    check_unique("resources", "the number", resources().map(|resource| resource.id))?;
    let nodes: BTreeSet<NodeId> = parts.nodes.iter().map(|node| node.id).collect();
    let luns: BTreeSet<LunId> = parts.luns.iter().map(|lun| lun.id).collect();
    let mut taken: BTreeMap<LunId, &str> = BTreeMap::new();
    for group in groups {
        let place = format!("groups.{}", group.name);
        check_name(&place, &group.name)?;
        check_group(group, &place, &nodes)?;
        for lun in &group.luns {
            if !luns.contains(lun) {
                return Err(ConfigError::new(
                    format!("{place}.luns"),
                    format!("{lun} is not defined"),
                    "add it under [[luns]]",
                ));
            }
            if let Some(other) = taken.insert(*lun, &group.name) {
                return Err(ConfigError::new(
                    format!("{place}.luns"),
                    format!("{lun} belongs to group {other} already"),
                    "give each group its own LUN: a LUN has one owner",
                ));
            }
        }
    }
    Ok(())
}

fn check_group(
    group: &GroupConfig,
    place: &str,
    nodes: &BTreeSet<NodeId>,
) -> Result<(), ConfigError> {
    for (key, owners) in
        [("possible_owners", &group.possible_owners), ("preferred_owners", &group.preferred_owners)]
    {
        let place = format!("{place}.{key}");
        check_unique(&place, "the node", owners.iter())?;
        for node in owners {
            if !nodes.contains(node) {
                return Err(ConfigError::new(
                    place,
                    format!("{node} is not defined"),
                    "add it under [[nodes]] or take it out",
                ));
            }
            if key == "preferred_owners"
                && !group.possible_owners.is_empty()
                && !group.possible_owners.contains(node)
            {
                return Err(ConfigError::new(
                    place,
                    format!("{node} is preferred but not possible"),
                    "add it to possible_owners too",
                ));
            }
        }
    }
    for node in group.scores.keys().chain(&group.initial_owner) {
        if !nodes.contains(node) {
            return Err(ConfigError::new(
                format!("{place}.scores"),
                format!("{node} is not defined"),
                "add it under [[nodes]] or take it out",
            ));
        }
    }
    check_count(&format!("{place}.resources"), group.resources.len(), RESOURCES_PER_GROUP_MAX)?;
    if group.resources.is_empty() {
        return Err(ConfigError::new(place, "it has no resource", "add a [[groups.resources]]"));
    }
    for resource in &group.resources {
        check_resource(group, resource, &format!("{place}.{}", resource.name))?;
    }
    circles::check_order(group, place)
}

fn check_resource(
    group: &GroupConfig,
    resource: &ResourceConfig,
    place: &str,
) -> Result<(), ConfigError> {
    check_name(place, &resource.name)?;
    let handed_over =
        [("save_on_move", resource.save_on_move), ("live_on_move", resource.live_on_move)];
    if let Some((key, _)) = handed_over.into_iter().find(|&(_, on)| on && group.resources.len() > 1)
    {
        return Err(ConfigError::new(
            format!("{place}.{key}"),
            "a group with more than one resource cannot be handed over as a whole",
            format!("set {key} = false, or give the guest a group of its own"),
        ));
    }
    let known = |id: &ResourceId| group.resources.iter().any(|other| other.id == *id);
    if let Some(missing) = resource.depends_on.iter().find(|id| !known(id)) {
        return Err(ConfigError::new(
            format!("{place}.depends_on"),
            format!("{missing} is not in this group"),
            "depend on resources of the same group only",
        ));
    }
    Ok(())
}
