//! Carrying out what engines ask for.

use std::time::Duration;

use quorate_core::Action;
use quorate_core::Event;
use quorate_core::Notice;
use quorate_core::change::Cause;
use quorate_core::durable::Record;
use quorate_core::id::{LunId, NodeId, OpId, PathId, ResourceId};
use quorate_core::message::{Beat, ConsensusMessage, Message};
use quorate_core::random::Random;

use super::World;
use super::fencing::Asked;
use super::processes::Death;
use crate::chance;
use crate::checker::Fact;
use crate::options::Plant;
use crate::schedule::Happening;
use crate::spoken::words;

/// Actions between which an order holds: those of one key stay as they were.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Disk,
    Lun(LunId),
    Resource(ResourceId),
    Witness,
    None,
}

fn lane(action: &Action) -> Lane {
    match action {
        Action::Persist { .. } => Lane::Disk,
        Action::Lun { lun, .. } => Lane::Lun(*lun),
        Action::Resource { resource, .. } => Lane::Resource(*resource),
        Action::Witness { .. } => Lane::Witness,
        Action::SendBeat { .. }
        | Action::Send { .. }
        | Action::Answer { .. }
        | Action::Reincarnated { .. }
        | Action::Left
        | Action::Fence { .. }
        | Action::Evicted => Lane::None,
    }
}

/// An order in which to carry actions out: any, but for those of one lane, which stay in theirs.
pub(super) fn order(random: &mut Random, actions: &[Action]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..actions.len()).collect();
    chance::shuffle(random, &mut order);
    if actions.iter().all(|action| lane(action) == Lane::None) {
        return order;
    }
    let lanes: Vec<Lane> = actions.iter().map(lane).collect();
    for place in 0..order.len() {
        let lane = lanes[order[place]];
        if lane != Lane::None {
            // The first of its lane that is left: whoever stands here changes places with it.
            let rest = place..order.len();
            let first = rest.filter(|&at| lanes[order[at]] == lane).min_by_key(|&at| order[at]);
            order.swap(place, first.unwrap_or(place));
        }
    }
    order
}

impl World {
    /// Carries out one action of a process.
    pub(super) fn act(&mut self, node: NodeId, life: u64, action: Action) {
        match &action {
            Action::SendBeat { to, path, beat } => {
                self.trace.mix_beat(self.now, node, (*to, *path), beat);
            }
            other => self.trace.mix(self.now, node, other),
        }
        self.stats.actions += 1;
        self.coverage.action(&action);
        match action {
            Action::SendBeat { to, path, beat } => self.send_beat(node, to, path, beat),
            Action::Send { to, message } => {
                self.note_promise(node, &message);
                self.send_message(node, to, message);
            }
            Action::Persist { op, records, rewrite } => {
                self.persist(node, life, op, records, rewrite);
            }
            Action::Lun { op, lun, verb } => self.ask_lun(node, life, op, lun, verb),
            Action::Resource { op, resource, verb } => self.ask_resource(node, op, resource, verb),
            Action::Witness { op, verb } => self.ask_witness(node, life, op, verb),
            Action::Fence { op, agent, node: victim, verb } => {
                self.ask_agent(node, life, op, Asked { agent, victim, verb });
            }
            Action::Answer { request, result } => self.on_answer(node, request, result),
            Action::Reincarnated { incarnation } => {
                self.tell(|| format!("{node}: becomes {}", words(&incarnation)));
            }
            Action::Evicted => self.switch_off(node),
            Action::Left => {
                self.end_process(node, Death::Goodbye);
                let delay = percent(&mut self.random, self.config.timing().detect, 10, 400);
                self.after(delay, Happening::Restart(node));
            }
        }
    }

    fn send_beat(&mut self, from: NodeId, to: NodeId, path: PathId, beat: Beat) {
        if self.links.is_mute(from, to, path) {
            return;
        }
        let [first, second] = self.links.datagram(&mut self.random);
        if let Some(delay) = second {
            let beat = beat.clone();
            self.after(delay, Happening::Datagram { from, to, path, beat });
        }
        if let Some(delay) = first {
            self.after(delay, Happening::Datagram { from, to, path, beat });
        }
    }

    fn persist(&mut self, node: NodeId, life: u64, op: OpId, records: Vec<Record>, rewrite: bool) {
        self.tell(|| {
            format!(
                "{node}: {op} persists {} records{}",
                records.len(),
                if rewrite { " as the whole log" } else { "" }
            )
        });
        self.fact(&Fact::Persists { node, records: &records });
        if self.hosts[&node].disk.is_full {
            self.stats.failed_writes += 1;
            let failed = Event::PersistFailed { op, error: "no space left".into() };
            let delay = chance::micros(&mut self.random, 100, 3_000);
            return self.after(delay, Happening::Event(node, life, Box::new(failed)));
        }
        let slow = if self.random.chance(1, 100) { 120_000 } else { 3_000 };
        let mut delay = chance::micros(&mut self.random, 100, slow);
        let disk = &self.hosts[&node].disk;
        if disk.is_slow || self.now < disk.slow_until {
            delay += percent(&mut self.random, self.config.timing().io_bound, 0, 12);
        }
        if self.is_planted(Plant::DiskLies) {
            self.after(delay, Happening::Event(node, life, Box::new(Event::Persisted { op })));
            delay = self.config.timing().detect * 4;
        }
        let done = self.now + delay;
        let at = self.host(node).disk.write(op, records, rewrite, done);
        self.schedule.at(at, Happening::DiskDone(node, life));
        if std::mem::take(&mut self.host(node).tears_next) {
            let delay = chance::micros(&mut self.random, 1, 50);
            self.after(delay, Happening::Tear(node, life));
        }
    }

    /// Shows the checkers what a voter must never forget, whichever way it goes to its peer.
    fn note_promise(&mut self, node: NodeId, message: &Message) {
        let message = match message {
            Message::Relay { from, message, .. } if *from == node => message.as_ref(),
            other => other,
        };
        let Message::Consensus(message) = message else { return };
        let promises = match message.kind {
            ConsensusMessage::APPENDED | ConsensusMessage::VOTES => !message.reject,
            kind => kind == ConsensusMessage::ASKS_FOR_VOTE,
        };
        if promises {
            self.fact(&Fact::Promises { node, message });
        }
    }

    /// The oldest write of a disk is through.
    pub(super) fn disk_done(&mut self, node: NodeId, life: u64) {
        if self.hosts[&node].process.as_ref().is_none_or(|process| process.life != life) {
            return;
        }
        if let Some(op) = self.host(node).disk.done()
            && !self.is_planted(Plant::DiskLies)
        {
            self.deliver(node, life, Event::Persisted { op });
        }
    }

    /// Counts what a notice tells.
    pub(super) fn count_notice(&mut self, node: NodeId, notice: &Notice) {
        match notice {
            // Every node tells of a committed change: the owner's word counts.
            Notice::Assigned { owner, cause, .. } if *owner == node => match cause {
                Cause::NodeDown => self.stats.failovers += 1,
                Cause::Start
                | Cause::Failure
                | Cause::Move
                | Cause::Drain
                | Cause::Failback
                | Cause::NotPossible
                | Cause::Found
                | Cause::Online
                | Cause::Offline
                | Cause::Order
                | Cause::Rule
                | Cause::Balance
                | Cause::Stopped => {
                    self.stats.assignments += 1;
                }
            },
            Notice::StorageFailed { .. } => {
                // Its host ends a process that can promise nothing any more, once it has had time to stop things.
                let delay = self.config.timing().detect;
                let life = self.hosts[&node].lives;
                self.after(delay, Happening::LeaveEnds(node, life));
            }
            Notice::LeaseLost => self.stats.leases_lost += 1,
            Notice::Down { .. } => self.stats.downs += 1,
            _ => {}
        }
    }

    /// A line of the story for an event that matters on its own.
    pub(super) fn tell_event(&mut self, node: NodeId, event: &Event) {
        match event {
            Event::Tick | Event::Beat { .. } => {}
            Event::Message { from, message } => self.tell_message(node, *from, message),
            Event::StreamOpened { .. }
            | Event::StreamClosed { .. }
            | Event::StreamRefused { .. }
            | Event::Persisted { .. }
            | Event::PersistFailed { .. }
            | Event::Lun { .. }
            | Event::LunRefused { .. }
            | Event::LunLost { .. }
            | Event::LunPath { .. }
            | Event::LunOverdue { .. }
            | Event::Resource { .. }
            | Event::ResourceFailed { .. }
            | Event::ResourceBusy { .. }
            | Event::ResourceMoved { .. }
            | Event::ResourceFound { .. }
            | Event::Witness { .. }
            | Event::Fence { .. }
            | Event::Command { .. }
            | Event::Leave { .. }
            | Event::TimeOfDay { .. } => self.tell(|| format!("{node} <- {}", words(event))),
        }
    }
}

impl World {
    /// A line for a message, shorter than the whole of it.
    fn tell_message(&mut self, node: NodeId, from: NodeId, message: &Message) {
        let Message::Consensus(inner) = message else {
            return self.tell(|| format!("{node} <- {from}: {}", words(message)));
        };
        self.tell(|| {
            let ConsensusMessage { kind, term, index, entries, commit, reject, .. } =
                inner.as_ref();
            let snapshot = inner.snapshot.as_ref().map(|snapshot| snapshot.index);
            let snapshot = snapshot.map_or(String::new(), |at| format!(", snapshot at {at}"));
            let refused = if *reject { ", refused" } else { "" };
            format!(
                "{node} <- {from}: consensus {kind}, epoch {term}, at {index}, {} entries, \
                 commit {commit}{refused}{snapshot}",
                entries.len()
            )
        });
    }
}

fn percent(random: &mut Random, length: Duration, least: u32, most: u32) -> Duration {
    chance::percent_of(random, length, least, most)
}
