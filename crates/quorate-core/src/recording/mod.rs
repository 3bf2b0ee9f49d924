//! A recording of one engine: what it was started with, every event and its time, and proof of what it did.
//!
//! The same events at the same times give the same actions, so this is all that it takes to live a failover again:
//! [`Replay`] makes the engine anew and steps it, and compares a digest of its actions with the one that was taken
//! when it happened.
//!
//! ```text
//! file  = magic[8] version:u32 cluster:u64 node:u16 zero:u16 boot:u64 crc:u32  chunk*
//! chunk = marker:u32 sequence:u64 length:u32 body_crc:u32 header_crc:u32  body
//! body  = the opening (of the first chunk), or frames: (frame, and after a step one byte of its digest)*
//! ```
//!
//! Numbers in front of a body are little-endian, what is in it is encoded as on the wire. The checksums are seeded
//! with the boot, so that chunks of another recording are not taken for ours. A file that a crash has torn ends at
//! its last whole chunk. A heartbeat is written as its difference from the last one of its sender.
//!
//! Whoever holds a recording knows the configuration and every message, but no key. Passwords in addresses and under
//! keys that say so are overwritten by as many stars; what stands in a command line is not.
//!
//! *Architecture Invariant*: pure. Bytes from anywhere give an error with an offset, or a recording; never a panic,
//! and never more memory than a small multiple of their own length.

mod digest;
mod frame;
mod read;
mod replay;
mod write;

#[cfg(test)]
mod tests;

use thiserror::Error;

use crate::id::{ClusterId, NodeId};

pub use frame::Ending;
pub use read::{Opening, Piece, Reader};
pub use replay::{Replay, Stepped, Verdict};
pub use write::{Origin, Recorder};

/// The format that this build writes and reads.
pub const VERSION: u32 = 7;

const MAGIC: [u8; 8] = *b"QUORECD\n";
const HEADER: usize = 36;
const CHUNK_HEADER: usize = 24;
const MARKER: u32 = 0x6b6e_4863;

/// Whose recording it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
    /// The start of it that was recorded.
    pub boot: u64,
}

/// Why a file is no recording, or one that cannot be read on. The offset is in bytes from its beginning.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecordingError {
    /// It does not begin as a recording does.
    #[error("byte {offset}: {what}")]
    Foreign {
        /// Where.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// Another version wrote it.
    #[error("byte 8: the recording has format {found}, this build reads format {VERSION}")]
    Version {
        /// Its format.
        found: u32,
    },
    /// Something in its midst is not as it was written.
    #[error("byte {offset}: {what}")]
    Damaged {
        /// Where.
        offset: u64,
        /// What is wrong.
        what: String,
    },
}

impl RecordingError {
    fn damaged(offset: usize, what: impl Into<String>) -> Self {
        Self::Damaged { offset: offset as u64, what: what.into() }
    }
}

impl Header {
    fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.cluster.0.to_le_bytes());
        bytes[20..22].copy_from_slice(&self.node.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.boot.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..32]);
        bytes[32..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(file: &[u8]) -> Result<Self, RecordingError> {
        let foreign = |offset: usize, what| RecordingError::Foreign { offset: offset as u64, what };
        if !file.starts_with(&MAGIC[..file.len().min(8)]) {
            return Err(foreign(0, "this is not the beginning of a recording"));
        }
        let Some(header) = file.first_chunk::<HEADER>() else {
            return Err(foreign(file.len(), "the file ends inside the header of a recording"));
        };
        let found = u32_at(header, 8);
        if found != VERSION {
            return Err(RecordingError::Version { found });
        }
        if u32_at(header, 32) != crc32fast::hash(&header[..32]) {
            return Err(foreign(0, "the header does not match its checksum"));
        }
        Ok(Self {
            cluster: ClusterId(u64_at(header, 12)),
            node: NodeId(u16::from_le_bytes([header[20], header[21]])),
            boot: u64_at(header, 24),
        })
    }
}

/// The header and the body of a chunk.
fn chunk(boot: u64, sequence: u64, body: &[u8]) -> Vec<u8> {
    let length =
        u32::try_from(body.len()).expect("a chunk is handed over long before it has 4 GiB");
    let mut bytes = Vec::with_capacity(CHUNK_HEADER + body.len());
    bytes.extend_from_slice(&MARKER.to_le_bytes());
    bytes.extend_from_slice(&sequence.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&checksum(boot, body).to_le_bytes());
    let crc = checksum(boot, &bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn checksum(boot: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&boot.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("the range is four bytes long"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("the range is eight bytes long"))
}
