//! What a SCSI device is asked, whichever way the commands go: in user space over iSCSI, or through the kernel.

use crate::scsi::{self, Cdb, Failure};
use crate::{LunError, Registrant, Reservations};

/// How often READ KEYS and READ RESERVATION may see different generations in a row.
const READS_MAX: u32 = 16;

/// What a device says of itself.
pub(crate) struct Make {
    /// It is Linux' own target.
    pub(crate) is_lio: bool,
    /// Reservations can outlive a loss of power.
    pub(crate) aptpl: bool,
}

/// A way to a device.
pub(crate) trait Ask {
    /// Sends a command that changes nothing, and takes up to `length` bytes of its answer.
    fn fetch(&self, what: &'static str, cdb: Cdb, length: usize) -> Result<Vec<u8>, Failure>;

    fn query(&self, what: &'static str, cdb: Cdb, length: usize) -> Result<Vec<u8>, LunError> {
        self.fetch(what, cdb, length).map_err(|failure| failure.explain(what))
    }

    /// As `query`; `None` where the device does not know the command.
    fn query_optional(
        &self,
        what: &'static str,
        cdb: Cdb,
        length: usize,
    ) -> Result<Option<Vec<u8>>, LunError> {
        match self.fetch(what, cdb, length) {
            Ok(answer) => Ok(Some(answer)),
            Err(Failure::Check(sense)) if sense.is_illegal_request() => Ok(None),
            Err(failure) => Err(failure.explain(what)),
        }
    }

    /// Whether it is a disk with reservations of our type, and whose.
    fn make(&self) -> Result<Make, LunError> {
        let (kind, vendor) =
            scsi::parse_inquiry(&self.query("INQUIRY", scsi::inquiry(None, 96), 96)?)?;
        self.reservations()?;
        if kind != 0 {
            return Err(LunError::Unsupported {
                what: format!("the LUN is no disk but a device of type {kind:#04x}"),
            });
        }
        let mut make = Make { is_lio: vendor == scsi::VENDOR_LIO, aptpl: false };
        let report = scsi::reserve_in(scsi::REPORT_CAPABILITIES, 8);
        if let Some(answer) = self.query_optional("REPORT CAPABILITIES", report, 8)? {
            let (aptpl, our_type) = scsi::parse_report_capabilities(&answer)?;
            if !our_type {
                return Err(scsi::without_our_type());
            }
            make.aptpl = aptpl;
        }
        Ok(make)
    }

    /// Who is registered and who holds, of one moment.
    fn reservations(&self) -> Result<Reservations, LunError> {
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
    fn registrants(&self) -> Result<Option<Vec<Registrant>>, LunError> {
        let length = scsi::KEYS_LENGTH;
        let cdb = scsi::reserve_in(scsi::READ_FULL_STATUS, length);
        let Some(answer) = self.query_optional("READ FULL STATUS", cdb, length.into())? else {
            return Ok(None);
        };
        scsi::parse_full_status(&answer)?
            .ok_or_else(|| LunError::device("the list of registrants is longer than 64 KiB"))
            .map(Some)
    }
}
