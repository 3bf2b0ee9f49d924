//! What will happen, in order of time; what falls on one moment stays in the order in which it was planned.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use quorate_core::Event;
use quorate_core::action::WitnessVerb;
use quorate_core::event::StreamEnd;
use quorate_core::id::{LunId, NodeId, OpId, PathId, ResourceId};
use quorate_core::message::Beat;

use crate::clock::Moment;
use crate::network::End;
use crate::world::fencing::Asked;

/// One thing that will happen, unless what it is about is gone by then.
#[derive(Clone, Debug)]
pub enum Happening {
    /// An event reaches the process of a node, if it is still that life of it.
    Event(NodeId, u64, Box<Event>),
    /// A datagram arrives.
    Datagram {
        /// Who sent it.
        from: NodeId,
        /// To whom.
        to: NodeId,
        /// On which network.
        path: PathId,
        /// What it says.
        beat: Beat,
    },
    /// A pair of nodes tries to have a stream.
    Attempt(NodeId, NodeId),
    /// The handshake of a stream is through.
    Handshake(NodeId, NodeId, u64),
    /// A message on a stream may have arrived at an end.
    Arrival(End),
    /// An end of a stream has heard nothing for too long, if this is still the same silence.
    Silence(End, u64),
    /// An end of a stream learns that the other end is closed.
    Closed(End, StreamEnd),
    /// The oldest write of a node's disk is through.
    DiskDone(NodeId, u64),
    /// Commands of a nexus may have reached the device.
    LunArrival(NodeId, LunId),
    /// The answer to a LUN request is too late.
    LunTimeout(NodeId, u64, LunId, OpId),
    /// A request has reached the witness's register.
    WitnessArrival(NodeId, u64, OpId, Box<WitnessVerb>),
    /// A fence agent is about to do what it was asked.
    Agent(NodeId, u64, OpId, Box<Asked>),
    /// A guest's I/O is too late.
    GuestIoTimeout(NodeId, LunId),
    /// A node looks whether it reaches a LUN.
    PathSeen(NodeId, LunId),
    /// A node's heartbeat on a LUN is due.
    StorageBeat(NodeId, LunId, u64),
    /// A guest has got on with what it was asked.
    GuestStage(NodeId, ResourceId, u64),
    /// A guest wants to write its next record.
    GuestWrite(NodeId, ResourceId, u64, LunId),
    /// What a dead process has left behind is gone.
    Orphans(NodeId, u64),
    /// A host loses power in the midst of a write.
    Tear(NodeId, u64),
    /// An operator replaces a damaged log by an empty one, once that is safe.
    Replace(NodeId),
    /// A paused process goes on.
    Wakes(NodeId, u64),
    /// A host or its process starts again.
    Restart(NodeId),
    /// A node that was asked to leave should have.
    LeaveEnds(NodeId, u64),
    /// The engine of a node ends, and its guests do not.
    EngineEnds(NodeId, u64),
    /// The watchdog of a host may have to act.
    Watchdog(NodeId, u64),
    /// A fault will begin soon.
    Rouse,
    /// The fault with this number begins.
    Fault(usize),
    /// It ends.
    FaultEnds(usize),
}

/// The table of happenings.
#[derive(Debug, Default)]
pub struct Schedule {
    heap: BinaryHeap<Reverse<Slot>>,
    /// What the slots of the heap stand for, each at its place; the heap moves small slots only.
    happenings: Vec<Option<Happening>>,
    free: Vec<u32>,
    serial: u64,
}

/// A place in time, and where what happens there is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    at: Moment,
    serial: u64,
    place: u32,
}

impl Schedule {
    /// Plans one.
    pub fn at(&mut self, moment: Moment, happening: Happening) {
        self.serial += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.happenings.push(None);
            u32::try_from(self.happenings.len() - 1)
                .expect("a world plans less than 4 billion things at once")
        });
        self.happenings[place as usize] = Some(happening);
        self.heap.push(Reverse(Slot { at: moment, serial: self.serial, place }));
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Moment> {
        self.heap.peek().map(|Reverse(slot)| slot.at)
    }

    /// Takes the next one.
    pub fn take(&mut self) -> Option<(Moment, Happening)> {
        let Reverse(slot) = self.heap.pop()?;
        self.free.push(slot.place);
        Some((slot.at, self.happenings[slot.place as usize].take()?))
    }
}
