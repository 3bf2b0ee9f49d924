//! Configurations of other clusters, in our words.
//!
//! A pure reading of text: what it says becomes a [`Document`], and what that cannot say as it was is told in a
//! [`Report`]. *Architecture invariant*: nothing is dropped silently; every setting of the source is either in the
//! document or in the report.

mod draft;
mod ledger;
mod pacemaker;
mod proxmox;
mod report;
mod scenario;
mod xml;

use std::path::Path;

use crate::config::{Config, ConfigError, Document};
use ledger::{Ledger, Place};
pub use proxmox::ProxmoxFiles;
pub use report::{Finding, FindingKind, Report, Setting};

/// A configuration made from that of another cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// In our words. Names of ours may differ from theirs; the report says so.
    pub document: Document,
    /// What is missing in it, or means something else.
    pub report: Report,
    /// Our names of the nodes that are kept empty there: on standby, or in maintenance.
    pub drained: Vec<String>,
}

/// Reads the CIB of a Pacemaker cluster, as `cibadmin --query` writes it; `file` names it in errors and in the report.
///
/// # Errors
/// The text is no CIB, or a value in it cannot be what it is; with the line.
pub fn import_pacemaker(text: &str, file: &str) -> Result<Imported, ConfigError> {
    pacemaker::import(text, file)
}

/// Reads the HA files of a Proxmox VE cluster from a directory like `/etc/pve/ha`, and those beside it.
///
/// `resources.cfg`, `groups.cfg`, `rules.cfg` and `manager_status` in it, `datacenter.cfg` and `corosync.conf` in it or
/// in the directory above; whichever there are.
///
/// # Errors
/// A file cannot be read, or is malformed; with the line. There is none of them at all.
pub fn import_proxmox(dir: &Path) -> Result<Imported, ConfigError> {
    ProxmoxFiles::read(dir)?.import()
}

impl Imported {
    /// The document as a checked configuration.
    ///
    /// # Errors
    /// What it lacks, which the report names too.
    pub fn config(&self) -> Result<Config, ConfigError> {
        Config::new(self.document.clone())
    }

    /// The document as a cluster.toml, with what is left to do as comments at its head.
    pub fn to_toml(&self) -> String {
        let mut text = String::from("# Imported. Left to do, before it is of use:\n");
        let mut told = false;
        for finding in self.report.of_kind(FindingKind::Needed) {
            told = true;
            let line = finding.to_string();
            text.push_str(&format!("#   {}\n", line.replace(['\n', '\r'], " ")));
        }
        if !told {
            text = String::from("# Imported.\n");
        }
        let body =
            toml::to_string(&self.document).expect("what was imported can be written as TOML");
        text + "\n" + &body
    }

    /// The document as JSON, with the words of a cluster.toml.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(&self.document).expect("what was imported has text keys only")
    }

    /// The cluster as it was found, as a scenario for `quorate simulate`: what would become of it here?
    pub fn to_scenario(&self) -> String {
        let scenario = scenario::scenario(self);
        serde_json::to_string_pretty(&scenario).expect("what was imported has text keys only")
    }

    /// Puts the parts together: what the whole still lacks is told, too.
    fn new(mut draft: draft::Draft, ledger: Ledger) -> Self {
        let lost = draft.limit_voters();
        if lost > 0 {
            let text = format!("{lost} nodes have no vote: at most seven hold the log");
            let remedy = "choose who votes with nodes.NAME.voter";
            ledger.note(FindingKind::Approximated, Place::whole("nodes"), &[], text, remedy);
        }
        let drained = std::mem::take(&mut draft.drained);
        let document = draft.into_document();
        if let Err(error) = Config::new(document.clone()) {
            let place = Place::whole(error.place);
            ledger.note(FindingKind::Needed, place, &[], error.problem, error.remedy);
        }
        Self { document, report: ledger.into_report(), drained }
    }
}

#[cfg(test)]
mod tests;
