//! How a LUN is shared out: the guest's part in front, our reserved tail behind it. Pure.
//!
//! ```text
//! 0                      guest_bytes          beat_offset          size
//! | the guest's disk     | saved state        | beats (64 KiB)     |
//! ```

use crate::{Capabilities, LunError, SaveArea};

/// Every part begins at a multiple of this many bytes, whatever the block size of the LUN.
pub const ALIGNMENT: u64 = 4096;
/// Bytes at the very end that hold the beats.
pub const BEAT_BYTES: u64 = 64 << 10;
/// Beat slots of a LUN, one block of `ALIGNMENT` bytes each.
pub const BEAT_SLOTS: u64 = BEAT_BYTES / ALIGNMENT;

/// Where the parts of a LUN are, in bytes from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Size of the guest's disk, which begins at 0.
    pub guest_bytes: u64,
    /// Where a guest's saved state goes; of length 0 if there is none.
    pub save: SaveArea,
    beat_offset: u64,
}

impl Layout {
    /// Shares out a LUN with room for a saved state of up to `save_bytes` (rounded up; with header:
    /// one block more).
    ///
    /// # Errors
    ///
    /// `Misuse` when nothing is left for the guest.
    pub fn new(capabilities: &Capabilities, save_bytes: u64) -> Result<Self, LunError> {
        let size = capabilities.size_bytes;
        let save_length = save_length(save_bytes);
        let beat_offset = (size - size % ALIGNMENT).checked_sub(BEAT_BYTES);
        let guest_bytes =
            beat_offset.zip(save_length).and_then(|(offset, save)| offset.checked_sub(save));
        match (guest_bytes, save_length, beat_offset) {
            (Some(guest_bytes @ 1..), Some(length), Some(beat_offset)) => Ok(Self {
                guest_bytes,
                save: SaveArea { offset: guest_bytes, length },
                beat_offset,
            }),
            (_, _, _) => Err(LunError::misuse(format!(
                "a LUN of {size} bytes has no room for {save_bytes} bytes of saved state, {BEAT_BYTES} bytes of beats \
                 and a guest: {} bytes more are needed, or a smaller save area",
                Self::least_bytes(save_bytes).unwrap_or(u64::MAX).saturating_sub(size)
            ))),
        }
    }

    /// How large a LUN must be for a saved state of up to `save_bytes`, and the least of guests; `None`: more than can
    /// be counted.
    pub fn least_bytes(save_bytes: u64) -> Option<u64> {
        save_length(save_bytes)?.checked_add(BEAT_BYTES + ALIGNMENT)
    }

    /// Where the beat of a slot is.
    ///
    /// # Errors
    ///
    /// `Misuse` for a slot of `BEAT_SLOTS` or above.
    pub fn beat_offset(&self, slot: u64) -> Result<u64, LunError> {
        if slot >= BEAT_SLOTS {
            return Err(LunError::misuse(format!("beat slot {slot} must be below {BEAT_SLOTS}")));
        }
        Ok(self.beat_offset + slot * ALIGNMENT)
    }
}

/// The length of a save area, with its header.
fn save_length(save_bytes: u64) -> Option<u64> {
    match save_bytes {
        0 => Some(0),
        _ => save_bytes
            .checked_next_multiple_of(ALIGNMENT)
            .and_then(|bytes| bytes.checked_add(ALIGNMENT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Strength;

    fn lun(size_bytes: u64) -> Capabilities {
        Capabilities {
            strength: Strength::Enforced,
            size_bytes,
            block_bytes: 512,
            preempt_and_abort: false,
            aptpl: false,
            discard_safe: false,
        }
    }

    #[test]
    fn the_parts_follow_each_other_and_end_with_the_lun() {
        let layout = Layout::new(&lun(16 << 20), 1 << 20).unwrap();
        assert_eq!(layout.save.offset, layout.guest_bytes);
        assert_eq!(layout.save.length, (1 << 20) + ALIGNMENT);
        assert_eq!(layout.save.offset + layout.save.length, layout.beat_offset(0).unwrap());
        assert_eq!(layout.beat_offset(BEAT_SLOTS - 1).unwrap() + ALIGNMENT, 16 << 20);
        assert!(layout.beat_offset(BEAT_SLOTS).is_err());
    }

    #[test]
    fn the_least_size_of_a_lun_is_the_smallest_that_is_not_refused() {
        for save in [0, 1, 1 << 20, (1 << 20) + 1] {
            let least = Layout::least_bytes(save).unwrap();
            assert!(Layout::new(&lun(least), save).is_ok(), "{save}");
            let error = Layout::new(&lun(least - 1), save).unwrap_err().to_string();
            assert!(error.contains(": 1 bytes more are needed"), "{error}");
        }
        assert_eq!(Layout::least_bytes(u64::MAX), None);
    }

    #[test]
    fn a_lun_without_room_for_a_guest_is_refused() {
        for (size, save) in [(0, 0), (BEAT_BYTES, 0), (1 << 20, 1 << 20), (1 << 20, u64::MAX)] {
            assert!(
                matches!(Layout::new(&lun(size), save), Err(LunError::Misuse { .. })),
                "{size} {save}"
            );
        }
    }
}
