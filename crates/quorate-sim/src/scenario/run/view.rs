//! The state of a story at one moment: what runs where is the world's word; why something does not is the newest
//! database's.

use std::collections::BTreeMap;

use quorate_core::change::{Desire, Disarm, FenceKind};
use quorate_core::database::{Database, GroupRecord, NodeState, OwnedState, Ownership};
use quorate_core::id::NodeId;

use super::super::model::{GivenState, Story};
use super::super::outcome::{GroupState, GroupWord, MemberState, NodeWord, State};
use super::super::plan::Planned;
use super::Stage;

impl Stage<'_> {
    /// How everything stands.
    pub(super) fn state(&self) -> State {
        let nodes = self.nodes().into_iter();
        let mut groups: BTreeMap<String, GroupState> = BTreeMap::new();
        let mut members: BTreeMap<&str, Vec<(String, GroupState)>> = BTreeMap::new();
        for planned in &self.plan.groups {
            let state = self.group_state(planned);
            match &planned.of {
                None => drop(groups.insert(planned.name.clone(), state)),
                Some(whole) => {
                    members.entry(whole).or_default().push((planned.name.clone(), state));
                }
            }
        }
        let wholes = members.into_iter().map(|(name, members)| (name.to_owned(), whole(members)));
        groups.extend(wholes);
        State {
            nodes: nodes.map(|node| (self.shown(node), self.node_word(node))).collect(),
            groups,
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
            return if fenced && self.is_fenced_by(node) {
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

    /// Whether the proof that it can no longer run anything is a fence: where nobody fences, it is just off.
    fn is_fenced_by(&self, node: NodeId) -> bool {
        let cluster = &self.scenario.cluster;
        let name = self.shown(node);
        let never_seen = match &self.scenario.story {
            Story::Snapshot { given, groups } => {
                let lost = given.get(&name).is_some_and(|one| one.state == GivenState::Lost);
                let mut members = groups.iter().flat_map(|group| &group.members);
                lost && !members.any(|member| member.initial.running_on.contains(&name))
            }
            Story::Timeline { .. } => false,
        };
        cluster.fencing && !cluster.maintenance && (cluster.startup_fencing || !never_seen)
    }

    fn is_given_in_maintenance(&self, node: NodeId) -> bool {
        let Story::Snapshot { given, .. } = &self.scenario.story else { return false };
        given.get(&self.shown(node)).is_some_and(|one| one.state == GivenState::Maintenance)
    }

    fn group_state(&self, group: &Planned) -> GroupState {
        let record = self.database().and_then(|database| database.group(group.id));
        let places = self.world.runs_on(group.id);
        let owner = places.first().copied().or_else(|| record.and_then(owner_of));
        GroupState {
            status: match record {
                None if self.removed.contains(&group.name) => GroupWord::Removed,
                record => self.group_word(record, !places.is_empty()),
            },
            running_on: places.into_iter().map(|node| self.shown(node)).collect(),
            owner: owner.map(|node| self.shown(node)),
            members: None,
        }
    }

    fn group_word(&self, record: Option<&GroupRecord>, runs: bool) -> GroupWord {
        let (Some(record), Some(database)) = (record, self.database()) else {
            return if runs { GroupWord::Online } else { self.without_quorum() };
        };
        let failed = record.failed_until.is_some_and(|at| at > database.at_ms());
        if database.disarmed() == Some(Disarm::Freeze) && !failed {
            GroupWord::Frozen
        } else if record.desire == Desire::Unmanaged {
            GroupWord::Unmanaged
        } else if record.owned_state() == Some(OwnedState::StopFailed) {
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

/// A group from its members: how the first is that does not run though it might, else how they are.
fn whole(members: Vec<(String, GroupState)>) -> GroupState {
    let states = || members.iter().map(|(_, state)| state);
    let runs = |state: &&GroupState| !state.running_on.is_empty();
    let idle = |state: &&GroupState| state.status == GroupWord::Offline;
    let stuck = states().find(|state| !runs(state) && !idle(state));
    let all = states().all(|state| runs(&state) || idle(&state)) && states().any(|one| runs(&one));
    let status = match stuck {
        Some(state) => state.status,
        None if all => states().find(runs).map_or(GroupWord::Online, |state| state.status),
        None => GroupWord::Offline,
    };
    let shared = |node: &String| states().filter(runs).all(|state| state.running_on.contains(node));
    let mut running_on: Vec<String> =
        states().flat_map(|state| state.running_on.iter().cloned()).collect();
    running_on.sort();
    running_on.dedup();
    if running_on.iter().any(&shared) {
        running_on.retain(&shared);
    }
    let owner = running_on.first().cloned().or_else(|| states().find_map(|one| one.owner.clone()));
    let member = |(name, state): (String, GroupState)| {
        (name, MemberState { status: state.status, running_on: state.running_on })
    };
    GroupState {
        status,
        running_on,
        owner,
        members: Some(members.into_iter().map(member).collect()),
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
