//! I2: what is committed as proof that a group or a node is harmless is true in the world.

use std::collections::BTreeSet;

use quorate_core::Notice;
use quorate_core::change::{FenceKind, GroupReport};
use quorate_core::id::{Epoch, GroupId, Incarnation, NodeId};

use super::{Checker, Fact, View};
use crate::guest::Guest;

#[derive(Default)]
pub(super) struct Evidence {
    fenced: BTreeSet<(NodeId, Incarnation)>,
}

impl Checker for Evidence {
    fn name(&self) -> &'static str {
        "Evidence"
    }

    fn judge(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match *fact {
            Fact::Told {
                notice: &Notice::Group { group, epoch, node, report: GroupReport::Vacated { .. } },
                ..
            } => vacated(view, group, epoch, node),
            Fact::Told { notice: &Notice::Fenced { node, incarnation, kind }, .. } => {
                // Whoever applies it later tells it later, when the node may run again.
                if self.fenced.insert((node, incarnation)) {
                    return fenced(view, node, kind);
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

fn running<'a>(view: &'a View<'_>, node: NodeId) -> impl Iterator<Item = &'a Guest> {
    let slots = view.hosts[&node].slots.values();
    slots.filter_map(|slot| slot.guest.as_ref()).filter(|guest| guest.runs())
}

fn vacated(view: &View<'_>, group: GroupId, epoch: Epoch, node: NodeId) -> Result<(), String> {
    if running(view, node).any(|guest| guest.group == group && guest.epoch == epoch) {
        return Err(format!("{group} is said to have left {node} in {epoch}, and runs there"));
    }
    Ok(())
}

/// A lease that is over proves only what time protects: an enforced group may run on, refused by its LUNs.
fn fenced(view: &View<'_>, node: NodeId, kind: FenceKind) -> Result<(), String> {
    let enforced = |guest: &Guest| {
        view.config.group(guest.group).is_some_and(|group| view.config.is_enforced(group))
    };
    let by_time = kind == FenceKind::LeaseOver;
    let promised = |guest: &Guest| !by_time || !enforced(guest) && view.waivers.is_time_sound();
    match running(view, node).find(|guest| promised(guest)) {
        Some(guest) => {
            Err(format!("{node} is said to be fenced ({kind:?}), and {} runs there", guest.group))
        }
        None => Ok(()),
    }
}
