//! High availability as a library: membership, quorum, LUN locks, failover.
