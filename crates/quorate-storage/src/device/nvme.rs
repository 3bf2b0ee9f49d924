//! NVMe reservations: the commands as bytes, and their way to the kernel.
//!
//! Source: NVM Express Base Specification 1.4, 6.11 to 6.14 (figures 399 to 413), and 5.15 (Identify). No device with
//! reservations was at hand: what is tested is that the bytes are those of the tables.
//!
//! A registration belongs to a host (its host identifier), not to a path: one command is enough for all of them.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::time::Duration;

use crate::scsi::Failure;
use crate::{LunError, Registrant, ReservationKey, ReservationType, Reservations};

/// `_IO('N', 0x40)`: the namespace's number.
const NVME_IOCTL_ID: libc::c_ulong = 0x4e40;
/// `_IOWR('N', 0x41, struct nvme_passthru_cmd)` and its like for commands of I/O.
const NVME_IOCTL_ADMIN_CMD: libc::c_ulong = 0xc048_4e41;
const NVME_IOCTL_IO_CMD: libc::c_ulong = 0xc048_4e43;

/// A report, and what stands in it for each controller, are of one of two lengths, by how long host identifiers are.
const SHORT: usize = 24;
const LONG: usize = 64;
/// The host identifier has 16 bytes: only the long report says it.
const STATUS_LONG_IDENTIFIER: i32 = 0x18;
/// Room for 170 controllers.
const REPORT_BYTES: usize = 4096;
const IDENTIFY_BYTES: usize = 4096;
const STATUS_RESERVATION_CONFLICT: i32 = 0x83;
const STATUS_INVALID_OPCODE: i32 = 0x01;
const STATUS_INVALID_FIELD: i32 = 0x02;
/// Without "do not retry" and "more".
const STATUS_MASK: i32 = 0x7ff;

/// `struct nvme_passthru_cmd`.
#[repr(C)]
#[derive(Default)]
struct Passthrough {
    opcode: u8,
    flags: u8,
    reserved: u16,
    nsid: u32,
    cdw2: u32,
    cdw3: u32,
    metadata: u64,
    addr: u64,
    metadata_len: u32,
    data_len: u32,
    cdw10: u32,
    cdw11: u32,
    cdw12: u32,
    cdw13: u32,
    cdw14: u32,
    cdw15: u32,
    timeout_ms: u32,
    result: u32,
}

/// A reservation command: its opcode, its tenth double word, and the keys that go with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    what: &'static str,
    opcode: u8,
    cdw10: u32,
    data: Vec<u8>,
}

/// The type codes of NVMe, which are neither SPC's nor Linux's.
fn type_code(kind: ReservationType) -> u32 {
    match kind {
        ReservationType::WriteExclusive => 1,
        ReservationType::ExclusiveAccess => 2,
        ReservationType::WriteExclusiveRegistrantsOnly => 3,
        ReservationType::ExclusiveAccessRegistrantsOnly => 4,
        ReservationType::WriteExclusiveAllRegistrants => 5,
        ReservationType::ExclusiveAccessAllRegistrants => 6,
    }
}

fn type_of(code: u8) -> Option<ReservationType> {
    use ReservationType as T;
    [
        T::WriteExclusive,
        T::ExclusiveAccess,
        T::WriteExclusiveRegistrantsOnly,
        T::ExclusiveAccessRegistrantsOnly,
        T::WriteExclusiveAllRegistrants,
        T::ExclusiveAccessAllRegistrants,
    ]
    .into_iter()
    .find(|kind| type_code(*kind) == u32::from(code))
}

const IGNORE_EXISTING_KEY: u32 = 1 << 3;

fn keys(first: u64, second: u64) -> Vec<u8> {
    [first.to_le_bytes(), second.to_le_bytes()].concat()
}

fn our_type() -> u32 {
    type_code(ReservationType::WriteExclusiveRegistrantsOnly) << 8
}

/// Whether registrations outlive a loss of power (CPTPL).
fn keep(persistent: bool) -> u32 {
    if persistent { 0b11 << 30 } else { 0 }
}

/// Registers a host that is not registered; a conflict if it is, under another key.
pub(super) fn register(key: u64, persistent: bool) -> Command {
    let cdw10 = keep(persistent);
    Command { what: "Reservation Register", opcode: 0x0d, cdw10, data: keys(0, key) }
}

/// Gives a registered host another key, whatever it has; a conflict if it has none.
pub(super) fn replace(key: u64, persistent: bool) -> Command {
    let cdw10 = 2 | IGNORE_EXISTING_KEY | keep(persistent);
    Command { what: "Reservation Register", opcode: 0x0d, cdw10, data: keys(0, key) }
}

/// Asks whether the key is ours still: replaces it by itself.
pub(super) fn confirm(key: u64) -> Command {
    Command { what: "Reservation Register", opcode: 0x0d, cdw10: 2, data: keys(key, key) }
}

pub(super) fn unregister() -> Command {
    let cdw10 = 1 | IGNORE_EXISTING_KEY;
    Command { what: "Reservation Register", opcode: 0x0d, cdw10, data: keys(0, 0) }
}

pub(super) fn acquire(key: u64) -> Command {
    Command { what: "Reservation Acquire", opcode: 0x11, cdw10: our_type(), data: keys(key, 0) }
}

pub(super) fn preempt(own: u64, victim: u64, abort: bool) -> Command {
    let action = if abort { 2 } else { 1 };
    Command {
        what: "Reservation Acquire (preempt)",
        opcode: 0x11,
        cdw10: action | our_type(),
        data: keys(own, victim),
    }
}

pub(super) fn release(key: u64) -> Command {
    Command {
        what: "Reservation Release",
        opcode: 0x15,
        cdw10: our_type(),
        data: key.to_le_bytes().to_vec(),
    }
}

pub(super) fn clear(key: u64) -> Command {
    Command {
        what: "Reservation Release (clear)",
        opcode: 0x15,
        cdw10: 1,
        data: key.to_le_bytes().to_vec(),
    }
}

/// Carries out a command that changes reservations.
pub(super) fn carry_out(
    file: &File,
    mut command: Command,
    timeout: Duration,
) -> Result<(), Failure> {
    let passthrough =
        Passthrough { opcode: command.opcode, cdw10: command.cdw10, ..Passthrough::default() };
    send(file, NVME_IOCTL_IO_CMD, passthrough, &mut command.data, command.what, timeout)
}

/// Reservation Report: who is registered and who holds. `is_long` asks for identifiers of 16 bytes.
pub(super) fn report(file: &File, is_long: bool, timeout: Duration) -> Result<Vec<u8>, Failure> {
    let mut data = vec![0; REPORT_BYTES];
    let (cdw10, cdw11) = ((REPORT_BYTES / 4 - 1) as u32, u32::from(is_long));
    let passthrough = Passthrough { opcode: 0x0e, cdw10, cdw11, ..Passthrough::default() };
    send(file, NVME_IOCTL_IO_CMD, passthrough, &mut data, "Reservation Report", timeout)?;
    Ok(data)
}

/// What a namespace can do: whether reservations can outlive a loss of power, and whether it has our type of them.
pub(super) fn abilities(file: &File, timeout: Duration) -> Result<(bool, bool), Failure> {
    let mut data = vec![0; IDENTIFY_BYTES];
    let passthrough = Passthrough { opcode: 0x06, ..Passthrough::default() };
    send(file, NVME_IOCTL_ADMIN_CMD, passthrough, &mut data, "Identify Namespace", timeout)?;
    Ok(parse_abilities(&data))
}

#[cfg(feature = "testing")]
pub(super) fn hostile(bytes: &[u8]) {
    let _ = parse_abilities(bytes);
    for is_long in [false, true] {
        if let Ok((found, nexus)) = parse_report(bytes, is_long) {
            assert!(found.keys.len() == nexus.len() && nexus.len() * 24 <= bytes.len());
        }
    }
}

/// Byte 31 of Identify Namespace (RESCAP).
fn parse_abilities(identify: &[u8]) -> (bool, bool) {
    let byte = identify.get(31).copied().unwrap_or(0);
    (byte & 1 != 0, byte & (1 << 3) != 0)
}

fn send(
    file: &File,
    request: libc::c_ulong,
    mut passthrough: Passthrough,
    data: &mut [u8],
    what: &str,
    timeout: Duration,
) -> Result<(), Failure> {
    // SAFETY: the descriptor is open; the call takes no argument.
    let nsid = unsafe { libc::ioctl(file.as_raw_fd(), NVME_IOCTL_ID) };
    let Ok(nsid @ 1..) = u32::try_from(nsid) else {
        return Err(Failure::Error(LunError::Unsupported {
            what: "the device is no NVMe namespace".to_owned(),
        }));
    };
    passthrough.nsid = nsid;
    passthrough.addr = data.as_mut_ptr().addr() as u64;
    passthrough.data_len = data.len() as u32;
    passthrough.timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
    data.as_mut_ptr().expose_provenance();
    // SAFETY: the descriptor is open; the command and the data live until the call returns, the data have the length
    // that the command names and are ours to change.
    let status = unsafe { libc::ioctl(file.as_raw_fd(), request, &raw mut passthrough) };
    match status {
        0 => Ok(()),
        // A status of the device is positive: not -1, as an error of the call.
        1.. => Err(Failure::Error(refusal(what, status))),
        _ => Err(Failure::Error(LunError::io(what, &std::io::Error::last_os_error()))),
    }
}

fn refusal(what: &str, status: i32) -> LunError {
    match status & STATUS_MASK {
        STATUS_RESERVATION_CONFLICT => LunError::ReservationConflict,
        STATUS_INVALID_OPCODE | STATUS_INVALID_FIELD | STATUS_LONG_IDENTIFIER => {
            LunError::Unsupported {
                what: format!("{what}: the device does not know it (NVMe status {status:#x})"),
            }
        }
        // Path related (status code type 3): the command may not have come through.
        code if code >> 8 == 3 => {
            LunError::PathLost { why: format!("{what}: NVMe status {status:#x}") }
        }
        _ => LunError::device(format!("{what}: NVMe status {status:#x}")),
    }
}

/// A Reservation Report in our words.
pub(super) fn parse_report(
    report: &[u8],
    is_long: bool,
) -> Result<(Reservations, Vec<Registrant>), LunError> {
    let short = || LunError::device(format!("a report of {} bytes is too short", report.len()));
    let bytes = |at: usize, length: usize| report.get(at..at + length).ok_or_else(short);
    let long = |at: usize| -> Result<u64, LunError> {
        let mut word = [0; 8];
        word.copy_from_slice(bytes(at, 8)?);
        Ok(u64::from_le_bytes(word))
    };
    let generation = long(0)? as u32;
    let code = bytes(4, 1)?[0];
    let count = usize::from(u16::from_le_bytes([bytes(5, 1)?[0], bytes(6, 1)?[0]]));
    let mut registrants = Vec::new();
    let length = if is_long { LONG } else { SHORT };
    for at in (0..count).map(|index| length + index * length) {
        // The long form has the key first, and an identifier of 16 bytes.
        let (key, host) = match is_long {
            true => (long(at + 8)?, bytes(at + 16, 16)?),
            false => (long(at + 16)?, bytes(at + 8, 8)?),
        };
        let host: String = host.iter().rev().map(|byte| format!("{byte:02x}")).collect();
        registrants.push(Registrant {
            key: ReservationKey(key),
            is_holder: bytes(at + 2, 1)?[0] & 1 != 0,
            initiator: format!("host {host}"),
            target_port: u16::from_le_bytes([bytes(at, 1)?[0], bytes(at + 1, 1)?[0]]),
        });
    }
    let kind =
        match code {
            0 => None,
            code => Some(type_of(code).ok_or_else(|| {
                LunError::device(format!("unknown reservation type {code} of NVMe"))
            })?),
        };
    let holder = registrants.iter().find(|one| one.is_holder).map(|one| one.key);
    let mut keys: Vec<ReservationKey> = registrants.iter().map(|one| one.key).collect();
    keys.sort_unstable();
    Ok((Reservations { generation, keys, holder: holder.zip(kind) }, registrants))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_passthrough_is_as_long_as_the_kernels() {
        assert_eq!(std::mem::size_of::<Passthrough>(), 72);
    }

    /// Figures 399 to 410: opcode, action, ignore existing key, type, persistence.
    #[test]
    fn each_command_is_as_the_specification_lays_it_out() {
        let (own, victim) = (0x0102_0304_0506_0708_u64, 0xff_u64);
        let first = own.to_le_bytes();
        let table = [
            (register(own, false), 0x0d, 0x0000_0000, [[0; 8], first].concat()),
            (register(own, true), 0x0d, 0xc000_0000, [[0; 8], first].concat()),
            (replace(own, true), 0x0d, 0xc000_000a, [[0; 8], first].concat()),
            (confirm(own), 0x0d, 0x0000_0002, [first, first].concat()),
            (unregister(), 0x0d, 0x0000_0009, vec![0; 16]),
            (acquire(own), 0x11, 0x0000_0300, [first, [0; 8]].concat()),
            (preempt(own, victim, false), 0x11, 0x0301, [first, victim.to_le_bytes()].concat()),
            (preempt(own, victim, true), 0x11, 0x0302, [first, victim.to_le_bytes()].concat()),
            (release(own), 0x15, 0x0000_0300, first.to_vec()),
            (clear(own), 0x15, 0x0000_0001, first.to_vec()),
        ];
        for (command, opcode, cdw10, data) in table {
            let what = command.what;
            assert_eq!((command.opcode, command.cdw10), (opcode, cdw10), "{what}");
            assert_eq!(command.data, data, "{what}");
        }
    }

    #[test]
    fn a_report_names_every_controller_and_the_holder() {
        let mut report = vec![0; REPORT_BYTES];
        report[..7].copy_from_slice(&[9, 0, 0, 0, 3, 2, 0]);
        for (index, (key, holds)) in [(0xa1_u64, 0_u8), (0xb1, 1)].into_iter().enumerate() {
            let at = SHORT + index * SHORT;
            report[at] = index as u8;
            report[at + 2] = holds;
            report[at + 8..at + 16].copy_from_slice(&7_u64.to_le_bytes());
            report[at + 16..at + 24].copy_from_slice(&key.to_le_bytes());
        }
        let (found, registrants) = parse_report(&report, false).unwrap();
        let kind = ReservationType::WriteExclusiveRegistrantsOnly;
        assert_eq!(found.keys, [ReservationKey(0xa1), ReservationKey(0xb1)]);
        assert_eq!((found.generation, found.holder), (9, Some((ReservationKey(0xb1), kind))));
        assert_eq!(registrants[1].initiator, "host 0000000000000007");
        let mut long = vec![0; REPORT_BYTES];
        long[..7].copy_from_slice(&[9, 0, 0, 0, 3, 1, 0]);
        (long[LONG + 2], long[LONG + 8], long[LONG + 16], long[LONG + 31]) = (1, 0xa1, 7, 1);
        let (found, registrants) = parse_report(&long, true).unwrap();
        assert_eq!(found.holder, Some((ReservationKey(0xa1), kind)));
        assert_eq!(registrants[0].initiator, "host 01000000000000000000000000000007");
    }

    #[test]
    fn a_report_that_lies_about_its_length_is_an_error() {
        let mut report = vec![0xff; 60];
        report[4] = 3;
        assert!(parse_report(&report, false).is_err());
        for length in 0..SHORT {
            let _ = parse_report(&vec![0xff; length], length % 2 == 0);
        }
        report[4..7].copy_from_slice(&[9, 0, 0]);
        assert!(parse_report(&report, true).is_err(), "type 9");
    }

    proptest::proptest! {
        #[test]
        fn no_report_misleads_the_parser(
            mut report in proptest::collection::vec(proptest::num::u8::ANY, 0..600),
            code in 0..8_u8,
        ) {
            if report.len() > 6 {
                (report[4], report[6]) = (code, 0);
            }
            if let Ok((found, registrants)) = parse_report(&report, code % 2 == 0) {
                assert!(registrants.len() * SHORT <= report.len());
                assert_eq!(found.keys.len(), registrants.len());
            }
            let _ = parse_abilities(&report);
        }
    }

    #[test]
    fn statuses_of_the_device_are_told_apart() {
        assert!(matches!(refusal("x", 0x4083), LunError::ReservationConflict));
        assert!(matches!(refusal("x", 0x4001), LunError::Unsupported { .. }));
        assert!(matches!(refusal("x", 0x4371), LunError::PathLost { .. }));
        assert!(matches!(refusal("x", 0x0004), LunError::Io { .. }));
        assert_eq!(parse_abilities(&[0; 31]), (false, false));
        assert_eq!(parse_abilities(&[0b1001; 32]), (true, true));
    }
}
