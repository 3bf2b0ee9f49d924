//! What the network thread is told at its start, and why it may refuse to start.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::key::ClusterKey;

/// Most bytes of one message on a stream.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Most networks that a node can have.
pub const PATHS_MAX: usize = 16;

/// One network of a node, and the node's address on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathAddress {
    /// The network's number, the same on every node.
    pub path: u8,
    /// Address and port there: UDP for heartbeats, TCP for streams, the same number.
    pub address: SocketAddr,
}

/// Another node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConfig {
    /// Its number.
    pub id: u16,
    /// Its address on each network, the preferred network first.
    pub addresses: Vec<PathAddress>,
}

/// All that the network thread needs to know.
#[derive(Debug, Clone)]
pub struct NetConfig {
    /// This node's number.
    pub me: u16,
    /// This node's boot number: higher than in every run before, also after a wiped disk.
    pub incarnation: u64,
    /// The cluster's id.
    pub cluster_id: u64,
    /// The secret that all nodes share.
    pub key: ClusterKey,
    /// This node's address on each network. Port 0 takes a free port.
    pub paths: Vec<PathAddress>,
    /// The other nodes.
    pub peers: Vec<PeerConfig>,
    /// Sizes and times.
    pub limits: Limits,
}

/// Sizes and times of the network thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a sealed datagram. Default 1400, so that it is not fragmented.
    pub datagram_bytes_max: usize,
    /// How long a connection attempt may go unanswered before the next. Default 100 ms; must be
    /// above the round trip, and bounds how soon a host that was down is reached again.
    pub connect_timeout: Duration,
    /// How long to wait after a refused attempt before the next. Default 75 ms.
    pub redial_interval: Duration,
    /// How long a connected stream may take to prove itself. Default 1 s.
    pub handshake_timeout: Duration,
    /// How long a stream may be silent, or leave our bytes unacknowledged. Default 2 s.
    pub stream_timeout: Duration,
    /// Most bytes that wait for one peer; beyond, the oldest whole messages are dropped. Default 80
    /// MiB.
    pub queue_bytes_max: usize,
    /// Most accepted connections that have not proved themselves; beyond, the oldest is closed.
    /// Default 64.
    pub half_open_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            datagram_bytes_max: 1400,
            connect_timeout: Duration::from_millis(100),
            redial_interval: Duration::from_millis(75),
            handshake_timeout: Duration::from_secs(1),
            stream_timeout: Duration::from_secs(2),
            queue_bytes_max: 80 * 1024 * 1024,
            half_open_max: 64,
        }
    }
}

/// Why the network thread did not start. Nothing is left open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// Another process, often a second run of this node, has the port.
    #[error(
        "{protocol} port of {address} is in use: stop the node that is already running there, or choose another port"
    )]
    PortInUse {
        /// The address asked for.
        address: SocketAddr,
        /// TCP or UDP.
        protocol: &'static str,
    },
    /// No interface of this machine has the address.
    #[error(
        "no interface of this machine has the address {address}: bring the network up, or correct the node's address"
    )]
    NoSuchAddress {
        /// The address asked for.
        address: SocketAddr,
    },
    /// We may not bind the port.
    #[error(
        "not permitted to bind {protocol} {address}: choose a port above 1023, or run with the right to bind it"
    )]
    NotPermitted {
        /// The address asked for.
        address: SocketAddr,
        /// TCP or UDP.
        protocol: &'static str,
    },
    /// No network, or more than [`PATHS_MAX`].
    #[error("a node needs 1 to {PATHS_MAX} networks, this one has {count}")]
    PathCount {
        /// How many were given.
        count: usize,
    },
    /// One network given twice.
    #[error("network {path} is given twice for node {node}")]
    PathTwice {
        /// The node.
        node: u16,
        /// The network's number.
        path: u8,
    },
    /// A peer given twice, or with our own number.
    #[error("node {node} is given twice: each node needs its own number")]
    NodeTwice {
        /// The number.
        node: u16,
    },
    /// Anything else that the system refused.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was tried, with the address.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Checks the parts of a configuration against each other.
pub(super) fn check(config: &NetConfig) -> Result<(), NetError> {
    let count = config.paths.len();
    if count == 0 || count > PATHS_MAX {
        return Err(NetError::PathCount { count });
    }
    check_paths(config.me, &config.paths)?;
    check_peers(config.me, &config.peers)
}

/// Checks a list of peers, at the start and at each change.
pub(super) fn check_peers(me: u16, peers: &[PeerConfig]) -> Result<(), NetError> {
    let mut seen = std::collections::BTreeSet::from([me]);
    for peer in peers {
        if !seen.insert(peer.id) {
            return Err(NetError::NodeTwice { node: peer.id });
        }
        check_paths(peer.id, &peer.addresses)?;
    }
    Ok(())
}

fn check_paths(node: u16, addresses: &[PathAddress]) -> Result<(), NetError> {
    let mut seen = std::collections::BTreeSet::new();
    match addresses.iter().find(|address| !seen.insert(address.path)) {
        Some(twice) => Err(NetError::PathTwice { node, path: twice.path }),
        None => Ok(()),
    }
}
