//! Keeps what the engine is told: bytes of [`quorate_core::recording`], written by a thread of its own.
//!
//! *Architecture invariant*: the engine's thread never waits for it. What the disk does not take in time ends the
//! recording, and the recording says so; the node runs on.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use quorate_core::engine::Setup;
use quorate_core::recording::{Ending, Origin, Recorder};
use quorate_core::time::Instant;
use quorate_core::{Action, Event};

use super::RecordOptions;
use super::input::{Inbox, Input};
use super::tell::{Fields, notice};
use crate::clock;
use crate::notice::{Notice, NoticeKind};

/// What a recording's file is called, behind the number of the boot.
const SUFFIX: &str = "qrec";
/// The newest so many are kept, the one that is being written among them.
const KEPT: usize = 2;
/// Most chunks that wait for the disk.
const WAITING_MAX: usize = 1_024;
/// A chunk is handed over when it has this size, or this age.
const CHUNK_BYTES: usize = 4_096;
const CHUNK_AGE: Duration = Duration::from_millis(100);

/// The recording of a running engine.
pub(crate) struct Recording {
    path: PathBuf,
    bytes_max: u64,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// None: the recording has ended.
    live: Option<Live>,
    /// How it ends when the node does.
    pub(crate) ending: Ending,
}

struct Live {
    recorder: Recorder,
    chunks: Sender<Vec<u8>>,
    bytes: u64,
    handed_over: Instant,
}

#[derive(Default)]
struct Shared {
    /// The disk has refused.
    is_broken: AtomicBool,
    /// What is written after all chunks.
    last: Mutex<Vec<u8>>,
}

impl Recording {
    /// Begins the recording of the engine that `setup` makes at `now`.
    ///
    /// # Errors
    /// What the disk says, with the path.
    pub(crate) fn begin(
        options: &RecordOptions,
        state_dir: &Path,
        setup: &Setup,
        now: Instant,
        inbox: Inbox,
    ) -> Result<Self, String> {
        let dir = options.dir.clone().unwrap_or_else(|| state_dir.join("recordings"));
        let path = dir.join(format!("{}.{SUFFIX}", setup.boot));
        let failed = |error: io::Error| format!("{}: {error}", path.display());
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(failed)?;
        remove_old(&dir).map_err(failed)?;
        let mut open = OpenOptions::new();
        let mut file = open.write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let origin = Origin { unix_us: clock::unix_us(), version };
        let (recorder, opening) = Recorder::begin(setup, now, origin);
        file.write_all(&opening).map_err(failed)?;
        let (chunks, queue) = bounded(WAITING_MAX);
        let shared = Arc::new(Shared::default());
        let writer = Writer { file, path: path.clone(), shared: Arc::clone(&shared), inbox };
        let thread = std::thread::Builder::new()
            .name("quorate-record".to_owned())
            .spawn(move || writer.run(&queue))
            .map_err(failed)?;
        let live = Live { recorder, chunks, bytes: opening.len() as u64, handed_over: now };
        Ok(Self {
            path,
            bytes_max: options.bytes_max,
            shared,
            thread: Some(thread),
            live: Some(live),
            ending: Ending::Closed,
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the engine is about to be told.
    pub(crate) fn event(&mut self, event: &Event, now: Instant) {
        if let Some(live) = &mut self.live {
            live.recorder.event(event, now);
        }
    }

    /// What it made of that. A notice when the recording has ended with it.
    pub(crate) fn actions(&mut self, actions: &[Action], now: Instant) -> Option<Notice> {
        let live = self.live.as_mut()?;
        live.recorder.actions(actions);
        let waiting = live.recorder.waiting();
        if waiting < CHUNK_BYTES && now.since(live.handed_over) < CHUNK_AGE {
            return None;
        }
        live.handed_over = now;
        if self.shared.is_broken.load(Ordering::Relaxed) {
            // Its thread has said why.
            self.live = None;
            return None;
        }
        let chunk = live.recorder.take();
        live.bytes += chunk.len() as u64;
        let is_full = live.bytes >= self.bytes_max;
        match live.chunks.try_send(chunk) {
            Ok(()) if !is_full => return None,
            Ok(()) => {}
            Err(unsent) => *self.shared.last.lock() = unsent.into_inner(),
        }
        let (how, why) = match is_full {
            true => (Ending::Full, format!("it has reached {} bytes", self.bytes_max)),
            false => (Ending::Lost, "the disk does not keep up".to_owned()),
        };
        self.end(how);
        Some(ended(&self.path, &why))
    }

    fn end(&mut self, how: Ending) {
        if let Some(live) = self.live.take() {
            self.shared.last.lock().extend(live.recorder.end(how));
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.end(self.ending);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The notice that nothing more is recorded.
pub(crate) fn ended(path: &Path, why: &str) -> Notice {
    let path = path.display().to_string();
    let fields = Fields::default().with("path", path).with("detail", why);
    notice(NoticeKind::RecordingEnded, format!("nothing more is recorded: {why}"), fields)
}

struct Writer {
    file: File,
    path: PathBuf,
    shared: Arc<Shared>,
    inbox: Inbox,
}

impl Writer {
    fn run(mut self, queue: &Receiver<Vec<u8>>) {
        while let Ok(mut bytes) = queue.recv() {
            queue.try_iter().for_each(|more| bytes.extend(more));
            if let Err(error) = self.file.write_all(&bytes) {
                return self.give_up(&error);
            }
        }
        let last = std::mem::take(&mut *self.shared.last.lock());
        if let Err(error) = self.file.write_all(&last) {
            self.give_up(&error);
        }
    }

    fn give_up(&self, error: &io::Error) {
        self.shared.is_broken.store(true, Ordering::Relaxed);
        let why = format!("{}: {error}", self.path.display());
        // A full queue, or nobody who listens: the file's missing end says the same.
        let _ = self.inbox.offer(Input::Notice(ended(&self.path, &why)));
    }
}

/// Makes room for another recording: the oldest go.
fn remove_old(dir: &Path) -> io::Result<()> {
    let mut found: Vec<(u64, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let is_ours = path.extension().is_some_and(|suffix| suffix == SUFFIX);
        let boot = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        found.extend(boot.filter(|_| is_ours).map(|boot| (boot, path)));
    }
    found.sort_unstable();
    let surplus = (found.len() + 1).saturating_sub(KEPT);
    found.iter().take(surplus).try_for_each(|(_, path)| std::fs::remove_file(path))
}
