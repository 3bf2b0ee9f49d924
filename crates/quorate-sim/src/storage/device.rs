//! A LUN as the device keeps it: registrations, reservation, unit attentions, and who wrote what. All by nexus, which
//! is one initiator's session.
//!
//! Source: SPC-4 5.13 (persistent reservations); SAM-5 5.14 (unit attentions).

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::id::{Epoch, LunId, NodeId, ReservationKey};
use serde::Serialize;

/// Who is at the other end of a nexus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Initiator {
    /// A node of the cluster.
    Node(NodeId),
    /// A node, by the session that it has for a part of the LUN.
    Part(NodeId, LunId),
    /// Somebody else.
    Stranger,
}

/// What a LUN may differ in and still be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// It refuses writes by the reservation. If not, it keeps the same books and takes every write.
    pub refuses: bool,
    /// A preempt while nothing is reserved takes the reservation. SPC says it does not; targets differ.
    pub preempt_takes_free: bool,
}

/// The type of a reservation, with the code that SPC gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReservationType {
    /// Only the holder writes; everybody reads.
    WriteExclusive = 1,
    /// Only the holder reads and writes.
    ExclusiveAccess = 3,
    /// Whoever is registered writes; everybody reads.
    WriteExclusiveRegistrantsOnly = 5,
    /// Whoever is registered reads and writes.
    ExclusiveAccessRegistrantsOnly = 6,
    /// As registrants only, and every registrant is the holder.
    WriteExclusiveAllRegistrants = 7,
    /// The same for reading too.
    ExclusiveAccessAllRegistrants = 8,
}

impl ReservationType {
    fn is_for_registrants(self) -> bool {
        self as u8 >= 5
    }

    fn is_held_by_all(self) -> bool {
        self as u8 >= 7
    }

    fn guards_reads(self) -> bool {
        matches!(
            self,
            Self::ExclusiveAccess
                | Self::ExclusiveAccessRegistrantsOnly
                | Self::ExclusiveAccessAllRegistrants
        )
    }
}

/// PERSISTENT RESERVE OUT. A key of 0 means none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReserveOut {
    /// REGISTER: the key that is registered, the key that is to be.
    Register(ReservationKey, ReservationKey),
    /// REGISTER AND IGNORE EXISTING KEY.
    RegisterAndIgnore(ReservationKey),
    /// RESERVE.
    Reserve(ReservationKey, ReservationType),
    /// RELEASE.
    Release(ReservationKey, ReservationType),
    /// CLEAR.
    Clear(ReservationKey),
    /// PREEMPT: our key, the victim's.
    Preempt(ReservationKey, ReservationKey, ReservationType),
    /// PREEMPT AND ABORT.
    PreemptAndAbort(ReservationKey, ReservationKey, ReservationType),
}

/// Why a command was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// RESERVATION CONFLICT.
    Conflict,
    /// CHECK CONDITION, ILLEGAL REQUEST.
    Invalid,
}

/// What a nexus is told at its next command, which is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Attention {
    /// POWER ON OCCURRED.
    PowerOn,
    /// BUS DEVICE RESET FUNCTION OCCURRED.
    Reset,
    /// RESERVATIONS PREEMPTED.
    ReservationsPreempted,
    /// RESERVATIONS RELEASED.
    ReservationsReleased,
    /// REGISTRATIONS PREEMPTED.
    RegistrationsPreempted,
}

/// A write that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// By whose session.
    pub node: NodeId,
    /// The epoch of the guest.
    pub epoch: Epoch,
    /// The record.
    pub value: u64,
}

/// A LUN.
#[derive(Debug)]
pub struct Device {
    kind: Kind,
    registrations: BTreeMap<Initiator, ReservationKey>,
    reservation: Option<(Initiator, ReservationType)>,
    attentions: BTreeMap<Initiator, BTreeSet<Attention>>,
    generation: u32,
    /// Whose commands the last one aborted.
    aborted: BTreeSet<Initiator>,
    beats: BTreeMap<NodeId, u64>,
    /// The guest's counter, as the last accepted write left it.
    pub counter: u64,
    /// The last write that was taken.
    pub last: Option<Written>,
    /// How many losses of power it is without power for: it takes nothing.
    pub off: u32,
    /// A bug: whoever is preempted stays registered.
    pub leaves_registrations: bool,
}

impl Device {
    /// A LUN nobody has used.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            registrations: BTreeMap::new(),
            reservation: None,
            attentions: BTreeMap::new(),
            generation: 0,
            aborted: BTreeSet::new(),
            beats: BTreeMap::new(),
            counter: 0,
            last: None,
            off: 0,
            leaves_registrations: false,
        }
    }

    /// Whether it refuses at all.
    pub fn refuses(&self) -> bool {
        self.kind.refuses
    }

    /// Whether a write of this nexus would be taken.
    pub fn may_write(&self, nexus: Initiator) -> bool {
        let admits = |held| self.has_access(nexus, held);
        self.off == 0 && (!self.kind.refuses || self.reservation.is_none_or(admits))
    }

    /// Whether a read of this nexus would be answered.
    pub fn may_read(&self, nexus: Initiator) -> bool {
        let guards = |held: &(Initiator, ReservationType)| held.1.guards_reads();
        let guarded = self.reservation.filter(guards);
        !self.kind.refuses || guarded.is_none_or(|held| self.has_access(nexus, held))
    }

    fn has_access(&self, nexus: Initiator, (holder, kind): (Initiator, ReservationType)) -> bool {
        if kind.is_for_registrants() {
            self.registrations.contains_key(&nexus)
        } else {
            holder == nexus
        }
    }

    /// How often its registrations have changed: PRGENERATION.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// READ KEYS.
    pub fn keys(&self) -> Vec<ReservationKey> {
        self.registrations.values().copied().collect()
    }

    /// Who is registered, and under which key.
    pub fn registrations(&self) -> impl Iterator<Item = (Initiator, ReservationKey)> + '_ {
        self.registrations.iter().map(|(&nexus, &key)| (nexus, key))
    }

    /// Under which key a nexus is registered.
    pub fn key_of(&self, nexus: Initiator) -> Option<ReservationKey> {
        self.registrations.get(&nexus).copied()
    }

    /// Whether a nexus holds the reservation.
    pub fn is_held_by(&self, nexus: Initiator) -> bool {
        self.is_holder(nexus)
    }

    /// Whether a nexus has a unit attention to hear of.
    pub fn is_attended(&self, nexus: Initiator) -> bool {
        self.attentions.get(&nexus).is_some_and(|waiting| !waiting.is_empty())
    }

    /// READ RESERVATION: the key of the holder, 0 where every registrant is.
    pub fn reservation(&self) -> Option<(ReservationKey, ReservationType)> {
        let (holder, kind) = self.reservation?;
        let key = self.registrations.get(&holder).copied().unwrap_or_default();
        Some((if kind.is_held_by_all() { ReservationKey(0) } else { key }, kind))
    }

    /// PERSISTENT RESERVE OUT.
    ///
    /// # Errors
    /// The status that SPC gives; nothing has changed.
    pub fn reserve_out(&mut self, nexus: Initiator, command: ReserveOut) -> Result<(), Failure> {
        self.aborted.clear();
        match command {
            ReserveOut::Register(existing, new) => {
                let registered = self.registrations.get(&nexus).copied().unwrap_or_default();
                if registered != existing {
                    return Err(Failure::Conflict);
                }
                self.register(nexus, new);
            }
            ReserveOut::RegisterAndIgnore(new) => self.register(nexus, new),
            ReserveOut::Reserve(key, kind) => return self.reserve(nexus, key, kind),
            ReserveOut::Release(key, kind) => return self.release(nexus, key, kind),
            ReserveOut::Clear(key) => {
                self.check(nexus, key)?;
                self.attend(Attention::ReservationsPreempted, |other| other != nexus);
                self.registrations.clear();
                self.reservation = None;
            }
            ReserveOut::Preempt(key, victim, kind) => self.preempt(nexus, key, victim, kind)?,
            ReserveOut::PreemptAndAbort(key, victim, kind) => {
                let had = self.registrations.clone();
                self.preempt(nexus, key, victim, kind)?;
                let gone = had.keys().filter(|one| !self.registrations.contains_key(one));
                self.aborted = gone.copied().collect();
            }
        }
        self.generation = self.generation.wrapping_add(1);
        Ok(())
    }

    /// Whose commands the last PREEMPT AND ABORT has aborted.
    pub fn aborted(&self) -> &BTreeSet<Initiator> {
        &self.aborted
    }

    fn check(&self, nexus: Initiator, key: ReservationKey) -> Result<(), Failure> {
        let registered = self.registrations.get(&nexus) == Some(&key);
        if registered { Ok(()) } else { Err(Failure::Conflict) }
    }

    fn is_holder(&self, nexus: Initiator) -> bool {
        self.reservation.is_some_and(|(holder, kind)| {
            holder == nexus || kind.is_held_by_all() && self.registrations.contains_key(&nexus)
        })
    }

    /// Tells every registrant for which `whom` says so.
    fn attend(&mut self, attention: Attention, whom: impl Fn(Initiator) -> bool) {
        for &nexus in self.registrations.keys().filter(|&&nexus| whom(nexus)) {
            self.attentions.entry(nexus).or_default().insert(attention);
        }
    }

    fn register(&mut self, nexus: Initiator, new: ReservationKey) {
        if new != ReservationKey(0) {
            self.registrations.insert(nexus, new);
            return;
        }
        self.registrations.remove(&nexus);
        let Some((holder, kind)) = self.reservation else { return };
        let ends =
            if kind.is_held_by_all() { self.registrations.is_empty() } else { holder == nexus };
        if ends {
            self.reservation = None;
            if kind.is_for_registrants() {
                self.attend(Attention::ReservationsReleased, |_| true);
            }
        }
    }

    fn reserve(
        &mut self,
        nexus: Initiator,
        key: ReservationKey,
        kind: ReservationType,
    ) -> Result<(), Failure> {
        self.check(nexus, key)?;
        match self.reservation {
            None => {
                self.reservation = Some((nexus, kind));
                Ok(())
            }
            Some((_, held)) if held == kind && self.is_holder(nexus) => Ok(()),
            Some(_) => Err(Failure::Conflict),
        }
    }

    /// One who does not hold it is told that it is done.
    fn release(
        &mut self,
        nexus: Initiator,
        key: ReservationKey,
        kind: ReservationType,
    ) -> Result<(), Failure> {
        self.check(nexus, key)?;
        match self.reservation {
            Some((_, held)) if self.is_holder(nexus) && held != kind => Err(Failure::Invalid),
            Some(_) if self.is_holder(nexus) => {
                self.reservation = None;
                if kind.is_for_registrants() {
                    self.attend(Attention::ReservationsReleased, |other| other != nexus);
                }
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }

    fn preempt(
        &mut self,
        nexus: Initiator,
        key: ReservationKey,
        victim: ReservationKey,
        kind: ReservationType,
    ) -> Result<(), Failure> {
        self.check(nexus, key)?;
        let held = self.reservation;
        let by_all = held.is_some_and(|(_, held)| held.is_held_by_all());
        let everybody = by_all && victim == ReservationKey(0);
        if victim == ReservationKey(0) && !by_all {
            return Err(Failure::Invalid);
        }
        let is_victim = |key: &ReservationKey| everybody || *key == victim;
        let takes = match held {
            Some(_) if by_all => everybody,
            Some((holder, _)) => self.registrations.get(&holder).is_some_and(is_victim),
            None => self.kind.preempt_takes_free,
        };
        if !everybody && !self.registrations.values().any(is_victim) {
            return Err(Failure::Conflict);
        }
        // Whoever takes the reservation stays registered, even if it names itself; see SPC-4 5.13.11.2.5 for who does
        // not take it.
        let gone: Vec<Initiator> = self
            .registrations
            .iter()
            .filter(|&(&other, key)| is_victim(key) && (other != nexus || !takes))
            .map(|(&other, _)| other)
            .collect();
        for other in gone {
            if other != nexus {
                self.attentions.entry(other).or_default().insert(Attention::RegistrationsPreempted);
            }
            if !self.leaves_registrations {
                self.registrations.remove(&other);
            }
        }
        if by_all && self.registrations.is_empty() {
            self.reservation = None;
        }
        if takes {
            if held.is_some_and(|(_, held)| held != kind) {
                self.attend(Attention::ReservationsReleased, |other| other != nexus);
            }
            self.reservation = Some((nexus, kind));
        }
        Ok(())
    }

    /// What a nexus is told instead of its command being carried out; told once.
    pub fn attention(&mut self, nexus: Initiator) -> Option<Attention> {
        self.attentions.get_mut(&nexus)?.pop_first()
    }

    /// LOGICAL UNIT RESET: reservations stay.
    pub fn reset(&mut self) {
        self.attend(Attention::Reset, |_| true);
    }

    /// The target has lost its power and is back. `keeps`: persistence through power loss was active.
    pub fn power_cycle(&mut self, keeps: bool) {
        self.attentions.clear();
        self.attend(Attention::PowerOn, |_| true);
        if !keeps {
            self.registrations.clear();
            self.reservation = None;
            self.generation = 0;
        }
    }

    /// Writes the next heartbeat of a node.
    pub fn beat(&mut self, node: NodeId) {
        *self.beats.entry(node).or_default() += 1;
    }

    /// The newest heartbeat of a node.
    pub fn read_beat(&self, node: NodeId) -> Option<u64> {
        self.beats.get(&node).copied()
    }
}

#[cfg(test)]
mod tests;
