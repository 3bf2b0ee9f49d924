//! Which node reaches which LUN: each says so of itself.

use std::collections::BTreeSet;

use super::Database;
use crate::config::GroupConfig;
use crate::id::{Incarnation, LunId, NodeId};
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
        let away = self.away(node);
        !group.luns.iter().any(|lun| away.contains(lun))
    }

    /// Where a group would not reach its LUNs: by the word of the nodes, or because it was tried.
    pub fn unreached(&self, group: &GroupConfig) -> Vec<NodeId> {
        let said = self.away.keys().filter(|&&node| !self.reaches(node, group));
        let mut nodes: BTreeSet<NodeId> = said.copied().collect();
        nodes.extend(self.groups.get(&group.id).iter().flat_map(|record| &record.unreached));
        nodes.into_iter().collect()
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
        let known = |lun: &LunId| self.config.lun(*lun).is_some();
        let away: BTreeSet<LunId> = away.iter().copied().filter(known).collect();
        let before = self.away.remove(&node).unwrap_or_default();
        let changed = before.symmetric_difference(&away).filter(|&lun| known(lun));
        notices.extend(changed.map(|&lun| {
            let reached = !away.contains(&lun);
            Notice::LunPath { node, lun, reached }
        }));
        self.away.insert(node, away);
    }
}
