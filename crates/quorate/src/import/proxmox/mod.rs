//! The HA files of a Proxmox VE cluster.
//!
//! Source: pve-docs, ha-manager.adoc, datacenter.cfg.5-opts.adoc, ha-rules-node-affinity-opts.adoc.

mod corosync;
mod datacenter;
mod places;
mod resources;
mod rules;
mod sections;
mod status;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use quorate_core::id::GroupId;

use super::draft::{Draft, Names};
use super::ledger::Ledger;
use super::report::FindingKind;
use super::{Imported, Place};
use crate::config::{ConfigError, Node};

/// The longest file, in bytes.
const FILE_MAX: u64 = 16 << 20;
/// Where a node of ours listens, if nothing says otherwise.
const PORT: u16 = 7400;

/// The files, as far as there are any; each with the name that errors and the report call it.
#[derive(Clone, Debug, Default)]
pub struct ProxmoxFiles {
    /// `ha/resources.cfg`.
    pub resources: Option<(String, String)>,
    /// `ha/groups.cfg`, up to Proxmox VE 8.
    pub groups: Option<(String, String)>,
    /// `ha/rules.cfg`, from Proxmox VE 9 on.
    pub rules: Option<(String, String)>,
    /// `ha/manager_status`.
    pub manager_status: Option<(String, String)>,
    /// `datacenter.cfg`.
    pub datacenter: Option<(String, String)>,
    /// `corosync.conf`.
    pub corosync: Option<(String, String)>,
}

impl ProxmoxFiles {
    /// Reads those that there are in `dir`, a directory like `/etc/pve/ha`, and above it.
    ///
    /// # Errors
    /// One cannot be read, or is too long, or no UTF-8; or there is none.
    pub fn read(dir: &Path) -> Result<Self, ConfigError> {
        let above = dir.join("..");
        let either = |name: &str| match read(&dir.join(name))? {
            Some(found) => Ok(Some(found)),
            None => read(&above.join(name)),
        };
        let files = Self {
            resources: read(&dir.join("resources.cfg"))?,
            groups: read(&dir.join("groups.cfg"))?,
            rules: read(&dir.join("rules.cfg"))?,
            manager_status: read(&dir.join("manager_status"))?,
            datacenter: either("datacenter.cfg")?,
            corosync: either("corosync.conf")?,
        };
        if files.resources.is_none() {
            let name = dir.join("resources.cfg").display().to_string();
            let remedy = "name a directory like /etc/pve/ha";
            return Err(unreadable(&name, "there is no such file".to_owned(), remedy));
        }
        Ok(files)
    }

    /// Turns them into a configuration of ours.
    ///
    /// # Errors
    /// One is malformed; with the line.
    pub fn import(&self) -> Result<Imported, ConfigError> {
        let all = [
            &self.resources,
            &self.groups,
            &self.rules,
            &self.manager_status,
            &self.datacenter,
            &self.corosync,
        ];
        let texts: Vec<&str> = all.into_iter().flatten().map(|(_, text)| text.as_str()).collect();
        let mut importer = Importer { draft: Draft::of_source(&texts), ..Importer::default() };
        if let Some((name, text)) = &self.corosync {
            importer.corosync(name, text)?;
        }
        let status = match &self.manager_status {
            Some((name, text)) => importer.manager_status(name, text)?,
            None => status::Status::default(),
        };
        if let Some((name, text)) = &self.datacenter {
            importer.datacenter(name, text)?;
        }
        // Whoever says "only there" says so of every node, also of those that are named later.
        for (name, text) in self.groups.iter().chain(&self.rules) {
            importer.meet_nodes(name, text)?;
        }
        let groups = match &self.groups {
            Some((name, text)) => importer.node_groups(name, text)?,
            None => BTreeMap::new(),
        };
        if let Some((name, text)) = &self.resources {
            importer.resources(name, text, &groups, &status)?;
        }
        if let Some((name, text)) = &self.rules {
            importer.rules(name, text)?;
        }
        importer.finish();
        Ok(Imported::new(importer.draft, importer.ledger))
    }
}

/// What has been read so far.
#[derive(Debug, Default)]
struct Importer {
    draft: Draft,
    ledger: Ledger,
    /// Our names of nodes, by theirs.
    node_names: BTreeMap<String, String>,
    names_of_nodes: Names,
    names_of_groups: Names,
    /// Our groups by the name of the resource, as in `vm:100`; none: it was not imported.
    groups: BTreeMap<String, Option<GroupId>>,
    /// Load counts, by the place that says so.
    weighs: Option<Place>,
}

impl Importer {
    /// Our name for a node; it is added if it was not known.
    fn node(&mut self, place: &Place, theirs: &str) -> String {
        if let Some(ours) = self.node_names.get(theirs) {
            return ours.clone();
        }
        self.add_node(place, Node::new(theirs, &[&format!("{theirs}:{PORT}")]), theirs);
        self.ledger.note(
            FindingKind::Needed,
            place.clone(),
            &[("node", theirs)],
            format!("where it listens is not in the files; {theirs}:{PORT} is a guess"),
            "write its address on each network in nodes.NAME.addresses, or give corosync.conf, too",
        );
        self.node_names[theirs].clone()
    }

    fn add_node(&mut self, place: &Place, mut node: Node, theirs: &str) {
        let ours = self.names_of_nodes.take(theirs);
        self.tell_renamed(place, theirs, &ours);
        node.name.clone_from(&ours);
        self.node_names.insert(theirs.to_owned(), ours);
        self.draft.nodes.push(node);
    }

    fn tell_renamed(&self, place: &Place, theirs: &str, ours: &str) {
        if theirs != ours {
            let text = format!("it is {ours:?} here: other names are not valid, or taken");
            let settings = [("name", theirs)];
            self.ledger.note(FindingKind::Approximated, place.clone(), &settings, text, "");
        }
    }

    fn finish(&mut self) {
        if let Some(place) = self.weighs.take() {
            let text = "how much nodes have and guests need is not in these files";
            let remedy = "write nodes.NAME.capacity, and load for each group";
            self.ledger.note(FindingKind::Needed, place, &[], text, remedy);
        }
        let whole = |item: &str, text: &str, remedy: &str| {
            let place = Place::whole(item);
            self.ledger.note(FindingKind::Approximated, place, &[], text, remedy);
        };
        if !self.draft.groups.is_empty() {
            let text = "Proxmox VE counts failed starts until one succeeds, and then waits for a human; here \
                        they count within restart_period_s and failover_period_s, and what has failed is \
                        tried again after retry_period_s";
            whole("max_restart, max_relocate", text, "");
        }
        let text = "the identity is drawn from the source";
        whole("cluster.id", text, "draw another one if you make two clusters of one source");
    }
}

fn read(path: &Path) -> Result<Option<(String, String)>, ConfigError> {
    let name = path.display().to_string();
    let wrong = |problem: String| unreadable(&name, problem, "see that it is the file you mean");
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(format!("cannot be read: {error}"))),
    };
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| wrong(format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(wrong(format!("it has more than {FILE_MAX} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        wrong(format!("byte {} is not UTF-8", error.utf8_error().valid_up_to()))
    })?;
    Ok(Some((name, text)))
}

fn unreadable(file: &str, problem: String, remedy: &str) -> ConfigError {
    ConfigError {
        file: Some(file.to_owned()),
        position: None,
        place: String::new(),
        problem,
        remedy: remedy.to_owned(),
    }
}
