//! Logical volumes of LVM: one that is not active on this host is made so before it is opened.

use std::io;
use std::path::{Component, Path};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::LunError;

const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Directories of `/dev` that are no volume groups.
const OTHERS: [&str; 8] = ["disk", "mapper", "block", "char", "shm", "pts", "net", "input"];

/// The volume that a path names, as LVM does: `/dev/GROUP/VOLUME`.
fn volume(path: &Path) -> Option<String> {
    let mut parts = path.strip_prefix("/dev").ok()?.components().map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    let (group, volume) = (parts.next()??, parts.next()??);
    (parts.next().is_none() && !OTHERS.contains(&group)).then(|| format!("{group}/{volume}"))
}

/// Activates the logical volume of this path, if it is one and is not active: a host does not see of itself what another
/// has made. Whatever else the path is, and where there is no LVM, opening it says what is wrong.
///
/// # Errors
///
/// `Io` with what LVM says; `TimedOut`.
pub(super) fn activate(path: &Path, timeout: Duration) -> Result<(), LunError> {
    let Some(name) = volume(path).filter(|_| !path.exists()) else { return Ok(()) };
    let end = Instant::now() + timeout;
    let what = || format!("activating the logical volume {name}");
    let late = || LunError::TimedOut { what: what(), after: timeout };
    let mut command = Command::new("lvchange");
    command.args(["--activate", "y", &name]).env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(LunError::io(what(), &error)),
    };
    while child.try_wait().map_err(|error| LunError::io(what(), &error))?.is_none() {
        if Instant::now() >= end {
            let _ = child.kill();
            let _ = child.wait();
            return Err(late());
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    let output = child.wait_with_output().map_err(|error| LunError::io(what(), &error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        return Err(LunError::io(what(), &io::Error::other(said.join("; "))));
    }
    // Its name is made by udev, a little later.
    while !path.exists() {
        if Instant::now() >= end {
            return Err(late());
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lvm_would_name_so_is_a_volume_and_nothing_else() {
        assert_eq!(volume(Path::new("/dev/vg0/vm-1")).as_deref(), Some("vg0/vm-1"));
        for other in [
            "/dev/sda",
            "/dev/disk/by-id",
            "/dev/disk/by-id/wwn-1",
            "/dev/mapper/vg0-vm",
            "/srv/vg0/vm",
            "/dev/vg0/../sda",
            "/dev/vg0/a/b",
        ] {
            assert_eq!(volume(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn a_volume_that_is_not_there_is_an_error_of_lvm_or_of_the_open() {
        let path = Path::new("/dev/quorate-test-of-nobody/volume");
        match activate(path, Duration::from_secs(10)) {
            // There is no LVM here.
            Ok(()) => assert!(!path.exists()),
            Err(error) => {
                assert!(error.to_string().contains("quorate-test-of-nobody/volume"), "{error}")
            }
        }
    }
}
