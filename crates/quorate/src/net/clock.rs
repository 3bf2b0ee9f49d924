//! The clock that leases and freshness are measured on.

/// Nanoseconds since the machine started, time asleep included.
///
/// It never goes back. A host that was suspended finds its leases run out, as it must: a clock
/// that stops during suspend would let it act on.
#[must_use]
pub fn boottime_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).expect("the time since boot is not negative");
    let nanoseconds = u64::try_from(time.tv_nsec).expect("a part of a second is not negative");
    seconds * 1_000_000_000 + nanoseconds
}
