//! What goes out: requests to the driver. Each is a request only; its answer makes it true.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::durable::Record;
use crate::id::{
    Epoch, Incarnation, LunId, NodeId, OpId, PathId, RequestId, ReservationKey, ResourceId,
    SaveToken,
};
use crate::message::{Beat, Message, Refusal};

/// One request. No meaning lies in the order of a list of them, except that persists are carried
/// out in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Send a heartbeat. Lost is lost.
    SendBeat {
        /// To whom.
        to: NodeId,
        /// On which network.
        path: PathId,
        /// What.
        beat: Beat,
    },
    /// Send a message on the stream. Whole or not at all; lost when there is no stream.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// Put records on stable storage, in the order of the requests, then answer
    /// [`crate::Event::Persisted`].
    Persist {
        /// The request.
        op: OpId,
        /// What.
        records: Vec<Record>,
        /// These records replace the whole log, all at once.
        rewrite: bool,
    },
    /// Ask a LUN; answer [`crate::Event::Lun`]. Requests to one LUN are carried out in order.
    Lun {
        /// The request.
        op: OpId,
        /// The LUN.
        lun: LunId,
        /// What.
        verb: LunVerb,
    },
    /// Ask a resource; answer [`crate::Event::Resource`]. `Kill` may overtake a request under way.
    Resource {
        /// The request.
        op: OpId,
        /// The resource.
        resource: ResourceId,
        /// What.
        verb: ResourceVerb,
    },
    /// The answer to a host's command.
    Answer {
        /// The command's request.
        request: RequestId,
        /// Accepted, or why not.
        result: Result<(), Refusal>,
    },
    /// This engine has become another incarnation: it was declared down, has stopped everything and
    /// asks to be admitted again.
    Reincarnated {
        /// The new one.
        incarnation: Incarnation,
    },
    /// Everything here is stopped, the engine may be dropped.
    Left,
    /// This node was taken out of the cluster. Everything here is stopped, the engine may be dropped; it is not to come
    /// back.
    Evicted,
    /// Ask the register in which the witness lives; answer [`crate::Event::Witness`]. One request at a time.
    Witness {
        /// The request.
        op: OpId,
        /// What.
        verb: WitnessVerb,
    },
    /// Have a fence agent do something about a node; answer [`crate::Event::Fence`]. One request at a time to one agent
    /// about one node.
    Fence {
        /// The request.
        op: OpId,
        /// The agent's name.
        agent: String,
        /// The node.
        node: NodeId,
        /// What.
        verb: FenceVerb,
    },
}

/// A request to a fence agent.
///
/// Source: fence-agents, actions `off`, `on` and `reboot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FenceVerb {
    /// End the node, and see that it is off.
    Off,
    /// Let it boot.
    On,
    /// End it, see that it is off, and let it boot.
    Reboot,
}

/// A request to the witness's register: bytes with a version, which whoever writes them compares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WitnessVerb {
    /// Read version and bytes.
    Read,
    /// Put these bytes in the place of those of the version that is expected, all at once and on stable storage. Their
    /// version is the next one. If the register has another version than that, nothing is done.
    Swap {
        /// The version whose place they take; 0: that of a register that was never written.
        expected: u64,
        /// What.
        bytes: Vec<u8>,
    },
}

/// A request to a LUN, in the words of SPC where SPC has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LunVerb {
    /// Register our key on our nexus, whatever was registered there.
    Register(ReservationKey),
    /// Read the keys and the reservation.
    ReadKeys,
    /// Reserve: write exclusive, registrants only.
    Reserve(ReservationKey),
    /// Take the reservation and remove every registration of the victim.
    Preempt {
        /// Ours.
        own: ReservationKey,
        /// Whose registrations go.
        victim: ReservationKey,
    },
    /// Let the resources of this node reach the LUN, and begin the storage heartbeat on it.
    Attach {
        /// The epoch: a refused write names it.
        epoch: Epoch,
        /// The incarnation that beats.
        incarnation: Incarnation,
    },
    /// End that: when this is answered, no further write goes out.
    Detach,
    /// Read the newest storage heartbeat of a node.
    ReadBeat(NodeId),
}

/// A request to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResourceVerb {
    /// Start it afresh.
    Start {
        /// The epoch of its group.
        epoch: Epoch,
    },
    /// Load the saved state, but let it not run yet.
    Load {
        /// The epoch of its group.
        epoch: Epoch,
        /// The saved state.
        token: SaveToken,
    },
    /// Let what was loaded run.
    Run,
    /// Halt it, save its state under `token`, and end it here.
    Save {
        /// The saved state's name.
        token: SaveToken,
    },
    /// Hand it over as it runs: copy its state to the driver on `to`, halt it, and end it here once that driver has
    /// all of it under `token`, to be loaded there. Refused: it runs on here as before. What was handed over and is
    /// not loaded may be forgotten.
    Send {
        /// The state's name.
        token: SaveToken,
        /// Where to.
        to: NodeId,
    },
    /// Stop it in order.
    Stop {
        /// How long that may take.
        timeout: Duration,
    },
    /// End it now. Answered only when nothing of it runs.
    Kill,
}
