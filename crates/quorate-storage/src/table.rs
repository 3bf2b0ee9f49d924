//! Persistent reservations as a table: the SPC rules for one LUN, pure, and its form on disk.
//!
//! Source: SPC-4, 5.13 (persistent reservations), for the type "write exclusive, registrants only"
//! alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::{LunError, ReservationKey, ReservationType, Reservations};

/// Who can be registered. For a directory one handle of one process: 128 random bits, so that a handle opened after a
/// crash is another nexus. For a disk its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NexusId(pub(crate) u128);

/// Who is registered and who holds the reservation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) generation: u32,
    pub(crate) registrations: BTreeMap<NexusId, ReservationKey>,
    pub(crate) holder: Option<NexusId>,
}

/// Most registrations; a list that grows beyond is a fault of the caller's, not a need.
const REGISTRATIONS_MAX: usize = 4096;
const MAGIC: &str = "quorate-reservations 1";

impl Table {
    pub(crate) fn register(&mut self, nexus: NexusId, key: ReservationKey) -> Result<(), LunError> {
        if self.registrations.len() == REGISTRATIONS_MAX && !self.registrations.contains_key(&nexus)
        {
            return Err(LunError::misuse(format!(
                "more than {REGISTRATIONS_MAX} registrations; clear the LUN"
            )));
        }
        self.registrations.insert(nexus, key);
        self.changed();
        Ok(())
    }

    pub(crate) fn unregister(&mut self, nexus: NexusId) {
        if self.registrations.remove(&nexus).is_some() {
            self.holder = self.holder.filter(|holder| *holder != nexus);
            self.changed();
        }
    }

    pub(crate) fn reserve(&mut self, nexus: NexusId, key: ReservationKey) -> Result<(), LunError> {
        self.check_registered(nexus, key)?;
        match self.holder {
            Some(holder) if holder != nexus => Err(LunError::ReservationConflict),
            Some(_) | None => {
                self.holder = Some(nexus);
                Ok(())
            }
        }
    }

    pub(crate) fn release(&mut self, nexus: NexusId, key: ReservationKey) -> Result<(), LunError> {
        self.check_registered(nexus, key)?;
        self.holder = self.holder.filter(|holder| *holder != nexus);
        Ok(())
    }

    pub(crate) fn preempt(
        &mut self,
        nexus: NexusId,
        own: ReservationKey,
        victim: ReservationKey,
    ) -> Result<(), LunError> {
        self.check_registered(nexus, own)?;
        if !self.registrations.values().any(|key| *key == victim) {
            return Err(LunError::ReservationConflict);
        }
        if self.holder.and_then(|holder| self.registrations.get(&holder)) == Some(&victim) {
            self.holder = Some(nexus);
        }
        self.registrations.retain(|other, key| *other == nexus || *key != victim);
        self.changed();
        Ok(())
    }

    pub(crate) fn clear(&mut self, nexus: NexusId, key: ReservationKey) -> Result<(), LunError> {
        self.check_registered(nexus, key)?;
        self.registrations.clear();
        self.holder = None;
        self.changed();
        Ok(())
    }

    /// Whether the device would let this nexus write.
    pub(crate) fn may_write(&self, nexus: NexusId) -> bool {
        self.holder.is_none() || self.registrations.contains_key(&nexus)
    }

    pub(crate) fn is_registered(&self, nexus: NexusId) -> bool {
        self.registrations.contains_key(&nexus)
    }

    pub(crate) fn reservations(&self) -> Reservations {
        let mut keys: Vec<ReservationKey> = self.registrations.values().copied().collect();
        keys.sort_unstable();
        let holder = self.holder.and_then(|holder| self.registrations.get(&holder));
        let kind = ReservationType::WriteExclusiveRegistrantsOnly;
        Reservations { generation: self.generation, keys, holder: holder.map(|key| (*key, kind)) }
    }

    fn check_registered(&self, nexus: NexusId, key: ReservationKey) -> Result<(), LunError> {
        if self.registrations.get(&nexus) == Some(&key) {
            Ok(())
        } else {
            Err(LunError::ReservationConflict)
        }
    }

    fn changed(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    /// As text, so that a person can read it in need; the last line is a checksum of the others.
    pub(crate) fn encode(&self) -> String {
        let mut text = format!("{MAGIC}\ngeneration {}\n", self.generation);
        for (nexus, key) in &self.registrations {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "registered {:032x} {:016x}", nexus.0, key.0);
        }
        if let Some(holder) = self.holder {
            let _ = writeln!(text, "holder {:032x}", holder.0);
        }
        let _ = writeln!(text, "crc32 {:08x}", crc32fast::hash(text.as_bytes()));
        text
    }

    /// The table that `encode` wrote. `Err` says what is wrong with the text.
    pub(crate) fn decode(text: &str) -> Result<Self, String> {
        let body_end = text.rfind("crc32 ").ok_or("it is torn: no checksum")?;
        let (body, tail) = text.split_at(body_end);
        if !body.starts_with(MAGIC) {
            return Err(format!("it does not begin with \"{MAGIC}\""));
        }
        if tail != format!("crc32 {:08x}\n", crc32fast::hash(body.as_bytes())) {
            return Err("it is torn or was edited: the checksum is wrong".to_owned());
        }
        let mut table = Self::default();
        for line in body.lines().skip(1) {
            let words: Vec<&str> = line.split(' ').collect();
            let bad = || format!("unknown line \"{line}\"");
            match words[..] {
                ["generation", value] => table.generation = value.parse().map_err(|_| bad())?,
                ["registered", nexus, key] => {
                    let key = u64::from_str_radix(key, 16).map_err(|_| bad())?;
                    table
                        .registrations
                        .insert(parse_nexus(nexus).ok_or_else(bad)?, ReservationKey(key));
                }
                ["holder", nexus] => table.holder = Some(parse_nexus(nexus).ok_or_else(bad)?),
                _ => return Err(bad()),
            }
        }
        if table.holder.is_some_and(|holder| !table.registrations.contains_key(&holder)) {
            return Err("its holder is not registered".to_owned());
        }
        Ok(table)
    }
}

fn parse_nexus(text: &str) -> Option<NexusId> {
    u128::from_str_radix(text, 16).ok().map(NexusId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_survives_its_form_on_disk_and_no_torn_form_is_taken() {
        let mut table = Table::default();
        table.register(NexusId(1), ReservationKey(10)).unwrap();
        table.register(NexusId(2), ReservationKey(20)).unwrap();
        table.reserve(NexusId(2), ReservationKey(20)).unwrap();
        let text = table.encode();
        assert_eq!(Table::decode(&text).unwrap(), table);
        for length in 0..text.len() {
            assert!(Table::decode(&text[..length]).is_err(), "{length}");
        }
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            if let Ok(text) = String::from_utf8(bytes) {
                assert!(Table::decode(&text).is_err(), "{at}");
            }
        }
    }

    #[test]
    fn a_holder_that_leaves_frees_the_reservation() {
        let mut table = Table::default();
        table.register(NexusId(1), ReservationKey(10)).unwrap();
        table.reserve(NexusId(1), ReservationKey(10)).unwrap();
        assert!(!table.may_write(NexusId(2)));
        table.unregister(NexusId(1));
        assert!(table.may_write(NexusId(2)));
        assert_eq!(table.reservations().holder, None);
    }
}
