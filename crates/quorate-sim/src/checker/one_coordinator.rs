//! I3: in one epoch of consensus at most one node takes itself for the coordinator.

use std::collections::BTreeMap;

use quorate_core::Notice;
use quorate_core::id::{Epoch, NodeId};

use super::{Checker, Fact, View};

#[derive(Default)]
pub(super) struct OneCoordinator {
    of: BTreeMap<Epoch, NodeId>,
}

impl Checker for OneCoordinator {
    fn name(&self) -> &'static str {
        "OneCoordinator"
    }

    fn judge(&mut self, _: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Told { node, notice: &Notice::Coordinator { node: Some(coordinator), epoch } } =
            *fact
        else {
            return Ok(());
        };
        if coordinator != node {
            return Ok(());
        }
        let first = *self.of.entry(epoch).or_insert(node);
        if first != node {
            return Err(format!("{first} and {node} both coordinate in {epoch}"));
        }
        Ok(())
    }
}
