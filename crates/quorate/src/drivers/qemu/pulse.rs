//! Where a guest's heartbeats come from: its serial port, or its guest agent.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::drivers::qmp::Lines;

/// Reads the guest's serial port for as long as QEMU lives: each line that begins with `prefix` is a
/// beat. With `stamped` each line is also written there, behind the moment at which it came.
pub(super) fn follow_serial(
    stream: UnixStream,
    prefix: String,
    beats: Sender<Instant>,
    stamped: Option<&Path>,
) -> io::Result<()> {
    let mut stamps = match stamped {
        Some(path) => Some(OpenOptions::new().create(true).append(true).mode(0o600).open(path)?),
        None => None,
    };
    let mut lines = Lines::new(stream);
    let body = move || {
        // An error is the end too: a guest that prints a line without end has no heartbeat.
        while let Ok(Some(line)) = lines.next() {
            if line.starts_with(prefix.as_bytes()) {
                // Full: the watcher has beats to read.
                let _ = beats.try_send(Instant::now());
            }
            if let Some(file) = &mut stamps {
                let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
                let mut text = format!("{}{:09} ", now.tv_sec, now.tv_nsec).into_bytes();
                text.extend_from_slice(&line);
                text.push(b'\n');
                if let Err(error) = file.write_all(&text) {
                    tracing::warn!(%error, "cannot write serial.stamped");
                    stamps = None;
                }
            }
        }
    };
    thread::Builder::new().name("serial".to_owned()).spawn(body).map(|_| ())
}

/// Pings the guest agent three times per `timeout` for as long as QEMU lives: each answer is a beat.
///
/// Source: QEMU qga/qapi-schema.json, guest-ping.
pub(super) fn ping_agent(
    mut stream: UnixStream,
    timeout: Duration,
    beats: Sender<Instant>,
) -> io::Result<()> {
    let interval = timeout / 3;
    stream.set_read_timeout(Some(interval))?;
    stream.set_write_timeout(Some(interval))?;
    let mut lines = Lines::new(stream.try_clone()?);
    let body = move || {
        loop {
            let started = Instant::now();
            match stream.write_all(b"{\"execute\":\"guest-ping\"}\n") {
                Ok(()) => {}
                // The guest does not read yet, and enough pings wait for it.
                Err(error) if is_timeout(&error) => {}
                Err(_) => break,
            }
            match lines.next() {
                Ok(Some(_)) => {
                    let _ = beats.try_send(Instant::now());
                    thread::sleep(interval.saturating_sub(started.elapsed()));
                }
                Err(error) if is_timeout(&error) => {}
                Ok(None) | Err(_) => break,
            }
        }
    };
    thread::Builder::new().name("agent".to_owned()).spawn(body).map(|_| ())
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
