//! One node, one state directory: a file lock that ends with the process that holds it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::FlockOperation;

use super::LogError;

const LOCK_NAME: &str = "lock";

/// Held while it lives; the kernel lets go when the process dies, however it dies.
#[derive(Debug)]
pub(super) struct DirectoryLock(#[expect(dead_code, reason = "held for its lock")] File);

impl DirectoryLock {
    pub(super) fn take(dir: &Path) -> Result<DirectoryLock, LogError> {
        let path = dir.join(LOCK_NAME);
        let failed = |doing| {
            let path = path.clone();
            move |source| LogError::Io { doing, path, source }
        };
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(failed("open"))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(LogError::AlreadyRunning { dir: dir.into(), pid: read_pid(&mut file) });
            }
            Err(errno) => return Err(failed("lock")(io::Error::from(errno))),
        }
        // The process id is for people only. On a full disk it is missing; the lock holds.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(DirectoryLock(file))
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
