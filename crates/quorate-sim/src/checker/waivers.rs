//! What is not promised once its premise is broken, by a fault that the design does not claim to survive.
//!
//! - *A stranger gives a LUN back.* Premise: only the cluster changes the LUN's reservations. No longer judged: that
//!   the LUN refuses older writers, until a guest of a later epoch has started on it.
//! - *A clock jumps beyond the bound.* Premise: two clocks differ by at most `drift_ppm` over `detect`. No longer
//!   judged, to the end of the run: what time alone protects, which are leases and groups whose LUNs are not all
//!   enforced.
//!
//! All else is judged as ever: what a LUN enforces does not rest on clocks, and consensus rests on neither.

use std::collections::BTreeMap;

use quorate_core::config::GroupConfig;
use quorate_core::id::{Epoch, LunId};

use super::View;

/// The promises that are void at present.
#[derive(Debug, Default)]
pub struct Waivers {
    open: BTreeMap<LunId, Epoch>,
    /// How often each LUN has lost its reservation by a fault.
    losses: BTreeMap<LunId, u32>,
    timeless: bool,
}

impl Waivers {
    /// A stranger has left a LUN without a reservation. `newest`: the largest epoch of any guest or write on it.
    pub fn stranger_left(&mut self, lun: LunId, newest: Epoch) {
        self.open.insert(lun, newest);
        self.reservation_lost(lun);
    }

    /// A LUN has lost its reservation, by a fault.
    pub fn reservation_lost(&mut self, lun: LunId) {
        *self.losses.entry(lun).or_default() += 1;
    }

    /// How often that has come about.
    pub fn reservation_losses(&self, lun: LunId) -> u32 {
        self.losses.get(&lun).copied().unwrap_or_default()
    }

    /// A guest has started afresh on a LUN: it holds the LUN as any owner does.
    pub fn started(&mut self, lun: LunId, epoch: Epoch) {
        if self.open.get(&lun).is_some_and(|&newest| epoch > newest) {
            self.open.remove(&lun);
        }
    }

    /// A clock has jumped beyond the bound.
    pub fn clock_jumped(&mut self) {
        self.timeless = true;
    }

    /// Whether time protects anything.
    pub fn is_time_sound(&self) -> bool {
        !self.timeless
    }
}

impl View<'_> {
    /// Whether I1 is promised on this LUN.
    pub(super) fn is_sound(&self, lun: LunId) -> bool {
        let enforced = self.storage.is_enforced(lun);
        !self.waivers.open.contains_key(&lun) && (enforced || self.waivers.is_time_sound())
    }

    /// Whether I2 is promised for this group.
    pub(super) fn is_sound_for(&self, group: &GroupConfig) -> bool {
        let luns = group.luns.iter().all(|&lun| self.is_sound(lun));
        luns && (self.config.is_enforced(group) || self.waivers.is_time_sound())
    }
}
