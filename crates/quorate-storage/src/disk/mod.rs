//! A disk that knows no reservations: plain SAN, an image on NFS, whatever all nodes can read and write. The
//! cooperative driver for it.
//!
//! ```text
//! block   what stands in a slot, as bytes      ballot  agreement on the table of reservations, pure
//! area    where the slots are, reads, writes   watch   sees that somebody has taken the LUN
//! ```
//!
//! *Who is kept out, and by what.* The table is agreed upon through the disk itself, so no two nodes ever believe
//! both that they hold it. A write through this driver looks first whether its registration was taken away (one read
//! of 4 KiB). A guest opens the disk itself, so what keeps a stale one out is time, as with every cooperative LUN: its
//! node's lease. What its host has sent by then may still be under way; a preempt returns `late_write` after it was
//! decided, and what a host has sent must have landed, or never land, by then.
//!
//! *One node, one slot.* What a node has promised stands in its slot, so nobody else may write that, and a write that
//! failed may not land later on. The first is watched (locks of the kernel, and what stands there must be what was
//! written last); for the second a failed write is followed by `late_write` of silence.

mod area;
mod ballot;
mod block;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use self::area::{Area, Bell};
use self::ballot::{Ask, Blocks, Change, Proposal};
use self::block::{Block, Slot};
use crate::lun::check_range;
use crate::standing::{Effect, Gate, Standing};
use crate::table::{NexusId, Table};
use crate::{
    Capabilities, EventQueue, Lun, LunError, LunEvent, ReservationKey, Reservations, Strength,
};

/// Slots of a disk: the nodes' are 1 to `DISK_SLOTS`, those behind are for tools.
pub const DISK_SLOTS: u8 = 250;
const TIMEOUT_MIN: Duration = Duration::from_millis(100);
const WATCH_INTERVAL_MIN: Duration = Duration::from_millis(10);
/// Pause of one that stands in another's way; it grows with each time.
const PAUSE_MIN: Duration = Duration::from_micros(500);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// How to open a disk without reservations as a LUN.
#[derive(Debug, Clone)]
pub struct DiskOptions {
    /// A block device (a whole one, a partition, a logical volume) or a file that all nodes reach, with direct I/O.
    pub path: PathBuf,
    /// Whose slot to write: the node's number, 1 to `DISK_SLOTS`; a tool has 251 to 255.
    pub slot: u8,
    /// How long a write that a host has sent may take to land, if it lands at all.
    pub late_write: Duration,
    /// Bound of each call's wait for others that change the table. A read or write that hangs in the kernel cannot be
    /// bounded.
    pub timeout: Duration,
    /// How often to see whether this node is still registered, while it is: 1 s is a good start, 10 ms the least.
    pub watch_interval: Duration,
}

/// A disk without reservations. See the module.
pub struct DiskLun {
    inner: Arc<Inner>,
    watch: Option<JoinHandle<()>>,
}

struct Inner {
    area: Area,
    slot: Slot,
    /// Tells this handle from those before it.
    nexus: u64,
    late_write: Duration,
    timeout: Duration,
    capabilities: Capabilities,
    events: Arc<EventQueue>,
    /// One change at a time, and what came of the last.
    state: Mutex<State>,
    stop: AtomicBool,
}

struct State {
    standing: Standing,
    /// What stood in our bell when we last looked whether we are registered.
    heard: Bell,
    /// What we have written to our slot last; none: nothing, or what came of it is not known.
    own: Option<Block>,
    /// A write of our slot failed, and may land until then.
    unsettled_until: Option<Instant>,
    random: u64,
}

impl std::fmt::Debug for DiskLun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DiskLun").field(&self.inner.area).field(&self.inner.slot).finish()
    }
}

impl DiskLun {
    /// Opens the disk and looks at its leases. Registers nothing.
    ///
    /// # Errors
    ///
    /// `Misuse` for a slot or a time that cannot be, for what is no disk and no file, and for one without room for 2
    /// MiB of leases; `Corrupt` when something else stands where they should be, with what empties them; `Denied` when
    /// another process has this slot; `Unsupported` without direct I/O.
    pub fn open(options: DiskOptions) -> Result<Self, LunError> {
        for (what, length, least) in [
            ("time-out", options.timeout, TIMEOUT_MIN),
            ("watch interval", options.watch_interval, WATCH_INTERVAL_MIN),
        ] {
            if length < least {
                return Err(LunError::misuse(format!(
                    "{what} {length:?} must be at least {least:?}"
                )));
            }
        }
        if options.slot == 0 {
            return Err(LunError::misuse("lease slot 0 is nobody's: give 1 to 255"));
        }
        let area = Area::open(&options.path)?;
        area.lock(options.slot)?;
        let mut random = [0; 16];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
            .map_err(|errno| LunError::io("random bits", &errno.into()))?;
        let number = u128::from_ne_bytes(random);
        let inner = Arc::new(Inner {
            slot: options.slot,
            nexus: number as u64,
            late_write: options.late_write,
            timeout: options.timeout,
            capabilities: Capabilities {
                strength: Strength::Cooperative,
                size_bytes: area.size_bytes(),
                block_bytes: area.block_bytes,
                preempt_and_abort: true,
                aptpl: true,
                discard_safe: false,
            },
            events: Arc::new(EventQueue::new().map_err(|error| LunError::io("eventfd", &error))?),
            state: Mutex::new(State {
                standing: Standing::Never,
                heard: Bell::default(),
                own: None,
                unsettled_until: None,
                random: (number >> 64) as u64 | 1,
            }),
            stop: AtomicBool::new(false),
            area,
        });
        inner.area.read_slots()?;
        let watched = Arc::clone(&inner);
        let watch = std::thread::Builder::new()
            .name("quorate-disk".to_owned())
            .spawn(move || watch::run(&watched, options.watch_interval))
            .map_err(|error| LunError::io("starting the disk's thread", &error))?;
        Ok(Self { inner, watch: Some(watch) })
    }
}

impl Drop for DiskLun {
    /// Ends the watch. The registration is left as it is, as after a crash.
    fn drop(&mut self) {
        self.inner.stop.store(true, Ordering::Release);
        if let Some(watch) = self.watch.take() {
            watch.thread().unpark();
            // One that panicked has nothing left to stop.
            let _ = watch.join();
        }
    }
}

impl State {
    /// A pause that two in each other's way do not choose alike.
    fn pause(&mut self, tries: u32) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let most = (PAUSE_MIN * 2_u32.saturating_pow(tries.min(16))).min(PAUSE_MAX);
        most.mul_f64((self.random >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

impl Inner {
    /// Brings a change to its end; gives the table as it is then.
    fn propose(&self, state: &mut State, change: Change) -> Result<Table, LunError> {
        let end = Instant::now() + self.timeout;
        if let Some(until) = state.unsettled_until {
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
            state.unsettled_until = None;
        }
        // Known again when it has come to its end.
        let mut proposal = Proposal::new(self.slot, self.nexus, state.own.take(), change);
        let (mut answer, mut tries) = (self.area.read_slots()?, 0);
        loop {
            let ask = proposal.step(&answer);
            if Instant::now() >= end && !matches!(ask, Ask::Done(_)) {
                return Err(LunError::TimedOut {
                    what: "agreeing with others on the leases".to_owned(),
                    after: self.timeout,
                });
            }
            answer = Blocks::new();
            match ask {
                Ask::Read => answer = self.area.read_slots()?,
                Ask::Write(block) => {
                    self.area.write_slot(self.slot, &block).inspect_err(|_| {
                        state.unsettled_until = Some(Instant::now() + self.late_write);
                    })?;
                }
                Ask::Ring(slots, number) => {
                    for slot in slots {
                        self.area.ring(slot, number, self.nexus)?;
                    }
                }
                Ask::Pause => {
                    tries += 1;
                    std::thread::sleep(state.pause(tries));
                }
                Ask::Done(result) => {
                    state.own = proposal.into_own();
                    return result.map(|decided| decided.table);
                }
            }
        }
    }

    fn change(&self, change: Change) -> Result<(), LunError> {
        self.propose(&mut self.state.lock(), change).map(drop)
    }

    fn is_registered(&self, table: &Table) -> bool {
        table.is_registered(NexusId(self.slot.into()))
    }

    /// Whether this handle may write now.
    fn may_write(&self) -> Result<(), LunError> {
        let mut state = self.state.lock();
        if state.standing.gate() == Gate::Refuse {
            return Err(state.standing.refusal());
        }
        let bell = self.area.bell(self.slot)?;
        let may = match state.standing {
            Standing::Registered(_) if bell == state.heard => true,
            Standing::Registered(_) => {
                let table = self.propose(&mut state, Change::Look)?;
                state.heard = bell;
                self.is_registered(&table)
            }
            Standing::Never | Standing::Lost(_) | Standing::Gone { .. } => {
                let table = self.propose(&mut state, Change::Look)?;
                table.may_write(NexusId(self.slot.into()))
            }
        };
        if may {
            return Ok(());
        }
        self.refuse(&mut state);
        Err(LunError::ReservationConflict)
    }

    fn refuse(&self, state: &mut State) {
        state.standing = state.standing.on_refused();
        self.events.push(LunEvent::ReservationRefused);
    }
}

impl Lun for DiskLun {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities
    }

    fn register(&self, key: ReservationKey) -> Result<(), LunError> {
        let (inner, key) = (&self.inner, key.checked()?);
        let mut state = inner.state.lock();
        // Before: whoever takes it away rings after.
        let bell = inner.area.bell(inner.slot)?;
        inner.propose(&mut state, Change::Register(key))?;
        state.heard = bell;
        state.standing = state.standing.on_effect(Effect::Registered(key));
        Ok(())
    }

    fn unregister(&self) -> Result<(), LunError> {
        let mut state = self.inner.state.lock();
        self.inner.propose(&mut state, Change::Unregister)?;
        state.standing = state.standing.on_effect(Effect::Unregistered);
        Ok(())
    }

    fn read_keys(&self) -> Result<Reservations, LunError> {
        Ok(self.inner.propose(&mut self.inner.state.lock(), Change::Look)?.reservations())
    }

    fn reserve(&self, key: ReservationKey) -> Result<(), LunError> {
        self.inner.change(Change::Reserve(key.checked()?))
    }

    fn release(&self, key: ReservationKey) -> Result<(), LunError> {
        self.inner.change(Change::Release(key.checked()?))
    }

    fn preempt(&self, own: ReservationKey, victim: ReservationKey) -> Result<(), LunError> {
        self.inner.change(Change::Preempt { own: own.checked()?, victim: victim.checked()? })
    }

    /// As `preempt`, and then `late_write` of patience.
    fn preempt_and_abort(
        &self,
        own: ReservationKey,
        victim: ReservationKey,
    ) -> Result<(), LunError> {
        self.preempt(own, victim)?;
        std::thread::sleep(self.inner.late_write);
        Ok(())
    }

    fn clear(&self, key: ReservationKey) -> Result<(), LunError> {
        let mut state = self.inner.state.lock();
        self.inner.propose(&mut state, Change::Clear(key.checked()?))?;
        state.standing = state.standing.on_effect(Effect::Unregistered);
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), LunError> {
        check_range(&self.inner.capabilities, offset, buffer.len())?;
        self.inner.area.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), LunError> {
        check_range(&self.inner.capabilities, offset, data.len())?;
        self.inner.may_write()?;
        self.inner.area.write_at(offset, data)
    }

    fn flush(&self) -> Result<(), LunError> {
        self.inner.may_write()?;
        self.inner.area.flush()
    }

    fn events(&self) -> Arc<EventQueue> {
        Arc::clone(&self.inner.events)
    }
}
