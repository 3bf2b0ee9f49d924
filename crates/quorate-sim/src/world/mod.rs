//! The world: hosts, networks, storage, and one queue of what happens next.
//!
//! Nothing in it calls an engine from within an engine's step: every consequence of an action is planned as a
//! happening of its own, later, so that anything may come between.

mod acting;
mod configuring;
mod faulting;
pub(crate) mod fencing;
mod guests;
mod handing_on;
mod healing;
mod hosted;
mod looking;
mod luns;
mod manual;
mod membership;
mod processes;
mod resting;
mod sending;
mod staging;
mod storing;
mod telling;
mod wires;
mod witnessing;
mod writing;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

pub use hosted::{Asked, Hosted};
pub use manual::Direction;

use configuring::Configuring;
use hosted::Hosting;
use manual::Script;
use membership::Members;
use quorate_core::config::ClusterConfig;
use quorate_core::id::{LunId, NodeId};
use quorate_core::random::Random;
use quorate_core::time::nanos;
use staging::Staging;

use crate::chance;
use crate::checker::{self, Checker, Fact, View, Violation, Waivers};
use crate::clock::{Clock, Moment};
use crate::cluster;
use crate::coverage::Coverage;
use crate::fault::Planned;
use crate::host::Host;
use crate::hosts::Hosts;
use crate::network::{Links, Streams};
use crate::options::{Options, Plant};
use crate::schedule::{Happening, Schedule};
use crate::stats::Stats;
use crate::storage::Storage;
use crate::timeline::Timeline;
use crate::trace::Trace;
use crate::unrest::Unrest;

/// A whole cluster.
pub struct World {
    /// The newest that any engine has for committed.
    config: ClusterConfig,
    configuring: Configuring,
    members: Members,
    plant: Option<Plant>,
    random: Random,
    now: Moment,
    schedule: Schedule,
    /// When timers of drivers go off; a place that no process agrees with is out of date.
    wakes: BinaryHeap<Reverse<(Moment, NodeId)>>,
    hosts: Hosts,
    links: Links,
    streams: Streams,
    storage: Storage,
    faults: Vec<Planned>,
    waivers: Waivers,
    unrest: Unrest,
    is_healed: bool,
    requests: u64,
    applied: u64,
    serial: u64,
    script: Script,
    hosting: Hosting,
    staging: Staging,
    supplies: fencing::Supplies,
    checkers: Vec<Option<Box<dyn Checker>>>,
    /// When a checker must look at the world though nothing but time has passed.
    look_at: Moment,
    violations: Vec<Violation>,
    trace: Trace,
    timeline: Option<Timeline>,
    last_writes: BTreeMap<LunId, Moment>,
    /// The longest time without a write on each LUN, after its first.
    pub gaps: BTreeMap<LunId, Duration>,
    /// What was counted.
    pub stats: Stats,
    /// What was met.
    pub coverage: Coverage,
    /// The numbers of the faults that happen; none: all do.
    chosen: Option<Vec<usize>>,
}

impl World {
    /// The world of a seed, at its beginning: every host is on, every process about to start.
    pub fn new(seed: u64, options: &Options) -> Self {
        let mut random = Random::new(seed);
        let config = cluster::draw(&mut random, options);
        // From a generator of their own: how many are drawn changes nothing else in the run.
        let mut others = Random::new(random.draw());
        let wider = membership::with_spares(&config, options);
        let faults = crate::fault::draw(&mut others, options, &wider);
        let ignores = options.plant == Some(Plant::LunIgnoresReservations);
        let storage = Storage::new(&wider, ignores, &mut random);
        let paths = config.nodes()[0].addresses.len() as u8;
        let hosts = wider.nodes().iter().map(|node| {
            let clock = draw_clock(&mut random, &config);
            Host::new(node.id, clock)
        });
        let hosts = hosts.collect();
        let table = checker::table().into_iter();
        let table = table.filter(|checker| options.only.is_none_or(|name| checker.name() == name));
        let mut world = Self {
            plant: options.plant,
            now: Moment::default(),
            schedule: Schedule::default(),
            wakes: BinaryHeap::new(),
            hosts,
            links: Links::new(paths),
            streams: Streams::default(),
            storage,
            faults,
            waivers: Waivers::default(),
            unrest: Unrest::default(),
            is_healed: false,
            requests: 0,
            applied: 0,
            serial: 0,
            script: Script::default(),
            hosting: Hosting::default(),
            staging: Staging::default(),
            supplies: fencing::Supplies::default(),
            checkers: table.map(Some).collect(),
            look_at: Moment::default(),
            violations: Vec::new(),
            trace: Trace::new(options.story),
            timeline: options.timeline.then(Timeline::default),
            last_writes: BTreeMap::new(),
            gaps: BTreeMap::new(),
            stats: Stats::default(),
            coverage: Coverage::default(),
            chosen: options.chosen.clone(),
            random,
            members: Members::new(&config, &wider),
            configuring: Configuring::new(&config),
            config,
        };
        world.sow();
        world.plan_beginning();
        world
    }

    /// The configuration: what the nodes are started with, and what has been changed since.
    pub fn config(&self) -> &ClusterConfig {
        &self.config
    }

    /// The time.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// The faults, by number, whether chosen or not.
    pub fn faults(&self) -> &[Planned] {
        &self.faults
    }

    /// What has been broken so far, each checker's first finding.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Lets everything happen that is due by `until`; stops early at a violation.
    pub fn run_until(&mut self, until: Moment) {
        while self.goes_on() {
            let Some((due, wakes)) = self.next_due().filter(|&(due, _)| due <= until) else {
                break;
            };
            self.now = self.now.max(due);
            match wakes {
                Some(node) => self.wake_engine(node),
                None => {
                    if let Some((_, happening)) = self.schedule.take() {
                        self.happen(happening);
                    }
                }
            }
            self.passed();
            self.check_pace();
        }
        if self.goes_on() {
            self.now = self.now.max(until);
        }
    }

    /// Whether nothing stops the world.
    fn goes_on(&self) -> bool {
        self.violations.is_empty() && !self.hosting.waits()
    }

    /// When something happens next: an engine is woken, or what is planned comes.
    fn next_due(&mut self) -> Option<(Moment, Option<NodeId>)> {
        match (self.next_wake(), self.schedule.next()) {
            (Some((at, _)), Some(next)) if next < at => Some((next, None)),
            (Some((at, node)), _) => Some((at, Some(node))),
            (None, next) => next.map(|at| (at, None)),
        }
    }

    /// The record of the run.
    pub fn into_trace(self) -> (Trace, Option<Timeline>) {
        (self.trace, self.timeline)
    }

    /// Notes that a LUN has taken a write.
    fn note_write(&mut self, lun: LunId) {
        if let Some(last) = self.last_writes.insert(lun, self.now) {
            let gap = self.gaps.entry(lun).or_default();
            *gap = self.now.since(last).max(*gap);
        }
    }

    /// The violations and the counts, to be kept.
    pub fn take_findings(&mut self) -> (Vec<Violation>, Stats) {
        (std::mem::take(&mut self.violations), self.stats.clone())
    }

    /// Bugs that are in the world from its beginning.
    fn sow(&mut self) {
        let leaves = self.is_planted(Plant::PreemptLeavesRegistration);
        self.storage.luns.values_mut().for_each(|lun| lun.leaves_registrations = leaves);
        self.storage.register.is_blind = self.is_planted(Plant::WitnessSwapsBlindly);
        let tears = self.is_planted(Plant::RewriteTears);
        self.hosts.values_mut().for_each(|host| host.disk.tears_rewrites = tears);
        if self.is_planted(Plant::ClockBeyondBound)
            && let Some(host) = self.hosts.values_mut().next()
        {
            host.clock.set_rate(-500_000, Moment::default());
        }
    }

    fn plan_beginning(&mut self) {
        let nodes: Vec<NodeId> = self.hosts.keys().copied().collect();
        for &node in &nodes {
            let delay = chance::millis(&mut self.random, 0, 300);
            self.schedule.at(self.now + delay, Happening::Restart(node));
        }
        let chosen = self.chosen.clone();
        let chosen = chosen.unwrap_or_else(|| (0..self.faults.len()).collect());
        for number in chosen.into_iter().filter(|&number| number < self.faults.len()) {
            let at = self.faults[number].at;
            let before = Moment(at.0.saturating_sub(nanos(self.config.timing().lease)));
            self.schedule.at(before, Happening::Rouse);
            self.schedule.at(at, Happening::Fault(number));
            self.schedule.at(self.faults[number].until, Happening::FaultEnds(number));
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Event(node, life, event) => self.deliver(node, life, *event),
            Happening::Datagram { from, to, path, beat } => self.datagram(from, to, path, beat),
            Happening::Attempt(one, other) => self.attempt(one, other),
            Happening::Handshake(one, other, serial) => self.handshake(one, other, serial),
            Happening::Arrival(end) => self.arrival(end),
            Happening::Silence(end, silence) => self.silence(end, silence),
            Happening::Closed(end, how) => self.closed(end, how),
            Happening::DiskDone(node, life) => self.disk_done(node, life),
            Happening::LunArrival(node, lun) => self.lun_arrival(node, lun),
            Happening::LunTimeout(node, life, lun, op) => self.lun_timeout(node, life, lun, op),
            Happening::WitnessArrival(node, life, op, verb) => {
                self.witness_arrival(node, life, op, *verb);
            }
            Happening::Agent(node, life, op, asked) => self.agent_acts(node, life, op, *asked),
            Happening::GuestIoTimeout(node, lun) => self.guest_io_timeout(node, lun),
            Happening::PathSeen(node, lun) => self.path_seen(node, lun),
            Happening::StorageBeat(node, lun, serial) => self.storage_beat(node, lun, serial),
            Happening::GuestStage(node, resource, work) => self.guest_stage(node, resource, work),
            Happening::GuestWrite(node, resource, guest, lun) => {
                self.guest_write(node, resource, guest, lun);
            }
            Happening::Orphans(node, life) => self.orphans(node, life),
            Happening::Tear(node, life) => self.tear(node, life),
            Happening::Replace(node) => self.replace_disk(node),
            Happening::Wakes(node, life) => self.wakes(node, life),
            Happening::Restart(node) if !self.script.lets_return(node) => {}
            Happening::Restart(node) => self.restart(node),
            Happening::LeaveEnds(node, life) => self.leave_ends(node, life),
            Happening::EngineEnds(node, life) => self.engine_ends(node, life),
            Happening::Watchdog(node, life) => self.watchdog(node, life),
            Happening::Rouse => self.rouse(),
            Happening::Fault(number) => self.fault(number),
            Happening::FaultEnds(number) => self.fault_ends(number),
        }
    }

    /// Shows a fact to every checker that has not found anything yet.
    fn fact(&mut self, fact: &Fact<'_>) {
        let view = View {
            now: self.now,
            config: &self.config,
            superseded: self.configuring.superseded(),
            hosts: &self.hosts,
            storage: &self.storage,
            waivers: &self.waivers,
            voting_before: self.members.voting_before(),
            unrest: &self.unrest,
        };
        self.look_at = Moment::NEVER;
        for place in &mut self.checkers {
            let Some(checker) = place else { continue };
            if let Err(what) = checker.judge(&view, fact) {
                let violation = Violation { at: self.now, checker: checker.name(), what };
                self.trace.tell(self.now, || format!("VIOLATION {}", violation.what));
                if let Some(timeline) = &mut self.timeline {
                    timeline.add(violation.entry());
                }
                self.violations.push(violation);
                *place = None;
            } else {
                self.look_at = self.look_at.min(checker.look_at());
            }
        }
    }

    /// Lets the checkers look at the clock: those that wait for a moment which has come.
    fn passed(&mut self) {
        if self.now >= self.look_at {
            self.fact(&Fact::Passed);
        }
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        self.trace.tell(self.now, line);
    }

    fn host(&mut self, node: NodeId) -> &mut Host {
        self.hosts.of_mut(&node).expect("every node of the configuration has a host")
    }

    fn is_planted(&self, plant: Plant) -> bool {
        self.plant == Some(plant)
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn after(&mut self, delay: Duration, happening: Happening) {
        self.schedule.at(self.now + delay, happening);
    }

    /// An engine that asks to be stepped again and again at one moment would stop the world: that is a finding.
    fn check_pace(&mut self) {
        let steps = self.stats.steps;
        let allowed = 200_000 + self.now.0 / 1_000_000 * 200;
        if steps > allowed && self.violations.is_empty() {
            let what = format!("{steps} steps in {} s of the world", self.now);
            self.violations.push(Violation { at: self.now, checker: "Engine", what });
        }
    }
}

/// A clock that stands anywhere and drifts within the bound.
fn draw_clock(random: &mut Random, config: &ClusterConfig) -> Clock {
    let ppm = cluster::draw_ppm(random, config);
    Clock::new(1_000_000_000 + random.below(1_000_000_000_000), ppm)
}
