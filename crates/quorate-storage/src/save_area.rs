//! The saved state of a guest in the tail of its LUN. Owns its form; says nothing about who may use
//! it.
//!
//! ```text
//! offset           offset + 4096
//! | header block   | payload ...
//! ```
//!
//! Written in this order: header away, flush; payload, flush; header, flush. So a header that
//! stands vouches for its payload, and a crash at any point leaves the whole state or none. The
//! header names the group's epoch and a token: a state is good for the one move it was made for.

use std::io::{self, Read};

use crate::layout::ALIGNMENT;
use crate::{Lun, LunError};

const MAGIC: [u8; 8] = *b"QRTSAVE\n";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = ALIGNMENT as usize;
/// Bytes of the header that its checksum covers; the checksum follows.
const COVERED: usize = 44;
/// How much is held in memory at a time, in bytes.
const CHUNK: usize = 1 << 20;

/// A reserved range of a LUN. Offset and length in bytes, multiples of the block size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaveArea {
    /// Where it begins.
    pub offset: u64,
    /// How long it is, header included.
    pub length: u64,
}

/// What a saved state was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaveId {
    /// The group's epoch at the time of the save.
    pub epoch: u64,
    /// Chosen by the saver and passed to the one who is to resume.
    pub token: u64,
}

/// What stands in an area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaveHeader {
    /// What it was made for.
    pub id: SaveId,
    /// Length of the payload in bytes.
    pub length: u64,
    /// CRC-32 (IEEE) of the payload.
    pub crc32: u32,
}

impl SaveHeader {
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut block = [0; HEADER_BYTES];
        block[0..8].copy_from_slice(&MAGIC);
        block[8..12].copy_from_slice(&VERSION.to_le_bytes());
        block[16..24].copy_from_slice(&self.length.to_le_bytes());
        block[24..28].copy_from_slice(&self.crc32.to_le_bytes());
        block[28..36].copy_from_slice(&self.id.epoch.to_le_bytes());
        block[36..44].copy_from_slice(&self.id.token.to_le_bytes());
        let check = crc32fast::hash(&block[..COVERED]);
        block[COVERED..COVERED + 4].copy_from_slice(&check.to_le_bytes());
        block
    }

    /// `Ok(None)` where nothing was ever written or it was invalidated.
    fn decode(block: &[u8; HEADER_BYTES]) -> Result<Option<Self>, String> {
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if block[0..8] != MAGIC {
            return Err("it is not a saved state of quorate (foreign data)".to_owned());
        }
        if word(block, COVERED) != crc32fast::hash(&block[..COVERED])
            || block[COVERED + 4..].iter().any(|b| *b != 0)
        {
            return Err("its header is torn".to_owned());
        }
        let version = word(block, 8);
        if version != VERSION {
            return Err(format!("it is of version {version}, this program knows {VERSION}"));
        }
        let id = SaveId { epoch: long(block, 28), token: long(block, 36) };
        Ok(Some(Self { id, length: long(block, 16), crc32: word(block, 24) }))
    }
}

fn word(block: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

fn long(block: &[u8; HEADER_BYTES], at: usize) -> u64 {
    u64::from(word(block, at)) | u64::from(word(block, at + 4)) << 32
}

impl SaveArea {
    /// Writes a state from `reader` to its end, durable when this returns. What stood there before
    /// is gone in any case.
    ///
    /// # Errors
    ///
    /// `Misuse` when the state does not fit (then nothing valid stands in the area); `Io` when
    /// `reader` fails; else as `Lun::write_at`.
    pub fn write(
        &self,
        lun: &dyn Lun,
        id: SaveId,
        reader: &mut dyn Read,
    ) -> Result<SaveHeader, LunError> {
        self.check(lun)?;
        self.invalidate(lun)?;
        let room = self.length - ALIGNMENT;
        let block = lun.capabilities().block_bytes as usize;
        let mut hasher = crc32fast::Hasher::new();
        let mut length = 0_u64;
        let mut chunk = vec![0; CHUNK];
        loop {
            let filled = fill(reader, &mut chunk)
                .map_err(|error| LunError::io("reading the state to save", &error))?;
            if filled as u64 > room - length {
                return Err(LunError::misuse(format!(
                    "the state to save exceeds the {room} bytes of its area"
                )));
            }
            hasher.update(&chunk[..filled]);
            let padded = filled.next_multiple_of(block);
            chunk[filled..padded].fill(0);
            if padded > 0 {
                lun.write_at(self.offset + ALIGNMENT + length, &chunk[..padded])?;
            }
            length += filled as u64;
            if filled < CHUNK {
                break;
            }
        }
        lun.flush()?;
        let header = SaveHeader { id, length, crc32: hasher.finalize() };
        lun.write_at(self.offset, &header.encode())?;
        lun.flush()?;
        Ok(header)
    }

    /// What stands in the area; `None` if nothing does. The payload is not looked at.
    ///
    /// # Errors
    ///
    /// `Corrupt` for a torn or foreign header, or one that promises more than the area holds.
    pub fn header(&self, lun: &dyn Lun) -> Result<Option<SaveHeader>, LunError> {
        self.check(lun)?;
        let mut block = [0; HEADER_BYTES];
        lun.read_at(self.offset, &mut block)?;
        let header = SaveHeader::decode(&block).map_err(|why| self.corrupt(&why))?;
        if header.is_some_and(|header| header.length > self.length - ALIGNMENT) {
            return Err(self.corrupt("it claims to be longer than its area"));
        }
        Ok(header)
    }

    /// The state that was saved for `id`, its whole payload verified before the first byte is
    /// handed out.
    ///
    /// # Errors
    ///
    /// `Corrupt` when there is none, when it was made for something else, or when a byte of it is
    /// wrong.
    pub fn read<'a>(&self, lun: &'a dyn Lun, id: SaveId) -> Result<SaveReader<'a>, LunError> {
        let header = self.header(lun)?.ok_or_else(|| self.corrupt("there is none"))?;
        if header.id != id {
            let (found, wanted) = (header.id, id);
            return Err(self.corrupt(&format!("it was made for {found:?}, not for {wanted:?}")));
        }
        let open = || SaveReader {
            lun,
            header,
            at: self.offset + ALIGNMENT,
            left: header.length,
            chunk: Vec::new(),
            taken: 0,
            hasher: crc32fast::Hasher::new(),
        };
        let mut trial = open();
        let verified = io::copy(&mut trial, &mut io::sink());
        match verified {
            Ok(_) => Ok(open()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(self.corrupt(&error.to_string()))
            }
            Err(error) => Err(LunError::io("reading the saved state", &error)),
        }
    }

    /// Makes what stands there unusable, durably: from the first write of the guest after a resume
    /// it is stale.
    ///
    /// # Errors
    ///
    /// As `Lun::write_at`.
    pub fn invalidate(&self, lun: &dyn Lun) -> Result<(), LunError> {
        self.check(lun)?;
        lun.write_at(self.offset, &[0; HEADER_BYTES])?;
        lun.flush()
    }

    fn check(&self, lun: &dyn Lun) -> Result<(), LunError> {
        let block = u64::from(lun.capabilities().block_bytes);
        if block > ALIGNMENT || self.length < ALIGNMENT || !self.length.is_multiple_of(block) {
            let (length, least) = (self.length, ALIGNMENT);
            let text = format!(
                "a save area of {length} bytes, blocks of {block}, must have at least {least}"
            );
            return Err(LunError::misuse(text));
        }
        Ok(())
    }

    fn corrupt(&self, why: &str) -> LunError {
        LunError::Corrupt { what: format!("saved state at byte {}: {why}", self.offset) }
    }
}

/// Reads until the buffer is full or the reader is at its end.
fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A saved state as a stream. Its end is an error of kind `InvalidData` if the bytes are not those
/// that were saved.
pub struct SaveReader<'a> {
    lun: &'a dyn Lun,
    header: SaveHeader,
    at: u64,
    left: u64,
    chunk: Vec<u8>,
    taken: usize,
    hasher: crc32fast::Hasher,
}

impl SaveReader<'_> {
    /// What is being read.
    pub fn header(&self) -> SaveHeader {
        self.header
    }

    fn refill(&mut self) -> io::Result<()> {
        let block = u64::from(self.lun.capabilities().block_bytes);
        let length = self.left.min(CHUNK as u64);
        self.chunk.resize(length.next_multiple_of(block) as usize, 0);
        self.lun.read_at(self.at, &mut self.chunk).map_err(io::Error::other)?;
        self.chunk.truncate(length as usize);
        self.hasher.update(&self.chunk);
        self.at += length;
        self.left -= length;
        self.taken = 0;
        if self.left == 0 && self.hasher.clone().finalize() != self.header.crc32 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "its payload is torn: the checksum is wrong",
            ));
        }
        Ok(())
    }
}

impl Read for SaveReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.chunk.len() {
            if self.left == 0 {
                return Ok(0);
            }
            self.refill()?;
        }
        let count = buffer.len().min(self.chunk.len() - self.taken);
        buffer[..count].copy_from_slice(&self.chunk[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

impl std::fmt::Debug for SaveReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SaveReader")
            .field("header", &self.header)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
