//! The groups that this node owns: made from the database, driven by completions, reported back.

use super::{Engine, Said, order};
use crate::action::{Action, ResourceVerb};
use crate::change::{Change, GroupReport};
use crate::config::ClusterConfig;
use crate::database::{GroupRecord, OwnedState, Ownership, Vacancy};
use crate::event::{LunFailure, LunReply, Trouble};
use crate::group::{Entitlement, Goal, Leave, LocalGroup, Overdue};
use crate::id::{Epoch, GroupId, LunId, NodeId, OpId, ResourceId};
use crate::lock::{LockFailure, LockState};
use crate::message::Message;
use crate::notice::{DropReason, Notice};
use crate::plant::{self, Plant};
use crate::timer::Timer;
use std::collections::BTreeSet;
use std::time::Duration;

/// A kill is certain or it has failed: it is waited for at least this long.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

impl Engine {
    pub(super) fn on_lun(&mut self, op: OpId, lun: LunId, result: &Result<LunReply, LunFailure>) {
        self.timers.clear(Timer::Op(op));
        if self.on_probe_answer(op, result) {
            return;
        }
        let id = self.config.group_of_lun(lun);
        let group = id.and_then(|id| self.groups.get_mut(&id));
        let held = group.and_then(|group| {
            let known = group.on_lun(lun, op, result, &mut self.out);
            let state = group.locks().find(|&(id, _)| id == lun).map(|(_, state)| state);
            known.then(|| (group.epoch(), state))
        });
        self.touched.extend(id);
        match held {
            None => self.drop_from(self.me, DropReason::StaleAnswer),
            Some((epoch, Some(LockState::Held))) => {
                self.out.tell(Notice::Lun { lun, epoch, held: true });
            }
            Some((epoch, Some(LockState::Lost(_)))) => {
                self.tell_lun_lost(lun, epoch);
            }
            Some(_) => {}
        }
    }

    pub(super) fn on_lun_lost(&mut self, lun: LunId, epoch: Epoch, why: LockFailure) {
        let id = self.config.group_of_lun(lun);
        let group = id.and_then(|id| self.groups.get_mut(&id));
        if let Some(group) = group.filter(|group| group.epoch() == epoch) {
            group.on_lun_lost(lun, why);
            self.tell_lun_lost(lun, epoch);
            self.touched.extend(id);
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
        let id = self.group_of_resource(resource);
        let group = id.and_then(|id| self.groups.get_mut(&id));
        let known =
            group.is_some_and(|group| group.on_resource(resource, op, result, now, &mut self.out));
        self.touched.extend(id);
        match result {
            _ if !known => self.drop_from(self.me, DropReason::StaleAnswer),
            Ok(()) => {}
            Err(detail) => self.tell_trouble(resource, Trouble::Reported, detail.clone()),
        }
    }

    pub(super) fn on_resource_moved(&mut self, resource: ResourceId, epoch: Epoch, to: NodeId) {
        let now = self.now;
        // A node that was taken out meanwhile has it all the same.
        let departed = self.database.as_ref().is_some_and(|database| database.has_departed(to));
        let known = (self.config.node(to).is_some() || departed) && to != self.me;
        let Some(id) = self.group_of_resource(resource).filter(|_| known) else { return };
        let group = self.groups.get_mut(&id).filter(|group| group.epoch() == epoch);
        if let Some(group) = group {
            group.on_moved(resource, to, now, &mut self.out);
            self.touched.insert(id);
        }
    }

    pub(super) fn on_resource_busy(&mut self, op: OpId, resource: ResourceId) {
        self.timers.clear(Timer::Op(op));
        let now = self.now;
        let id = self.group_of_resource(resource);
        let group = id.and_then(|id| self.groups.get_mut(&id));
        if !group.is_some_and(|group| group.on_busy(resource, op, now, &mut self.out)) {
            self.drop_from(self.me, DropReason::StaleAnswer);
        }
        self.touched.extend(id);
    }

    pub(super) fn on_resource_failed(
        &mut self,
        resource: ResourceId,
        epoch: Epoch,
        trouble: Trouble,
        detail: String,
    ) {
        let now = self.now;
        let Some(id) = self.group_of_resource(resource) else { return };
        let group = self.groups.get_mut(&id).filter(|group| group.epoch() == epoch);
        let Some(group) = group else { return };
        self.touched.insert(id);
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
        if self.persisting.remove(&op) {
            return self.on_persist_failed("the disk has not answered in time".to_owned());
        }
        if self.on_witness_overdue(op) || self.on_probe_answer(op, &Err(LunFailure::Unreachable)) {
            return;
        }
        let mut overdue = None;
        for group in self.groups.values_mut() {
            let found = group.on_overdue(op, now, &mut self.out);
            overdue = overdue.or(found.map(|what| (group.epoch(), what)));
        }
        self.touch_all();
        match overdue {
            Some((_, Overdue::Resource(resource))) => {
                self.tell_trouble(resource, Trouble::Reported, "no answer in time".to_owned());
            }
            Some((epoch, Overdue::Lun(lun))) => {
                self.tell_lun_lost(lun, epoch);
            }
            None => {}
        }
    }

    pub(super) fn group_of_resource(&self, resource: ResourceId) -> Option<GroupId> {
        self.config.resource(resource).map(|(group, _)| group.id)
    }

    /// Every group here is looked at again before the step ends, and every group that the database wants here.
    pub(super) fn touch_all(&mut self) {
        self.touched.extend(self.groups.keys());
        let wanted = |record: &GroupRecord| {
            record.owner().is_some_and(|(owner, _)| owner == self.me)
                || record.strays.contains_key(&self.me)
        };
        let groups = self.database.iter().flat_map(|database| database.groups());
        self.touched.extend(groups.filter(|(_, record)| wanted(record)).map(|(&id, _)| id));
    }

    /// How long the driver may take over a request; none: it is not waited for.
    pub(super) fn patience(&self, action: &Action) -> Option<(OpId, Duration)> {
        match action {
            Action::Lun { op, .. } | Action::Persist { op, .. } => {
                Some((*op, self.timing().io_bound * 2))
            }
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
                        | ResourceVerb::Save { .. }
                        | ResourceVerb::Send { .. } => pending,
                    },
                ))
            }
            // Later than that its answer helps neither a lease nor an election.
            Action::Witness { op, .. } => Some((*op, self.timing().detect / 2)),
            Action::SendBeat { .. }
            | Action::Send { .. }
            | Action::Answer { .. }
            | Action::Reincarnated { .. }
            | Action::Left
            | Action::Fence { .. }
            | Action::Evicted => None,
        }
    }

    /// Ends everything here, whatever it is at.
    pub(super) fn abandon_all(&mut self) {
        self.groups.values_mut().for_each(LocalGroup::abandon);
        self.touch_all();
    }

    /// Ends what runs without a lease, of groups whose LUNs are all enforced or of the others. What
    /// was just given to this node waits for its lease: to hand it back would only bring it back.
    pub(super) fn abandon_groups(&mut self, which: impl Fn(bool) -> bool) {
        for (&id, group) in &mut self.groups {
            let begun = group.goal() != Goal::Abandon && !group.is_untouched();
            if begun && which(is_enforced(&self.config, id)) {
                group.abandon();
                self.touched.insert(id);
            }
        }
    }

    /// Makes the groups that something has happened to agree with the database, and lets each ask
    /// for what is next. Returns which they were.
    pub(super) fn advance_groups(&mut self) -> BTreeSet<GroupId> {
        let may_act = self.may_act();
        if may_act != self.acting {
            self.acting = may_act;
            self.touch_all();
        }
        let mut touched = BTreeSet::new();
        while let Some(id) = self.touched.pop_first() {
            touched.insert(id);
            self.align_group(id);
            let record = self.database.as_ref().and_then(|database| database.group(id));
            let saved = record.and_then(|record| record.saved);
            let online = record.and_then(GroupRecord::owned_state) == Some(OwnedState::Online);
            let unheard = online && order::is_ground(&self.config, id);
            let Some(group) = self.groups.get_mut(&id) else { continue };
            let may_restart = !(unheard && group.is_restarting());
            group.advance(Leave { may_act, saved, may_restart }, self.now, &mut self.out);
            if let Some(until) = group.rests_until(self.now) {
                self.timers.set_sooner(Timer::Repeat, until);
            }
            let epoch = group.epoch();
            if group.is_gone() {
                self.align_group(id);
                let successor = self.groups.get(&id).filter(|group| group.epoch() != epoch);
                self.touched.extend(successor.map(LocalGroup::id));
            }
        }
        let settled = |group: &LocalGroup| group.goal() == Goal::Run && group.is_online();
        if !touched.is_empty() && !self.groups.values().all(settled) {
            self.timers.set_sooner(Timer::Repeat, self.now + self.timing().interval * 4);
        }
        touched
    }

    /// One group here as the database wants it: given up, abandoned, forgotten, or made.
    fn align_group(&mut self, id: GroupId) {
        let Some(database) = &self.database else { return };
        let (me, incarnation) = (self.me, self.incarnation);
        let record = database.group(id);
        if let Some(group) = self.groups.get_mut(&id) {
            let entitled = record.filter(|record| {
                record.epoch == group.epoch() && record.owner() == Some((me, group.incarnation()))
            });
            match entitled.map(GroupRecord::owned_state) {
                Some(state) if group.incarnation() == incarnation => match state {
                    Some(OwnedState::Releasing { kind, to, .. }) => group.give_up(kind, to),
                    Some(OwnedState::Online) => group.keep(),
                    Some(OwnedState::Starting | OwnedState::StopFailed) | None => {}
                },
                _ => group.abandon(),
            }
            if !group.is_gone() || entitled.is_some() {
                return;
            }
            self.groups.remove(&id);
            self.said.remove(&id);
            if self.say_stray_ended(id) {
                return;
            }
        } else if let Some(stray) = self.stray_to_end(id) {
            self.groups.insert(id, stray);
            return;
        }
        let Some(database) = &self.database else { return };
        let record = database.group(id);
        let Some(Ownership::Owned { node, incarnation: owner, state, vacancy }) =
            record.map(|record| record.ownership)
        else {
            return;
        };
        let begins = matches!(state, OwnedState::Starting | OwnedState::Releasing { .. });
        let mine = node == me && owner == incarnation && begins;
        if let (true, Some(record), Some(config)) = (mine, record, database.config().group(id)) {
            let (cluster, epoch) = (database.config().id(), record.epoch);
            let enforced = database.config().is_enforced(config);
            let entitlement = Entitlement { cluster, node, incarnation, epoch, vacancy, enforced };
            let is_part = |lun| database.config().is_part(lun);
            // What is to be stopped before it was ever asked for may run all the same.
            let found = matches!(vacancy, Vacancy::Found { .. });
            let mut group = match state {
                OwnedState::Releasing { .. } if found => {
                    LocalGroup::inherited(config, entitlement, is_part)
                }
                _ => LocalGroup::new(config, entitlement, is_part),
            };
            if let OwnedState::Releasing { kind, to, .. } = state {
                group.give_up(kind, to);
            }
            self.groups.insert(id, group);
            self.said.remove(&id);
        }
    }

    /// Says what the cluster should know about the groups here, and again until it is committed.
    pub(super) fn say_reports(&mut self, groups: &BTreeSet<GroupId>) {
        let Some(coordinator) = self.consensus.as_ref().and_then(|one| one.coordinator()) else {
            return;
        };
        let to = coordinator.node();
        let again = self.timing().interval * 4;
        let mut changes = Vec::new();
        for (group, epoch, report) in self.due_reports(groups) {
            self.timers.set_sooner(Timer::Repeat, self.now + again);
            let said = self.said.get(&group);
            let once = said.is_some() && plant::is(Plant::ReportSaidOnce);
            let fresh = once
                || said.is_some_and(|said| {
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
    fn due_reports(&self, groups: &BTreeSet<GroupId>) -> Vec<(GroupId, Epoch, GroupReport)> {
        let Some(database) = &self.database else { return Vec::new() };
        let due = groups.iter().filter_map(|id| self.groups.get(id)).filter_map(|group| {
            let record = database.group(group.id())?;
            let mine = record.owner() == Some((self.me, group.incarnation()));
            if !mine || record.epoch != group.epoch() {
                return None;
            }
            let report = group.report(record.saved)?;
            let shown = match report {
                GroupReport::Online => {
                    record.owned_state() != Some(OwnedState::Starting) && !record.degraded
                }
                GroupReport::Degraded => record.degraded,
                // To no avail where nobody else takes part.
                GroupReport::Deadlocked => {
                    let others = |node: &NodeId| *node != self.me && database.is_up(*node);
                    record.owned_state() == Some(OwnedState::StopFailed)
                        && !(database.is_up(self.me) && database.nodes().keys().any(others))
                }
                GroupReport::StopFailed => record.owned_state() == Some(OwnedState::StopFailed),
                GroupReport::Consumed => record.saved.is_none(),
                GroupReport::Restarting => {
                    record.owned_state() != Some(OwnedState::Online)
                        || !order::is_ground(database.config(), group.id())
                }
                GroupReport::Kept => {
                    !matches!(record.owned_state(), Some(OwnedState::Releasing { .. }))
                }
                GroupReport::Vacated { .. }
                | GroupReport::Gone { .. }
                | GroupReport::Stray
                | GroupReport::StrayEnded => false,
            };
            (!shown).then_some((group.id(), group.epoch(), report))
        });
        due.collect()
    }

    pub(super) fn on_repeat(&mut self) {
        for group in self.groups.values_mut() {
            group.kill_again(&mut self.out);
        }
        self.touch_all();
        self.expire_asked();
        self.repeat_leave();
    }

    /// Only what a node may say of itself is taken from it.
    pub(super) fn on_propose(&mut self, from: NodeId, changes: Vec<Change>) {
        for change in changes {
            let own = match change {
                Change::Report { node, .. }
                | Change::Leave { node, .. }
                | Change::Left { node, .. }
                | Change::Paths { node, .. } => node == from,
                Change::Witnessed { .. } => self.is_voter(from),
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
