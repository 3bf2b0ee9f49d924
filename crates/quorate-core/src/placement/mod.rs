//! Where every group belongs: a pure function of the configuration, the nodes and who runs what.
//!
//! Hard rules are never broken: where a group may run at all (possible owners, a score of "must not", too many
//! failures, room, [`crate::config::Says`]). Among the nodes that are left the first difference wins:
//!
//! ```text
//! a node that reaches its LUNs > one that is not to be emptied > where it has not just failed
//! > where those who must be with it can be too
//! > where it is, unless it fails back > the higher score (stickiness counts for where it is) > preferred, in order
//! > where it is > with those that should be near > the load (see Balance) > the lowest number
//! ```
//!
//! Groups are placed one after the other: what cannot be moved, then by priority, then what runs, then who has the
//! fewest nodes to choose from. Whoever says "near" waits for the one it wants to be near. What finds no place so is
//! packed anew with others, and few that do not run yet are spread once more.
//!
//! *Architecture Invariant*: what need not move does not move; the same input gives the same plan.
//!
//! Source: Windows clustering, preferred and possible owners; Pacemaker, scores and colocation.

mod balance;
mod board;
mod conflict;
mod even;
mod field;
mod opinion;
mod outlook;
mod planner;
mod rank;
mod reason;
mod remedy;
mod search;
mod solver;
mod survival;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::config::{Amounts, ClusterConfig, GroupConfig, SCORE_NEVER};
use crate::id::NodeId;
pub use balance::{UNEVEN_FOR, better, is_uneven};
pub use conflict::{Conflict, conflict};
pub use outlook::{Effect, Outlook};
pub use planner::Planner;
pub use reason::NotHere;
pub use remedy::{Remedy, counterfactual};
use solver::Solver;
pub use survival::{LOSSES_MAX, Loss, Survival, admit, survival, survival_of};
use table::Table;

/// What placement needs to know of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// It takes part, as far as is committed: what it runs is its own.
    pub up: bool,
    /// It is heard.
    pub heard: bool,
    /// It gets no new groups.
    pub paused: bool,
    /// Whether what it runs stays.
    pub keeps: Keeps,
}

/// Whether a node keeps what it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// It does.
    All,
    /// What nowhere else can run.
    Stranded,
    /// Nothing.
    Nothing,
}

impl Candidate {
    /// Whether it can get a group.
    pub fn is_open(&self) -> bool {
        self.up && self.heard && !self.paused
    }
}

/// How a group is, as far as it bears on where it goes. The default: it is not to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// It should run.
    pub wanted: bool,
    /// The node that runs it, or has it while it runs nowhere.
    pub at: Option<NodeId>,
    /// It runs there.
    pub runs: bool,
    /// It ran, and has ended only to run where it should: nothing but scores holds it where it was.
    pub under_way: bool,
    /// It ran until its node was lost.
    pub recovers: bool,
    /// It stays as it is, whatever the rules say.
    pub fixed: bool,
    /// The node from which it was drained, and to which it returns.
    pub home: Option<NodeId>,
    /// It does not fail back now.
    pub stays: bool,
    /// Where a LUN of it is not reached.
    pub unreached: Vec<NodeId>,
    /// Where it has just failed, or shall leave.
    pub avoids: Vec<NodeId>,
    /// Where it may not run any more.
    pub banned: Vec<NodeId>,
    /// How much it loads its node, as measured.
    pub load: Option<Amounts>,
}

/// Where every group belongs, by its place in the configuration; none: nowhere, or it is not to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    nodes: Vec<Option<NodeId>>,
}

impl Plan {
    /// Where the group at this place belongs.
    pub fn node(&self, group: usize) -> Option<NodeId> {
        self.nodes.get(group).copied().flatten()
    }
}

/// The chosen node, and for each other why not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Where the group should run; none: nowhere can it.
    pub chosen: Option<NodeId>,
    /// Why not there.
    pub others: BTreeMap<NodeId, NotHere>,
}

/// Places every group. `now` has one entry for each group, by its place in the configuration.
pub fn plan(config: &ClusterConfig, nodes: &BTreeMap<NodeId, Candidate>, now: Vec<Now>) -> Plan {
    let mut table = Table::new(config, nodes, now);
    solve(config, &mut table, None);
    Plan { nodes: (0..table.now.len()).map(|group| node(&table, group)).collect() }
}

/// Where one group belongs, among all the others, and why not elsewhere.
pub fn place(
    config: &ClusterConfig,
    nodes: &BTreeMap<NodeId, Candidate>,
    now: Vec<Now>,
    group: usize,
) -> Placement {
    let mut table = Table::new(config, nodes, now);
    let others = solve(config, &mut table, Some(group));
    Placement { chosen: node(&table, group), others }
}

fn solve(
    config: &ClusterConfig,
    table: &mut Table,
    asked: Option<usize>,
) -> BTreeMap<NodeId, NotHere> {
    let all: Vec<usize> = (0..table.now.len()).collect();
    Solver::new(config, table, asked).solve(&all)
}

fn node(table: &Table, group: usize) -> Option<NodeId> {
    table.goes_to(group).map(|at| table.board.slots[at].id)
}

/// Whether the group may ever run on the node.
pub fn is_possible(group: &GroupConfig, node: NodeId) -> bool {
    let named = group.possible_owners.is_empty() || group.possible_owners.contains(&node);
    named && score(group, node) > SCORE_NEVER
}

/// Whether a group that fails back leaves `other` for `node`, as far as its owners and scores say.
pub fn is_better(group: &GroupConfig, node: NodeId, other: NodeId) -> bool {
    let (own, its) = (i64::from(score(group, node)), i64::from(score(group, other)));
    let its = its.saturating_add(i64::from(group.stickiness));
    let earlier = group.stickiness == 0 && preference(group, node) < preference(group, other);
    is_possible(group, node) && (own > its || own == its && earlier)
}

fn score(group: &GroupConfig, node: NodeId) -> i32 {
    group.scores.get(&node).copied().unwrap_or_default()
}

/// How far down in the preferred owners the node stands; those that are not named share the last
/// place.
fn preference(group: &GroupConfig, node: NodeId) -> usize {
    let owners = &group.preferred_owners;
    owners.iter().position(|&owner| owner == node).unwrap_or(owners.len())
}
