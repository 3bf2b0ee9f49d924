//! Where guests should run: nodes with priorities.

use std::collections::BTreeMap;

use quorate_core::config::SCORE_MUST;
use quorate_core::id::GroupId;

use super::Importer;
use super::sections::{Property, sections};
use crate::config::{ConfigError, Score};
use crate::import::draft::points;

/// Nodes by our names, with their priorities.
pub(super) type Nodes = BTreeMap<String, i32>;

impl Importer {
    /// Adds every node that a file names where guests should run.
    pub(super) fn meet_nodes(&mut self, file: &str, text: &str) -> Result<(), ConfigError> {
        for section in sections(file, text)? {
            let known = matches!(section.kind, "group" | "node-affinity");
            if known
                && !section.flag("disable", false)?
                && let Some(list) = section.read("nodes")
            {
                self.nodes_of(list)?;
            }
        }
        Ok(())
    }

    /// Reads `n1:2,n2`.
    pub(super) fn nodes_of(&mut self, list: &Property<'_>) -> Result<Nodes, ConfigError> {
        let mut nodes = Nodes::new();
        for item in list.value.split([',', ' ', ';']).map(str::trim).filter(|item| !item.is_empty())
        {
            let (name, priority) = item.split_once(':').unwrap_or((item, "0"));
            let priority = priority
                .parse::<u16>()
                .map_err(|_| list.wrong("has a priority that is no number"))?;
            let ours = self.node(&list.place, name);
            nodes.insert(ours, i32::from(priority));
        }
        Ok(nodes)
    }

    /// Named nodes come before all others, in the order of their priorities; with `only`, there are no others.
    pub(super) fn prefer(&mut self, group: GroupId, nodes: &Nodes, only: bool) {
        let least = nodes.values().min().copied().unwrap_or_default();
        let all: Vec<String> = self.draft.nodes.iter().map(|node| node.name.clone()).collect();
        let Some(group) = self.draft.group_mut(group) else { return };
        for name in all {
            let own = match nodes.get(&name) {
                Some(priority) => 1 + priority - least,
                None if only => {
                    group.scores.insert(name, Score::NEVER);
                    continue;
                }
                None => continue,
            };
            let sum = group.scores.get(&name).map_or(0, |score| score.points());
            if sum > -SCORE_MUST {
                group.scores.insert(name, points(sum + own));
            }
        }
    }
}
