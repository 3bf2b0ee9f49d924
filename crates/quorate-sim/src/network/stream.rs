//! Streams between pairs of nodes: whole messages in order, until an end is closed.
//!
//! The two ends of a stream learn of its end each by itself: one may go on sending into the void.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use quorate_core::id::{NodeId, PathId};
use quorate_core::message::Message;

use crate::clock::Moment;

/// One end of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The node at this end.
    pub node: NodeId,
    /// The node at the other end.
    pub peer: NodeId,
    /// Which of their streams.
    pub serial: u64,
}

impl End {
    /// The other end of the same stream.
    pub fn other(self) -> Self {
        Self { node: self.peer, peer: self.node, serial: self.serial }
    }
}

/// What an end holds.
#[derive(Debug)]
pub struct Side {
    /// Which life of the node's process holds it.
    pub life: u64,
    /// The boot of that process.
    pub boot: u64,
    /// Whether that process still believes in it.
    pub open: bool,
    inbound: VecDeque<(Moment, Message)>,
    last: Moment,
}

/// A stream between two nodes.
#[derive(Debug)]
pub struct Stream {
    /// Which of their streams.
    pub serial: u64,
    /// The network it runs on.
    pub path: PathId,
    /// Grows whenever a silence begins or ends.
    pub silence: u64,
    /// Whether nothing passes at present.
    pub is_silent: bool,
    sides: [Side; 2],
}

impl Stream {
    /// The end of `node`, which is one of the two.
    pub fn side(&mut self, node: NodeId, peer: NodeId) -> &mut Side {
        &mut self.sides[usize::from(node > peer)]
    }

    /// Whether both ends believe in it.
    pub fn is_whole(&self) -> bool {
        self.sides.iter().all(|side| side.open)
    }
}

/// Every stream, and which pairs are trying to get one.
#[derive(Debug, Default)]
pub struct Streams {
    pairs: BTreeMap<(NodeId, NodeId), Stream>,
    attempting: BTreeMap<(NodeId, NodeId), bool>,
    serial: u64,
}

/// The key of a pair, whichever way round it is named.
pub(super) fn pair(one: NodeId, other: NodeId) -> (NodeId, NodeId) {
    (one.min(other), one.max(other))
}

impl Streams {
    /// The newest stream between two nodes.
    pub fn between(&mut self, one: NodeId, other: NodeId) -> Option<&mut Stream> {
        self.pairs.get_mut(&pair(one, other))
    }

    /// The stream of `end`, if it is still the newest of its pair.
    pub fn of(&mut self, end: End) -> Option<&mut Stream> {
        self.between(end.node, end.peer).filter(|stream| stream.serial == end.serial)
    }

    /// Every stream with its ends' nodes.
    pub fn all(&mut self) -> impl Iterator<Item = ((NodeId, NodeId), &mut Stream)> {
        self.pairs.iter_mut().map(|(&nodes, stream)| (nodes, stream))
    }

    /// Notes that a pair tries to get a stream; false: it was trying already.
    pub fn begin_attempts(&mut self, one: NodeId, other: NodeId) -> bool {
        self.attempting.insert(pair(one, other), true) != Some(true)
    }

    /// Notes that a pair tries no longer.
    pub fn end_attempts(&mut self, one: NodeId, other: NodeId) {
        self.attempting.insert(pair(one, other), false);
    }

    /// The number of the next stream.
    pub fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Puts a fresh stream in place of an older one. Each end is its node, life, boot, and when it opens there.
    pub fn open(&mut self, serial: u64, path: PathId, mut ends: [(NodeId, u64, u64, Moment); 2]) {
        ends.sort();
        let sides = ends.map(|(_, life, boot, last)| Side {
            life,
            boot,
            open: true,
            inbound: VecDeque::new(),
            last,
        });
        let stream = Stream { serial, path, silence: 0, is_silent: false, sides };
        self.pairs.insert(pair(ends[0].0, ends[1].0), stream);
    }

    /// Puts a message on its way; gives the end where it will arrive, and when. None: there is no stream.
    pub fn send(
        &mut self,
        (from, to): (NodeId, NodeId),
        message: Message,
        now: Moment,
        delay: Duration,
    ) -> Option<(End, Moment)> {
        let stream = self.between(from, to)?;
        if !stream.side(from, to).open {
            return None;
        }
        let serial = stream.serial;
        let side = stream.side(to, from);
        let at = side.last.max(now + delay);
        side.last = at;
        side.inbound.push_back((at, message));
        Some((End { node: to, peer: from, serial }, at))
    }

    /// Takes what has arrived at an end by `now`, in order; nothing while the stream is silent.
    pub fn arrived(&mut self, end: End, now: Moment) -> Vec<Message> {
        let Some(stream) = self.of(end).filter(|stream| !stream.is_silent) else {
            return Vec::new();
        };
        let side = stream.side(end.node, end.peer);
        if !side.open {
            side.inbound.clear();
        }
        let count = side.inbound.iter().take_while(|(at, _)| *at <= now).count();
        side.inbound.drain(..count).map(|(_, message)| message).collect()
    }
}

impl Side {
    /// When the newest message on its way here arrives.
    pub fn last_arrival(&self) -> Moment {
        self.last
    }

    /// Forgets what is on its way here.
    pub fn drop_inbound(&mut self) {
        self.inbound.clear();
    }
}
