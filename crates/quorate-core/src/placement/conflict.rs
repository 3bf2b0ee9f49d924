//! Rules that cannot all hold: the smallest set of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Candidate, Keeps, Now, plan};
use crate::config::{ClusterConfig, ClusterParts, Policy, Rule};
use crate::id::{GroupId, NodeId};

/// So many sets of rules of one size are tried; beyond, a set is told of which no rule can be left out.
const SETS_MAX: usize = 20_000;
/// The largest set that is looked for by trying all.
const SIZE_MAX: usize = 3;

/// A group that could not run even with every node open, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The first such group of the configuration.
    pub group: GroupId,
    /// The rules in conflict, by their places: as few as suffice. Empty: its own owners and scores, or room, do.
    pub rules: Vec<u32>,
    /// Whether room has a part in it.
    pub room: bool,
}

/// What could not run even if every node were open and nothing else ran before; none: everything can.
pub fn conflict(config: &ClusterConfig) -> Option<Conflict> {
    let unplaced = first_unplaced(config)?;
    let group = config.groups()[unplaced].id;
    let joined: Vec<usize> = config.bonds().joined(unplaced).unwrap_or(&[unplaced]).to_vec();
    let rules: BTreeSet<usize> =
        joined.iter().flat_map(|&member| config.bonds().rules(member)).copied().collect();
    let test = Test { config, group, joined: &joined };
    let rules: Vec<usize> = rules.into_iter().collect();
    let room = !test.fails(&rules, false);
    let found = (0..=SIZE_MAX).find_map(|size| test.smallest(&rules, size, room));
    let found = found.unwrap_or_else(|| test.irreducible(rules, room));
    let rules = found.into_iter().filter_map(|rule| u32::try_from(rule).ok()).collect();
    Some(Conflict { group, rules, room })
}

fn first_unplaced(config: &ClusterConfig) -> Option<usize> {
    let open = Candidate { up: true, heard: true, paused: false, keeps: Keeps::All };
    let nodes: BTreeMap<NodeId, Candidate> =
        config.nodes().iter().map(|node| (node.id, open)).collect();
    let wanted = Now { wanted: true, ..Now::default() };
    let plan = plan(config, &nodes, vec![wanted; config.groups().len()]);
    (0..config.groups().len()).find(|&group| plan.node(group).is_none())
}

struct Test<'a> {
    config: &'a ClusterConfig,
    group: GroupId,
    /// The groups that rules join with it.
    joined: &'a [usize],
}

impl Test<'_> {
    /// Whether some group has no place while only these rules hold. Where room counts, so does every other group.
    fn fails(&self, rules: &[usize], room: bool) -> bool {
        let all = self.config;
        let there = |(at, _): &(usize, _)| room || self.joined.contains(at);
        let groups = all.groups().iter().enumerate().filter(there).map(|(_, group)| group.clone());
        let rules: Vec<Rule> = rules.iter().map(|&rule| all.rules()[rule].clone()).collect();
        let parts = ClusterParts::from(all.clone());
        let policy = Policy { limited: room && parts.policy.limited, ..parts.policy };
        let groups = groups.collect();
        let config = ClusterConfig::new(ClusterParts { groups, rules, policy, ..parts });
        config.is_ok_and(|config| match first_unplaced(&config) {
            None => false,
            // With fewer rules it may be another one of those who could share a place.
            Some(group) => !room || config.groups()[group].id == self.group,
        })
    }

    fn smallest(&self, rules: &[usize], size: usize, room: bool) -> Option<Vec<usize>> {
        if size > rules.len() || count(rules.len(), size) > SETS_MAX {
            return None;
        }
        let mut chosen: Vec<usize> = (0..size).collect();
        loop {
            let set: Vec<usize> = chosen.iter().map(|&at| rules[at]).collect();
            if self.fails(&set, room) {
                return Some(set);
            }
            // The next set in order: the last place that can still rise does, and those after it follow.
            let rising = (0..size).rev().find(|&at| chosen[at] < rules.len() - size + at)?;
            chosen[rising] += 1;
            for at in rising + 1..size {
                chosen[at] = chosen[at - 1] + 1;
            }
        }
    }

    /// Takes out one rule after the other, as long as the rest still fails.
    fn irreducible(&self, mut rules: Vec<usize>, room: bool) -> Vec<usize> {
        let mut at = 0;
        while at < rules.len() {
            let rule = rules.remove(at);
            if !self.fails(&rules, room) {
                rules.insert(at, rule);
                at += 1;
            }
        }
        rules
    }
}

/// How many sets of `size` there are of `of`.
fn count(of: usize, size: usize) -> usize {
    (0..size).fold(1, |product: usize, at| product.saturating_mul(of - at) / (at + 1))
}
