//! One SCSI command on one path of a kernel device, by SG_IO. Blocks until the kernel has its answer.
//!
//! Source: `include/scsi/sg.h` of Linux, interface version 3.

use std::ffi::{c_int, c_uchar, c_uint, c_ushort, c_void};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use crate::LunError;
use crate::scsi::{Cdb, Failure, Outcome, Sense};

const SG_IO: libc::c_ulong = 0x2285;
const SG_SCSI_RESET: libc::c_ulong = 0x2284;
const RESET_DEVICE: c_int = 1;
const INTERFACE: c_int = b'S' as c_int;
const TO_DEVICE: c_int = -2;
const FROM_DEVICE: c_int = -3;
const SENSE_BYTES: usize = 64;
/// How often a unit attention is taken note of and the command sent again: each path of a LUN has several to tell.
const ATTENTIONS_MAX: u8 = 16;
const BUSY_DELAY: Duration = Duration::from_millis(20);

/// `struct sg_io_hdr`.
#[repr(C)]
struct Header {
    interface_id: c_int,
    dxfer_direction: c_int,
    cmd_len: c_uchar,
    mx_sb_len: c_uchar,
    iovec_count: c_ushort,
    dxfer_len: c_uint,
    dxferp: *mut c_void,
    cmdp: *mut c_uchar,
    sbp: *mut c_uchar,
    timeout: c_uint,
    flags: c_uint,
    pack_id: c_int,
    usr_ptr: *mut c_void,
    status: c_uchar,
    masked_status: c_uchar,
    msg_status: c_uchar,
    sb_len_wr: c_uchar,
    host_status: c_ushort,
    driver_status: c_ushort,
    resid: c_int,
    duration: c_uint,
    info: c_uint,
}

/// The data that goes with a command.
pub(super) enum Data<'a> {
    /// Filled by the device; longer than its answer may be.
    In(&'a mut [u8]),
    /// Sent to the device.
    Out(&'a [u8]),
}

/// Sends a command until it has an answer of its own: unit attentions and a busy device are tried again, within
/// `timeout`. The answer may be shorter than the buffer; what it lacks is left as it was.
pub(super) fn command(
    file: &File,
    what: &str,
    cdb: Cdb,
    mut data: Data<'_>,
    timeout: Duration,
) -> Result<(), Failure> {
    let end = Instant::now() + timeout;
    let mut attentions = 0;
    loop {
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match send(file, cdb, &mut data, left).map_err(Failure::Error)? {
            Outcome::Good => return Ok(()),
            Outcome::Conflict => return Err(Failure::Error(LunError::ReservationConflict)),
            Outcome::Check(sense) if sense.is_unit_attention() && attentions < ATTENTIONS_MAX => {
                attentions += 1;
            }
            Outcome::Aborted if attentions < ATTENTIONS_MAX => attentions += 1,
            Outcome::Busy if Instant::now() < end => std::thread::sleep(BUSY_DELAY.min(left)),
            Outcome::Busy => {
                let what = what.to_owned();
                return Err(Failure::Error(LunError::TimedOut { what, after: timeout }));
            }
            Outcome::Check(sense) => return Err(Failure::Check(sense)),
            Outcome::Aborted => {
                return Err(Failure::Aborted);
            }
            Outcome::Lost => {
                let why = format!("{what}: the kernel has lost this path to the device");
                return Err(Failure::Error(LunError::PathLost { why }));
            }
            Outcome::Failed(status) => {
                let text = format!("{what}: status {status:#x}");
                return Err(Failure::Error(LunError::device(text)));
            }
        }
    }
}

fn send(
    file: &File,
    mut cdb: Cdb,
    data: &mut Data<'_>,
    timeout: Duration,
) -> Result<Outcome, LunError> {
    let (direction, pointer, length) = match data {
        Data::In(buffer) => (FROM_DEVICE, buffer.as_mut_ptr().cast::<c_void>(), buffer.len()),
        Data::Out(bytes) => (TO_DEVICE, bytes.as_ptr().cast_mut().cast::<c_void>(), bytes.len()),
    };
    let mut sense = [0; SENSE_BYTES];
    let mut header = Header {
        interface_id: INTERFACE,
        dxfer_direction: direction,
        cmd_len: cdb.length as c_uchar,
        mx_sb_len: SENSE_BYTES as c_uchar,
        iovec_count: 0,
        dxfer_len: c_uint::try_from(length).map_err(|_| LunError::misuse("more than 4 GiB"))?,
        dxferp: pointer,
        cmdp: cdb.bytes.as_mut_ptr(),
        sbp: sense.as_mut_ptr(),
        timeout: c_uint::try_from(timeout.as_millis()).unwrap_or(c_uint::MAX),
        flags: 0,
        pack_id: 0,
        usr_ptr: std::ptr::null_mut(),
        status: 0,
        masked_status: 0,
        msg_status: 0,
        sb_len_wr: 0,
        host_status: 0,
        driver_status: 0,
        resid: 0,
        duration: 0,
        info: 0,
    };
    // SAFETY: the descriptor is open; the header and all that it points to live until the call returns, have the
    // lengths that it names, and the kernel writes to the data only in the direction from the device, where we have
    // it mutably.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), SG_IO, &raw mut header) };
    if done < 0 {
        return system(&std::io::Error::last_os_error());
    }
    let sense = &sense[..usize::from(header.sb_len_wr).min(SENSE_BYTES)];
    Ok(outcome(header.status, header.host_status, header.driver_status, sense))
}

/// What the kernel says in place of an answer.
fn system(error: &std::io::Error) -> Result<Outcome, LunError> {
    match error.raw_os_error() {
        Some(libc::ENODEV | libc::ENXIO | libc::ESHUTDOWN) => Ok(Outcome::Lost),
        Some(libc::EBUSY | libc::EAGAIN | libc::EINTR) => Ok(Outcome::Busy),
        Some(libc::EPERM) => Err(LunError::Denied {
            why: "SG_IO needs root, or the capability CAP_SYS_RAWIO".to_owned(),
        }),
        Some(libc::ENOTTY | libc::EINVAL) => Err(LunError::Unsupported {
            what: "the device takes no SCSI commands (SG_IO)".to_owned(),
        }),
        _ => Err(LunError::io("SG_IO", error)),
    }
}

/// What the three layers that answer have said, put together.
fn outcome(status: u8, host: u16, driver: u16, sense: &[u8]) -> Outcome {
    /// The driver's layer: sense data are there.
    const DRIVER_SENSE: u16 = 8;
    match status & 0x7e {
        0x18 => return Outcome::Conflict,
        0x02 => {
            // A check without sense is a device that cannot say what is wrong.
            return Sense::parse(sense).map_or(Outcome::Failed(0x02), Outcome::Check);
        }
        0x08 | 0x28 => return Outcome::Busy,
        0x40 => return Outcome::Aborted,
        _ => {}
    }
    match (host, status) {
        (0, 0) if driver & 0x0f == DRIVER_SENSE => {
            Sense::parse(sense).map_or(Outcome::Good, Outcome::Check)
        }
        (0, 0) if driver & 0x0f == 0 => Outcome::Good,
        // Before Linux 5.14 a time-out shows in the driver's layer alone.
        (0, 0) => Outcome::Lost,
        (0, status) => Outcome::Failed(status.into()),
        // DID_NEXUS_FAILURE: a conflict that the kernel has digested.
        (0x11, _) => Outcome::Conflict,
        // DID_BUS_BUSY, DID_SOFT_ERROR, DID_IMM_RETRY, DID_REQUEUE.
        (0x02 | 0x0b | 0x0c | 0x0d, _) => Outcome::Busy,
        // DID_RESET: carried out or not, the device begins anew and says so by an attention.
        (0x08, _) => Outcome::Aborted,
        // Connection, time-out, abort, transport: whether the device did it is not known.
        (_, _) => Outcome::Lost,
    }
}

/// LOGICAL UNIT RESET: ends all that is under way on the LUN, whoever sent it.
pub(super) fn reset(file: &File) -> Result<(), LunError> {
    let mut what = RESET_DEVICE;
    // SAFETY: the descriptor is open; the kernel reads one int.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), SG_SCSI_RESET, &raw mut what) };
    match done {
        0.. => Ok(()),
        _ => Err(LunError::io("LOGICAL UNIT RESET", &std::io::Error::last_os_error())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_as_long_as_the_kernels() {
        assert_eq!(std::mem::size_of::<Header>(), 88);
        assert_eq!(std::mem::offset_of!(Header, dxferp), 16);
        assert_eq!(std::mem::offset_of!(Header, status), 64);
    }

    #[test]
    fn a_conflict_is_a_conflict_whichever_layer_says_it() {
        assert_eq!(outcome(0x18, 0, 0, &[]), Outcome::Conflict);
        assert_eq!(outcome(0, 0x11, 0, &[]), Outcome::Conflict);
        assert_eq!(outcome(0x18, 0x11, 8, &[0x70]), Outcome::Conflict);
    }

    #[test]
    fn an_answer_that_never_came_is_never_good() {
        for host in 1..=0x20 {
            assert_ne!(outcome(0, host, 0, &[]), Outcome::Good, "{host:#x}");
        }
        for driver in (1..=0x0f).filter(|driver| *driver != 8) {
            assert_ne!(outcome(0, 0, driver, &[]), Outcome::Good, "{driver:#x}");
        }
        assert_eq!(outcome(2, 0, 0, &[]), Outcome::Failed(2));
        let attention = Sense { key: 6, code: 0x2903 };
        assert_eq!(outcome(2, 0, 8, &[0x72, 6, 0x29, 3]), Outcome::Check(attention));
        assert_eq!(outcome(0, 0, 0, &[]), Outcome::Good);
    }
}
