//! `manager_status`: who there is, and where each guest is.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Importer;
use crate::config::ConfigError;
use crate::import::Place;
use crate::import::report::FindingKind::{Needed, NoCounterpart, NotNeeded};

/// What is found of guests.
#[derive(Debug, Default)]
pub(super) struct Status {
    /// Our name of the node where each is.
    pub(super) owners: BTreeMap<String, String>,
}

impl Importer {
    pub(super) fn manager_status(&mut self, file: &str, text: &str) -> Result<Status, ConfigError> {
        let whole = Place { file: file.to_owned(), line: 1, item: "manager_status".to_owned() };
        let mut status = Status::default();
        if text.trim().is_empty() {
            return Ok(status);
        }
        let value: Value = serde_json::from_str(text).map_err(|error| {
            let place = Place { line: error.line(), ..whole.clone() };
            place.wrong(error.to_string(), "give the file as it is, or take it away")
        })?;
        let Value::Object(parts) = value else {
            return Err(
                whole.wrong("it is no JSON object", "give the file as it is, or take it away")
            );
        };
        for (key, part) in &parts {
            match (key.as_str(), part) {
                ("node_status", Value::Object(nodes)) => {
                    for (name, state) in nodes {
                        self.seen(&whole, name, state);
                    }
                }
                ("service_status", Value::Object(services)) => {
                    for (sid, service) in services {
                        self.placed(&whole, sid, service, &mut status);
                    }
                }
                ("master_node" | "timestamp", _) => {
                    let value = part.to_string();
                    let text = "who coordinates is found out anew";
                    self.ledger.note(NotNeeded, whole.clone(), &[(key, &value)], text, "");
                }
                _ => {
                    let value = part.to_string();
                    let text = "a state, not configuration";
                    self.ledger.note(NoCounterpart, whole.clone(), &[(key, &value)], text, "");
                }
            }
        }
        Ok(status)
    }

    fn seen(&mut self, whole: &Place, name: &str, state: &Value) {
        self.node(whole, name);
        let state = state.as_str().unwrap_or_default();
        let settings = [("node", name), ("state", state)];
        match state {
            "online" => {}
            "maintenance" => {
                let text = "this is a state of a node, not configuration";
                let remedy = format!("run `quorate drain {name}` once the cluster runs");
                self.ledger.note(Needed, whole.clone(), &settings, text, remedy);
                self.draft.drained.extend(self.node_names.get(name).cloned());
            }
            _ => {
                let text = "how a node is, is found out anew";
                self.ledger.note(NotNeeded, whole.clone(), &settings, text, "");
            }
        }
    }

    fn placed(&mut self, whole: &Place, sid: &str, service: &Value, status: &mut Status) {
        let Value::Object(words) = service else { return };
        if let Some(node) = words.get("node").and_then(Value::as_str) {
            let ours = self.node(whole, node);
            status.owners.insert(sid.to_owned(), ours);
        }
        let rest = words.iter().filter(|(key, _)| *key != "node");
        let rest: Vec<(String, String)> =
            rest.map(|(key, value)| (format!("{sid} {key}"), value.to_string())).collect();
        if !rest.is_empty() {
            let rest: Vec<(&str, &str)> =
                rest.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            let text = "how a guest is, is found out anew";
            self.ledger.note(NotNeeded, whole.clone(), &rest, text, "");
        }
    }
}
