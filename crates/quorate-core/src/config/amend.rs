//! Changes of a configuration in force: a group more, a group less. All else stays as it was founded.

use serde::{Deserialize, Serialize};

use super::{ClusterConfig, ClusterParts, ConfigError, GroupConfig, LunConfig, Rule, Says};
use crate::id::GroupId;

/// A group that comes into a configuration, and what comes with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewGroup {
    /// The group. Its numbers and names are its own.
    pub group: GroupConfig,
    /// Its LUNs, which nobody else has.
    pub luns: Vec<LunConfig>,
    /// Rules that name it. One of the same name is overruled.
    pub rules: Vec<Rule>,
    /// Only into this version of the configuration; none: into whichever is in force.
    pub only_if: Option<u64>,
}

impl ClusterConfig {
    /// The same with one group more.
    ///
    /// # Errors
    /// The first thing about it that does not fit to the rest.
    pub fn with_group(&self, new: &NewGroup) -> Result<Self, ConfigError> {
        let mut parts = self.parts.clone();
        parts.luns.extend_from_slice(&new.luns);
        parts.groups.push(new.group.clone());
        parts.rules.retain(|rule| !new.rules.iter().any(|other| other.name == rule.name));
        parts.rules.extend_from_slice(&new.rules);
        Self::new(parts)
    }

    /// The same without a group, its LUNs, and what rules say of it.
    ///
    /// # Errors
    /// What is left does not hold together.
    pub fn without_group(&self, id: GroupId) -> Result<Self, ConfigError> {
        let mut parts = ClusterParts { groups: Vec::new(), ..self.parts.clone() };
        parts.luns.retain(|lun| self.group_of_lun(lun.id) != Some(id));
        parts.groups = self.groups().iter().filter(|group| group.id != id).cloned().collect();
        parts.rules = parts.rules.into_iter().filter_map(|rule| rule.without(id)).collect();
        Self::new(parts)
    }
}

impl Rule {
    /// What it says of the others when there is no such group; none: nothing.
    pub fn without(mut self, id: GroupId) -> Option<Self> {
        let stays = match &mut self.says {
            Says::Together { groups, .. } | Says::Apart { groups, .. } => {
                groups.retain(|group| *group != id);
                groups.len() > 1
            }
            Says::Near { group, with, .. } => *group != id && *with != id,
            Says::Order { first, then, .. } => {
                first.retain(|group| *group != id);
                !first.is_empty() && *then != id
            }
        };
        stays.then_some(self)
    }
}
