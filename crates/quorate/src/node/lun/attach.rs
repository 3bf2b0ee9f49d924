//! An attached LUN: resources reach it, and this node beats on it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use quorate_core::id::{Epoch, Incarnation};
use quorate_storage::{Beat, LunError, NbdOptions, NbdServer, WriteHook, WriteRecord, write_beat};

use super::Shared;
use super::open::{Handle, Place};
use crate::clock;
use crate::config::LunSettings;
use crate::node::LunWrite;

/// Pause between two looks at whether the last beat has gone out.
const BEAT_LOOK: Duration = Duration::from_millis(1);

/// While it lives the LUN is open to this node's resources.
pub(super) struct Attachment {
    shared: Arc<Shared>,
    nbd: Option<NbdServer>,
    stop_beat: Option<Sender<()>>,
    beat: Option<JoinHandle<()>>,
}

impl Attachment {
    /// Opens the LUN to resources, and begins to beat on it.
    ///
    /// # Errors
    /// The NBD server's; nothing is left open.
    pub(super) fn new(
        shared: &Arc<Shared>,
        handle: &Handle,
        epoch: Epoch,
        incarnation: Incarnation,
    ) -> Result<Self, LunError> {
        let nbd = match (&shared.spec.settings, &handle.place) {
            (LunSettings::Iscsi(_), Place::Tail(layout)) => {
                let hook = shared.spec.write_hook.clone();
                let name = shared.spec.name.clone();
                let options = NbdOptions {
                    socket: shared.spec.socket.clone(),
                    offset: 0,
                    length: layout.guest_bytes,
                    patience: shared.spec.io_bound,
                    hook: hook.map(|hook| {
                        WriteHook::new(move |record| hook.call(&written(&name, epoch, record)))
                    }),
                };
                Some(NbdServer::start(Arc::clone(&handle.lun), options)?)
            }
            _ => None,
        };
        shared.attached.store(epoch.0, Ordering::Release);
        let (stop_beat, stopped) = bounded(1);
        let beater = Beater {
            epoch,
            shared: Arc::clone(shared),
            handle: handle.clone(),
            beat: Beat {
                node: u64::from(shared.spec.node.0),
                incarnation: incarnation.boot,
                // It grows over restarts too, as the clock allows.
                counter: clock::unix_us(),
            },
        };
        let beat = std::thread::Builder::new()
            .name(format!("beat-{}", shared.spec.name))
            .spawn(move || beater.run(&stopped))
            .map_err(|error| LunError::Io {
                what: format!("starting the beat: {error}"),
                kind: error.kind(),
            })?;
        Ok(Self { shared: Arc::clone(shared), nbd, stop_beat: Some(stop_beat), beat: Some(beat) })
    }
}

impl Attachment {
    /// Ends it where nobody would refuse a beat that is late: only when none is under way any more.
    ///
    /// # Errors
    /// `TimedOut` if one still is; it can be asked again.
    pub(super) fn end(&mut self) -> Result<(), LunError> {
        self.shared.attached.store(0, Ordering::Release);
        self.stop_beat = None;
        let Some(beat) = &self.beat else { return Ok(()) };
        let end = Instant::now() + self.shared.spec.io_bound;
        while !beat.is_finished() {
            if Instant::now() >= end {
                return Err(LunError::TimedOut {
                    what: "the last heartbeat on the disk".to_owned(),
                    after: self.shared.spec.io_bound,
                });
            }
            std::thread::sleep(BEAT_LOOK);
        }
        Ok(())
    }
}

impl Drop for Attachment {
    /// No write goes out afterwards.
    fn drop(&mut self) {
        self.shared.attached.store(0, Ordering::Release);
        self.stop_beat = None;
        if let Some(nbd) = &self.nbd {
            nbd.stop();
        }
        // A write to a kernel's device waits for as long as the kernel lets it; what it carries then is a beat, which
        // the device refuses if another has the LUN. A disk does not: see `end`.
        let may_hang =
            matches!(self.shared.spec.settings, LunSettings::Device(_) | LunSettings::Disk(_));
        if let Some(beat) = self.beat.take().filter(|_| !may_hang) {
            let _ = beat.join();
        }
    }
}

fn written<'a>(lun: &'a str, epoch: Epoch, record: &WriteRecord<'a>) -> LunWrite<'a> {
    LunWrite {
        lun,
        epoch: epoch.0,
        offset: record.offset,
        data: record.data,
        refused: record.outcome.as_ref().is_err_and(|error| error.is_refusal()),
        written: record.outcome.is_ok(),
    }
}

/// Says on storage that this node's engine gets on.
struct Beater {
    epoch: Epoch,
    shared: Arc<Shared>,
    handle: Handle,
    beat: Beat,
}

impl Beater {
    fn run(mut self, stopped: &Receiver<()>) {
        loop {
            if self.shared.pulse.is_fresh() {
                self.beat.counter += 1;
                if let Err(error) = self.write() {
                    self.show_refusal(&error);
                    self.shared.tell_trouble(&error);
                }
            }
            match stopped.recv_timeout(self.shared.spec.beat_interval) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// A fenced node's own beat is often the first write that its LUN refuses.
    fn show_refusal(&self, error: &LunError) {
        let Place::Tail(layout) = &self.handle.place else { return };
        if let (true, Some(hook)) = (error.is_refusal(), &self.shared.spec.write_hook) {
            let offset = layout.beat_offset(0).unwrap_or_default();
            let (lun, epoch) = (self.shared.spec.name.as_str(), self.epoch.0);
            hook.call(&LunWrite { lun, epoch, offset, data: &[], written: false, refused: true });
        }
    }

    fn write(&self) -> Result<(), LunError> {
        match &self.handle.place {
            Place::Tail(layout) => {
                write_beat(&*self.handle.lun, layout.beat_offset(0)?, &self.beat)
            }
            Place::Directory(beats) => beats.write(&self.beat),
        }
    }
}
