//! What can go wrong with a LUN. Owns the error type of every driver; never holds a password or a
//! payload.

use std::io;
use std::path::Path;
use std::time::Duration;

/// Why a call on a LUN was not carried out.
///
/// A failed call has changed nothing, except where the variant says that the outcome is open.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LunError {
    /// The device refused the command because another nexus holds the reservation, or the given key
    /// is not ours.
    ///
    /// Effect: nothing was written. Remedy: the right to this LUN is gone; stop the guest, do not
    /// retry.
    #[error("reservation conflict: another registrant holds this LUN")]
    ReservationConflict,

    /// This handle was registered, lost its registration, and refuses to write until it has it
    /// back.
    ///
    /// Cause: the path was lost and came back on a session that the device does not know, or
    /// `unregister` was called. Effect: nothing was written after that. Remedy: if this node is
    /// still entitled, `reclaim`; otherwise stop the guest.
    #[error("this handle is not registered any more; reclaim the LUN before writing")]
    NotRegistered,

    /// The device or this build cannot do what was asked.
    ///
    /// Effect: none. Remedy: use a target with persistent reservations (LIO, tgt, any array), or
    /// the `file` driver.
    #[error("unsupported: {what}")]
    Unsupported {
        /// What is missing, and where known the remedy.
        what: String,
    },

    /// The connection to the storage is gone and did not come back within the time-out.
    ///
    /// Effect: a write or a reservation verb that was under way may or may not have happened.
    /// Remedy: check the network and the target; the driver goes on connecting and reports
    /// `LunEvent::PathBack`.
    #[error("path to the LUN lost: {why}")]
    PathLost {
        /// What was seen, in the words of the transport.
        why: String,
    },

    /// The device, or a lock on a shared directory, did not answer within the time-out given at
    /// open.
    ///
    /// Effect: a write or a reservation verb that was under way may or may not have happened.
    /// Remedy: check the load of the target; read the keys before deciding anything.
    #[error("{what} timed out after {after:?}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// The time-out.
        after: Duration,
    },

    /// The storage does not let us in: wrong password, initiator not allowed, read-only medium or
    /// directory.
    ///
    /// Effect: none. Remedy: correct the credentials or the rights named in the text.
    #[error("denied: {why}")]
    Denied {
        /// Who refused what.
        why: String,
    },

    /// The storage reported a failure of its own: medium, hardware, full disk, operating system.
    ///
    /// Effect: the range of a failed write is undefined. Remedy: as for any broken disk.
    ///
    /// Of kind `NotFound` or `NotADirectory`: no such thing is there; the text says what to do.
    #[error("{}{what}", prefix(*kind))]
    Io {
        /// The operation and the report.
        what: String,
        /// The kind where the operating system named one.
        kind: io::ErrorKind,
    },

    /// What stands on the storage is torn, foreign, or of another version.
    ///
    /// Effect: it was not used. Remedy: the text names the place; restore it, or initialise it on
    /// purpose.
    #[error("refused: {what}")]
    Corrupt {
        /// What was found where.
        what: String,
    },

    /// The caller asked for something that can never work: a bad address, range, alignment, or key.
    ///
    /// Effect: none. Remedy: correct the call.
    #[error("misuse: {what}")]
    Misuse {
        /// The value, the limit and the unit.
        what: String,
    },
}

/// What is not there has not failed.
fn prefix(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => "",
        _ => "input/output error: ",
    }
}

impl LunError {
    /// Whether the storage, or this driver on its behalf, refused because this handle has no right
    /// to write.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::ReservationConflict | Self::NotRegistered)
    }

    /// The same as the reason for which the path is away.
    #[cfg(quorate_libiscsi)]
    pub(crate) fn into_path_lost(self) -> Self {
        match self {
            lost @ Self::PathLost { .. } => lost,
            other => Self::PathLost { why: other.to_string() },
        }
    }

    /// An operating system error, with what was being done.
    pub(crate) fn io(what: impl std::fmt::Display, error: &io::Error) -> Self {
        let text = format!("{what}: {error}");
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::Denied { why: text }
            }
            kind => Self::Io { what: text, kind },
        }
    }

    /// Nothing is there by this name. `remedy`: for what is no device.
    pub(crate) fn missing(path: &Path, remedy: &str) -> Self {
        let place = path.display();
        let what = match path.starts_with("/dev") {
            true => format!(
                "there is no block device {place}: is it attached to this host, and is its name one that stays, as \
                 below /dev/disk/by-id?"
            ),
            false => format!("there is no {place}: {remedy}"),
        };
        Self::Io { what, kind: io::ErrorKind::NotFound }
    }

    /// A failure in the storage's own words, without a kind.
    pub(crate) fn device(what: impl Into<String>) -> Self {
        Self::Io { what: what.into(), kind: io::ErrorKind::Other }
    }

    pub(crate) fn misuse(what: impl Into<String>) -> Self {
        Self::Misuse { what: what.into() }
    }
}
