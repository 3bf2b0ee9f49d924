//! The witness: a voter whose log stands in storage, and whose thoughts are thought by whichever node asks it.
//!
//! Its whole state is one value in a register. A node reads it, lets the very same consensus that it runs itself take
//! a message in that state, and puts the state after it in its place: [`serve`]. What the witness says then is true
//! once the register has taken the new state in place of the very one that was read, and not before.
//!
//! *Architecture Invariant*: nothing is remembered between two calls but what stands in the state.

use serde::{Deserialize, Serialize};

use super::{Consensus, ConsensusTiming, Outcome};
use crate::durable::Durable;
use crate::id::{ClusterId, NodeId, OpId, VoterId};
use crate::message::{ConsensusMessage, LogEntry, LogSnapshot};
use crate::random::Random;
use crate::time::Instant;

/// Entries after which its log is folded into a snapshot: the whole of it is written each time.
const ENTRIES_MAX: usize = 64;

/// All that the witness is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessState {
    /// The cluster.
    pub cluster: ClusterId,
    /// Who founded it: another life of the same cluster has other founders.
    pub founders: Vec<VoterId>,
    /// Drawn when it was made. The cluster has committed it, and takes no other one.
    pub made: u64,
    /// Which node has made it. It counts from when another one has seen it: the maker alone might have its own
    /// directory before its eyes, where the share is not mounted.
    pub maker: NodeId,
    /// The epoch of consensus.
    pub term: u64,
    /// For whom it voted in it.
    pub vote: VoterId,
    /// What it knows to be committed.
    pub commit: u64,
    /// The newest snapshot of its log.
    pub snapshot: Option<LogSnapshot>,
    /// The entries after it.
    pub entries: Vec<LogEntry>,
    /// The coordinator that it heard last.
    pub follows: Option<VoterId>,
    /// How often it has heard any.
    pub beats: u64,
}

/// What came of messages to the witness.
#[derive(Debug)]
pub struct Served {
    /// Its state after them.
    pub state: WitnessState,
    /// What it says, once that state stands in its register.
    pub replies: Vec<ConsensusMessage>,
}

/// The state of the database at a place of the log, and how to come by it: what a long log is folded into.
pub struct Folded<'a> {
    /// The place.
    pub applied: u64,
    /// Its encoded state.
    pub data: &'a dyn Fn() -> Vec<u8>,
}

impl WitnessState {
    /// One that has never been asked anything: an empty log, which waits for a coordinator's.
    pub fn blank(cluster: ClusterId, founders: &[VoterId], made: u64, maker: NodeId) -> Self {
        Self {
            cluster,
            founders: founders.to_vec(),
            made,
            maker,
            term: 0,
            vote: VoterId(0),
            commit: 0,
            snapshot: None,
            entries: Vec::new(),
            follows: None,
            beats: 0,
        }
    }

    /// The epoch and the place of its newest entry: who has less is not elected by it.
    pub fn last(&self) -> (u64, u64) {
        let snapshot = self.snapshot.as_ref().map(|snapshot| (snapshot.term, snapshot.index));
        let entry = self.entries.last().map(|entry| (entry.term, entry.index));
        entry.or(snapshot).unwrap_or_default()
    }

    /// The same as records, as if it were a node's log.
    pub fn durable(&self) -> Durable {
        Durable {
            identity: Some(VoterId::WITNESS),
            hard_state: (self.term > 0).then_some((self.term, self.vote, self.commit)),
            snapshot: self.snapshot.clone(),
            entries: self.entries.clone(),
            electorate: None,
        }
    }
}

impl ConsensusMessage {
    /// Whether a coordinator says it, who keeps the witness or brings it up to date.
    pub fn is_of_coordinator(&self) -> bool {
        matches!(self.kind, Self::APPENDS | Self::BRINGS_SNAPSHOT | Self::BEATS)
    }

    /// Whether it brings entries, which are missed if it is lost.
    pub fn brings_entries(&self) -> bool {
        matches!(self.kind, Self::APPENDS | Self::BRINGS_SNAPSHOT)
    }

    /// Whether it asks for a vote, or whether there would be one.
    pub fn asks_for_vote(&self) -> bool {
        matches!(self.kind, Self::ASKS_FOR_VOTE | Self::ASKS_BEFORE_VOTE)
    }
}

/// Lets the witness take messages, one after the other. Those that it takes as a coordinator's count as beats.
pub fn serve(
    state: &WitnessState,
    messages: &[ConsensusMessage],
    timing: ConsensusTiming,
    folded: Option<Folded<'_>>,
) -> Served {
    let begin = Instant::default();
    let durable = state.durable();
    let random = Random::new(state.made);
    let mut consensus = Consensus::new(VoterId::WITNESS, &durable, 0, timing, random, begin);
    let mut outcome = Outcome::default();
    let mut ops = 0;
    let (mut follows, mut beats) = (state.follows, state.beats);
    consensus.settle(&mut outcome, &mut ops);
    for message in messages {
        let taken = consensus.receive(message, begin);
        consensus.settle(&mut outcome, &mut ops);
        let heard = message.is_of_coordinator() && consensus.coordinator() == Some(message.from);
        if taken && heard {
            follows = Some(message.from);
            beats += 1;
        }
    }
    if let Some(folded) = folded
        && folded.applied == consensus.applied()
        && folded.applied > consensus.raw.store().snapshot_index()
        && consensus.raw.store().len() >= ENTRIES_MAX
    {
        consensus.fold((folded.data)());
    }
    let after = Durable::replay(consensus.raw.store().records());
    let (term, vote, commit) = after.hard_state.unwrap_or_default();
    let state = WitnessState {
        cluster: state.cluster,
        founders: state.founders.clone(),
        made: state.made,
        maker: state.maker,
        term,
        vote,
        commit,
        snapshot: after.snapshot,
        entries: after.entries,
        follows,
        beats,
    };
    Served { state, replies: outcome.messages }
}

impl Consensus {
    /// Takes everything out, as if it were persisted at once.
    fn settle(&mut self, outcome: &mut Outcome, ops: &mut u64) {
        while self.has_output() || !outcome.persist.is_empty() {
            self.drain(outcome, || {
                *ops += 1;
                OpId(*ops)
            });
            for (op, _) in std::mem::take(&mut outcome.persist) {
                self.on_persisted(op, outcome);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn timing() -> ConsensusTiming {
        let ms = Duration::from_millis;
        ConsensusTiming { tick: ms(50), election_min: ms(150), election_max: ms(250) }
    }

    fn voter(node: u16) -> VoterId {
        VoterId::new(NodeId(node), 7)
    }

    fn message(kind: u8, from: u16, term: u64) -> ConsensusMessage {
        ConsensusMessage {
            kind,
            to: VoterId::WITNESS,
            from: voter(from),
            term,
            log_term: 1,
            index: 1,
            entries: Vec::new(),
            commit: 0,
            commit_term: 0,
            snapshot: None,
            request_snapshot: 0,
            reject: false,
            reject_hint: 0,
            context: Vec::new(),
            priority: 0,
        }
    }

    fn blank() -> WitnessState {
        WitnessState::blank(ClusterId(1), &[voter(1), voter(2)], 5, NodeId(1))
    }

    fn serve_one(state: &WitnessState, message: ConsensusMessage) -> Served {
        serve(state, &[message], timing(), None)
    }

    #[test]
    fn the_witness_votes_once_in_an_epoch_whoever_asks_for_it() {
        let one = serve_one(&blank(), message(ConsensusMessage::ASKS_FOR_VOTE, 1, 4));
        assert_eq!((one.state.term, one.state.vote), (4, voter(1)));
        assert!(!one.replies[0].reject && one.replies[0].to == voter(1));
        let other = serve_one(&one.state, message(ConsensusMessage::ASKS_FOR_VOTE, 2, 4));
        assert!(other.replies[0].reject);
        assert_eq!(other.state.vote, voter(1));
    }

    #[test]
    fn a_coordinator_of_an_earlier_epoch_is_no_beat_and_hears_of_the_later_one() {
        let voted = serve_one(&blank(), message(ConsensusMessage::ASKS_FOR_VOTE, 2, 4)).state;
        let late = serve_one(&voted, message(ConsensusMessage::BEATS, 1, 3));
        assert_eq!((late.state.beats, late.state.follows), (0, None));
        assert_eq!(late.replies[0].term, 4);
        let beat = serve_one(&voted, message(ConsensusMessage::BEATS, 2, 4));
        assert_eq!((beat.state.beats, beat.state.follows), (1, Some(voter(2))));
    }

    #[test]
    fn an_empty_log_is_filled_by_a_snapshot_and_goes_on_from_there() {
        let voters = [voter(1), voter(2), VoterId::WITNESS];
        let snapshot = crate::consensus::genesis(&voters, &[], vec![9; 40]);
        let brings = ConsensusMessage {
            snapshot: Some(snapshot.clone()),
            ..message(ConsensusMessage::BRINGS_SNAPSHOT, 1, 2)
        };
        let filled = serve_one(&blank(), brings);
        assert_eq!(filled.state.snapshot, Some(snapshot));
        let body = crate::message::EntryBody::Changes(vec![1]);
        let entries = vec![LogEntry { index: 2, term: 2, body }];
        let append = ConsensusMessage {
            entries: entries.clone(),
            commit: 1,
            ..message(ConsensusMessage::APPENDS, 1, 2)
        };
        let appended = serve_one(&filled.state, append);
        assert_eq!(appended.state.entries, entries);
        assert_eq!(appended.state.last(), (2, 2));
        let said = &appended.replies[0];
        assert_eq!((said.kind, said.index, said.reject), (ConsensusMessage::APPENDED, 2, false));
    }

    #[test]
    fn whoever_has_less_is_not_elected() {
        let voters = [voter(1), voter(2), VoterId::WITNESS];
        let snapshot = LogSnapshot {
            index: 9,
            term: 3,
            ..crate::consensus::genesis(&voters, &[], Vec::new())
        };
        let state = WitnessState { term: 3, commit: 9, snapshot: Some(snapshot), ..blank() };
        let asks = ConsensusMessage {
            log_term: 3,
            index: 8,
            ..message(ConsensusMessage::ASKS_FOR_VOTE, 2, 4)
        };
        assert!(serve_one(&state, asks).replies[0].reject);
    }
}
