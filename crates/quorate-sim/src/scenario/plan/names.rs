//! Names of a scenario are any text; those of a configuration are plain.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::id::NodeId;

/// The longest name that leaves room for a number.
const PLAIN_MAX: usize = 48;

/// Both kinds of names.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Names {
    nodes: BTreeMap<String, NodeId>,
    of_nodes: BTreeMap<String, String>,
    of_groups: BTreeMap<String, String>,
    of_members: BTreeMap<String, String>,
}

impl Names {
    /// Gives a node its name in the configuration.
    pub(super) fn node(&mut self, name: &str, id: NodeId) -> String {
        self.nodes.insert(name.to_owned(), id);
        plain(name, &mut self.of_nodes)
    }

    /// Gives a node that is not the scenario's a name of its own.
    pub(super) fn hidden_node(&mut self, name: &str, _: NodeId) -> String {
        let taken: BTreeSet<String> = self.of_nodes.keys().cloned().collect();
        unused(name, &taken)
    }

    /// Gives a group its name in the configuration.
    pub(super) fn group(&mut self, name: &str) -> String {
        plain(name, &mut self.of_groups)
    }

    /// Gives a member its name in the configuration.
    pub(super) fn member(&mut self, name: &str) -> String {
        plain(name, &mut self.of_members)
    }

    /// The number of a node of the scenario.
    pub(in super::super) fn id_of(&self, node: &str) -> NodeId {
        self.nodes.get(node).copied().unwrap_or_default()
    }

    /// The scenario's name of a node; none: it is not the scenario's.
    pub(in super::super) fn of_node(&self, configured: &str) -> Option<&str> {
        self.of_nodes.get(configured).map(String::as_str)
    }

    /// The scenario's name of a group.
    pub(in super::super) fn of_group(&self, configured: &str) -> Option<&str> {
        self.of_groups.get(configured).map(String::as_str)
    }

    /// The scenario's name of a member.
    pub(in super::super) fn of_member(&self, configured: &str) -> Option<&str> {
        self.of_members.get(configured).map(String::as_str)
    }
}

fn plain(name: &str, table: &mut BTreeMap<String, String>) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let text: String =
        name.chars().map(|c| if is_plain(c) { c } else { '_' }).take(PLAIN_MAX).collect();
    let taken: BTreeSet<String> = table.keys().cloned().collect();
    let unused = unused(&text, &taken);
    table.insert(unused.clone(), name.to_owned());
    unused
}

fn unused(name: &str, taken: &BTreeSet<String>) -> String {
    if !taken.contains(name) {
        return name.to_owned();
    }
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    numbered.into_iter().find(|one| !taken.contains(one)).unwrap_or_default()
}
