//! A guest's state as a stream, out of one QEMU and into another.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use serde_json::json;

use super::instance::{Instance, accept, bind};
use crate::drivers::{DriverError, SaveSink};

/// The state goes at the full speed of a local socket: the guest stands still meanwhile.
const BYTES_PER_SECOND_MAX: u64 = 1 << 40;

/// How long a QEMU may take to give up a transfer.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// Stops the guest and has `sink` store its whole state. Afterwards the guest stands still in any
/// case; after `Ok` it must not be continued.
pub(super) fn save(
    instance: &Instance,
    sink: &mut dyn SaveSink,
    deadline: Instant,
) -> Result<(), DriverError> {
    let errors_before = instance.watch().io_errors();
    instance.execute("stop", json!({}), deadline)?;
    let listener = bind(&instance.files().state)?;
    let limits = json!({ "max-bandwidth": BYTES_PER_SECOND_MAX, "downtime-limit": 2_000_000 });
    instance.execute("migrate-set-parameters", limits, deadline)?;
    instance.watch().forget_migration();
    let uri = uri(instance)?;
    instance.execute("migrate", json!({ "uri": uri }), deadline)?;
    let outcome = receive(instance, &listener, sink, deadline);
    // A guest whose last write failed is not whole: on another node it would only repeat it, but
    // whoever reads the reports here must not see a good save after a bad disk.
    if outcome.is_ok() && instance.watch().io_errors() != errors_before {
        return Err(DriverError::Hypervisor { reason: "a disk error came in between".to_owned() });
    }
    outcome
}

fn receive(
    instance: &Instance,
    listener: &UnixListener,
    sink: &mut dyn SaveSink,
    deadline: Instant,
) -> Result<(), DriverError> {
    let stream = accept(listener, instance.child(), deadline, "the guest's state")?;
    let mut state = StateReader { instance, stream, deadline, is_whole: false };
    let stored = sink.store(&mut state);
    let is_whole = state.is_whole;
    drop(state);
    match stored {
        Ok(()) if is_whole => Ok(()),
        Ok(()) => Err(DriverError::Hypervisor {
            reason: "the sink did not read the state to its end".to_owned(),
        }),
        Err(error) => Err(DriverError::Hypervisor { reason: error.to_string() }),
    }
}

/// Ends a transfer that did not succeed, so that the guest can be continued.
pub(super) fn give_up(instance: &Instance) {
    let deadline = Instant::now() + CANCEL_TIMEOUT;
    if instance.execute("migrate_cancel", json!({}), deadline).is_ok() {
        // When there was none under way no end is told either; continuing then needs no wait.
        let is_over =
            |status: &str| matches!(status, "completed" | "failed" | "cancelled" | "none");
        let status = instance.execute("query-migrate", json!({}), deadline);
        let known = status.ok().and_then(|value| value["status"].as_str().map(is_over));
        if known == Some(false) {
            let _ = instance.watch().wait_migration(deadline);
        }
    }
}

/// Feeds `source` to a QEMU that was started to load a guest, and waits until it has it.
pub(super) fn load(
    instance: &Instance,
    source: &mut dyn Read,
    deadline: Instant,
) -> Result<(), DriverError> {
    let uri = uri(instance)?;
    instance.watch().forget_migration();
    instance.execute("migrate-incoming", json!({ "uri": uri }), deadline)?;
    let path = &instance.files().state;
    let stream = UnixStream::connect(path)
        .map_err(|error| DriverError::Hypervisor { reason: error.to_string() })?;
    let fed = feed(&stream, source, deadline);
    // QEMU's own word comes first: a broken pipe here only says that it gave up.
    let ended = instance.watch().wait_migration(match &fed {
        Ok(()) => deadline,
        Err(_) => deadline.min(Instant::now() + CANCEL_TIMEOUT),
    });
    let reason = match (fed, ended) {
        (Ok(()), Ok(status)) if status == "completed" => return Ok(()),
        (Err(FeedError::Source(error)), _) => error.to_string(),
        (_, Ok(status)) => format!("loading {status}"),
        (_, Err(error)) => match instance.death() {
            Some(death) => death.to_string(),
            None => return Err(error),
        },
    };
    Err(DriverError::SaveRejected { reason })
}

enum FeedError {
    Source(io::Error),
    Socket,
}

fn feed(stream: &UnixStream, source: &mut dyn Read, deadline: Instant) -> Result<(), FeedError> {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let count = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let _ = stream.shutdown(Shutdown::Both);
                return Err(FeedError::Source(error));
            }
        };
        let left = time_left(deadline).map_err(|_| FeedError::Socket)?;
        stream.set_write_timeout(Some(left)).map_err(|_| FeedError::Socket)?;
        let mut socket = stream;
        io::Write::write_all(&mut socket, &buffer[..count]).map_err(|_| FeedError::Socket)?;
    }
    stream.shutdown(Shutdown::Write).map_err(|_| FeedError::Socket)
}

/// The state as it comes out of QEMU. It ends well only if QEMU says that it was all.
struct StateReader<'a> {
    instance: &'a Instance,
    stream: UnixStream,
    deadline: Instant,
    is_whole: bool,
}

impl Read for StateReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_whole {
            return Ok(0);
        }
        if self.instance.is_cancelled() {
            // What is left in the socket is of a dead guest.
            return Err(io::Error::other("cancelled by a kill"));
        }
        self.stream.set_read_timeout(Some(time_left(self.deadline)?))?;
        let count = self.stream.read(buffer)?;
        if count > 0 || buffer.is_empty() {
            return Ok(count);
        }
        let ended = self.instance.watch().wait_migration(self.deadline);
        match ended.map_err(io::Error::other)?.as_str() {
            "completed" => {
                self.is_whole = true;
                Ok(0)
            }
            status => Err(io::Error::other(format!("the transfer of the guest's state {status}"))),
        }
    }
}

fn uri(instance: &Instance) -> Result<String, DriverError> {
    let path = &instance.files().state;
    match path.to_str() {
        Some(text) => Ok(format!("unix:{text}")),
        None => {
            let reason = format!("work directory {} is not UTF-8", path.display());
            Err(DriverError::Context { reason })
        }
    }
}

fn time_left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "the deadline has passed"));
    }
    Ok(left)
}
