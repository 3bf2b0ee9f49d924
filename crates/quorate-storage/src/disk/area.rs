//! Where the slots are, and how they are read and written.
//!
//! ```text
//! 0                          size - 2 MiB       size - 1 MiB         size
//! | the LUN as others see it | lease slots      | bells              |
//! ```
//!
//! One block of 4096 bytes each, slot 0 being nobody's. A slot is written by its node alone; a bell by anybody who
//! takes that node's registration away, and any change of its bytes means "look".

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::ballot::Blocks;
use super::block::{BLOCK_BYTES, Block, Slot};
use crate::layout::ALIGNMENT;
use crate::{LunError, direct};

const REGION_BYTES: u64 = 1 << 20;
/// Bytes at the end of the disk that are ours.
pub(super) const AREA_BYTES: u64 = 2 * REGION_BYTES;
/// How often a slot that is just being written is read again.
const READS_MAX: u32 = 20;

/// What stands in a bell.
pub(super) type Bell = [u8; 16];

/// The end of a disk, or of a file that serves as one.
#[derive(Debug)]
pub(super) struct Area {
    path: PathBuf,
    /// For bytes that somebody makes durable by a flush.
    data: File,
    /// For what is durable when it is written.
    leases: File,
    offset: u64,
    /// The unit of reads and writes.
    pub(super) block_bytes: u32,
}

impl Area {
    pub(super) fn open(path: &Path) -> Result<Self, LunError> {
        let failed = |error: io::Error| direct::explain(path.display().to_string(), &error);
        let kind = std::fs::metadata(path).map_err(failed)?.file_type();
        if !kind.is_block_device() && !kind.is_file() {
            return Err(LunError::misuse(format!(
                "{} must be a block device or a file",
                path.display()
            )));
        }
        let open = |flags| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).custom_flags(libc::O_DIRECT | libc::O_CLOEXEC | flags);
            options.open(path).map_err(|error| match error.raw_os_error() {
                Some(libc::EINVAL) => LunError::Unsupported {
                    what: format!("{} is on a file system without direct I/O", path.display()),
                },
                _ => failed(error),
            })
        };
        let (mut data, leases) = (open(0)?, open(libc::O_DSYNC)?);
        let block_bytes = match kind.is_block_device() {
            true => rustix::fs::ioctl_blksszget(&data).map_err(|errno| failed(errno.into()))?,
            // No file system asks for more.
            false => ALIGNMENT as u32,
        };
        let size = data.seek(SeekFrom::End(0)).map_err(failed)?;
        let offset = (size - size % ALIGNMENT).checked_sub(AREA_BYTES).filter(|left| *left > 0);
        let offset = offset.ok_or_else(|| {
            LunError::misuse(format!(
                "{} has {size} bytes; leases alone take {AREA_BYTES}",
                path.display()
            ))
        })?;
        Ok(Self { path: path.to_owned(), data, leases, offset, block_bytes })
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
                "{}: {error}; if no cluster uses this disk, empty its leases: dd if=/dev/zero of={} bs=4096 \
                 seek={} count={} oflag=direct conv=notrunc",
                self.path.display(),
                self.path.display(),
                self.offset / ALIGNMENT,
                AREA_BYTES / ALIGNMENT,
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

    /// Other bytes for each change, so that whoever knows what stood there sees that somebody rang. The same handle
    /// may ring twice for one change: whoever looked after the first time has seen it decided.
    pub(super) fn ring(&self, slot: Slot, number: u64, nexus: u64) -> Result<(), LunError> {
        let mut bell = [0; 16];
        bell[..8].copy_from_slice(&number.to_le_bytes());
        bell[8..].copy_from_slice(&nexus.to_le_bytes());
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
