//! The two clocks of a node: the engine's, which runs through sleep, and the people's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quorate_core::time::Instant;

use crate::net::boottime_ns;
use crate::notice::Stamp;

/// The present, on the clock that leases are measured on.
pub(crate) fn now() -> Instant {
    Instant(boottime_ns())
}

/// The longest time that anybody waits.
const WAIT_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The end of a wait. One that is longer than anybody lives is no error.
pub(crate) fn after(timeout: Duration) -> std::time::Instant {
    std::time::Instant::now() + timeout.min(WAIT_MAX)
}

/// The present, on both clocks.
pub(crate) fn stamp() -> Stamp {
    Stamp { boottime_ns: boottime_ns(), unix_us: unix_us() }
}

/// Microseconds since 1970; 0 on a machine that believes to be older.
pub(crate) fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Seconds since midnight, UTC.
pub(crate) fn seconds_of_day() -> u32 {
    u32::try_from(unix_us() / 1_000_000 % 86_400).unwrap_or_default()
}
