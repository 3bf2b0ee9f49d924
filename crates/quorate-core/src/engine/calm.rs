//! What a step need not look at.
//!
//! Nearly all that comes in is a heartbeat of a node that is well, when everything is. It moves points in time
//! further away: the end of the lease, the silence of a node. None of that asks for anything before the deadlines
//! that stand already, which are then merely too early. So a heartbeat costs what it changes, not a look at every
//! node and group.
//!
//! *Architecture Invariant*: an engine is calm only if another round of [`Engine::settle`] at once, and after any
//! heartbeat that [`Engine::is_plain`] lets pass, would ask for nothing and tell nothing. One exception: a member
//! without a vote hears most others by hearsay alone, and may notice their silence later by one beat's delay.

use super::{Engine, Standing};
use crate::consensus::Consensus;
use crate::database::{Database, NodeState};
use crate::heartbeat::{Liveness, Peer};
use crate::id::{NodeId, PathId};
use crate::message::Beat;
#[cfg(test)]
use crate::timer::Timer;

/// What the next round has to look at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stir {
    /// Consensus was given something.
    pub(super) consensus: bool,
    /// A deadline of a lease or of a silence may have come.
    pub(super) clock: bool,
    /// Everything.
    pub(super) whole: bool,
}

impl Stir {
    /// Everything may have changed.
    pub(super) const WHOLE: Self = Self { consensus: true, clock: true, whole: true };
}

impl Engine {
    /// Whether a beat, before it is taken, changes nothing but points in time.
    pub(super) fn is_plain(&self, from: NodeId, path: PathId, beat: &Beat) -> bool {
        let same = |peer: &Peer| {
            peer.liveness == Liveness::Alive
                && peer.incarnation() == Some(beat.incarnation)
                && peer.is_path_up(path)
                && peer.is_powered()
        };
        beat.lease && self.peers.get(&from).is_some_and(same)
    }

    /// Whether nothing is under way and nobody is missed.
    pub(super) fn is_calm(&self) -> bool {
        let (Some(database), Some(consensus)) = (&self.database, &self.consensus) else {
            return false;
        };
        let alive = |peer: &Peer| peer.liveness == Liveness::Alive && peer.is_powered();
        self.standing == Standing::Member
            && !self.leaving
            && self.lease_held
            && self.touched.is_empty()
            && self.proposed.is_empty()
            && self.peers.values().all(alive)
            && !(self.leans && self.is_voter(self.me))
            && (!consensus.is_coordinator() || self.decides_nothing(database, consensus))
    }

    /// Whether the coordinator has nothing to decide: everybody takes part as who he is known to be.
    fn decides_nothing(&self, database: &Database, consensus: &Consensus) -> bool {
        let known = |node: &NodeId| self.peers.get(node).and_then(Peer::incarnation);
        let takes_part = |record: &crate::database::NodeRecord, node: &NodeId| {
            record.state == NodeState::Up
                && (*node == self.me || known(node) == Some(record.incarnation))
        };
        consensus.is_settled()
            && !self.reconsider
            && self.are_members_settled(database)
            && database.nodes().iter().all(|(node, record)| takes_part(record, node))
    }

    /// The slow twin: an engine that has looked at nothing more would have found nothing.
    #[cfg(test)]
    pub(super) fn assert_calm(&mut self) {
        if self.stir.whole || self.leans {
            return;
        }
        if let (true, Some(at)) = (self.lease_held, self.timers.at(Timer::Lease)) {
            assert!(self.lease_until() >= Some(at), "a lease ends before anybody looks");
        }
        let (actions, notices) = self.out.counts();
        self.stir = Stir::WHOLE;
        self.settle();
        assert_eq!(self.out.counts(), (actions, notices), "a calm engine had something to do");
    }
}
