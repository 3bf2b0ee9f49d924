//! Sessions to LUNs: requests of engines, I/O of guests, heartbeats on storage.

use quorate_core::Event;
use quorate_core::action::LunVerb;
use quorate_core::event::{LunFailure, LunReply, Trouble};
use quorate_core::id::{LunId, NodeId, OpId};

use super::World;
use crate::chance;
use crate::checker::Fact;
use crate::schedule::Happening;
use crate::spoken::words;
use crate::storage::{
    Attached, Body, Command, Failure, Nexus, ReservationType, ReserveOut, Written,
};
use crate::timeline::Kind;

/// The type that nodes reserve with.
const OURS: ReservationType = ReservationType::WriteExclusiveRegistrantsOnly;

impl World {
    /// An engine asks a LUN for something.
    pub(super) fn ask_lun(&mut self, node: NodeId, life: u64, op: OpId, lun: LunId, verb: LunVerb) {
        self.tell(|| format!("{node}: {lun} {}", words(&verb)));
        if let Some(process) = &mut self.host(node).process {
            process.lun_requests.insert(op);
        }
        self.send_to_lun(node, life, lun, Body::Verb(op, verb));
        let bound = self.config.timing().io_bound;
        self.after(bound, Happening::LunTimeout(node, life, lun, op));
    }

    /// Puts a command on its way to a LUN.
    pub(super) fn send_to_lun(&mut self, node: NodeId, life: u64, lun: LunId, body: Body) {
        let slow = if self.random.chance(1, 200) { 60_000 } else { 1_500 };
        let mut delay = chance::micros(&mut self.random, 100, slow);
        let Nexus { slow, losing, .. } = *self.storage.nexus(node, lun);
        if slow > 0 {
            let most = if self.random.chance(1, 10) { 150 } else { 20 };
            delay += chance::percent_of(&mut self.random, self.config.timing().io_bound, 0, most);
        }
        let (now, arrives) = (self.now, self.now + delay);
        let command = self.storage.nexus(node, lun).send(life, body, now, arrives);
        if losing > 0 && self.random.chance(1, 5) && self.is_enforced(lun) {
            let serial = command.serial;
            self.storage.nexus(node, lun).drop_commands(|one| one.serial == serial);
        }
        self.schedule.at(command.arrives, Happening::LunArrival(node, lun));
    }

    /// Whatever has reached the device is carried out, in order.
    pub(super) fn lun_arrival(&mut self, node: NodeId, lun: LunId) {
        let now = self.now;
        while let Some(command) = self.storage.nexus(node, lun).arrived(now) {
            let nexus = self.storage.initiator(node, lun);
            if let Some(attention) = self.storage.device_mut(lun).attention(nexus) {
                self.stats.attentions += 1;
                self.tell(|| format!("{lun}: {node} is told: {}", words(&attention)));
                return self.send_again(node, lun, command);
            }
            match command.body {
                Body::Verb(op, verb) => self.carry_out(node, lun, command, op, verb),
                Body::Write { .. } => self.guest_wrote(node, lun, command),
                Body::Read { resource, guest } => self.guest_read(node, lun, resource, guest),
                Body::Beat => self.beat_arrives(node, lun, command.life),
            }
        }
    }

    /// A command that was not carried out is sent again by its driver, before all others.
    fn send_again(&mut self, node: NodeId, lun: LunId, mut command: Command) {
        command.arrives = self.now + chance::micros(&mut self.random, 100, 5_000);
        self.schedule.at(command.arrives, Happening::LunArrival(node, lun));
        self.storage.nexus(node, lun).put_back(command);
    }

    fn carry_out(&mut self, node: NodeId, lun: LunId, command: Command, op: OpId, verb: LunVerb) {
        let done = Ok(LunReply::Done);
        let result = match verb {
            LunVerb::Register(key) => {
                self.reserve_out(node, lun, ReserveOut::RegisterAndIgnore(key))
            }
            LunVerb::Reserve(key) => self.reserve_out(node, lun, ReserveOut::Reserve(key, OURS)),
            LunVerb::Preempt { own, victim } => {
                self.stats.preempts += 1;
                self.reserve_out(node, lun, ReserveOut::Preempt(own, victim, OURS))
            }
            LunVerb::ReadKeys => {
                let device = self.storage.device(lun);
                let holder = device.reservation().map(|(key, _)| key);
                Ok(LunReply::Keys { keys: device.keys(), holder })
            }
            LunVerb::ReadBeat(peer) => {
                Ok(LunReply::Beat { counter: self.storage.lun(lun).read_beat(peer) })
            }
            LunVerb::Attach { epoch, incarnation } => {
                self.attach(node, lun, command.life, op, epoch, incarnation);
                done
            }
            LunVerb::Detach => {
                if self.storage.nexus(node, lun).attached.take().is_some() {
                    self.mark_lun(Kind::LunReleased, lun, node, "");
                }
                done
            }
        };
        self.tell(|| format!("{lun}: {} of {node}: {}", words(&verb), words(&result)));
        self.answer_lun(node, lun, command.life, op, result);
        self.tell_access(lun);
    }

    /// Something was done to the books of a LUN.
    pub(super) fn tell_access(&mut self, lun: LunId) {
        for lun in self.storage.beside(lun) {
            self.fact(&Fact::Access { lun });
        }
    }

    fn reserve_out(
        &mut self,
        node: NodeId,
        lun: LunId,
        command: ReserveOut,
    ) -> Result<LunReply, LunFailure> {
        let nexus = self.storage.initiator(node, lun);
        let result = self.storage.device_mut(lun).reserve_out(nexus, command);
        result.map(|()| LunReply::Done).map_err(|failure| match failure {
            Failure::Conflict => LunFailure::Conflict,
            Failure::Invalid => LunFailure::Unsupported,
        })
    }

    /// The LUN is open to the resources of the node, unless its driver has given that request up.
    fn attach(
        &mut self,
        node: NodeId,
        lun: LunId,
        life: u64,
        op: OpId,
        epoch: quorate_core::id::Epoch,
        incarnation: quorate_core::id::Incarnation,
    ) {
        let process = self.hosts[&node].process.as_ref().filter(|process| process.life == life);
        if !process.is_some_and(|process| process.lun_requests.contains(&op)) {
            return;
        }
        let nexus = self.storage.nexus(node, lun);
        let serial = nexus.next_serial();
        nexus.attached = Some(Attached { epoch, incarnation, serial, life });
        self.plan_storage_beat(node, lun, serial);
    }

    pub(super) fn plan_storage_beat(&mut self, node: NodeId, lun: LunId, serial: u64) {
        let at = self.now + self.config.timing().interval * self.ease();
        self.storage.nexus(node, lun).next_beat = at;
        self.schedule.at(at, Happening::StorageBeat(node, lun, serial));
    }

    fn answer_lun(
        &mut self,
        node: NodeId,
        lun: LunId,
        life: u64,
        op: OpId,
        result: Result<LunReply, LunFailure>,
    ) {
        // The answer may get lost on its way: the driver will say that the LUN is unreachable.
        if self.storage.nexus(node, lun).losing > 0 && self.random.chance(1, 5) {
            return;
        }
        let Some(process) = self.host(node).process.as_mut().filter(|process| process.life == life)
        else {
            return;
        };
        if !process.lun_requests.remove(&op) {
            return;
        }
        let delay = chance::micros(&mut self.random, 100, 1_500);
        let now = self.now;
        let nexus = self.storage.nexus(node, lun);
        nexus.last_answer = nexus.last_answer.max(now + delay);
        let at = nexus.last_answer;
        let event = Box::new(Event::Lun { op, lun, result });
        self.schedule.at(at, Happening::Event(node, life, event));
    }

    /// A request was not answered in time. The command may be lost, or carried out later.
    pub(super) fn lun_timeout(&mut self, node: NodeId, life: u64, lun: LunId, op: OpId) {
        let Some(process) = self.host(node).process.as_mut().filter(|process| process.life == life)
        else {
            return;
        };
        if !process.lun_requests.remove(&op) {
            return;
        }
        self.stats.lun_timeouts += 1;
        let lost = self.random.chance(1, 2);
        let is_this =
            |command: &Command| matches!(command.body, Body::Verb(other, _) if other == op);
        let nexus = self.storage.nexus(node, lun);
        if nexus.has(|command| command.body == Body::Verb(op, LunVerb::Detach)) {
            nexus.attached = None;
        }
        nexus.drop_commands(|command| lost && is_this(command));
        let result = Err(LunFailure::Unreachable);
        self.deliver(node, life, Event::Lun { op, lun, result });
    }

    /// The device takes or refuses a guest's write.
    fn guest_wrote(&mut self, node: NodeId, lun: LunId, command: Command) {
        let Body::Write { resource, guest, epoch, value } = command.body else { return };
        if !self.storage.takes_writes_of(node, lun) {
            self.stats.writes_refused += 1;
            self.mark_lun(Kind::WriteRefused, lun, node, "");
            self.tell(|| format!("{lun}: record {value} of {node} in {epoch} is refused"));
            self.guest_stands(node, resource, guest);
            self.report_refusal(node, lun, command.life);
            return;
        }
        self.stats.writes_taken += 1;
        self.note_write(lun);
        let before = self.storage.lun(lun).counter;
        self.fact(&Fact::Wrote { lun, node, epoch, value, before });
        let forgets =
            self.is_planted(crate::options::Plant::LunForgets) && value.is_multiple_of(100);
        if !forgets {
            let device = self.storage.lun(lun);
            device.counter = value;
            device.last = Some(Written { node, epoch, value });
        }
        self.guest_has_written(node, lun, (resource, guest), value);
    }

    fn report_refusal(&mut self, node: NodeId, lun: LunId, life: u64) {
        let attached = self.storage.nexus(node, lun).attached.filter(|held| held.life == life);
        if let Some(Attached { epoch, .. }) = attached {
            let delay = chance::micros(&mut self.random, 50, 1_000);
            let event = Box::new(Event::LunRefused { lun, epoch });
            self.after(delay, Happening::Event(node, life, event));
        }
    }

    /// Looks whether a guest's command was not answered in time. Then the driver gives the session up, and what it
    /// carried with it.
    pub(super) fn guest_io_timeout(&mut self, node: NodeId, lun: LunId) {
        let (bound, now) = (self.config.timing().io_bound, self.now);
        let nexus = self.storage.nexus(node, lun);
        let Some(sent) = nexus.oldest_of_guests().filter(|_| nexus.attached.is_some()) else {
            nexus.is_watched = false;
            return;
        };
        let held = nexus.attached.map_or(0, |held| held.life);
        if sent + bound > now {
            self.schedule.at(sent + bound, Happening::GuestIoTimeout(node, lun));
        } else if self.hosts[&node].carries(held) {
            let overdue = self.is_enforced(lun) && self.random.chance(3, 4);
            let nexus = self.storage.nexus(node, lun);
            nexus.is_watched = false;
            match nexus.attached.filter(|_| overdue && nexus.is_cut()) {
                Some(Attached { epoch, .. }) => {
                    self.deliver(node, held, Event::LunOverdue { lun, epoch });
                }
                None => self.lose_session(node, lun),
            }
        } else {
            self.after(self.config.timing().interval, Happening::GuestIoTimeout(node, lun));
        }
    }

    pub(super) fn lose_session(&mut self, node: NodeId, lun: LunId) {
        let enforced = self.is_enforced(lun);
        let lost = !enforced || self.random.chance(1, 2);
        let nexus = self.storage.nexus(node, lun);
        let Some(held) = nexus.attached.take() else { return };
        nexus.drop_commands(|command| lost && !matches!(command.body, Body::Verb(..)));
        self.stats.luns_lost += 1;
        self.tell(|| format!("{node}: the session to {lun} is lost"));
        let event = Event::LunLost { lun, epoch: held.epoch };
        self.deliver(node, held.life, event);
        self.guests_lose_lun(node, lun, Trouble::IoError);
    }

    /// What a process that starts or goes on reaches it finds out before long.
    pub(super) fn look_at_paths(&mut self, node: NodeId) {
        let luns: Vec<LunId> = self.storage.luns.keys().copied().collect();
        luns.into_iter().for_each(|lun| self.look_at_path(node, lun));
    }

    /// A node notices after a while that its way to a LUN is cut, and soon that it is open.
    fn look_at_path(&mut self, node: NodeId, lun: LunId) {
        let most = if self.storage.nexus(node, lun).is_cut() { 140 } else { 10 };
        let delay = chance::percent_of(&mut self.random, self.config.timing().io_bound, 0, most);
        self.after(delay, Happening::PathSeen(node, lun));
    }

    pub(super) fn path_seen(&mut self, node: NodeId, lun: LunId) {
        let reached = !self.storage.nexus(node, lun).is_cut();
        let Some(process) = &self.hosts[&node].process else { return };
        let life = process.life;
        // One that stands still looks at nothing.
        if self.hosts[&node].carries(life) {
            self.deliver(node, life, Event::LunPath { lun, reached });
        }
    }

    /// The node's heartbeat on a LUN is due.
    pub(super) fn storage_beat(&mut self, node: NodeId, lun: LunId, serial: u64) {
        let now = self.now;
        let nexus = self.storage.nexus(node, lun);
        let Some(held) = nexus.attached.filter(|held| held.serial == serial) else { return };
        if nexus.next_beat != now {
            return;
        }
        let waits = nexus.has(|command| command.body == Body::Beat);
        if self.hosts[&node].carries(held.life) && !waits {
            self.send_to_lun(node, held.life, lun, Body::Beat);
        }
        self.plan_storage_beat(node, lun, serial);
    }

    fn beat_arrives(&mut self, node: NodeId, lun: LunId, life: u64) {
        match self.storage.takes_writes_of(node, lun) {
            true => self.storage.lun(lun).beat(node),
            false => self.report_refusal(node, lun, life),
        }
    }

    /// Whether the LUN is said to refuse stale writers.
    pub(super) fn is_enforced(&self, lun: LunId) -> bool {
        self.storage.is_enforced(lun)
    }

    /// The sessions of a process that has died: their LUNs are closed; what was on its way may still arrive.
    pub(super) fn abandon_sessions(&mut self, node: NodeId, life: u64) {
        let luns: Vec<LunId> = self.storage.luns.keys().copied().collect();
        for lun in luns {
            let lost = self.random.chance(1, 2);
            let nexus = self.storage.nexus(node, lun);
            if nexus.attached.is_some_and(|held| held.life == life) {
                nexus.attached = None;
            }
            nexus.drop_commands(|_| lost);
        }
    }

    /// A stopped process carries no I/O: its sessions to enforced LUNs stand still.
    pub(super) fn hold_sessions(&mut self, node: NodeId, hold: bool) {
        let luns: Vec<LunId> = self.storage.luns.keys().copied().collect();
        for lun in luns.into_iter().filter(|&lun| self.is_enforced(lun)).collect::<Vec<_>>() {
            self.cut_session(node, lun, hold);
        }
    }

    /// Cuts the way of a node to a LUN, or mends it.
    pub(super) fn cut_session(&mut self, node: NodeId, lun: LunId, cut: bool) {
        let nexus = self.storage.nexus(node, lun);
        if cut {
            nexus.cut();
            return self.look_at_path(node, lun);
        }
        nexus.mend();
        self.look_at_path(node, lun);
        let delay = chance::micros(&mut self.random, 500, 30_000);
        self.after(delay, Happening::LunArrival(node, lun));
    }
}
