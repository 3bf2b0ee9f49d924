//! A host: its clock, its disk, the process with the engine, and the guests it was asked to run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_core::Event;
use quorate_core::config::ClusterConfig;
use quorate_core::id::{NodeId, OpId, ResourceId};
use quorate_core::time::Instant;

use crate::clock::{Clock, Moment};
use crate::disk::Disk;
use crate::guest::Slot;
use quorate_core::engine::{Engine, Handover};

/// How a process is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// The engine's thread hangs; sessions to LUNs and what carries guests' I/O go on.
    Engine,
    /// The whole process is stopped: what it carries stands still too.
    Whole,
}

impl Pause {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Pause::Engine => "its engine alone",
            Pause::Whole => "as a whole",
        }
    }
}

/// The process with the engine.
pub struct Process {
    /// The engine.
    pub engine: Engine,
    /// Which process of this host, from 1.
    pub life: u64,
    /// Its boot.
    pub boot: u64,
    /// The deadline that the engine named last.
    pub deadline: Option<Instant>,
    /// When the driver's timer for it goes off.
    pub wake: Option<Moment>,
    /// Whether it is paused, and how.
    pub pause: Option<Pause>,
    /// What waits for it while it is paused.
    pub inbox: VecDeque<Event>,
    /// When, by this host's clock, the newest heartbeat was sent that each peer has acknowledged.
    pub acknowledged: BTreeMap<NodeId, u64>,
    /// Requests to LUNs that have not been answered.
    pub lun_requests: BTreeSet<OpId>,
    /// It dies in the midst of carrying out the next actions.
    pub dies_next: bool,
}

/// How a host's drivers answer; each counts the faults that make it so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manners {
    /// Late.
    pub late: u32,
    /// Now and then never.
    pub never: u32,
    /// Twice.
    pub twice: u32,
}

/// A host.
pub struct Host {
    /// Its node.
    pub id: NodeId,
    /// Whether it has power.
    pub up: bool,
    /// Its clock.
    pub clock: Clock,
    /// Its disk.
    pub disk: Disk,
    /// The process, if it runs.
    pub process: Option<Process>,
    /// What it was asked to run.
    pub slots: BTreeMap<ResourceId, Slot>,
    /// How many processes there have been.
    pub lives: u64,
    /// The boot of the newest.
    pub boot: u64,
    /// By how many microseconds its wall clock was set.
    pub wall: i64,
    /// When its process last went on after a pause, or its clock stepped.
    pub disturbed: Moment,
    /// When its clock last stepped.
    pub stepped: Option<Moment>,
    /// It loses power in the midst of its next write.
    pub tears_next: bool,
    /// How its drivers answer.
    pub manners: Manners,
    /// What an engine that has ended left to the next one, while what it has started runs on.
    pub handover: Option<Handover>,
    /// What had been acknowledged to the newest when it ended.
    last_acknowledged: BTreeMap<NodeId, u64>,
    /// Since when its newest process has had a lease by the word of nodes without a break, and a time by its own clock
    /// until which that is known to last.
    leased: (Moment, Instant),
    /// When that lease was over, if it is.
    lapsed: Option<Instant>,
    /// Who votes as far as its newest process knows, and since when that knows so, by its own clock; zero: from its
    /// beginning.
    voters: (Vec<NodeId>, Instant),
}

impl Host {
    /// A host that is switched on, without a process.
    pub fn new(id: NodeId, clock: Clock) -> Self {
        Self {
            id,
            up: true,
            clock,
            disk: Disk::default(),
            process: None,
            slots: BTreeMap::new(),
            lives: 0,
            boot: 0,
            wall: 0,
            disturbed: Moment::default(),
            stepped: None,
            tears_next: false,
            manners: Manners::default(),
            handover: None,
            last_acknowledged: BTreeMap::new(),
            leased: (Moment::NEVER, Instant::default()),
            lapsed: None,
            voters: (Vec::new(), Instant::default()),
        }
    }

    /// The process, if it is this life and not paused.
    pub fn awake(&mut self, life: u64) -> Option<&mut Process> {
        self.process.as_mut().filter(|process| process.life == life && process.pause.is_none())
    }

    /// Whether a process runs here and is not paused.
    pub fn is_awake(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.pause.is_none())
    }

    /// Whether what the process carries goes on: it lives, and is not stopped as a whole.
    pub fn carries(&self, life: u64) -> bool {
        self.process
            .as_ref()
            .is_some_and(|process| process.life == life && process.pause != Some(Pause::Whole))
    }

    /// Keeps what a process that ends had been acknowledged: what it has started may outlive it by a little.
    pub fn keep_lease(&mut self, acknowledged: BTreeMap<NodeId, u64>) {
        self.last_acknowledged = acknowledged;
    }

    /// What a process that goes on for another had been acknowledged.
    pub fn kept_lease(&self) -> BTreeMap<NodeId, u64> {
        self.last_acknowledged.clone()
    }

    /// A voter acknowledges a heartbeat of this boot, which was sent at `sent` by this host's clock.
    pub fn acknowledged(&mut self, voter: NodeId, sent: u64, config: &ClusterConfig, now: Moment) {
        let shown = self.clock.local(now);
        // It is reckoned once for each length of a lease, and before what comes in counts: then a break is seen.
        let looks = shown >= self.leased.1;
        let before = looks.then(|| self.lease_end_by_nodes(config)).flatten();
        let Some(process) = &mut self.process else { return };
        let newest = process.acknowledged.entry(voter).or_default();
        *newest = sent.max(*newest);
        if !looks {
            return;
        }
        match self.lease_end_by_nodes(config).filter(|&end| end > shown) {
            Some(end) => {
                let lasted = before.is_some_and(|end| end > shown);
                self.leased = (if lasted { self.leased.0 } else { now }, end);
                self.lapsed = None;
            }
            // What comes too late moves the end, but never brings a lease back.
            None => self.lapsed = self.lapsed.or(before),
        }
    }

    /// A process starts: it has been acknowledged nothing.
    pub fn forget_lease(&mut self) {
        self.leased = (Moment::NEVER, Instant::default());
        self.lapsed = None;
    }

    /// Since when its newest process has had a lease without a break, if it still has one or lost it last.
    pub fn leased_since(&self) -> Moment {
        self.leased.0
    }

    /// When it last had a lease by what nodes have acknowledged alone: whether a node counts what it has asked the
    /// witness for depends on whether it still coordinates when that answers. Later than now: it has one.
    pub fn leased_until(&self, config: &ClusterConfig) -> Option<Instant> {
        self.lapsed.or_else(|| self.lease_end_by_nodes(config))
    }

    /// Its process has begun, or has learned of a configuration.
    pub fn learns_voters(&mut self, begins: bool, now: Moment) {
        let Some(process) = &self.process else { return };
        let voters = process.engine.config().voting();
        if begins || voters != self.voters.0 {
            let since = if begins { Instant::default() } else { self.clock.local(now) };
            self.voters = (voters.to_vec(), since);
        }
    }

    /// Since when its process reckons its lease by those who vote now, by its own clock: a lease that others gave may
    /// have lasted until then.
    pub fn knows_voters_since(&self) -> Instant {
        self.voters.1
    }

    /// When the lease of this node ends by its own clock: `lease` after the sending of its newest heartbeat that a
    /// majority of voters has acknowledged. Reckoned here from what was delivered, not asked of the engine.
    pub fn lease_end(&self, config: &ClusterConfig) -> Option<Instant> {
        self.lease_end_by(config, |_| true)
    }

    /// The same without the witness. Never later than the other.
    fn lease_end_by_nodes(&self, config: &ClusterConfig) -> Option<Instant> {
        self.lease_end_by(config, |voter| voter != NodeId::WITNESS)
    }

    fn lease_end_by(
        &self,
        config: &ClusterConfig,
        counts: impl Fn(NodeId) -> bool,
    ) -> Option<Instant> {
        let acknowledged = match &self.process {
            Some(process) => &process.acknowledged,
            None => &self.last_acknowledged,
        };
        // It reckons by those who vote as far as it knows: a change of voters reaches one node after the other.
        let known = self.process.as_ref().map(|process| process.engine.config());
        let voters = known.unwrap_or(config).voting();
        let own = usize::from(voters.contains(&self.id));
        let needed = (voters.len() / 2 + 1).saturating_sub(own);
        let mut sent: Vec<u64> = acknowledged
            .iter()
            .filter(|(peer, _)| voters.contains(peer) && counts(**peer))
            .map(|(_, &sent)| sent)
            .collect();
        sent.sort_unstable_by(|a, b| b.cmp(a));
        if needed == 0 {
            return Some(Instant(u64::MAX));
        }
        sent.get(needed - 1).map(|&at| Instant(at) + config.timing().lease)
    }
}
