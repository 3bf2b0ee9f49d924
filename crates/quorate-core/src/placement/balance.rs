//! Whether the load lies unevenly on the nodes, and which one move of what runs would even it out best.
//!
//! *Architecture Invariant*: a move for the sake of balance breaks no rule, takes no group to a node that suits it
//! less, and takes nobody else along but those who must be on one node with it.
//!
//! Source: Proxmox VE, ha-auto-rebalance.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::table::Table;
use super::{Candidate, NotHere, Now, place};
use crate::config::{Balance, ClusterConfig, Says};
use crate::id::NodeId;

/// From this on the load is uneven: how far it lies apart on the nodes (standard deviation), in proportion to its mean.
///
/// Source: Proxmox VE, ha-auto-rebalance-threshold (0.3).
const UNEVEN_MIN: f64 = 0.3;
/// By which part of it the unevenness must fall for a move to be worth its while.
///
/// Source: Proxmox VE, ha-auto-rebalance-margin (0.1).
const GAIN_MIN: f64 = 0.1;
/// How long the load must be uneven, and nothing else be under way, before anything moves; then again for each further
/// move: a peak that passes moves nothing.
///
/// Source: Proxmox VE, ha-auto-rebalance-hold-duration (3 rounds of 10 s); longer here, as the tests of its own do it.
pub const UNEVEN_FOR: Duration = Duration::from_secs(180);
/// How many moves, the best first, are held against the rules before it is left at that.
const TRIED_MAX: usize = 32;

/// Whether the load lies unevenly on the nodes that may get groups.
pub fn is_uneven(config: &ClusterConfig, nodes: &BTreeMap<NodeId, Candidate>, now: &[Now]) -> bool {
    config.policy().balance != Balance::Few && Scale::new(config, nodes, now).spread() > UNEVEN_MIN
}

/// The move that evens out the load best: a group, by its place, and the node to which it goes, with those who must be
/// on one node with it. None: no move is allowed and worth its while. `may`: whether a
/// group may be moved for this.
pub fn better(
    config: &ClusterConfig,
    nodes: &BTreeMap<NodeId, Candidate>,
    now: &[Now],
    may: impl Fn(usize) -> bool,
) -> Option<(usize, NodeId)> {
    let mut scale = Scale::new(config, nodes, now);
    let most = scale.spread() * (1.0 - GAIN_MIN);
    let mut moves: Vec<(f64, usize, usize)> = Vec::new();
    let mut seen: BTreeSet<usize> = BTreeSet::new();
    for group in 0..now.len() {
        let members = unit(config, group);
        let free = |&one: &usize| now[one].runs && now[one].wanted && !now[one].fixed && may(one);
        let bound = |&one: &usize| !is_unbound(config, one);
        if !seen.insert(members[0]) || !members.iter().all(free) || members.iter().any(bound) {
            continue;
        }
        let Some(from) = scale.only_place(&members) else { continue };
        for to in scale.open.clone().into_iter().filter(|&to| to != from) {
            let spread = scale.spread_after(&members, from, to);
            if spread <= most {
                moves.push((spread, members[0], to));
            }
        }
    }
    moves.sort_by(|one, other| {
        let spread = one.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal);
        spread.then((one.1, one.2).cmp(&(other.1, other.2)))
    });
    moves.truncate(TRIED_MAX);
    let node = |at: usize| scale.table.board.slots[at].id;
    let moves = moves.into_iter().map(|(_, group, to)| (group, node(to)));
    moves.into_iter().find(|&(group, to)| suits_as_well(config, nodes, now, group, to))
}

/// Those that move together with a group, itself included.
fn unit(config: &ClusterConfig, group: usize) -> Vec<usize> {
    config.bonds().unit(group).map_or_else(|| vec![group], <[usize]>::to_vec)
}

/// Whether nobody stands on it, or it on anybody: rules that only say who is apart from whom, or together.
fn is_unbound(config: &ClusterConfig, group: usize) -> bool {
    config.bonds().rules(group).iter().all(|&rule| match config.rules()[rule].says {
        Says::Together { .. } | Says::Apart { .. } => true,
        Says::Near { .. } | Says::Order { .. } => false,
    })
}

/// Whether a node, all others staying where they are, is as good for a group as any, but for the load.
fn suits_as_well(
    config: &ClusterConfig,
    nodes: &BTreeMap<NodeId, Candidate>,
    now: &[Now],
    group: usize,
    to: NodeId,
) -> bool {
    let mut others: Vec<Now> = now.to_vec();
    others.iter_mut().for_each(|one| one.fixed = true);
    for member in unit(config, group) {
        let Now { unreached, avoids, banned, load, .. } = now[member].clone();
        others[member] = Now { wanted: true, unreached, avoids, banned, load, ..Now::default() };
    }
    let placement = place(config, nodes, others, group);
    placement.chosen == Some(to)
        || matches!(placement.others.get(&to), Some(NotHere::MoreLoaded | NotHere::HigherNumber))
}

/// The nodes and how loaded each is.
struct Scale {
    table: Table,
    open: Vec<usize>,
}

impl Scale {
    fn new(config: &ClusterConfig, nodes: &BTreeMap<NodeId, Candidate>, now: &[Now]) -> Self {
        let table = Table::new(config, nodes, now.to_vec());
        let slots = table.board.slots.iter().enumerate();
        let open = slots.filter(|(_, slot)| slot.open).map(|(at, _)| at).collect();
        Self { table, open }
    }

    /// The node on which all of these run.
    fn only_place(&self, members: &[usize]) -> Option<usize> {
        let first = self.table.is_at(*members.first()?)?;
        members.iter().all(|&one| self.table.is_at(one) == Some(first)).then_some(first)
    }

    /// How far the loads lie apart, in proportion to their mean.
    fn spread(&self) -> f64 {
        let shares = || self.open.iter().map(|&at| self.table.board.share(at) as f64);
        let count = self.open.len() as f64;
        let mean = shares().sum::<f64>() / count;
        if mean <= 0.0 || self.open.len() < 2 {
            return 0.0;
        }
        let variance = shares().map(|share| (share - mean) * (share - mean)).sum::<f64>() / count;
        variance.sqrt() / mean
    }

    /// The same, were these elsewhere.
    fn spread_after(&mut self, members: &[usize], from: usize, to: usize) -> f64 {
        let Table { board, loads, .. } = &mut self.table;
        for load in members.iter().map(|&one| &loads[one]) {
            board.quit(from, load);
            board.enter(to, load);
        }
        let spread = self.spread();
        let Table { board, loads, .. } = &mut self.table;
        for load in members.iter().map(|&one| &loads[one]) {
            board.quit(to, load);
            board.enter(from, load);
        }
        spread
    }
}
