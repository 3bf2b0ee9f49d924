//! The CIB of a Pacemaker cluster.
//!
//! Source: Pacemaker Explained.

mod colocation;
mod constraints;
mod fencing;
mod left;
mod location;
mod nodes;
mod options;
mod order;
mod primitive;
mod properties;
mod resources;
mod rule;
mod status;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::id::GroupId;

use super::draft::{Draft, Names};
use super::report::FindingKind;
use super::xml::{Element, Xml};
use super::{Imported, Place};
use crate::config::ConfigError;
use fencing::{Device, Fencing};
use properties::Switches;
use resources::Meant;
use rule::NodeFacts;

/// What has been read so far.
struct Importer<'a> {
    xml: &'a Xml<'a>,
    draft: Draft,
    cluster: Option<&'a str>,
    switches: Switches,
    facts: Vec<NodeFacts<'a>>,
    /// Our names of nodes, by theirs.
    node_names: BTreeMap<&'a str, String>,
    names_of_nodes: Names,
    names_of_groups: Names,
    defaults: Option<Element<'a>>,
    op_defaults: Option<Element<'a>>,
    /// What the name of a resource stands for.
    meant: BTreeMap<&'a str, Meant>,
    /// Nodes that are named exclusively.
    exclusive: BTreeMap<GroupId, BTreeSet<String>>,
    /// Some resource may fail on a node as often as it likes.
    without_threshold: bool,
    fencing: Fencing,
    devices: Vec<Device<'a>>,
}

pub(super) fn import(text: &str, file: &str) -> Result<Imported, ConfigError> {
    let xml = Xml::parse(text, file)?;
    let draft = read(&xml, text)?;
    left::tell(&xml);
    Ok(Imported::new(draft, xml.ledger))
}

fn read(xml: &Xml<'_>, text: &str) -> Result<Draft, ConfigError> {
    let root = xml.root();
    let configuration = match root.tag() {
        "cib" => root.first("configuration"),
        "configuration" => Some(root),
        _ => None,
    };
    let Some(configuration) = configuration else {
        let remedy = "give what `cibadmin --query` writes";
        return Err(root.place().wrong("it is no cib with a configuration", remedy));
    };
    let mut importer = Importer::new(xml, Draft::of_source(&[text]));
    importer.configuration(configuration)?;
    if let Some(status) = root.first("status") {
        importer.status(status);
    }
    Ok(importer.draft)
}

impl<'a> Importer<'a> {
    fn new(xml: &'a Xml<'a>, draft: Draft) -> Self {
        Self {
            xml,
            draft,
            cluster: None,
            switches: Switches::default(),
            facts: Vec::new(),
            node_names: BTreeMap::new(),
            names_of_nodes: Names::default(),
            names_of_groups: Names::default(),
            defaults: None,
            op_defaults: None,
            meant: BTreeMap::new(),
            exclusive: BTreeMap::new(),
            without_threshold: false,
            fencing: Fencing::default(),
            devices: Vec::new(),
        }
    }

    fn configuration(&mut self, configuration: Element<'a>) -> Result<(), ConfigError> {
        let sections = |tag: &'static str| configuration.all(tag);
        self.defaults = configuration.first("rsc_defaults");
        self.op_defaults = configuration.first("op_defaults");
        sections("crm_config").try_for_each(|section| self.properties(section))?;
        sections("nodes").try_for_each(|section| self.nodes(section))?;
        sections("resources").try_for_each(|section| self.resources(section))?;
        sections("constraints").try_for_each(|section| self.constraints(section))?;
        self.close_locations();
        self.fencing(&sections("fencing-topology").collect::<Vec<_>>());
        for (tag, text) in [
            ("acls", "who may do what is up to the program that embeds quorate"),
            ("alerts", "notices go to the program that embeds quorate; no agent is called"),
        ] {
            let entries = sections(tag).flat_map(Element::children);
            entries.for_each(|entry| entry.leave_out(FindingKind::NoCounterpart, text, ""));
        }
        for tag in sections("tags").flat_map(Element::children) {
            tag.id();
            tag.all("obj_ref").for_each(|one| {
                one.id();
            });
        }
        self.draft.name = self.cluster.unwrap_or_default().to_owned();
        self.tell_whole();
        Ok(())
    }

    /// What is about the whole.
    fn tell_whole(&self) {
        let note = |item: &str, text: &str, remedy: &str| {
            self.xml.ledger.note(FindingKind::Approximated, Place::whole(item), &[], text, remedy);
        };
        if self.without_threshold {
            let text = "without a migration-threshold Pacemaker starts a failed resource again on its \
                        node for ever; here it is tried 3 times in 15 minutes, then on another node";
            note("migration-threshold", text, "see restart_threshold and failover_threshold");
        }
        let text = "the identity is drawn from the source";
        note("cluster.id", text, "draw another one if you make two clusters of one source");
    }

    fn tell_renamed(&self, at: Element<'a>, theirs: &str, ours: &str) {
        if theirs != ours {
            let text = format!("it is {ours:?} here: other names are not valid, or taken");
            at.note(FindingKind::Approximated, &[("name", theirs)], text, "");
        }
    }
}
