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
//! failed may not land later on. The first is watched (locks of the kernel; each block names its LUN and cluster; what
//! stands there must be what was written last); for the second a write that failed, or the end of the handle before,
//! is followed by `late_write` of silence.

mod area;
mod ballot;
mod block;
mod volume;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

pub use self::area::AREA_BYTES as DISK_LEASES_BYTES;
pub(crate) use self::area::MAGIC as LEASES;
use self::area::{Area, Bell};
use self::ballot::{Ask, Blocks, Change, Decided, Proposal, Who};
use self::block::Block;
use crate::lun::{check_range, check_times};
use crate::owed::Owed;
use crate::standing::{Effect, Gate, Standing};
use crate::table::{NexusId, Table};
use crate::{
    Capabilities, EventQueue, Lun, LunError, LunEvent, ReservationKey, Reservations, Strength,
};

/// Slots of a disk: the nodes' are 1 to `DISK_SLOTS`, those behind are for tools.
pub const DISK_SLOTS: u8 = 250;
/// Pause of one that stands in another's way; it grows with each time.
const PAUSE_MIN: Duration = Duration::from_micros(500);
const PAUSE_MAX: Duration = Duration::from_millis(50);
/// For how long another handle of our slot may be on its way out.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// How to open a disk without reservations as a LUN.
#[derive(Debug, Clone)]
pub struct DiskOptions {
    /// A block device (a whole one, a partition, a logical volume) or a file that all nodes reach, with direct I/O.
    pub path: PathBuf,
    /// Whose slot to write: the node's number, 1 to `DISK_SLOTS`; a tool has 251 to 255, and one of two that come at
    /// once is refused.
    pub slot: u8,
    /// Whose leases these are: the same for all nodes of one LUN of one cluster, another for every other; 0 for a tool.
    pub owner: u64,
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
    threads: Vec<JoinHandle<()>>,
}

struct Inner {
    area: Area,
    who: Who,
    late_write: Duration,
    timeout: Duration,
    capabilities: Capabilities,
    events: Arc<EventQueue>,
    /// One change at a time, and what came of the last.
    state: Mutex<State>,
    /// For what a preempted owner's host has sent.
    wait: Owed,
    /// When the disk last answered.
    answered: Mutex<Instant>,
    stop: AtomicBool,
}

struct State {
    standing: Standing,
    /// What stood in our bell when we last looked whether we are registered.
    heard: Bell,
    /// What we have written to our slot last; none: nothing, or what came of it is not known.
    own: Option<Block>,
    /// A write of our slot, by this handle or one before it, may land for so long.
    unsettled_until: Option<Instant>,
    /// A tool's: its slot is known to be its own.
    is_claimed: bool,
    random: u64,
}

impl std::fmt::Debug for DiskLun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DiskLun").field(&self.inner.area).field(&self.inner.who).finish()
    }
}

/// Gives bytes to the parser of lease slots.
#[cfg(feature = "testing")]
pub(crate) fn hostile(bytes: &[u8]) {
    if let Some(bytes) = bytes.first_chunk()
        && let Ok(Some(block)) = Block::decode(bytes, bytes[12])
    {
        assert_eq!(Block::decode(&block.encode(bytes[12]), bytes[12]).ok().flatten(), Some(block));
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
        check_times(options.timeout, options.watch_interval)?;
        if options.slot == 0 {
            return Err(LunError::misuse("lease slot 0 is nobody's: give 1 to 255"));
        }
        volume::activate(&options.path)?;
        let area = Area::open(&options.path)?;
        // A handle that is about to be closed may have it for a moment.
        let end = Instant::now() + options.timeout.min(LOCK_PATIENCE);
        while let Err(error) = area.lock(options.slot) {
            if Instant::now() >= end {
                return Err(error);
            }
            std::thread::sleep(PAUSE_MAX);
        }
        let number = u128::from_ne_bytes(area::random()?);
        let before = area.read_slots()?.contains_key(&options.slot);
        let inner = Arc::new(Inner {
            who: Who { slot: options.slot, nexus: number as u64, owner: options.owner },
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
                unsettled_until: before.then(|| Instant::now() + options.late_write),
                is_claimed: false,
                random: (number >> 64) as u64 | 1,
            }),
            wait: Owed::default(),
            answered: Mutex::new(Instant::now()),
            stop: AtomicBool::new(false),
            area,
        });
        let threads = watch::start(&inner, options.watch_interval)
            .map_err(|error| LunError::io("starting the disk's threads", &error))?;
        Ok(Self { inner, threads })
    }

    /// Activates the logical volume of this path, if it is one and is not active on this host. To open it does so too.
    ///
    /// # Errors
    ///
    /// What LVM says; none for what is no volume, or not there.
    pub fn activate(path: &Path) -> Result<(), LunError> {
        volume::activate(path)
    }

    /// Makes empty leases at the end of a disk that has none yet. False: it has some, and they stay as they are.
    ///
    /// # Errors
    ///
    /// `Misuse` when something else stands there and `over_other_bytes` is false, or when it is true and nodes are
    /// registered: nothing was changed. Else as `open`.
    pub fn make_leases(path: &Path, over_other_bytes: bool) -> Result<bool, LunError> {
        volume::activate(path)?;
        Area::make(path, over_other_bytes)
    }
}

impl Drop for DiskLun {
    /// Ends the watch, unless it hangs in the kernel. The registration is left as it is, as after a crash.
    fn drop(&mut self) {
        self.inner.stop.store(true, Ordering::Release);
        self.threads.iter().for_each(|thread| thread.thread().unpark());
        let end = Instant::now() + self.inner.timeout;
        while self.threads.iter().any(|thread| !thread.is_finished()) && Instant::now() < end {
            std::thread::sleep(PAUSE_MIN);
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
    /// Brings a change to its end; gives the table as it is then, and as it was before.
    fn propose(&self, state: &mut State, change: Change) -> Result<Decided, LunError> {
        let end = Instant::now() + self.timeout + self.late_write;
        // Known again when it has come to its end.
        let mut proposal = Proposal::new(self.who, state.own.take(), change);
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
                    if self.settle(state, &block)? {
                        // What was read before may not be so any more.
                        proposal = Proposal::new(self.who, None, change);
                        answer = self.area.read_slots()?;
                        continue;
                    }
                    self.area.write_slot(self.who.slot, &block).inspect_err(|_| {
                        state.unsettled_until = Some(Instant::now() + self.late_write);
                    })?;
                }
                Ask::Ring(slots) => slots.iter().try_for_each(|slot| self.area.ring(*slot))?,
                Ask::Pause => {
                    tries += 1;
                    std::thread::sleep(state.pause(tries));
                }
                Ask::Done(Err(error @ LunError::Corrupt { .. })) => {
                    // Whatever stands there: the next change begins with that, when no late write can replace it.
                    state.unsettled_until = Some(Instant::now() + self.late_write);
                    return Err(error);
                }
                Ask::Done(result) => {
                    state.own = proposal.into_own();
                    return result;
                }
            }
        }
    }

    /// Before the first write of our slot: waits until no earlier one can land, and for a tool until it is certain that
    /// no other has its slot. Whether it had to.
    fn settle(&self, state: &mut State, block: &Block) -> Result<bool, LunError> {
        if self.who.is_tool() && !state.is_claimed {
            // What stands there, but for the name.
            let found = self.area.read_slots()?.remove(&self.who.slot).unwrap_or_default();
            let claim = Block { nexus: block.nexus, ..found };
            self.area.write_slot(self.who.slot, &claim)?;
            std::thread::sleep(self.late_write);
            if self.area.read_slots()?.get(&self.who.slot) != Some(&claim) {
                return Err(LunError::Denied {
                    why: "another tool, on another machine, is at work on these leases".to_owned(),
                });
            }
            state.is_claimed = true;
            state.unsettled_until = None;
            return Ok(true);
        }
        let Some(until) = state.unsettled_until.take() else { return Ok(false) };
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
        Ok(true)
    }

    /// What a preempted owner's host had sent has landed afterwards.
    fn pay_wait(&self) -> Result<(), LunError> {
        self.wait.pay(|| {
            std::thread::sleep(self.late_write);
            Ok(())
        })
    }

    fn change(&self, change: Change) -> Result<(), LunError> {
        // Nobody is to take what is given up before that.
        self.pay_wait()?;
        self.propose(&mut self.state.lock(), change).map(drop)
    }

    fn nexus(&self) -> NexusId {
        NexusId(self.who.slot.into())
    }

    /// Whether the registration is ours: the slot's, under our key.
    fn stands(&self, standing: Standing, table: &Table) -> bool {
        let found = table.registrations.get(&self.nexus()).copied();
        matches!(standing, Standing::Registered(key) if found == Some(key))
    }

    /// Whether this handle may write now.
    fn may_write(&self) -> Result<(), LunError> {
        let mut state = self.state.lock();
        if state.standing.gate() == Gate::Refuse {
            return Err(state.standing.refusal());
        }
        let bell = self.area.bell(self.who.slot)?;
        let may = match state.standing {
            Standing::Registered(_) if bell == state.heard => true,
            Standing::Registered(_) => {
                let table = self.propose(&mut state, Change::Look)?.table;
                state.heard = bell;
                self.stands(state.standing, &table)
            }
            Standing::Never | Standing::Lost(_) | Standing::Gone { .. } => {
                let table = self.propose(&mut state, Change::Look)?.table;
                table.may_write(self.nexus())
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
        inner.pay_wait()?;
        let mut state = inner.state.lock();
        inner.area.check_size()?;
        // Before: whoever takes it away rings after.
        let bell = inner.area.bell(inner.who.slot)?;
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
        self.inner.pay_wait()?;
        Ok(self.inner.propose(&mut self.inner.state.lock(), Change::Look)?.table.reservations())
    }

    fn reserve(&self, key: ReservationKey) -> Result<(), LunError> {
        self.inner.change(Change::Reserve(key.checked()?))
    }

    fn release(&self, key: ReservationKey) -> Result<(), LunError> {
        self.inner.change(Change::Release(key.checked()?))
    }

    fn give_back(&self, key: ReservationKey) -> Result<(), LunError> {
        self.release(key)
    }

    fn preempt(&self, own: ReservationKey, victim: ReservationKey) -> Result<(), LunError> {
        self.inner.change(Change::Preempt { own: own.checked()?, victim: victim.checked()? })
    }

    /// As `preempt`, and then `late_write` of patience if the victim held the LUN: who gave the reservation up had
    /// nothing under way any more.
    fn preempt_and_abort(
        &self,
        own: ReservationKey,
        victim: ReservationKey,
    ) -> Result<(), LunError> {
        let (inner, change) =
            (&self.inner, Change::Preempt { own: own.checked()?, victim: victim.checked()? });
        inner.pay_wait()?;
        // Owed from before it on: its answer may be lost.
        inner.wait.owe();
        let decided = inner.propose(&mut inner.state.lock(), change);
        let held = match &decided {
            Ok(decided) => decided.before.reservations().is_held_by(victim),
            Err(LunError::ReservationConflict) => false,
            Err(_) => return decided.map(drop),
        };
        if !held {
            inner.wait.pay(|| Ok(()))?;
        }
        inner.pay_wait()?;
        decided.map(drop)
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
