//! `resources.cfg` and `groups.cfg`: guests, and where they should run.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::Importer;
use super::places::Nodes;
use super::sections::{Section, sections};
use super::status::Status;
use crate::config::{ConfigError, Group, Resource, Settings};
use crate::import::report::FindingKind::{Approximated, Needed, NoCounterpart};

/// How long starts that fail count.
const FOREVER_S: u64 = 86_400;

/// A group of nodes.
#[derive(Clone, Debug)]
pub(super) struct NodeGroup {
    nodes: Nodes,
    restricted: bool,
    failback: bool,
}

impl Importer {
    pub(super) fn node_groups(
        &mut self,
        file: &str,
        text: &str,
    ) -> Result<BTreeMap<String, NodeGroup>, ConfigError> {
        let mut groups = BTreeMap::new();
        for section in sections(file, text)? {
            if section.kind != "group" {
                section.leave_out(&self.ledger, NoCounterpart, "it is no group", "");
                continue;
            }
            let nodes = match section.read("nodes") {
                Some(list) => self.nodes_of(list)?,
                None => return Err(section.place.wrong("it has no nodes", "name its nodes")),
            };
            let restricted = section.flag("restricted", false)?;
            let failback = !section.flag("nofailback", false)?;
            groups.insert(section.id.to_owned(), NodeGroup { nodes, restricted, failback });
            section.tell_rest(&self.ledger);
        }
        Ok(groups)
    }

    pub(super) fn resources(
        &mut self,
        file: &str,
        text: &str,
        groups: &BTreeMap<String, NodeGroup>,
        status: &Status,
    ) -> Result<(), ConfigError> {
        for section in sections(file, text)? {
            self.resource(&section, groups, status)?;
            section.tell_rest(&self.ledger);
        }
        Ok(())
    }

    fn resource(
        &mut self,
        section: &Section<'_>,
        groups: &BTreeMap<String, NodeGroup>,
        status: &Status,
    ) -> Result<(), ConfigError> {
        let sid = format!("{}:{}", section.kind, section.id);
        if self.groups.contains_key(&sid) {
            return Err(section.place.wrong("it stands twice", "take one of them out"));
        }
        let auto_start = match section.read("state") {
            None => true,
            Some(state) => match state.value {
                "started" | "enabled" => true,
                "stopped" => false,
                "disabled" => {
                    let text = "it is kept offline, and has another node should its own be lost";
                    let remedy = "run `quorate disable` for it once the cluster runs";
                    state.note(&self.ledger, Approximated, text, remedy);
                    false
                }
                "ignored" => {
                    let text = "what HA ignores is no group here";
                    section.leave_out(&self.ledger, NoCounterpart, text, "");
                    self.groups.insert(sid, None);
                    return Ok(());
                }
                _ => return Err(state.wrong("is not known")),
            },
        };
        let name = self.names_of_groups.take(&format!("{}-{}", section.kind, section.id));
        let id = self.draft.next_group();
        let mut group = Group::new(name.clone(), &[], vec![self.guest(section, &sid, name)?]);
        group.auto_start = auto_start;
        group.failback = section.flag("failback", true)?;
        group.failover_threshold = Some(section.count("max_relocate", 1)?);
        group.initial_owner = status.owners.get(&sid).cloned();
        let home = match section.read("group") {
            None => None,
            Some(home) => match groups.get(home.value) {
                Some(found) => Some(found),
                None => {
                    let text = "there is no such group in groups.cfg";
                    home.note(&self.ledger, NoCounterpart, text, "take it out, or give the group");
                    None
                }
            },
        };
        group.failback &= home.is_none_or(|home| home.failback);
        self.draft.groups.push(group);
        if let Some(home) = home {
            self.prefer(id, &home.nodes, home.restricted);
        }
        self.groups.insert(sid, Some(id));
        Ok(())
    }

    fn guest(
        &self,
        section: &Section<'_>,
        sid: &str,
        name: String,
    ) -> Result<Resource, ConfigError> {
        let inner = Table::from_iter([("sid".to_owned(), Value::String(sid.to_owned()))]);
        let settings = Settings::from([("settings".to_owned(), Value::Table(inner))]);
        let mut words = Resource::new(name, "host", settings);
        words.restart_threshold = section.count("max_restart", 1)?;
        words.restart_period_s = FOREVER_S;
        let text = "driver = \"host\" hands it to your program: what it is, is not in these files";
        let remedy = match section.kind {
            "vm" => "serve it there, or write driver = \"qemu\" with its memory and its LUN",
            _ => "serve it there, or write driver = \"process\" with its command",
        };
        let settings = [("group", words.name.as_str())];
        self.ledger.note(Needed, section.place.clone(), &settings, text, remedy);
        Ok(words)
    }
}
