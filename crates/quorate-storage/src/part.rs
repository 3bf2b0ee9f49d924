//! A part of a LUN: a range of it, which its driver makes look like a LUN of its own.
//!
//! Registrations, reservations and events are those of the handle below: each part has a handle of its own, hence a
//! nexus of its own, so that the device can refuse one part's stale owner and take the writes of the others'.

use std::sync::Arc;

use crate::layout::ALIGNMENT;
use crate::lun::check_range;
use crate::{Capabilities, EventQueue, Lun, LunError, Registrant, ReservationKey, Reservations};

/// A range of a LUN. See the module.
#[derive(Debug)]
pub struct PartLun {
    lun: Box<dyn Lun>,
    offset: u64,
    capabilities: Capabilities,
}

impl PartLun {
    /// The `length` bytes from `offset` of a LUN, both multiples of 4096.
    ///
    /// # Errors
    ///
    /// `Misuse` for a range that is empty, unaligned, or not within the LUN.
    pub fn new(lun: Box<dyn Lun>, offset: u64, length: u64) -> Result<Self, LunError> {
        let capabilities = lun.capabilities();
        let size = capabilities.size_bytes;
        let is_aligned = offset.is_multiple_of(ALIGNMENT) && length.is_multiple_of(ALIGNMENT);
        if length == 0 || !is_aligned || offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(LunError::misuse(format!(
                "a part of {length} bytes from {offset} must be of multiples of {ALIGNMENT} bytes, within a LUN of \
                 {size} bytes"
            )));
        }
        let capabilities = Capabilities { size_bytes: length, ..capabilities };
        Ok(Self { lun, offset, capabilities })
    }

    /// Where a range of this part is in the LUN.
    fn at(&self, offset: u64, length: usize) -> Result<u64, LunError> {
        check_range(&self.capabilities, offset, length)?;
        Ok(self.offset + offset)
    }
}

impl Lun for PartLun {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn register(&self, key: ReservationKey) -> Result<(), LunError> {
        self.lun.register(key)
    }

    fn unregister(&self) -> Result<(), LunError> {
        self.lun.unregister()
    }

    /// A part's owner need not hold the reservation: that it was registered until now is enough.
    fn reclaim(&self, key: ReservationKey) -> Result<(), LunError> {
        self.lun.reclaim_registration(key)
    }

    fn read_keys(&self) -> Result<Reservations, LunError> {
        self.lun.read_keys()
    }

    fn read_full_status(&self) -> Result<Option<Vec<Registrant>>, LunError> {
        self.lun.read_full_status()
    }

    fn reserve(&self, key: ReservationKey) -> Result<(), LunError> {
        self.lun.reserve(key)
    }

    fn release(&self, key: ReservationKey) -> Result<(), LunError> {
        self.lun.release(key)
    }

    fn give_back(&self, key: ReservationKey) -> Result<(), LunError> {
        self.lun.give_back(key)
    }

    fn preempt(&self, own: ReservationKey, victim: ReservationKey) -> Result<(), LunError> {
        self.lun.preempt(own, victim)
    }

    fn preempt_and_abort(
        &self,
        own: ReservationKey,
        victim: ReservationKey,
    ) -> Result<(), LunError> {
        self.lun.preempt_and_abort(own, victim)
    }

    fn clear(&self, key: ReservationKey) -> Result<(), LunError> {
        self.lun.clear(key)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), LunError> {
        self.lun.read_at(self.at(offset, buffer.len())?, buffer)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), LunError> {
        self.lun.write_at(self.at(offset, data.len())?, data)
    }

    fn write_same(&self, offset: u64, length: u64) -> Result<(), LunError> {
        let length_here = usize::try_from(length).unwrap_or(usize::MAX);
        self.lun.write_same(self.at(offset, length_here)?, length)
    }

    fn flush(&self) -> Result<(), LunError> {
        self.lun.flush()
    }

    fn events(&self) -> Arc<EventQueue> {
        self.lun.events()
    }
}
