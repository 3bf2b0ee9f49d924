//! What must survive a crash: what the driver is asked to persist, and what it gives back at the
//! next start.

use serde::{Deserialize, Serialize};

use crate::id::VoterId;
use crate::message::{Electorate, LogEntry, LogSnapshot};

/// One record of the local log. Later ones overrule earlier ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// The identity of this log: written first, never changed.
    Identity(VoterId),
    /// Consensus: epoch, vote and commit.
    HardState {
        /// The epoch.
        term: u64,
        /// For whom this node voted in it.
        vote: VoterId,
        /// What is known to be committed.
        commit: u64,
    },
    /// An entry; it overrules all entries at its place and after.
    Entry(LogEntry),
    /// The state up to a place; it overrules everything before.
    Snapshot(LogSnapshot),
    /// Who takes part as of a place, up to which all is committed.
    Electorate(u64, Electorate),
}

/// What a node remembers from before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durable {
    /// The identity of the log; none: there is no log yet.
    pub identity: Option<VoterId>,
    /// Epoch, vote, commit.
    pub hard_state: Option<(u64, VoterId, u64)>,
    /// The newest snapshot.
    pub snapshot: Option<LogSnapshot>,
    /// The entries after it.
    pub entries: Vec<LogEntry>,
    /// Who takes part as of a place after the snapshot; none: whoever does as of the snapshot.
    pub electorate: Option<(u64, Electorate)>,
}

impl Durable {
    /// Replays records in the order in which they were persisted.
    pub fn replay(records: impl IntoIterator<Item = Record>) -> Self {
        let mut durable = Self::default();
        for record in records {
            match record {
                Record::Identity(voter) => durable.identity = Some(voter),
                Record::HardState { term, vote, commit } => {
                    durable.hard_state = Some((term, vote, commit));
                }
                Record::Entry(entry) => {
                    durable.entries.retain(|old| old.index < entry.index);
                    durable.entries.push(entry);
                }
                Record::Snapshot(snapshot) => {
                    durable.entries.clear();
                    durable.electorate = None;
                    durable.snapshot = Some(snapshot);
                }
                Record::Electorate(index, electorate) => {
                    durable.electorate = Some((index, electorate));
                }
            }
        }
        durable
    }

    /// The records that give this state again: what a rewritten log holds.
    pub fn records(&self) -> Vec<Record> {
        let mut records: Vec<Record> = self.identity.map(Record::Identity).into_iter().collect();
        records.extend(self.snapshot.clone().map(Record::Snapshot));
        records.extend(self.entries.iter().cloned().map(Record::Entry));
        let electorate = self.electorate.clone();
        records.extend(electorate.map(|(index, who)| Record::Electorate(index, who)));
        records.extend(self.hard_state.map(|(term, vote, commit)| Record::HardState {
            term,
            vote,
            commit,
        }));
        records
    }
}
