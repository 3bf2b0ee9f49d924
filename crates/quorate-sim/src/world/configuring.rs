//! A configuration that changes: what engines have committed, the world knows; and what people do to change it.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_core::config::{
    ClusterConfig, ClusterParts, GroupConfig, NewConfig, NewGroup, ResourceConfig,
};
use quorate_core::id::{GroupId, NodeId, ResourceId};
use quorate_core::message::Command;

use super::World;
use crate::clock::Moment;
use crate::fault::Edit;

/// What was and is no more.
#[derive(Debug)]
pub(super) struct Configuring {
    /// What stands in every node's file.
    file: ClusterConfig,
    /// What the cluster was founded with.
    founded: ClusterConfig,
    /// Where in the log it was changed last.
    at: u64,
    /// Which version is in force.
    version: u64,
    /// Groups that there are no more. What runs of them may run on, and engines that lag still know them.
    former: BTreeMap<GroupId, GroupConfig>,
    /// What was in force until not long ago, and until when.
    superseded: Vec<(Moment, ClusterConfig)>,
    /// What was in force before each fault that changed it.
    before: BTreeMap<usize, ClusterParts>,
}

impl Configuring {
    pub(super) fn new(config: &ClusterConfig) -> Self {
        Self {
            file: config.clone(),
            founded: config.clone(),
            at: 0,
            version: 1,
            former: BTreeMap::new(),
            superseded: Vec::new(),
            before: BTreeMap::new(),
        }
    }

    /// What faults were drawn for.
    pub(super) fn founded(&self) -> &ClusterConfig {
        &self.founded
    }

    pub(super) fn superseded(&self) -> &[(Moment, ClusterConfig)] {
        &self.superseded
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
        self.configuring.version = database.version();
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
        self.supersede(before);
    }

    /// Whoever is not well may decide by it for a while.
    fn supersede(&mut self, before: ClusterConfig) {
        let detect: Duration = self.config.timing().detect;
        let now = self.now;
        let superseded = &mut self.configuring.superseded;
        superseded.retain(|(until, _)| *until + detect * 2 > now);
        superseded.push((now, before));
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

    /// The LUNs of a group are there before it is.
    pub(super) fn bring_luns(&mut self, new: &NewGroup) {
        for lun in &new.luns {
            self.storage.add(lun, &self.config, &mut self.random);
        }
        let nodes: Vec<NodeId> = self.hosts.keys().copied().collect();
        nodes.into_iter().for_each(|node| self.look_at_paths(node));
    }

    /// The host of a node wants a group to be gone: that is refused while it runs.
    pub(super) fn remove_group(&mut self, node: NodeId, group: GroupId, begins: bool) {
        let Some(group) = self.config.group(group).map(|group| group.name.clone()) else { return };
        self.command(node, Command::RemoveGroup { group: group.clone() });
        if begins {
            self.command(node, Command::Offline { group });
        }
    }

    /// The host of a node changes the configuration in force; every other time only in place of the one it knows.
    pub(super) fn configure(&mut self, fault: usize, node: NodeId, edit: &Edit) {
        if let Some(new) = edit.brings() {
            self.bring_luns(new);
        }
        let before = self.config.parts().clone();
        let mut parts = before.clone();
        edit.apply(&mut parts);
        self.configuring.before.insert(fault, before);
        let only_if = fault.is_multiple_of(2).then_some(self.configuring.version);
        self.command(node, replacement(parts, only_if, "tried out"));
    }

    /// What was in force before is to be so again, whatever has changed since.
    pub(super) fn take_back(&mut self, fault: usize, node: NodeId) {
        let Some(before) = self.configuring.before.remove(&fault) else { return };
        self.command(node, replacement(before, None, "taken back"));
    }

    /// What the operator says after the faults if nobody has taken back what was changed: the groups that there are may
    /// run where those of the beginning might.
    pub(super) fn founders_wish(&self) -> Option<Command> {
        if self.configuring.at == 0 {
            return None;
        }
        let founded = &self.configuring.founded;
        let parts = self.config.parts();
        let as_founded = |group: &GroupConfig| {
            let plain = crate::cluster::another_group(founded, group.id.0).group;
            let like = founded.group(group.id).cloned().unwrap_or(plain);
            let resources = group.resources.clone();
            GroupConfig { luns: group.luns.clone(), resources, ..like }
        };
        let groups: Vec<GroupConfig> = parts.groups.iter().map(as_founded).collect();
        let gone = founded.groups().iter().filter(|one| self.config.group(one.id).is_none());
        let gone: Vec<GroupId> = gone.map(|group| group.id).collect();
        let rules = founded.rules().iter().filter_map(|rule| {
            gone.iter().try_fold(rule.clone(), |rule, &group| rule.without(group))
        });
        let wanted = ClusterParts {
            groups,
            nodes: founded.nodes().to_vec(),
            rules: rules.collect(),
            policy: founded.policy().clone(),
            ..parts.clone()
        };
        (wanted != *parts).then(|| replacement(wanted, None, "as it was founded"))
    }
}

fn replacement(parts: ClusterParts, only_if: Option<u64>, reason: &str) -> Command {
    let new = NewConfig { parts, only_if, reason: reason.to_owned(), unix_ms: 0 };
    Command::Configure(Box::new(new))
}
