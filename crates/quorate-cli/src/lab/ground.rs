//! The ground the lab stands on: namespaces of its own where they are permitted, else loopback.
//!
//! In namespaces nothing of the machine is touched: networks, mounts and users are the lab's own,
//! and the kernel takes them down with the last process in them.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::error::{LabError, command, find, run};

/// Says to a program started by [`Ground::command`] where it runs.
const VARIABLE: &str = "QUORATE_LAB_GROUND";
const INSIDE: &str = "namespaces";
/// Stands in a /run of our own, and never in the machine's.
const MARK: &str = "/run/quorate-lab";

/// What the probe does in namespaces of its own: everything that the lab will need there.
const PROBE: &str = "mount -t tmpfs tmpfs /run && ip netns add probe && \
    ip link add switch type bridge && ip link add port type veth peer name eth0 netns probe && \
    ip link set port master switch up";

/// Where the lab runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ground {
    /// In namespaces of its own: hosts have networks that can be cut.
    Namespaces,
    /// On loopback addresses of this machine: networks cannot be cut.
    Loopback {
        /// Why not in namespaces.
        why: String,
    },
}

impl Ground {
    /// Whether this program was started in namespaces by [`Ground::command`].
    #[must_use]
    pub fn is_inside() -> bool {
        std::env::var_os(VARIABLE).is_some_and(|value| value == INSIDE)
    }

    /// The ground to build on: [`Ground::Namespaces`] only inside of them.
    ///
    /// # Errors
    /// When the namespaces turn out not to be usable after all.
    pub fn here(why_not: &str) -> Result<Self, LabError> {
        if !Self::is_inside() {
            return Ok(Self::Loopback { why: why_not.to_owned() });
        }
        // Names of network namespaces are files in /run/netns; the machine's own stay out of sight.
        if !Path::new(MARK).exists() {
            run(command("mount").args(["-t", "tmpfs", "tmpfs", "/run"]))?;
            let failed = |error| LabError::system(format!("cannot make {MARK}"), error);
            std::fs::create_dir(MARK).map_err(failed)?;
        }
        Ok(Self::Namespaces)
    }

    /// A command that runs `program` in fresh namespaces, as their root.
    ///
    /// The process that is spawned becomes the program itself, so its id and its signals are the
    /// program's.
    ///
    /// # Errors
    /// Why no namespaces are to be had here, for people.
    pub fn command(program: impl AsRef<OsStr>) -> Result<Command, String> {
        let mut reason = String::new();
        let mut ways = vec![vec!["--user", "--map-root-user", "--net", "--mount"]];
        if rustix::process::geteuid().is_root() {
            // Where user namespaces are forbidden, real root can do without one.
            ways.push(vec!["--net", "--mount"]);
        }
        if find("unshare").is_none() || find("ip").is_none() {
            return Err("unshare or ip is not installed (packages util-linux, iproute2)".into());
        }
        for way in ways {
            let probe = command("unshare").args(&way).args(["--", "sh", "-c", PROBE]).output();
            match probe {
                Ok(output) if output.status.success() => {
                    let mut inside = command("unshare");
                    inside.args(&way).arg("--").arg(program).env(VARIABLE, INSIDE);
                    inside.stdin(Stdio::inherit());
                    return Ok(inside);
                }
                Ok(output) => reason = first_line(&output.stderr),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(reason)
    }
}

fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.lines().next().unwrap_or("no reason given").to_owned()
}
