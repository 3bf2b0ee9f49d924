//! One path to a device: the reservation verbs in the words that it understands.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path as FilePath;
use std::time::Duration;

use super::nvme;
use super::sg::{self, Data};
use super::sysfs::Kind;
use crate::ask::Ask;
use crate::scsi::{self, Cdb, Failure, ReserveOut};
use crate::{LunError, Registrant, ReservationKey, Reservations, direct};

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
            .map_err(|error| direct::explain(place.display().to_string(), &error))?;
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
                    return Err(scsi::without_our_type());
                }
                self.report()?;
                // PREEMPT AND ABORT is part of the command; a conflict refuses every kind of write.
                Ok(Found { identity: None, aptpl, preempt_and_abort: true, discard_safe: true })
            }
        }
    }

    fn find_scsi(&self) -> Result<Found, LunError> {
        let make = self.make()?;
        Ok(Found {
            identity: self.identity()?,
            aptpl: make.aptpl,
            preempt_and_abort: self.has_abort()?,
            discard_safe: make.is_lio,
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
        self.reservations()
    }

    /// Every nexus by name; `None` where the device cannot say.
    pub(super) fn read_full_status(&self) -> Result<Option<Vec<Registrant>>, LunError> {
        if self.kind == Kind::Nvme {
            return Ok(Some(self.report()?.1));
        }
        self.registrants()
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
}

impl Ask for Path {
    fn fetch(&self, what: &'static str, cdb: Cdb, length: usize) -> Result<Vec<u8>, Failure> {
        let mut answer = vec![0; length];
        sg::command(&self.file, what, cdb, Data::In(&mut answer), self.timeout)?;
        Ok(answer)
    }
}

/// The keys of one host, as often as it is registered.
pub(super) fn count(found: &Reservations, key: ReservationKey) -> usize {
    found.keys.iter().filter(|one| **one == key).count()
}
