//! This node as the hands of the witness.
//!
//! What consensus says to the witness is not sent. It is served: its state is read from its register, the witness's
//! part in it is thought here, and what it is then takes the place of what was read, if that still stands there. Only
//! when that has succeeded is anything of it true, and heard here. So nothing is ever answered from memory: a state
//! that is kept is no more than what the next swap expects to find.
//!
//! ```text
//! idle --messages, a look is due--> Read --state--> Swap --swapped--> idle: replies count
//!   ^------------------failed-----------/ ^--changed--/ \---failed---> idle: messages are lost, as any may be
//! ```
//!
//! Thrift: while the nodes alone are a majority that hears itself, nothing is said to the witness. Messages may always
//! be lost.
//!
//! *Architecture Invariant*: one request at a time; no reply counts before its swap has succeeded.

mod keeping;

use std::collections::BTreeMap;

use super::{Engine, Standing};
use crate::action::{Action, WitnessVerb};
use crate::change::Change;
use crate::codec;
use crate::consensus::Consensus;
use crate::consensus::witness::{Folded, Served, WitnessState, serve};
use crate::database::Database;
use crate::event::WitnessReply;
use crate::heartbeat::{Liveness, Peer};
use crate::id::{Epoch, Incarnation, NodeId, OpId, VoterId};
use crate::message::ConsensusMessage;
use crate::notice::{Notice, WitnessTrouble};
use crate::plant::{self, Plant};
use crate::time::Instant;
use crate::timer::Timer;
use keeping::Kept;

/// At most so many messages wait to be served at once.
const WAITING_MAX: usize = 64;

/// How this node stands with the witness.
#[derive(Debug, Default)]
pub(super) struct Hands {
    doing: Option<Doing>,
    /// What consensus has said to the witness.
    waiting: Vec<ConsensusMessage>,
    /// What stood in the register when it was seen last.
    known: Option<Known>,
    /// The beat counter that was seen last, and since when, at the latest, it stands there.
    still: Option<(u64, Instant)>,
    /// When a node that votes was last found silent.
    doubted: Option<Instant>,
    /// When it was last asked for anything.
    pub(super) asked: Option<Instant>,
    wants_look: bool,
    /// When each node last said anything of consensus.
    spoke: BTreeMap<NodeId, Instant>,
    /// Since when the coordinator has something under way.
    unsettled_since: Option<Instant>,
    kept: Kept,
    pub(super) trouble: Option<WitnessTrouble>,
    /// What the register was known by that was read and had been asked before.
    served: Option<u64>,
    /// When it answered last.
    pub(super) answered: Option<Instant>,
    ahead_told: Option<(u64, u64)>,
}

/// A version of the register.
#[derive(Debug)]
struct Known {
    version: u64,
    state: WitnessState,
}

/// The newest heartbeat of a node that was accepted: of which incarnation, its boot, and when it was sent.
type Accepted = (Incarnation, (u64, u64));

/// A request under way.
#[derive(Debug)]
struct Doing {
    op: OpId,
    begun: Instant,
    epoch: Epoch,
    /// The newest heartbeat of each node that was accepted here by then.
    accepted: BTreeMap<NodeId, Accepted>,
    /// What a swap puts there; none: it is a read.
    swap: Option<Served>,
    /// What was served for it.
    messages: Vec<ConsensusMessage>,
}

impl Engine {
    /// Consensus has said something to the witness.
    pub(super) fn say_to_witness(&mut self, message: ConsensusMessage) {
        let made = self.made_witness().is_some();
        let wanted = message.is_of_coordinator() || message.asks_for_vote();
        let room = self.hands.waiting.len() < WAITING_MAX;
        if !made || !wanted || !room || !self.needs_witness() {
            if let (true, Some(consensus)) = (message.brings_entries(), &mut self.consensus) {
                consensus.on_unreachable(VoterId::WITNESS);
            }
            return;
        }
        let waiting = &mut self.hands.waiting;
        if !message.brings_entries() {
            waiting.retain(|old| old.kind != message.kind);
        }
        waiting.push(message);
        self.tend_witness();
    }

    /// What the witness that counts is known by: as it is committed; or as it was read, if it was ever asked anything,
    /// which is done only once that is committed. A node that starts alone may not know how much of its log is.
    fn made_witness(&self) -> Option<u64> {
        self.database.as_ref().and_then(Database::witness).or(self.hands.served)
    }

    /// A node has said something of consensus.
    pub(super) fn note_spoken(&mut self, from: NodeId) {
        if self.config.witness_votes() {
            self.hands.spoke.insert(from, self.now);
        }
    }

    /// Whether the nodes alone are no majority that hears itself and gets on. A coordinator is answered at every tick,
    /// and finds out at the second one that is not: before it is too few for the library, and before any other node
    /// that is cut off may ask the witness for its vote.
    fn needs_witness(&self) -> bool {
        let interval = self.timing().interval;
        let (fresh, leads) = (interval * 5 / 2, self.is_coordinator());
        let acknowledges = |node: &NodeId| {
            let lately =
                |at: Option<&Instant>, limit| at.is_some_and(|&at| self.now.since(at) <= limit);
            self.seen(*node) == Liveness::Alive
                && lately(self.lease.acknowledged().get(node), fresh)
                && (!leads || lately(self.hands.spoke.get(node), interval * 3 / 2))
        };
        let there = self.config.voters().filter(|node| *node == self.me || acknowledges(node));
        if there.count() < crate::quorum::majority(self.voters().len()) {
            return true;
        }
        if leads && !plant::is(Plant::WitnessForOne) && !self.are_all_kept_by_nodes() {
            return true;
        }
        let limit = self.timing().suspect;
        let powerless =
            self.peers.values().any(|one| one.is_fresh(limit, self.now) && !one.is_powered());
        let stuck = self.hands.unsettled_since.is_some_and(|since| self.now.since(since) > fresh);
        leads && (powerless || stuck || !self.lease_held)
    }

    /// Whether each node that is heard here has a majority of the nodes that it hears and that hear it, as they
    /// say: the coordinator may have one, and one of those that it needs for that may not. What nobody says for it,
    /// the witness must, before its lease is over.
    fn are_all_kept_by_nodes(&self) -> bool {
        let limit = self.timing().interval * 7 / 2;
        let lately = |at: Option<Instant>| at.is_some_and(|at| self.now.since(at) <= limit);
        let hears = |ear: NodeId, node: NodeId| match self.peers.get(&ear) {
            None => lately(self.peers.get(&node).and_then(Peer::heard)),
            Some(peer) => lately(peer.says_heard(node)),
        };
        let is_kept = |node: NodeId| {
            let by = |&voter: &NodeId| voter == node || hears(voter, node) && hears(node, voter);
            self.config.voters().filter(by).count() >= crate::quorum::majority(self.voters().len())
        };
        let Some(database) = &self.database else { return true };
        let heard = self.peers.iter().filter(|(_, peer)| lately(peer.heard()));
        heard.map(|(&node, _)| node).filter(|&node| database.is_up(node)).all(is_kept)
    }

    /// A node that votes is silent: the witness may be needed soon, and it is good to know since when it stands still.
    pub(super) fn doubt(&mut self, node: NodeId, liveness: Liveness) {
        if !self.config.witness_votes() || !self.is_voter(node) {
            return;
        }
        if liveness != Liveness::Silent(crate::change::DownCause::ConnectionReset) {
            self.hands.doubted = Some(self.now);
        }
        self.hands.wants_look = true;
        self.tend_witness();
    }

    /// Whether an answer may come that decides an election.
    pub(super) fn asks_witness(&self) -> bool {
        let Hands { doing: Some(doing), waiting, .. } = &self.hands else { return false };
        if self.now.since(doing.begun) > self.timing().election_max {
            return false;
        }
        waiting.iter().chain(&doing.messages).any(ConsensusMessage::asks_for_vote)
    }

    /// Asks the witness's register for what is next, if anything is, and sets when to look again.
    pub(super) fn tend_witness(&mut self) {
        if !self.config.witness_votes()
            || self.standing != Standing::Member
            || !self.is_voter(self.me)
        {
            return;
        }
        self.drop_what_is_past();
        let look = self.next_look();
        let mut next = look;
        if self.hands.doing.is_none() {
            let asks = self.hands.waiting.iter().any(ConsensusMessage::asks_for_vote);
            let gate = self.may_ask_at();
            let serves = !self.hands.waiting.is_empty();
            if self.hands.wants_look || self.now >= look || serves && self.hands.known.is_none() {
                self.ask_witness(None, Vec::new());
            } else if serves && asks && self.now < gate {
                next = next.min(gate);
            } else if serves {
                self.serve_waiting();
            }
        }
        self.timers.set(Timer::Witness, next.max(self.now + self.timing().interval / 4));
    }

    /// What was said by a coordinator or candidate that this node is no more.
    fn drop_what_is_past(&mut self) {
        let Some(consensus) = &self.consensus else { return };
        let (epoch, leads) = (consensus.epoch().0, consensus.is_coordinator());
        let stands = consensus.is_standing();
        self.hands.waiting.retain(|message| match message.asks_for_vote() {
            true => stands && message.term >= epoch,
            false => leads && message.term == epoch,
        });
    }

    /// It is looked at now and then, whether it is needed or not: then it is known for long that it stands still.
    fn next_look(&self) -> Instant {
        let made = self.database.as_ref().and_then(Database::witness).is_some();
        let pause = if made { self.timing().detect * 5 } else { self.timing().detect / 2 };
        self.hands.asked.unwrap_or(self.session_since) + pause
    }

    /// From when on a vote of the witness may be asked for. One that keeps a coordinator counts its beats, which begin
    /// before the doubt here is so old: so a node that is cut off deposes nobody whom the witness keeps. One after the
    /// other, that nobody takes the votes from the next.
    fn may_ask_at(&self) -> Instant {
        let timing = self.timing();
        let still = self.hands.still.map_or(self.now, |(_, since)| since);
        let alive = |node: &NodeId| *node < self.me && self.seen(*node) == Liveness::Alive;
        let place = u32::try_from(self.config.voters().filter(alive).count()).unwrap_or_default();
        let pause = timing.interval + timing.interval / 2 * place;
        let doubted = self.hands.doubted.map(|at| at + pause);
        (still + timing.election_min).max(doubted.unwrap_or_default())
    }

    fn ask_witness(&mut self, swap: Option<(u64, Served)>, messages: Vec<ConsensusMessage>) {
        let op = self.out.op();
        let verb = match &swap {
            None => WitnessVerb::Read,
            Some((expected, served)) => {
                WitnessVerb::Swap { expected: *expected, bytes: codec::encode(&served.state) }
            }
        };
        self.hands.wants_look &= swap.is_some();
        self.hands.asked = Some(self.now);
        let of = |peer: &Peer| Some((peer.incarnation()?, peer.acknowledgement()?));
        let accepted = self.peers.iter().filter_map(|(&node, peer)| Some((node, of(peer)?)));
        self.hands.doing = Some(Doing {
            op,
            begun: self.now,
            epoch: self.epoch(),
            accepted: accepted.collect(),
            swap: swap.map(|(_, served)| served),
            messages,
        });
        self.out.act(Action::Witness { op, verb });
    }

    /// Thinks for the witness, and asks its register to take what comes of it.
    fn serve_waiting(&mut self) {
        // What this node once made where no other saw it has the same versions.
        let made = self.made_witness();
        let known = self.hands.known.as_ref().filter(|known| Some(known.state.made) == made);
        let Some(Known { version, state }) = known else {
            return self.ask_witness(None, Vec::new());
        };
        let timing = self.consensus_timing();
        let folded =
            self.database.as_ref().map(|database| (database.applied(), || codec::encode(database)));
        let folded = folded.as_ref().map(|(applied, data)| Folded { applied: *applied, data });
        let served = serve(state, &self.hands.waiting, timing, folded);
        let (version, ahead) = (*version, self.finds_newer(state));
        let messages = std::mem::take(&mut self.hands.waiting);
        let early = plant::is(Plant::WitnessVoteBeforeSwap).then(|| served.replies.clone());
        self.ask_witness(Some((version, served)), messages);
        if plant::is(Plant::WitnessAnswersFromMemory) {
            return self.answer_from_memory();
        }
        self.hear_witness(early.unwrap_or_default());
        if let Some((newest, node)) = ahead.filter(|ahead| self.hands.ahead_told != Some(ahead.0)) {
            self.hands.ahead_told = Some(newest);
            self.out.tell(Notice::WitnessAhead { node });
        }
    }

    /// A mistake on purpose.
    fn answer_from_memory(&mut self) {
        self.out.take_back();
        if let Some(Doing { begun, epoch, accepted, swap: Some(served), .. }) =
            self.hands.doing.take()
        {
            self.on_witness_swapped(served, begun, epoch, accepted);
        }
    }

    /// The witness's newest entry, and who has it too, if this node asks for a vote and has less.
    fn finds_newer(&self, state: &WitnessState) -> Option<((u64, u64), Option<NodeId>)> {
        let mut asks = self.hands.waiting.iter().filter(|message| message.asks_for_vote());
        let less = asks.any(|message| (message.log_term, message.index) < state.last());
        let node = state.follows.map(VoterId::node).filter(|&node| node != self.me);
        less.then(|| (state.last(), node))
    }

    /// Its register has answered.
    pub(super) fn on_witness(&mut self, op: OpId, result: Result<WitnessReply, String>) {
        self.timers.clear(Timer::Op(op));
        let Some(doing) = self.hands.doing.take_if(|doing| doing.op == op) else { return };
        match (result, doing.swap) {
            (Ok(WitnessReply::State { version, bytes }), None) => {
                self.on_witness_read(version, &bytes)
            }
            (Ok(WitnessReply::Swapped), Some(served)) => {
                self.on_witness_swapped(served, doing.begun, doing.epoch, doing.accepted);
            }
            // Somebody else was first: what it is by now has to be read. What was to be served waits on.
            (Ok(WitnessReply::Changed), Some(_)) => {
                self.hands.known = None;
                self.hands.wants_look = true;
                self.hands.waiting.splice(0..0, doing.messages);
            }
            (Ok(_), _) => self.lose_witness(WitnessTrouble::Unreadable),
            (Err(why), _) => self.lose_witness(WitnessTrouble::Unreachable(why)),
        }
        self.tend_witness();
    }

    /// A request has not been answered in time. False: it is none to the witness.
    pub(super) fn on_witness_overdue(&mut self, op: OpId) -> bool {
        let is_ours = self.hands.doing.as_ref().is_some_and(|doing| doing.op == op);
        if is_ours {
            self.on_witness(op, Err("no answer in time".to_owned()));
        }
        is_ours
    }

    /// It cannot be used at present. What was said to it is lost, and will be said again.
    fn lose_witness(&mut self, trouble: WitnessTrouble) {
        self.hands.known = None;
        self.hands.waiting.clear();
        if let Some(consensus) = &mut self.consensus {
            consensus.on_unreachable(VoterId::WITNESS);
        }
        self.tell_witness(Some(trouble));
    }

    fn tell_witness(&mut self, trouble: Option<WitnessTrouble>) {
        let kind = |one: &Option<WitnessTrouble>| one.as_ref().map(std::mem::discriminant);
        if kind(&self.hands.trouble) != kind(&trouble) {
            self.out.tell(Notice::Witness { trouble: trouble.clone() });
        }
        if trouble.is_none() {
            self.hands.answered = Some(self.now);
        }
        self.hands.trouble = trouble;
    }

    fn on_witness_read(&mut self, version: u64, bytes: &[u8]) {
        let Some(database) = &self.database else { return };
        let made = database.witness();
        if version == 0 {
            let anew = plant::is(Plant::WitnessMadeAnew);
            return match made {
                Some(_) if !anew => self.lose_witness(WitnessTrouble::Empty),
                Some(_) | None => self.make_witness(made),
            };
        }
        let state: WitnessState = match codec::decode(bytes) {
            Ok(state) => state,
            Err(_) => return self.lose_witness(WitnessTrouble::Unreadable),
        };
        let ours = state.cluster == self.config.id() && state.founders == database.founders();
        if !ours || made.is_some_and(|made| made != state.made) {
            return self.lose_witness(WitnessTrouble::Foreign);
        }
        self.tell_witness(None);
        let now = self.now;
        self.hands.still =
            self.hands.still.filter(|still| still.0 == state.beats).or(Some((state.beats, now)));
        self.hands.served = (state.term > 0).then_some(state.made);
        if made.is_none() && state.maker != self.me {
            self.confirm_witness(state.made);
        }
        self.hands.known = Some(Known { version, state });
    }

    /// This node sees the register that another one has made: both reach the same share.
    fn confirm_witness(&mut self, made: u64) {
        let coordinator = self.consensus.as_ref().and_then(Consensus::coordinator);
        if let Some(coordinator) = coordinator {
            self.hand_in(coordinator.node(), vec![Change::Witnessed { made }]);
        }
    }

    /// The register was never written: the coordinator makes it, once, before anything is asked of it.
    fn make_witness(&mut self, made: Option<u64>) {
        self.hands.known = None;
        if !self.has_settled() && made.is_none() {
            return;
        }
        let Some(database) = &self.database else { return };
        let (cluster, founders) = (self.config.id(), database.founders().to_vec());
        let made = made.unwrap_or_else(|| self.random.draw());
        let state = WitnessState::blank(cluster, &founders, made, self.me);
        self.hands.known = Some(Known { version: 0, state: state.clone() });
        self.ask_witness(Some((0, Served { state, replies: Vec::new() })), Vec::new());
    }

    fn on_witness_swapped(
        &mut self,
        served: Served,
        begun: Instant,
        epoch: Epoch,
        accepted: BTreeMap<NodeId, Accepted>,
    ) {
        let Served { state, replies } = served;
        let Some(Known { version, .. }) = self.hands.known.take() else { return };
        self.tell_witness(None);
        let before = self.hands.still.unwrap_or((0, self.now));
        if self.epoch() == epoch {
            self.note_kept(&state, before, (begun, epoch), accepted);
        }
        let now = self.now;
        self.hands.still =
            self.hands.still.filter(|still| still.0 == state.beats).or(Some((state.beats, now)));
        self.hands.known = Some(Known { version: version + 1, state });
        if !plant::is(Plant::WitnessVoteBeforeSwap) {
            self.hear_witness(replies);
        }
    }

    /// What the witness says, to this node's part in consensus.
    fn hear_witness(&mut self, replies: Vec<ConsensusMessage>) {
        let (me, now) = (self.identity, self.now);
        let Some(consensus) = &mut self.consensus else { return };
        for reply in replies.iter().filter(|reply| Some(reply.to) == me) {
            consensus.receive(reply, now);
        }
        self.stir.consensus = true;
    }

    /// Whether this node coordinates, and has in this epoch known all that was decided before it.
    fn has_settled(&self) -> bool {
        self.is_coordinator() && self.hands.kept.has_settled_in(self.epoch())
    }

    /// After consensus was drained: whether the coordinator gets on.
    pub(super) fn watch_settling(&mut self) {
        let settled = self.consensus.as_ref().is_some_and(Consensus::is_settled);
        self.hands.unsettled_since = match self.hands.unsettled_since {
            _ if settled || !self.is_coordinator() => None,
            since => since.or(Some(self.now)),
        };
        if settled && self.config.witness_votes() {
            let epoch = self.epoch();
            self.hands.kept.settle(epoch);
            self.count_witness();
            let made = self.database.as_ref().and_then(Database::witness);
            if made.is_none() && self.hands.asked.is_none() {
                self.hands.wants_look = true;
                self.tend_witness();
            }
        }
    }
}
