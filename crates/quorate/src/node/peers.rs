//! Whom the network is to reach: the nodes of the configuration in force, and those that have left it and are told so.
//!
//! An address may be a name, and to look one up may take long: a thread of its own does.

use std::collections::BTreeMap;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use quorate_core::engine::Engine;
use quorate_core::id::NodeId;

use super::addresses::resolve_all;
use crate::Error;
use crate::net::{NetHandle, PathAddress, PeerConfig};

/// How long until a name that was not found is looked up again: a node may be added before its name is.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

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

/// Keeps the network's list as the newest one wants it, until nobody sends one any more.
fn keep(net: &NetHandle, peers: Vec<PeerConfig>, queue: &Receiver<List>) {
    let mut book = Book::new(peers);
    let Ok(mut list) = queue.recv() else { return };
    loop {
        if let Err(error) = net.update_peers(book.follow(&list, resolve_all)) {
            tracing::warn!(%error, "the network goes on with the peers that it had");
        }
        list = loop {
            if book.unresolved.is_empty() {
                match queue.recv() {
                    Ok(list) => break list,
                    Err(_) => return,
                }
            }
            match queue.recv_timeout(RETRY_INTERVAL) {
                Ok(list) => break list,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) if book.resolves(&list, resolve_all) => break list,
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
    }
}

/// Where each peer is.
struct Book {
    known: BTreeMap<NodeId, Vec<PathAddress>>,
    /// Of what those are the addresses.
    resolved: BTreeMap<NodeId, Vec<String>>,
    /// What could not be looked up, and was told of.
    unresolved: BTreeMap<NodeId, Vec<String>>,
}

impl Book {
    fn new(peers: Vec<PeerConfig>) -> Self {
        let known = peers.into_iter().map(|peer| (NodeId(peer.id), peer.addresses)).collect();
        Self { known, resolved: BTreeMap::new(), unresolved: BTreeMap::new() }
    }

    /// Whom the network is to reach from here on.
    fn follow(
        &mut self,
        list: &List,
        resolve: impl Fn(&str, &[String]) -> Result<Vec<PathAddress>, Error>,
    ) -> Vec<PeerConfig> {
        self.resolves(list, resolve);
        let is_in = |id: &NodeId| list.nodes.iter().any(|(node, _, _)| node == id);
        self.known.retain(|id, _| is_in(id) || list.stay.contains(id));
        self.resolved.retain(|id, _| is_in(id));
        self.unresolved.retain(|id, _| is_in(id));
        let peers = self.known.iter();
        peers.map(|(id, addresses)| PeerConfig { id: id.0, addresses: addresses.clone() }).collect()
    }

    /// Looks up whatever is not known yet; whether anything more is by that.
    fn resolves(
        &mut self,
        list: &List,
        resolve: impl Fn(&str, &[String]) -> Result<Vec<PathAddress>, Error>,
    ) -> bool {
        let mut more = false;
        for (id, name, addresses) in &list.nodes {
            let same = self.resolved.get(id).is_none_or(|old| old == addresses);
            if self.known.contains_key(id) && same {
                self.unresolved.remove(id);
                continue;
            }
            match resolve(name, addresses) {
                Ok(found) => {
                    self.known.insert(*id, found);
                    self.resolved.insert(*id, addresses.clone());
                    more = true;
                    if self.unresolved.remove(id).is_some() {
                        tracing::info!(node = %name, "it is reached from here by now");
                    }
                }
                Err(error) => {
                    let before = self.unresolved.insert(*id, addresses.clone());
                    if before.as_ref() != Some(addresses) {
                        tracing::warn!(%error, "a node is not reached from here; it is tried again");
                    }
                }
            }
        }
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> List {
        let node = (NodeId(4), "n4".to_owned(), vec!["n4.example:7000".to_owned()]);
        List { nodes: vec![node], stay: Vec::new() }
    }

    fn fails(node: &str, _: &[String]) -> Result<Vec<PathAddress>, Error> {
        Err(Error::Misuse(format!("{node} has no address")))
    }

    fn succeeds(_: &str, _: &[String]) -> Result<Vec<PathAddress>, Error> {
        Ok(Vec::new())
    }

    #[test]
    fn a_node_whose_address_is_not_found_at_once_is_reached_when_it_is() {
        let mut book = Book::new(Vec::new());
        assert!(book.follow(&list(), fails).is_empty());
        assert!(!book.resolves(&list(), fails) && !book.unresolved.is_empty(), "it is tried again");
        assert!(book.resolves(&list(), succeeds));
        let reached: Vec<u16> = book.follow(&list(), fails).iter().map(|peer| peer.id).collect();
        assert_eq!(reached, [4]);
        assert!(book.unresolved.is_empty(), "and then no more");
    }

    #[test]
    fn a_node_that_is_gone_is_looked_up_no_more() {
        let mut book = Book::new(Vec::new());
        book.follow(&list(), fails);
        book.follow(&List { nodes: Vec::new(), stay: Vec::new() }, fails);
        assert!(book.unresolved.is_empty());
    }
}
