//! What every started program has in common: where it is found, what it sees of our environment.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Access, access};

use super::{Disk, DriverError, Lun, StartContext};

/// What a program inherits of our environment. Nothing else: it may hold the cluster's key.
pub(crate) const INHERITED: [&str; 11] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "TERM",
    "XDG_RUNTIME_DIR",
];

/// The most of a program's error output that an error quotes, in bytes.
const QUOTE_BYTES_MAX: u64 = 600;

/// Finds a program: a path as it is, a bare name along PATH.
pub(crate) fn find_program(name: &Path) -> Option<PathBuf> {
    let is_program = |path: &Path| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    if name.components().count() > 1 {
        return is_program(name).then(|| name.to_owned());
    }
    let search = env::var_os("PATH")?;
    env::split_paths(&search).map(|directory| directory.join(name)).find(|path| is_program(path))
}

/// A command with no input, a clean environment, and what a resource is told of its cluster.
pub(super) fn new_command(
    program: &Path,
    context: &StartContext,
    settings: &BTreeMap<String, String>,
) -> Result<Command, DriverError> {
    let mut command = Command::new(program);
    command.stdin(std::process::Stdio::null()).env_clear();
    for name in INHERITED {
        if let Some(value) = env::var_os(name) {
            command.env(name, value);
        }
    }
    command.envs(settings).envs(&context.environment);
    command.env("QUORATE_GROUP", &context.group);
    command.env("QUORATE_RESOURCE", &context.resource);
    command.env("QUORATE_NODE", &context.node);
    command.env("QUORATE_EPOCH", context.epoch.0.to_string());
    let mut seen = BTreeMap::new();
    for lun in &context.luns {
        let name = lun_variable(&lun.name);
        if let Some(other) = seen.insert(name.clone(), &lun.name) {
            let reason = format!("luns {other:?} and {:?} would both be {name}", lun.name);
            return Err(DriverError::Context { reason });
        }
        if let Disk::Device { bytes, .. } = lun.disk {
            command.env(format!("{name}_BYTES"), bytes.to_string());
        }
        command.env(name, lun_value(lun));
    }
    Ok(command)
}

/// The name of the variable that tells a program where its LUN is: letters and digits only.
fn lun_variable(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("QUORATE_LUN_{}", name.chars().map(plain).collect::<String>())
}

/// A path, or an NBD URI as nbd's own tools take it.
fn lun_value(lun: &Lun) -> std::ffi::OsString {
    match &lun.disk {
        Disk::File(path) | Disk::Device { path, .. } => path.clone().into_os_string(),
        Disk::Nbd { socket, export } => {
            let mut uri = std::ffi::OsString::from(format!("nbd+unix:///{export}?socket="));
            uri.push(socket);
            uri
        }
    }
}

/// Makes the work directory, for its owner alone, unless it is there.
pub(super) fn make_work_directory(path: &Path) -> Result<(), DriverError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| work_error(path, &error))
}

/// Opens a log file of the work directory for appending.
pub(super) fn open_log(path: &Path) -> Result<File, DriverError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| work_error(path, &error))
}

/// An error about the work directory or a file in it.
pub(super) fn work_error(path: &Path, error: &dyn std::error::Error) -> DriverError {
    DriverError::File { what: "work file", path: path.to_owned(), reason: error.to_string() }
}

/// The end of a log file from `start` on, on one line, for an error text.
pub(super) fn quote_log(path: &Path, start: u64) -> String {
    let read = || -> std::io::Result<String> {
        let length = fs::metadata(path)?.len();
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(start.max(length.saturating_sub(QUOTE_BYTES_MAX))))?;
        let mut bytes = Vec::new();
        file.take(QUOTE_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::LunReach;

    fn context(names: &[&str]) -> StartContext {
        let lun = |name: &&str| Lun {
            name: (*name).to_owned(),
            disk: Disk::Nbd { socket: PathBuf::from("/run/a.sock"), export: "e".to_owned() },
            reach: LunReach::default(),
        };
        StartContext {
            group: "g".to_owned(),
            resource: "r".to_owned(),
            node: "n".to_owned(),
            epoch: quorate_core::id::Epoch(7),
            work_directory: PathBuf::from("/nowhere"),
            luns: names.iter().map(lun).collect(),
            environment: BTreeMap::new(),
        }
    }

    #[test]
    fn a_program_is_told_its_cluster_and_nothing_of_our_environment() {
        let command =
            new_command(Path::new("/bin/true"), &context(&["disk-1"]), &BTreeMap::new()).unwrap();
        let mut own = command.get_envs().filter_map(|(key, value)| Some((key.to_str()?, value?)));
        assert!(own.all(|(key, _)| INHERITED.contains(&key) || key.starts_with("QUORATE_")));
        let value = |name: &str| {
            command.get_envs().find(|(key, _)| *key == name).and_then(|(_, value)| value?.to_str())
        };
        assert_eq!(value("QUORATE_EPOCH"), Some("7"));
        assert_eq!(value("QUORATE_LUN_DISK_1"), Some("nbd+unix:///e?socket=/run/a.sock"));
    }

    #[test]
    fn two_luns_that_would_share_a_variable_are_refused() {
        let error =
            new_command(Path::new("/bin/true"), &context(&["a-b", "a_b"]), &BTreeMap::new());
        assert!(matches!(error, Err(DriverError::Context { .. })));
    }
}
