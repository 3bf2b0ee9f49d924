//! Nodes that come and go: hosts that stand ready to be added, and those that were evicted.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::config::{ClusterConfig, ClusterParts, NewNode, NodeConfig};
use quorate_core::id::NodeId;
use quorate_core::message::Command;

use super::World;
use super::processes::Death;
use crate::chance;
use crate::fault::FaultKind;
use crate::host::Host;
use crate::options::Options;
use crate::schedule::Happening;

/// How many hosts stand ready, where nodes are added.
const SPARES: u16 = 2;

/// Hosts that belong to no cluster yet, or no more.
#[derive(Debug)]
pub(super) struct Members {
    /// Who was never added, in order.
    spares: Vec<NewNode>,
    /// What was to be added, whether that was heard or not, and the file that it is started with.
    added: BTreeMap<NodeId, (NewNode, ClusterConfig)>,
    /// Hosts that are not to run.
    outside: BTreeSet<NodeId>,
    /// Who voted before the change that is committed by this step.
    voting_before: Option<Vec<NodeId>>,
}

/// The same cluster with the hosts that stand ready, if any do.
pub(super) fn with_spares(config: &ClusterConfig, options: &Options) -> ClusterConfig {
    if options.faults.weight(FaultKind::AddNode) == 0 {
        return config.clone();
    }
    let mut parts = ClusterParts { groups: config.groups().to_vec(), ..config.parts().clone() };
    let last = parts.nodes.iter().map(|node| node.id.0).max().unwrap_or_default();
    for id in last + 1..=last + SPARES {
        parts.nodes.push(another(&parts.nodes[0], id));
    }
    ClusterConfig::with_circles(parts).expect("more nodes fit to any cluster that is drawn")
}

/// A node without a vote on the networks of this one.
fn another(like: &NodeConfig, id: u16) -> NodeConfig {
    let addresses = (0..like.addresses.len()).map(|path| format!("10.{path}.0.{id}:7000"));
    NodeConfig {
        id: NodeId(id),
        name: format!("n{id}"),
        addresses: addresses.collect(),
        voter: false,
        ..like.clone()
    }
}

impl Members {
    pub(super) fn new(config: &ClusterConfig, wider: &ClusterConfig) -> Self {
        let spares = wider.nodes().iter().filter(|node| config.node(node.id).is_none());
        let spares = spares.map(|node| NewNode { node: node.clone(), only_if: None });
        let spares: Vec<NewNode> = spares.collect();
        let outside = spares.iter().map(|new| new.node.id).collect();
        Self { spares, added: BTreeMap::new(), outside, voting_before: None }
    }

    pub(super) fn is_outside(&self, node: NodeId) -> bool {
        self.outside.contains(&node)
    }

    /// The file of a node that came later; none: it has that of the founders.
    pub(super) fn file(&self, node: NodeId) -> Option<&ClusterConfig> {
        self.added.get(&node).map(|(_, file)| file)
    }

    pub(super) fn voting_before(&self) -> Option<&[NodeId]> {
        self.voting_before.as_deref()
    }

    pub(super) fn forget_before(&mut self) {
        self.voting_before = None;
    }
}

impl World {
    /// Whether the engines of both belong to one cluster, and let the other in.
    pub(super) fn are_linked(&self, one: NodeId, other: NodeId) -> bool {
        let lets = |node: &NodeId, peer: NodeId| {
            self.hosts[node].process.as_ref().is_some_and(|process| process.engine.is_linked(peer))
        };
        lets(&one, other) && lets(&other, one)
    }

    /// An engine has applied more than any before it: was there a change of voters in it?
    pub(super) fn learn_votes(&mut self, node: NodeId, before: u64) {
        let process = self.hosts[&node].process.as_ref();
        let voted = process.and_then(|one| one.engine.database()).map(|database| database.voted());
        if voted.is_some_and(|voted| voted > before) {
            self.members.voting_before = Some(self.config.voting().to_vec());
        }
    }

    pub(super) fn count_members(&mut self, before: &ClusterConfig) {
        let lacks = |one: &ClusterConfig, other: &ClusterConfig| {
            one.nodes().iter().filter(|node| other.node(node.id).is_none()).count() as u64
        };
        self.stats.nodes_added += lacks(&self.config, before);
        self.stats.nodes_evicted += lacks(before, &self.config);
        self.stats.votes_changed += u64::from(before.voting() != self.config.voting());
    }

    /// Adds the next host that stands ready, and starts it with a file that names it.
    pub(super) fn add_spare(&mut self, votes: bool) {
        if self.members.spares.is_empty() {
            return;
        }
        let mut new = self.members.spares.remove(0);
        let voters = self.config.voters().count();
        new.node.voter = votes && voters + SPARES as usize <= quorate_core::config::VOTERS_MAX;
        let id = new.node.id;
        let mut parts = self.config.parts().clone();
        parts.nodes.push(new.node.clone());
        let file = ClusterConfig::with_circles(parts).expect("one more fits to the rest");
        self.members.added.insert(id, (new.clone(), file));
        self.members.outside.remove(&id);
        self.say(Command::AddNode(Box::new(new)));
        let delay = chance::millis(&mut self.random, 1, 4_000);
        self.after(delay, Happening::Restart(id));
    }

    /// Puts up one more host, for a node that is to be added.
    pub fn put_up(&mut self, name: &str, votes: bool) -> NewNode {
        let last = self.hosts.keys().map(|node| node.0).max().unwrap_or_default();
        let node = another(&self.config.nodes()[0], last + 1);
        let node = NodeConfig { name: name.to_owned(), voter: votes, ..node };
        let clock = super::draw_clock(&mut self.random, &self.config);
        self.hosts.insert(node.id, Host::new(node.id, clock));
        self.storage.connect(node.id);
        self.members.outside.insert(node.id);
        NewNode { node, only_if: None }
    }

    /// A node was added: its host is started with a file that names it.
    pub fn start_added(&mut self, new: NewNode) {
        let id = new.node.id;
        let mut parts = self.config.parts().clone();
        if self.config.node(id).is_none() {
            parts.nodes.push(new.node.clone());
        }
        let file = ClusterConfig::with_circles(parts).expect("the engine took it");
        self.members.added.insert(id, (new, file));
        self.members.outside.remove(&id);
        self.switch_on(id);
    }

    pub(super) fn drain_to_evict(&mut self, node: NodeId) {
        let name = self.config.node(node).map(|one| one.name.clone());
        // Some are evicted as they are, if nobody minds.
        if let Some(node) = name.filter(|_| self.random.chance(3, 4)) {
            self.say(Command::Drain { node });
        }
    }

    /// Whose log is damaged is lost, though nobody knows yet: nobody is taken out beside.
    pub(super) fn evict(&mut self, node: NodeId) {
        if self.hosts.values().any(|host| host.disk.is_rotten) {
            return;
        }
        if let Some(node) = self.config.node(node).map(|one| one.name.clone()) {
            self.say(Command::EvictNode { node });
        }
    }

    /// Gives a command to some node of the cluster.
    fn say(&mut self, command: Command) {
        let awake = self.hosts.values().filter(|host| host.is_awake()).map(|host| host.id);
        let awake: Vec<NodeId> = awake.filter(|&id| self.config.node(id).is_some()).collect();
        if let Some(node) = chance::pick(&mut self.random, &awake) {
            self.command(node, command);
        }
    }

    /// A node has ended for ever.
    pub(super) fn switch_off(&mut self, node: NodeId) {
        self.members.outside.insert(node);
        self.end_process(node, Death::Goodbye);
    }

    /// Those that were evicted and have not heard of it are switched off by hand.
    pub(super) fn switch_off_departed(&mut self) {
        let gone = self.hosts.keys().copied().filter(|&node| {
            self.config.node(node).is_none() && !self.members.added.contains_key(&node)
                || self.newest().is_some_and(|(_, database)| database.has_departed(node))
        });
        for node in gone.collect::<Vec<_>>() {
            self.members.outside.insert(node);
            self.end_process(node, Death::Power);
        }
    }

    /// Nodes that were to be added, and are not: nobody has heard it.
    pub(super) fn missing_nodes(&self) -> Vec<NewNode> {
        let Some((_, database)) = self.newest() else { return Vec::new() };
        let missing = |&(id, _): &(&NodeId, &(NewNode, ClusterConfig))| {
            database.node(*id).is_none() && !database.has_departed(*id)
        };
        self.members.added.iter().filter(missing).map(|(_, (new, _))| new.clone()).collect()
    }

    /// Whether it is not settled who belongs to the cluster and who votes.
    pub fn members_change(&self) -> bool {
        self.missing_members().is_some()
    }

    /// What is not settled of who belongs to the cluster and who votes; none: all is.
    pub(super) fn missing_members(&self) -> Option<String> {
        let (_, database) = self.newest()?;
        if let Some(new) = self.missing_nodes().first() {
            return Some(format!("{} is not added", new.node.name));
        }
        if let Some(node) = database.nodes_to_evict().next() {
            return Some(format!("{node} is not gone"));
        }
        if let Some(node) = database.nodes_to_vote().next() {
            return Some(format!("{node} does not vote yet"));
        }
        database.config().with_witness_settled().map(|_| "the witness is not settled".to_owned())
    }
}
