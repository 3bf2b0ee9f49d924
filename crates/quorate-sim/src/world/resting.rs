//! Long quiet: guests and heartbeats on LUNs take it easy until something happens again.
//!
//! Engines never do: all they are told and ask for, they are told and ask for.

use quorate_core::id::{LunId, NodeId, ResourceId};

use super::World;

/// After so many detection times without a fault or a doubt the world is at rest.
const REST_AFTER: u32 = 60;
/// How many times as long guests and heartbeats on LUNs wait then.
const EASE: u32 = 40;

impl World {
    /// By how much longer than usual guests and heartbeats on LUNs wait at present.
    pub(super) fn ease(&self) -> u32 {
        if self.is_at_rest() { EASE } else { 1 }
    }

    fn is_at_rest(&self) -> bool {
        let long = self.config.timing().detect * REST_AFTER;
        let since = self.now.0.checked_sub(quorate_core::time::nanos(long));
        since.is_some_and(|since| self.unrest.is_all_calm(crate::clock::Moment(since)))
    }

    /// Something is about to happen: whatever took it easy goes on at its usual pace. Called a while before each
    /// fault, so that faults meet what is under way as often as ever.
    pub(super) fn rouse(&mut self) {
        let was_at_rest = self.is_at_rest();
        self.unrest.on_doubt(self.now);
        if !was_at_rest {
            return;
        }
        for (node, resource, serial, luns) in self.writers() {
            luns.into_iter().for_each(|lun| self.plan_write(node, resource, serial, lun));
        }
        let nexuses = self.storage.nexuses.iter();
        let attached: Vec<(NodeId, LunId, u64)> = nexuses
            .filter_map(|(&(node, lun), nexus)| Some((node, lun, nexus.attached?.serial)))
            .collect();
        for (node, lun, serial) in attached {
            self.plan_storage_beat(node, lun, serial);
        }
    }

    /// Guests that wait until they write next, and on which LUNs.
    fn writers(&self) -> Vec<(NodeId, ResourceId, u64, Vec<LunId>)> {
        let mut writers = Vec::new();
        for host in self.hosts.values() {
            for (&resource, slot) in &host.slots {
                let Some(guest) = slot.guest.as_ref().filter(|guest| guest.writes()) else {
                    continue;
                };
                let waits = guest.records.keys().filter(|lun| !guest.writing.contains(lun));
                writers.push((host.id, resource, guest.serial, waits.copied().collect()));
            }
        }
        writers
    }
}
