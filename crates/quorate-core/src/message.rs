//! What nodes say to each other. The transport has proven who speaks; what is said may still be
//! stale or wrong.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::change::{Change, Disarm, Failback};
use crate::config::{Amounts, ClusterParts, NewConfig, NewGroup, NewNode};
use crate::id::{Incarnation, NodeId, RequestId, VoterId};

/// A heartbeat, as a datagram on one path. Small, idempotent, the newest counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// The sender's incarnation.
    pub incarnation: Incarnation,
    /// Counts the sender's beats; the same on every path.
    pub sequence: u64,
    /// When it was sent, on the sender's clock, in nanoseconds.
    pub sent: u64,
    /// The receiver's newest beat that the sender has accepted and acknowledges: its boot and
    /// `sent`.
    pub acknowledged: Option<(u64, u64)>,
    /// The receiver's newest beat that the witness acknowledges, by the word of the coordinator, who sends this: its
    /// boot and `sent`.
    pub witnessed: Option<(u64, u64)>,
    /// How much of the log the sender has applied.
    pub applied: u64,
    /// Whether the sender may act: it has a lease.
    pub lease: bool,
    /// How long ago, in microseconds, the sender last heard each other node.
    pub heard: Ages,
    /// How long ago, in microseconds, the sender last acknowledged a beat of each node that it
    /// acknowledges no more.
    pub withheld: Ages,
    /// Whether the sender wants an answer at once.
    pub probe: bool,
}

/// Nodes, each with an age in microseconds. A clone is the same list: the beats of one round share theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ages(Arc<[(NodeId, u64)]>);

impl FromIterator<(NodeId, u64)> for Ages {
    fn from_iter<I: IntoIterator<Item = (NodeId, u64)>>(ages: I) -> Self {
        Self(ages.into_iter().collect())
    }
}

impl Deref for Ages {
    type Target = [(NodeId, u64)];
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Ages {
    /// Whether both are one list, not merely equal.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Serialize for Ages {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_ref().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Ages {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Vec::deserialize(deserializer)?.into()))
    }
}

/// Who a node is, said first on every stream and again while it is not admitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The identity of its log.
    pub voter: VoterId,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// The digest of the configuration it was started with.
    pub digest: u64,
    /// The founders of the cluster that its log belongs to; none: its log is empty.
    pub founders: Option<Vec<VoterId>>,
    /// Nothing of an earlier incarnation runs: it asks to be admitted.
    pub ready: bool,
}

/// A message on a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// See [`Hello`].
    Hello(Hello),
    /// Consensus.
    Consensus(Box<ConsensusMessage>),
    /// Please commit this; repeated until it is seen in the database.
    Propose(Vec<Change>),
    /// A host's command, for the coordinator.
    Request {
        /// Chosen by the asking node.
        request: RequestId,
        /// What is asked for.
        command: Command,
    },
    /// The coordinator's answer.
    Reply {
        /// The request it answers.
        request: RequestId,
        /// Accepted, or why not.
        result: Result<(), Refusal>,
    },
    /// To be passed on: the sender has no path of its own to `to`.
    Relay {
        /// Who speaks.
        from: NodeId,
        /// Who is meant.
        to: NodeId,
        /// What is said; never another `Relay`.
        #[serde(deserialize_with = "spoken")]
        message: Box<Message>,
    },
    /// The configuration in force, and its version, to a node whose log is empty: its file may name too few nodes.
    InForce(u64, Box<ClusterParts>),
}

/// What may be relayed: the decoder goes no deeper, however many relays somebody puts into one another.
#[derive(Deserialize)]
enum Spoken {
    Hello(Hello),
    Consensus(Box<ConsensusMessage>),
    Propose(Vec<Change>),
    Request { request: RequestId, command: Command },
    Reply { request: RequestId, result: Result<(), Refusal> },
    Relay,
    InForce(u64, Box<ClusterParts>),
}

fn spoken<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<Message>, D::Error> {
    Ok(Box::new(match Spoken::deserialize(deserializer)? {
        Spoken::Hello(hello) => Message::Hello(hello),
        Spoken::Consensus(message) => Message::Consensus(message),
        Spoken::Propose(changes) => Message::Propose(changes),
        Spoken::Request { request, command } => Message::Request { request, command },
        Spoken::Reply { request, result } => Message::Reply { request, result },
        Spoken::Relay => return Err(D::Error::custom("a relay in a relay")),
        Spoken::InForce(version, parts) => Message::InForce(version, parts),
    }))
}

/// What a host may ask of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Move a group: saved, handed over, resumed where it can be; else stopped and started. One that runs nowhere has
    /// another node from there on, on which it starts next.
    Move {
        /// The group's name.
        group: String,
        /// The node's name; none: placement chooses.
        to: Option<String>,
        /// Stopped and started afresh, though it could be handed over as it runs.
        restart: bool,
    },
    /// Bring a group online.
    Online {
        /// The group's name.
        group: String,
    },
    /// Take a group offline and keep it there.
    Offline {
        /// The group's name.
        group: String,
    },
    /// Take a group offline, keep it there, and leave it with its node whatever becomes of that.
    Disable {
        /// The group's name.
        group: String,
    },
    /// Move everything off a node and let nothing start there.
    Drain {
        /// The node's name.
        node: String,
    },
    /// Move everything off a node, stop there what nowhere else can run, and let nothing start there.
    ///
    /// Source: Pacemaker, standby.
    Empty {
        /// The node's name.
        node: String,
    },
    /// Let nothing new start on a node; what runs stays.
    Pause {
        /// The node's name.
        node: String,
    },
    /// End a pause or a drain.
    Resume {
        /// The node's name.
        node: String,
        /// What returns to it. The end of a quarantine, too, is a resume.
        failback: Failback,
    },
    /// Ends a pause or a drain of a node, and brings back what was drained; a quarantine goes on.
    EndDrain {
        /// The node's name.
        node: String,
    },
    /// Let no group move by itself for the sake of a rule or a preference, or let them again. While moves are held, a
    /// group that starts does so on the node that has it, whatever its scores say.
    HoldMoves {
        /// Whether they are held.
        held: bool,
    },
    /// Leave a group alone, running or not, until it is to be online or offline again.
    Unmanage {
        /// The group's name.
        group: String,
    },
    /// Start, stop and move nothing until `Arm`. Nodes are still fenced.
    ///
    /// Source: Proxmox VE, disarm-ha.
    Disarm {
        /// What is said of the groups meanwhile.
        mode: Disarm,
        /// For how long: then the cluster arms itself. Said again, it counts from then on. None: until `Arm`.
        ttl: Option<Duration>,
    },
    /// Manage everything again, as it is found.
    Arm,
    /// A group has failed so often on a node, as somebody knows who has looked after it so far.
    CountFailures {
        /// The group's name.
        group: String,
        /// The node's name.
        node: String,
        /// How often.
        count: u32,
    },
    /// How much a group loads its node, as measured.
    Load {
        /// The group's name.
        group: String,
        /// How much of each thing.
        load: Amounts,
    },
    /// Fence a node, though it is heard: it gets nothing more, and what it runs starts elsewhere once it is proven
    /// harmless.
    ///
    /// Source: Pacemaker, an unclean node that is online.
    Fence {
        /// The node's name.
        node: String,
        /// Who wants it, and why: it stands in the recording.
        reason: String,
    },
    /// A human's word that a node which is down runs nothing and writes nothing.
    ConfirmFenced {
        /// The node's name.
        node: String,
        /// Who says so, and why.
        reason: String,
    },
    /// Let a node coordinate no more, until its next boot, or let it again. One that does hands over to another that
    /// may; where there is no other, it goes on.
    LetCoordinate {
        /// The node's name.
        node: String,
        /// Whether it may.
        may: bool,
    },
    /// Take a group into the configuration. It is offline, or on its way if it is to start by itself.
    AddGroup(Box<NewGroup>),
    /// Take a group out of the configuration. Refused while it runs, unless it is left alone ([`Command::Unmanage`]):
    /// then it runs on, and nobody looks after it any more.
    RemoveGroup {
        /// The group's name.
        group: String,
    },
    /// A whole configuration in place of the one in force. What may not change while the cluster runs is refused.
    Configure(Box<NewConfig>),
    /// Take a node into the cluster. It joins when it is started, runs groups from then on, and votes, if it is to,
    /// once it has caught up.
    AddNode(Box<NewNode>),
    /// Take a node out of the cluster for ever: its vote first, then itself. Refused while it has a group, while it is
    /// down and not proven harmless, and where the rest would be no majority.
    EvictNode {
        /// The node's name.
        node: String,
    },
}

/// Why a command was not carried out. The cluster is as it was, except that after
/// [`Refusal::NoQuorum`] nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The name is not in the configuration.
    #[error("{kind} {name} is not known; known are: {known}")]
    Unknown {
        /// `group` or `node`.
        kind: String,
        /// The name.
        name: String,
        /// What there is.
        known: String,
    },
    /// No coordinator answered in time: there is no quorum, or an election is under way.
    #[error(
        "no coordinator has answered: the cluster has no quorum here, or is electing one; whether it was carried out \
         is not known, look at the status before trying again"
    )]
    NoQuorum,
    /// The group may not run there, or cannot be moved as it is.
    #[error("{0}")]
    NotPossible(String),
}

/// Our own mirror of a consensus message: no foreign byte reaches the library's own decoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsensusMessage {
    /// The library's message type, by number.
    pub kind: u8,
    /// To which voter.
    pub to: VoterId,
    /// From which voter.
    pub from: VoterId,
    /// The epoch of consensus.
    pub term: u64,
    /// The epoch of the entry at `index`.
    pub log_term: u64,
    /// A place in the log.
    pub index: u64,
    /// What is appended.
    pub entries: Vec<LogEntry>,
    /// What is committed.
    pub commit: u64,
    /// The epoch of that.
    pub commit_term: u64,
    /// The state up to a place.
    pub snapshot: Option<LogSnapshot>,
    /// The receiver wants a snapshot from here.
    pub request_snapshot: u64,
    /// Refused.
    pub reject: bool,
    /// Where to go on after a refusal.
    pub reject_hint: u64,
    /// The library's own note.
    #[serde(with = "serde_bytes")]
    pub context: Vec<u8>,
    /// The candidate's priority.
    pub priority: i64,
}

impl ConsensusMessage {
    /// The kind by which a coordinator brings entries.
    pub const APPENDS: u8 = 0;
    /// The kind by which it brings the state up to a place.
    pub const BRINGS_SNAPSHOT: u8 = 4;
    /// The kind by which it says that it is there.
    pub const BEATS: u8 = 5;
    /// The kind that asks whether there would be a vote.
    pub const ASKS_BEFORE_VOTE: u8 = 8;
    /// The kind that says: all up to `index` stands in my log.
    pub const APPENDED: u8 = 1;
    /// The kind that asks for a vote, and gives the sender's own.
    pub const ASKS_FOR_VOTE: u8 = 2;
    /// The kind that gives a vote.
    pub const VOTES: u8 = 3;
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Its place.
    pub index: u64,
    /// The epoch of consensus in which it was written.
    pub term: u64,
    /// What it holds.
    pub body: EntryBody,
}

/// What a log entry holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryBody {
    /// An encoded [`crate::change::ChangeSet`]; empty at the start of an epoch.
    Changes(#[serde(with = "serde_bytes")] Vec<u8>),
    /// A change of the voters.
    Voters {
        /// Added as voters.
        add: Vec<VoterId>,
        /// Added as learners, who follow the log without a vote.
        learn: Vec<VoterId>,
        /// Taken out.
        remove: Vec<VoterId>,
        /// An encoded [`crate::change::ChangeSet`] that comes true with it, or empty.
        #[serde(with = "serde_bytes")]
        changes: Vec<u8>,
    },
}

/// Who takes part in consensus.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Electorate {
    /// Who votes.
    pub voters: Vec<VoterId>,
    /// Who votes until a change of voters is through.
    pub voters_outgoing: Vec<VoterId>,
    /// Who follows.
    pub learners: Vec<VoterId>,
    /// Who will follow once the change is through.
    pub learners_next: Vec<VoterId>,
    /// Whether the change completes by itself.
    pub auto_leave: bool,
}

/// The state up to a place in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSnapshot {
    /// The last entry it covers.
    pub index: u64,
    /// The epoch of that entry.
    pub term: u64,
    /// Who takes part there.
    pub electorate: Electorate,
    /// The encoded database.
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
}
