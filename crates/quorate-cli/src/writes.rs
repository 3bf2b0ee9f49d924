//! The log of each write: one JSON line for each write that came to a LUN through this node.
//!
//! An independent record for the judge of a demo or a test: what was written, when, by which life
//! of the guest, and what the LUN said.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What a record of the test guest begins with.
pub const RECORD_MAGIC: &[u8; 8] = b"QRECORD1";

/// One write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// When it was answered: nanoseconds on CLOCK_BOOTTIME.
    pub at_ns: u64,
    /// The node that wrote.
    pub node: String,
    /// The epoch in which the LUN was attached.
    pub epoch: u64,
    /// Where, in bytes.
    pub offset: u64,
    /// How much, in bytes.
    pub length: u64,
    /// What the LUN said.
    pub outcome: Outcome,
    /// The test guest's record in it, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Record>,
}

/// What a LUN said to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Written.
    Written,
    /// Refused: another node has taken the LUN.
    Refused,
    /// Failed otherwise: it may or may not be written.
    Failed,
}

/// A record of the test guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Record {
    /// Its number.
    pub number: u32,
    /// The nonce of the boot that made it.
    pub nonce: u64,
}

impl Record {
    /// Reads a sector of the test guest; none: it is no record.
    #[must_use]
    pub fn parse(sector: &[u8]) -> Option<Self> {
        let rest = sector.strip_prefix(RECORD_MAGIC)?;
        let number = u32::from_le_bytes(rest.get(..4)?.try_into().ok()?);
        let nonce = u64::from_le_bytes(rest.get(8..16)?.try_into().ok()?);
        Some(Self { number, nonce })
    }
}

/// A log that lines are appended to, each in one piece.
#[derive(Debug)]
pub struct WriteLog {
    file: File,
}

impl WriteLog {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::options().create(true).append(true).open(path)? })
    }

    /// Appends a write. A failure is no failure of the write itself: the judge misses the line.
    pub fn add(&self, write: &Write) {
        let mut line = serde_json::to_string(write).expect("a write is plain data");
        line.push('\n');
        let _ = (&self.file).write_all(line.as_bytes());
    }
}

/// Reads a log; none is there: nothing was written. A last line that was torn by a kill is left
/// out.
///
/// # Errors
/// The system's, or the first whole line that is not understood.
pub fn read(path: &Path) -> io::Result<Vec<Write>> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        other => other?,
    };
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    whole.lines().map(|line| serde_json::from_str(line).map_err(io::Error::other)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_come_back_and_a_torn_last_line_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("writes");
        assert_eq!(read(&path).unwrap(), []);
        let mut sector = [0; 512];
        sector[..8].copy_from_slice(RECORD_MAGIC);
        sector[8] = 7;
        sector[16] = 9;
        let record = Record::parse(&sector);
        assert_eq!(record, Some(Record { number: 7, nonce: 9 }));
        assert_eq!(Record::parse(&sector[1..]), None);
        let write = Write {
            at_ns: 1,
            node: "n1".into(),
            epoch: 2,
            offset: 512,
            length: 512,
            outcome: Outcome::Refused,
            record,
        };
        WriteLog::open(&path).unwrap().add(&write);
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + "{\"at_").unwrap();
        assert_eq!(read(&path).unwrap(), [write]);
    }
}
