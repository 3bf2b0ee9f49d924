//! The node's own log on its local disk: what it must remember through a crash.
//!
//! Owns one directory: `lock` (one node at a time), `quorate.log`, and for a moment
//! `quorate.log.new`. *Architecture invariant*: [`Log::append`] returns only after the disk has
//! confirmed the records; whatever it returned for is read back by [`Log::open`] or the log is
//! refused. It never guesses: a torn append at the very end is cut off and reported, any other
//! damage is an error that leaves the file as it is.

mod format;
mod lock;

use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use self::format::{Defect, FILE_HEADER, FileHeader};
use self::lock::DirectoryLock;

/// Most bytes that one append may hold, in all its records.
pub const APPEND_BYTES_MAX: usize = 256 * 1024 * 1024;

const LOG_NAME: &str = "quorate.log";
const NEW_NAME: &str = "quorate.log.new";
/// A compacted log is written in batches of about this size.
const COMPACT_BATCH_BYTES: usize = 1024 * 1024;

/// One entry of the log. The log gives no meaning to either part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What the bytes are.
    pub kind: u8,
    /// The entry itself.
    pub bytes: Vec<u8>,
}

/// What [`Log::open`] found.
#[derive(Debug)]
pub struct Recovered {
    /// Every durable record, in the order of its append.
    pub records: Vec<Record>,
    /// There was no log: this node is new here, or its disk was wiped.
    pub created: bool,
    /// An append that a crash had torn was cut off. It was never reported as durable.
    pub cut: Option<Cut>,
}

/// A torn append that was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Where in the file it began.
    pub offset: u64,
    /// Bytes cut off.
    pub bytes: u64,
}

/// An open log. While it lives, no other process can open the directory.
#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
    path: PathBuf,
    file: File,
    header: FileHeader,
    length: u64,
    next_sequence: u64,
    /// A write or sync failed in a way that leaves unknown what the disk holds.
    broken: bool,
    buffer: Vec<u8>,
    _lock: DirectoryLock,
}

impl Log {
    /// Opens the log in `dir`, or makes a new one there; `dir` itself is made if its parent exists.
    ///
    /// # Errors
    /// Any [`LogError`] but `TooLarge` and `Broken`. The log is left as it was.
    pub fn open(dir: &Path, cluster_id: u64, node: u16) -> Result<(Log, Recovered), LogError> {
        make_directory(dir)?;
        let lock = DirectoryLock::take(dir)?;
        let path = dir.join(LOG_NAME);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Log::create(dir, lock, cluster_id, node);
            }
            Err(source) => return Err(LogError::Io { doing: "read", path, source }),
        };
        let refused = |defect| LogError::from_defect(&path, defect);
        let header = FileHeader::decode(&bytes).map_err(refused)?;
        if (header.cluster_id, header.node) != (cluster_id, node) {
            let found = Owner { cluster_id: header.cluster_id, node: header.node };
            return Err(LogError::Foreign { path, found, us: Owner { cluster_id, node } });
        }
        let scan = format::scan(&bytes, &header).map_err(refused)?;
        let log = Log {
            file: open_file(&path, false)?,
            dir: dir.into(),
            path,
            header,
            length: scan.good,
            next_sequence: scan.next_sequence,
            broken: false,
            buffer: Vec::new(),
            _lock: lock,
        };
        let cut_bytes = bytes.len() as u64 - scan.good;
        let cut = (cut_bytes > 0).then_some(Cut { offset: scan.good, bytes: cut_bytes });
        if cut.is_some() {
            log.cut_back().map_err(log.failed("cut a torn append off"))?;
        }
        // A compaction that a crash ended: the log itself is whole, so this is of no use.
        let _ = std::fs::remove_file(dir.join(NEW_NAME));
        Ok((log, Recovered { records: scan.records, created: false, cut }))
    }

    /// A random number made with the log: a node whose disk was wiped comes back with another one.
    #[must_use]
    pub fn identity(&self) -> u64 {
        self.header.identity
    }

    /// Bytes in the file: compact when it has grown well beyond what a snapshot takes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Appends all records or none, and returns once they are on the disk: one write, one
    /// fdatasync.
    ///
    /// # Errors
    /// [`LogError::DiskFull`] and [`LogError::TooLarge`] leave the log as it was, usable.
    /// After any other error it is [`LogError::Broken`]: the node must stop.
    pub fn append(&mut self, records: &[Record]) -> Result<(), LogError> {
        self.check_usable(records)?;
        if records.is_empty() {
            return Ok(());
        }
        self.buffer.clear();
        format::encode_batch(self.header.identity, self.next_sequence, records, &mut self.buffer);
        let written = self.file.write_all_at(&self.buffer, self.length);
        if let Err(error) = written.and_then(|()| self.file.sync_data()) {
            return Err(self.take_back(error));
        }
        self.length += self.buffer.len() as u64;
        self.next_sequence += 1;
        if self.buffer.capacity() > COMPACT_BATCH_BYTES {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// Replaces the whole log by `records`, in one step: a crash leaves the old log or the new one.
    ///
    /// # Errors
    /// As [`Log::append`]; on a full disk the old log stays, usable.
    pub fn compact(&mut self, records: &[Record]) -> Result<(), LogError> {
        self.check_usable(&[])?;
        if records.iter().any(|record| record.bytes.len() > APPEND_BYTES_MAX) {
            return Err(LogError::TooLarge { path: self.path.clone() });
        }
        let header = FileHeader { first_sequence: self.next_sequence, ..self.header };
        let written = match write_new(&self.dir, &header, records) {
            Ok(written) => written,
            Err(error) => {
                let _ = std::fs::remove_file(self.dir.join(NEW_NAME));
                return Err(error);
            }
        };
        // From here on it is open which of the two files a crash would leave.
        self.broken = true;
        put_in_place(&self.dir)?;
        self.broken = false;
        self.file = written.file;
        self.length = written.length;
        self.next_sequence = written.next_sequence;
        self.header = header;
        Ok(())
    }

    fn create(
        dir: &Path,
        lock: DirectoryLock,
        cluster_id: u64,
        node: u16,
    ) -> Result<(Log, Recovered), LogError> {
        let path = dir.join(LOG_NAME);
        let identity = getrandom::u64().map_err(|error| LogError::Io {
            doing: "draw an identity for",
            path: path.clone(),
            source: io::Error::other(error.to_string()),
        })?;
        let header = FileHeader { cluster_id, node, identity, first_sequence: 1 };
        let written = write_new(dir, &header, &[])?;
        put_in_place(dir)?;
        let log = Log {
            dir: dir.into(),
            path,
            file: written.file,
            header,
            length: written.length,
            next_sequence: written.next_sequence,
            broken: false,
            buffer: Vec::new(),
            _lock: lock,
        };
        Ok((log, Recovered { records: Vec::new(), created: true, cut: None }))
    }

    fn check_usable(&self, records: &[Record]) -> Result<(), LogError> {
        if self.broken {
            return Err(LogError::Broken { path: self.path.clone() });
        }
        if format::batch_length(records) > APPEND_BYTES_MAX {
            return Err(LogError::TooLarge { path: self.path.clone() });
        }
        Ok(())
    }

    /// Undoes a failed append. What was durable before it stays so.
    fn take_back(&mut self, error: io::Error) -> LogError {
        let full = is_disk_full(&error);
        // After a failed sync the kernel may call the lost pages clean. Only a full disk is a
        // failure whose effect ends with the bytes it refused.
        self.broken = !(full && self.cut_back().is_ok());
        self.failed("append to")(error)
    }

    fn cut_back(&self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.sync_data()
    }

    fn failed(&self, doing: &'static str) -> impl FnOnce(io::Error) -> LogError + use<> {
        io_error(doing, self.path.clone())
    }
}

/// Whose log it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The cluster's id.
    pub cluster_id: u64,
    /// The node's number.
    pub node: u16,
}

/// Why the log cannot be opened or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No room. Nothing was written; the log can be used on when there is room again.
    #[error("disk full: cannot write {}: make room on that file system", path.display())]
    DiskFull {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// Another process holds the directory.
    #[error(
        "a node is already running on {}{}: stop it first, or give this one its own \
         state directory",
        dir.display(),
        by(*pid),
    )]
    AlreadyRunning {
        /// The state directory.
        dir: PathBuf,
        /// The process that holds it, where it can be told.
        pid: Option<u32>,
    },
    /// The log of another node or cluster.
    #[error(
        "log {} belongs to node {} of cluster {:#x}, this is node {} of cluster {:#x}: \
         give this node its own state directory",
        path.display(),
        found.node,
        found.cluster_id,
        us.node,
        us.cluster_id,
    )]
    Foreign {
        /// The log file.
        path: PathBuf,
        /// Whose it is.
        found: Owner,
        /// Who asked.
        us: Owner,
    },
    /// A format that this version does not know.
    #[error(
        "log {} has format {found}, this version knows format {known}: run the version \
         that wrote it",
        path.display(),
    )]
    UnknownVersion {
        /// The log file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The file is not what was written. It was left as it is.
    #[error(
        "log {} is damaged at offset {offset}: {what}: check the disk; to rejoin from \
         the other nodes under a new identity, move the file away",
        path.display(),
    )]
    Damaged {
        /// The log file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// More than [`APPEND_BYTES_MAX`] in one append. Nothing was written.
    #[error("an append to {} is over the limit of {APPEND_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// The log file.
        path: PathBuf,
    },
    /// An earlier failure left unknown what the disk holds: restart the node, which reads it anew.
    #[error(
        "log {} failed before and is closed for writing: check the disk and restart the \
         node",
        path.display(),
    )]
    Broken {
        /// The log file.
        path: PathBuf,
    },
}

impl LogError {
    fn from_defect(path: &Path, defect: Defect) -> LogError {
        let path = path.into();
        match defect {
            Defect::UnknownVersion { version } => {
                LogError::UnknownVersion { path, found: version, known: format::VERSION }
            }
            Defect::Damaged { offset, what } => LogError::Damaged { path, offset, what },
        }
    }
}

fn by(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(", pid {pid}"))
}

fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn io_error(doing: &'static str, path: PathBuf) -> impl FnOnce(io::Error) -> LogError {
    move |source| {
        if is_disk_full(&source) {
            LogError::DiskFull { path }
        } else {
            LogError::Io { doing, path, source }
        }
    }
}

fn make_directory(dir: &Path) -> Result<(), LogError> {
    let made = std::fs::DirBuilder::new().mode(0o700).create(dir);
    let is_there = made.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists);
    if !is_there {
        made.map_err(io_error("make the state directory", dir.into()))?;
    }
    // Its name must outlive a power cut as what is in it does. An earlier run may have made it and
    // died before this; a directory that was there for long needs it no more, and may stand in one
    // that this node may not read.
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    match File::open(parent).and_then(|parent| parent.sync_all()) {
        Err(error) if !is_there => Err(io_error("sync the directory", parent.into())(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn open_file(path: &Path, new: bool) -> Result<File, LogError> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(new).truncate(new).mode(0o600);
    options.open(path).map_err(io_error("open", path.into()))
}

/// A log written beside the one in use.
struct Written {
    file: File,
    length: u64,
    next_sequence: u64,
}

fn write_new(dir: &Path, header: &FileHeader, records: &[Record]) -> Result<Written, LogError> {
    let path = dir.join(NEW_NAME);
    let file = open_file(&path, true)?;
    let write =
        |bytes: &[u8], at| file.write_all_at(bytes, at).map_err(io_error("write", path.clone()));
    write(&header.encode(), 0)?;
    let mut length = FILE_HEADER as u64;
    let mut next_sequence = header.first_sequence;
    let mut rest = records;
    let mut bytes = Vec::new();
    while !rest.is_empty() {
        let mut size = 0;
        let fits = |record: &&Record| {
            size += record.bytes.len();
            size <= COMPACT_BATCH_BYTES
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (batch, later) = rest.split_at(count);
        bytes.clear();
        format::encode_batch(header.identity, next_sequence, batch, &mut bytes);
        write(&bytes, length)?;
        length += bytes.len() as u64;
        next_sequence += 1;
        rest = later;
    }
    file.sync_all().map_err(io_error("sync", path))?;
    Ok(Written { file, length, next_sequence })
}

fn put_in_place(dir: &Path) -> Result<(), LogError> {
    let path = dir.join(LOG_NAME);
    std::fs::rename(dir.join(NEW_NAME), &path).map_err(io_error("replace", path))?;
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(io_error("sync the directory", dir.into()))
}

#[cfg(test)]
mod tests;
