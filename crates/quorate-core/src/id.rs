//! Names of things: numbers with a meaning, so that no two kinds can be mixed up.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::plant::{self, Plant};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(
            Clone,
            Copy,
            Debug,
            PartialEq,
            Eq,
            PartialOrd,
            Ord,
            Hash,
            Serialize,
            Deserialize,
            Default,
        )]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

id!(
    /// A node of the cluster. Given by the configuration, stable for the node's life.
    NodeId(u16),
    "node "
);
id!(
    /// A group: the unit of failover.
    GroupId(u32),
    "group "
);
id!(
    /// A resource: one item in a group.
    ResourceId(u32),
    "resource "
);
id!(
    /// A LUN, exclusive to one group.
    LunId(u32),
    "lun "
);
id!(
    /// One configured network, the same number on every node.
    PathId(u8),
    "path "
);
id!(
    /// One request of the engine to its driver; the answer carries it back. Never reused within a
    /// boot.
    OpId(u64),
    "op "
);
id!(
    /// One command of the host to the engine.
    RequestId(u64),
    "request "
);
id!(
    /// How often a group's ownership has been given: a larger epoch fences out a smaller one.
    Epoch(u64),
    "epoch "
);
id!(
    /// The cluster, drawn at random by `quorate init`: keys, logs and peers of another are refused.
    ClusterId(u64),
    "cluster "
);

impl NodeId {
    /// The witness, wherever voters are named: no node has this number.
    pub const WITNESS: Self = Self(u16::MAX);
}

/// One life of a node's engine.
///
/// `boot` is given by the driver at every start and grows (microseconds since 1970, or one more
/// than the last one in the log, whichever is larger); `session` counts how often the node has been
/// readmitted within it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
pub struct Incarnation {
    /// The start of the process.
    pub boot: u64,
    /// The readmission within that boot, from 0.
    pub session: u32,
}

impl Incarnation {
    /// The first session of a boot.
    pub fn of_boot(boot: u64) -> Self {
        Self { boot, session: 0 }
    }

    /// The session after this one, in the same boot.
    #[must_use]
    pub fn next_session(self) -> Self {
        Self { session: self.session + 1, ..self }
    }
}

/// The identity under which a node's log takes part in consensus.
///
/// The low 16 bits are the node; the rest is the boot in which its log was made. A node whose disk
/// was wiped comes back under another one, since it has forgotten what it promised.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
pub struct VoterId(pub u64);

impl VoterId {
    /// The witness's log. It is made once for a cluster, and never again: see [`crate::consensus::witness`].
    pub const WITNESS: Self = Self(1 << 16 | NodeId::WITNESS.0 as u64);

    /// The identity of a log made by `node` in the boot `boot`.
    pub fn new(node: NodeId, boot: u64) -> Self {
        let boot = if plant::is(Plant::IdentityReused) { 1 } else { boot };
        Self(boot << 16 | u64::from(node.0))
    }

    /// The node that holds this log.
    pub fn node(self) -> NodeId {
        NodeId((self.0 & 0xffff) as u16)
    }
}

/// A reservation key in the sense of SPC: 8 bytes that name the cluster, the node and the group's
/// epoch.
///
/// 16 bits of cluster, 16 of node, 32 of epoch: a stale key names itself. Where several groups have parts of one LUN, a
/// key names the part in place of the node: its highest bit set, then 15 bits of the part's number. Nodes have numbers
/// below that.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default, Debug,
)]
pub struct ReservationKey(pub u64);

/// Marks the keys of parts.
const PART: u16 = 1 << 15;

impl ReservationKey {
    /// The key of `node` for the ownership `epoch` in `cluster`.
    pub fn new(cluster: ClusterId, node: NodeId, epoch: Epoch) -> Self {
        let cluster = (cluster.0 & 0xffff).max(1);
        let (node, epoch) = match () {
            () if plant::is(Plant::KeyReused) => (NodeId(1), Epoch(1)),
            () if plant::is(Plant::KeyWithoutEpoch) => (node, Epoch(1)),
            () => (node, epoch),
        };
        Self(cluster << 48 | u64::from(node.0) << 32 | (epoch.0 & 0xffff_ffff))
    }

    /// The key of the ownership `epoch` of a part of a LUN in `cluster`.
    pub fn of_part(cluster: ClusterId, part: LunId, epoch: Epoch) -> Self {
        let part = PART | (part.0 as u16 & !PART);
        Self::new(cluster, NodeId(part), epoch)
    }

    /// The part of a LUN that the key names; `None`: it names a node.
    pub fn part(self) -> Option<LunId> {
        let NodeId(number) = self.node();
        (number & PART != 0).then_some(LunId(u32::from(number & !PART)))
    }

    /// Whether a node of `cluster` made this key.
    pub fn is_of(self, cluster: ClusterId) -> bool {
        self.0 >> 48 == (cluster.0 & 0xffff).max(1)
    }

    /// The node named by the key.
    pub fn node(self) -> NodeId {
        NodeId((self.0 >> 32 & 0xffff) as u16)
    }

    /// The epoch named by the key.
    pub fn epoch(self) -> Epoch {
        Epoch(self.0 & 0xffff_ffff)
    }
}

impl fmt::Display for ReservationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:016x}", self.0)
    }
}

/// Names one saved state: valid once, for the move it was made for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
pub struct SaveToken(pub u64);

impl SaveToken {
    /// The token of the save made when `epoch` of `group` ended.
    pub fn new(group: GroupId, epoch: Epoch) -> Self {
        Self(u64::from(group.0) << 40 | epoch.0 & 0xff_ffff_ffff)
    }
}
