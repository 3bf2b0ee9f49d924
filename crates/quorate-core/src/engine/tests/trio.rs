//! Three engines, and the world around them: what they ask for is carried out at once.

use super::*;

pub(super) fn config(enforced: bool, edit: impl FnOnce(&mut GroupConfig)) -> ClusterConfig {
    let node = |id: u16| NodeConfig {
        id: NodeId(id),
        name: format!("n{id}"),
        addresses: vec![format!("10.0.0.{id}:7000")],
        voter: true,
        capacity: crate::config::Amounts::new(),
        domain: crate::config::Domain::default(),
    };
    let resource = ResourceConfig {
        id: ResourceId(1),
        name: "guest".into(),
        driver: "host".into(),
        settings: "{}".into(),
        depends_on: Vec::new(),
        live_on_move: false,
        save_on_move: true,
        restart_threshold: 3,
        restart_period: Duration::from_secs(900),
        restart_delay: Duration::from_millis(500),
        pending_timeout: Duration::from_secs(60),
        policy: crate::config::ResourcePolicy::default(),
        depends_on_any: Vec::new(),
    };
    let mut group = GroupConfig {
        id: VM,
        name: "vm".into(),
        auto_start: true,
        possible_owners: Vec::new(),
        preferred_owners: vec![A],
        scores: BTreeMap::new(),
        initial_owner: None,
        failback: false,
        stickiness: 0,
        failover_threshold: 2,
        failover_period: Duration::from_secs(21_600),
        retry_period: Duration::from_secs(3_600),
        wishes: crate::config::Wishes::default(),
        luns: vec![LunId(1)],
        resources: vec![resource],
    };
    edit(&mut group);
    let lun = LunConfig {
        id: LunId(1),
        name: "lun".into(),
        driver: "iscsi".into(),
        settings: format!("{{\"url\":\"{SECRET_URL}\"}}"),
        enforced,
        part: false,
    };
    ClusterConfig::new(ClusterParts {
        name: "trio".into(),
        id: ClusterId(7),
        timing: TimingInputs::FAST,
        nodes: vec![node(1), node(2), node(3)],
        luns: vec![lun],
        groups: vec![group],
        rules: Vec::new(),
        policy: crate::config::Policy::default(),
        witness: None,
        fence_agents: Vec::new(),
    })
    .expect("it is valid")
}

pub(crate) struct Trio {
    pub(super) recorders: BTreeMap<NodeId, Recorder>,
    /// The recording of each start of a node.
    pub(crate) recordings: BTreeMap<(NodeId, u64), Vec<u8>>,
    pub(super) config: ClusterConfig,
    pub(super) now: Instant,
    pub(super) engines: BTreeMap<NodeId, Engine>,
    pub(super) records: BTreeMap<NodeId, Vec<Record>>,
    pub(super) silent: BTreeSet<NodeId>,
    pub(super) queue: VecDeque<(NodeId, Event)>,
    pub(super) keys: BTreeSet<(NodeId, ReservationKey)>,
    pub(super) holder: Option<ReservationKey>,
    pub(super) running: BTreeSet<NodeId>,
    pub(super) verbs: Vec<(NodeId, ResourceVerb)>,
    pub(super) answers: Vec<Result<(), Refusal>>,
    pub(super) notices: Vec<(Instant, NodeId, Notice)>,
    pub(super) refused_sends: u32,
    /// Nodes whose drivers do not answer.
    pub(super) mute: BTreeSet<NodeId>,
    /// Nodes from where no LUN answers.
    pub(super) unreaching: BTreeSet<NodeId>,
    /// The witness's register; none: nobody reaches it.
    pub(super) register: Option<(u64, Vec<u8>)>,
    /// What agents were asked, and which of them succeed.
    pub(super) fences: Vec<(String, NodeId, FenceVerb)>,
    pub(super) able_agents: BTreeSet<&'static str>,
}

impl Trio {
    pub(crate) fn start(enforced: bool) -> Self {
        Self::start_with(enforced, |_| {})
    }

    pub(super) fn start_with(enforced: bool, edit: impl FnOnce(&mut GroupConfig)) -> Self {
        Self::start_as(config(enforced, edit))
    }

    pub(super) fn start_as(config: ClusterConfig) -> Self {
        let mut trio = Self {
            recorders: BTreeMap::new(),
            recordings: BTreeMap::new(),
            config,
            now: Instant(1_000_000_000),
            engines: BTreeMap::new(),
            records: BTreeMap::new(),
            silent: BTreeSet::new(),
            queue: VecDeque::new(),
            keys: BTreeSet::new(),
            holder: None,
            running: BTreeSet::new(),
            verbs: Vec::new(),
            answers: Vec::new(),
            notices: Vec::new(),
            refused_sends: 0,
            mute: BTreeSet::new(),
            unreaching: BTreeSet::new(),
            register: Some((0, Vec::new())),
            fences: Vec::new(),
            able_agents: BTreeSet::new(),
        };
        let nodes: Vec<NodeId> = trio.config.nodes().iter().map(|node| node.id).collect();
        nodes.into_iter().for_each(|node| trio.boot(node));
        trio
    }

    pub(super) fn verb_words(&self) -> Vec<(NodeId, &'static str)> {
        let word = |&(node, verb): &(NodeId, ResourceVerb)| match verb {
            ResourceVerb::Save { .. } => (node, "save"),
            ResourceVerb::Send { .. } => (node, "send"),
            ResourceVerb::Load { .. } => (node, "load"),
            ResourceVerb::Run => (node, "run"),
            ResourceVerb::Start { .. } => (node, "start"),
            ResourceVerb::Stop { .. } => (node, "stop"),
            ResourceVerb::Kill => (node, "kill"),
        };
        self.verbs.iter().map(word).collect()
    }

    pub(crate) fn boot(&mut self, node: NodeId) {
        self.boot_as(node, true);
    }

    /// A node boots, which reaches its LUNs or does not.
    pub(super) fn boot_as(&mut self, node: NodeId, reached: bool) {
        let boot = self.now.0;
        let durable = Durable::replay(self.records.entry(node).or_default().clone());
        let setup = Setup {
            config: self.config.clone(),
            node,
            boot,
            durable,
            seed: boot ^ u64::from(node.0),
            inherits: None,
        };
        let (recorder, bytes) = Recorder::begin(&setup, self.now, Origin::default());
        self.recorders.insert(node, recorder);
        self.recordings.insert((node, boot), bytes);
        self.engines.insert(node, Engine::new(setup, self.now));
        let others: Vec<NodeId> = self.engines.keys().copied().filter(|&id| id != node).collect();
        self.queue.push_back((node, Event::Tick));
        for lun in self.config.luns() {
            self.queue.push_back((node, Event::LunPath { lun: lun.id, reached }));
        }
        for other in others {
            let its = self.engines[&other].incarnation().boot;
            self.queue.push_back((other, Event::StreamOpened { node, boot }));
            self.queue.push_back((node, Event::StreamOpened { node: other, boot: its }));
        }
        self.drain();
    }

    /// Its process ends, and its guests with it; its kernel tells the others.
    pub(crate) fn kill(&mut self, node: NodeId) {
        let boot = self.engines.remove(&node).expect("it runs").incarnation().boot;
        self.running.remove(&node);
        for other in self.engines.keys().copied().collect::<Vec<_>>() {
            let how = StreamEnd::Reset;
            self.queue.push_back((other, Event::StreamClosed { node, boot, how }));
            self.queue.push_back((other, Event::StreamRefused { node }));
        }
        self.drain();
    }

    /// Ends every recording.
    pub(crate) fn finish(&mut self) {
        for (node, recorder) in std::mem::take(&mut self.recorders) {
            let boots = (node, 0)..=(node, u64::MAX);
            let (_, file) = self.recordings.range_mut(boots).last().expect("it has begun");
            file.extend(recorder.end(Ending::Closed));
        }
    }

    pub(super) fn drain(&mut self) {
        while let Some((node, event)) = self.queue.pop_front() {
            let Some(engine) = self.engines.get_mut(&node) else { continue };
            let recorder = self.recorders.get_mut(&node).expect("every engine is recorded");
            recorder.event(&event, self.now);
            let boot = engine.incarnation().boot;
            let actions = engine.step(event, self.now);
            recorder.actions(&actions);
            if recorder.waiting() > 500 {
                let file = self.recordings.get_mut(&(node, boot)).expect("it has begun");
                file.extend(recorder.take());
            }
            actions.iter().for_each(|action| policies::assert_explained(engine, action));
            let notices = engine.notices();
            self.notices.extend(notices.into_iter().map(|notice| (self.now, node, notice)));
            actions.into_iter().for_each(|action| self.carry_out(node, action));
        }
    }

    pub(super) fn is_cut(&self, a: NodeId, b: NodeId) -> bool {
        self.silent.contains(&a) || self.silent.contains(&b)
    }

    pub(super) fn carry_out(&mut self, node: NodeId, action: Action) {
        match action {
            Action::SendBeat { to, path, beat } if !self.is_cut(node, to) => {
                self.queue.push_back((to, Event::Beat { from: node, path, beat }));
            }
            Action::Send { to, message } if !self.is_cut(node, to) => {
                self.queue.push_back((to, Event::Message { from: node, message }));
            }
            Action::Persist { op, records, rewrite } => {
                let log = self.records.entry(node).or_default();
                if rewrite {
                    log.clear();
                }
                log.extend(records);
                self.queue.push_back((node, Event::Persisted { op }));
            }
            Action::Lun { op, lun, verb } => {
                let result = match self.unreaching.contains(&node) {
                    true => Err(LunFailure::Unreachable),
                    false => Ok(self.lun(node, verb)),
                };
                self.queue.push_back((node, Event::Lun { op, lun, result }));
            }
            Action::Resource { .. } if self.mute.contains(&node) => {}
            Action::Resource { op, resource, verb } => {
                self.verbs.push((node, verb));
                match verb {
                    ResourceVerb::Start { .. } | ResourceVerb::Run => {
                        self.running.insert(node);
                    }
                    ResourceVerb::Load { .. } => {}
                    ResourceVerb::Send { .. } if self.refused_sends > 0 => {
                        self.refused_sends -= 1;
                        let result = Err("the other side cannot take it".to_owned());
                        return self
                            .queue
                            .push_back((node, Event::Resource { op, resource, result }));
                    }
                    ResourceVerb::Save { .. }
                    | ResourceVerb::Send { .. }
                    | ResourceVerb::Stop { .. }
                    | ResourceVerb::Kill => {
                        self.running.remove(&node);
                    }
                }
                assert!(self.running.len() <= 1 || self.config.luns()[0].enforced, "two owners");
                self.queue.push_back((node, Event::Resource { op, resource, result: Ok(()) }));
            }
            Action::Witness { op, verb } => {
                let result = self.take_witness(verb);
                self.queue.push_back((node, Event::Witness { op, result }));
            }
            Action::Fence { op, agent, node: victim, verb } => {
                let able = self.able_agents.contains(agent.as_str());
                if able && verb != FenceVerb::On {
                    self.engines.remove(&victim);
                    self.running.remove(&victim);
                }
                self.fences.push((agent, victim, verb));
                let result = if able { Ok(()) } else { Err("it does not answer".to_owned()) };
                self.queue.push_back((node, Event::Fence { op, result }));
            }
            Action::Answer { result, .. } => self.answers.push(result),
            Action::SendBeat { .. }
            | Action::Send { .. }
            | Action::Reincarnated { .. }
            | Action::Left
            | Action::Evicted => {}
        }
    }

    pub(super) fn lun(&mut self, node: NodeId, verb: LunVerb) -> LunReply {
        match verb {
            LunVerb::Register(key) => {
                self.keys.insert((node, key));
            }
            LunVerb::ReadKeys => {
                let keys = self.keys.iter().map(|&(_, key)| key).collect();
                return LunReply::Keys { keys, holder: self.holder };
            }
            LunVerb::Reserve(key) => self.holder = Some(key),
            LunVerb::Preempt { own, victim } => {
                self.keys.retain(|&(_, key)| key != victim);
                if self.holder == Some(victim) {
                    self.holder = Some(own);
                }
            }
            LunVerb::Attach { .. } | LunVerb::Detach => {}
            LunVerb::ReadBeat(_) => return LunReply::Beat { counter: Some(self.now.0) },
        }
        LunReply::Done
    }

    /// Lets time pass until `done`, at most for `limit`.
    pub(super) fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) {
        let end = self.now + limit;
        while !done(self) {
            let next = self.engines.iter().filter_map(|(&node, one)| Some((one.deadline()?, node)));
            let (at, node) = next.min().expect("an engine always has a deadline");
            assert!(at <= end, "it did not happen within {limit:?}: {:#?}", self.notices);
            self.now = self.now.max(at);
            self.queue.push_back((node, Event::Tick));
            self.drain();
        }
    }

    pub(super) fn command(&mut self, node: NodeId, command: Command) {
        self.queue.push_back((node, Event::Command { request: RequestId(self.now.0), command }));
        self.drain();
    }

    pub(super) fn is_online_on(&self, node: NodeId) -> bool {
        self.engines.values().all(|engine| {
            let status = engine.status(self.now);
            let group = status.groups.first();
            group.is_some_and(|group| {
                group.state == "online" && group.owner == Some(format!("n{}", node.0))
            })
        })
    }

    /// A group with its own settings, online on A.
    pub(super) fn online_as(edit: impl FnOnce(&mut GroupConfig)) -> Self {
        let mut trio = Self::start_with(true, edit);
        trio.run_until(Duration::from_secs(5), |trio| trio.is_online_on(A));
        trio
    }

    pub(super) fn group(&self, asked: NodeId) -> &GroupRecord {
        self.engines[&asked].database().and_then(|one| one.group(VM)).expect("it is a member")
    }

    pub(super) fn online() -> Self {
        Self::online_with(true)
    }

    pub(super) fn online_with(enforced: bool) -> Self {
        let mut trio = Self::start(enforced);
        trio.run_until(Duration::from_secs(5), |trio| trio.is_online_on(A));
        trio
    }
}
