//! Configurations that change: a group more, a group less, something else in place of what is in force.

use std::time::Duration;

use quorate_core::config::{
    Amounts, By, ClusterConfig, ClusterParts, GroupConfig, Limits, NewGroup, OrderAct, OrderKind,
    Quarantine, Rule, SCORE_MUST, SCORE_NEVER, Says,
};
use quorate_core::id::{GroupId, NodeId};
use quorate_core::message::Command;
use quorate_core::random::Random;
use serde::Serialize;

use crate::chance;
use crate::cluster;

/// How many groups there may be beside those of the beginning.
const OTHERS: u64 = 3;
/// The name of the one rule that is changed.
const RULE: &str = "tried";
/// What is counted where room is limited.
const ROOM: &str = "mem";

/// What is changed in a configuration. What it says of a group that there is not says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Edit {
    /// Where a group should run, and whether it returns there by itself.
    Prefers(GroupId, NodeId, bool),
    /// Where a group may run; empty: everywhere.
    Possible(GroupId, Vec<NodeId>),
    /// Who goes first.
    Priority(GroupId, i32),
    /// How often groups may fail, and how long each rests then.
    Threshold(u32, Duration),
    /// What a group takes of a node's room, and what the node has.
    Room(GroupId, u64, NodeId, u64),
    /// How many groups fail over at once, and start on one node.
    Limits(Option<u32>, Option<u32>),
    /// Of how many lost nodes the groups start elsewhere within some time.
    Losses(Option<u32>, Duration),
    /// How many groups of one kind may fail within some time.
    Alike(Option<u32>, Duration),
    /// How long a group rests that has failed on every node.
    Everywhere(Option<Duration>),
    /// How often a group may fail on a node, and after how long that is forgotten.
    Banned(Option<u32>, Duration),
    /// When a node is given nothing for a while.
    Quarantine(Option<u32>, Duration),
    /// Whether running groups move to even out the load.
    Rebalance(bool),
    /// A rule between groups.
    Rule(Says),
    /// A setting of what runs in a group.
    Settings(GroupId, u64),
    /// Two groups change their LUNs.
    Luns(GroupId, GroupId),
    /// A group goes, and its LUNs with it.
    Without(GroupId),
    /// A group comes, with its LUNs.
    With(Box<NewGroup>),
}

impl Edit {
    /// Changes a configuration.
    pub fn apply(&self, parts: &mut ClusterParts) {
        match self {
            Self::Prefers(group, node, failback) => with(parts, *group, |group| {
                (group.preferred_owners, group.failback) = (vec![*node], *failback);
            }),
            Self::Possible(group, nodes) => with(parts, *group, |group| {
                group.possible_owners.clone_from(nodes);
                group.preferred_owners.retain(|node| nodes.is_empty() || nodes.contains(node));
            }),
            Self::Priority(group, priority) => {
                with(parts, *group, |group| group.wishes.priority = *priority);
            }
            Self::Threshold(threshold, retry) => {
                for group in &mut parts.groups {
                    (group.failover_threshold, group.retry_period) = (*threshold, *retry);
                }
            }
            Self::Room(group, uses, node, has) => {
                parts.policy.limited = true;
                let amount = |much: u64| Amounts::from([(ROOM.to_owned(), much)]);
                with(parts, *group, |group| group.wishes.uses = amount(*uses));
                let node = parts.nodes.iter_mut().find(|one| one.id == *node);
                node.into_iter().for_each(|node| node.capacity = amount(*has));
            }
            Self::Limits(..) | Self::Losses(..) | Self::Alike(..) | Self::Everywhere(_) => {
                self.limit(&mut parts.policy.limits);
            }
            Self::Banned(most, length) => {
                for wishes in parts.groups.iter_mut().map(|group| &mut group.wishes) {
                    (wishes.node_failures_max, wishes.failures_expire) = (*most, Some(*length));
                }
            }
            Self::Quarantine(threshold, hold) => {
                let quarantine = |threshold| Quarantine {
                    threshold,
                    period: *hold * 6,
                    hold: *hold,
                    hold_max: *hold * 4,
                };
                parts.policy.quarantine = threshold.map(quarantine);
            }
            Self::Rebalance(is_on) => parts.policy.rebalance = *is_on,
            Self::Rule(says) => {
                parts.rules.retain(|rule| rule.name != RULE);
                parts.rules.push(Rule { name: RULE.to_owned(), says: says.clone() });
            }
            Self::Settings(group, setting) => with(parts, *group, |group| {
                group.resources[0].settings = format!("{{\"setting\":{setting}}}");
            }),
            Self::Luns(one, other) => {
                let luns = |parts: &ClusterParts, id: GroupId| {
                    parts.groups.iter().find(|group| group.id == id).map(|group| group.luns.clone())
                };
                if let (Some(first), Some(second)) = (luns(parts, *one), luns(parts, *other)) {
                    with(parts, *one, |group| group.luns = second);
                    with(parts, *other, |group| group.luns = first);
                }
            }
            Self::Without(id) => take_out(parts, *id),
            Self::With(new) if parts.groups.iter().all(|group| group.id != new.group.id) => {
                parts.luns.extend_from_slice(&new.luns);
                parts.groups.push(new.group.clone());
            }
            Self::With(_) => {}
        }
    }

    fn limit(&self, limits: &mut Limits) {
        match self {
            Self::Limits(failovers, starts) => {
                (limits.failovers_max, limits.starts_per_node_max) = (*failovers, *starts);
            }
            Self::Losses(most, period) => {
                (limits.losses_max, limits.losses_period) = (*most, *period);
            }
            Self::Alike(most, period) => {
                (limits.alike_max, limits.alike_period) = (*most, *period);
            }
            Self::Everywhere(pause) => limits.everywhere_pause = *pause,
            _ => {}
        }
    }

    /// The group that it would bring.
    pub fn brings(&self) -> Option<&NewGroup> {
        if let Self::With(new) = self { Some(new) } else { None }
    }
}

fn take_out(parts: &mut ClusterParts, id: GroupId) {
    let gone = parts.groups.iter().find(|group| group.id == id);
    let luns = gone.map(|group| group.luns.clone()).unwrap_or_default();
    parts.luns.retain(|lun| !luns.contains(&lun.id));
    parts.groups.retain(|group| group.id != id);
    let rules = std::mem::take(&mut parts.rules);
    parts.rules = rules.into_iter().filter_map(|rule| rule.without(id)).collect();
}

fn with(parts: &mut ClusterParts, id: GroupId, change: impl FnOnce(&mut GroupConfig)) {
    if let Some(group) = parts.groups.iter_mut().find(|group| group.id == id) {
        change(group);
    }
}

/// A group of the beginning, that may have gone, or one that was not there then.
pub(super) fn any_group(random: &mut Random, config: &ClusterConfig) -> GroupId {
    let known: Vec<GroupId> = config.groups().iter().map(|group| group.id).collect();
    let last = known.iter().max().map_or(0, |last| last.0);
    match random.chance(1, 2) {
        true => GroupId(last + 1 + random.below(OTHERS) as u32),
        false => chance::pick(random, &known).unwrap_or_default(),
    }
}

fn new_group(random: &mut Random, config: &ClusterConfig) -> Box<NewGroup> {
    let id = any_group(random, config);
    let Some(group) = config.group(id).cloned() else {
        return Box::new(cluster::another_group(config, id.0));
    };
    let luns = group.luns.iter().filter_map(|&lun| config.lun(lun).cloned()).collect();
    Box::new(NewGroup { group, luns, rules: Vec::new(), only_if: None })
}

pub(super) fn add(random: &mut Random, config: &ClusterConfig) -> Command {
    Command::AddGroup(new_group(random, config))
}

pub(super) fn draw(random: &mut Random, config: &ClusterConfig) -> Edit {
    let detect = config.timing().detect;
    let mut nodes: Vec<NodeId> = config.nodes().iter().map(|node| node.id).collect();
    chance::shuffle(random, &mut nodes);
    let (group, node) = (any_group(random, config), nodes[0]);
    let one_or_none = |random: &mut Random| random.chance(2, 3).then_some(1);
    match random.below(21) {
        0..=2 => Edit::Prefers(group, node, random.chance(1, 2)),
        3 | 4 if random.chance(1, 3) => Edit::Possible(group, Vec::new()),
        3 | 4 => Edit::Possible(group, nodes[..2].to_vec()),
        5 => Edit::Priority(group, random.below(3) as i32),
        6 => Edit::Threshold(random.below(3) as u32, detect * 4),
        7 => Edit::Room(group, random.below(3), node, 1 + random.below(3)),
        8 => Edit::Limits(one_or_none(random), one_or_none(random)),
        9 => Edit::Losses(one_or_none(random), detect * 10),
        10 => Edit::Quarantine(one_or_none(random), detect * 5),
        11 => Edit::Rebalance(random.chance(1, 2)),
        12 | 13 => Edit::Rule(rule(random, config)),
        14 => Edit::Settings(group, random.below(3)),
        15 => Edit::Luns(group, any_group(random, config)),
        16 => Edit::Without(group),
        17 => Edit::Alike(one_or_none(random), detect * 10),
        18 => Edit::Everywhere(random.chance(2, 3).then_some(detect * 5)),
        19 => Edit::Banned(one_or_none(random), detect * 10),
        _ => Edit::With(new_group(random, config)),
    }
}

/// Between two groups, or among all: it may leave some of them no place.
fn rule(random: &mut Random, config: &ClusterConfig) -> Says {
    let mut groups: Vec<GroupId> = config.groups().iter().map(|group| group.id).collect();
    chance::shuffle(random, &mut groups);
    let (one, other) = (groups[0], groups[groups.len() - 1]);
    let (strict, by) = (random.chance(1, 2), By::Node);
    match random.below(4) {
        0 => Says::Apart { groups, strict, by },
        1 => Says::Together { groups: vec![one, other], strict, by },
        2 => {
            let score = if strict { SCORE_MUST } else { SCORE_NEVER };
            Says::Near { group: one, with: other, score, influence: random.chance(1, 2) }
        }
        _ => Says::Order {
            first: vec![one],
            then: other,
            kind: OrderKind::Mandatory,
            symmetrical: strict,
            first_act: OrderAct::Start,
            then_act: OrderAct::Start,
        },
    }
}
