//! I5: what time alone protects has stopped `stop_time` after the lease of its node, by that node's clock.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::clock::Moment;

use quorate_core::id::{NodeId, ResourceId};

use super::{Checker, Fact, View};

pub(super) struct Lease {
    running: BTreeSet<(NodeId, ResourceId)>,
    /// The earliest moment at which one of them may have to have stopped.
    look_at: Moment,
}

impl Default for Lease {
    fn default() -> Self {
        Self { running: BTreeSet::new(), look_at: Moment::NEVER }
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
                if group.is_some_and(|group| !view.config.is_enforced(group)) {
                    self.running.insert((node, resource));
                    self.look_at = self.look_at.min(end(view, node));
                }
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
            Fact::Passed if !view.waivers.is_time_sound() => {
                self.look_at = Moment::NEVER;
                Ok(())
            }
            Fact::Passed => {
                let ends = self.running.iter().map(|&(node, _)| end(view, node));
                self.look_at = ends.min().unwrap_or(Moment::NEVER);
                self.running.iter().try_for_each(|&(node, resource)| {
                    over(view, node).map_or(Ok(()), |late| {
                        Err(format!(
                            "{resource} runs on {node} {late:?} after it had to have stopped"
                        ))
                    })
                })
            }
            Fact::Told { .. }
            | Fact::Persists { .. }
            | Fact::Starts { .. }
            | Fact::Resumed { .. }
            | Fact::Wrote { .. }
            | Fact::Access { .. }
            | Fact::Unconverged { .. } => Ok(()),
        }
    }

    fn look_at(&self) -> Moment {
        self.look_at
    }
}

/// When what runs on a node must have stopped, as far as is known: an acknowledgement to come puts it off.
fn end(view: &View<'_>, node: NodeId) -> Moment {
    let host = &view.hosts[&node];
    let end = host.lease_end(view.config).unwrap_or_default() + view.config.timing().stop_time;
    host.clock.when(end)
}

/// How long the lease of a node and the time to stop are over; none: they are not.
fn over(view: &View<'_>, node: NodeId) -> Option<Duration> {
    let host = &view.hosts[&node];
    let local = host.clock.local(view.now);
    let end = host.lease_end(view.config).unwrap_or_default() + view.config.timing().stop_time;
    (local > end).then(|| local.since(end))
}
