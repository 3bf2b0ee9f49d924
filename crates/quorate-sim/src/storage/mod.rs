//! Shared storage: LUNs, each node's session to each, and the saved states of guests.

mod device;
mod nexus;
mod register;

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::config::{ClusterConfig, LunConfig};
use quorate_core::id::{LunId, NodeId, SaveToken};
use quorate_core::random::Random;

pub use device::{
    Attention, Device, Failure, Initiator, Kind, ReservationType, ReserveOut, Written,
};
pub use nexus::{Attached, Body, Command, Nexus};
pub use register::{Register, Swapped};

/// Everything that outlives every node.
#[derive(Debug)]
pub struct Storage {
    /// The LUNs: what stands on each, and its books, if it is no part of another.
    pub luns: BTreeMap<LunId, Device>,
    /// Which of them are parts of one LUN, and which of these keeps its books: the one that was there first.
    parts: BTreeSet<LunId>,
    keeper: Option<LunId>,
    /// Each node's session to each.
    pub nexuses: BTreeMap<(NodeId, LunId), Nexus>,
    /// Saved states: the guest's counter on each LUN of its group.
    pub saves: BTreeMap<SaveToken, BTreeMap<LunId, u64>>,
    /// Those that were handed over to the process of a node, and die with it.
    pub sent: BTreeMap<SaveToken, (NodeId, u64)>,
    /// Where the witness lives.
    pub register: Register,
    /// Which LUNs are said to refuse stale writers, whether the configuration names them or not.
    enforced: BTreeSet<LunId>,
    ignores: bool,
}

impl Storage {
    /// The storage that `config` names, unused. `ignores` makes LUNs that only claim to be enforced.
    pub fn new(config: &ClusterConfig, ignores: bool, random: &mut Random) -> Self {
        let mut storage = Self {
            luns: BTreeMap::new(),
            parts: BTreeSet::new(),
            keeper: None,
            nexuses: BTreeMap::new(),
            saves: BTreeMap::new(),
            sent: BTreeMap::new(),
            register: Register::default(),
            enforced: BTreeSet::new(),
            ignores,
        };
        config.luns().iter().for_each(|lun| storage.add(lun, config, random));
        storage
    }

    /// A LUN that every node can reach from here on, unused; one that there is stays as it is.
    pub fn add(&mut self, lun: &LunConfig, config: &ClusterConfig, random: &mut Random) {
        if self.luns.contains_key(&lun.id) {
            return;
        }
        let refuses = lun.enforced && !self.ignores;
        let kind = Kind { refuses, preempt_takes_free: random.chance(1, 2) };
        self.luns.insert(lun.id, Device::new(kind));
        if lun.part {
            self.parts.insert(lun.id);
            self.keeper.get_or_insert(lun.id);
        }
        self.enforced.extend(lun.enforced.then_some(lun.id));
        let nexuses = config.nodes().iter().map(|node| ((node.id, lun.id), Nexus::default()));
        self.nexuses.extend(nexuses);
    }

    /// A host that reaches every LUN from here on.
    pub fn connect(&mut self, node: NodeId) {
        let nexuses = self.luns.keys().map(|&lun| ((node, lun), Nexus::default()));
        self.nexuses.extend(nexuses);
    }

    /// Whether a LUN is said to refuse stale writers.
    pub fn is_enforced(&self, lun: LunId) -> bool {
        self.enforced.contains(&lun)
    }

    /// What stands on a LUN.
    pub fn lun(&mut self, lun: LunId) -> &mut Device {
        self.luns.get_mut(&lun).expect("every LUN of the configuration exists")
    }

    /// Who keeps the books of a LUN: itself, or the one that does for all parts of the same one.
    fn keeper(&self, lun: LunId) -> LunId {
        self.keeper.filter(|_| self.parts.contains(&lun)).unwrap_or(lun)
    }

    /// What keeps the books of a LUN.
    pub fn device(&self, lun: LunId) -> &Device {
        &self.luns[&self.keeper(lun)]
    }

    /// The same, to change them.
    pub fn device_mut(&mut self, lun: LunId) -> &mut Device {
        let keeper = self.keeper(lun);
        self.lun(keeper)
    }

    /// All that have the same books.
    pub fn beside(&self, lun: LunId) -> Vec<LunId> {
        match self.parts.contains(&lun) {
            true => self.parts.iter().copied().collect(),
            false => vec![lun],
        }
    }

    /// As whom a node comes to a LUN.
    pub fn initiator(&self, node: NodeId, lun: LunId) -> Initiator {
        match self.parts.contains(&lun) {
            true => Initiator::Part(node, lun),
            false => Initiator::Node(node),
        }
    }

    /// Whether a LUN would take a write of this node.
    pub fn takes_writes_of(&self, node: NodeId, lun: LunId) -> bool {
        self.device(lun).may_write(self.initiator(node, lun))
    }

    /// A session of the configuration.
    pub fn nexus(&mut self, node: NodeId, lun: LunId) -> &mut Nexus {
        self.nexuses.get_mut(&(node, lun)).expect("every node has a session to every LUN")
    }
}
