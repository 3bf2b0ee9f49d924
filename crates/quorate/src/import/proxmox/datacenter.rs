//! `datacenter.cfg`: what of it is about high availability.

use quorate_core::config::{Balance, OnShutdown};

use super::Importer;
use super::sections::{Property, flat};
use crate::config::ConfigError;
use crate::import::report::FindingKind::{Approximated, NoCounterpart, NotNeeded};

impl Importer {
    pub(super) fn datacenter(&mut self, file: &str, text: &str) -> Result<(), ConfigError> {
        for property in flat(file, text)? {
            match property.key {
                "crs" => self.scheduling(&property)?,
                "ha" => self.shutdown_policy(&property)?,
                "fencing" if property.value == "watchdog" => {
                    let text = "a node that may not act stops what it runs, by its lease; a watchdog may back that up";
                    property.note(&self.ledger, NotNeeded, text, "");
                }
                "fencing" => {
                    let text = "fence devices are not driven";
                    property.note(&self.ledger, NoCounterpart, text, "");
                }
                "max_workers" | "migration" | "bwlimit" => {
                    let text = "how guests are moved is up to their driver";
                    property.note(&self.ledger, NoCounterpart, text, "");
                }
                _ => {
                    property.note(&self.ledger, NotNeeded, "it is not about high availability", "")
                }
            }
        }
        Ok(())
    }

    fn scheduling(&mut self, property: &Property<'_>) -> Result<(), ConfigError> {
        for item in property.list("ha") {
            match item.key {
                "ha" => {
                    self.draft.policy.balance = match item.value {
                        "basic" => Balance::Groups,
                        "static" | "dynamic" => {
                            self.weighs = Some(item.place.clone());
                            Balance::Load
                        }
                        _ => return Err(item.wrong("is not basic, static or dynamic")),
                    };
                }
                "ha-rebalance-on-start" => self.draft.policy.balance_on_start = item.flag()?,
                "ha-auto-rebalance" => self.draft.policy.rebalance = item.flag()?,
                _ => {
                    let text = "when a move is worth it is not configured";
                    item.note(&self.ledger, NoCounterpart, text, "");
                }
            }
        }
        Ok(())
    }

    fn shutdown_policy(&mut self, property: &Property<'_>) -> Result<(), ConfigError> {
        // Where nothing is said of it, it is conditional there.
        self.draft.policy.on_shutdown = OnShutdown::Conditional;
        for item in property.list("shutdown_policy") {
            let (kind, text) = match (item.key, item.value) {
                ("shutdown_policy", "migrate") => {
                    self.draft.policy.on_shutdown = OnShutdown::Move;
                    let text = "on_shutdown = \"move\": what has moved away returns only where failback says so";
                    (Approximated, text)
                }
                ("shutdown_policy", "failover") => {
                    self.draft.policy.on_shutdown = OnShutdown::Move;
                    (
                        Approximated,
                        "on_shutdown = \"move\": it moves away first, as it runs where it can",
                    )
                }
                ("shutdown_policy", "freeze") => {
                    self.draft.policy.on_shutdown = OnShutdown::Keep;
                    continue;
                }
                ("shutdown_policy", "conditional") => continue,
                ("shutdown_policy", _) => return Err(item.wrong("is not known")),
                _ => (NoCounterpart, "there is nothing like it, or it is not known"),
            };
            item.note(&self.ledger, kind, text, "");
        }
        Ok(())
    }
}
