//! I3 and I4: what one node holds committed at a place of the log, every node holds there, for ever.

use std::collections::BTreeMap;

use quorate_core::durable::Record;
use quorate_core::id::NodeId;

use super::{Checker, Fact, View};
use crate::digest::{digest, digest_bytes};

#[derive(Default)]
pub(super) struct OneHistory {
    committed: BTreeMap<u64, (u64, NodeId)>,
    snapshots: BTreeMap<u64, (u64, NodeId)>,
    logs: BTreeMap<NodeId, Log>,
}

/// A node's log, as far as its engine has asked to persist it.
#[derive(Default)]
struct Log {
    entries: BTreeMap<u64, u64>,
    commit: u64,
    compared: u64,
}

impl Checker for OneHistory {
    fn name(&self) -> &'static str {
        "OneHistory"
    }

    fn judge(&mut self, _: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match *fact {
            Fact::Started { node, records, .. } => {
                self.logs.insert(node, Log::default());
                self.take(node, records)
            }
            Fact::Persists { node, records } => self.take(node, records),
            Fact::Told { .. }
            | Fact::Promises { .. }
            | Fact::Starts { .. }
            | Fact::Began { .. }
            | Fact::Ended { .. }
            | Fact::Resumed { .. }
            | Fact::Wrote { .. }
            | Fact::Access { .. }
            | Fact::Passed
            | Fact::Applied { .. }
            | Fact::Asked { .. }
            | Fact::Leaves { .. }
            | Fact::Unconverged { .. } => Ok(()),
        }
    }
}

impl OneHistory {
    fn take(&mut self, node: NodeId, records: &[Record]) -> Result<(), String> {
        let log = self.logs.entry(node).or_default();
        for record in records {
            match record {
                Record::Identity(_) | Record::Electorate(..) => {}
                Record::HardState { commit, .. } => log.commit = log.commit.max(*commit),
                Record::Entry(entry) => {
                    drop(log.entries.split_off(&entry.index));
                    log.entries.insert(entry.index, digest(entry));
                    log.compared = log.compared.min(entry.index.saturating_sub(1));
                }
                Record::Snapshot(snapshot) => {
                    let data = digest_bytes(&snapshot.data);
                    agree(&mut self.snapshots, snapshot.index, data, node, "state")?;
                    log.entries.clear();
                    log.commit = log.commit.max(snapshot.index);
                    log.compared = log.compared.max(snapshot.index);
                }
            }
        }
        while log.compared < log.commit {
            let index = log.compared + 1;
            // An entry may be known to be committed before the node has it.
            let Some(&entry) = log.entries.get(&index) else { break };
            agree(&mut self.committed, index, entry, node, "entry")?;
            log.compared = index;
        }
        Ok(())
    }
}

fn agree(
    all: &mut BTreeMap<u64, (u64, NodeId)>,
    index: u64,
    digest: u64,
    node: NodeId,
    what: &str,
) -> Result<(), String> {
    let (first, holder) = *all.entry(index).or_insert((digest, node));
    if first == digest {
        return Ok(());
    }
    Err(format!("{holder} and {node} hold different things committed: the {what} at {index}"))
}
