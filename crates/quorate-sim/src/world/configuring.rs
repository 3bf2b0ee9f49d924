//! A configuration that changes: what engines have committed, the world knows.

use quorate_core::config::{ClusterConfig, GroupConfig, ResourceConfig};
use quorate_core::id::{GroupId, NodeId, ResourceId};
use std::collections::BTreeMap;

use super::World;

/// What was and is no more.
#[derive(Debug)]
pub(super) struct Configuring {
    /// What stands in every node's file.
    file: ClusterConfig,
    /// Where in the log it was changed last.
    at: u64,
    /// Groups that there are no more. What runs of them may run on, and engines that lag still know them.
    former: BTreeMap<GroupId, GroupConfig>,
}

impl Configuring {
    pub(super) fn new(config: &ClusterConfig) -> Self {
        Self { file: config.clone(), at: 0, former: BTreeMap::new() }
    }
}

impl World {
    /// What a process is started with.
    pub(super) fn file(&self) -> &ClusterConfig {
        &self.configuring.file
    }

    /// What every process is started with from here on.
    pub(crate) fn write_files(&mut self, config: ClusterConfig) {
        self.configuring.file = config;
    }

    /// An engine has applied more of the log than any before it.
    pub(super) fn learn_config(&mut self, node: NodeId) {
        let process = self.hosts[&node].process.as_ref();
        let Some(database) = process.and_then(|one| one.engine.database()) else { return };
        if database.configured() <= self.configuring.at.max(1) {
            return;
        }
        self.configuring.at = database.configured();
        let config = database.config().clone();
        let before = std::mem::replace(&mut self.config, config);
        self.count_members(&before);
        for one in before.nodes().iter().filter(|one| self.config.node(one.id).is_none()) {
            self.unrest.on_node(one.id, self.now);
        }
        let gone = before.groups().iter().filter(|one| self.config.group(one.id).is_none());
        let gone: Vec<&GroupConfig> = gone.collect();
        let is_gone = |id: GroupId| gone.iter().any(|group| group.id == id);
        let slots = self.hosts.values_mut().flat_map(|host| host.slots.values_mut());
        for guest in slots.filter_map(|slot| slot.guest.as_mut()) {
            guest.is_found |= is_gone(guest.group);
        }
        self.configuring.former.extend(gone.into_iter().map(|group| (group.id, group.clone())));
        let config = &self.config;
        self.configuring.former.retain(|&id, _| config.group(id).is_none());
    }

    /// A group, though it may be one of the past.
    pub(super) fn known_group(&self, id: GroupId) -> Option<&GroupConfig> {
        self.config.group(id).or_else(|| self.configuring.former.get(&id))
    }

    /// A resource and its group, though they may be of the past.
    pub(super) fn known_resource(&self, id: ResourceId) -> Option<(&GroupConfig, &ResourceConfig)> {
        let former = || {
            let mut all = self.configuring.former.values();
            let resource =
                |group: &GroupConfig| group.resources.iter().position(|one| one.id == id);
            all.find_map(|group| Some((group, &group.resources[resource(group)?])))
        };
        self.config.resource(id).or_else(former)
    }

    /// Whether a node runs something that the cluster looks after.
    pub(super) fn runs_any_group(&self, node: NodeId) -> bool {
        let mut guests = self.hosts[&node].slots.values().filter_map(|slot| slot.guest.as_ref());
        guests.any(|guest| self.config.group(guest.group).is_some())
    }
}
