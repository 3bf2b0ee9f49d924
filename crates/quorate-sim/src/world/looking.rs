//! What is true in a world, and what its engines believe.

use quorate_core::config::NodeConfig;
use quorate_core::database::Database;
use quorate_core::id::{GroupId, NodeId, ResourceId};
use quorate_core::status::{Explanation, Status};

use super::World;
use crate::guest::Stage;
use crate::host::Host;

impl World {
    /// The hosts.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values()
    }

    /// The host of a node of the configuration.
    pub fn host_of(&self, node: NodeId) -> &Host {
        &self.hosts[&node]
    }

    /// How far the guest of a resource is on a node; none: there is none.
    pub fn stage(&self, node: NodeId, resource: ResourceId) -> Option<Stage> {
        Some(self.hosts[&node].slots.get(&resource)?.guest.as_ref()?.stage)
    }

    /// Where anything of a group is, running or about to.
    pub fn places(&self, group: GroupId) -> Vec<NodeId> {
        let of_group = |host: &&Host| {
            let mut guests = host.slots.values().filter_map(|slot| slot.guest.as_ref());
            guests.any(|guest| guest.group == group)
        };
        self.hosts.values().filter(of_group).map(|host| host.id).collect()
    }

    /// Where all of a group's resources run.
    pub fn runs_on(&self, group: GroupId) -> Vec<NodeId> {
        let Some(config) = self.known_group(group) else { return Vec::new() };
        let runs = |node: &NodeId| {
            let stages = config.resources.iter().map(|one| self.stage(*node, one.id));
            stages.into_iter().all(|stage| stage == Some(Stage::Running))
        };
        self.hosts.keys().copied().filter(runs).collect()
    }

    /// What the engine of a node knows; none: its process does not run, or stands still.
    pub fn status_of(&self, node: NodeId) -> Option<Status> {
        let host = self.hosts.of(&node).filter(|host| host.is_awake())?;
        let process = host.process.as_ref()?;
        Some(process.engine.status(host.clock.local(self.now)))
    }

    /// Why the engine of a node has a group where it is.
    pub fn explain(&self, node: NodeId, group: GroupId) -> Option<Explanation> {
        let host = self.hosts.of(&node).filter(|host| host.is_awake())?;
        host.process.as_ref()?.engine.explain(group)
    }

    /// The newest view that any engine has of the cluster.
    pub fn newest_status(&self) -> Option<Status> {
        self.status_of(self.newest()?.0)
    }

    /// Whether the cluster is disarmed, by the newest word.
    pub(super) fn newest_disarmed(&self) -> bool {
        self.newest().is_some_and(|(_, database)| database.disarmed().is_some())
    }

    /// The node that has applied the most, and what it has.
    pub(super) fn newest(&self) -> Option<(NodeId, &Database)> {
        let known = self
            .hosts
            .values()
            .filter(|host| host.is_awake())
            .filter_map(|host| Some((host.id, host.process.as_ref()?.engine.database()?)));
        known.max_by_key(|(node, database)| (database.applied(), *node))
    }

    /// The names of the nodes that get no groups: they are paused, drained, or about to leave.
    pub(super) fn closed_nodes(&self) -> Vec<String> {
        let Some((_, database)) = self.newest() else { return Vec::new() };
        let is_closed = |node: &&NodeConfig| {
            let drains = database.node(node.id).is_some_and(|record| record.draining);
            drains || !database.is_open(node.id)
        };
        let closed = self.config.nodes().iter().filter(is_closed);
        closed.map(|node| node.name.clone()).collect()
    }
}
