//! The handle: puts each call into SCSI words, hands it to the worker, waits for the answer.

use std::ffi::CString;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::EventfdFlags;

use super::IscsiOptions;
use super::request::{Class, Inbox, Request, Shared};
use super::session::{Command, Transfer};
use super::url::Url;
use super::worker::{State, Worker};
use crate::ask::Ask;
use crate::lun::check_range;
use crate::owed::Owed;
use crate::scsi::{self, Cdb, Failure, ReserveOut};
use crate::standing::Effect;
use crate::{
    Capabilities, EventQueue, Lun, LunError, Registrant, ReservationKey, Reservations, Strength,
};

#[cfg(feature = "testing")]
mod raw;

const TIMEOUT_MIN: Duration = Duration::from_millis(100);
/// Longest transfer of one command in bytes, unless the device asks for less.
const TRANSFER_MAX: u32 = 1 << 20;
/// How much longer than its deadline a call waits for the worker, which may be resolving a name.
const GRACE: Duration = Duration::from_millis(500);

/// A LUN behind iSCSI. See the module for how it is put together.
pub struct IscsiLun {
    url: Url,
    timeout: Duration,
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
    capabilities: Capabilities,
    transfer_max: u32,
    is_lio: bool,
    reset: Owed,
}

impl fmt::Debug for IscsiLun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IscsiLun").field(&self.url).finish()
    }
}

impl IscsiLun {
    /// Logs in and finds out what the LUN is and can do. Registers nothing.
    ///
    /// # Errors
    ///
    /// `Misuse` for a bad address, an unknown target or LUN; `Denied` when the target does not let
    /// us in; `PathLost` when it cannot be reached; `Unsupported` when the LUN has no persistent
    /// reservations, not our type of them, or is no disk.
    pub fn open(options: IscsiOptions) -> Result<Self, LunError> {
        let url = Url::parse(&options.url)?;
        if options.timeout < TIMEOUT_MIN {
            let timeout = options.timeout;
            return Err(LunError::misuse(format!(
                "time-out {timeout:?} must be at least {TIMEOUT_MIN:?}"
            )));
        }
        let initiator = CString::new(options.initiator.as_str())
            .ok()
            .filter(|name| (1..=223).contains(&name.as_bytes().len()))
            .ok_or_else(|| {
                LunError::misuse("the initiator name must have 1 to 223 bytes and no NUL")
            })?;
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| LunError::io("eventfd", &error.into()))?;
        let events = Arc::new(EventQueue::new().map_err(|error| LunError::io("eventfd", &error))?);
        let shared = Arc::new(Shared {
            inbox: Mutex::new(Inbox::default()),
            wake,
            events,
            is_in_doubt: AtomicBool::new(false),
        });
        let (place, shared_too) = (url.clone(), Arc::clone(&shared));
        let (isid, timeout) = (fold(&options.nexus), options.timeout);
        let worker = std::thread::Builder::new()
            .name("quorate-lun".to_owned())
            // Made there, because it never leaves that thread.
            .spawn(move || {
                Worker {
                    url: place,
                    initiator,
                    isid,
                    timeout,
                    shared: shared_too,
                    state: State::new(),
                }
                .run()
            })
            .map_err(|error| LunError::io("starting the LUN's thread", &error))?;
        let mut lun = Self {
            url,
            timeout: options.timeout,
            shared,
            worker: Some(worker),
            capabilities: Capabilities {
                strength: Strength::Enforced,
                size_bytes: 0,
                block_bytes: 512,
                preempt_and_abort: false,
                aptpl: false,
                discard_safe: false,
            },
            transfer_max: TRANSFER_MAX,
            is_lio: false,
            reset: Owed::default(),
        };
        lun.probe()?;
        Ok(lun)
    }

    fn probe(&mut self) -> Result<(), LunError> {
        let make = self.make()?;
        self.capabilities.aptpl = make.aptpl;
        let capacity = self.query("READ CAPACITY", scsi::read_capacity(32), 32)?;
        let (size_bytes, block_bytes) = scsi::parse_read_capacity(&capacity)?;
        self.capabilities.size_bytes = size_bytes;
        self.capabilities.block_bytes = block_bytes;
        // Seen: LIO checks UNMAP and WRITE SAME against the reservation, tgt does not. Others count
        // as the latter.
        self.is_lio = make.is_lio;
        self.capabilities.discard_safe = self.is_lio;
        let limits = self.query_optional("block limits", scsi::inquiry(Some(0xb0), 64), 64)?;
        let blocks_max =
            limits.and_then(|page| page.get(8..12)?.try_into().ok()).map_or(0, u32::from_be_bytes);
        if blocks_max != 0 {
            self.transfer_max = blocks_max.saturating_mul(block_bytes).min(TRANSFER_MAX);
        }
        self.probe_abort()
    }

    /// Finds out whether the device has PREEMPT AND ABORT, by one that must end in a conflict:
    /// nobody is registered under this key. Asking for the list of supported commands will not do:
    /// tgt 1.0 lists it and then refuses it.
    fn probe_abort(&mut self) -> Result<(), LunError> {
        let action = ReserveOut::PreemptAndAbort;
        let has_it = match self.try_reserve_out(action, u64::MAX, u64::MAX, Effect::None) {
            Ok(()) | Err(Failure::Error(LunError::ReservationConflict)) => true,
            Err(Failure::Check(_)) => false,
            Err(failure) => return Err(failure.explain(action.name())),
        };
        self.capabilities.preempt_and_abort = has_it;
        Ok(())
    }

    /// Hands a command to the worker and waits for its end, or for the time-out.
    fn call(
        &self,
        what: &'static str,
        command: Command,
        class: Class,
        effect: Effect,
    ) -> Result<Command, Failure> {
        self.call_after(what, command, class, effect, 0)
    }

    /// As `call`, for one who has taken so many unit attentions already.
    fn call_after(
        &self,
        what: &'static str,
        command: Command,
        class: Class,
        effect: Effect,
        attentions: u8,
    ) -> Result<Command, Failure> {
        let (reply, answer) = mpsc::channel();
        let request = Request {
            what,
            command: Some(command),
            class,
            effect,
            deadline: Instant::now() + self.timeout,
            reply: Some(reply),
            attentions,
            not_before: None,
            resend_at: None,
            era: 0,
        };
        self.shared.inbox.lock().requests.push_back(request);
        ring(&self.shared);
        match answer.recv_timeout(self.timeout + GRACE) {
            Ok(result) => result,
            Err(mpsc::RecvTimeoutError::Timeout) => Err(Failure::Error(LunError::TimedOut {
                what: what.to_owned(),
                after: self.timeout,
            })),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(Failure::Error(LunError::PathLost {
                why: "the LUN's thread has ended".to_owned(),
            })),
        }
    }

    fn reserve_out(
        &self,
        action: ReserveOut,
        key: u64,
        action_key: u64,
        effect: Effect,
    ) -> Result<(), LunError> {
        self.try_reserve_out(action, key, action_key, effect).map_err(|failure| match failure {
            Failure::Check(sense) if self.is_lio && scsi::means_unregistered(action, sense) => {
                LunError::ReservationConflict
            }
            failure => failure.explain(action.name()),
        })
    }

    fn try_reserve_out(
        &self,
        action: ReserveOut,
        key: u64,
        action_key: u64,
        effect: Effect,
    ) -> Result<(), Failure> {
        let registers = matches!(action, ReserveOut::Register | ReserveOut::RegisterAndIgnore);
        let aptpl = registers && self.capabilities.aptpl;
        let list = scsi::reserve_out_parameters(key, action_key, aptpl);
        let command = Command::Scsi(scsi::reserve_out(action), Transfer::Out(list));
        self.call(action.name(), command, Class::Reserve, effect).map(drop)
    }

    /// Ends what a preempted node has under way, if a reset has failed to before.
    fn pay_reset(&self) -> Result<(), LunError> {
        let what = "LOGICAL UNIT RESET";
        self.reset.pay(|| {
            self.call(what, Command::Reset, Class::Reserve, Effect::None)
                .map(drop)
                .map_err(|failure| failure.explain(what))
        })
    }

    /// The block address, and how many bytes fit into one command.
    fn chunk(&self) -> usize {
        let block = self.capabilities.block_bytes;
        (self.transfer_max / block).max(1) as usize * block as usize
    }

    fn address(&self, offset: u64, length: usize) -> (u64, u32) {
        let block = u64::from(self.capabilities.block_bytes);
        // At most TRANSFER_MAX bytes, so the count fits.
        (offset / block, (length as u64 / block) as u32)
    }
}

impl Ask for IscsiLun {
    fn fetch(&self, what: &'static str, cdb: Cdb, length: usize) -> Result<Vec<u8>, Failure> {
        let command = Command::Scsi(cdb, Transfer::In(vec![0; length]));
        match self.call(what, command, Class::Query, Effect::None)? {
            Command::Scsi(_, Transfer::In(answer)) => Ok(answer),
            Command::Scsi(_, Transfer::None | Transfer::Out(_)) | Command::Reset => Ok(Vec::new()),
        }
    }
}

impl Lun for IscsiLun {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn register(&self, key: ReservationKey) -> Result<(), LunError> {
        let key = key.checked()?;
        self.pay_reset()?;
        self.reserve_out(ReserveOut::RegisterAndIgnore, 0, key.0, Effect::Registered(key))
    }

    fn unregister(&self) -> Result<(), LunError> {
        self.reserve_out(ReserveOut::RegisterAndIgnore, 0, 0, Effect::Unregistered)
    }

    fn reclaim(&self, key: ReservationKey) -> Result<(), LunError> {
        let key = key.checked()?;
        // The gate for writes stays shut until the last step has succeeded.
        self.shared.is_in_doubt.store(true, Ordering::Release);
        self.reserve_out(ReserveOut::RegisterAndIgnore, 0, key.0, Effect::None)?;
        if self.read_keys()?.is_held_by(key) {
            match self.reserve_out(ReserveOut::Preempt, key.0, key.0, Effect::Reclaimed(key)) {
                Err(LunError::ReservationConflict) => {}
                result => return result,
            }
        }
        self.unregister()?;
        Err(LunError::ReservationConflict)
    }

    fn reclaim_registration(&self, key: ReservationKey) -> Result<(), LunError> {
        let key = key.checked()?;
        let confirm =
            || self.reserve_out(ReserveOut::Register, key.0, key.0, Effect::Reclaimed(key));
        // What an attempt that was cut short has left there proves nothing.
        if self.shared.is_in_doubt.load(Ordering::Acquire) {
            self.unregister()?;
            return Err(LunError::ReservationConflict);
        }
        // A device that knows a nexus by its name has kept it.
        match confirm() {
            Err(LunError::ReservationConflict) => {}
            result => return result,
        }
        // The gate for writes stays shut until the last step has succeeded.
        self.shared.is_in_doubt.store(true, Ordering::Release);
        self.reserve_out(ReserveOut::RegisterAndIgnore, 0, key.0, Effect::None)?;
        let ours = self.read_keys()?.keys.iter().filter(|one| **one == key).count();
        if ours > 1 {
            match confirm() {
                Err(LunError::ReservationConflict) => {}
                result => return result,
            }
        }
        self.unregister()?;
        Err(LunError::ReservationConflict)
    }

    fn read_keys(&self) -> Result<Reservations, LunError> {
        // Whoever asks wants to know whether the LUN is safe to use.
        self.pay_reset()?;
        self.reservations()
    }

    fn read_full_status(&self) -> Result<Option<Vec<Registrant>>, LunError> {
        self.registrants()
    }

    fn reserve(&self, key: ReservationKey) -> Result<(), LunError> {
        self.reserve_out(ReserveOut::Reserve, key.checked()?.0, 0, Effect::None)
    }

    fn release(&self, key: ReservationKey) -> Result<(), LunError> {
        self.reserve_out(ReserveOut::Release, key.checked()?.0, 0, Effect::None)
    }

    fn preempt(&self, own: ReservationKey, victim: ReservationKey) -> Result<(), LunError> {
        self.reserve_out(ReserveOut::Preempt, own.checked()?.0, victim.checked()?.0, Effect::None)
    }

    fn preempt_and_abort(
        &self,
        own: ReservationKey,
        victim: ReservationKey,
    ) -> Result<(), LunError> {
        let (own, victim) = (own.checked()?, victim.checked()?);
        if self.capabilities.preempt_and_abort {
            return self.reserve_out(ReserveOut::PreemptAndAbort, own.0, victim.0, Effect::None);
        }
        // Owed from before the preemption on: its answer may be lost.
        self.reset.owe();
        self.preempt(own, victim)?;
        self.pay_reset()
    }

    fn clear(&self, key: ReservationKey) -> Result<(), LunError> {
        self.reserve_out(ReserveOut::Clear, key.checked()?.0, 0, Effect::Unregistered)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), LunError> {
        check_range(&self.capabilities, offset, buffer.len())?;
        let mut at = offset;
        for part in buffer.chunks_mut(self.chunk()) {
            let (address, blocks) = self.address(at, part.len());
            part.copy_from_slice(&self.query("READ", scsi::read(address, blocks), part.len())?);
            at += part.len() as u64;
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), LunError> {
        check_range(&self.capabilities, offset, data.len())?;
        let mut at = offset;
        for part in data.chunks(self.chunk()) {
            let (address, blocks) = self.address(at, part.len());
            let command = Command::Scsi(scsi::write(address, blocks), Transfer::Out(part.to_vec()));
            self.call("WRITE", command, Class::Write, Effect::None)
                .map_err(|failure| failure.explain("WRITE"))?;
            at += part.len() as u64;
        }
        Ok(())
    }

    fn write_same(&self, offset: u64, length: u64) -> Result<(), LunError> {
        check_range(&self.capabilities, offset, length as usize)?;
        let (address, blocks) = self.address(offset, length as usize);
        let zeroes = vec![0; self.capabilities.block_bytes as usize];
        let command = Command::Scsi(scsi::write_same(address, blocks), Transfer::Out(zeroes));
        self.call("WRITE SAME", command, Class::Write, Effect::None)
            .map(drop)
            .map_err(|failure| failure.explain("WRITE SAME"))
    }

    fn flush(&self) -> Result<(), LunError> {
        let command = Command::Scsi(scsi::synchronize_cache(), Transfer::None);
        match self.call("SYNCHRONIZE CACHE", command, Class::Write, Effect::None) {
            Ok(_) => Ok(()),
            // A device without a cache need not know the command.
            Err(Failure::Check(sense)) if sense.is_unknown_command() => Ok(()),
            Err(failure) => Err(failure.explain("SYNCHRONIZE CACHE")),
        }
    }

    fn events(&self) -> Arc<EventQueue> {
        Arc::clone(&self.shared.events)
    }
}

impl Drop for IscsiLun {
    /// Closes the session. The registration is left as it is, as after a crash.
    fn drop(&mut self) {
        self.shared.inbox.lock().stop = true;
        ring(&self.shared);
        if let Some(worker) = self.worker.take() {
            // A worker that panicked has nothing left to stop.
            let _ = worker.join();
        }
    }
}

fn ring(shared: &Shared) {
    // Only a full counter can fail, and then the bell rings already.
    let _ = rustix::io::write(&shared.wake, &1_u64.to_ne_bytes());
}

/// FNV-1a, folded to the 40 bits that an ISID of the random kind has.
fn fold(text: &str) -> u64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash ^ (hash >> 40)) & 0xff_ffff_ffff
}
