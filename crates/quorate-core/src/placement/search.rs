//! The fallback for what found no place: those that do not run yet are placed otherwise, so that it fits as well.
//!
//! Placing one group after the other misses a place where an earlier one took the room, or the only node, that a later
//! one needs. Here the groups on one node, then those on two, then all are packed anew together with it, every way
//! being tried within a budget. What was to leave where it runs may be packed anew as well, and stay if it only wished
//! to leave: nobody loses the only place to one that has another. What runs and stays is left alone, and so is whatever
//! wants to be near another.

use super::Keeps;
use super::board::Load;
use super::field::Field;
use super::solver::Solver;
use super::table::Placed;
use crate::config::{By, Says};

/// So many looks at one node for one group are taken for one plan: a few milliseconds.
const LOOKS_MAX: usize = 100_000;
/// More than this many units are not packed anew together.
const UNITS_MAX: usize = 16;

/// Groups that go together, and the place where they were put.
#[derive(Clone, Debug)]
struct Unit {
    members: Vec<usize>,
    load: Load,
    at: Option<usize>,
}

impl Solver<'_> {
    /// Finds places for groups of `work` that have none, in their turn.
    pub(super) fn find_places(&mut self, work: &[usize]) {
        let mut looks = LOOKS_MAX;
        let lacks = |solver: &Self, group: usize| {
            solver.table.placed[group] == Placed::Done(None)
                && solver.table.now[group].wanted
                && !solver.table.now[group].fixed
        };
        let mut without: Vec<usize> =
            work.iter().copied().filter(|&group| lacks(self, group)).collect();
        if without.is_empty() {
            return;
        }
        without.sort_by_cached_key(|&group| self.turn(group));
        for group in without {
            if looks > 0
                && lacks(self, group)
                && self.is_contended(group)
                && let Some(unit) = self.unit_of(group)
                && self.might_fit(&unit)
            {
                self.repack(unit, work, &mut looks);
            }
        }
    }

    /// Whether others can be in its way: they take room, or it has to be apart from them, or in one rack or site.
    fn is_contended(&self, group: usize) -> bool {
        let alone = [group];
        let members = self.bonds.unit(group).unwrap_or(&alone);
        let binds = |rule: &usize| match self.config.rules()[*rule].says {
            Says::Apart { strict, .. } => strict,
            Says::Together { strict, by, .. } => strict && by != By::Node,
            Says::Near { .. } | Says::Order { .. } => false,
        };
        members.iter().any(|&member| {
            self.table.board.is_limited(&self.table.loads[member])
                || self.bonds.rules(member).iter().any(binds)
        })
    }

    /// The groups that go where this one goes; none: one of them cannot be placed by itself.
    fn unit_of(&self, group: usize) -> Option<Unit> {
        let alone = [group];
        let members = self.bonds.unit(group).unwrap_or(&alone).to_vec();
        let near = |rule: &usize| {
            let groundless = self.lacks_its_ground(*rule).is_some();
            groundless || matches!(self.config.rules()[*rule].says, Says::Near { .. })
        };
        let bound = |&member: &usize| {
            self.table.now[member].fixed
                || !self.table.now[member].wanted
                || self.bonds.rules(member).iter().any(near)
        };
        if members.iter().any(bound) {
            return None;
        }
        let mut load = Load::default();
        members.iter().for_each(|&member| load.and(&self.table.loads[member]));
        Some(Unit { at: self.table.goes_to(group), members, load })
    }

    /// Whether the nodes together have the room, wherever it is.
    fn might_fit(&self, unit: &Unit) -> bool {
        !self.table.board.is_limited(&unit.load) || self.table.board.has_room_in_all(&unit.load)
    }

    /// Packs a unit that has no place together with more and more others.
    fn repack(&mut self, unit: Unit, work: &[usize], looks: &mut usize) {
        // To look for them costs as well.
        *looks = looks.saturating_sub(work.len());
        let mut movable: Vec<Unit> = Vec::new();
        for &group in work {
            let Some(other) =
                Some(group).filter(|&one| self.goes(one)).and_then(|one| self.unit_of(one))
            else {
                continue;
            };
            let go = other.members.iter().all(|&member| self.goes(member));
            if other.members.first() == Some(&group) && go {
                movable.push(other);
            }
        }
        let mut nodes: Vec<usize> = movable.iter().filter_map(|unit| unit.at).collect();
        nodes.sort_unstable();
        nodes.dedup();
        movable.sort_by_key(|unit| unit.at);
        let on = |node: usize| {
            let from = movable.partition_point(|unit| unit.at < Some(node));
            let to = movable.partition_point(|unit| unit.at <= Some(node));
            &movable[from..to]
        };
        let singles = nodes.iter().map(|&node| on(node).to_vec());
        let pairs = nodes.iter().enumerate().flat_map(|(at, &one)| {
            nodes[at + 1..].iter().map(move |&other| [on(one), on(other)].concat())
        });
        let sets = singles.chain(pairs).chain(std::iter::once_with(|| movable.clone()));
        for mut units in sets {
            if *looks == 0 {
                return;
            }
            *looks -= 1;
            if units.len() >= UNITS_MAX {
                continue;
            }
            units.push(unit.clone());
            if self.pack(units, looks) {
                return;
            }
        }
    }

    /// Whether a group is placed where it does not run.
    fn goes(&self, group: usize) -> bool {
        let at = self.table.goes_to(group);
        at.is_some() && at != self.table.is_at(group)
    }

    /// Places all of these; false: not within the budget, and all is as it was.
    fn pack(&mut self, mut units: Vec<Unit>, looks: &mut usize) -> bool {
        for unit in &units {
            unit.members.iter().for_each(|&member| self.table.take_back(member));
        }
        // Who finds the fewest nodes comes first, so that what cannot be shows early.
        units.sort_by_cached_key(|unit| (self.open_to(unit).len(), unit.members[0]));
        if self.try_all(&units, looks) {
            return true;
        }
        for unit in units {
            unit.members.iter().for_each(|&member| self.table.finish(member, unit.at));
        }
        false
    }

    fn try_all(&mut self, units: &[Unit], looks: &mut usize) -> bool {
        let Some((unit, rest)) = units.split_first() else { return true };
        for at in self.open_to(unit) {
            if *looks == 0 {
                return false;
            }
            *looks -= 1;
            unit.members.iter().for_each(|&member| self.table.finish(member, Some(at)));
            // Those that come later and have nowhere to go any more show that this is no way.
            let open = rest.iter().all(|other| !self.open_to(other).is_empty());
            *looks = looks.saturating_sub(rest.len() * self.table.board.slots.len());
            if open && self.try_all(rest, looks) {
                return true;
            }
            unit.members.iter().for_each(|&member| self.table.take_back(member));
        }
        false
    }

    /// Where a unit can be, as things stand; first where it was placed, then where it runs. A node that
    /// is to be emptied is not gone back to.
    fn open_to(&self, unit: &Unit) -> Vec<usize> {
        let field = Field::all(self.table.board.slots.len());
        let opinion = self.opinion(&unit.members, &field);
        let views = field.slots.iter().zip(&opinion);
        let open = views
            .filter(|(at, view)| self.obstacle(&unit.members, view, &unit.load, **at).is_none());
        let runs = |at: usize| unit.members.iter().any(|&one| self.table.is_at(one) == Some(at));
        let is_emptied = |at: usize| self.table.board.slots[at].keeps != Keeps::All;
        let stays = |&at: &usize| Some(at) == unit.at || !runs(at) || !is_emptied(at);
        let mut slots: Vec<usize> = open.map(|(&at, _)| at).filter(stays).collect();
        slots.sort_by_key(|&at| (Some(at) != unit.at, !runs(at), at));
        slots
    }
}
