//! I5: what time alone protects has stopped `stop_time` after the lease of its node, by that node's clock; what its
//! LUNs protect, `isolation_grace` later, unless its process stands still or it could not be killed.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Moment;

use quorate_core::id::{NodeId, ResourceId};
use quorate_core::time::Instant;

use super::{Checker, Fact, View};
use crate::host::Host;

pub(super) struct Lease {
    /// What runs, and whether its LUNs protect it.
    running: BTreeMap<(NodeId, ResourceId), bool>,
    /// The earliest moment at which one of them may have to have stopped.
    look_at: Moment,
}

impl Default for Lease {
    fn default() -> Self {
        Self { running: BTreeMap::new(), look_at: Moment::NEVER }
    }
}

impl Checker for Lease {
    fn name(&self) -> &'static str {
        "Lease"
    }

    fn judge(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match *fact {
            Fact::Began { node, group, resource } => {
                let group = view.config.group(group);
                let enforced = group.is_some_and(|group| view.config.is_enforced(group));
                self.running.insert((node, resource), enforced);
                self.look_at = self.look_at.min(end(view, node, enforced));
                Ok(())
            }
            // A process that starts has been acknowledged nothing.
            Fact::Started { .. } => {
                self.look_at = view.now;
                Ok(())
            }
            Fact::Ended { node, resource } => {
                self.running.remove(&(node, resource));
                Ok(())
            }
            Fact::Passed if view.config.policy().keep_without_quorum => {
                self.look_at = Moment::NEVER;
                Ok(())
            }
            Fact::Passed => {
                // What the cluster knows no more is nobody's.
                self.running.retain(|&(_, resource), _| view.config.resource(resource).is_some());
                let ends = self.running.iter().map(|(&(node, _), &enforced)| {
                    let end = end(view, node, enforced);
                    // One that is excused at present is looked at again.
                    if end <= view.now { view.now + view.config.timing().interval } else { end }
                });
                self.look_at = ends.min().unwrap_or(Moment::NEVER);
                self.running.iter().try_for_each(|(&(node, resource), &enforced)| {
                    if enforced && is_excused(view, node, resource)
                        || !enforced && !view.waivers.is_time_sound()
                    {
                        return Ok(());
                    }
                    over(view, node, enforced).map_or(Ok(()), |late| {
                        Err(format!(
                            "{resource} runs on {node} {late:?} after it had to have stopped"
                        ))
                    })
                })
            }
            Fact::Told { .. }
            | Fact::Persists { .. }
            | Fact::Promises { .. }
            | Fact::Starts { .. }
            | Fact::Resumed { .. }
            | Fact::Wrote { .. }
            | Fact::Access { .. }
            | Fact::Applied { .. }
            | Fact::Asked { .. }
            | Fact::Leaves { .. }
            | Fact::Unconverged { .. } => Ok(()),
        }
    }

    fn look_at(&self) -> Moment {
        self.look_at
    }
}

/// When what runs on a node must have stopped, as far as is known: an acknowledgement to come puts it off.
fn end(view: &View<'_>, node: NodeId, enforced: bool) -> Moment {
    let host = &view.hosts[&node];
    host.clock.when(last(view, host, enforced))
}

fn last(view: &View<'_>, host: &Host, enforced: bool) -> Instant {
    let timing = view.config.timing();
    let grace = if enforced { timing.isolation_grace } else { Duration::ZERO };
    let end = host.lease_end(view.config).unwrap_or_default().max(host.knows_voters_since());
    end + timing.stop_time + grace
}

/// How long that is over; none: it is not.
fn over(view: &View<'_>, node: NodeId, enforced: bool) -> Option<Duration> {
    let host = &view.hosts[&node];
    let local = host.clock.local(view.now);
    let end = last(view, host, enforced);
    (local > end).then(|| local.since(end))
}

/// A process that stands still, or went on only just now, stops nothing; nor does one whose kills fail. The LUNs
/// refuse what runs on there.
fn is_excused(view: &View<'_>, node: NodeId, resource: ResourceId) -> bool {
    let host = &view.hosts[&node];
    let settled = view.now.since(host.disturbed) > view.config.timing().stop_time * 2;
    let unkilled = host.slots.get(&resource).is_some_and(|slot| slot.unkilled);
    !settled || unkilled || !host.is_awake()
}
