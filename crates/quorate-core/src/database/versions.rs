//! The versions of the configuration: which one is in force, what came before, and why it was changed.

use serde::{Deserialize, Serialize};

use super::{Database, GroupRecord};
use crate::config::{ClusterConfig, ClusterParts, ConfigError, NewConfig, NewGroup};
use crate::id::{Epoch, GroupId, LunId, NodeId};

/// How many versions are remembered.
pub const VERSIONS_MAX: usize = 32;
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
    /// All of it; none: it is in force, or too long ago.
    pub parts: Option<ClusterParts>,
}

impl Version {
    pub(super) fn founded() -> Self {
        let reason = "founded".to_owned();
        Self { number: 1, at_ms: 0, unix_ms: 0, reason, parts: None }
    }
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
        Ok(next)
    }

    /// The configuration that would be in force with one group more.
    ///
    /// # Errors
    /// As [`Database::successor`].
    pub fn with_group(&self, new: &NewGroup) -> Result<ClusterConfig, ConfigError> {
        self.check_version(new.only_if)?;
        self.config.with_group(new)
    }

    /// The configuration that would be in force without a group. One that runs and is managed is not let go: nobody
    /// would look after it any more, and its LUNs would be free for another.
    ///
    /// # Errors
    /// It runs, or what is left does not hold together.
    pub fn without_group(&self, group: GroupId) -> Result<ClusterConfig, ConfigError> {
        let record = self.groups.get(&group).filter(|record| record.is_managed());
        if let Some((node, _)) = record.and_then(GroupRecord::owner) {
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
            None => record.saved.map(|_| "is saved for its next start".to_owned()),
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
        let before = std::mem::replace(&mut self.config, config);
        if let Some(last) = self.versions.last_mut() {
            last.parts = Some(before.into());
        }
        self.versions.push(Version { number, at_ms: self.at_ms, unix_ms, reason, parts: None });
        let forgotten = self.versions.len().saturating_sub(VERSIONS_MAX);
        self.versions.drain(..forgotten);
        let kept = self.versions.len().saturating_sub(VERSIONS_KEPT + 1);
        self.versions[..kept].iter_mut().for_each(|version| version.parts = None);
        self.configured = index;
    }
}
