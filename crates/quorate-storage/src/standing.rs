//! What this handle believes of its own registration, and what it lets pass. Pure.
//!
//! ```text
//! Never --registered--> Registered --path lost--> Lost
//!                        |  ^  ^                   |  |
//!                        |  |  +---- reclaimed, ---+  |
//!                        |  |     or known still      |
//!                        |  +-- registered -- Gone <--+ reclaim failed
//!                        +-- refused, unregistered, cleared --^
//! ```
//!
//! Why it exists: the device judges a write by the nexus that brings it, and after a reconnect that
//! is another one. If the reservation is gone by then (released by its next owner, or lost with a
//! target that restarted), the device would let a stale write pass. So the handle itself holds back
//! what was written under a registration that it lost. A handle of the `file` driver has no path to
//! lose; one of the `device` driver, whose nexus stays, loses its registration with a device that
//! forgets it; the rest is the same.

use crate::{LunError, ReservationKey};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Never registered: the device judges each write.
    Never,
    Registered(ReservationKey),
    /// The nexus that was registered is gone.
    Lost(ReservationKey),
    /// The registration was given up, or the device refused a write.
    Gone {
        refused: bool,
    },
}

/// What to do with a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Pass,
    Wait,
    Refuse,
}

/// What a command of ours did to the registration, if the device carried it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    #[cfg(quorate_libiscsi)]
    None,
    Registered(ReservationKey),
    #[cfg(quorate_libiscsi)]
    Reclaimed(ReservationKey),
    Unregistered,
}

impl Standing {
    pub(crate) fn gate(self) -> Gate {
        match self {
            Self::Never | Self::Registered(_) => Gate::Pass,
            Self::Lost(_) => Gate::Wait,
            Self::Gone { .. } => Gate::Refuse,
        }
    }

    /// What a refused writer is told.
    pub(crate) fn refusal(self) -> LunError {
        match self {
            Self::Gone { refused: true } => LunError::ReservationConflict,
            Self::Gone { refused: false } | Self::Never | Self::Registered(_) | Self::Lost(_) => {
                LunError::NotRegistered
            }
        }
    }

    pub(crate) fn on_path_lost(self) -> Self {
        match self {
            Self::Registered(key) | Self::Lost(key) => Self::Lost(key),
            Self::Never | Self::Gone { .. } => self,
        }
    }

    /// The device refused a write that was sent under this standing.
    pub(crate) fn on_refused(self) -> Self {
        match self {
            Self::Never => Self::Never,
            Self::Registered(_) | Self::Lost(_) | Self::Gone { .. } => Self::Gone { refused: true },
        }
    }

    pub(crate) fn on_effect(self, effect: Effect) -> Self {
        match effect {
            #[cfg(quorate_libiscsi)]
            Effect::None => self,
            Effect::Registered(key) => Self::Registered(key),
            #[cfg(quorate_libiscsi)]
            Effect::Reclaimed(key) => Self::Registered(key),
            Effect::Unregistered => Self::Gone { refused: false },
        }
    }
}

#[cfg(all(test, quorate_libiscsi))]
mod tests {
    use super::*;

    const KEY: ReservationKey = ReservationKey(7);

    #[test]
    fn a_write_waits_after_a_lost_path_and_is_refused_after_a_refusal() {
        let registered = Standing::Never.on_effect(Effect::Registered(KEY));
        assert_eq!(registered.gate(), Gate::Pass);
        let lost = registered.on_path_lost();
        assert_eq!(lost.gate(), Gate::Wait);
        assert_eq!(lost.on_path_lost(), lost);
        assert_eq!(lost.on_effect(Effect::Reclaimed(KEY)), registered);
        assert_eq!(registered.on_refused().gate(), Gate::Refuse);
        assert_eq!(registered.on_refused().on_path_lost().gate(), Gate::Refuse);
        assert_eq!(lost.on_effect(Effect::Unregistered).gate(), Gate::Refuse);
    }

    #[test]
    fn a_handle_that_never_registered_leaves_the_judgement_to_the_device() {
        assert_eq!(Standing::Never.on_refused().on_path_lost().gate(), Gate::Pass);
    }
}
