//! The network thread: one loop that waits for sockets, callers and deadlines.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;
use mio::{Events, Interest, Poll, Token};

use super::clock::boottime_ns;
use super::config::{Limits, PathAddress, PeerConfig};
use super::connection::{Connection, Phase, Reading, Writing};
use super::datagram::Opener;
use super::event::{DropReason, Goodbye, NetEvent, NetSink};
use super::handshake::Identity;
use super::links::Link;
use super::shared::{Command, Shared};
use super::socket::{self, PathSockets};
use super::timers::{Timer, Timers};

/// The token of the waker; two for each network follow, then the connections.
pub(super) const WAKER: Token = Token(0);
const FIRST_SOCKET: usize = 1;
const FIRST_CONNECTION: usize = 1 << 16;

/// So many datagrams of one network are read before the others have their turn.
const DATAGRAM_BUDGET: usize = 1024;
/// A reader that was behind is offered its events again after this.
const DELIVER_INTERVAL: Duration = Duration::from_millis(1);
/// After this, accepting is tried again when the system had no room for a connection.
const ACCEPT_INTERVAL: Duration = Duration::from_millis(10);
/// What was dropped is reported this often.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);
/// A goodbye is written within this, or not at all.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(250);
/// One address is complained of once in this.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(1);
const COMPLAINTS_MAX: usize = 1024;

/// One network of this node.
pub(super) struct Path {
    pub(super) own: PathAddress,
    datagrams: mio::net::UdpSocket,
    listener: mio::net::TcpListener,
}

/// All that the network thread owns.
pub(super) struct Reactor {
    pub(super) poll: Poll,
    pub(super) shared: Arc<Shared>,
    pub(super) limits: Limits,
    pub(super) me: u16,
    pub(super) identity: Identity,
    pub(super) opener: Opener,
    pub(super) paths: Vec<Path>,
    pub(super) connections: BTreeMap<usize, Connection>,
    pub(super) links: BTreeMap<u16, Link>,
    /// Accepted connections that have not proved themselves, the oldest first.
    pub(super) half_open: BTreeSet<usize>,
    /// Connections with something to do that no socket will tell of.
    pub(super) ready: BTreeSet<usize>,
    pub(super) timers: Timers,
    /// What the reader had no room for, in order.
    pub(super) outbox: VecDeque<NetEvent>,
    pub(super) scratch: Vec<u8>,
    commands: Receiver<Command>,
    sink: Arc<dyn NetSink>,
    datagrams_ready: BTreeSet<usize>,
    next_token: usize,
    reported: [u64; DropReason::ALL.len()],
    complaints: BTreeMap<(IpAddr, Option<u16>), u64>,
}

/// What the thread is started with.
pub(super) struct Start {
    pub(super) poll: Poll,
    pub(super) shared: Arc<Shared>,
    pub(super) me: u16,
    pub(super) identity: Identity,
    pub(super) opener: Opener,
    pub(super) sockets: Vec<PathSockets>,
    pub(super) commands: Receiver<Command>,
    pub(super) sink: Arc<dyn NetSink>,
}

impl Reactor {
    pub(super) fn new(start: Start) -> io::Result<Reactor> {
        let mut paths = Vec::new();
        for sockets in start.sockets {
            let mut datagrams = mio::net::UdpSocket::from_std(sockets.datagrams);
            let mut listener = mio::net::TcpListener::from_std(sockets.listener);
            let token = FIRST_SOCKET + 2 * paths.len();
            let registry = start.poll.registry();
            registry.register(&mut datagrams, Token(token), Interest::READABLE)?;
            registry.register(&mut listener, Token(token + 1), Interest::READABLE)?;
            let own = PathAddress { path: sockets.path, address: sockets.address };
            paths.push(Path { own, datagrams, listener });
        }
        Ok(Reactor {
            poll: start.poll,
            limits: start.shared.limits.clone(),
            shared: start.shared,
            me: start.me,
            identity: start.identity,
            opener: start.opener,
            paths,
            connections: BTreeMap::new(),
            links: BTreeMap::new(),
            half_open: BTreeSet::new(),
            ready: BTreeSet::new(),
            timers: Timers::default(),
            outbox: VecDeque::new(),
            scratch: vec![0; 64 * 1024],
            commands: start.commands,
            sink: start.sink,
            datagrams_ready: BTreeSet::new(),
            next_token: FIRST_CONNECTION,
            reported: [0; DropReason::ALL.len()],
            complaints: BTreeMap::new(),
        })
    }

    /// Runs until it is told to end.
    pub(super) fn run(mut self, peers: &[PeerConfig]) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        self.set_peers(peers);
        self.timers.set(Timer::Report, after(boottime_ns(), REPORT_INTERVAL));
        loop {
            self.wait(&mut events)?;
            self.on_sockets(&events);
            while let Ok(command) = self.commands.try_recv() {
                match command {
                    Command::Abort => return Ok(()),
                    Command::Leave => return self.leave(&mut events),
                    other => self.on_command(other),
                }
            }
            if self.outbox.is_empty() {
                for token in std::mem::take(&mut self.ready) {
                    self.drive(token);
                }
            }
            let now = boottime_ns();
            while let Some(timer) = self.timers.pop_due(now) {
                self.on_timer(timer, now);
            }
        }
    }

    /// Gives a connection its place in the loop.
    pub(super) fn adopt(&mut self, mut connection: Connection) -> io::Result<usize> {
        let token = self.next_token;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut connection.socket, Token(token), interest)?;
        self.next_token += 1;
        self.connections.insert(token, connection);
        Ok(token)
    }

    /// Reports something; in order, and never lost.
    pub(super) fn emit(&mut self, event: NetEvent) {
        self.outbox.push_back(event);
        if self.outbox.len() == 1 {
            self.deliver();
        }
    }

    /// Counts why a connection came to nothing, and reports it unless that was done just now.
    pub(super) fn complain(&mut self, address: SocketAddr, peer: Option<u16>, reason: DropReason) {
        self.shared.counters.add(reason);
        let now = boottime_ns();
        let is_old = |at: u64| after(at, COMPLAINT_INTERVAL) <= now;
        if self.complaints.len() >= COMPLAINTS_MAX {
            self.complaints.retain(|_, at| !is_old(*at));
        }
        let key = (address.ip(), peer);
        let is_news = match self.complaints.get(&key) {
            Some(at) => is_old(*at),
            None => self.complaints.len() < COMPLAINTS_MAX,
        };
        if is_news && self.outbox.is_empty() {
            self.complaints.insert(key, now);
            self.emit(NetEvent::HandshakeFailed { address, peer, reason });
        }
    }

    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let is_busy =
            !self.datagrams_ready.is_empty() || (!self.ready.is_empty() && self.outbox.is_empty());
        let timeout = if is_busy {
            Some(Duration::ZERO)
        } else {
            let until = |at: u64| Duration::from_nanos(at.saturating_sub(boottime_ns()));
            self.timers.next().map(until)
        };
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Heartbeats first: whoever is behind must not hold up the judgement of who is alive.
    fn on_sockets(&mut self, events: &Events) {
        let mut others = Vec::new();
        for event in events {
            let token = event.token().0;
            match token.checked_sub(FIRST_SOCKET) {
                Some(at) if at < 2 * self.paths.len() && at.is_multiple_of(2) => {
                    self.datagrams_ready.insert(at / 2);
                }
                Some(_) => others.push(token),
                None => {}
            }
        }
        for at in std::mem::take(&mut self.datagrams_ready) {
            self.read_datagrams(at);
        }
        for token in others {
            if token < FIRST_CONNECTION {
                self.accept((token - FIRST_SOCKET) / 2);
            } else if let Some(connection) = self.connections.get_mut(&token) {
                connection.is_readable = true;
                self.drive(token);
            }
        }
    }

    fn read_datagrams(&mut self, at: usize) {
        for _ in 0..DATAGRAM_BUDGET {
            let path = &self.paths[at];
            let length = match path.datagrams.recv_from(&mut self.scratch) {
                Ok((length, _)) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // An answer of another host to something that we sent.
                Err(_) => continue,
            };
            let received_ns = boottime_ns();
            match self.opener.open(&mut self.scratch[..length], path.own.path) {
                Ok(opened) => {
                    let path = path.own.path;
                    self.on_heard(opened.from, opened.incarnation);
                    if !opened.is_proved {
                        self.shared.counters.add(DropReason::NotProved);
                        continue;
                    }
                    let event = NetEvent::Datagram {
                        from: opened.from,
                        path,
                        incarnation: opened.incarnation,
                        bytes: opened.bytes,
                        received_ns,
                    };
                    if !self.outbox.is_empty() || self.sink.offer(event).is_err() {
                        self.shared.counters.add(DropReason::ReaderBusy);
                    }
                }
                Err(reason) => self.shared.counters.add(reason),
            }
        }
        self.datagrams_ready.insert(at);
    }

    fn accept(&mut self, at: usize) {
        loop {
            let (stream, address) = match self.paths[at].listener.accept() {
                Ok(accepted) => accepted,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return,
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => continue,
                    _ => {
                        let again = after(boottime_ns(), ACCEPT_INTERVAL);
                        return self.timers.set(Timer::Accept(at), again);
                    }
                },
            };
            if self.half_open.len() >= self.limits.half_open_max
                && let Some(oldest) = self.half_open.pop_first()
            {
                self.forget(oldest);
                self.shared.counters.add(DropReason::TooManyHalfOpen);
            }
            let path = self.paths[at].own.path;
            let connection = Connection::new(stream, address, path, Phase::Accepting);
            if socket::prepare_stream(&connection.socket, self.limits.stream_timeout).is_err() {
                continue;
            }
            if let Ok(token) = self.adopt(connection) {
                self.half_open.insert(token);
                let limit = after(boottime_ns(), self.limits.handshake_timeout);
                self.timers.set(Timer::Connection(token), limit);
            }
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Flush(peer) => {
                if let Some(token) = self.links.get(&peer).and_then(|link| link.open) {
                    self.drive(token);
                }
            }
            Command::Probe(peer) => self.probe(peer),
            Command::Peers(peers) => self.set_peers(&peers),
            Command::Leave | Command::Abort => unreachable!("the loop ends with these"),
        }
    }

    fn on_timer(&mut self, timer: Timer, now: u64) {
        match timer {
            Timer::Dial { peer, path } => self.dial(peer, path),
            Timer::Connection(token) => self.on_limit(token, now),
            Timer::Accept(at) => self.accept(at),
            Timer::Deliver => self.deliver(),
            Timer::Report => {
                self.report_drops();
                self.timers.set(Timer::Report, after(now, REPORT_INTERVAL));
            }
        }
    }

    fn deliver(&mut self) {
        while let Some(event) = self.outbox.pop_front() {
            if let Err(event) = self.sink.offer(event) {
                self.outbox.push_front(event);
                self.timers.set(Timer::Deliver, after(boottime_ns(), DELIVER_INTERVAL));
                return;
            }
        }
    }

    fn report_drops(&mut self) {
        for reason in DropReason::ALL {
            let total = self.shared.counters.total(reason);
            let reported = &mut self.reported[reason as usize - 1];
            let count = total - *reported;
            if count > 0 && self.outbox.is_empty() {
                *reported = total;
                self.emit(NetEvent::Dropped { reason, count });
            }
        }
    }

    fn leave(mut self, events: &mut Events) -> io::Result<()> {
        for connection in self.connections.values_mut() {
            if let Phase::Open(open) = &mut connection.phase {
                open.goodbye = Some(Goodbye::Leaving);
            }
        }
        self.connections.retain(|_, connection| matches!(connection.phase, Phase::Open(_)));
        let limit = after(boottime_ns(), LEAVE_TIMEOUT);
        loop {
            let now = boottime_ns();
            self.connections.retain(|_, connection| !has_left(connection, &mut self.scratch, now));
            if self.connections.is_empty() || now >= limit {
                return Ok(());
            }
            self.poll.poll(events, Some(Duration::from_nanos(limit - now)))?;
        }
    }
}

/// Is the goodbye written, and did the peer close its side?
///
/// To close with unread bytes would make the kernel throw away what it has not sent.
fn has_left(connection: &mut Connection, scratch: &mut [u8], now: u64) -> bool {
    if connection.write(now) != Writing::Done {
        return false;
    }
    // Again and again does no harm.
    let _ = connection.socket.shutdown(std::net::Shutdown::Write);
    loop {
        let unread = connection.input.unread().len();
        connection.input.consume(unread);
        match connection.read(scratch, now) {
            Reading::Bytes(_) => {}
            Reading::Nothing => return false,
            Reading::End(_) => return true,
        }
    }
}

/// A point in time, in nanoseconds on the boot-time clock.
pub(super) fn after(now: u64, delay: Duration) -> u64 {
    now.saturating_add(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX))
}
