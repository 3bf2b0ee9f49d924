//! Whether KVM works here: not whether /dev/kvm exists, but whether a guest's code runs.
//!
//! A firmware of a few instructions writes one byte to QEMU's debug-exit device, so that QEMU ends
//! with a code that nothing else gives. It takes about 0.1 s, once a node and program.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::drivers::Exit;
use crate::drivers::child::Supervised;

const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the firmware writes to the port.
const TOKEN: u8 = 0x31;

/// What QEMU then ends with.
const TOKEN_EXIT: Exit = Exit::Code(((TOKEN as i32) << 1) | 1);

/// Answers per program: the probe is made once.
static ANSWERS: Mutex<BTreeMap<PathBuf, Result<(), String>>> = Mutex::new(BTreeMap::new());

/// Whether `binary` runs guests with KVM here; if not, why.
pub(super) fn kvm_works(binary: &Path) -> Result<(), String> {
    let mut answers = ANSWERS.lock();
    answers.entry(binary.to_owned()).or_insert_with(|| probe(binary)).clone()
}

fn probe(binary: &Path) -> Result<(), String> {
    if !Path::new("/dev/kvm").exists() {
        return Err("there is no /dev/kvm".to_owned());
    }
    let directory = tempdir().map_err(|error| error.to_string())?;
    let outcome = run(binary, &directory);
    // Left behind in the temporary directory at worst.
    let _ = std::fs::remove_dir_all(&directory);
    outcome
}

fn run(binary: &Path, directory: &Path) -> Result<(), String> {
    let firmware = directory.join("probe.rom");
    let log = directory.join("probe.log");
    let write = || -> std::io::Result<std::fs::File> {
        std::fs::File::create(&firmware)?.write_all(&firmware_image())?;
        std::fs::File::create(&log)
    };
    let output = write().map_err(|error| error.to_string())?;
    let mut command = Command::new(binary);
    command
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc", "-m", "2"])
        .args(["-accel", "kvm", "-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-bios"])
        .arg(&firmware)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(output);
    let child = Supervised::spawn(&mut command, |_, _| ()).map_err(|error| error.to_string())?;
    match child.wait_gone(Some(Instant::now() + PROBE_TIMEOUT)) {
        Some(TOKEN_EXIT) => Ok(()),
        Some(exit) => Err(format!("{exit}: {}", crate::drivers::command::quote_log(&log, 0))),
        None => {
            child.kill();
            Err(format!("a guest ran no code within {} s", PROBE_TIMEOUT.as_secs()))
        }
    }
}

/// 64 KiB, the processor begins 16 bytes before the end: `mov al, TOKEN; out 0xf4, al; hlt; jmp
/// -3`.
fn firmware_image() -> Vec<u8> {
    let mut image = vec![0; 65_536];
    image[0xfff0..0xfff7].copy_from_slice(&[0xb0, TOKEN, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd]);
    image
}

/// A directory of our own in the system's temporary one.
fn tempdir() -> std::io::Result<PathBuf> {
    let mut name = [0; 8];
    getrandom::fill(&mut name).map_err(std::io::Error::other)?;
    let name = format!("quorate-probe-{:016x}", u64::from_le_bytes(name));
    let path = std::env::temp_dir().join(name);
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(&path)?;
    Ok(path)
}
