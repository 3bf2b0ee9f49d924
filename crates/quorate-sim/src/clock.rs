//! The world's time, and each host's own view of it.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

use quorate_core::time::{Instant, nanos};
use serde::Serialize;

/// A point in the world's time, in nanoseconds since its beginning. No engine ever sees one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Moment(pub u64);

impl Moment {
    /// Later than anything that happens.
    pub const NEVER: Self = Self(u64::MAX);

    /// The length since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;
    fn add(self, length: Duration) -> Moment {
        Moment(self.0.saturating_add(nanos(length)))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>3}.{:06}", self.0 / 1_000_000_000, self.0 / 1_000 % 1_000_000)
    }
}

/// A host's monotonic clock: it starts anywhere and runs a little too fast or too slow; it may be made to run at
/// another rate, and to step.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Since when it runs at this rate.
    since: Moment,
    /// What it showed then.
    shown: u64,
    ppm: i64,
}

const MILLION: u64 = 1_000_000;
/// So far away that it never comes: three hundred years.
const NEVER: u64 = u64::MAX / 2;

impl Clock {
    /// A clock that showed `offset` nanoseconds at the world's beginning and gains `ppm` microseconds a second.
    pub fn new(offset: u64, ppm: i64) -> Self {
        Self { since: Moment::default(), shown: offset, ppm }
    }

    /// What it shows at `moment`, which is not before its newest change.
    pub fn local(&self, moment: Moment) -> Instant {
        // Whole milliseconds and the rest by themselves: the product of both would not fit.
        let passed = moment.0.saturating_sub(self.since.0);
        let (whole, rest) = ((passed / MILLION) as i64, (passed % MILLION) as i64);
        let gained = whole * self.ppm + rest * self.ppm / MILLION as i64;
        Instant((self.shown + passed).saturating_add_signed(gained))
    }

    /// The first moment at which it shows `local` or more. The lease of a voter that is alone never ends.
    pub fn when(&self, local: Instant) -> Moment {
        if local.0 > NEVER {
            return Moment(u64::MAX);
        }
        let ahead = local.0.saturating_sub(self.shown);
        let rate = MILLION.saturating_add_signed(self.ppm);
        let guess =
            (ahead / rate).saturating_mul(MILLION).saturating_add(ahead % rate * MILLION / rate);
        let mut moment = Moment(self.since.0.saturating_add(guess.saturating_sub(2)));
        while self.local(moment) < local {
            moment.0 += 1;
        }
        moment
    }

    /// From now on it gains `ppm` microseconds a second.
    pub fn set_rate(&mut self, ppm: i64, now: Moment) {
        *self = Self { since: now, shown: self.local(now).0, ppm };
    }

    /// It steps by `nanos`; back to zero at most.
    pub fn step(&mut self, nanos: i64, now: Moment) {
        *self = Self { since: now, shown: self.local(now).0.saturating_add_signed(nanos), ..*self };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_never_comes() {
        assert_eq!(Clock::new(77, -500).when(Instant(u64::MAX)), Moment(u64::MAX));
    }

    #[test]
    fn a_deadline_is_met_at_the_first_moment_that_shows_it() {
        for ppm in [-500, -1, 0, 3, 500] {
            let clock = Clock::new(77_000_000_123, ppm);
            for local in [77_000_000_123, 77_000_000_124, 99_123_456_789, 1_077_000_000_124] {
                let moment = clock.when(Instant(local));
                assert!(clock.local(moment) >= Instant(local));
                assert!(moment.0 == 0 || clock.local(Moment(moment.0 - 1)) < Instant(local));
            }
        }
    }

    #[test]
    fn a_clock_steps_and_changes_its_rate_from_then_on() {
        let mut clock = Clock::new(1_000, 0);
        clock.set_rate(500_000, Moment(100));
        assert_eq!(clock.local(Moment(300)), Instant(1_400));
        clock.step(-50, Moment(300));
        assert_eq!(clock.local(Moment(300)), Instant(1_350));
        assert_eq!(clock.when(Instant(1_500)), Moment(400));
    }
}
