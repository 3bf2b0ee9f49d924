//! I5: what time alone protects has stopped `stop_time` after the lease of its node, by that node's clock.

use std::collections::BTreeSet;
use std::time::Duration;

use quorate_core::id::{NodeId, ResourceId};

use super::{Checker, Fact, View};

#[derive(Default)]
pub(super) struct Lease {
    running: BTreeSet<(NodeId, ResourceId)>,
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
                }
                Ok(())
            }
            Fact::Ended { node, resource } => {
                self.running.remove(&(node, resource));
                Ok(())
            }
            Fact::Passed => self.running.iter().try_for_each(|&(node, resource)| {
                over(view, node).map_or(Ok(()), |late| {
                    Err(format!("{resource} runs on {node} {late:?} after it had to have stopped"))
                })
            }),
            Fact::Started { .. }
            | Fact::Told { .. }
            | Fact::Persists { .. }
            | Fact::Starts { .. }
            | Fact::Resumed { .. }
            | Fact::Wrote { .. }
            | Fact::Access { .. }
            | Fact::Unconverged { .. } => Ok(()),
        }
    }
}

/// How long the lease of a node and the time to stop are over; none: they are not.
fn over(view: &View<'_>, node: NodeId) -> Option<Duration> {
    let host = &view.hosts[&node];
    let local = host.clock.local(view.now);
    let end = host.lease_end(view.config).unwrap_or_default() + view.config.timing().stop_time;
    (local > end).then(|| local.since(end))
}
