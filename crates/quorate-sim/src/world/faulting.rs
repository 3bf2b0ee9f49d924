//! Faults begin and end.

use quorate_core::Event;
use quorate_core::database::NodeState;
use quorate_core::id::{GroupId, NodeId, RequestId, ResourceId};
use quorate_core::message::Command;

use super::World;
use super::processes::Death;
use crate::fault::Fault;
use crate::host::Host;
use crate::options::Plant;
use crate::schedule::Happening;
use crate::timeline::Kind;

impl World {
    /// A fault begins.
    pub(super) fn fault(&mut self, number: usize) {
        let planned = self.faults[number].clone();
        self.tell(|| format!("FAULT {number} until {}: {}", planned.until, planned.fault));
        self.mark_fault(Kind::FaultBegins, number);
        self.coverage.fault(&planned.fault);
        let founded = self.configuring.founded();
        self.unrest.on_fault(&planned.fault, founded, true, self.now);
        match planned.fault {
            Fault::Crash(node, false) => self.end_process(node, Death::Process),
            Fault::Crash(node, true) => {
                if let Some(process) = &mut self.host(node).process {
                    process.dies_next = true;
                }
            }
            Fault::Power(nodes) => {
                for node in nodes {
                    self.end_process(node, Death::Power);
                }
            }
            Fault::Torn(node) => self.host(node).tears_next = true,
            Fault::Wipe(node) => self.wipe(node),
            Fault::BitRot(node) => self.rot(node),
            Fault::DiskFull(node) => self.host(node).disk.is_full = true,
            Fault::DiskSlow(node) => self.host(node).disk.is_slow = true,
            Fault::Pause(node, pause) => self.pause(node, pause, planned.until),
            Fault::Cut(_, links) => {
                self.stats.cuts += 1;
                for (from, to, path) in links {
                    self.links.cut(from, to, path);
                }
                self.links_changed();
            }
            Fault::Noise(noise) => self.links.add_noise(noise),
            Fault::Reset(one, other) => self.reset_stream(one, other),
            Fault::Drift(node, ppm) => self.drift(node, ppm),
            Fault::Step(node, nanos) => self.step_clock(node, nanos),
            Fault::WallStep(node, seconds) => self.host(node).wall += seconds * 1_000_000,
            Fault::Storage(..)
            | Fault::LunSlow(..)
            | Fault::LunLoses(..)
            | Fault::LunReset(_)
            | Fault::TargetPower(..)
            | Fault::Stranger(_) => self.storage_fault(&planned.fault, true),
            Fault::WitnessOff(_)
            | Fault::WitnessSlow
            | Fault::WitnessLoses
            | Fault::WitnessUnmounted(_) => self.witness_fault(&planned.fault, true),
            Fault::GuestDies(group) => self.guests_die(group),
            Fault::StartsFail(node, resource, count) => {
                self.slot(node, resource).failing_starts = count;
            }
            Fault::KillsFail(node, resource, count) => {
                self.slot(node, resource).failing_kills = count;
                self.guest_falls_silent(node, resource);
            }
            Fault::Hangs(node, resource) => self.hang(node, resource),
            Fault::HostLate(_) | Fault::HostNever(_) | Fault::HostTwice(_) => {
                self.host_grows_rude(&planned.fault);
            }
            Fault::Command(node, command) => self.command(node, command),
            Fault::RemoveGroup(node, group) => self.remove_group(node, group, true),
            Fault::Configure(node, edit) => self.configure(number, node, &edit),
            Fault::Leave(node) => self.leave(node),
            Fault::Busy(group) => self.lock(group),
            Fault::Handover(node) => self.replace_engine(node),
            Fault::AddNode(votes) => self.add_spare(votes),
            Fault::EvictNode(node) => self.drain_to_evict(node),
            Fault::MovedByHand(group, node) => self.moved_by_hand(group, node),
        }
    }

    fn moved_by_hand(&mut self, group: GroupId, node: NodeId) {
        let plain = self.config.group(group).is_some_and(|one| one.luns.is_empty());
        if plain && self.hosts[&node].is_awake() {
            self.move_by_hand(group, node);
        }
    }

    /// A fault ends.
    pub(super) fn fault_ends(&mut self, number: usize) {
        let planned = self.faults[number].clone();
        self.mark_fault(Kind::FaultEnds, number);
        let founded = self.configuring.founded();
        self.unrest.on_fault(&planned.fault, founded, false, self.now);
        match planned.fault {
            Fault::Crash(node, _) => {
                if let Some(process) = &mut self.host(node).process {
                    process.dies_next = false;
                }
                self.restart(node);
            }
            Fault::Power(nodes) => nodes.into_iter().for_each(|node| self.restart(node)),
            Fault::Torn(node) => {
                self.host(node).tears_next = false;
                self.restart(node);
            }
            Fault::Wipe(node) | Fault::BitRot(node) => self.restart(node),
            Fault::DiskFull(node) => self.host(node).disk.is_full = false,
            Fault::DiskSlow(node) => self.host(node).disk.is_slow = false,
            Fault::Cut(_, links) => {
                if self.is_planted(Plant::NeverHeals) {
                    return;
                }
                for (from, to, path) in links {
                    self.links.mend(from, to, path);
                }
                self.links_changed();
            }
            Fault::Noise(noise) => self.links.end_noise(noise),
            Fault::Storage(..)
            | Fault::LunSlow(..)
            | Fault::LunLoses(..)
            | Fault::LunReset(_)
            | Fault::TargetPower(..)
            | Fault::Stranger(_) => self.storage_fault(&planned.fault, false),
            Fault::WitnessOff(_)
            | Fault::WitnessSlow
            | Fault::WitnessLoses
            | Fault::WitnessUnmounted(_) => self.witness_fault(&planned.fault, false),
            Fault::StartsFail(node, resource, _) => {
                self.slot(node, resource).failing_starts = 0;
            }
            Fault::KillsFail(node, resource, _) => self.slot(node, resource).failing_kills = 0,
            Fault::Hangs(node, resource) => self.slot(node, resource).hanging = false,
            Fault::HostLate(node) => self.host(node).manners.late -= 1,
            Fault::HostNever(node) => self.host(node).manners.never -= 1,
            Fault::HostTwice(node) => self.host(node).manners.twice -= 1,
            Fault::Pause(..)
            | Fault::Reset(..)
            | Fault::Drift(..)
            | Fault::Step(..)
            | Fault::WallStep(..)
            | Fault::GuestDies(_)
            | Fault::Command(..)
            | Fault::Handover(_)
            | Fault::MovedByHand(..)
            | Fault::AddNode(_)
            | Fault::Leave(_) => {}
            Fault::EvictNode(node) => self.evict(node),
            Fault::Busy(group) => self.unlock(group),
            Fault::RemoveGroup(node, group) => self.remove_group(node, group, false),
            Fault::Configure(node, _) => self.take_back(number, node),
        }
    }

    fn host_grows_rude(&mut self, fault: &Fault) {
        match *fault {
            Fault::HostLate(node) => self.host(node).manners.late += 1,
            Fault::HostNever(node) => self.host(node).manners.never += 1,
            Fault::HostTwice(node) => self.host(node).manners.twice += 1,
            _ => {}
        }
    }

    fn mark_fault(&mut self, kind: Kind, number: usize) {
        if self.timeline.is_some() {
            let detail = self.faults[number].fault.to_string();
            self.mark(kind, number.to_string(), None, detail);
        }
    }

    /// A clock runs at another rate. Its engine's deadlines move with it.
    fn drift(&mut self, node: NodeId, ppm: i64) {
        let now = self.now;
        self.host(node).clock.set_rate(ppm, now);
        self.look_at = now;
        self.wake_anew(node);
    }

    /// A clock steps; within the bound at most once in a detection time.
    fn step_clock(&mut self, node: NodeId, nanos: i64) {
        let now = self.now;
        let detect = self.config.timing().detect;
        let most = crate::cluster::step_max(&self.config);
        let within = u128::from(nanos.unsigned_abs()) <= most.as_nanos();
        let host = self.host(node);
        if within && host.stepped.is_some_and(|at| now.since(at) < detect) {
            return;
        }
        host.stepped = Some(now);
        host.disturbed = now;
        host.clock.step(nanos, now);
        self.stats.clock_steps += 1;
        self.look_at = now;
        if !within {
            self.waivers.clock_jumped();
        }
        self.wake_anew(node);
    }

    /// A disk may be lost while a majority still has all that is committed: every other node runs; and if one was
    /// lost before, everybody has caught up since. More than a minority of lost disks is more than anybody promises
    /// to survive: of two voters neither may lose its own. Nor may it hold what nobody has applied: its acknowledgement
    /// is on its way, and may be the last that makes a majority.
    fn may_lose_disk(&self, node: NodeId) -> bool {
        if self.config.node(node).is_none() || self.members_change() {
            return false;
        }
        let voters = self.config.voters().count();
        let left = self.config.voters().filter(|&voter| voter != node).count();
        if left <= voters / 2 {
            return false;
        }
        let early = self.now.since(Default::default()) < self.config.timing().detect * 3;
        let is_in = |host: &&Host| host.id != node && self.config.node(host.id).is_some();
        let others = || self.hosts.values().filter(is_in);
        let applied = |host: &Host| {
            let database = host.process.as_ref()?.engine.database()?;
            database.nodes().get(&host.id).filter(|one| one.state == NodeState::Up)?;
            Some(database.applied())
        };
        let newest = others().filter_map(applied).max();
        let sound = others().all(|host| !host.disk.is_rotten);
        let ahead = newest.is_some_and(|newest| self.hosts[&node].disk.last_entry() > newest);
        let caught_up = newest.is_some() && others().all(|host| applied(host) == newest);
        !early
            && sound
            && !ahead
            && others().all(Host::is_awake)
            && (self.stats.wipes == 0 || caught_up)
    }

    fn wipe(&mut self, node: NodeId) {
        if !self.may_lose_disk(node) {
            return;
        }
        self.end_process(node, Death::Power);
        self.lose_disk(node);
    }

    fn lose_disk(&mut self, node: NodeId) {
        self.stats.wipes += 1;
        self.host(node).disk.wipe();
        self.tell(|| format!("{node}: its disk is lost"));
    }

    /// A damaged log is a lost one, once its node has to read it.
    fn rot(&mut self, node: NodeId) {
        if self.may_lose_disk(node) && !self.hosts[&node].disk.is_empty() {
            self.host(node).disk.is_rotten = true;
        }
    }

    /// An operator puts an empty log in the place of a damaged one, as the node's error says; not before that is
    /// safe.
    pub(super) fn replace_disk(&mut self, node: NodeId) {
        if !self.hosts[&node].disk.is_rotten || self.hosts[&node].process.is_some() {
            return;
        }
        if !self.may_lose_disk(node) {
            return self.after(self.config.timing().interval, Happening::Replace(node));
        }
        self.lose_disk(node);
        self.restart(node);
    }

    pub(super) fn guests_die(&mut self, group: GroupId) {
        let nodes: Vec<NodeId> = self.hosts.keys().copied().collect();
        let resources: Vec<ResourceId> = self
            .config
            .group(group)
            .map(|group| group.resources.iter().map(|resource| resource.id).collect())
            .unwrap_or_default();
        for node in nodes {
            for &resource in &resources {
                self.guest_dies(node, resource);
            }
        }
    }

    pub(super) fn hang(&mut self, node: NodeId, resource: ResourceId) {
        match self.guest(node, resource) {
            Some(guest) => guest.hangs = true,
            None => self.slot(node, resource).hanging = true,
        }
    }

    /// The host gives a command, if its engine can hear it. An operator's word is true, and the LUNs of a group are
    /// there before it is.
    pub(super) fn command(&mut self, node: NodeId, command: Command) {
        if let Command::AddGroup(new) = &command {
            self.bring_luns(new);
        }
        if let Command::ConfirmFenced { node: name, .. } = &command {
            let Some(id) = self.config.node_named(name).map(|node| node.id) else { return };
            let host = &self.hosts[&id];
            if host.process.is_some() || host.slots.values().any(|slot| slot.guest.is_some()) {
                return;
            }
        }
        let process = self.hosts[&node].process.as_ref();
        let Some(life) = process.filter(|process| process.pause.is_none()).map(|one| one.life)
        else {
            return;
        };
        self.requests += 1;
        let request = RequestId(self.requests);
        self.deliver(node, life, Event::Command { request, command });
    }

    fn leave(&mut self, node: NodeId) {
        if let Some(life) = self.hosts[&node].process.as_ref().map(|process| process.life) {
            self.deliver(node, life, Event::Leave { keep: false });
            // One that cannot leave in order is stopped in the end.
            let patience = self.config.timing().io_bound * 4;
            self.after(patience, Happening::LeaveEnds(node, life));
        }
    }

    /// A node that was asked to leave and has not is stopped, and started again.
    pub(super) fn leave_ends(&mut self, node: NodeId, life: u64) {
        if self.hosts[&node].process.as_ref().is_some_and(|process| process.life == life) {
            self.end_process(node, Death::Process);
            self.after(self.config.timing().detect, Happening::Restart(node));
        }
    }
}
