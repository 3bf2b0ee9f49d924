//! Whom the network thread calls, when, and by which network.
//!
//! Of two nodes the one with the lower number calls. It tries all networks side by side, the
//! preferred one a little ahead, and takes the first that answers; it never waits longer than a
//! fixed short time before the next try, because a node that comes back must be found at once.
//! A node that is called only probes once, by every network, when a stream is lost without a
//! goodbye: if the peer's kernel refuses everywhere, its process is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::clock::boottime_ns;
use super::config::{PathAddress, PeerConfig};
use super::connection::{Connection, Phase, Purpose};
use super::event::{Closed, DropReason, Goodbye, NetEvent};
use super::reactor::{Reactor, after};
use super::shared::PeerShared;
use super::socket;
use super::streams::End;
use super::timers::Timer;

/// The preferred network is this much ahead of the next.
const STAGGER: Duration = Duration::from_millis(20);
/// A call that is cut before any answer is repeated after this: a dying process closes its
/// connections and its listener one after the other.
const QUICK_RETRY: Duration = Duration::from_millis(1);
const QUICK_RETRIES_MAX: u32 = 5;
/// A peer that said no is asked again after so many redial intervals.
const FAULT_INTERVALS: u32 = 4;

/// What the network thread knows of one peer.
pub(super) struct Link {
    pub(super) shared: Arc<PeerShared>,
    /// The connection that is the stream.
    pub(super) open: Option<usize>,
    /// The newest run of the peer that proved itself.
    pub(super) incarnation: u64,
    /// The networks on which the peer refused when it was called last.
    pub(super) refused: BTreeSet<u8>,
    pub(super) quick_retries: u32,
    /// The newest run of the peer that a datagram came from.
    heard: u64,
    addresses: Vec<PathAddress>,
    /// Calls under way, at most one for each network.
    attempts: BTreeMap<u8, usize>,
}

impl Reactor {
    /// Puts the list of peers in force.
    pub(super) fn set_peers(&mut self, peers: &[PeerConfig]) {
        self.opener.set_peers(peers.iter().map(|peer| peer.id));
        let is_gone = |id: &u16| peers.iter().all(|peer| peer.id != *id);
        let gone: Vec<u16> = self.links.keys().copied().filter(is_gone).collect();
        for id in gone {
            self.remove_peer(id);
        }
        for peer in peers {
            let shared = self.shared.peers.read().get(&peer.id).cloned();
            let shared = shared.expect("senders learn of a peer before this thread does");
            let link = self.links.entry(peer.id).or_insert_with(|| Link {
                shared,
                open: None,
                incarnation: 0,
                refused: BTreeSet::new(),
                quick_retries: 0,
                heard: 0,
                addresses: Vec::new(),
                attempts: BTreeMap::new(),
            });
            if link.addresses == peer.addresses {
                continue;
            }
            let is_open = link.open.is_some();
            self.give_up_attempts(peer.id, usize::MAX);
            if let Some(link) = self.links.get_mut(&peer.id) {
                link.addresses.clone_from(&peer.addresses);
            }
            if !is_open && self.me < peer.id {
                self.dial_all(peer.id, None);
            }
        }
    }

    /// Calls a peer by a network, unless a call is under way there.
    pub(super) fn dial(&mut self, peer: u16, path: u8) {
        let Some(link) = self.links.get(&peer) else { return };
        if link.attempts.contains_key(&path) {
            return;
        }
        let find = |list: &[PathAddress]| list.iter().find(|own| own.path == path).copied();
        let Some(to) = find(&link.addresses) else { return };
        let Some(own) = self.paths.iter().find(|own| own.own.path == path) else { return };
        let is_caller = self.me < peer && link.open.is_none();
        let purpose = if is_caller { Purpose::Stream } else { Purpose::Probe };
        let called = socket::connect(own.own.address, to.address).and_then(|stream| {
            let stream = mio::net::TcpStream::from_std(stream);
            let phase = Phase::Connecting(purpose);
            let mut connection = Connection::new(stream, to.address, path, phase);
            connection.peer = Some(peer);
            self.adopt(connection)
        });
        match called {
            Ok(token) => {
                if let Some(link) = self.links.get_mut(&peer) {
                    link.attempts.insert(path, token);
                }
                let limit = after(boottime_ns(), self.limits.connect_timeout);
                self.timers.set(Timer::Connection(token), limit);
            }
            Err(error) => self.on_connect_failed(peer, path, &error),
        }
    }

    /// An authentic datagram came: a peer that was just started is called at once.
    pub(super) fn on_heard(&mut self, peer: u16, incarnation: u64) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        let is_new_run = incarnation > link.heard.max(link.incarnation);
        link.heard = link.heard.max(incarnation);
        if is_new_run && link.open.is_none() && self.me < peer {
            self.dial_all(peer, None);
        }
    }

    /// Sees by every network whether the peer's process still listens.
    pub(super) fn probe(&mut self, peer: u16) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        link.refused.clear();
        link.quick_retries = 0;
        self.dial_unless_refused(peer);
    }

    /// Ends all calls to a peer but the one that succeeded.
    pub(super) fn give_up_attempts(&mut self, peer: u16, but: usize) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        let attempts = std::mem::take(&mut link.attempts);
        for path in link.addresses.iter().map(|own| own.path).chain(attempts.keys().copied()) {
            self.timers.cancel(Timer::Dial { peer, path });
        }
        for token in attempts.into_values().filter(|token| *token != but) {
            self.forget(token);
        }
    }

    /// The stream is lost: say so, then see at once whether the peer still listens.
    pub(super) fn on_stream_closed(
        &mut self,
        connection: &Connection,
        incarnation: u64,
        how: Closed,
    ) {
        let Some(peer) = connection.peer else { return };
        if let Some(link) = self.links.get_mut(&peer) {
            link.open = None;
            link.refused.clear();
            link.quick_retries = 0;
            link.shared.set_open(false);
        }
        self.emit(NetEvent::StreamClosed { peer, incarnation, how });
        if self.me < peer {
            self.dial_all(peer, Some(connection.path));
        } else if !matches!(how, Closed::Goodbye(_)) {
            self.dial(peer, connection.path);
            self.dial_unless_refused(peer);
        }
    }

    /// Sees by every network that has not refused yet whether the peer's process still listens.
    fn dial_unless_refused(&mut self, peer: u16) {
        let Some(link) = self.links.get(&peer) else { return };
        let paths = link.addresses.iter().map(|own| own.path);
        let paths: Vec<u8> = paths.filter(|path| !link.refused.contains(path)).collect();
        paths.into_iter().for_each(|path| self.dial(peer, path));
    }

    /// A call of ours came to nothing, or a probe to its answer.
    pub(super) fn on_attempt_ended(&mut self, token: usize, connection: &Connection, end: End) {
        let Some(peer) = connection.peer else { return };
        let path = connection.path;
        let Some(link) = self.links.get_mut(&peer) else { return };
        if link.attempts.get(&path) == Some(&token) {
            link.attempts.remove(&path);
        }
        if !matches!(end, End::Connect(_)) {
            // Somebody listens there, or nobody says anything.
            link.refused.remove(&path);
        }
        match end {
            End::Connect(error) => self.on_connect_failed(peer, path, &error),
            End::TimedOut => {
                if !matches!(connection.phase, Phase::Connecting(_)) {
                    let reason = DropReason::HandshakeTimedOut;
                    self.complain(connection.address, Some(peer), reason);
                }
                self.redial(peer, path, Duration::ZERO);
            }
            End::Closed(_) if link.quick_retries < QUICK_RETRIES_MAX => {
                link.quick_retries += 1;
                let at = after(boottime_ns(), QUICK_RETRY);
                self.timers.set(Timer::Dial { peer, path }, at);
            }
            End::Closed(_) => self.redial(peer, path, self.limits.redial_interval),
            End::Fault(reason) => {
                self.complain(connection.address, Some(peer), reason);
                self.redial(peer, path, self.limits.redial_interval * FAULT_INTERVALS);
            }
            End::Answered | End::Probed => {}
        }
    }

    fn on_connect_failed(&mut self, peer: u16, path: u8, error: &io::Error) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        let mut others = Vec::new();
        if error.kind() == io::ErrorKind::ConnectionRefused {
            if link.refused.insert(path) {
                // One network proves nothing: a firewall refuses for a node that lives. See the
                // others at once.
                let leads = |path: &u8| self.paths.iter().any(|own| own.own.path == *path);
                let all = link.addresses.iter().map(|own| own.path).filter(leads);
                others = all.filter(|path| !link.refused.contains(path)).collect();
                if others.is_empty() {
                    self.emit(NetEvent::StreamRefused { peer, path });
                }
            }
        } else {
            link.refused.remove(&path);
        }
        self.redial(peer, path, self.limits.redial_interval);
        others.into_iter().for_each(|other| self.dial(peer, other));
    }

    /// Plans the next call, if it is we who call.
    fn redial(&mut self, peer: u16, path: u8, delay: Duration) {
        let is_open = self.links.get(&peer).is_none_or(|link| link.open.is_some());
        if self.me < peer && !is_open {
            self.timers.set(Timer::Dial { peer, path }, after(boottime_ns(), delay));
        }
    }

    /// Calls by every network: by `first` at once, by the others shortly after, in their order.
    fn dial_all(&mut self, peer: u16, first: Option<u8>) {
        let Some(link) = self.links.get(&peer) else { return };
        let mut paths: Vec<u8> = link.addresses.iter().map(|own| own.path).collect();
        paths.sort_by_key(|path| Some(*path) != first);
        let now = boottime_ns();
        for (rank, path) in paths.into_iter().enumerate() {
            match u32::try_from(rank) {
                Ok(0) | Err(_) => self.dial(peer, path),
                Ok(rank) => {
                    self.timers.set(Timer::Dial { peer, path }, after(now, STAGGER * rank));
                }
            }
        }
    }

    fn remove_peer(&mut self, peer: u16) {
        self.give_up_attempts(peer, usize::MAX);
        let Some(link) = self.links.remove(&peer) else { return };
        link.shared.set_open(false);
        let Some(mut connection) = link.open.and_then(|token| self.forget(token)) else { return };
        if let Phase::Open(open) = &mut connection.phase {
            open.goodbye = Some(Goodbye::Removed);
            let incarnation = open.incarnation;
            connection.write(boottime_ns());
            let how = Closed::Goodbye(Goodbye::Removed);
            self.emit(NetEvent::StreamClosed { peer, incarnation, how });
        }
    }
}
