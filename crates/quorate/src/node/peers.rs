//! Whom the network is to reach: the nodes of the configuration in force, and those that have left it and are told so.
//!
//! An address may be a name, and to look one up may take long: a thread of its own does.

use std::collections::BTreeMap;

use crossbeam_channel::{Receiver, Sender, unbounded};
use quorate_core::engine::Engine;
use quorate_core::id::NodeId;

use super::start::resolve_all;
use crate::net::{NetHandle, PathAddress, PeerConfig};

/// A list of peers that is to come into force.
struct List {
    /// The nodes of the configuration, each with its name and its addresses.
    nodes: Vec<(NodeId, String, Vec<String>)>,
    /// Nodes that stay reachable at the addresses that are known.
    stay: Vec<NodeId>,
}

/// Keeps the network's list of peers as the cluster has it.
pub(crate) struct Peers {
    lists: Sender<List>,
    /// Whom the network was told of last.
    known: Vec<NodeId>,
}

impl Peers {
    /// Begins with the peers that the network was started with. Without a thread the list stays as it is, and nodes
    /// that are added later are not reached: that is told.
    pub(crate) fn new(net: NetHandle, peers: Vec<PeerConfig>) -> Self {
        let (lists, queue) = unbounded();
        let known = peers.iter().map(|peer| NodeId(peer.id)).collect();
        let body = move || keep(&net, peers, &queue);
        if let Err(error) = std::thread::Builder::new().name("peers".to_owned()).spawn(body) {
            tracing::warn!(%error, "nodes that are added are not reached from here");
        }
        Self { lists, known }
    }

    /// The configuration, or who is to be reached, may have changed.
    pub(crate) fn follow(&mut self, engine: &Engine, me: NodeId) {
        let nodes = engine.config().nodes().iter().filter(|node| node.id != me);
        let nodes: Vec<(NodeId, String, Vec<String>)> =
            nodes.map(|node| (node.id, node.name.clone(), node.addresses.clone())).collect();
        let is_in = |id: NodeId| nodes.iter().any(|(node, _, _)| *node == id);
        let gone = self.known.iter().copied().filter(|&id| !is_in(id));
        let stay: Vec<NodeId> = gone.filter(|&id| engine.is_linked(id)).collect();
        self.known = nodes.iter().map(|(id, _, _)| *id).chain(stay.iter().copied()).collect();
        // The thread ends with this: nobody waits for its answer.
        let _ = self.lists.send(List { nodes, stay });
    }
}

fn keep(net: &NetHandle, peers: Vec<PeerConfig>, queue: &Receiver<List>) {
    let known = peers.into_iter().map(|peer| (NodeId(peer.id), peer.addresses));
    let mut known: BTreeMap<NodeId, Vec<PathAddress>> = known.collect();
    let mut resolved: BTreeMap<NodeId, Vec<String>> = BTreeMap::new();
    while let Ok(list) = queue.recv() {
        for (id, name, addresses) in list.nodes.iter() {
            if known.contains_key(id) && resolved.get(id).is_none_or(|old| old == addresses) {
                continue;
            }
            match resolve_all(name, addresses) {
                Ok(found) => {
                    known.insert(*id, found);
                    resolved.insert(*id, addresses.clone());
                }
                Err(error) => {
                    tracing::warn!(%error, "a node that was added is not reached from here")
                }
            }
        }
        let stays = |id: &NodeId| {
            list.nodes.iter().any(|(node, _, _)| node == id) || list.stay.contains(id)
        };
        known.retain(|id, _| stays(id));
        let peers = known
            .iter()
            .map(|(id, addresses)| PeerConfig { id: id.0, addresses: addresses.clone() });
        if let Err(error) = net.update_peers(peers.collect()) {
            tracing::warn!(%error, "the network goes on with the peers that it had");
        }
    }
}
