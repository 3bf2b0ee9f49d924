//! The one table of deadlines. Whoever owns an engine asks it for the nearest and comes back then.

use std::collections::BTreeMap;

use crate::id::{GroupId, OpId};
use crate::time::Instant;

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The next heartbeat is due.
    Beat,
    /// The lease may have run out.
    Lease,
    /// Grace of storage-enforced groups after the lease is over.
    Isolation,
    /// Consensus: the next tick.
    Consensus,
    /// The silence of some node may have crossed a threshold.
    Detection,
    /// A request to the driver has not been answered in time.
    Op(OpId),
    /// The next attempt to start a group here.
    Retry(GroupId),
    /// Reports and admission are said again until they are committed.
    Repeat,
    /// The coordinator looks at groups that wait for a time.
    Review,
}

/// Deadlines by purpose; at most one each.
#[derive(Debug, Default)]
pub struct Timers {
    at: BTreeMap<Timer, Instant>,
}

impl Timers {
    /// Sets or moves the deadline of `timer`.
    pub fn set(&mut self, timer: Timer, at: Instant) {
        self.at.insert(timer, at);
    }

    /// Sets `timer` unless an earlier deadline stands.
    pub fn set_sooner(&mut self, timer: Timer, at: Instant) {
        let slot = self.at.entry(timer).or_insert(at);
        *slot = at.min(*slot);
    }

    /// Forgets `timer`.
    pub fn clear(&mut self, timer: Timer) {
        self.at.remove(&timer);
    }

    /// Whether `timer` is set.
    pub fn is_set(&self, timer: Timer) -> bool {
        self.at.contains_key(&timer)
    }

    /// The nearest deadline.
    pub fn next(&self) -> Option<Instant> {
        self.at.values().min().copied()
    }

    /// Removes and returns one timer whose deadline has come, the earliest first.
    pub fn expire(&mut self, now: Instant) -> Option<Timer> {
        let (&timer, _) =
            self.at.iter().filter(|&(_, &at)| at <= now).min_by_key(|&(&t, &at)| (at, t))?;
        self.at.remove(&timer);
        Some(timer)
    }
}
