//! When nothing is pending any more.
//!
//! Quiet is a cluster in which for `calm` nothing has happened that the timeline or the database shows, nobody waits
//! for an answer, and no group is on its way. `calm` is longer than every timer of the engine that could change an
//! owner: the slowest detection, the end of a lease, an election, a further attempt to hand over; at the end of the
//! story what evens out the load; and where a group has failed, the time for which that counts against a node. A group
//! that is left failed is left so for good.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_core::database::{Database, GroupRecord, NodeRecord, OwnedState};
use quorate_core::id::{GroupId, NodeId};
use quorate_core::placement::UNEVEN_FOR;

use super::{LOOK_INTERVAL, Stage};
use crate::clock::Moment;

/// A story that is not quiet after this, beyond its own time, never will be.
const PATIENCE: Duration = Duration::from_secs(3_600);
/// In a quiet world, how far apart the looks are.
const LONG_INTERVAL: Duration = Duration::from_millis(500);

/// What does not change in a quiet world.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rest {
    entries: usize,
    nodes: BTreeMap<NodeId, NodeRecord>,
    groups: BTreeMap<GroupId, GroupRecord>,
    may_act: Vec<bool>,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// That the next step may come: what only time would move needs not have moved.
    Step,
    /// The end: no timer is left that would change an owner.
    End,
}

impl Stage<'_> {
    /// Lets time pass until it is `earliest` and nothing is pending.
    pub(super) fn settle(&mut self, earliest: Moment, wait: Wait) {
        let deadline = earliest.max(self.world.now()) + PATIENCE;
        let mut rest = self.rest();
        let mut since = self.world.now();
        while self.world.violations().is_empty() && self.missing.is_none() {
            let now = self.world.now();
            let quiet = !self.is_pending() && now.since(since) >= self.calm(wait);
            if quiet && now >= earliest {
                return;
            }
            if now >= deadline {
                let busy =
                    self.database().map_or_else(String::new, |one| format!("{:?}", one.groups()));
                self.world.give_up(&format!("it is not quiet after {PATIENCE:?}: {busy}"));
                return;
            }
            let length = if quiet { LONG_INTERVAL } else { LOOK_INTERVAL };
            let left = if now < earliest { earliest.since(now) } else { length };
            self.pass(length.min(left));
            let next = self.rest();
            if next != rest || self.is_pending() {
                (rest, since) = (next, self.world.now());
            }
        }
    }

    fn rest(&self) -> Rest {
        Rest {
            entries: self.world.timeline().map_or(0, |timeline| timeline.entries().len()),
            nodes: self.database().map(Database::nodes).cloned().unwrap_or_default(),
            groups: self.database().map(Database::groups).cloned().unwrap_or_default(),
            may_act: self.world.hosts().map(|host| self.may_act(host)).collect(),
        }
    }

    /// Whether something is under way that comes to an end by itself.
    fn is_pending(&self) -> bool {
        if self.is_asking() || self.is_departing() {
            return true;
        }
        let somebody_acts = self.world.hosts().any(|host| self.may_act(host));
        let Some(database) = self.database().filter(|_| somebody_acts) else { return false };
        let moves = |record: &GroupRecord| {
            let up = record.owner().is_some_and(|(node, as_this)| database.is_up_as(node, as_this));
            let state = record.owned_state();
            let twice = record.is_managed() && !record.strays.is_empty();
            twice
                || up && matches!(state, Some(OwnedState::Starting | OwnedState::Releasing { .. }))
        };
        // What somebody holds waits for him.
        let free = |id| !self.world.is_locked(id);
        database.groups().iter().any(|(&id, record)| free(id) && moves(record))
    }

    fn calm(&self, wait: Wait) -> Duration {
        let timing = self.plan.config.timing();
        let balances = wait == Wait::End && self.plan.config.policy().rebalance;
        let uneven = if balances { UNEVEN_FOR } else { Duration::ZERO };
        let base = timing.outage_worst() + timing.lease_over + timing.detect * 2 + uneven;
        let Some(database) = self.database() else { return base };
        let failed = database.groups().iter().filter(|(_, record)| !record.failed_on.is_empty());
        let periods = failed.filter_map(|(&id, _)| database.config().group(id));
        base + periods.map(|group| group.failover_period).max().unwrap_or_default()
    }
}
