//! A watchdog of Linux (`/dev/watchdog`): resets this host unless it is fed in time.
//!
//! Source: `include/uapi/linux/watchdog.h`, Documentation/watchdog/watchdog-api.rst.

use std::ffi::c_int;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const WDIOC_SETTIMEOUT: libc::c_ulong = 0xc004_5706;
const WDIOC_GETTIMEOUT: libc::c_ulong = 0x8004_5707;
/// Written before the device is closed, this disarms it, where its driver lets that happen.
const MAGIC_CLOSE: &[u8] = b"V";
const FEED: &[u8] = b"\0";

/// An armed watchdog. Dropped without `disarm`, as with a process that dies, it resets the host when its time is over.
#[derive(Debug)]
pub struct Watchdog {
    file: File,
    path: PathBuf,
    timeout: Duration,
}

impl Watchdog {
    /// Arms the watchdog, so that it resets the host at most `timeout` after it was last fed. Linux counts in whole
    /// seconds: what is set is the longest that fits.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a time-out below 1 s, for what is no watchdog, and for one that cannot be that quick; else
    /// what the system says: `ResourceBusy` when another program has it.
    pub fn arm(path: &Path, timeout: Duration) -> io::Result<Self> {
        let refused = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
        let Some(seconds) = c_int::try_from(timeout.as_secs()).ok().filter(|seconds| *seconds > 0)
        else {
            return Err(refused(format!(
                "{timeout:?} is shorter than the 1 s that a watchdog can do"
            )));
        };
        // Opening arms: only what can be one is opened.
        if !path.metadata()?.file_type().is_char_device() {
            return Err(refused("it is no watchdog".to_owned()));
        }
        let file = OpenOptions::new().write(true).custom_flags(libc::O_CLOEXEC).open(path)?;
        let mut watchdog = Self { file, path: path.to_owned(), timeout };
        match watchdog.set(seconds) {
            Ok(set) if (1..=seconds).contains(&set) => {
                watchdog.timeout = Duration::from_secs(set.unsigned_abs().into());
                watchdog.feed()?;
                Ok(watchdog)
            }
            Ok(set) => {
                watchdog.disarm()?;
                Err(refused(format!("it takes {set} s where {seconds} s are needed")))
            }
            Err(error) => {
                watchdog.disarm()?;
                Err(refused(format!("it is no watchdog whose time can be set: {error}")))
            }
        }
    }

    fn set(&self, seconds: c_int) -> io::Result<c_int> {
        let mut value = seconds;
        // SAFETY: the descriptor is open; the kernel reads and writes one int, which is ours.
        if unsafe { libc::ioctl(self.file.as_raw_fd(), WDIOC_SETTIMEOUT, &raw mut value) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: as above.
        if unsafe { libc::ioctl(self.file.as_raw_fd(), WDIOC_GETTIMEOUT, &raw mut value) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(value)
    }

    /// For how long it waits when it was just fed.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Begins its time anew. Does not wait.
    ///
    /// # Errors
    ///
    /// What the system says; it may reset the host then.
    pub fn feed(&mut self) -> io::Result<()> {
        self.file.write_all(FEED)
    }

    /// Takes it out of use. One that cannot be (`nowayout`) resets the host when its time is over.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn disarm(mut self) -> io::Result<()> {
        tracing::debug!(path = %self.path.display(), "watchdog disarmed");
        self.file.write_all(MAGIC_CLOSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_watchdog_is_refused_and_left_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = |path: &Path, timeout| Watchdog::arm(path, timeout).unwrap_err();
        let second = Duration::from_secs(1);
        assert_eq!(refused(file.path(), second).kind(), io::ErrorKind::InvalidInput);
        assert_eq!(std::fs::read(file.path()).unwrap(), b"");
        assert_eq!(refused("/dev/null".as_ref(), second).kind(), io::ErrorKind::InvalidInput);
        let text = refused("/dev/null".as_ref(), Duration::from_millis(499)).to_string();
        assert!(text.contains("499ms is shorter"), "{text}");
        assert_eq!(refused("/dev/none".as_ref(), second).kind(), io::ErrorKind::NotFound);
    }
}
