//! The groups that this node owns: made from the database, driven by completions, reported back.

use super::{Engine, Said};
use crate::action::{Action, ResourceVerb};
use crate::change::{Change, GroupReport};
use crate::config::ClusterConfig;
use crate::database::{GroupRecord, OwnedState, Ownership};
use crate::event::{LunFailure, LunReply, Trouble};
use crate::group::{Entitlement, Goal, Leave, LocalGroup};
use crate::id::{Epoch, GroupId, LunId, NodeId, OpId, ResourceId};
use crate::lock::{LockFailure, LockState};
use crate::message::Message;
use crate::notice::{DropReason, Notice};
use crate::timer::Timer;
use std::time::Duration;

/// A kill is certain or it has failed: it is waited for at least this long.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

impl Engine {
    pub(super) fn on_lun(&mut self, op: OpId, lun: LunId, result: &Result<LunReply, LunFailure>) {
        self.timers.clear(Timer::Op(op));
        if self.on_probe_answer(op, result) {
            return;
        }
        let mut held = None;
        for group in self.groups.values_mut() {
            if group.on_lun(lun, op, result, &mut self.out) {
                let state = group.locks().find(|&(id, _)| id == lun).map(|(_, state)| state);
                held = Some((group.epoch(), state));
            }
        }
        match held {
            None => self.drop_from(self.me, DropReason::StaleAnswer),
            Some((epoch, Some(LockState::Held))) => {
                self.out.tell(Notice::Lun { lun, epoch, held: true });
            }
            Some((epoch, Some(LockState::Lost(_)))) => {
                self.out.tell(Notice::Lun { lun, epoch, held: false });
            }
            Some(_) => {}
        }
    }

    pub(super) fn on_lun_lost(&mut self, lun: LunId, epoch: Epoch) {
        let group = self
            .groups
            .values_mut()
            .find(|group| group.epoch() == epoch && group.locks().any(|(id, _)| id == lun));
        if let Some(group) = group {
            group.on_lun_lost(lun, LockFailure::Overtaken);
            self.out.tell(Notice::Lun { lun, epoch, held: false });
        }
    }

    pub(super) fn on_resource(
        &mut self,
        op: OpId,
        resource: ResourceId,
        result: &Result<(), String>,
    ) {
        self.timers.clear(Timer::Op(op));
        let now = self.now;
        let mut known = false;
        for group in self.groups.values_mut() {
            known |= group.on_resource(resource, op, result, now, &mut self.out);
        }
        match result {
            _ if !known => self.drop_from(self.me, DropReason::StaleAnswer),
            Ok(()) => {}
            Err(detail) => self.tell_trouble(resource, Trouble::Reported, detail.clone()),
        }
    }

    pub(super) fn on_resource_failed(
        &mut self,
        resource: ResourceId,
        epoch: Epoch,
        trouble: Trouble,
        detail: String,
    ) {
        let now = self.now;
        let group = self.groups.values_mut().find(|group| {
            group.epoch() == epoch && group.resources().any(|(id, _)| id == resource)
        });
        let Some(group) = group else { return };
        if trouble == Trouble::Refused {
            let luns: Vec<LunId> = group.locks().map(|(lun, _)| lun).collect();
            luns.into_iter().for_each(|lun| group.on_lun_lost(lun, LockFailure::Overtaken));
        } else {
            group.on_trouble(resource, now, &mut self.out);
        }
        self.tell_trouble(resource, trouble, detail);
    }

    pub(super) fn on_overdue(&mut self, op: OpId) {
        let now = self.now;
        if self.on_probe_answer(op, &Err(LunFailure::Unreachable)) {
            return;
        }
        for group in self.groups.values_mut() {
            group.on_overdue(op, now, &mut self.out);
        }
    }

    /// How long the driver may take over a request; none: it is not waited for.
    pub(super) fn patience(&self, action: &Action) -> Option<(OpId, Duration)> {
        match action {
            Action::Lun { op, .. } => Some((*op, self.timing().io_bound * 2)),
            Action::Resource { op, resource, verb } => {
                let pending = self.config.resource(*resource)?.1.pending_timeout;
                let stop = self.timing().stop_time;
                Some((
                    *op,
                    match verb {
                        ResourceVerb::Kill => (stop * 4).max(KILL_PATIENCE),
                        ResourceVerb::Stop { timeout } => *timeout + stop,
                        ResourceVerb::Start { .. }
                        | ResourceVerb::Load { .. }
                        | ResourceVerb::Run
                        | ResourceVerb::Save { .. } => pending,
                    },
                ))
            }
            Action::SendBeat { .. }
            | Action::Send { .. }
            | Action::Persist { .. }
            | Action::Answer { .. }
            | Action::Reincarnated { .. }
            | Action::Left => None,
        }
    }

    pub(super) fn abandon_all(&mut self) {
        self.groups.values_mut().for_each(LocalGroup::abandon);
    }

    /// Ends what runs without a lease. What was just given to this node waits for its lease: to
    /// hand it back would only make the coordinator give it again.
    pub(super) fn abandon_groups(&mut self, which: impl Fn(bool) -> bool) {
        let config = &self.config;
        for group in self.groups.values_mut() {
            if !group.is_untouched() && which(is_enforced(config, group.id())) {
                group.abandon();
            }
        }
    }

    /// Makes the groups here agree with the database, and lets each ask for what is next.
    pub(super) fn advance_groups(&mut self) {
        self.align_groups();
        let (may_act, now) = (self.may_act(), self.now);
        let database = self.database.as_ref();
        for group in self.groups.values_mut() {
            let record = database.and_then(|database| database.group(group.id()));
            let saved = record.and_then(|record| record.saved);
            group.advance(Leave { may_act, saved }, now, &mut self.out);
        }
        if self.groups.values().any(|group| group.goal() != Goal::Run || !group.is_online()) {
            self.timers.set_sooner(Timer::Repeat, self.now + self.timing().interval * 4);
        }
    }

    fn align_groups(&mut self) {
        let Some(database) = &self.database else { return };
        let (me, incarnation) = (self.me, self.incarnation);
        let entitled = |group: &LocalGroup, record: &GroupRecord| {
            record.epoch == group.epoch() && record.owner() == Some((me, group.incarnation()))
        };
        for group in self.groups.values_mut() {
            match database.group(group.id()) {
                Some(record) if entitled(group, record) && group.incarnation() == incarnation => {
                    if let Some(OwnedState::Releasing { kind, .. }) = record.owned_state() {
                        group.give_up(kind);
                    }
                }
                _ => group.abandon(),
            }
        }
        self.groups.retain(|id, group| {
            let record = database.group(*id);
            !group.is_gone() || record.is_some_and(|record| entitled(group, record))
        });
        for (&id, record) in database.groups() {
            let Ownership::Owned { node, incarnation: owner, state, vacancy } = record.ownership
            else {
                continue;
            };
            let mine = node == me && owner == incarnation && state == OwnedState::Starting;
            let Some(config) = database.config().group(id).filter(|_| mine) else { continue };
            if self.groups.contains_key(&id) {
                continue;
            }
            let cluster = database.config().id();
            let epoch = record.epoch;
            let entitlement = Entitlement { cluster, node, incarnation, epoch, vacancy };
            self.groups.insert(id, LocalGroup::new(config, entitlement));
            self.said.remove(&id);
        }
    }

    /// Says what the cluster should know about the groups here, and again until it is committed.
    pub(super) fn say_reports(&mut self) {
        let Some(coordinator) = self.consensus.as_ref().and_then(|one| one.coordinator()) else {
            return;
        };
        let to = coordinator.node();
        let again = self.timing().interval * 4;
        let mut changes = Vec::new();
        for (group, epoch, report) in self.due_reports() {
            let said = self.said.get(&group);
            let fresh = said.is_some_and(|said| {
                (said.epoch, said.report, said.to) == (epoch, report, to)
                    && self.now.since(said.at) < again
            });
            if !fresh {
                self.said.insert(group, Said { epoch, report, to, at: self.now });
                let incarnation = self.groups[&group].incarnation();
                changes.push(Change::Report { group, epoch, node: self.me, incarnation, report });
            }
        }
        self.hand_in(to, changes);
    }

    /// Gives changes to the coordinator.
    pub(super) fn hand_in(&mut self, to: NodeId, changes: Vec<Change>) {
        if changes.is_empty() {
        } else if to == self.me {
            self.proposed.extend(changes);
        } else {
            self.send(to, Message::Propose(changes));
        }
    }

    /// Reports that the database does not show yet.
    fn due_reports(&self) -> Vec<(GroupId, Epoch, GroupReport)> {
        let Some(database) = &self.database else { return Vec::new() };
        let due = self.groups.values().filter_map(|group| {
            let record = database.group(group.id())?;
            let mine = record.owner() == Some((self.me, group.incarnation()));
            if !mine || record.epoch != group.epoch() {
                return None;
            }
            let report = group.report(record.saved)?;
            let shown = match report {
                GroupReport::Online => record.owned_state() != Some(OwnedState::Starting),
                GroupReport::StopFailed => record.owned_state() == Some(OwnedState::StopFailed),
                GroupReport::Consumed => record.saved.is_none(),
                GroupReport::Vacated { .. } => false,
            };
            (!shown).then_some((group.id(), group.epoch(), report))
        });
        due.collect()
    }

    pub(super) fn on_repeat(&mut self) {
        for group in self.groups.values_mut() {
            group.kill_again(&mut self.out);
        }
        self.expire_asked();
        self.repeat_leave();
    }

    /// Only what a node may say of itself is taken from it.
    pub(super) fn on_propose(&mut self, from: NodeId, changes: Vec<Change>) {
        for change in changes {
            let own = match change {
                Change::Report { node, .. }
                | Change::Leave { node, .. }
                | Change::Left { node, .. } => node == from,
                _ => false,
            };
            if own {
                self.proposed.push(change);
            } else {
                self.drop_from(from, DropReason::Malformed);
            }
        }
    }
}

fn is_enforced(config: &ClusterConfig, group: GroupId) -> bool {
    config.group(group).is_some_and(|group| config.is_enforced(group))
}
