//! The I/O of guests: record after record, on every LUN of their group.

use quorate_core::event::Trouble;
use quorate_core::id::{LunId, NodeId, ResourceId};

use super::World;
use crate::chance;
use crate::guest::Stage;
use crate::schedule::Happening;
use crate::storage::Body;

impl World {
    /// A guest begins to write, or goes on where it was halted: what it had under way is under way still, and its next
    /// write on that LUN waits for it.
    pub(super) fn guest_runs(&mut self, node: NodeId, resource: ResourceId) {
        let Some(guest) = self.guest(node, resource) else { return };
        guest.stage = Stage::Running;
        let serial = guest.serial;
        let waits = guest.records.keys().filter(|lun| !guest.writing.contains(lun));
        for lun in waits.copied().collect::<Vec<LunId>>() {
            self.plan_write(node, resource, serial, lun);
        }
    }

    /// Several writes a lease, while anything happens.
    pub(super) fn plan_write(
        &mut self,
        node: NodeId,
        resource: ResourceId,
        serial: u64,
        lun: LunId,
    ) {
        let lease = self.config.timing().lease;
        let delay = chance::percent_of(&mut self.random, lease, 2, 20) * self.ease();
        let at = self.now + delay;
        if let Some(guest) = self.guest(node, resource) {
            guest.next_writes.insert(lun, at);
        }
        self.schedule.at(at, Happening::GuestWrite(node, resource, serial, lun));
    }

    /// A guest wants to write its next record.
    pub(super) fn guest_write(
        &mut self,
        node: NodeId,
        resource: ResourceId,
        serial: u64,
        lun: LunId,
    ) {
        let (life, now) = (self.hosts[&node].lives, self.now);
        let Some(guest) = self.guest(node, resource) else { return };
        let is_due = guest.serial == serial && guest.next_writes.get(&lun) == Some(&now);
        if !is_due || !guest.writes() || guest.writing.contains(&lun) {
            return;
        }
        guest.writing.insert(lun);
        let (epoch, value) = (guest.epoch, guest.records[&lun] + 1);
        self.guest_io(node, life, lun, Body::Write { resource, guest: serial, epoch, value });
    }

    /// Sends a guest's command over the session of its process, or over the host's own way to a shared file.
    pub(super) fn guest_io(&mut self, node: NodeId, life: u64, lun: LunId, body: Body) {
        let attached = self.storage.nexus(node, lun).attached;
        if self.is_enforced(lun) && attached.is_none_or(|held| held.life != life) {
            self.guests_lose_lun(node, lun, Trouble::IoError);
            return;
        }
        self.send_to_lun(node, life, lun, body);
        let nexus = self.storage.nexus(node, lun);
        if !std::mem::replace(&mut nexus.is_watched, true) {
            let bound = self.config.timing().io_bound;
            self.after(bound, Happening::GuestIoTimeout(node, lun));
        }
    }

    /// The LUN has taken a guest's record.
    pub(super) fn guest_has_written(
        &mut self,
        node: NodeId,
        lun: LunId,
        (resource, serial): (ResourceId, u64),
        value: u64,
    ) {
        let Some(guest) = self.guest(node, resource).filter(|guest| guest.serial == serial) else {
            return;
        };
        guest.writing.remove(&lun);
        guest.records.insert(lun, value);
        if guest.writes() {
            self.plan_write(node, resource, serial, lun);
        }
    }
}
