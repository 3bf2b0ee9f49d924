//! A group that comes into a running cluster, in the words of cluster.toml.

use quorate_core::config::NewGroup as CoreGroup;
use quorate_core::id::GroupId;
use serde::{Deserialize, Serialize};

use super::document::{Group, Lun};
use super::relations::Rule;
use super::{Config, ConfigError, read_toml};

/// A group, its LUNs, and rules that name it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewGroup {
    /// `[[groups]]`: the one.
    pub groups: Vec<Group>,
    /// `[[luns]]`: its LUNs, which nobody else has.
    #[serde(default)]
    pub luns: Vec<Lun>,
    /// `[[rules]]`: rules that name it. One of the same name is overruled.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

impl NewGroup {
    /// A group without LUNs and rules.
    pub fn new(group: Group) -> Self {
        Self { groups: vec![group], luns: Vec::new(), rules: Vec::new() }
    }

    /// Reads the `[[groups]]`, `[[luns]]` and `[[rules]]` of a cluster.toml that has nothing else; `file` names it in
    /// errors.
    ///
    /// # Errors
    /// What is wrong, where, and the remedy.
    pub fn from_toml_str(text: &str, file: &str) -> Result<Self, ConfigError> {
        read_toml(text, file)
    }

    /// Checked against the configuration in force, with numbers of its own.
    pub(crate) fn numbered(
        &self,
        current: &Config,
        passed: GroupId,
    ) -> Result<CoreGroup, ConfigError> {
        let [group] = self.groups.as_slice() else {
            let problem = format!("{} groups", self.groups.len());
            return Err(ConfigError::new("groups", problem, "add one at a time"));
        };
        let mut document = current.document.clone();
        document.luns.extend_from_slice(&self.luns);
        document.groups.push(group.clone());
        document.rules.retain(|rule| !self.rules.iter().any(|other| other.name == rule.name));
        document.rules.extend_from_slice(&self.rules);
        let next = Config { document, cluster: current.cluster.clone() };
        let next = next.following_after(current, passed)?;
        let cluster = next.cluster();
        let is_new = |name: &str| self.luns.iter().any(|lun| lun.name == name);
        let names_it = |name: &str| self.rules.iter().any(|rule| rule.name == name);
        let added = cluster.group_named(&group.name).cloned();
        Ok(CoreGroup {
            group: added.ok_or_else(|| {
                ConfigError::new(format!("groups.{}", group.name), "it is missing", "name it")
            })?,
            luns: cluster.luns().iter().filter(|lun| is_new(&lun.name)).cloned().collect(),
            rules: cluster.rules().iter().filter(|rule| names_it(&rule.name)).cloned().collect(),
            only_if: None,
        })
    }
}
