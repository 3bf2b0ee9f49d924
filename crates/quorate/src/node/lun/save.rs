//! Saved states of resources: in the tail of a device, or in a file beside an image.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quorate_core::id::SaveToken;
use quorate_storage::{
    Capabilities, EventQueue, Lun, LunError, ReservationKey, Reservations, SaveArea, SaveId,
    Strength,
};

use super::open::{Handle, Place, handle};
use super::{Shared, SharedLun};
use crate::config::LunSettings;
use crate::drivers::{SaveSink, SaveSource};

/// The directory of saved states beside an image.
const DIRECTORY: &str = "saves";
/// Longer than any state, in a file that grows as it must.
const FILE_AREA: SaveArea = SaveArea { offset: 0, length: 1 << 50 };

/// Where a resource saves itself to.
pub(super) struct Sink {
    pub(super) shared: Arc<Shared>,
    pub(super) resource: String,
    pub(super) token: SaveToken,
}

impl SaveSink for Sink {
    fn store(&mut self, state: &mut dyn Read) -> io::Result<()> {
        let open = handle(&self.shared).map_err(io::Error::other)?;
        let (lun, area) = match &open.place {
            Place::Tail(layout) if layout.save.length == 0 => {
                return Err(io::Error::other("save_area_mib is 0: nothing can be saved there"));
            }
            Place::Tail(layout) => (Arc::clone(&open.lun), layout.save),
            Place::Directory(_) => {
                let path = self.prepare_file(&open).map_err(io::Error::other)?;
                let file = StateFile::open(&path, true)?;
                (Arc::new(file) as SharedLun, FILE_AREA)
            }
        };
        area.write(&*lun, id_of(self.token), state).map_err(io::Error::other)?;
        Ok(())
    }
}

impl Sink {
    /// Takes older states of the resource away, and no newer one: an owner that was late must not
    /// destroy what its successor has saved. A cooperative LUN does not refuse a stale writer,
    /// so look whose it is first; the name of the file is the move's own.
    fn prepare_file(&self, open: &Handle) -> Result<PathBuf, LunError> {
        let (directory, path) = file_of(&self.shared, &self.resource, self.token);
        let key = ReservationKey(self.shared.key());
        if !self.shared.spec.ignore_reservations && !open.lun.read_keys()?.is_held_by(key) {
            return Err(LunError::ReservationConflict);
        }
        let failed = |error: io::Error| LunError::Io {
            what: format!("{}: {error}", directory.display()),
            kind: error.kind(),
        };
        std::fs::create_dir_all(&directory).map_err(failed)?;
        let prefix = format!("{}-", self.resource);
        for entry in std::fs::read_dir(&directory).map_err(failed)?.flatten() {
            let name = entry.file_name();
            let is_older = |found| found < self.token;
            if name.to_str().and_then(|name| token_in(name, &prefix)).is_some_and(is_older) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        Ok(path)
    }
}

/// Where a saved resource comes from.
pub(super) struct Source {
    shared: Arc<Shared>,
    resource: String,
    token: SaveToken,
    /// What the open state is read from.
    lun: Option<SharedLun>,
}

impl Source {
    pub(super) fn new(shared: Arc<Shared>, resource: String, token: SaveToken) -> Self {
        Self { shared, resource, token, lun: None }
    }
}

impl SaveSource for Source {
    fn open(&mut self) -> io::Result<Box<dyn Read + '_>> {
        let open = handle(&self.shared).map_err(io::Error::other)?;
        let (lun, area) = match &open.place {
            Place::Tail(layout) => (Arc::clone(&open.lun), layout.save),
            Place::Directory(_) => {
                let (_, path) = file_of(&self.shared, &self.resource, self.token);
                (Arc::new(StateFile::open(&path, false)?) as SharedLun, FILE_AREA)
            }
        };
        let lun = self.lun.insert(lun);
        let reader = area.read(&**lun, id_of(self.token)).map_err(io::Error::other)?;
        Ok(Box::new(reader))
    }
}

/// Of which save the file is that has this name.
fn token_in(name: &str, prefix: &str) -> Option<SaveToken> {
    let token = name.strip_prefix(prefix)?.strip_suffix(".state")?;
    u64::from_str_radix(token, 16).ok().map(SaveToken)
}

fn id_of(token: SaveToken) -> SaveId {
    // The token names group and epoch already.
    SaveId { epoch: token.0 & 0xff_ffff_ffff, token: token.0 }
}

fn file_of(shared: &Shared, resource: &str, token: SaveToken) -> (PathBuf, PathBuf) {
    let root = match &shared.spec.settings {
        LunSettings::File(settings) => settings.path.as_path(),
        LunSettings::Iscsi(_) | LunSettings::Device(_) | LunSettings::Disk(_) => Path::new(""),
    };
    let directory = root.join(DIRECTORY);
    let path = directory.join(format!("{resource}-{:x}.state", token.0));
    (directory, path)
}

/// A plain file as far as a save area needs a LUN: bytes at offsets, made durable.
#[derive(Debug)]
struct StateFile {
    file: File,
    events: Arc<EventQueue>,
}

impl StateFile {
    fn open(path: &Path, new: bool) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(new).create(new).truncate(new).mode(0o600);
        let file = options.open(path)?;
        if new && let Some(parent) = path.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(Self { file, events: Arc::new(EventQueue::new()?) })
    }

    fn unsupported() -> LunError {
        LunError::Unsupported { what: "reservations on a file of saved state".to_owned() }
    }
}

fn io_error(error: &io::Error) -> LunError {
    LunError::Io { what: format!("saved state: {error}"), kind: error.kind() }
}

impl Lun for StateFile {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            strength: Strength::Cooperative,
            size_bytes: FILE_AREA.length,
            block_bytes: 512,
            preempt_and_abort: false,
            aptpl: false,
            discard_safe: false,
        }
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), LunError> {
        let mut at = 0;
        while at < buffer.len() {
            let read = self.file.read_at(&mut buffer[at..], offset + at as u64);
            match read.map_err(|error| io_error(&error))? {
                // Behind its end a file that grows as it must is empty.
                0 => {
                    buffer[at..].fill(0);
                    break;
                }
                count => at += count,
            }
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), LunError> {
        self.file.write_all_at(data, offset).map_err(|error| io_error(&error))
    }

    fn flush(&self) -> Result<(), LunError> {
        self.file.sync_data().map_err(|error| io_error(&error))
    }

    fn events(&self) -> Arc<EventQueue> {
        Arc::clone(&self.events)
    }

    fn register(&self, _key: ReservationKey) -> Result<(), LunError> {
        Err(Self::unsupported())
    }

    fn unregister(&self) -> Result<(), LunError> {
        Err(Self::unsupported())
    }

    fn read_keys(&self) -> Result<Reservations, LunError> {
        Err(Self::unsupported())
    }

    fn reserve(&self, _key: ReservationKey) -> Result<(), LunError> {
        Err(Self::unsupported())
    }

    fn release(&self, _key: ReservationKey) -> Result<(), LunError> {
        Err(Self::unsupported())
    }

    fn preempt(&self, _own: ReservationKey, _victim: ReservationKey) -> Result<(), LunError> {
        Err(Self::unsupported())
    }

    fn preempt_and_abort(&self, _: ReservationKey, _: ReservationKey) -> Result<(), LunError> {
        Err(Self::unsupported())
    }

    fn clear(&self, _key: ReservationKey) -> Result<(), LunError> {
        Err(Self::unsupported())
    }
}

#[cfg(test)]
mod tests {
    use quorate_core::id::{Epoch, GroupId};

    use super::*;

    #[test]
    fn only_the_file_of_an_earlier_epoch_is_an_older_one() {
        let token = |epoch| SaveToken::new(GroupId(3), Epoch(epoch));
        let name = |epoch| format!("guest-{:x}.state", token(epoch).0);
        let found = |epoch| token_in(&name(epoch), "guest-");
        assert_eq!(found(7), Some(token(7)));
        assert!(found(6) < Some(token(7)) && found(8) > Some(token(7)));
        assert_eq!(token_in("guest-7.draft", "guest-"), None);
        assert_eq!(token_in("guest-two-7.state", "guest-"), None);
    }
}
