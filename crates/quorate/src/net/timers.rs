//! The one table of deadlines of the network thread.

use std::collections::{BTreeMap, BTreeSet};

/// Whose deadline it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Call a peer by a network.
    Dial { peer: u16, path: u8 },
    /// A connection's next limit: of connecting, of its proof, or of silence.
    Connection(usize),
    /// Accept again on a listener that could not.
    Accept(usize),
    /// Offer again what the reader had no room for.
    Deliver,
    /// Report what was dropped.
    Report,
}

/// At most one deadline for each timer, in nanoseconds on the boot-time clock.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_time: BTreeSet<(u64, Timer)>,
    by_timer: BTreeMap<Timer, u64>,
}

impl Timers {
    /// Sets or moves a deadline.
    pub(super) fn set(&mut self, timer: Timer, at: u64) {
        self.cancel(timer);
        self.by_time.insert((at, timer));
        self.by_timer.insert(timer, at);
    }

    pub(super) fn cancel(&mut self, timer: Timer) {
        if let Some(at) = self.by_timer.remove(&timer) {
            self.by_time.remove(&(at, timer));
        }
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<u64> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes one timer that is due.
    pub(super) fn pop_due(&mut self, now: u64) -> Option<Timer> {
        let (at, timer) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.cancel(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_deadline_fires_once_at_its_last_time() {
        let mut timers = Timers::default();
        timers.set(Timer::Report, 5);
        timers.set(Timer::Deliver, 7);
        timers.set(Timer::Report, 9);
        assert_eq!(timers.next(), Some(7));
        assert_eq!(timers.pop_due(8), Some(Timer::Deliver));
        assert_eq!(timers.pop_due(8), None);
        assert_eq!(timers.pop_due(9), Some(Timer::Report));
        assert_eq!(timers.next(), None);
        timers.cancel(Timer::Report);
    }
}
