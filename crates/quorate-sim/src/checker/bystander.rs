//! I6: a fault on one node stops nothing on the others, and costs them neither their lease nor their standing.
//!
//! Judged only of nodes and groups that no fault has touched for a while, and while a majority of voters is as calm.
//!
//! Nor is a node declared down for a silence that cannot have lasted for `detect`: the coordinator, or another node
//! that it hears, has heard it since then, as far as the faults let it. Whether the coordinator has stood still itself
//! does not matter.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::Notice;
use quorate_core::change::DownCause;
use quorate_core::id::{Epoch, GroupId, Incarnation, NodeId, PathId, ResourceId};
use quorate_core::time::{Instant, nanos};

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
    ups: BTreeSet<(NodeId, Incarnation)>,
    /// Since when each takes part: until it is admitted again, one that was down acknowledges nobody.
    /// By its own clock, too: what that showed then cannot be reckoned later, when it runs at another rate.
    admitted: BTreeMap<NodeId, (Moment, Instant)>,
    /// Who takes itself for the coordinator, and since when.
    coordinating: BTreeMap<NodeId, Moment>,
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
                self.coordinating.remove(&node);
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
            Fact::Told { notice: &Notice::Up { node, incarnation }, .. } => {
                if self.ups.insert((node, incarnation)) {
                    let shown = view.hosts.of(&node).map(|host| host.clock.local(view.now));
                    self.admitted.insert(node, (view.now, shown.unwrap_or_default()));
                }
                Ok(())
            }
            Fact::Told { node: teller, notice: &Notice::Down { node, incarnation, cause } } => {
                self.down(view, teller, (node, incarnation), cause)
            }
            Fact::Told { node, notice: &Notice::Coordinator { node: coordinator, .. } } => {
                if coordinator == Some(node) {
                    self.coordinating.insert(node, view.now);
                } else {
                    self.coordinating.remove(&node);
                }
                Ok(())
            }
            Fact::Told { node, notice: &Notice::LeaseLost } => {
                if self.is_calm(view, node) {
                    return Err(format!(
                        "{node} has lost its lease, and nothing has happened to it"
                    ));
                }
                Ok(())
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
    fn down(
        &mut self,
        view: &View<'_>,
        teller: NodeId,
        (node, incarnation): (NodeId, Incarnation),
        cause: DownCause,
    ) -> Result<(), String> {
        // Whoever applies it later tells it later.
        if !self.downs.insert((node, incarnation)) {
            return Ok(());
        }
        let is_calm = self.is_calm(view, node);
        let ear = self.ear(view, teller, node).filter(|_| cause == DownCause::Silence);
        self.admitted.remove(&node);
        if is_calm {
            return Err(format!("{node} is declared down, and nothing has happened to it"));
        }
        match ear {
            Some(ear) => Err(format!("{node} is declared down, and {ear} has heard it")),
            None => Ok(()),
        }
    }

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

    /// Who has heard the node less than `detect` ago, and is the coordinator or is heard by it; none: perhaps nobody.
    fn ear(&self, view: &View<'_>, coordinator: NodeId, node: NodeId) -> Option<NodeId> {
        let timing = view.config.timing();
        let (interval, detect) = (nanos(timing.interval), nanos(timing.detect));
        let ago = |length: u64| view.now.0.checked_sub(length).map(Moment);
        // Two heartbeats on the way, one that was just missed, and clocks that differ.
        let short = detect.checked_sub(interval * 3 + detect / 20)?;
        let (since, until) = (ago(short + detect)?, ago(short)?);
        let old = |at: Option<&Moment>, since| at.is_some_and(|&at| at < since);
        let calm = |node: NodeId| {
            old(self.started.get(&node), since) && view.unrest.was_node_calm(node, since, until)
        };
        // One that says for long that it has no lease is declared down although it is heard.
        let host = view.hosts.of(&node)?;
        let end = host.leased_until(view.config)?;
        // Admitted again, it begins without any lease: what was acknowledged before counts no more.
        let &(_, begun) = self.admitted.get(&node).filter(|&&(at, _)| at < since)?;
        let end = if end <= begun + timing.lease { begun } else { end };
        let over = host.clock.local(view.now).0.saturating_sub(end.0);
        let powered = host.leased_since() < since && over < detect * 2 - interval * 2;
        // A clock that has jumped makes a moment seem long.
        let steady = |node: NodeId| {
            view.hosts.of(&node).is_some_and(|host| host.stepped.is_none_or(|at| at < since))
        };
        let decided = old(self.coordinating.get(&coordinator), ago(detect)?);
        if !powered || !decided || !calm(node) || !steady(coordinator) {
            return None;
        }
        let paths = view.config.node(node).map_or(0, |node| node.addresses.len());
        let votes = |node: NodeId| view.config.node(node).is_some_and(|node| node.voter);
        // Those who do not vote say nothing to each other.
        let hears = |from: NodeId, to: NodeId| {
            if !votes(from) && !votes(to) {
                return false;
            }
            let paths = (0..=u8::MAX).take(paths).map(PathId);
            view.unrest.was_link_calm((from, to), paths, since, until)
        };
        let members = view.config.nodes().iter().map(|node| node.id);
        let mut ears = members.filter(|&ear| ear != node && hears(node, ear));
        ears.find(|&ear| ear == coordinator || calm(ear) && steady(ear) && hears(ear, coordinator))
    }

    /// Nothing has happened to the node, and to a majority of voters, for long enough.
    fn is_calm(&self, view: &View<'_>, node: NodeId) -> bool {
        let settle = settle_nanos(view);
        if view.now.0 < settle {
            return false;
        }
        let since = Moment(view.now.0 - settle);
        let calm = |node: NodeId| {
            // One that does not run has had something happen to it, however long ago.
            let runs = view.hosts.of(&node).is_some_and(|host| host.process.is_some());
            let old = self.started.get(&node).is_some_and(|&at| at < since);
            let takes_part = self.admitted.get(&node).is_some_and(|&(at, _)| at < since);
            runs && old && takes_part && view.unrest.is_node_calm(node, since)
        };
        let voters = view.config.voting().len();
        let calm_voters = view.config.voters().filter(|&voter| calm(voter)).count();
        // The witness speaks through a coordinator alone. One that is cut off from all others keeps it until it gives
        // up, and whoever comes after it is elected only then: that may take longer than a lease lasts.
        let mut coordinators = self.coordinating.iter();
        let kept = coordinators.any(|(&node, &at)| at < since && calm(node));
        let witness = view.config.witness_votes() && kept && view.unrest.is_witness_calm(since);
        let calm_voters = calm_voters + usize::from(witness);
        calm(node) && calm_voters > voters / 2
    }
}

fn settle_nanos(view: &View<'_>) -> u64 {
    nanos(settle_time(view.config))
}
