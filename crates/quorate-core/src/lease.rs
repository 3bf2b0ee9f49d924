//! This node's own right to act: `lease` after the *sending* of its newest heartbeat that a
//! majority of voters has acknowledged, by its own clock. Nobody grants it, nobody can take it
//! back; it ends by time.
//!
//! *Architecture Invariant*: a point of receipt never enters here, only points of sending.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::NodeId;
use crate::plant::{self, Plant};
use crate::quorum;
use crate::time::Instant;

/// What the voters have acknowledged.
#[derive(Debug, Default)]
pub struct Lease {
    acknowledged: BTreeMap<NodeId, Instant>,
}

impl Lease {
    /// No right yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that goes on.
    pub fn of(acknowledged: BTreeMap<NodeId, Instant>) -> Self {
        Self { acknowledged }
    }

    /// When what each voter has acknowledged was sent.
    pub fn acknowledged(&self) -> &BTreeMap<NodeId, Instant> {
        &self.acknowledged
    }

    /// `voter` has acknowledged the heartbeat that this node sent at `sent`.
    pub fn on_acknowledged(&mut self, voter: NodeId, sent: Instant) {
        let newest = self.acknowledged.entry(voter).or_insert(sent);
        *newest = sent.max(*newest);
    }

    /// Forgets every acknowledgement: this node begins anew.
    pub fn reset(&mut self) {
        self.acknowledged.clear();
    }

    /// Until when this node may act on a lease of `length`; none: no majority has ever acknowledged
    /// it.
    pub fn until(&self, voters: &[NodeId], length: Duration) -> Option<Instant> {
        let sent = voters.iter().filter_map(|voter| self.acknowledged.get(voter).copied());
        if plant::is(Plant::LeaseOfOne) {
            return sent.max().map(|sent| sent + length);
        }
        quorum::majority_value(voters.len(), sent).map(|sent| sent + length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_nanos(100);
    const VOTERS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

    #[test]
    fn a_lease_counts_from_the_sending_that_a_majority_acknowledged() {
        let mut lease = Lease::new();
        lease.on_acknowledged(NodeId(1), Instant(50));
        assert_eq!(lease.until(&VOTERS, LENGTH), None);
        lease.on_acknowledged(NodeId(2), Instant(30));
        assert_eq!(lease.until(&VOTERS, LENGTH), Some(Instant(130)));
        lease.on_acknowledged(NodeId(3), Instant(40));
        assert_eq!(lease.until(&VOTERS, LENGTH), Some(Instant(140)));
    }

    #[test]
    fn a_late_acknowledgement_never_shortens_a_lease() {
        let mut lease = Lease::new();
        lease.on_acknowledged(NodeId(1), Instant(50));
        lease.on_acknowledged(NodeId(2), Instant(50));
        lease.on_acknowledged(NodeId(2), Instant(10));
        assert_eq!(lease.until(&VOTERS, LENGTH), Some(Instant(150)));
    }
}
