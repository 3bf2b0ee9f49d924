//! I6: a fault on one node stops nothing on the others, and costs them neither their lease nor their standing.
//!
//! Judged only of nodes and groups that no fault has touched for a while, and while a majority of voters is as calm.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::Notice;
use quorate_core::id::{Epoch, GroupId, Incarnation, NodeId, ResourceId};

use super::{Checker, Fact, View};
use crate::clock::Moment;
use crate::unrest::settle_time;

#[derive(Default)]
pub(super) struct Bystander {
    /// Since when each guest runs.
    began: BTreeMap<(NodeId, ResourceId), (GroupId, Moment)>,
    /// Ownerships that were asked to end.
    releasing: BTreeSet<(GroupId, Epoch)>,
    newest: BTreeMap<GroupId, Epoch>,
    started: BTreeMap<NodeId, Moment>,
    downs: BTreeSet<(NodeId, Incarnation)>,
}

impl Checker for Bystander {
    fn name(&self) -> &'static str {
        "Bystander"
    }

    fn judge(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match *fact {
            // From then on it goes, however long that takes.
            Fact::Leaves { node } => {
                self.started.remove(&node);
                Ok(())
            }
            Fact::Started { node, .. } => {
                self.started.insert(node, view.now);
                Ok(())
            }
            Fact::Began { node, group, resource } => {
                self.began.insert((node, resource), (group, view.now));
                Ok(())
            }
            Fact::Ended { node, resource } => match self.began.remove(&(node, resource)) {
                Some((group, began)) => self.ended(view, node, resource, group, began),
                None => Ok(()),
            },
            Fact::Told { notice: &Notice::Releasing { group, epoch, .. }, .. } => {
                self.releasing.insert((group, epoch));
                Ok(())
            }
            Fact::Told { notice: &Notice::Assigned { group, epoch, .. }, .. } => {
                let newest = self.newest.entry(group).or_default();
                *newest = epoch.max(*newest);
                Ok(())
            }
            Fact::Told { notice: &Notice::Down { node, incarnation, .. }, .. } => {
                // Whoever applies it later tells it later.
                if self.downs.insert((node, incarnation)) && self.is_calm(view, node) {
                    return Err(format!("{node} is declared down, and nothing has happened to it"));
                }
                Ok(())
            }
            Fact::Told { node, notice: &Notice::LeaseLost } if self.is_calm(view, node) => {
                Err(format!("{node} has lost its lease, and nothing has happened to it"))
            }
            Fact::Told { .. }
            | Fact::Persists { .. }
            | Fact::Promises { .. }
            | Fact::Starts { .. }
            | Fact::Resumed { .. }
            | Fact::Wrote { .. }
            | Fact::Access { .. }
            | Fact::Passed
            | Fact::Applied { .. }
            | Fact::Asked { .. }
            | Fact::Unconverged { .. } => Ok(()),
        }
    }
}

impl Bystander {
    fn ended(
        &self,
        view: &View<'_>,
        node: NodeId,
        resource: ResourceId,
        group: GroupId,
        began: Moment,
    ) -> Result<(), String> {
        let newest = self.newest.get(&group).copied().unwrap_or_default();
        let asked = self.releasing.contains(&(group, newest));
        let before = Moment(began.0.saturating_sub(settle_nanos(view)));
        let calm = view.unrest.is_node_calm(node, before)
            && view.unrest.is_group_calm(group, before)
            && self.is_calm(view, node);
        if calm && !asked {
            return Err(format!(
                "{resource} of {group} has ended on {node}, and nothing has happened to either"
            ));
        }
        Ok(())
    }

    /// Nothing has happened to the node, and to a majority of voters, for long enough.
    fn is_calm(&self, view: &View<'_>, node: NodeId) -> bool {
        let settle = settle_nanos(view);
        if view.now.0 < settle {
            return false;
        }
        let since = Moment(view.now.0 - settle);
        let calm = |node: NodeId| {
            let old = self.started.get(&node).is_some_and(|&at| at < since);
            old && view.unrest.is_node_calm(node, since)
        };
        let voters = view.config.voters().count();
        let calm_voters = view.config.voters().filter(|&voter| calm(voter)).count();
        calm(node) && calm_voters > voters / 2
    }
}

fn settle_nanos(view: &View<'_>) -> u64 {
    quorate_core::time::nanos(settle_time(view.config))
}
