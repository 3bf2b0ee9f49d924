//! LUNs looked at from outside a cluster: which there are, who holds one, what it can promise, whether it keeps that.
//!
//! Needs no running node and disturbs none: [`devices`] and [`Lun::show`] only read; [`Lun::doctor`] wants a LUN that
//! nobody uses, and [`Lun::clear`] one that nobody alive holds.
//!
//! ```no_run
//! # fn main() -> Result<(), quorate::Error> {
//! for device in quorate::lun::devices() {
//!     println!("{device}");
//! }
//! let lun = quorate::lun::Lun::at("/dev/disk/by-id/wwn-0x6001405")?;
//! println!("{}", lun.show()?);
//! println!("{}", lun.doctor()?);
//! # Ok(())
//! # }
//! ```

mod report;
mod room;

use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use quorate_core::id::{ClusterId, NodeId};
use quorate_storage::{
    Capabilities, DISK_SLOTS, DeviceLun, DeviceOptions, DiskLun, DiskOptions, FileBeats, FileLun,
    FileOptions, IscsiLun, IscsiOptions, Layout, Lun as Driver, LunError, ReservationKey, doctor,
    iscsi_address, read_beat, without_password,
};

pub use self::report::{Beat, Device, Examination, Key, Nexus, Report, Trial};
use crate::Error;
use crate::config::{Config, LunSettings};

/// Bound of each command on a LUN.
const TIMEOUT: Duration = Duration::from_secs(5);
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// For how long a beat may stand still, at least, before nobody alive is behind it; where the cluster's configuration
/// is known, so many of its intervals.
const BEAT_WAIT: Duration = Duration::from_secs(3);
const BEAT_INTERVALS: u32 = 5;
const BEAT_LOOK: Duration = Duration::from_millis(100);
/// How long a tool waits to see whether another is at work on the leases of a disk.
const TOOL_CLAIM: Duration = Duration::from_secs(1);
/// What stands before the path of a disk without reservations.
const DISK: &str = "disk:";
const INITIATOR: &str = "iqn.2026-01.io.quorate:admin";

/// The block devices of this machine that can be LUNs, by name. Asks the kernel alone.
#[must_use]
pub fn devices() -> Vec<Device> {
    quorate_storage::devices().into_iter().map(Device::from).collect()
}

/// A LUN, by where it is. Opened by each call anew.
#[derive(Clone, Debug)]
pub struct Lun {
    place: Place,
    initiator: String,
    names: Option<Config>,
    /// As its configuration has it; none: it is not known.
    save_area_mib: Option<u64>,
}

#[derive(Clone, Debug)]
enum Place {
    Device(PathBuf),
    /// Without reservations: leases of ours stand at its end.
    Disk(PathBuf),
    Iscsi(String),
    Directory(PathBuf),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Device(path) | Place::Disk(path) | Place::Directory(path) => {
                write!(f, "{}", path.display())
            }
            Place::Iscsi(url) => f.write_str(&without_password(url)),
        }
    }
}

impl Lun {
    /// The LUN at a place: a block device (`/dev/...`), an iSCSI address
    /// (`iscsi://[user%password@]host[:port]/iqn/lun`), a disk without reservations (`disk:/dev/...`, or `disk:` and the
    /// absolute path of a file that serves as one), or an absolute path of a directory that serves as one.
    ///
    /// # Errors
    /// [`Error::Misuse`] for what is none of these.
    pub fn at(place: &str) -> Result<Lun, Error> {
        let path = Path::new(place);
        let place = if place.starts_with("iscsi://") {
            Place::Iscsi(place.to_owned())
        } else if path.starts_with("/dev") {
            Place::Device(path.to_owned())
        } else if path.is_absolute()
            && ["data", "reservations"].iter().any(|it| path.join(it).is_file())
        {
            Place::Directory(path.to_owned())
        } else if let Some(path) =
            place.strip_prefix(DISK).map(Path::new).filter(|it| it.is_absolute())
        {
            Place::Disk(path.to_owned())
        } else {
            return Err(Error::Misuse(format!(
                "{place} is no LUN: give a device (/dev/...), an address (iscsi://...), a disk without reservations \
                 (disk:/dev/..., disk:/srv/image), the absolute path of a directory that serves as one (with data or \
                 reservations in it), or, with a configuration, the name of one of its LUNs"
            )));
        };
        Ok(Lun { place, initiator: INITIATOR.to_owned(), names: None, save_area_mib: None })
    }

    /// A LUN of a configuration, by its name.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn of(config: &Config, name: &str) -> Result<Lun, Error> {
        let luns = config.cluster().luns();
        let lun = luns.iter().find(|lun| lun.name == name).ok_or_else(|| Error::Unknown {
            kind: "lun",
            name: name.to_owned(),
            known: luns.iter().map(|lun| lun.name.as_str()).collect::<Vec<_>>().join(", "),
        })?;
        let settings = serde_json::from_str(&lun.settings).unwrap_or_default();
        let settings = LunSettings::read(&lun.driver, &settings).map_err(Error::Misuse)?;
        let (place, save_area_mib) = match settings {
            LunSettings::Iscsi(iscsi) => (Place::Iscsi(iscsi.url), Some(iscsi.save_area_mib)),
            LunSettings::Device(device) => (Place::Device(device.path), Some(device.save_area_mib)),
            LunSettings::Disk(disk) => (Place::Disk(disk.path), Some(disk.save_area_mib)),
            LunSettings::File(file) => (Place::Directory(file.path), None),
        };
        let (initiator, names) = (INITIATOR.to_owned(), Some(config.clone()));
        Ok(Lun { place, initiator, names, save_area_mib })
    }

    /// The LUN that a person means: one at a place, as [`Lun::at`] takes it, or one of a configuration by its name.
    ///
    /// # Errors
    /// As [`Lun::at`] and [`Lun::of`].
    pub fn named(words: &str, config: Option<&Config>) -> Result<Lun, Error> {
        let is_place = words.starts_with('/') || words.starts_with(DISK) || words.contains("://");
        match config {
            Some(config) if is_place => Ok(Lun::at(words)?.named_by(config)),
            Some(config) => Lun::of(config, words),
            None => Lun::at(words),
        }
    }

    /// Names nodes in what is shown, where the keys are of this configuration's cluster.
    #[must_use]
    pub fn named_by(mut self, config: &Config) -> Lun {
        self.names = Some(config.clone());
        self
    }

    /// Our name at an iSCSI target, where that lets in only those that it knows.
    #[must_use]
    pub fn initiator(mut self, name: &str) -> Lun {
        name.clone_into(&mut self.initiator);
        self
    }

    /// What the LUN is, who is registered there and who holds it, and whose heartbeat stands on it. Only reads.
    ///
    /// # Errors
    /// [`Error::Lun`].
    pub fn show(&self) -> Result<Report, Error> {
        let driver = self.open(0).map_err(|error| self.failed(&error))?;
        let report = report::of(self, &*driver).map_err(|error| self.failed(&error))?;
        Ok(report)
    }

    /// Takes every registration and the reservation away; gives how many there were. Meant for what a cluster that is
    /// no more has left behind.
    ///
    /// Waits to see whether somebody beats on it: 3 s, or 5 intervals of a configuration that is known.
    ///
    /// # Errors
    /// [`Error::Misuse`] when a node that is alive uses it: nothing was changed. [`Error::Lun`].
    pub fn clear(&self) -> Result<usize, Error> {
        let failed = |error: LunError| self.failed(&error);
        let driver = self.open(0).map_err(failed)?;
        let found = driver.read_keys().map_err(failed)?;
        if found.keys.is_empty() {
            return Ok(0);
        }
        let is_of_part =
            |key: &ReservationKey| quorate_core::id::ReservationKey(key.0).part().is_some();
        if found.keys.iter().any(is_of_part) && self.parts().is_empty() {
            return Err(Error::Misuse(format!(
                "{}: owners of parts of it are registered, and where they beat stands in their configuration: name it",
                self.place
            )));
        }
        if let Some(beat) = self.live_beat(&*driver)? {
            let who = self.node_name(None, beat.node).unwrap_or(format!("node {}", beat.node));
            return Err(Error::Misuse(format!(
                "{}: {who} is alive and beats on it: nothing was changed; stop its group, or that node, first",
                self.place
            )));
        }
        if driver.read_keys().map_err(failed)? != found {
            return Err(Error::Misuse(format!(
                "{}: its registrations have changed meanwhile: somebody uses it; nothing was changed",
                self.place
            )));
        }
        let [key, _] = fresh_keys()?;
        driver.register(key).map_err(failed)?;
        driver.clear(key).map_err(failed)?;
        Ok(found.keys.len())
    }

    /// Makes leases at the end of a disk without reservations, once before its first use. False: it has some, and they
    /// stay as they are. `over_other_bytes` writes over what stands in its last 2 MiB, but never over leases under
    /// which somebody is registered.
    ///
    /// # Errors
    /// [`Error::Misuse`] for another kind of LUN, when something else stands there, and when somebody is registered:
    /// nothing was changed.
    /// [`Error::Lun`].
    pub fn init(&self, over_other_bytes: bool) -> Result<bool, Error> {
        let Place::Disk(path) = &self.place else {
            return Err(Error::Misuse(format!(
                "{}: only a disk without reservations (disk:/dev/...) has leases to be made",
                self.place
            )));
        };
        let _alone = self.alone()?;
        DiskLun::make_leases(path, over_other_bytes).map_err(|error| match error {
            LunError::Misuse { what } => Error::Misuse(what),
            error => self.failed(&error),
        })
    }

    /// Tries it out, as a host whose failover depends on it would: register, reserve, write, be preempted, be refused.
    /// Leaves it as it was.
    ///
    /// # Errors
    /// [`Error::Misuse`] when somebody is registered there: nothing was changed. [`Error::Lun`].
    pub fn doctor(&self) -> Result<Examination, Error> {
        let failed = |error: LunError| match error {
            LunError::Misuse { what } => Error::Misuse(format!("{}: {what}", self.place)),
            error => self.failed(&error),
        };
        let _alone = self.alone()?;
        let initiators = self.initiators().map_err(failed)?;
        let room = room::trial(self, self.open(0).map_err(failed)?.capabilities().size_bytes);
        let open = |initiator: usize| self.open_as(initiator, initiators);
        let findings = doctor::examine(&open, initiators, fresh_keys()?).map_err(failed)?;
        Ok(Examination {
            lun: self.place.to_string(),
            trials: room.into_iter().chain(findings.into_iter().map(Trial::from)).collect(),
        })
    }

    /// Keeps this machine's own users off a block device for as long as what it gives lives, and sees whether it holds
    /// anybody's data.
    fn alone(&self) -> Result<Option<std::fs::File>, Error> {
        let (Place::Device(path) | Place::Disk(path)) = &self.place else { return Ok(None) };
        if let Place::Disk(path) = &self.place {
            DiskLun::activate(path).map_err(|error| self.failed(&error))?;
        }
        let in_use =
            |why: &str| Error::Misuse(format!("{}: {why}: nothing was tried", path.display()));
        let opened = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::EXCL.bits() as i32)
            .open(path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                return Err(in_use("it is mounted, or a part of another device"));
            }
            // Its driver says what to do.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(Error::Lun { lun: path.display().to_string(), why: error.to_string() });
            }
        };
        let mut front = [0; 8192];
        if file.read_exact_at(&mut front, 0).is_ok()
            && [512, 4096].iter().any(|at| front[*at..].starts_with(b"EFI PART"))
        {
            return Err(in_use(
                "it has a partition table, whose copy stands where a block would be written",
            ));
        }
        Ok(Some(file))
    }

    /// As how many initiators it can be reached from here: each path of a multipath device is one.
    fn initiators(&self) -> Result<usize, LunError> {
        match &self.place {
            Place::Device(path) => Ok(self.open_device(path)?.paths().len()),
            Place::Iscsi(_) | Place::Disk(_) | Place::Directory(_) => Ok(2),
        }
    }

    fn open_as(&self, initiator: usize, initiators: usize) -> Result<Box<dyn Driver>, LunError> {
        match &self.place {
            Place::Device(path) if initiators > 1 => {
                let paths = self.open_device(path)?.paths();
                let why = || LunError::PathLost { why: "a path has gone".to_owned() };
                let path = paths.get(initiator).ok_or_else(why)?;
                Ok(Box::new(self.open_device(&Path::new("/dev").join(path))?))
            }
            _ => self.open(initiator),
        }
    }

    fn open(&self, initiator: usize) -> Result<Box<dyn Driver>, LunError> {
        match &self.place {
            Place::Device(path) => Ok(Box::new(self.open_device(path)?)),
            Place::Iscsi(url) => Ok(Box::new(IscsiLun::open(IscsiOptions {
                url: url.clone(),
                initiator: self.initiator.clone(),
                nexus: format!("admin-{initiator}"),
                timeout: TIMEOUT,
            })?)),
            Place::Disk(path) => Ok(Box::new(DiskLun::open(DiskOptions {
                path: path.clone(),
                slot: DISK_SLOTS + 1 + u8::try_from(initiator).unwrap_or(0),
                owner: 0,
                late_write: TOOL_CLAIM,
                timeout: TIMEOUT,
                watch_interval: WATCH_INTERVAL,
            })?)),
            Place::Directory(path) => Ok(Box::new(FileLun::open(FileOptions {
                directory: path.clone(),
                size_bytes: None,
                timeout: TIMEOUT,
            })?)),
        }
    }

    fn open_device(&self, path: &Path) -> Result<DeviceLun, LunError> {
        DeviceLun::open(DeviceOptions {
            device: path.to_owned(),
            timeout: TIMEOUT,
            watch_interval: WATCH_INTERVAL,
        })
    }

    /// The newest heartbeats that stand on it.
    fn beats(&self, driver: &dyn Driver) -> Result<Vec<quorate_storage::Beat>, LunError> {
        let Place::Directory(path) = &self.place else {
            let whole = driver.capabilities();
            let mut beats = Vec::new();
            for (offset, size_bytes) in self.parts().into_iter().chain([(0, whole.size_bytes)]) {
                // One that is too small for us has none.
                let Ok(layout) = Layout::new(&Capabilities { size_bytes, ..whole }, 0) else {
                    continue;
                };
                // What stands there may be anybody's.
                match read_beat(driver, offset + layout.beat_offset(0)?) {
                    Ok(beat) => beats.extend(beat),
                    Err(LunError::Corrupt { .. } | LunError::Misuse { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            return Ok(beats);
        };
        if !path.join("beats").is_dir() {
            return Ok(Vec::new());
        }
        let beats = FileBeats::open(path)?;
        let names = std::fs::read_dir(path.join("beats")).into_iter().flatten().flatten();
        let number = |name: std::ffi::OsString| name.to_str()?.strip_prefix("node-")?.parse().ok();
        let mut nodes: Vec<u64> = names.filter_map(|entry| number(entry.file_name())).collect();
        nodes.sort_unstable();
        nodes.into_iter().filter_map(|node| beats.read(node).transpose()).collect()
    }

    /// Where the parts of it are that the known configuration has, and how long they are, in bytes.
    fn parts(&self) -> Vec<(u64, u64)> {
        let (Place::Iscsi(url), Some(config)) = (&self.place, &self.names) else {
            return Vec::new();
        };
        let address = iscsi_address(url);
        let part = |lun: &quorate_core::config::LunConfig| {
            let settings = serde_json::from_str(&lun.settings).ok()?;
            let LunSettings::Iscsi(iscsi) = LunSettings::read(&lun.driver, &settings).ok()? else {
                return None;
            };
            let part = iscsi.part.filter(|_| iscsi_address(&iscsi.url) == address)?;
            Some((part.offset_mib << 20, part.size_mib << 20))
        };
        config.cluster().luns().iter().filter_map(part).collect()
    }

    /// A heartbeat that goes on.
    fn live_beat(&self, driver: &dyn Driver) -> Result<Option<quorate_storage::Beat>, Error> {
        let look = || self.beats(driver).map_err(|error| self.failed(&error));
        let before = look()?;
        let interval = self.names.as_ref().map(|config| config.cluster().timing().interval);
        let wait = interval.map_or(BEAT_WAIT, |interval| BEAT_WAIT.max(interval * BEAT_INTERVALS));
        let end = Instant::now() + wait;
        while Instant::now() < end {
            std::thread::sleep(BEAT_LOOK);
            if let Some(beat) = look()?.into_iter().find(|beat| !before.contains(beat)) {
                return Ok(Some(beat));
            }
        }
        Ok(None)
    }

    /// The name of a node, where it is of the cluster whose names are known.
    fn node_name(&self, key: Option<ReservationKey>, node: u64) -> Option<String> {
        let config = self.names.as_ref()?;
        let id: ClusterId = config.cluster().id();
        let of_cluster = key.is_none_or(|key| quorate_core::id::ReservationKey(key.0).is_of(id));
        let node = NodeId(u16::try_from(node).ok()?);
        let known = config.cluster().nodes().iter().find(|one| one.id == node)?;
        of_cluster.then(|| known.name.clone())
    }

    fn failed(&self, error: &LunError) -> Error {
        Error::Lun { lun: self.place.to_string(), why: error.to_string() }
    }
}

/// Two keys that no node of any cluster has.
fn fresh_keys() -> Result<[ReservationKey; 2], Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| {
        let source = std::io::Error::other(error.to_string());
        Error::System { doing: "get random numbers".to_owned(), source }
    })?;
    // Node 65535 is none.
    let key = u64::from_ne_bytes(bytes) | 0xffff_ffff << 32;
    Ok([ReservationKey(key & !1), ReservationKey(key | 1)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> (tempfile::TempDir, Lun) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("data"), vec![7; 1 << 20]).unwrap();
        let lun = Lun::at(directory.path().to_str().unwrap()).unwrap();
        (directory, lun)
    }

    #[test]
    fn what_is_no_lun_is_refused_with_what_may_be_given() {
        for place in ["", "disk1", "sda", "/etc", "/etc/passwd", "http://a/b"] {
            let text = Lun::at(place).unwrap_err().to_string();
            assert!(text.contains("iscsi://") && text.contains("/dev/"), "{text}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let lun = Lun::at("iscsi://me%secret@127.0.0.1:1/iqn.2026-01.a:b/1").unwrap();
        let text = lun.show().unwrap_err().to_string();
        assert!(text.contains("me@127.0.0.1") && !text.contains("secret"), "{text}");
        let lun = Lun::at("iscsi://me:secret@127.0.0.1:1/iqn.2026-01.a:b/1").unwrap();
        assert!(!lun.show().unwrap_err().to_string().contains("secret"));
    }

    #[test]
    fn what_is_to_be_done_about_a_lun_that_is_not_there_is_said_by_every_look_at_it() {
        let home = tempfile::tempdir().unwrap();
        let file = format!("disk:{}", home.path().join("image").display());
        for (place, says) in [
            (file.as_str(), "quorate lun init"),
            ("disk:/dev/disk/by-id/of-nobody", "is it attached to this host"),
            ("/dev/disk/by-id/of-nobody", "is it attached to this host"),
        ] {
            let lun = Lun::at(place).unwrap();
            let found = [lun.show().map(drop), lun.doctor().map(drop), lun.clear().map(drop)];
            for error in found {
                let text = error.unwrap_err().to_string();
                assert!(text.contains("there is no ") && text.contains(says), "{place}: {text}");
            }
        }
        let text = Lun::at(&file).unwrap().init(false).unwrap_err().to_string();
        assert!(text.contains("truncate -s 20G"), "{text}");
    }

    #[test]
    fn an_examined_lun_is_as_it_was() {
        let (directory, lun) = directory();
        let found = lun.doctor().unwrap();
        assert!(found.is_sound(), "{found}");
        let refused = found.trial("a preempted owner is refused").unwrap();
        assert_eq!(refused.verdict, "good");
        assert_eq!(std::fs::read(directory.path().join("data")).unwrap(), vec![7; 1 << 20]);
        assert_eq!(lun.show().unwrap().keys, []);
    }

    #[test]
    fn a_lun_that_somebody_holds_is_neither_examined_nor_cleared_while_it_is_alive() {
        let (directory, lun) = directory();
        let owner = lun.open(0).unwrap();
        let key = ReservationKey(0x1234_0001_0000_0007);
        owner.register(key).unwrap();
        owner.reserve(key).unwrap();
        let shown = lun.show().unwrap();
        assert_eq!((shown.keys[0].node, shown.keys[0].epoch), (Some(1), Some(7)));
        assert_eq!(shown.holder.as_deref(), Some("0x1234000100000007"));
        assert!(matches!(lun.doctor(), Err(Error::Misuse(_))));
        let beats = FileBeats::open(directory.path()).unwrap();
        let beat = |counter| quorate_storage::Beat { node: 1, incarnation: 1, counter };
        beats.write(&beat(1)).unwrap();
        let stop = &std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut counter = 1;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    counter += 1;
                    beats.write(&beat(counter)).unwrap();
                    std::thread::yield_now();
                }
            });
            let refused = lun.clear();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            let text = refused.unwrap_err().to_string();
            assert!(text.contains("node 1 is alive"), "{text}");
        });
        assert_eq!(lun.clear().unwrap(), 1);
        assert_eq!(lun.show().unwrap().keys, []);
    }
}
