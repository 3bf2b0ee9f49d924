//! Why a group is not on a node, which rules conflict, what a loss leaves without a place: codes, names and sentences.

use std::fmt;

use quorate_core::config::ClusterConfig;
use quorate_core::id::{GroupId, NodeId};
use quorate_core::placement::{self, NotHere};
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
    /// What would have to be otherwise, all of it, for the group to be there: each stands after "it would be there if".
    /// Only where one node was asked about; empty: no way was found, or it was not asked.
    pub would_need: Vec<String>,
}

impl WhyNot {
    pub(crate) fn new(config: &ClusterConfig, node: String, why: NotHere) -> Self {
        let rule = why.rule().and_then(|rule| config.rules().get(rule));
        let rule = rule.map(|rule| rule.name.clone());
        let text = match &rule {
            Some(rule) => format!("{why} (rule {rule})"),
            None => why.to_string(),
        };
        Self { node, code: why.code(), rule, cannot: why.is_hard(), text, would_need: Vec::new() }
    }

    pub(crate) fn of_node(config: &ClusterConfig, node: NodeId, why: NotHere) -> Self {
        Self::new(config, node_name(config, node), why)
    }
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {}: {}", self.node, self.text)?;
        match self.would_need.as_slice() {
            [] => Ok(()),
            needed => write!(f, "; it would be there if {}", needed.join(", and ")),
        }
    }
}

pub(crate) fn node_name(config: &ClusterConfig, node: NodeId) -> String {
    config.node(node).map_or_else(|| node.to_string(), |node| node.name.clone())
}

/// Why a driver was asked for something. As text: a line for each link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Why {
    /// The group about which it was.
    pub group: String,
    /// When it was asked, in the cluster's time in milliseconds.
    pub at_ms: u64,
    /// What led to it, the nearest first. The last one came in from outside.
    pub chain: Vec<Link>,
}

/// One link of a chain of causes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    /// One word, the same in all languages: the kind of a notice, as `down`; of what came in from outside `command`,
    /// `configuration`, `silence`, `connection`, `returned`, `resource`, `lun`, `unacknowledged`, or `earlier`: it
    /// began before what this node remembers.
    pub code: String,
    /// Whether it came in from outside: the last link does.
    pub is_input: bool,
    /// When, in the cluster's time in milliseconds; none: it is not known.
    pub at_ms: Option<u64>,
    /// For people.
    pub text: String,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> =
            self.chain.iter().map(|link| format!("because {}", link.text)).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// What leaves a group without a place though every node is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// The first such group.
    pub group: String,
    /// The rules that cannot all hold, by name: as few as suffice. Empty: its own owners and scores, or room, do.
    pub rules: Vec<String>,
    /// Whether room has a part in it.
    pub room: bool,
}

impl Conflict {
    pub(crate) fn new(config: &ClusterConfig, found: &placement::Conflict) -> Self {
        let rules =
            found.rules.iter().filter_map(|&rule| config.rules().get(usize::try_from(rule).ok()?));
        let rules = rules.map(|rule| rule.name.clone()).collect();
        Self { group: group_name(config, found.group), rules, room: found.room }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = &self.group;
        write!(f, "group {group} cannot run, though every node were open: ")?;
        match (self.rules.as_slice(), self.room) {
            ([], true) => write!(f, "there is not room for everything"),
            ([], false) => write!(f, "its own owners and scores leave no node"),
            ([one], room) => write!(f, "rule {one} cannot hold{}", with_room(room)),
            (rules, room) => {
                write!(f, "rules {} cannot all hold{}", rules.join(", "), with_room(room))
            }
        }
    }
}

fn with_room(room: bool) -> &'static str {
    if room { " with the room that there is" } else { "" }
}

/// What the losses of a number of nodes leave without a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Survival {
    /// How many different losses were tried.
    pub tried: u64,
    /// How many of them leave something without a place.
    pub failing: u64,
    /// The first hundred of these.
    pub losses: Vec<Loss>,
}

/// Nodes that are lost together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// Which.
    pub nodes: Vec<String>,
    /// The groups that ran before and have no place then.
    pub unplaced: Vec<String>,
}

impl Survival {
    pub(crate) fn new(config: &ClusterConfig, found: &placement::Survival) -> Self {
        let loss = |loss: &placement::Loss| Loss {
            nodes: loss.nodes.iter().map(|&node| node_name(config, node)).collect(),
            unplaced: loss.unplaced.iter().map(|&group| group_name(config, group)).collect(),
        };
        let losses = found.losses.iter().map(loss).collect();
        Self { tried: found.tried, failing: found.failing, losses }
    }
}

impl fmt::Display for Survival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} losses leave something without a place", self.failing, self.tried)?;
        for loss in &self.losses {
            write!(f, "\nwithout {}: {}", loss.nodes.join(", "), loss.unplaced.join(", "))?;
        }
        Ok(())
    }
}

fn group_name(config: &ClusterConfig, group: GroupId) -> String {
    config.group(group).map_or_else(|| group.to_string(), |group| group.name.clone())
}
