//! What the network thread shares with its callers: addresses, outgoing queues, counts.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_channel::Sender;
use mio::Waker;
use parking_lot::{Mutex, RwLock};

use super::config::{Limits, MESSAGE_BYTES_MAX, PathAddress, PeerConfig};
use super::datagram::{Route, Sealer};
use super::event::{Counters, DropReason};

/// Why something was not sent. A sender that repeats itself may ignore it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Over the limit: split it.
    #[error("{bytes} bytes are over the limit of {limit} bytes")]
    TooLong {
        /// The size asked for.
        bytes: usize,
        /// The largest size.
        limit: usize,
    },
    /// The node is no peer, or neither side has an address on that network.
    #[error("node {to} is no peer with an address on that network")]
    NoRoute {
        /// The node.
        to: u16,
    },
    /// No stream to that node is open.
    #[error("no stream to node {to} is open")]
    NotConnected {
        /// The node.
        to: u16,
    },
    /// The system did not take the datagram.
    #[error("the system did not take a datagram for node {to}: {kind}")]
    Network {
        /// The node.
        to: u16,
        /// What the system said.
        kind: io::ErrorKind,
    },
}

/// What a caller asks of the network thread.
pub(super) enum Command {
    /// There is something in the peer's outgoing queue.
    Flush(u16),
    /// See whether anybody listens there.
    Probe(u16),
    /// These are the peers from here on.
    Peers(Vec<PeerConfig>),
    /// Say goodbye to everybody and end.
    Leave,
    /// End at once, without a word.
    Abort,
}

/// What waits to go to one peer.
#[derive(Default)]
pub(super) struct Outgoing {
    is_open: bool,
    /// The thread knows that there is something.
    is_announced: bool,
    messages: VecDeque<Vec<u8>>,
    bytes: usize,
}

/// One peer, as its senders see it. It stays for ever, so that no sequence begins again.
pub(super) struct PeerShared {
    /// Empty when it is no longer a peer.
    addresses: RwLock<Vec<PathAddress>>,
    /// Counts the datagrams to it, by all networks together.
    sequence: AtomicU64,
    outgoing: Mutex<Outgoing>,
}

/// One for all threads.
pub(super) struct Shared {
    pub(super) counters: Counters,
    pub(super) me: u16,
    pub(super) limits: Limits,
    pub(super) waker: Waker,
    pub(super) commands: Sender<Command>,
    pub(super) sealer: Sealer,
    pub(super) addresses: Vec<PathAddress>,
    /// Empty once the thread has ended, so that the ports are free.
    pub(super) sockets: RwLock<Vec<(u8, UdpSocket)>>,
    pub(super) is_ending: AtomicBool,
    pub(super) peers: RwLock<BTreeMap<u16, Arc<PeerShared>>>,
    /// Held while a list of peers comes in force.
    pub(super) update: Mutex<()>,
}

impl Shared {
    /// Puts the list of peers in force for senders.
    pub(super) fn set_peers(&self, peers: &[PeerConfig]) {
        let mut table = self.peers.write();
        for (id, shared) in table.iter() {
            if peers.iter().all(|peer| peer.id != *id) {
                shared.addresses.write().clear();
            }
        }
        for peer in peers {
            let shared = table.entry(peer.id).or_insert_with(|| {
                Arc::new(PeerShared {
                    addresses: RwLock::default(),
                    sequence: AtomicU64::new(1),
                    outgoing: Mutex::default(),
                })
            });
            shared.addresses.write().clone_from(&peer.addresses);
        }
    }

    /// Puts a list of peers in force everywhere.
    pub(super) fn update_peers(&self, peers: Vec<PeerConfig>) {
        // The thread must see the lists in the order in which the senders did.
        let _one_at_a_time = self.update.lock();
        self.set_peers(&peers);
        self.command(Command::Peers(peers));
    }

    pub(super) fn send_datagram(&self, to: u16, path: u8, bytes: &[u8]) -> Result<(), SendError> {
        let peer = self.peer(to)?;
        let no_route = SendError::NoRoute { to };
        let address = peer.address(path).ok_or(no_route)?;
        let sockets = self.sockets.read();
        let (_, socket) = sockets.iter().find(|(own, _)| *own == path).ok_or(no_route)?;
        let route = Route { to, path, sequence: peer.sequence.fetch_add(1, Ordering::Relaxed) };
        let Some(datagram) = self.sealer.seal(route, bytes) else {
            self.counters.add(DropReason::TooLong);
            return Err(SendError::TooLong { bytes: bytes.len(), limit: self.sealer.room() });
        };
        match socket.send_to(&datagram, address) {
            Ok(_) => Ok(()),
            Err(error) => {
                self.counters.add(DropReason::SendFailed);
                Err(SendError::Network { to, kind: error.kind() })
            }
        }
    }

    pub(super) fn send_stream(&self, to: u16, bytes: Vec<u8>) -> Result<(), SendError> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            self.counters.add(DropReason::TooLong);
            return Err(SendError::TooLong { bytes: bytes.len(), limit: MESSAGE_BYTES_MAX });
        }
        let peer = self.peer(to)?;
        let mut outgoing = peer.outgoing.lock();
        if !outgoing.is_open {
            self.counters.add(DropReason::NotConnected);
            return Err(SendError::NotConnected { to });
        }
        outgoing.bytes += bytes.len();
        outgoing.messages.push_back(bytes);
        while outgoing.bytes > self.limits.queue_bytes_max && outgoing.messages.len() > 1 {
            let oldest = outgoing.messages.pop_front().map_or(0, |message| message.len());
            outgoing.bytes -= oldest;
            self.counters.add(DropReason::QueueFull);
        }
        let is_news = !std::mem::replace(&mut outgoing.is_announced, true);
        drop(outgoing);
        if is_news {
            self.command(Command::Flush(to));
        }
        Ok(())
    }

    /// The thread has ended: nothing is taken any more, and the ports are free.
    pub(super) fn close(&self) {
        self.sockets.write().clear();
        for peer in self.peers.read().values() {
            peer.set_open(false);
        }
    }

    pub(super) fn command(&self, command: Command) {
        // Both fail only when the thread has ended, and then nobody waits for the effect.
        let _ = self.commands.send(command);
        let _ = self.waker.wake();
    }

    fn peer(&self, to: u16) -> Result<Arc<PeerShared>, SendError> {
        self.peers.read().get(&to).cloned().ok_or(SendError::NoRoute { to })
    }
}

impl PeerShared {
    fn address(&self, path: u8) -> Option<SocketAddr> {
        self.addresses.read().iter().find(|own| own.path == path).map(|own| own.address)
    }

    /// The sequence of the next datagram to it.
    pub(super) fn next_sequence(&self) -> u64 {
        self.sequence.load(Ordering::Relaxed)
    }

    /// From here on messages are taken, or refused; what waited is dropped either way.
    pub(super) fn set_open(&self, is_open: bool) {
        *self.outgoing.lock() = Outgoing { is_open, ..Outgoing::default() };
    }

    /// The next message to send.
    pub(super) fn next_message(&self) -> Option<Vec<u8>> {
        let mut outgoing = self.outgoing.lock();
        let message = outgoing.messages.pop_front();
        match &message {
            Some(message) => outgoing.bytes -= message.len(),
            None => outgoing.is_announced = false,
        }
        message
    }
}
