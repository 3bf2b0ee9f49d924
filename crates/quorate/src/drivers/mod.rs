//! Drivers: what starts, saves, resumes, stops and kills a resource.
//!
//! A driver obeys and reports; it holds no policy. It knows no retry count, no back-off and no
//! cluster state: whether a failed start is tried again, here or elsewhere, is the engine's
//! business.
//!
//! Architecture Invariant: no driver call is made on the engine's thread, or on one that beats.
//! Calls block, so each resource has a [`Worker`]: one thread that lives as long as the resource is
//! configured. Its life matters: the kernel ties a child's parent-death signal to the *thread* that
//! spawned it, so a guest started on a short-lived thread would die with that thread.
//!
//! Architecture Invariant: when [`Driver::kill`] has returned `Ok`, no process of the resource runs
//! on this node. Nothing else counts as proof that a resource has stopped, except [`Driver::stop`]
//! and [`Driver::save`], which end with the same certainty.
//!
//! ```text
//!                 start
//!   (nothing) ------------------> (runs) ---- stop, save, kill ----> (nothing)
//!       |                           ^ |
//!       | load                  run | |  exit, crash: DriverEvent::Exited
//!       +---------> (loaded) -------+ +----------------------------> (nothing)
//! ```

mod child;
mod command;
mod error;
mod logs;
mod process;
mod qemu;
pub mod qmp;
mod record;
mod settings;
mod worker;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use parking_lot::Mutex;
use quorate_core::event::Trouble;
use quorate_core::id::{Epoch, ResourceId};

pub use child::KillSwitch;
pub(crate) use command::{INHERITED, find_program};
pub use error::{AfterSave, DriverError};
pub use process::{HealthSettings, Output, ProcessDriver, ProcessSettings, StopSignal};
pub use qemu::{Accelerator, DiskInterface, Heartbeat, QemuDriver, QemuSettings, StopMethod};
pub(crate) use record::{LeftoverError, end_leftovers, record_path};
pub use settings::{DriverSettings, SettingsError};
pub use worker::{Answer, Done, Request, Worker, WorkerGone};

/// What runs one resource.
///
/// Every call may block until its `deadline`; [`Worker`] makes them on a thread of their own. A
/// call that fails to start something leaves nothing running.
pub trait Driver: Send {
    /// Checks what can be checked before a start is asked for: programs, files, an accelerator.
    ///
    /// # Errors
    /// What is missing, with the remedy. The resource cannot run on this node until it is mended.
    fn prepare(&mut self) -> Result<(), DriverError> {
        Ok(())
    }

    /// Starts the resource from nothing; a guest boots cold.
    ///
    /// # Errors
    /// Nothing runs then. [`DriverError::AlreadyRunning`] is the exception: what ran goes on.
    fn start(&mut self, context: &StartContext, deadline: Instant) -> Result<(), DriverError>;

    /// Saves the running resource into `sink`, and ends it here.
    ///
    /// The order is the promise: it stands still, its whole state is in the sink, the sink has made
    /// it durable, and only then does it end. It never runs on after a save that succeeded.
    ///
    /// # Errors
    /// [`DriverError::SaveUnsupported`]: this kind of resource moves by stop and start.
    /// [`DriverError::SaveFailed`] says whether the resource still runs here.
    fn save(&mut self, sink: &mut dyn SaveSink, deadline: Instant) -> Result<(), DriverError>;

    /// Loads a saved resource from `source`, but does not let it run yet; [`Driver::run`] does.
    ///
    /// # Errors
    /// Nothing is left of it then. [`DriverError::SaveRejected`]: the state itself cannot be used,
    /// and only a cold start is left.
    fn load(
        &mut self,
        context: &StartContext,
        source: &mut dyn Read,
        deadline: Instant,
    ) -> Result<(), DriverError>;

    /// Lets what was loaded run. From here on the saved state is stale and must not be used again.
    ///
    /// # Errors
    /// Nothing runs then; [`DriverError::NotRunning`]: nothing was loaded.
    fn run(&mut self, deadline: Instant) -> Result<(), DriverError>;

    /// Stops the resource in an orderly way, and kills what has not ended by `deadline`.
    ///
    /// Nothing of it runs when this returns `Ok`; a resource that did not run is stopped already.
    ///
    /// # Errors
    /// The resource may still run, and its node has to be treated as its owner.
    fn stop(&mut self, deadline: Instant) -> Result<Stopped, DriverError>;

    /// Kills the resource and waits until it is gone.
    ///
    /// Returns `Ok` only when no process of it is left, and at once if none was. It waits as long
    /// as that takes: a process that the kernel cannot kill (it waits for a dead disk) is not gone.
    ///
    /// # Errors
    /// The resource may still run.
    fn kill(&mut self) -> Result<(), DriverError>;

    /// A look that costs nothing and asks nobody: is the process there, not stopped by an error,
    /// and was its heartbeat heard in time.
    fn looks_alive(&mut self) -> Health;

    /// A thorough look that asks the resource itself.
    fn is_alive(&mut self, deadline: Instant) -> Health;

    /// What kills the resource from any thread, also while another call blocks.
    fn kill_switch(&self) -> Arc<KillSwitch>;
}

/// Where the state of a saved resource goes.
///
/// A function or closure of the same form is one too.
pub trait SaveSink {
    /// Reads `state` to its end and makes it durable and valid, as one step: after `Ok` it survives
    /// a power cut; after `Err` it must never be usable, for the resource then goes on where it is.
    ///
    /// `state` ends (returns 0) only when the whole state has come; a save that breaks off ends in
    /// an error of `state`, which must be passed on.
    ///
    /// # Errors
    /// Those of `state`, and whatever keeps the save from being durable.
    fn store(&mut self, state: &mut dyn Read) -> io::Result<()>;
}

impl<F: FnMut(&mut dyn Read) -> io::Result<()>> SaveSink for F {
    fn store(&mut self, state: &mut dyn Read) -> io::Result<()> {
        self(state)
    }
}

/// Where the state of a saved resource comes from.
pub trait SaveSource {
    /// Opens the state, after whatever checks show that it is whole and is the one meant.
    ///
    /// # Errors
    /// There is none, it is torn, or it is not the one meant.
    fn open(&mut self) -> io::Result<Box<dyn Read + '_>>;
}

/// What a resource is started with, on one node, in one epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartContext {
    /// The group that the resource belongs to.
    pub group: String,
    /// The resource's own name.
    pub resource: String,
    /// The node that starts it.
    pub node: String,
    /// The epoch of the ownership that entitles this node.
    pub epoch: Epoch,
    /// A directory of this resource alone, for sockets, logs and process ids. It is made when
    /// missing; sockets need its path to be short (at most 90 bytes).
    pub work_directory: PathBuf,
    /// The LUNs, in the order in which a guest sees them as disks.
    pub luns: Vec<Lun>,
    /// Further environment variables for what is started.
    pub environment: BTreeMap<String, String>,
}

/// A LUN as a resource reaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lun {
    /// The LUN's name in the configuration.
    pub name: String,
    /// How it is reached.
    pub disk: Disk,
    /// Whether it is, now.
    pub reach: LunReach,
}

/// Whether a LUN is reached now. A resource that writes to one that is not stands still, and is silent for that.
#[derive(Debug, Clone)]
pub struct LunReach(Arc<Mutex<Option<Instant>>>);

impl Default for LunReach {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some(Instant::now()))))
    }
}

impl PartialEq for LunReach {
    /// Whether it is that of the same LUN.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for LunReach {}

impl LunReach {
    /// Since when it is reached, as far as is known; none: it is not.
    pub fn since(&self) -> Option<Instant> {
        *self.0.lock()
    }

    pub(crate) fn set(&self, reached: bool) {
        let mut since = self.0.lock();
        *since = reached.then(|| since.unwrap_or_else(Instant::now));
    }
}

/// How a LUN is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disk {
    /// Through an NBD server of ours on a Unix socket: the session behind it holds the
    /// registration.
    Nbd {
        /// The server's socket.
        socket: PathBuf,
        /// The export's name; often empty.
        export: String,
    },
    /// A block device of this node, or a file that serves as one, of which the first `bytes` are the resource's; what
    /// follows is ours.
    Device {
        /// The device, or the file.
        path: PathBuf,
        /// Size of the resource's part.
        bytes: u64,
    },
    /// A file, directory or block device on this node, all of it the resource's.
    File(PathBuf),
}

/// How a stop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// It ended by itself in time, or did not run.
    Orderly,
    /// It was killed at the deadline.
    Killed,
}

/// What a look at a resource found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It is well.
    Alive,
    /// It is not, for this reason.
    Failed(String),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(formatter, "exit code {code}"),
            Exit::Signal(signal) => write!(formatter, "signal {signal}"),
        }
    }
}

/// Why a process ended, as far as the driver knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCause {
    /// The driver ended it: stop, save or kill.
    Requested,
    /// The guest's own operating system powered it off.
    GuestShutdown,
    /// Nobody asked for it: a crash, or a kill from outside.
    Unexpected,
}

/// What a driver reports by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DriverEvent {
    /// The resource's process ended.
    Exited {
        /// How.
        exit: Exit,
        /// Why.
        cause: ExitCause,
    },
    /// The guest's disk failed, and the guest stands still.
    IoError {
        /// The disk refused this node (a reservation conflict), as against a broken disk. The
        /// resource is someone else's: it must be killed, never continued.
        refused: bool,
        /// The LUN's device in the guest.
        device: String,
        /// The operating system's or hypervisor's words.
        reason: String,
    },
    /// The guest's operating system panicked.
    Panicked,
    /// The guest's own watchdog device expired.
    Watchdog,
    /// The guest rebooted itself.
    GuestReset,
    /// The guest stands still, and neither the driver nor a disk error stopped it.
    Paused,
    /// No heartbeat of the guest for longer than its time-out. Reported once, until it beats again.
    HeartbeatLost {
        /// How long it has been silent.
        silent_for: Duration,
    },
    /// The health command of a process failed or timed out.
    HealthFailed {
        /// What it said.
        reason: String,
    },
}

impl DriverEvent {
    /// What the engine is told of it; `None`: nothing, it is no trouble or was asked for.
    pub fn trouble(&self) -> Option<Trouble> {
        match self {
            DriverEvent::Exited { cause: ExitCause::Requested, .. } | DriverEvent::GuestReset => {
                None
            }
            DriverEvent::Exited {
                cause: ExitCause::GuestShutdown | ExitCause::Unexpected, ..
            } => Some(Trouble::Exited),
            DriverEvent::IoError { refused: true, .. } => Some(Trouble::Refused),
            DriverEvent::IoError { refused: false, .. } => Some(Trouble::IoError),
            DriverEvent::Panicked => Some(Trouble::Panicked),
            DriverEvent::Watchdog | DriverEvent::HeartbeatLost { .. } => {
                Some(Trouble::HeartbeatLost)
            }
            DriverEvent::Paused | DriverEvent::HealthFailed { .. } => Some(Trouble::Reported),
        }
    }
}

impl fmt::Display for DriverEvent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DriverEvent::Exited { exit, cause: ExitCause::Requested } => {
                write!(formatter, "ended as asked, with {exit}")
            }
            DriverEvent::Exited { exit, cause: ExitCause::GuestShutdown } => {
                write!(formatter, "the guest shut down, with {exit}")
            }
            DriverEvent::Exited { exit, cause: ExitCause::Unexpected } => {
                write!(formatter, "ended unasked, with {exit}")
            }
            DriverEvent::IoError { refused: true, device, reason } => {
                write!(formatter, "{device} refused an access: {reason}")
            }
            DriverEvent::IoError { refused: false, device, reason } => {
                write!(formatter, "i/o error on {device}: {reason}")
            }
            DriverEvent::Panicked => formatter.write_str("the guest panicked"),
            DriverEvent::Watchdog => formatter.write_str("the guest's watchdog expired"),
            DriverEvent::GuestReset => formatter.write_str("the guest rebooted"),
            DriverEvent::Paused => formatter.write_str("the guest was paused by someone else"),
            DriverEvent::HeartbeatLost { silent_for } => {
                write!(formatter, "no heartbeat for {} ms", silent_for.as_millis())
            }
            DriverEvent::HealthFailed { reason } => formatter.write_str(reason),
        }
    }
}

/// An event, with what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverReport {
    /// The resource.
    pub resource: ResourceId,
    /// The epoch in which it was started.
    pub epoch: Epoch,
    /// Which start of this driver it belongs to, from 1; a report of an earlier run is history.
    pub run: u64,
    /// What happened.
    pub event: DriverEvent,
}

/// Where a driver sends its reports.
#[derive(Debug, Clone)]
pub struct Reporter {
    resource: ResourceId,
    sender: Sender<DriverReport>,
}

impl Reporter {
    /// A reporter for one resource. When the channel is full the driver's own threads wait; nothing
    /// else does.
    pub fn new(resource: ResourceId, sender: Sender<DriverReport>) -> Self {
        Self { resource, sender }
    }

    fn report(&self, run: Run, event: DriverEvent) {
        let report =
            DriverReport { resource: self.resource, epoch: run.epoch, run: run.number, event };
        // Nobody listens any more: the node is ending, and its guests end with it.
        let _ = self.sender.send(report);
    }
}

/// One start of a driver, and the epoch it was made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Run {
    epoch: Epoch,
    number: u64,
}

impl Run {
    fn next(self, epoch: Epoch) -> Self {
        Self { epoch, number: self.number + 1 }
    }
}
