//! Shared storage: LUNs, each node's session to each, and the saved states of guests.

mod device;
mod nexus;
mod register;

use std::collections::BTreeMap;

use quorate_core::config::ClusterConfig;
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
    /// The LUNs.
    pub luns: BTreeMap<LunId, Device>,
    /// Each node's session to each.
    pub nexuses: BTreeMap<(NodeId, LunId), Nexus>,
    /// Saved states: the guest's counter on each LUN of its group.
    pub saves: BTreeMap<SaveToken, BTreeMap<LunId, u64>>,
    /// Those that were handed over to the process of a node, and die with it.
    pub sent: BTreeMap<SaveToken, (NodeId, u64)>,
    /// Where the witness lives.
    pub register: Register,
}

impl Storage {
    /// The storage that `config` names, unused. `ignores` makes LUNs that only claim to be enforced.
    pub fn new(config: &ClusterConfig, ignores: bool, random: &mut Random) -> Self {
        let kind = |lun: &quorate_core::config::LunConfig, random: &mut Random| Kind {
            refuses: lun.enforced && !ignores,
            preempt_takes_free: random.chance(1, 2),
        };
        let luns =
            config.luns().iter().map(|lun| (lun.id, Device::new(kind(lun, random)))).collect();
        let nexuses = config
            .nodes()
            .iter()
            .flat_map(|node| config.luns().iter().map(|lun| (node.id, lun.id)))
            .map(|key| (key, Nexus::default()))
            .collect();
        Self {
            luns,
            nexuses,
            saves: BTreeMap::new(),
            sent: BTreeMap::new(),
            register: Register::default(),
        }
    }

    /// A LUN of the configuration.
    pub fn lun(&mut self, lun: LunId) -> &mut Device {
        self.luns.get_mut(&lun).expect("every LUN of the configuration exists")
    }

    /// A session of the configuration.
    pub fn nexus(&mut self, node: NodeId, lun: LunId) -> &mut Nexus {
        self.nexuses.get_mut(&(node, lun)).expect("every node has a session to every LUN")
    }
}
