//! Faults of storage: ways that are cut, slow or lossy; LUNs that are reset, lose their power, or are taken by others.

use quorate_core::id::{ClusterId, Epoch, LunId, NodeId, ReservationKey};

use super::World;
use crate::chance;
use crate::fault::Fault;
use crate::options::Plant;
use crate::schedule::Happening;
use crate::storage::{Initiator, ReservationType, ReserveOut};

const OURS: ReservationType = ReservationType::WriteExclusiveRegistrantsOnly;

impl World {
    /// A fault of storage begins or ends.
    pub(super) fn storage_fault(&mut self, fault: &Fault, begins: bool) {
        match fault {
            Fault::Storage(node, luns) => {
                luns.iter().for_each(|&lun| self.cut_session(*node, lun, begins));
            }
            Fault::LunSlow(node, luns) => {
                for &lun in luns {
                    count(&mut self.storage.nexus(*node, lun).slow, begins);
                }
            }
            Fault::LunLoses(node, luns) => {
                for &lun in luns {
                    count(&mut self.storage.nexus(*node, lun).losing, begins);
                }
            }
            Fault::LunReset(lun) if begins => self.reset_lun(*lun),
            Fault::TargetPower(lun, keeps) => self.target_power(*lun, *keeps, begins),
            Fault::Stranger(lun) if begins => self.stranger_comes(*lun),
            Fault::Stranger(lun) => self.stranger_goes(*lun),
            _ => {}
        }
    }

    /// Every way of a node to a LUN, or to a part of it.
    fn ways_to(&self, lun: LunId) -> Vec<(NodeId, LunId)> {
        let beside = self.storage.beside(lun);
        self.hosts.keys().flat_map(|&node| beside.iter().map(move |&lun| (node, lun))).collect()
    }

    /// Commands under way are aborted: their drivers are told so by a unit attention, and send them again.
    fn reset_lun(&mut self, lun: LunId) {
        self.storage.device_mut(lun).reset();
        if self.is_planted(Plant::ResetReleases) {
            self.storage.device_mut(lun).power_cycle(false);
        }
        self.tell_access(lun);
        for (node, lun) in self.ways_to(lun) {
            let late = self.now + chance::millis(&mut self.random, 1, 50);
            self.storage.nexus(node, lun).delay(late);
            self.schedule.at(late, Happening::LunArrival(node, lun));
        }
    }

    /// The target goes, and comes back with what it has kept. What was on its way is lost with its sessions; a node
    /// takes its session up again only if its reservation is still there, or its LUN is lost to it.
    fn target_power(&mut self, lun: LunId, keeps: bool, begins: bool) {
        let keeps = keeps || !self.is_enforced(lun);
        count(&mut self.storage.device_mut(lun).off, begins);
        if begins {
            self.storage.device_mut(lun).power_cycle(keeps);
            if !keeps {
                self.storage
                    .beside(lun)
                    .into_iter()
                    .for_each(|lun| self.waivers.reservation_lost(lun));
            }
        }
        for (node, lun) in self.ways_to(lun) {
            if !keeps {
                self.storage.nexus(node, lun).drop_commands(|_| true);
            }
            if !begins && !keeps {
                self.lose_session(node, lun);
            }
            self.cut_session(node, lun, begins);
        }
        self.tell_access(lun);
    }

    /// The key of a cluster that is not ours.
    fn foreign_key(&self) -> ReservationKey {
        let other = ClusterId(self.config.id().0.wrapping_add(1));
        ReservationKey::new(other, NodeId(77), Epoch(1))
    }

    fn stranger_comes(&mut self, lun: LunId) {
        let key = self.foreign_key();
        let device = self.storage.device_mut(lun);
        let holder = device.reservation().map(|(key, _)| key).filter(|&holder| holder != key);
        let take = match holder {
            Some(victim) => ReserveOut::Preempt(key, victim, OURS),
            None => ReserveOut::Reserve(key, OURS),
        };
        for command in [ReserveOut::RegisterAndIgnore(key), take] {
            let done = device.reserve_out(Initiator::Stranger, command);
            done.expect("the stranger is registered, and the holder was just read");
        }
        self.tell(|| format!("{lun}: a stranger has taken it"));
        self.tell_access(lun);
    }

    /// It leaves the LUN without a reservation.
    fn stranger_goes(&mut self, lun: LunId) {
        for lun in self.storage.beside(lun) {
            self.void_by_stranger(lun);
        }
        let gone = ReserveOut::RegisterAndIgnore(ReservationKey(0));
        let done = self.storage.device_mut(lun).reserve_out(Initiator::Stranger, gone);
        done.expect("whoever is registered may go");
        self.tell(|| format!("{lun}: the stranger is gone"));
        self.tell_access(lun);
    }

    /// Until a later guest has started on it, a LUN that a stranger has left refuses nobody.
    fn void_by_stranger(&mut self, lun: LunId) {
        let of_guests = self
            .hosts
            .values()
            .flat_map(|host| host.slots.values())
            .filter_map(|slot| slot.guest.as_ref())
            .filter(|guest| guest.records.contains_key(&lun))
            .map(|guest| guest.epoch);
        let of_writes = self.storage.luns[&lun].last.map(|last| last.epoch);
        let newest = of_guests.chain(of_writes).max().unwrap_or_default();
        self.waivers.stranger_left(lun, newest);
    }
}

fn count(number: &mut u32, up: bool) {
    *number = if up { *number + 1 } else { *number - 1 };
}
