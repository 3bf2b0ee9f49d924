//! QEMU's command line, from settings and start context.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::settings::{DiskInterface, Heartbeat, QemuSettings};
use crate::drivers::{Disk, DriverError, Lun, StartContext};

/// The longest path of a Unix socket, in bytes, with the name of a socket of ours to come.
const SOCKET_DIRECTORY_BYTES_MAX: usize = 90;

/// IDE disks of the machine types with the classic controller.
const IDE_DISKS_MAX: usize = 4;

/// The files of a resource's work directory.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) monitor: PathBuf,
    pub(super) serial: PathBuf,
    pub(super) serial_log: PathBuf,
    pub(super) serial_stamped: PathBuf,
    pub(super) agent: PathBuf,
    pub(super) state: PathBuf,
    pub(super) log: PathBuf,
    pub(super) process_id: PathBuf,
}

impl Files {
    pub(super) fn in_directory(directory: &Path) -> Result<Self, DriverError> {
        let length = directory.as_os_str().len();
        if length > SOCKET_DIRECTORY_BYTES_MAX {
            let reason = format!(
                "work directory {} has {length} bytes; sockets in it need at most \
                 {SOCKET_DIRECTORY_BYTES_MAX}",
                directory.display()
            );
            return Err(DriverError::Context { reason });
        }
        Ok(Self {
            monitor: directory.join("qmp.sock"),
            serial: directory.join("serial.sock"),
            serial_log: directory.join("serial.log"),
            serial_stamped: directory.join("serial.stamped"),
            agent: directory.join("agent.sock"),
            state: directory.join("state.sock"),
            log: directory.join("qemu.log"),
            process_id: directory.join("qemu.pid"),
        })
    }
}

/// Whether QEMU boots the guest or waits for a saved one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    Boot,
    Load,
}

/// All arguments. In every case the guest's processors stand still until they are let go.
pub(super) fn arguments(
    settings: &QemuSettings,
    accelerator: &'static str,
    context: &StartContext,
    files: &Files,
    beginning: Beginning,
) -> Result<Vec<OsString>, DriverError> {
    let mut list = List::default();
    list.add("-nodefaults").add("-no-user-config").pair("-display", "none");
    list.pair(
        "-name",
        format!("guest={}", escape(&format!("{}.{}", context.group, context.resource))),
    );
    // Without the description for debuggers a saved state is half as long, and every cut is seen.
    let machine = format!("{},suppress-vmdesc=on", settings.machine);
    list.pair("-machine", machine).pair("-accel", accelerator);
    if let Some(cpu) = &settings.cpu {
        list.pair("-cpu", cpu);
    }
    list.pair("-m", format!("size={}M", settings.memory_mib));
    list.pair("-smp", settings.cpus.to_string());
    if let Some(firmware) = &settings.firmware {
        list.pair("-bios", firmware);
    }
    // The host decides what follows a panic or an expired watchdog; QEMU only tells.
    list.add("-S").pair("-action", "panic=pause,watchdog=none");
    if beginning == Beginning::Load {
        list.pair("-incoming", "defer");
    }
    list.pair("-pidfile", &files.process_id);

    let serial = socket("quorate-serial", &files.serial);
    let log = joined(",logappend=on,logfile=", &files.serial_log);
    list.pair("-chardev", concat(serial, log)).pair("-serial", "chardev:quorate-serial");
    if settings.heartbeat == Heartbeat::GuestAgent {
        list.pair("-chardev", socket("quorate-agent", &files.agent));
        list.pair("-device", "virtio-serial-pci,id=quorate-vserial");
        let port = "virtserialport,bus=quorate-vserial.0,chardev=quorate-agent,\
                    name=org.qemu.guest_agent.0";
        list.pair("-device", port);
    }
    list.pair("-chardev", socket("quorate-qmp", &files.monitor));
    list.pair("-mon", "chardev=quorate-qmp,mode=control");

    add_disks(&mut list, settings.disk, &context.luns)?;
    list.0.extend(settings.args.iter().map(OsString::from));
    Ok(list.0)
}

fn add_disks(list: &mut List, interface: DiskInterface, luns: &[Lun]) -> Result<(), DriverError> {
    if interface == DiskInterface::Ide && luns.len() > IDE_DISKS_MAX {
        let reason = format!("{} luns; disk = \"ide\" takes {IDE_DISKS_MAX}", luns.len());
        return Err(DriverError::Context { reason });
    }
    for (index, lun) in luns.iter().enumerate() {
        let node = format!("quorate-lun{index}");
        list.pair("-blockdev", block_device(&node, lun)?.to_string());
        let place = match interface {
            DiskInterface::Ide => format!("ide-hd,bus=ide.{},unit={}", index / 2, index % 2),
            // What a target may not guard with its reservation is not offered to the guest.
            DiskInterface::Virtio => "virtio-blk-pci,discard=off,write-zeroes=off".to_owned(),
        };
        list.pair(
            "-device",
            format!("{place},id=disk{index},drive={node},werror=stop,rerror=stop"),
        );
    }
    Ok(())
}

fn block_device(node: &str, lun: &Lun) -> Result<serde_json::Value, DriverError> {
    let text = |path: &Path| {
        path.to_str().map(str::to_owned).ok_or_else(|| DriverError::Context {
            reason: format!("lun {}: path {} is not UTF-8", lun.name, path.display()),
        })
    };
    match &lun.disk {
        Disk::Nbd { socket, export } => Ok(json!({
            "driver": "nbd", "node-name": node, "export": export,
            "server": { "type": "unix", "path": text(socket)? },
            "discard": "ignore", "detect-zeroes": "off"
        })),
        Disk::Device { bytes: 0, .. } => {
            Err(DriverError::Context { reason: format!("lun {} is not open", lun.name) })
        }
        // The rest of the device is not the guest's to see.
        Disk::Device { path, bytes } => Ok(json!({
            "driver": "raw", "node-name": node, "size": bytes,
            "discard": "ignore", "detect-zeroes": "off",
            "file": {
                "driver": protocol(path)?, "filename": text(path)?,
                "cache": { "direct": true, "no-flush": false }
            }
        })),
        Disk::File(path) => Ok(json!({
            "driver": protocol(path)?, "node-name": node, "filename": text(path)?,
            "discard": "ignore", "detect-zeroes": "off"
        })),
    }
}

/// QEMU's name for what is at a path.
fn protocol(path: &Path) -> Result<&'static str, DriverError> {
    let found = std::fs::metadata(path).map_err(|error| DriverError::File {
        what: "lun",
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(if found.file_type().is_block_device() { "host_device" } else { "file" })
}

/// A character device that connects to a socket of ours.
fn socket(id: &str, path: &Path) -> OsString {
    joined(&format!("socket,id={id},path="), path)
}

/// `before`, then a path in QEMU's way: a comma in it is written twice.
fn joined(before: &str, path: &Path) -> OsString {
    let mut bytes = before.as_bytes().to_vec();
    for byte in path.as_os_str().as_bytes() {
        bytes.push(*byte);
        if *byte == b',' {
            bytes.push(b',');
        }
    }
    OsString::from_vec(bytes)
}

fn concat(mut first: OsString, second: OsString) -> OsString {
    first.push(second);
    first
}

fn escape(text: &str) -> String {
    text.replace(',', ",,")
}

#[derive(Debug, Default)]
struct List(Vec<OsString>);

impl List {
    fn add(&mut self, word: &str) -> &mut Self {
        self.0.push(OsString::from(word));
        self
    }

    fn pair(&mut self, word: &str, value: impl Into<OsString>) -> &mut Self {
        self.add(word);
        self.0.push(value.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_in_a_path_does_not_become_an_option() {
        let argument = socket("a", Path::new("/run/x,server=on"));
        assert_eq!(argument, OsString::from("socket,id=a,path=/run/x,,server=on"));
    }

    #[test]
    fn a_work_directory_too_long_for_sockets_is_refused() {
        let long = PathBuf::from(format!("/{}", "d".repeat(95)));
        let error = Files::in_directory(&long).unwrap_err().to_string();
        assert!(error.ends_with("has 96 bytes; sockets in it need at most 90"), "{error}");
    }
}
