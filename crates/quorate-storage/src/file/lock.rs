//! A shared and an exclusive lock on a directory, across processes and hosts, with a bounded wait.
//!
//! Two lock files. `lock` is the lock itself: writers of data share it, a change of reservations
//! holds it alone. `gate` is the queue before it: each passes it shared or alone on the way to
//! `lock`, so an exclusive waiter that has the gate lets no more sharers in, and a stream of writes
//! cannot keep a preempt out. `flock` works over NFS (as byte-range locks) and is let go by the
//! kernel when its process dies.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

use crate::LunError;

/// Pause between two tries; doubles from the first to the second.
const PAUSE_MIN: Duration = Duration::from_micros(50);
const PAUSE_MAX: Duration = Duration::from_millis(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Shared,
    Exclusive,
}

/// Held as long as it lives.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(directory: &Path, mode: Mode, timeout: Duration) -> Result<Self, LunError> {
        let end = Instant::now() + timeout;
        let timed_out = || LunError::TimedOut {
            what: format!("the lock of {}", directory.display()),
            after: timeout,
        };
        let _gate = take_file(&directory.join("gate"), mode, end)?.ok_or_else(timed_out)?;
        let file = take_file(&directory.join("lock"), mode, end)?.ok_or_else(timed_out)?;
        Ok(Self { _file: file })
    }
}

fn take_file(path: &Path, mode: Mode, end: Instant) -> Result<Option<File>, LunError> {
    let failed = |error: std::io::Error| LunError::io(path.display(), &error);
    // Opened anew each time: a lock belongs to the open file, so threads that shared one would
    // share the lock.
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(failed)?;
    let operation = match mode {
        Mode::Shared => FlockOperation::NonBlockingLockShared,
        Mode::Exclusive => FlockOperation::NonBlockingLockExclusive,
    };
    let mut pause = PAUSE_MIN;
    loop {
        match rustix::fs::flock(&file, operation) {
            Ok(()) => return Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(failed(errno.into())),
        }
        if Instant::now() >= end {
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sharers_share_and_an_exclusive_waiter_times_out() {
        let directory = tempfile::tempdir().unwrap();
        let short = Duration::from_millis(20);
        let first = Lock::take(directory.path(), Mode::Shared, short).unwrap();
        let second = Lock::take(directory.path(), Mode::Shared, short).unwrap();
        let refused = Lock::take(directory.path(), Mode::Exclusive, short);
        assert!(matches!(refused, Err(LunError::TimedOut { .. })), "{refused:?}");
        drop((first, second));
        let alone = Lock::take(directory.path(), Mode::Exclusive, short).unwrap();
        assert!(Lock::take(directory.path(), Mode::Shared, short).is_err());
        drop(alone);
    }

    #[test]
    fn a_stream_of_sharers_does_not_keep_an_exclusive_waiter_out() {
        let directory = tempfile::tempdir().unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        let long = Duration::from_secs(20);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        drop(Lock::take(directory.path(), Mode::Shared, long).unwrap());
                    }
                });
            }
            for _ in 0..20 {
                drop(Lock::take(directory.path(), Mode::Exclusive, long).unwrap());
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }
}
