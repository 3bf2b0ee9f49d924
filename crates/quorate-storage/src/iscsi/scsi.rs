//! SCSI as bytes: command blocks, parameter lists, answers, sense. Pure.
//!
//! Source: SPC-4 (PERSISTENT RESERVE, INQUIRY), SBC-3 (READ, WRITE, READ CAPACITY).

use crate::{LunError, ReservationKey, ReservationType, Reservations};

/// A command block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cdb {
    pub(super) bytes: [u8; 16],
    pub(super) length: usize,
}

impl Cdb {
    fn new(length: usize, opcode: u8) -> Self {
        let mut bytes = [0; 16];
        bytes[0] = opcode;
        Self { bytes, length }
    }

    fn with(mut self, at: usize, value: &[u8]) -> Self {
        self.bytes[at..at + value.len()].copy_from_slice(value);
        self
    }
}

/// The service actions of PERSISTENT RESERVE OUT that are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReserveOut {
    Register,
    Reserve,
    Release,
    Clear,
    Preempt,
    PreemptAndAbort,
    RegisterAndIgnore,
}

impl ReserveOut {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Register => 0,
            Self::Reserve => 1,
            Self::Release => 2,
            Self::Clear => 3,
            Self::Preempt => 4,
            Self::PreemptAndAbort => 5,
            Self::RegisterAndIgnore => 6,
        }
    }
}

/// Scope LUN (0), type write exclusive registrants only.
fn scope_and_type() -> u8 {
    ReservationType::WriteExclusiveRegistrantsOnly.spc_code()
}

pub(super) const RESERVE_OUT_LENGTH: usize = 24;

pub(super) fn reserve_out(action: ReserveOut) -> Cdb {
    Cdb::new(10, 0x5f)
        .with(1, &[action.code(), scope_and_type()])
        .with(5, &(RESERVE_OUT_LENGTH as u32).to_be_bytes())
}

/// The parameter list; a key of 0 means none.
pub(super) fn reserve_out_parameters(key: u64, service_action_key: u64, aptpl: bool) -> Vec<u8> {
    let mut list = vec![0; RESERVE_OUT_LENGTH];
    list[0..8].copy_from_slice(&key.to_be_bytes());
    list[8..16].copy_from_slice(&service_action_key.to_be_bytes());
    list[20] = u8::from(aptpl);
    list
}

/// PERSISTENT RESERVE IN: 0 READ KEYS, 1 READ RESERVATION, 2 REPORT CAPABILITIES.
pub(super) fn reserve_in(action: u8, length: u16) -> Cdb {
    Cdb::new(10, 0x5e).with(1, &[action]).with(7, &length.to_be_bytes())
}

pub(super) const READ_KEYS: u8 = 0;
pub(super) const READ_RESERVATION: u8 = 1;
pub(super) const REPORT_CAPABILITIES: u8 = 2;

pub(super) fn read(address: u64, blocks: u32) -> Cdb {
    Cdb::new(16, 0x88).with(2, &address.to_be_bytes()).with(10, &blocks.to_be_bytes())
}

pub(super) fn write(address: u64, blocks: u32) -> Cdb {
    Cdb::new(16, 0x8a).with(2, &address.to_be_bytes()).with(10, &blocks.to_be_bytes())
}

/// SYNCHRONIZE CACHE (10) of the whole LUN.
pub(super) fn synchronize_cache() -> Cdb {
    Cdb::new(10, 0x35)
}

pub(super) fn inquiry(page: Option<u8>, length: u16) -> Cdb {
    let cdb = Cdb::new(6, 0x12).with(3, &length.to_be_bytes());
    match page {
        Some(page) => cdb.with(1, &[1, page]),
        None => cdb,
    }
}

pub(super) fn read_capacity(length: u32) -> Cdb {
    Cdb::new(16, 0x9e).with(1, &[0x10]).with(10, &length.to_be_bytes())
}

fn be<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], LunError> {
    bytes.get(at..at + N).and_then(|slice| slice.try_into().ok()).ok_or_else(|| {
        LunError::device(format!("answer of {} bytes is too short, {} needed", bytes.len(), at + N))
    })
}

/// The keys of a READ KEYS answer and its generation. `None`: the answer is longer than the buffer.
pub(super) fn parse_keys(answer: &[u8]) -> Result<Option<(u32, Vec<ReservationKey>)>, LunError> {
    let generation = u32::from_be_bytes(be(answer, 0)?);
    let length = u32::from_be_bytes(be(answer, 4)?) as usize;
    let Some(list) = answer.get(8..8 + length) else { return Ok(None) };
    let mut keys = Vec::with_capacity(length / 8);
    for at in (0..list.len() / 8).map(|index| index * 8) {
        keys.push(ReservationKey(u64::from_be_bytes(be(list, at)?)));
    }
    keys.sort_unstable();
    Ok(Some((generation, keys)))
}

/// The generation and the holder of a READ RESERVATION answer.
pub(super) fn parse_reservation(
    answer: &[u8],
) -> Result<(u32, Option<(ReservationKey, ReservationType)>), LunError> {
    let generation = u32::from_be_bytes(be(answer, 0)?);
    if u32::from_be_bytes(be(answer, 4)?) == 0 {
        return Ok((generation, None));
    }
    let key = ReservationKey(u64::from_be_bytes(be(answer, 8)?));
    let [code] = be(answer, 21)?;
    let kind = ReservationType::from_spc_code(code & 0x0f)
        .ok_or_else(|| LunError::device(format!("unknown reservation type {}", code & 0x0f)))?;
    Ok((generation, Some((key, kind))))
}

/// Puts both answers together, if they are of one generation.
pub(super) fn join(
    (before, keys): (u32, Vec<ReservationKey>),
    (generation, holder): (u32, Option<(ReservationKey, ReservationType)>),
) -> Option<Reservations> {
    (before == generation).then_some(Reservations { generation, keys, holder })
}

/// What REPORT CAPABILITIES says of the two things we ask: (APTPL possible, our type possible).
pub(super) fn parse_report_capabilities(answer: &[u8]) -> Result<(bool, bool), LunError> {
    let [low, high, mask] = be(answer, 2)?;
    let mask_valid = high & 0x80 != 0;
    Ok((low & 1 != 0, !mask_valid || mask & 0x20 != 0))
}

/// Size of the LUN and of a block, both in bytes.
pub(super) fn parse_read_capacity(answer: &[u8]) -> Result<(u64, u32), LunError> {
    let last = u64::from_be_bytes(be(answer, 0)?);
    let block = u32::from_be_bytes(be(answer, 8)?);
    let size = last.checked_add(1).and_then(|blocks| blocks.checked_mul(block.into()));
    match size {
        Some(size) if block.is_power_of_two() && block >= 512 => Ok((size, block)),
        Some(_) | None => Err(LunError::device(format!(
            "impossible capacity: last block {last} of {block} bytes"
        ))),
    }
}

/// What a device is: its peripheral type (0 is a disk) and its vendor.
pub(super) fn parse_inquiry(answer: &[u8]) -> Result<(u8, String), LunError> {
    let [kind] = be(answer, 0)?;
    let vendor: [u8; 8] = be(answer, 8)?;
    Ok((kind & 0x1f, String::from_utf8_lossy(&vendor).trim().to_owned()))
}

/// Why a command failed, in SCSI's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sense {
    pub(super) key: u8,
    /// Additional sense code and qualifier.
    pub(super) code: u16,
}

impl Sense {
    pub(super) fn is_unit_attention(self) -> bool {
        self.key == 6
    }

    pub(super) fn is_illegal_request(self) -> bool {
        self.key == 5
    }

    /// What a CHECK CONDITION means to the caller of `what`.
    pub(super) fn error(self, what: &str) -> LunError {
        let text = format!("{what}: sense key {:#x}, code {:#06x}", self.key, self.code);
        match (self.key, self.code >> 8) {
            (5, 0x25) => LunError::misuse(format!("no such LUN on the target ({text})")),
            (5, 0x20 | 0x24 | 0x26) => LunError::Unsupported { what: text },
            (7, _) => LunError::Denied { why: text },
            (_, _) => LunError::device(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preempt_is_as_spc_lays_it_out() {
        let cdb = reserve_out(ReserveOut::Preempt);
        assert_eq!(cdb.bytes[..cdb.length], [0x5f, 4, 5, 0, 0, 0, 0, 0, 24, 0]);
        let list = reserve_out_parameters(1, 0x0203, true);
        assert_eq!(list[..16], [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 3]);
        assert_eq!(list[16..], [0, 0, 0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn answers_that_are_cut_short_are_errors_not_panics() {
        for length in 0..24 {
            let answer = vec![0xff; length];
            let _ = parse_keys(&answer);
            let _ = parse_reservation(&answer);
            let _ = parse_report_capabilities(&answer);
            let _ = parse_read_capacity(&answer);
            let _ = parse_inquiry(&answer);
        }
        assert!(parse_keys(&[0; 7]).is_err());
        assert!(parse_read_capacity(&[0; 11]).is_err());
    }

    #[test]
    fn a_key_list_longer_than_the_buffer_is_told_apart() {
        let mut answer = vec![0; 16];
        answer[7] = 16;
        assert_eq!(parse_keys(&answer).unwrap(), None);
        answer[7] = 8;
        answer[15] = 9;
        assert_eq!(parse_keys(&answer).unwrap(), Some((0, vec![ReservationKey(9)])));
    }
}
