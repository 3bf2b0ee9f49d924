//! What reaches the engine's thread, and how much of it may wait.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, unbounded};
use quorate_core::Event;
use quorate_core::engine::Engine;
use quorate_core::id::{Epoch, OpId};

use crate::Error;
use crate::net::{NetEvent, NetSink};
use crate::notice::Notice;

/// Most events of the network that wait.
pub(crate) const NET_MAX: usize = 8192;
/// Most other inputs that wait.
pub(crate) const INBOX_MAX: usize = 1024;

/// One input, beside the network's.
#[derive(Debug)]
pub(crate) enum Input {
    /// Ready for the engine.
    Event(Event),
    /// The log's word on requests.
    Persisted { ops: Vec<OpId>, result: Result<(), String> },
    /// For the host.
    Notice(Notice),
    /// The host says that a resource of its own has failed. By name: the numbers are those of the
    /// configuration that the engine follows, which may change on the way.
    Report { resource: String, epoch: Epoch, detail: String },
    /// The host wants to know something that only the engine knows.
    Look(Look),
    /// End at once.
    Kill,
    /// This node may not go on, for this reason: fence itself.
    FenceItself(String),
    /// Panic on the engine's thread.
    #[cfg(feature = "test-switches")]
    Panic,
    /// Do nothing on the engine's thread for this long.
    #[cfg(feature = "test-switches")]
    Hang(Duration),
}

/// A look at the engine, on its thread; it must be quick.
pub(crate) struct Look(Box<dyn FnOnce(&Engine) + Send>);

impl Look {
    pub(crate) fn new(look: impl FnOnce(&Engine) + Send + 'static) -> Self {
        Self(Box::new(look))
    }

    pub(crate) fn at(self, engine: &Engine) {
        (self.0)(engine);
    }
}

impl fmt::Debug for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Look")
    }
}

/// How often each queue of a node was full.
#[derive(Debug, Default)]
pub(crate) struct Full {
    pub(crate) net: AtomicU64,
    pub(crate) inbox: AtomicU64,
}

/// The way of what must reach the engine though nobody may wait for it: the ends of requests to
/// resources, and what the guard has killed. It is not bounded by itself; what goes there is, by
/// the requests under way and the resources there are.
#[derive(Clone, Debug)]
pub(crate) struct Facts(Sender<Event>);

impl Facts {
    pub(crate) fn new() -> (Self, Receiver<Event>) {
        let (sender, queue) = unbounded();
        (Self(sender), queue)
    }

    /// Never waits, on whatever thread.
    pub(crate) fn tell(&self, event: Event) {
        // Nobody listens any more: the node is ending.
        let _ = self.0.send(event);
    }
}

/// The way to the engine's thread, for the threads that work for it.
#[derive(Clone, Debug)]
pub(crate) struct Inbox {
    sender: Sender<Input>,
    full: Arc<Full>,
}

impl Inbox {
    pub(crate) fn new(sender: Sender<Input>, full: Arc<Full>) -> Self {
        Self { sender, full }
    }

    /// For threads of our own that have nothing else to do: waits while the queue is full.
    pub(crate) fn deliver(&self, input: Input) {
        match self.sender.try_send(input) {
            // Nobody listens any more: the node is ending.
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(input)) => {
                self.full.inbox.fetch_add(1, Ordering::Relaxed);
                let _ = self.sender.send(input);
            }
        }
    }

    /// For what the host may like to know: never waits, and may be lost.
    pub(crate) fn tell(&self, input: Input) {
        let _ = self.offer(input);
    }

    /// For what must not be lost: waits for room, but not for ever.
    pub(crate) fn force(&self, input: Input, patience: Duration) {
        // Nobody listens any more, or the engine hangs; the caller has other means.
        let _ = self.sender.send_timeout(input, patience);
    }

    /// For the host's threads: never waits.
    ///
    /// # Errors
    /// [`Error::Busy`] when the queue is full; nothing was queued.
    pub(crate) fn offer(&self, input: Input) -> Result<(), Error> {
        match self.sender.try_send(input) {
            Ok(()) => Ok(()),
            Err(TrySendError::Disconnected(_)) => Err(Error::Ended),
            Err(TrySendError::Full(_)) => {
                self.full.inbox.fetch_add(1, Ordering::Relaxed);
                Err(Error::Busy)
            }
        }
    }
}

/// The way of the network's events to the engine's thread.
pub(crate) struct NetQueue {
    pub(crate) sender: Sender<NetEvent>,
    pub(crate) full: Arc<Full>,
}

impl NetSink for NetQueue {
    fn offer(&self, event: NetEvent) -> Result<(), NetEvent> {
        let taken = self.sender.offer(event);
        if taken.is_err() {
            self.full.net.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }
}
