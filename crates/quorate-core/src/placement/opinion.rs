//! What the rules, and the groups about which they are, say about each node.

use std::collections::BTreeSet;

use super::board::Load;
use super::field::Field;
use super::solver::Solver;
use super::table::Placed;
use super::{NotHere, is_possible, score};
use crate::config::{By, SCORE_MUST, SCORE_NEVER, Says};
use crate::id::{GroupId, NodeId};
use crate::plant::{self, Plant};

const MUST: i64 = SCORE_MUST as i64;
const NEVER: i64 = SCORE_NEVER as i64;

/// Two scores together: "never" wins over all, then "must".
fn sum(one: i64, two: i64) -> i64 {
    if one <= NEVER || two <= NEVER {
        NEVER
    } else if one >= MUST || two >= MUST {
        MUST
    } else {
        (one + two).clamp(NEVER, MUST)
    }
}

/// What the rules say about one node for the groups that are being placed.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) obstacle: Option<NotHere>,
    pub(super) score: i64,
    pub(super) hinders: u32,
    pub(super) company: i64,
}

/// What they say about each node of a field.
struct Opinion<'a> {
    field: &'a Field,
    views: Vec<View>,
}

impl Opinion<'_> {
    /// What is said about a node, if that is looked at.
    fn of(&mut self, at: usize) -> Option<&mut View> {
        self.field.find(at).map(|place| &mut self.views[place])
    }

    fn forbid(&mut self, at: usize, why: NotHere) {
        if let Some(view) = self.of(at) {
            view.obstacle.get_or_insert(why);
        }
    }
}

impl Solver<'_> {
    /// What the rules say about each node of the field.
    pub(super) fn opinion(&self, members: &[usize], field: &Field) -> Vec<View> {
        let views = vec![View::default(); field.slots.len()];
        let mut opinion = Opinion { field, views };
        for &member in members {
            for (&at, view) in field.slots.iter().zip(&mut opinion.views) {
                let own = self.own_score(member, self.table.board.slots[at].id);
                view.score = sum(view.score, own);
            }
            let rules = self.bonds.rules(member);
            if rules.is_empty() {
                continue;
            }
            for &rule in rules {
                self.consider(member, rule, members, &mut opinion);
            }
            let mut seen: BTreeSet<usize> = members.iter().copied().collect();
            let cohort = self.heed_dependents(member, &mut seen, &mut opinion);
            if seen.len() > members.len() && self.table.board.is_limited(&cohort) {
                for (&at, view) in field.slots.iter().zip(&mut opinion.views) {
                    view.hinders += u32::from(!self.table.board.has_room(at, &cohort));
                }
            }
        }
        opinion.views
    }

    /// How well a node suits a group by itself.
    pub(super) fn own_score(&self, group: usize, node: NodeId) -> i64 {
        let (config, now) = (&self.config.groups()[group], &self.table.now[group]);
        let sticks = (now.runs || now.under_way) && now.at == Some(node);
        let stickiness = if sticks { i64::from(config.stickiness) } else { 0 };
        sum(i64::from(score(config, node)), stickiness)
    }

    /// One rule that names `member`.
    fn consider(&self, member: usize, rule: usize, members: &[usize], opinion: &mut Opinion<'_>) {
        let number = u32::try_from(rule).unwrap_or(u32::MAX);
        let outside =
            |group: &GroupId| self.config.place_of(*group).filter(|other| !members.contains(other));
        match &self.config.rules()[rule].says {
            Says::Apart { groups, strict, by } => {
                let inside = |id: &&GroupId| {
                    self.config.place_of(**id).is_some_and(|place| members.contains(&place))
                };
                if *strict && groups.iter().filter(inside).count() > 1 {
                    // They must be on one node, and apart.
                    let all = opinion.views.iter_mut();
                    all.for_each(|view| view.obstacle = Some(NotHere::Apart(number)));
                    return;
                }
                for other in groups.iter().filter_map(outside) {
                    let (Some(seat), placed) = self.seat(other) else { continue };
                    if placed && plant::is(Plant::ApartIgnored) {
                        continue;
                    }
                    self.at_place(seat, *by, opinion, |view| match *strict && placed {
                        true => _ = view.obstacle.get_or_insert(NotHere::Apart(number)),
                        false => view.company += 1,
                    });
                }
            }
            Says::Together { strict: true, by: By::Node, .. } => {}
            Says::Together { groups, strict, by } => {
                for other in groups.iter().filter_map(outside) {
                    let (Some(seat), placed) = self.seat(other) else { continue };
                    self.at_place(seat, *by, opinion, |view| view.company -= 1);
                    if *strict && placed {
                        self.elsewhere(seat, *by, opinion, |view| {
                            view.obstacle.get_or_insert(NotHere::NotNear(number));
                        });
                    }
                }
            }
            Says::Near { group, with, score, .. } => {
                let (wants, with) = (self.config.place_of(*group), self.config.place_of(*with));
                if wants == Some(member) {
                    if let Some(with) = with.filter(|with| !members.contains(with)) {
                        self.stay_near(with, i64::from(*score), number, opinion);
                    }
                } else if let Some(wants) = wants.filter(|wants| !members.contains(wants))
                    && let Some(at) = self.table.goes_to(wants)
                    && i64::from(*score) <= NEVER
                    && !self.puts_up_with(member, wants, at)
                {
                    opinion.forbid(at, NotHere::Apart(number));
                }
            }
            Says::Order { .. } => {}
        }
    }

    /// Whether a group runs where another that wants to be apart from it does, and is left alone.
    fn puts_up_with(&self, group: usize, other: usize, at: usize) -> bool {
        let now = &self.table.now[group];
        !self.table.now[other].wanted && now.runs && self.table.is_at(group) == Some(at)
    }

    /// Says something about every node that is one place with this one.
    fn at_place(
        &self,
        seat: usize,
        by: By,
        opinion: &mut Opinion<'_>,
        mut say: impl FnMut(&mut View),
    ) {
        if by == By::Node {
            return opinion.of(seat).into_iter().for_each(say);
        }
        let seats = opinion.field.slots.iter().zip(&mut opinion.views);
        let there = seats.filter(|(at, _)| self.table.board.are_one_place(**at, seat, by));
        there.for_each(|(_, view)| say(view));
    }

    /// Says something about every node that is not one place with this one.
    fn elsewhere(
        &self,
        seat: usize,
        by: By,
        opinion: &mut Opinion<'_>,
        mut say: impl FnMut(&mut View),
    ) {
        let seats = opinion.field.slots.iter().zip(&mut opinion.views);
        let others = seats.filter(|(at, _)| !self.table.board.are_one_place(**at, seat, by));
        others.for_each(|(_, view)| say(view));
    }

    /// Where a group goes, or is while it is not placed yet; whether it is placed.
    pub(super) fn seat(&self, group: usize) -> (Option<usize>, bool) {
        match self.table.placed[group] {
            Placed::Done(at) => (at, true),
            Placed::Not | Placed::Begun => (self.table.is_at(group), false),
        }
    }

    fn stay_near(&self, with: usize, score: i64, number: u32, opinion: &mut Opinion<'_>) {
        let Placed::Done(at) = self.table.placed[with] else { return };
        if plant::is(Plant::NearIgnored) {
            return;
        }
        match at {
            Some(at) if score <= NEVER => opinion.forbid(at, NotHere::Apart(number)),
            _ if score >= MUST => {
                for (&other, view) in opinion.field.slots.iter().zip(&mut opinion.views) {
                    if Some(other) != at {
                        view.obstacle.get_or_insert(NotHere::NotNear(number));
                    }
                }
            }
            Some(at) => {
                if let Some(view) = opinion.of(at) {
                    view.score = sum(view.score, score);
                }
            }
            None => {}
        }
    }

    /// Takes in what those that want to be near it say, and those near them; gives all that must be with it.
    fn heed_dependents(
        &self,
        group: usize,
        seen: &mut BTreeSet<usize>,
        opinion: &mut Opinion<'_>,
    ) -> Load {
        let mut cohort = self.table.loads[group].clone();
        // On whom others stand, how much these count in parts of MUST, and how many of the rules are heeded.
        let mut path = vec![(group, MUST, 0)];
        while let Some((ground, passed, heeded)) = path.last_mut() {
            let (ground, passed) = (*ground, *passed);
            let Some(&rule) = self.bonds.rules(ground).get(*heeded) else {
                path.pop();
                continue;
            };
            *heeded += 1;
            let dependent = self.dependent(ground, rule);
            let Some((wants, score, influence)) = dependent.filter(|one| seen.insert(one.0)) else {
                continue;
            };
            let weight = passed * score / MUST;
            if weight >= MUST {
                cohort.and(&self.table.loads[wants]);
            }
            if influence && weight != 0 {
                self.heed(wants, weight, opinion);
            }
            if weight > 0 {
                path.push((wants, if influence { weight } else { 0 }, 0));
            }
        }
        cohort
    }

    /// Who wants to be near `ground` by this rule and is not placed yet, how much, and whether it has a say.
    fn dependent(&self, ground: usize, rule: usize) -> Option<(usize, i64, bool)> {
        let Says::Near { group, with, score, influence } = self.config.rules()[rule].says else {
            return None;
        };
        let wants = self.config.place_of(group)?;
        // One on its way has its place, and needs the other there.
        let open = matches!(self.table.placed[wants], Placed::Not | Placed::Begun)
            || self.table.now[wants].fixed && score >= SCORE_MUST;
        let here = self.config.place_of(with) == Some(ground);
        // Were a wish heeded that cannot come true, the one would go after the other, or flee from it, for ever.
        let counts = here
            && open
            && self.table.now[wants].wanted
            && self.bonds.can_wish(self.config.rules(), wants, ground, score);
        counts.then_some((wants, i64::from(score), influence))
    }

    /// What one that is not placed yet would say for itself.
    fn heed(&self, wants: usize, weight: i64, opinion: &mut Opinion<'_>) {
        let (config, now) = (&self.config.groups()[wants], &self.table.now[wants]);
        let ground = match self.table.placed[wants] {
            Placed::Done(at) => at,
            Placed::Not | Placed::Begun => self.grounds(wants),
        };
        let taken = if weight >= MUST { self.taken(wants) } else { Vec::new() };
        for (&at, view) in opinion.field.slots.iter().zip(&mut opinion.views) {
            let slot = &self.table.board.slots[at];
            let is_one_place =
                |&(seat, by): &(usize, By)| self.table.board.are_one_place(at, seat, by);
            let banned = !is_possible(config, slot.id)
                || now.banned.contains(&slot.id)
                || taken.iter().any(is_one_place);
            let elsewhere = ground.is_some_and(|ground| ground != at);
            if weight >= MUST && (banned || elsewhere) {
                view.hinders += 1;
                continue;
            }
            let stays = (now.runs || now.under_way) && now.at == Some(slot.id);
            let own = if banned { NEVER } else { self.own_score(wants, slot.id) };
            // Where nothing else is said, it would rather not have to move.
            view.company -= i64::from(stays && weight >= MUST && own == 0);
            if weight > 0 || own > 0 {
                // A small wish counts for little, but not for nothing.
                let share = match own * weight / MUST {
                    0 => own.signum() * weight.signum(),
                    share => share,
                };
                view.score = sum(view.score, share);
            }
        }
    }

    /// Where those go with which it must not be.
    fn taken(&self, wants: usize) -> Vec<(usize, By)> {
        let mut seats = Vec::new();
        for &rule in self.bonds.rules(wants) {
            match &self.config.rules()[rule].says {
                Says::Apart { groups, strict: true, by } => {
                    let others = groups.iter().filter_map(|&group| self.config.place_of(group));
                    let others = others.filter(|&other| other != wants);
                    let others = others.filter_map(|other| self.table.goes_to(other));
                    seats.extend(others.map(|seat| (seat, *by)));
                }
                Says::Near { group, with, score, .. }
                    if self.config.place_of(*group) == Some(wants)
                        && i64::from(*score) <= NEVER =>
                {
                    let with = self.config.place_of(*with);
                    let seat = with.and_then(|with| self.table.goes_to(with));
                    seats.extend(seat.map(|seat| (seat, By::Node)));
                }
                _ => {}
            }
        }
        seats
    }

    /// Where one that is not placed yet must be, since another with which it must be is placed.
    fn grounds(&self, wants: usize) -> Option<usize> {
        self.bonds.rules(wants).iter().find_map(|&rule| match self.config.rules()[rule].says {
            Says::Near { group, with, score, .. }
                if self.config.place_of(group) == Some(wants) && i64::from(score) >= MUST =>
            {
                self.table.goes_to(self.config.place_of(with)?)
            }
            _ => None,
        })
    }
}
