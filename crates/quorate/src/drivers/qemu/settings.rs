//! Settings of the `qemu` driver, and what of QEMU's own arguments may stand beside them.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Settings of the `qemu` driver.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QemuSettings {
    /// QEMU's program, a path or a name along PATH. Default `qemu-system-x86_64`.
    #[serde(default = "default_binary")]
    pub binary: PathBuf,
    /// The guest's memory in MiB, from 1 to 16,777,216.
    pub memory_mib: u32,
    /// Its processors, from 1 to 1,024. Default 1.
    #[serde(default = "default_cpus")]
    pub cpus: u32,
    /// QEMU's machine type. Default `pc`. A guest that is saved on one QEMU version and loaded on
    /// another needs a versioned one, as `pc-i440fx-7.2`.
    #[serde(default = "default_machine")]
    pub machine: String,
    /// QEMU's processor model; its default when missing.
    #[serde(default)]
    pub cpu: Option<String>,
    /// What runs the guest's code. A guest that moves with its state needs the same on every node.
    #[serde(default)]
    pub accel: Accelerator,
    /// The guest's firmware instead of QEMU's own, in whole multiples of 64 KiB.
    #[serde(default)]
    pub firmware: Option<PathBuf>,
    /// How the guest sees its LUNs.
    #[serde(default)]
    pub disk: DiskInterface,
    /// What tells that the guest is well.
    #[serde(default)]
    pub heartbeat: Heartbeat,
    /// How long the guest may be silent. Default 5,000 ms.
    #[serde(default = "default_heartbeat_timeout_ms")]
    pub heartbeat_timeout_ms: u64,
    /// How long a booting guest has for its first heartbeat. Default 120,000 ms.
    #[serde(default = "default_heartbeat_boot_timeout_ms")]
    pub heartbeat_boot_timeout_ms: u64,
    /// With heartbeat `serial`: only lines that begin so count. Default: every line.
    #[serde(default)]
    pub heartbeat_prefix: String,
    /// How the guest is asked to stop.
    #[serde(default)]
    pub stop: StopMethod,
    /// Also writes `serial.stamped` to the work directory: each line of the guest's serial port
    /// with the CLOCK_MONOTONIC nanosecond at which it came. `serial.log` is always written, by
    /// QEMU. About 16 MiB of each are kept, and as much before in a file with the ending `.old`.
    #[serde(default)]
    pub serial_stamps: bool,
    /// Further arguments for QEMU, passed as they are; those that would work against the driver are
    /// refused. Disks must be LUNs, or read-only.
    #[serde(default)]
    pub args: Vec<String>,
}

/// What runs the guest's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// KVM where it is seen to work on this node, else TCG. The default.
    #[default]
    Auto,
    /// KVM; a node where it does not work cannot run the guest.
    Kvm,
    /// QEMU's own emulation.
    Tcg,
}

/// How the guest sees its LUNs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskInterface {
    /// virtio-blk on PCI. The default.
    #[default]
    Virtio,
    /// IDE disks, at most four.
    Ide,
}

/// What tells that the guest is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Heartbeat {
    /// Nothing but QEMU's own events. The default.
    #[default]
    None,
    /// Lines on the guest's first serial port.
    Serial,
    /// Answers of the QEMU guest agent in the guest.
    GuestAgent,
}

/// How the guest is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StopMethod {
    /// The power button (ACPI): its operating system shuts down. The default.
    #[default]
    Powerdown,
    /// QEMU ends, as if the power failed, but with its disks flushed: for a guest without ACPI.
    Quit,
}

/// Arguments of QEMU that the driver sets itself or that would break its promises, with the remedy.
const REFUSED_ARGUMENTS: [(&str, &str); 36] = [
    ("S", "the driver starts and stops the guest"),
    ("incoming", "the driver loads saved guests"),
    ("loadvm", "the driver loads saved guests"),
    ("preconfig", "the driver starts the guest"),
    ("daemonize", "the guest must be a child of its node"),
    ("pidfile", "the driver writes one"),
    ("qmp", "the driver has its own monitor"),
    ("qmp-pretty", "the driver has its own monitor"),
    ("mon", "the driver has its own monitor"),
    ("monitor", "the driver has its own monitor"),
    ("action", "the driver sets what follows a panic"),
    ("watchdog-action", "the driver sets what follows an expired watchdog"),
    ("no-shutdown", "the driver must see the guest's shutdown"),
    ("bios", "use firmware"),
    ("m", "use memory_mib"),
    ("smp", "use cpus"),
    ("machine", "use machine"),
    ("M", "use machine"),
    ("cpu", "use cpu"),
    ("accel", "use accel"),
    ("enable-kvm", "use accel"),
    ("name", "the driver names the guest"),
    ("serial", "the driver has the first serial port; add others with -device isa-serial"),
    ("nographic", "the driver sets -display none and has the serial port"),
    ("snapshot", "it would throw away what the guest writes"),
    ("hda", "disks are the group's luns"),
    ("hdb", "disks are the group's luns"),
    ("hdc", "disks are the group's luns"),
    ("hdd", "disks are the group's luns"),
    ("sd", "disks are the group's luns"),
    ("mtdblock", "disks are the group's luns"),
    ("pflash", "use firmware, or -drive if=pflash with readonly=on"),
    ("readconfig", "write its options as args, so that they can be checked"),
    ("nodefaults", "the driver sets it"),
    ("no-user-config", "the driver sets it"),
    ("seed", "two guests must not share it"),
];

impl QemuSettings {
    /// The first rule that the settings break.
    pub(in crate::drivers) fn check(&self) -> Result<(), String> {
        if self.binary.as_os_str().is_empty() {
            return Err("binary names no program".to_owned());
        }
        if !(1..=16_777_216).contains(&self.memory_mib) {
            return Err(format!("memory_mib {} must be 1 to 16777216", self.memory_mib));
        }
        if !(1..=1024).contains(&self.cpus) {
            return Err(format!("cpus {} must be 1 to 1024", self.cpus));
        }
        if self.machine.is_empty() || self.machine.contains("accel=") {
            return Err(format!(
                "machine {:?} must name a machine type; accel has its own key",
                self.machine
            ));
        }
        if self.heartbeat_timeout_ms < 100 {
            return Err(format!(
                "heartbeat_timeout_ms {} must be at least 100",
                self.heartbeat_timeout_ms
            ));
        }
        if self.heartbeat_boot_timeout_ms < self.heartbeat_timeout_ms {
            return Err(format!(
                "heartbeat_boot_timeout_ms {} must be at least heartbeat_timeout_ms {}",
                self.heartbeat_boot_timeout_ms, self.heartbeat_timeout_ms
            ));
        }
        if !self.heartbeat_prefix.is_empty() && self.heartbeat != Heartbeat::Serial {
            return Err("heartbeat_prefix needs heartbeat = \"serial\"".to_owned());
        }
        check_arguments(&self.args)
    }
}

/// Refuses a firmware that QEMU would not take.
pub(super) fn check_firmware(path: &Path) -> Result<(), String> {
    const STEP: u64 = 65_536;
    let metadata = std::fs::metadata(path)
        .map_err(|error| format!("{error}; correct firmware or put the file there"))?;
    if !metadata.is_file() || metadata.len() == 0 || metadata.len() % STEP != 0 {
        let length = metadata.len();
        return Err(format!(
            "{length} bytes; a firmware is a file of whole multiples of {STEP} bytes"
        ));
    }
    std::fs::File::open(path).map(|_| ()).map_err(|error| error.to_string())
}

fn check_arguments(arguments: &[String]) -> Result<(), String> {
    for (index, argument) in arguments.iter().enumerate() {
        if argument.contains('\0') {
            return Err("args has a zero byte in it".to_owned());
        }
        if argument.contains("quorate-") {
            return Err(format!(
                "args: {argument:?}: ids that begin with quorate- are the driver's"
            ));
        }
        let Some(name) = argument.strip_prefix('-') else { continue };
        let name = name.strip_prefix('-').unwrap_or(name);
        if let Some((_, remedy)) = REFUSED_ARGUMENTS.iter().find(|(refused, _)| *refused == name) {
            return Err(format!("args: -{name} is not possible here: {remedy}"));
        }
        if matches!(name, "drive" | "blockdev") {
            let value = arguments.get(index + 1).map_or("", String::as_str);
            let plain: String = value.chars().filter(|c| !c.is_whitespace()).collect();
            let read_only = ["readonly=on", "read-only=on", "\"read-only\":true"];
            if !read_only.iter().any(|word| plain.contains(word)) {
                return Err(format!(
                    "args: -{name} {value:?} must be read-only: what the guest writes to is a lun"
                ));
            }
        }
    }
    Ok(())
}

fn default_binary() -> PathBuf {
    PathBuf::from("qemu-system-x86_64")
}

fn default_cpus() -> u32 {
    1
}

fn default_machine() -> String {
    "pc".to_owned()
}

fn default_heartbeat_timeout_ms() -> u64 {
    5_000
}

fn default_heartbeat_boot_timeout_ms() -> u64 {
    120_000
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::drivers::DriverSettings;

    fn refusal(value: serde_json::Value) -> String {
        DriverSettings::from_json("qemu", value).expect_err("it must be refused").to_string()
    }

    #[test]
    fn settings_have_defaults_and_refuse_what_they_do_not_know() {
        let settings = DriverSettings::from_json("qemu", json!({ "memory_mib": 2 })).unwrap();
        assert_eq!(settings.kind(), "qemu");
        let text = refusal(json!({ "memory_mib": 2, "memroy": 3 }));
        assert!(text.starts_with("driver qemu: unknown field `memroy`"), "{text}");
        assert!(refusal(json!({})).contains("missing field `memory_mib`"));
        assert!(refusal(json!({ "memory_mib": 0 })).contains("memory_mib 0 must be 1 to"));
        let error = DriverSettings::from_json("xen", json!({})).unwrap_err().to_string();
        assert_eq!(error, "driver \"xen\" is not known; there are process and qemu");
    }

    #[test]
    fn toml_settings_read_as_json_ones_do() {
        let table = toml::toml! {
            memory_mib = 64
            accel = "tcg"
            heartbeat = "guest-agent"
            args = ["-vnc", ":1"]
        };
        let json = json!({
            "memory_mib": 64, "accel": "tcg", "heartbeat": "guest-agent", "args": ["-vnc", ":1"]
        });
        assert_eq!(
            DriverSettings::from_toml("qemu", toml::Value::Table(table)),
            DriverSettings::from_json("qemu", json)
        );
    }

    #[test]
    fn arguments_that_would_fight_the_driver_are_refused_with_the_remedy() {
        let with = |args: &[&str]| json!({ "memory_mib": 2, "args": args });
        assert!(refusal(with(&["-m", "4G"])).ends_with("use memory_mib"));
        assert!(refusal(with(&["--snapshot"])).contains("throw away"));
        assert!(refusal(with(&["-drive", "file=/x,if=virtio"])).contains("must be read-only"));
        assert!(refusal(with(&["-device", "ide-hd,drive=quorate-lun0"])).contains("quorate-"));
        let cdrom = with(&["-drive", "file=/x,media=cdrom,readonly=on", "-nic", "none"]);
        DriverSettings::from_json("qemu", cdrom).unwrap();
    }
}
