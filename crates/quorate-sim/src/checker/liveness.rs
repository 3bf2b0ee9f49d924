//! I6: when the faults have stopped, everything that can run is online within the budget.

use super::{Checker, Fact, View};

pub(super) struct Liveness;

impl Checker for Liveness {
    fn name(&self) -> &'static str {
        "Liveness"
    }

    fn judge(&mut self, _: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match *fact {
            Fact::Unconverged { missing } => Err(missing.to_owned()),
            Fact::Started { .. }
            | Fact::Told { .. }
            | Fact::Persists { .. }
            | Fact::Promises { .. }
            | Fact::Starts { .. }
            | Fact::Began { .. }
            | Fact::Ended { .. }
            | Fact::Resumed { .. }
            | Fact::Wrote { .. }
            | Fact::Access { .. }
            | Fact::Applied { .. }
            | Fact::Asked { .. }
            | Fact::Leaves { .. }
            | Fact::Passed => Ok(()),
        }
    }
}
