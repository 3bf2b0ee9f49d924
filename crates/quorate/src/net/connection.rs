//! One TCP connection: its phase, its buffers, reading and writing without waiting.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use super::event::{Closed, Goodbye};
use super::frame::{Input, Session};
use super::handshake::{Calling, Proved};
use super::shared::PeerShared;

/// A connection is filled with about this much at a time, and written to before more is sealed.
const OUTPUT_BYTES: usize = 64 * 1024;
/// One connection writes at most this much before the others have their turn.
const WRITE_BUDGET: usize = 1024 * 1024;

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To become the stream to the peer.
    Stream,
    /// To see whether anybody listens.
    Probe,
}

/// How far a connection is.
pub(super) enum Phase {
    /// We called, the kernel has no answer.
    Connecting(Purpose),
    /// We asked whether anybody listens.
    Probing,
    /// We greeted and wait for the answer.
    Calling(Box<Calling>),
    /// Somebody called and has not greeted.
    Accepting,
    /// A peer greeted and was answered; it may be a recording until its first frame comes.
    AwaitingFrame(Box<Proved>),
    /// It is the stream to the peer.
    Open(Box<OpenStream>),
    /// Between two of the above.
    Moving,
}

/// The state of an open stream.
pub(super) struct OpenStream {
    pub(super) incarnation: u64,
    pub(super) session: Session,
    pub(super) goodbye: Option<Goodbye>,
    peer: Arc<PeerShared>,
    /// The message that is going out, and how much of it has been sealed.
    current: Option<(Vec<u8>, usize)>,
}

impl OpenStream {
    pub(super) fn new(proved: Proved, peer: Arc<PeerShared>) -> OpenStream {
        OpenStream {
            incarnation: proved.hello.incarnation,
            session: proved.session,
            goodbye: None,
            peer,
            current: None,
        }
    }

    fn fill(&mut self, out: &mut Vec<u8>) {
        while out.len() < OUTPUT_BYTES {
            if let Some((message, sealed)) = &mut self.current {
                *sealed += self.session.seal_part(&message[*sealed..], out);
                if *sealed == message.len() {
                    self.current = None;
                }
            } else if let Some(message) = self.peer.next_message() {
                self.current = Some((message, 0));
            } else {
                if let Some(reason) = self.goodbye.take() {
                    self.session.seal_goodbye(reason, out);
                }
                return;
            }
        }
    }
}

/// What one reading gave.
pub(super) enum Reading {
    Nothing,
    Bytes(usize),
    End(Closed),
}

/// What is left to write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// Nothing.
    Done,
    /// The kernel will say when it takes more.
    Blocked,
    /// It is the turn of others.
    Yielded,
}

/// One TCP connection.
pub(super) struct Connection {
    pub(super) socket: mio::net::TcpStream,
    pub(super) address: SocketAddr,
    pub(super) path: u8,
    pub(super) peer: Option<u16>,
    pub(super) phase: Phase,
    pub(super) input: Input,
    pub(super) output: Vec<u8>,
    pub(super) is_readable: bool,
    pub(super) last_received: u64,
    pub(super) last_sent: u64,
    sent: usize,
    write_error: Option<Closed>,
}

impl Connection {
    pub(super) fn new(
        socket: mio::net::TcpStream,
        address: SocketAddr,
        path: u8,
        phase: Phase,
    ) -> Connection {
        Connection {
            socket,
            address,
            path,
            peer: None,
            phase,
            input: Input::default(),
            output: Vec::new(),
            is_readable: false,
            last_received: 0,
            last_sent: 0,
            sent: 0,
            write_error: None,
        }
    }

    /// Reads once.
    pub(super) fn read(&mut self, scratch: &mut [u8], now: u64) -> Reading {
        loop {
            match self.socket.read(scratch) {
                Ok(0) => return Reading::End(Closed::Eof),
                Ok(length) => {
                    self.input.extend(&scratch[..length]);
                    self.last_received = now;
                    return Reading::Bytes(length);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_readable = false;
                    // Whatever the peer said before it closed has been read by now.
                    return self.write_error.map_or(Reading::Nothing, Reading::End);
                }
                Err(error) => return Reading::End(how_it_ended(&error)),
            }
        }
    }

    /// Writes what there is to write. An error shows at the next reading, after what can be read.
    pub(super) fn write(&mut self, now: u64) -> Writing {
        let mut budget = WRITE_BUDGET;
        while self.write_error.is_none() {
            if self.sent == self.output.len() {
                self.output.clear();
                self.sent = 0;
                if let Phase::Open(open) = &mut self.phase {
                    open.fill(&mut self.output);
                }
                if self.output.is_empty() {
                    return Writing::Done;
                }
            }
            if budget == 0 {
                return Writing::Yielded;
            }
            match self.socket.write(&self.output[self.sent..]) {
                Ok(length) => {
                    self.sent += length;
                    self.last_sent = now;
                    budget = budget.saturating_sub(length);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Writing::Blocked,
                Err(error) => {
                    self.write_error = Some(how_it_ended(&error));
                    self.is_readable = true;
                    return Writing::Yielded;
                }
            }
        }
        Writing::Blocked
    }
}

fn how_it_ended(error: &io::Error) -> Closed {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Closed::Reset,
        io::ErrorKind::TimedOut => Closed::TimedOut,
        _ => Closed::Lost,
    }
}
