//! The state of a story at one moment: what runs where is the world's word; why something does not is the newest
//! database's.

use quorate_core::change::{Desire, FenceKind};
use quorate_core::database::{Database, GroupRecord, NodeState, OwnedState, Ownership};
use quorate_core::id::NodeId;

use super::super::model::{GivenState, Story};
use super::super::outcome::{GroupState, GroupWord, MemberState, NodeWord, State};
use super::super::plan::Planned;
use super::Stage;
use crate::guest::Stage as Running;

impl Stage<'_> {
    /// How everything stands.
    pub(super) fn state(&self) -> State {
        let nodes = self.nodes().into_iter();
        let groups = self.plan.groups.iter();
        State {
            nodes: nodes.map(|node| (self.shown(node), self.node_word(node))).collect(),
            groups: groups.map(|group| (group.name.clone(), self.group_state(group))).collect(),
        }
    }

    /// The scenario's name of a node.
    fn shown(&self, node: NodeId) -> String {
        let name = self.name_of(node);
        self.plan.names.of_node(&name).unwrap_or(&name).to_owned()
    }

    fn node_word(&self, node: NodeId) -> NodeWord {
        let host = self.world.host_of(node);
        let record = self.database().and_then(|database| database.node(node)).copied();
        if !host.up || host.process.is_none() {
            let proven = record.is_some_and(
                |record| matches!(record.state, NodeState::Fenced(kind) if kind != FenceKind::Left),
            );
            let fenced = self.world.has_fenced_itself(node) || proven;
            return if fenced && self.scenario.cluster.fencing {
                NodeWord::Fenced
            } else {
                NodeWord::Offline
            };
        }
        if self.world.is_isolated(node) && self.cut.contains(&node) {
            NodeWord::Isolated
        } else if self.maintained.contains(&node) || self.is_given_in_maintenance(node) {
            NodeWord::Maintenance
        } else if record.is_some_and(|record| record.paused) {
            NodeWord::Paused
        } else {
            NodeWord::Online
        }
    }

    fn is_given_in_maintenance(&self, node: NodeId) -> bool {
        let Story::Snapshot { given, .. } = &self.scenario.story else { return false };
        given.get(&self.shown(node)).is_some_and(|one| one.state == GivenState::Maintenance)
    }

    fn group_state(&self, group: &Planned) -> GroupState {
        let record = self.database().and_then(|database| database.group(group.id));
        let places = self.world.runs_on(group.id);
        let owner = places.first().copied().or_else(|| record.and_then(owner_of));
        let member = |(name, resource): &(String, quorate_core::id::ResourceId)| {
            let runs = |node: &NodeId| self.world.stage(*node, *resource) == Some(Running::Running);
            let running_on: Vec<String> =
                self.nodes().into_iter().filter(runs).map(|node| self.shown(node)).collect();
            let status = if running_on.is_empty() { GroupWord::Offline } else { GroupWord::Online };
            (name.clone(), MemberState { status, running_on })
        };
        GroupState {
            status: match record {
                None if self.removed.contains(&group.name) => GroupWord::Removed,
                record => self.group_word(record, !places.is_empty()),
            },
            running_on: places.into_iter().map(|node| self.shown(node)).collect(),
            owner: owner.map(|node| self.shown(node)),
            members: (!group.single).then(|| group.members.iter().map(member).collect()),
        }
    }

    fn group_word(&self, record: Option<&GroupRecord>, runs: bool) -> GroupWord {
        let (Some(record), Some(database)) = (record, self.database()) else {
            return if runs { GroupWord::Online } else { self.without_quorum() };
        };
        if record.owned_state() == Some(OwnedState::StopFailed) {
            GroupWord::StopFailed
        } else if runs {
            GroupWord::Online
        } else if record.desire != Desire::Online {
            GroupWord::Offline
        } else if !self.world.hosts().any(|host| self.may_act(host)) {
            self.without_quorum()
        } else {
            waiting(record, database)
        }
    }

    /// What does not run while nobody may start it.
    fn without_quorum(&self) -> GroupWord {
        let nodes = self.nodes();
        let left = nodes.iter().any(|&node| self.world.host_of(node).is_awake());
        if left { GroupWord::Offline } else { GroupWord::WaitingForNode }
    }
}

/// Why a group that should run does not.
fn waiting(record: &GroupRecord, database: &Database) -> GroupWord {
    match record.ownership {
        Ownership::Vacant(_) if record.failed_until.is_some_and(|at| at > database.at_ms()) => {
            GroupWord::Failed
        }
        Ownership::Vacant(_) if database.is_kept(record) => GroupWord::Frozen,
        Ownership::Vacant(_) => GroupWord::WaitingForNode,
        Ownership::Owned { node, incarnation, .. } if database.is_up_as(node, incarnation) => {
            GroupWord::Offline
        }
        Ownership::Owned { .. } => GroupWord::WaitingForFence,
    }
}

fn owner_of(record: &GroupRecord) -> Option<NodeId> {
    record.owner().map(|(node, _)| node).or(record.seat)
}
