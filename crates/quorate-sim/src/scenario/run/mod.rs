//! A scenario's life in a world.
//!
//! First the world is brought into the given state, with the means that any operator has; then its facts begin, and
//! its time at 0. A step comes when its time has come and nothing is pending.

mod actions;
mod departures;
mod history;
mod operator;
mod past;
mod quiet;
mod record;
mod view;

use std::collections::BTreeSet;
use std::time::Duration;

use quorate_core::change::FenceKind;
use quorate_core::config::ClusterConfig;
use quorate_core::database::{Database, NodeState};
use quorate_core::id::NodeId;
use quorate_core::message::Command;

use super::model::{OnLoss, Scenario, Story};
use super::outcome::{Answer, Outcome, State};
use super::plan::{Missing, Plan};
use crate::clock::Moment;
use crate::host::Host;
use crate::options::{Faults, Options};
use crate::timeline::{Entry, Timeline};
use crate::world::World;
use departures::Departure;
use operator::Operator;
use quiet::Wait;

/// How often the operator looks at the world.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// How often drivers say what they find running unasked.
const STRAYS_INTERVAL: Duration = Duration::from_secs(2);

/// What a run has left behind.
#[derive(Clone, Debug)]
pub struct Ran {
    /// What came of it.
    pub answer: Answer,
    /// Every event and every decision, a line each, if it was wanted.
    pub trace: Vec<String>,
    /// What happened, from the beginning of the facts on.
    pub timeline: Vec<Entry>,
    /// The cluster; none: it was skipped.
    pub config: Option<ClusterConfig>,
}

/// Runs a scenario.
pub(super) fn run(scenario: &Scenario, seed: u64, trace: bool) -> Ran {
    let skipped = |missing: Missing| Ran {
        answer: Answer::Skipped { id: scenario.id.clone(), skipped: missing.0 },
        trace: Vec::new(),
        timeline: Vec::new(),
        config: None,
    };
    let plan = match Plan::of(scenario) {
        Ok(plan) => plan,
        Err(missing) => return skipped(missing),
    };
    let mut stage = Stage::new(scenario, plan, seed, trace);
    let steps = stage.play();
    match stage.missing.take() {
        Some(missing) => skipped(missing),
        None => stage.finish(seed, steps),
    }
}

/// A world, and who acts in it.
struct Stage<'a> {
    scenario: &'a Scenario,
    plan: Plan,
    world: World,
    /// When the facts begin, and how many entries of the timeline came before.
    zero: (Moment, usize),
    /// The groups that ran then.
    running: BTreeSet<String>,
    /// Nodes that are fenced though they are seen, and then are off.
    unclean: BTreeSet<NodeId>,
    /// Nodes that are being fenced since they were lost.
    fencing: BTreeSet<NodeId>,
    /// When drivers last said what they find running unasked.
    strays_told: Option<Moment>,
    operator: Operator,
    departures: Vec<Departure>,
    /// Nodes in maintenance by the operator's word.
    maintained: BTreeSet<NodeId>,
    /// Nodes that are to be empty, and are not known to be.
    draining: BTreeSet<NodeId>,
    /// Nodes that get back what was drained from them when they are on again.
    returning: BTreeSet<NodeId>,
    /// Nodes without a network.
    cut: BTreeSet<NodeId>,
    /// Groups that are taken out.
    removed: BTreeSet<String>,
    missing: Option<Missing>,
}

impl<'a> Stage<'a> {
    fn new(scenario: &'a Scenario, plan: Plan, seed: u64, trace: bool) -> Self {
        let options = Options {
            config: Some(past::founded(scenario, &plan)),
            faults: Faults::NONE,
            story: trace,
            timeline: true,
            ..Options::default()
        };
        let mut world = World::new(seed, &options);
        world.take_over();
        if scenario.cluster.on_loss == OnLoss::SelfFence {
            world.fence_themselves();
        }
        Self {
            scenario,
            plan,
            world,
            zero: (Moment::default(), 0),
            running: BTreeSet::new(),
            unclean: BTreeSet::new(),
            fencing: BTreeSet::new(),
            strays_told: None,
            operator: Operator::default(),
            departures: Vec::new(),
            maintained: BTreeSet::new(),
            draining: BTreeSet::new(),
            returning: BTreeSet::new(),
            cut: BTreeSet::new(),
            removed: BTreeSet::new(),
            missing: None,
        }
    }

    /// Brings the world into the given state, lets the story happen, and gives the state before each further step and
    /// at the end.
    fn play(&mut self) -> Vec<State> {
        let scenario = self.scenario;
        match &scenario.story {
            Story::Timeline { up, groups, initial_state, .. } => {
                self.begin_timeline(up, groups, initial_state.as_ref());
            }
            Story::Snapshot { given, .. } => self.begin_snapshot(given),
        }
        let mut states = Vec::new();
        if let Story::Timeline { steps, .. } = &scenario.story {
            for (index, step) in steps.iter().enumerate() {
                self.settle(self.zero.0 + step.at, Wait::Step);
                if index > 0 {
                    states.push(self.state());
                }
                self.world.note_step(index);
                for act in &step.actions {
                    self.act(act);
                }
                self.tend();
            }
        }
        self.settle(self.zero.0, Wait::End);
        states.push(self.state());
        states
    }

    /// From here on everything counts.
    fn begin_facts(&mut self) {
        let before = self.world.timeline().map_or(0, |timeline| timeline.entries().len());
        self.zero = (self.world.now(), before);
        let runs = self.plan.groups.iter().filter(|one| !self.world.runs_on(one.id).is_empty());
        self.running = runs.map(|one| one.name.clone()).collect();
    }

    /// Lets some time pass, and looks after what takes several turns.
    fn pass(&mut self, length: Duration) {
        self.world.run_for(length);
        self.tend();
    }

    fn tend(&mut self) {
        self.press();
        self.depart();
        self.switch_fenced_off();
        self.fence_the_lost();
        self.tell_of_strays();
        self.watch_drains();
    }

    /// Whoever fences a node that is seen switches it off as soon as that is agreed.
    fn switch_fenced_off(&mut self) {
        let fenced = |node: &NodeId| {
            let record = self.database().and_then(|database| database.node(*node));
            record.is_some_and(|record| record.state != NodeState::Up)
        };
        let off: Vec<NodeId> = self.unclean.iter().copied().filter(fenced).collect();
        for node in off {
            self.unclean.remove(&node);
            self.world.power_off(node);
        }
    }

    /// Drivers say now and then what they find running unasked, from the beginning of the facts on.
    fn tell_of_strays(&mut self) {
        let begun = self.zero.0 != Moment::default();
        let now = self.world.now();
        let lately = self.strays_told.is_some_and(|told| now.since(told) < STRAYS_INTERVAL);
        if begun && !lately {
            self.strays_told = Some(now);
            self.world.report_found();
        }
    }

    /// Where what runs is kept without a quorum, no lease that is over proves anything; nor does it of what somebody
    /// has started by hand. Whoever fences takes the power of a node that is lost and had such a thing, and says so.
    fn fence_the_lost(&mut self) {
        let is_kept = self.plan.config.policy().keep_without_quorum;
        let somebody_acts = self.world.hosts().any(|host| self.may_act(host));
        if !self.scenario.cluster.fencing || !somebody_acts {
            return;
        }
        let Some(database) = self.database() else { return };
        let is_down = |node: NodeId| {
            database.node(node).is_some_and(|one| matches!(one.state, NodeState::Down(_)))
        };
        let by_time = |node: NodeId| {
            let state = database.node(node).map(|one| one.state);
            state == Some(NodeState::Fenced(FenceKind::LeaseOver))
        };
        let records = || database.groups().values();
        let owners = records().filter_map(|record| record.owner()).map(|(node, _)| node);
        let owners = owners.filter(|&node| is_kept && is_down(node));
        let strays = records().flat_map(|record| record.strays.keys().copied());
        let lost: BTreeSet<NodeId> =
            owners.chain(strays.filter(|&node| is_down(node) || by_time(node))).collect();
        self.fencing.retain(|node| lost.contains(node));
        for node in lost {
            if self.fencing.insert(node) {
                self.world.power_off(node);
                let reason = "its power was taken".to_owned();
                self.wish(Command::ConfirmFenced { node: self.name_of(node), reason });
            }
        }
    }

    /// A node that was to be emptied and runs nothing any more is drained.
    fn watch_drains(&mut self) {
        let empty = |node: &NodeId| {
            let owns = |database: &Database| {
                let mut groups = database.groups().values();
                groups.any(|record| record.owner().is_some_and(|(owner, _)| owner == *node))
            };
            let drained = |database: &Database| {
                database.node(*node).is_some_and(|record| record.draining) && !owns(database)
            };
            !self.runs_anything(*node) && self.database().is_some_and(drained)
        };
        let drained: Vec<NodeId> = self.draining.iter().copied().filter(empty).collect();
        for node in drained {
            self.draining.remove(&node);
            self.world.note_drained(node);
        }
    }

    fn runs_anything(&self, node: NodeId) -> bool {
        self.world.host_of(node).slots.values().any(|slot| slot.guest.is_some())
    }

    /// The newest database that a process which runs has.
    fn database(&self) -> Option<&Database> {
        let awake = self.world.hosts().filter(|host| host.is_awake());
        let databases = awake.filter_map(|host| host.process.as_ref()?.engine.database());
        databases.max_by_key(|database| database.applied())
    }

    /// Whether the node's engine may act.
    fn may_act(&self, host: &Host) -> bool {
        let now = host.clock.local(self.world.now());
        let process = host.process.as_ref().filter(|_| host.is_awake());
        process.and_then(|process| process.engine.lease()).is_some_and(|until| now < until)
    }

    /// The nodes of the scenario.
    fn nodes(&self) -> Vec<NodeId> {
        let hidden = |node: &NodeId| self.plan.hidden.contains(node);
        let all = self.plan.config.nodes().iter().map(|node| node.id);
        all.filter(|node| !hidden(node)).collect()
    }

    fn name_of(&self, node: NodeId) -> String {
        self.plan.config.node(node).map_or_else(String::new, |node| node.name.clone())
    }

    fn finish(mut self, seed: u64, steps: Vec<State>) -> Ran {
        let (violations, _) = self.world.take_findings();
        let (zero, before) = self.zero;
        let Stage { scenario, plan, world, running, .. } = self;
        let (trace, timeline) = world.into_trace();
        let entries = timeline.map(Timeline::into_entries).unwrap_or_default();
        let timeline: Vec<Entry> = entries.into_iter().skip(before).collect();
        let outcome =
            Outcome::new(scenario, seed, steps, (zero, &timeline), &violations, (&plan, &running));
        Ran {
            answer: Answer::Ran(outcome),
            trace: trace.into_story(),
            timeline,
            config: Some(plan.config),
        }
    }
}
