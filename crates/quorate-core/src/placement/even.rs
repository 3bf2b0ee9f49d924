//! Evens out what does not run yet.
//!
//! Placing one group after the other, large loads before small ones, may leave a node with more than it need have: much
//! more where groups are few and each is a large part of a node's load. Here those that do not run are placed in other
//! ways, on nodes that differ for them in nothing but the load, and the way in which the most loaded of their nodes has
//! the least is taken. What runs is left alone, and so is whatever a rule names.

use std::cmp::Reverse;

use super::NotHere;
use super::opinion::View;
use super::rank::Rank;
use super::solver::Solver;
use crate::config::{SCORE_MUST, SCORE_NEVER};

/// So many ways to put one group on one node are tried for one plan: about half a millisecond.
const TRIED_MAX: usize = 4_000;
/// Of more groups than this one more or less is little: they stay as they were placed.
const GROUPS_MAX: usize = 16;
/// More looks at one node for one group are not taken to find out which nodes are alike for them.
const LOOKS_MAX: usize = 1_024;

/// A group that may as well be elsewhere.
#[derive(Clone, Debug)]
struct Free {
    group: usize,
    /// Where it was placed.
    was: usize,
    /// The nodes that are alike for it but for their load.
    alike: Vec<usize>,
}

/// The best way so far.
struct Best {
    /// The load of the most loaded node.
    most: u64,
    /// The node of each group.
    nodes: Vec<usize>,
}

impl Solver<'_> {
    /// Spreads those of `work` that do not run yet better, if there may be a better way.
    pub(super) fn even_out(&mut self, work: &[usize]) {
        let movable = work.iter().copied().filter(|&group| self.is_movable(group));
        let movable: Vec<usize> = movable.take(GROUPS_MAX + 1).collect();
        let looks = movable.len() * self.table.board.slots.len();
        if !(2..=GROUPS_MAX).contains(&movable.len())
            || looks > LOOKS_MAX
            || !self.table.board.weighs_loads() && !self.is_choice_limited(&movable)
        {
            return;
        }
        let free = |group: usize| {
            let was = self.table.goes_to(group)?;
            Some(Free { group, was, alike: Vec::new() })
        };
        let all: Vec<Free> = movable.into_iter().filter_map(free).collect();
        let most = all.iter().map(|free| self.table.board.share(free.was)).max();
        all.iter().for_each(|free| self.table.take_back(free.group));
        let (mut free, kept): (Vec<Free>, Vec<Free>) = all
            .into_iter()
            .map(|free| Free { alike: self.alike(free.group), ..free })
            .partition(|free| free.alike.contains(&free.was));
        kept.iter().for_each(|kept| self.table.finish(kept.group, Some(kept.was)));
        free.sort_by_key(|free| {
            (Reverse(self.table.board.size(&self.table.loads[free.group])), free.group)
        });
        let nodes = free.iter().map(|free| free.was).collect();
        let mut best = Best { most: most.unwrap_or_default(), nodes };
        let mut left = TRIED_MAX;
        self.try_ways(&free, 0, &mut Vec::new(), &mut best, &mut left);
        for (free, &at) in free.iter().zip(&best.nodes) {
            self.table.finish(free.group, Some(at));
            self.retell(free, at);
        }
    }

    /// Whether a group is placed, does not run, and stands by itself.
    fn is_movable(&self, group: usize) -> bool {
        let now = &self.table.now[group];
        let is_free = now.wanted && !now.runs && !now.fixed;
        is_free && self.bonds.rules(group).is_empty() && self.table.goes_to(group).is_some()
    }

    /// Whether one of the groups may not run everywhere. Groups that all count the same and may run anywhere lie as
    /// evenly as can be when each has gone to the node with the fewest.
    fn is_choice_limited(&self, groups: &[usize]) -> bool {
        let limited = |&group: &usize| {
            let config = &self.config.groups()[group];
            !config.possible_owners.is_empty() || !config.scores.is_empty()
        };
        self.table.board.counts_only() && groups.iter().any(limited)
    }

    /// The best nodes for a group that is not placed, were it not for their load.
    fn alike(&self, group: usize) -> Vec<usize> {
        let ranks = (0..self.table.board.slots.len()).filter_map(|at| self.rank_of(group, at));
        let ranks: Vec<(Rank, usize)> = ranks
            .map(|rank| (Rank { displaces: false, load: 0, number: 0, ..rank }, rank.number))
            .collect();
        let best = ranks.iter().map(|(rank, _)| *rank).min();
        ranks.into_iter().filter(|(rank, _)| Some(*rank) == best).map(|(_, at)| at).collect()
    }

    /// How good a node is for a group of which no rule speaks; none: it cannot be there.
    pub(super) fn rank_of(&self, group: usize, at: usize) -> Option<Rank> {
        let score = self.own_score(group, self.table.board.slots[at].id);
        let view =
            View { score: score.clamp(SCORE_NEVER.into(), SCORE_MUST.into()), ..View::default() };
        let load = &self.table.loads[group];
        let refused = self.obstacle(&[group], &view, load, at).is_some();
        (!refused).then(|| self.rank(&[group], &view, load, self.held_at(group), at))
    }

    /// Tries the ways to place `rest` in which no node gets as much as it has in the best one.
    fn try_ways(
        &mut self,
        rest: &[Free],
        most: u64,
        nodes: &mut Vec<usize>,
        best: &mut Best,
        left: &mut usize,
    ) {
        let Some((free, rest)) = rest.split_first() else {
            *best = Best { most, nodes: nodes.clone() };
            return;
        };
        let ranks = free.alike.iter().filter_map(|&at| self.rank_of(free.group, at));
        let mut ranks: Vec<Rank> = ranks.filter(|rank| !rank.displaces).collect();
        ranks.sort_unstable();
        for rank in ranks {
            if *left == 0 {
                return;
            }
            *left -= 1;
            self.table.finish(free.group, Some(rank.number));
            let most = most.max(self.table.board.share(rank.number));
            if most < best.most {
                nodes.push(rank.number);
                self.try_ways(rest, most, nodes, best, left);
                nodes.pop();
            }
            self.table.take_back(free.group);
        }
    }

    /// Why the asked group is not where it was placed first.
    fn retell(&mut self, free: &Free, at: usize) {
        if self.asked == Some(free.group) && at != free.was {
            let id = |at: usize| self.table.board.slots[at].id;
            let (chosen, was) = (id(at), id(free.was));
            self.told.remove(&chosen);
            self.told.insert(was, NotHere::MoreLoaded);
        }
    }
}
