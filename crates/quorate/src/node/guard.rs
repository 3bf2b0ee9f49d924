//! The lease guard: kills guests when the engine's thread can no longer do it.
//!
//! The engine kills what runs here when its lease is over. If its thread hangs past that moment,
//! this thread does it instead: at once what time alone protects, and after the grace what the LUNs
//! protect too. *Architecture invariant*: it only kills, and it asks nobody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;
use quorate_core::id::ResourceId;

use super::host::Host;
use crate::Error;
use crate::drivers::KillSwitch;
use crate::net::boottime_ns;

/// How long past the end of its lease an engine has to show that it gets on.
const SLACK: Duration = Duration::from_millis(20);
/// The longest sleep: a lease that was gained meanwhile is seen so much later.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What runs here, and until when it may.
pub(crate) struct Guard {
    running: Mutex<BTreeMap<ResourceId, Running>>,
    host: Arc<Host>,
    /// The end of the lease, in nanoseconds; 0: there is none.
    lease_until: AtomicU64,
    /// When the engine's thread last got through a step.
    turn: AtomicU64,
    isolation_grace: Duration,
}

struct Running {
    switch: Arc<KillSwitch>,
    enforced: bool,
}

/// The thread; it ends when this is dropped.
pub(crate) struct GuardThread {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Guard {
    pub(crate) fn new(host: Arc<Host>, isolation_grace: Duration) -> Arc<Self> {
        Arc::new(Self {
            running: Mutex::default(),
            host,
            lease_until: AtomicU64::new(0),
            turn: AtomicU64::new(boottime_ns()),
            isolation_grace,
        })
    }

    /// A resource may run from here on.
    pub(crate) fn add(&self, resource: ResourceId, switch: Arc<KillSwitch>, enforced: bool) {
        self.running.lock().insert(resource, Running { switch, enforced });
    }

    /// Nothing of a resource runs any more.
    pub(crate) fn remove(&self, resource: ResourceId) {
        self.running.lock().remove(&resource);
    }

    /// The engine's thread got through a step; its lease ends at `until`.
    pub(crate) fn on_turn(&self, until: Option<u64>) {
        self.lease_until.store(until.unwrap_or(0), Ordering::Release);
        self.turn.store(boottime_ns(), Ordering::Release);
    }

    /// Kills everything that runs here. Never waits.
    pub(crate) fn kill_all(&self) {
        self.kill(|_| true);
        self.host.kill_all();
    }

    fn kill(&self, which: impl Fn(&Running) -> bool) {
        self.running.lock().values().filter(|running| which(running)).for_each(|running| {
            running.switch.engage();
        });
    }

    /// One look. Returns how long the next can wait.
    fn look(&self, killed: &mut Killed) -> Duration {
        let (until, turn) =
            (self.lease_until.load(Ordering::Acquire), self.turn.load(Ordering::Acquire));
        let now = boottime_ns();
        if until == 0 || turn > until {
            // It knows that its lease is over: it has killed, or is about to.
            *killed = Killed::Nothing;
            return LOOK_INTERVAL;
        }
        let late = Duration::from_nanos(now.saturating_sub(until));
        if now <= until {
            *killed = Killed::Nothing;
            return Duration::from_nanos(until - now) + SLACK;
        }
        if late < SLACK {
            return SLACK - late;
        }
        if *killed == Killed::Nothing {
            tracing::error!("the engine hangs past its lease: killing what runs here");
            self.kill(|running| !running.enforced);
            self.host.kill_all();
            *killed = Killed::Cooperative;
        }
        if late >= self.isolation_grace && *killed == Killed::Cooperative {
            self.kill(|_| true);
            *killed = Killed::Everything;
        }
        LOOK_INTERVAL.min(SLACK)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Killed {
    Nothing,
    Cooperative,
    Everything,
}

impl GuardThread {
    /// # Errors
    /// The operating system gives no thread.
    pub(crate) fn start(guard: Arc<Guard>) -> Result<Self, Error> {
        let (stop, stopped) = bounded(1);
        let body = move || watch(&guard, &stopped);
        let thread = std::thread::Builder::new()
            .name("quorate-guard".to_owned())
            .spawn(body)
            .map_err(Error::system("start the guard's thread"))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for GuardThread {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn watch(guard: &Guard, stopped: &Receiver<()>) {
    let mut killed = Killed::Nothing;
    loop {
        let rest = guard.look(&mut killed);
        match stopped.recv_timeout(rest) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
