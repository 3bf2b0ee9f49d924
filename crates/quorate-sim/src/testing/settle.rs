//! When a cluster has come to rest.

use std::time::Duration;

use quorate_core::id::NodeId;

use super::{Cluster, Error, HostState};
use crate::clock::Moment;

/// What does not change any more once it is at rest.
#[derive(Debug, PartialEq, Eq)]
struct Rest {
    hosts: Vec<HostState>,
    nodes: Vec<(String, String, bool)>,
    groups: Vec<(String, String, Option<String>)>,
    places: Vec<Vec<NodeId>>,
    coordinator: Option<String>,
}

impl Cluster {
    /// Lets time pass until the cluster is at rest: nothing is under way, and for a while no node and no group has
    /// changed its state. At the beginning, that is when it is founded and everything that can run does.
    ///
    /// # Errors
    /// [`Error::TimedOut`]: it has not come to rest in the time that a healed cluster may take; or
    /// [`Error::Violation`].
    pub fn settle(&mut self) -> Result<(), Error> {
        let timing = self.config().timing().clone();
        let resources = self.config().groups().iter().flat_map(|group| &group.resources);
        let pending = resources.map(|resource| resource.pending_timeout).max().unwrap_or_default();
        let quiet = timing.detect * 2 + timing.election_max;
        let timeout = timing.convergence_worst(pending) + quiet;
        let deadline = self.world.now() + timeout;
        let mut rest = self.rest();
        let mut since = self.world.now();
        loop {
            if self.is_at_rest_since(since, quiet) {
                return Ok(());
            }
            if self.world.now() >= deadline {
                return Err(self.timed_out("rest", timeout));
            }
            self.advance(deadline.min(self.world.now() + timing.interval))?;
            let next = self.rest();
            if next != rest || self.is_busy() {
                (rest, since) = (next, self.world.now());
            }
        }
    }

    fn is_at_rest_since(&self, since: Moment, quiet: Duration) -> bool {
        self.world.now().since(since) >= quiet
    }

    /// Whether something is under way that will come to an end by itself.
    fn is_busy(&self) -> bool {
        let Some(status) = self.status() else {
            // A majority that runs will found a cluster or find it.
            let voters: Vec<NodeId> = self.config().voters().collect();
            let awake = voters.iter().filter(|&&node| self.world.host_of(node).is_awake());
            return awake.count() * 2 > voters.len();
        };
        let waits = status.witness.as_ref().is_some_and(|one| one.votes && !one.made);
        let witness_comes = waits && status.witness.is_some_and(|one| one.reachable != Some(false));
        let moves = |state: &str| matches!(state, "starting" | "moving" | "lost");
        let groups_move = status.groups.iter().any(|group| moves(&group.state));
        let paused = self.world.hosts().any(|host| host.process.is_some() && !host.is_awake());
        (status.quorum && (groups_move || witness_comes || self.world.members_change()))
            || paused
            || self.serving.is_busy(&self.world)
    }

    fn rest(&self) -> Rest {
        let status = self.status().unwrap_or_default();
        let state = |node: &str| self.host_state(node).unwrap_or(HostState::Off);
        Rest {
            hosts: self.config().nodes().iter().map(|node| state(&node.name)).collect(),
            nodes: status
                .nodes
                .into_iter()
                .map(|node| (node.name, node.state, node.paused || node.draining))
                .collect(),
            groups: status
                .groups
                .into_iter()
                .map(|group| (group.name, group.state, group.owner))
                .collect(),
            places: self.config().groups().iter().map(|g| self.world.places(g.id)).collect(),
            coordinator: status.coordinator,
        }
    }
}
