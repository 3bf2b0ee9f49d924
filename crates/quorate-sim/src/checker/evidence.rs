//! I2: what is committed as proof that a group or a node is harmless is true in the world: where a group has stopped,
//! nothing runs and no cooperative LUN is open; where a lease is said to be over, it is; whom agents have ended has
//! ended; who is admitted has stopped.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::Notice;
use quorate_core::change::{Cause, FenceKind, GroupReport};
use quorate_core::database::NodeState;
use quorate_core::id::{Epoch, GroupId, Incarnation, NodeId};

use super::{Checker, Fact, View};
use crate::guest::Guest;
use crate::spoken::words;

#[derive(Default)]
pub(super) struct Evidence {
    fenced: BTreeSet<(NodeId, Incarnation, FenceKind)>,
    /// The newest epoch of each group, by who was first to tell, and its owner, until that is known to be gone.
    owners: BTreeMap<GroupId, (Epoch, Option<NodeId>)>,
    /// How often each node has told that another was admitted, and the most that anybody has.
    told: BTreeMap<(NodeId, NodeId, Incarnation), u32>,
    most: BTreeMap<(NodeId, Incarnation), u32>,
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
            } => {
                self.is_gone(|one, newest, _| one == group && newest == epoch);
                vacated(view, group, epoch, node)
            }
            Fact::Told { notice: &Notice::Fenced { node, incarnation, kind }, .. } => {
                // Whoever applies it later tells it later, when the node may run again.
                if self.fenced.insert((node, incarnation, kind)) {
                    return fenced(view, node, incarnation, kind);
                }
                Ok(())
            }
            Fact::Told { node, notice: &Notice::Assigned { group, owner, epoch, cause } } => {
                self.assigned(view, node, (group, owner, epoch), cause)
            }
            Fact::Told { node: teller, notice: &Notice::Up { node, incarnation } } => {
                // It says itself that nothing of what it had runs any more.
                self.is_gone(|_, _, owner| owner == node);
                let told = self.told.entry((teller, node, incarnation)).or_default();
                *told += 1;
                let most = self.most.entry((node, incarnation)).or_default();
                if told > most {
                    *most = *told;
                    return admitted(view, node);
                }
                Ok(())
            }
            // It may tell it all again.
            Fact::Started { node, .. } => {
                self.told.retain(|&(teller, ..), _| teller != node);
                Ok(())
            }
            Fact::Told { .. }
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

impl Evidence {
    fn is_gone(&mut self, who: impl Fn(GroupId, Epoch, NodeId) -> bool) {
        for (&group, (epoch, owner)) in &mut self.owners {
            *owner = owner.filter(|&owner| !who(group, *epoch, owner));
        }
    }

    /// A group passes from its owner to another: what takes an agent's word must have had it, or a better one. Judged
    /// by who tells it first and has the whole log until then.
    fn assigned(
        &mut self,
        view: &View<'_>,
        teller: NodeId,
        (group, owner, epoch): (GroupId, NodeId, Epoch),
        cause: Cause,
    ) -> Result<(), String> {
        let known = self.owners.get(&group).copied();
        if known.is_some_and(|(newest, _)| newest >= epoch) {
            return Ok(());
        }
        self.owners.insert(group, (epoch, Some(owner)));
        let wishes = view.config.group(group).map(|group| &group.wishes);
        let required = wishes.is_some_and(|wishes| wishes.fence_agent_required);
        let Some((_, Some(former))) = known.filter(|_| required && cause == Cause::NodeDown) else {
            return Ok(());
        };
        let database =
            view.hosts[&teller].process.as_ref().and_then(|process| process.engine.database());
        let state = database.and_then(|database| database.node(former)).map(|record| record.state);
        match state {
            Some(NodeState::Down(_) | NodeState::Fenced(FenceKind::LeaseOver))
                if former != owner =>
            {
                Err(format!("{group} is taken from {former}, which no agent has ended"))
            }
            _ => Ok(()),
        }
    }
}

/// What runs on a node and is anybody's.
fn running<'a>(view: &'a View<'_>, node: NodeId) -> impl Iterator<Item = &'a Guest> {
    let slots = view.hosts[&node].slots.values();
    slots
        .filter_map(|slot| slot.guest.as_ref())
        .filter(|guest| guest.runs() && view.config.group(guest.group).is_some())
}

fn vacated(view: &View<'_>, group: GroupId, epoch: Epoch, node: NodeId) -> Result<(), String> {
    if running(view, node).any(|guest| guest.group == group && guest.epoch == epoch) {
        return Err(format!("{group} is said to have left {node} in {epoch}, and runs there"));
    }
    let luns = view.config.group(group).map_or(&[][..], |group| &group.luns);
    // An enforced LUN refuses what a session brings late. A cooperative one takes it.
    let open = luns.iter().find(|&&lun| {
        let held = view.storage.nexuses[&(node, lun)].attached;
        let enforced = view.storage.is_enforced(lun);
        !enforced && held.is_some_and(|held| held.epoch == epoch)
    });
    open.map_or(Ok(()), |lun| {
        Err(format!("{group} is said to have left {node} in {epoch}, and {lun} is open there"))
    })
}

/// Whoever takes part again has stopped all that it was declared down with.
fn admitted(view: &View<'_>, node: NodeId) -> Result<(), String> {
    running(view, node).next().map_or(Ok(()), |guest| {
        let Guest { group, epoch, .. } = guest;
        Err(format!("{node} is admitted again, and {group} still runs there in {epoch}"))
    })
}

/// The lease of a node is over, and the time to stop, by its own clock, as far as its process was acknowledged.
fn lease_over(view: &View<'_>, node: NodeId, incarnation: Incarnation) -> Result<(), String> {
    let host = &view.hosts[&node];
    let same = host.process.as_ref().is_some_and(|process| process.boot == incarnation.boot);
    let end = host.lease_end(view.config).filter(|_| same && view.waivers.is_time_sound());
    let end = end.map(|end| end + view.config.timing().stop_time);
    let now = host.clock.local(view.now);
    match end.filter(|&end| now < end) {
        Some(end) => Err(format!(
            "{node} is said to be fenced, {:?} before its lease is over",
            end.since(now)
        )),
        None => Ok(()),
    }
}

/// A lease that is over proves only what time protects: an enforced group may run on, refused by its LUNs.
fn fenced(
    view: &View<'_>,
    node: NodeId,
    incarnation: Incarnation,
    kind: FenceKind,
) -> Result<(), String> {
    let enforced = |guest: &Guest| {
        view.config.group(guest.group).is_some_and(|group| view.config.is_enforced(group))
    };
    let process = view.hosts[&node].process.as_ref();
    if kind == FenceKind::Agent && process.is_some_and(|process| process.boot == incarnation.boot) {
        return Err(format!("{node} is said to be ended by agents, and its process lives"));
    }
    let by_time = kind == FenceKind::LeaseOver;
    let promised = |guest: &Guest| !by_time || !enforced(guest) && view.waivers.is_time_sound();
    match running(view, node).find(|guest| promised(guest)) {
        Some(guest) => Err(format!(
            "{node} is said to be fenced ({}), and {} runs there",
            words(&kind),
            guest.group
        )),
        None if by_time => lease_over(view, node, incarnation),
        None => Ok(()),
    }
}
