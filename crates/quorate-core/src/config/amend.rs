//! Changes of a configuration in force: a group more, a group less. All else stays as it was founded.

use super::{ClusterConfig, ClusterParts, ConfigError, GroupConfig, LunConfig};
use crate::id::GroupId;

impl ClusterConfig {
    /// The same with one group more, and its LUNs.
    ///
    /// # Errors
    /// The first thing about it that does not fit to the rest.
    pub fn with_group(
        &self,
        group: GroupConfig,
        luns: Vec<LunConfig>,
    ) -> Result<Self, ConfigError> {
        let mut parts = self.parts.clone();
        parts.luns.extend(luns);
        parts.groups.push(group);
        Self::new(parts)
    }

    /// The same without a group and its LUNs.
    ///
    /// # Errors
    /// Something else needs it.
    pub fn without_group(&self, id: GroupId) -> Result<Self, ConfigError> {
        let gone = |lun: &LunConfig| self.group_of_lun(lun.id) == Some(id);
        let mut parts = ClusterParts { groups: Vec::new(), ..self.parts.clone() };
        parts.luns.retain(|lun| !gone(lun));
        parts.groups = self.groups().iter().filter(|group| group.id != id).cloned().collect();
        Self::new(parts)
    }
}
