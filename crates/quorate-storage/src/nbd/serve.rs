//! What the threads of a server do: readers take requests off a connection, workers carry them out.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::net::SendFlags;

use super::wire::{self, Export, Header, Operation};
use super::{WriteHook, WriteRecord};
use crate::{Lun, LunError};

/// Requests, and bytes of them, that wait or are under way before a reader pauses.
const QUEUE_MAX: usize = 256;
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// How often a request is sent again that was not answered by a target that is there.
const UNANSWERED_MAX: u32 = 2;
/// Between two attempts while the path is away, each of which takes the LUN's time-out.
const RETRY_REST: Duration = Duration::from_millis(10);

pub(super) struct Server {
    pub(super) lun: Arc<dyn Lun>,
    pub(super) offset: u64,
    pub(super) export: Export,
    pub(super) hook: Option<WriteHook>,
    pub(super) patience: Duration,
    pub(super) queue: Queue,
    pub(super) connections: Connections,
}

/// One request on its way to a worker.
struct Job {
    header: Header,
    data: Vec<u8>,
    client: Arc<Client>,
}

impl Job {
    fn bytes(&self) -> usize {
        self.header.length as usize
    }
}

/// The answering half of a connection.
struct Client {
    stream: Mutex<UnixStream>,
}

impl Client {
    fn reply(&self, cookie: u64, error: u32, data: &[u8]) {
        let reply = wire::reply(cookie, error, data);
        let stream = self.stream.lock();
        if send_all(&stream, &reply).is_err() {
            // The reader notices, and ends the connection.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// As `write_all`, but a client that hung up raises no SIGPIPE in a host that left it alone.
fn send_all(stream: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::net::send(stream, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// A stream whose writes raise no SIGPIPE, for the handshake.
struct Quiet<'a>(&'a UnixStream);

impl Read for Quiet<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Quiet<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        send_all(self.0, bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Requests that wait for a worker, bounded.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<QueueState>,
    filled: Condvar,
    drained: Condvar,
}

#[derive(Default)]
struct QueueState {
    jobs: VecDeque<Job>,
    /// Bytes and count of the requests that wait or are under way.
    bytes: usize,
    count: usize,
    closed: bool,
}

impl Queue {
    /// Waits for room. `false`: the server is stopping.
    fn push(&self, job: Job) -> bool {
        let mut state = self.state.lock();
        while !state.closed && (state.count >= QUEUE_MAX || state.bytes >= QUEUE_BYTES_MAX) {
            self.drained.wait(&mut state);
        }
        if state.closed {
            return false;
        }
        state.bytes += job.bytes();
        state.count += 1;
        state.jobs.push_back(job);
        self.filled.notify_one();
        true
    }

    /// Waits for a request. `None`: the server is stopping.
    fn pop(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            self.filled.wait(&mut state);
        }
    }

    fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    fn finished(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.bytes -= bytes;
        state.count -= 1;
        self.drained.notify_all();
    }

    /// Drops what waits, and lets nothing more through.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.jobs.clear();
        self.filled.notify_all();
        self.drained.notify_all();
    }
}

/// The open connections, so that they can be closed from outside.
#[derive(Default)]
pub(super) struct Connections {
    state: Mutex<ConnectionsState>,
}

#[derive(Default)]
struct ConnectionsState {
    streams: BTreeMap<u64, UnixStream>,
    next: u64,
    closed: bool,
}

impl Connections {
    fn add(&self, stream: &UnixStream) -> io::Result<Option<u64>> {
        let mut state = self.state.lock();
        if state.closed {
            return Ok(None);
        }
        let id = state.next;
        state.next += 1;
        state.streams.insert(id, stream.try_clone()?);
        Ok(Some(id))
    }

    fn remove(&self, id: u64) {
        self.state.lock().streams.remove(&id);
    }

    /// Hangs up, so that nobody waits for a client that does not read.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        for stream in state.streams.values() {
            // Fails if the client has gone, which is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Server {
    /// The life of one connection.
    pub(super) fn serve(&self, stream: UnixStream) {
        let Ok(Some(id)) = self.connections.add(&stream) else { return };
        match self.converse(&stream) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => tracing::warn!(%error, "NBD: connection ended"),
        }
        self.connections.remove(id);
    }

    fn converse(&self, stream: &UnixStream) -> io::Result<()> {
        if !wire::negotiate(&mut Quiet(stream), self.export)? {
            return Ok(());
        }
        let client = Arc::new(Client { stream: Mutex::new(stream.try_clone()?) });
        let mut input = io::BufReader::with_capacity(64 << 10, stream);
        loop {
            let header = wire::read_header(&mut input)?;
            if header.operation == Operation::Disconnect {
                return Ok(());
            }
            if header.length > wire::PAYLOAD_MAX {
                return Err(wire::invalid("a request above 32 MiB"));
            }
            let mut data = Vec::new();
            if header.operation == Operation::Write {
                data.resize(header.length as usize, 0);
                input.read_exact(&mut data)?;
            }
            if !self.queue.push(Job { header, data, client: Arc::clone(&client) }) {
                return Ok(());
            }
        }
    }

    /// The life of one worker.
    pub(super) fn work(&self) {
        while let Some(job) = self.queue.pop() {
            let mut data = Vec::new();
            let error = match self.carry_out(&job, &mut data) {
                Ok(()) => 0,
                Err(error) => {
                    data.clear();
                    error
                }
            };
            job.client.reply(job.header.cookie, error, &data);
            self.queue.finished(job.bytes());
        }
    }

    /// Does what a request asks; an error is one of NBD's numbers.
    fn carry_out(&self, job: &Job, data: &mut Vec<u8>) -> Result<(), u32> {
        let Header { flags, operation, offset, length, .. } = job.header;
        let fits = offset.checked_add(length.into()).is_some_and(|end| end <= self.export.length);
        match operation {
            Operation::Read | Operation::Write if !fits || length == 0 => Err(wire::EINVAL),
            Operation::Read => {
                data.resize(length as usize, 0);
                let read = self.patiently(|| self.lun.read_at(self.offset + offset, data));
                read.map_err(|error| number(&error))
            }
            Operation::Write => self.write(offset, &job.data, flags & wire::COMMAND_FUA != 0),
            Operation::Flush => self.patiently(|| self.lun.flush()).map_err(|error| number(&error)),
            Operation::Disconnect | Operation::Other => Err(wire::EINVAL),
        }
    }

    fn write(&self, offset: u64, data: &[u8], through: bool) -> Result<(), u32> {
        let written = self.patiently(|| self.lun.write_at(self.offset + offset, data));
        let flushed = || self.patiently(|| self.lun.flush());
        let outcome = if through { written.and_then(|()| flushed()) } else { written };
        if let Some(hook) = &self.hook {
            (hook.0)(&WriteRecord { offset, data, outcome: outcome.as_ref().copied() });
        }
        outcome.map_err(|error| number(&error))
    }
}

impl Server {
    /// Tries again for as long as the path is away. A write that may have happened is written once more, with the same
    /// bytes, and only while this nexus is registered.
    fn patiently(&self, mut act: impl FnMut() -> Result<(), LunError>) -> Result<(), LunError> {
        let (mut stranger_since, mut unanswered) = (None, 0);
        loop {
            let outcome = act();
            match outcome {
                Err(LunError::PathLost { .. }) => stranger_since = None,
                // Its target may have gone in that moment. One that lets us in and answers nothing is broken.
                Err(LunError::TimedOut { .. }) if unanswered < UNANSWERED_MAX => {
                    (stranger_since, unanswered) = (None, unanswered + 1);
                }
                // The path is back, and the registration is being taken again, or is lost for good.
                Err(LunError::NotRegistered)
                    if stranger_since.get_or_insert_with(Instant::now).elapsed()
                        < self.patience => {}
                outcome => return outcome,
            }
            if self.queue.is_closed() {
                return outcome;
            }
            std::thread::sleep(RETRY_REST);
        }
    }
}

/// A refusal must look unlike a broken disk: QEMU shows EPERM as "Operation not permitted".
fn number(error: &LunError) -> u32 {
    match error {
        LunError::ReservationConflict | LunError::NotRegistered | LunError::Denied { .. } => {
            wire::EPERM
        }
        LunError::Misuse { .. } | LunError::Unsupported { .. } => wire::EINVAL,
        LunError::Io { kind: io::ErrorKind::StorageFull, .. } => wire::ENOSPC,
        LunError::Io { .. }
        | LunError::PathLost { .. }
        | LunError::TimedOut { .. }
        | LunError::Corrupt { .. } => wire::EIO,
    }
}
