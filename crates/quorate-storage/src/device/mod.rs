//! A LUN that the kernel has: a SCSI disk, a multipath device, an NVMe namespace.
//!
//! The nexus is the host's, so a guest opens the device itself and its I/O never passes through us. What we do is to
//! register the host on every path, to hold the reservation, and to look after both.
//!
//! ```text
//! sysfs   which paths there are            path    the verbs, on one path
//! sg      SCSI commands (SG_IO)            nvme    reservations of NVMe
//! watch   registrations kept right as paths come and go
//! ```
//!
//! *One host, several nexus*: a multipath device has one on each path. All are registered under the same key, and the
//! one that reserves holds for all, since writes are open to every registrant. A path that was away while the others
//! were registered is registered by `watch`, or by the first write that it refuses.

mod nvme;
mod path;
mod sg;
mod sysfs;
mod watch;

use std::fs::File;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use self::path::{Path, Verb, count};
use self::sysfs::Block;
use crate::lun::{check_range, check_times};
use crate::owed::Owed;
use crate::standing::{Effect, Gate, Standing};
use crate::{
    Capabilities, EventQueue, Lun, LunError, LunEvent, Registrant, ReservationKey, Reservations,
    Strength, direct,
};

const SYS: &str = "/sys";
const DEV: &str = "/dev";

/// How to open a LUN that the kernel has.
#[derive(Debug, Clone)]
pub struct DeviceOptions {
    /// The whole device; best by a name that stays: `/dev/disk/by-id/wwn-0x...`, `/dev/mapper/...`.
    pub device: PathBuf,
    /// Bound of each command on each path, at least 100 ms. The kernel's own recovery of a path that hangs may add to
    /// it, and a read or write waits as long as the kernel lets it.
    pub timeout: Duration,
    /// How often to see whether this host is still registered on every path, while it is registered: 1 s is a good
    /// start, 10 ms the least.
    pub watch_interval: Duration,
}

/// A LUN that the kernel has. See the module.
pub struct DeviceLun {
    inner: Arc<Inner>,
    watch: Option<JoinHandle<()>>,
}

/// What callers and the watch share.
struct Inner {
    block: Block,
    data: File,
    identity: Option<String>,
    timeout: Duration,
    capabilities: Capabilities,
    events: Arc<EventQueue>,
    paths: Mutex<Vec<Arc<Path>>>,
    /// One change of registrations at a time, and what came of the last.
    standing: Mutex<Standing>,
    reset: Owed,
    /// It was seen to hold the LUN since it registered last.
    has_held: AtomicBool,
    stop: AtomicBool,
}

impl std::fmt::Debug for DeviceLun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DeviceLun").field(&self.inner.block.name).finish()
    }
}

/// A device of this machine that can be a LUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceState {
    /// Where it is: `/dev/sda`.
    pub device: PathBuf,
    /// Names that stay: links in `/dev/disk/by-id`, the shortest first.
    pub links: Vec<PathBuf>,
    /// Vendor and model; empty if the device does not say.
    pub make: String,
    /// Whole size in bytes.
    pub size_bytes: u64,
    /// The kernel's names of the paths to it; its own name if it has one path.
    pub paths: Vec<String>,
    /// Devices that stand on it: volumes, other mappings.
    pub holders: Vec<String>,
}

/// The devices of this machine that can be LUNs, by name. Reads what the kernel says of them, and asks none of them.
pub fn devices() -> Vec<DeviceState> {
    let sys = FilePath::new(SYS);
    let state = |block: Block| DeviceState {
        device: FilePath::new(DEV).join(&block.name),
        links: sysfs::links(&FilePath::new(DEV).join("disk/by-id"), &block.name),
        make: sysfs::make(sys, &block),
        size_bytes: block.size_bytes,
        paths: sysfs::paths(sys, &block),
        holders: sysfs::holders(sys, &block),
    };
    sysfs::blocks(sys).into_iter().map(state).collect()
}

/// Gives bytes to the parsers of what an NVMe device says.
#[cfg(feature = "testing")]
pub(crate) fn hostile(bytes: &[u8]) {
    nvme::hostile(bytes);
}

impl DeviceLun {
    /// Opens the device and every path to it, and finds out what it is and can do. Registers nothing.
    ///
    /// # Errors
    ///
    /// `Misuse` for what is no whole disk; `Unsupported` for one without persistent reservations of our type; `Denied`
    /// without root or CAP_SYS_RAWIO; `Corrupt` when its paths lead to different LUNs; `PathLost` when no path
    /// answers.
    pub fn open(options: DeviceOptions) -> Result<Self, LunError> {
        check_times(options.timeout, options.watch_interval)?;
        let name = sysfs::kernel_name(FilePath::new(SYS), &options.device)?;
        let block = sysfs::block(FilePath::new(SYS), &name)?;
        let mut inner = Inner {
            data: direct::open(&FilePath::new(DEV).join(&block.name))?,
            identity: None,
            timeout: options.timeout,
            capabilities: Capabilities {
                strength: Strength::Enforced,
                size_bytes: block.size_bytes - block.size_bytes % u64::from(block.block_bytes),
                block_bytes: block.block_bytes,
                preempt_and_abort: false,
                aptpl: false,
                discard_safe: false,
            },
            events: Arc::new(EventQueue::new().map_err(|error| LunError::io("eventfd", &error))?),
            paths: Mutex::new(Vec::new()),
            standing: Mutex::new(Standing::Never),
            reset: Owed::default(),
            has_held: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            block,
        };
        inner.look_for_paths()?;
        let found = inner.on_some_path(Path::find)?;
        inner.identity = found.identity;
        inner.capabilities.aptpl = found.aptpl;
        let hangs = sysfs::hangs_on_abort(FilePath::new(SYS), &inner.block);
        inner.capabilities.preempt_and_abort = found.preempt_and_abort && !hangs;
        inner.capabilities.discard_safe = found.discard_safe;
        inner.check_identities()?;
        let inner = Arc::new(inner);
        let watched = Arc::clone(&inner);
        let watch = std::thread::Builder::new()
            .name("quorate-device".to_owned())
            .spawn(move || watch::run(&watched, options.watch_interval))
            .map_err(|error| LunError::io("starting the device's thread", &error))?;
        Ok(Self { inner, watch: Some(watch) })
    }

    /// The kernel's names of the paths that are open now.
    pub fn paths(&self) -> Vec<String> {
        self.inner.paths.lock().iter().map(|path| path.name.clone()).collect()
    }

    /// The device itself, for whoever does I/O on it: `/dev/sda`, `/dev/dm-0`.
    pub fn device(&self) -> PathBuf {
        FilePath::new(DEV).join(&self.inner.block.name)
    }
}

impl Drop for DeviceLun {
    /// Ends the watch. The registration is left as it is, as after a crash.
    fn drop(&mut self) {
        self.inner.stop.store(true, std::sync::atomic::Ordering::Release);
        if let Some(watch) = self.watch.take() {
            watch.thread().unpark();
            // One that panicked has nothing left to stop.
            let _ = watch.join();
        }
    }
}

/// Whether another path may do what this one could not.
fn is_path_trouble(error: &LunError) -> bool {
    matches!(error, LunError::PathLost { .. } | LunError::TimedOut { .. })
}

impl Inner {
    /// Opens paths that have come, forgets those that have gone.
    fn look_for_paths(&self) -> Result<(), LunError> {
        let names = sysfs::paths(FilePath::new(SYS), &self.block);
        let before = self.paths.lock().clone();
        let (mut now, mut trouble) = (Vec::new(), None);
        for name in names {
            if let Some(path) = before.iter().find(|path| path.name == name) {
                now.push(Arc::clone(path));
                continue;
            }
            let (kind, is_lio) = (self.block.kind, sysfs::is_lio(FilePath::new(SYS), &name));
            match Path::open(FilePath::new(DEV), &name, kind, is_lio, self.timeout) {
                Ok(path) => now.push(Arc::new(path)),
                Err(error) => trouble = Some(error),
            }
        }
        let is_empty = now.is_empty();
        *self.paths.lock() = now;
        match trouble {
            Some(error) if is_empty => Err(error),
            Some(_) | None => Ok(()),
        }
    }

    fn check_identities(&self) -> Result<(), LunError> {
        let name = &self.block.name;
        for path in self.open_paths() {
            match path.identity() {
                Ok(identity) if identity == self.identity => {}
                Ok(other) => {
                    let show = |name: &Option<String>| name.clone().unwrap_or("nameless".into());
                    return Err(LunError::Corrupt {
                        what: format!(
                            "the paths of {name} lead to different LUNs: {} is {}, others are {}",
                            path.name,
                            show(&other),
                            show(&self.identity)
                        ),
                    });
                }
                Err(error) if is_path_trouble(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn open_paths(&self) -> Vec<Arc<Path>> {
        self.paths.lock().clone()
    }

    /// Asks one path after the other until one answers.
    fn on_some_path<T>(&self, ask: impl Fn(&Path) -> Result<T, LunError>) -> Result<T, LunError> {
        let why = format!("{} has no path", self.block.name);
        let mut last = LunError::PathLost { why };
        for path in self.open_paths() {
            match ask(&path) {
                Err(error) if is_path_trouble(&error) => last = error,
                result => return result,
            }
        }
        Err(last)
    }

    /// Tells every path that answers; at least one must.
    fn on_every_path(&self, verb: Verb) -> Result<(), LunError> {
        let why = format!("{} has no path", self.block.name);
        let mut result = Err(LunError::PathLost { why });
        for path in self.open_paths() {
            match path.carry_out(verb, self.capabilities.aptpl) {
                Ok(()) => result = Ok(()),
                Err(error) if is_path_trouble(&error) => {
                    if result.is_err() {
                        result = Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        result
    }

    fn change(&self, verb: Verb) -> Result<(), LunError> {
        self.on_some_path(|path| path.carry_out(verb, self.capabilities.aptpl))
    }

    fn read_keys(&self) -> Result<Reservations, LunError> {
        self.on_some_path(Path::read_keys)
    }

    fn register_everywhere(&self, key: ReservationKey) -> Result<(), LunError> {
        // A path that cannot be opened now is registered when it comes.
        let _ = self.look_for_paths();
        self.on_every_path(Verb::Register(key.0))
    }

    /// Off the list on every path, also on one that does not answer any more.
    fn unregister_everywhere(&self, standing: &mut Standing) -> Result<(), LunError> {
        if let Standing::Registered(key) | Standing::Lost(key) = *standing {
            let aptpl = self.capabilities.aptpl;
            let knows = |path: &Arc<Path>| path.carry_out(Verb::Confirm(key.0), aptpl).is_ok();
            let known: Vec<Arc<Path>> = self.open_paths().into_iter().filter(knows).collect();
            let some_are_away = known.len() < self.open_paths().len();
            if let Some(path) = known.first().filter(|_| some_are_away)
                && count(&path.read_keys()?, key) > known.len()
            {
                path.carry_out(Verb::Preempt { own: key.0, victim: key.0 }, aptpl)?;
            }
        }
        self.on_every_path(Verb::Unregister)?;
        *standing = standing.on_effect(Effect::Unregistered);
        Ok(())
    }

    /// A preemption. Where one answer was lost with its path, the next path's conflict may mean that it is done.
    fn preempt(
        &self,
        verb: Verb,
        own: ReservationKey,
        victim: ReservationKey,
    ) -> Result<(), LunError> {
        let why = format!("{} has no path", self.block.name);
        let (mut last, mut is_open) = (LunError::PathLost { why }, false);
        for path in self.open_paths() {
            match path.carry_out(verb, self.capabilities.aptpl) {
                Err(error) if is_path_trouble(&error) => (last, is_open) = (error, true),
                Err(LunError::ReservationConflict) if is_open => {
                    let found = path.read_keys()?;
                    let is_done = count(&found, own) > 0 && count(&found, victim) == 0;
                    return if is_done { Ok(()) } else { Err(LunError::ReservationConflict) };
                }
                result => return result,
            }
        }
        Err(last)
    }

    fn pay_reset(&self) -> Result<(), LunError> {
        self.reset.pay(|| self.on_some_path(Path::reset))
    }

    /// Writes if this handle may, and takes note of a refusal.
    fn guarded(&self, write: impl Fn() -> Result<(), LunError>) -> Result<(), LunError> {
        let before = *self.standing.lock();
        if before.gate() != Gate::Pass {
            return Err(before.refusal());
        }
        match write() {
            Err(LunError::ReservationConflict) => {}
            result => return result,
        }
        // A path that came back may not know this host yet.
        if self.block.is_multipath && watch::mend(self).is_ok_and(|mended| mended) {
            match write() {
                Err(LunError::ReservationConflict) => {}
                result => return result,
            }
        }
        let mut standing = self.standing.lock();
        if *standing == before {
            *standing = standing.on_refused();
            self.events.push(LunEvent::ReservationRefused);
        }
        Err(LunError::ReservationConflict)
    }

    fn explain(&self, what: &str, error: &io::Error) -> LunError {
        direct::explain(format!("{what} {}", self.block.name), error)
    }
}

impl Lun for DeviceLun {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities
    }

    fn register(&self, key: ReservationKey) -> Result<(), LunError> {
        let key = key.checked()?;
        self.inner.pay_reset()?;
        let mut standing = self.inner.standing.lock();
        self.inner.has_held.store(false, std::sync::atomic::Ordering::Release);
        self.inner.register_everywhere(key)?;
        *standing = standing.on_effect(Effect::Registered(key));
        Ok(())
    }

    fn unregister(&self) -> Result<(), LunError> {
        let mut standing = self.inner.standing.lock();
        self.inner.unregister_everywhere(&mut standing)
    }

    fn reclaim(&self, key: ReservationKey) -> Result<(), LunError> {
        let key = key.checked()?;
        let mut standing = self.inner.standing.lock();
        // A guest's I/O goes past us: whoever is not the owner any more must not be registered for a moment.
        if !self.inner.read_keys()?.is_held_by(key) {
            return Err(LunError::ReservationConflict);
        }
        self.inner.register_everywhere(key)?;
        if self.inner.read_keys()?.is_held_by(key) {
            *standing = standing.on_effect(Effect::Registered(key));
            return Ok(());
        }
        self.inner.unregister_everywhere(&mut standing)?;
        Err(LunError::ReservationConflict)
    }

    fn read_keys(&self) -> Result<Reservations, LunError> {
        // Whoever asks wants to know whether the LUN is safe to use.
        self.inner.pay_reset()?;
        self.inner.read_keys()
    }

    fn read_full_status(&self) -> Result<Option<Vec<Registrant>>, LunError> {
        self.inner.on_some_path(Path::read_full_status)
    }

    fn reserve(&self, key: ReservationKey) -> Result<(), LunError> {
        let key = key.checked()?;
        match self.inner.change(Verb::Reserve(key.0)) {
            Err(LunError::ReservationConflict) => {
                // Another path of this host may hold it.
                self.inner.change(Verb::Confirm(key.0))?;
                match self.inner.read_keys()?.is_held_by(key) {
                    true => Ok(()),
                    false => Err(LunError::ReservationConflict),
                }
            }
            result => result,
        }
    }

    fn release(&self, key: ReservationKey) -> Result<(), LunError> {
        self.inner.on_every_path(Verb::Release(key.checked()?.0))
    }

    fn preempt(&self, own: ReservationKey, victim: ReservationKey) -> Result<(), LunError> {
        let (own, victim) = (own.checked()?, victim.checked()?);
        self.inner.preempt(Verb::Preempt { own: own.0, victim: victim.0 }, own, victim)
    }

    fn preempt_and_abort(
        &self,
        own: ReservationKey,
        victim: ReservationKey,
    ) -> Result<(), LunError> {
        let (own, victim) = (own.checked()?, victim.checked()?);
        if self.inner.capabilities.preempt_and_abort {
            let verb = Verb::PreemptAndAbort { own: own.0, victim: victim.0 };
            return self.inner.preempt(verb, own, victim);
        }
        // Owed from before the preemption on: its answer may be lost.
        self.inner.reset.owe();
        self.preempt(own, victim)?;
        self.inner.pay_reset()
    }

    fn clear(&self, key: ReservationKey) -> Result<(), LunError> {
        let mut standing = self.inner.standing.lock();
        self.inner.change(Verb::Clear(key.checked()?.0))?;
        *standing = standing.on_effect(Effect::Unregistered);
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), LunError> {
        check_range(&self.inner.capabilities, offset, buffer.len())?;
        direct::read(&self.inner.data, offset, buffer)
            .map_err(|error| self.inner.explain("reading", &error))
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), LunError> {
        check_range(&self.inner.capabilities, offset, data.len())?;
        self.inner.guarded(|| {
            direct::write(&self.inner.data, offset, data)
                .map_err(|error| self.inner.explain("writing", &error))
        })
    }

    fn write_same(&self, offset: u64, length: u64) -> Result<(), LunError> {
        let block = u64::from(self.inner.capabilities.block_bytes);
        check_range(&self.inner.capabilities, offset, length as usize)?;
        let blocks = u32::try_from(length / block).map_err(|_| {
            LunError::misuse(format!("{length} bytes are too many for one command"))
        })?;
        let (address, zeroes) = (offset / block, vec![0; block as usize]);
        self.inner
            .guarded(|| self.inner.on_some_path(|path| path.write_same(address, blocks, &zeroes)))
    }

    fn flush(&self) -> Result<(), LunError> {
        self.inner.guarded(|| {
            self.inner.data.sync_data().map_err(|error| self.inner.explain("flushing", &error))
        })
    }

    fn events(&self) -> Arc<EventQueue> {
        Arc::clone(&self.inner.events)
    }
}
