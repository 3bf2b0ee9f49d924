//! What this handle believes of its own registration, and what it lets pass. Pure.
//!
//!     Never --registered--> Registered --path lost--> Lost --the device still knows us / reclaimed--> Registered
//!                            |                         |
//!                            +-- refused, unregistered, cleared; reclaim failed --> Gone --registered--> Registered
//!
//! Why it exists: the device judges a write by the nexus that brings it, and after a reconnect that is another one. If
//! the reservation is gone by then (released by its next owner, or lost with a target that restarted), the device would
//! let a stale write pass. So the handle itself holds back what was written under a registration that it lost.

use crate::ReservationKey;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
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
pub(super) enum Gate {
    Pass,
    Wait,
    Refuse,
}

/// What a command of ours did to the registration, if the device carried it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    None,
    Registered(ReservationKey),
    Reclaimed(ReservationKey),
    Unregistered,
}

impl Standing {
    pub(super) fn gate(self) -> Gate {
        match self {
            Self::Never | Self::Registered(_) => Gate::Pass,
            Self::Lost(_) => Gate::Wait,
            Self::Gone { .. } => Gate::Refuse,
        }
    }

    pub(super) fn on_path_lost(self) -> Self {
        match self {
            Self::Registered(key) | Self::Lost(key) => Self::Lost(key),
            Self::Never | Self::Gone { .. } => self,
        }
    }

    /// The device refused a write that was sent under this standing.
    pub(super) fn on_refused(self) -> Self {
        match self {
            Self::Never => Self::Never,
            Self::Registered(_) | Self::Lost(_) | Self::Gone { .. } => Self::Gone { refused: true },
        }
    }

    pub(super) fn on_effect(self, effect: Effect) -> Self {
        match effect {
            Effect::None => self,
            Effect::Registered(key) | Effect::Reclaimed(key) => Self::Registered(key),
            Effect::Unregistered => Self::Gone { refused: false },
        }
    }
}

#[cfg(test)]
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
