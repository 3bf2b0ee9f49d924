//! What a coordinator whom the witness keeps may say in its name: that it acknowledges heartbeats, and how long ago it
//! has at the latest.
//!
//! The witness hears no heartbeats. It is the coordinator that keeps it: each swap by which the witness takes a
//! message of the coordinator's, in the coordinator's own epoch, counts as the witness's acknowledgement of every
//! heartbeat that the coordinator had sent or accepted when it asked for the swap. Only a coordinator that has in its
//! epoch applied all that was committed before gives it, and only to nodes that are up by that.
//!
//! Why that may be counted with the acknowledgements and the words of nodes: let the witness have acknowledged a
//! heartbeat of node n by a swap S of a coordinator C, in epoch T, and let a coordinator D, in epoch U, give the
//! witness's word about n, which is down, for a fence.
//!
//! - *U = T*, so D is C. A heartbeat that it vouches for was accepted by it when n was up. Its word is no older than
//!   its own last acceptance of n, as that of any voter about itself.
//! - *U > T*. D gives the word only after a swap of its own in U, by its vote or as its coordinator. From then on the
//!   register holds U, and no message of C is taken: S came before. S has raised the beat counter. D knows since when,
//!   at the latest, the counter stood as that swap of its found it (it compares the whole register): the end R of the
//!   first read that showed it. So S came before R, n's heartbeat was sent before S was asked for, and n's lease by it
//!   is over `lease_over` after R. The word is no older than R.
//! - *U < T*. n is down by a change that D has committed, and C, in the later epoch, has applied it before it vouches
//!   for anybody: it vouches for n only once n is admitted again, as another incarnation.
//!
//! So the witness is as good as any voter in both majorities, and two of them always meet: whoever has a lease was
//! acknowledged by a voter whose word the fence would have needed.

use std::collections::BTreeMap;

use super::{Accepted, Engine};
use crate::consensus::Consensus;
use crate::consensus::witness::WitnessState;
use crate::database::{Database, NodeState};
use crate::fence::Withheld;
use crate::heartbeat::Peer;
use crate::id::{Epoch, NodeId};
use crate::plant::{self, Plant};
use crate::time::Instant;

/// What a coordinator knows of its swaps.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The epoch in which it has applied all that was committed before.
    settled_in: Option<Epoch>,
    /// Its first swap in this epoch found the beat counter as it stood since then.
    quiet_since: Option<(Epoch, Instant)>,
    /// The newest swap by which the witness took a message of this coordinator.
    newest: Option<Swap>,
    /// The heartbeats for which it vouches.
    vouched: BTreeMap<NodeId, (u64, u64)>,
    /// The epoch in which it has vouched for any.
    vouched_in: Option<Epoch>,
}

#[derive(Debug)]
struct Swap {
    epoch: Epoch,
    begun: Instant,
    accepted: BTreeMap<NodeId, Accepted>,
}

impl Kept {
    pub(super) fn has_settled_in(&self, epoch: Epoch) -> bool {
        self.settled_in == Some(epoch)
    }

    pub(super) fn settle(&mut self, epoch: Epoch) {
        self.settled_in = Some(epoch);
    }
}

impl Engine {
    /// A swap has succeeded, after which the witness is in `state`. `before`: the beat counter as the swap found it,
    /// and since when it stood so.
    pub(super) fn note_kept(
        &mut self,
        state: &WitnessState,
        before: (u64, Instant),
        (begun, epoch): (Instant, Epoch),
        accepted: BTreeMap<NodeId, Accepted>,
    ) {
        let follows = state.follows == self.identity && state.term == epoch.0;
        let mine = follows || state.vote == self.identity.unwrap_or_default();
        let kept = &mut self.hands.kept;
        if state.term == epoch.0 && mine && kept.quiet_since.is_none_or(|quiet| quiet.0 != epoch) {
            kept.quiet_since = Some((epoch, before.1));
        }
        let coordinates = self.consensus.as_ref().is_some_and(Consensus::is_coordinator);
        let taken = follows && state.beats > before.0;
        if coordinates && (taken || plant::is(Plant::WitnessLeaseOfOldTerm)) {
            kept.newest = Some(Swap { epoch, begun, accepted });
            self.count_witness();
        }
    }

    /// The witness's acknowledgement counts, once this coordinator may give it.
    pub(super) fn count_witness(&mut self) {
        let (epoch, leads) = (self.epoch(), self.is_coordinator());
        let Some(database) = &self.database else { return };
        let kept = &mut self.hands.kept;
        if !leads || !kept.has_settled_in(epoch) {
            return;
        }
        let Some(Swap { begun, accepted, .. }) = kept.newest.take_if(|swap| swap.epoch == epoch)
        else {
            return;
        };
        let up = |(node, (incarnation, beat)): (NodeId, Accepted)| {
            database.is_up_as(node, incarnation).then_some((node, beat))
        };
        kept.vouched = accepted.into_iter().filter_map(up).collect();
        // Whoever has waited for it through an election hears it at once.
        let first = kept.vouched_in.replace(epoch) != Some(epoch);
        if database.is_up_as(self.me, self.incarnation) {
            self.lease.on_acknowledged(NodeId::WITNESS, begun);
        }
        self.stir.clock |= !self.lease_held;
        if first {
            self.beat_now(false);
        }
    }

    /// The newest heartbeat of a node of which the coordinator may say that the witness acknowledges it.
    pub(in crate::engine) fn vouches_for(&self, node: NodeId) -> Option<(u64, u64)> {
        let up = self.database.as_ref().is_some_and(|database| database.is_up(node));
        self.hands.kept.vouched.get(&node).copied().filter(|_| up && self.has_settled())
    }

    /// What the witness says of a node that is down, by this coordinator: see above.
    pub(in crate::engine) fn witness_word(&self, node: NodeId) -> Option<Withheld> {
        let database =
            self.database.as_ref().filter(|_| self.config.witness_votes() && self.has_settled())?;
        let accepted = self.peers.get(&node).map(Peer::accepted)?;
        let down = database.node(node).is_some_and(|one| matches!(one.state, NodeState::Down(_)));
        let quiet = self.hands.kept.quiet_since.filter(|&(epoch, _)| epoch == self.epoch());
        let since = match quiet {
            _ if plant::is(Plant::WitnessWordTooEarly) => accepted,
            Some((_, quiet)) => quiet.max(accepted),
            None => return None,
        };
        down.then(|| Withheld { applied: Database::applied(database), age: self.now.since(since) })
    }
}
