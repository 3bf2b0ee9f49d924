//! Where the slots are, and how they are read and written.
//!
//! ```text
//! 0                          size - 2 MiB       size - 1 MiB         size
//! | the LUN as others see it | lease slots      | bells              |
//! ```
//!
//! One block of 4096 bytes each. A slot is written by its node alone; a bell by anybody who takes that node's
//! registration away, and any change of its bytes means "look". Slot 0 says that leases were made here, and for a disk
//! of what size: who finds none may be looking at the end of a disk that has grown.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::ballot::Blocks;
use super::block::{BLOCK_BYTES, Block, Slot};
use crate::layout::{ALIGNMENT, BEAT_BYTES};
use crate::{LunError, direct};

const REGION_BYTES: u64 = 1 << 20;
/// Bytes at the end of the disk that are ours.
pub const AREA_BYTES: u64 = 2 * REGION_BYTES;
/// What else a LUN must have room for.
const LEFT_MIN: u64 = BEAT_BYTES + ALIGNMENT;
/// How often a slot that is just being written is read again.
const READS_MAX: u32 = 20;

/// What stands at the beginning of slot 0: this, the size of the disk, a checksum.
pub(crate) const MAGIC: [u8; 8] = *b"qrlease0";
const HEADER_BYTES: usize = 20;

/// What stands in a bell.
pub(super) type Bell = [u8; 16];

/// Bits that nobody has had before.
pub(super) fn random() -> Result<[u8; 16], LunError> {
    let mut bits = [0; 16];
    rustix::rand::getrandom(&mut bits, rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| LunError::io("random bits", &errno.into()))?;
    Ok(bits)
}

/// The end of a disk, or of a file that serves as one.
#[derive(Debug)]
pub(super) struct Area {
    path: PathBuf,
    /// For bytes that somebody makes durable by a flush.
    data: File,
    /// For what is durable when it is written.
    leases: File,
    /// Bytes of the whole disk.
    size: u64,
    offset: u64,
    /// The unit of reads and writes.
    pub(super) block_bytes: u32,
}

impl Area {
    /// Opens a disk on which leases were made.
    pub(super) fn open(path: &Path) -> Result<Self, LunError> {
        let area = Self::open_any(path)?;
        match area.made_for()? {
            Some(size) if size == area.size => Ok(area),
            Some(size) => {
                let what = format!(
                    "{}: its leases were made for {size} bytes, and it has {}; with its group stopped on every node, \
                     make them anew: quorate lun init --force",
                    path.display(),
                    area.size
                );
                Err(LunError::Corrupt { what })
            }
            None => Err(LunError::Corrupt {
                what: format!(
                    "{}: no leases stand at its end; if it is new: quorate lun init; if it has grown, the same with \
                     its group stopped on every node",
                    path.display()
                ),
            }),
        }
    }

    /// Opens a disk, whatever stands at its end.
    fn open_any(path: &Path) -> Result<Self, LunError> {
        let failed = |error: io::Error| direct::explain(path.display().to_string(), &error);
        let open = |flags| direct::open_disk(path, flags, "20G", "quorate lun init");
        let (mut data, leases) = (open(0)?, open(libc::O_DSYNC)?);
        let block_bytes = match data.metadata().map_err(failed)?.file_type().is_block_device() {
            true => rustix::fs::ioctl_blksszget(&data).map_err(|errno| failed(errno.into()))?,
            // No file system asks for more.
            false => ALIGNMENT as u32,
        };
        let size = data.seek(SeekFrom::End(0)).map_err(failed)?;
        let offset = (size - size % ALIGNMENT).checked_sub(AREA_BYTES);
        let offset = offset.filter(|left| *left >= LEFT_MIN).ok_or_else(|| {
            LunError::misuse(format!(
                "{} is too small with its {size} bytes: leases, beats and a guest take {} at least, and a save area \
                 comes on top",
                path.display(),
                AREA_BYTES + LEFT_MIN
            ))
        })?;
        Ok(Self { path: path.to_owned(), data, leases, size, offset, block_bytes })
    }

    /// Makes leases: empty ones, at the end of a disk that has none. False: it has some.
    pub(super) fn make(path: &Path, over_other_bytes: bool) -> Result<bool, LunError> {
        let area = Self::open_any(path)?;
        let has_some = area.made_for()? == Some(area.size);
        if has_some && !over_other_bytes {
            return Ok(false);
        }
        // What makes no sense may go; what somebody holds may not.
        let blocks = if has_some { area.read_slots().unwrap_or_default() } else { Blocks::new() };
        let last = blocks.values().max_by_key(|block| block.number);
        if let Some(count) =
            last.map(|block| block.table.registrations.len()).filter(|one| *one > 0)
        {
            return Err(LunError::misuse(format!(
                "{}: leases stand there, and {count} registered: nothing was changed; quorate lun clear takes away \
                 what nobody alive holds",
                path.display()
            )));
        }
        let mut first = vec![0; ALIGNMENT as usize];
        area.read_at(0, &mut first)?;
        if first.starts_with(&crate::pill::HEADER) && !over_other_bytes {
            return Err(LunError::misuse(format!(
                "{}: poison pills lie at its beginning: give the LUN a disk of its own; nothing was changed",
                path.display()
            )));
        }
        let mut bytes = vec![0; AREA_BYTES as usize];
        area.read_at(area.offset, &mut bytes)?;
        if let Some(at) = bytes.iter().position(|byte| *byte != 0).filter(|_| !over_other_bytes) {
            return Err(LunError::misuse(format!(
                "{}: its last 2 MiB, where leases would be, are not empty: something stands at byte {}; nothing was \
                 changed; --force writes over it",
                path.display(),
                area.offset + at as u64
            )));
        }
        // All of it, so that a file without holes or a thin volume is not full when leases are needed.
        direct::write(&area.leases, area.offset, &vec![0; AREA_BYTES as usize])
            .map_err(|error| area.explain("writing leases to", &error))?;
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&MAGIC);
        header[8..16].copy_from_slice(&area.size.to_le_bytes());
        let sum = crc32fast::hash(&header[..16]);
        header[16..].copy_from_slice(&sum.to_le_bytes());
        area.write_lease(area.slot_offset(0), &header)?;
        Ok(true)
    }

    /// For a disk of what size leases were made here; `None`: none were.
    fn made_for(&self) -> Result<Option<u64>, LunError> {
        let mut block = vec![0; ALIGNMENT as usize];
        self.read_at(self.slot_offset(0), &mut block)?;
        let is_ours = block[..8] == MAGIC
            && block[16..HEADER_BYTES] == crc32fast::hash(&block[..16]).to_le_bytes();
        let mut size = [0; 8];
        size.copy_from_slice(&block[8..16]);
        Ok(is_ours.then_some(u64::from_le_bytes(size)))
    }

    /// Refuses to go on with a disk that was grown or cut short: its leases are elsewhere now.
    pub(super) fn check_size(&self) -> Result<(), LunError> {
        let now = (&self.leases)
            .seek(SeekFrom::End(0))
            .map_err(|error| self.explain("measuring", &error))?;
        match now == self.size {
            true => Ok(()),
            false => Err(LunError::misuse(format!(
                "{} had {} bytes when it was opened and has {now}: make its leases anew (quorate lun init) with its \
                 group stopped on every node, and restart the nodes",
                self.path.display(),
                self.size
            ))),
        }
    }

    /// Bytes before the area.
    pub(super) fn size_bytes(&self) -> u64 {
        self.offset
    }

    /// Keeps other handles of this machine, and where the file system passes locks on of others too, off our slot.
    pub(super) fn lock(&self, slot: Slot) -> Result<(), LunError> {
        let range = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: self.slot_offset(slot) as libc::off_t,
            l_len: ALIGNMENT as libc::off_t,
            l_pid: 0,
        };
        // SAFETY: the descriptor is open, and the kernel only reads a structure that lives until it returns.
        let code = unsafe { libc::fcntl(self.leases.as_raw_fd(), libc::F_OFD_SETLK, &range) };
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            _ if code == 0 => Ok(()),
            Some(libc::EAGAIN | libc::EACCES) => Err(LunError::Denied {
                why: format!(
                    "{}: lease slot {slot} is in use by another process: does this node, or an examination, run twice?",
                    self.path.display()
                ),
            }),
            // It is one safeguard of several.
            _ => Ok(()),
        }
    }

    /// Every slot that somebody wrote.
    pub(super) fn read_slots(&self) -> Result<Blocks, LunError> {
        let mut bytes = vec![0; REGION_BYTES as usize];
        self.read_at(self.offset, &mut bytes)?;
        let mut blocks = BTreeMap::new();
        for slot in 1..=Slot::MAX {
            let at = usize::from(slot) * ALIGNMENT as usize;
            let mut block = [0; BLOCK_BYTES];
            block.copy_from_slice(&bytes[at..at + BLOCK_BYTES]);
            if let Some(block) = self.settled(slot, &block)? {
                blocks.insert(slot, block);
            }
        }
        Ok(blocks)
    }

    /// A slot that is just being written may show half of it, where nothing below writes a block as a whole.
    fn settled(&self, slot: Slot, bytes: &[u8; BLOCK_BYTES]) -> Result<Option<Block>, LunError> {
        let mut last = Block::decode(bytes, slot);
        for _ in 0..READS_MAX {
            if last.is_ok() {
                return last;
            }
            let mut again = vec![0; ALIGNMENT as usize];
            self.read_at(self.slot_offset(slot), &mut again)?;
            let mut block = [0; BLOCK_BYTES];
            block.copy_from_slice(&again[..BLOCK_BYTES]);
            last = Block::decode(&block, slot);
        }
        last.map_err(|error| LunError::Corrupt {
            what: format!(
                "{}: {error}; if nothing of it is needed, stop every node that uses this disk and make its leases \
                 anew: quorate lun init --force",
                self.path.display()
            ),
        })
    }

    pub(super) fn write_slot(&self, slot: Slot, block: &Block) -> Result<(), LunError> {
        self.write_lease(self.slot_offset(slot), &block.encode(slot))
    }

    pub(super) fn bell(&self, slot: Slot) -> Result<Bell, LunError> {
        let mut bytes = vec![0; ALIGNMENT as usize];
        self.read_at(self.slot_offset(slot) + REGION_BYTES, &mut bytes)?;
        let mut bell = [0; 16];
        bell.copy_from_slice(&bytes[..16]);
        Ok(bell)
    }

    /// Bytes that never stood there, so that whoever knows what did sees that somebody rang, even if a ring lands late.
    pub(super) fn ring(&self, slot: Slot) -> Result<(), LunError> {
        let bell: Bell = random()?;
        self.write_lease(self.slot_offset(slot) + REGION_BYTES, &bell)
    }

    fn write_lease(&self, offset: u64, bytes: &[u8]) -> Result<(), LunError> {
        let mut block = vec![0; ALIGNMENT as usize];
        block[..bytes.len()].copy_from_slice(bytes);
        direct::write(&self.leases, offset, &block)
            .map_err(|error| self.explain("writing a lease to", &error))
    }

    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), LunError> {
        direct::read(&self.data, offset, buffer).map_err(|error| self.explain("reading", &error))
    }

    pub(super) fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), LunError> {
        direct::write(&self.data, offset, data).map_err(|error| self.explain("writing", &error))
    }

    pub(super) fn flush(&self) -> Result<(), LunError> {
        self.data.sync_data().map_err(|error| self.explain("flushing", &error))
    }

    fn slot_offset(&self, slot: Slot) -> u64 {
        self.offset + u64::from(slot) * ALIGNMENT
    }

    fn explain(&self, what: &str, error: &io::Error) -> LunError {
        direct::explain(format!("{what} {}", self.path.display()), error)
    }
}
