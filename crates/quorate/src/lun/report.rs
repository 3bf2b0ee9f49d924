//! What is shown of a LUN: as data, and as text for people.

use std::fmt;
use std::path::PathBuf;

use quorate_core::id::ReservationKey;
use quorate_storage::doctor::{Finding, Verdict};
use quorate_storage::{DeviceState, Lun as Driver, LunError, ReservationType, Strength};
use serde::Serialize;

use super::Lun;

/// A block device that can be a LUN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Where it is.
    pub device: PathBuf,
    /// Names that stay, the shortest first: what to write into a configuration.
    pub links: Vec<PathBuf>,
    /// Vendor and model; empty if the device does not say.
    pub make: String,
    /// Whole size in bytes.
    pub size_bytes: u64,
    /// The kernel's names of the paths to it.
    pub paths: Vec<String>,
    /// What stands on it: volumes, other mappings. A LUN for quorate has nothing there.
    pub holders: Vec<String>,
}

impl From<DeviceState> for Device {
    fn from(state: DeviceState) -> Self {
        let DeviceState { device, links, make, size_bytes, paths, holders } = state;
        Device { device, links, make, size_bytes, paths, holders }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let best = self.links.first().unwrap_or(&self.device);
        write!(f, "{}  {}", best.display(), size(self.size_bytes))?;
        if !self.make.is_empty() {
            write!(f, "  {}", self.make)?;
        }
        if self.paths.len() > 1 {
            write!(f, "  {} paths: {}", self.paths.len(), self.paths.join(" "))?;
        }
        if !self.holders.is_empty() {
            write!(f, "  in use by {}", self.holders.join(" "))?;
        }
        Ok(())
    }
}

/// A key that is registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Key {
    /// As the device says it, in hex.
    pub key: String,
    /// On how many paths, or by how many initiators.
    pub count: usize,
    /// The low 16 bits of the cluster's id, if quorate made it.
    pub cluster: u16,
    /// The number of the node that it names; none: no node of quorate made it.
    pub node: Option<u16>,
    /// That node's name, where the configuration is of its cluster.
    pub name: Option<String>,
    /// The epoch of the ownership that it names.
    pub epoch: Option<u64>,
}

/// One registered initiator by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Nexus {
    /// Its key.
    pub key: String,
    /// Whether it holds the reservation.
    pub is_holder: bool,
    /// The initiator, in the words of its transport.
    pub initiator: String,
    /// The target's port by which it comes.
    pub target_port: u16,
}

/// A heartbeat that stands on the LUN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Beat {
    /// The number of the node.
    pub node: u64,
    /// The node's boot number.
    pub incarnation: u64,
    /// Grows with each beat.
    pub counter: u64,
}

/// What [`Lun::show`] found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Where the LUN is; without a password.
    pub lun: String,
    /// `enforced`: the device refuses a stale writer; `cooperative`: only what goes through quorate is kept out.
    pub strength: &'static str,
    /// Whole size in bytes.
    pub size_bytes: u64,
    /// Smallest unit of reads and writes in bytes.
    pub block_bytes: u32,
    /// Whether the device has PREEMPT AND ABORT.
    pub preempt_and_abort: bool,
    /// Whether reservations outlive a loss of power of the device.
    pub aptpl: bool,
    /// Whether the device refuses a stranger's UNMAP and WRITE SAME, too.
    pub discard_safe: bool,
    /// Grows with each change of registrations.
    pub generation: u32,
    /// The key under which the reservation is held.
    pub holder: Option<String>,
    /// The reservation's type, in SPC's words.
    pub reservation: Option<&'static str>,
    /// Every key that is registered, each once.
    pub keys: Vec<Key>,
    /// Every registered initiator; none: the device cannot name them.
    pub nexus: Option<Vec<Nexus>>,
    /// The heartbeats that stand on it.
    pub beats: Vec<Beat>,
}

pub(super) fn of(lun: &Lun, driver: &dyn Driver) -> Result<Report, LunError> {
    let (capabilities, found) = (driver.capabilities(), driver.read_keys()?);
    let mut keys: Vec<Key> = Vec::new();
    for key in &found.keys {
        let text = key.to_string();
        match keys.iter_mut().find(|one| one.key == text) {
            Some(known) => known.count += 1,
            None => keys.push(key_of(lun, *key)),
        }
    }
    let nexus = driver.read_full_status()?.map(|list| {
        let nexus = |one: quorate_storage::Registrant| Nexus {
            key: one.key.to_string(),
            is_holder: one.is_holder,
            initiator: one.initiator,
            target_port: one.target_port,
        };
        list.into_iter().map(nexus).collect()
    });
    let beats = lun.beats(driver)?.into_iter().map(|beat| Beat {
        node: beat.node,
        incarnation: beat.incarnation,
        counter: beat.counter,
    });
    Ok(Report {
        lun: lun.place.to_string(),
        strength: match capabilities.strength {
            Strength::Enforced => "enforced",
            Strength::Cooperative => "cooperative",
        },
        size_bytes: capabilities.size_bytes,
        block_bytes: capabilities.block_bytes,
        preempt_and_abort: capabilities.preempt_and_abort,
        aptpl: capabilities.aptpl,
        discard_safe: capabilities.discard_safe,
        generation: found.generation,
        holder: found.holder.map(|(key, _)| key.to_string()),
        reservation: found.holder.map(|(_, kind)| words(kind)),
        keys,
        nexus,
        beats: beats.collect(),
    })
}

fn key_of(lun: &Lun, key: quorate_storage::ReservationKey) -> Key {
    let ours = ReservationKey(key.0);
    let (node, cluster) = (ours.node().0, (key.0 >> 48) as u16);
    // Nodes count from 1, and a key of ours names cluster and epoch.
    let is_ours = cluster != 0 && node != 0 && node != u16::MAX && ours.epoch().0 != 0;
    Key {
        key: key.to_string(),
        count: 1,
        cluster,
        node: is_ours.then_some(node),
        name: lun.node_name(Some(key), node.into()).filter(|_| is_ours),
        epoch: is_ours.then_some(ours.epoch().0),
    }
}

fn words(kind: ReservationType) -> &'static str {
    match kind {
        ReservationType::WriteExclusive => "write exclusive",
        ReservationType::ExclusiveAccess => "exclusive access",
        ReservationType::WriteExclusiveRegistrantsOnly => "write exclusive, registrants only",
        ReservationType::ExclusiveAccessRegistrantsOnly => "exclusive access, registrants only",
        ReservationType::WriteExclusiveAllRegistrants => "write exclusive, all registrants",
        ReservationType::ExclusiveAccessAllRegistrants => "exclusive access, all registrants",
    }
}

pub(super) fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    match bytes {
        0..MIB => format!("{bytes} bytes"),
        MIB..GIB => format!("{} MiB", bytes / MIB),
        _ => format!("{:.1} GiB", bytes as f64 / GIB as f64),
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        match (&self.name, self.node, self.epoch) {
            (Some(name), _, Some(epoch)) => write!(f, "  node {name}, epoch {epoch}")?,
            (None, Some(node), Some(epoch)) => {
                write!(f, "  node {node} of cluster ...{:04x}, epoch {epoch}", self.cluster)?;
            }
            (_, _, _) => f.write_str("  not a key of quorate")?,
        }
        if self.count > 1 { write!(f, ", {} times", self.count) } else { Ok(()) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes = |has: bool| if has { "yes" } else { "no" };
        writeln!(
            f,
            "{}: {}, blocks of {} bytes",
            self.lun,
            size(self.size_bytes),
            self.block_bytes
        )?;
        writeln!(
            f,
            "promises     {}; preempt and abort {}, outlives a loss of power {}, guards discard {}",
            self.strength,
            yes(self.preempt_and_abort),
            yes(self.aptpl),
            yes(self.discard_safe)
        )?;
        match (&self.holder, self.reservation) {
            (Some(holder), Some(kind)) => writeln!(f, "reservation  {kind}, held under {holder}")?,
            (_, _) => writeln!(f, "reservation  none")?,
        }
        writeln!(f, "generation   {}", self.generation)?;
        if self.keys.is_empty() {
            writeln!(f, "keys         none")?;
        }
        for (index, key) in self.keys.iter().enumerate() {
            writeln!(f, "{:<12} {key}", if index == 0 { "keys" } else { "" })?;
        }
        for (index, nexus) in self.nexus.iter().flatten().enumerate() {
            let label = if index == 0 { "registered" } else { "" };
            let holds = if nexus.is_holder { ", holds" } else { "" };
            let Nexus { key, initiator, target_port, .. } = nexus;
            writeln!(f, "{label:<12} {key}  {initiator}, port {target_port}{holds}")?;
        }
        for (index, beat) in self.beats.iter().enumerate() {
            let label = if index == 0 { "beats" } else { "" };
            let Beat { node, incarnation, counter } = beat;
            writeln!(f, "{label:<12} node {node}, boot {incarnation}, beat {counter}")?;
        }
        Ok(())
    }
}

/// One trial of [`Lun::doctor`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trial {
    /// What was tried; the same words in every run.
    pub trial: &'static str,
    /// `good`; `note`: quorate works with it, at some price; `bad`: not to be trusted; `untried`.
    pub verdict: &'static str,
    /// What was seen, and what it means.
    pub says: String,
}

impl From<Finding> for Trial {
    fn from(finding: Finding) -> Self {
        let verdict = match finding.verdict {
            Verdict::Good => "good",
            Verdict::Note => "note",
            Verdict::Bad => "bad",
            Verdict::Untried => "untried",
        };
        Trial { trial: finding.trial, verdict, says: finding.says }
    }
}

/// What [`Lun::doctor`] found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Examination {
    /// Where the LUN is; without a password.
    pub lun: String,
    /// Every trial, in the order in which they were made.
    pub trials: Vec<Trial>,
}

impl Examination {
    /// Whether nothing was found that is not to be trusted.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.trials.iter().all(|one| one.verdict != "bad")
    }

    /// A trial by its words.
    #[must_use]
    pub fn trial(&self, trial: &str) -> Option<&Trial> {
        self.trials.iter().find(|one| one.trial == trial)
    }
}

impl fmt::Display for Examination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.lun)?;
        for one in &self.trials {
            let verdict = if one.verdict == "bad" { "BAD" } else { one.verdict };
            writeln!(f, "{verdict:<8} {}: {}", one.trial, one.says)?;
        }
        f.write_str(match self.is_sound() {
            true => "fit for failover\n",
            false => "not to be trusted: see BAD\n",
        })
    }
}
