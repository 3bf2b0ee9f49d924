//! Poison pills: how a node is told through a shared disk to end, as SBD tells it.
//!
//! ```text
//! block 0   of which cluster the area is
//! block n   what node n says of itself (`Listener`): it alone writes it
//! block 256 + n   what ends node n (`Pill`): others write it
//! ```
//!
//! Blocks of 4096 bytes, nodes 1 to 250, 2 MiB in all. Nobody writes what another reads back as its own, so no write
//! has to be agreed upon. What a pill proves, and when, is not said here: this only reads and writes.
//!
//! Source: sbd(8), "messaging slots".

mod block;

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};

pub(crate) use self::block::HEADER;
use self::block::{BLOCK_BYTES, Bytes, decode_header, encode_header};
pub use self::block::{HostBoot, Listener, Listening, PILL_REASON_MAX, Pill};
use crate::disk::{DISK_LEASES_BYTES, DISK_SLOTS, LEASES};
use crate::layout::ALIGNMENT;
use crate::{LunError, direct};

/// Bytes of a disk, from its start, that an area takes.
pub const PILL_AREA_BYTES: u64 = 512 * ALIGNMENT;
/// Nodes 1 to this have blocks.
pub const PILL_NODES: u8 = DISK_SLOTS;
const PILLS_AT: u64 = 256;
/// How often a block that is just being written is read again.
const READS_MAX: u32 = 20;

/// Where the pills of one cluster lie: a block device (a partition and a logical volume will do), or a file with direct
/// I/O. Calls may hang in the kernel for as long as the disk does.
#[derive(Debug)]
pub struct PillArea {
    path: PathBuf,
    file: File,
}

impl PillArea {
    /// Opens the area of a cluster.
    ///
    /// # Errors
    ///
    /// `Corrupt` when there is none, or another cluster's; `Misuse` for what is no disk and no file; `Unsupported`
    /// without direct I/O, and on file systems where the write of a dead program may still land; what the system says.
    pub fn open(path: &Path, cluster: u64) -> Result<Self, LunError> {
        let area = Self::open_any(path)?;
        let made = "make an area there: quorate fence-agents --init";
        match area.cluster()? {
            Some(owner) if owner == cluster => Ok(area),
            Some(owner) => Err(area.corrupt(&anothers(owner, cluster))),
            None => Err(area.corrupt(&format!("no pills can lie there; if it is empty, {made}"))),
        }
    }

    /// Makes an area where there is none. False: this cluster has one there, and it stays as it is.
    ///
    /// # Errors
    ///
    /// `Misuse` when something else, or another cluster's area, stands in the first 2 MiB and `over_other_bytes` is
    /// false: nothing was changed; when it is smaller. Else as `open`.
    pub fn make(path: &Path, cluster: u64, over_other_bytes: bool) -> Result<bool, LunError> {
        let mut area = Self::open_any(path)?;
        let size = area.file.seek(SeekFrom::End(0));
        let size = size.map_err(|error| area.explain("measuring", &error))?;
        let place = path.display();
        if size < PILL_AREA_BYTES {
            let what = format!("{place} has {size} bytes; pills take {PILL_AREA_BYTES}");
            return Err(LunError::misuse(what));
        }
        if !over_other_bytes {
            match area.cluster().ok().flatten() {
                Some(owner) if owner == cluster => return Ok(false),
                Some(owner) => {
                    let whose = anothers(owner, cluster);
                    let what = format!("{place}: {whose}; nothing was changed");
                    return Err(LunError::misuse(what));
                }
                None => {}
            }
            // The guest of a new LUN may have written nothing yet.
            let mut leases = vec![0; ALIGNMENT as usize];
            area.read((size - DISK_LEASES_BYTES) / ALIGNMENT, &mut leases)?;
            if leases.starts_with(&LEASES) {
                return Err(LunError::misuse(format!(
                    "{place}: the leases of a LUN stand at its end: give the pills a disk of their own; nothing was \
                     changed"
                )));
            }
            let mut bytes = vec![0; PILL_AREA_BYTES as usize];
            area.read(0, &mut bytes)?;
            if let Some(at) = bytes.iter().position(|byte| *byte != 0) {
                return Err(LunError::misuse(format!(
                    "{place}: its first 2 MiB, where pills would lie, are not empty: something stands at byte {at}; \
                     nothing was changed; --force writes over it"
                )));
            }
        }
        // All of it, so that a file with holes or a thin volume is not full when a pill is to be written.
        direct::write(&area.file, 0, &vec![0; PILL_AREA_BYTES as usize])
            .map_err(|error| area.explain("writing to", &error))?;
        area.write(0, &encode_header(cluster))?;
        Ok(true)
    }

    /// What a node says of itself; none: it never listened here.
    ///
    /// # Errors
    ///
    /// `Misuse` for a node without a block; `Corrupt`; what the system says.
    pub fn listener(&self, node: u8) -> Result<Option<Listener>, LunError> {
        self.settled(block_of(node)?, |bytes| Listener::decode(bytes, node))
    }

    /// Says so. Durable when it returns.
    ///
    /// # Errors
    ///
    /// `Misuse` for a node without a block; what the system says: it may stand there, or be written later, all the
    /// same.
    pub fn write_listener(&self, node: u8, listener: &Listener) -> Result<(), LunError> {
        self.write(block_of(node)?, &listener.encode(node))
    }

    /// The last pill of a node, whether it is for its host's present boot or for an earlier one.
    ///
    /// # Errors
    ///
    /// As `listener`.
    pub fn pill(&self, node: u8) -> Result<Option<Pill>, LunError> {
        self.settled(block_of(node)? + PILLS_AT, |bytes| Pill::decode(bytes, node))
    }

    /// Gives a node a pill. Durable when it returns.
    ///
    /// # Errors
    ///
    /// As `write_listener`.
    pub fn write_pill(&self, node: u8, pill: &Pill) -> Result<(), LunError> {
        self.write(block_of(node)? + PILLS_AT, &pill.encode(node))
    }

    fn open_any(path: &Path) -> Result<Self, LunError> {
        let file = direct::open_disk(path, libc::O_DSYNC, "2M", "quorate fence-agents --init")?;
        Ok(Self { path: path.to_owned(), file })
    }

    fn cluster(&self) -> Result<Option<u64>, LunError> {
        self.settled(0, decode_header)
    }

    /// A block that is just being written may show half of it, where nothing below writes it as a whole.
    fn settled<T>(
        &self,
        block: u64,
        decode: impl Fn(&Bytes) -> Result<T, LunError>,
    ) -> Result<T, LunError> {
        let mut reads = 0;
        loop {
            let mut room = vec![0; ALIGNMENT as usize];
            self.read(block, &mut room)?;
            let mut bytes = [0; BLOCK_BYTES];
            bytes.copy_from_slice(&room[..BLOCK_BYTES]);
            reads += 1;
            match decode(&bytes) {
                Err(_) if reads < READS_MAX => {}
                Err(LunError::Corrupt { what }) => return Err(self.corrupt(&what)),
                result => return result,
            }
        }
    }

    fn read(&self, block: u64, buffer: &mut [u8]) -> Result<(), LunError> {
        direct::read(&self.file, block * ALIGNMENT, buffer)
            .map_err(|error| self.explain("reading", &error))
    }

    fn write(&self, block: u64, bytes: &Bytes) -> Result<(), LunError> {
        let mut room = vec![0; ALIGNMENT as usize];
        room[..BLOCK_BYTES].copy_from_slice(bytes);
        direct::write(&self.file, block * ALIGNMENT, &room)
            .map_err(|error| self.explain("writing to", &error))
    }

    fn corrupt(&self, why: &str) -> LunError {
        LunError::Corrupt { what: format!("{}: {why}", self.path.display()) }
    }

    fn explain(&self, what: &str, error: &std::io::Error) -> LunError {
        direct::explain(format!("{what} {}", self.path.display()), error)
    }
}

fn anothers(owner: u64, cluster: u64) -> String {
    format!(
        "its pills are those of the cluster {owner:016x}, not of {cluster:016x}: give each cluster a disk of its own"
    )
}

fn block_of(node: u8) -> Result<u64, LunError> {
    match (1..=PILL_NODES).contains(&node) {
        true => Ok(node.into()),
        false => Err(LunError::misuse(format!("node {node} has no block: 1 to {PILL_NODES} have"))),
    }
}

/// Gives bytes to the parsers of the blocks.
#[cfg(feature = "testing")]
pub(crate) fn hostile(bytes: &[u8]) {
    if let Some(bytes) = bytes.first_chunk() {
        let _ = (decode_header(bytes), Listener::decode(bytes, 1), Pill::decode(bytes, 1));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::time::Duration;

    use super::*;

    const CLUSTER: u64 = 0xab;

    fn disk(bytes: u64) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(bytes).unwrap();
        file
    }

    fn refused(made: Result<impl std::fmt::Debug, LunError>) -> String {
        made.unwrap_err().to_string()
    }

    #[test]
    fn an_area_is_made_once_and_never_over_what_is_anothers() {
        let disk = disk(PILL_AREA_BYTES);
        let (path, file) = (disk.path(), disk.as_file());
        assert!(refused(PillArea::open(path, CLUSTER)).contains("quorate fence-agents --init"));
        file.write_all_at(b"data", 70_000).unwrap();
        let error = refused(PillArea::make(path, CLUSTER, false));
        assert!(error.contains("something stands at byte 70000"), "{error}");
        assert!(PillArea::make(path, CLUSTER, true).unwrap(), "as it was wanted");
        assert!(!PillArea::make(path, CLUSTER, false).unwrap(), "it is there");
        let error = refused(PillArea::open(path, 0xcd));
        assert!(error.contains("of the cluster 00000000000000ab, not of 00000000000000cd"));
        let area = PillArea::open(path, CLUSTER).unwrap();
        assert_eq!((area.listener(7).unwrap(), area.pill(250).unwrap()), (None, None));
        assert!(refused(area.pill(251)).contains("1 to 250") && area.listener(0).is_err());
        file.write_all_at(b"x", 15).unwrap();
        assert!(refused(PillArea::open(path, CLUSTER)).contains("the checksum is wrong"));
    }

    #[test]
    fn the_pills_of_another_cluster_are_named_and_nobody_is_told_to_write_over_them() {
        let disk = disk(PILL_AREA_BYTES);
        let path = disk.path();
        assert!(PillArea::make(path, CLUSTER, false).unwrap());
        let error = refused(PillArea::make(path, 0xcd, false));
        let whose = "those of the cluster 00000000000000ab, not of 00000000000000cd";
        assert!(error.contains(whose) && error.contains("nothing was changed"), "{error}");
        assert!(!error.contains("force"), "{error}");
        assert!(PillArea::open(path, CLUSTER).is_ok());
    }

    #[test]
    fn what_is_no_disk_or_too_small_is_refused() {
        let small = disk(PILL_AREA_BYTES - 1);
        assert!(
            refused(PillArea::make(small.path(), CLUSTER, true)).contains("pills take 2097152")
        );
        let refused = |path: &str| refused(PillArea::open(path.as_ref(), CLUSTER));
        assert!(refused("/dev/null").contains("must be a block device or a file"));
        let missing = refused("/nowhere/disk");
        assert!(missing.contains("truncate -s 2M /nowhere/disk"), "{missing}");
        assert!(missing.contains("quorate fence-agents --init"), "{missing}");
    }

    #[test]
    fn a_node_and_who_ends_it_never_write_over_each_other() {
        let disk = disk(PILL_AREA_BYTES);
        PillArea::make(disk.path(), CLUSTER, false).unwrap();
        let open = || PillArea::open(disk.path(), CLUSTER).unwrap();
        let (node, other) = (open(), open());
        let listener = Listener {
            standing: Listening::Armed,
            boot: HostBoot([3; 16]),
            start: 9,
            watchdog: Duration::from_secs(1),
            patience: Duration::from_secs(5),
            taken: None,
        };
        let pill = Pill { number: 1, boot: HostBoot([3; 16]), by: 1, reason: "silent".to_owned() };
        for number in [1, 250] {
            node.write_listener(number, &listener).unwrap();
            other.write_pill(number, &pill).unwrap();
        }
        for number in [1, 250] {
            assert_eq!(other.listener(number).unwrap(), Some(listener));
            assert_eq!(node.pill(number).unwrap(), Some(pill.clone()));
        }
        assert_eq!((node.pill(2).unwrap(), node.listener(249).unwrap()), (None, None));
    }
}
