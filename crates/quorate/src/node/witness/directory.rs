//! A register with compare-and-swap, of nothing but a directory on a file system that several hosts share.
//!
//! Each version of the register is a file of its own, named by its number, whole from the moment at which it is there
//! under that name, and never changed. The register is the file with the highest number. A swap that expects version n
//! writes a file beside, and links it to the name n + 1, which fails where that name is taken.
//!
//! ```text
//! file = magic[8] version:u64 length:u64 crc:u32  bytes
//! ```
//!
//! Why that is a compare-and-swap:
//!
//! - Numbers only grow: a file is taken away only when one with a higher number is there, and never the newest few. So
//!   the highest number never falls.
//! - A swap is done only if n was the highest number before its link, the link succeeded, and after it no higher number
//!   than n + 1 is there. Had the highest number been n + 1 or more at the moment of the link, then it would be that or
//!   more after it: the link would have failed, or the higher number would be seen. So it was n, by the first listing,
//!   and the link made it n + 1: at that one moment version n was replaced by n + 1.
//! - Of two swaps that expect n one link alone succeeds.
//! - A swap that sees a higher number after its link says that it was not done. It may have been, with the next one
//!   on top of it: whoever asked reads again, and finds out. Or it has come so late that the files of its number were
//!   taken away long ago: then its file is not the highest, and nobody reads it.
//! - A listing may be old, as on a share whose client keeps directories in its memory. Then a read gives an older
//!   version, and the swap that expects it fails. The listing after the link is not: the client has changed the
//!   directory itself, and found that others had.
//! - What was read, and what was swapped in, is on stable storage: the directory is synced before the answer. So no
//!   number is given twice by a server that loses its power.
//!
//! Needs hard links: NFS, SMB from Linux and Windows servers, and cluster file systems have them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use quorate_core::id::NodeId;

const MAGIC: [u8; 8] = *b"QUOWITN\n";
const HEADER: usize = 28;
/// How the name of a version begins; its number follows, in 20 digits.
const NAME: &str = "version-";
/// How the name of a file begins that is no version yet.
const DRAFT: &str = "draft-";
/// So many of the newest versions stay.
const KEPT: u64 = 8;
/// The most bytes that a version is read for.
const BYTES_MAX: u64 = 64 << 20;
/// How often a version may be taken away between being listed and being read.
const TRIES: usize = 5;

/// The register, as one node reaches it.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// The name of what this run of the node writes before it is a version.
    draft: PathBuf,
    draft_prefix: String,
}

impl Directory {
    pub(super) fn new(path: PathBuf, node: NodeId, boot: u64) -> Self {
        let draft_prefix = format!("{DRAFT}{}-", node.0);
        let draft = path.join(format!("{draft_prefix}{boot}"));
        Self { path, draft, draft_prefix }
    }

    /// The newest version and its bytes; 0 and none: there is none yet.
    ///
    /// # Errors
    /// The share does not answer as it should, or a file is damaged.
    pub(super) fn read(&self) -> io::Result<(u64, Vec<u8>)> {
        for _ in 0..TRIES {
            let Some(version) = self.newest()? else { return Ok((0, Vec::new())) };
            match read_version(&self.name(version), version) {
                // It was the newest, and is gone by now: many were faster.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
                Ok(bytes) => {
                    self.sync()?;
                    return Ok((version, bytes));
                }
            }
        }
        Err(io::Error::other("its versions change faster than they can be read"))
    }

    /// Puts these bytes in the place of version `expected`, as the next one. False: that is not the newest one.
    ///
    /// # Errors
    /// The share does not answer as it should: it may be done, or not.
    pub(super) fn swap(&self, expected: u64, bytes: &[u8]) -> io::Result<bool> {
        let next = expected.checked_add(1).ok_or_else(|| io::Error::other("no number is left"))?;
        self.write_draft(next, bytes)?;
        let swapped = self.link_draft(expected, next);
        let removed = fs::remove_file(&self.draft);
        let swapped = swapped?;
        removed?;
        if swapped {
            self.remove_old(next);
        }
        Ok(swapped)
    }

    fn write_draft(&self, version: u64, bytes: &[u8]) -> io::Result<()> {
        match fs::remove_file(&self.draft) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.draft)?;
        file.write_all(&framed(version, bytes))?;
        file.sync_all()
    }

    fn link_draft(&self, expected: u64, next: u64) -> io::Result<bool> {
        if self.newest()?.unwrap_or(0) != expected {
            return Ok(false);
        }
        match fs::hard_link(&self.draft, self.name(next)) {
            Ok(()) => {}
            // An answer of the server may have been lost and its request said again: two names, it was ours.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if fs::metadata(&self.draft)?.nlink() != 2 {
                    return Ok(false);
                }
            }
            Err(error) => return Err(error),
        }
        self.sync()?;
        Ok(self.newest()? == Some(next))
    }

    /// The highest number.
    fn newest(&self) -> io::Result<Option<u64>> {
        Ok(self.numbers()?.into_iter().max())
    }

    fn numbers(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            numbers.extend(entry?.file_name().to_str().and_then(number_of));
        }
        Ok(numbers)
    }

    fn name(&self, version: u64) -> PathBuf {
        self.path.join(format!("{NAME}{version:020}"))
    }

    /// A file system that cannot sync a directory does so by itself, or has no such thing.
    fn sync(&self) -> io::Result<()> {
        match File::open(&self.path)?.sync_all() {
            Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
            result => result,
        }
    }

    /// Takes away what is long past, and what earlier runs of this node have left. Whatever stays does no harm.
    fn remove_old(&self, newest: u64) {
        let Ok(entries) = fs::read_dir(&self.path) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let is_old = number_of(name).is_some_and(|number| number + KEPT <= newest);
            if is_old || name.starts_with(&self.draft_prefix) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(NAME).filter(|digits| digits.len() == 20)?;
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn framed(version: u64, bytes: &[u8]) -> Vec<u8> {
    let mut file = Vec::with_capacity(HEADER + bytes.len());
    file.extend(MAGIC);
    file.extend(version.to_le_bytes());
    file.extend((bytes.len() as u64).to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&file);
    crc.update(bytes);
    file.extend(crc.finalize().to_le_bytes());
    file.extend(bytes);
    file
}

fn read_version(path: &Path, version: u64) -> io::Result<Vec<u8>> {
    let damaged = |what: &str| {
        let text = format!("{}: {what}", path.display());
        io::Error::new(ErrorKind::InvalidData, text)
    };
    let mut file = Vec::new();
    File::open(path)?.take(BYTES_MAX).read_to_end(&mut file)?;
    let Some((head, bytes)) = file.split_at_checked(HEADER) else {
        return Err(damaged("it ends within its head"));
    };
    match framed(version, bytes).split_at(HEADER).0 == head {
        true => Ok(bytes.to_vec()),
        false => Err(damaged("it is damaged, or no version of a witness")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn directory(path: &Path, node: u16) -> Directory {
        Directory::new(path.to_owned(), NodeId(node), 7)
    }

    #[test]
    fn a_swap_is_done_only_in_the_place_of_the_version_that_it_expects() {
        let place = tempfile::tempdir().unwrap();
        let (one, other) = (directory(place.path(), 1), directory(place.path(), 2));
        assert_eq!(one.read().unwrap(), (0, Vec::new()));
        assert!(one.swap(0, b"a").unwrap());
        assert!(!other.swap(0, b"b").unwrap());
        assert_eq!(other.read().unwrap(), (1, b"a".to_vec()));
        assert!(other.swap(1, b"c").unwrap());
        assert!(!one.swap(1, b"d").unwrap());
        assert_eq!(one.read().unwrap(), (2, b"c".to_vec()));
    }

    #[test]
    fn of_many_that_count_in_it_none_loses_a_count() {
        const EACH: u64 = 60;
        let place = tempfile::tempdir().unwrap();
        let done = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for node in 1..=4 {
                let (path, done) = (place.path(), &done);
                scope.spawn(move || {
                    let directory = directory(path, node);
                    for _ in 0..EACH {
                        let (version, bytes) = directory.read().unwrap();
                        let count = <[u8; 8]>::try_from(bytes).map_or(0, u64::from_le_bytes);
                        let swapped = directory.swap(version, &(count + 1).to_le_bytes()).unwrap();
                        done.fetch_add(u64::from(swapped), Ordering::Relaxed);
                    }
                });
            }
        });
        let (version, bytes) = directory(place.path(), 9).read().unwrap();
        let done = done.into_inner();
        assert!(done >= EACH, "somebody always wins");
        // Whoever is overtaken at once takes its swap for undone.
        assert!(version >= done);
        assert_eq!(bytes, version.to_le_bytes());
    }

    #[test]
    fn a_late_swap_whose_number_was_taken_away_is_not_done() {
        let place = tempfile::tempdir().unwrap();
        let (one, other) = (directory(place.path(), 1), directory(place.path(), 2));
        for version in 0..30 {
            assert!(one.swap(version, b"x").unwrap());
        }
        let kept = other.numbers().unwrap();
        assert!(kept.len() <= KEPT as usize + 1, "{kept:?}");
        other.write_draft(4, b"late").unwrap();
        fs::hard_link(&other.draft, other.name(4)).unwrap();
        assert_eq!(other.read().unwrap(), (30, b"x".to_vec()));
        assert!(!other.swap(3, b"late").unwrap());
    }

    #[test]
    fn a_damaged_version_is_an_error_that_names_its_file() {
        let place = tempfile::tempdir().unwrap();
        let one = directory(place.path(), 1);
        assert!(one.swap(0, b"sound").unwrap());
        for bytes in [&b"short"[..], &framed(1, b"cut")[..30], &framed(2, b"another")[..]] {
            fs::write(one.name(1), bytes).unwrap();
            let error = one.read().unwrap_err().to_string();
            assert!(error.contains("version-00000000000000000001"), "{error}");
        }
    }

    #[test]
    fn a_directory_that_is_gone_is_an_error_and_no_empty_register() {
        let one = directory(Path::new("/nowhere/at/all"), 1);
        assert!(one.read().is_err());
        assert!(one.swap(0, b"a").is_err());
    }
}
