//! I3 and I4: what a voter promises stands on its disk by then, and stays there. For each identity of a log there is
//! one vote in an epoch; whoever starts again remembers it, and what it said it had appended.

use std::collections::BTreeMap;

use quorate_core::durable::Record;
use quorate_core::id::{NodeId, VoterId};
use quorate_core::message::ConsensusMessage;

use super::{Checker, Fact, View};
use crate::spoken::words;

#[derive(Default)]
pub(super) struct Promise {
    votes: BTreeMap<(VoterId, u64), VoterId>,
    /// The newest epoch in which each identity has promised something, and how much of the log it said to have then.
    said: BTreeMap<VoterId, (u64, u64)>,
    /// The newest epoch and vote that each node's log holds, as far as its engine has asked to persist it.
    logs: BTreeMap<NodeId, (u64, VoterId)>,
}

impl Checker for Promise {
    fn name(&self) -> &'static str {
        "Promise"
    }

    fn judge(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match *fact {
            Fact::Started { node, records, .. } => {
                self.logs.remove(&node);
                self.take(node, records)?;
                self.remembers(node, records)
            }
            Fact::Persists { node, records } => self.take(node, records),
            Fact::Promises { node, message } => self.promises(view, node, message),
            Fact::Told { .. }
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

impl Promise {
    /// A log never says less than before.
    fn take(&mut self, node: NodeId, records: &[Record]) -> Result<(), String> {
        for record in records {
            let Record::HardState { term, vote, .. } = *record else { continue };
            let (before, given) = self.logs.insert(node, (term, vote)).unwrap_or_default();
            if term < before {
                return Err(format!("the log of {node} goes back from epoch {before} to {term}"));
            }
            if term == before && given != VoterId::default() && vote != given {
                return Err(format!(
                    "the log of {node} takes back its vote for {} in epoch {term}: {}",
                    words(&given),
                    words(&vote)
                ));
            }
        }
        Ok(())
    }

    /// What was promised under this log's identity is still in it.
    fn remembers(&self, node: NodeId, records: &[Record]) -> Result<(), String> {
        let (mut identity, mut epoch, mut vote, mut last) = (None, 0, VoterId::default(), 0);
        for record in records {
            match record {
                Record::Identity(voter) => identity = Some(*voter),
                Record::HardState { term, vote: given, .. } => (epoch, vote) = (*term, *given),
                Record::Entry(entry) => last = entry.index,
                Record::Snapshot(snapshot) => last = snapshot.index,
                Record::Electorate(..) => {}
            }
        }
        let Some(identity) = identity else { return Ok(()) };
        let Some(&(promised, entries)) = self.said.get(&identity) else { return Ok(()) };
        let given = self.votes.get(&(identity, epoch));
        if epoch < promised
            || epoch == promised && last < entries
            || given.is_some_and(|&given| given != vote)
        {
            return Err(format!(
                "{node} starts with epoch {epoch}, a vote for {} and {last} entries, and has promised epoch \
                 {promised}, a vote for {} and {entries} entries",
                words(&vote),
                words(&given)
            ));
        }
        Ok(())
    }

    fn promises(
        &mut self,
        view: &View<'_>,
        node: NodeId,
        message: &ConsensusMessage,
    ) -> Result<(), String> {
        let ConsensusMessage { kind, from, to, term, index, .. } = *message;
        let candidate = match kind {
            ConsensusMessage::ASKS_FOR_VOTE => Some(from),
            ConsensusMessage::VOTES => Some(to),
            _ => None,
        };
        let entries = if candidate.is_none() { index } else { 0 };
        let (epoch, said) = self.said.entry(from).or_default();
        if term > *epoch {
            (*epoch, *said) = (term, 0);
        }
        *said = entries.max(*said);
        if let Some(candidate) = candidate {
            let first = *self.votes.entry((from, term)).or_insert(candidate);
            if first != candidate {
                return Err(format!(
                    "{node} votes for {} and for {} in epoch {term}",
                    words(&first),
                    words(&candidate)
                ));
            }
        }
        // The disk may be ahead of what is said: then it tells nothing of this promise any more.
        let disk = &view.hosts[&node].disk;
        let (written, vote) = disk.vote().unwrap_or_default();
        let stands = written > term
            || written == term
                && candidate.is_none_or(|candidate| candidate == vote)
                && disk.last_entry() >= entries;
        if stands {
            return Ok(());
        }
        Err(format!(
            "{node} promises epoch {term}, a vote for {} and {entries} entries; its disk holds epoch {written}, a \
             vote for {} and {} entries",
            words(&candidate),
            words(&vote),
            disk.last_entry()
        ))
    }
}
