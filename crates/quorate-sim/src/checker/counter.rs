//! I1, seen from the data: every record of a guest is on its LUN once, in order, and a saved state is used once.

use std::collections::BTreeSet;

use quorate_core::id::SaveToken;

use super::{Checker, Fact, View};

#[derive(Default)]
pub(super) struct Counter {
    used: BTreeSet<SaveToken>,
}

impl Checker for Counter {
    fn name(&self) -> &'static str {
        "Counter"
    }

    fn judge(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Wrote { lun, node, value, before, .. }
                if *value != before + 1 && view.is_sound(*lun) =>
            {
                Err(format!("{lun} took record {value} of {node} after record {before}"))
            }
            Fact::Resumed { node, token, records } => {
                if !self.used.insert(*token) {
                    return Err(format!(
                        "{node} resumed the state {}, which was resumed before",
                        token.0
                    ));
                }
                for (lun, saved) in *records {
                    let there = view.storage.luns[lun].counter;
                    if there != *saved && view.is_sound(*lun) {
                        return Err(format!(
                            "{node} resumed a guest saved at record {saved}, but {lun} is at {there}"
                        ));
                    }
                }
                Ok(())
            }
            Fact::Started { .. }
            | Fact::Told { .. }
            | Fact::Persists { .. }
            | Fact::Promises { .. }
            | Fact::Starts { .. }
            | Fact::Began { .. }
            | Fact::Ended { .. }
            | Fact::Wrote { .. }
            | Fact::Access { .. }
            | Fact::Passed
            | Fact::Applied { .. }
            | Fact::Asked { .. }
            | Fact::Leaves { .. }
            | Fact::Unconverged { .. } => Ok(()),
        }
    }
}
