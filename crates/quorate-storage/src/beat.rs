//! The storage heartbeat: one block that its owner writes over and over, and anyone reads. Owns its
//! form alone; what a silent beat means is for others to judge.
//!
//! On a LUN only a registrant can write, so the owner's beat says "alive, and still registered". In
//! a directory every node has a file of its own and beats at all times.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::file::make_directory;
use crate::{Lun, LunError};

/// Length of a beat in bytes; on a LUN with larger blocks the rest of the block is 0.
pub const BEAT_BLOCK: usize = 512;
const MAGIC: [u8; 8] = *b"QRTBEAT\n";
const VERSION: u32 = 1;
const COVERED: usize = 40;

/// One heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// Who beats.
    pub node: u64,
    /// The node's boot number.
    pub incarnation: u64,
    /// Grows with each beat of an incarnation.
    pub counter: u64,
}

impl Beat {
    /// The beat as it stands on storage.
    pub fn encode(&self) -> [u8; BEAT_BLOCK] {
        let mut block = [0; BEAT_BLOCK];
        block[0..8].copy_from_slice(&MAGIC);
        block[8..12].copy_from_slice(&VERSION.to_le_bytes());
        block[16..24].copy_from_slice(&self.node.to_le_bytes());
        block[24..32].copy_from_slice(&self.incarnation.to_le_bytes());
        block[32..40].copy_from_slice(&self.counter.to_le_bytes());
        let check = crc32fast::hash(&block[..COVERED]);
        block[COVERED..COVERED + 4].copy_from_slice(&check.to_le_bytes());
        block
    }

    /// The beat in a block; `Ok(None)` if the block is empty.
    ///
    /// # Errors
    ///
    /// `Corrupt` for foreign or torn bytes and another version.
    pub fn decode(block: &[u8; BEAT_BLOCK]) -> Result<Option<Self>, LunError> {
        let corrupt = |why: &str| LunError::Corrupt { what: format!("storage beat: {why}") };
        let word = |at: usize| {
            u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
        };
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if block[0..8] != MAGIC {
            return Err(corrupt("foreign data stands in its place"));
        }
        if word(COVERED) != crc32fast::hash(&block[..COVERED]) {
            return Err(corrupt("it is torn"));
        }
        if word(8) != VERSION {
            return Err(corrupt(&format!("version {}, this program knows {VERSION}", word(8))));
        }
        Ok(Some(Self { node: long(16), incarnation: long(24), counter: long(32) }))
    }
}

/// Writes a beat at a byte offset of a LUN (`Layout::beat_offset`). Not flushed: others see it, a
/// power cut may lose it.
///
/// # Errors
///
/// As `Lun::write_at`.
pub fn write_beat(lun: &dyn Lun, offset: u64, beat: &Beat) -> Result<(), LunError> {
    let mut block = vec![0; lun.capabilities().block_bytes.max(BEAT_BLOCK as u32) as usize];
    block[..BEAT_BLOCK].copy_from_slice(&beat.encode());
    lun.write_at(offset, &block)
}

/// Reads the beat at a byte offset of a LUN; `None` if none was ever written. Needs no
/// registration.
///
/// # Errors
///
/// `Corrupt` for foreign or torn bytes; else as `Lun::read_at`.
pub fn read_beat(lun: &dyn Lun, offset: u64) -> Result<Option<Beat>, LunError> {
    let mut block = vec![0; lun.capabilities().block_bytes.max(BEAT_BLOCK as u32) as usize];
    lun.read_at(offset, &mut block)?;
    let mut front = [0; BEAT_BLOCK];
    front.copy_from_slice(&block[..BEAT_BLOCK]);
    Beat::decode(&front)
}

/// Beats in a directory on shared storage: one small file for each node, written in place.
#[derive(Debug, Clone)]
pub struct FileBeats {
    directory: PathBuf,
}

impl FileBeats {
    /// The beats of a `FileLun`'s directory, or of any other: `beats/node-N` in it.
    ///
    /// # Errors
    ///
    /// `Denied` or `Io` when the directory cannot be made.
    pub fn open(directory: &Path) -> Result<Self, LunError> {
        make_directory(directory)?;
        let directory = directory.join("beats");
        make_directory(&directory)?;
        Ok(Self { directory })
    }

    /// Writes this node's beat through to the storage.
    ///
    /// # Errors
    ///
    /// `Denied` or `Io`.
    pub fn write(&self, beat: &Beat) -> Result<(), LunError> {
        let path = self.path(beat.node);
        let failed = |error: io::Error| LunError::io(path.display(), &error);
        // Opened anew each time: over NFS, closing is what shows the bytes to others.
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        file.write_all_at(&beat.encode(), 0).map_err(failed)?;
        file.sync_data().map_err(failed)
    }

    /// The newest beat of a node; `None` if it never beat here.
    ///
    /// # Errors
    ///
    /// `Corrupt` for foreign or torn bytes, or another node's beat; `Denied` or `Io`.
    pub fn read(&self, node: u64) -> Result<Option<Beat>, LunError> {
        let path = self.path(node);
        let mut block = [0; BEAT_BLOCK];
        let read = File::open(&path).and_then(|file| file.read_exact_at(&mut block, 0));
        let beat = match read {
            Ok(()) => Beat::decode(&block)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            // Just made, not yet written.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(LunError::io(path.display(), &error)),
        };
        match beat {
            Some(beat) if beat.node != node => {
                let what = format!("{} holds the beat of node {}", path.display(), beat.node);
                Err(LunError::Corrupt { what })
            }
            Some(_) | None => Ok(beat),
        }
    }

    fn path(&self, node: u64) -> PathBuf {
        self.directory.join(format!("node-{node}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_survives_its_form_and_any_flipped_bit_is_seen() {
        let beat = Beat { node: 3, incarnation: u64::MAX, counter: 1 << 40 };
        let block = beat.encode();
        assert_eq!(Beat::decode(&block).unwrap(), Some(beat));
        assert_eq!(Beat::decode(&[0; BEAT_BLOCK]).unwrap(), None);
        for bit in 0..(COVERED + 4) * 8 {
            let mut torn = block;
            torn[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(Beat::decode(&torn), Err(LunError::Corrupt { .. })), "{bit}");
        }
    }

    #[test]
    fn every_node_beats_in_a_file_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let beats = FileBeats::open(directory.path()).unwrap();
        assert_eq!(beats.read(1).unwrap(), None);
        for counter in 1..=3 {
            for node in [1, 2] {
                beats.write(&Beat { node, incarnation: 9, counter }).unwrap();
            }
        }
        assert_eq!(beats.read(1).unwrap(), Some(Beat { node: 1, incarnation: 9, counter: 3 }));
        assert_eq!(beats.read(2).unwrap(), Some(Beat { node: 2, incarnation: 9, counter: 3 }));
        std::fs::copy(directory.path().join("beats/node-1"), directory.path().join("beats/node-2"))
            .unwrap();
        assert!(matches!(beats.read(2), Err(LunError::Corrupt { .. })));
    }
}
