//! Whether a node has a place for a group beside what is there.

use super::{Database, GroupRecord};
use crate::config::{By, SCORE_NEVER, Says};
use crate::id::{GroupId, NodeId};
use crate::plant::{self, Plant};

impl Database {
    /// Whether a node has room for a group beside all that has not left it yet.
    pub fn has_room(&self, group: GroupId, node: NodeId) -> bool {
        let uses = |one: GroupId| self.config.group(one).map(|one| &one.wishes.uses);
        let Some((own, place)) = uses(group).zip(self.config.node(node)) else { return true };
        let there = |(&other, record): (&GroupId, &GroupRecord)| {
            let at = record.owner().filter(|_| other != group);
            at.is_some_and(|(at, as_this)| at == node && self.is_up_as(node, as_this))
                .then_some(other)
        };
        let limited = self.config.policy().limited && !plant::is(Plant::RoomIgnored);
        !limited
            || own.iter().all(|(kind, &more)| {
                let of = |one: GroupId| uses(one)?.get(kind).copied();
                let used = self.groups.iter().filter_map(there).filter_map(of);
                let capacity = place.capacity.get(kind).copied().unwrap_or_default();
                more == 0 || used.fold(more, u64::saturating_add) <= capacity
            })
    }

    /// One of those that have not left a node yet with which a group must not be.
    pub fn taken_by(&self, group: GroupId, node: NodeId) -> Option<GroupId> {
        let config = &self.config;
        let at = config.node(node).filter(|_| !plant::is(Plant::ApartIgnored))?;
        let is_close = |&other: &GroupId, by: By| {
            let owner = self.groups.get(&other).filter(|_| other != group)?.owner()?;
            let there = config.node(owner.0).filter(|_| self.is_up_as(owner.0, owner.1))?;
            there.is_with(at, by).then_some(other)
        };
        let rules = config.bonds().rules(config.place_of(group)?);
        rules.iter().find_map(|&rule| match &config.rules()[rule].says {
            Says::Apart { groups, strict: true, by } => {
                groups.iter().find_map(|other| is_close(other, *by))
            }
            Says::Near { group: wants, with, score, .. } if *score <= SCORE_NEVER => {
                [wants, with].into_iter().find_map(|other| is_close(other, By::Node))
            }
            Says::Near { .. } | Says::Order { .. } | Says::Together { .. } | Says::Apart { .. } => {
                None
            }
        })
    }
}
