//! Faults begin and end.

use quorate_core::Event;
use quorate_core::id::{GroupId, NodeId, RequestId, ResourceId};
use quorate_core::message::Command;

use super::World;
use super::processes::Death;
use crate::fault::Fault;
use crate::network::Noise;
use crate::schedule::Happening;
use crate::timeline::Kind;

impl World {
    /// A fault begins.
    pub(super) fn fault(&mut self, number: usize) {
        let planned = self.faults[number].clone();
        self.tell(|| format!("FAULT {number} until {}: {:?}", planned.until, planned.fault));
        self.mark_fault(Kind::FaultBegins, number);
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
            Fault::Wipe(node) => self.wipe(node),
            Fault::DiskFull(node) => self.host(node).disk.is_full = true,
            Fault::Pause(node, pause) => self.pause(node, pause, planned.until),
            Fault::Cut(links) => {
                self.stats.cuts += 1;
                for (from, to, path) in links {
                    self.links.cut(from, to, path);
                }
                self.links_changed();
            }
            Fault::Noise(noise) => self.links.noise = noise,
            Fault::Reset(one, other) => self.reset_stream(one, other),
            Fault::Storage(node, luns) => {
                for lun in luns {
                    self.cut_session(node, lun, true);
                }
            }
            Fault::GuestDies(group) => self.guests_die(group),
            Fault::StartsFail(node, resource, count) => {
                self.slot(node, resource).failing_starts = count;
            }
            Fault::Hangs(node, resource) => self.hang(node, resource),
            Fault::Command(node, command) => self.command(node, command),
            Fault::Leave(node) => self.leave(node),
        }
    }

    /// A fault ends.
    pub(super) fn fault_ends(&mut self, number: usize) {
        let planned = self.faults[number].clone();
        self.mark_fault(Kind::FaultEnds, number);
        match planned.fault {
            Fault::Crash(node, _) => {
                if let Some(process) = &mut self.host(node).process {
                    process.dies_next = false;
                }
                self.restart(node);
            }
            Fault::Power(nodes) => nodes.into_iter().for_each(|node| self.restart(node)),
            Fault::Wipe(node) => self.restart(node),
            Fault::DiskFull(node) => self.host(node).disk.is_full = false,
            Fault::Cut(links) => {
                if self.is_planted(crate::options::Plant::NeverHeals) {
                    return;
                }
                for (from, to, path) in links {
                    self.links.mend(from, to, path);
                }
                self.links_changed();
            }
            Fault::Noise(_) => self.links.noise = Noise::LITTLE,
            Fault::Storage(node, luns) => {
                for lun in luns {
                    self.cut_session(node, lun, false);
                }
            }
            Fault::StartsFail(node, resource, _) => {
                self.slot(node, resource).failing_starts = 0;
            }
            Fault::Hangs(node, resource) => self.slot(node, resource).hanging = false,
            Fault::Pause(..)
            | Fault::Reset(..)
            | Fault::GuestDies(_)
            | Fault::Command(..)
            | Fault::Leave(_) => {}
        }
    }

    fn mark_fault(&mut self, kind: Kind, number: usize) {
        if self.timeline.is_some() {
            let detail = format!("{:?}", self.faults[number].fault);
            self.mark(kind, number.to_string(), None, detail);
        }
    }

    /// One disk a run may be lost, and only while every other node runs: more than a minority of lost disks is more
    /// than anybody promises to survive.
    fn wipe(&mut self, node: NodeId) {
        let early = self.now.since(Default::default()) < self.config.timing().detect * 3;
        let others_run = self.hosts.values().all(|host| host.id == node || host.is_awake());
        if self.stats.wipes > 0 || early || !others_run {
            return;
        }
        self.stats.wipes += 1;
        self.end_process(node, Death::Power);
        self.host(node).disk.wipe();
        self.tell(|| format!("{node}: its disk is lost"));
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

    /// The host gives a command, if its engine can hear it. An operator's word is true.
    pub(super) fn command(&mut self, node: NodeId, command: Command) {
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
            self.deliver(node, life, Event::Leave);
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
