//! Following files as they grow: what guests and nodes print, with the moment at which it was read.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Moment;

/// Between two looks at a file: how late a line may be stamped.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
/// A path is looked up anew after so many looks without a byte, should another file stand there.
const LOOKS_PER_LOOKUP: u32 = 16;

/// A whole line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Which file: what was given for it.
    pub source: usize,
    /// When it was read.
    pub at: Moment,
    /// Without its end.
    pub text: String,
}

/// A thread that follows files until it is dropped.
#[derive(Debug)]
pub(super) struct Follower {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Follows each file from its beginning, whenever it appears, and sends its lines.
    #[must_use]
    pub(super) fn start(files: Vec<PathBuf>, lines: Sender<Line>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut tails: Vec<Tail> = files.into_iter().map(Tail::new).collect();
            while !stopped.load(Ordering::Relaxed) {
                for (source, tail) in tails.iter_mut().enumerate() {
                    tail.read(|at, text| {
                        // Nobody listens any more: the end is near.
                        let _ = lines.send(Line { source, at, text });
                    });
                }
                thread::sleep(LOOK_INTERVAL);
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it did, its lines are missed elsewhere.
            let _ = thread.join();
        }
    }
}

struct Tail {
    path: PathBuf,
    file: Option<File>,
    identity: (u64, u64),
    offset: u64,
    torn: Vec<u8>,
    idle: u32,
}

impl Tail {
    fn new(path: PathBuf) -> Self {
        Self { path, file: None, identity: (0, 0), offset: 0, torn: Vec::new(), idle: 0 }
    }

    fn read(&mut self, mut line: impl FnMut(Moment, String)) {
        self.look_up();
        let Some(file) = &mut self.file else { return };
        let mut bytes = [0; 4096];
        // A log that was cut short is begun anew.
        if file.metadata().is_ok_and(|metadata| metadata.len() < self.offset) {
            self.offset = 0;
            self.torn.clear();
            let _ = file.seek(SeekFrom::Start(0));
        }
        while let Ok(count @ 1..) = file.read(&mut bytes) {
            let at = Moment::now();
            self.idle = 0;
            self.offset += count as u64;
            self.torn.extend_from_slice(&bytes[..count]);
            while let Some(end) = self.torn.iter().position(|&byte| byte == b'\n') {
                let whole: Vec<u8> = self.torn.drain(..=end).collect();
                line(at, String::from_utf8_lossy(&whole).trim_end().to_owned());
            }
        }
        self.idle = self.idle.saturating_add(1);
    }

    fn look_up(&mut self) {
        if self.file.is_some() && !self.idle.is_multiple_of(LOOKS_PER_LOOKUP) {
            return;
        }
        let Ok(metadata) = fs::metadata(&self.path) else { return };
        let identity = (metadata.dev(), metadata.ino());
        if self.file.is_none() || identity != self.identity {
            self.file = File::open(&self.path).ok();
            self.identity = identity;
            self.offset = 0;
            self.torn.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;
    use std::io::Write as _;
    use std::sync::mpsc::channel;

    #[test]
    fn lines_come_whole_and_once_from_files_that_appear_grow_or_are_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let (send, receive) = channel();
        let _follower = Follower::start(vec![path.clone()], send);
        let next = || receive.recv_timeout(Duration::from_secs(10)).unwrap().text;

        let append = || OpenOptions::new().create(true).append(true).open(&path).unwrap();
        append().write_all(b"one\ntw").unwrap();
        assert_eq!(next(), "one");
        append().write_all(b"o\nthree\n").unwrap();
        assert_eq!((next(), next()), ("two".into(), "three".into()));
        let other = directory.path().join("other");
        fs::write(&other, "four\n").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(next(), "four");
        File::create(&path).unwrap();
        append().write_all(b"5\n").unwrap();
        assert_eq!(next(), "5");
    }
}
