//! What nodes say of groups that have ended, or run where nobody has asked for them.

use super::{Database, GroupRecord, NodeRecord, NodeState, OwnedState, Ownership, Vacancy};
use crate::change::{Cause, Desire, GroupReport};
use crate::config::{FoundTwice, GroupConfig};
use crate::id::{Epoch, GroupId, Incarnation, NodeId};
use crate::notice::Notice;
use crate::placement;
use crate::time::millis;

/// How long a group waits whose LUNs no node reaches, in detection times.
const AWAY_PAUSE: u64 = 5;

impl Database {
    /// Nothing of it runs at its owner any more.
    pub(super) fn vacated(
        &mut self,
        group: GroupId,
        owner: NodeId,
        report: GroupReport,
        notices: &mut Vec<Notice>,
    ) {
        let GroupReport::Vacated { saved, failures, luns_away } = report else { return };
        let Some(record) = self.groups.get_mut(&group) else { return };
        let Ownership::Owned { state, .. } = record.ownership else { return };
        let epoch = record.epoch;
        let next;
        (record.cause, next) = match state {
            OwnedState::Releasing { to, cause, .. } => (cause, to.zip(Some(cause))),
            OwnedState::StopFailed => (Cause::Failure, None),
            // Nobody asked it to.
            OwnedState::Starting | OwnedState::Online => (Cause::Stopped, None),
        };
        if failures > 0 {
            record.cause = Cause::Failure;
        }
        let target = next.and_then(|(to, _)| self.nodes.get(&to).map(|one| (to, one)));
        let live = self.config.group(group).is_some_and(GroupConfig::moves_live);
        let holder = target.filter(|_| live).map(|(to, one)| (to, one.incarnation));
        record.ownership = Ownership::Vacant(Vacancy::Stopped { node: owner });
        record.begins_anew = false;
        if let Some(token) = saved {
            record.saved = Some(token);
            record.held_by = holder;
            record.loads = 0;
        } else if record.saved.is_none() {
            record.held_by = None;
        }
        notices.push(Notice::Group { group, epoch, node: owner, report });
        if failures > 0 && luns_away {
            self.note_luns_away(group, owner, notices);
        } else if failures > 0 {
            self.count_failure(group, (owner, failures), notices);
        } else {
            self.pass_on(group, next, notices);
        }
    }

    /// Its owner does not reach its LUNs, which is no failure of its own: it is tried where that may be otherwise.
    /// Where no node reaches them it waits until one says that it does, and is tried again before long in any case.
    fn note_luns_away(&mut self, group: GroupId, owner: NodeId, notices: &mut Vec<Notice>) {
        let Some(config) = self.config.group(group) else { return };
        let untried = |node: NodeId, tried: &[NodeId]| {
            self.may_try(node, config) && self.reaches(node, config) && !tried.contains(&node)
        };
        let Some(record) = self.groups.get(&group) else { return };
        let again = record.unreached.contains(&owner);
        let tried: Vec<NodeId> = record.unreached.iter().copied().chain([owner]).collect();
        // Where it could be tried in theory, placement may have its reasons.
        let waits = again || !self.nodes.keys().any(|&node| untried(node, &tried));
        let pause = millis(self.config.timing().detect) * AWAY_PAUSE;
        let Some(record) = self.groups.get_mut(&group) else { return };
        record.unreached = tried;
        if waits {
            record.failed_until = Some(self.at_ms.saturating_add(pause));
            notices.push(Notice::LunsAway { group, retry_in_ms: pause });
        }
    }

    /// Whether a group may be tried on a node now, as far as that node and the group's owners go.
    pub(super) fn may_try(&self, node: NodeId, config: &GroupConfig) -> bool {
        let open = |one: &NodeRecord| one.state == NodeState::Up && one.is_open();
        self.nodes.get(&node).is_some_and(open) && placement::is_possible(config, node)
    }

    /// Whoever has moved it asked nobody: its owner is the node where it runs, may it stay there or not. A node that
    /// takes part no more, or not yet, owns nothing, and may run it all the same: there it is a stray.
    pub(super) fn found(
        &mut self,
        group: GroupId,
        from: NodeId,
        to: NodeId,
        report: GroupReport,
        notices: &mut Vec<Notice>,
    ) {
        let target =
            self.nodes.get(&to).map(|node| (node.state == NodeState::Up, node.incarnation));
        let Some(record) = self.groups.get_mut(&group) else { return };
        notices.push(Notice::Group { group, epoch: record.epoch, node: from, report });
        record.cause = Cause::Found;
        let (takes_part, incarnation) = target.unwrap_or_default();
        if !takes_part {
            record.ownership = Ownership::Vacant(Vacancy::Stopped { node: from });
            record.strays.insert(to, incarnation);
            return;
        }
        record.epoch = Epoch(record.epoch.0 + 1);
        record.seat = Some(to);
        record.drained_from = record.drained_from.filter(|&home| home != to);
        (record.saved, record.held_by, record.kept_until) = (None, None, None);
        let (state, vacancy) = (OwnedState::Starting, Vacancy::Found { node: from });
        record.ownership = Ownership::Owned { node: to, incarnation, state, vacancy };
        let (epoch, cause) = (record.epoch, Cause::Found);
        notices.push(Notice::Assigned { group, owner: to, epoch, cause });
    }

    /// Where it was found running beside its owner, and may run and write yet: until that has ended nobody gets it. A
    /// node that is down or fenced writes no LUN any more once the next owner holds that, if the LUN enforces it.
    pub fn stray_awaited(&self, group: GroupId) -> Option<NodeId> {
        let (record, config) = (self.groups.get(&group)?, self.config.group(group)?);
        let enforced = self.config.is_enforced(config);
        let shut_out = |node: NodeId, as_this: Incarnation| {
            let out = |one: &NodeRecord| {
                one.incarnation == as_this
                    && matches!(one.state, NodeState::Down(_) | NodeState::Fenced(_))
            };
            enforced && self.nodes.get(&node).map_or_else(|| self.has_departed(node), out)
        };
        let mut strays = record.strays.iter().map(|(&node, &as_this)| (node, as_this));
        strays.find(|&(node, as_this)| !shut_out(node, as_this)).map(|(node, _)| node)
    }

    /// Whether something may run on a node which nobody has asked for.
    pub(super) fn has_strays(&self, node: NodeId) -> bool {
        self.groups.values().any(|record| record.strays.contains_key(&node))
    }

    /// Whether something that it ran is not free, though nothing of it is heard any more: it could not be ended there.
    pub fn is_withheld_on(&self, node: NodeId, incarnation: Incarnation) -> bool {
        let of_this = |(&group, record): (&GroupId, &GroupRecord)| {
            let owned = record.owner() == Some((node, incarnation));
            let freed = self.config.group(group).is_some_and(|one| self.is_freed_by_luns(one));
            owned && !freed && record.is_wanted()
        };
        self.groups.iter().any(of_this)
    }

    /// Whether a new owner may take it by its LUNs alone, which refuse the old one then.
    pub fn is_freed_by_luns(&self, group: &GroupConfig) -> bool {
        self.config.is_enforced(group) && !group.wishes.fence_agent_required
    }

    /// Whether it owns a group that takes no less than an agent's word.
    pub fn awaits_agent(&self, node: NodeId, incarnation: Incarnation) -> bool {
        let required = |group: &GroupId| {
            self.config.group(*group).is_some_and(|group| group.wishes.fence_agent_required)
        };
        let of_this = |(group, record): (&GroupId, &GroupRecord)| {
            record.owner() == Some((node, incarnation)) && required(group)
        };
        self.groups.iter().any(of_this)
    }

    /// As whom a node may be vouched for by a human: it takes no part, and something of it may still run.
    pub fn to_vouch_for(&self, node: NodeId) -> Option<Incarnation> {
        let Some(record) = self.nodes.get(&node) else {
            return self.has_strays(node).then(Incarnation::default);
        };
        let takes_no_part = match record.state {
            NodeState::Up => false,
            NodeState::Absent => self.has_strays(node),
            NodeState::Down(_) | NodeState::Fenced(_) => true,
        };
        takes_no_part.then_some(record.incarnation)
    }

    /// A node that was taken out and on which something may still run, by its name or its number.
    pub fn departed_named(&self, name: &str) -> Option<NodeId> {
        let named = |(node, known): &(&NodeId, &String)| {
            self.has_strays(**node) && (known.as_str() == name || node.0.to_string() == name)
        };
        self.departed.iter().find(named).map(|(&node, _)| node)
    }

    /// A node is back: whether what was found there runs on is its to say, be it the same boot or another.
    pub(super) fn ask_of_strays(&mut self, node: NodeId, old: Incarnation, new: Incarnation) {
        for record in self.groups.values_mut() {
            if let Some(as_this) = record.strays.get_mut(&node).filter(|as_this| **as_this <= old) {
                *as_this = new;
            }
        }
    }

    /// A node that does not own it says whether it runs there all the same.
    pub(super) fn stray(
        &mut self,
        group: GroupId,
        (node, incarnation): (NodeId, Incarnation),
        report: GroupReport,
        notices: &mut Vec<Notice>,
    ) {
        let wish = self.config.group(group).map(|config| config.wishes.found_twice);
        let up = self.is_up_as(node, incarnation);
        let Some(record) = self.groups.get_mut(&group) else { return };
        let known = record.strays.get(&node) == Some(&incarnation);
        let changed = match report {
            GroupReport::StrayEnded if known => record.strays.remove(&node).is_some(),
            GroupReport::Stray if up && !known && record.owner() != Some((node, incarnation)) => {
                record.strays.insert(node, incarnation);
                match wish {
                    Some(FoundTwice::Stop) => record.desire = Desire::Disabled,
                    Some(FoundTwice::Leave) => record.desire = Desire::Unmanaged,
                    Some(FoundTwice::Restart) => record.begins_anew = record.owner().is_some(),
                    Some(FoundTwice::KeepOwner) | None => {}
                }
                true
            }
            _ => false,
        };
        if changed {
            notices.push(Notice::Group { group, epoch: record.epoch, node, report });
        }
    }
}
