//! What people, and the cluster for them, want of nodes, of groups and of the whole.

use super::{Database, GroupRecord, NodeRecord, NodeState, OwnedState};
use crate::change::{Cause, Desire, Disarm, DownCause, Failback, GroupReport};
use crate::config::{Amounts, NewGroup};
use crate::id::{GroupId, Incarnation, NodeId};
use crate::notice::Notice;
use crate::placement;

impl Database {
    pub(super) fn add_group(&mut self, index: u64, new: &NewGroup) {
        let Ok(config) = self.with_group(new) else { return };
        let group = &new.group;
        // Its LUNs may have been another's: keys of its first owner are newer than any that stand on them.
        let newest = self.newest_epoch();
        self.succeed(index, config, format!("group {} added", group.name), 0);
        self.groups.insert(group.id, GroupRecord::fresh(group, newest));
    }

    pub(super) fn remove_group(&mut self, index: u64, group: GroupId) {
        let Ok(config) = self.without_group(group) else { return };
        let Some(record) = self.groups.remove(&group) else { return };
        let name = self.config.group(group).map_or("", |group| group.name.as_str());
        let reason = format!("group {name} removed");
        self.succeed(index, config, reason, 0);
        self.epoch_passed = self.epoch_passed.max(record.epoch);
    }

    pub(super) fn desire(&mut self, group: GroupId, desire: Desire) {
        let Some(record) = self.groups.get_mut(&group) else { return };
        record.desire = desire;
        record.failures.clear();
        record.failed_until = None;
        record.failed_on.clear();
        record.unreached.clear();
        record.failures_on.clear();
        if record.owner().is_none() {
            record.cause = if record.is_wanted() { Cause::Online } else { Cause::Offline };
        }
    }

    pub(super) fn pause(
        &mut self,
        node: NodeId,
        paused: bool,
        (draining, emptied): (bool, bool),
        notices: &mut Vec<Notice>,
    ) {
        let Some(record) = self.nodes.get_mut(&node) else { return };
        record.paused = paused;
        record.draining = draining;
        record.emptied = emptied;
        record.leaving &= paused;
        record.keeps &= paused;
        notices.push(Notice::Paused { node, paused });
        if !paused {
            let groups: Vec<GroupId> = self.groups.keys().copied().collect();
            groups.into_iter().for_each(|group| self.end_wait(group, node));
        }
    }

    /// What was drained from the node returns, or stays where it is.
    pub(super) fn return_to(&mut self, node: NodeId, failback: Failback) {
        if failback == Failback::Now {
            return;
        }
        for (&id, record) in &mut self.groups {
            let config = self.config.group(id);
            let prefers = |(owner, _): (NodeId, Incarnation)| {
                owner != node
                    && config
                        .is_some_and(|one| one.failback && placement::is_better(one, node, owner))
            };
            let drained = record.drained_from == Some(node);
            let elsewhere = record.owner().is_some_and(|(owner, _)| owner != node);
            let returns = drained && elsewhere || record.owner().is_some_and(prefers);
            record.stays |= failback == Failback::Never && returns;
            record.drained_from = record.drained_from.filter(|&from| from != node);
        }
    }

    pub(super) fn disarm(&mut self, mode: Disarm, ttl_ms: Option<u64>, notices: &mut Vec<Notice>) {
        let again = self.disarmed.is_some();
        let mode = *self.disarmed.get_or_insert(mode);
        if let Some(ttl) = ttl_ms {
            self.disarmed_until = Some(self.at_ms.saturating_add(ttl));
        }
        if !again || ttl_ms.is_some() {
            notices.push(Notice::Disarmed { mode, ttl_ms });
        }
    }

    /// The cluster starts: what is to start where it was last moved by command belongs there.
    pub(super) fn seat_the_persistent(&mut self) {
        for (&id, record) in &mut self.groups {
            let persistent = self.config.group(id).is_some_and(|group| group.wishes.persistent);
            if let Some(chosen) = record.chosen.filter(|_| persistent) {
                record.seat = Some(chosen);
            }
        }
    }

    /// A node that cannot end what it runs is down by its own word, if anybody is left.
    pub(super) fn fence_deadlocked(
        &mut self,
        index: u64,
        group: GroupId,
        (node, incarnation): (NodeId, Incarnation),
        report: GroupReport,
        notices: &mut Vec<Notice>,
    ) {
        let record = self.groups.get(&group);
        let is_so = record.is_some_and(|record| {
            report == GroupReport::Deadlocked
                && record.owner() == Some((node, incarnation))
                && record.owned_state() == Some(OwnedState::StopFailed)
        });
        let other = |(&other, record): (&NodeId, &NodeRecord)| {
            other != node && record.state == NodeState::Up
        };
        if is_so && self.nodes.iter().any(other) {
            self.down(index, node, incarnation, DownCause::Ordered, notices);
        }
    }

    pub(super) fn arm(&mut self, notices: &mut Vec<Notice>) {
        self.disarmed_until = None;
        if self.disarmed.take().is_some() {
            notices.push(Notice::Armed);
        }
    }

    pub(super) fn set_failures(&mut self, group: GroupId, node: NodeId, count: u32) {
        let at = self.at_ms;
        if let Some(record) = self.groups.get_mut(&group) {
            record.failures_on.insert(node, (count, at));
        }
    }

    pub(super) fn set_load(&mut self, group: GroupId, load: &Amounts) {
        if let Some(record) = self.groups.get_mut(&group) {
            record.load = Some(load.clone());
        }
    }

    pub(super) fn seat(&mut self, group: GroupId, node: NodeId) {
        let vacant = |record: &&mut GroupRecord| record.owner().is_none();
        if let Some(record) = self.groups.get_mut(&group).filter(vacant) {
            record.seat = Some(node);
            record.chosen = Some(node);
        }
    }

    pub(super) fn let_coordinate(&mut self, node: NodeId, may: bool) {
        if let Some(record) = self.nodes.get_mut(&node) {
            record.reluctant = !may;
        }
    }
}
