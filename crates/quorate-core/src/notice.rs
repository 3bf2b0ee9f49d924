//! What the host may like to know. Nothing depends on a notice being read.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::action::FenceVerb;
use crate::change::{Cause, Disarm, DownCause, FenceKind, GroupReport};
use crate::event::Trouble;
use crate::id::{Epoch, GroupId, Incarnation, LunId, NodeId, PathId, ResourceId};

/// One thing worth telling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// The cluster cannot be founded yet: these voters have not been heard, or disagree.
    FoundingWaits {
        /// Voters that have not been heard.
        missing: Vec<NodeId>,
        /// Voters that were started with another configuration.
        differing: Vec<NodeId>,
    },
    /// The cluster was founded, or this node has joined it.
    Joined,
    /// The node was started with a configuration that differs from the one in force, which stands, and that never was
    /// in force.
    ConfigurationDiffers {
        /// The node.
        node: NodeId,
        /// What differs, as in `groups.vm1 (only in this node's file)`.
        places: Vec<String>,
    },
    /// This node follows another coordinator, or none.
    Coordinator {
        /// The coordinator.
        node: Option<NodeId>,
        /// Its epoch.
        epoch: Epoch,
    },
    /// This node may act.
    LeaseGained,
    /// It may not.
    LeaseLost,
    /// A path to a node came or went.
    Path {
        /// The node.
        node: NodeId,
        /// The path.
        path: PathId,
        /// Whether heartbeats arrive on it.
        up: bool,
    },
    /// A node is silent; not yet down.
    Suspect {
        /// The node.
        node: NodeId,
    },
    /// A suspect was heard again.
    Unsuspect {
        /// The node.
        node: NodeId,
    },
    /// A node is cut off from the network, but beats on storage.
    Isolated {
        /// The node.
        node: NodeId,
    },
    /// A node is believed down. Committed.
    Down {
        /// The node.
        node: NodeId,
        /// Its incarnation.
        incarnation: Incarnation,
        /// Why.
        cause: DownCause,
    },
    /// A node is proven harmless. Committed.
    Fenced {
        /// The node.
        node: NodeId,
        /// Its incarnation.
        incarnation: Incarnation,
        /// The proof.
        kind: FenceKind,
    },
    /// A fence agent is asked to end a node, or to let it boot again.
    FenceAsked {
        /// The node.
        node: NodeId,
        /// The agent.
        agent: String,
        /// What it is to do.
        verb: FenceVerb,
    },
    /// A fence agent has failed.
    FenceFailed {
        /// The node.
        node: NodeId,
        /// The agent.
        agent: String,
        /// What it said.
        error: String,
    },
    /// Every level of fence agents has failed: what waits for the node's end waits on.
    FenceGivenUp {
        /// The node.
        node: NodeId,
        /// What was said last, and by whom.
        error: String,
        /// When they are asked again, in milliseconds.
        retry_in_ms: u64,
    },
    /// A node takes part. Committed.
    Up {
        /// The node.
        node: NodeId,
        /// Its incarnation.
        incarnation: Incarnation,
    },
    /// Another configuration is in force. Committed.
    Configured {
        /// Its number.
        version: u64,
    },
    /// A node is paused or resumed. Committed.
    Paused {
        /// The node.
        node: NodeId,
        /// Whether it is.
        paused: bool,
    },
    /// A group has a new owner. Committed.
    Assigned {
        /// The group.
        group: GroupId,
        /// The owner.
        owner: NodeId,
        /// The ownership's epoch.
        epoch: Epoch,
        /// Why.
        cause: Cause,
    },
    /// A group is asked to let go of its node. Committed.
    Releasing {
        /// The group.
        group: GroupId,
        /// The epoch that ends.
        epoch: Epoch,
        /// Why.
        cause: Cause,
    },
    /// An owner's word about its group. Committed.
    Group {
        /// The group.
        group: GroupId,
        /// The epoch.
        epoch: Epoch,
        /// The owner.
        node: NodeId,
        /// What it said.
        report: GroupReport,
    },
    /// A group cannot be placed: no node may run it now.
    Unplaced {
        /// The group.
        group: GroupId,
    },
    /// A group failed too often and is left failed until it is retried or commanded.
    GroupFailed {
        /// The group.
        group: GroupId,
    },
    /// No node reaches the LUNs of a group: it waits, and is tried again.
    LunsAway {
        /// The group.
        group: GroupId,
        /// When it is tried again, in milliseconds.
        retry_in_ms: u64,
    },
    /// A node does not reach a LUN any more, or does again. Committed.
    LunPath {
        /// The node.
        node: NodeId,
        /// The LUN.
        lun: LunId,
        /// Whether it is reached.
        reached: bool,
    },
    /// A group of this node stands still: a LUN of it is away, and no other node reaches it.
    StandsStill {
        /// The group.
        group: GroupId,
        /// The LUN.
        lun: LunId,
    },
    /// A resource on this node is in trouble.
    ResourceTrouble {
        /// The resource.
        resource: ResourceId,
        /// What is wrong.
        trouble: Trouble,
        /// More, for people.
        detail: String,
    },
    /// A LUN of this node is held, or lost.
    Lun {
        /// The LUN.
        lun: LunId,
        /// The epoch.
        epoch: Epoch,
        /// Whether it is held.
        held: bool,
    },
    /// A message was dropped.
    Dropped {
        /// From whom.
        from: NodeId,
        /// Why.
        reason: DropReason,
    },
    /// Stable storage failed: this node can promise nothing more and ends its part.
    StorageFailed {
        /// Why, for people.
        error: String,
    },
    /// A group could run and waits, for the sake of the whole. Told by the coordinator, when that begins.
    Held {
        /// The group.
        group: GroupId,
        /// For what.
        why: Hold,
        /// How long it waits at most, in milliseconds.
        retry_in_ms: u64,
    },
    /// A resource on this node is left failed, as its policy wants it.
    LeftFailed {
        /// The resource.
        resource: ResourceId,
        /// How long until it is started again, in milliseconds; none: when its group is moved or stopped.
        retry_in_ms: Option<u64>,
    },
    /// A resource on this node can be ended by nobody.
    Deadlocked {
        /// The resource.
        resource: ResourceId,
        /// Whether this node is to be fenced for it; else its end is tried again and again.
        fences: bool,
    },
    /// A node comes and goes too often: it is given nothing for a while. Committed.
    Quarantined {
        /// The node.
        node: NodeId,
        /// How often it went down lately.
        failures: u32,
        /// For how long, in milliseconds.
        hold_ms: u64,
    },
    /// A node may be given groups again. Committed.
    QuarantineEnded {
        /// The node.
        node: NodeId,
    },
    /// Nothing is started, stopped or moved. Committed.
    Disarmed {
        /// What is said of the groups meanwhile.
        mode: Disarm,
        /// How long until the cluster arms itself, in milliseconds; none: until it is armed by command.
        ttl_ms: Option<u64>,
    },
    /// Everything is managed again. Committed.
    Armed,
    /// The witness cannot be used from this node, or can again.
    Witness {
        /// Why not; none: it can.
        trouble: Option<WitnessTrouble>,
    },
    /// The witness refuses its vote to this node, whose data are older than its own.
    WitnessAhead {
        /// Which node has the newest data, as far as the witness knows: its last coordinator.
        node: Option<NodeId>,
    },
    /// A node belongs to the cluster no more. Committed; told of this node itself, it ends.
    Evicted {
        /// The node.
        node: NodeId,
    },
    /// Nothing more is to be said to a node that was evicted: its connections can be closed.
    Parted {
        /// The node.
        node: NodeId,
    },
    /// What was committed while this node did not take part, and is learned of now.
    Past {
        /// When it was committed, in the cluster's time in milliseconds.
        at_ms: u64,
        /// What it was.
        told: Box<Notice>,
    },
}

impl Notice {
    /// What is told, whenever it was.
    pub fn plain(self) -> Self {
        match self {
            Self::Past { told, .. } => *told,
            now => now,
        }
    }
}

/// Why the witness cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WitnessTrouble {
    /// Its place does not answer: why, for people.
    Unreachable(String),
    /// Its place is empty, and it was made long ago: it is not made anew, since it would vote twice.
    Empty,
    /// What stands in its place belongs to another cluster, or to an earlier life of this one.
    Foreign,
    /// What stands in its place cannot be read.
    Unreadable,
}

impl fmt::Display for WitnessTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WitnessTrouble::Unreachable(why) => write!(f, "it does not answer: {why}"),
            WitnessTrouble::Empty => f.write_str(
                "its place is empty, though it was made before: see whether the share is mounted",
            ),
            WitnessTrouble::Foreign => f.write_str(
                "what stands in its place belongs to another cluster, or to this one before it was founded anew",
            ),
            WitnessTrouble::Unreadable => f.write_str("what stands in its place cannot be read"),
        }
    }
}

/// For what a group waits that could run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hold {
    /// Its turn: as many groups fail over as may at once.
    Failovers {
        /// How many may.
        max: u32,
    },
    /// Its turn: its next node starts as many groups as it may at once.
    Starts {
        /// The node.
        node: NodeId,
        /// How many it may.
        max: u32,
    },
    /// So many nodes were lost lately that this looks like something greater.
    Losses {
        /// How many nodes were.
        nodes: u32,
    },
    /// So many groups with a driver of this kind failed at once that the fault is not theirs.
    Alike {
        /// The driver.
        driver: String,
        /// How many groups did.
        groups: u32,
    },
    /// It has failed on every node where it may run.
    Everywhere,
    /// Its turn: another group acts first, or has to leave its next node first.
    Group {
        /// The group.
        group: GroupId,
    },
    /// It was found running on another node, where nobody had asked for it, and is not known to have ended there.
    Stray {
        /// The node.
        node: NodeId,
    },
    /// No node that may run it has reached its LUNs.
    Luns {
        /// One of them.
        lun: LunId,
    },
}

impl Hold {
    /// Whether it only waits for others that go before it.
    pub fn is_turn(&self) -> bool {
        matches!(self, Hold::Failovers { .. } | Hold::Starts { .. } | Hold::Group { .. })
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hold::Failovers { max } => write!(f, "{max} groups fail over, as many as may at once"),
            Hold::Starts { node, max } => {
                write!(f, "{node} starts {max} groups, as many as it may at once")
            }
            Hold::Losses { nodes } => {
                write!(f, "{nodes} nodes were lost lately, more than may be recovered from")
            }
            Hold::Alike { driver, groups } => {
                write!(f, "{groups} groups with driver {driver} have failed at once")
            }
            Hold::Everywhere => f.write_str("it has failed on every node where it may run"),
            Hold::Group { group } => write!(f, "{group} comes first, by a rule or for its place"),
            Hold::Stray { node } => write!(
                f,
                "it was found running on {node} unasked, and is not known to have ended there: end it, or if {node} is \
                 off, confirm that it is"
            ),
            Hold::Luns { lun } => write!(f, "no node that may run it has reached {lun}"),
        }
    }
}

/// Why a message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DropReason {
    /// It comes from an earlier incarnation.
    StaleIncarnation,
    /// It answers a request that no longer matters.
    StaleAnswer,
    /// Consensus does not know its sender.
    UnknownVoter,
    /// It is not for this node.
    Misrouted,
    /// It is malformed inside.
    Malformed,
}
