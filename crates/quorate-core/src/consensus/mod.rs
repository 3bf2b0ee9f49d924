//! Consensus: who coordinates, what is committed, what must be persisted before it may be said.
//!
//! Owns the Raft library and translates between its words and ours; nobody else knows it. Its own
//! randomised timer is never used: elections start from our seeded one. Every persistence is a
//! request with a completion; a message that promises something waits for it.
//!
//! *Architecture Invariant*: nothing is said to a peer that is not on stable storage, except by a
//! coordinator, whose entries count only once a majority, itself included, has them.

mod mirror;
mod store;
pub mod witness;

use std::collections::VecDeque;
use std::time::Duration;

use raft::eraftpb::{ConfState, Entry, EntryType, Message, MessageType};
use raft::{INVALID_ID, RawNode, StateRole};

use crate::durable::{Durable, Record};
use crate::id::{Epoch, OpId, VoterId};
use crate::message::{ConsensusMessage, Electorate, EntryBody, LogSnapshot};
use crate::plant::{self, Plant};
use crate::random::Random;
use crate::time::Instant;
use store::Store;

/// Entries kept behind a snapshot, so that a follower which lags a little needs no snapshot.
const TAIL_KEPT: u64 = 256;
/// Entries after which the log is folded into a snapshot.
const ENTRIES_MAX: u64 = 2_048;

/// The lengths that consensus needs.
#[derive(Clone, Copy, Debug)]
pub struct ConsensusTiming {
    /// Between two ticks.
    pub tick: Duration,
    /// The earliest election after the coordinator was last heard.
    pub election_min: Duration,
    /// The latest.
    pub election_max: Duration,
}

/// One committed entry, in order.
#[derive(Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its place.
    pub index: u64,
    /// The epoch of consensus in which it was written.
    pub term: u64,
    /// An encoded [`crate::change::ChangeSet`], or empty.
    pub changes: Vec<u8>,
}

/// What came out of consensus.
#[derive(Debug, Default)]
pub struct Outcome {
    /// To be sent now.
    pub messages: Vec<ConsensusMessage>,
    /// To be persisted, in order; each with the request number it was given.
    pub persist: Vec<(OpId, Vec<Record>)>,
    /// The state of the database, to be taken as a whole before `committed` is applied.
    pub restored: Option<LogSnapshot>,
    /// To be applied.
    pub committed: Vec<Committed>,
    /// The place of the first change of who takes part in what is committed.
    pub changed_at: Option<u64>,
}

/// What waits for a persistence.
struct Waiting {
    op: OpId,
    number: u64,
    messages: Vec<Message>,
    /// The place of a snapshot among the records: it counts as applied once it is persisted.
    restored: Option<u64>,
}

/// One voter's, or learner's, part in consensus.
pub struct Consensus {
    raw: RawNode<Store>,
    timing: ConsensusTiming,
    waiting: VecDeque<Waiting>,
    election_at: Instant,
    /// The coordinator is known to be dead: the pause before this voter asks again for the votes of
    /// those who may not know it yet, and therefore do not answer.
    insists: Option<Duration>,
    /// It stands only where nobody else has for long.
    is_reluctant: bool,
    tick_at: Instant,
    random: Random,
    applied: u64,
    /// The place of the newest change of who takes part.
    electorate_at: u64,
}

impl Consensus {
    /// Starts from what was persisted. A log without a snapshot is that of a joiner, who waits to
    /// be sent one. What is applied already is not given out again.
    pub fn new(
        identity: VoterId,
        durable: &Durable,
        applied: u64,
        timing: ConsensusTiming,
        mut random: Random,
        now: Instant,
    ) -> Self {
        let store = Store::new(identity, durable);
        let applied = store.snapshot_index().max(applied);
        let electorate_at = store.electorate_index();
        let ticks = timing.election_min.as_nanos() / timing.tick.as_nanos().max(1);
        let config = raft::Config {
            id: identity.0,
            election_tick: usize::try_from(ticks).unwrap_or(3).max(3),
            heartbeat_tick: 1,
            applied,
            max_size_per_msg: 1 << 20,
            max_inflight_msgs: 256,
            check_quorum: true,
            pre_vote: true,
            min_election_tick: 1 << 40,
            max_election_tick: 1 << 41,
            ..Default::default()
        };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raw = RawNode::new(&config, store, &logger).expect("our own configuration is valid");
        let election_at = now + draw(&timing, &mut random);
        let tick_at = now + timing.tick;
        Self {
            raw,
            timing,
            waiting: VecDeque::new(),
            election_at,
            insists: None,
            is_reluctant: false,
            tick_at,
            random,
            applied,
            electorate_at,
        }
    }

    /// When [`Consensus::tick`] is due.
    pub fn deadline(&self) -> Instant {
        if self.is_coordinator() { self.tick_at } else { self.tick_at.min(self.election_at) }
    }

    /// Lets time pass: heartbeats of a coordinator, the election of a voter who has not heard one.
    pub fn tick(&mut self, now: Instant) {
        if now >= self.tick_at {
            self.tick_at = now + self.timing.tick;
            self.raw.tick();
        }
        if !self.is_coordinator() && now >= self.election_at {
            self.stand(now);
        }
    }

    /// Stands for election at once: the coordinator is known to be dead.
    pub fn stand_after(&mut self, delay: Duration, now: Instant) {
        self.forget_coordinator();
        self.election_at = self.election_at.min(now + delay);
        self.insists = Some(self.timing.tick / 64);
    }

    /// Whether it has asked for votes and waits for them.
    pub fn is_standing(&self) -> bool {
        matches!(self.raw.raft.state, StateRole::PreCandidate | StateRole::Candidate)
    }

    /// Does not ask for votes anew before `at`: an answer is under way.
    pub fn put_off_election(&mut self, at: Instant) {
        self.election_at = self.election_at.max(at);
    }

    /// No longer counts what it heard from the coordinator as a reason to refuse its vote to
    /// another.
    pub fn forget_coordinator(&mut self) {
        self.raw.raft.election_elapsed = self.raw.raft.election_timeout();
    }

    /// A message of a peer, whose transport has proven that `from` belongs to it.
    ///
    /// False: it is of no kind that peers send, not for this voter, or its sender is not known
    /// here; it changed nothing.
    pub fn receive(&mut self, message: &ConsensusMessage, now: Instant) -> bool {
        if message.to.0 != self.raw.raft.id || message.from.0 == INVALID_ID {
            return false;
        }
        let Some(message) = mirror::to_message(message) else { return false };
        if message.get_msg_type() == MessageType::MsgTimeoutNow && self.is_restoring() {
            return true;
        }
        let heard = self.raw.raft.election_elapsed;
        self.raw.raft.election_elapsed = heard.max(1);
        let result = self.raw.step(message);
        if self.raw.raft.election_elapsed == 0 {
            self.election_at = now + self.draw();
            self.insists = None;
        }
        result.is_ok()
    }

    /// Proposes an encoded change set. False: this node does not coordinate.
    pub fn propose(&mut self, changes: Vec<u8>) -> bool {
        self.raw.propose(Vec::new(), changes).is_ok()
    }

    /// Proposes a change of voters. False: this node does not coordinate, or another such change is
    /// under way.
    pub fn propose_voters(&mut self, body: &EntryBody) -> bool {
        let pending = self.raw.raft.pending_conf_index > self.applied;
        let joint = !self.conf_state().voters_outgoing.is_empty();
        match mirror::to_voters(body) {
            Some(change) if !pending && !joint => {
                self.raw.propose_conf_change(Vec::new(), change).is_ok()
            }
            _ => false,
        }
    }

    /// A persistence is done.
    pub fn on_persisted(&mut self, op: OpId, outcome: &mut Outcome) {
        while self.waiting.front().is_some_and(|first| first.op <= op) {
            let done = self.waiting.pop_front().expect("it was just seen");
            self.raw.on_persist_ready(done.number);
            if let Some(index) = done.restored {
                self.raw.advance_apply_to(index);
            }
            push_all(&mut outcome.messages, &done.messages);
        }
    }

    /// Takes out what consensus has to say. `op` gives numbers to persistences.
    pub fn drain(&mut self, outcome: &mut Outcome, mut op: impl FnMut() -> OpId) {
        while self.raw.has_ready() {
            let mut ready = self.raw.ready();
            let mut records = Vec::new();
            if ready.snapshot().get_metadata().index > 0 {
                let snapshot = ready.snapshot().clone();
                let copy = mirror::from_snapshot(&snapshot);
                self.applied = copy.index;
                self.electorate_at = copy.index;
                records.push(Record::Snapshot(copy.clone()));
                outcome.committed.clear();
                outcome.restored = Some(copy);
                self.raw.mut_store().restore(snapshot);
            }
            let entries = ready.take_entries();
            records.extend(entries.iter().filter_map(mirror::from_entry).map(Record::Entry));
            self.raw.mut_store().append(&entries);
            if let Some(hard) = ready.hs().cloned() {
                let old = self.raw.store().hard_state();
                let promised = old.term != hard.term || old.vote != hard.vote;
                if promised || !records.is_empty() {
                    let vote = VoterId(hard.vote);
                    records.push(Record::HardState { term: hard.term, vote, commit: hard.commit });
                }
                self.raw.mut_store().set_hard_state(hard);
            }
            push_all(&mut outcome.messages, ready.messages());
            let promised = ready.take_persisted_messages();
            let committed = ready.take_committed_entries();
            let number = ready.number();
            self.raw.advance_append_async(ready);
            self.hold(records, number, promised, outcome, &mut op);
            self.apply(committed, outcome);
        }
    }

    /// Whether [`Consensus::drain`] has something to take out.
    pub fn has_output(&self) -> bool {
        self.raw.has_ready()
    }

    /// Holds promises until their records are persisted; lets them go at once if there is nothing
    /// to persist.
    fn hold(
        &mut self,
        records: Vec<Record>,
        number: u64,
        messages: Vec<Message>,
        outcome: &mut Outcome,
        op: &mut impl FnMut() -> OpId,
    ) {
        let messages = if plant::is(Plant::AcknowledgeBeforeSync) {
            push_all(&mut outcome.messages, &messages);
            Vec::new()
        } else {
            messages
        };
        if !records.is_empty() {
            let op = op();
            let restored = records.iter().find_map(|record| match record {
                Record::Snapshot(snapshot) => Some(snapshot.index),
                _ => None,
            });
            outcome.persist.push((op, records));
            self.waiting.push_back(Waiting { op, number, messages, restored });
        } else if let Some(last) = self.waiting.back_mut() {
            last.number = number;
            last.messages.extend(messages);
        } else {
            self.raw.on_persist_ready(number);
            push_all(&mut outcome.messages, &messages);
        }
    }

    fn apply(&mut self, entries: Vec<Entry>, outcome: &mut Outcome) {
        let applies = !entries.is_empty();
        for entry in entries {
            let mut committed =
                Committed { index: entry.index, term: entry.term, changes: entry.data.to_vec() };
            if entry.get_entry_type() == EntryType::EntryConfChangeV2 {
                let change = mirror::voters_of(&entry).expect("this process encoded it");
                // What this process began with may be newer.
                if entry.index > self.electorate_at {
                    self.raw.apply_conf_change(&change).expect("a committed change can be applied");
                    self.electorate_at = entry.index;
                    outcome.changed_at.get_or_insert(entry.index);
                }
                committed.changes = change.context.to_vec();
            }
            self.applied = entry.index;
            outcome.committed.push(committed);
        }
        if applies {
            self.raw.advance_apply_to(self.applied);
        }
    }

    /// Whether the state should be folded into a snapshot: the log has grown long, or somebody needs a snapshot that
    /// knows him.
    pub fn is_to_fold(&self) -> bool {
        let store = self.raw.store();
        self.applied - store.snapshot_index() >= ENTRIES_MAX
            || store.is_outdated() && self.applied > store.snapshot_index()
    }

    /// Who takes part as of the newest change of that: what has to be remembered of it.
    pub fn electorate(&self) -> Record {
        Record::Electorate(self.electorate_at, mirror::from_conf(&self.conf_state()))
    }

    /// Takes `data` as the state at what is applied. Returns the records of the whole log that is
    /// left.
    pub fn fold(&mut self, data: Vec<u8>) -> Vec<Record> {
        let conf = self.conf_state();
        let applied = self.applied;
        self.raw.mut_store().compact(applied, conf, data, TAIL_KEPT);
        self.raw.store().records()
    }

    fn conf_state(&self) -> ConfState {
        self.raw.raft.prs().conf().to_conf_state()
    }

    /// Whether this node coordinates, as far as it knows.
    pub fn is_coordinator(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    /// Whether this node coordinates, has applied what earlier coordinators committed, and has
    /// nothing under way: it may decide from its database.
    pub fn is_settled(&self) -> bool {
        self.is_coordinator()
            && self.raw.raft.commit_to_current_term()
            && self.raw.raft.raft_log.last_index() == self.applied
    }

    /// The coordinator that this node follows.
    pub fn coordinator(&self) -> Option<VoterId> {
        let id = self.raw.raft.leader_id;
        (id != INVALID_ID).then_some(VoterId(id))
    }

    /// The epoch of consensus.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.raw.raft.term)
    }

    /// What has been applied.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Everyone who takes part: voters and learners.
    pub fn participants(&self) -> Vec<VoterId> {
        let conf = self.conf_state();
        let all = [&conf.voters, &conf.voters_outgoing, &conf.learners, &conf.learners_next];
        let mut ids: Vec<VoterId> = all.into_iter().flatten().copied().map(VoterId).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// A peer's stream is gone or refused: stop streaming to it and probe.
    pub fn on_unreachable(&mut self, voter: VoterId) {
        if self.is_coordinator() {
            self.raw.report_unreachable(voter.0);
            self.raw.report_snapshot(voter.0, raft::SnapshotStatus::Failure);
        }
    }

    /// Hands the coordination over, before this node leaves.
    pub fn hand_over(&mut self, to: VoterId) {
        self.raw.transfer_leader(to.0);
    }

    /// From its next sight of a coordinator on, whether it leaves elections to others.
    pub fn set_reluctant(&mut self, reluctant: bool) {
        self.is_reluctant = reluctant;
    }

    /// How long after the coordinator was heard it stands. Whoever is reluctant does in the end: its log may be the
    /// newest, without which nobody can be elected.
    fn draw(&mut self) -> Duration {
        let patience =
            if self.is_reluctant { self.timing.election_max * 3 } else { Duration::ZERO };
        draw(&self.timing, &mut self.random) + patience
    }

    /// A snapshot is not yet stable, so it does not count as applied: to the library its entries are there to be read
    /// before an election, and are not.
    fn is_restoring(&self) -> bool {
        self.waiting.iter().any(|one| one.restored.is_some())
    }

    fn stand(&mut self, now: Instant) {
        let again = self.insists.take().filter(|&pause| pause < self.timing.tick);
        self.insists = again.map(|pause| pause * 2);
        self.election_at = now + again.unwrap_or_else(|| self.draw());
        // Votes that are being counted are not thrown away for new ones.
        if self.raw.raft.state == StateRole::Candidate && again.is_some() {
            return;
        }
        self.raw.raft.election_elapsed = self.raw.raft.election_timeout();
        // A learner, or a log that was never told of any voter, has no vote to stand with: to the
        // library an empty electorate has elected everybody.
        if self.raw.raft.promotable() && !self.is_restoring() {
            let _ = self.raw.campaign();
        }
    }
}

fn push_all(to: &mut Vec<ConsensusMessage>, messages: &[Message]) {
    to.extend(messages.iter().filter_map(mirror::from_message));
}

fn draw(timing: &ConsensusTiming, random: &mut Random) -> Duration {
    let span = timing.election_max.saturating_sub(timing.election_min);
    let span = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    timing.election_min + Duration::from_nanos(random.below(span.max(1)))
}

/// The snapshot that founders start from: all founders make the same one.
pub fn genesis(founders: &[VoterId], learners: &[VoterId], data: Vec<u8>) -> LogSnapshot {
    LogSnapshot {
        index: 1,
        term: 1,
        electorate: Electorate {
            voters: founders.to_vec(),
            learners: learners.to_vec(),
            ..Electorate::default()
        },
        data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeId;
    use crate::message::LogEntry;

    #[test]
    fn whoever_starts_again_knows_at_once_who_votes() {
        let [one, two, three] = [1, 2, 3].map(|node| VoterId::new(NodeId(node), 7));
        let (add, learn) = (Vec::new(), Vec::new());
        let body = EntryBody::Voters { add, learn, remove: vec![three], changes: Vec::new() };
        let voters = vec![one, two];
        let durable = Durable {
            identity: Some(one),
            // That the entry is committed was not known when this was written.
            hard_state: Some((1, VoterId(0), 1)),
            snapshot: Some(genesis(&[one, two, three], &[], Vec::new())),
            entries: vec![LogEntry { index: 2, term: 1, body }],
            electorate: Some((2, Electorate { voters, ..Electorate::default() })),
        };
        assert_eq!(Durable::replay(durable.records()), durable);
        let ms = Duration::from_millis;
        let timing = ConsensusTiming { tick: ms(50), election_min: ms(150), election_max: ms(250) };
        let random = Random::new(1);
        let mut consensus = Consensus::new(one, &durable, 0, timing, random, Instant::default());
        assert_eq!(consensus.participants(), [one, two]);
        let mut outcome = Outcome::default();
        consensus.drain(&mut outcome, || OpId(1));
        let committed: Vec<u64> = outcome.committed.iter().map(|entry| entry.index).collect();
        assert_eq!((committed, outcome.changed_at), (vec![2], None));
        assert_eq!(consensus.participants(), [one, two]);
    }
}
