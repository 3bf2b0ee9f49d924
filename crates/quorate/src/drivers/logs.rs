//! Keeps what a resource prints from filling the disk that the node's own log is on.
//!
//! The resource, or its hypervisor, appends to its log files itself; nothing of ours stands in
//! between that could hold it up. A look now and then cuts off what is too long: the newest part
//! moves to a second file, the first begins anew. What is printed between the two is lost.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::DriverError;

/// The most of one log file that is kept, twice: in the file and in its predecessor.
pub(super) const LOG_BYTES_MAX: u64 = 16 << 20;
/// How often is looked.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Keeps these log files short, on a thread of its own, until `ended` is closed.
pub(super) fn keep_short(logs: Vec<PathBuf>, ended: Receiver<()>) -> Result<(), DriverError> {
    let body = move || {
        loop {
            for log in &logs {
                if let Err(error) = shorten(log, LOG_BYTES_MAX) {
                    tracing::warn!(log = %log.display(), %error, "cannot shorten a log");
                }
            }
            if ended.recv_timeout(LOOK_INTERVAL) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    };
    let spawned = thread::Builder::new().name("logs".to_owned()).spawn(body);
    spawned.map(|_| ()).map_err(|error| DriverError::Spawn {
        program: PathBuf::from("logs thread"),
        reason: error.to_string(),
    })
}

/// Cuts a log that is longer than `most`: its newest part is in `LOG.old` then. Whoever appends to
/// it goes on at its new beginning.
fn shorten(log: &Path, most: u64) -> io::Result<()> {
    let mut file = match OpenOptions::new().read(true).write(true).open(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let length = file.metadata()?.len();
    if length <= most {
        return Ok(());
    }
    file.seek(SeekFrom::Start(length - most))?;
    let mut name = log.as_os_str().to_owned();
    name.push(".old");
    let mut old: File =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(name)?;
    let kept = io::copy(&mut (&file).take(most), &mut old);
    // A disk without room for the second file is one more reason to empty the first.
    file.set_len(0)?;
    kept.map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_log_that_grows_without_end_takes_a_bounded_room_and_keeps_its_newest_part() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("serial.log");
        let mut guest = OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let old = || std::fs::read_to_string(directory.path().join("serial.log.old"));
        shorten(&directory.path().join("none"), 8).unwrap();
        write!(guest, "12345678").unwrap();
        shorten(&log, 8).unwrap();
        assert!(old().is_err(), "it is not too long");
        for line in ["9", "abcdefghij", "klmnopqrstuvwxyz"] {
            write!(guest, "{line}").unwrap();
            shorten(&log, 8).unwrap();
            assert_eq!(std::fs::read(&log).unwrap().len(), 0);
            assert!(old().unwrap().len() <= 8);
        }
        assert_eq!(old().unwrap(), "stuvwxyz");
        write!(guest, "on").unwrap();
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "on", "no hole before it");
    }
}
