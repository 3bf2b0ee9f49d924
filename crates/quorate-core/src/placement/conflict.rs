//! Rules that cannot all hold: the smallest set of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Candidate, Keeps, Now, plan};
use crate::config::{ClusterConfig, ClusterParts, Policy, Rule};
use crate::id::{GroupId, NodeId};

/// So many times a group is placed with some of the rules while the smallest set is looked for: some tenths of a
/// second.
const LOOKS_MAX: usize = 200_000;
/// The largest set that is looked for by trying all.
const SIZE_MAX: usize = 3;

/// A group that could not run even with every node open, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The first such group of the configuration.
    pub group: GroupId,
    /// The rules in conflict, by their places: as few as suffice, or, where there are too many to try, such that none
    /// can be left out. Empty: its own owners and scores, or room, do.
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
    let rules: Vec<usize> = rules.into_iter().collect();
    let alone = Test::new(config, group, Some(&joined));
    let room = alone.fails(&rules).is_none();
    let test = if room { Test::new(config, group, None) } else { alone };
    let found = test.smallest(&rules).unwrap_or_else(|| {
        // Halves are thrown away first: of hundreds of rules, most have no part in it.
        let rules = test.narrowed(rules);
        test.smallest(&rules).unwrap_or_else(|| test.irreducible(rules))
    });
    // With these rules alone it may be another one of those who could share a place.
    let group = test.fails(&found).unwrap_or(group);
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
    all: &'a [Rule],
    group: GroupId,
    /// The groups that have a part in it, without rules.
    parts: ClusterParts,
    room: bool,
}

impl<'a> Test<'a> {
    /// With the groups at these places alone, where room does not count; or with all.
    fn new(config: &'a ClusterConfig, group: GroupId, joined: Option<&[usize]>) -> Self {
        let room = joined.is_none();
        let mut parts = ClusterParts::from(config.clone());
        parts.rules.clear();
        parts.policy = Policy { limited: room && parts.policy.limited, ..parts.policy };
        if let Some(joined) = joined {
            parts.groups = joined.iter().map(|&at| config.groups()[at].clone()).collect();
        }
        Self { all: config.rules(), group, parts, room }
    }

    /// The group that has no place while only these rules hold; where room counts, the one that is asked about.
    fn fails(&self, rules: &[usize]) -> Option<GroupId> {
        let rules = rules.iter().map(|&rule| self.all[rule].clone()).collect();
        let config = ClusterConfig::new(ClusterParts { rules, ..self.parts.clone() }).ok()?;
        let group = config.groups()[first_unplaced(&config)?].id;
        (!self.room || group == self.group).then_some(group)
    }

    /// The smallest set of these that fails, if it is small and they are few.
    fn smallest(&self, rules: &[usize]) -> Option<Vec<usize>> {
        let sets_max = LOOKS_MAX / self.parts.groups.len().max(1);
        let sizes = (0..=SIZE_MAX.min(rules.len()))
            .take_while(|&size| count(rules.len(), size) <= sets_max);
        sizes.into_iter().find_map(|size| self.of_size(rules, size))
    }

    fn of_size(&self, rules: &[usize], size: usize) -> Option<Vec<usize>> {
        let mut chosen: Vec<usize> = (0..size).collect();
        loop {
            let set: Vec<usize> = chosen.iter().map(|&at| rules[at]).collect();
            if self.fails(&set).is_some() {
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

    /// Fewer rules that still fail: larger parts are left out first, then smaller ones.
    fn narrowed(&self, mut rules: Vec<usize>) -> Vec<usize> {
        let mut part = rules.len() / 2;
        while part > 0 {
            let mut from = 0;
            while from < rules.len() {
                let to = (from + part).min(rules.len());
                let rest: Vec<usize> = [&rules[..from], &rules[to..]].concat();
                if self.fails(&rest).is_some() {
                    rules = rest;
                } else {
                    from = to;
                }
            }
            part /= 2;
        }
        rules
    }

    /// Takes out one rule after the other, as long as the rest still fails.
    fn irreducible(&self, mut rules: Vec<usize>) -> Vec<usize> {
        let mut at = 0;
        while at < rules.len() {
            let rule = rules.remove(at);
            if self.fails(&rules).is_none() {
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
