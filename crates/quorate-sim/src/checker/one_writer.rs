//! I1: at any time at most one guest's writes would be taken by a LUN, and epochs on it only grow.

use std::collections::BTreeMap;

use quorate_core::id::{Epoch, LunId, NodeId};

use super::{Checker, Fact, View};

#[derive(Default)]
pub(super) struct OneWriter {
    newest: BTreeMap<LunId, (Epoch, NodeId)>,
}

impl Checker for OneWriter {
    fn name(&self) -> &'static str {
        "OneWriter"
    }

    fn judge(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match *fact {
            Fact::Wrote { lun, node, epoch, .. } => {
                let (last, writer) = *self.newest.entry(lun).or_insert((epoch, node));
                let late = epoch < last || epoch == last && node != writer;
                if late && view.is_sound(lun) {
                    return Err(format!(
                        "{lun} took a write of {node} in {epoch} after one of {writer} in {last}"
                    ));
                }
                self.newest.insert(lun, (epoch, node));
                Ok(())
            }
            Fact::Access { lun } => at_most_one(view, lun),
            Fact::Began { group, .. } => {
                let luns = view.config.group(group).map_or(&[][..], |group| &group.luns);
                luns.iter().try_for_each(|&lun| at_most_one(view, lun))
            }
            Fact::Started { .. }
            | Fact::Told { .. }
            | Fact::Persists { .. }
            | Fact::Starts { .. }
            | Fact::Ended { .. }
            | Fact::Resumed { .. }
            | Fact::Passed
            | Fact::Applied { .. }
            | Fact::Asked { .. }
            | Fact::Leaves { .. }
            | Fact::Unconverged { .. } => Ok(()),
        }
    }
}

fn at_most_one(view: &View<'_>, lun: LunId) -> Result<(), String> {
    let able: Vec<NodeId> =
        view.hosts.keys().copied().filter(|&node| view.could_write(node, lun)).collect();
    if able.len() > 1 && view.is_sound(lun) {
        return Err(format!("{lun} would take the writes of guests on {able:?}"));
    }
    Ok(())
}

impl View<'_> {
    /// Whether a guest runs on this node whose next write the LUN would take.
    fn could_write(&self, node: NodeId, lun: LunId) -> bool {
        let writes = self.hosts[&node].slots.values().any(|slot| {
            slot.guest
                .as_ref()
                .is_some_and(|guest| guest.writes() && guest.records.contains_key(&lun))
        });
        writes && self.is_reachable(node, lun) && self.storage.luns[&lun].takes_writes_of(node)
    }

    /// Whether a guest on this node has a way to the LUN, while that has power: the session of its process if the
    /// device is enforced, the host's own way to a shared file if not.
    pub(super) fn is_reachable(&self, node: NodeId, lun: LunId) -> bool {
        let enforced = self.config.lun(lun).is_some_and(|lun| lun.enforced);
        let attached = self.storage.nexuses[&(node, lun)].attached;
        self.storage.luns[&lun].outages == 0 && (!enforced || attached.is_some())
    }
}
