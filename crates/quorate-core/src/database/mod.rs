//! The replicated database: configuration, node states, owners and epochs.
//!
//! A state machine over the committed log: every node that applies the same changes in the same
//! order holds the same database. A change that does not fit (an old epoch, another incarnation) is
//! passed over by all alike.
//!
//! *Architecture Invariant*: nothing here looks at the time of this node, its network or its LUNs.

mod apply;
mod ended;
mod flapping;
mod membership;
mod operating;
mod reach;
mod room;
#[cfg(test)]
mod tests;
mod versions;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::change::{Cause, Desire, Disarm, DownCause, FenceKind, ReleaseKind};
use crate::config::{Amounts, ClusterConfig, GroupConfig, Wishes};
use crate::id::{Epoch, GroupId, Incarnation, LunId, NodeId, SaveToken, VoterId};
use crate::plant::{self, Plant};
use crate::time::millis;
pub use flapping::Flapping;
pub use versions::{VERSIONS_KEPT, VERSIONS_MAX, Version};

/// Epochs count on from the second of the founding: if every state directory is wiped and the
/// cluster founded again, its keys are still larger than those that stand on the LUNs. 28 bits of
/// it: they repeat after nine years.
fn first_epoch(founders: &[VoterId]) -> Epoch {
    let newest = founders.iter().map(|voter| voter.0 >> 16).max().unwrap_or(0);
    Epoch(newest / 1_000_000)
}

/// How often a saved state may fail to load before it is given up and the guest is started afresh.
const LOADS_MAX: u32 = 2;

/// What is committed about a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeState {
    /// It has never taken part.
    Absent,
    /// It takes part.
    Up,
    /// It is believed down: it gets nothing new, and its heartbeats are acknowledged no more.
    Down(DownCause),
    /// It is proven harmless: it runs nothing and can write nothing.
    Fenced(FenceKind),
}

/// A node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its newest incarnation.
    pub incarnation: Incarnation,
    /// Its state.
    pub state: NodeState,
    /// The place in the log where it went into that state.
    pub since: u64,
    /// It gets no new groups.
    pub paused: bool,
    /// What it runs moves away.
    pub draining: bool,
    /// What it runs and nowhere else can run is stopped.
    pub emptied: bool,
    /// It is about to end: what it runs moves away, until it comes back.
    pub leaving: bool,
    /// It is about to end or has ended, and comes back soon: what it has is given to nobody else.
    pub keeps: bool,
    /// It coordinates only where nobody else can.
    pub reluctant: bool,
    /// It is to be taken out of the cluster.
    pub evicted: bool,
}

impl NodeRecord {
    /// One that has never taken part.
    const ABSENT: Self = Self {
        incarnation: Incarnation { boot: 0, session: 0 },
        state: NodeState::Absent,
        since: 0,
        paused: false,
        draining: false,
        emptied: false,
        leaving: false,
        keeps: false,
        reluctant: false,
        evicted: false,
    };

    /// Whether this incarnation takes part.
    pub fn is_up_as(&self, incarnation: Incarnation) -> bool {
        self.state == NodeState::Up && self.incarnation == incarnation
    }

    /// Whether this incarnation may not come back yet: who is to be fenced comes back with another boot, or once that
    /// is done.
    pub fn is_shut_out(&self, incarnation: Incarnation) -> bool {
        self.state == NodeState::Down(DownCause::Ordered)
            && self.incarnation.boot == incarnation.boot
    }

    /// Whether it may get groups.
    pub fn is_open(&self) -> bool {
        !self.paused && !self.leaving && !self.evicted
    }
}

/// Why a group has no owner, or had none when its owner got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Vacancy {
    /// It never had one.
    NeverOwned,
    /// Its owner has stopped it and released its LUNs.
    Stopped {
        /// The owner.
        node: NodeId,
    },
    /// By its owner's word somebody has moved it: it runs at its next owner already.
    Found {
        /// The owner it was moved from.
        node: NodeId,
    },
    /// Its owner is proven harmless.
    Fenced {
        /// The owner.
        node: NodeId,
        /// How.
        kind: FenceKind,
    },
    /// Its owner is down, and every LUN of the group refuses it once the new owner holds them.
    StorageFence {
        /// The owner.
        node: NodeId,
    },
}

impl Vacancy {
    /// The next owner has spoken of the group: it is known to have it.
    fn note_heard(&mut self) {
        if let Self::Found { node } = *self {
            *self = Self::Stopped { node };
        }
    }
}

/// How far an owner is with its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OwnedState {
    /// Entitled, not yet online.
    Starting,
    /// Online.
    Online,
    /// Asked to let go.
    Releasing {
        /// Who gets it next.
        to: Option<NodeId>,
        /// How.
        kind: ReleaseKind,
        /// Why.
        cause: Cause,
    },
    /// It cannot be stopped there.
    StopFailed,
}

/// Who may run a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ownership {
    /// Nobody.
    Vacant(Vacancy),
    /// One incarnation of one node.
    Owned {
        /// The node.
        node: NodeId,
        /// Its incarnation.
        incarnation: Incarnation,
        /// How far it is.
        state: OwnedState,
        /// What proved that nobody else had it.
        vacancy: Vacancy,
    },
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRecord {
    /// What is wanted of it.
    pub desire: Desire,
    /// Which node has it while it runs nowhere: it starts there next, if it can.
    pub seat: Option<NodeId>,
    /// Which node it was drained from, and returns to when that is brought back.
    pub drained_from: Option<NodeId>,
    /// Who may run it.
    pub ownership: Ownership,
    /// How often its ownership has been given.
    pub epoch: Epoch,
    /// The saved state that the next start resumes.
    pub saved: Option<SaveToken>,
    /// Which node holds that state in its driver's memory, where it was handed over; none: it is saved.
    pub held_by: Option<(NodeId, Incarnation)>,
    /// How often that was tried.
    pub loads: u32,
    /// When it failed on its owners, in the cluster's time, newest last; older than the period are
    /// dropped.
    pub failures: Vec<u64>,
    /// Where it has failed: tried elsewhere first.
    pub failed_on: Vec<NodeId>,
    /// From where its LUNs could not be reached since it was online last, or since it waited for them last.
    pub unreached: Vec<NodeId>,
    /// How often it has failed on each node, and when last, in the cluster's time.
    pub failures_on: BTreeMap<NodeId, (u32, u64)>,
    /// How much it loads its node, as measured; none: as configured.
    pub load: Option<Amounts>,
    /// It could not be handed over: it is not moved by itself again before this moment of the cluster's time.
    pub kept_until: Option<u64>,
    /// Left failed, or waiting for its LUNs, until this moment of the cluster's time.
    pub failed_until: Option<u64>,
    /// It is online but for a resource that is left failed.
    pub degraded: bool,
    /// Where it was last moved by command.
    pub chosen: Option<NodeId>,
    /// It does not fail back, until it changes its node for another reason.
    pub stays: bool,
    /// Why its ownership changed last, and so why it gets its next owner.
    pub cause: Cause,
    /// Where it was found running beside its owner: until that has ended, nobody new gets it.
    pub strays: BTreeMap<NodeId, Incarnation>,
    /// Since it was found running twice it has to end at its owner too, and then is started anew.
    pub begins_anew: bool,
}

impl GroupRecord {
    /// Whether it waits since no node has reached its LUNs, and is not left failed.
    pub fn awaits_luns(&self) -> bool {
        self.failed_until.is_some() && !self.unreached.is_empty()
    }

    /// One that nobody has owned, whose first owner gets it in the epoch after `epoch`.
    fn fresh(group: &GroupConfig, epoch: Epoch) -> Self {
        Self {
            desire: if group.auto_start { Desire::Online } else { Desire::Offline },
            seat: group.initial_owner,
            drained_from: None,
            ownership: Ownership::Vacant(Vacancy::NeverOwned),
            epoch,
            saved: None,
            held_by: None,
            kept_until: None,
            loads: 0,
            failures: Vec::new(),
            failed_on: Vec::new(),
            unreached: Vec::new(),
            failures_on: BTreeMap::new(),
            load: None,
            failed_until: None,
            degraded: false,
            chosen: None,
            stays: false,
            cause: Cause::Start,
            strays: BTreeMap::new(),
            begins_anew: false,
        }
    }

    /// The owner, if it has one.
    pub fn owner(&self) -> Option<(NodeId, Incarnation)> {
        match self.ownership {
            Ownership::Owned { node, incarnation, .. } => Some((node, incarnation)),
            Ownership::Vacant(_) => None,
        }
    }

    /// Whether it should run.
    pub fn is_wanted(&self) -> bool {
        self.desire == Desire::Online
    }

    /// Where it has failed too often to run there again.
    pub fn banned_on(&self, wishes: &Wishes, at_ms: u64) -> Vec<NodeId> {
        let most = wishes.node_failures_max.filter(|_| !plant::is(Plant::BanIgnored));
        let Some(most) = most else { return Vec::new() };
        let counts = |&(count, last): &(u32, u64)| {
            let ends = wishes.failures_expire.map(|length| last.saturating_add(millis(length)));
            count >= most && ends.is_none_or(|ends| ends > at_ms)
        };
        let banned = self.failures_on.iter().filter(|(_, failures)| counts(failures));
        banned.map(|(&node, _)| node).collect()
    }

    /// Where it has failed, while its last failure counts.
    pub fn failed_lately(&self, at_ms: u64, period_ms: u64) -> &[NodeId] {
        let counts = self.failures.last().is_some_and(|&at| at.saturating_add(period_ms) > at_ms);
        if counts { &self.failed_on } else { &[] }
    }

    /// Whether its owner was found to have it, and has not said so itself: it may never hear of it.
    pub fn is_unheard_of(&self) -> bool {
        matches!(self.ownership, Ownership::Owned { vacancy: Vacancy::Found { .. }, .. })
    }

    /// Whether anything is done with it.
    pub fn is_managed(&self) -> bool {
        self.desire != Desire::Unmanaged
    }

    /// How far the owner is.
    pub fn owned_state(&self) -> Option<OwnedState> {
        match self.ownership {
            Ownership::Owned { state, .. } => Some(state),
            Ownership::Vacant(_) => None,
        }
    }
}

/// The whole state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Database {
    config: ClusterConfig,
    founders: Vec<VoterId>,
    voters: BTreeMap<NodeId, VoterId>,
    nodes: BTreeMap<NodeId, NodeRecord>,
    groups: BTreeMap<GroupId, GroupRecord>,
    moves_held: bool,
    /// Where in the log the configuration was changed last.
    configured: u64,
    versions: Vec<Version>,
    /// The greatest number that a group has had so far.
    groups_passed: GroupId,
    /// Groups that were taken out last, oldest first: whoever comes back under its name may have its number again.
    retired: VecDeque<(GroupId, String)>,
    /// The newest epoch when a group, or a LUN of one, was last taken out: what comes in its place begins after it.
    epoch_passed: Epoch,
    disarmed: Option<Disarm>,
    /// When the cluster arms itself.
    disarmed_until: Option<u64>,
    flapping: BTreeMap<NodeId, Flapping>,
    /// Which LUNs nodes do not reach, by their own word; of others nothing is known against it.
    away: BTreeMap<NodeId, BTreeSet<LunId>>,
    /// What the witness's register is known by, once it is made.
    witness: Option<u64>,
    /// Nodes that are to vote once they have caught up.
    to_vote: BTreeSet<NodeId>,
    /// Where in the log it changed last who votes.
    voted: u64,
    /// Numbers of nodes that were taken out, and their names: keys of theirs may stand on LUNs for ever.
    departed: BTreeMap<NodeId, String>,
    at_ms: u64,
    applied: u64,
}

impl Database {
    /// The state that the founders begin with.
    pub fn genesis(config: ClusterConfig, founders: Vec<VoterId>) -> Self {
        let nodes = config.nodes().iter().map(|node| (node.id, NodeRecord::ABSENT)).collect();
        let epoch_passed = first_epoch(&founders);
        let fresh = |group: &GroupConfig| (group.id, GroupRecord::fresh(group, epoch_passed));
        let groups = config.groups().iter().map(fresh).collect();
        let voters = founders.iter().map(|&voter| (voter.node(), voter)).collect();
        let versions = vec![Version::founded(&config)];
        Self {
            groups_passed: versions::greatest_group(&config),
            retired: VecDeque::new(),
            config,
            founders,
            voters,
            nodes,
            groups,
            moves_held: false,
            configured: 1,
            versions,
            epoch_passed,
            disarmed: None,
            disarmed_until: None,
            flapping: BTreeMap::new(),
            away: BTreeMap::new(),
            witness: None,
            to_vote: BTreeSet::new(),
            voted: 1,
            departed: BTreeMap::new(),
            at_ms: 0,
            applied: 1,
        }
    }

    /// The committed configuration.
    pub fn config(&self) -> &ClusterConfig {
        &self.config
    }

    /// The place in the log where the configuration was changed last.
    pub fn configured(&self) -> u64 {
        self.configured
    }

    /// Who founded the cluster.
    pub fn founders(&self) -> &[VoterId] {
        &self.founders
    }

    /// The identity of a node's log.
    pub fn voter(&self, node: NodeId) -> Option<VoterId> {
        self.voters.get(&node).copied()
    }

    /// What the witness's register is known by; none: it is not made yet, and nothing was asked of it.
    pub fn witness(&self) -> Option<u64> {
        self.witness
    }

    /// What is committed about a node.
    pub fn node(&self, id: NodeId) -> Option<&NodeRecord> {
        self.nodes.get(&id)
    }

    /// Every node.
    pub fn nodes(&self) -> &BTreeMap<NodeId, NodeRecord> {
        &self.nodes
    }

    /// What is committed about a group.
    pub fn group(&self, id: GroupId) -> Option<&GroupRecord> {
        self.groups.get(&id)
    }

    /// Every group.
    pub fn groups(&self) -> &BTreeMap<GroupId, GroupRecord> {
        &self.groups
    }

    /// Whether groups stay where they are, whatever rule or preference would move them.
    pub fn are_moves_held(&self) -> bool {
        self.moves_held
    }

    /// Whether nothing is started, stopped or moved, and what is said of the groups meanwhile.
    pub fn disarmed(&self) -> Option<Disarm> {
        self.disarmed
    }

    /// When the cluster arms itself, in its own time in milliseconds; none: not by itself.
    pub fn disarmed_until(&self) -> Option<u64> {
        self.disarmed_until
    }

    /// The cluster's time in milliseconds: that of the newest change.
    pub fn at_ms(&self) -> u64 {
        self.at_ms
    }

    /// The place in the log up to which this is the state.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Whether this incarnation of the node takes part.
    pub fn is_up_as(&self, node: NodeId, incarnation: Incarnation) -> bool {
        self.nodes.get(&node).is_some_and(|record| record.is_up_as(incarnation))
    }

    /// Whether the group waits for the return of the node that has it.
    pub fn is_kept(&self, record: &GroupRecord) -> bool {
        let seat = record.seat.and_then(|node| self.nodes.get(&node));
        record.owner().is_none() && seat.is_some_and(|node| node.keeps)
    }

    /// Whether the node takes part.
    pub fn is_up(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|record| record.state == NodeState::Up)
    }
}
