//! How the cost of a failover's decisions grows with the number of groups: three engines in memory,
//! no I/O.
//!
//! One run measures a small and a large cluster and prints their ratio; it fails if the large one,
//! with ten times as many groups, costs more than sixty times as much (linear growth would be ten).
//! Absolute times on a shared machine say little.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::process::ExitCode;
use std::time::{Duration, Instant as Wall};

use quorate_core::action::{Action, LunVerb, ResourceVerb};
use quorate_core::config::{
    ClusterConfig, ClusterParts, GroupConfig, LunConfig, NodeConfig, ResourceConfig, TimingInputs,
};
use quorate_core::durable::Durable;
use quorate_core::engine::Setup;
use quorate_core::event::{LunReply, StreamEnd};
use quorate_core::id::{ClusterId, GroupId, LunId, NodeId, ReservationKey, ResourceId};
use quorate_core::time::Instant;
use quorate_core::{Engine, Event};

const OWNER: NodeId = NodeId(1);
const GROUPS: [u32; 2] = [50, 500];
const RUNS: usize = 5;
const RATIO_MAX: f64 = 60.0;

fn main() -> ExitCode {
    let mut medians = Vec::new();
    for groups in GROUPS {
        let mut times: Vec<Duration> = (0..RUNS).map(|_| Cluster::fail_over(groups)).collect();
        times.sort_unstable();
        let median = times[RUNS / 2];
        println!("{groups} groups fail over in {median:?} of computing (median of {RUNS})");
        medians.push(median);
    }
    let ratio = medians[1].as_secs_f64() / medians[0].as_secs_f64();
    println!("growth_ratio {ratio:.1} for {} times the groups", GROUPS[1] / GROUPS[0]);
    if ratio <= RATIO_MAX { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Three engines; what they ask for is granted at once.
struct Cluster {
    engines: BTreeMap<NodeId, Engine>,
    queue: VecDeque<(NodeId, Event)>,
    keys: BTreeMap<LunId, (BTreeSet<ReservationKey>, Option<ReservationKey>)>,
    started: BTreeSet<ResourceId>,
    now: Instant,
}

impl Cluster {
    /// The time from the death of the node that owns every group to the last order to start one
    /// elsewhere.
    fn fail_over(groups: u32) -> Duration {
        let mut cluster = Self::online(groups);
        let boot = cluster.engines.remove(&OWNER).expect("it runs").incarnation().boot;
        cluster.started.clear();
        let begun = Wall::now();
        for node in [NodeId(2), NodeId(3)] {
            let how = StreamEnd::Reset;
            cluster.queue.push_back((node, Event::StreamClosed { node: OWNER, boot, how }));
            cluster.queue.push_back((node, Event::StreamRefused { node: OWNER }));
        }
        cluster.run_until_started(groups);
        begun.elapsed()
    }

    fn online(groups: u32) -> Self {
        let config = config(groups);
        let now = Instant(1_000_000_000);
        let engine = |node: u16| {
            let (node, durable) = (NodeId(node), Durable::default());
            let boot = u64::from(node.0);
            let setup =
                Setup { config: config.clone(), node, boot, durable, seed: boot, inherits: None };
            (node, Engine::new(setup, now))
        };
        let mut cluster = Self {
            engines: (1..=3).map(engine).collect(),
            queue: VecDeque::new(),
            keys: BTreeMap::new(),
            started: BTreeSet::new(),
            now,
        };
        for (a, b) in [(1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2)] {
            let opened = Event::StreamOpened { node: NodeId(b), boot: u64::from(b) };
            cluster.queue.push_back((NodeId(a), opened));
        }
        cluster.run_until_started(groups);
        cluster
    }

    fn run_until_started(&mut self, groups: u32) {
        loop {
            while let Some((node, event)) = self.queue.pop_front() {
                let Some(engine) = self.engines.get_mut(&node) else { continue };
                for action in engine.step(event, self.now) {
                    self.carry_out(node, action);
                }
            }
            if self.started.len() == groups as usize {
                return;
            }
            let next = self.engines.iter().filter_map(|(&id, one)| Some((one.deadline()?, id)));
            let (at, node) = next.min().expect("an engine always has a deadline");
            self.now = self.now.max(at);
            self.queue.push_back((node, Event::Tick));
        }
    }

    fn carry_out(&mut self, node: NodeId, action: Action) {
        let event = match action {
            Action::SendBeat { to, path, beat } => {
                return self.queue.push_back((to, Event::Beat { from: node, path, beat }));
            }
            Action::Send { to, message } => {
                return self.queue.push_back((to, Event::Message { from: node, message }));
            }
            Action::Persist { op, .. } => Event::Persisted { op },
            Action::Lun { op, lun, verb } => {
                Event::Lun { op, lun, result: Ok(self.lun(lun, verb)) }
            }
            Action::Resource { op, resource, verb } => {
                if let ResourceVerb::Start { .. } = verb {
                    self.started.insert(resource);
                }
                Event::Resource { op, resource, result: Ok(()) }
            }
            Action::Answer { .. }
            | Action::Reincarnated { .. }
            | Action::Witness { .. }
            | Action::Fence { .. }
            | Action::Left
            | Action::Evicted => return,
        };
        self.queue.push_back((node, event));
    }

    fn lun(&mut self, lun: LunId, verb: LunVerb) -> LunReply {
        let (keys, holder) = self.keys.entry(lun).or_default();
        match verb {
            LunVerb::Register(key) => {
                keys.insert(key);
            }
            LunVerb::Reserve(key) => *holder = Some(key),
            LunVerb::Preempt { own, victim } => {
                keys.remove(&victim);
                *holder = Some(own);
            }
            LunVerb::ReadKeys => {
                return LunReply::Keys { keys: keys.iter().copied().collect(), holder: *holder };
            }
            LunVerb::Attach { .. } | LunVerb::Detach | LunVerb::ReadBeat(_) => {}
        }
        LunReply::Done
    }
}

fn config(groups: u32) -> ClusterConfig {
    let node = |id: u16| NodeConfig {
        id: NodeId(id),
        name: format!("n{id}"),
        addresses: vec![format!("10.0.0.{id}:7000")],
        voter: true,
        capacity: quorate_core::config::Amounts::new(),
        domain: quorate_core::config::Domain::default(),
    };
    let lun = |id: u32| LunConfig {
        id: LunId(id),
        name: format!("lun{id}"),
        driver: "iscsi".into(),
        settings: "{}".into(),
        enforced: true,
        part: false,
    };
    let resource = |id: u32| ResourceConfig {
        id: ResourceId(id),
        name: format!("guest{id}"),
        driver: "host".into(),
        settings: "{}".into(),
        depends_on: Vec::new(),
        live_on_move: false,
        save_on_move: false,
        restart_threshold: 3,
        restart_period: Duration::from_secs(900),
        restart_delay: Duration::from_millis(500),
        pending_timeout: Duration::from_secs(180),
        policy: quorate_core::config::ResourcePolicy::default(),
        depends_on_any: Vec::new(),
    };
    let group = |id: u32| GroupConfig {
        id: GroupId(id),
        name: format!("vm{id}"),
        auto_start: true,
        possible_owners: Vec::new(),
        preferred_owners: vec![OWNER],
        scores: BTreeMap::new(),
        initial_owner: None,
        failback: false,
        stickiness: 0,
        failover_threshold: 2,
        failover_period: Duration::from_secs(21_600),
        retry_period: Duration::from_secs(3_600),
        wishes: quorate_core::config::Wishes::default(),
        luns: vec![LunId(id)],
        resources: vec![resource(id)],
    };
    ClusterConfig::new(ClusterParts {
        witness: None,
        fence_agents: Vec::new(),
        name: "bench".into(),
        id: ClusterId(7),
        timing: TimingInputs::FAST,
        nodes: (1..=3).map(node).collect(),
        luns: (1..=groups).map(lun).collect(),
        groups: (1..=groups).map(group).collect(),
        rules: Vec::new(),
        policy: quorate_core::config::Policy::default(),
    })
    .expect("it is valid")
}
