//! Our own words for what the consensus library says, and back.
//!
//! *Architecture Invariant*: the library's own encoding never leaves this module. It decodes only
//! bytes that this process encoded itself (RUSTSEC-2024-0437 needs a hostile byte stream).

use protobuf::Message as _;
use raft::eraftpb::{
    ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState, Entry, EntryType, Message,
    MessageType, Snapshot,
};

use crate::id::VoterId;
use crate::message::{ConsensusMessage, Electorate, EntryBody, LogEntry, LogSnapshot};

const KINDS: [MessageType; 10] = [
    MessageType::MsgAppend,
    MessageType::MsgAppendResponse,
    MessageType::MsgRequestVote,
    MessageType::MsgRequestVoteResponse,
    MessageType::MsgSnapshot,
    MessageType::MsgHeartbeat,
    MessageType::MsgHeartbeatResponse,
    MessageType::MsgTimeoutNow,
    MessageType::MsgRequestPreVote,
    MessageType::MsgRequestPreVoteResponse,
];

/// None: a message that is never sent to a peer.
pub(super) fn from_message(message: &Message) -> Option<ConsensusMessage> {
    let kind = KINDS.iter().position(|&kind| kind == message.get_msg_type())?;
    Some(ConsensusMessage {
        kind: u8::try_from(kind).expect("the table is short"),
        to: VoterId(message.to),
        from: VoterId(message.from),
        term: message.term,
        log_term: message.log_term,
        index: message.index,
        entries: message.entries.iter().filter_map(from_entry).collect(),
        commit: message.commit,
        commit_term: message.commit_term,
        snapshot: message.has_snapshot().then(|| from_snapshot(message.get_snapshot())),
        request_snapshot: message.request_snapshot,
        reject: message.reject,
        reject_hint: message.reject_hint,
        context: message.context.to_vec(),
        priority: message.priority,
    })
}

/// None: no such kind of message.
pub(super) fn to_message(mirror: &ConsensusMessage) -> Option<Message> {
    let mut message = Message::default();
    message.set_msg_type(*KINDS.get(usize::from(mirror.kind))?);
    message.to = mirror.to.0;
    message.from = mirror.from.0;
    message.term = mirror.term;
    message.log_term = mirror.log_term;
    message.index = mirror.index;
    message.set_entries(mirror.entries.iter().map(to_entry).collect());
    message.commit = mirror.commit;
    message.commit_term = mirror.commit_term;
    if let Some(snapshot) = &mirror.snapshot {
        message.set_snapshot(to_snapshot(snapshot));
    }
    message.request_snapshot = mirror.request_snapshot;
    message.reject = mirror.reject;
    message.reject_hint = mirror.reject_hint;
    message.context = mirror.context.clone().into();
    message.priority = mirror.priority;
    Some(message)
}

/// None: an entry that this version never writes.
pub(super) fn from_entry(entry: &Entry) -> Option<LogEntry> {
    let body = match entry.get_entry_type() {
        EntryType::EntryNormal => EntryBody::Changes(entry.data.to_vec()),
        EntryType::EntryConfChangeV2 => from_voters(&voters_of(entry)?),
        EntryType::EntryConfChange => return None,
    };
    Some(LogEntry { index: entry.index, term: entry.term, body })
}

pub(super) fn to_entry(mirror: &LogEntry) -> Entry {
    let mut entry = Entry { index: mirror.index, term: mirror.term, ..Default::default() };
    match &mirror.body {
        EntryBody::Changes(data) => entry.data = data.clone().into(),
        EntryBody::Voters { .. } => {
            entry.set_entry_type(EntryType::EntryConfChangeV2);
            let change = to_voters(&mirror.body).expect("it is a change of voters");
            entry.data = change.write_to_bytes().expect("our own message encodes").into();
        }
    }
    entry
}

/// The change of voters in an entry of that type.
pub(super) fn voters_of(entry: &Entry) -> Option<ConfChangeV2> {
    let mut change = ConfChangeV2::default();
    change.merge_from_bytes(&entry.data).ok()?;
    Some(change)
}

fn from_voters(change: &ConfChangeV2) -> EntryBody {
    let of = |kind: ConfChangeType| {
        let found = change.changes.iter().filter(|single| single.get_change_type() == kind);
        found.map(|single| VoterId(single.node_id)).collect()
    };
    EntryBody::Voters {
        add: of(ConfChangeType::AddNode),
        learn: of(ConfChangeType::AddLearnerNode),
        remove: of(ConfChangeType::RemoveNode),
        changes: change.context.to_vec(),
    }
}

/// A single change is in force as soon as it is applied; several at once take effect by way of a joint majority, which
/// ends by itself. None: not a change of voters.
pub(super) fn to_voters(body: &EntryBody) -> Option<ConfChangeV2> {
    let EntryBody::Voters { add, learn, remove, changes } = body else { return None };
    let mut change = ConfChangeV2::default();
    let kinds = [
        (add, ConfChangeType::AddNode),
        (learn, ConfChangeType::AddLearnerNode),
        (remove, ConfChangeType::RemoveNode),
    ];
    for (voters, kind) in kinds {
        for voter in voters {
            let mut single = ConfChangeSingle::default();
            single.set_change_type(kind);
            single.node_id = voter.0;
            change.mut_changes().push(single);
        }
    }
    change.context = changes.clone().into();
    Some(change)
}

pub(super) fn from_snapshot(snapshot: &Snapshot) -> LogSnapshot {
    let meta = snapshot.get_metadata();
    LogSnapshot {
        index: meta.index,
        term: meta.term,
        electorate: from_conf(meta.get_conf_state()),
        data: snapshot.data.to_vec(),
    }
}

pub(super) fn from_conf(conf: &ConfState) -> Electorate {
    let voters = |ids: &[u64]| ids.iter().copied().map(VoterId).collect();
    Electorate {
        voters: voters(&conf.voters),
        voters_outgoing: voters(&conf.voters_outgoing),
        learners: voters(&conf.learners),
        learners_next: voters(&conf.learners_next),
        auto_leave: conf.auto_leave,
    }
}

pub(super) fn to_conf(electorate: &Electorate) -> ConfState {
    let ids = |voters: &[VoterId]| voters.iter().map(|voter| voter.0).collect::<Vec<_>>();
    let mut conf = ConfState::default();
    conf.set_voters(ids(&electorate.voters));
    conf.set_voters_outgoing(ids(&electorate.voters_outgoing));
    conf.set_learners(ids(&electorate.learners));
    conf.set_learners_next(ids(&electorate.learners_next));
    conf.auto_leave = electorate.auto_leave;
    conf
}

pub(super) fn to_snapshot(mirror: &LogSnapshot) -> Snapshot {
    let mut snapshot = Snapshot { data: mirror.data.clone().into(), ..Default::default() };
    let meta = snapshot.mut_metadata();
    meta.set_conf_state(to_conf(&mirror.electorate));
    meta.index = mirror.index;
    meta.term = mirror.term;
    snapshot
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_promises_something_has_the_number_that_our_words_give_it() {
        let kinds = [
            (ConsensusMessage::APPENDED, MessageType::MsgAppendResponse),
            (ConsensusMessage::ASKS_FOR_VOTE, MessageType::MsgRequestVote),
            (ConsensusMessage::VOTES, MessageType::MsgRequestVoteResponse),
            (ConsensusMessage::APPENDS, MessageType::MsgAppend),
            (ConsensusMessage::BRINGS_SNAPSHOT, MessageType::MsgSnapshot),
            (ConsensusMessage::BEATS, MessageType::MsgHeartbeat),
            (ConsensusMessage::ASKS_BEFORE_VOTE, MessageType::MsgRequestPreVote),
        ];
        for (number, kind) in kinds {
            assert_eq!(KINDS[usize::from(number)], kind);
        }
    }
}
