//! The one table of deadlines. Whoever owns an engine asks it for the nearest and comes back then.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::OpId;
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
    /// Reports and admission are said again until they are committed.
    Repeat,
    /// The coordinator looks at groups that wait for a time.
    Review,
}

/// Deadlines by purpose; at most one each.
#[derive(Debug, Default)]
pub struct Timers {
    at: BTreeMap<Timer, Instant>,
    order: BTreeSet<(Instant, Timer)>,
}

impl Timers {
    /// Sets or moves the deadline of `timer`.
    pub fn set(&mut self, timer: Timer, at: Instant) {
        self.clear(timer);
        self.at.insert(timer, at);
        self.order.insert((at, timer));
    }

    /// Sets `timer` unless an earlier deadline stands.
    pub fn set_sooner(&mut self, timer: Timer, at: Instant) {
        if self.at.get(&timer).is_none_or(|&standing| at < standing) {
            self.set(timer, at);
        }
    }

    /// Forgets `timer`.
    pub fn clear(&mut self, timer: Timer) {
        if let Some(at) = self.at.remove(&timer) {
            self.order.remove(&(at, timer));
        }
    }

    /// The nearest deadline.
    pub fn next(&self) -> Option<Instant> {
        self.order.first().map(|&(at, _)| at)
    }

    /// Removes and returns one timer whose deadline has come, the earliest first.
    pub fn expire(&mut self, now: Instant) -> Option<Timer> {
        let &(at, timer) = self.order.first()?;
        if at > now {
            return None;
        }
        self.clear(timer);
        Some(timer)
    }
}
