//! The LUNs of one node: a worker thread each for the verbs, one for reading others' beats, one for
//! its own beat while it is attached, one for what the LUN reports by itself.
//!
//! Owns the handles, the NBD servers and the beats. *Architecture invariant*: it carries out verbs
//! and reports; whether to preempt, to retry or to give up is the engine's business.

mod attach;
mod open;
mod save;
mod watch;
mod worker;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError, bounded};
use parking_lot::Mutex;
use quorate_core::action::LunVerb;
use quorate_core::event::{Event, LunFailure, LunReply};
use quorate_core::id::{ClusterId, LunId, NodeId, OpId, SaveToken};
use quorate_storage::{Lun, LunError};

use super::input::{Inbox, Input};
use super::tell::{Fields, notice};
use crate::Error;
use crate::config::{DeviceSettings, DiskSettings, LunSettings};
use crate::drivers::{self, Disk, LunReach, SaveSink, SaveSource};
use crate::item::LunAccess;
use crate::node::WriteHook;
use crate::notice::NoticeKind;

/// Most verbs that wait for one LUN. The engine has one or two under way.
const VERBS_MAX: usize = 64;

const PATH_UNSAID: u8 = 0;
const PATH_REACHED: u8 = 1;
const PATH_AWAY: u8 = 2;

/// What is known of a LUN without asking it.
#[derive(Clone)]
pub(crate) struct LunSpec {
    pub(crate) id: LunId,
    pub(crate) name: String,
    pub(crate) settings: LunSettings,
    /// This node.
    pub(crate) node: NodeId,
    pub(crate) initiator: String,
    /// What all nodes call this LUN of this cluster, and nobody calls another.
    pub(crate) owner: u64,
    /// What makes our nexus stable over restarts.
    pub(crate) nexus: String,
    /// Where the NBD socket goes.
    pub(crate) socket: PathBuf,
    pub(crate) io_bound: Duration,
    /// Something that uses it may run here: so it is looked whether it is reached.
    pub(crate) is_watched: bool,
    /// For how long the path may be away before the LUN is overdue here; none: for ever.
    pub(crate) path_wait: Option<Duration>,
    pub(crate) beat_interval: Duration,
    pub(crate) write_hook: Option<WriteHook>,
    /// See the feature `test-switches`.
    pub(crate) ignore_reservations: bool,
}

/// A number that tells a LUN of this cluster from every other LUN. Never 0.
pub(crate) fn owner(cluster: ClusterId, lun: LunId) -> u64 {
    // Odd, so that no two LUNs of a cluster come to the same.
    (cluster.0 ^ u64::from(lun.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)).max(1)
}

impl LunSpec {
    /// Whether the same LUN is reached in the same way.
    fn is_as(&self, other: &Self) -> bool {
        let key = |spec: &Self| {
            let way = (spec.settings.clone(), spec.nexus.clone());
            (spec.id, spec.name.clone(), way, spec.is_watched)
        };
        key(self) == key(other)
    }
}

/// What the threads of one LUN share.
pub(crate) struct Shared {
    pub(crate) spec: LunSpec,
    pub(crate) inbox: Inbox,
    pub(crate) pulse: Pulse,
    handle: Mutex<Option<open::Handle>>,
    /// The epoch in which it is attached; 0: it is not.
    attached: AtomicU64,
    /// The key that we registered; 0: none.
    key: AtomicU64,
    /// How much of a device or disk is the resources'; 0: it was never open.
    guest_bytes: AtomicU64,
    /// What was last said of the path to it.
    path: AtomicU8,
    /// Nobody has anything to say of it any more.
    is_closed: AtomicBool,
    /// The same, for whoever uses it.
    reach: LunReach,
    /// The text of the last trouble that was told, so that it is told once.
    told: Mutex<String>,
}

/// When the engine's thread last showed that it gets on; the storage beat vouches for nothing else.
#[derive(Clone, Debug)]
pub(crate) struct Pulse {
    turn_ns: Arc<AtomicU64>,
    pub(crate) limit: Duration,
}

impl Pulse {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { turn_ns: Arc::new(AtomicU64::new(crate::net::boottime_ns())), limit }
    }

    pub(crate) fn beat(&self) {
        self.turn_ns.store(crate::net::boottime_ns(), Ordering::Relaxed);
    }

    /// From here on nobody vouches for this node.
    pub(crate) fn end(&self) {
        self.turn_ns.store(0, Ordering::Relaxed);
    }

    pub(crate) fn is_fresh(&self) -> bool {
        let since = crate::net::boottime_ns().saturating_sub(self.turn_ns.load(Ordering::Relaxed));
        u128::from(since) < self.limit.as_nanos()
    }
}

/// All LUNs of the configuration.
pub(crate) struct Luns {
    luns: BTreeMap<LunId, Entry>,
}

struct Entry {
    shared: Arc<Shared>,
    verbs: Sender<Job>,
    reads: Sender<Job>,
    threads: Vec<JoinHandle<()>>,
}

/// One verb with the request that its answer names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub(crate) op: OpId,
    pub(crate) verb: LunVerb,
}

impl Luns {
    /// Starts the threads of every LUN; each is opened at once, in the background, so that what is
    /// wrong with it is told before it is needed.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub(crate) fn start(specs: Vec<LunSpec>, inbox: &Inbox, pulse: &Pulse) -> Result<Self, Error> {
        let mut luns = BTreeMap::new();
        for spec in specs {
            let id = spec.id;
            luns.insert(id, Entry::start(spec, inbox.clone(), pulse.clone())?);
        }
        Ok(Self { luns })
    }

    /// Goes on with these: one that is as it was, and one that is attached, stays open. Gives what is to be closed.
    ///
    /// # Errors
    /// The operating system gives no thread; what there was goes on then.
    pub(crate) fn follow(
        &mut self,
        specs: Vec<LunSpec>,
        inbox: &Inbox,
        pulse: &Pulse,
    ) -> Result<Self, Error> {
        let stays = |entry: &Entry, spec: Option<&LunSpec>| {
            let same = spec.is_some_and(|spec| spec.is_as(&entry.shared.spec));
            same || entry.shared.attached_epoch() > 0
        };
        let mut fresh = BTreeMap::new();
        for spec in &specs {
            if !self.luns.get(&spec.id).is_some_and(|entry| stays(entry, Some(spec))) {
                fresh.insert(spec.id, Entry::start(spec.clone(), inbox.clone(), pulse.clone())?);
            }
        }
        let of = |id: &LunId| specs.iter().find(|spec| spec.id == *id);
        let (kept, closed) = std::mem::take(&mut self.luns)
            .into_iter()
            .partition(|(id, entry)| stays(entry, of(id)));
        self.luns = kept;
        self.luns.extend(fresh);
        Ok(Self { luns: closed })
    }

    /// Hands a verb to its LUN. Never waits; what cannot be handed on is answered as unreachable.
    pub(crate) fn carry_out(&self, lun: LunId, job: Job) -> Option<Event> {
        let failed = |failure| Some(Event::Lun { op: job.op, lun, result: Err(failure) });
        let Some(entry) = self.luns.get(&lun) else { return failed(LunFailure::Unsupported) };
        let queue = match job.verb {
            LunVerb::ReadBeat(_) => &entry.reads,
            _ => &entry.verbs,
        };
        match queue.try_send(job) {
            Ok(()) => None,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                failed(LunFailure::Unreachable)
            }
        }
    }

    /// How resources of this node reach the LUN, while it is attached.
    pub(crate) fn access(&self, lun: LunId) -> Option<drivers::Lun> {
        let shared = &self.luns.get(&lun)?.shared;
        let (name, disk, reach) = (&shared.spec.name, shared.disk(), shared.reach.clone());
        Some(drivers::Lun { name: name.clone(), disk, reach })
    }

    /// Where a save of a resource goes.
    pub(crate) fn save_sink(
        &self,
        lun: LunId,
        resource: &str,
        token: SaveToken,
    ) -> Option<Box<dyn SaveSink + Send>> {
        let shared = Arc::clone(&self.luns.get(&lun)?.shared);
        Some(Box::new(save::Sink { shared, resource: resource.to_owned(), token }))
    }

    /// Where a saved resource comes from.
    pub(crate) fn save_source(
        &self,
        lun: LunId,
        resource: &str,
        token: SaveToken,
    ) -> Option<Box<dyn SaveSource + Send>> {
        let shared = Arc::clone(&self.luns.get(&lun)?.shared);
        Some(Box::new(save::Source::new(shared, resource.to_owned(), token)))
    }
}

impl Drop for Luns {
    /// Ends every attachment and waits for it: no write goes out afterwards.
    fn drop(&mut self) {
        let entries = std::mem::take(&mut self.luns);
        let mut threads = Vec::new();
        for (_, entry) in entries {
            entry.shared.is_closed.store(true, Ordering::Release);
            threads.extend(entry.threads);
            // Its senders go here, and with them the threads' reason to live.
        }
        for thread in threads {
            let _ = thread.join();
        }
    }
}

impl Entry {
    fn start(spec: LunSpec, inbox: Inbox, pulse: Pulse) -> Result<Self, Error> {
        let name = spec.name.clone();
        let shared = Arc::new(Shared {
            spec,
            inbox,
            pulse,
            handle: Mutex::new(None),
            attached: AtomicU64::new(0),
            key: AtomicU64::new(0),
            guest_bytes: AtomicU64::new(0),
            path: AtomicU8::new(PATH_UNSAID),
            is_closed: AtomicBool::new(false),
            reach: LunReach::default(),
            told: Mutex::new(String::new()),
        });
        let (verbs, verb_queue) = bounded(VERBS_MAX);
        let (reads, read_queue) = bounded(VERBS_MAX);
        let mut threads = Vec::new();
        let spawn = |what: &str, body: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(format!("{what}-{name}"))
                .spawn(body)
                .map_err(Error::system(format!("start a thread for lun {name}")))
        };
        let worker = worker::Worker::new(Arc::clone(&shared));
        threads.push(spawn("lun", Box::new(move || worker.run(&verb_queue)))?);
        let reader = Arc::clone(&shared);
        threads.push(spawn("beats", Box::new(move || worker::read_beats(&reader, &read_queue)))?);
        Ok(Self { shared, verbs, reads, threads })
    }
}

impl Shared {
    /// How resources reach the LUN. Asks nobody and waits for nobody.
    fn disk(&self) -> Disk {
        match &self.spec.settings {
            LunSettings::Iscsi(_) => {
                Disk::Nbd { socket: self.spec.socket.clone(), export: String::new() }
            }
            LunSettings::Device(DeviceSettings { path, .. })
            | LunSettings::Disk(DiskSettings { path, .. }) => {
                let bytes = self.guest_bytes.load(Ordering::Acquire);
                Disk::Device { path: path.clone(), bytes }
            }
            LunSettings::File(file) if file.size_mib.is_some() => {
                Disk::File(file.path.join("data"))
            }
            LunSettings::File(file) => Disk::File(file.path.clone()),
        }
    }

    fn answer(&self, op: OpId, result: Result<LunReply, LunError>) {
        let result = result.map_err(|error| {
            self.tell_trouble(&error);
            failure(&error)
        });
        self.event(Event::Lun { op, lun: self.spec.id, result });
    }

    fn event(&self, event: Event) {
        self.inbox.deliver(Input::Event(event));
    }

    /// Tells the host what is wrong with the LUN, once. A conflict is the engine's daily bread.
    fn tell_trouble(&self, error: &LunError) {
        if error.is_refusal() {
            return;
        }
        let text = format!("{error}; {}", remedy(error));
        if std::mem::replace(&mut *self.told.lock(), text.clone()) == text {
            return;
        }
        let name = self.spec.name.as_str();
        let fields = Fields::default().with("lun", name).with("detail", text.as_str());
        let told = notice(NoticeKind::LunTrouble, format!("lun {name}: {text}"), fields);
        self.inbox.deliver(Input::Notice(told));
    }

    /// It works again: the same trouble is worth telling anew.
    fn is_well(&self) {
        self.told.lock().clear();
    }

    /// Says whether this host reaches the LUN, when that changes.
    fn say_path(&self, reached: bool) {
        self.reach.set(reached);
        let now = if reached { PATH_REACHED } else { PATH_AWAY };
        let is_new = self.path.swap(now, Ordering::AcqRel) != now;
        if is_new && !self.is_closed.load(Ordering::Acquire) {
            self.event(Event::LunPath { lun: self.spec.id, reached });
        }
    }

    fn attached_epoch(&self) -> u64 {
        self.attached.load(Ordering::Acquire)
    }

    fn key(&self) -> u64 {
        self.key.load(Ordering::Acquire)
    }
}

/// What the engine is told of an error.
fn failure(error: &LunError) -> LunFailure {
    match error {
        LunError::ReservationConflict | LunError::NotRegistered => LunFailure::Conflict,
        LunError::PathLost { .. }
        | LunError::TimedOut { .. }
        | LunError::Denied { .. }
        | LunError::Io { .. } => LunFailure::Unreachable,
        LunError::Unsupported { .. } | LunError::Corrupt { .. } | LunError::Misuse { .. } => {
            LunFailure::Unsupported
        }
    }
}

/// What a person can do about an error.
fn remedy(error: &LunError) -> &'static str {
    match error {
        LunError::Unsupported { .. } => {
            "take a LUN that knows persistent reservations (LIO, tgt, any array), or the driver disk or file"
        }
        LunError::Denied { .. } => {
            "let this node in: its login or its rights, or whoever else has it"
        }
        LunError::PathLost { .. } | LunError::TimedOut { .. } => {
            "check the network and the storage; it is tried again"
        }
        LunError::Io {
            kind: std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory,
            ..
        } => "it is tried again",
        LunError::Io { .. } => "check the device, its path and the room on it",
        LunError::Corrupt { .. } => "see what stands there before anything is taken away",
        LunError::Misuse { .. } => "correct the settings of this LUN",
        LunError::ReservationConflict | LunError::NotRegistered => "another node has taken it",
    }
}

/// A disk in the words of a host.
pub(crate) fn lun_access(lun: &drivers::Lun) -> LunAccess {
    let (path, is_nbd, size_bytes) = match &lun.disk {
        Disk::Nbd { socket, .. } => (socket, true, None),
        Disk::Device { path, bytes } => (path, false, Some(*bytes)),
        Disk::File(path) => (path, false, None),
    };
    LunAccess { name: lun.name.clone(), path: path.clone(), is_nbd, size_bytes }
}

/// A handle that several threads use.
pub(crate) type SharedLun = Arc<dyn Lun>;
