//! Opening a LUN by its settings: one handle, one nexus, for everything this node does with it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use quorate_storage::{
    DeviceLun, DeviceOptions, DiskLun, DiskOptions, FileBeats, FileLun, FileOptions, IscsiLun,
    IscsiOptions, Layout, LunError, PartLun,
};

use super::{Shared, SharedLun, watch};
use crate::config::LunSettings;

const MIB: u64 = 1 << 20;

/// How often a device is asked whether this host is still registered on every path.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// An open LUN.
#[derive(Clone)]
pub(super) struct Handle {
    pub(super) lun: SharedLun,
    pub(super) place: Place,
    /// Ends with the last copy of the handle.
    _watch: Arc<watch::Watch>,
}

/// Where beats and saves go.
#[derive(Clone)]
pub(super) enum Place {
    /// Into the tail of the device.
    Tail(Layout),
    /// Into files beside the image.
    Directory(FileBeats),
}

/// The open handle, opened first if need be. Several threads may ask; one opens.
///
/// # Errors
/// The LUN's own; it is tried again with the next call.
pub(super) fn handle(shared: &Arc<Shared>) -> Result<Handle, LunError> {
    let mut slot = shared.handle.lock();
    if let Some(handle) = &*slot {
        return Ok(handle.clone());
    }
    let opened = open(shared);
    shared.say_path(opened.is_ok());
    let (lun, place) = opened?;
    let watch = Arc::new(watch::Watch::start(shared, &lun)?);
    let handle = Handle { lun, place, _watch: watch };
    *slot = Some(handle.clone());
    Ok(handle)
}

fn open(shared: &Shared) -> Result<(SharedLun, Place), LunError> {
    let spec = &shared.spec;
    match &spec.settings {
        LunSettings::Iscsi(settings) => {
            let lun = IscsiLun::open(IscsiOptions {
                url: settings.url.clone(),
                initiator: spec.initiator.clone(),
                nexus: spec.nexus.clone(),
                timeout: spec.io_bound,
            })?;
            let lun: SharedLun = match settings.part {
                Some(part) => {
                    let (offset, length) = (part.offset_mib * MIB, part.size_mib * MIB);
                    Arc::new(PartLun::new(Box::new(lun), offset, length)?)
                }
                None => Arc::new(lun),
            };
            let layout = Layout::new(&lun.capabilities(), settings.save_area_mib * MIB)?;
            Ok((lun, Place::Tail(layout)))
        }
        LunSettings::Device(settings) => {
            let lun = DeviceLun::open(DeviceOptions {
                device: settings.path.clone(),
                timeout: spec.io_bound,
                watch_interval: WATCH_INTERVAL,
            })?;
            on_kernels_device(shared, Arc::new(lun), settings.save_area_mib)
        }
        LunSettings::Disk(settings) => {
            let slot = u8::try_from(spec.node.0).unwrap_or(0);
            let lun = DiskLun::open(DiskOptions {
                path: settings.path.clone(),
                slot,
                owner: spec.owner,
                late_write: settings.late_write(spec.io_bound),
                timeout: spec.io_bound,
                watch_interval: WATCH_INTERVAL,
            })?;
            on_kernels_device(shared, Arc::new(lun), settings.save_area_mib)
        }
        LunSettings::File(settings) => {
            let lun = FileLun::open(FileOptions {
                directory: settings.path.clone(),
                size_bytes: settings.size_mib.map(|size| size * MIB),
                timeout: spec.io_bound,
            })?;
            let beats = FileBeats::open(&settings.path)?;
            Ok((Arc::new(lun), Place::Directory(beats)))
        }
    }
}

/// What the kernel has, and guests open themselves: they are told how much of it is theirs.
fn on_kernels_device(
    shared: &Shared,
    lun: SharedLun,
    save_area_mib: u64,
) -> Result<(SharedLun, Place), LunError> {
    let layout = Layout::new(&lun.capabilities(), save_area_mib * MIB)?;
    shared.guest_bytes.store(layout.guest_bytes, Ordering::Release);
    Ok((lun, Place::Tail(layout)))
}
