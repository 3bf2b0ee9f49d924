//! The one clock of the lab: the same for every process on this machine, engines included.

use std::ops::Add;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point on `CLOCK_BOOTTIME`, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment(pub u64);

impl Moment {
    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).expect("the time since boot is not negative");
        let nanos = u64::try_from(time.tv_nsec).expect("a part of a second is not negative");
        Self(seconds * 1_000_000_000 + nanos)
    }

    /// The time since `earlier`; zero if that is later.
    #[must_use]
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;
    fn add(self, length: Duration) -> Moment {
        Moment(self.0 + u64::try_from(length.as_nanos()).unwrap_or(u64::MAX / 2))
    }
}

/// Milliseconds with one digit behind the point.
#[must_use]
pub fn tenths_ms(length: Duration) -> f64 {
    (length.as_secs_f64() * 10_000.0).round() / 10.0
}
