//! The guest of the plain demo: a process that counts on its LUN as the test guest does on its
//! disk.
//!
//! It writes record n, then the counter, syncs, and only then says so: the same sectors and the
//! same lines as the firmware of `tests/guest/guest.s`, in a file of the LUN's directory.

use std::fs::File;
use std::io::{self, Write as _, stdout};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::lab::{LUN_BYTES, Moment, RECORDS_FILE};
use crate::writes::{Outcome, RECORD_MAGIC, Record, Write, WriteLog};

const COUNTER_MAGIC: &[u8; 8] = b"QCOUNTR1";
const SECTOR: usize = 512;
const BEAT: Duration = Duration::from_millis(100);

/// Counts until it is killed.
///
/// `lun` is the LUN's name; its directory comes from the environment, as with every process that
/// quorate runs. Each write is noted in `logs`, in the file of its node.
///
/// # Errors
/// What the system said to a write, or that the file is not ours.
pub(crate) fn run(lun: &str, logs: &Path) -> io::Result<()> {
    let node = variable("QUORATE_NODE")?;
    let directory = PathBuf::from(variable(&format!("QUORATE_LUN_{}", lun.to_uppercase()))?);
    let epoch = variable("QUORATE_EPOCH")?.parse().map_err(io::Error::other)?;
    let log = WriteLog::open(&logs.join(format!("{node}.writes")))?;
    let mut counter = Counter::open(&directory.join(RECORDS_FILE), LUN_BYTES)?;
    println!("boot {:016x} {}", counter.nonce, counter.last);
    let mut due = Instant::now();
    loop {
        let record = counter.beat(|offset, sector, result| {
            let outcome = if result.is_ok() { Outcome::Written } else { Outcome::Failed };
            let (at_ns, node) = (Moment::now().0, node.clone());
            let (length, record) = (SECTOR as u64, Record::parse(sector));
            log.add(&Write { at_ns, node, epoch, offset, length, outcome, record });
        })?;
        writeln!(stdout(), "tick {record} {:016x}", counter.nonce)?;
        due += BEAT;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

fn variable(name: &str) -> io::Result<String> {
    std::env::var(name).map_err(|error| io::Error::other(format!("{name}: {error}")))
}

struct Counter {
    file: File,
    capacity: u32,
    last: u32,
    beat: u32,
    nonce: u64,
}

impl Counter {
    fn open(path: &Path, size_bytes: u64) -> io::Result<Self> {
        let file =
            File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        file.set_len(size_bytes)?;
        let capacity = u32::try_from(size_bytes / SECTOR as u64 - 1).map_err(io::Error::other)?;
        let nonce = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
        let mut first = [0; SECTOR];
        file.read_exact_at(&mut first, 0)?;
        let last = if first == [0; SECTOR] {
            0
        } else if first.starts_with(COUNTER_MAGIC) && first[508..] == crc(&first) {
            u32::from_le_bytes([first[8], first[9], first[10], first[11]])
        } else {
            println!("corrupt");
            return Err(io::Error::other(format!("{} is not ours", path.display())));
        };
        Ok(Self { file, capacity, last, beat: 0, nonce })
    }

    /// Writes the next record and the counter, and syncs. Gives the record's number.
    fn beat(&mut self, mut note: impl FnMut(u64, &[u8], &io::Result<()>)) -> io::Result<u32> {
        let number = self.last + 1;
        self.beat += 1;
        let place = 1 + u64::from((number - 1) % self.capacity);
        for (magic, place) in [(RECORD_MAGIC, place), (COUNTER_MAGIC, 0)] {
            let sector = self.sector(magic, number);
            let offset = place * SECTOR as u64;
            let written = self.file.write_all_at(&sector, offset);
            note(offset, &sector, &written);
            written?;
        }
        self.file.sync_data()?;
        self.last = number;
        Ok(number)
    }

    fn sector(&self, magic: &[u8; 8], number: u32) -> [u8; SECTOR] {
        let mut sector = [0; SECTOR];
        sector[..8].copy_from_slice(magic);
        sector[8..12].copy_from_slice(&number.to_le_bytes());
        sector[12..16].copy_from_slice(&self.beat.to_le_bytes());
        sector[16..24].copy_from_slice(&self.nonce.to_le_bytes());
        sector[24..28].copy_from_slice(&self.capacity.to_le_bytes());
        let sum = crc(&sector);
        sector[508..].copy_from_slice(&sum);
        sector
    }
}

fn crc(sector: &[u8; SECTOR]) -> [u8; 4] {
    crc32fast::hash(&sector[..508]).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_goes_on_where_the_one_before_stopped_and_wraps_around_its_ring() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("records");
        let size = 4 * SECTOR as u64;
        let mut first = Counter::open(&path, size).unwrap();
        let mut offsets = vec![];
        for record in 1..=2 {
            assert_eq!(first.beat(|offset, _, _| offsets.push(offset)).unwrap(), record);
        }
        let mut second = Counter::open(&path, size).unwrap();
        assert_ne!(first.nonce, second.nonce);
        for record in 3..=4 {
            assert_eq!(second.beat(|offset, _, _| offsets.push(offset)).unwrap(), record);
        }
        assert_eq!(offsets, [512, 0, 1024, 0, 1536, 0, 512, 0]);
        let bytes = std::fs::read(&path).unwrap();
        let record = Record { number: 4, nonce: second.nonce };
        assert_eq!(Record::parse(&bytes[512..]), Some(record));
    }

    #[test]
    fn a_foreign_file_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("records");
        std::fs::write(&path, [7; 1024]).unwrap();
        assert!(Counter::open(&path, 1024).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), [7; 1024]);
    }
}
