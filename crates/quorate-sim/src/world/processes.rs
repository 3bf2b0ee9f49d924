//! Processes: they start, are stepped, hang, die.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};

use quorate_core::database::Database;
use quorate_core::event::StreamEnd;
use quorate_core::id::{NodeId, ResourceId};
use quorate_core::time::Instant;
use quorate_core::{Action, Event, Notice};

use super::World;
use crate::chance;
use crate::checker::{Fact, Violation};
use crate::clock::Moment;
use crate::guest::Slot;
use crate::host::{Host, Pause, Process};
use crate::options::Plant;
use crate::schedule::Happening;
use crate::spoken::words;
use crate::timeline::Kind;
use quorate_core::engine::{Engine, Setup};

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// The process alone.
    Process,
    /// It left in order.
    Goodbye,
    /// The whole host loses power.
    Power,
}

/// Microseconds since 1970 at the world's beginning, on a host whose wall clock is right.
const BOOT_BASE: u64 = 1_750_000_000_000_000;

/// At most so many datagrams wait for a paused process; more are lost.
const INBOX_MAX: usize = 4_000;

impl World {
    /// The engine with the nearest deadline. What is out of date in the table of wakes is dropped on the way.
    pub(super) fn next_wake(&mut self) -> Option<(Moment, NodeId)> {
        while let Some(&Reverse((at, node))) = self.wakes.peek() {
            let process = self.hosts[&node].process.as_ref();
            if process.is_some_and(|one| one.pause.is_none() && one.wake == Some(at)) {
                return Some((at, node));
            }
            self.wakes.pop();
        }
        None
    }

    /// Gives an engine the tick it asked for.
    pub(super) fn wake_engine(&mut self, node: NodeId) {
        self.step(node, Event::Tick);
    }

    /// Starts what is not running: the host, the process, the engine on what the disk holds.
    pub(super) fn restart(&mut self, node: NodeId) {
        if self.hosts[&node].process.is_some() || self.members.is_outside(node) {
            return;
        }
        if self.hosts[&node].disk.is_rotten && self.is_planted(Plant::RotUnnoticed) {
            let host = self.hosts.of_mut(&node).expect("it was just seen");
            host.disk.is_rotten = false;
            host.disk.cut_off(&mut self.random);
        }
        if self.hosts[&node].disk.is_rotten {
            self.stats.refused_logs += 1;
            self.tell(|| format!("{node}: its log is damaged, and refused"));
            self.host(node).up = true;
            self.after(self.config.timing().detect, Happening::Replace(node));
            return;
        }
        let orphaned = self.hosts[&node].slots.values().any(|slot| slot.guest.is_some());
        let is_left = self.hosts[&node].handover.is_some();
        if orphaned && !is_left && !self.is_planted(Plant::GuestOutlivesProcess) {
            // A driver starts nothing while something of an earlier process still runs.
            self.after(std::time::Duration::from_millis(5), Happening::Restart(node));
            return;
        }
        if !self.hosts[&node].up {
            // Its clock begins anew.
            let clock = super::draw_clock(&mut self.random, &self.config);
            self.staging.on_power(node);
            let host = self.host(node);
            host.up = true;
            host.clock = clock;
        }
        self.start_process(node);
    }

    fn start_process(&mut self, node: NodeId) {
        let seed = self.random.draw();
        let inherits = self.take_handover(node);
        let goes_on = inherits.is_some();
        let config = self.members.file(node).unwrap_or_else(|| self.file()).clone();
        let now = self.now;
        let host = self.host(node);
        host.lives += 1;
        let wall = BOOT_BASE + now.0 / 1_000 + u64::from(node.0) * 977;
        if !goes_on {
            host.boot = wall.saturating_add_signed(host.wall).max(host.boot + 1);
        }
        let acknowledged = if goes_on { host.kept_lease() } else { BTreeMap::new() };
        let (life, boot) = (host.lives, host.boot);
        let durable = host.disk.durable();
        let records = durable.records();
        let local = host.clock.local(now);
        let engine = Engine::new(Setup { config, node, boot, durable, seed, inherits }, local);
        if !goes_on {
            host.forget_lease();
        }
        host.process = Some(Process {
            engine,
            life,
            boot,
            deadline: None,
            wake: None,
            pause: None,
            inbox: VecDeque::new(),
            acknowledged,
            lun_requests: BTreeSet::new(),
            dies_next: false,
        });
        host.learns_voters(true, now);
        self.tell(|| format!("{node}: the process starts, boot {boot}"));
        if !goes_on {
            self.mark_node(Kind::NodeUp, node, "");
        }
        self.fact(&Fact::Started { node, records: &records, goes_on });
        self.step(node, Event::Tick);
        self.look_at_paths(node);
        let peers: Vec<NodeId> = self.hosts.keys().copied().filter(|&peer| peer != node).collect();
        for peer in peers {
            self.begin_attempts(node, peer);
        }
    }

    /// Gives an event to a process, or keeps it while the process is paused.
    pub(super) fn deliver(&mut self, node: NodeId, life: u64, event: Event) {
        let Some(process) = self.host(node).process.as_mut().filter(|process| process.life == life)
        else {
            return;
        };
        if process.pause.is_some() {
            let lossy = matches!(event, Event::Beat { .. });
            if !lossy || process.inbox.len() < INBOX_MAX {
                process.inbox.push_back(event);
            }
            return;
        }
        self.step(node, event);
    }

    /// One step of an engine, and everything that follows at once from it.
    fn step(&mut self, node: NodeId, event: Event) {
        self.trace_event(node, &event);
        self.stats.steps += 1;
        self.coverage.event(&event);
        self.note_acknowledgement(node, &event);
        self.note_witness(node, &event);
        match &event {
            Event::Command { command, .. } => self.fact(&Fact::Asked { command }),
            Event::Leave { .. } => self.fact(&Fact::Leaves { node }),
            _ => {}
        }
        if self.trace.is_told() {
            self.tell_event(node, &event);
        }
        let now = self.now;
        let host = self.host(node);
        let local = host.clock.local(now);
        let process = host.process.as_mut().expect("only a living process is stepped");
        let life = process.life;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let actions = process.engine.step(event, local);
            let applied = process.engine.database().map_or(0, Database::applied);
            let notices: Vec<Notice> =
                process.engine.notices().into_iter().map(Notice::plain).collect();
            (actions, notices, process.engine.deadline(), applied)
        }));
        match outcome {
            Ok((actions, notices, deadline, applied)) => {
                self.plan_wake(node, deadline);
                if applied > self.applied {
                    let before = std::mem::replace(&mut self.applied, applied);
                    self.learn_votes(node, before);
                    self.learn_config(node);
                    self.fact(&Fact::Applied { node, index: applied });
                    self.members.forget_before();
                }
                for notice in &notices {
                    self.on_notice(node, notice);
                }
                if !notices.is_empty() {
                    self.note_committed(node);
                }
                self.act_all(node, life, actions);
            }
            Err(panic) => {
                let text = panic
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                let what = format!("{node} panics: {}", text.unwrap_or_default());
                self.tell(|| what.clone());
                self.violations.push(Violation { at: now, checker: "Engine", what });
            }
        }
    }

    /// All that a heartbeat says was taken into the trace when it was sent: its number stands for it.
    fn trace_event(&mut self, node: NodeId, event: &Event) {
        match event {
            Event::Beat { from, path, beat } => {
                self.trace.mix(self.now, node, &(from, path, beat.sequence, beat.sent));
            }
            other => self.trace.mix(self.now, node, other),
        }
    }

    /// A clock has changed: an engine's deadline is at another moment.
    pub(super) fn wake_anew(&mut self, node: NodeId) {
        let Some(process) = &mut self.host(node).process else { return };
        process.wake = None;
        let deadline = process.engine.deadline();
        self.plan_wake(node, deadline);
    }

    /// Sets the driver's timer, unless it is set to this deadline already. It is seldom exact.
    fn plan_wake(&mut self, node: NodeId, deadline: Option<Instant>) {
        let process = self.hosts[&node].process.as_ref();
        if process.is_some_and(|one| one.deadline == deadline && one.wake > Some(self.now)) {
            return;
        }
        let late = if self.random.chance(1, 50) { 8_000 } else { 200 };
        let late = chance::micros(&mut self.random, 1, late);
        let now = self.now;
        let host = self.host(node);
        let wake = deadline.map(|at| host.clock.when(at).max(now) + late);
        if let Some(process) = &mut host.process {
            process.deadline = deadline;
            process.wake = wake;
        }
        self.wakes.extend(wake.map(|at| Reverse((at, node))));
    }

    fn note_acknowledgement(&mut self, node: NodeId, event: &Event) {
        let Event::Beat { from, beat, .. } = event else { return };
        let Some(host) = self.hosts.of_mut(&node) else { return };
        if let Some((boot, sent)) = beat.acknowledged
            && host.process.as_ref().is_some_and(|process| process.boot == boot)
        {
            host.acknowledged(*from, sent, &self.config, self.now);
        }
        if let Some((boot, sent)) = beat.witnessed
            && host.process.as_ref().is_some_and(|process| process.boot == boot)
        {
            host.acknowledged(NodeId::WITNESS, sent, &self.config, self.now);
        }
    }

    /// What is committed is told: the coverage counts what has changed by it.
    fn note_committed(&mut self, node: NodeId) {
        let process = self.hosts[&node].process.as_ref();
        if let Some(database) = process.and_then(|process| process.engine.database()) {
            self.coverage.committed(database);
        }
    }

    fn on_notice(&mut self, node: NodeId, notice: &Notice) {
        self.count_notice(node, notice);
        self.coverage.notice(notice);
        self.tell(|| format!("{node}: {}", words(notice)));
        self.mark_notice(node, notice);
        match notice {
            Notice::LeaseLost => self.on_lease_lost(node),
            Notice::Configured { .. } | Notice::Joined => {
                let now = self.now;
                self.host(node).learns_voters(false, now);
            }
            Notice::Suspect { .. } => self.rouse(),
            Notice::Parted { node: other } => self.part(node, *other),
            _ => {}
        }
        self.fact(&Fact::Told { node, notice });
    }

    fn act_all(&mut self, node: NodeId, life: u64, mut actions: Vec<Action>) {
        if actions.is_empty() {
            return;
        }
        let mut order = super::acting::order(&mut self.random, &actions);
        let process = self.hosts[&node].process.as_ref();
        let dies = process.is_some_and(|process| process.dies_next);
        if dies {
            let count = self.random.below(order.len() as u64 + 1) as usize;
            self.coverage.death(order.get(count).map(|&at| &actions[at]));
            order.truncate(count);
        }
        for at in order {
            // One of them may have been the last.
            if self.hosts[&node].process.is_some() {
                let action = std::mem::replace(&mut actions[at], Action::Left);
                self.act(node, life, action);
            }
        }
        if dies {
            self.end_process(node, Death::Process);
        }
    }

    /// Ends the process of a node, or the whole host.
    pub(super) fn end_process(&mut self, node: NodeId, death: Death) {
        self.host(node).handover = None;
        if self.script.on_end(node) {
            let delay = chance::millis(&mut self.random, 20, 200);
            self.after(delay, Happening::Restart(node));
        }
        if death == Death::Power {
            self.locks_end(node);
            self.host(node).up = false;
        }
        let Some(process) = self.host(node).process.take() else {
            if death == Death::Power {
                self.end_all_guests(node);
            }
            return;
        };
        self.host_loses(node);
        self.stats.deaths += 1;
        self.unrest.on_node(node, self.now);
        self.stats.power_losses += u64::from(death == Death::Power);
        self.tell(|| format!("{node}: the process ends: {}", death.words()));
        self.mark_node(Kind::NodeDown, node, death.words());
        if process.pause == Some(Pause::Whole) {
            self.hold_sessions(node, false);
        }
        self.host(node).keep_lease(process.acknowledged);
        self.crash_disk(node);
        self.close_streams(node, process.life, death);
        self.abandon_sessions(node, process.life);
        for slot in self.host(node).slots.values_mut() {
            slot.work = None;
            slot.queue.clear();
        }
        if death == Death::Power {
            self.end_all_guests(node);
        } else {
            let delay = chance::millis(&mut self.random, 1, 15);
            self.after(delay, Happening::Orphans(node, process.life));
        }
    }

    fn crash_disk(&mut self, node: NodeId) {
        if self.is_planted(Plant::DiskLies) {
            self.host(node).disk.crash_losing_all();
        } else {
            let host = self.hosts.of_mut(&node).expect("the caller has seen the host");
            host.disk.crash(&mut self.random);
        }
    }

    /// What a dead process has started dies with it.
    pub(super) fn orphans(&mut self, node: NodeId, life: u64) {
        let outlives = self.is_planted(Plant::GuestOutlivesProcess);
        if self.hosts[&node].lives == life && !outlives {
            self.host(node).handover = None;
            self.end_all_guests(node);
        }
    }

    /// Pauses a process for some time.
    pub(super) fn pause(&mut self, node: NodeId, pause: Pause, until: Moment) {
        let Some(process) = &mut self.host(node).process else { return };
        if process.pause.is_some() {
            return;
        }
        process.pause = Some(pause);
        let life = process.life;
        self.stats.pauses += 1;
        self.tell(|| format!("{node}: paused, {}, until {until}", pause.words()));
        self.mark_node(Kind::NodePaused, node, "");
        if pause == Pause::Whole {
            self.hold_sessions(node, true);
        }
        self.schedule.at(until, Happening::Wakes(node, life));
        self.arm_watchdog(node);
    }

    /// A process goes on: with a tick first or with what waits for it, as it comes.
    pub(super) fn wakes(&mut self, node: NodeId, life: u64) {
        let Some(process) = self.host(node).process.as_mut().filter(|process| process.life == life)
        else {
            return;
        };
        let Some(pause) = process.pause.take() else { return };
        let wake = process.wake;
        self.wakes.extend(wake.map(|at| Reverse((at, node))));
        self.host(node).disturbed = self.now;
        self.tell(|| format!("{node}: goes on"));
        self.mark_node(Kind::NodeGoesOn, node, "");
        if pause == Pause::Whole {
            self.hold_sessions(node, false);
        }
        self.look_at_paths(node);
        if self.random.chance(1, 2) {
            self.step(node, Event::Tick);
        }
        while let Some(event) =
            self.host(node).awake(life).and_then(|process| process.inbox.pop_front())
        {
            self.step(node, event);
        }
        let resources: Vec<ResourceId> = self.hosts[&node].slots.keys().copied().collect();
        for resource in resources {
            self.work(node, resource);
        }
    }

    /// The watchdog of a host is fed for as long as the lease lasts, and half of the time to stop beyond it.
    pub(super) fn arm_watchdog(&mut self, node: NodeId) {
        if self.is_planted(Plant::NoWatchdog) {
            return;
        }
        let host = &self.hosts[&node];
        let at = self.watchdog_ends(host).max(self.now);
        self.schedule.at(at, Happening::Watchdog(node, host.lives));
    }

    fn watchdog_ends(&self, host: &Host) -> Moment {
        let end = host.lease_end(&self.config).unwrap_or_default();
        host.clock.when(end + self.config.timing().stop_time / 2)
    }

    /// Once a hanging engine or a failed kill has made it doubt, it resets the host if something that nothing but
    /// time protects still runs when that has to have stopped.
    pub(super) fn watchdog(&mut self, node: NodeId, life: u64) {
        let host = &self.hosts[&node];
        let config = &self.config;
        let exposed = |slot: &Slot| {
            let group = slot.guest.as_ref().and_then(|guest| config.group(guest.group));
            group.is_some_and(|group| !config.is_enforced(group))
        };
        let lives = host.process.as_ref().is_some_and(|process| process.life == life);
        if !lives || !host.slots.values().any(exposed) {
            return;
        }
        if self.watchdog_ends(host) > self.now {
            return self.arm_watchdog(node);
        }
        self.stats.watchdog_resets += 1;
        self.tell(|| format!("{node}: the watchdog resets the host"));
        self.unrest.on_node(node, self.now);
        self.end_process(node, Death::Power);
        let delay = self.config.timing().detect;
        self.after(delay, Happening::Restart(node));
    }

    /// Power fails in the midst of a write.
    pub(super) fn tear(&mut self, node: NodeId, life: u64) {
        if self.hosts[&node].process.as_ref().is_none_or(|process| process.life != life) {
            return;
        }
        let host = self.hosts.of_mut(&node).expect("it was just seen");
        self.stats.torn_writes += u64::from(host.disk.tear(&mut self.random));
        self.end_process(node, Death::Power);
        // It is back before the fault ends, or then.
        self.after(self.config.timing().detect, Happening::Restart(node));
    }
}

impl Death {
    /// For people.
    fn words(self) -> &'static str {
        match self {
            Death::Process => "its process died",
            Death::Goodbye => "it left",
            Death::Power => "it lost its power",
        }
    }

    /// What a peer's end of a stream is told.
    pub(super) fn stream_end(self) -> Option<StreamEnd> {
        match self {
            Death::Process => Some(StreamEnd::Reset),
            Death::Goodbye => Some(StreamEnd::Goodbye),
            Death::Power => None,
        }
    }
}
