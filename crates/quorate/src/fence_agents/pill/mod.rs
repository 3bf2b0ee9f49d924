//! The fence agent that is built in: a poison pill on a disk that all nodes share. It needs no board and no network.
//!
//! Whoever is to end a node writes a pill into its block ([`give`]); the node looks at that every [`READ_INTERVAL`]
//! and, once it finds one for its host's boot, kills what it runs and feeds its watchdog no more (`node/pill.rs`).
//! What a pill proves, and after how long, is derived at [`give::give`].
//!
//! Source: sbd(8).

pub(crate) mod give;
mod look;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quorate_core::action::FenceVerb;
use quorate_core::config::{ClusterConfig, FenceAgentConfig, Timing};
use quorate_core::id::NodeId;
use quorate_storage::{PILL_NODES, PillArea};

use super::agent::{AgentSettings, action_word};
use crate::config::{ConfigError, closest};
use crate::{Config, Error};
use give::{Order, Times};

pub(super) use look::look;

/// What stands as the `program` of this agent.
pub(crate) const PROGRAM: &str = "poison-pill";
/// How often a node looks at its pill.
///
/// Source: sbd(8), the loop of its servant (timeout_loop 1 s).
pub(crate) const READ_INTERVAL: Duration = Duration::from_secs(1);
/// What is waited for beyond what was derived: watchdogs count in whole seconds, by clocks of their own.
const MARGIN: Duration = Duration::from_secs(1);
/// How often who has given a pill looks what became of it.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// The one option.
const PATH: &str = "path";

/// Where the pills of a node lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The agent that says so.
    pub(crate) agent: String,
    pub(crate) path: PathBuf,
    pub(crate) cluster: u64,
    /// The node's block.
    pub(crate) block: u8,
}

impl Place {
    /// None: this node is to obey no pills.
    pub(crate) fn of(config: &ClusterConfig, node: NodeId) -> Option<Self> {
        let agents = config.fence_agents().iter();
        let agent =
            agents.filter(|agent| agent.plugs.contains_key(&node)).find(|one| is_pill(one))?;
        Some(Self {
            agent: agent.name.clone(),
            path: path(agent).ok()?,
            cluster: config.id().0,
            block: u8::try_from(node.0).ok()?,
        })
    }
}

/// How long a node that has no lease feeds its watchdog by its last look at its pill: two looks, of which one takes as
/// long as I/O may.
pub(crate) fn patience(timing: &Timing) -> Duration {
    READ_INTERVAL * 2 + timing.io_bound
}

/// How long a pill takes to prove what it proves, from when it was read back, where nobody takes it.
pub(crate) fn by_time(timing: &Timing) -> Duration {
    // As long as the watchdog of Linux that is set to them waits: whole seconds.
    let watchdog = Duration::from_secs((timing.lease + timing.stop_time).as_secs());
    Times::of(timing).by_time(patience(timing), watchdog)
}

/// How long that takes at most, with what the disk may take.
pub(crate) fn needed(timing: &Timing) -> Duration {
    // It is looked for who listens, and at the pill before; it is written, read back, and looked at once more.
    by_time(timing) + timing.io_bound * 5 + LOOK_INTERVAL
}

impl Times {
    fn of(timing: &Timing) -> Self {
        Self {
            // The change by which the node is down is known to a majority at the latest when an election would be over;
            // from then on nobody of it acknowledges a heartbeat of the node.
            lease: timing.election_max * 2 + timing.lease_over,
            margin: MARGIN,
            look: LOOK_INTERVAL,
            drift_ppm: timing.inputs().drift_ppm,
        }
    }
}

pub(crate) fn is_pill(agent: &FenceAgentConfig) -> bool {
    AgentSettings::read(agent).is_ok_and(|settings| is_program(&settings.program))
}

pub(crate) fn is_program(program: &Path) -> bool {
    program == Path::new(PROGRAM)
}

/// Refuses its name written otherwise, as `Poison_Pill`: it would be looked for along PATH.
pub(super) fn check_is_not_meant(program: &Path) -> Result<(), String> {
    let written = program.to_string_lossy();
    let bare = |name: &str| -> String {
        name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    match !written.contains('/') && closest(&bare(&written), [&*bare(PROGRAM)]).is_some() {
        true => Err(format!("there is no program {written:?}: did you mean {PROGRAM:?}?")),
        false => Ok(()),
    }
}

fn path(agent: &FenceAgentConfig) -> Result<PathBuf, String> {
    let settings = AgentSettings::read(agent)?;
    settings.parameters.get(PATH).map(PathBuf::from).ok_or("it has no path".to_owned())
}

/// Checks its options.
pub(super) fn check_settings(settings: &AgentSettings) -> Result<(), String> {
    if let Some(name) = settings.parameters.keys().find(|name| *name != PATH) {
        return Err(format!("{PROGRAM} knows no option {name}, only {PATH}"));
    }
    match settings.parameters.get(PATH).map(Path::new) {
        Some(path) if path.is_absolute() => Ok(()),
        Some(path) => Err(format!("parameters.{PATH}: {} must begin with /", path.display())),
        None => Err(format!(
            "{PROGRAM} must be told where pills lie: parameters = {{ {PATH} = \"/dev/disk/...\" }}"
        )),
    }
}

/// No LUN is where the pills of this agent lie.
fn has_its_disk_alone(agent: &FenceAgentConfig, config: &ClusterConfig) -> Result<(), ConfigError> {
    let Ok(path) = path(agent) else { return Ok(()) };
    let lies_there = |settings: &str| {
        let settings: serde_json::Value = serde_json::from_str(settings).unwrap_or_default();
        settings.get("path").and_then(|at| at.as_str()).is_some_and(|at| Path::new(at) == path)
    };
    let Some(lun) = config.luns().iter().find(|lun| lies_there(&lun.settings)) else {
        return Ok(());
    };
    let problem = format!("the poison pills of fence_agents.{} lie there", agent.name);
    let place = format!("luns.{}", lun.name);
    Err(ConfigError::new(place, problem, "give them a disk of their own"))
}

/// Checks such agents against the whole.
pub(crate) fn check(config: &ClusterConfig) -> Result<(), ConfigError> {
    let timing = config.timing();
    let mut seen = BTreeSet::new();
    for agent in config.fence_agents().iter().filter(|agent| is_pill(agent)) {
        let refused = |key: &str, problem: String, remedy: &str| {
            Err(ConfigError::new(format!("fence_agents.{}.{key}", agent.name), problem, remedy))
        };
        if !agent.reboots {
            let problem =
                "a pill lets the host's watchdog reset it, which keeps nothing off".to_owned();
            return refused("action", problem, "write \"reboot\", or leave it out");
        }
        let limit = timing.lease + timing.stop_time;
        if limit < Duration::from_secs(1) {
            let problem = format!(
                "who takes a pill is reset by a watchdog, and lease and stop_time come to {} ms, less than the 1000 ms \
                 that one can do",
                limit.as_millis()
            );
            return refused("program", problem, "take a slower timing, or another agent");
        }
        let needed = needed(timing);
        if agent.timeout < needed {
            let problem = format!(
                "{} s is shorter than a pill takes to prove anything by these timings: {} s",
                agent.timeout.as_secs(),
                needed.as_millis().div_ceil(1_000)
            );
            return refused("timeout_s", problem, "write that, or more");
        }
        has_its_disk_alone(agent, config)?;
        for &node in agent.plugs.keys() {
            let name = config.node(node).map_or(String::new(), |node| node.name.clone());
            if node.0 > u16::from(PILL_NODES) {
                let problem = format!("{name} has the number {}", node.0);
                let remedy = format!("pills are for the nodes 1 to {PILL_NODES}");
                return refused("nodes", problem, &remedy);
            }
            if !seen.insert(node) {
                let problem = format!("{name} is to obey the pills of two agents");
                return refused("nodes", problem, "name it in one");
            }
            let levels = config.fence_levels(node);
            if levels.iter().any(|level| level.len() > 1 && level.iter().any(|one| is_pill(one))) {
                let problem = format!(
                    "another agent of level {} is to switch {name} off together with a pill, which cannot keep it off",
                    agent.level
                );
                return refused("level", problem, "give it a level of its own");
            }
        }
    }
    Ok(())
}

/// What is wrong where the nodes of such agents are to start by a configuration without `[watchdog]`; none: there are
/// no such agents.
pub(crate) fn without_watchdog(config: &ClusterConfig) -> Option<ConfigError> {
    let agents: Vec<&FenceAgentConfig> =
        config.fence_agents().iter().filter(|agent| is_pill(agent)).collect();
    let nodes: BTreeSet<NodeId> =
        agents.iter().flat_map(|agent| agent.plugs.keys().copied()).collect();
    let name = |node: &NodeId| config.node(*node).map(|node| node.name.as_str());
    let names: Vec<&str> = nodes.iter().filter_map(name).collect();
    let agents: Vec<String> =
        agents.iter().map(|agent| format!("fence_agents.{}", agent.name)).collect();
    let problem = format!(
        "{} would not start by this, since {} gives them poison pills and nothing would reset their hosts then",
        names.join(", "),
        agents.join(", ")
    );
    let remedy =
        "add [watchdog] with device = \"/dev/watchdog\", or take them out of that agent's nodes";
    (!agents.is_empty()).then(|| ConfigError::new("watchdog", problem, remedy))
}

/// A request to end `node`, of which the cluster knows the start `least`, as an order of the node `by`; none: another
/// agent's.
pub(crate) fn order(
    config: &ClusterConfig,
    agent: &FenceAgentConfig,
    (node, least): (NodeId, u64),
    by: NodeId,
) -> Option<Order> {
    let place = Place::of(config, node).filter(|place| place.agent == agent.name)?;
    let name = |node| config.node(node).map_or(String::new(), |node| node.name.clone());
    Some(Order {
        place,
        name: name(node),
        least,
        by: u8::try_from(by.0).unwrap_or(0),
        reason: format!("{} is down, and {} is to see to its end", name(node), name(by)),
        times: Times::of(config.timing()),
    })
}

/// Ends a node by a pill. Blocks until that is proven, at most for `timeout`.
pub(crate) fn act(order: Order, verb: FenceVerb, timeout: Duration) -> Result<(), String> {
    if verb != FenceVerb::Reboot {
        return Err(format!("a pill cannot do {}: a watchdog only resets", action_word(verb)));
    }
    let name = order.name.clone();
    let proof = give::bounded(order, timeout)?;
    tracing::info!(node = %name, ?proof, "its poison pill has ended it");
    Ok(())
}

/// Makes the areas of a configuration's poison pills, once before their first use. Gives each path, and whether it was
/// made; false: it was there, and stays as it is. `over_other_bytes` writes over what stands in the first 2 MiB, pills
/// too: only with every node stopped.
///
/// # Errors
/// [`Error::Misuse`] when the configuration has no such agent, or something else stands there: nothing was changed
/// there. [`Error::Lun`].
pub fn init(config: &Config, over_other_bytes: bool) -> Result<Vec<(PathBuf, bool)>, Error> {
    let cluster = config.cluster();
    let paths = cluster.fence_agents().iter().filter(|agent| is_pill(agent)).map(path);
    let mut paths: Vec<PathBuf> = paths.filter_map(Result::ok).collect();
    paths.sort();
    paths.dedup();
    if paths.is_empty() {
        let text = format!("no fence agent of this configuration has program = \"{PROGRAM}\"");
        return Err(Error::Misuse(text));
    }
    let make = |path: PathBuf| {
        let made = PillArea::make(&path, cluster.id().0, over_other_bytes);
        made.map(|made| (path.clone(), made)).map_err(|error| match error {
            quorate_storage::LunError::Misuse { what } => Error::Misuse(what),
            error => Error::Lun { lun: path.display().to_string(), why: error.to_string() },
        })
    };
    paths.into_iter().map(make).collect()
}
