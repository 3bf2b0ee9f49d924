//! Where nodes are: names and addresses of a configuration, looked up.

use std::net::{SocketAddr, ToSocketAddrs};

use quorate_core::config::{ClusterConfig, NodeConfig};
use quorate_core::id::NodeId;

use crate::Error;
use crate::net::{PathAddress, PeerConfig};

pub(super) fn find_node<'a>(
    config: &'a ClusterConfig,
    name: &str,
) -> Result<&'a NodeConfig, Error> {
    config.node_named(name).ok_or_else(|| {
        let known: Vec<&str> = config.nodes().iter().map(|node| node.name.as_str()).collect();
        Error::Unknown { kind: "node", name: name.to_owned(), known: known.join(", ") }
    })
}

/// This node's addresses, and those of its peers.
pub(super) fn addresses(
    config: &ClusterConfig,
    me: NodeId,
) -> Result<(Vec<PathAddress>, Vec<PeerConfig>), Error> {
    let (mut own, mut peers) = (Vec::new(), Vec::new());
    for node in config.nodes() {
        let found = resolve_all(&node.name, &node.addresses)?;
        if node.id == me {
            own = found;
        } else {
            peers.push(PeerConfig { id: node.id.0, addresses: found });
        }
    }
    Ok((own, peers))
}

/// The addresses of a node, by network.
pub(super) fn resolve_all(node: &str, texts: &[String]) -> Result<Vec<PathAddress>, Error> {
    let all = (0..=u8::MAX).zip(texts);
    all.map(|(path, text)| Ok(PathAddress { path, address: resolve(node, text)? })).collect()
}

fn resolve(node: &str, text: &str) -> Result<SocketAddr, Error> {
    let wrong =
        |why: String| Error::Address { node: node.to_owned(), address: text.to_owned(), why };
    let mut found = text.to_socket_addrs().map_err(|error| wrong(error.to_string()))?;
    found.next().ok_or_else(|| wrong("it has no address".to_owned()))
}
