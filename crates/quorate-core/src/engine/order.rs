//! When a group may act, for the sake of others: orders, and nodes that another group has to leave first.

use std::collections::BTreeSet;

use crate::change::ReleaseKind;
use crate::config::{ClusterConfig, OrderAct, OrderKind, SCORE_MUST, Says, Turn};
use crate::database::{Database, GroupRecord, OwnedState};
use crate::id::{GroupId, NodeId};
use crate::placement::Plan;
use crate::plant::{self, Plant};

/// What a group is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Nothing,
    Starts,
    Runs,
    Stops,
}

/// Whether others cannot run without this group: what it does is theirs to know.
pub(super) fn is_ground(config: &ClusterConfig, group: GroupId) -> bool {
    let Some(place) = config.place_of(group) else { return false };
    config.bonds().rules(place).iter().any(|&rule| {
        matches!(
            &config.rules()[rule].says,
            Says::Order {
                first,
                kind: OrderKind::Mandatory,
                symmetrical: true,
                first_act: OrderAct::Start,
                then_act: OrderAct::Start,
                ..
            } if first.contains(&group)
        )
    })
}

/// Everything that the order of actions rests on.
pub(super) struct Order<'a> {
    database: &'a Database,
    plan: &'a Plan,
    /// What cannot run on, since what it needs before it does not run, or is about to stop.
    losing_ground: BTreeSet<GroupId>,
}

impl<'a> Order<'a> {
    pub(super) fn new(database: &'a Database, plan: &'a Plan) -> Self {
        let mut order = Self { database, plan, losing_ground: BTreeSet::new() };
        // Whoever stops takes others with it. Groups of which each would do for the other keep each other up.
        loop {
            let rules = order.config().rules().iter();
            let more: Vec<GroupId> =
                rules.filter_map(|rule| order.loses_ground(&rule.says)).collect();
            if more.is_empty() {
                return order;
            }
            order.losing_ground.extend(more);
        }
    }

    /// The group that loses its ground by this rule, unless it is known to lose it already.
    fn loses_ground(&self, says: &Says) -> Option<GroupId> {
        let Says::Order {
            first,
            then,
            kind: OrderKind::Mandatory,
            symmetrical: true,
            first_act: OrderAct::Start,
            then_act: OrderAct::Start,
        } = says
        else {
            return None;
        };
        let stands = |&first: &GroupId| self.goes_over(first) || self.runs_on(first);
        let falls = self.is_known(first) && !first.iter().any(stands);
        (falls && !self.losing_ground.contains(then)).then_some(*then)
    }

    /// Whether it runs and goes on. What could not be stopped is no ground: nobody knows how it is.
    fn runs_on(&self, group: GroupId) -> bool {
        self.doing(group) == Doing::Runs && !self.is_stuck(group) && !self.will_stop(group)
    }

    /// Whether it is being handed over as it runs: whoever needs it never misses it.
    fn goes_over(&self, group: GroupId) -> bool {
        let Some(record) = self.record(group) else { return false };
        let up =
            record.owner().is_some_and(|(node, as_this)| self.database.is_up_as(node, as_this));
        up && match record.owned_state() {
            Some(OwnedState::Releasing { to: Some(_), kind: ReleaseKind::Move, .. }) => {
                self.moves_live(group)
            }
            Some(OwnedState::Starting) => record.held_by.is_some(),
            Some(_) | None => false,
        }
    }

    fn config(&self) -> &ClusterConfig {
        self.database.config()
    }

    fn record(&self, group: GroupId) -> Option<&GroupRecord> {
        self.database.group(group)
    }

    fn doing(&self, group: GroupId) -> Doing {
        let Some(record) = self.record(group) else { return Doing::Nothing };
        let up =
            record.owner().is_some_and(|(node, as_this)| self.database.is_up_as(node, as_this));
        match record.owned_state().filter(|_| up) {
            None => Doing::Nothing,
            Some(OwnedState::Starting) => Doing::Starts,
            Some(OwnedState::Online) => Doing::Runs,
            Some(OwnedState::Releasing { .. }) => Doing::Stops,
            Some(OwnedState::StopFailed) => Doing::Runs,
        }
    }

    /// A rule about what there is not says nothing.
    fn is_known(&self, groups: &[GroupId]) -> bool {
        groups.iter().any(|&group| self.record(group).is_some())
    }

    fn node_of(&self, group: GroupId) -> Option<NodeId> {
        self.record(group)?.owner().map(|(node, _)| node)
    }

    /// Where a group belongs.
    pub(super) fn target(&self, group: GroupId) -> Option<NodeId> {
        self.plan.node(self.config().place_of(group)?)
    }

    fn is_managed(&self, group: GroupId) -> bool {
        self.record(group).is_some_and(GroupRecord::is_managed)
    }

    fn begins_anew(&self, group: GroupId) -> bool {
        self.record(group).is_some_and(|record| record.begins_anew)
    }

    fn moves_live(&self, group: GroupId) -> bool {
        self.config().group(group).is_some_and(crate::config::GroupConfig::moves_live)
    }

    /// Whether it runs and is to end where it is, be it only to start elsewhere.
    fn will_stop(&self, group: GroupId) -> bool {
        match self.doing(group) {
            Doing::Stops => true,
            Doing::Nothing => false,
            Doing::Starts | Doing::Runs => {
                let target = self.target(group);
                let goes_on = target.is_some() && self.moves_live(group);
                self.is_managed(group)
                    && (target != self.node_of(group) && !goes_on
                        || self.must_stop(group)
                        || self.begins_anew(group))
            }
        }
    }

    fn will_start(&self, group: GroupId) -> bool {
        match self.doing(group) {
            Doing::Starts => true,
            Doing::Nothing => self.target(group).is_some() && self.is_managed(group),
            Doing::Runs | Doing::Stops => false,
        }
    }

    fn rules(&self, group: GroupId) -> impl Iterator<Item = &Says> {
        self.turned_rules(group).map(|(says, _)| says)
    }

    /// With what becomes of them where they lead back to their start.
    fn turned_rules(&self, group: GroupId) -> impl Iterator<Item = (&Says, Option<Turn>)> {
        let config = self.config();
        let place = config.place_of(group);
        let rules = place.map_or(&[][..], |place| config.bonds().rules(place));
        rules.iter().map(|&rule| (&config.rules()[rule].says, config.bonds().turn(rule)))
    }

    /// The rules but those that are not waited for.
    fn awaited_rules(&self, group: GroupId) -> impl Iterator<Item = &Says> {
        self.turned_rules(group).filter(|(_, turn)| turn.is_none()).map(|(says, _)| says)
    }

    /// Whether what it needs before it does not run, or is about to stop, so that it cannot run on.
    pub(super) fn must_stop(&self, then: GroupId) -> bool {
        self.losing_ground.contains(&then)
    }

    /// For whom a group that is to start has to wait: one of them, if there are more.
    pub(super) fn start_waits(&self, group: GroupId, node: NodeId) -> Option<GroupId> {
        let ordered = self.awaited_rules(group).find_map(|says| match says {
            Says::Order { kind: OrderKind::Serialize, .. } => None,
            Says::Order { first, then, kind, first_act, then_act: OrderAct::Start, .. }
                if *then == group && self.is_known(first) =>
            {
                let mut all = first.iter().copied();
                match (first_act, kind) {
                    (OrderAct::Start, OrderKind::Mandatory) => {
                        if all.any(|one| self.runs_on(one)) {
                            None
                        } else {
                            first.first().copied()
                        }
                    }
                    (OrderAct::Start, _) => all.find(|&one| self.will_start(one)),
                    (OrderAct::Stop, _) => all.find(|&one| self.will_stop(one)),
                }
            }
            // Whoever comes after it and runs without it stops before it starts, and starts again after it.
            Says::Order { first, then, kind: OrderKind::Mandatory, symmetrical: true, .. }
                if first.contains(&group) =>
            {
                let ends = self.doing(*then) != Doing::Nothing
                    && !self.is_stuck(*then)
                    && self.is_managed(*then)
                    && self.must_stop(*then);
                ends.then_some(*then)
            }
            Says::Order { .. } | Says::Near { .. } | Says::Together { .. } | Says::Apart { .. } => {
                None
            }
        });
        ordered
            .filter(|_| !plant::is(Plant::OrderIgnored))
            .or_else(|| self.waits_its_turn(group))
            .or_else(|| self.database.taken_by(group, node))
            .or_else(|| self.awaits_ground(group, node))
    }

    /// Who acts, or acts before it, that must never act together with it.
    pub(super) fn waits_its_turn(&self, group: GroupId) -> Option<GroupId> {
        self.turned_rules(group).find_map(|(says, turn)| {
            let Says::Order { first, then, kind: OrderKind::Serialize, .. } = says else {
                return None;
            };
            let acts = |&other: &GroupId| matches!(self.doing(other), Doing::Starts | Doing::Stops);
            let will = |one: &GroupId| self.will_act(*one);
            let others = first.iter().chain([then]).copied().filter(|&other| other != group);
            let before = match turn {
                // What cannot run on stops before those start which it needs.
                None if *then == group && !self.must_stop(group) => {
                    first.iter().copied().find(will)
                }
                Some(Turn::Reversed) if first.contains(&group) => {
                    // One that needs it first cannot start before it, whosever turn it is.
                    let able = self.doing(*then) != Doing::Nothing || !self.needs(*then, group);
                    Some(*then).filter(|then| able && will(then))
                }
                None | Some(Turn::Reversed | Turn::Void) => None,
            };
            before.or_else(|| others.into_iter().find(acts))
        })
    }

    /// Whether another that it needs, or that needs it, is on its way as it runs: one of them goes at a time.
    pub(super) fn travels_with(&self, group: GroupId) -> bool {
        self.rules(group).any(|says| {
            let Says::Order { first, then, kind: OrderKind::Mandatory, .. } = says else {
                return false;
            };
            let goes = |&first: &GroupId| {
                let departs = self.will_act(first) && self.moves_live(first);
                let free = self
                    .target(first)
                    .is_some_and(|to| self.database.taken_by(first, to).is_none());
                departs && free && self.waits_its_turn(first).is_none()
            };
            match *then == group {
                true => first.iter().any(|one| self.goes_over(*one) || goes(one)),
                false => self.goes_over(*then),
            }
        })
    }

    /// Whether it is to start, to stop or to move.
    fn will_act(&self, group: GroupId) -> bool {
        let moves = self.doing(group) == Doing::Runs
            && self.is_managed(group)
            && !self.is_stuck(group)
            && self.target(group) != self.node_of(group);
        moves || self.will_start(group) || self.will_stop(group)
    }

    /// Who is on its way to this node, of those with whom it must be, and does not wait for it in turn.
    pub(super) fn awaits_ground(&self, group: GroupId, node: NodeId) -> Option<GroupId> {
        self.rules(group).find_map(|says| match *says {
            Says::Near { group: wants, with, score, .. }
                if wants == group && score >= SCORE_MUST =>
            {
                let there = self.node_of(with) == Some(node) && self.doing(with) == Doing::Runs;
                let comes = self.target(with) == Some(node) && self.is_managed(with);
                (comes && !there && !self.needs(with, group)).then_some(with)
            }
            _ => None,
        })
    }

    /// Whether the start of a group may have to wait for that of another, be it through others.
    fn needs(&self, group: GroupId, other: GroupId) -> bool {
        let mut seen: BTreeSet<GroupId> = BTreeSet::new();
        let mut open = vec![group];
        while let Some(one) = open.pop() {
            if one == other {
                return true;
            }
            if !seen.insert(one) {
                continue;
            }
            for says in self.awaited_rules(one) {
                match says {
                    Says::Order { first, then, .. } if *then == one => open.extend(first),
                    Says::Near { group, with, score, .. }
                        if *group == one && *score >= SCORE_MUST =>
                    {
                        open.push(*with);
                    }
                    _ => {}
                }
            }
        }
        false
    }

    /// Whether a group that is to stop has to wait for another that stops before it.
    pub(super) fn stop_waits(&self, group: GroupId) -> bool {
        self.awaited_rules(group).any(|says| match says {
            Says::Order { kind: OrderKind::Serialize, .. } => false,
            Says::Order { first, then, kind, first_act, then_act, symmetrical } => {
                // What cannot be stopped, or is left alone, holds what it stands on.
                let stays = *kind == OrderKind::Mandatory
                    && self.doing(*then) == Doing::Runs
                    && (self.is_stuck(*then) || !self.is_managed(*then));
                let before = *symmetrical
                    && first.contains(&group)
                    && (*first_act, *then_act) == (OrderAct::Start, OrderAct::Start)
                    && (self.will_stop(*then) || stays && !self.stands_elsewhere(first, group));
                let after = *then == group
                    && *then_act == OrderAct::Stop
                    && first.iter().any(|&first| match (first_act, kind) {
                        (OrderAct::Start, OrderKind::Mandatory) => {
                            self.doing(first) != Doing::Runs || self.will_stop(first)
                        }
                        (OrderAct::Start, _) => self.will_start(first),
                        (OrderAct::Stop, _) => self.will_stop(first),
                    });
                before || after
            }
            Says::Near { .. } | Says::Together { .. } | Says::Apart { .. } => false,
        })
    }

    /// Whether another of these runs on.
    fn stands_elsewhere(&self, groups: &[GroupId], but: GroupId) -> bool {
        let runs =
            |&&one: &&GroupId| one != but && self.doing(one) == Doing::Runs && !self.will_stop(one);
        groups.iter().find(runs).is_some()
    }

    /// Whether it could not be stopped.
    fn is_stuck(&self, group: GroupId) -> bool {
        let state = self.record(group).and_then(GroupRecord::owned_state);
        state == Some(OwnedState::StopFailed)
    }

    /// Whether it starts after others, so that it cannot be handed straight to the next node.
    pub(super) fn comes_after(&self, group: GroupId) -> bool {
        self.rules(group).any(|says| matches!(says, Says::Order { then, .. } if *then == group))
    }

    /// One of those that are still on a node, are on their way to it, or come there by the very changes that are
    /// decided, where they leave it no room.
    pub(super) fn lacks_room(
        &self,
        group: GroupId,
        node: NodeId,
        coming: &[(GroupId, NodeId)],
    ) -> Option<GroupId> {
        let config = self.config();
        let uses = |one: GroupId| config.group(one).map(|one| &one.wishes.uses);
        let limited = config.policy().limited && !plant::is(Plant::RoomIgnored);
        let (own, place) = (uses(group)?, config.node(node)?);
        if !limited || own.is_empty() {
            return None;
        }
        let there = |other: &GroupId| {
            let at = self.node_of(*other) == Some(node) && self.doing(*other) != Doing::Nothing;
            *other != group && (at || self.is_sent_to(*other, node))
        };
        let comes = |&&(other, to): &&(GroupId, NodeId)| to == node && !there(&other);
        let others = || {
            let there = self.database.groups().keys().copied().filter(there);
            there.chain(coming.iter().filter(comes).map(|one| one.0))
        };
        own.iter().find_map(|(kind, &more)| {
            let of = |one: GroupId| uses(one)?.get(kind).copied().filter(|&used| used > 0);
            let used = others().filter_map(of).fold(more, u64::saturating_add);
            let full = more > 0 && used > place.capacity.get(kind).copied().unwrap_or_default();
            others().find(|&one| full && of(one).is_some())
        })
    }

    /// Whether it leaves its owner for that node, by a change that is committed.
    fn is_sent_to(&self, group: GroupId, node: NodeId) -> bool {
        let Some(record) = self.database.group(group).filter(|record| record.is_wanted()) else {
            return false;
        };
        let to = match record.owned_state() {
            Some(OwnedState::Releasing { to, .. }) => to,
            _ => None,
        };
        let is_up = |(owner, as_this)| self.database.is_up_as(owner, as_this);
        to == Some(node) && record.owner().is_some_and(is_up)
    }

    /// Whether one of those that leave it no room there is on its way out, or can go.
    pub(super) fn makes_room(&self, group: GroupId, node: NodeId) -> bool {
        let there = |other: &&GroupId| **other != group && self.node_of(**other) == Some(node);
        let mut others = self.database.groups().keys().filter(there);
        others.any(|&other| match self.doing(other) {
            Doing::Stops => true,
            Doing::Starts | Doing::Runs => {
                let to = self.target(other).filter(|&to| to != node);
                let goes = to.is_some_and(|to| self.lacks_room(other, to, &[]).is_none());
                self.is_managed(other) && goes
            }
            Doing::Nothing => false,
        })
    }
}
