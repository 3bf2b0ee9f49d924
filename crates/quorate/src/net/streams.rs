//! What the network thread does with a connection, from the first byte to the last.

use std::io::{self, Write};
use std::sync::Arc;

use super::clock::boottime_ns;
use super::connection::{Connection, OpenStream, Phase, Purpose, Reading, Writing};
use super::event::{Closed, DropReason, NetEvent};
use super::frame::Frame;
use super::handshake::{Greeting, Hello, Identity, Proved};
use super::reactor::{Reactor, after};
use super::socket;
use super::timers::Timer;

/// One connection reads at most this much before the others have their turn.
const READ_BUDGET: usize = 1024 * 1024;
/// A silent stream gives a sign of life so often within the stream timeout.
const PINGS: u32 = 4;

/// Why a connection ends.
pub(super) enum End {
    /// The other side, or the network.
    Closed(Closed),
    /// It cannot become a stream, as seen here or as told by the other side.
    Fault(DropReason),
    /// Connecting failed.
    Connect(io::Error),
    /// It did not get far enough in time.
    TimedOut,
    /// Somebody saw that we listen.
    Probed,
    /// We saw that somebody listens.
    Answered,
}

impl Reactor {
    /// Does all that can be done on a connection now.
    pub(super) fn drive(&mut self, token: usize) {
        let Some(mut connection) = self.connections.remove(&token) else { return };
        match self.advance(token, &mut connection) {
            Ok(()) => {
                self.connections.insert(token, connection);
            }
            Err(end) => self.finish(token, connection, end),
        }
    }

    /// Drops a connection without a word to anybody.
    pub(super) fn forget(&mut self, token: usize) -> Option<Connection> {
        self.timers.cancel(Timer::Connection(token));
        self.ready.remove(&token);
        self.half_open.remove(&token);
        self.connections.remove(&token)
    }

    /// A connection's time limit has come.
    pub(super) fn on_limit(&mut self, token: usize, now: u64) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        if !matches!(connection.phase, Phase::Open(_)) {
            if let Some(connection) = self.forget(token) {
                self.finish(token, connection, End::TimedOut);
            }
            return;
        }
        // What lies in the socket counts, however late we are.
        connection.is_readable = true;
        self.drive(token);
        let (timeout, ping) = (self.limits.stream_timeout, self.limits.stream_timeout / PINGS);
        let is_held_up = !self.outbox.is_empty() || self.ready.contains(&token);
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let silent_at = after(connection.last_received, timeout);
        if silent_at <= now && !is_held_up {
            if let Some(connection) = self.forget(token) {
                self.finish(token, connection, End::Closed(Closed::TimedOut));
            }
            return;
        }
        if after(connection.last_sent, ping) <= now
            && let Phase::Open(open) = &mut connection.phase
        {
            if connection.output.is_empty() {
                open.session.seal_ping(&mut connection.output);
            }
            self.ready.insert(token);
        }
        let next_ping = after(connection.last_sent.max(now), ping);
        let limit = if is_held_up { next_ping } else { next_ping.min(silent_at) };
        self.timers.set(Timer::Connection(token), limit);
    }

    /// Ends a connection that is no longer in the table.
    pub(super) fn finish(&mut self, token: usize, connection: Connection, end: End) {
        self.forget(token);
        match connection.phase {
            Phase::Open(ref open) => {
                let how = match end {
                    End::Closed(how) => how,
                    End::TimedOut => Closed::TimedOut,
                    _ => Closed::Corrupt,
                };
                let incarnation = open.incarnation;
                self.on_stream_closed(&connection, incarnation, how);
            }
            Phase::Accepting | Phase::AwaitingFrame(_) => self.on_caller_gone(connection, end),
            Phase::Connecting(_) | Phase::Probing | Phase::Calling(_) | Phase::Moving => {
                self.on_attempt_ended(token, &connection, end);
            }
        }
    }

    fn advance(&mut self, token: usize, connection: &mut Connection) -> Result<(), End> {
        if let Phase::Connecting(purpose) = connection.phase
            && !self.on_connected(token, connection, purpose)?
        {
            return Ok(());
        }
        let now = boottime_ns();
        self.write(token, connection, now);
        let mut budget = READ_BUDGET;
        if !connection.input.unread().is_empty() && self.outbox.is_empty() {
            self.digest(token, connection)?;
        }
        while connection.is_readable {
            if !self.outbox.is_empty() || budget == 0 {
                self.ready.insert(token);
                break;
            }
            match connection.read(&mut self.scratch, now) {
                Reading::Nothing => break,
                Reading::Bytes(length) => {
                    budget = budget.saturating_sub(length);
                    self.digest(token, connection)?;
                }
                Reading::End(how) => return Err(End::Closed(how)),
            }
        }
        self.write(token, connection, now);
        Ok(())
    }

    fn write(&mut self, token: usize, connection: &mut Connection, now: u64) {
        if connection.write(now) == Writing::Yielded {
            self.ready.insert(token);
        }
    }

    /// Goes on once the kernel has connected; false while it has not.
    fn on_connected(
        &mut self,
        token: usize,
        connection: &mut Connection,
        purpose: Purpose,
    ) -> Result<bool, End> {
        if let Some(error) = connection.socket.take_error().map_err(End::Connect)? {
            return Err(End::Connect(error));
        }
        let address = match connection.socket.peer_addr() {
            Ok(address) => address,
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(false),
            Err(error) => return Err(End::Connect(error)),
        };
        if connection.socket.local_addr().is_ok_and(|own| own == address) {
            // TCP can connect a free port to itself. Nobody listens there.
            return Err(End::Connect(io::ErrorKind::ConnectionRefused.into()));
        }
        socket::prepare_stream(&connection.socket, self.limits.stream_timeout)
            .map_err(End::Connect)?;
        connection.phase = match (purpose, connection.peer) {
            (Purpose::Stream, Some(peer)) => {
                let next = self.links.get(&peer).map_or(1, |link| link.shared.next_sequence());
                let (bytes, calling) = self.identity.call(peer, next);
                connection.output.extend_from_slice(&bytes);
                Phase::Calling(Box::new(calling))
            }
            _ => {
                connection.output.extend_from_slice(&self.identity.probe());
                Phase::Probing
            }
        };
        let limit = after(boottime_ns(), self.limits.handshake_timeout);
        self.timers.set(Timer::Connection(token), limit);
        Ok(true)
    }

    /// Uses up what came in.
    fn digest(&mut self, token: usize, connection: &mut Connection) -> Result<(), End> {
        match std::mem::replace(&mut connection.phase, Phase::Moving) {
            Phase::Probing => {
                connection.phase = Phase::Probing;
                return Err(End::Answered);
            }
            Phase::Calling(calling) => match Identity::has_answer(&connection.input) {
                Ok(false) => connection.phase = Phase::Calling(calling),
                Ok(true) => {
                    let proved = self.identity.read_answer(*calling, &mut connection.input);
                    let mut proved = proved.map_err(End::Fault)?;
                    proved.session.seal_ping(&mut connection.output);
                    self.open_stream(token, connection, proved)?;
                }
                Err(reason) => return Err(End::Fault(reason)),
            },
            Phase::Accepting => {
                connection.phase = Phase::Accepting;
                return self.on_greeting(connection);
            }
            Phase::AwaitingFrame(mut proved) => {
                let frame = proved.session.open_next(&mut connection.input);
                match frame {
                    Ok(None) => connection.phase = Phase::AwaitingFrame(proved),
                    Ok(Some(frame)) => {
                        self.open_stream(token, connection, *proved)?;
                        self.on_frame(connection, frame)?;
                    }
                    Err(_) => {
                        connection.phase = Phase::AwaitingFrame(proved);
                        return Err(End::Fault(DropReason::WrongKey));
                    }
                }
            }
            other => connection.phase = other,
        }
        self.read_frames(token, connection)
    }

    fn on_greeting(&mut self, connection: &mut Connection) -> Result<(), End> {
        match self.identity.read_greeting(&mut connection.input).map_err(End::Fault)? {
            Greeting::Incomplete => {}
            Greeting::Probe => return Err(End::Probed),
            Greeting::Stream(hello, answering) => {
                if hello.from >= self.me {
                    return Err(End::Fault(DropReason::WrongRole));
                }
                let next = self.check_run(hello)?;
                let (bytes, proved) = self.identity.welcome(hello, *answering, next);
                connection.output.extend_from_slice(&bytes);
                connection.peer = Some(hello.from);
                connection.phase = Phase::AwaitingFrame(Box::new(proved));
            }
        }
        Ok(())
    }

    /// Whether a peer may have a stream; if so, which datagram to it comes next.
    fn check_run(&self, hello: Hello) -> Result<u64, End> {
        let link = self.links.get(&hello.from).ok_or(End::Fault(DropReason::UnknownPeer))?;
        if hello.incarnation < link.incarnation {
            return Err(End::Fault(DropReason::OldIncarnation));
        }
        Ok(link.shared.next_sequence())
    }

    /// Makes a proved connection the stream to its peer.
    fn open_stream(
        &mut self,
        token: usize,
        connection: &mut Connection,
        proved: Proved,
    ) -> Result<(), End> {
        let Hello { from: peer, incarnation, next } = proved.hello;
        // The peer may have been removed, or restarted, since its greeting.
        self.check_run(proved.hello)?;
        self.give_up_attempts(peer, token);
        let Some(link) = self.links.get_mut(&peer) else {
            return Err(End::Fault(DropReason::UnknownPeer));
        };
        let shared = Arc::clone(&link.shared);
        let old = link.open.replace(token);
        link.incarnation = incarnation;
        link.refused.clear();
        link.quick_retries = 0;
        if let Some(Phase::Open(old)) = old.and_then(|old| self.forget(old)).map(|old| old.phase) {
            let how = Closed::Superseded;
            self.emit(NetEvent::StreamClosed { peer, incarnation: old.incarnation, how });
        }
        self.opener.on_proved(peer, incarnation, next);
        self.half_open.remove(&token);
        shared.set_open(true);
        let now = boottime_ns();
        (connection.last_received, connection.last_sent) = (now, now);
        connection.phase = Phase::Open(Box::new(OpenStream::new(proved, shared)));
        self.timers.set(Timer::Connection(token), after(now, self.limits.stream_timeout / PINGS));
        self.emit(NetEvent::StreamOpened { peer, incarnation, path: connection.path });
        Ok(())
    }

    fn read_frames(&mut self, token: usize, connection: &mut Connection) -> Result<(), End> {
        while let Phase::Open(open) = &mut connection.phase {
            if !self.outbox.is_empty() {
                self.ready.insert(token);
                return Ok(());
            }
            match open.session.open_next(&mut connection.input) {
                Ok(None) => return Ok(()),
                Ok(Some(frame)) => self.on_frame(connection, frame)?,
                Err(_) => return Err(End::Closed(Closed::Corrupt)),
            }
        }
        Ok(())
    }

    fn on_frame(&mut self, connection: &Connection, frame: Frame) -> Result<(), End> {
        match (frame, connection.peer, &connection.phase) {
            (Frame::Ping, _, _) => Ok(()),
            (Frame::Goodbye(reason), _, _) => Err(End::Closed(Closed::Goodbye(reason))),
            (Frame::Message(bytes), Some(peer), Phase::Open(open)) => {
                let incarnation = open.incarnation;
                self.emit(NetEvent::StreamMessage { peer, incarnation, bytes });
                Ok(())
            }
            (Frame::Message(_), _, _) => unreachable!("only an open stream of a peer has frames"),
        }
    }

    /// A caller that did not become a stream is told why, where that can help a person.
    fn on_caller_gone(&mut self, mut connection: Connection, end: End) {
        let (status, reason) = match end {
            End::Probed => (Some(0), None),
            End::Fault(DropReason::Malformed) => (None, Some(DropReason::Malformed)),
            End::Fault(reason) => (Some(reason as u8), Some(reason)),
            End::TimedOut => (None, Some(DropReason::HandshakeTimedOut)),
            // Somebody looked in and went, or a caller found a better way.
            End::Closed(_) | End::Connect(_) | End::Answered => (None, None),
        };
        if let Some(status) = status {
            // A single byte on a fresh connection fits; and nobody depends on it.
            let _ = connection.socket.write(&[status]);
        }
        if let Some(reason) = reason {
            self.complain(connection.address, None, reason);
        }
    }
}
