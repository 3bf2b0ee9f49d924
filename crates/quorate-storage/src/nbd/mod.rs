//! A LUN's range as an NBD server on a Unix socket: how a guest writes through our nexus.
//!
//! ```text
//! QEMU --socket--> reader thread --queue--> workers --> Lun
//! ```
//!
//! Owns its threads and its socket. Several requests are under way at once; NBD promises no order
//! among them. Trim and write-zeroes are not offered.
//!
//! Architecture invariant: after `NbdServer::stop` has returned, no write is issued any more.

mod serve;
mod wire;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags};

use self::serve::{Connections, Queue, Server};
use self::wire::Export;
use crate::{Lun, LunError};

/// Requests carried out at once, each by a thread of its own.
const WORKERS: usize = 16;
/// Connections at once; one more is closed at once.
const CONNECTIONS_MAX: usize = 8;
/// How long is rested when a connection could not be taken.
const ACCEPT_REST: rustix::event::Timespec =
    rustix::event::Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// A write that has ended, as the bridge saw it.
#[derive(Debug)]
pub struct WriteRecord<'a> {
    /// From the start of the exported range, in bytes.
    pub offset: u64,
    /// What was to be written.
    pub data: &'a [u8],
    /// What became of it. An FUA write that was written and then not flushed is an error, too.
    pub outcome: Result<(), &'a LunError>,
}

/// Sees every write that was handed to the LUN, after its end and before its reply.
#[derive(Clone)]
pub struct WriteHook(Arc<dyn Fn(&WriteRecord<'_>) + Send + Sync>);

impl WriteHook {
    /// Called from several threads at once; keep it short.
    pub fn new(hook: impl Fn(&WriteRecord<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }
}

impl fmt::Debug for WriteHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WriteHook")
    }
}

/// What a server exports, and where.
#[derive(Debug, Clone)]
pub struct NbdOptions {
    /// Path of the socket, at most 107 bytes; made with mode 0600. A socket that nobody serves is
    /// replaced.
    pub socket: PathBuf,
    /// Where the guest's disk begins on the LUN, in bytes, a multiple of the block size.
    pub offset: u64,
    /// Size of the guest's disk in bytes, a multiple of the block size.
    pub length: u64,
    /// Sees every write; `None` costs nothing.
    pub hook: Option<WriteHook>,
    /// For how long a request waits until its nexus is registered again, beside the LUN's own time-out; then it is
    /// refused. For a path that is away it waits until the server stops: the guest sees a slow disk meanwhile. What a
    /// target that lets us in does not answer three times has failed.
    pub patience: Duration,
}

/// A running server. Dropping it stops it.
pub struct NbdServer {
    socket: PathBuf,
    server: Arc<Server>,
    stop: Arc<OwnedFd>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl fmt::Debug for NbdServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NbdServer").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl NbdServer {
    /// Listens on the socket and serves until `stop`.
    ///
    /// # Errors
    ///
    /// `Misuse` for a range that is not on the LUN or not aligned, a path that is too long, or a
    /// socket that another program serves; `Denied` or `Io` from the operating system.
    pub fn start(lun: Arc<dyn Lun>, options: NbdOptions) -> Result<Self, LunError> {
        let capabilities = lun.capabilities();
        let length = usize::try_from(options.length)
            .map_err(|_| LunError::misuse("the range is too long"))?;
        crate::lun::check_range(&capabilities, options.offset, length)?;
        if length == 0 {
            return Err(LunError::misuse("the range to serve is empty"));
        }
        let listener = listen(&options.socket)?;
        let failed = |error: io::Error| LunError::io(options.socket.display(), &error);
        let stop = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let stop = Arc::new(stop.map_err(|errno| failed(errno.into()))?);
        let server = Arc::new(Server {
            lun,
            offset: options.offset,
            export: Export { length: options.length, block_bytes: capabilities.block_bytes },
            hook: options.hook,
            patience: options.patience,
            queue: Queue::default(),
            connections: Connections::default(),
        });
        let running = Self {
            socket: options.socket.clone(),
            server,
            stop,
            threads: Mutex::new(Vec::with_capacity(WORKERS + 1)),
        };
        for _ in 0..WORKERS {
            let server = Arc::clone(&running.server);
            running.thread("quorate-nbd-io", move || server.work()).map_err(failed)?;
        }
        let (server, stop) = (Arc::clone(&running.server), Arc::clone(&running.stop));
        running.thread("quorate-nbd", move || accept(&listener, &stop, &server)).map_err(failed)?;
        Ok(running)
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Drops what has not been handed to the LUN, waits for what has (bounded by the LUN's
    /// time-out), closes all.
    ///
    /// After this returns no write is issued. Calling it again does nothing. Kill the guest first:
    /// it sees its disk go.
    pub fn stop(&self) {
        self.server.queue.close();
        self.server.connections.close();
        // Only a full counter can fail, and then the bell rings already.
        let _ = rustix::io::write(&*self.stop, &1_u64.to_ne_bytes());
        let threads = std::mem::take(&mut *self.threads.lock());
        if threads.is_empty() {
            return;
        }
        for thread in threads {
            // A thread that panicked issues nothing more either.
            let _ = thread.join();
        }
        // Gone already if somebody tidied up.
        let _ = std::fs::remove_file(&self.socket);
    }

    fn thread(&self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work)?;
        self.threads.lock().push(thread);
        Ok(())
    }
}

impl Drop for NbdServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn listen(path: &Path) -> Result<UnixListener, LunError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::InvalidInput => LunError::misuse(format!("{}: {error}", path.display())),
        _ => LunError::io(path.display(), &error),
    };
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if UnixStream::connect(path).is_ok() {
                return Err(LunError::misuse(format!(
                    "{} is served by another program",
                    path.display()
                )));
            }
            std::fs::remove_file(path).map_err(failed)?;
            UnixListener::bind(path).map_err(failed)?
        }
        result => result.map_err(failed)?,
    };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// Takes connections until told to stop, then waits for their readers.
fn accept(listener: &UnixListener, stop: &OwnedFd, server: &Arc<Server>) {
    let mut readers: Vec<JoinHandle<()>> = Vec::new();
    loop {
        let mut polled = [PollFd::new(listener, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
        // Interrupted or not: look what there is.
        let _ = rustix::event::poll(&mut polled, None);
        if !polled[1].revents().is_empty() {
            break;
        }
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    // Out of descriptors, say: the caller still waits, so poll would not.
                    tracing::warn!(%error, "NBD: no connection taken");
                    let mut told = [PollFd::new(stop, PollFlags::IN)];
                    let _ = rustix::event::poll(&mut told, Some(&ACCEPT_REST));
                }
                continue;
            }
        };
        readers.retain(|reader| !reader.is_finished());
        if readers.len() >= CONNECTIONS_MAX {
            tracing::warn!("NBD: more than {CONNECTIONS_MAX} connections, one closed");
            continue;
        }
        let server = Arc::clone(server);
        let reader = std::thread::Builder::new()
            .name("quorate-nbd-in".to_owned())
            .spawn(move || server.serve(stream));
        match reader {
            Ok(reader) => readers.push(reader),
            Err(error) => tracing::warn!(%error, "NBD: no thread for a connection"),
        }
    }
    for reader in readers {
        // A reader that panicked issues nothing more either.
        let _ = reader.join();
    }
}
