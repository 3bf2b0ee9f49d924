//! One change of the replicated database: what the log holds, and what a node asks the coordinator
//! to commit.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::config::{Amounts, NewConfig, NewGroup, NewNode};
use crate::id::{Epoch, GroupId, Incarnation, LunId, NodeId, SaveToken, VoterId};

/// Why a node is believed down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DownCause {
    /// Nobody of a majority has heard from it for `detect`.
    Silence,
    /// Its kernel closed its connections or refused new ones: the engine's process has ended.
    ConnectionReset,
    /// Somebody wants it fenced, though it is heard.
    Ordered,
}

/// What proves that a node no longer runs, or can no longer write, what it owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FenceKind {
    /// A majority of voters has not acknowledged its heartbeats for `lease_over`, and will not
    /// again.
    LeaseOver,
    /// It came back as another incarnation, which says that nothing of the old one runs.
    Returned,
    /// A named human's word.
    Human,
    /// It left in order, after it had stopped everything.
    Left,
    /// Fence agents have ended it.
    Agent,
}

/// How a group lets go of its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ReleaseKind {
    /// Save what can be saved, pass the LUN, resume there.
    Move,
    /// Stop.
    Stop,
}

/// Why a group's ownership changes, kept for `explain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Cause {
    /// It was found there: somebody has moved it by hand.
    Found,
    /// The group is started for the first time.
    Start,
    /// Its node is down, or might not act any more.
    NodeDown,
    /// It failed on its node.
    Failure,
    /// A move by command.
    Move,
    /// Its node is drained.
    Drain,
    /// It returns to a more preferred owner, or to the node it was drained from.
    Failback,
    /// It may not run on its owner.
    NotPossible,
    /// It is to be online, by command.
    Online,
    /// It is to be offline, by command.
    Offline,
    /// Its node might no longer act, and has stopped it.
    Stopped,
    /// What must run before it does not run, or is about to stop.
    Order,
    /// A rule about it and another group wants it elsewhere.
    Rule,
    /// The load lies unevenly on the nodes.
    Balance,
}

/// What is wanted of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Desire {
    /// It runs.
    Online,
    /// It is kept offline; should the node that has it be gone, another one has it.
    Offline,
    /// It is kept offline and stays with the node that has it, whatever becomes of that node.
    Disabled,
    /// It is left alone, running or not; wanted again, it is taken as it is found.
    Unmanaged,
}

/// What returns to a node that may run groups again.
///
/// Source: Windows clustering, Resume-ClusterNode -Failback (Immediate, Policy, NoFailback).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Failback {
    /// At once, whatever was drained from it.
    Now,
    /// What fails back by its own policy.
    ByPolicy,
    /// Nothing: even what fails back by its policy stays where it is, until it changes its node for another reason.
    Never,
}

/// What is said of the groups of a cluster that is disarmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Disarm {
    /// That they are frozen.
    Freeze,
    /// How they are found.
    Ignore,
}

/// What an owner says of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupReport {
    /// All its resources are online.
    Online,
    /// Nothing of it runs here, its LUNs are released. With the saved state, if it was saved for a
    /// move.
    Vacated {
        /// The saved state that the next owner may resume.
        saved: Option<SaveToken>,
        /// How often it failed, before it was given up because it could not be kept online here; 0: it was not.
        failures: u32,
        /// Why it was given up: a LUN of it cannot be reached from there, be it that the path is away or the target.
        luns_away: bool,
    },
    /// The saved state is about to be resumed: it must never be used again.
    Consumed,
    /// A resource could not be stopped: it may still run here.
    StopFailed,
    /// It could not be handed over, and runs on here.
    Kept,
    /// Somebody has moved it by hand: nothing of it runs here.
    Gone {
        /// Where it runs.
        to: NodeId,
    },
    /// A resource is left failed, as its policy wants it; what does not need it is online.
    Degraded,
    /// A resource cannot be ended at all, and by its policy the node is to be fenced for it.
    Deadlocked,
    /// It runs here too, though another node has it: somebody has started it by hand.
    Stray,
    /// Nothing runs here any more of what ran here too.
    StrayEnded,
    /// A resource that was online has failed, and is about to be started again here: who needs the group has lost it.
    Restarting,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// The node takes part again, as this incarnation, which says that nothing of an earlier one
    /// runs.
    Admit {
        /// The node.
        node: NodeId,
        /// Its incarnation.
        incarnation: Incarnation,
    },
    /// The node is believed down.
    Down {
        /// The node.
        node: NodeId,
        /// The incarnation that is down; another one is not meant.
        incarnation: Incarnation,
        /// Why.
        cause: DownCause,
    },
    /// The node is proven harmless.
    Fenced {
        /// The node.
        node: NodeId,
        /// The incarnation that is fenced.
        incarnation: Incarnation,
        /// The proof.
        kind: FenceKind,
        /// A human's reason, else empty.
        reason: String,
    },
    /// The log of a node has been replaced: its voter has a new identity.
    Rejoin {
        /// The new identity.
        voter: VoterId,
    },
    /// The node runs nothing new; with `drain` what it runs moves away.
    Pause {
        /// The node.
        node: NodeId,
        /// Whether its groups move away.
        drain: bool,
        /// Whether those are stopped that nowhere else can run.
        empty: bool,
    },
    /// The node may run groups again.
    Resume {
        /// The node.
        node: NodeId,
        /// What returns to it.
        failback: Failback,
    },
    /// A pause or a drain of the node ends, and what was drained returns; a quarantine goes on.
    EndDrain {
        /// The node.
        node: NodeId,
    },
    /// The node is about to leave: what it runs moves away. Its next admission ends that.
    Leave {
        /// The node.
        node: NodeId,
        /// Its incarnation.
        incarnation: Incarnation,
        /// Its groups are stopped and kept for its return, given to nobody else.
        keep: bool,
    },
    /// The node has stopped everything and is gone.
    Left {
        /// The node.
        node: NodeId,
        /// Its incarnation.
        incarnation: Incarnation,
    },
    /// A group's new owner: entitled to run it in this epoch, once it holds its LUNs.
    Assign {
        /// The group.
        group: GroupId,
        /// The new epoch: one more than the last.
        epoch: Epoch,
        /// The owner.
        owner: NodeId,
        /// The owner's incarnation.
        incarnation: Incarnation,
        /// Why.
        cause: Cause,
    },
    /// The owner is asked to let go.
    Release {
        /// The group.
        group: GroupId,
        /// The epoch that ends.
        epoch: Epoch,
        /// Who gets it next; none: it stays offline, or placement decides.
        to: Option<NodeId>,
        /// How.
        kind: ReleaseKind,
        /// Why.
        cause: Cause,
    },
    /// The owner's word about its group.
    Report {
        /// The group.
        group: GroupId,
        /// The epoch of which it speaks.
        epoch: Epoch,
        /// The owner.
        node: NodeId,
        /// Its incarnation.
        incarnation: Incarnation,
        /// What it says.
        report: GroupReport,
    },
    /// What is wanted of a group.
    Desire {
        /// The group.
        group: GroupId,
        /// What.
        desire: Desire,
    },
    /// Whether groups stay where they are, whatever rule or preference would move them.
    HoldMoves {
        /// Whether they do.
        held: bool,
    },
    /// Nothing is started, stopped or moved by the cluster until `Arm`.
    Disarm {
        /// What is said of the groups meanwhile.
        mode: Disarm,
        /// For how long, in milliseconds: the cluster arms itself then. Said again, it counts from then on; none: as
        /// long as was said before, or until `Arm`.
        ttl_ms: Option<u64>,
    },
    /// Everything is managed again, as it is found.
    Arm,
    /// A group has failed so often on a node, as somebody knows who has looked after it so far.
    CountFailures {
        /// The group.
        group: GroupId,
        /// The node.
        node: NodeId,
        /// How often.
        count: u32,
    },
    /// How much a group loads its node, as measured.
    Load {
        /// The group.
        group: GroupId,
        /// How much.
        load: Amounts,
    },
    /// Another node has a group that runs nowhere.
    Seat {
        /// The group.
        group: GroupId,
        /// The node.
        node: NodeId,
    },
    /// Whether the node should coordinate. Its next boot ends a no.
    LetCoordinate {
        /// The node.
        node: NodeId,
        /// Whether it should.
        may: bool,
    },
    /// A group more.
    AddGroup(Box<NewGroup>),
    /// A group less. What runs of it is nobody's from here on.
    RemoveGroup {
        /// The group.
        group: GroupId,
    },
    /// A configuration in place of the one in force.
    Configure(Box<NewConfig>),
    /// The quarantine of a node is over.
    EndQuarantine {
        /// The node.
        node: NodeId,
    },
    /// The whole cluster starts: no node takes part any more as it did.
    Starts,
    /// The witness's register is made. From here on another one, or an empty one, is refused.
    Witnessed {
        /// What this one is known by.
        made: u64,
    },
    /// A node more. It does not vote yet.
    AddNode(Box<NewNode>),
    /// A node is to be taken out: it is given nothing, and coordinates only where nobody else can.
    Evict {
        /// The node.
        node: NodeId,
    },
    /// A node votes from here on, or does not. Only with the change of voters that makes it so.
    Vote {
        /// The node.
        node: NodeId,
        /// Whether it does.
        votes: bool,
    },
    /// The witness votes by its rule again. Only with the change of voters that makes it so.
    WitnessVote,
    /// A node that was to be taken out belongs to the cluster no more, and its number is nobody's for ever.
    Evicted {
        /// The node.
        node: NodeId,
    },
    /// Which LUNs a node does not reach, in use there or not: its own word.
    Paths {
        /// The node.
        node: NodeId,
        /// Its incarnation.
        incarnation: Incarnation,
        /// All that it does not reach.
        away: BTreeSet<LunId>,
    },
}

impl Change {
    /// Whether it changes the configuration.
    pub fn is_of_configuration(&self) -> bool {
        matches!(
            self,
            Change::AddGroup(_)
                | Change::RemoveGroup { .. }
                | Change::Configure(_)
                | Change::AddNode(_)
                | Change::Evict { .. }
        )
    }

    /// The node whose standing it changes.
    pub fn about_node(&self) -> Option<NodeId> {
        match *self {
            Change::Admit { node, .. }
            | Change::Down { node, .. }
            | Change::Fenced { node, .. }
            | Change::Left { node, .. } => Some(node),
            _ => None,
        }
    }
}

/// What one log entry holds: changes that come true together, and the cluster's time when they were
/// proposed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSet {
    /// The cluster's time in milliseconds: grows from coordinator to coordinator, stops while there
    /// is none.
    pub at_ms: u64,
    /// The changes, in order.
    pub changes: Vec<Change>,
}
