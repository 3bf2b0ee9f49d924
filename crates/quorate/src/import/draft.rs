//! A cluster on its way from the words of another one to ours: everything by name, nothing written yet.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::config::rules::RULES_MAX;
use quorate_core::config::{NAME_MAX, OrderAct, OrderKind, Policy, VOTERS_MAX};
use quorate_core::id::GroupId;
use sha2::{Digest as _, Sha256};

use crate::config::{Cluster, Document, FenceAgent, Group, Node, Rule, Score};

/// What a cluster is to be.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) name: String,
    /// Drawn from the source: the same for the same source.
    pub(super) id: u64,
    pub(super) nodes: Vec<Node>,
    pub(super) groups: Vec<Group>,
    rules: Vec<Rule>,
    pub(super) policy: Policy,
    pub(super) fence_agents: Vec<FenceAgent>,
    /// Nodes that are kept empty.
    pub(super) drained: Vec<String>,
    rule_names: Names,
}

/// What one group means for where another goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct NearTie {
    pub(super) group: GroupId,
    pub(super) with: GroupId,
    pub(super) score: i32,
    pub(super) influence: bool,
}

/// How one group comes after another.
#[derive(Clone, Copy, Debug)]
pub(super) struct OrderTie {
    pub(super) kind: OrderKind,
    pub(super) symmetrical: bool,
    pub(super) first_act: OrderAct,
    pub(super) then_act: OrderAct,
}

impl OrderTie {
    /// One starts only while the other runs, and stops before it.
    pub(super) const PLAIN: OrderTie = OrderTie {
        kind: OrderKind::Mandatory,
        symmetrical: true,
        first_act: OrderAct::Start,
        then_act: OrderAct::Start,
    };
}

impl Draft {
    /// Nothing yet, with an identity drawn from the source.
    pub(super) fn of_source(texts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        texts.iter().for_each(|text| hash.update(text.as_bytes()));
        let bytes: [u8; 32] = hash.finalize().into();
        let id = bytes.iter().take(8).fold(0, |id, &byte| id << 8 | u64::from(byte));
        Self { id: id.max(1), ..Self::default() }
    }

    /// The number of the group that is added next.
    pub(super) fn next_group(&self) -> GroupId {
        GroupId(u32::try_from(self.groups.len()).unwrap_or(u32::MAX).saturating_add(1))
    }

    pub(super) fn group_mut(&mut self, id: GroupId) -> Option<&mut Group> {
        self.groups.get_mut((id.0 as usize).checked_sub(1)?)
    }

    fn name_of(&self, id: GroupId) -> String {
        let group = (id.0 as usize).checked_sub(1).and_then(|at| self.groups.get(at));
        group.map(|group| group.name.clone()).unwrap_or_default()
    }

    /// Adds a rule that these groups run on one node, or no two of them; under a name like this one that no other has.
    pub(super) fn add_affinity(&mut self, name: &str, together: bool, groups: &[GroupId]) {
        let name = self.rule_names.take(name);
        let names: Vec<String> = groups.iter().map(|&id| self.name_of(id)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let make = if together { Rule::together } else { Rule::apart };
        self.rules.push(make(name, &names));
    }

    /// Adds a rule, as `add_affinity` does. False: there are too many already.
    pub(super) fn add_near(&mut self, name: &str, tie: NearTie) -> bool {
        let name = self.rule_names.take(name);
        let (group, with) = (self.name_of(tie.group), self.name_of(tie.with));
        let mut rule = Rule::near(name, &group, &with, points(tie.score));
        if let Some(near) = &mut rule.near {
            near.influence = tie.influence;
        }
        self.add(rule)
    }

    /// Adds a rule, as `add_affinity` does: any of `first` comes before `then`. False: there are too many already.
    pub(super) fn add_order(
        &mut self,
        name: &str,
        first: &[GroupId],
        then: GroupId,
        tie: OrderTie,
    ) -> bool {
        let name = self.rule_names.take(name);
        let mut rule = Rule::order(name, "", &self.name_of(then));
        let mut first: Vec<String> = first.iter().map(|&id| self.name_of(id)).collect();
        if let Some(order) = &mut rule.order {
            order.first = if first.len() == 1 { first.pop() } else { None };
            order.first_any = first;
            order.kind = tie.kind;
            let usual = tie.kind != OrderKind::Serialize;
            order.symmetrical = (tie.symmetrical != usual).then_some(tie.symmetrical);
            (order.first_act, order.then_act) = (tie.first_act, tie.then_act);
        }
        self.add(rule)
    }

    fn add(&mut self, rule: Rule) -> bool {
        self.rules.push(rule);
        self.rules.len() <= RULES_MAX
    }

    /// At most as many voters as there may be: the first ones. How many have lost their vote.
    pub(super) fn limit_voters(&mut self) -> usize {
        let voters = self.nodes.iter_mut().filter(|node| node.voter);
        let beyond: Vec<&mut Node> = voters.skip(VOTERS_MAX).collect();
        let count = beyond.len();
        beyond.into_iter().for_each(|node| node.voter = false);
        count
    }

    /// What groups take and no node names, the first node has none of.
    fn name_all_kinds(&mut self) {
        let nodes = &self.nodes;
        let known = |kind: &&String| nodes.iter().any(|node| node.capacity.contains_key(*kind));
        let taken = self.groups.iter().flat_map(|one| one.uses.keys().chain(one.load.keys()));
        let missing: BTreeSet<String> = taken.filter(|kind| !known(kind)).cloned().collect();
        let is_empty = nodes.iter().all(|node| node.capacity.is_empty());
        if let Some(first) = self.nodes.first_mut().filter(|_| !is_empty) {
            first.capacity.extend(missing.into_iter().map(|kind| (kind, 0)));
        }
    }

    pub(super) fn into_document(mut self) -> Document {
        self.name_all_kinds();
        let name = if self.name.is_empty() { "imported" } else { &self.name };
        Document {
            cluster: Cluster { name: plain_name(name), id: format!("{:016x}", self.id) },
            nodes: self.nodes,
            groups: self.groups,
            rules: self.rules,
            policy: self.policy,
            fence_agents: self.fence_agents,
            ..Document::default()
        }
    }
}

/// A score in the words of cluster.toml.
pub(super) fn points(score: i32) -> Score {
    Score::new(score).unwrap_or(if score > 0 { Score::MUST } else { Score::NEVER })
}

/// The names of one kind of things: ours for theirs.
#[derive(Debug, Default)]
pub(super) struct Names {
    ours: BTreeSet<String>,
    /// How often a name was asked for.
    asked: BTreeMap<String, u32>,
}

impl Names {
    /// Our name for theirs: the same, if ours may be so and no other is.
    pub(super) fn take(&mut self, theirs: &str) -> String {
        let plain = plain_name(theirs);
        let asked = self.asked.entry(plain.clone()).or_default();
        loop {
            *asked += 1;
            let end = if *asked == 1 { String::new() } else { format!("-{asked}") };
            let name = format!("{}{end}", &plain[..plain.len().min(NAME_MAX - end.len())]);
            if self.ours.insert(name.clone()) {
                return name;
            }
        }
    }
}

/// A name of letters, digits, `-`, `_` and `.` that is not too long.
pub(super) fn plain_name(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name = text.chars().map(|c| if plain(c) { c } else { '-' }).take(NAME_MAX);
    let name: String = name.collect();
    if name.is_empty() { "unnamed".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_one_that_may_be_and_that_no_other_has() {
        let mut names = Names::default();
        assert_eq!(names.take("vm:100"), "vm-100");
        assert_eq!(names.take("vm_100"), "vm_100");
        assert_eq!(names.take("vm-100"), "vm-100-2");
        assert_eq!(names.take(""), "unnamed");
        let long = names.take(&"ä".repeat(100));
        assert_eq!(long, "-".repeat(NAME_MAX));
        assert_eq!(names.take(&"ä".repeat(100)).len(), NAME_MAX);
    }
}
