//! The settings that drivers take inline, read and checked with the configuration.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use quorate_storage::DISK_SLOTS;

use super::policies::Seconds;
use crate::drivers::DriverSettings;

/// The settings of a LUN, by driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LunSettings {
    Iscsi(IscsiSettings),
    Device(DeviceSettings),
    Disk(DiskSettings),
    File(FileSettings),
}

/// `driver = "iscsi"`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IscsiSettings {
    /// `iscsi://[user%password@]host[:port]/iqn/lun`.
    pub(crate) url: String,
    /// Our initiator name; `{node}` stands for the node's name.
    #[serde(default = "initiator")]
    pub(crate) initiator: String,
    /// How much of the LUN's end holds saved guests and beats.
    #[serde(default = "save_area_mib")]
    pub(crate) save_area_mib: u64,
    /// For how long its path may be away before that counts as its loss; one `io_bound_ms`, if left out.
    #[serde(default)]
    pub(crate) path_loss_wait_s: Option<Seconds>,
    /// The part of the LUN that this is, where several guests share it.
    pub(crate) part: Option<Part>,
}

/// A range of a LUN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    /// Where it begins.
    pub(crate) offset_mib: u64,
    /// How long it is, with its own save area.
    pub(crate) size_mib: u64,
}

impl Part {
    /// The first MiB after it.
    fn end_mib(self) -> Option<u64> {
        self.offset_mib.checked_add(self.size_mib).filter(|end| *end < 1 << 44)
    }

    pub(crate) fn overlaps(self, other: Part) -> bool {
        let end = |part: Part| part.end_mib().unwrap_or(u64::MAX);
        self.offset_mib < end(other) && other.offset_mib < end(self)
    }
}

/// `driver = "device"`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceSettings {
    /// The whole block device, by a name that is the same on all nodes: `/dev/disk/by-id/wwn-0x...`.
    pub(crate) path: PathBuf,
    /// How much of the LUN's end holds saved guests and beats.
    #[serde(default = "save_area_mib")]
    pub(crate) save_area_mib: u64,
    /// For how long its last path may be away before that counts as its loss; one `io_bound_ms`, if left out.
    #[serde(default)]
    pub(crate) path_loss_wait_s: Option<Seconds>,
}

/// `driver = "disk"`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiskSettings {
    /// A block device or a file that all nodes reach by the same name.
    pub(crate) path: PathBuf,
    /// How much of it, before its leases, holds saved guests and beats.
    #[serde(default = "save_area_mib")]
    pub(crate) save_area_mib: u64,
    /// For how long it may not answer before that counts as its loss; one `io_bound_ms`, if left out.
    #[serde(default)]
    pub(crate) path_loss_wait_s: Option<Seconds>,
    /// How long a write that a host has sent may take to land, if that host is dead; one `io_bound_ms`, if left out.
    late_write_ms: Option<u64>,
}

impl DiskSettings {
    /// How long a preempt waits for what its victim's host has sent.
    pub(crate) fn late_write(&self, io_bound: Duration) -> Duration {
        self.late_write_ms.map_or(io_bound, Duration::from_millis)
    }
}

/// `driver = "file"`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileSettings {
    /// A directory on shared storage.
    pub(crate) path: PathBuf,
    /// The size of the image in it; none: the directory itself is what resources get.
    pub(crate) size_mib: Option<u64>,
}

/// The settings of a resource, by driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ResourceSettings {
    BuiltIn(DriverSettings),
    Host(HostSettings),
}

/// `driver = "host"`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostSettings {
    /// Handed to the host with every request.
    #[serde(default)]
    pub(crate) settings: serde_json::Map<String, Value>,
}

impl LunSettings {
    /// Reads and checks the settings of `driver`.
    pub(crate) fn read(driver: &str, settings: &Value) -> Result<LunSettings, String> {
        match driver {
            "iscsi" => {
                let settings: IscsiSettings = typed(settings)?;
                if !settings.url.starts_with("iscsi://") {
                    return Err("url must begin with iscsi://".to_owned());
                }
                let fits = |part: &Part| {
                    part.end_mib().is_some() && part.size_mib > settings.save_area_mib
                };
                if let Some(Part { offset_mib, size_mib }) =
                    settings.part.filter(|part| !fits(part))
                {
                    return Err(format!(
                        "part of {size_mib} MiB from {offset_mib} must be longer than its save_area_mib {}, and end \
                         before 2^44 MiB",
                        settings.save_area_mib
                    ));
                }
                Ok(LunSettings::Iscsi(settings))
            }
            "device" => {
                let settings: DeviceSettings = typed(settings)?;
                if !settings.path.starts_with("/dev") {
                    let path = settings.path.display();
                    return Err(format!(
                        "path {path} must begin with /dev/, as /dev/disk/by-id/..."
                    ));
                }
                Ok(LunSettings::Device(settings))
            }
            "disk" => {
                let settings: DiskSettings = typed(settings)?;
                if !settings.path.is_absolute() {
                    let path = settings.path.display();
                    return Err(format!("path {path} must begin with /: all nodes share it"));
                }
                Ok(LunSettings::Disk(settings))
            }
            "file" => {
                let settings: FileSettings = typed(settings)?;
                if !settings.path.is_absolute() {
                    let path = settings.path.display();
                    return Err(format!("path {path} must begin with /: all nodes share it"));
                }
                if settings.size_mib == Some(0) {
                    return Err("size_mib 0 must be at least 1, or left out".to_owned());
                }
                Ok(LunSettings::File(settings))
            }
            other => Err(format!(
                "driver {other:?} is not known; there are iscsi, device, disk and file"
            )),
        }
    }

    /// Refuses what the rest of the configuration does not allow: its timing, and the highest number of a node.
    pub(crate) fn check(&self, io_bound: Duration, nodes_last: u16) -> Result<(), String> {
        let LunSettings::Disk(disk) = self else { return Ok(()) };
        if disk.late_write(io_bound) > io_bound {
            return Err(format!(
                "late_write_ms {} must be at most io_bound_ms {}: no I/O takes longer",
                disk.late_write(io_bound).as_millis(),
                io_bound.as_millis()
            ));
        }
        if nodes_last > u16::from(DISK_SLOTS) {
            return Err(format!(
                "driver disk has lease slots for the nodes 1 to {DISK_SLOTS}, and there is node {nodes_last}"
            ));
        }
        Ok(())
    }

    /// The part of a LUN that this is, if it is one.
    pub(crate) fn part(&self) -> Option<Part> {
        match self {
            LunSettings::Iscsi(iscsi) => iscsi.part,
            LunSettings::Device(_) | LunSettings::Disk(_) | LunSettings::File(_) => None,
        }
    }

    /// The name of a node at the target; empty where there is none.
    pub(crate) fn initiator(&self, node: &str) -> String {
        match self {
            LunSettings::Iscsi(iscsi) => iscsi.initiator.replace("{node}", node),
            LunSettings::Device(_) | LunSettings::Disk(_) | LunSettings::File(_) => String::new(),
        }
    }

    /// By what two are known to be one LUN, or parts of one; `None`: by nothing that can be seen here.
    pub(crate) fn address(&self) -> Option<String> {
        match self {
            LunSettings::Iscsi(iscsi) => {
                let (target, lun) = quorate_storage::iscsi_address(&iscsi.url)?;
                Some(format!("{target}/{lun}"))
            }
            LunSettings::Device(device) => Some(device.path.display().to_string()),
            LunSettings::Disk(disk) => Some(disk.path.display().to_string()),
            LunSettings::File(_) => None,
        }
    }

    /// For how long its path may be away before that counts as its loss, none: for ever. If nothing is said, for as
    /// long as any request may take.
    pub(crate) fn path_loss_wait(&self, io_bound: Duration) -> Option<Duration> {
        let said = match self {
            LunSettings::Iscsi(iscsi) => iscsi.path_loss_wait_s,
            LunSettings::Device(device) => device.path_loss_wait_s,
            LunSettings::Disk(disk) => disk.path_loss_wait_s,
            LunSettings::File(_) => None,
        };
        said.map_or(Some(io_bound), Seconds::length)
    }

    /// Whether the device itself refuses a stale writer.
    pub(crate) fn is_enforced(&self) -> bool {
        match self {
            LunSettings::Iscsi(_) | LunSettings::Device(_) => true,
            LunSettings::Disk(_) | LunSettings::File(_) => false,
        }
    }
}

impl ResourceSettings {
    /// Reads and checks the settings of `driver`.
    pub(crate) fn read(driver: &str, settings: &Value) -> Result<ResourceSettings, String> {
        if driver == "host" {
            return typed(settings).map(ResourceSettings::Host);
        }
        let settings = DriverSettings::from_json(driver, settings.clone());
        settings.map(ResourceSettings::BuiltIn).map_err(|error| match driver {
            "process" | "qemu" => error.to_string(),
            other => format!("driver {other:?} is not known; there are process, qemu and host"),
        })
    }
}

fn typed<T: DeserializeOwned>(settings: &Value) -> Result<T, String> {
    T::deserialize(settings).map_err(|error| error.to_string())
}

fn initiator() -> String {
    "iqn.2026-01.io.quorate:{node}".to_owned()
}

/// What a LUN has if nothing is said.
pub(crate) fn save_area_mib() -> u64 {
    64
}
