//! What the network thread reports, and how it is taken from it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Sender, TrySendError};

/// Something that came in, or that happened to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetEvent {
    /// A datagram that is authentic and was not delivered before.
    Datagram {
        /// The sender.
        from: u16,
        /// The network it came by.
        path: u8,
        /// The sender's boot number.
        incarnation: u64,
        /// What was sent.
        bytes: Vec<u8>,
        /// When the socket was drained, in nanoseconds on the boot-time clock of this host. Never
        /// earlier than the arrival.
        received_ns: u64,
    },
    /// Messages can be sent to the peer, and will come from it.
    StreamOpened {
        /// The peer.
        peer: u16,
        /// Its boot number.
        incarnation: u64,
        /// The network in use.
        path: u8,
    },
    /// A whole message, in the order of sending.
    StreamMessage {
        /// The sender.
        peer: u16,
        /// Its boot number.
        incarnation: u64,
        /// What was sent.
        bytes: Vec<u8>,
    },
    /// The stream ended. What was not delivered is lost; it is opened again when the peer can be
    /// reached.
    StreamClosed {
        /// The peer.
        peer: u16,
        /// Its boot number.
        incarnation: u64,
        /// How it ended.
        how: Closed,
    },
    /// The peer's host answers that nobody listens on its port: its node does not run.
    ///
    /// By every network that leads to it; once from the loss of the stream, or from a
    /// [`super::NetHandle::probe`], on.
    StreamRefused {
        /// The peer.
        peer: u16,
        /// The network on which it was refused last.
        path: u8,
    },
    /// A connection did not become a stream, for a reason a person should know. At most once a
    /// second for each address; each one is counted.
    HandshakeFailed {
        /// The other side.
        address: SocketAddr,
        /// The peer we called; none when we were called.
        peer: Option<u16>,
        /// Why, as seen here or as told by the other side.
        reason: DropReason,
    },
    /// Something was dropped, so often since the last report.
    Dropped {
        /// Why.
        reason: DropReason,
        /// How often.
        count: u64,
    },
    /// The network thread ended by a fault of ours. The node must stop.
    Failed {
        /// What went wrong.
        why: String,
    },
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// The peer said so.
    Goodbye(Goodbye),
    /// The peer's kernel reset it: its process died, or its host restarted.
    Reset,
    /// The peer's kernel closed it without a goodbye: its process died.
    Eof,
    /// Nothing came, or nothing was acknowledged, for the stream timeout.
    TimedOut,
    /// The network failed in another way, such as an unreachable host.
    Lost,
    /// The peer opened another one: it had lost this one, or was restarted.
    Superseded,
    /// What came was not sealed by the peer, or not what a peer sends.
    Corrupt,
}

/// Why a node ends a stream of its own will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Goodbye {
    /// It stops in good order.
    Leaving = 1,
    /// The other one is no longer among its peers.
    Removed = 2,
}

impl Goodbye {
    pub(super) fn from_code(code: u8) -> Option<Goodbye> {
        [Goodbye::Leaving, Goodbye::Removed].into_iter().find(|reason| *reason as u8 == code)
    }
}

/// Why a datagram, a message or a connection was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum DropReason {
    /// Not ours at all, or cut short.
    Malformed = 1,
    /// Over the size limit.
    TooLong,
    /// Another protocol version.
    WrongVersion,
    /// Another cluster.
    WrongCluster,
    /// Not sealed with our cluster's key, or changed on its way.
    WrongKey,
    /// For another node.
    NotForMe,
    /// From a node that is no peer.
    UnknownPeer,
    /// Came by another network than it was sent on.
    WrongPath,
    /// From an earlier run of the peer.
    OldIncarnation,
    /// Seen before, or too late.
    Replayed,
    /// The caller should have waited for our call.
    WrongRole,
    /// A connection did not prove itself in time.
    HandshakeTimedOut,
    /// Too many connections had not proved themselves.
    TooManyHalfOpen,
    /// A datagram found the reader's queue full.
    ReaderBusy,
    /// An old message gave way in a full outgoing queue.
    QueueFull,
    /// A message had no open stream to go by.
    NotConnected,
    /// The system did not take a datagram.
    SendFailed,
    /// From a run of the peer that has not proved itself on a stream to this run of ours.
    NotProved,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [DropReason; 18] = [
        DropReason::Malformed,
        DropReason::TooLong,
        DropReason::WrongVersion,
        DropReason::WrongCluster,
        DropReason::WrongKey,
        DropReason::NotForMe,
        DropReason::UnknownPeer,
        DropReason::WrongPath,
        DropReason::OldIncarnation,
        DropReason::Replayed,
        DropReason::WrongRole,
        DropReason::HandshakeTimedOut,
        DropReason::TooManyHalfOpen,
        DropReason::ReaderBusy,
        DropReason::QueueFull,
        DropReason::NotConnected,
        DropReason::SendFailed,
        DropReason::NotProved,
    ];

    pub(super) fn from_code(code: u8) -> Option<DropReason> {
        DropReason::ALL.into_iter().find(|reason| *reason as u8 == code)
    }
}

/// How often each thing was dropped, since the start.
#[derive(Debug, Default)]
pub(super) struct Counters([AtomicU64; DropReason::ALL.len()]);

impl Counters {
    pub(super) fn add(&self, reason: DropReason) {
        self.0[reason as usize - 1].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn total(&self, reason: DropReason) -> u64 {
        self.0[reason as usize - 1].load(Ordering::Relaxed)
    }
}

/// Takes what the network thread reports.
///
/// It is called on that thread and must never block: a reader that is behind refuses.
pub trait NetSink: Send + Sync + 'static {
    /// Takes the event, or gives it back when there is no room.
    ///
    /// A datagram given back is dropped and counted. Anything else is offered again, in order, and
    /// nothing is read from any stream until it is taken.
    ///
    /// # Errors
    /// The event itself, when there is no room for it.
    fn offer(&self, event: NetEvent) -> Result<(), NetEvent>;
}

impl NetSink for Sender<NetEvent> {
    fn offer(&self, event: NetEvent) -> Result<(), NetEvent> {
        match self.try_send(event) {
            // Nobody will read it; the owner of the thread is about to stop it.
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
            Err(TrySendError::Full(event)) => Err(event),
        }
    }
}

impl<F: Fn(NetEvent) -> Result<(), NetEvent> + Send + Sync + 'static> NetSink for F {
    fn offer(&self, event: NetEvent) -> Result<(), NetEvent> {
        self(event)
    }
}
