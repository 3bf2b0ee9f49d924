//! Where the machines meet: routes what comes in to them, and what they want to the driver.
//!
//! One step: the event goes to the machine it is for; then consensus is drained and what is
//! committed applied; then, if this node coordinates and nothing is under way, the next changes are
//! decided and proposed; then every group here asks for what is next. Repeated until nothing moves.
//!
//! *Architecture Invariant*: decides nothing that a machine or a policy can decide.

mod admission;
mod asking;
mod balancing;
mod beats;
mod calm;
mod command;
mod coordinate;
mod deciding;
mod fencing;
mod foresight;
mod handover;
mod holding;
mod local;
mod log;
mod membership;
mod order;
mod probe;
mod reach;
mod standing;
mod stray;
mod view;
mod why;
mod witness;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::action::Action;
use crate::change::{Change, GroupReport};
use crate::config::{ClusterConfig, Timing};
use crate::consensus::{Consensus, ConsensusTiming};
use crate::database::Database;
use crate::durable::Durable;
use crate::event::Event;
use crate::group::LocalGroup;
use crate::heartbeat::Peer;
use crate::id::{Epoch, GroupId, Incarnation, NodeId, OpId, RequestId, VoterId};
use crate::lease::Lease;
use crate::lock::LockFailure;
use crate::message::{Command, Hello, Message};
use crate::notice::{DropReason, Notice};
use crate::output::Output;
use crate::plant::{self, Plant};
use crate::random::Random;
use crate::status::Happened;
use crate::time::Instant;
use crate::timer::{Timer, Timers};
use calm::Stir;
pub use foresight::Foresight;
pub use handover::{Handover, Inherited};

/// How much of a group's history is kept for `explain`.
const HISTORY_MAX: usize = 32;
/// How often one step may go round before the rest is left to the next.
const ROUNDS_MAX: usize = 64;

/// What an engine starts with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The configuration in this node's file. The committed one overrules it.
    pub config: ClusterConfig,
    /// This node.
    pub node: NodeId,
    /// This start of it: larger than every earlier one.
    pub boot: u64,
    /// What was persisted before.
    pub durable: Durable,
    /// The seed of its only generator.
    pub seed: u64,
    /// What a predecessor of this very start has left: then this is no start of the node, but goes on. Not later than
    /// the driver ends what that has started, and on the same clock.
    pub inherits: Option<Handover>,
}

/// How far this node is with belonging to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Its log has no identity yet.
    Nameless,
    /// The identity is being persisted.
    Naming(OpId),
    /// It has an identity and looks for a cluster.
    Seeking,
    /// What it founds or adopts is being persisted.
    Founding(OpId),
    /// It takes part in consensus.
    Member,
    /// Its storage has failed: it takes no part any more.
    Ended,
}

/// A command that waits for the coordinator.
#[derive(Clone, Debug)]
struct Asked {
    command: Command,
    until: Instant,
    told: Option<NodeId>,
}

/// What was last said about a group, to whom and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said {
    epoch: Epoch,
    report: GroupReport,
    to: NodeId,
    at: Instant,
}

/// One node's engine.
pub struct Engine {
    me: NodeId,
    incarnation: Incarnation,
    session_since: Instant,
    config: ClusterConfig,
    /// The digest of the configuration it was started with: what peers are told.
    digest: u64,
    standing: Standing,
    identity: Option<VoterId>,
    random: Random,
    now: Instant,
    timers: Timers,
    out: Output,
    peers: BTreeMap<NodeId, Peer>,
    streams: BTreeMap<NodeId, u64>,
    hellos: BTreeMap<NodeId, Hello>,
    /// What this node says of itself, and when it said so to whom.
    hello_said: (Option<Hello>, BTreeMap<NodeId, Instant>),
    founding_told: Option<(Vec<NodeId>, Vec<NodeId>)>,
    founders: Vec<VoterId>,
    lease: Lease,
    lease_held: bool,
    beat_sequence: u64,
    deaf_until: Instant,
    consensus: Option<Consensus>,
    database: Option<Database>,
    applied_at: Instant,
    coordinator_told: Option<(Option<NodeId>, Epoch)>,
    coordinating_since: Option<Instant>,
    /// Since when it coordinates without a lease.
    without_lease_since: Option<Instant>,
    /// When one that should not coordinate tries again to hand over.
    yields_again: Option<Instant>,
    /// Persistences that have not been answered.
    persisting: BTreeSet<OpId>,
    stood_against: Option<(VoterId, Epoch)>,
    proposed: Vec<Change>,
    replies: Vec<command::Owed>,
    asked: BTreeMap<RequestId, Asked>,
    said: BTreeMap<GroupId, Said>,
    groups: BTreeMap<GroupId, LocalGroup>,
    /// Groups that something has happened to since they were last asked what is next.
    touched: BTreeSet<GroupId>,
    /// Whether this node might act when its groups were last told.
    acting: bool,
    /// What the next round has to look at.
    stir: Stir,
    /// Of some node it is known only from others whether they hear it.
    leans: bool,
    /// Some node is heard, and counts as silent for what it says.
    mutes: bool,
    /// Something has changed that placement depends on.
    reconsider: bool,
    unplaced: BTreeSet<GroupId>,
    /// Who waits though it could run, as this node decided it as the coordinator.
    held: BTreeMap<GroupId, holding::Held>,
    /// What time of day it was, in seconds, and when.
    day: Option<(u64, Instant)>,
    /// Since when the load is uneven and nothing else is under way.
    uneven_since: Option<Instant>,
    probes: BTreeMap<NodeId, probe::Probe>,
    /// What this host does not reach.
    reach: reach::Reach,
    history: BTreeMap<GroupId, VecDeque<Happened>>,
    /// How much has come into the history of each group so far.
    noted: BTreeMap<GroupId, u64>,
    acts: why::Acts,
    /// The configuration it was started with; none: it is in force, or was.
    file: Option<ClusterConfig>,
    /// Where that differs from the one in force, and whether that is told.
    differs: (Vec<String>, bool),
    fencing: fencing::Fencing,
    hands: witness::Hands,
    turnover: membership::Turnover,
    leaving: bool,
    /// What it leaves is kept for it.
    leave_keeps: bool,
    left: bool,
}

impl Engine {
    /// A node that has just started. Nothing is asked of the driver before the first step.
    ///
    /// # Panics
    /// The node is not in the configuration.
    pub fn new(setup: Setup, now: Instant) -> Self {
        let Setup { config, node, boot, durable, seed, inherits } = setup;
        assert!(config.node(node).is_some(), "{node} is not in the configuration");
        let mut timers = Timers::default();
        timers.set(Timer::Beat, now);
        let others = config.nodes().iter().map(|other| other.id).filter(|&id| id != node);
        let mut engine = Self {
            me: node,
            incarnation: Incarnation::of_boot(boot),
            session_since: now,
            peers: others.map(|id| (id, Peer::new(now))).collect(),
            digest: config.digest(),
            lease: Lease::new(),
            config,
            standing: Standing::Nameless,
            identity: durable.identity,
            random: Random::new(seed),
            now,
            timers,
            out: Output::default(),
            streams: BTreeMap::new(),
            hellos: BTreeMap::new(),
            hello_said: (None, BTreeMap::new()),
            founding_told: None,
            founders: Vec::new(),
            lease_held: false,
            beat_sequence: 0,
            deaf_until: now,
            consensus: None,
            database: None,
            applied_at: now,
            coordinator_told: None,
            coordinating_since: None,
            without_lease_since: None,
            yields_again: None,
            persisting: BTreeSet::new(),
            stood_against: None,
            proposed: Vec::new(),
            replies: Vec::new(),
            asked: BTreeMap::new(),
            said: BTreeMap::new(),
            groups: BTreeMap::new(),
            touched: BTreeSet::new(),
            acting: false,
            stir: Stir::WHOLE,
            leans: false,
            mutes: false,
            reconsider: false,
            unplaced: BTreeSet::new(),
            held: BTreeMap::new(),
            day: None,
            uneven_since: None,
            probes: BTreeMap::new(),
            reach: reach::Reach::default(),
            history: BTreeMap::new(),
            noted: BTreeMap::new(),
            acts: why::Acts::default(),
            file: None,
            differs: (Vec::new(), false),
            fencing: fencing::Fencing::default(),
            hands: witness::Hands::default(),
            turnover: membership::Turnover::default(),
            leaving: false,
            leave_keeps: false,
            left: false,
        };
        engine.recover(&durable, inherits);
        engine
    }

    /// The same node as in a recording of it: `digest` is that of the configuration with its secrets.
    pub(crate) fn again(setup: Setup, digest: u64, now: Instant) -> Self {
        Self { digest, ..Self::new(setup, now) }
    }

    /// One event at one time. Time that goes back counts as time that stands still.
    pub fn step(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let now = now.max(self.now);
        if self.timers.next().is_some_and(|due| now > due + self.timing().interval) {
            let deaf = if plant::is(Plant::LatenessIgnored) { 0 } else { 2 };
            self.deaf_until = now + self.timing().interval * deaf;
            self.stir.clock |= self.mutes;
        }
        self.now = now;
        if self.standing != Standing::Ended {
            // What is over stays over: what has waited while this node stood still may renew the
            // lease, but what might run until then must end all the same.
            if self.lease_may_be_over() {
                self.watch_lease();
            }
            self.on_event(event);
            self.expire();
            self.settle();
            #[cfg(test)]
            self.assert_calm();
        }
        let actions = self.take_actions();
        self.deadline_of_machines();
        actions
    }

    /// What has been worth telling since it was asked last.
    pub fn notices(&mut self) -> Vec<Notice> {
        self.out.take_notices()
    }

    /// When to come back with [`Event::Tick`], if nothing happens before.
    pub fn deadline(&self) -> Option<Instant> {
        (self.standing != Standing::Ended).then(|| self.timers.next()).flatten()
    }

    fn timing(&self) -> &Timing {
        self.config.timing()
    }

    fn consensus_timing(&self) -> ConsensusTiming {
        let timing = self.timing();
        ConsensusTiming {
            tick: timing.consensus_tick,
            election_min: timing.election_min,
            election_max: timing.election_max,
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Tick => {}
            Event::Beat { from, path, beat } => self.on_beat(from, path, beat),
            Event::Message { from, message: message @ Message::Consensus(_) } => {
                self.stir.consensus = true;
                self.on_message(from, message);
            }
            other => {
                self.stir = Stir::WHOLE;
                self.on_other(other);
            }
        }
    }

    /// What may change anything.
    fn on_other(&mut self, event: Event) {
        match event {
            Event::Tick | Event::Beat { .. } => {}
            Event::Message { from, message } => self.on_message(from, message),
            Event::StreamOpened { node, boot } => self.on_stream_opened(node, boot),
            Event::StreamClosed { node, boot, how } => self.on_stream_closed(node, boot, how),
            Event::StreamRefused { node } => {
                if let Some(peer) = self.peers.get_mut(&node) {
                    peer.on_refused(self.now);
                }
            }
            Event::Persisted { op } => self.on_persisted(op),
            Event::PersistFailed { op, .. } if plant::is(Plant::SyncErrorIgnored) => {
                self.on_persisted(op);
            }
            Event::PersistFailed { error, .. } => self.on_persist_failed(error),
            Event::Lun { op, lun, result } => self.on_lun(op, lun, &result),
            Event::LunRefused { lun, epoch } => {
                self.on_lun_lost(lun, epoch, LockFailure::Overtaken);
            }
            Event::LunLost { lun, epoch } => {
                self.on_lun_lost(lun, epoch, LockFailure::Unreachable);
            }
            Event::Resource { op, resource, result } => self.on_resource(op, resource, &result),
            Event::ResourceMoved { resource, epoch, to } => {
                self.on_resource_moved(resource, epoch, to);
            }
            Event::ResourceFound { resource } => self.on_resource_found(resource),
            Event::ResourceBusy { op, resource } => self.on_resource_busy(op, resource),
            Event::ResourceFailed { resource, epoch, trouble, detail } => {
                self.on_resource_failed(resource, epoch, trouble, detail);
            }
            Event::Command { request, command } => self.on_command(request, command),
            Event::Leave { keep } => self.on_leave(keep),
            Event::Witness { op, result } => self.on_witness(op, result),
            Event::Fence { op, result } => self.on_fence(op, result),
            Event::LunPath { lun, reached } => self.on_lun_path(lun, reached),
            Event::LunOverdue { lun, epoch } => self.on_lun_overdue(lun, epoch),
            Event::TimeOfDay { seconds } => {
                self.day = Some((u64::from(seconds), self.now));
                self.reconsider = true;
            }
        }
    }

    fn on_message(&mut self, from: NodeId, message: Message) {
        // Whoever coordinates is heard, known or not, be it by way of another: a log that is behind may not name it.
        if !self.is_linked(from) && !matches!(message, Message::Consensus(_)) {
            return self.drop_from(from, DropReason::UnknownVoter);
        }
        match message {
            Message::Hello(hello) => self.on_hello(from, hello),
            Message::Consensus(inner) => {
                if inner.from.node() != from {
                    return self.drop_from(from, DropReason::Malformed);
                }
                let now = self.now;
                self.note_spoken(from);
                let known = self.consensus.as_mut().is_some_and(|one| one.receive(&inner, now));
                if !known {
                    self.drop_from(from, DropReason::UnknownVoter);
                }
            }
            Message::Propose(changes) => self.on_propose(from, changes),
            Message::Request { request, command } => self.on_request(from, request, command),
            Message::Reply { request, result } => self.on_reply(request, result),
            Message::InForce(version, parts) => self.on_in_force(version, *parts),
            Message::Relay { from: speaker, to, message } => {
                let nested = matches!(*message, Message::Relay { .. });
                if nested || speaker == self.me {
                    self.drop_from(from, DropReason::Malformed);
                } else if to == self.me {
                    self.on_message(speaker, *message);
                } else if self.streams.contains_key(&to) && speaker == from {
                    self.out
                        .act(Action::Send { to, message: Message::Relay { from, to, message } });
                } else {
                    self.drop_from(from, DropReason::Misrouted);
                }
            }
        }
    }

    fn drop_from(&mut self, from: NodeId, reason: DropReason) {
        self.out.tell(Notice::Dropped { from, reason });
    }

    /// Sends on the stream to `to`, or through one node that hears it.
    fn send(&mut self, to: NodeId, message: Message) {
        if self.streams.contains_key(&to) {
            return self.out.act(Action::Send { to, message });
        }
        let limit = self.timing().suspect;
        let hears = |peer: &Peer| {
            peer.says_heard(to).is_some_and(|heard| self.now.since(heard) <= limit)
                && peer.is_fresh(limit, self.now)
        };
        let through = self
            .peers
            .iter()
            .find(|&(id, peer)| *id != to && self.streams.contains_key(id) && hears(peer));
        if let Some((&by, _)) = through {
            let message = Message::Relay { from: self.me, to, message: Box::new(message) };
            self.out.act(Action::Send { to: by, message });
        }
    }

    fn expire(&mut self) {
        while let Some(timer) = self.timers.expire(self.now) {
            match timer {
                Timer::Beat => {
                    // A node that is a majority by itself gets its lease by this.
                    self.stir.clock |= !self.lease_held;
                    self.send_beats();
                }
                Timer::Consensus => {
                    self.stir.consensus = true;
                    let (now, asks) = (self.now, self.asks_witness());
                    let later = now + self.timing().interval;
                    if let Some(consensus) = &mut self.consensus {
                        if asks {
                            consensus.put_off_election(later);
                        }
                        consensus.tick(now);
                    }
                }
                Timer::Op(op) => {
                    self.stir = Stir::WHOLE;
                    self.on_overdue(op);
                }
                Timer::Repeat => {
                    self.stir = Stir::WHOLE;
                    self.on_repeat();
                }
                Timer::Review => {
                    self.stir = Stir::WHOLE;
                    self.reconsider = true;
                }
                Timer::Witness => self.tend_witness(),
                Timer::Lease | Timer::Isolation | Timer::Detection => self.stir.clock = true,
            }
        }
    }

    /// Goes round until nothing moves. Looks at what was stirred, and at everything unless all is calm.
    fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            if self.stir.consensus {
                self.drain_consensus();
            }
            if self.stir.clock && !self.stir.whole {
                self.watch_peers();
                self.watch_lease();
            }
            if !self.stir.whole {
                self.stir = Stir::default();
                return;
            }
            self.seek_cluster();
            self.watch_peers();
            self.watch_lease();
            self.watch_standing();
            self.watch_overdue();
            let touched = self.advance_groups();
            self.say_reports(&touched);
            self.say_reach();
            let decided = self.coordinate();
            let waiting = self.consensus.as_ref().is_some_and(Consensus::has_output);
            if !decided && !waiting {
                self.stir = if self.is_calm() { Stir::default() } else { Stir::WHOLE };
                return;
            }
        }
        self.timers.set(Timer::Review, self.now);
    }

    fn take_actions(&mut self) -> Vec<Action> {
        let actions = self.out.take_actions();
        for action in &actions {
            if let Action::SendBeat { .. } = action {
                continue;
            }
            if let Action::Persist { op, .. } = action {
                self.persisting.insert(*op);
            }
            self.remember_act(action);
            if let Some((op, length)) = self.patience(action) {
                self.timers.set(Timer::Op(op), self.now + length);
            }
        }
        actions
    }

    fn deadline_of_machines(&mut self) {
        match &self.consensus {
            Some(consensus) if self.standing == Standing::Member => {
                self.timers.set(Timer::Consensus, consensus.deadline());
            }
            _ => self.timers.clear(Timer::Consensus),
        }
    }
}
