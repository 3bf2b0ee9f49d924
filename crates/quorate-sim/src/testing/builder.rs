//! A test cluster described in a few words.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_core::config::{
    ClusterConfig, ClusterParts, GroupConfig, LunConfig, NodeConfig, ResourceConfig, TimingInputs,
    WitnessConfig,
};
use quorate_core::id::{ClusterId, GroupId, LunId, NodeId, ResourceId};

use super::{Cluster, Error};

/// What a group of a test cluster stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Disk {
    /// A LUN that refuses stale writers, as one with persistent reservations.
    Enforced,
    /// A LUN that takes every write, as a file on a share: time protects it.
    Cooperative,
    /// None: time protects it.
    None,
}

/// A test cluster to be. Nodes are called `n1` and on; each group has one resource of the same name, and its LUN is
/// called `disk-GROUP`.
#[derive(Clone, Debug)]
pub struct Builder {
    seed: u64,
    nodes: u16,
    networks: u8,
    timing: TimingInputs,
    groups: Vec<(String, Disk)>,
    witness: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            seed: 0,
            nodes: 3,
            networks: 2,
            timing: TimingInputs::DEFAULT,
            groups: Vec::new(),
            witness: false,
        }
    }
}

impl Builder {
    /// How many nodes. Default 3.
    #[must_use]
    pub fn nodes(self, nodes: u16) -> Self {
        Self { nodes, ..self }
    }

    /// The seed, from which every chance in the run follows. Default 0.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// How many networks the nodes share. Default 2.
    #[must_use]
    pub fn networks(self, networks: u8) -> Self {
        Self { networks, ..self }
    }

    /// What every timeout is derived from. Default [`TimingInputs::DEFAULT`].
    #[must_use]
    pub fn timing(self, timing: TimingInputs) -> Self {
        Self { timing, ..self }
    }

    /// Whether there is a witness: it votes where the nodes that vote are even in number. Default: no.
    #[must_use]
    pub fn witness(self, witness: bool) -> Self {
        Self { witness, ..self }
    }

    /// Adds a group. Without any there is one, `vm1` on an enforced LUN.
    #[must_use]
    pub fn group(mut self, name: &str, disk: Disk) -> Self {
        self.groups.push((name.to_owned(), disk));
        self
    }

    /// The parts of the configuration, for whoever wants to change more of it.
    pub fn parts(&self) -> ClusterParts {
        let vm1 = [("vm1".to_owned(), Disk::Enforced)];
        let groups = if self.groups.is_empty() { &vm1[..] } else { &self.groups };
        let numbered = || (1..).zip(groups);
        ClusterParts {
            fence_agents: Vec::new(),
            name: "test".into(),
            id: ClusterId(1),
            timing: self.timing,
            nodes: (1..=self.nodes).map(|id| self.node(id)).collect(),
            luns: numbered().filter_map(|(id, (name, disk))| lun(id, name, *disk)).collect(),
            groups: numbered().map(|(id, (name, disk))| self.a_group(id, name, *disk)).collect(),
            rules: Vec::new(),
            policy: quorate_core::config::Policy::default(),
            witness: self
                .witness
                .then(|| WitnessConfig { path: "/mnt/share/test".into(), votes: None }),
        }
    }

    /// The cluster.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn build(self) -> Result<Cluster, Error> {
        let config = ClusterConfig::new(self.parts()).map_err(Error::Config)?;
        Ok(Cluster::of(config, self.seed))
    }

    fn node(&self, id: u16) -> NodeConfig {
        let addresses = (0..self.networks).map(|network| format!("10.{network}.0.{id}:7400"));
        NodeConfig {
            id: NodeId(id),
            name: format!("n{id}"),
            addresses: addresses.collect(),
            voter: usize::from(id) <= quorate_core::config::VOTERS_MAX,
            capacity: quorate_core::config::Amounts::new(),
            domain: quorate_core::config::Domain::default(),
        }
    }

    fn a_group(&self, id: u32, name: &str, disk: Disk) -> GroupConfig {
        GroupConfig {
            id: GroupId(id),
            name: name.to_owned(),
            auto_start: true,
            possible_owners: Vec::new(),
            preferred_owners: Vec::new(),
            scores: BTreeMap::new(),
            initial_owner: None,
            failback: false,
            stickiness: 0,
            failover_threshold: u32::from(self.nodes).saturating_sub(1).max(1),
            failover_period: Duration::from_secs(6 * 3_600),
            retry_period: Duration::from_secs(3_600),
            wishes: quorate_core::config::Wishes::default(),
            luns: if disk == Disk::None { Vec::new() } else { vec![LunId(id)] },
            resources: vec![ResourceConfig {
                id: ResourceId(id),
                name: name.to_owned(),
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
            }],
        }
    }
}

fn lun(id: u32, group: &str, disk: Disk) -> Option<LunConfig> {
    let (driver, enforced) = match disk {
        Disk::Enforced => ("iscsi", true),
        Disk::Cooperative => ("file", false),
        Disk::None => return None,
    };
    Some(LunConfig {
        id: LunId(id),
        name: format!("disk-{group}"),
        driver: driver.into(),
        settings: "{}".into(),
        enforced,
        part: false,
    })
}
