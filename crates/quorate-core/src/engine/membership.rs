//! Nodes that come and go, one step after the other: how a vote is given, and how it is taken.
//!
//! A node that was added follows the log first, and votes once it has caught up. One that is to be taken out loses its
//! vote first, then its place; what is said to it ends when it has heard of that, or has had the time to.
//!
//! Why leases stay safe: who votes changes by one vote at a time, so a majority before a change and one after it
//! have a voter in common. And it changes only when every node that may hold a lease has said that it knows of the
//! change before ([`Engine::all_know_who_votes`]). So a lease counts acknowledgements of the voters in force, or of
//! those before the last change; and a fence, which waits for a majority of those in force, asks one of them at least.
//! While a node is down and not yet fenced, who votes does not change at all.
//!
//! Where the witness votes in the place of a node that goes, as when two of three are left, it gets its vote first:
//! three votes become four, then three again, and one may be lost all the way, the witness among them. That takes
//! three that are known to run, and the witness, which is asked nothing until it votes, is not known to. If the node
//! that goes does not run, its vote is taken first: none of the others could be lost before that either.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Engine, Standing};
use crate::action::Action;
use crate::change::{Change, ChangeSet};
use crate::codec;
use crate::config::{ClusterConfig, ClusterParts, ConfigError, NewNode};
use crate::database::{Database, NodeState};
use crate::heartbeat::{Liveness, Peer};
use crate::id::{NodeId, OpId, VoterId};
use crate::message::{EntryBody, Message, Refusal};
use crate::notice::Notice;
use crate::plant::{self, Plant};
use crate::quorum;
use crate::time::Instant;
use crate::timer::Timer;

/// How far behind the log of a node may be that is to vote.
const LAG_MAX: u64 = 64;

/// Who comes and who goes.
#[derive(Debug, Default)]
pub(super) struct Turnover {
    /// Who takes part in consensus.
    pub(super) participants: Vec<VoterId>,
    /// That has changed: the request that makes it stable, and the place of the first change that is not.
    pub(super) unsaved: Option<(OpId, u64)>,
    /// The step towards who is to vote that is due, and since when.
    ripens: Option<(Step, Instant)>,
    /// Who left the cluster and still follows the log, and until when at most.
    parting: BTreeMap<VoterId, Instant>,
    /// The newest configuration that this node was told of while it had no log, by its number.
    told_in_force: u64,
}

/// A step towards who is to vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A node votes from here on.
    Give(VoterId),
    /// A node does no more. It follows the log until it is gone, if it takes part.
    Take(NodeId),
    /// The witness votes by its rule again.
    Witness,
    /// What belongs to no node any more follows the log no more.
    Forget(VoterId),
}

impl Engine {
    /// Nodes that have to be reachable: all of the configuration, and those that have left it and are told so.
    pub fn is_linked(&self, node: NodeId) -> bool {
        let follows = |voter: &VoterId| voter.node() == node;
        self.config.node(node).is_some() || self.turnover.participants.iter().any(follows)
    }

    /// Tells a node that has no log which configuration is in force: it may not know who coordinates.
    pub(super) fn say_in_force(&mut self, to: NodeId) {
        let Some(database) = &self.database else { return };
        let (version, parts) = (database.version(), database.config().parts().clone());
        self.send(to, Message::InForce(version, Box::new(parts)));
    }

    /// Without a log this node goes by the configuration in force, in place of its file, once it waits to be added. A
    /// founder that comes late begins with its file, as the others did.
    pub(super) fn on_in_force(&mut self, version: u64, parts: ClusterParts) {
        let waits = self.standing == Standing::Member && self.database.is_none();
        // Who is behind says what was in force once.
        if !waits || version <= self.turnover.told_in_force {
            return;
        }
        self.turnover.told_in_force = version;
        let fits = |config: &ClusterConfig| {
            config.id() == self.config.id()
                && config.node(self.me).is_some()
                && *config != self.config
        };
        if let Some(config) = ClusterConfig::with_circles(parts).ok().filter(fits) {
            self.file.get_or_insert(self.config.clone());
            self.adopt_config(&config);
            self.out.tell(Notice::Configured { version });
        }
    }

    /// Whether this node belonged to the cluster, and was taken out.
    pub(super) fn is_evicted(&self) -> bool {
        self.database.as_ref().is_some_and(|database| database.node(self.me).is_none())
    }

    /// Ends everything here, and then this engine's part.
    pub(super) fn end_evicted(&mut self) {
        self.abandon_all();
        if self.groups.is_empty() && !self.left {
            self.left = true;
            self.out.act(Action::Evicted);
        }
    }

    pub(super) fn add_node_changes(&self, new: &NewNode) -> Result<Vec<Change>, ConfigError> {
        if let Some(database) = &self.database {
            database.with_node(new)?;
        }
        Ok(vec![Change::AddNode(Box::new(new.clone()))])
    }

    /// Whoever is left has to be a majority that runs: else nothing would be decided any more, not even this.
    pub(super) fn evict_changes(&self, node: NodeId) -> Result<Vec<Change>, Refusal> {
        let database = self.database.as_ref().ok_or(Refusal::NoQuorum)?;
        let not_valid = |error: ConfigError| Refusal::NotPossible(error.to_string());
        let after = database.without_node(node).map_err(not_valid)?;
        let running = self.running(database, &after, None);
        let (votes, needed) = (after.voting().len(), quorum::majority(after.voting().len()));
        if running < needed {
            return Err(Refusal::NotPossible(format!(
                "without {} there would be {votes} votes, of which {running} are there and {needed} are needed: bring \
                 other nodes back first",
                self.node_name(node)
            )));
        }
        Ok(vec![Change::Evict { node }])
    }

    /// Whether nobody is on the way into the cluster or out of it, or to a vote.
    pub(super) fn are_members_settled(&self, database: &Database) -> bool {
        database.nodes_to_vote().next().is_none()
            && database.nodes_to_evict().next().is_none()
            && self.turnover.parting.is_empty()
            && self.config.with_witness_settled().is_none()
    }

    /// How many of those who would vote run at present, as far as it shows, the witness if it is kept; or, given a
    /// moment, run for certain after it, since they have acknowledged what was sent then.
    fn running(
        &self,
        database: &Database,
        config: &ClusterConfig,
        since: Option<Instant>,
    ) -> usize {
        let limit = self.timing().suspect;
        let acknowledged = |voter: &NodeId| self.lease.acknowledged().get(voter).copied();
        let runs = |voter: &&NodeId| match **voter {
            NodeId::WITNESS => acknowledged(voter).is_some_and(|at| self.now.since(at) <= limit),
            voter if voter == self.me => self.lease_held,
            voter => {
                let powered = self.peers.get(&voter).is_some_and(Peer::is_powered);
                powered && database.is_up(voter) && self.seen(voter) == Liveness::Alive
            }
        };
        let runs_since = |voter: &&NodeId| {
            since.is_none_or(|since| {
                **voter == self.me || acknowledged(voter).is_some_and(|at| at >= since)
            })
        };
        config.voting().iter().filter(|voter| runs(voter) && runs_since(voter)).count()
    }

    /// Whether a majority of those who would vote runs, so that nobody loses a lease by the change.
    fn is_carried(
        &self,
        database: &Database,
        config: &ClusterConfig,
        since: Option<Instant>,
    ) -> bool {
        self.running(database, config, since) >= quorum::majority(config.voting().len())
    }

    /// Whether this node is to vote once it has caught up: then all others hear it.
    pub(super) fn is_to_vote(&self) -> bool {
        let mut to_vote = self.database.iter().flat_map(Database::nodes_to_vote);
        to_vote.any(|node| node == self.me)
    }

    /// Nodes that have lost their vote, have nothing and go.
    pub(super) fn evictions(&self, changes: &mut Vec<Change>) {
        let Some(database) = &self.database else { return };
        let goes = |node: &NodeId| {
            let votes = self.config.voters().any(|voter| voter == *node);
            !votes && *node != self.me && database.without_node(*node).is_ok()
        };
        changes.extend(database.nodes_to_evict().filter(goes).map(|node| Change::Evicted { node }));
    }

    /// Proposes the next step towards who is to vote, if one is due. True: it was proposed.
    pub(super) fn change_voters(&mut self) -> bool {
        let Some(step) = self.next_step() else { return false };
        let Some((body, changes)) = self.change_of_voters(step) else { return false };
        let changes = ChangeSet { at_ms: self.cluster_ms(), changes };
        let changes = if changes.changes.is_empty() { Vec::new() } else { codec::encode(&changes) };
        let EntryBody::Voters { add, learn, remove, .. } = body else { return false };
        let Some(consensus) = &mut self.consensus else { return false };
        if plant::is(Plant::EvictedStillVotes) && matches!(step, Step::Take(_)) {
            return consensus.propose(changes);
        }
        consensus.propose_voters(&EntryBody::Voters { add, learn, remove, changes })
    }

    fn next_step(&mut self) -> Option<Step> {
        let ripened = self.turnover.ripens.take();
        if let Some(voter) = self.next_to_forget() {
            return Some(Step::Forget(voter));
        }
        let database = self.database.as_ref()?;
        if self.are_members_settled(database) {
            return None;
        }
        self.timers.set_sooner(Timer::Review, self.now + self.timing().interval * 2);
        if !self.all_know_who_votes(database) {
            return None;
        }
        let (step, config) = self.step_due(database)?;
        let since =
            ripened.filter(|&(other, _)| other == step).map_or(self.now, |(_, since)| since);
        self.turnover.ripens = Some((step, since));
        let carried = self.is_carried(database, &config, Some(since));
        let told = match step {
            // Until then every other node has been acknowledged by it.
            Step::Give(_) => self.now >= since + self.timing().suspect,
            Step::Take(_) | Step::Witness | Step::Forget(_) => true,
        };
        (carried && told).then_some(step)
    }

    /// The next step towards who is to vote, and who votes after it, if whoever is then needed seems to run.
    fn step_due(&self, database: &Database) -> Option<(Step, ClusterConfig)> {
        let carried = |config: &ClusterConfig| self.is_carried(database, config, None);
        let votes = |node: &NodeId| self.config.voters().any(|voter| voter == *node);
        let mut taken = database.nodes_to_evict().filter(|node| votes(node) && *node != self.me);
        let less = taken.find_map(|node| Some((node, database.without_node(node).ok()?)));
        let settled = database.with_witness_settled().and_then(Result::ok);
        let waits = settled.is_some();
        if let Some(settled) = settled.filter(carried) {
            return Some((Step::Witness, settled));
        }
        if let Some((node, less)) = less.filter(|(_, less)| carried(less)) {
            return Some((Step::Take(node), less));
        }
        if waits {
            return None;
        }
        let mut ready = database.nodes_to_vote().filter(|node| self.has_caught_up(database, *node));
        ready.find_map(|node| {
            let with = self.config.with_vote(node, true).ok().filter(carried)?;
            Some((Step::Give(database.voter(node)?), with))
        })
    }

    /// What consensus has to do for a step, and what comes true with it.
    fn change_of_voters(&self, step: Step) -> Option<(EntryBody, Vec<Change>)> {
        let (mut add, mut learn, mut remove) = (Vec::new(), Vec::new(), Vec::new());
        let mut changes = Vec::new();
        match step {
            Step::Give(voter) => {
                add.push(voter);
                changes.push(Change::Vote { node: voter.node(), votes: true });
            }
            Step::Take(node) => {
                let database = self.database.as_ref()?;
                let voter = database.voter(node)?;
                if database.is_up(node) {
                    learn.push(voter)
                } else {
                    remove.push(voter)
                }
                changes.push(Change::Vote { node, votes: false });
            }
            Step::Witness => {
                let database = self.database.as_ref()?;
                let settled = database.with_witness_settled()?.ok();
                let votes = settled.as_ref().is_some_and(ClusterConfig::witness_votes);
                if votes {
                    add.push(VoterId::WITNESS)
                } else {
                    remove.push(VoterId::WITNESS)
                }
                changes.push(Change::WitnessVote);
            }
            Step::Forget(voter) => remove.push(voter),
        }
        Some((EntryBody::Voters { add, learn, remove, changes: Vec::new() }, changes))
    }

    /// Whether every node that may hold a lease knows who votes: only then may that change again.
    fn all_know_who_votes(&self, database: &Database) -> bool {
        database.nodes().iter().all(|(&node, record)| match record.state {
            NodeState::Absent | NodeState::Fenced(_) => true,
            NodeState::Down(_) => false,
            NodeState::Up if node == self.me => self.turnover.unsaved.is_none(),
            NodeState::Up => self.peers.get(&node).is_some_and(|peer| {
                peer.incarnation() == Some(record.incarnation) && peer.applied() >= database.voted()
            }),
        })
    }

    fn has_caught_up(&self, database: &Database, node: NodeId) -> bool {
        let record = database.node(node).filter(|record| record.state == NodeState::Up);
        let Some((record, peer)) = record.zip(self.peers.get(&node)) else { return false };
        self.seen(node) == Liveness::Alive
            && peer.incarnation() == Some(record.incarnation)
            && peer.applied() >= record.since
            && peer.applied() + LAG_MAX >= database.applied()
    }

    /// An identity that follows the log and belongs to no node any more. One that can be told so is given time for it.
    fn next_to_forget(&mut self) -> Option<VoterId> {
        let (database, consensus) = (self.database.as_ref()?, self.consensus.as_ref()?);
        let is_gone =
            |voter: &VoterId| *voter != VoterId::WITNESS && database.node(voter.node()).is_none();
        let gone: Vec<VoterId> = consensus.participants().into_iter().filter(is_gone).collect();
        self.turnover.parting.retain(|voter, _| gone.contains(voter));
        let (now, patience) = (self.now, self.timing().detect);
        for voter in gone {
            let until = *self.turnover.parting.entry(voter).or_insert(now + patience);
            if now >= until || !self.streams.contains_key(&voter.node()) {
                return Some(voter);
            }
            self.timers.set_sooner(Timer::Review, until.max(now + Duration::from_millis(1)));
        }
        None
    }

    /// Who takes part in consensus may have changed.
    pub(super) fn watch_participants(&mut self) {
        let Some(consensus) = &self.consensus else { return };
        let before = std::mem::replace(&mut self.turnover.participants, consensus.participants());
        self.tell_parted(before.iter().map(|voter| voter.node()).collect());
    }

    /// Tells to which of them nothing more is to be said.
    pub(super) fn tell_parted(&mut self, mut nodes: Vec<NodeId>) {
        nodes.dedup();
        nodes.retain(|&node| node != NodeId::WITNESS && !self.is_linked(node));
        for node in nodes {
            self.out.tell(Notice::Parted { node });
        }
    }
}
