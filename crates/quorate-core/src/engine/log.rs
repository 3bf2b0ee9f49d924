//! The engine and its log: what is recovered, persisted, committed and applied.

use std::collections::BTreeMap;

use super::calm::Stir;
use super::standing::Times;
use super::{Engine, HISTORY_MAX, Handover, Standing};
use crate::action::Action;
use crate::change::{Change, ChangeSet};
use crate::codec;
use crate::config::ClusterConfig;
use crate::config::policy::DAY;
use crate::consensus::{Committed, Consensus, Outcome};
use crate::database::{Database, GroupRecord};
use crate::durable::{Durable, Record};
use crate::heartbeat::Peer;
use crate::id::{Epoch, GroupId, NodeId, OpId, VoterId};
use crate::message::{ConsensusMessage, LogSnapshot, Message};
use crate::notice::Notice;
use crate::plant::{self, Plant};
use crate::random::Random;
use crate::status::Happened;
use crate::timer::Timer;

impl Engine {
    /// Goes on from what was persisted before.
    pub(super) fn recover(&mut self, durable: &Durable, inherits: Option<Handover>) {
        let Some(identity) = durable.identity else { return };
        self.standing = Standing::Seeking;
        if let Some(handover) = inherits {
            self.inherit(identity, durable, handover);
        } else if durable.snapshot.is_some() || durable.hard_state.is_some() {
            self.take_part(identity, durable);
        }
    }

    /// Takes part in consensus from now on.
    pub(super) fn take_part(&mut self, identity: VoterId, durable: &Durable) {
        if let Some(snapshot) = &durable.snapshot {
            self.restore(snapshot);
        }
        self.start_consensus(identity, durable, 0);
    }

    /// Up to `applied`, or to the snapshot, the log is applied already.
    pub(super) fn start_consensus(&mut self, identity: VoterId, durable: &Durable, applied: u64) {
        let random = Random::new(self.random.draw());
        let timing = self.consensus_timing();
        let consensus = Consensus::new(identity, durable, applied, timing, random, self.now);
        self.turnover.participants = consensus.participants();
        self.consensus = Some(consensus);
        self.standing = Standing::Member;
        if self.config.witness_votes() {
            self.timers.set(Timer::Witness, self.now + self.timing().interval);
        }
    }

    pub(super) fn persist(&mut self, records: Vec<Record>, rewrite: bool) -> OpId {
        let op = self.out.op();
        self.out.act(Action::Persist { op, records, rewrite });
        op
    }

    pub(super) fn on_persisted(&mut self, op: OpId) {
        self.persisting.remove(&op);
        self.timers.clear(Timer::Op(op));
        self.turnover.unsaved = self.turnover.unsaved.filter(|&(last, _)| last > op);
        match self.standing {
            Standing::Naming(waiting) if waiting == op => self.standing = Standing::Seeking,
            Standing::Founding(waiting) if waiting == op => self.on_founded(),
            Standing::Nameless
            | Standing::Naming(_)
            | Standing::Seeking
            | Standing::Founding(_)
            | Standing::Member
            | Standing::Ended => {
                let mut outcome = Outcome::default();
                if let Some(consensus) = &mut self.consensus {
                    consensus.on_persisted(op, &mut outcome);
                }
                self.send_consensus(outcome.messages);
            }
        }
    }

    /// What was to be remembered is not: this node can promise nothing more. What runs here is
    /// ended.
    pub(super) fn on_persist_failed(&mut self, error: String) {
        self.out.tell(Notice::StorageFailed { error });
        self.abandon_all();
        self.advance_groups();
        self.consensus = None;
        self.standing = Standing::Ended;
    }

    /// Takes everything out of consensus, and applies what is committed.
    pub(super) fn drain_consensus(&mut self) {
        let mut outcome = Outcome::default();
        let Some(consensus) = &mut self.consensus else { return };
        let out = &mut self.out;
        consensus.drain(&mut outcome, || out.op());
        for (op, records) in outcome.persist {
            if records.iter().any(|record| matches!(record, Record::Snapshot(_))) {
                self.turnover.unsaved = Some((op, 0));
            }
            self.out.act(Action::Persist { op, records, rewrite: false });
        }
        self.send_consensus(outcome.messages);
        let restored = outcome.restored.is_some();
        if let Some(snapshot) = outcome.restored {
            self.restore(&snapshot);
        }
        if !outcome.committed.is_empty() {
            self.stir = Stir::WHOLE;
        }
        for committed in &outcome.committed {
            self.apply(committed);
        }
        self.fold_log(outcome.changed_at);
        if outcome.changed_at.is_some() || restored {
            self.watch_participants();
        }
        self.watch_coordinator();
        self.watch_settling();
        self.settle_replies();
    }

    fn send_consensus(&mut self, messages: Vec<ConsensusMessage>) {
        for message in messages {
            if message.to == VoterId::WITNESS {
                self.say_to_witness(message);
                continue;
            }
            self.send(message.to.node(), Message::Consensus(Box::new(message)));
        }
    }

    /// A joiner needs a snapshot that knows it: the coordinator folds its log after every change of voters. And who
    /// starts again must know at once who votes: every other node remembers just that.
    fn fold_log(&mut self, changed_at: Option<u64>) {
        let (Some(consensus), Some(database)) = (&mut self.consensus, &self.database) else {
            return;
        };
        let changed = changed_at.is_some();
        let folds = consensus.is_to_fold() || changed && consensus.is_coordinator();
        let records = match (folds, changed) {
            (true, _) => consensus.fold(codec::encode(database)),
            (false, true) => vec![consensus.electorate()],
            (false, false) => return,
        };
        let op = self.persist(records, folds);
        if let Some(at) = changed_at {
            let first = self.turnover.unsaved.map_or(at, |(_, first)| first.min(at));
            self.turnover.unsaved = Some((op, first));
        }
    }

    fn restore(&mut self, snapshot: &LogSnapshot) {
        let database: Database =
            codec::decode(&snapshot.data).expect("a snapshot holds a database of this version");
        if self.database.is_none() && database.config() != &self.config {
            self.file.get_or_insert(self.config.clone());
        }
        self.compare_file(&database);
        self.adopt_config(database.config());
        match &self.database {
            None => self.out.tell(Notice::Joined),
            Some(before) if before.version() != database.version() => {
                self.out.tell(Notice::Configured { version: database.version() });
            }
            Some(_) => {}
        }
        self.database = Some(database);
        // What happened in between is not told: a history with a hole would explain wrongly.
        self.history.clear();
        self.touch_all();
        self.applied_at = self.now;
        self.on_applied();
    }

    /// A file that was in force once is old, and no wonder: another configuration was applied since.
    fn compare_file(&mut self, database: &Database) {
        let Some(file) = &self.file else { return };
        if file == database.config() || database.was_in_force(file) {
            self.file = None;
            self.differs = (Vec::new(), false);
            return;
        }
        let places = file.differences(database.config());
        if places != self.differs.0 {
            self.differs = (places, false);
        }
    }

    /// Once it takes part it knows which configuration is in force.
    fn tell_differences(&mut self) {
        let (me, incarnation) = (self.me, self.incarnation);
        let takes_part = |one: &Database| one.is_up_as(me, incarnation);
        if self.differs.1 || self.differs.0.is_empty() {
            return;
        }
        if self.database.as_ref().is_some_and(takes_part) {
            self.differs.1 = true;
            let places = self.differs.0.clone();
            self.out.tell(Notice::ConfigurationDiffers { node: me, places });
        }
    }

    /// Goes on with the committed configuration. A group that is not in it is nobody's: what runs of it here is let be.
    pub(super) fn adopt_config(&mut self, config: &ClusterConfig) {
        self.forget_luns_here();
        if config != &self.config && config.node(self.me).is_some() {
            let before = std::mem::replace(&mut self.config, config.clone());
            let others = config.nodes().iter().map(|other| other.id).filter(|&id| id != self.me);
            for node in others {
                self.peers.entry(node).or_insert_with(|| Peer::new(self.now));
            }
            self.peers.retain(|&node, _| config.node(node).is_some());
            self.hellos.retain(|&node, _| config.node(node).is_some());
            let gone = before.nodes().iter().map(|node| node.id);
            self.tell_parted(gone.collect());
            let keeps = config.witness_votes() && self.timers.at(Timer::Witness).is_none();
            if keeps && self.standing == Standing::Member {
                self.timers.set(Timer::Witness, self.now + self.timing().interval);
            }
            self.groups.retain(|&id, _| config.group(id).is_some());
            self.said.retain(|&id, _| config.group(id).is_some());
            self.history.retain(|&id, _| config.group(id).is_some());
            self.noted.retain(|&id, _| config.group(id).is_some());
        }
    }

    pub(super) fn apply(&mut self, committed: &Committed) {
        let Some(database) = &mut self.database else { return };
        if committed.index <= database.applied() {
            return;
        }
        if committed.changes.is_empty() {
            database.pass(committed.index);
            return;
        }
        let set: ChangeSet =
            codec::decode(&committed.changes).expect("the log holds changes of this version");
        let mut notices = Vec::new();
        // A fence or a return takes groups from their owner; they remember whose it was.
        let about: Vec<NodeId> = set.changes.iter().filter_map(Change::about_node).collect();
        let theirs = |(&group, record): (&GroupId, &GroupRecord)| {
            Some((group, record.owner()?.0)).filter(|(_, owner)| about.contains(owner))
        };
        let mut owners: BTreeMap<GroupId, NodeId> = match about.is_empty() {
            true => BTreeMap::new(),
            false => database.groups().iter().filter_map(theirs).collect(),
        };
        let took_part = database.is_up_as(self.me, self.incarnation);
        database.apply(committed.index, &set, &mut notices);
        // That is told to nobody, and yet decides what becomes of a stray.
        self.touched.extend(set.changes.iter().filter_map(|change| match change {
            Change::Desire { group, .. } => Some(*group),
            _ => None,
        }));
        let configured = database.configured() == committed.index;
        let is_past = !took_part && !database.is_up_as(self.me, self.incarnation);
        let at_ms = database.at_ms();
        self.applied_at = self.now;
        for notice in notices {
            if let Notice::Assigned { group, owner, .. } = notice {
                owners.insert(group, owner);
            }
            self.remember(at_ms, &notice, &owners, !is_past);
            if let Notice::Up { node, .. } = notice
                && let Some(peer) = self.peers.get_mut(&node)
            {
                peer.on_admitted();
            }
            self.out.tell(match is_past {
                true => Notice::Past { at_ms, told: Box::new(notice) },
                false => notice,
            });
        }
        if configured && let Some(database) = self.database.take() {
            self.compare_file(&database);
            self.adopt_config(database.config());
            self.out.tell(Notice::Configured { version: database.version() });
            self.database = Some(database);
            self.touch_all();
        }
        self.tell_differences();
        self.on_applied();
    }

    fn remember(
        &mut self,
        at_ms: u64,
        notice: &Notice,
        owners: &BTreeMap<GroupId, NodeId>,
        is_seen: bool,
    ) {
        if plant::is(Plant::PeerDownStopsAll) && matches!(notice, Notice::Down { .. }) {
            self.abandon_all();
        }
        let about: Vec<GroupId> = match notice {
            Notice::Assigned { group, .. }
            | Notice::Releasing { group, .. }
            | Notice::Group { group, .. }
            | Notice::GroupFailed { group } => vec![*group],
            Notice::Down { node, .. } | Notice::Fenced { node, .. } | Notice::Up { node, .. } => {
                let theirs = owners.iter().filter(|(_, owner)| *owner == node);
                theirs.map(|(&group, _)| group).collect()
            }
            _ => Vec::new(),
        };
        self.touched.extend(&about);
        let of_node =
            matches!(notice, Notice::Down { .. } | Notice::Fenced { .. } | Notice::Up { .. });
        if about.is_empty() || of_node {
            self.touch_all();
        }
        let about = if plant::is(Plant::HistoryLost) { Vec::new() } else { about };
        let seen = is_seen.then_some(self.now);
        for group in about {
            self.note(group, Happened { at_ms, seen, told: notice.clone() });
        }
    }

    /// Puts something into the history of a group.
    pub(super) fn note(&mut self, group: GroupId, happened: Happened) {
        *self.noted.entry(group).or_default() += 1;
        let history = self.history.entry(group).or_default();
        if history.len() == HISTORY_MAX {
            history.pop_front();
        }
        history.push_back(happened);
    }

    /// Tells the host when this node follows another coordinator.
    fn watch_coordinator(&mut self) {
        let Some(consensus) = &self.consensus else { return };
        let node = consensus.coordinator().map(VoterId::node);
        let epoch = consensus.epoch();
        self.coordinating_since = match self.coordinating_since {
            Some(since) if consensus.is_coordinator() => Some(since),
            _ => consensus.is_coordinator().then_some(self.now),
        };
        if self.coordinator_told != Some((node, epoch)) {
            // That there is still none is not news.
            if node.is_some() || self.coordinator_told.is_none_or(|(before, _)| before.is_some()) {
                self.out.tell(Notice::Coordinator { node, epoch });
            }
            self.coordinator_told = Some((node, epoch));
            self.stir = Stir::WHOLE;
            self.reconsider = true;
            self.touch_all();
            self.repeat_asked();
        }
    }

    /// The cluster's time: that of the newest change, and what has passed here since.
    pub(super) fn cluster_ms(&self) -> u64 {
        let at_ms = self.database.as_ref().map_or(0, Database::at_ms);
        at_ms.saturating_add(crate::time::millis(self.now.since(self.applied_at)))
    }

    /// Which time it is.
    pub(super) fn times(&self) -> Times {
        let policy = self.config.policy();
        let ahead = i64::from(policy.utc_offset_minutes) * 60;
        let ahead = ahead.rem_euclid(DAY.cast_signed()).unsigned_abs();
        let of_day = self.day.map(|(then, at)| (then + self.now.since(at).as_secs() + ahead) % DAY);
        Times { cluster_ms: self.cluster_ms(), of_day }
    }

    /// The epoch of consensus.
    pub(super) fn epoch(&self) -> Epoch {
        self.consensus.as_ref().map_or(Epoch(0), Consensus::epoch)
    }
}
