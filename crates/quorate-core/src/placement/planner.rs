//! A plan that is kept, and mended where something has changed.
//!
//! *Architecture Invariant*: a mended plan is the one that would be made from scratch. What stays where it runs rests
//! on nothing but how its nodes are and what rules join with it, so it is looked at again only when one of these
//! changes. Everything else is placed anew each time, in the order of a plan from scratch.

use std::collections::{BTreeMap, BTreeSet};

use super::solver::Solver;
use super::table::{Placed, Table};
use super::{Candidate, Keeps, Now, Plan};
use crate::config::{ClusterConfig, GroupConfig};
use crate::id::NodeId;

/// Where every group belongs, kept up to date. All calls take the configuration with which it was made.
#[derive(Clone, Debug)]
pub struct Planner {
    table: Table,
    /// The groups that run on each node, and where in that list each group stands.
    on: Vec<Vec<usize>>,
    stands: Vec<usize>,
    /// Groups that fail back, by the nodes that they name.
    returns: Vec<Vec<usize>>,
    /// Groups that any node may draw elsewhere.
    wary: BTreeSet<usize>,
    /// Groups that rules join.
    ruled: Vec<usize>,
    /// Groups that do not simply stay where they run.
    loose: Vec<usize>,
    /// Groups to look at, and whether each is one of them.
    due: Vec<usize>,
    is_due: Vec<bool>,
    /// Room makes every group depend on all others.
    all_depend: bool,
}

impl Planner {
    /// A plan for all groups. `now` has one entry for each group, by its place in the configuration.
    pub fn new(config: &ClusterConfig, nodes: &BTreeMap<NodeId, Candidate>, now: Vec<Now>) -> Self {
        let count = now.len();
        let table = Table::new(config, nodes, now);
        let slots = table.board.slots.len();
        let mut planner = Self {
            on: vec![Vec::new(); slots],
            stands: vec![0; count],
            returns: vec![Vec::new(); slots],
            wary: BTreeSet::new(),
            ruled: Vec::new(),
            loose: Vec::new(),
            due: Vec::new(),
            is_due: vec![false; count],
            all_depend: table.board.has_limits(),
            table,
        };
        for (group, of) in config.groups().iter().enumerate().take(count) {
            planner.enlist(group);
            planner.be_wary(group, of);
            planner.note_returns(group, of);
            if config.bonds().joined(group).is_some() {
                planner.ruled.push(group);
            }
            planner.look_at(group);
        }
        planner.mend(config);
        planner
    }

    /// A node is another way than before. A node that is not known is passed over.
    pub fn set_node(&mut self, node: NodeId, candidate: Candidate) {
        let Some(at) = self.table.board.place_of(node) else { return };
        if self.table.board.candidate(at) == candidate {
            return;
        }
        self.table.board.set(at, &candidate);
        for group in self.on[at].clone() {
            self.look_at(group);
        }
        for group in self.returns[at].clone() {
            self.look_at(group);
        }
        let emptied = self.table.board.slots.iter().enumerate();
        let emptied: Vec<usize> =
            emptied.filter(|(_, slot)| slot.keeps != Keeps::All).map(|(at, _)| at).collect();
        let emptied = emptied.into_iter().flat_map(|at| self.on[at].clone());
        let others = emptied.chain(self.wary.iter().copied()).chain(self.ruled.iter().copied());
        let others = others.chain(self.loose.iter().copied());
        others.collect::<Vec<usize>>().into_iter().for_each(|group| self.look_at(group));
    }

    /// A group is another way than before.
    pub fn set_group(&mut self, config: &ClusterConfig, group: usize, now: Now) {
        if self.table.now.get(group).is_none_or(|before| *before == now) {
            return;
        }
        self.table.take_back(group);
        self.delist(group);
        self.table.set(config, group, now);
        self.enlist(group);
        self.be_wary(group, &config.groups()[group]);
        self.look_at(group);
    }

    /// Makes the plan true again.
    pub fn mend(&mut self, config: &ClusterConfig) {
        if self.due.is_empty() {
            return;
        }
        let loose = std::mem::take(&mut self.loose);
        loose.into_iter().for_each(|group| self.look_at(group));
        if self.all_depend {
            (0..self.table.now.len()).for_each(|group| self.look_at(group));
        }
        // What rules join is placed together.
        let mut next = 0;
        while let Some(&group) = self.due.get(next) {
            next += 1;
            let joined = config.bonds().joined(group).unwrap_or_default();
            joined.iter().for_each(|&other| self.look_at(other));
        }
        let mut work = std::mem::take(&mut self.due);
        work.sort_unstable();
        for &group in &work {
            self.is_due[group] = false;
            self.table.take_back(group);
        }
        Solver::new(config, &mut self.table, None).solve(&work);
        self.loose.extend(work.into_iter().filter(|&group| {
            let now = &self.table.now[group];
            let stays = self.table.placed[group] == Placed::Done(self.table.is_at(group));
            now.wanted && !now.fixed && !(now.runs && stays)
        }));
    }

    /// Where the group at this place belongs.
    pub fn node(&self, group: usize) -> Option<NodeId> {
        let at = self.table.placed.get(group).and_then(|_| self.table.goes_to(group))?;
        Some(self.table.board.slots[at].id)
    }

    /// The groups that are wanted and have no node, by their places.
    pub fn unplaced(&self) -> impl Iterator<Item = usize> + '_ {
        let lacks = |&group: &usize| {
            self.table.now[group].wanted && self.table.placed[group] == Placed::Done(None)
        };
        self.loose.iter().copied().filter(lacks)
    }

    /// How a group is, as it was told.
    pub fn now(&self, group: usize) -> Option<&Now> {
        self.table.now.get(group)
    }

    /// The groups that run on a node, by their places.
    pub fn on(&self, node: NodeId) -> &[usize] {
        self.table.board.place_of(node).map_or(&[], |at| &self.on[at])
    }

    /// The plan as it is now.
    pub fn plan(&self) -> Plan {
        Plan { nodes: (0..self.table.now.len()).map(|group| self.node(group)).collect() }
    }

    fn look_at(&mut self, group: usize) {
        if !std::mem::replace(&mut self.is_due[group], true) {
            self.due.push(group);
        }
    }

    fn enlist(&mut self, group: usize) {
        if let Some(at) = self.table.is_at(group) {
            self.stands[group] = self.on[at].len();
            self.on[at].push(group);
        }
    }

    fn delist(&mut self, group: usize) {
        if let Some(at) = self.table.is_at(group) {
            let stood = self.stands[group];
            self.on[at].swap_remove(stood);
            if let Some(&moved) = self.on[at].get(stood) {
                self.stands[moved] = stood;
            }
        }
    }

    /// Whether any node may draw the group elsewhere.
    fn be_wary(&mut self, group: usize, config: &GroupConfig) {
        let now = &self.table.now[group];
        let special = now.home.is_some()
            || [&now.unreached, &now.avoids, &now.banned].iter().any(|nodes| !nodes.is_empty());
        if special || config.failback && config.scores.values().any(|&score| score < 0) {
            self.wary.insert(group);
        } else {
            self.wary.remove(&group);
        }
    }

    /// Which nodes may draw the group back.
    fn note_returns(&mut self, group: usize, config: &GroupConfig) {
        let named = config.preferred_owners.iter().chain(config.scores.keys());
        for &node in named.filter(|_| config.failback) {
            if let Some(at) = self.table.board.place_of(node) {
                self.returns[at].push(group);
            }
        }
    }
}
