//! `rules.cfg`: node affinity and resource affinity.

use quorate_core::id::GroupId;

use super::Importer;
use super::places::Nodes;
use super::sections::{Section, sections};
use crate::config::ConfigError;
use crate::import::report::FindingKind::{NoCounterpart, NotNeeded};

impl Importer {
    pub(super) fn rules(&mut self, file: &str, text: &str) -> Result<(), ConfigError> {
        for section in sections(file, text)? {
            if section.flag("disable", false)? {
                section.leave_out(&self.ledger, NotNeeded, "it is disabled", "");
                continue;
            }
            match section.kind {
                "node-affinity" => self.node_affinity(&section)?,
                "resource-affinity" => self.resource_affinity(&section)?,
                _ => {
                    let text = "there is no such kind of rule here";
                    section.leave_out(&self.ledger, NoCounterpart, text, "");
                }
            }
            section.tell_rest(&self.ledger);
        }
        Ok(())
    }

    fn node_affinity(&mut self, section: &Section<'_>) -> Result<(), ConfigError> {
        let groups = self.groups_of(section)?;
        let Some(list) = section.read("nodes") else {
            return Err(section.place.wrong("it has no nodes", "name its nodes"));
        };
        let strict = section.flag("strict", false)?;
        let mut nodes = self.nodes_of(list)?;
        if !is_positive(section)? {
            let all = self.draft.nodes.iter().map(|node| node.name.clone());
            let others: Nodes =
                all.filter(|name| !nodes.contains_key(name)).map(|name| (name, 0)).collect();
            nodes = others;
        }
        for group in groups {
            self.prefer(group, &nodes, strict);
        }
        Ok(())
    }

    fn resource_affinity(&mut self, section: &Section<'_>) -> Result<(), ConfigError> {
        let groups = self.groups_of(section)?;
        let is_positive = is_positive(section)?;
        if groups.len() < 2 {
            let text = "it is left with fewer than two guests";
            section.leave_out(&self.ledger, NotNeeded, text, "");
            return Ok(());
        }
        self.draft.add_affinity(section.id, is_positive, &groups);
        Ok(())
    }

    /// The guests that a rule names.
    fn groups_of(&self, section: &Section<'_>) -> Result<Vec<GroupId>, ConfigError> {
        let Some(list) = section.read("resources") else {
            return Err(section.place.wrong("it has no resources", "name its resources"));
        };
        let mut groups = Vec::new();
        for sid in list.value.split([',', ' ', ';']).map(str::trim).filter(|sid| !sid.is_empty()) {
            match self.groups.get(sid) {
                Some(Some(group)) if !groups.contains(group) => groups.push(*group),
                Some(Some(_)) => {}
                Some(None) | None => {
                    let text = format!("{sid} was not imported");
                    list.note(&self.ledger, NoCounterpart, &text, "");
                }
            }
        }
        Ok(groups)
    }
}

fn is_positive(section: &Section<'_>) -> Result<bool, ConfigError> {
    match section.read("affinity") {
        None => Ok(true),
        Some(affinity) => match affinity.value {
            "positive" => Ok(true),
            "negative" => Ok(false),
            _ => Err(affinity.wrong("is not positive or negative")),
        },
    }
}
