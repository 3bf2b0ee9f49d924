//! What stands in a slot, and its form: one sector, which a disk writes as a whole or not at all.
//!
//! ```text
//! 0       8       12     13      21       29       37         45      53          275
//! | magic | crc32 | slot | nexus | number | ballot | accepted | owner | table ... | accepted table ... |
//! ```
//!
//! Numbers are little-endian. The checksum covers everything behind it.

use crate::table::{NexusId, Table};
use crate::{LunError, ReservationKey};

/// Bytes of a slot that are used; the rest is padding.
pub(super) const BLOCK_BYTES: usize = 512;
/// Most that can be registered with one disk at the same time.
pub(super) const REGISTRATIONS_MAX: usize = 24;
const MAGIC: [u8; 8] = *b"qrlease1";
const ENTRY_BYTES: usize = 9;
const TABLE_BYTES: usize = 6 + REGISTRATIONS_MAX * ENTRY_BYTES;
const TABLE_AT: usize = 53;
const ACCEPTED_AT: usize = TABLE_AT + TABLE_BYTES;

/// The number of a slot: 1 to 255.
pub(super) type Slot = u8;

/// What stands in a slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// Which handle wrote it.
    pub(super) nexus: u64,
    /// Whose leases these are: one LUN of one cluster; 0: a tool's.
    pub(super) owner: u64,
    /// Which change of the table this slot is about to decide: 0 is the first.
    pub(super) number: u64,
    /// The table before that change, which is decided.
    pub(super) table: Table,
    /// The highest ballot that this slot has begun for the change; 0: none.
    pub(super) ballot: u64,
    /// The ballot in which it accepted a table as what the change makes, and that table.
    pub(super) accepted: Option<(u64, Table)>,
}

impl Block {
    pub(super) fn encode(&self, slot: Slot) -> [u8; BLOCK_BYTES] {
        let mut bytes = [0; BLOCK_BYTES];
        let (ballot, table) = match &self.accepted {
            Some((ballot, table)) => (*ballot, table.clone()),
            None => (0, Table::default()),
        };
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[12] = slot;
        let numbers = [
            (13, self.nexus),
            (21, self.number),
            (29, self.ballot),
            (37, ballot),
            (45, self.owner),
        ];
        for (at, value) in numbers {
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        put(&self.table, &mut bytes[TABLE_AT..ACCEPTED_AT]);
        put(&table, &mut bytes[ACCEPTED_AT..ACCEPTED_AT + TABLE_BYTES]);
        let sum = crc32fast::hash(&bytes[12..]);
        bytes[8..12].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// What `encode` wrote; `None` for a slot that nobody ever wrote. `Err` says what is wrong.
    pub(super) fn decode(bytes: &[u8; BLOCK_BYTES], slot: Slot) -> Result<Option<Self>, LunError> {
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let corrupt = |why: &str| LunError::Corrupt { what: format!("lease slot {slot}: {why}") };
        if bytes[..8] != MAGIC {
            return Err(corrupt("it holds something else than a lease of ours"));
        }
        let number = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        if bytes[8..12] != crc32fast::hash(&bytes[12..]).to_le_bytes() {
            return Err(corrupt("it is torn: the checksum is wrong"));
        }
        if bytes[12] != slot {
            return Err(corrupt("it is the slot of another"));
        }
        let table = |at: usize| {
            take(&bytes[at..at + TABLE_BYTES]).ok_or_else(|| corrupt("its table makes no sense"))
        };
        // No cluster lives to see that many, and whoever counts on must not overflow.
        if number(21) > u64::MAX / 2 || number(29) > u64::MAX / 2 {
            return Err(corrupt("its numbers make no sense"));
        }
        let (ballot, accepted) = (number(37), table(ACCEPTED_AT)?);
        Ok(Some(Self {
            nexus: number(13),
            owner: number(45),
            number: number(21),
            table: table(TABLE_AT)?,
            ballot: number(29),
            accepted: (ballot > 0).then_some((ballot, accepted)),
        }))
    }
}

/// *Invariant*: every nexus is a slot, and there are at most `REGISTRATIONS_MAX`: `Change::apply` sees to both.
fn put(table: &Table, bytes: &mut [u8]) {
    let number = |nexus: NexusId| u8::try_from(nexus.0).unwrap_or(0);
    bytes[..4].copy_from_slice(&table.generation.to_le_bytes());
    bytes[4] = table.holder.map_or(0, number);
    let entries = table.registrations.iter().take(REGISTRATIONS_MAX);
    bytes[5] = u8::try_from(entries.len()).unwrap_or(0);
    for ((nexus, key), entry) in entries.zip(bytes[6..].chunks_mut(ENTRY_BYTES)) {
        entry[0] = number(*nexus);
        entry[1..].copy_from_slice(&key.0.to_le_bytes());
    }
}

fn take(bytes: &[u8]) -> Option<Table> {
    let mut table =
        Table { generation: u32::from_le_bytes(bytes[..4].try_into().ok()?), ..Table::default() };
    let count = usize::from(bytes[5]);
    if count > REGISTRATIONS_MAX {
        return None;
    }
    for entry in bytes[6..].chunks(ENTRY_BYTES).take(count) {
        let key = u64::from_le_bytes(entry[1..].try_into().ok()?);
        if entry[0] == 0 || key == 0 {
            return None;
        }
        table.registrations.insert(NexusId(entry[0].into()), ReservationKey(key));
    }
    table.holder = (bytes[4] > 0).then_some(NexusId(bytes[4].into()));
    let is_known = table.holder.is_none_or(|holder| table.registrations.contains_key(&holder));
    (is_known && table.registrations.len() == count).then_some(table)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tables() -> impl Strategy<Value = Table> {
        let entries = proptest::collection::btree_map(1..=255_u128, 1..=u64::MAX, 0..=24);
        (any::<u32>(), entries, any::<proptest::sample::Index>(), any::<bool>()).prop_map(
            |(generation, entries, index, held)| {
                let registrations: std::collections::BTreeMap<_, _> = entries
                    .into_iter()
                    .map(|(slot, key)| (NexusId(slot), ReservationKey(key)))
                    .collect();
                let holder = (held && !registrations.is_empty())
                    .then(|| registrations.keys().nth(index.index(registrations.len())).copied());
                Table { generation, registrations, holder: holder.flatten() }
            },
        )
    }

    proptest! {
        #[test]
        fn a_block_survives_its_form_and_any_flipped_bit_is_seen(
            (table, accepted) in (tables(), proptest::option::of((1..=u64::MAX, tables()))),
            (nexus, owner, number, ballot) in (any::<u64>(), any::<u64>(), 0..1_u64 << 63, 0..1_u64 << 63),
            (slot, bit) in (1..=255_u8, 0..BLOCK_BYTES * 8),
        ) {
            let block = Block { nexus, owner, number, table, ballot, accepted };
            let mut bytes = block.encode(slot);
            prop_assert_eq!(Block::decode(&bytes, slot).unwrap(), Some(block));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Block::decode(&bytes, slot).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), BLOCK_BYTES)) {
            bytes[..8].copy_from_slice(&MAGIC);
            let sum = crc32fast::hash(&bytes[12..]);
            bytes[8..12].copy_from_slice(&sum.to_le_bytes());
            let bytes: [u8; BLOCK_BYTES] = bytes.try_into().unwrap();
            if let Ok(Some(block)) = Block::decode(&bytes, bytes[12]) {
                prop_assert_eq!(Block::decode(&block.encode(bytes[12]), bytes[12]).unwrap(), Some(block));
            }
        }
    }

    #[test]
    fn a_slot_that_was_never_written_is_empty_and_another_ones_is_refused() {
        assert_eq!(Block::decode(&[0; BLOCK_BYTES], 3).unwrap(), None);
        assert!(Block::decode(&Block::default().encode(3), 4).is_err());
        assert!(
            Block::decode(&[7; BLOCK_BYTES], 3).unwrap_err().to_string().contains("something else")
        );
    }
}
