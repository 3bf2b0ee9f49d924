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

/// Reads the guest's serial port for as long as QEMU lives: each line that begins with `prefix` is
/// a beat. With `stamped` each line is also written there, behind the moment at which it came.
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

/// Pings the guest agent three times per `timeout` for as long as QEMU lives: each answer is a
/// beat.
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

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;
    use crate::drivers::qemu::monitor::beats;

    const BOUND: Duration = Duration::from_secs(10);

    #[test]
    fn lines_with_the_prefix_are_beats_and_every_line_is_stamped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stamped");
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (sender, receiver) = beats();
        follow_serial(ours, "tick".to_owned(), sender, Some(&path)).unwrap();
        theirs.write_all(b"boot 1\ntick 1\nti").unwrap();
        receiver.recv_timeout(BOUND).unwrap();
        theirs.write_all(b"ck 2\nno line's end").unwrap();
        receiver.recv_timeout(BOUND).unwrap();
        drop(theirs);
        assert!(receiver.recv().is_err(), "it ends with the port, and half a line is no beat");
        let stamped = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = stamped.lines().map(|line| line.split_once(' ').unwrap()).collect();
        assert_eq!(
            lines.iter().map(|(_, line)| *line).collect::<Vec<_>>(),
            ["boot 1", "tick 1", "tick 2"]
        );
        assert!(lines.iter().all(|(moment, _)| moment.parse::<u64>().is_ok()));
    }

    #[test]
    fn only_an_agent_that_answers_is_a_beat() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (sender, receiver) = beats();
        let timeout = Duration::from_millis(60);
        ping_agent(ours, timeout, sender).unwrap();
        let mut pings = BufReader::new(theirs.try_clone().unwrap()).lines();
        assert_eq!(pings.next().unwrap().unwrap(), r#"{"execute":"guest-ping"}"#);
        assert!(receiver.recv_timeout(3 * timeout).is_err(), "it has not answered");
        (&theirs).write_all(b"{\"return\": {}}\n").unwrap();
        receiver.recv_timeout(BOUND).unwrap();
        theirs.shutdown(std::net::Shutdown::Both).unwrap();
        assert!(receiver.recv_timeout(BOUND).is_err());
    }
}
