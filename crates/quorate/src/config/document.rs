//! The words of cluster.toml: one field a key, nothing checked yet.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use quorate_core::config::TimingInputs;
use quorate_core::config::timing::DetectionMode;
use serde::{Deserialize, Serialize};

use super::fencing::FenceAgent;
use super::policies::{
    FoundTwice, FoundTwiceWords, Hours, OnDeadlock, OnDeadlockWords, Policy, PolicyWords,
    RestartAction, RestartActionWords, Seconds,
};
use super::relations::{Priority, Rule, Score};

/// Settings of a driver, by key; the driver checks them.
pub type Settings = BTreeMap<String, toml::Value>;

/// A whole cluster.toml.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// `[cluster]`.
    pub cluster: Cluster,
    /// `[timing]`.
    #[serde(default)]
    pub timing: Timing,
    /// `[recording]`.
    #[serde(default, skip_serializing_if = "Recording::is_default")]
    pub recording: Recording,
    /// `[watchdog]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watchdog: Option<Watchdog>,
    /// `[witness]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
    /// `[[fence_agents]]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fence_agents: Vec<FenceAgent>,
    /// `[[nodes]]`.
    #[serde(default)]
    pub nodes: Vec<Node>,
    /// `[[luns]]`.
    #[serde(default)]
    pub luns: Vec<Lun>,
    /// `[[groups]]`.
    #[serde(default)]
    pub groups: Vec<Group>,
    /// `[[rules]]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// `[policy]`.
    #[serde(default, with = "PolicyWords", skip_serializing_if = "PolicyWords::is_default")]
    pub policy: Policy,
}

/// How much of each thing, by its name: what a node has room for, what a group takes of it. Any unit, the same
/// everywhere.
pub type Amounts = BTreeMap<String, u64>;

/// `[cluster]`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// The cluster's name.
    pub name: String,
    /// Its identity: 16 hex digits, drawn at random.
    pub id: String,
}

/// `[witness]`: a voter that lives in storage. It votes where the nodes that vote are even in number.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// An empty directory on a share that every node that votes mounts at the same place; the witness's alone.
    pub path: String,
}

/// `[timing]`: a profile, and what shall differ from it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timing {
    /// What the other values start from.
    pub profile: Profile,
    /// How long a silent node is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detect_ms: Option<u64>,
    /// Between two heartbeats on one path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_ms: Option<u64>,
    /// How long killing what runs on a node may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_time_ms: Option<u64>,
    /// The longest that one I/O to a LUN may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_bound_ms: Option<u64>,
    /// How far two nodes' clocks may drift apart, in parts per million.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift_ppm: Option<u32>,
    /// How silence is judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
}

/// `[recording]`: what each node records of itself, for `quorate replay`. Nodes need not agree on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recording {
    /// Whether nodes record.
    pub enabled: bool,
    /// How long one recording may become.
    pub max_mib: u64,
    /// A directory, in which each node makes one of its own; `recordings` in its state directory, if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
}

impl Recording {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Recording {
    fn default() -> Self {
        Self { enabled: true, max_mib: 64, dir: None }
    }
}

/// `[watchdog]`: what resets a host whose node does not get on. Nodes need not agree on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watchdog {
    /// The device, as `/dev/watchdog`.
    pub device: PathBuf,
}

/// A set of timing inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Detection in 2 s.
    #[default]
    Default,
    /// Detection in 0.5 s, on quiet networks.
    Fast,
}

/// How silence is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// After a fixed time.
    Fixed,
    /// By the arrivals seen, never before the fixed time.
    Adaptive,
}

/// `[[nodes]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its number, stable for its life; its place in the list from 1, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u16>,
    /// `host:port` on each network, in the order of the networks.
    pub addresses: Vec<String>,
    /// Whether it votes.
    #[serde(default = "yes")]
    pub voter: bool,
    /// What it has room for.
    #[serde(default, skip_serializing_if = "Amounts::is_empty")]
    pub capacity: Amounts,
    /// On which site it stands.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub site: String,
    /// In which rack of that site it stands.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rack: String,
}

impl Node {
    /// A voter with one address on each network.
    pub fn new(name: impl Into<String>, addresses: &[&str]) -> Self {
        let addresses = addresses.iter().map(|&address| address.to_owned()).collect();
        Self {
            name: name.into(),
            id: None,
            addresses,
            voter: true,
            capacity: Amounts::new(),
            site: String::new(),
            rack: String::new(),
        }
    }
}

/// `[[luns]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lun {
    /// Its name.
    pub name: String,
    /// Its number; its place in the list from 1, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    /// `iscsi`, `device` or `file`.
    pub driver: String,
    /// The driver's settings, inline.
    #[serde(flatten)]
    pub settings: Settings,
}

impl Lun {
    /// A directory on shared storage.
    pub fn file(name: impl Into<String>, path: impl Into<String>) -> Self {
        let path = toml::Value::String(path.into());
        let settings = BTreeMap::from([("path".to_owned(), path)]);
        Self { name: name.into(), id: None, driver: "file".to_owned(), settings }
    }

    /// A block device or file without reservations, which all nodes reach by this absolute path.
    pub fn disk(name: impl Into<String>, path: impl Into<String>) -> Self {
        Self { driver: "disk".to_owned(), ..Self::file(name, path) }
    }

    /// A LUN of an iSCSI target: `iscsi://host:port/iqn/lun`.
    pub fn iscsi(name: impl Into<String>, url: impl Into<String>) -> Self {
        let url = toml::Value::String(url.into());
        let settings = BTreeMap::from([("url".to_owned(), url)]);
        Self { name: name.into(), id: None, driver: "iscsi".to_owned(), settings }
    }
}

/// `[[groups]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its number; its place in the list from 1, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    /// Names of the LUNs that pass with it.
    #[serde(default)]
    pub luns: Vec<String>,
    /// Names of the nodes where it may run; empty: all.
    #[serde(default)]
    pub possible_owners: Vec<String>,
    /// Names of the nodes where it should run, best first.
    #[serde(default)]
    pub preferred_owners: Vec<String>,
    /// How well each node suits it, by the node's name; 0 if it is not named.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scores: BTreeMap<String, Score>,
    /// Name of the node that has it before it has ever run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_owner: Option<String>,
    /// Whether it returns by itself to a more preferred owner.
    #[serde(default)]
    pub failback: bool,
    /// In which hours of the day it may do so; at any, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failback_hours: Option<Hours>,
    /// With `failback`: by how much another node's score must be higher before it moves there by itself.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stickiness: i32,
    /// Who goes first, and wins when not all can run.
    #[serde(default, skip_serializing_if = "is_unset")]
    pub priority: Priority,
    /// What it takes of a node's room.
    #[serde(default, skip_serializing_if = "Amounts::is_empty")]
    pub uses: Amounts,
    /// What it loads a node with, until that is measured.
    #[serde(default, skip_serializing_if = "Amounts::is_empty")]
    pub load: Amounts,
    /// After so many failures on a node it does not run there again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_failures_max: Option<u32>,
    /// When those failures are forgotten; if left out, when somebody says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures_expire_s: Option<u64>,
    /// Whether its start waits for every fence that is due.
    #[serde(default, skip_serializing_if = "is_off")]
    pub awaits_fences: bool,
    /// Whether it is freed by its node's fence agents, a human's word or the node's return alone, not by a lease that
    /// is over.
    #[serde(default, skip_serializing_if = "is_off")]
    pub fence_agent_required: bool,
    /// What is done when it is found running on a second node.
    #[serde(default, with = "FoundTwiceWords", skip_serializing_if = "is_usual")]
    pub found_twice: FoundTwice,
    /// Whether it starts, when the whole cluster does, on the node to which it was last moved by command.
    #[serde(default, skip_serializing_if = "is_off")]
    pub persistent: bool,
    /// Whether it is kept offline, when its node is lost, until it is commanded to be online.
    #[serde(default, skip_serializing_if = "is_off")]
    pub started_by_hand: bool,
    /// Whether it is started when the cluster forms.
    #[serde(default = "yes")]
    pub auto_start: bool,
    /// How often it may fail over within `failover_period_s`; if left out, nodes - 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover_threshold: Option<u32>,
    /// See `failover_threshold`.
    #[serde(default = "six_hours")]
    pub failover_period_s: u64,
    /// How long after it was left failed it is tried again.
    #[serde(default = "one_hour")]
    pub retry_period_s: u64,
    /// What runs in it.
    #[serde(default)]
    pub resources: Vec<Resource>,
}

impl Group {
    /// A group that may run on all nodes.
    pub fn new(name: impl Into<String>, luns: &[&str], resources: Vec<Resource>) -> Self {
        Self {
            name: name.into(),
            id: None,
            luns: luns.iter().map(|&lun| lun.to_owned()).collect(),
            possible_owners: Vec::new(),
            preferred_owners: Vec::new(),
            scores: BTreeMap::new(),
            initial_owner: None,
            failback: false,
            failback_hours: None,
            stickiness: 0,
            priority: Priority::default(),
            uses: Amounts::new(),
            load: Amounts::new(),
            node_failures_max: None,
            failures_expire_s: None,
            awaits_fences: false,
            fence_agent_required: false,
            found_twice: FoundTwice::default(),
            persistent: false,
            started_by_hand: false,
            auto_start: true,
            failover_threshold: None,
            failover_period_s: six_hours(),
            retry_period_s: one_hour(),
            resources,
        }
    }
}

/// `[[groups.resources]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// Its name, unique in the cluster.
    pub name: String,
    /// Its number; its place among all resources from 1, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    /// `process`, `qemu` or `host`.
    pub driver: String,
    /// Names of the resources of this group that must be online before it.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// Of each of these sets one at least must be online before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on_any: Vec<Vec<String>>,
    /// Whether a move saves and resumes it; if left out, yes for a `qemu` guest alone in its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub save_on_move: Option<bool>,
    /// Whether a move hands it over as it runs, where its driver can.
    #[serde(default, skip_serializing_if = "is_off")]
    pub live_on_move: bool,
    /// How often it is restarted in place within `restart_period_s` before the group fails over.
    #[serde(default = "restarts")]
    pub restart_threshold: u32,
    /// See `restart_threshold`.
    #[serde(default = "fifteen_minutes")]
    pub restart_period_s: u64,
    /// How long after a failure it is started again in place.
    #[serde(default = "half_a_second")]
    pub restart_delay_ms: u64,
    /// How long a start, a save or a stop may take.
    #[serde(default = "three_minutes")]
    pub pending_timeout_s: u64,
    /// What is done about it when it has failed.
    #[serde(default, with = "RestartActionWords")]
    pub restart_action: RestartAction,
    /// How long it rests that is left failed, until it is started again.
    #[serde(default = "hourly")]
    pub retry_period_s: Seconds,
    /// How long it may take to end before it counts as deadlocked.
    #[serde(default = "five_minutes")]
    pub deadlock_timeout_s: u64,
    /// What is done about it then.
    #[serde(default, with = "OnDeadlockWords")]
    pub on_deadlock: OnDeadlock,
    /// Whether one start that fails is enough for its group to be tried on another node.
    #[serde(default)]
    pub start_failure_is_fatal: bool,
    /// The driver's settings, inline.
    #[serde(flatten)]
    pub settings: Settings,
}

impl Resource {
    /// A resource with the default policies.
    pub fn new(name: impl Into<String>, driver: impl Into<String>, settings: Settings) -> Self {
        Self {
            name: name.into(),
            id: None,
            driver: driver.into(),
            depends_on: Vec::new(),
            depends_on_any: Vec::new(),
            save_on_move: None,
            live_on_move: false,
            restart_threshold: restarts(),
            restart_period_s: fifteen_minutes(),
            restart_delay_ms: half_a_second(),
            pending_timeout_s: three_minutes(),
            restart_action: RestartAction::default(),
            retry_period_s: hourly(),
            deadlock_timeout_s: five_minutes(),
            on_deadlock: OnDeadlock::default(),
            start_failure_is_fatal: false,
            settings,
        }
    }
}

impl Timing {
    /// The profile with what differs from it.
    pub fn inputs(&self) -> TimingInputs {
        let mut inputs = match self.profile {
            Profile::Default => TimingInputs::DEFAULT,
            Profile::Fast => TimingInputs::FAST,
        };
        let set = |value: &mut Duration, ms: Option<u64>| {
            if let Some(ms) = ms {
                *value = Duration::from_millis(ms);
            }
        };
        set(&mut inputs.detect, self.detect_ms);
        set(&mut inputs.interval, self.interval_ms);
        set(&mut inputs.stop_time, self.stop_time_ms);
        set(&mut inputs.io_bound, self.io_bound_ms);
        inputs.drift_ppm = self.drift_ppm.unwrap_or(inputs.drift_ppm);
        inputs.mode = match self.mode {
            None => inputs.mode,
            Some(Mode::Fixed) => DetectionMode::Fixed,
            Some(Mode::Adaptive) => DetectionMode::Adaptive,
        };
        inputs
    }
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
pub(super) fn is_off(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_usual(value: &FoundTwice) -> bool {
    *value == FoundTwice::default()
}

fn is_zero(value: &i32) -> bool {
    *value == 0
}

fn is_unset(priority: &Priority) -> bool {
    *priority == Priority::default()
}

fn restarts() -> u32 {
    3
}

fn six_hours() -> u64 {
    6 * 3600
}

fn one_hour() -> u64 {
    3600
}

fn fifteen_minutes() -> u64 {
    900
}

fn half_a_second() -> u64 {
    500
}

fn three_minutes() -> u64 {
    180
}

fn hourly() -> Seconds {
    Seconds::Of(3600)
}

fn five_minutes() -> u64 {
    300
}
