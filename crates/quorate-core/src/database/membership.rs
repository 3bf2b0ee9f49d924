//! Who belongs to the cluster, and who votes.
//!
//! ```text
//! AddNode --> absent --log follows, caught up--> Vote: votes
//! Evict --> closed --Vote: votes no more--> Evicted: gone, its number with it
//! ```
//!
//! *Architecture Invariant*: the configuration in force says who votes. It says so from the very entry on with which
//! consensus does.

use super::{Database, GroupRecord, NodeRecord, NodeState, OwnedState};
use crate::config::{ClusterConfig, ClusterParts, ConfigError, NewNode, VOTERS_MAX};
use crate::id::NodeId;
use crate::notice::Notice;
use crate::plant::{self, Plant};

impl Database {
    /// The configuration that would be in force with one node more.
    ///
    /// # Errors
    /// It does not fit to the rest, its number was another's, or another version is in force than it was made for.
    pub fn with_node(&self, new: &NewNode) -> Result<ClusterConfig, ConfigError> {
        self.check_version(new.only_if)?;
        let node = &new.node;
        let place = format!("nodes.{}", node.name);
        if self.has_departed(node.id) {
            return Err(ConfigError::new(
                place,
                format!("the number {} was that of a node which was evicted", node.id.0),
                "give it a number that no node ever had: keys of the other may stand on LUNs",
            ));
        }
        let voters = self.config.voters().count() + self.to_vote.len();
        if node.voter && voters >= VOTERS_MAX {
            return Err(ConfigError::new(
                place,
                format!("{voters} nodes vote, or are about to"),
                format!("at most {VOTERS_MAX} may: let it not vote"),
            ));
        }
        self.config.with_node(new)
    }

    /// Whether a node may be taken out, and who votes then at first: the witness votes on, or does not, as before.
    ///
    /// # Errors
    /// What keeps it: a group that it has, or may have; another node that is being taken out; what the rest must be.
    pub fn without_node(&self, node: NodeId) -> Result<ClusterConfig, ConfigError> {
        let name = |id| self.config.node(id).map_or("a node", |one| one.name.as_str());
        let refused = |problem: String, remedy: &str| {
            Err(ConfigError::new(format!("nodes.{}", name(node)), problem, remedy))
        };
        if let Some(other) = self.nodes_to_evict().find(|&other| other != node) {
            let problem = format!("{} is being evicted", name(other));
            return refused(problem, "wait until it is gone: one leaves at a time");
        }
        let down = self.nodes.get(&node).is_some_and(|one| matches!(one.state, NodeState::Down(_)));
        if down {
            let problem = format!("{} is down, and not yet proven harmless", name(node));
            return refused(
                problem,
                "wait until it is fenced, or confirm that it is (confirm-fenced)",
            );
        }
        let comes = |record: &GroupRecord| {
            let state = record.owned_state();
            matches!(state, Some(OwnedState::Releasing { to: Some(to), .. }) if to == node)
        };
        let has = |record: &&GroupRecord| {
            record.owner().is_some_and(|owner| owner.0 == node)
                || comes(record)
                || record.strays.contains_key(&node)
                || record.held_by.is_some_and(|holder| holder.0 == node)
        };
        let mut groups = self.groups.iter();
        if let Some((&group, record)) = groups.find(|(_, record)| has(record)) {
            let group = self.config.group(group).map_or("a group", |one| one.name.as_str());
            if record.strays.contains_key(&node) {
                let problem =
                    format!("{group} may still run on {}, where nobody asked", name(node));
                let remedy =
                    "let the node end it, or confirm that nothing runs there (confirm-fenced)";
                return refused(problem, remedy);
            }
            return refused(format!("{} has {group}", name(node)), "drain it first");
        }
        let less = self.config.with_vote(node, false)?;
        if less.voters().count() < 2 && less.voting() != self.config.voting() {
            return refused(
                "fewer than two nodes would be left that vote".to_owned(),
                "add another first: of one alone none may be lost",
            );
        }
        let after = less.without_node(node)?;
        after.with_witness_settled().transpose()?;
        Ok(less)
    }

    /// Nodes that are to be taken out.
    pub fn nodes_to_evict(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.iter().filter(|(_, record)| record.evicted).map(|(&node, _)| node)
    }

    /// The configuration after the next step of the witness's vote; none: no such step is due. Where the witness votes
    /// in the place of a node that is to be taken out, its step comes first: else, in between, one vote less could be
    /// lost than before and after.
    ///
    /// # Errors
    /// What would be in force does not hold together.
    pub fn with_witness_settled(&self) -> Option<Result<ClusterConfig, ConfigError>> {
        let votes = |node: &NodeId| self.config.voters().any(|voter| voter == *node);
        match self.nodes_to_evict().find(votes) {
            Some(leaving) => self.config.with_witness_ahead(leaving),
            None => self.config.with_witness_settled(),
        }
    }

    /// Nodes that are to vote once they have caught up.
    pub fn nodes_to_vote(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.to_vote.iter().copied()
    }

    /// Where in the log it changed last who votes.
    pub fn voted(&self) -> u64 {
        self.voted
    }

    /// Whether there was a node of this number, which was taken out.
    pub fn has_departed(&self, node: NodeId) -> bool {
        self.departed.contains_key(&node)
    }

    /// The name of a node that was taken out.
    pub fn departed_name(&self, node: NodeId) -> Option<&str> {
        self.departed.get(&node).map(String::as_str)
    }

    /// The largest number of a node that was taken out.
    pub fn newest_departed(&self) -> Option<NodeId> {
        self.departed.keys().next_back().copied()
    }

    /// What a file says of who votes, where the cluster is on its way there.
    pub(super) fn as_in_force(&self, mut parts: ClusterParts) -> ClusterParts {
        for node in &mut parts.nodes {
            node.voter &= !self.to_vote.contains(&node.id);
        }
        if let (Some(wanted), Some(in_force)) = (&mut parts.witness, self.config.witness()) {
            wanted.votes = in_force.votes;
        }
        parts
    }

    pub(super) fn add_node(&mut self, index: u64, new: &NewNode) {
        let Ok(mut config) = self.with_node(new) else { return };
        let node = &new.node;
        if plant::is(Plant::VoteBeforeCaughtUp) && node.voter {
            config = config.with_vote(node.id, true).unwrap_or(config);
        }
        self.nodes.insert(node.id, NodeRecord::ABSENT);
        self.to_vote.extend(node.voter.then_some(node.id));
        self.succeed(index, config, format!("node {} added", node.name), 0);
    }

    pub(super) fn begin_eviction(&mut self, node: NodeId, notices: &mut Vec<Notice>) {
        if self.without_node(node).is_err() {
            return;
        }
        let Some(record) = self.nodes.get_mut(&node) else { return };
        if !record.evicted {
            (record.evicted, record.reluctant) = (true, true);
            self.to_vote.remove(&node);
            notices.push(Notice::Paused { node, paused: true });
        }
    }

    pub(super) fn vote(&mut self, index: u64, node: NodeId, votes: bool) {
        let Ok(config) = self.config.with_vote(node, votes) else { return };
        let name = self.config.node(node).map_or("", |one| &one.name);
        let reason = format!("node {name} {}", if votes { "votes" } else { "votes no more" });
        self.to_vote.remove(&node);
        self.voted = index;
        self.succeed(index, config, reason, 0);
    }

    pub(super) fn settle_witness(&mut self, index: u64) {
        let Some(Ok(config)) = self.with_witness_settled() else { return };
        let votes = config.witness_votes();
        let reason = format!("the witness {}", if votes { "votes" } else { "votes no more" });
        self.voted = index;
        self.succeed(index, config, reason, 0);
    }

    pub(super) fn end_eviction(&mut self, index: u64, node: NodeId, notices: &mut Vec<Notice>) {
        let is_due = self.nodes.get(&node).is_some_and(|record| record.evicted);
        let (true, Ok(_), Ok(config)) =
            (is_due, self.without_node(node), self.config.without_node(node))
        else {
            return;
        };
        let name = self.config.node(node).map_or_else(String::new, |one| one.name.clone());
        let reason = format!("node {name} evicted");
        self.nodes.remove(&node);
        self.voters.remove(&node);
        self.flapping.remove(&node);
        self.away.remove(&node);
        self.departed.insert(node, name);
        for record in self.groups.values_mut() {
            let others = |one: &NodeId| *one != node;
            record.seat = record.seat.filter(others);
            record.drained_from = record.drained_from.filter(others);
            record.chosen = record.chosen.filter(others);
            record.failed_on.retain(others);
            let awaited_luns = record.awaits_luns();
            record.unreached.retain(others);
            if awaited_luns && record.unreached.is_empty() {
                record.failed_until = None;
            }
            record.failures_on.remove(&node);
        }
        self.succeed(index, config, reason, 0);
        notices.push(Notice::Evicted { node });
    }
}
