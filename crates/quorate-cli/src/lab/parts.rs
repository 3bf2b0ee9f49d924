//! What the lab's guest and LUN are made of, and the configuration that says so.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use quorate::key::ClusterKey;

use super::error::{LabError, require};
use super::network::Network;
use super::serial::build_firmware;
use super::target::Target;
use super::watch::NodeFiles;
use super::{GROUP, LUN, RESOURCE};

/// The size of the LUN: room for 131,071 records of the guest.
pub const LUN_BYTES: u64 = 64 << 20;
/// The guest's file on a LUN that is a directory.
pub const RECORDS_FILE: &str = "records";

/// What guest and LUN are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// A QEMU machine on an iSCSI LUN that refuses a stale writer.
    Real,
    /// A process on a shared directory: no package needed.
    Plain,
}

/// What was built of them.
#[derive(Debug)]
pub(super) enum Built {
    Real { target: Target, firmware: PathBuf },
    Plain { program: PathBuf, shared: PathBuf },
}

impl Built {
    pub(super) fn new(
        parts: Parts,
        program: &Path,
        network: &Network,
        directory: &Path,
    ) -> Result<Self, LabError> {
        match parts {
            Parts::Real => {
                for needed in ["qemu-system-x86_64", "as", "ld", "tgtd", "tgtadm"] {
                    require(needed)?;
                }
                let firmware = build_firmware(directory)?;
                let target = Target::start(network, &directory.join("san"), LUN_BYTES)?;
                Ok(Self::Real { target, firmware })
            }
            Parts::Plain => {
                let shared = directory.join("shared");
                let failed = |error| LabError::system(format!("{}", shared.display()), error);
                fs::create_dir(&shared).map_err(failed)?;
                Ok(Self::Plain { program: program.to_owned(), shared })
            }
        }
    }

    /// The file with the bytes that the guest wrote.
    pub(super) fn bytes(&self) -> PathBuf {
        match self {
            Self::Real { target, .. } => target.bytes(),
            Self::Plain { shared, .. } => shared.join(RECORDS_FILE),
        }
    }

    /// How the guest's process is told from others on its host.
    pub(super) fn guest_program(&self) -> &'static str {
        match self {
            Self::Real { .. } => "qemu-system-x86_64",
            Self::Plain { .. } => "guest-counter",
        }
    }

    pub(super) fn files(&self, directory: &Path, node: &str) -> NodeFiles {
        let work = directory.join(node).join("run").join(RESOURCE);
        let guest = match self {
            Self::Real { .. } => work.join("serial.log"),
            Self::Plain { .. } => work.join("output.log"),
        };
        NodeFiles { guest, output: output(directory, node) }
    }

    fn lun_table(&self) -> String {
        match self {
            Self::Real { target, .. } => {
                format!("driver = \"iscsi\"\nurl = {:?}\nsave_area_mib = 16\n", target.url())
            }
            Self::Plain { shared, .. } => format!("driver = \"file\"\npath = {shared:?}\n"),
        }
    }

    fn guest_table(&self, directory: &Path) -> String {
        match self {
            Self::Real { firmware, .. } => {
                let settings = "driver = \"qemu\"\nmemory_mib = 2\naccel = \"tcg\"\n\
                                cpu = \"qemu64,-apic\"\ndisk = \"ide\"\nstop = \"quit\"\n\
                                heartbeat = \"serial\"\nheartbeat_prefix = \"tick\"\n";
                format!("{settings}firmware = {firmware:?}\n")
            }
            Self::Plain { program, .. } => {
                let words = [
                    program.display().to_string(),
                    "guest-counter".into(),
                    "--lun".into(),
                    LUN.into(),
                    "--write-logs".into(),
                    directory.display().to_string(),
                ];
                format!("driver = \"process\"\ncommand = {words:?}\n")
            }
        }
    }
}

/// Where a node's notices go.
pub(super) fn output(directory: &Path, node: &str) -> PathBuf {
    directory.join(format!("{node}.out"))
}

/// Where each write of a node's guest is noted.
pub(super) fn write_log(directory: &Path, node: &str) -> PathBuf {
    directory.join(format!("{node}.writes"))
}

/// Writes `cluster.toml` and `cluster.key` into the lab's directory.
pub(super) fn write_config(
    directory: &Path,
    built: &Built,
    network: &Network,
    nodes: &[String],
    profile: &str,
) -> Result<(), LabError> {
    let random = |error: getrandom::Error| LabError::Failed {
        what: "drawing a cluster id".into(),
        said: error.to_string(),
    };
    let id = getrandom::u64().map_err(random)?.max(1);
    // Nodes are killed on purpose here, again and again.
    let mut text = format!(
        "[cluster]\nname = \"lab\"\nid = \"{id:016x}\"\n\n[timing]\nprofile = {profile:?}\n\n\
         [policy.quarantine]\nenabled = false\n"
    );
    for node in nodes {
        let address = network.listens_at(node);
        let _ = write!(text, "\n[[nodes]]\nname = {node:?}\naddresses = [{address:?}]\n");
    }
    let _ = write!(text, "\n[[luns]]\nname = {LUN:?}\n{}", built.lun_table());
    let _ = write!(
        text,
        "\n[[groups]]\nname = {GROUP:?}\nluns = [{LUN:?}]\nfailover_threshold = 1000\n\
         \n[[groups.resources]]\nname = {RESOURCE:?}\n{}",
        built.guest_table(directory)
    );
    let file = directory.join("cluster.toml");
    fs::write(&file, text)
        .map_err(|error| LabError::system(format!("cannot write {}", file.display()), error))?;
    let key = |error: quorate::key::KeyError| LabError::Failed {
        what: "the cluster key".into(),
        said: error.to_string(),
    };
    ClusterKey::generate()
        .and_then(|new| new.write_new_file(&directory.join("cluster.key")))
        .map_err(key)
}
