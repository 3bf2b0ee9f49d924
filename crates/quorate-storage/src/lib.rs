//! LUN drivers of quorate: the only unsafe code outside bindings/.

mod ask;
mod beat;
pub mod child;
mod device;
mod direct;
mod disk;
pub mod doctor;
mod error;
mod event;
mod file;
mod iscsi;
pub mod layout;
mod lun;
mod nbd;
mod owed;
mod part;
mod pill;
mod save_area;
mod scsi;
mod standing;
mod table;
#[cfg(feature = "testing")]
pub mod testing;
mod time;
pub mod watchdog;

pub use beat::{BEAT_BLOCK, Beat, FileBeats, read_beat, write_beat};
pub use device::{DeviceLun, DeviceOptions, DeviceState, devices};
pub use disk::{DISK_LEASES_BYTES, DISK_SLOTS, DiskLun, DiskOptions};
pub use error::LunError;
pub use event::{EventQueue, LunEvent};
pub use file::{FileLun, FileOptions};
pub use iscsi::{IscsiLun, IscsiOptions, iscsi_address, without_password};
pub use layout::Layout;
pub use lun::{
    Capabilities, Lun, Registrant, ReservationKey, ReservationType, Reservations, Strength,
};
pub use nbd::{NbdOptions, NbdServer, WriteHook, WriteRecord};
pub use part::PartLun;
pub use pill::{
    HostBoot, Listener, Listening, PILL_AREA_BYTES, PILL_NODES, PILL_REASON_MAX, Pill, PillArea,
};
pub use save_area::{SaveArea, SaveHeader, SaveId, SaveReader};
