//! The log as the consensus library reads it: in memory, while the driver persists the same
//! records.

use std::cell::Cell;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError, util};

use super::mirror;
use crate::durable::{Durable, Record};
use crate::id::VoterId;
use crate::message::{Electorate, LogSnapshot};
use crate::plant::{self, Plant};

/// The log from its newest snapshot on, and a few entries before it for followers that lag a
/// little.
pub(super) struct Store {
    snapshot: Snapshot,
    /// The place before the first entry, and its term.
    compacted: (u64, u64),
    entries: Vec<Entry>,
    hard_state: HardState,
    identity: VoterId,
    /// Who takes part, and as of which place that was known when this process began.
    electorate: (u64, ConfState),
    /// Somebody was to be sent a snapshot that knows him, and this one does not.
    is_outdated: Cell<bool>,
}

impl Store {
    pub(super) fn new(identity: VoterId, durable: &Durable) -> Self {
        let snapshot = durable.snapshot.as_ref().map(mirror::to_snapshot).unwrap_or_default();
        let meta = snapshot.get_metadata();
        let compacted = (meta.index, meta.term);
        let mut entries: Vec<Entry> = durable.entries.iter().map(mirror::to_entry).collect();
        if plant::is(Plant::LogTailForgotten) {
            entries.pop();
        }
        let mut hard_state =
            HardState { term: meta.term, commit: meta.index, ..Default::default() };
        if let Some((term, vote, commit)) = durable.hard_state {
            let last = entries.last().map_or(meta.index, |entry| entry.index);
            hard_state.term = term.max(meta.term);
            hard_state.vote = vote.0;
            hard_state.commit = commit.clamp(meta.index, last.max(meta.index));
            if plant::is(Plant::VoteForgotten) {
                hard_state.vote = 0;
            }
            if plant::is(Plant::EpochForgotten) {
                hard_state.vote = 0;
                hard_state.term = entries.last().map_or(meta.term, |entry| entry.term);
            }
        }
        let last = entries.last().map_or(meta.index, |entry| entry.index);
        let newer = |(index, _): &&(u64, Electorate)| {
            *index > meta.index && *index <= last && !plant::is(Plant::ElectorateForgotten)
        };
        let electorate = match durable.electorate.as_ref().filter(newer) {
            Some((index, electorate)) => (*index, mirror::to_conf(electorate)),
            None => (meta.index, meta.get_conf_state().clone()),
        };
        hard_state.commit = hard_state.commit.max(electorate.0);
        let is_outdated = Cell::new(false);
        Self { snapshot, compacted, entries, hard_state, identity, electorate, is_outdated }
    }

    pub(super) fn set_hard_state(&mut self, hard_state: HardState) {
        self.hard_state = hard_state;
    }

    pub(super) fn hard_state(&self) -> &HardState {
        &self.hard_state
    }

    pub(super) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        let keep = first.index.saturating_sub(self.compacted.0 + 1);
        self.entries.truncate(usize::try_from(keep).expect("the log fits into memory"));
        self.entries.extend_from_slice(entries);
    }

    pub(super) fn restore(&mut self, snapshot: Snapshot) {
        let meta = snapshot.get_metadata();
        self.compacted = (meta.index, meta.term);
        self.entries.clear();
        self.hard_state.term = self.hard_state.term.max(meta.term);
        self.hard_state.commit = meta.index;
        self.snapshot = snapshot;
    }

    /// Takes `data` as the state at `index`, and drops the entries more than `keep` places before
    /// it.
    pub(super) fn compact(&mut self, index: u64, conf: ConfState, data: Vec<u8>, keep: u64) {
        let term = self.term(index).expect("an applied entry is in the log");
        let meta = self.snapshot.mut_metadata();
        meta.index = index;
        meta.term = term;
        meta.set_conf_state(conf);
        self.snapshot.data = data.into();
        self.is_outdated.set(false);
        let until = index.saturating_sub(keep);
        if until > self.compacted.0 {
            let term = self.term(until).expect("it is between the first entry and the last");
            let drop = usize::try_from(until - self.compacted.0).expect("the log fits into memory");
            self.entries.drain(..drop);
            self.compacted = (until, term);
        }
    }

    /// As of which place it was known who takes part, when this process began.
    pub(super) fn electorate_index(&self) -> u64 {
        self.electorate.0
    }

    /// Whether somebody waits for a newer snapshot.
    pub(super) fn is_outdated(&self) -> bool {
        self.is_outdated.get()
    }

    pub(super) fn snapshot_index(&self) -> u64 {
        self.snapshot.get_metadata().index
    }

    /// The newest snapshot, for the state machine to start from.
    pub(super) fn log_snapshot(&self) -> Option<LogSnapshot> {
        (!self.snapshot.is_empty()).then(|| mirror::from_snapshot(&self.snapshot))
    }

    /// Everything that must be on stable storage, as a whole new log.
    pub(super) fn records(&self) -> Vec<Record> {
        let hard = &self.hard_state;
        let dropped = plant::is(Plant::RewriteDropsEntries);
        let entries =
            self.entries.iter().filter(|entry| entry.index > self.snapshot_index() && !dropped);
        let vote = if plant::is(Plant::RewriteDropsVote) { 0 } else { hard.vote };
        Durable {
            identity: Some(self.identity),
            hard_state: Some((hard.term, VoterId(vote), hard.commit)),
            snapshot: self.log_snapshot(),
            entries: entries.filter_map(mirror::from_entry).collect(),
            electorate: None,
        }
        .records()
    }

    /// How many entries it holds, those before the snapshot included.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn last(&self) -> u64 {
        self.compacted.0 + self.entries.len() as u64
    }

    fn at(&self, index: u64) -> usize {
        usize::try_from(index - self.compacted.0 - 1).expect("the log fits into memory")
    }
}

impl Storage for Store {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.electorate.1.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.compacted.0 {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        if high > self.last() + 1 {
            return Err(raft::Error::Store(StorageError::Unavailable));
        }
        let mut entries = self.entries[self.at(low)..self.at(high)].to_vec();
        util::limit_size(&mut entries, max_size.into());
        Ok(entries)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.compacted.0 {
            return Ok(self.compacted.1);
        }
        if index == self.snapshot_index() {
            return Ok(self.snapshot.get_metadata().term);
        }
        if index < self.compacted.0 {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        if index > self.last() {
            return Err(raft::Error::Store(StorageError::Unavailable));
        }
        Ok(self.entries[self.at(index)].term)
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.compacted.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        let conf = self.snapshot.get_metadata().get_conf_state();
        let mut known = conf.voters.iter().chain(&conf.learners).chain(&conf.voters_outgoing);
        if self.snapshot_index() < request_index || !known.any(|&id| id == to) {
            self.is_outdated.set(true);
            return Err(raft::Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        }
        Ok(self.snapshot.clone())
    }
}
