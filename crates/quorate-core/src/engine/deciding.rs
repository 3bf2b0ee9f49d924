//! What is next for each group: from the database and the nodes that are alive, nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::change::{Cause, Change, Desire, ReleaseKind};
use crate::config::GroupConfig;
use crate::database::{
    Database, GroupRecord, NodeRecord, NodeState, OwnedState, Ownership, Vacancy,
};
use crate::id::{Epoch, GroupId, NodeId};
use crate::placement::{self, Candidate, Past};
use crate::plant::{self, Plant};
use crate::time::{Instant, millis};

/// One round of decisions about all groups.
pub(super) struct Deciding<'a> {
    pub(super) database: &'a Database,
    pub(super) candidates: BTreeMap<NodeId, Candidate>,
    pub(super) cluster_ms: u64,
    /// Until when a cluster that has just formed waits for its other nodes.
    pub(super) forming: Option<Instant>,
    /// Nodes that go down by the very changes which come before.
    pub(super) falling: Vec<NodeId>,
    /// Groups that nowhere can run.
    pub(super) unplaced: Vec<GroupId>,
    /// When to look again, though nothing happens.
    pub(super) review: Option<Instant>,
    pub(super) now: Instant,
}

impl Deciding<'_> {
    /// Adds what is due to `changes`, which come true before it.
    pub(super) fn decide_all(&mut self, changes: &mut Vec<Change>) {
        let mut touched: Vec<GroupId> = Vec::new();
        for change in changes.iter() {
            match change {
                Change::Down { node, .. } | Change::Fenced { node, .. } => {
                    self.falling.push(*node);
                    if let Some(candidate) = self.candidates.get_mut(node) {
                        candidate.up = false;
                    }
                }
                Change::Report { group, .. }
                | Change::Release { group, .. }
                | Change::Desire { group, .. }
                | Change::Seat { group, .. }
                | Change::Assign { group, .. } => touched.push(*group),
                // Decided about once it is there.
                Change::AddGroup { .. } => {}
                Change::RemoveGroup { group } => touched.push(*group),
                Change::Admit { .. }
                | Change::Rejoin { .. }
                | Change::Pause { .. }
                | Change::Resume { .. }
                | Change::HoldMoves { .. }
                | Change::LetCoordinate { .. }
                | Change::Leave { .. }
                | Change::Left { .. } => {}
            }
        }
        let database = self.database;
        for (&id, record) in database.groups() {
            let Some(config) = database.config().group(id) else { continue };
            if touched.contains(&id) {
                continue;
            }
            let Some(change) = self.decide(config, record) else { continue };
            let target = match &change {
                Change::Assign { owner, .. } => Some(*owner),
                Change::Release { to, .. } => *to,
                _ => None,
            };
            if let Some(candidate) = target.and_then(|node| self.candidates.get_mut(&node)) {
                candidate.groups += 1;
            }
            changes.push(change);
        }
    }

    fn decide(&mut self, config: &GroupConfig, record: &GroupRecord) -> Option<Change> {
        match record.ownership {
            Ownership::Vacant(_) if record.desire == Desire::Offline => self.reseat(config, record),
            Ownership::Vacant(_) => self.assign(config, record, record.cause),
            Ownership::Owned { node, incarnation, state, .. } => {
                let owner = self.database.node(node)?;
                let falls = self.falling.contains(&node);
                let down =
                    falls || matches!(owner.state, NodeState::Down(_) | NodeState::Fenced(_));
                if owner.incarnation != incarnation {
                    None
                } else if down {
                    let fenced_by_luns = self.database.config().is_enforced(config)
                        || plant::is(Plant::StartBeforeFence);
                    fenced_by_luns.then(|| self.assign(config, record, Cause::NodeDown))?
                } else if owner.state == NodeState::Up {
                    self.look_after(config, record, node, state, owner)
                } else {
                    None
                }
            }
        }
    }

    /// A group that nobody runs, or whose owner will be fenced by its LUNs.
    fn assign(
        &mut self,
        config: &GroupConfig,
        record: &GroupRecord,
        cause: Cause,
    ) -> Option<Change> {
        if !record.is_wanted() || !self.is_due(record) || self.is_forming(record) {
            return None;
        }
        if self.database.is_kept(record) {
            return None;
        }
        let past = Past { seat: record.seat, failed_on: self.failed_on(config, record) };
        let held = record.seat.filter(|_| self.database.are_moves_held());
        let held = held.filter(|node| self.candidates.get(node).is_some_and(Candidate::is_open));
        let Some(owner) = held.or_else(|| self.place(config, past)) else {
            self.unplaced.push(config.id);
            return None;
        };
        Some(Change::Assign {
            group: config.id,
            epoch: Epoch(record.epoch.0 + u64::from(!plant::is(Plant::EpochNotRaised))),
            owner,
            incarnation: self.database.node(owner)?.incarnation,
            cause,
        })
    }

    /// A group that is kept offline, and whose node is gone.
    fn reseat(&self, config: &GroupConfig, record: &GroupRecord) -> Option<Change> {
        let seat = self.database.node(record.seat?)?;
        let gone = matches!(seat.state, NodeState::Fenced(_)) && !seat.paused;
        let gone = gone && !seat.keeps && !self.database.are_moves_held();
        let node = self.place(config, Past::default()).filter(|_| gone)?;
        Some(Change::Seat { group: config.id, node })
    }

    fn failed_on<'r>(&self, config: &GroupConfig, record: &'r GroupRecord) -> &'r [NodeId] {
        record.failed_lately(self.cluster_ms, millis(config.failover_period))
    }

    fn place(&self, config: &GroupConfig, past: Past<'_>) -> Option<NodeId> {
        placement::place(config, &self.candidates, past).chosen
    }

    /// Whether a group that failed too often may be tried again.
    fn is_due(&mut self, record: &GroupRecord) -> bool {
        let left = record.failed_until.map_or(0, |until| until.saturating_sub(self.cluster_ms));
        if left > 0 {
            self.look_again(self.now + Duration::from_millis(left));
        }
        left == 0
    }

    /// What never ran waits until the nodes of a young cluster are all there, or long enough.
    fn is_forming(&mut self, record: &GroupRecord) -> bool {
        let never = record.ownership == Ownership::Vacant(Vacancy::NeverOwned);
        let absent = |node: &NodeRecord| node.state == NodeState::Absent;
        match self.forming {
            Some(until) if never && self.database.nodes().values().any(absent) => {
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
        node: NodeId,
        state: OwnedState,
        owner: &NodeRecord,
    ) -> Option<Change> {
        if !matches!(state, OwnedState::Starting | OwnedState::Online) {
            return None;
        }
        let release = |to: Option<NodeId>, kind: ReleaseKind, cause: Cause| {
            let (group, epoch) = (config.id, record.epoch);
            Some(Change::Release { group, epoch, to, kind, cause })
        };
        if !record.is_wanted() {
            return release(None, ReleaseKind::Stop, Cause::Offline);
        }
        let kept = record.kept_until.unwrap_or_default();
        if kept > self.cluster_ms {
            self.look_again(self.now + Duration::from_millis(kept - self.cluster_ms));
            return None;
        }
        let elsewhere = Past { seat: None, failed_on: &[node] };
        let held = self.database.are_moves_held();
        if !held && !placement::is_possible(config, node) {
            let to = self.place(config, elsewhere);
            let kind = if to.is_some() { ReleaseKind::Move } else { ReleaseKind::Stop };
            return release(to, kind, Cause::NotPossible);
        }
        if owner.leaving && owner.keeps {
            return release(None, ReleaseKind::Stop, Cause::Drain);
        }
        if owner.draining || owner.leaving {
            return match self.place(config, elsewhere) {
                Some(to) if owner.leaving && kept > 0 => {
                    release(Some(to), ReleaseKind::Stop, Cause::Drain)
                }
                Some(to) => release(Some(to), ReleaseKind::Move, Cause::Drain),
                None if owner.leaving => release(None, ReleaseKind::Stop, Cause::Drain),
                None => None,
            };
        }
        if held || state != OwnedState::Online {
            return None;
        }
        let home = record.drained_from.filter(|&home| self.is_open_for(config, home));
        if let Some(home) = home {
            return release(Some(home), ReleaseKind::Move, Cause::Failback);
        }
        let anywhere = plant::is(Plant::BetterPlaceTaken);
        if config.failback || anywhere {
            let past = Past { seat: None, failed_on: self.failed_on(config, record) };
            let best = self.place(config, past)?;
            if placement::returns(config, node, best) || anywhere && best != node {
                return release(Some(best), ReleaseKind::Move, Cause::Failback);
            }
        }
        None
    }

    fn is_open_for(&self, config: &GroupConfig, node: NodeId) -> bool {
        let candidate = self.candidates.get(&node);
        candidate.is_some_and(|one| placement::obstacle(config, node, one).is_none())
    }
}
