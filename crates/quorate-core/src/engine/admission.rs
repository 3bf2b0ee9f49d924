//! How a node comes to a cluster: founding it together with the others, finding it again, joining
//! it anew.
//!
//! A log gets an identity before anything is said under it. A cluster is founded when every voter
//! has said that its log is empty, under an identity that it will keep; so no log that exists can
//! be overlooked. Whoever hears of founders among whom it is adopts them; whoever is not among them
//! asks to be added.

use super::{Engine, Standing};
use crate::change::Change;
use crate::codec;
use crate::consensus;
use crate::database::{Database, NodeState};
use crate::durable::{Durable, Record};
use crate::event::StreamEnd;
use crate::id::{NodeId, VoterId};
use crate::message::{Command, Hello, Message};
use crate::notice::{DropReason, Notice};
use crate::plant::{self, Plant};
use crate::timer::Timer;

impl Engine {
    pub(super) fn on_stream_opened(&mut self, node: NodeId, boot: u64) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.on_stream();
            self.streams.insert(node, boot);
            self.hellos.remove(&node);
            self.hello_said.1.remove(&node);
            self.say_hellos(&[node]);
            self.asked.values_mut().filter(|one| one.told == Some(node)).for_each(|one| {
                one.told =
                    one.told.filter(|_| matches!(one.command, Command::Move { to: None, .. }));
            });
            self.repeat_asked();
            self.said.clear();
            self.touch_all();
        }
    }

    pub(super) fn on_stream_closed(&mut self, node: NodeId, boot: u64, how: StreamEnd) {
        if self.streams.get(&node) != Some(&boot) {
            return;
        }
        self.streams.remove(&node);
        self.hellos.remove(&node);
        self.hello_said.1.remove(&node);
        if let (StreamEnd::Reset, Some(peer)) = (how, self.peers.get_mut(&node)) {
            peer.on_reset(self.now);
        }
        let voter = self.database.as_ref().and_then(|database| database.voter(node));
        if let (Some(consensus), Some(voter)) = (&mut self.consensus, voter) {
            consensus.on_unreachable(voter);
        }
    }

    pub(super) fn on_hello(&mut self, from: NodeId, hello: Hello) {
        if hello.voter.node() != from {
            return self.drop_from(from, DropReason::Malformed);
        }
        if hello.founders.is_none() && self.hellos.get(&from) != Some(&hello) {
            self.say_in_force(from);
        }
        let newer = |old: &Hello| hello.incarnation >= old.incarnation;
        if self.hellos.get(&from).is_none_or(newer) {
            self.hellos.insert(from, hello);
        } else {
            self.drop_from(from, DropReason::StaleIncarnation);
        }
    }

    fn hello(&self) -> Option<Hello> {
        let founders = self.database.as_ref().map(|database| database.founders().to_vec());
        Some(Hello {
            voter: self.identity?,
            incarnation: self.incarnation,
            digest: self.digest,
            founders,
            ready: self.is_ready(),
        })
    }

    /// Nothing of an earlier incarnation runs here, and this one is not known to be down.
    fn is_ready(&self) -> bool {
        let incarnation = self.incarnation;
        let old = self.groups.values().any(|group| group.incarnation() != incarnation);
        let old = old && !plant::is(Plant::ReadmittedWithoutStopping);
        if plant::is(Plant::SameIncarnationReadmitted) {
            return !self.leaving;
        }
        !old && !self.is_declared_down() && !self.leaving
    }

    /// The database says that this very incarnation is down.
    pub(super) fn is_declared_down(&self) -> bool {
        let record = self.database.as_ref().and_then(|database| database.node(self.me));
        record.is_some_and(|record| {
            record.incarnation == self.incarnation && record.state != NodeState::Up
        })
    }

    /// Says to each who this node is, when that has changed or the other may have missed it.
    fn say_hellos(&mut self, to: &[NodeId]) {
        let Some(hello) = self.hello() else { return };
        let again = self.timing().interval * 4;
        let settled = self.takes_part();
        if self.hello_said.0.as_ref() != Some(&hello) {
            self.hello_said.0 = Some(hello.clone());
            self.hello_said.1.clear();
        }
        for &to in to {
            let said = self.hello_said.1.get(&to);
            if !said.is_some_and(|&at| settled || self.now.since(at) < again) {
                self.hello_said.1.insert(to, self.now);
                self.send(to, Message::Hello(hello.clone()));
            }
            if let Some(said) = self.hello_said.1.get(&to).filter(|_| !settled) {
                self.timers.set_sooner(Timer::Repeat, *said + again);
            }
        }
    }

    /// Whether everybody within reach was told who this node is now.
    pub(super) fn has_said_hello(&self) -> bool {
        let (hello, said) = &self.hello_said;
        *hello == self.hello() && self.streams.keys().all(|node| said.contains_key(node))
    }

    /// Looks for a cluster, and for its place in it.
    pub(super) fn seek_cluster(&mut self) {
        match self.standing {
            Standing::Nameless => {
                let identity = VoterId::new(self.me, self.incarnation.boot);
                self.identity = Some(identity);
                let op = self.persist(vec![Record::Identity(identity)], false);
                self.standing = Standing::Naming(op);
            }
            Standing::Seeking => self.seek_founders(),
            Standing::Naming(_) | Standing::Founding(_) | Standing::Member | Standing::Ended => {}
        }
        if matches!(self.standing, Standing::Seeking | Standing::Founding(_) | Standing::Member) {
            let all: Vec<NodeId> = self.streams.keys().copied().collect();
            self.say_hellos(&all);
            if !self.takes_part() {
                self.timers.set_sooner(Timer::Repeat, self.now + self.timing().interval);
            }
        }
    }

    fn seek_founders(&mut self) {
        let Some(me) = self.identity else { return };
        let known = self.hellos.values().find_map(|hello| {
            hello.founders.clone().map(|founders| (founders, hello.digest == self.digest))
        });
        match known {
            Some((founders, same)) if founders.contains(&me) && same => self.found(founders),
            Some((founders, _)) if founders.contains(&me) => {
                self.tell_founding(Vec::new(), vec![self.me]);
            }
            Some(_) => self.join(me),
            None => self.found_if_all_are_here(me),
        }
    }

    fn found_if_all_are_here(&mut self, me: VoterId) {
        let voters: Vec<NodeId> = self.config.voters().collect();
        if !voters.contains(&self.me) {
            return;
        }
        let mut founders = vec![me];
        let (mut missing, mut differing) = (Vec::new(), Vec::new());
        for &node in voters.iter().filter(|&&node| node != self.me) {
            match self.hellos.get(&node) {
                Some(hello) if hello.digest != self.digest => differing.push(node),
                Some(hello) => founders.push(hello.voter),
                None => missing.push(node),
            }
        }
        let enough = founders.len() >= crate::quorum::majority(voters.len());
        let enough = enough && plant::is(Plant::FoundedByMajority);
        if missing.is_empty() && differing.is_empty() || enough {
            founders.sort_unstable();
            self.found(founders);
        } else {
            self.tell_founding(missing, differing);
        }
    }

    fn tell_founding(&mut self, missing: Vec<NodeId>, differing: Vec<NodeId>) {
        let waits = Some((missing.clone(), differing.clone()));
        if self.founding_told != waits {
            self.founding_told = waits;
            self.out.tell(Notice::FoundingWaits { missing, differing });
        }
    }

    fn found(&mut self, founders: Vec<VoterId>) {
        let durable = self.genesis(&founders);
        self.founders = founders;
        let op = self.persist(durable.records(), true);
        self.standing = Standing::Founding(op);
    }

    fn genesis(&self, founders: &[VoterId]) -> Durable {
        let database = Database::genesis(self.config.clone(), founders.to_vec());
        let mut voters = founders.to_vec();
        voters.extend(self.config.witness_votes().then_some(VoterId::WITNESS));
        let snapshot = consensus::genesis(&voters, &[], codec::encode(&database));
        Durable {
            identity: self.identity,
            hard_state: Some((1, VoterId(0), 1)),
            snapshot: Some(snapshot),
            entries: Vec::new(),
            electorate: None,
        }
    }

    pub(super) fn on_founded(&mut self) {
        let durable = self.genesis(&self.founders.clone());
        let identity = self.identity.expect("it was persisted before the cluster was founded");
        self.take_part(identity, &durable);
    }

    /// Takes part with an empty log, and waits to be added.
    fn join(&mut self, me: VoterId) {
        let durable = Durable { identity: Some(me), ..Durable::default() };
        self.take_part(me, &durable);
    }

    /// A node that was declared down and has stopped everything comes back as its next session.
    pub(super) fn watch_standing(&mut self) {
        if self.is_evicted() {
            return self.end_evicted();
        }
        let same = plant::is(Plant::SameIncarnationReadmitted);
        if !self.is_declared_down() || self.left || same {
            return;
        }
        let record = self.database.as_ref().and_then(|database| database.node(self.me));
        let left = record
            .is_some_and(|one| one.state == NodeState::Fenced(crate::change::FenceKind::Left));
        if left && self.leaving {
            self.left = true;
            self.out.act(crate::action::Action::Left);
            return;
        }
        let at_once = plant::is(Plant::ReadmittedWithoutStopping);
        if !at_once {
            self.abandon_all();
        }
        if self.groups.is_empty() || at_once {
            self.incarnation = self.incarnation.next_session();
            self.session_since = self.now;
            self.lease.reset();
            self.touch_all();
            let incarnation = self.incarnation;
            self.out.act(crate::action::Action::Reincarnated { incarnation });
        }
    }

    /// The coordinator's part: who is to be admitted, and whose log takes the place of a lost one.
    pub(super) fn admissions(&self, changes: &mut Vec<Change>) -> Option<VoterId> {
        let (database, consensus) = (self.database.as_ref()?, self.consensus.as_ref()?);
        let participants = consensus.participants();
        let mut newcomer = None;
        for (node, hello) in
            self.hello().map(|own| (self.me, own)).into_iter().chain(self.heard_hellos())
        {
            let Some(record) = database.node(node) else { continue };
            if record.is_shut_out(hello.incarnation) || self.fencing.is_under_way(node) {
                continue;
            }
            if participants.contains(&hello.voter) {
                let again = plant::is(Plant::SameIncarnationReadmitted)
                    && hello.incarnation == record.incarnation
                    && record.state != NodeState::Up;
                if hello.ready && (hello.incarnation > record.incarnation || again) {
                    changes.push(Change::Admit { node, incarnation: hello.incarnation });
                }
            } else if record.state != NodeState::Up {
                newcomer = Some(hello.voter);
            }
        }
        newcomer
    }

    /// Of nodes that are connected and whose heartbeats arrive.
    fn heard_hellos(&self) -> Vec<(NodeId, Hello)> {
        let limit = self.timing().suspect;
        let heard = |node: &NodeId, hello: &Hello| {
            self.peers.get(node).is_some_and(|peer| {
                peer.incarnation() == Some(hello.incarnation) && peer.is_fresh(limit, self.now)
            })
        };
        let found = self.hellos.iter().filter(|&(node, hello)| heard(node, hello));
        found.map(|(&node, hello)| (node, hello.clone())).collect()
    }
}
