//! Why a group is not on a node: a code for programs, the rule's name, and a sentence.

use std::fmt;

use quorate_core::config::ClusterConfig;
use quorate_core::id::NodeId;
use quorate_core::placement::NotHere;
use serde::Serialize;

/// Why a group is not on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WhyNot {
    /// The node.
    pub node: String,
    /// One word, the same in all languages, as `paused`, `no_room`, `apart`.
    pub code: &'static str,
    /// The rule that says so, by its name; none: no rule does.
    pub rule: Option<String>,
    /// Whether the group cannot run there; else it is better off elsewhere.
    pub cannot: bool,
    /// For people.
    pub text: String,
}

impl WhyNot {
    pub(crate) fn new(config: &ClusterConfig, node: String, why: NotHere) -> Self {
        let rule = why.rule().and_then(|rule| config.rules().get(rule));
        let rule = rule.map(|rule| rule.name.clone());
        let text = match &rule {
            Some(rule) => format!("{why} (rule {rule})"),
            None => why.to_string(),
        };
        Self { node, code: why.code(), rule, cannot: why.is_hard(), text }
    }

    pub(crate) fn of_node(config: &ClusterConfig, node: NodeId, why: NotHere) -> Self {
        Self::new(config, node_name(config, node), why)
    }
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {}: {}", self.node, self.text)
    }
}

pub(crate) fn node_name(config: &ClusterConfig, node: NodeId) -> String {
    config.node(node).map_or_else(|| node.to_string(), |node| node.name.clone())
}
