//! Commands as they are given and answers as they come: for tests that compare devices.
//!
//! A handle's own verbs take unit attentions, hold stale writes back and know one type of
//! reservation. `IscsiLun::tell` does nothing of the kind: the device alone judges.

use crate::LunError;

/// What a device is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawCommand {
    /// PERSISTENT RESERVE OUT.
    ReserveOut {
        /// The service action, as SPC numbers it.
        action: u8,
        /// The type, as SPC numbers it.
        kind: u8,
        /// RESERVATION KEY; 0 for none.
        key: u64,
        /// SERVICE ACTION RESERVATION KEY; 0 for none.
        action_key: u64,
    },
    /// READ of one block.
    Read {
        /// The number of the block.
        block: u64,
    },
    /// WRITE of as many blocks as the bytes fill.
    Write {
        /// The number of the first block.
        block: u64,
        /// The bytes, whole blocks.
        data: Vec<u8>,
    },
}

/// How a device answers a command that it does not carry out.
#[derive(Debug, Clone)]
pub enum RawFailure {
    /// RESERVATION CONFLICT.
    Conflict,
    /// CHECK CONDITION.
    Check {
        /// The sense key: 5 is an illegal request, 6 a unit attention.
        key: u8,
        /// Additional sense code and qualifier.
        code: u16,
    },
    /// TASK ABORTED: ended for another initiator's sake.
    Aborted,
    /// There is no answer, or one that means none of this.
    Other(LunError),
}
