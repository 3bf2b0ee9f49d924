//! Logical volumes of LVM: one that is not active on this host is made so before it is opened.

use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::LunError;
use crate::child::spawn_dying_with_parent;

/// LVM looks at every disk of the host, and hangs with any of them: it has so long, and is not asked again meanwhile.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Volumes that LVM is busy with.
static BUSY: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Directories of `/dev` that are no volume groups.
const OTHERS: [&str; 8] = ["disk", "mapper", "block", "char", "shm", "pts", "net", "input"];

/// Kinds of volumes that may be active on several hosts at once: they are nothing but a map. Of all others (thin,
/// cache, raid, snapshot, vdo) the hosts would keep the books against each other.
///
/// Source: lvmlockd(8), shared LVs; lvmthin(7).
const PLAIN: [&str; 2] = ["linear", "striped"];

/// The volume that a path names, as LVM does: `/dev/GROUP/VOLUME`.
fn volume(path: &Path) -> Option<String> {
    let mut parts = path.strip_prefix("/dev").ok()?.components().map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    let (group, volume) = (parts.next()??, parts.next()??);
    (parts.next().is_none() && !OTHERS.contains(&group)).then(|| format!("{group}/{volume}"))
}

/// Activates the logical volume of this path, if it is one and is not active: a host does not see of itself what
/// another has made. Whatever else the path is, and where there is no LVM, opening it says what is wrong.
///
/// # Errors
///
/// `Io` with what LVM says; `Unsupported` for a volume that several hosts must not have active; `TimedOut`.
pub(super) fn activate(path: &Path) -> Result<(), LunError> {
    let Some(name) = volume(path).filter(|_| !path.exists()) else { return Ok(()) };
    let late = || LunError::TimedOut { what: format!("LVM, about {name}"), after: PATIENCE };
    if !BUSY.lock().insert(name.clone()) {
        return Err(late());
    }
    let (sender, receiver) = mpsc::channel();
    let of_thread = name.clone();
    // A thread of its own: LVM may hang in the kernel, where nobody can end it.
    let spawned = std::thread::Builder::new().name("quorate-lvm".to_owned()).spawn(move || {
        let done = activate_now(&of_thread);
        BUSY.lock().remove(&of_thread);
        let _ = sender.send(done);
    });
    if let Err(error) = spawned {
        BUSY.lock().remove(&name);
        return Err(LunError::io("starting a thread", &error));
    }
    let end = Instant::now() + PATIENCE;
    let is_active = receiver.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(late()))?;
    // Its name is made by udev, a little later.
    while is_active && !path.exists() {
        if Instant::now() >= end {
            return Err(late());
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    Ok(())
}

/// False: there is no LVM here.
fn activate_now(name: &str) -> Result<bool, LunError> {
    let options = "segtype,lv_role,vg_lock_type";
    let asked = ["--noheadings", "--separator", "|", "--options", options, name];
    let Some(found) = lvm("lvs", &asked, name)? else { return Ok(false) };
    let mut shared = false;
    for line in found.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.split('|');
        let (kind, role) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let lock = words.next().unwrap_or_default();
        if !PLAIN.contains(&kind) || role != "public" {
            return Err(LunError::Unsupported {
                what: format!(
                    "the logical volume {name} ({kind}, {role}): on several hosts at once only one that is linear or \
                     striped, and no snapshot nor has any, may be active"
                ),
            });
        }
        shared |= !matches!(lock, "" | "none");
    }
    // Where LVM has locks of its own, a plain "y" would keep the other hosts out.
    let how = if shared { "sy" } else { "y" };
    lvm("lvchange", &["--activate", how, name], name).map(|done| done.is_some())
}

/// What a program of LVM prints; none: it is not installed.
fn lvm(program: &str, arguments: &[&str], name: &str) -> Result<Option<String>, LunError> {
    let what = || format!("activating the logical volume {name}");
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = match spawn_dying_with_parent(&mut command) {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LunError::io(what(), &error)),
    };
    let output = child.wait_with_output().map_err(|error| LunError::io(what(), &error))?;
    if output.status.success() {
        return Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Err(LunError::io(what(), &io::Error::other(said.join("; "))))
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
        match activate(path) {
            // There is no LVM here.
            Ok(()) => assert!(!path.exists()),
            Err(error) => {
                assert!(error.to_string().contains("quorate-test-of-nobody/volume"), "{error}");
            }
        }
    }
}
