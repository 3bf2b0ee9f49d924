//! What the host may like to know. Nothing depends on a notice being read.

use serde::{Deserialize, Serialize};

use crate::change::{Cause, DownCause, FenceKind, GroupReport};
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
    /// The node was started with a configuration that differs from the committed one, which stands.
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
    /// A node takes part. Committed.
    Up {
        /// The node.
        node: NodeId,
        /// Its incarnation.
        incarnation: Incarnation,
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
