//! A node that comes into a running cluster, in the words of cluster.toml.

use quorate_core::config::NodeConfig;
use quorate_core::id::NodeId;
use serde::{Deserialize, Serialize};

use super::document::Node;
use super::{Config, ConfigError, read_toml};

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewNode {
    /// `[[nodes]]`: the one.
    pub nodes: Vec<Node>,
}

impl NewNode {
    /// A node.
    pub fn new(node: Node) -> Self {
        Self { nodes: vec![node] }
    }

    /// Reads the `[[nodes]]` of a cluster.toml that has nothing else; `file` names it in errors.
    ///
    /// # Errors
    /// What is wrong, where, and the remedy.
    pub fn from_toml_str(text: &str, file: &str) -> Result<Self, ConfigError> {
        read_toml(text, file)
    }

    /// Checked against the configuration in force. Without a number it gets one that nobody ever had: `departed` is the
    /// largest of those that were evicted.
    pub(crate) fn numbered(
        &self,
        current: &Config,
        departed: Option<NodeId>,
    ) -> Result<NodeConfig, ConfigError> {
        let [node] = self.nodes.as_slice() else {
            let problem = format!("{} nodes", self.nodes.len());
            return Err(ConfigError::new("nodes", problem, "add one at a time"));
        };
        let all = current.cluster.nodes().iter().map(|node| node.id).chain(departed);
        let next = all.map(|id| id.0).max().unwrap_or_default().saturating_add(1);
        let mut document = current.document.clone();
        document.nodes.push(Node { id: node.id.or(Some(next)), ..node.clone() });
        let next = Config { document, cluster: current.cluster.clone() }.following(current)?;
        next.cluster().node_named(&node.name).cloned().ok_or_else(|| {
            ConfigError::new(format!("nodes.{}", node.name), "it is missing", "name it")
        })
    }
}
