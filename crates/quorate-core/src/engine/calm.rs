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
use crate::database::NodeState;
use crate::heartbeat::{Liveness, Peer};
use crate::id::{NodeId, PathId, VoterId};
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
            (peer.liveness == Liveness::Alive || self.is_muted(peer))
                && peer.incarnation() == Some(beat.incarnation)
                && peer.is_path_up(path)
                && peer.is_powered() == beat.lease
        };
        self.peers.get(&from).is_some_and(same)
    }

    /// Whether nothing is under way and nobody is missed. Only the coordinator has to do with nodes that take no part:
    /// one of them, and whoever waits with it for being let in, is calm.
    pub(super) fn is_calm(&self) -> bool {
        let Some(consensus) = &self.consensus else { return false };
        let coordinates = consensus.is_coordinator();
        let coordinator = consensus.coordinator().map(VoterId::node);
        let alive = |peer: &Peer| peer.liveness == Liveness::Alive && peer.is_powered();
        let votes = self.is_voter(self.me);
        let well = |(node, peer): (&NodeId, &Peer)| {
            let is_known = self.is_muted(peer) || !votes && peer.heard().is_none();
            let waits = || is_known && !self.probes.contains_key(node);
            alive(peer) || !coordinates && (peer.liveness == Liveness::Alive || waits())
        };
        self.standing == Standing::Member
            && !self.leaving
            && (self.lease_held || self.waits_to_be_let_in())
            && self.coordinator_told == Some((coordinator, consensus.epoch()))
            && self.touched.is_empty()
            && self.proposed.is_empty()
            && self.peers.iter().all(well)
            && !(self.leans && votes)
            && (!coordinates || self.decides_nothing(consensus))
    }

    /// Whether it takes no part, has nothing to end first, and has told everybody within reach.
    fn waits_to_be_let_in(&self) -> bool {
        !self.takes_part() && !self.is_declared_down() && self.has_said_hello()
    }

    /// Whether the node is heard, and counts as silent for what it says of itself alone.
    pub(super) fn is_muted(&self, peer: &Peer) -> bool {
        peer.is_muted(self.deaf_until, self.timing(), self.now)
    }

    /// Whether the coordinator has nothing to decide: everybody takes part as who he is known to be.
    fn decides_nothing(&self, consensus: &Consensus) -> bool {
        let Some(database) = &self.database else { return false };
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
        let found = self.out.counts();
        assert_eq!(found, (actions, notices), "a calm engine had something to do: {:?}", self.out);
    }
}
