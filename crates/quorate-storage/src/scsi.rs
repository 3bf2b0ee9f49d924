//! SCSI as bytes: command blocks, parameter lists, answers, sense. Pure.
//!
//! Source: SPC-4 (PERSISTENT RESERVE, INQUIRY), SBC-3 (READ, WRITE, READ CAPACITY).

use crate::{LunError, Registrant, ReservationKey, ReservationType, Reservations};

/// A command block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cdb {
    pub(crate) bytes: [u8; 16],
    pub(crate) length: usize,
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
pub(crate) enum ReserveOut {
    Register,
    Reserve,
    Release,
    Clear,
    Preempt,
    PreemptAndAbort,
    RegisterAndIgnore,
}

impl ReserveOut {
    pub(crate) fn code(self) -> u8 {
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

    /// As the standard calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Register => "REGISTER",
            Self::RegisterAndIgnore => "REGISTER AND IGNORE EXISTING KEY",
            Self::Reserve => "RESERVE",
            Self::Release => "RELEASE",
            Self::Clear => "CLEAR",
            Self::Preempt => "PREEMPT",
            Self::PreemptAndAbort => "PREEMPT AND ABORT",
        }
    }
}

/// What LIO answers to these of a nexus that is not registered, where SPC has a conflict.
///
/// Source: drivers/target/target_core_pr.c of Linux 6.1.
pub(crate) fn means_unregistered(action: ReserveOut, sense: Sense) -> bool {
    match action {
        ReserveOut::Reserve | ReserveOut::Release | ReserveOut::Clear => {
            sense == Sense { key: 2, code: 0x0800 }
        }
        ReserveOut::Register
        | ReserveOut::RegisterAndIgnore
        | ReserveOut::Preempt
        | ReserveOut::PreemptAndAbort => false,
    }
}

/// Scope LUN (0), type write exclusive registrants only.
fn scope_and_type() -> u8 {
    ReservationType::WriteExclusiveRegistrantsOnly.spc_code()
}

pub(crate) const RESERVE_OUT_LENGTH: usize = 24;

pub(crate) fn reserve_out(action: ReserveOut) -> Cdb {
    Cdb::new(10, 0x5f)
        .with(1, &[action.code(), scope_and_type()])
        .with(5, &(RESERVE_OUT_LENGTH as u32).to_be_bytes())
}

/// The parameter list; a key of 0 means none.
pub(crate) fn reserve_out_parameters(key: u64, service_action_key: u64, aptpl: bool) -> Vec<u8> {
    let mut list = vec![0; RESERVE_OUT_LENGTH];
    list[0..8].copy_from_slice(&key.to_be_bytes());
    list[8..16].copy_from_slice(&service_action_key.to_be_bytes());
    list[20] = u8::from(aptpl);
    list
}

/// PERSISTENT RESERVE IN.
pub(crate) fn reserve_in(action: u8, length: u16) -> Cdb {
    Cdb::new(10, 0x5e).with(1, &[action]).with(7, &length.to_be_bytes())
}

pub(crate) const READ_KEYS: u8 = 0;
pub(crate) const READ_RESERVATION: u8 = 1;
pub(crate) const REPORT_CAPABILITIES: u8 = 2;
pub(crate) const READ_FULL_STATUS: u8 = 3;

/// Room for 8191 keys, the most that one READ KEYS can bring.
pub(crate) const KEYS_LENGTH: u16 = 65_528;

/// Seen to check UNMAP and WRITE SAME against the reservation; tgt does not, others count as that.
pub(crate) const VENDOR_LIO: &str = "LIO-ORG";

pub(crate) fn read(address: u64, blocks: u32) -> Cdb {
    Cdb::new(16, 0x88).with(2, &address.to_be_bytes()).with(10, &blocks.to_be_bytes())
}

pub(crate) fn write(address: u64, blocks: u32) -> Cdb {
    Cdb::new(16, 0x8a).with(2, &address.to_be_bytes()).with(10, &blocks.to_be_bytes())
}

/// WRITE SAME (16), of the one block that goes with it.
pub(crate) fn write_same(address: u64, blocks: u32) -> Cdb {
    Cdb::new(16, 0x93).with(2, &address.to_be_bytes()).with(10, &blocks.to_be_bytes())
}

/// SYNCHRONIZE CACHE (10) of the whole LUN.
pub(crate) fn synchronize_cache() -> Cdb {
    Cdb::new(10, 0x35)
}

pub(crate) fn inquiry(page: Option<u8>, length: u16) -> Cdb {
    let cdb = Cdb::new(6, 0x12).with(3, &length.to_be_bytes());
    match page {
        Some(page) => cdb.with(1, &[1, page]),
        None => cdb,
    }
}

pub(crate) fn read_capacity(length: u32) -> Cdb {
    Cdb::new(16, 0x9e).with(1, &[0x10]).with(10, &length.to_be_bytes())
}

fn be<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], LunError> {
    bytes.get(at..at + N).and_then(|slice| slice.try_into().ok()).ok_or_else(|| {
        LunError::device(format!("answer of {} bytes is too short, {} needed", bytes.len(), at + N))
    })
}

/// The keys of a READ KEYS answer and its generation. `None`: the answer is longer than the buffer.
pub(crate) fn parse_keys(answer: &[u8]) -> Result<Option<(u32, Vec<ReservationKey>)>, LunError> {
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
pub(crate) fn parse_reservation(
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
pub(crate) fn join(
    (before, keys): (u32, Vec<ReservationKey>),
    (generation, holder): (u32, Option<(ReservationKey, ReservationType)>),
) -> Option<Reservations> {
    (before == generation).then_some(Reservations { generation, keys, holder })
}

/// What REPORT CAPABILITIES says of the two things we ask: (APTPL possible, our type possible).
pub(crate) fn parse_report_capabilities(answer: &[u8]) -> Result<(bool, bool), LunError> {
    let [low, high, mask] = be(answer, 2)?;
    let mask_valid = high & 0x80 != 0;
    Ok((low & 1 != 0, !mask_valid || mask & 0x20 != 0))
}

/// Size of the LUN and of a block, both in bytes.
pub(crate) fn parse_read_capacity(answer: &[u8]) -> Result<(u64, u32), LunError> {
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
pub(crate) fn parse_inquiry(answer: &[u8]) -> Result<(u8, String), LunError> {
    let [kind] = be(answer, 0)?;
    let vendor: [u8; 8] = be(answer, 8)?;
    Ok((kind & 0x1f, String::from_utf8_lossy(&vendor).trim().to_owned()))
}

/// What a logical unit calls itself to every initiator, from the device identification page (0x83): the first name of
/// the best kind. `None`: it has none of its own.
pub(crate) fn parse_identity(page: &[u8]) -> Result<Option<String>, LunError> {
    let length = usize::from(u16::from_be_bytes(be(page, 2)?));
    let list = page.get(4..4 + length).unwrap_or(&page[4.min(page.len())..]);
    let (mut at, mut best) = (0, None);
    while let Some(&[code, kind, _, length]) = list.get(at..at + 4) {
        let Some(name) = list.get(at + 4..at + 4 + usize::from(length)) else { break };
        at += 4 + usize::from(length);
        // Of the unit itself (association 0), not of a port of the target.
        if kind & 0x30 != 0 || name.is_empty() {
            continue;
        }
        // NAA, EUI-64, SCSI name string, vendor: how certain it is that no other unit has it.
        let rank = match kind & 0x0f {
            3 => 4,
            2 => 3,
            8 => 2,
            1 => 1,
            _ => continue,
        };
        let text = match code & 0x0f {
            1 => name.iter().map(|byte| format!("{byte:02x}")).collect(),
            _ => String::from_utf8_lossy(name).trim_matches([' ', '\0']).to_owned(),
        };
        if best.as_ref().is_none_or(|(before, _)| *before < rank) {
            best = Some((rank, text));
        }
    }
    Ok(best.map(|(_, text)| text))
}

/// The registered nexus of a READ FULL STATUS answer. `None`: the answer is longer than the buffer.
pub(crate) fn parse_full_status(answer: &[u8]) -> Result<Option<Vec<Registrant>>, LunError> {
    let length = u32::from_be_bytes(be(answer, 4)?) as usize;
    let Some(list) = answer.get(8..).and_then(|rest| rest.get(..length)) else { return Ok(None) };
    let (mut at, mut found) = (0, Vec::new());
    while at < list.len() {
        let one = &list[at..];
        let [flags] = be(one, 12)?;
        let more = u32::from_be_bytes(be(one, 20)?) as usize;
        let transport = one.get(24..).and_then(|rest| rest.get(..more)).ok_or_else(|| {
            LunError::device(format!(
                "a transport id of {more} bytes in an answer of {}",
                answer.len()
            ))
        })?;
        found.push(Registrant {
            key: ReservationKey(u64::from_be_bytes(be(one, 0)?)),
            is_holder: flags & 1 != 0,
            initiator: transport_text(transport),
            target_port: u16::from_be_bytes(be(one, 18)?),
        });
        at += 24 + more;
    }
    Ok(Some(found))
}

/// A TransportID in a person's words.
fn transport_text(id: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let protocol = id.first().map_or(0xff, |first| first & 0x0f);
    match (protocol, id.len()) {
        (0, 16..) => format!("fc {}", hex(&id[8..16])),
        (5, 5..) => {
            let end = 4 + usize::from(u16::from_be_bytes([id[2], id[3]]));
            let name = String::from_utf8_lossy(&id[4..end.min(id.len())]);
            name.chars().filter(|letter| !letter.is_control()).collect()
        }
        (6, 12..) => format!("sas {}", hex(&id[4..12])),
        (_, _) => hex(id),
    }
}

pub(crate) fn without_our_type() -> LunError {
    LunError::Unsupported {
        what: "the LUN has no reservations of type write exclusive, registrants only".to_owned(),
    }
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Good,
    Conflict,
    Check(Sense),
    /// The device is busy: try again.
    Busy,
    /// The device ended it for another initiator's sake: try again.
    Aborted,
    /// The path is gone; whether the device did it is not known.
    Lost,
    Failed(i32),
}

/// Why a command failed; the sense tells a missing feature from a broken disk.
#[derive(Debug)]
pub(crate) enum Failure {
    Check(Sense),
    /// The device has ended it for another initiator's sake, more often than is borne.
    Aborted,
    Error(LunError),
}

impl Failure {
    /// As the caller of `what` is told.
    pub(crate) fn explain(self, what: &str) -> LunError {
        match self {
            Self::Check(sense) => sense.error(what),
            Self::Aborted => {
                LunError::device(format!("{what}: aborted by the device again and again"))
            }
            Self::Error(error) => error,
        }
    }
}

/// Why a command failed, in SCSI's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sense {
    pub(crate) key: u8,
    /// Additional sense code and qualifier.
    pub(crate) code: u16,
}

impl Sense {
    pub(crate) fn is_unit_attention(self) -> bool {
        self.key == 6
    }

    pub(crate) fn is_illegal_request(self) -> bool {
        self.key == 5
    }

    /// The device has no such command at all.
    pub(crate) fn is_unknown_command(self) -> bool {
        self.key == 5 && self.code == 0x2000
    }

    /// Sense data as they stand in memory, of fixed or of descriptor format.
    ///
    /// Source: SPC-4, 4.5. `None`: too short, or of another format.
    pub(crate) fn parse(data: &[u8]) -> Option<Self> {
        let (key, code, qualifier) = match data.first()? & 0x7f {
            0x70 | 0x71 => (2, 12, 13),
            0x72 | 0x73 => (1, 2, 3),
            _ => return None,
        };
        let byte = |at: usize| data.get(at).copied();
        let code = u16::from_be_bytes([byte(code)?, byte(qualifier)?]);
        Some(Self { key: byte(key)? & 0x0f, code })
    }

    /// What a CHECK CONDITION means to the caller of `what`.
    pub(crate) fn error(self, what: &str) -> LunError {
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
            let _ = parse_identity(&answer);
            let _ = parse_full_status(&answer);
            let _ = Sense::parse(&answer);
        }
        assert!(parse_keys(&[0; 7]).is_err());
        assert!(parse_read_capacity(&[0; 11]).is_err());
    }

    #[test]
    fn sense_is_read_in_both_formats() {
        let mut fixed = [0; 18];
        (fixed[0], fixed[2], fixed[12], fixed[13]) = (0xf0, 0x26, 0x2a, 0x03);
        let wanted = Some(Sense { key: 6, code: 0x2a03 });
        assert_eq!(Sense::parse(&fixed), wanted);
        assert_eq!(Sense::parse(&[0x72, 6, 0x2a, 3]), wanted);
        assert_eq!(Sense::parse(&[0x7f, 6, 0x2a, 3]), None);
    }

    #[test]
    fn full_status_names_each_nexus() {
        let mut answer = vec![0, 0, 0, 9, 0, 0, 0, 64];
        let mut one = vec![0; 24];
        (one[7], one[12], one[13], one[19], one[23]) = (0xa1, 1, 5, 2, 40);
        let mut id = vec![0x45, 0, 0, 36];
        id.extend_from_slice(b"iqn.2026-01.org:a,i,0x800000000001\0\0");
        answer.extend(one.into_iter().chain(id));
        let found = parse_full_status(&answer).unwrap().unwrap();
        let wanted = Registrant {
            key: ReservationKey(0xa1),
            is_holder: true,
            initiator: "iqn.2026-01.org:a,i,0x800000000001".to_owned(),
            target_port: 2,
        };
        assert_eq!(found, [wanted]);
        assert_eq!(parse_full_status(&answer[..40]).unwrap(), None);
        answer[31] = 200;
        assert!(parse_full_status(&answer).is_err());
    }

    #[test]
    fn the_best_name_of_a_unit_is_its_identity() {
        let mut page = vec![0, 0x83, 0, 0];
        for (code, kind, name) in
            [(2, 0x01, &b"VENDOR  x"[..]), (1, 0x14, b"\0\0\0\x01"), (1, 0x03, b"\x60\x01\x40\x5a")]
        {
            page.extend_from_slice(&[code, kind, 0, name.len() as u8]);
            page.extend_from_slice(name);
        }
        page[3] = (page.len() - 4) as u8;
        assert_eq!(parse_identity(&page).unwrap().as_deref(), Some("6001405a"));
        assert_eq!(parse_identity(&[0, 0x83, 0, 0]).unwrap(), None);
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
