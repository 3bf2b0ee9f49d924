//! What comes in: everything an engine can learn.

use serde::{Deserialize, Serialize};

use crate::id::{Epoch, LunId, NodeId, OpId, PathId, RequestId, ReservationKey, ResourceId};
use crate::message::{Beat, Command, Message};

/// One thing that happened. The time comes beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A deadline may have come. Harmless at any time.
    Tick,
    /// A heartbeat of `from`, whose identity the transport has proven.
    Beat {
        /// Who sent it.
        from: NodeId,
        /// On which network.
        path: PathId,
        /// What it says.
        beat: Beat,
    },
    /// A message of `from` on a stream.
    Message {
        /// Who sent it.
        from: NodeId,
        /// What it says.
        message: Message,
    },
    /// A stream to `node` stands.
    StreamOpened {
        /// The peer.
        node: NodeId,
        /// The boot of the process at its other end.
        boot: u64,
    },
    /// The stream to `node` is gone.
    StreamClosed {
        /// The peer.
        node: NodeId,
        /// The boot of the process that was at its other end.
        boot: u64,
        /// How it ended.
        how: StreamEnd,
    },
    /// The host of `node` answers, but nothing listens there: its engine's process does not run.
    StreamRefused {
        /// The peer.
        node: NodeId,
    },
    /// What [`crate::Action::Persist`] asked for is on stable storage.
    Persisted {
        /// The request.
        op: OpId,
    },
    /// It is not, and will not be.
    PersistFailed {
        /// The request.
        op: OpId,
        /// Why, for people.
        error: String,
    },
    /// The answer to [`crate::Action::Lun`].
    Lun {
        /// The request.
        op: OpId,
        /// The LUN.
        lun: LunId,
        /// What the device said.
        result: Result<LunReply, LunFailure>,
    },
    /// The device refused a write of ours: another node has taken the LUN.
    LunRefused {
        /// The LUN.
        lun: LunId,
        /// The epoch in which it was attached.
        epoch: Epoch,
    },
    /// What was registered on the LUN is gone, and cannot be had back.
    LunLost {
        /// The LUN.
        lun: LunId,
        /// The epoch in which it was attached.
        epoch: Epoch,
    },
    /// The answer to [`crate::Action::Resource`].
    Resource {
        /// The request.
        op: OpId,
        /// The resource.
        resource: ResourceId,
        /// Done, or why not (for people).
        result: Result<(), String>,
    },
    /// A resource is no longer well, though nobody asked.
    ResourceFailed {
        /// The resource.
        resource: ResourceId,
        /// The epoch in which it was started.
        epoch: Epoch,
        /// What is wrong.
        trouble: Trouble,
        /// More, for people.
        detail: String,
    },
    /// The other answer to [`crate::Action::Resource`]: somebody outside holds the resource, so nothing was done and
    /// nothing has changed. It is asked for the same again later, for as long as that takes. Not an answer to `Kill`.
    ResourceBusy {
        /// The request.
        op: OpId,
        /// The resource.
        resource: ResourceId,
    },
    /// Somebody has moved a resource by hand: it runs on another node, and nothing of it here. Asked to start it, the
    /// driver there takes it as it is found. Of a group with several resources it is as if this one had failed.
    ResourceMoved {
        /// The resource.
        resource: ResourceId,
        /// The epoch in which it was started here.
        epoch: Epoch,
        /// Where it runs.
        to: NodeId,
    },
    /// The host wants something of the cluster.
    Command {
        /// The answer carries it back.
        request: RequestId,
        /// What it wants.
        command: Command,
    },
    /// The host is about to stop this engine: stop everything here and leave.
    Leave {
        /// It comes back soon: what runs here is stopped and kept for it, in place of going elsewhere.
        keep: bool,
    },
    /// What time of day it is, in UTC. Counted on from there until it is said again, as it should be every hour: only
    /// windows of hours hang on it.
    TimeOfDay {
        /// Since midnight, in seconds.
        seconds: u32,
    },
    /// Something of a resource runs here, and this engine has not asked for it. Said again every few seconds while
    /// it is so: who owns the group may have to hear it, and be heard.
    ResourceFound {
        /// The resource.
        resource: ResourceId,
    },
    /// The answer to [`crate::Action::Witness`].
    Witness {
        /// The request.
        op: OpId,
        /// What the register said, or why it said nothing (for people): then a swap may or may not have been done, or
        /// may be done yet.
        result: Result<WitnessReply, String>,
    },
    /// The answer to [`crate::Action::Fence`].
    Fence {
        /// The request.
        op: OpId,
        /// Done, and for `Off` and `Reboot` the agent has seen that the node was off; or why not, for people: then
        /// nothing is known.
        result: Result<(), String>,
    },
    /// Whether this host reaches a LUN, be it in use here or not. Said when it changes; until then it counts as
    /// reached.
    LunPath {
        /// The LUN.
        lun: LunId,
        /// Whether it is reached.
        reached: bool,
    },
    /// An attached LUN has not been reached for as long as it is waited for; it may come back yet.
    LunOverdue {
        /// The LUN.
        lun: LunId,
        /// The epoch in which it was attached.
        epoch: Epoch,
    },
}

/// What the witness's register answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WitnessReply {
    /// The answer to `Read`.
    State {
        /// The version; 0: it was never written.
        version: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The swap is done.
    Swapped,
    /// The swap was not done: the register has another version than was expected.
    Changed,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamEnd {
    /// The peer said goodbye: it ends in order.
    Goodbye,
    /// The peer's kernel closed it without a goodbye: the process has died.
    Reset,
    /// Silence: the network may be cut.
    TimedOut,
}

/// What is wrong with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trouble {
    /// It ended.
    Exited,
    /// It reported an I/O error.
    IoError,
    /// Its LUN refused a write: another node has taken it.
    Refused,
    /// The guest panicked.
    Panicked,
    /// The guest's heartbeat is gone.
    HeartbeatLost,
    /// The host says so.
    Reported,
}

/// What a device answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LunReply {
    /// Done.
    Done,
    /// The answer to `ReadKeys`.
    Keys {
        /// The keys that are registered; one registered on several paths stands several times.
        keys: Vec<ReservationKey>,
        /// The key of the reservation's holder.
        holder: Option<ReservationKey>,
    },
    /// The answer to `ReadBeat`: the newest beat of the node, counted by its writer.
    Beat {
        /// The count, none: it never wrote one.
        counter: Option<u64>,
    },
}

/// Why a device did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LunFailure {
    /// A reservation conflict: we are not registered, or another holds it.
    Conflict,
    /// The path is away, or the answer came too late. It may or may not have been done.
    Unreachable,
    /// The device cannot do this at all.
    Unsupported,
}
