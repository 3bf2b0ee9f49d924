//! The versions of the configuration: which one is in force, what came before, and why it was changed.

use serde::{Deserialize, Serialize};

use super::{Database, GroupRecord, NodeState};
use crate::change::FenceKind;
use crate::config::{ClusterConfig, ClusterParts, ConfigError, GroupConfig, NewConfig, NewGroup};
use crate::id::{Epoch, GroupId, LunId, NodeId};

/// How many versions are remembered.
pub const VERSIONS_MAX: usize = 32;
/// Of how many groups that were taken out the number is kept for their name.
const RETIRED_MAX: usize = 1024;
/// Of how many versions before the one in force all is kept, so that they can come back.
pub const VERSIONS_KEPT: usize = 3;

/// One version of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// Its number: 1 is what the cluster was founded with.
    pub number: u64,
    /// Since when it was in force, in the cluster's time in milliseconds.
    pub at_ms: u64,
    /// When its author gave it, in milliseconds since 1970; 0: nobody said.
    pub unix_ms: u64,
    /// Why.
    pub reason: String,
    /// What it is known by: see [`ClusterConfig::public_digest`].
    pub digest: u64,
    /// All of it; none: it is in force, or too long ago.
    pub parts: Option<ClusterParts>,
}

impl Version {
    pub(super) fn founded(config: &ClusterConfig) -> Self {
        let (reason, digest) = ("founded".to_owned(), config.public_digest());
        Self { number: 1, at_ms: 0, unix_ms: 0, reason, digest, parts: None }
    }
}

/// The greatest number of a group.
pub(super) fn greatest_group(config: &ClusterConfig) -> GroupId {
    config.groups().iter().map(|group| group.id).max().unwrap_or(GroupId(0))
}

impl Database {
    /// The number of the configuration in force.
    pub fn version(&self) -> u64 {
        self.versions.last().map_or(0, |version| version.number)
    }

    /// The versions that are remembered, oldest first; the last one is in force.
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// Whether this configuration was in force before the one that is, as far as is remembered.
    pub fn was_in_force(&self, config: &ClusterConfig) -> bool {
        let digest = config.public_digest();
        let mut before = self.versions.iter().rev().skip(1);
        before.any(|version| version.digest == digest)
    }

    /// Whether a configuration that was made for a certain version came into force after that, be it in force still or
    /// not: a vote, say, may have been given since.
    pub fn has_come(&self, new: &NewConfig) -> bool {
        let Ok(config) = ClusterConfig::with_circles(new.parts.clone()) else { return false };
        let number = new.only_if.map(|before| before + 1);
        self.versions.iter().any(|version| {
            Some(version.number) == number
                && (&version.reason, version.unix_ms) == (&new.reason, new.unix_ms)
                && version.digest == config.public_digest()
        })
    }

    /// The greatest number that a group has had so far: what is new gets a greater one.
    pub fn groups_passed(&self) -> GroupId {
        self.groups_passed
    }

    /// The configuration that would be in force.
    ///
    /// # Errors
    /// What keeps it from being so: it is wrong, it changes what cannot change while the cluster runs, or another
    /// version is in force than it was made for.
    pub fn successor(&self, new: &NewConfig) -> Result<ClusterConfig, ConfigError> {
        self.check_version(new.only_if)?;
        // Whoever hands one in has been told of orders that lead back to their start.
        let next = ClusterConfig::with_circles(self.as_in_force(new.parts.clone()))?;
        self.config.check_successor(&next, |group| self.in_use(group))?;
        self.check_numbers(&next)?;
        Ok(next)
    }

    /// The configuration that would be in force with one group more.
    ///
    /// # Errors
    /// As [`Database::successor`].
    pub fn with_group(&self, new: &NewGroup) -> Result<ClusterConfig, ConfigError> {
        self.check_version(new.only_if)?;
        let next = self.config.with_group(new)?;
        self.check_numbers(&next)?;
        Ok(next)
    }

    /// The configuration that would be in force without a group. One that runs and is managed is not let go: nobody
    /// would look after it any more, and its LUNs would be free for another.
    ///
    /// # Errors
    /// It runs, or what is left does not hold together.
    pub fn without_group(&self, group: GroupId) -> Result<ClusterConfig, ConfigError> {
        let record = self.groups.get(&group).filter(|record| record.is_managed());
        let owner = record.and_then(GroupRecord::owner).map(|(node, _)| node);
        let stray = record.and_then(|_| self.stray_awaited(group));
        if let Some(node) = owner.or(stray) {
            let name = |id: NodeId| self.config.node(id).map_or("a node", |node| &node.name);
            let place = self.config.group(group).map_or("", |group| &group.name);
            return Err(ConfigError::new(
                format!("groups.{place}"),
                format!("runs on {}, and would run on with nobody to look after it", name(node)),
                "take it offline first, or leave it alone (unmanage) if it is to run on",
            ));
        }
        self.config.without_group(group)
    }

    /// A number that was another group's stays that: what is still on its way about the one must not be taken for a
    /// word about the other.
    fn check_numbers(&self, next: &ClusterConfig) -> Result<(), ConfigError> {
        let is_back = |group: &GroupConfig| {
            self.retired.iter().any(|(id, name)| *id == group.id && *name == group.name)
        };
        let is_taken = |group: &&GroupConfig| {
            group.id <= self.groups_passed
                && self.config.group(group.id).is_none()
                && !is_back(group)
        };
        let Some(group) = next.groups().iter().find(is_taken) else { return Ok(()) };
        Err(ConfigError::new(
            format!("groups.{}.id", group.name),
            format!("{} was the number of another group, or may have been", group.id.0),
            format!("leave it out, or use one after {}", self.groups_passed.0),
        ))
    }

    pub(super) fn check_version(&self, wanted: Option<u64>) -> Result<(), ConfigError> {
        let Some(wanted) = wanted.filter(|&wanted| wanted != self.version()) else { return Ok(()) };
        Err(ConfigError::new(
            "version",
            format!("{} is in force by now, not {wanted}", self.version()),
            "look at what has changed, and try again on top of it",
        ))
    }

    fn in_use(&self, group: GroupId) -> Option<String> {
        let record = self.groups.get(&group)?;
        let name = |node| self.config.node(node).map_or("a node", |node| node.name.as_str());
        match record.owner() {
            Some((node, _)) => Some(format!("runs on {}", name(node))),
            None => match self.stray_awaited(group).filter(|_| record.is_managed()) {
                Some(node) => Some(format!("was found running on {}", name(node))),
                None => record.saved.map(|_| "is saved for its next start".to_owned()),
            },
        }
    }

    pub(super) fn configure(&mut self, index: u64, new: &NewConfig) {
        let Ok(config) = self.successor(new) else { return };
        // A LUN may pass from one group to another: keys of the next owner are newer than any that stand on it.
        let newest = self.newest_epoch();
        let before = std::mem::take(&mut self.groups);
        for (id, record) in before {
            match config.group(id) {
                None => self.epoch_passed = newest,
                Some(group) => {
                    let before = self.config.group(id);
                    let same = before.is_some_and(|old| old.luns == group.luns);
                    let is_left = |lun: &LunId| !group.luns.contains(lun);
                    if before.is_some_and(|old| old.luns.iter().any(is_left)) {
                        self.epoch_passed = newest;
                    }
                    let epoch = if same { record.epoch } else { newest };
                    self.groups.insert(id, GroupRecord { epoch, ..record });
                }
            }
        }
        for group in config.groups() {
            self.groups.entry(group.id).or_insert_with(|| GroupRecord::fresh(group, newest));
        }
        self.succeed(index, config, new.reason.clone(), new.unix_ms);
    }

    /// The newest of all epochs: no key on any LUN is newer.
    pub(super) fn newest_epoch(&self) -> Epoch {
        let epochs = self.groups.values().map(|record| record.epoch);
        epochs.max().unwrap_or_default().max(self.epoch_passed)
    }

    /// Another configuration is in force from here on.
    pub(super) fn succeed(
        &mut self,
        index: u64,
        config: ClusterConfig,
        reason: String,
        unix_ms: u64,
    ) {
        let number = self.version() + 1;
        let digest = config.public_digest();
        let before = std::mem::replace(&mut self.config, config);
        self.groups_passed = self.groups_passed.max(greatest_group(&self.config));
        let gone = before.groups().iter().filter(|group| self.config.group(group.id).is_none());
        let gone: Vec<_> = gone.map(|group| (group.id, group.name.clone())).collect();
        self.retired.retain(|(id, _)| self.config.group(*id).is_none());
        self.retired.extend(gone);
        let forgotten = self.retired.len().saturating_sub(RETIRED_MAX);
        self.retired.drain(..forgotten);
        if let Some(last) = self.versions.last_mut() {
            last.parts = Some(before.into());
        }
        let at_ms = self.at_ms;
        self.versions.push(Version { number, at_ms, unix_ms, reason, digest, parts: None });
        // What the cluster was founded with is never forgotten: nodes are started with it for years.
        let forgotten = self.versions.len().saturating_sub(VERSIONS_MAX);
        self.versions.drain(1..=forgotten);
        let kept = self.versions.len().saturating_sub(VERSIONS_KEPT + 1);
        self.versions[..kept].iter_mut().for_each(|version| version.parts = None);
        self.configured = index;
        // What took an agent's word may take less by now.
        let fenced = self
            .nodes
            .iter()
            .filter(|(_, one)| one.state == NodeState::Fenced(FenceKind::LeaseOver));
        let fenced: Vec<_> = fenced.map(|(&node, one)| (node, one.incarnation)).collect();
        for (node, incarnation) in fenced {
            self.vacate(node, incarnation, FenceKind::LeaseOver);
        }
    }
}
