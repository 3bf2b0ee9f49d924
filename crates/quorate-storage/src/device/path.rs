//! One path to a device: the reservation verbs in the words that it understands.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path as FilePath;
use std::time::Duration;

use super::sg::{self, Data};
use super::sysfs::Kind;
use super::{bytes, nvme};
use crate::scsi::{self, Cdb, Failure, ReserveOut};
use crate::{LunError, Registrant, ReservationKey, Reservations};

/// How often the list of keys and the holder may be of different generations in a row.
const READS_MAX: u32 = 16;

/// What changes the reservations. Keys are never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// Whatever was registered before.
    Register(u64),
    /// Refused if this path is not registered under the key.
    Confirm(u64),
    Unregister,
    Reserve(u64),
    Release(u64),
    Preempt {
        own: u64,
        victim: u64,
    },
    PreemptAndAbort {
        own: u64,
        victim: u64,
    },
    Clear(u64),
}

/// What a device is, as found by asking it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The name that it has on every path.
    pub(super) identity: Option<String>,
    pub(super) aptpl: bool,
    pub(super) preempt_and_abort: bool,
    pub(super) discard_safe: bool,
}

/// One path, open.
#[derive(Debug)]
pub(super) struct Path {
    /// The kernel's name.
    pub(super) name: String,
    file: File,
    kind: Kind,
    is_lio: bool,
    timeout: Duration,
}

impl Path {
    pub(super) fn open(
        dev: &FilePath,
        name: &str,
        kind: Kind,
        is_lio: bool,
        timeout: Duration,
    ) -> Result<Self, LunError> {
        let place = dev.join(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(&place)
            .map_err(|error| bytes::explain(place.display().to_string(), &error))?;
        Ok(Self { name: name.to_owned(), file, kind, is_lio, timeout })
    }

    /// What the device is and can do.
    pub(super) fn find(&self) -> Result<Found, LunError> {
        match self.kind {
            Kind::Scsi => self.find_scsi(),
            Kind::Nvme => {
                let (aptpl, our_type) = nvme::abilities(&self.file, self.timeout)
                    .map_err(|failure| failure.explain("Identify Namespace"))?;
                if !our_type {
                    return Err(without_our_type());
                }
                self.report()?;
                // PREEMPT AND ABORT is part of the command; a conflict refuses every kind of write.
                Ok(Found { identity: None, aptpl, preempt_and_abort: true, discard_safe: true })
            }
        }
    }

    fn find_scsi(&self) -> Result<Found, LunError> {
        let (kind, vendor) =
            scsi::parse_inquiry(&self.query("INQUIRY", scsi::inquiry(None, 96), 96)?)?;
        if kind != 0 {
            let what = format!("{} is no disk but a device of type {kind:#04x}", self.name);
            return Err(LunError::Unsupported { what });
        }
        self.read_keys()?;
        let report = scsi::reserve_in(scsi::REPORT_CAPABILITIES, 8);
        let mut aptpl = false;
        if let Some(answer) = self.query_optional("REPORT CAPABILITIES", report, 8)? {
            let (persists, our_type) = scsi::parse_report_capabilities(&answer)?;
            if !our_type {
                return Err(without_our_type());
            }
            aptpl = persists;
        }
        Ok(Found {
            identity: self.identity()?,
            aptpl,
            preempt_and_abort: self.has_abort()?,
            discard_safe: vendor == scsi::VENDOR_LIO,
        })
    }

    /// The name that the device has on every path; `None` if it has none.
    pub(super) fn identity(&self) -> Result<Option<String>, LunError> {
        if self.kind == Kind::Nvme {
            return Ok(None);
        }
        let page = self.query_optional("INQUIRY 0x83", scsi::inquiry(Some(0x83), 254), 254)?;
        page.map_or(Ok(None), |page| scsi::parse_identity(&page))
    }

    /// By one that must end in a conflict: nobody is registered under this key.
    fn has_abort(&self) -> Result<bool, LunError> {
        let action = ReserveOut::PreemptAndAbort;
        match self.reserve_out(action, u64::MAX, u64::MAX, false) {
            Ok(()) | Err(Failure::Error(LunError::ReservationConflict)) => Ok(true),
            Err(Failure::Check(_)) => Ok(false),
            Err(failure) => Err(failure.explain(action.name())),
        }
    }

    /// Carries out a verb; `aptpl`: a registration shall outlive a loss of power.
    pub(super) fn carry_out(&self, verb: Verb, aptpl: bool) -> Result<(), LunError> {
        match self.kind {
            Kind::Scsi => self.carry_out_scsi(verb, aptpl),
            Kind::Nvme => self.carry_out_nvme(verb, aptpl),
        }
    }

    fn carry_out_scsi(&self, verb: Verb, aptpl: bool) -> Result<(), LunError> {
        use ReserveOut as Out;
        let (action, key, other, aptpl) = match verb {
            Verb::Register(key) => (Out::RegisterAndIgnore, 0, key, aptpl),
            Verb::Confirm(key) => (Out::Register, key, key, aptpl),
            Verb::Unregister => (Out::RegisterAndIgnore, 0, 0, aptpl),
            Verb::Reserve(key) => (Out::Reserve, key, 0, false),
            Verb::Release(key) => (Out::Release, key, 0, false),
            Verb::Preempt { own, victim } => (Out::Preempt, own, victim, false),
            Verb::PreemptAndAbort { own, victim } => (Out::PreemptAndAbort, own, victim, false),
            Verb::Clear(key) => (Out::Clear, key, 0, false),
        };
        self.reserve_out(action, key, other, aptpl)
            .map_err(|failure| failure.explain(action.name()))
    }

    fn carry_out_nvme(&self, verb: Verb, aptpl: bool) -> Result<(), LunError> {
        let command = match verb {
            Verb::Register(key) => {
                match self.nvme(nvme::replace(key, aptpl)) {
                    // It was not registered.
                    Err(LunError::ReservationConflict) => nvme::register(key, aptpl),
                    result => return result,
                }
            }
            Verb::Confirm(key) => nvme::confirm(key),
            Verb::Unregister => {
                return match self.nvme(nvme::unregister()) {
                    Err(LunError::ReservationConflict) => Ok(()),
                    result => result,
                };
            }
            Verb::Reserve(key) => nvme::acquire(key),
            Verb::Release(key) => nvme::release(key),
            Verb::Preempt { own, victim } => nvme::preempt(own, victim, false),
            Verb::PreemptAndAbort { own, victim } => nvme::preempt(own, victim, true),
            Verb::Clear(key) => nvme::clear(key),
        };
        self.nvme(command)
    }

    fn nvme(&self, command: nvme::Command) -> Result<(), LunError> {
        nvme::carry_out(&self.file, command, self.timeout)
            .map_err(|failure| failure.explain("reservation"))
    }

    /// Who is registered and who holds, of one moment.
    pub(super) fn read_keys(&self) -> Result<Reservations, LunError> {
        if self.kind == Kind::Nvme {
            return Ok(self.report()?.0);
        }
        for _ in 0..READS_MAX {
            let length = scsi::KEYS_LENGTH;
            let cdb = scsi::reserve_in(scsi::READ_KEYS, length);
            let answer = self.query("READ KEYS", cdb, length.into())?;
            let keys = scsi::parse_keys(&answer)?
                .ok_or_else(|| LunError::device("more than 8190 keys are registered"))?;
            let cdb = scsi::reserve_in(scsi::READ_RESERVATION, 24);
            let holder = scsi::parse_reservation(&self.query("READ RESERVATION", cdb, 24)?)?;
            if let Some(found) = scsi::join(keys, holder) {
                return Ok(found);
            }
        }
        Err(LunError::device("the reservations of the LUN change without end"))
    }

    /// Every nexus by name; `None` where the device cannot say.
    pub(super) fn read_full_status(&self) -> Result<Option<Vec<Registrant>>, LunError> {
        if self.kind == Kind::Nvme {
            return Ok(Some(self.report()?.1));
        }
        let length = scsi::KEYS_LENGTH;
        let cdb = scsi::reserve_in(scsi::READ_FULL_STATUS, length);
        match self.query_optional("READ FULL STATUS", cdb, length.into())? {
            None => Ok(None),
            Some(answer) => scsi::parse_full_status(&answer)?
                .ok_or_else(|| LunError::device("the list of registrants is too long"))
                .map(Some),
        }
    }

    fn report(&self) -> Result<(Reservations, Vec<Registrant>), LunError> {
        let ask = |is_long| {
            let report = nvme::report(&self.file, is_long, self.timeout)
                .map_err(|failure| failure.explain("Reservation Report"))?;
            nvme::parse_report(&report, is_long)
        };
        match ask(true) {
            // A device of before long identifiers.
            Err(LunError::Unsupported { .. }) => ask(false),
            result => result,
        }
    }

    /// Ends what is under way on the LUN, whoever sent it.
    pub(super) fn reset(&self) -> Result<(), LunError> {
        sg::reset(&self.file)
    }

    /// So many blocks like the one given.
    pub(super) fn write_same(&self, address: u64, blocks: u32, one: &[u8]) -> Result<(), LunError> {
        let what = "WRITE SAME";
        if self.kind == Kind::Nvme {
            return Err(LunError::Unsupported { what: format!("{what} over NVMe") });
        }
        let cdb = scsi::write_same(address, blocks);
        sg::command(&self.file, what, cdb, Data::Out(one), self.timeout)
            .map_err(|failure| failure.explain(what))
    }

    fn reserve_out(
        &self,
        action: ReserveOut,
        key: u64,
        other: u64,
        aptpl: bool,
    ) -> Result<(), Failure> {
        let list = scsi::reserve_out_parameters(key, other, aptpl);
        let cdb = scsi::reserve_out(action);
        match sg::command(&self.file, action.name(), cdb, Data::Out(&list), self.timeout) {
            Err(Failure::Check(sense))
                if self.is_lio && scsi::means_unregistered(action, sense) =>
            {
                Err(Failure::Error(LunError::ReservationConflict))
            }
            result => result,
        }
    }

    fn query(&self, what: &str, cdb: Cdb, length: usize) -> Result<Vec<u8>, LunError> {
        self.fetch(what, cdb, length).map_err(|failure| failure.explain(what))
    }

    fn query_optional(
        &self,
        what: &str,
        cdb: Cdb,
        length: usize,
    ) -> Result<Option<Vec<u8>>, LunError> {
        match self.fetch(what, cdb, length) {
            Ok(answer) => Ok(Some(answer)),
            Err(Failure::Check(sense)) if sense.is_illegal_request() => Ok(None),
            Err(failure) => Err(failure.explain(what)),
        }
    }

    fn fetch(&self, what: &str, cdb: Cdb, length: usize) -> Result<Vec<u8>, Failure> {
        let mut answer = vec![0; length];
        sg::command(&self.file, what, cdb, Data::In(&mut answer), self.timeout)?;
        Ok(answer)
    }
}

fn without_our_type() -> LunError {
    LunError::Unsupported {
        what: "the LUN has no reservations of type write exclusive, registrants only".to_owned(),
    }
}

/// The keys of one host, as often as it is registered.
pub(super) fn count(found: &Reservations, key: ReservationKey) -> usize {
    found.keys.iter().filter(|one| **one == key).count()
}
