//! The coordinator's part: reads the database and what is heard, and proposes the next changes.
//!
//! Decides only while nothing is under way in the log, so that every decision rests on all that was
//! decided before.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Engine;
use super::deciding::Deciding;
use super::holding::{Held, Traffic};
use crate::change::{Change, ChangeSet, DownCause};
use crate::codec;
use crate::consensus::Consensus;
use crate::database::{Database, NodeRecord, NodeState};
use crate::fence::{self, FenceProof, Withheld};
use crate::heartbeat::{Liveness, Peer};
use crate::id::{GroupId, NodeId, VoterId};
use crate::message::EntryBody;
use crate::notice::Notice;
use crate::placement::{Candidate, Keeps};
use crate::plant::{self, Plant};
use crate::timer::Timer;

impl Engine {
    /// Proposes what is due. True: something was proposed.
    pub(super) fn coordinate(&mut self) -> bool {
        match &self.consensus {
            Some(consensus) if consensus.is_settled() => {}
            Some(consensus) if consensus.is_coordinator() => return false,
            _ => {
                self.proposed.clear();
                self.uneven_since = None;
                self.fencing.clear();
                return false;
            }
        }
        let mut changes = std::mem::take(&mut self.proposed);
        let handed_in = changes.len();
        self.yield_without_lease();
        self.yield_if_reluctant();
        self.end_what_is_over(&mut changes);
        self.evictions(&mut changes);
        let newcomer = self.admissions(&mut changes);
        let before = usize::from(self.notice_the_start(&mut changes));
        self.detect(&mut changes);
        self.fence(&mut changes);
        self.ask_agents(&mut changes);
        if std::mem::take(&mut self.reconsider) || !changes.is_empty() {
            self.place_groups(&mut changes);
        }
        if changes.is_empty() {
            return newcomer.is_some_and(|voter| self.add_voter(voter)) || self.change_voters();
        }
        let set = ChangeSet { at_ms: self.cluster_ms(), changes };
        let index = self.database.as_ref().map_or(0, Database::applied) + 1;
        let bytes = codec::encode(&set);
        let taken = self.consensus.as_mut().is_some_and(|consensus| consensus.propose(bytes));
        if taken && plant::is(Plant::ActsBeforeCommit) {
            let changes = codec::encode(&set);
            let term = self.epoch().0;
            self.apply(&crate::consensus::Committed { index, term, changes });
        }
        if taken {
            self.date_replies(index);
        } else {
            self.keep_proposed(set.changes.into_iter().skip(before).take(handed_in));
        }
        taken
    }

    /// What was handed in and could not be proposed waits; what was decided here is decided again.
    fn keep_proposed(&mut self, handed_in: impl Iterator<Item = Change>) {
        self.proposed.extend(handed_in);
        self.reconsider = true;
        self.timers.set_sooner(Timer::Review, self.now + self.timing().interval);
    }

    /// A node has come back with an empty log: its new identity takes the place of the old one.
    fn add_voter(&mut self, voter: VoterId) -> bool {
        let node = voter.node();
        let old = self.database.as_ref().and_then(|database| database.voter(node));
        let set = ChangeSet { at_ms: self.cluster_ms(), changes: vec![Change::Rejoin { voter }] };
        let votes = self.is_voter(node);
        let Some(consensus) = &mut self.consensus else { return false };
        let remove = old.filter(|old| consensus.participants().contains(old));
        let (add, learn) = if votes { (vec![voter], vec![]) } else { (vec![], vec![voter]) };
        let remove = remove.into_iter().collect();
        let changes = codec::encode(&set);
        consensus.propose_voters(&EntryBody::Voters { add, learn, remove, changes })
    }

    /// A coordinator whom no majority acknowledges is no judge of others, and nobody judges it: it hands over to a
    /// voter that says it has a lease. Such is one whose datagrams get lost while its streams stand.
    fn yield_without_lease(&mut self) {
        if self.lease_held {
            self.without_lease_since = None;
            return;
        }
        let since = *self.without_lease_since.get_or_insert(self.now);
        let until = since + self.timing().detect;
        if self.now < until {
            return self.timers.set_sooner(Timer::Review, until);
        }
        self.without_lease_since = Some(self.now);
        self.timers.set_sooner(Timer::Review, self.now + self.timing().detect);
        if let (Some(to), Some(consensus)) = (self.successor(), &mut self.consensus) {
            consensus.hand_over(to);
        }
    }

    /// A coordinator that should be none hands over to a voter that may be one, as soon as there is one.
    fn yield_if_reluctant(&mut self) {
        if !self.is_reluctant(self.me) || self.yields_again.is_some_and(|at| self.now < at) {
            return;
        }
        let again = self.now + self.timing().interval * 4;
        self.yields_again = Some(again);
        self.timers.set_sooner(Timer::Review, again);
        let successor = self.successor().filter(|voter| !self.is_reluctant(voter.node()));
        if let (Some(to), Some(consensus)) = (successor, &mut self.consensus) {
            consensus.hand_over(to);
        }
    }

    /// Whether a node coordinates only where nobody else can: as people want it, or since it is to leave for good.
    pub(super) fn is_reluctant(&self, node: NodeId) -> bool {
        let record = self.database.as_ref().and_then(|database| database.node(node));
        record.is_some_and(|record| record.reluctant || record.evicted)
    }

    /// A voter that says it has a lease, or has said nothing lately, if nobody does: it may have one by now. Before all
    /// others one that may coordinate.
    fn successor(&self) -> Option<VoterId> {
        let database = self.database.as_ref()?;
        let limit = self.timing().suspect;
        let powered = |node: &NodeId| self.peers.get(node).is_some_and(Peer::is_powered);
        let may_act = |node: &NodeId| {
            let can = |peer: &&Peer| peer.is_powered() || !peer.is_fresh(limit, self.now);
            let peer = self.peers.get(node).filter(can);
            let heard = peer.and_then(|peer| peer.incarnation());
            heard.is_some_and(|heard| database.is_up_as(*node, heard))
                && self.streams.contains_key(node)
        };
        let able = self.config.voters().filter(may_act);
        let successor =
            able.min_by_key(|&node| (!powered(&node), self.is_reluctant(node), node))?;
        database.voter(successor)
    }

    /// Nodes that are to be declared down.
    fn detect(&self, changes: &mut Vec<Change>) {
        let Some(database) = &self.database else { return };
        for (&node, record) in database.nodes() {
            if node == self.me || record.state != NodeState::Up {
                continue;
            }
            let incarnation = record.incarnation;
            let newer = self.peers.get(&node).and_then(|peer| peer.incarnation());
            let restarted = newer.is_some_and(|newer| newer.boot > incarnation.boot);
            let admits =
                |change: &Change| matches!(change, Change::Admit { node: one, .. } if *one == node);
            let admitted = changes.iter().any(admits);
            match self.seen(node) {
                _ if admitted => {}
                // Whoever is not acknowledged itself may be the one that hears nobody.
                Liveness::Silent(DownCause::Silence) if !self.lease_held => {}
                Liveness::Silent(cause) => changes.push(Change::Down { node, incarnation, cause }),
                Liveness::Alive | Liveness::Suspect if restarted => {
                    let cause = DownCause::ConnectionReset;
                    changes.push(Change::Down { node, incarnation, cause });
                }
                Liveness::Alive | Liveness::Suspect => {}
            }
        }
    }

    /// Nodes that are down and by now proven harmless.
    fn fence(&mut self, changes: &mut Vec<Change>) {
        let Some(database) = &self.database else { return };
        if self.config.policy().keep_without_quorum {
            return;
        }
        let needed = self.timing().lease_over;
        let mut again: Option<Duration> = None;
        for (&node, record) in database.nodes() {
            if !matches!(record.state, NodeState::Down(_)) || node == self.me {
                continue;
            }
            let words = self.words_about(node);
            let voters = self.voters().len();
            match fence::lease_over(node, record.incarnation, record.since, voters, words, needed) {
                Some(proof) => changes.push(FenceProof::into_change(proof)),
                None => {
                    let age = self.peers.get(&node).map(|peer| self.now.since(peer.accepted()));
                    let left = needed.saturating_sub(age.unwrap_or_default());
                    let left = left.max(self.timing().interval / 2);
                    again = Some(again.map_or(left, |again| again.min(left)));
                }
            }
        }
        if let Some(left) = again {
            self.timers.set_sooner(Timer::Review, self.now + left);
        }
    }

    /// What each voter, this one included, says of a node that it acknowledges no more.
    fn words_about(&self, node: NodeId) -> Vec<Withheld> {
        let own = self.peers.get(&node).filter(|_| self.is_voter(self.me)).map(|peer| Withheld {
            applied: self.database.as_ref().map_or(0, Database::applied),
            age: self.now.since(peer.accepted()),
        });
        let others = self.peers.iter().filter(|&(&id, _)| id != node && self.is_voter(id));
        let theirs = others.filter_map(|(_, peer)| {
            let age = peer.says_withheld(node, self.now)?;
            Some(Withheld { applied: peer.applied(), age })
        });
        let words = own.into_iter().chain(theirs).chain(self.witness_word(node));
        if plant::is(Plant::FenceByStaleWord) && self.has_been_down_before(node) {
            return words.map(|word| Withheld { age: Duration::MAX, ..word }).collect();
        }
        words.collect()
    }

    /// An earlier session of its process was fenced: of that one, every voter has said enough.
    fn has_been_down_before(&self, node: NodeId) -> bool {
        let record = self.database.as_ref().and_then(|database| database.node(node));
        record.is_some_and(|record| record.incarnation.session > 0)
    }

    /// Which nodes can get groups, and which keep what they have.
    pub(super) fn candidates(&self, database: &Database) -> BTreeMap<NodeId, Candidate> {
        let candidate = |(&node, record): (&NodeId, &NodeRecord)| {
            let up = record.state == NodeState::Up;
            let heard = self.seen(node) == Liveness::Alive;
            let keeps = match record {
                record if record.emptied || record.leaving => Keeps::Nothing,
                record if record.draining => Keeps::Stranded,
                _ => Keeps::All,
            };
            (node, Candidate { up, heard, paused: !database.is_open(node), keeps })
        };
        database.nodes().iter().map(candidate).collect()
    }

    /// A round of decisions, as this node sees the others.
    pub(super) fn deciding<'a>(&self, database: &'a Database) -> Deciding<'a> {
        let forming_until = self.coordinating_since.map(|since| since + self.timing().detect);
        Deciding {
            database,
            candidates: self.candidates(database),
            times: self.times(),
            forming: forming_until.filter(|&until| self.now < until),
            falling: Vec::new(),
            coming: Vec::new(),
            unplaced: Vec::new(),
            traffic: Traffic::of(database, self.cluster_ms()),
            held: BTreeMap::new(),
            review: None,
            now: self.now,
        }
    }

    fn place_groups(&mut self, changes: &mut Vec<Change>) {
        let Some(database) = &self.database else { return };
        let mut deciding = self.deciding(database);
        deciding.decide_all(changes);
        let (unplaced, held, review) = (deciding.unplaced, deciding.held, deciding.review);
        for &group in unplaced.iter().filter(|group| !self.unplaced.contains(group)) {
            self.out.tell(Notice::Unplaced { group });
        }
        self.unplaced = unplaced.into_iter().collect();
        self.tell_held(held);
        if let Some(at) = review {
            self.timers.set_sooner(Timer::Review, at);
        }
        self.even_out(changes);
    }

    /// Tells who waits from now on for more than its turn.
    fn tell_held(&mut self, held: BTreeMap<GroupId, Held>) {
        for (&group, (why, until)) in &held {
            let until = until.filter(|_| self.held.get(&group).is_none_or(|old| old.0 != *why));
            if let Some(until) = until {
                let retry_in_ms = until.saturating_sub(self.cluster_ms());
                self.out.tell(Notice::Held { group, why: why.clone(), retry_in_ms });
            }
        }
        self.held = held;
    }

    /// What was to last for a time and has: a disarm, a quarantine.
    fn end_what_is_over(&mut self, changes: &mut Vec<Change>) {
        let Some(database) = &self.database else { return };
        let now_ms = self.cluster_ms();
        // Said again at the last moment, it counts from then on.
        let again = changes.iter().any(|change| matches!(change, Change::Disarm { .. }));
        let disarm = database.disarmed_until().filter(|_| !again);
        let disarm = disarm.map(|until| (until, Change::Arm));
        let quarantines = database.quarantines();
        let quarantines = quarantines.map(|(node, until)| (until, Change::EndQuarantine { node }));
        for (until, change) in disarm.into_iter().chain(quarantines) {
            if until <= now_ms {
                changes.push(change);
            } else {
                let left = Duration::from_millis(until - now_ms);
                self.timers.set_sooner(Timer::Review, self.now + left);
            }
        }
    }

    /// The whole cluster starts: nobody takes part any more as it did. Those are admitted now that come first.
    /// True: that comes before everything else.
    fn notice_the_start(&self, changes: &mut Vec<Change>) -> bool {
        let Some(database) = &self.database else { return false };
        let persistent = database.config().groups().iter().any(|group| group.wishes.persistent);
        let admits = |change: &Change| matches!(change, Change::Admit { .. });
        let takes_part = |(&node, record): (&NodeId, &NodeRecord)| {
            let heard = self.peers.get(&node).and_then(|peer| peer.incarnation());
            let known = if node == self.me { Some(self.incarnation) } else { heard };
            known.is_some_and(|known| record.is_up_as(known))
        };
        let starts =
            persistent && changes.iter().any(admits) && !database.nodes().iter().any(takes_part);
        if starts {
            changes.insert(0, Change::Starts);
        }
        starts
    }

    /// Whether this node coordinates.
    pub(super) fn is_coordinator(&self) -> bool {
        self.consensus.as_ref().is_some_and(Consensus::is_coordinator)
    }

    /// A human's word about a node that is down.
    pub(super) fn confirm(&self, node: NodeId, reason: &str) -> Option<Change> {
        let incarnation = self.database.as_ref()?.to_vouch_for(node)?;
        fence::human(node, incarnation, reason).map(FenceProof::into_change)
    }
}
