//! What waits though it could be done: how much may happen at once, and when it is better to do nothing.
//!
//! A hold always ends: a turn when others are through, everything else by a time that is told with it.

use std::collections::BTreeMap;

use super::deciding::Deciding;
use crate::change::{Cause, FenceKind};
use crate::config::{GroupConfig, Limits};
use crate::database::{Database, GroupRecord, NodeState, OwnedState, Ownership, Vacancy};
use crate::id::NodeId;
use crate::notice::Hold;
use crate::placement::{self, Candidate};
use crate::plant::{self, Plant};
use crate::time::millis;

/// Why a group waits, and until when at most, in the cluster's time; none: until its turn comes.
pub(super) type Held = (Hold, Option<u64>);

/// What is under way, and what has been lost and has failed lately.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    starts: BTreeMap<NodeId, u32>,
    failovers: u32,
    losses: Vec<(u64, NodeId)>,
    /// By driver: how many groups have failed lately, and when the last did.
    alike: BTreeMap<String, (u32, u64)>,
}

/// Whether the configuration limits anything.
pub(super) fn is_limited(limits: &Limits) -> bool {
    let Limits {
        failovers_max, starts_per_node_max, losses_max, alike_max, everywhere_pause, ..
    } = limits;
    let counts = [failovers_max, starts_per_node_max, losses_max, alike_max];
    counts.into_iter().any(Option::is_some) || everywhere_pause.is_some()
}

fn is_failover(cause: Cause) -> bool {
    matches!(cause, Cause::NodeDown | Cause::Failure | Cause::Stopped)
}

impl Traffic {
    pub(super) fn of(database: &Database, at_ms: u64) -> Self {
        let limits = &database.config().policy().limits;
        let mut traffic = Self::default();
        if !is_limited(limits) {
            return traffic;
        }
        if limits.losses_max.is_some() {
            traffic.losses = database.losses(at_ms, millis(limits.losses_period));
        }
        for (&id, record) in database.groups() {
            traffic.count_under_way(database, record);
            let config = database.config().group(id).filter(|_| limits.alike_max.is_some());
            if let Some(config) = config {
                traffic.count_failure(config, record, at_ms, millis(limits.alike_period));
            }
        }
        traffic
    }

    fn count_under_way(&mut self, database: &Database, record: &GroupRecord) {
        let Ownership::Owned { node, incarnation, state, .. } = record.ownership else { return };
        match state {
            OwnedState::Starting if database.is_up_as(node, incarnation) => {
                self.count(node, record.cause);
            }
            OwnedState::Releasing { to: Some(to), cause, .. } => self.count(to, cause),
            OwnedState::Starting
            | OwnedState::Online
            | OwnedState::Releasing { .. }
            | OwnedState::StopFailed => {}
        }
    }

    /// One more is on its way to a node.
    pub(super) fn count(&mut self, node: NodeId, cause: Cause) {
        *self.starts.entry(node).or_default() += 1;
        self.failovers += u32::from(is_failover(cause));
    }

    /// A node goes down now.
    pub(super) fn lose(&mut self, node: NodeId, at_ms: u64) {
        if !self.losses.iter().any(|&(_, known)| known == node) {
            self.losses.push((at_ms, node));
        }
    }

    fn count_failure(
        &mut self,
        config: &GroupConfig,
        record: &GroupRecord,
        at_ms: u64,
        period: u64,
    ) {
        let last = last_failure(record).filter(|&last| last.saturating_add(period) > at_ms);
        let Some(last) = last else { return };
        let mut drivers: Vec<&str> = config.resources.iter().map(|one| &*one.driver).collect();
        drivers.sort_unstable();
        drivers.dedup();
        for driver in drivers {
            let (groups, newest) = self.alike.entry(driver.to_owned()).or_default();
            *groups += 1;
            *newest = last.max(*newest);
        }
    }
}

fn last_failure(record: &GroupRecord) -> Option<u64> {
    record.failures_on.values().map(|&(_, last)| last).max()
}

impl Deciding<'_> {
    /// Why a group that could start on `node` waits all the same.
    pub(super) fn hold(
        &self,
        config: &GroupConfig,
        record: &GroupRecord,
        node: NodeId,
        cause: Cause,
    ) -> Option<Held> {
        let limits = &self.database.config().policy().limits;
        if !is_limited(limits) || plant::is(Plant::LimitsIgnored) {
            return None;
        }
        let unplanned = is_failover(cause);
        let great = unplanned.then(|| {
            self.hold_of_losses(limits, record)
                .or_else(|| self.hold_of_failures(limits, config, cause))
                .or_else(|| self.hold_everywhere(limits, config, record, cause))
        });
        let full = |max: &u32| self.traffic.failovers >= *max;
        let turn = limits.failovers_max.filter(|max| unplanned && full(max));
        let turn = turn.map(|max| (Hold::Failovers { max }, None));
        great.flatten().or(turn).or_else(|| self.hold_of_starts(node))
    }

    /// A node that starts as many as it may at once.
    pub(super) fn hold_of_starts(&self, node: NodeId) -> Option<Held> {
        let max = self.database.config().policy().limits.starts_per_node_max?;
        let starts = self.traffic.starts.get(&node).copied().unwrap_or_default();
        let full = starts >= max && !plant::is(Plant::LimitsIgnored);
        full.then_some((Hold::Starts { node, max }, None))
    }

    fn hold_of_losses(&self, limits: &Limits, record: &GroupRecord) -> Option<Held> {
        let losses_max = limits.losses_max.filter(|_| !plant::is(Plant::LossesIgnored))?;
        let most = usize::try_from(losses_max).unwrap_or(usize::MAX);
        let lost = match record.ownership {
            Ownership::Vacant(Vacancy::Fenced { node, .. }) | Ownership::Owned { node, .. } => node,
            Ownership::Vacant(_) => return None,
        };
        // What a human has vouched for, and what left in order, waits for nothing.
        let state = self.database.node(lost).map(|record| record.state);
        if matches!(state, Some(NodeState::Fenced(FenceKind::Human | FenceKind::Left))) {
            return None;
        }
        let losses = &self.traffic.losses;
        let place = losses.iter().position(|&(_, node)| node == lost)?;
        let before = losses.get(place.checked_sub(most)?)?;
        let nodes = u32::try_from(losses.len()).unwrap_or(u32::MAX);
        Some((Hold::Losses { nodes }, Some(before.0.saturating_add(millis(limits.losses_period)))))
    }

    fn hold_of_failures(
        &self,
        limits: &Limits,
        config: &GroupConfig,
        cause: Cause,
    ) -> Option<Held> {
        let counts = cause == Cause::Failure && !plant::is(Plant::AlikeIgnored);
        let most = limits.alike_max.filter(|_| counts)?;
        let drivers = config.resources.iter().map(|one| &one.driver);
        let mut counts =
            drivers.filter_map(|driver| Some((driver, self.traffic.alike.get(driver)?)));
        let (driver, &(groups, last)) = counts.find(|(_, (groups, _))| *groups > most)?;
        let hold = Hold::Alike { driver: driver.clone(), groups };
        Some((hold, Some(last.saturating_add(millis(limits.alike_period)))))
    }

    fn hold_everywhere(
        &self,
        limits: &Limits,
        config: &GroupConfig,
        record: &GroupRecord,
        cause: Cause,
    ) -> Option<Held> {
        let counts = cause == Cause::Failure && !plant::is(Plant::EverywhereIgnored);
        let pause = limits.everywhere_pause.filter(|_| counts)?;
        let until = last_failure(record)?.saturating_add(millis(pause));
        let able = |(node, candidate): (&NodeId, &Candidate)| {
            (candidate.is_open() && placement::is_possible(config, *node)).then_some(*node)
        };
        let mut places = self.candidates.iter().filter_map(able);
        let everywhere = places.all(|node| record.failed_on.contains(&node));
        (everywhere && until > self.times.cluster_ms).then_some((Hold::Everywhere, Some(until)))
    }
}
