//! Lengths of time for system calls.

use std::time::Duration;

use rustix::event::Timespec;

/// A poll time-out; at least one nanosecond would be lost by rounding, none is.
pub(crate) fn timespec(length: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(length.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: length.subsec_nanos().into(),
    }
}
