//! I2: a guest is started only by the node to which a committed change gives its group, as far as that node knows.

use std::collections::BTreeMap;

use quorate_core::Notice;
use quorate_core::id::{Epoch, GroupId, NodeId};

use super::{Checker, Fact, View};
use crate::spoken::words;

#[derive(Default)]
pub(super) struct Entitled {
    owners: BTreeMap<(GroupId, Epoch), NodeId>,
    known: BTreeMap<(NodeId, GroupId), Epoch>,
}

impl Checker for Entitled {
    fn name(&self) -> &'static str {
        "Entitled"
    }

    fn judge(&mut self, _: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match *fact {
            // It knows what the one before it knew.
            Fact::Started { goes_on: true, .. } => Ok(()),
            Fact::Started { node, .. } => {
                self.known.retain(|&(other, _), _| other != node);
                Ok(())
            }
            Fact::Told { node, notice: &Notice::Assigned { group, owner, epoch, .. } } => {
                let known = self.known.entry((node, group)).or_default();
                *known = epoch.max(*known);
                let first = *self.owners.entry((group, epoch)).or_insert(owner);
                if first != owner {
                    return Err(format!("{group} is given to {first} and to {owner} in {epoch}"));
                }
                Ok(())
            }
            Fact::Starts { node, group, epoch } => match self.owners.get(&(group, epoch)) {
                Some(&owner) if owner == node => {
                    let known = self.known.get(&(node, group)).copied().unwrap_or_default();
                    if known <= epoch {
                        return Ok(());
                    }
                    Err(format!("{node} starts {group} in {epoch} though it knows of {known}"))
                }
                owner => {
                    Err(format!("{node} starts {group} in {epoch}, given to {}", words(&owner)))
                }
            },
            Fact::Told { .. }
            | Fact::Persists { .. }
            | Fact::Promises { .. }
            | Fact::Began { .. }
            | Fact::Ended { .. }
            | Fact::Resumed { .. }
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
