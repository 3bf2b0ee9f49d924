//! One group on this node, in one epoch: takes its LUNs, starts its resources in order, and gives
//! all back.
//!
//! ```text
//! Run:     LUNs held -> resources started in order -> online
//! GiveUp:  resources saved or stopped in reverse order -> LUNs released -> vacated
//! Abandon: everything killed at once -> LUNs released -> vacated
//! ```
//!
//! The goal only ever goes down this list, except that a group which could not be handed over runs on. What to do next
//! follows from where everything is: nothing here depends on the order of answers.
//!
//! *Architecture Invariant*: nothing starts without a [`StartPermit`], which takes a
//! [`VacancyProof`] and a [`LockProof`] for every LUN.

mod resource;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::change::{GroupReport, ReleaseKind};
use crate::config::GroupConfig;
use crate::database::Vacancy;
use crate::event::{LunFailure, LunReply};
use crate::id::{
    ClusterId, Epoch, GroupId, Incarnation, LunId, NodeId, OpId, ResourceId, SaveToken,
};
use crate::lock::{Lock, LockFailure, LockProof, LockState};
use crate::notice::Notice;
use crate::output::Output;
use crate::plant::{self, Plant};
use crate::time::{Instant, millis};
pub use resource::ResourceState;
use resource::{Outcome, Resource};

/// Nobody else runs the group, or can write for it. Made only here, from a committed ownership.
#[derive(Debug, PartialEq, Eq)]
pub struct VacancyProof {
    epoch: Epoch,
}

impl VacancyProof {
    /// A storage fence is a proof only together with the locks on all LUNs of the group.
    fn new(vacancy: Vacancy, epoch: Epoch, luns: &[LunId], locks: &[LockProof]) -> Option<Self> {
        let proven = match vacancy {
            Vacancy::NeverOwned
            | Vacancy::Stopped { .. }
            | Vacancy::Found { .. }
            | Vacancy::Fenced { .. } => true,
            Vacancy::StorageFence { .. } => !luns.is_empty() && all_locked(luns, epoch, locks),
        };
        proven.then_some(Self { epoch })
    }
}

/// Everything that the start of a group needs.
#[derive(Debug, PartialEq, Eq)]
pub struct StartPermit {
    _private: (),
}

impl StartPermit {
    fn new(
        vacancy: &VacancyProof,
        epoch: Epoch,
        luns: &[LunId],
        locks: &[LockProof],
    ) -> Option<Self> {
        (vacancy.epoch == epoch && all_locked(luns, epoch, locks)).then_some(Self { _private: () })
    }
}

fn all_locked(luns: &[LunId], epoch: Epoch, locks: &[LockProof]) -> bool {
    luns.iter().all(|&lun| locks.iter().any(|lock| lock.lun() == lun && lock.epoch() == epoch))
}

/// Who has not answered in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// A resource.
    Resource(ResourceId),
    /// A LUN.
    Lun(LunId),
}

/// What the group is to come to here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Goal {
    /// Be online.
    Run,
    /// Stop in order, or be saved, and go.
    GiveUp,
    /// End at once.
    Abandon,
}

/// What a group needs to know of the rest to go on.
#[derive(Clone, Copy, Debug)]
pub struct Leave {
    /// This node may act.
    pub may_act: bool,
    /// The saved state that is committed and not consumed.
    pub saved: Option<SaveToken>,
    /// What has failed may be started again: whoever needs it knows that it has.
    pub may_restart: bool,
}

/// Whose ownership this is.
#[derive(Clone, Copy, Debug)]
pub struct Entitlement {
    /// The cluster.
    pub cluster: ClusterId,
    /// This node.
    pub node: NodeId,
    /// This node's incarnation.
    pub incarnation: Incarnation,
    /// The group's epoch.
    pub epoch: Epoch,
    /// What proved that nobody else had it.
    pub vacancy: Vacancy,
    /// Every LUN of the group refuses a stale writer by itself.
    pub enforced: bool,
}

/// The group.
#[derive(Debug)]
pub struct LocalGroup {
    id: GroupId,
    entitlement: Entitlement,
    goal: Goal,
    save: bool,
    /// To whom it goes.
    to: Option<NodeId>,
    /// It could not be handed over.
    kept: bool,
    /// A resource that was online has failed, and not all that should be is online again.
    restarting: bool,
    /// How often it failed until it was given up for that; 0: it was not.
    failures: u32,
    /// It was given up since a LUN cannot be reached.
    luns_away: bool,
    /// Where somebody has moved it.
    gone_to: Option<NodeId>,
    resources: BTreeMap<ResourceId, Resource>,
    locks: BTreeMap<LunId, Lock>,
    luns: Vec<LunId>,
}

impl LocalGroup {
    /// A group that this node owns from now on.
    ///
    /// `is_part` says which of its LUNs are parts of one.
    pub fn new(
        config: &GroupConfig,
        entitlement: Entitlement,
        is_part: impl Fn(LunId) -> bool,
    ) -> Self {
        let Entitlement { cluster, node, incarnation, epoch, enforced, .. } = entitlement;
        let lock = |&lun| {
            let lock = Lock::new(lun, cluster, node, epoch, incarnation);
            (lun, lock.enforced(enforced).part(is_part(lun)))
        };
        let resource =
            |one: &crate::config::ResourceConfig| (one.id, Resource::new(one.clone(), epoch));
        Self {
            id: config.id,
            entitlement,
            goal: Goal::Run,
            save: false,
            to: None,
            kept: false,
            restarting: false,
            failures: 0,
            luns_away: false,
            gone_to: None,
            resources: config.resources.iter().map(resource).collect(),
            locks: config.luns.iter().map(lock).collect(),
            luns: config.luns.clone(),
        }
    }

    /// One that an earlier engine has started here.
    pub fn inherited(
        config: &GroupConfig,
        entitlement: Entitlement,
        is_part: impl Fn(LunId) -> bool,
    ) -> Self {
        let mut group = Self::new(config, entitlement, is_part);
        group.resources.values_mut().for_each(Resource::inherit);
        group
    }

    /// Its number.
    pub fn id(&self) -> GroupId {
        self.id
    }

    /// Its epoch.
    pub fn epoch(&self) -> Epoch {
        self.entitlement.epoch
    }

    /// The incarnation that owns it.
    pub fn incarnation(&self) -> Incarnation {
        self.entitlement.incarnation
    }

    /// What it is to come to.
    pub fn goal(&self) -> Goal {
        self.goal
    }

    /// Each resource and how far it is.
    pub fn resources(&self) -> impl Iterator<Item = (ResourceId, ResourceState)> + '_ {
        self.resources.iter().map(|(&id, resource)| (id, resource.state))
    }

    /// Each LUN and how far its lock is.
    pub fn locks(&self) -> impl Iterator<Item = (LunId, LockState)> + '_ {
        self.locks.iter().map(|(&id, lock)| (id, lock.state()))
    }

    /// Requests that have not been answered: their op numbers, and whether a LUN or a resource was
    /// asked.
    pub fn waits_for(&self) -> Vec<OpId> {
        let locks = self.locks.values().filter_map(Lock::waits_for);
        locks.chain(self.resources.values().filter_map(Resource::waits_for)).collect()
    }

    /// The owner is asked to let go.
    pub fn give_up(&mut self, kind: ReleaseKind, to: Option<NodeId>) {
        if self.goal == Goal::Run {
            self.goal = Goal::GiveUp;
            self.save = kind == ReleaseKind::Move;
            self.to = to;
        }
    }

    /// The owner keeps it, if it could not be handed over.
    pub fn keep(&mut self) {
        if self.goal == Goal::GiveUp && self.kept {
            self.goal = Goal::Run;
            self.save = false;
            self.kept = false;
        }
    }

    /// This node may not run it any more.
    pub fn abandon(&mut self) {
        self.goal = Goal::Abandon;
    }

    /// A LUN is no longer ours: the guest must not go on.
    pub fn on_lun_lost(&mut self, lun: LunId, why: LockFailure) {
        if plant::is(Plant::LunLossIgnored) {
            return;
        }
        if let Some(lock) = self.locks.get_mut(&lun) {
            lock.lose(why);
            if plant::is(Plant::LaterOwnerPreempted) {
                return;
            }
            self.luns_away |= why == LockFailure::Unreachable && self.failures == 0;
            self.failures = self.failures.max(1);
            self.abandon();
        }
    }

    /// The answer of a LUN. False: it no longer matters.
    pub fn on_lun(
        &mut self,
        lun: LunId,
        op: OpId,
        result: &Result<LunReply, LunFailure>,
        out: &mut Output,
    ) -> bool {
        self.locks.get_mut(&lun).is_some_and(|lock| lock.on_answer(op, result, out))
    }

    /// The answer of a resource. False: it no longer matters.
    pub fn on_resource(
        &mut self,
        id: ResourceId,
        op: OpId,
        result: &Result<(), String>,
        now: Instant,
        out: &mut Output,
    ) -> bool {
        let Some(resource) = self.resources.get_mut(&id) else { return false };
        let outcome = resource.on_answer(op, result, now, out);
        self.kept |= outcome == Outcome::Kept;
        outcome != Outcome::Stale
    }

    /// Somebody outside holds a resource. False: it no longer matters.
    pub fn on_busy(&mut self, id: ResourceId, op: OpId, now: Instant, out: &mut Output) -> bool {
        let resource = self.resources.get_mut(&id);
        resource.is_some_and(|resource| resource.on_busy(op, now, out) != Outcome::Stale)
    }

    /// Somebody has moved a resource away.
    pub fn on_moved(&mut self, id: ResourceId, to: NodeId, now: Instant, out: &mut Output) {
        if self.resources.len() > 1 {
            return self.on_trouble(id, now, out);
        }
        if let Some(resource) = self.resources.get_mut(&id) {
            resource.leave();
            self.gone_to = Some(to);
            self.goal = self.goal.max(Goal::GiveUp);
        }
    }

    /// A resource is no longer well.
    pub fn on_trouble(&mut self, id: ResourceId, now: Instant, out: &mut Output) {
        let Some(resource) = self.resources.get_mut(&id) else { return };
        match resource.state {
            ResourceState::Offline
            | ResourceState::Killing
            | ResourceState::StopFailed
            | ResourceState::Failed => {}
            ResourceState::Online => {
                self.restarting = true;
                resource.fail(now, out);
            }
            ResourceState::Starting
            | ResourceState::Loading
            | ResourceState::Loaded
            | ResourceState::Running
            | ResourceState::Saving
            | ResourceState::Stopping => resource.fail(now, out),
        }
    }

    /// Whether something that was online has failed, and is being started again.
    pub fn is_restarting(&self) -> bool {
        self.restarting && self.goal == Goal::Run && !self.is_online() && !self.is_degraded()
    }

    /// A request has not been answered in time: whose it was, if it still mattered.
    pub fn on_overdue(&mut self, op: OpId, now: Instant, out: &mut Output) -> Option<Overdue> {
        for (&id, resource) in &mut self.resources {
            if resource.on_overdue(op, now, out) != Outcome::Stale {
                return Some(Overdue::Resource(id));
            }
        }
        let late = Err(LunFailure::Unreachable);
        let mut locks = self.locks.iter_mut();
        locks.find_map(|(&id, lock)| lock.on_answer(op, &late, out).then_some(Overdue::Lun(id)))
    }

    /// What could not be ended is tried again.
    pub fn kill_again(&mut self, out: &mut Output) {
        for resource in self.resources.values_mut() {
            if resource.state == ResourceState::StopFailed {
                resource.kill(out);
            }
        }
        self.locks.values_mut().for_each(|lock| lock.detach_again(out));
    }

    /// Asks for whatever is next.
    pub fn advance(&mut self, leave: Leave, now: Instant, out: &mut Output) {
        for (&resource, one) in &mut self.resources {
            if one.find_deadlock(now) {
                out.tell(Notice::Deadlocked { resource, fences: one.wants_fence() });
            }
        }
        self.restarting = self.is_restarting();
        match self.goal {
            Goal::Run => self.run(leave, now, out),
            Goal::GiveUp => self.wind_down(leave, now, out),
            Goal::Abandon => self.end(out),
        }
    }

    fn run(&mut self, leave: Leave, now: Instant, out: &mut Output) {
        let lost = |lock: &Lock| matches!(lock.state(), LockState::Lost(_));
        let away = |lock: &Lock| lock.state() == LockState::Lost(LockFailure::Unreachable);
        // What could not be ended has been told so to the cluster, and only the end of it all can take that back.
        if self.locks.values().any(lost)
            || self.resources.values().any(Resource::is_stuck)
            || self.resources.values().any(|resource| resource.is_exhausted(now))
        {
            let recent = self.resources.values().map(|one| one.recent_failures(now)).max();
            self.luns_away = self.failures == 0 && self.locks.values().any(away);
            self.failures = recent.unwrap_or_default().max(1);
            self.goal = Goal::GiveUp;
            return self.wind_down(leave, now, out);
        }
        let retakes = plant::is(Plant::LaterOwnerPreempted);
        if !leave.may_act && !plant::is(Plant::StartWithoutLease) && !retakes {
            return;
        }
        self.locks.values_mut().for_each(|lock| lock.acquire(out));
        if self.permit().is_none() || !leave.may_act && retakes {
            return;
        }
        self.rest(now, out);
        self.stop_what_lost_its_ground(out);
        let online: Vec<ResourceId> = self.in_state(ResourceState::Online);
        // What has lost its ground ends before that is started again.
        let ending =
            |one: &&Resource| matches!(one.state, ResourceState::Stopping | ResourceState::Killing);
        let ending = self.resources.values().filter(ending);
        let awaited: Vec<ResourceId> = ending.flat_map(|one| one.config.grounds()).collect();
        for resource in self.resources.values_mut() {
            let ready = leave.may_restart
                && resource.config.is_grounded(|id| online.contains(id))
                && !awaited.contains(&resource.config.id)
                && resource.rests_until(now).is_none();
            match (resource.state, leave.saved) {
                (ResourceState::Offline, None) if ready => resource.start(out),
                (ResourceState::Offline, Some(token)) if ready => {
                    if resource.config.save_on_move || resource.config.live_on_move {
                        resource.load(token, out);
                    } else {
                        resource.start(out);
                    }
                }
                (ResourceState::Loaded, None) => resource.run(out),
                (ResourceState::Loaded, Some(_)) if plant::is(Plant::RunsBeforeConsumed) => {
                    resource.run(out);
                }
                _ => {}
            }
        }
    }

    /// What is left failed rests, and what has rested is tried again.
    fn rest(&mut self, now: Instant, out: &mut Output) {
        for (&resource, one) in &mut self.resources {
            if let Some(length) = one.rest(now) {
                let retry_in_ms = length.map(millis);
                out.tell(Notice::LeftFailed { resource, retry_in_ms });
            }
        }
    }

    fn permit(&self) -> Option<StartPermit> {
        if plant::is(Plant::LocksNotAwaited) {
            return Some(StartPermit { _private: () });
        }
        let locks: Vec<LockProof> = self.locks.values().filter_map(Lock::proof).collect();
        let Entitlement { vacancy, epoch, .. } = self.entitlement;
        let vacancy = VacancyProof::new(vacancy, epoch, &self.luns, &locks)?;
        StartPermit::new(&vacancy, epoch, &self.luns, &locks)
    }

    /// A resource whose ground has failed cannot stay online: it is stopped, and started again
    /// after its ground.
    fn stop_what_lost_its_ground(&mut self, out: &mut Output) {
        let online: Vec<ResourceId> = self.in_state(ResourceState::Online);
        for resource in self.resources.values_mut() {
            let grounded = resource.config.is_grounded(|id| online.contains(id));
            if resource.state == ResourceState::Online && !grounded {
                resource.stop(out);
            }
        }
    }

    fn wind_down(&mut self, leave: Leave, now: Instant, out: &mut Output) {
        let token = SaveToken::new(self.id, self.entitlement.epoch);
        let active: Vec<ResourceId> = self
            .resources
            .values()
            .filter(|resource| !resource.is_down())
            .flat_map(|resource| resource.config.grounds())
            .collect();
        for (id, resource) in &mut self.resources {
            if active.contains(id) {
                continue;
            }
            // What was saved and is consumed lives here alone: it runs on, to be saved again.
            let handed_over = resource.config.save_on_move || resource.config.live_on_move;
            let keep = self.save && self.failures == 0 && leave.may_act && handed_over;
            let live = self.to.filter(|_| self.save && resource.config.live_on_move);
            match resource.state {
                ResourceState::Online if self.kept || resource.is_held_until(now).is_some() => {}
                ResourceState::Online if live.is_some() => {
                    live.into_iter().for_each(|to| resource.send(token, to, out));
                }
                ResourceState::Online if self.save && resource.config.save_on_move => {
                    resource.save(token, out);
                }
                ResourceState::Online => resource.stop(out),
                ResourceState::Loaded if keep && leave.saved.is_none() => resource.run(out),
                ResourceState::Running if keep => {}
                ResourceState::Starting
                | ResourceState::Loading
                | ResourceState::Loaded
                | ResourceState::Running => resource.kill(out),
                ResourceState::Offline
                | ResourceState::Saving
                | ResourceState::Stopping
                | ResourceState::Killing
                | ResourceState::StopFailed
                | ResourceState::Failed => {}
            }
        }
        self.release_when_stopped(out);
    }

    fn end(&mut self, out: &mut Output) {
        for resource in self.resources.values_mut() {
            if resource.state != ResourceState::StopFailed {
                resource.kill(out);
            }
        }
        self.release_when_stopped(out);
    }

    fn release_when_stopped(&mut self, out: &mut Output) {
        if self.is_stopped() {
            self.locks.values_mut().for_each(|lock| lock.release(out));
        }
    }

    /// When the first of the resources that have failed, or were held outside, may be asked again.
    pub fn rests_until(&self, now: Instant) -> Option<Instant> {
        let rests = |resource: &Resource| match self.goal {
            Goal::Run => resource.rests_until(now),
            Goal::GiveUp => resource.is_held_until(now),
            Goal::Abandon => None,
        };
        let deadlocks = self.resources.values().filter_map(Resource::deadlock_at);
        self.resources.values().filter_map(rests).chain(deadlocks).min()
    }

    fn in_state(&self, state: ResourceState) -> Vec<ResourceId> {
        let found = self.resources.iter().filter(|(_, resource)| resource.state == state);
        found.map(|(&id, _)| id).collect()
    }

    /// Everything in it is online.
    pub fn is_online(&self) -> bool {
        self.goal == Goal::Run
            && self.resources.values().all(|resource| resource.state == ResourceState::Online)
    }

    /// A resource is left failed, and everything that does not need it is online.
    pub fn is_degraded(&self) -> bool {
        let online: Vec<ResourceId> = self.in_state(ResourceState::Online);
        let settled = |one: &Resource| {
            matches!(one.state, ResourceState::Online | ResourceState::Failed)
                || one.state == ResourceState::Offline
                    && !one.config.is_grounded(|id| online.contains(id))
        };
        self.goal == Goal::Run
            && !self.in_state(ResourceState::Failed).is_empty()
            && self.resources.values().all(settled)
    }

    /// It is online without LUNs, and nothing was asked that has not been answered: it can do without its engine.
    pub fn is_at_rest(&self) -> bool {
        self.is_online() && self.locks.is_empty() && self.waits_for().is_empty()
    }

    /// Nothing of it runs here, and none of its LUNs was asked for anything.
    pub fn is_untouched(&self) -> bool {
        self.is_stopped() && self.locks.values().all(|lock| lock.state() == LockState::Unregistered)
    }

    /// Nothing of it runs here.
    pub fn is_stopped(&self) -> bool {
        let stopped = |state| {
            matches!(state, ResourceState::Offline | ResourceState::Failed)
                || state == ResourceState::Killing && plant::is(Plant::StoppingCountsAsStopped)
        };
        self.resources.values().all(|resource| stopped(resource.state))
    }

    /// Nothing of it runs here and its LUNs are given back.
    pub fn is_gone(&self) -> bool {
        self.goal != Goal::Run
            && self.is_stopped()
            && self.locks.values().all(|lock| lock.state() == LockState::Released)
    }

    /// What the cluster should know about it.
    pub fn report(&self, saved: Option<SaveToken>) -> Option<GroupReport> {
        if let Some(to) = self.gone_to.filter(|_| self.is_gone()) {
            return Some(GroupReport::Gone { to });
        }
        if self.is_gone() {
            let saves = self.resources.values().filter_map(|resource| resource.saved);
            let saved = saves.max().filter(|_| self.failures == 0);
            let (failures, luns_away) = (self.failures, self.luns_away);
            return Some(GroupReport::Vacated { saved, failures, luns_away });
        }
        if self.kept && self.goal == Goal::GiveUp {
            return Some(GroupReport::Kept);
        }
        let in_state = |state| self.resources.values().any(|one| one.state == state);
        if self.resources.values().any(Resource::wants_fence) {
            Some(GroupReport::Deadlocked)
        } else if self.resources.values().any(Resource::is_stuck) {
            Some(GroupReport::StopFailed)
        } else if in_state(ResourceState::Loaded) && saved.is_some() && self.goal == Goal::Run {
            Some(GroupReport::Consumed)
        } else if self.is_online() {
            Some(GroupReport::Online)
        } else if self.is_degraded() {
            Some(GroupReport::Degraded)
        } else if self.is_restarting() {
            Some(GroupReport::Restarting)
        } else {
            None
        }
    }
}
