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
    /// What waits for a time is looked at: groups by the coordinator, LUNs that are overdue by their owner.
    Review,
    /// The witness is to be looked at, or may be asked.
    Witness,
}

/// Deadlines by purpose; at most one each.
#[derive(Debug, Default)]
pub struct Timers {
    /// Of every purpose but requests: few, so they are looked through.
    at: Vec<(Instant, Timer)>,
    /// Of requests.
    ops: BTreeMap<OpId, Instant>,
    order: BTreeSet<(Instant, OpId)>,
    /// The nearest of all: asked for at every step, and seldom another.
    nearest: Option<(Instant, Timer)>,
}

impl Timers {
    /// Sets or moves the deadline of `timer`.
    pub fn set(&mut self, timer: Timer, at: Instant) {
        if let Timer::Op(op) = timer {
            if let Some(standing) = self.ops.insert(op, at) {
                self.order.remove(&(standing, op));
            }
            self.order.insert((at, op));
        } else if let Some(standing) = self.at.iter_mut().find(|one| one.1 == timer) {
            standing.0 = at;
        } else {
            self.at.push((at, timer));
        }
        match self.nearest {
            Some(nearest) if nearest.1 == timer && nearest.0 < at => self.look_through(),
            Some(nearest) if nearest < (at, timer) => {}
            Some(_) | None => self.nearest = Some((at, timer)),
        }
    }

    /// Sets `timer` unless an earlier deadline stands.
    pub fn set_sooner(&mut self, timer: Timer, at: Instant) {
        if self.at(timer).is_none_or(|standing| at < standing) {
            self.set(timer, at);
        }
    }

    /// The deadline of `timer`, if one stands.
    pub fn at(&self, timer: Timer) -> Option<Instant> {
        match timer {
            Timer::Op(op) => self.ops.get(&op).copied(),
            _ => self.at.iter().find(|one| one.1 == timer).map(|one| one.0),
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
        if self.nearest.is_some_and(|nearest| nearest.1 == timer) {
            self.look_through();
        }
    }

    /// The nearest deadline.
    pub fn next(&self) -> Option<Instant> {
        self.nearest.map(|(at, _)| at)
    }

    /// Removes and returns one timer whose deadline has come, the earliest first.
    pub fn expire(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = self.nearest?;
        if at > now {
            return None;
        }
        self.clear(timer);
        Some(timer)
    }

    fn look_through(&mut self) {
        let op = self.order.first().map(|&(at, op)| (at, Timer::Op(op)));
        self.nearest = self.at.iter().copied().chain(op).min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn timer(number: u64) -> Timer {
        match number {
            0 => Timer::Beat,
            1 => Timer::Lease,
            2 => Timer::Review,
            other => Timer::Op(OpId(other)),
        }
    }

    proptest! {
        #[test]
        fn the_nearest_deadline_is_the_nearest_of_all_that_stand(
            steps in proptest::collection::vec((0u64..6, 0u64..9, 0u8..4), 0..60),
        ) {
            let mut timers = Timers::default();
            let mut all: BTreeMap<Timer, Instant> = BTreeMap::new();
            for (number, at, what) in steps {
                let (timer, at) = (timer(number), Instant(at));
                let nearest = all.iter().map(|(&timer, &at)| (at, timer)).min();
                match what {
                    0 | 1 => {
                        timers.set(timer, at);
                        all.insert(timer, at);
                    }
                    2 => {
                        timers.clear(timer);
                        all.remove(&timer);
                    }
                    _ => {
                        let due = nearest.filter(|nearest| nearest.0 <= at).map(|one| one.1);
                        prop_assert_eq!(timers.expire(at), due);
                        all.retain(|timer, _| Some(*timer) != due);
                    }
                }
                prop_assert_eq!(timers.next(), all.values().copied().min());
            }
        }
    }
}
