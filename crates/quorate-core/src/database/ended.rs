//! What nodes say of groups that have ended, or run where nobody has asked for them.

use super::{Database, OwnedState, Ownership, Vacancy};
use crate::change::{Cause, Desire, GroupReport};
use crate::config::{FoundTwice, GroupConfig};
use crate::id::{GroupId, Incarnation, NodeId};
use crate::notice::Notice;

impl Database {
    /// Nothing of it runs at its owner any more.
    pub(super) fn vacated(
        &mut self,
        group: GroupId,
        owner: NodeId,
        report: GroupReport,
        notices: &mut Vec<Notice>,
    ) {
        let GroupReport::Vacated { saved, failures } = report else { return };
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
        }
        notices.push(Notice::Group { group, epoch, node: owner, report });
        if failures > 0 {
            self.count_failure(group, (owner, failures), notices);
        } else {
            self.pass_on(group, next, notices);
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
