//! A LUN as the device keeps it: registrations, reservation, and who wrote what. By nexus, which is a node's session.
//!
//! Source: SPC-4 5.9 (persistent reservations), type 5, write exclusive registrants only.

use std::collections::BTreeMap;

use quorate_core::event::{LunFailure, LunReply};
use quorate_core::id::{NodeId, ReservationKey};

/// What a LUN may differ in and still be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// It refuses writes by the reservation. If not, it keeps the same books and takes every write.
    pub refuses: bool,
    /// A preempt while nothing is reserved takes the reservation. SPC says it does not; targets differ.
    pub preempt_takes_free: bool,
}

/// A LUN.
#[derive(Debug)]
pub struct Device {
    kind: Kind,
    registrations: BTreeMap<NodeId, ReservationKey>,
    holder: Option<NodeId>,
    generation: u32,
    beats: BTreeMap<NodeId, u64>,
    /// The guest's counter, as the last accepted write left it.
    pub counter: u64,
}

type Answer = Result<LunReply, LunFailure>;

impl Device {
    /// A LUN nobody has used.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            registrations: BTreeMap::new(),
            holder: None,
            generation: 0,
            beats: BTreeMap::new(),
            counter: 0,
        }
    }

    /// Whether a write of this nexus would be taken.
    pub fn takes_writes_of(&self, nexus: NodeId) -> bool {
        !self.kind.refuses || self.holder.is_none() || self.registrations.contains_key(&nexus)
    }

    /// Whether it refuses at all.
    pub fn refuses(&self) -> bool {
        self.kind.refuses
    }

    /// How often its registrations have changed.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// REGISTER AND IGNORE EXISTING KEY.
    pub fn register(&mut self, nexus: NodeId, key: ReservationKey) -> Answer {
        self.registrations.insert(nexus, key);
        self.generation += 1;
        Ok(LunReply::Done)
    }

    /// REGISTER with the key zero.
    pub fn unregister(&mut self, nexus: NodeId, key: ReservationKey) -> Answer {
        self.check(nexus, key)?;
        self.registrations.remove(&nexus);
        if self.holder == Some(nexus) {
            self.holder = None;
        }
        self.generation += 1;
        Ok(LunReply::Done)
    }

    /// READ KEYS and READ RESERVATION.
    pub fn read_keys(&self) -> Answer {
        let holder = self.holder.and_then(|nexus| self.registrations.get(&nexus).copied());
        Ok(LunReply::Keys { keys: self.registrations.values().copied().collect(), holder })
    }

    /// RESERVE.
    pub fn reserve(&mut self, nexus: NodeId, key: ReservationKey) -> Answer {
        self.check(nexus, key)?;
        match self.holder {
            Some(other) if other != nexus => Err(LunFailure::Conflict),
            Some(_) | None => {
                self.holder = Some(nexus);
                Ok(LunReply::Done)
            }
        }
    }

    /// RELEASE. One who does not hold it is told that it is done.
    pub fn release(&mut self, nexus: NodeId, key: ReservationKey) -> Answer {
        self.check(nexus, key)?;
        if self.holder == Some(nexus) {
            self.holder = None;
        }
        Ok(LunReply::Done)
    }

    /// PREEMPT.
    pub fn preempt(
        &mut self,
        nexus: NodeId,
        own: ReservationKey,
        victim: ReservationKey,
    ) -> Answer {
        self.check(nexus, own)?;
        let held_by_victim =
            self.holder.is_some_and(|holder| self.registrations.get(&holder) == Some(&victim));
        let known = self.registrations.values().any(|key| *key == victim);
        if !known {
            return Err(LunFailure::Conflict);
        }
        self.registrations.retain(|&other, key| other == nexus || *key != victim);
        if held_by_victim || (self.holder.is_none() && self.kind.preempt_takes_free) {
            self.holder = Some(nexus);
        }
        self.generation += 1;
        Ok(LunReply::Done)
    }

    /// Writes the next heartbeat of a node. It is a write like any other.
    pub fn beat(&mut self, nexus: NodeId) -> Result<(), LunFailure> {
        if !self.takes_writes_of(nexus) {
            return Err(LunFailure::Conflict);
        }
        *self.beats.entry(nexus).or_default() += 1;
        Ok(())
    }

    /// The newest heartbeat of a node.
    pub fn read_beat(&self, node: NodeId) -> Answer {
        Ok(LunReply::Beat { counter: self.beats.get(&node).copied() })
    }

    fn check(&self, nexus: NodeId, key: ReservationKey) -> Result<(), LunFailure> {
        if self.registrations.get(&nexus) == Some(&key) {
            Ok(())
        } else {
            Err(LunFailure::Conflict)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);
    const KEY_A: ReservationKey = ReservationKey(0xa);
    const KEY_B: ReservationKey = ReservationKey(0xb);
    const DONE: Answer = Ok(LunReply::Done);
    const CONFLICT: Answer = Err(LunFailure::Conflict);

    fn enforced() -> Device {
        Device::new(Kind { refuses: true, preempt_takes_free: false })
    }

    fn held_by_a() -> Device {
        let mut lun = enforced();
        assert_eq!(lun.register(A, KEY_A), DONE);
        assert_eq!(lun.reserve(A, KEY_A), DONE);
        lun
    }

    fn holder(lun: &Device) -> Option<ReservationKey> {
        match lun.read_keys() {
            Ok(LunReply::Keys { holder, .. }) => holder,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_a_reservation_everybody_writes() {
        let mut lun = enforced();
        assert!(lun.takes_writes_of(A) && lun.takes_writes_of(B));
        lun.register(A, KEY_A).unwrap();
        assert!(lun.takes_writes_of(B));
    }

    #[test]
    fn under_a_reservation_every_registrant_writes_and_nobody_else() {
        let mut lun = held_by_a();
        assert!(lun.takes_writes_of(A) && !lun.takes_writes_of(B));
        lun.register(B, KEY_B).unwrap();
        assert!(lun.takes_writes_of(B));
    }

    #[test]
    fn a_preempt_of_the_holder_takes_its_registration_and_its_reservation() {
        let mut lun = held_by_a();
        assert_eq!(lun.preempt(B, KEY_B, KEY_A), CONFLICT, "not registered");
        lun.register(B, KEY_B).unwrap();
        assert_eq!(lun.preempt(B, KEY_B, KEY_A), DONE);
        assert_eq!(holder(&lun), Some(KEY_B));
        assert!(!lun.takes_writes_of(A));
        assert_eq!(lun.preempt(B, KEY_B, KEY_A), CONFLICT, "the victim is gone");
    }

    #[test]
    fn a_preempt_of_a_mere_registrant_leaves_the_reservation_where_it_is() {
        let mut lun = held_by_a();
        lun.register(B, KEY_B).unwrap();
        assert_eq!(lun.preempt(A, KEY_A, KEY_B), DONE);
        assert_eq!(holder(&lun), Some(KEY_A));
        assert!(!lun.takes_writes_of(B));
    }

    #[test]
    fn the_reservation_ends_when_its_holder_unregisters_or_releases() {
        let mut lun = held_by_a();
        assert_eq!(lun.unregister(A, KEY_B), CONFLICT);
        assert_eq!(lun.unregister(A, KEY_A), DONE);
        assert_eq!(holder(&lun), None);
        let mut lun = held_by_a();
        assert_eq!(lun.release(A, KEY_A), DONE);
        assert_eq!(holder(&lun), None);
        assert!(lun.takes_writes_of(B));
    }

    #[test]
    fn a_new_key_on_the_same_nexus_keeps_the_reservation() {
        let mut lun = held_by_a();
        lun.register(A, KEY_B).unwrap();
        assert_eq!(holder(&lun), Some(KEY_B));
        assert_eq!(lun.reserve(A, KEY_A), CONFLICT);
    }

    #[test]
    fn a_cooperative_lun_keeps_the_books_and_refuses_nothing() {
        let mut lun = Device::new(Kind { refuses: false, preempt_takes_free: true });
        lun.register(A, KEY_A).unwrap();
        lun.reserve(A, KEY_A).unwrap();
        assert!(lun.takes_writes_of(B));
        assert_eq!(holder(&lun), Some(KEY_A));
    }
}
