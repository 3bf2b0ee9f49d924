//! Reads and writes past the page cache, from buffers of any alignment.
//!
//! The cache would show one node what another overwrote long ago.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::LunError;

/// What every device takes as an address in memory.
const ALIGNMENT: usize = 4096;
/// Bytes that go at once.
const CHUNK: usize = 1 << 20;

pub(crate) fn open(path: &Path) -> Result<File, LunError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_DIRECT | libc::O_CLOEXEC)
        .open(path)
        .map_err(|error| explain(path.display().to_string(), &error))
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
