//! A LUN as a directory on shared storage: the cooperative driver, which needs no SCSI.
//!
//! ```text
//! DIR/data            the image, if a size was given
//! DIR/reservations    who is registered, who holds it; replaced by rename, with a checksum
//! DIR/lock, DIR/gate  see `lock`
//! DIR/beats/          storage heartbeats, one file for each node: see `beat`
//! ```
//!
//! Every write through this driver looks at the reservations under a shared lock, and every change
//! of them takes the lock alone: so a preempt returns only when the victim's writes under way have
//! ended, and none comes after. Another program that opens `data` is not kept out: that is what
//! "cooperative" says.

mod lock;

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use self::lock::{Lock, Mode};
use crate::lun::check_range;
use crate::standing::{Effect, Gate, Standing};
use crate::table::{NexusId, Table};
use crate::{
    Capabilities, EventQueue, Lun, LunError, LunEvent, ReservationKey, Reservations, Strength,
};

const BLOCK_BYTES: u32 = 512;
/// A longer table is not ours.
const TABLE_MAX: u64 = 1 << 20;
const LOCKED: &str = "the reservations of ";

/// How to open a directory as a LUN.
#[derive(Debug, Clone)]
pub struct FileOptions {
    /// Made if missing; its parent must exist.
    pub directory: PathBuf,
    /// Size of the image in bytes, a multiple of 512. An image that exists must have it; `None`
    /// takes it as it is, and where there is none there will be none: such a LUN carries
    /// reservations and beats only.
    pub size_bytes: Option<u64>,
    /// Bound of each call's wait for the lock. A read or write that hangs in the kernel cannot be
    /// bounded.
    pub timeout: Duration,
}

/// A LUN as a directory. See the module.
#[derive(Debug)]
pub struct FileLun {
    directory: PathBuf,
    data: Option<File>,
    nexus: NexusId,
    capabilities: Capabilities,
    timeout: Duration,
    events: Arc<EventQueue>,
    standing: Mutex<Standing>,
}

impl FileLun {
    /// Opens the directory and checks what stands there. Registers nothing.
    ///
    /// # Errors
    ///
    /// `Misuse` for a size that is no multiple of 512 or not that of the image;
    /// `Corrupt` when the reservations are torn or foreign; `Denied` without the right to write there; `Io` of kind
    /// `NotFound` or `NotADirectory`, with the remedy, where no directory is or can be made.
    pub fn open(options: FileOptions) -> Result<Self, LunError> {
        let directory = options.directory;
        make_directory(&directory)?;
        let data = open_data(&directory.join("data"), options.size_bytes)?;
        let size_bytes = match &data {
            Some(file) => {
                file.metadata().map_err(|error| LunError::io(directory.display(), &error))?.len()
            }
            None => 0,
        };
        let mut random = [0; 16];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
            .map_err(|errno| LunError::io("random bits", &errno.into()))?;
        let lun = Self {
            directory,
            data,
            nexus: NexusId(u128::from_ne_bytes(random)),
            capabilities: Capabilities {
                strength: Strength::Cooperative,
                size_bytes: size_bytes - size_bytes % u64::from(BLOCK_BYTES),
                block_bytes: BLOCK_BYTES,
                preempt_and_abort: true,
                aptpl: true,
                discard_safe: false,
            },
            timeout: options.timeout,
            events: Arc::new(EventQueue::new().map_err(|error| LunError::io("eventfd", &error))?),
            standing: Mutex::new(Standing::Never),
        };
        lun.read_keys()?;
        Ok(lun)
    }

    /// Where this LUN is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn table_path(&self) -> PathBuf {
        self.directory.join("reservations")
    }

    fn load(&self) -> Result<Table, LunError> {
        let path = self.table_path();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Table::default()),
            Err(error) => return Err(LunError::io(path.display(), &error)),
        };
        let corrupt =
            |why: String| LunError::Corrupt { what: format!("{LOCKED}{}: {why}", path.display()) };
        let mut text = String::new();
        match file.take(TABLE_MAX).read_to_string(&mut text) {
            Ok(_) => Table::decode(&text).map_err(corrupt),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(corrupt("it is not text".to_owned()))
            }
            Err(error) => Err(LunError::io(path.display(), &error)),
        }
    }

    /// Changes the table alone, durably, or not at all; what that does to this handle takes effect
    /// with it.
    fn change(
        &self,
        effect: Option<Effect>,
        change: impl FnOnce(&mut Table) -> Result<(), LunError>,
    ) -> Result<(), LunError> {
        let _lock = Lock::take(&self.directory, Mode::Exclusive, self.timeout)?;
        let before = self.load()?;
        let mut table = before.clone();
        change(&mut table)?;
        if table != before {
            replace(&self.directory, "reservations", table.encode().as_bytes())?;
        }
        if let Some(effect) = effect {
            let mut standing = self.standing.lock();
            *standing = standing.on_effect(effect);
        }
        Ok(())
    }

    /// Does `write` if this handle may write, under the shared lock.
    fn guarded(&self, write: impl FnOnce() -> Result<(), LunError>) -> Result<(), LunError> {
        let _lock = Lock::take(&self.directory, Mode::Shared, self.timeout)?;
        let standing = *self.standing.lock();
        if standing.gate() == Gate::Refuse {
            return Err(standing.refusal());
        }
        let table = self.load()?;
        let may_write = match standing {
            // A device would let it pass where nothing is reserved. Here it shows that somebody
            // took our key away.
            Standing::Registered(_) => table.is_registered(self.nexus),
            Standing::Never | Standing::Lost(_) | Standing::Gone { .. } => {
                table.may_write(self.nexus)
            }
        };
        if may_write {
            return write();
        }
        *self.standing.lock() = standing.on_refused();
        self.events.push(LunEvent::ReservationRefused);
        Err(LunError::ReservationConflict)
    }

    fn image(&self) -> Result<&File, LunError> {
        self.data
            .as_ref()
            .ok_or_else(|| LunError::misuse(format!("{} has no image", self.directory.display())))
    }

    fn io(&self, what: &str, error: &io::Error) -> LunError {
        LunError::io(format!("{what} {}", self.directory.join("data").display()), error)
    }
}

impl Lun for FileLun {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn register(&self, key: ReservationKey) -> Result<(), LunError> {
        let key = key.checked()?;
        self.change(Some(Effect::Registered(key)), |table| table.register(self.nexus, key))
    }

    fn unregister(&self) -> Result<(), LunError> {
        self.change(Some(Effect::Unregistered), |table| {
            table.unregister(self.nexus);
            Ok(())
        })
    }

    fn read_keys(&self) -> Result<Reservations, LunError> {
        let _lock = Lock::take(&self.directory, Mode::Shared, self.timeout)?;
        Ok(self.load()?.reservations())
    }

    fn reserve(&self, key: ReservationKey) -> Result<(), LunError> {
        let key = key.checked()?;
        self.change(None, |table| table.reserve(self.nexus, key))
    }

    fn release(&self, key: ReservationKey) -> Result<(), LunError> {
        let key = key.checked()?;
        self.change(None, |table| table.release(self.nexus, key))
    }

    fn preempt(&self, own: ReservationKey, victim: ReservationKey) -> Result<(), LunError> {
        let (own, victim) = (own.checked()?, victim.checked()?);
        self.change(None, |table| table.preempt(self.nexus, own, victim))
    }

    /// The same as `preempt`: taking the lock alone waits for the writes under way.
    fn preempt_and_abort(
        &self,
        own: ReservationKey,
        victim: ReservationKey,
    ) -> Result<(), LunError> {
        self.preempt(own, victim)
    }

    fn clear(&self, key: ReservationKey) -> Result<(), LunError> {
        let key = key.checked()?;
        self.change(Some(Effect::Unregistered), |table| table.clear(self.nexus, key))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), LunError> {
        check_range(&self.capabilities, offset, buffer.len())?;
        self.image()?.read_exact_at(buffer, offset).map_err(|error| self.io("reading", &error))
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), LunError> {
        check_range(&self.capabilities, offset, data.len())?;
        let image = self.image()?;
        self.guarded(|| {
            image.write_all_at(data, offset).map_err(|error| self.io("writing", &error))
        })
    }

    fn flush(&self) -> Result<(), LunError> {
        let image = self.image()?;
        self.guarded(|| image.sync_data().map_err(|error| self.io("flushing", &error)))
    }

    fn events(&self) -> Arc<EventQueue> {
        Arc::clone(&self.events)
    }
}

pub(crate) fn make_directory(path: &Path) -> Result<(), LunError> {
    match std::fs::create_dir(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(LunError::Io {
            what: format!(
                "{} is no directory, as a LUN of driver file is one; of a disk, or a file that serves as one, the \
                 driver is disk",
                path.display()
            ),
            kind: io::ErrorKind::NotADirectory,
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = path.parent().unwrap_or(Path::new("/"));
            let place = above.display();
            let remedy =
                format!("is what it lies on mounted? If so, make that directory: mkdir -p {place}");
            Err(LunError::missing(above, &remedy))
        }
        Err(error) => Err(LunError::io(path.display(), &error)),
    }
}

fn open_data(path: &Path, size_bytes: Option<u64>) -> Result<Option<File>, LunError> {
    let failed = |error: io::Error| LunError::io(path.display(), &error);
    if let Some(size) =
        size_bytes.filter(|size| *size == 0 || !size.is_multiple_of(BLOCK_BYTES.into()))
    {
        return Err(LunError::misuse(format!(
            "size {size} must be a multiple of {BLOCK_BYTES} bytes, and not 0"
        )));
    }
    let exists = path.try_exists().map_err(failed)?;
    if !exists && size_bytes.is_none() {
        return Ok(None);
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    match size_bytes {
        // Two nodes that make it at the same time make the same.
        Some(size) if length == 0 => {
            file.set_len(size).and_then(|()| file.sync_all()).map_err(failed)?;
            // Its name must outlive a power cut as its bytes do.
            let directory = path.parent().unwrap_or(Path::new("."));
            File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
        }
        Some(size) if length != size => {
            let text = format!(
                "{} has {length} bytes, not {size}; give no size to take it as it is",
                path.display()
            );
            return Err(LunError::misuse(text));
        }
        Some(_) | None => {}
    }
    Ok(Some(file))
}

/// Replaces a small file, so that a reader and a crash see the old bytes or the new ones, never a
/// mixture.
pub(crate) fn replace(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), LunError> {
    let fresh = directory.join(format!("{name}.fresh"));
    let failed = |error: io::Error| LunError::io(fresh.display(), &error);
    let mut file = File::create(&fresh).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    std::fs::rename(&fresh, directory.join(name)).map_err(failed)?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
}
