//! Which node reaches which LUN: each says so of itself.

use std::collections::BTreeSet;

use super::{Database, GroupRecord};
use crate::config::GroupConfig;
use crate::id::{GroupId, Incarnation, LunId, NodeId};
use crate::notice::Notice;

static NOTHING: BTreeSet<LunId> = BTreeSet::new();

impl Database {
    /// What a node does not reach, by its own word since it takes part.
    pub fn away(&self, node: NodeId) -> &BTreeSet<LunId> {
        self.away.get(&node).unwrap_or(&NOTHING)
    }

    /// Whether it has said so.
    pub fn has_said_paths(&self, node: NodeId) -> bool {
        self.away.contains_key(&node)
    }

    /// Whether a node reaches every LUN of a group, as far as is known.
    pub fn reaches(&self, node: NodeId, group: &GroupConfig) -> bool {
        self.away_of(node, group).next().is_none()
    }

    /// Where a group would not reach its LUNs: by the word of the nodes, or because it was tried.
    pub fn unreached(&self, group: &GroupConfig) -> Vec<NodeId> {
        let said = self.away.keys().filter(|&&node| !self.reaches(node, group));
        let mut nodes: BTreeSet<NodeId> = said.copied().collect();
        nodes.extend(self.groups.get(&group.id).iter().flat_map(|record| &record.unreached));
        nodes.into_iter().collect()
    }

    /// Whether a group waits since no node has reached its LUNs.
    pub fn awaits_luns(&self, group: GroupId) -> bool {
        self.groups.get(&group).is_some_and(GroupRecord::awaits_luns)
    }

    /// The LUNs for which a group waits: those that no node reaches that may run it, by their word; where they say
    /// otherwise, all of them.
    pub fn awaited_luns(&self, group: &GroupConfig) -> Vec<LunId> {
        if !self.awaits_luns(group.id) {
            return Vec::new();
        }
        let mut nodes = self.nodes.keys().filter(|&&node| self.may_try(node, group));
        let is_away = |lun: &LunId| nodes.clone().all(|&node| self.away(node).contains(lun));
        let away: Vec<LunId> = group.luns.iter().copied().filter(is_away).collect();
        match away.is_empty() || nodes.next().is_none() {
            true => group.luns.clone(),
            false => away,
        }
    }

    /// The LUNs of a group that a node does not reach, by its own word.
    pub fn away_of(&self, node: NodeId, group: &GroupConfig) -> impl Iterator<Item = LunId> {
        let away = self.away(node);
        group.luns.iter().copied().filter(|lun| away.contains(lun))
    }

    pub(super) fn note_paths(
        &mut self,
        node: NodeId,
        incarnation: Incarnation,
        away: &BTreeSet<LunId>,
        notices: &mut Vec<Notice>,
    ) {
        if !self.nodes.get(&node).is_some_and(|record| record.is_up_as(incarnation)) {
            return;
        }
        let unreached_before =
            |config: &&GroupConfig| !self.has_said_paths(node) || !self.reaches(node, config);
        let waiting = self.config.groups().iter().filter(|one| self.awaits_luns(one.id));
        let news: Vec<GroupId> = waiting.filter(unreached_before).map(|one| one.id).collect();
        let known = |lun: &LunId| self.config.lun(*lun).is_some();
        let away: BTreeSet<LunId> = away.iter().copied().filter(known).collect();
        let before = self.away.remove(&node).unwrap_or_default();
        let changed = before.symmetric_difference(&away).filter(|&lun| known(lun));
        notices.extend(changed.map(|&lun| {
            let reached = !away.contains(&lun);
            Notice::LunPath { node, lun, reached }
        }));
        self.away.insert(node, away);
        news.into_iter().for_each(|group| self.end_wait(group, node));
    }

    /// A group that waits for its LUNs waits no more, if that node may run it and says that it reaches them.
    pub(super) fn end_wait(&mut self, group: GroupId, node: NodeId) {
        if !self.awaits_luns(group) {
            return;
        }
        let Some(config) = self.config.group(group) else { return };
        let there = self.has_said_paths(node) && self.reaches(node, config);
        let free = there && self.may_try(node, config);
        if let Some(record) = self.groups.get_mut(&group).filter(|_| free) {
            record.failed_until = None;
            record.unreached.clear();
        }
    }
}
