//! The bytes of the log file: a header, then batches. Pure: slices in, records out.
//!
//! ```text
//! file   = magic[8] version:u32 cluster:u64 node:u16 zero:u16 identity:u64 first_sequence:u64 crc:u32  batch*
//! batch  = marker:u32 sequence:u64 body_length:u32 body_crc:u32 header_crc:u32  record*
//! record = kind:u8 length:u32 bytes
//! ```
//!
//! Numbers are little-endian. What one append writes is one batch, because it is synced as one: a
//! crash can leave its parts on the disk in any order, and none of them was ever reported as
//! durable. Both checksums are seeded with the log's identity, so bytes of another log are not
//! taken for ours.

use super::Record;

/// Bytes of the file header.
pub(super) const FILE_HEADER: usize = 48;
/// Bytes in front of the records of a batch.
pub(super) const BATCH_HEADER: usize = 24;
/// Bytes in front of the bytes of a record.
const RECORD_HEADER: usize = 5;
/// The format that this code reads and writes.
pub(super) const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"QUORATE\n";
const MARKER: u32 = 0x6874_6142;
/// A disk writes at least this much in one piece.
const SECTOR: usize = 512;

/// Whose log it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub(super) cluster_id: u64,
    pub(super) node: u16,
    pub(super) identity: u64,
    pub(super) first_sequence: u64,
}

impl FileHeader {
    pub(super) fn encode(&self) -> [u8; FILE_HEADER] {
        let mut bytes = [0; FILE_HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.cluster_id.to_le_bytes());
        bytes[20..22].copy_from_slice(&self.node.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.identity.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first_sequence.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..44]);
        bytes[44..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(file: &[u8]) -> Result<FileHeader, Defect> {
        let damaged = |offset: usize, what| Defect::Damaged { offset: offset as u64, what };
        if file.len() < FILE_HEADER {
            return Err(damaged(file.len(), "the file ends inside its header"));
        }
        if file[..8] != MAGIC {
            return Err(damaged(0, "this is not the start of a quorate log"));
        }
        let version = u32_at(file, 8);
        if version != VERSION {
            return Err(Defect::UnknownVersion { version });
        }
        if u32_at(file, 44) != crc32fast::hash(&file[..44]) {
            return Err(damaged(0, "the header does not match its checksum"));
        }
        Ok(FileHeader {
            cluster_id: u64_at(file, 12),
            node: u16::from_le_bytes([file[20], file[21]]),
            identity: u64_at(file, 24),
            first_sequence: u64_at(file, 32),
        })
    }
}

/// Why a file is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Defect {
    UnknownVersion { version: u32 },
    Damaged { offset: u64, what: &'static str },
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) records: Vec<Record>,
    /// Everything from here on is a torn append.
    pub(super) good: u64,
    pub(super) next_sequence: u64,
}

/// Appends one batch to `out`.
pub(super) fn encode_batch(identity: u64, sequence: u64, records: &[Record], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + BATCH_HEADER, 0);
    for record in records {
        let length = u32::try_from(record.bytes.len()).expect("the caller bounds a batch");
        out.push(record.kind);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&record.bytes);
    }
    let (header, body) = out[start..].split_at_mut(BATCH_HEADER);
    let length = u32::try_from(body.len()).expect("the caller bounds a batch");
    header[..4].copy_from_slice(&MARKER.to_le_bytes());
    header[4..12].copy_from_slice(&sequence.to_le_bytes());
    header[12..16].copy_from_slice(&length.to_le_bytes());
    header[16..20].copy_from_slice(&checksum(identity, body).to_le_bytes());
    let crc = checksum(identity, &header[..20]);
    header[20..].copy_from_slice(&crc.to_le_bytes());
}

/// Bytes that a batch of these records takes.
pub(super) fn batch_length(records: &[Record]) -> usize {
    BATCH_HEADER + records.iter().map(|r| RECORD_HEADER + r.bytes.len()).sum::<usize>()
}

/// Reads every batch, and tells a torn append at the end from damage.
pub(super) fn scan(file: &[u8], header: &FileHeader) -> Result<Scan, Defect> {
    let mut records = Vec::new();
    let mut good = FILE_HEADER;
    let mut sequence = header.first_sequence;
    while good < file.len() {
        match read_batch(&file[good..], header.identity, sequence) {
            Ok((length, mut batch)) => {
                records.append(&mut batch);
                good += length;
                sequence += 1;
            }
            Err(bad) => {
                judge_tail(file, good, header.identity, sequence, bad)?;
                break;
            }
        }
    }
    Ok(Scan { records, good: good as u64, next_sequence: sequence })
}

/// What is wrong with a batch.
#[derive(Clone, Copy)]
enum Bad {
    /// Its header is cut, overwritten or never written.
    Header,
    /// Its header is right and promises a batch of this length.
    Body { length: usize },
}

fn read_batch(rest: &[u8], identity: u64, sequence: u64) -> Result<(usize, Vec<Record>), Bad> {
    let (found, body_length) = read_batch_header(rest, identity).ok_or(Bad::Header)?;
    if found != sequence {
        return Err(Bad::Header);
    }
    let length = BATCH_HEADER + body_length;
    let bad = Bad::Body { length };
    let body = rest.get(BATCH_HEADER..length).ok_or(bad)?;
    if u32_at(rest, 16) != checksum(identity, body) {
        return Err(bad);
    }
    Ok((length, split_records(body).ok_or(bad)?))
}

/// The sequence and body length of a batch, if a whole and right header stands here.
fn read_batch_header(rest: &[u8], identity: u64) -> Option<(u64, usize)> {
    let header = rest.get(..BATCH_HEADER)?;
    let right =
        u32_at(header, 0) == MARKER && u32_at(header, 20) == checksum(identity, &header[..20]);
    right.then(|| (u64_at(header, 4), u32_at(header, 12) as usize))
}

fn split_records(mut body: &[u8]) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    while !body.is_empty() {
        let (head, rest) = body.split_at_checked(RECORD_HEADER)?;
        let (bytes, rest) = rest.split_at_checked(u32_at(head, 1) as usize)?;
        records.push(Record { kind: head[0], bytes: bytes.to_vec() });
        body = rest;
    }
    Some(records)
}

/// Passes a torn append; refuses anything else.
///
/// A crash in the middle of an append leaves a file that ends too early, or sectors that were never
/// written and read as zeros, and nothing after it. A whole batch that fails its checksum was
/// reported as durable once: to cut it off would be to forget a vote.
fn judge_tail(
    file: &[u8],
    good: usize,
    identity: u64,
    sequence: u64,
    bad: Bad,
) -> Result<(), Defect> {
    let damaged = |what| Err(Defect::Damaged { offset: good as u64, what });
    let follows = (good + 1..file.len()).any(|at| {
        read_batch_header(&file[at..], identity).is_some_and(|(found, _)| found >= sequence)
    });
    if follows {
        return damaged("a damaged batch is followed by a good one");
    }
    let header_end = good + BATCH_HEADER;
    let torn = match bad {
        Bad::Header if header_end > file.len() => true,
        Bad::Header => has_unwritten_sector(file, good, header_end),
        Bad::Body { length } if good + length > file.len() => true,
        Bad::Body { length } => {
            let end = good + length;
            has_unwritten_sector(file, good, end) && file[end..].iter().all(|byte| *byte == 0)
        }
    };
    if torn { Ok(()) } else { damaged("the last batch is whole but does not match its checksum") }
}

/// Is the part of `file[start..end]` that lies in some one sector all zeros?
fn has_unwritten_sector(file: &[u8], start: usize, end: usize) -> bool {
    let mut at = start;
    while at < end {
        let next = ((at / SECTOR + 1) * SECTOR).min(end);
        if file[at..next].iter().all(|byte| *byte == 0) {
            return true;
        }
        at = next;
    }
    false
}

fn checksum(identity: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&identity.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("the range is four bytes long"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("the range is eight bytes long"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: FileHeader =
        FileHeader { cluster_id: 0xc1, node: 2, identity: 0x1d, first_sequence: 5 };

    fn file_of(batches: &[Vec<Record>]) -> Vec<u8> {
        let mut file = HEADER.encode().to_vec();
        for (at, batch) in batches.iter().enumerate() {
            encode_batch(HEADER.identity, HEADER.first_sequence + at as u64, batch, &mut file);
        }
        file
    }

    fn read(file: &[u8]) -> Result<Scan, Defect> {
        let header = FileHeader::decode(file)?;
        assert_eq!(header, HEADER);
        scan(file, &header)
    }

    fn batches() -> impl Strategy<Value = Vec<Vec<Record>>> {
        let record = (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..700))
            .prop_map(|(kind, bytes)| Record { kind, bytes });
        proptest::collection::vec(proptest::collection::vec(record, 1..4), 0..5)
    }

    /// Whole batches only: a batch is all or nothing.
    fn prefixes(batches: &[Vec<Record>]) -> Vec<Vec<Record>> {
        (0..=batches.len()).map(|n| batches[..n].concat()).collect()
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(batches in batches()) {
            let file = file_of(&batches);
            let scan = read(&file).unwrap();
            prop_assert_eq!(scan.records, batches.concat());
            prop_assert_eq!(scan.good, file.len() as u64);
            prop_assert_eq!(scan.next_sequence, 5 + batches.len() as u64);
        }

        #[test]
        fn any_truncation_gives_a_prefix_or_an_error(batches in batches(), cut in any::<prop::sample::Index>()) {
            let file = file_of(&batches);
            let cut = cut.index(file.len() + 1);
            match read(&file[..cut]) {
                Ok(scan) => prop_assert!(prefixes(&batches).contains(&scan.records)),
                Err(_) => prop_assert!(cut < FILE_HEADER),
            }
        }

        #[test]
        fn a_flipped_bit_is_refused(batches in batches(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut file = file_of(&batches);
            let at = at.index(file.len());
            file[at] ^= 1 << bit;
            // Random bytes hold no unwritten sector, but a short record may be a zero byte at the
            // start of one.
            match read(&file) {
                Ok(scan) => prop_assert!(prefixes(&batches[..batches.len() - 1]).contains(&scan.records)),
                Err(Defect::Damaged { .. } | Defect::UnknownVersion { .. }) => {}
            }
        }

        #[test]
        fn an_unwritten_end_is_a_torn_append(batches in batches(), zeros in 24usize..3000) {
            let mut file = file_of(&batches);
            file.resize(file.len() + zeros, 0);
            prop_assert_eq!(read(&file).unwrap().records, batches.concat());
        }

        #[test]
        fn any_bytes_are_read_without_panic(tail in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let _ = FileHeader::decode(&tail);
            let mut file = HEADER.encode().to_vec();
            file.extend(tail);
            let _ = read(&file);
        }
    }

    fn record(bytes: &[u8]) -> Record {
        Record { kind: 1, bytes: bytes.to_vec() }
    }

    #[test]
    fn a_whole_last_batch_with_a_wrong_byte_is_damage_not_a_torn_append() {
        let mut file = file_of(&[vec![record(b"vote")], vec![record(b"term")]]);
        *file.last_mut().unwrap() ^= 1;
        let offset = (FILE_HEADER + batch_length(&[record(b"vote")])) as u64;
        let what = "the last batch is whole but does not match its checksum";
        assert_eq!(read(&file).unwrap_err(), Defect::Damaged { offset, what });
    }

    #[test]
    fn a_batch_torn_in_the_middle_is_cut_off_though_its_end_was_written() {
        let mut file = file_of(&[vec![record(b"vote")], vec![record(&[7; 5000])]]);
        file[1024..1536].fill(0);
        let scan = read(&file).unwrap();
        assert_eq!(scan.records, [record(b"vote")]);
        assert_eq!(scan.next_sequence, 6);
    }

    #[test]
    fn damage_before_a_good_batch_is_refused_though_it_looks_unwritten() {
        let mut file = file_of(&[vec![record(&[7; 5000])], vec![record(b"vote")]]);
        file[1024..1536].fill(0);
        let what = "a damaged batch is followed by a good one";
        assert_eq!(read(&file).unwrap_err(), Defect::Damaged { offset: FILE_HEADER as u64, what });
    }

    #[test]
    fn a_batch_of_another_log_is_not_taken_for_ours() {
        let mut file = file_of(&[vec![record(b"vote")]]);
        encode_batch(0x99, 6, &[record(b"foreign")], &mut file);
        assert!(matches!(read(&file), Err(Defect::Damaged { .. })));
    }
}
