//! Reads and writes past the page cache, from buffers of any alignment.
//!
//! The cache would show one node what another overwrote long ago.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

use crate::LunError;

/// What every device takes as an address in memory.
const ALIGNMENT: usize = 4096;
/// Bytes that go at once.
const CHUNK: usize = 1 << 20;

/// File systems on which a killed program's writes may still be sent when it is long gone.
///
/// Source: `nfs_direct_wait` in fs/nfs/direct.c of Linux waits killably, and the requests go on; the numbers are those
/// of linux/magic.h.
const SENDS_ON: [(u32, &str); 5] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x6573_5546, "FUSE"),
    (0x00c3_6400, "Ceph"),
];

pub(crate) fn open(path: &Path) -> Result<File, LunError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_DIRECT | libc::O_CLOEXEC)
        .open(path)
        .map_err(|error| explain(path.display().to_string(), &error))
}

/// Opens a disk, or a file that serves as one, that several hosts share. `flags`: beside those of direct I/O; `room`:
/// how large a file would have to be made, as `truncate` takes it; `init`: what makes it ready then.
///
/// # Errors
///
/// `Misuse` for what is no disk and no file; `Unsupported` without direct I/O, and where late writes of a dead program
/// may land.
pub(crate) fn open_disk(path: &Path, flags: i32, room: &str, init: &str) -> Result<File, LunError> {
    let failed = |error: io::Error| explain(path.display().to_string(), &error);
    let kind = std::fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            let place = path.display();
            let remedy = format!(
                "is what it lies on mounted? A new file that is to serve as a disk is made with truncate -s {room} \
                 {place}, and then made ready with {init}"
            );
            LunError::missing(path, &remedy)
        }
        _ => failed(error),
    })?;
    let kind = kind.file_type();
    if !kind.is_block_device() && !kind.is_file() {
        return Err(LunError::misuse(format!(
            "{} must be a block device or a file",
            path.display()
        )));
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_DIRECT | libc::O_CLOEXEC | flags);
    let file = options.open(path).map_err(|error| match error.raw_os_error() {
        Some(libc::EINVAL) => LunError::Unsupported {
            what: format!("{} is on a file system without direct I/O", path.display()),
        },
        _ => failed(error),
    })?;
    refuse_shared_file_systems(path, &file)?;
    Ok(file)
}

fn refuse_shared_file_systems(path: &Path, file: &File) -> Result<(), LunError> {
    let found = rustix::fs::fstatfs(file)
        .map_err(|errno| explain(path.display().to_string(), &errno.into()))?;
    let kind = SENDS_ON.iter().find(|(magic, _)| *magic == found.f_type as u32);
    kind.map_or(Ok(()), |(_, name)| {
        Err(LunError::Unsupported {
            what: format!(
                "{} is on {name}, where the writes of a killed guest may land at any time later: take a block device",
                path.display()
            ),
        })
    })
}

/// Room of `length` bytes that begins at an address that every device takes.
struct Room {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl Room {
    fn new(length: usize) -> Self {
        let bytes = vec![0; length + ALIGNMENT];
        let start = bytes.as_ptr().align_offset(ALIGNMENT);
        Self { bytes, start, length }
    }

    fn part(&mut self, length: usize) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + length.min(self.length)]
    }
}

pub(crate) fn read(file: &File, mut offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    let mut room = Room::new(buffer.len().min(CHUNK));
    for part in buffer.chunks_mut(CHUNK) {
        let bytes = room.part(part.len());
        file.read_exact_at(bytes, offset)?;
        part.copy_from_slice(bytes);
        offset += part.len() as u64;
    }
    Ok(())
}

pub(crate) fn write(file: &File, mut offset: u64, data: &[u8]) -> io::Result<()> {
    let mut room = Room::new(data.len().min(CHUNK));
    for part in data.chunks(CHUNK) {
        let bytes = room.part(part.len());
        bytes.copy_from_slice(part);
        file.write_all_at(bytes, offset)?;
        offset += part.len() as u64;
    }
    Ok(())
}

/// What the kernel's error of a read or a write says of the LUN.
///
/// Source: `blk_errors` in block/blk-core.c of Linux: a reservation conflict is EBADE, a lost transport ENOLINK.
pub(crate) fn explain(what: String, error: &io::Error) -> LunError {
    match error.raw_os_error() {
        Some(libc::EBADE) => LunError::ReservationConflict,
        Some(libc::ENOLINK | libc::ENODEV | libc::ENXIO | libc::ETIMEDOUT) => {
            LunError::PathLost { why: format!("{what}: {error}") }
        }
        _ => LunError::io(what, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_and_come_through_aligned_room() {
        let file = tempfile::tempfile().unwrap();
        let data: Vec<u8> = (0..CHUNK + 512).map(|at| (at % 251) as u8).collect();
        write(&file, 512, &data).unwrap();
        let mut back = vec![0; data.len()];
        read(&file, 512, &mut back).unwrap();
        assert!(back == data);
        let mut room = Room::new(512);
        assert!(room.part(512).as_ptr().addr().is_multiple_of(ALIGNMENT));
    }

    #[test]
    fn a_refused_write_is_told_from_a_broken_disk() {
        let explained = |code| explain("writing".to_owned(), &io::Error::from_raw_os_error(code));
        assert!(matches!(explained(libc::EBADE), LunError::ReservationConflict));
        assert!(matches!(explained(libc::ENOLINK), LunError::PathLost { .. }));
        assert!(matches!(explained(libc::EIO), LunError::Io { .. }));
    }
}
