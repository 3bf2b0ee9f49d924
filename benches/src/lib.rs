//! What the benches share: clusters of any size, and the time of the processor.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_core::config::{
    ClusterConfig, ClusterParts, Domain, GroupConfig, NodeConfig, Policy, ResourceConfig,
    ResourcePolicy, TimingInputs, Wishes,
};
use quorate_core::id::{ClusterId, GroupId, NodeId, ResourceId};
use quorate_core::placement::{Candidate, Keeps, Now};
use rustix::time::{ClockId, clock_gettime};

/// A node that takes part and gets groups.
pub const OPEN: Candidate = Candidate { up: true, heard: true, paused: false, keeps: Keeps::All };
/// A node that is lost.
pub const LOST: Candidate = Candidate { up: false, heard: false, paused: false, keeps: Keeps::All };

/// How much more a group stays where it is than it prefers any node.
pub const STICKINESS: i32 = 1_000;

/// The node, counted from 0, where a group is at home: in turn over all nodes.
pub fn home(nodes: usize, group: usize) -> usize {
    group % nodes
}

/// The node that a group prefers after its home: the groups of one node are spread over all others.
pub fn second(nodes: usize, group: usize) -> usize {
    (home(nodes, group) + 1 + group / nodes % (nodes - 1)) % nodes
}

fn id(node: usize) -> NodeId {
    NodeId(u16::try_from(node + 1).expect("a small number"))
}

/// A cluster in which every group prefers its home (a score of 100) and one other node (50), fails back, and sticks to
/// where it is.
pub fn cluster(nodes: usize, groups: usize) -> ClusterParts {
    let node = |at: usize| NodeConfig {
        id: id(at),
        name: format!("n{}", at + 1),
        addresses: vec![format!("10.{}.{}.1:7400", at / 250, at % 250)],
        voter: at < 3,
        capacity: BTreeMap::new(),
        domain: Domain::default(),
    };
    let group = |at: usize| {
        let number = u32::try_from(at + 1).expect("a small number");
        GroupConfig {
            id: GroupId(number),
            name: format!("g{number}"),
            auto_start: true,
            possible_owners: Vec::new(),
            preferred_owners: Vec::new(),
            scores: BTreeMap::from([(id(home(nodes, at)), 100), (id(second(nodes, at)), 50)]),
            initial_owner: None,
            failback: true,
            stickiness: STICKINESS,
            failover_threshold: 2,
            failover_period: Duration::from_secs(21_600),
            retry_period: Duration::from_secs(3_600),
            wishes: Wishes::default(),
            luns: Vec::new(),
            resources: vec![ResourceConfig {
                id: ResourceId(number),
                name: format!("r{number}"),
                driver: "host".into(),
                settings: "{}".into(),
                depends_on: Vec::new(),
                depends_on_any: Vec::new(),
                save_on_move: false,
                live_on_move: false,
                restart_threshold: 3,
                restart_period: Duration::from_secs(900),
                restart_delay: Duration::from_millis(500),
                pending_timeout: Duration::from_secs(180),
                policy: ResourcePolicy::default(),
            }],
        }
    };
    ClusterParts {
        name: "bench".into(),
        id: ClusterId(7),
        timing: TimingInputs::DEFAULT,
        nodes: (0..nodes).map(node).collect(),
        luns: Vec::new(),
        groups: (0..groups).map(group).collect(),
        rules: Vec::new(),
        policy: Policy::default(),
        witness: None,
        fence_agents: Vec::new(),
    }
}

/// All nodes, open.
pub fn all_open(config: &ClusterConfig) -> BTreeMap<NodeId, Candidate> {
    config.nodes().iter().map(|node| (node.id, OPEN)).collect()
}

/// Every group runs at home.
pub fn at_home(config: &ClusterConfig) -> Vec<Now> {
    let nodes = config.nodes().len();
    let now =
        |at| Now { wanted: true, at: Some(id(home(nodes, at))), runs: true, ..Now::default() };
    (0..config.groups().len()).map(now).collect()
}

/// How long the processor has worked for this process.
pub fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The most memory that this process has had, in MiB.
pub fn memory_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|kib| kib.parse().ok());
    kib.unwrap_or(0.0) / 1024.0
}
