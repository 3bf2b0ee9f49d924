//! How each change becomes true, or is passed over.

use super::{
    Database, GroupRecord, LOADS_MAX, NodeRecord, NodeState, OwnedState, Ownership, Vacancy,
};
use crate::change::{
    Cause, Change, ChangeSet, Desire, DownCause, FenceKind, GroupReport, ReleaseKind,
};
use crate::config::GroupConfig;
use crate::id::{Epoch, GroupId, Incarnation, NodeId, SaveToken};
use crate::notice::Notice;
use crate::placement;
use crate::plant::{self, Plant};
use crate::time::millis;

impl Database {
    /// Applies the changes committed at `index`, in order. What does not fit is passed over.
    pub fn apply(&mut self, index: u64, set: &ChangeSet, notices: &mut Vec<Notice>) {
        self.applied = index;
        self.at_ms = self.at_ms.max(set.at_ms);
        for change in &set.changes {
            self.apply_one(index, change, notices);
        }
    }

    /// An entry without changes.
    pub fn pass(&mut self, index: u64) {
        self.applied = index;
    }

    fn apply_one(&mut self, index: u64, change: &Change, notices: &mut Vec<Notice>) {
        match *change {
            Change::Admit { node, incarnation } => self.admit(index, node, incarnation, notices),
            Change::Down { node, incarnation, cause } => {
                self.down(index, node, incarnation, cause, notices);
            }
            Change::Fenced { node, incarnation, kind, .. } => {
                self.fenced(index, node, incarnation, kind, notices);
            }
            Change::Rejoin { voter } => {
                self.voters.insert(voter.node(), voter);
            }
            Change::Pause { node, drain, empty } => {
                self.pause(node, true, (drain, empty), notices);
            }
            Change::Resume { node, failback } => {
                self.end_quarantine(node, notices);
                self.pause(node, false, (false, false), notices);
                self.return_to(node, failback);
            }
            Change::EndDrain { node } => self.pause(node, false, (false, false), notices),
            Change::Leave { node, incarnation, keep } => {
                self.leave(node, incarnation, keep, notices);
            }
            Change::Left { node, incarnation } => self.left(index, node, incarnation, notices),
            Change::Assign { group, epoch, owner, incarnation, cause } => {
                self.assign(group, epoch, (owner, incarnation), cause, notices);
            }
            Change::Release { group, epoch, to, kind, cause } => {
                self.release(group, epoch, to, kind, cause, notices);
            }
            Change::Report { group, epoch, node, incarnation, report } => {
                self.report(group, epoch, (node, incarnation), report, notices);
                self.fence_deadlocked(index, group, (node, incarnation), report, notices);
            }
            Change::Desire { group, desire } => self.desire(group, desire),
            Change::HoldMoves { held } => self.moves_held = held,
            Change::Disarm { mode, ttl_ms } => self.disarm(mode, ttl_ms, notices),
            Change::Arm => self.arm(notices),
            Change::EndQuarantine { node } => self.outlive_quarantine(node, notices),
            Change::Starts => self.seat_the_persistent(),
            Change::Witnessed { made } => {
                self.witness.get_or_insert(made);
            }
            Change::CountFailures { group, node, count } => self.set_failures(group, node, count),
            Change::Load { group, ref load } => self.set_load(group, load),
            Change::Seat { group, node } => self.seat(group, node),
            Change::LetCoordinate { node, may } => self.let_coordinate(node, may),
            Change::AddGroup(ref new) => self.add_group(index, new),
            Change::RemoveGroup { group } => self.remove_group(index, group),
            Change::Configure(ref new) => self.configure(index, new),
            Change::AddNode(ref new) => self.add_node(index, new),
            Change::Evict { node } => self.begin_eviction(node, notices),
            Change::Vote { node, votes } => self.vote(index, node, votes),
            Change::WitnessVote => self.settle_witness(index),
            Change::Evicted { node } => self.end_eviction(index, node, notices),
            Change::Paths { node, incarnation, ref away } => {
                self.note_paths(node, incarnation, away, notices);
            }
        }
    }

    fn admit(
        &mut self,
        index: u64,
        node: NodeId,
        incarnation: Incarnation,
        notices: &mut Vec<Notice>,
    ) {
        let Some(record) = self.nodes.get_mut(&node) else { return };
        let again = plant::is(Plant::SameIncarnationReadmitted)
            && incarnation == record.incarnation
            && record.state != NodeState::Up;
        if record.is_shut_out(incarnation) || incarnation <= record.incarnation && !again {
            return;
        }
        let old = record.incarnation;
        record.incarnation = incarnation;
        record.state = NodeState::Up;
        record.since = index;
        record.leaving = false;
        record.keeps = false;
        record.reluctant &= incarnation.boot == old.boot;
        self.away.remove(&node);
        self.vacate(node, old, FenceKind::Returned);
        self.ask_of_strays(node, old, incarnation);
        notices.push(Notice::Up { node, incarnation });
    }

    pub(super) fn down(
        &mut self,
        index: u64,
        node: NodeId,
        incarnation: Incarnation,
        cause: DownCause,
        notices: &mut Vec<Notice>,
    ) {
        let Some(record) = self.nodes.get_mut(&node) else { return };
        if !record.is_up_as(incarnation) {
            return;
        }
        record.state = NodeState::Down(cause);
        record.since = index;
        notices.push(Notice::Down { node, incarnation, cause });
        if cause != DownCause::Ordered {
            self.note_down(node, notices);
        }
    }

    fn fenced(
        &mut self,
        index: u64,
        node: NodeId,
        incarnation: Incarnation,
        kind: FenceKind,
        notices: &mut Vec<Notice>,
    ) {
        let of_the_host = matches!(kind, FenceKind::Human | FenceKind::Agent);
        let of_strays = kind == FenceKind::Human && self.has_strays(node);
        let state = self.nodes.get(&node).map(|record| record.state);
        let fits = match state {
            Some(NodeState::Down(_)) => true,
            Some(NodeState::Fenced(FenceKind::LeaseOver)) => of_the_host,
            // What may run there unasked outlives every other proof.
            Some(NodeState::Fenced(_) | NodeState::Absent) | None => of_strays,
            Some(NodeState::Up) => false,
        };
        let known = self.nodes.get_mut(&node);
        let is_other = known.as_ref().is_some_and(|record| record.incarnation != incarnation);
        if !fits || is_other {
            return;
        }
        let proven = matches!(state, Some(NodeState::Down(_) | NodeState::Fenced(_)));
        if let Some(record) = known.filter(|_| proven) {
            record.state = NodeState::Fenced(kind);
            record.since = index;
        }
        self.vacate(node, incarnation, kind);
        notices.push(Notice::Fenced { node, incarnation, kind });
    }

    fn leave(
        &mut self,
        node: NodeId,
        incarnation: Incarnation,
        keep: bool,
        notices: &mut Vec<Notice>,
    ) {
        let Some(record) = self.nodes.get_mut(&node) else { return };
        if record.is_up_as(incarnation) && !record.leaving {
            record.leaving = true;
            record.keeps = keep;
            notices.push(Notice::Paused { node, paused: true });
        }
    }

    fn left(
        &mut self,
        index: u64,
        node: NodeId,
        incarnation: Incarnation,
        notices: &mut Vec<Notice>,
    ) {
        let owned = |record: &GroupRecord| record.owner() == Some((node, incarnation));
        if self.groups.values().any(owned) {
            return;
        }
        let Some(record) = self.nodes.get_mut(&node) else { return };
        if record.is_up_as(incarnation) {
            let kind = FenceKind::Left;
            record.state = NodeState::Fenced(kind);
            record.since = index;
            notices.push(Notice::Fenced { node, incarnation, kind });
        }
    }

    /// A lease that is over proves nothing about a group that its owner could not stop: it may run
    /// on.
    pub(super) fn vacate(&mut self, node: NodeId, incarnation: Incarnation, kind: FenceKind) {
        for (&id, record) in &mut self.groups {
            let stuck = record.owned_state() == Some(OwnedState::StopFailed)
                && !plant::is(Plant::StuckCountsAsFenced);
            let takes_more =
                self.config.group(id).is_some_and(|one| one.wishes.fence_agent_required)
                    && !plant::is(Plant::AgentNotAwaited);
            let freed = !((stuck || takes_more) && kind == FenceKind::LeaseOver);
            // Nobody answers for what somebody has started by hand, neither a lease that is over nor an engine that is
            // back; nor an agent, which may have ended the host before that was started.
            let vouched = kind == FenceKind::Human;
            if vouched {
                record.strays.retain(|&one, as_this| one != node || *as_this > incarnation);
            }
            if freed && record.owner() == Some((node, incarnation)) {
                if record.is_unheard_of() && !vouched {
                    record.strays.insert(node, incarnation);
                }
                record.ownership = Ownership::Vacant(Vacancy::Fenced { node, kind });
                record.cause = Cause::NodeDown;
                let by_hand = |group: &GroupConfig| group.wishes.started_by_hand;
                if record.is_wanted() && self.config.group(id).is_some_and(by_hand) {
                    record.desire = Desire::Offline;
                }
            }
        }
    }

    /// What proves, at this place of the log, that the group may get a new owner.
    fn vacancy(&self, group: GroupId) -> Option<Vacancy> {
        let record = self.groups.get(&group).filter(|_| self.stray_awaited(group).is_none())?;
        match record.ownership {
            Ownership::Vacant(vacancy) => Some(vacancy),
            Ownership::Owned { node, incarnation, .. } => {
                let record = self.nodes.get(&node)?;
                let config = self.config.group(group)?;
                let down = matches!(record.state, NodeState::Down(_) | NodeState::Fenced(_));
                let fenced = self.is_freed_by_luns(config) || plant::is(Plant::StartBeforeFence);
                if plant::is(Plant::StartBeforeFence) && down {
                    return Some(Vacancy::Stopped { node });
                }
                (down && record.incarnation == incarnation && fenced)
                    .then_some(Vacancy::StorageFence { node })
            }
        }
    }

    fn assign(
        &mut self,
        group: GroupId,
        epoch: Epoch,
        (owner, incarnation): (NodeId, Incarnation),
        cause: Cause,
        notices: &mut Vec<Notice>,
    ) {
        let Some(vacancy) = self.vacancy(group) else { return };
        if !self.is_up_as(owner, incarnation) {
            return;
        }
        let Some(record) = self.groups.get_mut(&group) else { return };
        if epoch.0 != record.epoch.0 + 1 && !plant::is(Plant::EpochNotRaised) {
            return;
        }
        if plant::is(Plant::SaveStaysUsable) && record.loads == u32::MAX {
            record.saved = Some(SaveToken::new(group, Epoch(record.epoch.0 - 1)));
            record.loads = 0;
        }
        record.epoch = epoch;
        record.cause = cause;
        record.seat = Some(owner);
        record.drained_from = record.drained_from.filter(|&from| from != owner);
        if record.failed_until.take().is_some() {
            record.unreached.clear();
        }
        record.kept_until = None;
        (record.degraded, record.stays) = (false, false);
        if cause == Cause::Move {
            record.chosen = Some(owner);
        }
        record.begins_anew = false;
        if record.held_by.is_some_and(|holder| holder != (owner, incarnation)) {
            record.saved = None;
            record.held_by = None;
        }
        if record.saved.is_some() {
            record.loads += 1;
            if record.loads > LOADS_MAX {
                record.saved = None;
            }
        }
        record.ownership =
            Ownership::Owned { node: owner, incarnation, state: OwnedState::Starting, vacancy };
        let cause = if plant::is(Plant::CauseLost) { Cause::Start } else { cause };
        notices.push(Notice::Assigned { group, owner, epoch, cause });
    }

    fn release(
        &mut self,
        group: GroupId,
        epoch: Epoch,
        to: Option<NodeId>,
        kind: ReleaseKind,
        cause: Cause,
        notices: &mut Vec<Notice>,
    ) {
        let Some(record) = self.groups.get_mut(&group) else { return };
        if record.epoch != epoch {
            return;
        }
        let Ownership::Owned { node, state, .. } = &mut record.ownership else { return };
        match state {
            OwnedState::Starting | OwnedState::Online => {
                *state = OwnedState::Releasing { to, kind, cause };
                record.cause = cause;
                let drains = self.nodes.get(node).is_some_and(|one| one.draining);
                if cause == Cause::Drain && drains {
                    record.drained_from.get_or_insert(*node);
                }
                notices.push(Notice::Releasing { group, epoch, cause });
            }
            OwnedState::Releasing { .. } | OwnedState::StopFailed => {}
        }
    }

    fn report(
        &mut self,
        group: GroupId,
        epoch: Epoch,
        (owner, owner_incarnation): (NodeId, Incarnation),
        report: GroupReport,
        notices: &mut Vec<Notice>,
    ) {
        if matches!(report, GroupReport::Stray | GroupReport::StrayEnded) {
            return self.stray(group, (owner, owner_incarnation), report, notices);
        }
        let Some(record) = self.groups.get_mut(&group) else { return };
        let stale = record.epoch != epoch || record.owner() != Some((owner, owner_incarnation));
        if stale && !plant::is(Plant::StaleReportTaken) {
            return;
        }
        let Ownership::Owned { state, vacancy, .. } = &mut record.ownership else { return };
        match report {
            GroupReport::Online | GroupReport::Degraded => {
                let degraded = report == GroupReport::Degraded;
                match state {
                    OwnedState::Starting => {
                        *state = OwnedState::Online;
                        record.held_by = None;
                        vacancy.note_heard();
                    }
                    OwnedState::Online if record.degraded != degraded => {}
                    OwnedState::Online | OwnedState::Releasing { .. } | OwnedState::StopFailed => {
                        return;
                    }
                }
                record.degraded = degraded;
                record.unreached.clear();
            }
            GroupReport::Consumed => {
                if record.saved.take().is_none() {
                    return;
                }
                record.loads = if plant::is(Plant::SaveStaysUsable) { u32::MAX } else { 0 };
            }
            GroupReport::StopFailed if plant::is(Plant::StuckCountsAsFenced) => {
                return self.free_stuck(group, owner, notices);
            }
            GroupReport::StopFailed | GroupReport::Deadlocked => *state = OwnedState::StopFailed,
            // As far as others go that need it, it starts anew.
            GroupReport::Restarting => match state {
                OwnedState::Online => *state = OwnedState::Starting,
                OwnedState::Starting | OwnedState::Releasing { .. } | OwnedState::StopFailed => {
                    return;
                }
            },
            GroupReport::Gone { to } => return self.found(group, owner, to, report, notices),
            GroupReport::Stray | GroupReport::StrayEnded => return,
            GroupReport::Kept => match state {
                OwnedState::Releasing { .. } => {
                    *state = OwnedState::Online;
                    vacancy.note_heard();
                    record.kept_until =
                        Some(self.at_ms.saturating_add(millis(self.config.timing().detect)));
                }
                OwnedState::Starting | OwnedState::Online | OwnedState::StopFailed => return,
            },
            GroupReport::Vacated { .. } => {
                return self.vacated(group, owner, report, notices);
            }
        }
        notices.push(Notice::Group { group, epoch, node: owner, report });
    }

    /// A mistake made on purpose: what its owner could not end gets another.
    fn free_stuck(&mut self, group: GroupId, owner: NodeId, notices: &mut Vec<Notice>) {
        let Some(record) = self.groups.get_mut(&group) else { return };
        let kind = FenceKind::LeaseOver;
        record.ownership = Ownership::Vacant(Vacancy::Fenced { node: owner, kind });
        let (epoch, report) = (record.epoch, GroupReport::StopFailed);
        notices.push(Notice::Group { group, epoch, node: owner, report });
        self.count_failure(group, (owner, 1), notices);
    }

    /// A planned move: the next owner is entitled by the very word of the last one.
    pub(super) fn pass_on(
        &mut self,
        group: GroupId,
        next: Option<(NodeId, Cause)>,
        notices: &mut Vec<Notice>,
    ) {
        let Some((to, cause)) = next else { return };
        // Another configuration may be in force by now than when it was released.
        let config = self.config.group(group);
        if !config.is_some_and(|group| placement::is_possible(group, to)) {
            return;
        }
        let Some(record) = self.groups.get(&group) else { return };
        // What has come as it runs is there, though the node is to be empty by now.
        let open = |target: &&NodeRecord| {
            let holds = record.held_by == Some((to, target.incarnation));
            self.is_open(to) || holds && self.is_up_as(to, target.incarnation)
        };
        let Some(target) = self.nodes.get(&to).filter(open).copied() else {
            return;
        };
        let arrives = record.held_by == Some((to, target.incarnation));
        if !record.is_wanted() {
            return;
        }
        if !arrives && self.taken_by(group, to).is_some() {
            // A rule has come since: where it goes now is decided anew.
            return;
        }
        if !arrives && !self.has_room(group, to) {
            // It belongs there from now on, and starts once what leaves that node is gone.
            let Some(record) = self.groups.get_mut(&group) else { return };
            record.seat = Some(to);
            if cause == Cause::Move {
                record.chosen = Some(to);
            }
        } else {
            let raised = u64::from(!plant::is(Plant::EpochNotRaised));
            let epoch = Epoch(record.epoch.0 + raised);
            self.assign(group, epoch, (to, target.incarnation), cause, notices);
        }
    }

    /// It has failed on its owner so many times, one after the other, and is given up there.
    pub(super) fn count_failure(
        &mut self,
        group: GroupId,
        (owner, times): (NodeId, u32),
        notices: &mut Vec<Notice>,
    ) {
        let Some(config) = self.config.group(group) else { return };
        let (threshold, period) = (config.failover_threshold, millis(config.failover_period));
        let retry = millis(config.retry_period);
        let now = self.at_ms;
        let Some(record) = self.groups.get_mut(&group) else { return };
        let on = record.failures_on.entry(owner).or_default();
        *on = (on.0.saturating_add(times), now);
        record.failures.retain(|&at| at.saturating_add(period) > now);
        if record.failures.is_empty() {
            record.failed_on.clear();
        }
        record.failures.push(now);
        record.cause = Cause::Failure;
        if !record.failed_on.contains(&owner) {
            record.failed_on.push(owner);
        }
        let most = usize::try_from(threshold).unwrap_or(usize::MAX);
        if record.failures.len() > most && !plant::is(Plant::ThresholdIgnored) {
            record.failures.clear();
            record.unreached.clear();
            record.failed_until = Some(now.saturating_add(retry));
            notices.push(Notice::GroupFailed { group });
        }
    }
}
