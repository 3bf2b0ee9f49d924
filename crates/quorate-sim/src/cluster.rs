//! The cluster of a run, drawn from its seed.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_core::config::{
    ClusterConfig, ClusterParts, FenceAgentConfig, GroupConfig, Limits, LunConfig, NewGroup,
    NodeConfig, Policy, Quarantine, ResourceConfig, TimingInputs, VOTERS_MAX, WitnessConfig,
};
use quorate_core::id::{ClusterId, GroupId, LunId, NodeId, ResourceId};
use quorate_core::random::Random;

use crate::chance;
use crate::options::Options;

/// How many networks the nodes share.
pub const PATHS: u8 = 2;

/// How long a driver may take in the simulated cluster, in detection times.
const PENDING: u32 = 3;

/// Draws a cluster.
pub fn draw(random: &mut Random, options: &Options) -> ClusterConfig {
    if let Some(config) = &options.config {
        return config.clone();
    }
    let nodes = options.nodes.unwrap_or_else(|| 3 + random.below(6).saturating_sub(3) as u16);
    let groups = options.groups.unwrap_or_else(|| 2 + random.below(3) as u32);
    let timing = options.timing.unwrap_or_else(|| draw_timing(random));
    let voters = if nodes > 3 && random.chance(1, 3) { 3 } else { nodes.min(VOTERS_MAX as u16) };
    let id = ClusterId(random.draw());
    // By the cluster's number, so that no draw is needed: some have two nodes in place of three.
    let few =
        options.nodes.is_none() && !options.ruled && nodes == 3 && (id.0 >> 8).is_multiple_of(5);
    let (nodes, voters) = if few { (2, 2) } else { (nodes, voters) };
    let mut parts = ClusterParts {
        name: "simulated".into(),
        id,
        timing,
        nodes: (1..=nodes).map(|id| node(id, id <= voters)).collect(),
        luns: Vec::new(),
        groups: Vec::new(),
        rules: Vec::new(),
        policy: Policy::default(),
        witness: witness(id, voters),
        fence_agents: Vec::new(),
    };
    parts.policy = policy(&parts);
    for id in 1..=groups {
        let luns = draw_luns(random, id, parts.id, &mut parts.luns);
        let group = draw_group(random, GroupId(id), luns, &parts);
        parts.groups.push(group);
    }
    add_agents(&mut parts);
    if options.ruled {
        crate::ruled::rule(random, &mut parts);
    }
    ClusterConfig::new(parts).expect("a drawn cluster holds together")
}

/// A group beside those of a drawn cluster, with its LUNs: the same for the same number, whenever it comes.
pub fn another_group(config: &ClusterConfig, number: u32) -> NewGroup {
    let mut random = Random::new(config.id().0 ^ u64::from(number));
    let mut luns = Vec::new();
    let of_group = draw_luns(&mut random, number, config.id(), &mut luns);
    let group = draw_group(&mut random, GroupId(number), of_group, config.parts());
    NewGroup { group, luns, rules: Vec::new(), only_if: None }
}

/// Where the nodes that vote are even in number, there is a witness; of four, in three clusters of four.
fn witness(id: ClusterId, voters: u16) -> Option<WitnessConfig> {
    let wanted = voters.is_multiple_of(2) && (voters == 2 || !(id.0 >> 16).is_multiple_of(4));
    wanted.then(|| WitnessConfig { path: "/mnt/share/simulated".into(), votes: None })
}

/// Mostly nothing is held back: who comes and goes is given groups all the same, so that much happens. Some clusters
/// hold back what flaps, others do one thing after the other. By the cluster's number, so that no draw is needed.
fn policy(parts: &ClusterParts) -> Policy {
    let detect = parts.timing.detect;
    let (mut quarantine, mut limits) = (None, Limits::default());
    match parts.id.0 % 8 {
        0 => {
            let (period, hold, hold_max) = (detect * 60, detect * 10, detect * 40);
            quarantine = Some(Quarantine { threshold: 2, period, hold, hold_max });
        }
        1 => (limits.failovers_max, limits.starts_per_node_max) = (Some(1), Some(1)),
        _ => {}
    }
    Policy { limits, quarantine, ..Policy::default() }
}

/// In some clusters agents can end nodes: one alone, two that have to do so together, or these after that one. Some
/// of these have every lost node ended, and groups that take no less. By the cluster's number, so that no draw is
/// needed.
fn add_agents(parts: &mut ClusterParts) {
    let kind = parts.id.0 >> 24;
    if !kind.is_multiple_of(4) {
        return;
    }
    let timeout = pending_timeout(&parts.timing).max(Duration::from_secs(1));
    let agent = |name: &str, level: u8, tries: u32| FenceAgentConfig {
        name: name.to_owned(),
        settings: "{}".to_owned(),
        plugs: parts.nodes.iter().map(|node| (node.id, node.name.clone())).collect(),
        level,
        reboots: !(kind / 4).is_multiple_of(8),
        timeout,
        tries,
    };
    let board = agent("board", 1, 2);
    let pair = |level| [agent("pdu-a", level, 1), agent("pdu-b", level, 2)];
    let agents = match kind / 4 % 3 {
        0 => vec![board],
        1 => [board].into_iter().chain(pair(2)).collect(),
        _ => pair(1).into(),
    };
    parts.fence_agents = agents;
    parts.policy.fence_lost_nodes = (kind / 8).is_multiple_of(2);
    for group in parts.groups.iter_mut().filter(|group| group.id.0 % 3 == 1) {
        group.wishes.fence_agent_required = (kind / 16).is_multiple_of(2);
    }
}

/// One of the profiles that ship; now and then with clocks as bad as may be configured.
fn draw_timing(random: &mut Random) -> TimingInputs {
    let mut timing = if random.chance(1, 3) { TimingInputs::FAST } else { TimingInputs::DEFAULT };
    if random.chance(1, 4) {
        timing.drift_ppm = 50_000;
    }
    timing
}

/// A rate at which a clock may run: three eighths of what two nodes may drift apart, this way or that. A step is an
/// eighth at most, so that two nodes stay within the bound.
pub fn draw_ppm(random: &mut Random, config: &ClusterConfig) -> i64 {
    let most = i64::from(config.timing().inputs().drift_ppm) * 3 / 8;
    random.below(2 * most as u64 + 1) as i64 - most
}

/// The largest step of a clock within the bound, at most one in a detection time.
pub fn step_max(config: &ClusterConfig) -> Duration {
    config.timing().detect * config.timing().inputs().drift_ppm / 8_000_000
}

/// How long a driver may take with one request.
pub fn pending_timeout(timing: &TimingInputs) -> Duration {
    timing.detect * PENDING
}

fn node(id: u16, voter: bool) -> NodeConfig {
    let addresses = (0..PATHS).map(|path| format!("10.{path}.0.{id}:7000")).collect();
    NodeConfig {
        id: NodeId(id),
        name: format!("n{id}"),
        addresses,
        voter,
        capacity: quorate_core::config::Amounts::new(),
        domain: quorate_core::config::Domain::default(),
    }
}

/// The LUNs of a group: mostly one that refuses, often one that does not, sometimes none or two. In a third of all
/// clusters those that refuse are parts of one.
fn draw_luns(
    random: &mut Random,
    group: u32,
    cluster: ClusterId,
    luns: &mut Vec<LunConfig>,
) -> Vec<LunId> {
    // By the cluster's number, so that no draw is needed.
    let shared = (cluster.0 >> 40).is_multiple_of(3);
    let enforced: &[bool] = match random.below(10) {
        0 => &[],
        1 => &[true, true],
        2..=5 => &[true],
        _ => &[false],
    };
    let of_group = |at: usize| LunId(group * 10 + at as u32);
    for (at, &enforced) in enforced.iter().enumerate() {
        luns.push(LunConfig {
            id: of_group(at),
            name: format!("lun-{group}-{at}"),
            driver: if enforced { "iscsi" } else { "file" }.into(),
            settings: "{}".into(),
            enforced,
            part: enforced && shared,
        });
    }
    (0..enforced.len()).map(of_group).collect()
}

fn draw_group(
    random: &mut Random,
    id: GroupId,
    luns: Vec<LunId>,
    parts: &ClusterParts,
) -> GroupConfig {
    let mut owners: Vec<NodeId> = parts.nodes.iter().map(|node| node.id).collect();
    chance::shuffle(random, &mut owners);
    let possible = if random.chance(1, 4) { owners[..2].to_vec() } else { Vec::new() };
    let preferred = if random.chance(1, 2) { owners[..1].to_vec() } else { Vec::new() };
    let two = random.chance(1, 4);
    let first = ResourceId(id.0 * 10);
    let mut resources = vec![resource(random, first, &parts.timing, Vec::new(), !two)];
    if two {
        let second = ResourceId(id.0 * 10 + 1);
        resources.push(resource(random, second, &parts.timing, vec![first], false));
    }
    GroupConfig {
        id,
        name: format!("g{id}", id = id.0),
        auto_start: true,
        possible_owners: possible,
        preferred_owners: preferred,
        scores: BTreeMap::new(),
        initial_owner: None,
        failback: random.chance(1, 4),
        stickiness: 0,
        failover_threshold: 1_000,
        failover_period: Duration::from_secs(3_600),
        retry_period: parts.timing.detect,
        wishes: quorate_core::config::Wishes::default(),
        luns,
        resources,
    }
}

fn resource(
    random: &mut Random,
    id: ResourceId,
    timing: &TimingInputs,
    depends_on: Vec<ResourceId>,
    may_save: bool,
) -> ResourceConfig {
    let save = may_save && random.chance(2, 3);
    ResourceConfig {
        id,
        name: format!("r{}", id.0),
        driver: "host".into(),
        settings: "{}".into(),
        depends_on,
        // Every other group, so that no draw is needed.
        live_on_move: save && (id.0 / 10).is_multiple_of(2),
        save_on_move: save,
        restart_threshold: random.below(4) as u32,
        restart_period: timing.detect * 30,
        restart_delay: Duration::from_millis(500),
        pending_timeout: pending_timeout(timing),
        policy: quorate_core::config::ResourcePolicy::default(),
        depends_on_any: Vec::new(),
    }
}
