//! The words of a LUN: keys, reservations, capabilities, and the trait that every driver serves.
//!
//! Architecture invariant: no policy here. A driver never decides to register, to preempt or to
//! give up; it does one SPC verb when asked, within a bounded time, and tells the truth about the
//! outcome.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{EventQueue, LunError};

const TIMEOUT_MIN: Duration = Duration::from_millis(100);
const WATCH_INTERVAL_MIN: Duration = Duration::from_millis(10);

/// A reservation key in the SPC sense: cluster, node and epoch, put together by the caller. Never
/// 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReservationKey(pub u64);

impl fmt::Display for ReservationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:016x}", self.0)
    }
}

impl fmt::Debug for ReservationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReservationKey({self})")
    }
}

impl ReservationKey {
    /// Refuses 0, which means "no key" on the wire.
    pub(crate) fn checked(self) -> Result<Self, LunError> {
        if self.0 == 0 {
            return Err(LunError::misuse("reservation key 0 means no key; give another"));
        }
        Ok(self)
    }
}

/// How a reservation excludes others. This crate sets `WriteExclusiveRegistrantsOnly` alone and
/// reads all.
///
/// Source: SPC-4, table 60 (persistent reservation type codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReservationType {
    /// Only the holder writes.
    WriteExclusive,
    /// Only the holder reads or writes.
    ExclusiveAccess,
    /// Only registrants write; the type of quorate.
    WriteExclusiveRegistrantsOnly,
    /// Only registrants read or write.
    ExclusiveAccessRegistrantsOnly,
    /// Only registrants write, each being a holder.
    WriteExclusiveAllRegistrants,
    /// Only registrants read or write, each being a holder.
    ExclusiveAccessAllRegistrants,
}

impl ReservationType {
    /// The code on the wire. Linux numbers the same types differently (`linux/pr.h`), hence a match
    /// and never a cast.
    pub fn spc_code(self) -> u8 {
        match self {
            Self::WriteExclusive => 1,
            Self::ExclusiveAccess => 3,
            Self::WriteExclusiveRegistrantsOnly => 5,
            Self::ExclusiveAccessRegistrantsOnly => 6,
            Self::WriteExclusiveAllRegistrants => 7,
            Self::ExclusiveAccessAllRegistrants => 8,
        }
    }

    /// The type of a code on the wire; `None` for a code that SPC-4 does not define.
    pub fn from_spc_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::WriteExclusive),
            3 => Some(Self::ExclusiveAccess),
            5 => Some(Self::WriteExclusiveRegistrantsOnly),
            6 => Some(Self::ExclusiveAccessRegistrantsOnly),
            7 => Some(Self::WriteExclusiveAllRegistrants),
            8 => Some(Self::ExclusiveAccessAllRegistrants),
            _ => None,
        }
    }
}

/// Who is registered with a LUN and who holds it, as the device says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservations {
    /// Grows with every register, clear and preempt that the device carried out; wraps.
    pub generation: u32,
    /// One entry for each registered nexus, ascending; a key can occur more than once.
    pub keys: Vec<ReservationKey>,
    /// The key of the reservation's holder and the type; `None` when nothing is reserved.
    pub holder: Option<(ReservationKey, ReservationType)>,
}

impl Reservations {
    /// Whether the reservation is held under this key.
    pub fn is_held_by(&self, key: ReservationKey) -> bool {
        self.holder.is_some_and(|(holder, _)| holder == key)
    }
}

/// One nexus that is registered, as READ FULL STATUS names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registrant {
    /// Its key.
    pub key: ReservationKey,
    /// Whether it holds the reservation.
    pub is_holder: bool,
    /// The initiator's port in the words of its transport: an iSCSI name with its session, a world wide name, or the
    /// bytes themselves.
    pub initiator: String,
    /// The target's port by which it comes (relative target port identifier).
    pub target_port: u16,
}

/// Who keeps a stale writer out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// The device refuses it, whatever program it is.
    Enforced,
    /// Every writer that goes through this driver is refused; another program is not.
    Cooperative,
}

/// What a LUN is and can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Who keeps a stale writer out.
    pub strength: Strength,
    /// Whole size in bytes; 0 for a directory without an image.
    pub size_bytes: u64,
    /// Smallest unit of reads and writes in bytes: offsets and lengths must be multiples of it.
    pub block_bytes: u32,
    /// Whether the device has PREEMPT AND ABORT itself; see `Lun::preempt_and_abort` for what is
    /// done where it has not.
    pub preempt_and_abort: bool,
    /// Whether reservations outlive a power loss of the device.
    pub aptpl: bool,
    /// Whether the device refuses a stranger's UNMAP and WRITE SAME as it refuses a write.
    pub discard_safe: bool,
}

/// One handle to one LUN: one nexus, which carries the reservation verbs and the guest's reads and
/// writes alike.
///
/// Every call blocks, at most for the time-out given at open (a transfer above 1 MiB: for each
/// MiB), and may be made from many threads at once. All reservations are "write exclusive,
/// registrants only".
///
/// # Errors
///
/// Every call can end in `PathLost`, `TimedOut`, `Denied` or `Io`; what else, each says itself.
pub trait Lun: Send + Sync + fmt::Debug {
    /// What this LUN is and can do, as found at open.
    fn capabilities(&self) -> Capabilities;

    /// REGISTER AND IGNORE EXISTING KEY: this nexus is registered under `key`, whatever it was
    /// before.
    ///
    /// A registrant may write whoever holds the reservation, so register only when entitled. Writes
    /// that wait since a lost path fail with `NotRegistered`: they belong to the former
    /// registration; see `reclaim`.
    fn register(&self, key: ReservationKey) -> Result<(), LunError>;

    /// Takes this nexus off the list; the reservation, if it holds it, is released. Later writes of
    /// this handle are refused with `NotRegistered` until it registers again. Fine when not
    /// registered.
    fn unregister(&self) -> Result<(), LunError>;

    /// After a lost path: this handle's own registration and reservation back, without any other's
    /// being harmed.
    ///
    /// Registers `key`, then looks who holds the LUN. If it is still held under `key`, nobody has
    /// preempted us: the reservation is moved to this nexus, the orphan of the lost one goes, and
    /// the writes that wait are sent again.
    ///
    /// # Errors
    ///
    /// `ReservationConflict` if another holds the LUN, or nobody: this nexus is taken off the list
    /// again, and the writes that wait are refused.
    fn reclaim(&self, key: ReservationKey) -> Result<(), LunError> {
        self.register(key)?;
        if self.read_keys()?.is_held_by(key) {
            return self.preempt(key, key);
        }
        self.unregister()?;
        Err(LunError::ReservationConflict)
    }

    /// As `reclaim`, for one of several registrants, whoever holds the reservation: this handle's own registration
    /// back.
    ///
    /// That nobody has preempted us shows in the orphan of the lost nexus: it still stands there, under our key.
    ///
    /// # Errors
    ///
    /// `ReservationConflict` if it does not: this nexus is taken off the list again, and the writes that wait are
    /// refused. `Unsupported` for a driver that has no sessions to lose.
    fn reclaim_registration(&self, key: ReservationKey) -> Result<(), LunError> {
        let _ = key;
        Err(LunError::Unsupported { what: "this driver serves no parts of a LUN".to_owned() })
    }

    /// READ KEYS and READ RESERVATION, repeated until both are of one generation.
    fn read_keys(&self) -> Result<Reservations, LunError>;

    /// READ FULL STATUS: every registered nexus by name. `None` where the device does not know the command.
    fn read_full_status(&self) -> Result<Option<Vec<Registrant>>, LunError> {
        Ok(None)
    }

    /// Takes the reservation; fine if this nexus holds it already.
    ///
    /// # Errors
    ///
    /// `ReservationConflict` if another nexus holds it, or if this one is not registered under
    /// `key`.
    fn reserve(&self, key: ReservationKey) -> Result<(), LunError>;

    /// Gives the reservation up; stays registered. Fine if it does not hold it.
    ///
    /// # Errors
    ///
    /// `ReservationConflict` if this nexus is not registered under `key`.
    fn release(&self, key: ReservationKey) -> Result<(), LunError>;

    /// The owner is done with the LUN and has nothing under way on it: whoever takes it next need not wait for late
    /// writes. Where the device refuses those, nothing is to be said, and the reservation stands until it is preempted.
    ///
    /// # Errors
    ///
    /// As `release`; the next owner waits then.
    fn give_back(&self, key: ReservationKey) -> Result<(), LunError> {
        let _ = key;
        Ok(())
    }

    /// Removes every registration under `victim` and, if the reservation was held under it, takes
    /// the reservation.
    ///
    /// A device may carry out a write of the victim after this has returned, if it was under way:
    /// `preempt_and_abort`.
    ///
    /// # Errors
    ///
    /// `ReservationConflict` if this nexus is not registered under `own`, or nobody under `victim`.
    fn preempt(&self, own: ReservationKey, victim: ReservationKey) -> Result<(), LunError>;

    /// As `preempt`, and no write of the victim lands after this has returned.
    ///
    /// Where the device lacks PREEMPT AND ABORT (`capabilities().preempt_and_abort` is false),
    /// PREEMPT is followed by a LOGICAL UNIT RESET, which ends every command under way on the LUN,
    /// those of bystanders too. So on a volume shared with others prefer `preempt` there.
    ///
    /// # Errors
    ///
    /// As `preempt`.
    fn preempt_and_abort(
        &self,
        own: ReservationKey,
        victim: ReservationKey,
    ) -> Result<(), LunError>;

    /// Removes the reservation and every registration, this one's too.
    ///
    /// # Errors
    ///
    /// `ReservationConflict` if this nexus is not registered under `key`.
    fn clear(&self, key: ReservationKey) -> Result<(), LunError>;

    /// Fills `buffer` from `offset`. Offset and length in bytes, multiples of `block_bytes`, within
    /// the size.
    ///
    /// # Errors
    ///
    /// `Misuse` for a range or an alignment that cannot be.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), LunError>;

    /// Writes `data` at `offset`. Offset and length in bytes, multiples of `block_bytes`, within
    /// the size.
    ///
    /// Durable only after `flush`.
    ///
    /// # Errors
    ///
    /// `ReservationConflict` and `NotRegistered`: nothing was written (above 1 MiB: a front part
    /// may have been). `Misuse` for a range or an alignment that cannot be.
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), LunError>;

    /// WRITE SAME of zeroes: as `write_at` of so many zeroes, in one command of its own. Some devices do not look at
    /// the reservation for it; this is how to find out.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the device or its driver has no such command; else as `write_at`.
    fn write_same(&self, offset: u64, length: u64) -> Result<(), LunError> {
        let _ = (offset, length);
        Err(LunError::Unsupported { what: "this driver has no WRITE SAME".to_owned() })
    }

    /// Everything written and answered before this call is durable after it.
    ///
    /// # Errors
    ///
    /// `ReservationConflict` and `NotRegistered` as for a write.
    fn flush(&self) -> Result<(), LunError>;

    /// What this LUN reports by itself. One queue for each handle: readers share it.
    fn events(&self) -> Arc<EventQueue>;
}

/// Refuses times with which a driver of the kernel's devices cannot work.
pub(crate) fn check_times(timeout: Duration, watch_interval: Duration) -> Result<(), LunError> {
    for (what, length, least) in
        [("time-out", timeout, TIMEOUT_MIN), ("watch interval", watch_interval, WATCH_INTERVAL_MIN)]
    {
        if length < least {
            return Err(LunError::misuse(format!("{what} {length:?} must be at least {least:?}")));
        }
    }
    Ok(())
}

/// Refuses a range that is unaligned or not within the LUN.
pub(crate) fn check_range(
    capabilities: &Capabilities,
    offset: u64,
    length: usize,
) -> Result<(), LunError> {
    let block = u64::from(capabilities.block_bytes);
    if !offset.is_multiple_of(block) || !(length as u64).is_multiple_of(block) {
        return Err(LunError::misuse(format!(
            "offset {offset} and length {length} must be multiples of {block} bytes"
        )));
    }
    let end = offset.checked_add(length as u64);
    if end.is_none_or(|end| end > capabilities.size_bytes) {
        let size = capabilities.size_bytes;
        return Err(LunError::misuse(format!(
            "offset {offset} length {length} ends behind the LUN of {size} bytes"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_code_maps_there_and_back_and_no_other_does() {
        for code in 0..=255 {
            let back = ReservationType::from_spc_code(code).map(ReservationType::spc_code);
            assert!(back.is_none_or(|back| back == code), "{code}");
        }
        assert_eq!(ReservationType::WriteExclusiveRegistrantsOnly.spc_code(), 5);
        assert_eq!((0..=255).filter_map(ReservationType::from_spc_code).count(), 6);
    }

    #[test]
    fn a_range_must_be_aligned_and_within_the_lun() {
        let capabilities = Capabilities {
            strength: Strength::Enforced,
            size_bytes: 4096,
            block_bytes: 512,
            preempt_and_abort: false,
            aptpl: false,
            discard_safe: false,
        };
        assert!(check_range(&capabilities, 3584, 512).is_ok());
        for (offset, length) in [(1, 512), (0, 1), (4096, 512), (u64::MAX - 511, 512)] {
            assert!(
                matches!(check_range(&capabilities, offset, length), Err(LunError::Misuse { .. })),
                "{offset}"
            );
        }
    }
}
