//! A cluster on its way from the words of another one to ours: everything by name, nothing written yet.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::config::{Amounts, NAME_MAX, Policy, Rule, Says, VOTERS_MAX, Wishes};
use quorate_core::id::GroupId;

use crate::config::Resource;

/// What a cluster is to be.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) id: u64,
    pub(super) nodes: Vec<DraftNode>,
    pub(super) groups: Vec<DraftGroup>,
    /// What they say is about groups by their place in `groups`, from 1.
    pub(super) rules: Vec<Rule>,
    pub(super) policy: Policy,
    rule_names: Names,
}

/// A node.
#[derive(Clone, Debug)]
pub(super) struct DraftNode {
    pub(super) name: String,
    pub(super) id: Option<u16>,
    pub(super) addresses: Vec<String>,
    pub(super) voter: bool,
    pub(super) capacity: Amounts,
}

/// A group.
#[derive(Clone, Debug)]
pub(super) struct DraftGroup {
    pub(super) name: String,
    pub(super) auto_start: bool,
    /// By the node's name.
    pub(super) scores: BTreeMap<String, i32>,
    pub(super) failback: bool,
    pub(super) stickiness: i32,
    pub(super) failover_threshold: Option<u32>,
    pub(super) initial_owner: Option<String>,
    pub(super) wishes: Wishes,
    pub(super) resources: Vec<DraftResource>,
}

/// A resource.
#[derive(Clone, Debug)]
pub(super) struct DraftResource {
    pub(super) words: Resource,
    pub(super) live_on_move: bool,
}

impl Draft {
    /// The number of the group that is added next.
    pub(super) fn next_group(&self) -> GroupId {
        GroupId(u32::try_from(self.groups.len()).unwrap_or(u32::MAX).saturating_add(1))
    }

    pub(super) fn group_mut(&mut self, id: GroupId) -> Option<&mut DraftGroup> {
        self.groups.get_mut((id.0 as usize).checked_sub(1)?)
    }

    /// Adds a rule under a name like this one that no other has.
    pub(super) fn add_rule(&mut self, name: &str, says: Says) {
        let name = self.rule_names.take(name);
        self.rules.push(Rule { name, says });
    }

    /// At most as many voters as there may be: the first ones. How many have lost their vote.
    pub(super) fn limit_voters(&mut self) -> usize {
        let voters = self.nodes.iter_mut().filter(|node| node.voter);
        let beyond: Vec<&mut DraftNode> = voters.skip(VOTERS_MAX).collect();
        let count = beyond.len();
        beyond.into_iter().for_each(|node| node.voter = false);
        count
    }
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
