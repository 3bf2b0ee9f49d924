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
    /// Of every purpose but requests: few, so they are looked through.
    at: Vec<(Instant, Timer)>,
    /// Of requests.
    ops: BTreeMap<OpId, Instant>,
    order: BTreeSet<(Instant, OpId)>,
}

impl Timers {
    /// Sets or moves the deadline of `timer`.
    pub fn set(&mut self, timer: Timer, at: Instant) {
        if let Timer::Op(op) = timer {
            self.clear(timer);
            self.ops.insert(op, at);
            self.order.insert((at, op));
        } else if let Some(standing) = self.at.iter_mut().find(|one| one.1 == timer) {
            standing.0 = at;
        } else {
            self.at.push((at, timer));
        }
    }

    /// Sets `timer` unless an earlier deadline stands.
    pub fn set_sooner(&mut self, timer: Timer, at: Instant) {
        let standing = match timer {
            Timer::Op(op) => self.ops.get(&op).copied(),
            _ => self.at.iter().find(|one| one.1 == timer).map(|one| one.0),
        };
        if standing.is_none_or(|standing| at < standing) {
            self.set(timer, at);
        }
    }

    /// Forgets `timer`.
    pub fn clear(&mut self, timer: Timer) {
        if let Timer::Op(op) = timer {
            if let Some(at) = self.ops.remove(&op) {
                self.order.remove(&(at, op));
            }
        } else {
            self.at.retain(|one| one.1 != timer);
        }
    }

    /// The nearest deadline.
    pub fn next(&self) -> Option<Instant> {
        self.nearest().map(|(at, _)| at)
    }

    /// Removes and returns one timer whose deadline has come, the earliest first.
    pub fn expire(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = self.nearest()?;
        if at > now {
            return None;
        }
        self.clear(timer);
        Some(timer)
    }

    fn nearest(&self) -> Option<(Instant, Timer)> {
        let op = self.order.first().map(|&(at, op)| (at, Timer::Op(op)));
        self.at.iter().copied().chain(op).min()
    }
}
