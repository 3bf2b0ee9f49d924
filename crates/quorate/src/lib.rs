//! High availability as a library: membership, quorum, LUN locks, failover.

pub mod drivers;
pub mod key;
#[doc(hidden)]
pub mod log;
#[doc(hidden)]
pub mod net;
