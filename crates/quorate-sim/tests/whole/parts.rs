//! Several parts of one LUN, taken again and again by owners that know nothing of each other: the engine's own locks on
//! the simulated device, with every order of commands and answers that a seed can draw.

use std::collections::{BTreeMap, VecDeque};

use quorate_core::action::{Action, LunVerb};
use quorate_core::event::{LunFailure, LunReply};
use quorate_core::id::{ClusterId, Epoch, Incarnation, LunId, NodeId, OpId};
use quorate_core::lock::{Lock, LockState};
use quorate_core::output::Output;
use quorate_core::random::Random;
use quorate_sim::storage::{Device, Failure, Initiator, Kind, ReservationType, ReserveOut};

const CLUSTER: ClusterId = ClusterId(5);
const PARTS: u32 = 4;
const NODES: u16 = 3;
const STEPS: u32 = 600;
/// Enough for every command that is under way to be carried out and answered.
const REST: u32 = 20_000;
const OURS: ReservationType = ReservationType::WriteExclusiveRegistrantsOnly;

/// One ownership of one part.
struct Owner {
    /// Which of all.
    serial: usize,
    part: LunId,
    node: NodeId,
    lock: Lock,
    /// It has held its part: something of it may write.
    has_held: bool,
    out: Output,
    commands: VecDeque<(OpId, LunVerb)>,
    answers: VecDeque<(OpId, Result<LunReply, LunFailure>)>,
}

impl Owner {
    /// Each node has a session for each part.
    fn nexus(&self) -> Initiator {
        Initiator::Node(NodeId(self.node.0 * 16 + self.part.0 as u16))
    }

    fn collect(&mut self) {
        for action in self.out.take_actions() {
            if let Action::Lun { op, verb, .. } = action {
                self.commands.push_back((op, verb));
            }
        }
    }
}

struct Volume {
    random: Random,
    device: Device,
    /// The newest owner of each part, with its epoch, and those before it.
    owners: BTreeMap<LunId, (u64, Owner)>,
    former: Vec<Owner>,
    count: usize,
}

/// Runs a seed. What went wrong, if anything did.
pub(crate) fn disturbed(seed: u64) -> Option<String> {
    let mut random = Random::new(seed);
    let kind = Kind { refuses: true, preempt_takes_free: random.chance(1, 2) };
    let device = Device::new(kind);
    let mut volume =
        Volume { random, device, owners: BTreeMap::new(), former: Vec::new(), count: 0 };
    for _ in 0..STEPS {
        volume.step(true);
        if let Some(wrong) = volume.wrong() {
            return Some(wrong);
        }
    }
    for _ in 0..REST {
        volume.step(false);
        if let Some(wrong) = volume.wrong() {
            return Some(wrong);
        }
    }
    let stuck = volume.owners.iter().find(|(_, (_, owner))| owner.lock.state() != LockState::Held);
    stuck.map(|(part, (epoch, owner))| {
        format!("{part}: epoch {epoch} ends as {:?}", owner.lock.state())
    })
}

impl Volume {
    fn step(&mut self, changes: bool) {
        match self.random.below(20) {
            0 if changes => self.take(),
            1 if changes && self.random.chance(1, 8) => self.device.reset(),
            2 if changes && self.random.chance(1, 16) => self.device.power_cycle(true),
            3..=11 => self.carry_out(),
            _ => self.answer(),
        }
        // One whose keys others changed too often begins anew, as its group does.
        let given_up = |(_, (_, owner)): &(&LunId, &(u64, Owner))| {
            matches!(owner.lock.state(), LockState::Lost(_)) && owner.commands.is_empty()
        };
        if let Some(part) = self.owners.iter().find(given_up).map(|(part, _)| *part) {
            self.take_part(part);
        }
    }

    fn take(&mut self) {
        let part = LunId(1 + self.random.below(u64::from(PARTS)) as u32);
        self.take_part(part);
    }

    /// Somebody is entitled to a part, and begins to take it.
    fn take_part(&mut self, part: LunId) {
        let node = NodeId(1 + self.random.below(u64::from(NODES)) as u16);
        let epoch = self
            .owners
            .get(&part)
            .map_or_else(|| self.random.below(1_000) + 1, |(epoch, _)| epoch + 1);
        let lock = Lock::new(part, CLUSTER, node, Epoch(epoch), Incarnation::of_boot(1)).part(true);
        self.count += 1;
        let mut owner = Owner {
            serial: self.count,
            part,
            node,
            lock,
            has_held: false,
            out: Output::default(),
            commands: VecDeque::new(),
            answers: VecDeque::new(),
        };
        owner.lock.acquire(&mut owner.out);
        owner.collect();
        // A node's commands to a part go in order: those of an earlier owner there are over before.
        for former in self.former.iter_mut().filter(|one| one.part == part && one.node == node) {
            former.commands.clear();
        }
        if let Some((_, mut before)) = self.owners.insert(part, (epoch, owner)) {
            if before.node == node {
                before.commands.clear();
            }
            self.former.push(before);
        }
    }

    fn one(&mut self) -> Option<&mut Owner> {
        let count = self.owners.len() + self.former.len();
        let at = self.random.below(count.max(1) as u64) as usize;
        self.owners.values_mut().map(|(_, owner)| owner).chain(&mut self.former).nth(at)
    }

    /// The device carries out one command of somebody.
    fn carry_out(&mut self) {
        let Some(owner) = self.one() else { return };
        let (nexus, serial) = (owner.nexus(), owner.serial);
        let Some((op, verb)) = owner.commands.pop_front() else { return };
        if self.device.attention(nexus).is_some() {
            return self.by_serial(serial).commands.push_front((op, verb));
        }
        let done = |result: Result<(), Failure>| {
            result.map(|()| LunReply::Done).map_err(|_| LunFailure::Conflict)
        };
        let result = match verb {
            LunVerb::Register(key) => {
                done(self.device.reserve_out(nexus, ReserveOut::RegisterAndIgnore(key)))
            }
            LunVerb::Reserve(key) => {
                done(self.device.reserve_out(nexus, ReserveOut::Reserve(key, OURS)))
            }
            LunVerb::Preempt { own, victim } => {
                done(self.device.reserve_out(nexus, ReserveOut::PreemptAndAbort(own, victim, OURS)))
            }
            LunVerb::ReadKeys => Ok(LunReply::Keys {
                keys: self.device.keys(),
                holder: self.device.reservation().map(|(key, _)| key),
            }),
            LunVerb::ReadBeat(_) | LunVerb::Attach { .. } | LunVerb::Detach => Ok(LunReply::Done),
        };
        self.by_serial(serial).answers.push_back((op, result));
    }

    fn by_serial(&mut self, serial: usize) -> &mut Owner {
        let mut owners = self.owners.values_mut().map(|(_, owner)| owner).chain(&mut self.former);
        owners.find(|one| one.serial == serial).expect("nobody is forgotten")
    }

    /// Somebody hears an answer.
    fn answer(&mut self) {
        let Some(owner) = self.one() else { return };
        let Some((op, result)) = owner.answers.pop_front() else { return };
        owner.lock.on_answer(op, &result, &mut owner.out);
        owner.has_held |= owner.lock.state() == LockState::Held;
        owner.collect();
    }

    /// What must never be.
    fn wrong(&self) -> Option<String> {
        for (part, (epoch, owner)) in &self.owners {
            if owner.lock.state() != LockState::Held {
                continue;
            }
            let nexus = owner.nexus();
            if self.device.key_of(nexus).is_none() {
                return Some(format!("{part}: its owner in epoch {epoch} is registered no more"));
            }
            if self.device.reservation().is_none() {
                return Some(format!("{part}: held, and nothing is reserved"));
            }
            // A later owner by the same nexus may be registered, and has begun nothing.
            let last = |one: &Owner| {
                self.former
                    .iter()
                    .all(|other| other.nexus() != one.nexus() || other.serial <= one.serial)
            };
            let stale = |one: &&Owner| {
                let other = one.part == *part && one.nexus() != nexus;
                other && one.has_held && last(one) && self.device.may_write(one.nexus())
            };
            if let Some(stale) = self.former.iter().find(stale) {
                return Some(format!(
                    "{part}: an owner before epoch {epoch} can write, from {}",
                    stale.node
                ));
            }
        }
        None
    }
}
