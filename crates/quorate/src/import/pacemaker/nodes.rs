//! Nodes: who there is, what each has room for, what rules may ask about it.

use std::collections::BTreeMap;

use super::Importer;
use super::options::Options;
use super::rule::{NodeFacts, Subject};
use super::values::Pair;
use crate::config::{Amounts, ConfigError, Node};
use crate::import::report::FindingKind;
use crate::import::xml::Element;

/// Where a node of ours listens, if nothing says otherwise.
pub(in crate::import) const PORT: u16 = 7400;

impl<'a> Importer<'a> {
    pub(super) fn nodes(&mut self, section: Element<'a>) -> Result<(), ConfigError> {
        for node in section.all("node") {
            self.node(node)?;
        }
        Ok(())
    }

    fn node(&mut self, node: Element<'a>) -> Result<(), ConfigError> {
        let id = node.id();
        let Some(name) = node.read("uname").filter(|name| !name.is_empty()) else {
            return Err(node.place().wrong("it has no uname", "give the node its name"));
        };
        let is_remote = match node.read("type").unwrap_or("member") {
            "member" | "normal" => false,
            "remote" => true,
            _ => {
                let text = "it is no node that could run anything";
                node.leave_out(FindingKind::NoCounterpart, text, "");
                return Ok(());
            }
        };
        let subject = Subject::default();
        let attributes = Options::of(node, "instance_attributes", &subject).all();
        let mut capacity = Amounts::new();
        for (&what, pair) in &Options::of(node, "utilization", &subject).all() {
            capacity.insert(what.to_owned(), pair.amount()?);
        }
        let is_drained = self.commands_for(node, name, &attributes)?;
        self.facts.push(NodeFacts {
            name,
            id,
            kind: if is_remote { "remote" } else { "cluster" },
            attributes,
        });
        self.add_node(node, name, &format!("{name}:{PORT}"), !is_remote, capacity);
        if is_drained {
            self.draft.drained.extend(self.node_names.get(name).cloned());
        }
        Ok(())
    }

    /// What is a state of a node here, and no configuration. Whether it is to run nothing.
    fn commands_for(
        &self,
        node: Element<'a>,
        name: &str,
        attributes: &BTreeMap<&'a str, Pair<'a>>,
    ) -> Result<bool, ConfigError> {
        let mut is_drained = false;
        for what in ["standby", "maintenance"] {
            let Some(pair) = attributes.get(what) else { continue };
            if pair.flag()? {
                is_drained |= what == "standby";
                let remedy = match what {
                    "standby" => format!("run `quorate drain {name}` once the cluster runs"),
                    _ => format!(
                        "run `quorate pause {name}` once the cluster runs, and unmanage what is there"
                    ),
                };
                let text = "this is a state of a node, not configuration";
                node.note(FindingKind::Needed, &[(what, pair.value())], text, remedy);
            }
        }
        Ok(is_drained)
    }

    /// Adds a node, unless there is one of this name.
    pub(super) fn add_node(
        &mut self,
        at: Element<'a>,
        name: &'a str,
        address: &str,
        voter: bool,
        capacity: Amounts,
    ) {
        if self.node_names.contains_key(name) {
            return;
        }
        let ours = self.names_of_nodes.take(name);
        self.tell_renamed(at, name, &ours);
        self.node_names.insert(name, ours.clone());
        at.note(
            FindingKind::Needed,
            &[],
            format!("where it listens is not in the file; {address} is a guess"),
            format!("write its address on each network in nodes.{ours}.addresses"),
        );
        self.draft.nodes.push(Node { voter, capacity, ..Node::new(ours, &[address]) });
    }
}
