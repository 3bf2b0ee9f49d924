//! What a LUN reports by itself: a refused write, a lost path.
//!
//! A path that comes back without our registration is reclaimed here, which succeeds only if nobody
//! has preempted us. Of a path that stays away for longer than it is waited for the engine is told,
//! which knows whether others reach the LUN.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use quorate_core::event::Event;
use quorate_core::id::Epoch;
use quorate_storage::{EventQueue, Lun, LunError, LunEvent, ReservationKey};

use super::{Shared, SharedLun};

/// The longest wait between two looks at whether the handle is still in use.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// The thread that listens to one LUN; it ends soon after this is dropped.
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
}

impl Watch {
    pub(super) fn start(shared: &Arc<Shared>, lun: &SharedLun) -> Result<Self, LunError> {
        let stop = Arc::new(AtomicBool::new(false));
        let listener = Listener {
            shared: Arc::downgrade(shared),
            lun: Arc::downgrade(lun),
            events: lun.events(),
            stop: Arc::clone(&stop),
            lost_at: None,
            unclaimed: false,
        };
        std::thread::Builder::new()
            .name(format!("watch-{}", shared.spec.name))
            .spawn(move || listener.run())
            .map_err(|error| LunError::Io {
                what: format!("starting a thread: {error}"),
                kind: error.kind(),
            })?;
        Ok(Self { stop })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

struct Listener {
    shared: Weak<Shared>,
    lun: Weak<dyn Lun>,
    events: Arc<EventQueue>,
    stop: Arc<AtomicBool>,
    /// When the path was lost, until it is back or was reported.
    lost_at: Option<Instant>,
    /// The path is back, and the registration is not.
    unclaimed: bool,
}

impl Listener {
    fn run(mut self) {
        loop {
            let event = self.events.wait(LOOK_INTERVAL);
            let Some(shared) = self.shared.upgrade() else { return };
            if self.stop.load(Ordering::Acquire) {
                return;
            }
            match event {
                Some(event) => self.on_event(&shared, event),
                None => self.on_time(&shared),
            }
        }
    }

    fn on_event(&mut self, shared: &Shared, event: LunEvent) {
        match event {
            LunEvent::ReservationRefused => {
                report(shared, |lun, epoch| Event::LunRefused { lun, epoch })
            }
            LunEvent::PathLost { why } => {
                self.lost_at.get_or_insert_with(Instant::now);
                self.unclaimed = false;
                shared.say_path(false);
                shared.tell_trouble(&LunError::PathLost { why });
            }
            LunEvent::PathBack { registered: true } => {
                (self.lost_at, self.unclaimed) = (None, false);
                shared.say_path(true);
                shared.is_well();
            }
            LunEvent::PathBack { registered: false } => self.reclaim(shared),
        }
    }

    fn on_time(&mut self, shared: &Shared) {
        let (lost, wait) = (self.lost_at, shared.spec.path_wait);
        if lost.zip(wait).is_some_and(|(at, wait)| at.elapsed() >= wait) {
            self.lost_at = None;
            shared.say_path(false);
            report(shared, |lun, epoch| Event::LunOverdue { lun, epoch });
        } else if self.unclaimed {
            self.reclaim(shared);
        }
    }

    /// A path that goes again meanwhile is away as before; who was preempted has lost the LUN.
    fn reclaim(&mut self, shared: &Shared) {
        let lost_at = std::mem::take(&mut self.lost_at);
        self.unclaimed = false;
        let (Some(lun), key) = (self.lun.upgrade(), shared.key()) else { return };
        if shared.attached_epoch() == 0 || key == 0 {
            return shared.say_path(true);
        }
        match lun.reclaim(ReservationKey(key)) {
            Ok(()) => {
                shared.say_path(true);
                shared.is_well();
            }
            // Of a target that is not ready yet too.
            Err(
                error @ (LunError::PathLost { .. }
                | LunError::TimedOut { .. }
                | LunError::Io { .. }),
            ) => {
                shared.say_path(false);
                shared.tell_trouble(&error);
                self.lost_at = lost_at.or_else(|| Some(Instant::now()));
                self.unclaimed = true;
            }
            Err(error) => {
                shared.say_path(true);
                shared.tell_trouble(&error);
                match error.is_refusal() {
                    true => report(shared, |lun, epoch| Event::LunRefused { lun, epoch }),
                    false => report(shared, |lun, epoch| Event::LunLost { lun, epoch }),
                }
            }
        }
    }
}

fn report(shared: &Shared, event: impl FnOnce(quorate_core::id::LunId, Epoch) -> Event) {
    let epoch = shared.attached_epoch();
    if epoch != 0 {
        shared.event(event(shared.spec.id, Epoch(epoch)));
    }
}
