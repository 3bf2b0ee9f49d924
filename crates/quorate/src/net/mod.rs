//! What goes between the nodes: heartbeats as datagrams, everything else on streams.
//!
//! Owns the sockets, one thread and the sealing. It moves bytes and knows nothing of what they
//! mean. *Architecture invariant*: no byte leaves or is delivered that is not sealed with the
//! cluster's key; nothing here waits for a disk, a guest or a reader. A reader that is behind loses
//! datagrams, counted, and holds up the streams, unharmed.
//!
//! ```text
//!            send_datagram ------------------------------> UDP          (on the caller's thread)
//! NetHandle  send_stream ---> queue of the peer --+
//!                                                 v
//! NetSink <--- NetEvent ------------------- the net thread ---- TCP, UDP
//! ```

mod clock;
mod config;
mod connection;
mod datagram;
mod event;
mod frame;
mod handshake;
mod links;
mod reactor;
mod shared;
mod socket;
mod streams;
mod timers;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use mio::{Poll, Waker};

pub use self::clock::boottime_ns;
pub use self::config::{
    Limits, MESSAGE_BYTES_MAX, NetConfig, NetError, PATHS_MAX, PathAddress, PeerConfig,
};
pub use self::datagram::DATAGRAM_OVERHEAD;
pub use self::event::{Closed, DropReason, Goodbye, NetEvent, NetSink};
pub use self::shared::SendError;

use self::datagram::{Opener, Sealer};
use self::event::Counters;
use self::handshake::Identity;
use self::reactor::{Reactor, Start, WAKER};
use self::shared::{Command, Shared};
use self::socket::PathSockets;

/// The running network of one node.
///
/// Dropping it ends all connections without a goodbye, as a crash would: the peers then treat this
/// node as one that died. Only [`Net::leave`] says goodbye.
#[derive(Debug)]
pub struct Net {
    handle: NetHandle,
    thread: Option<JoinHandle<()>>,
}

impl Net {
    /// Binds every network, UDP and TCP on one port number, and starts the thread.
    ///
    /// # Errors
    /// [`NetError`]; nothing is left open.
    pub fn start(config: NetConfig, sink: impl NetSink) -> Result<Net, NetError> {
        config::check(&config)?;
        let sockets =
            config.paths.iter().map(socket::bind).collect::<Result<Vec<PathSockets>, _>>()?;
        let poll = Poll::new().map_err(failed("make a poller"))?;
        let (sender, commands) = crossbeam_channel::unbounded();
        let shared = Arc::new(Shared {
            counters: Counters::default(),
            me: config.me,
            limits: config.limits.clone(),
            waker: Waker::new(poll.registry(), WAKER).map_err(failed("make a waker"))?,
            commands: sender,
            sealer: new_sealer(&config)?,
            addresses: sockets
                .iter()
                .map(|own| PathAddress { path: own.path, address: own.address })
                .collect(),
            sockets: sockets
                .iter()
                .map(|own| Ok((own.path, own.datagrams.try_clone()?)))
                .collect::<std::io::Result<Vec<_>>>()
                .map_err(failed("share a socket"))?
                .into(),
            is_ending: AtomicBool::new(false),
            peers: Default::default(),
            update: Default::default(),
        });
        shared.set_peers(&config.peers);
        let NetConfig { me, incarnation, cluster_id, key, limits, peers, .. } = config;
        let sink: Arc<dyn NetSink> = Arc::new(sink);
        let reactor = Reactor::new(Start {
            poll,
            shared: Arc::clone(&shared),
            me,
            identity: Identity::new(&key, cluster_id, me, incarnation),
            opener: Opener::new(key, cluster_id, me, limits.datagram_bytes_max),
            sockets,
            commands,
            sink: Arc::clone(&sink),
        })
        .map_err(failed("register a socket"))?;
        let thread = std::thread::Builder::new()
            .name("quorate-net".into())
            .spawn({
                let shared = Arc::clone(&shared);
                move || run(reactor, &peers, &shared, &*sink)
            })
            .map_err(failed("start the network thread"))?;
        Ok(Net { handle: NetHandle(shared), thread: Some(thread) })
    }

    /// The way to send, for any thread.
    #[must_use]
    pub fn handle(&self) -> &NetHandle {
        &self.handle
    }

    /// Sends what waits, says goodbye to every peer, and ends; within a quarter of a second.
    pub fn leave(mut self) {
        self.end(Command::Leave);
    }

    fn end(&mut self, command: Command) {
        if let Some(thread) = self.thread.take() {
            self.handle.0.is_ending.store(true, Ordering::Relaxed);
            self.handle.0.command(command);
            // Its panic was reported as an event already.
            let _ = thread.join();
        }
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.end(Command::Abort);
    }
}

/// Sends, from any thread. Copies share one network.
#[derive(Clone)]
pub struct NetHandle(Arc<Shared>);

impl NetHandle {
    /// Sends one datagram now, on this thread. It may be lost.
    ///
    /// # Errors
    /// [`SendError`] except `NotConnected`; what is too long is for the caller to split.
    pub fn send_datagram(&self, to: u16, path: u8, bytes: &[u8]) -> Result<(), SendError> {
        self.0.send_datagram(to, path, bytes)
    }

    /// Most bytes that one datagram carries.
    #[must_use]
    pub fn datagram_room(&self) -> usize {
        self.0.sealer.room()
    }

    /// Puts a message, of at most [`MESSAGE_BYTES_MAX`], in the queue for a peer.
    ///
    /// Whole messages arrive, in order; those that wait when the stream ends are lost, and the
    /// oldest give way when the queue is full.
    ///
    /// # Errors
    /// [`SendError`] except `Network`; nothing was queued.
    pub fn send_stream(&self, to: u16, bytes: Vec<u8>) -> Result<(), SendError> {
        self.0.send_stream(to, bytes)
    }

    /// Puts another list of peers in force. A peer that is not in it hears a goodbye.
    ///
    /// # Errors
    /// [`NetError::NodeTwice`] and [`NetError::PathTwice`]; the old list stays.
    pub fn update_peers(&self, peers: Vec<PeerConfig>) -> Result<(), NetError> {
        config::check_peers(self.0.me, &peers)?;
        self.0.update_peers(peers);
        Ok(())
    }

    /// Asks the peer's host, by every network, whether its node still listens.
    ///
    /// Only a refusal is reported, as [`NetEvent::StreamRefused`].
    pub fn probe(&self, peer: u16) {
        self.0.command(Command::Probe(peer));
    }

    /// This node's address on each network, with the ports that were taken.
    #[must_use]
    pub fn addresses(&self) -> Vec<PathAddress> {
        self.0.addresses.clone()
    }

    /// How often something was dropped for this reason, since the start.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.0.counters.total(reason)
    }
}

impl std::fmt::Debug for NetHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetHandle").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}

fn run(reactor: Reactor, peers: &[PeerConfig], shared: &Shared, sink: &dyn NetSink) {
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| reactor.run(peers)));
    shared.close();
    let why = match outcome {
        Ok(Ok(())) => return,
        Ok(Err(error)) => format!("the network thread cannot wait for its sockets: {error}"),
        Err(_) => "the network thread panicked".to_owned(),
    };
    // The last word of this thread; the reader must hear it, so it may wait for room.
    let mut event = NetEvent::Failed { why };
    while let Err(back) = sink.offer(event) {
        if shared.is_ending.load(Ordering::Relaxed) {
            return;
        }
        event = back;
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

fn new_sealer(config: &NetConfig) -> Result<Sealer, NetError> {
    let mut salt = [0; 5];
    getrandom::fill(&mut salt).map_err(|error| NetError::Io {
        doing: "draw random numbers".into(),
        source: std::io::Error::other(error.to_string()),
    })?;
    let sender = (config.me, config.incarnation);
    Ok(Sealer::new(&config.key, config.cluster_id, sender, salt, config.limits.datagram_bytes_max))
}

fn failed(doing: &'static str) -> impl FnOnce(std::io::Error) -> NetError {
    move |source| NetError::Io { doing: doing.into(), source }
}

#[cfg(test)]
mod tests;
