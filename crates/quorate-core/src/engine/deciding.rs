//! What is next for each group: where placement wants it, from the database and the nodes that are alive, nothing else.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use super::holding::{self, Held, Traffic};
use super::order::Order;
use super::standing::{self, Times};
use crate::change::{Cause, Change, Desire, ReleaseKind};
use crate::config::GroupConfig;
use crate::database::{
    Database, GroupRecord, NodeRecord, NodeState, OwnedState, Ownership, Vacancy,
};
use crate::id::{Epoch, GroupId, NodeId};
use crate::notice::Hold;
use crate::placement::{self, Candidate};
use crate::plant::{self, Plant};
use crate::time::{Instant, millis};

/// One round of decisions about all groups.
pub(super) struct Deciding<'a> {
    pub(super) database: &'a Database,
    pub(super) candidates: BTreeMap<NodeId, Candidate>,
    pub(super) times: Times,
    /// Until when a cluster that has just formed waits for its other nodes.
    pub(super) forming: Option<Instant>,
    /// Nodes that go down by the very changes which come before.
    pub(super) falling: Vec<NodeId>,
    /// Who gets which node by what is decided in this round.
    pub(super) coming: Vec<(GroupId, NodeId)>,
    /// Groups that nowhere can run.
    pub(super) unplaced: Vec<GroupId>,
    /// What is under way.
    pub(super) traffic: Traffic,
    /// Groups that could run and wait, for the sake of the whole.
    pub(super) held: BTreeMap<GroupId, Held>,
    /// When to look again, though nothing happens.
    pub(super) review: Option<Instant>,
    pub(super) now: Instant,
}

impl Deciding<'_> {
    /// Adds what is due to `changes`, which come true before it.
    pub(super) fn decide_all(&mut self, changes: &mut Vec<Change>) {
        let mut touched: Vec<GroupId> = Vec::new();
        // Where those go that move by command is not in the plan: whoever might have to heed them waits for it.
        let moves = changes.iter().any(|change| matches!(change, Change::Release { .. }));
        for change in changes.iter() {
            match change {
                Change::Down { node, .. } | Change::Fenced { node, .. } => {
                    self.falling.push(*node);
                    self.traffic.lose(*node, self.times.cluster_ms);
                    if let Some(candidate) = self.candidates.get_mut(node) {
                        candidate.up = false;
                    }
                }
                Change::Report { group, .. }
                | Change::Release { group, .. }
                | Change::Desire { group, .. }
                | Change::Seat { group, .. }
                | Change::CountFailures { group, .. }
                | Change::Load { group, .. }
                | Change::Assign { group, .. } => touched.push(*group),
                // Decided about once it is there.
                Change::AddGroup(_) => {}
                Change::RemoveGroup { group } => touched.push(*group),
                // What is decided now must not be done after it.
                Change::Disarm { .. }
                | Change::Configure(_)
                | Change::AddNode(_)
                | Change::Evict { .. }
                | Change::Evicted { .. } => return,
                Change::Admit { .. }
                | Change::Rejoin { .. }
                | Change::Pause { .. }
                | Change::Resume { .. }
                | Change::EndDrain { .. }
                | Change::HoldMoves { .. }
                | Change::LetCoordinate { .. }
                | Change::EndQuarantine { .. }
                | Change::Starts
                | Change::Vote { .. }
                | Change::WitnessVote
                | Change::Witnessed { .. }
                | Change::Arm
                | Change::Paths { .. }
                | Change::Leave { .. }
                | Change::Left { .. } => {}
            }
        }
        let database = self.database;
        if database.disarmed().is_some() && !plant::is(Plant::DisarmIgnored) {
            return self.let_all_go(changes, &touched);
        }
        let now = standing::of(database, &self.falling, self.times);
        let plan = placement::plan(database.config(), &self.candidates, now);
        let order = Order::new(database, &plan);
        self.look_at_windows();
        for place in self.turns() {
            let config = &database.config().groups()[place];
            let Some(record) = database.group(config.id) else { continue };
            let ruled = !database.config().bonds().rules(place).is_empty();
            if touched.contains(&config.id) || moves && ruled {
                continue;
            }
            changes.extend(self.decide(config, record, &order));
        }
    }

    /// Who is decided about first: by priority, where not all can go at once.
    fn turns(&self) -> Vec<usize> {
        let config = self.database.config();
        let mut places: Vec<usize> = (0..config.groups().len()).collect();
        if holding::is_limited(&config.policy().limits) {
            places.sort_by_key(|&place| Reverse(config.groups()[place].wishes.priority));
        }
        places
    }

    /// Looks again when the next window opens in which a group may fail back.
    fn look_at_windows(&mut self) {
        let groups = self.database.config().groups().iter();
        let timed = groups.filter(|group| group.failback && group.wishes.failback_hours.is_some());
        let opens = timed.filter_map(|group| standing::opens_in(group, self.times));
        if let Some(left) = opens.filter(|&left| left > 0).min() {
            self.look_again(self.now + Duration::from_secs(left));
        }
    }

    /// Though nothing else is done: a node that is about to end has to end what it runs, or that would be killed.
    fn let_all_go(&self, changes: &mut Vec<Change>, touched: &[GroupId]) {
        for (&group, record) in self.database.groups() {
            if !touched.contains(&group) {
                changes.extend(self.let_go(group, record));
            }
        }
    }

    fn let_go(&self, group: GroupId, record: &GroupRecord) -> Option<Change> {
        let Ownership::Owned { node, incarnation, state, .. } = record.ownership else {
            return None;
        };
        let owner = self.database.node(node)?;
        let runs = matches!(state, OwnedState::Starting | OwnedState::Online);
        let leaves = owner.is_up_as(incarnation) && owner.leaving;
        let (epoch, kind, cause) = (record.epoch, ReleaseKind::Stop, Cause::Drain);
        (runs && leaves).then_some(Change::Release { group, epoch, to: None, kind, cause })
    }

    fn decide(
        &mut self,
        config: &GroupConfig,
        record: &GroupRecord,
        order: &Order<'_>,
    ) -> Option<Change> {
        match record.ownership {
            Ownership::Vacant(_) if record.desire == Desire::Offline => self.reseat(config, record),
            Ownership::Vacant(_) => self.assign(config, record, order, record.cause),
            Ownership::Owned { node, incarnation, state, .. } => {
                let owner = self.database.node(node)?;
                let falls = self.falling.contains(&node);
                let down =
                    falls || matches!(owner.state, NodeState::Down(_) | NodeState::Fenced(_));
                if owner.incarnation != incarnation {
                    None
                } else if down {
                    // What is started by hand is first taken from its node, and then stays offline.
                    let fenced_by_luns = !config.wishes.started_by_hand
                        && self.database.is_freed_by_luns(config)
                        || plant::is(Plant::StartBeforeFence);
                    fenced_by_luns.then(|| self.assign(config, record, order, Cause::NodeDown))?
                } else if owner.state == NodeState::Up && record.is_managed() {
                    self.look_after(config, record, (node, state, owner), order)
                } else {
                    self.let_go(config.id, record)
                }
            }
        }
    }

    /// A group that nobody runs, or whose owner will be fenced by its LUNs.
    fn assign(
        &mut self,
        config: &GroupConfig,
        record: &GroupRecord,
        order: &Order<'_>,
        cause: Cause,
    ) -> Option<Change> {
        if !record.is_wanted() {
            return None;
        }
        if !self.is_due(record) {
            let lun = self.database.awaited_luns(config).first().copied()?;
            return self.wait(config.id, (Hold::Luns { lun }, None));
        }
        if self.is_forming(config, record) {
            return None;
        }
        if self.database.is_kept(record) {
            return None;
        }
        if let Some(node) = self.database.stray_awaited(config.id) {
            return self.wait(config.id, (Hold::Stray { node }, None));
        }
        let Some(owner) = order.target(config.id) else {
            self.unplaced.push(config.id);
            self.look_when_forgiven(config, record);
            return None;
        };
        let waits = order.start_waits(config.id, owner);
        let waits = waits.or_else(|| order.lacks_room(config.id, owner, &self.coming));
        if let Some(group) = waits {
            return self.wait(config.id, (Hold::Group { group }, None));
        }
        if self.awaits_fences(config) {
            return None;
        }
        if let Some(held) = self.hold(config, record, owner, cause) {
            return self.wait(config.id, held);
        }
        self.traffic.count(owner, cause);
        self.coming.push((config.id, owner));
        Some(Change::Assign {
            group: config.id,
            epoch: Epoch(record.epoch.0 + u64::from(!plant::is(Plant::EpochNotRaised))),
            owner,
            incarnation: self.database.node(owner)?.incarnation,
            cause,
        })
    }

    /// A group waits, and is looked at again when that may be over.
    fn wait(&mut self, group: GroupId, held: Held) -> Option<Change> {
        if let Some(until) = held.1 {
            let left = until.saturating_sub(self.times.cluster_ms);
            self.look_again(self.now + Duration::from_millis(left));
        }
        self.held.insert(group, held);
        None
    }

    /// Whether a fence is due, somewhere, for which the start of this group waits.
    fn awaits_fences(&self, config: &GroupConfig) -> bool {
        let due = |record: &NodeRecord| matches!(record.state, NodeState::Down(_));
        config.wishes.awaits_fences && self.database.nodes().values().any(due)
    }

    /// Failures on a node are forgotten one day: then there may be a place.
    fn look_when_forgiven(&mut self, config: &GroupConfig, record: &GroupRecord) {
        let Some(length) = config.wishes.failures_expire.map(millis) else { return };
        let ends = record.failures_on.values().map(|&(_, last)| last.saturating_add(length));
        let next = ends.filter(|&ends| ends > self.times.cluster_ms).min();
        if let Some(ends) = next {
            self.look_again(self.now + Duration::from_millis(ends - self.times.cluster_ms));
        }
    }

    /// A group that is kept offline, and whose node is gone.
    fn reseat(&self, config: &GroupConfig, record: &GroupRecord) -> Option<Change> {
        let seat = self.database.node(record.seat?)?;
        let gone = matches!(seat.state, NodeState::Fenced(_)) && !seat.paused;
        let gone = gone && !seat.keeps && !self.database.are_moves_held();
        let node = gone.then(|| self.place_anew(config, &[])).flatten()?;
        Some(Change::Seat { group: config.id, node })
    }

    /// Where a group would go if it had no node, and should run.
    fn place_anew(&self, config: &GroupConfig, avoids: &[NodeId]) -> Option<NodeId> {
        let place = self.database.config().place_of(config.id)?;
        let mut now = standing::of(self.database, &self.falling, self.times);
        let (unreached, avoids) = (std::mem::take(&mut now[place].unreached), avoids.to_vec());
        now[place] =
            placement::Now { wanted: true, unreached, avoids, ..placement::Now::default() };
        placement::plan(self.database.config(), &self.candidates, now).node(place)
    }

    /// Whether a group that failed too often may be tried again.
    fn is_due(&mut self, record: &GroupRecord) -> bool {
        let left =
            record.failed_until.map_or(0, |until| until.saturating_sub(self.times.cluster_ms));
        if left > 0 {
            self.look_again(self.now + Duration::from_millis(left));
        }
        left == 0
    }

    /// What never ran waits until the nodes of a young cluster are all there, or long enough; what belongs to a node
    /// when the cluster starts waits as long for that.
    fn is_forming(&mut self, config: &GroupConfig, record: &GroupRecord) -> bool {
        let able = |node| self.candidates.get(&node).is_some_and(Candidate::is_open);
        let missed = record.chosen.filter(|&node| record.seat == Some(node) && !able(node));
        let missed = missed.is_some() && config.wishes.persistent;
        let never = record.ownership == Ownership::Vacant(Vacancy::NeverOwned);
        let absent = |node: &NodeRecord| node.state == NodeState::Absent;
        match self.forming {
            Some(until) if missed || never && self.database.nodes().values().any(absent) => {
                self.look_again(until);
                true
            }
            _ => false,
        }
    }

    fn look_again(&mut self, at: Instant) {
        self.review = Some(self.review.map_or(at, |review| review.min(at)));
    }

    /// A group whose owner takes part: it is asked to let go where it should not be.
    fn look_after(
        &mut self,
        config: &GroupConfig,
        record: &GroupRecord,
        (node, state, owner): (NodeId, OwnedState, &NodeRecord),
        order: &Order<'_>,
    ) -> Option<Change> {
        if !matches!(state, OwnedState::Starting | OwnedState::Online) {
            return None;
        }
        let due = self.departure(config, record, (node, state, owner), order)?;
        // What arrives as it ran would be lost if it had to go on before it is there.
        let arrives = record.saved.is_some() || record.held_by.is_some() || record.is_unheard_of();
        if state == OwnedState::Starting && arrives && due.cause != Cause::Offline {
            return None;
        }
        let held = self.database.are_moves_held();
        // What it needs before it ends meanwhile: then it cannot go on either.
        let live = config.moves_live() && (held || !order.must_stop(config.id));
        // Nor can it go as it runs where there is no room, unless that is being made.
        let full = |to| order.lacks_room(config.id, to, &self.coming).is_some();
        let full = due.to.is_some_and(|to| live && !held && full(to));
        if full && due.to.is_some_and(|to| order.makes_room(config.id, to)) {
            return None;
        }
        let live = live && !full;
        let ends = due.kind == ReleaseKind::Stop || !live;
        if order.waits_its_turn(config.id).is_some() || ends && order.stop_waits(config.id) {
            return None;
        }
        let (group, epoch) = (config.id, record.epoch);
        let Departure { to, kind, cause } = due;
        let kind = if config.moves_live() && !live { ReleaseKind::Stop } else { kind };
        // Whoever has to wait for another at the start is not handed straight on.
        let waits = |to: NodeId| {
            let follows = || {
                order.comes_after(group)
                    || order.awaits_ground(group, to).is_some()
                    || order.lacks_room(group, to, &self.coming).is_some()
            };
            self.database.taken_by(group, to).is_some() || !live && follows()
        };
        let waits = to.is_some_and(waits);
        if live && (waits || to.is_some() && !held && order.travels_with(group)) {
            return None;
        }
        let to = to.filter(|_| !waits);
        if let Some(to) = to {
            if let Some(held) = self.hold_of_starts(to) {
                return self.wait(group, held);
            }
            self.traffic.count(to, cause);
            self.coming.push((group, to));
        }
        Some(Change::Release { group, epoch, to, kind, cause })
    }

    /// How a group leaves its node, if it has to.
    fn departure(
        &mut self,
        config: &GroupConfig,
        record: &GroupRecord,
        (node, state, owner): (NodeId, OwnedState, &NodeRecord),
        order: &Order<'_>,
    ) -> Option<Departure> {
        let leave = |to: Option<NodeId>, kind: ReleaseKind, cause: Cause| {
            Some(Departure { to, kind, cause })
        };
        if !record.is_wanted() {
            return leave(None, ReleaseKind::Stop, Cause::Offline);
        }
        if record.begins_anew {
            return leave(None, ReleaseKind::Stop, Cause::Found);
        }
        let kept = record.kept_until.unwrap_or_default();
        if kept > self.times.cluster_ms {
            self.look_again(self.now + Duration::from_millis(kept - self.times.cluster_ms));
            return None;
        }
        if owner.leaving && owner.keeps {
            return leave(None, ReleaseKind::Stop, Cause::Drain);
        }
        let emptied = owner.draining || owner.leaving;
        if self.database.are_moves_held() {
            return match emptied {
                true => self.held_departure(config, node, owner),
                false => None,
            };
        }
        let target = order.target(config.id);
        let elsewhere = target.filter(|&target| target != node);
        let possible = placement::is_possible(config, node);
        if possible && elsewhere.is_none() && order.must_stop(config.id) {
            return leave(None, ReleaseKind::Stop, Cause::Order);
        }
        match elsewhere {
            Some(to) if owner.leaving && kept > 0 => {
                leave(Some(to), ReleaseKind::Stop, Cause::Drain)
            }
            Some(to) if emptied => leave(Some(to), ReleaseKind::Move, Cause::Drain),
            Some(to) if !possible => leave(Some(to), ReleaseKind::Move, Cause::NotPossible),
            None if owner.leaving => leave(None, ReleaseKind::Stop, Cause::Drain),
            None if target.is_none() && possible && owner.emptied => {
                leave(None, ReleaseKind::Stop, Cause::Drain)
            }
            None if target.is_none() && possible && emptied => None,
            None if target.is_none() => {
                let cause = if possible { Cause::Rule } else { Cause::NotPossible };
                leave(None, ReleaseKind::Stop, cause)
            }
            Some(to) if state == OwnedState::Online => {
                let returns = config.failback || record.drained_from == Some(to);
                let cause = if returns { Cause::Failback } else { Cause::Rule };
                leave(Some(to), ReleaseKind::Move, cause)
            }
            Some(_) | None if state == OwnedState::Online => self.mistaken(config, node),
            Some(_) | None => None,
        }
    }

    /// Mistakes made on purpose.
    fn mistaken(&self, config: &GroupConfig, node: NodeId) -> Option<Departure> {
        let to = match () {
            () if plant::is(Plant::BackAndForth) && config.failback => {
                self.place_anew(config, &[node])
            }
            () if plant::is(Plant::BetterPlaceTaken) => self.place_anew(config, &[]),
            () => None,
        };
        let to = to.filter(|&to| to != node)?;
        Some(Departure { to: Some(to), kind: ReleaseKind::Move, cause: Cause::Failback })
    }

    /// While moves are held, a node that is to be empty is emptied all the same.
    fn held_departure(
        &self,
        config: &GroupConfig,
        node: NodeId,
        owner: &NodeRecord,
    ) -> Option<Departure> {
        let to = self.place_anew(config, &[node]).filter(|&to| to != node);
        let to = to.filter(|&to| owner.leaving || self.database.reaches(to, config));
        let kind = if to.is_some() { ReleaseKind::Move } else { ReleaseKind::Stop };
        (to.is_some() || owner.leaving).then_some(Departure { to, kind, cause: Cause::Drain })
    }
}

/// How a group leaves its node.
struct Departure {
    to: Option<NodeId>,
    kind: ReleaseKind,
    cause: Cause,
}
