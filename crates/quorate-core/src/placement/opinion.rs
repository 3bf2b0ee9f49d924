//! What the rules, and the groups about which they are, say about each node.

use std::collections::BTreeSet;

use super::board::Load;
use super::solver::{Placed, Solver};
use super::{NotHere, is_possible, score};
use crate::config::{SCORE_MUST, SCORE_NEVER, Says};
use crate::id::NodeId;
use crate::plant::{self, Plant};

const MUST: i64 = SCORE_MUST as i64;
const NEVER: i64 = SCORE_NEVER as i64;

/// What the rules say about each node for the groups that are being placed.
#[derive(Debug)]
pub(super) struct Opinion {
    pub(super) obstacle: Vec<Option<NotHere>>,
    pub(super) score: Vec<i64>,
    pub(super) hinders: Vec<u32>,
    pub(super) company: Vec<i64>,
}

impl Solver<'_> {
    /// What the rules say about each node.
    pub(super) fn opinion(&self, members: &[usize]) -> Opinion {
        let count = self.board.slots.len();
        let mut opinion = Opinion {
            obstacle: vec![None; count],
            score: vec![0; count],
            hinders: vec![0; count],
            company: vec![0; count],
        };
        for &member in members {
            for (at, slot) in self.board.slots.iter().enumerate() {
                let own = self.own_score(member, slot.id);
                opinion.score[at] = opinion.score[at].saturating_add(own);
            }
            for &rule in self.bonds.rules(member) {
                self.consider(member, rule, members, &mut opinion);
            }
            let mut seen: BTreeSet<usize> = members.iter().copied().collect();
            let mut cohort = self.loads[member].clone();
            self.heed_dependents(member, MUST, &mut seen, &mut opinion, &mut cohort);
            if seen.len() > members.len() && self.board.is_limited(&cohort) {
                for at in 0..count {
                    opinion.hinders[at] += u32::from(!self.board.has_room(at, &cohort));
                }
            }
        }
        opinion.score.iter_mut().for_each(|score| *score = (*score).clamp(NEVER, MUST));
        opinion
    }

    /// How well a node suits a group by itself.
    fn own_score(&self, group: usize, node: NodeId) -> i64 {
        let (config, now) = (&self.config.groups()[group], &self.now[group]);
        let sticks = (now.runs || now.under_way) && now.at == Some(node);
        let stickiness = if sticks { i64::from(config.stickiness) } else { 0 };
        i64::from(score(config, node)) + stickiness
    }

    /// One rule that names `member`.
    fn consider(&self, member: usize, rule: usize, members: &[usize], opinion: &mut Opinion) {
        let number = u32::try_from(rule).unwrap_or(u32::MAX);
        let outside = |group: &crate::id::GroupId| {
            self.config.place_of(*group).filter(|other| !members.contains(other))
        };
        match &self.config.rules()[rule].says {
            Says::Apart { groups, strict } => {
                for other in groups.iter().filter_map(outside) {
                    match self.placed[other] {
                        Placed::Done(Some(_)) if plant::is(Plant::ApartIgnored) => {}
                        Placed::Done(Some(at)) if *strict => {
                            opinion.obstacle[at].get_or_insert(NotHere::Apart(number));
                        }
                        Placed::Done(Some(at)) => opinion.company[at] += 1,
                        Placed::Done(None) => {}
                        Placed::Not | Placed::Begun => {
                            if let Some(at) = self.is_at(other) {
                                opinion.company[at] += 1;
                            }
                        }
                    }
                }
            }
            Says::Together { groups, strict: false } => {
                for other in groups.iter().filter_map(outside) {
                    match self.placed[other] {
                        Placed::Done(Some(at)) => opinion.company[at] -= 1,
                        Placed::Done(None) => {}
                        Placed::Not | Placed::Begun => {
                            if let Some(at) = self.is_at(other) {
                                opinion.company[at] -= 1;
                            }
                        }
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
                    && let Placed::Done(Some(at)) = self.placed[wants]
                    && i64::from(*score) <= NEVER
                {
                    opinion.obstacle[at].get_or_insert(NotHere::Apart(number));
                }
            }
            Says::Together { .. } | Says::Order { .. } => {}
        }
    }

    fn stay_near(&self, with: usize, score: i64, number: u32, opinion: &mut Opinion) {
        let Placed::Done(at) = self.placed[with] else { return };
        match at {
            Some(at) if score <= NEVER => {
                opinion.obstacle[at].get_or_insert(NotHere::Apart(number));
            }
            _ if score >= MUST => {
                for (other, obstacle) in opinion.obstacle.iter_mut().enumerate() {
                    if Some(other) != at {
                        obstacle.get_or_insert(NotHere::NotNear(number));
                    }
                }
            }
            Some(at) => opinion.score[at] = opinion.score[at].saturating_add(score),
            None => {}
        }
    }

    /// What those that want to be near it say, and those near them. `weight` is how much that counts, in parts of
    /// [`MUST`]. `cohort` becomes all that must be with it.
    fn heed_dependents(
        &self,
        group: usize,
        weight: i64,
        seen: &mut BTreeSet<usize>,
        opinion: &mut Opinion,
        cohort: &mut Load,
    ) {
        for &rule in self.bonds.rules(group) {
            let Says::Near { group: wants, with, score, influence } =
                self.config.rules()[rule].says
            else {
                continue;
            };
            let Some(wants) = self.config.place_of(wants) else { continue };
            let here = self.config.place_of(with) == Some(group);
            let open = matches!(self.placed[wants], Placed::Not | Placed::Begun);
            if !here || !open || !self.now[wants].wanted || !seen.insert(wants) {
                continue;
            }
            let weight = weight * i64::from(score) / MUST;
            if weight >= MUST {
                cohort.and(&self.loads[wants]);
            }
            if influence && weight != 0 {
                self.heed(wants, weight, opinion);
            }
            if weight > 0 {
                let passes = if influence { weight } else { 0 };
                self.heed_dependents(wants, passes, seen, opinion, cohort);
            }
        }
    }

    /// What one that is not placed yet would say for itself.
    fn heed(&self, wants: usize, weight: i64, opinion: &mut Opinion) {
        let (config, now) = (&self.config.groups()[wants], &self.now[wants]);
        let ground = self.grounds(wants);
        for (at, slot) in self.board.slots.iter().enumerate() {
            let banned = !is_possible(config, slot.id) || now.banned.contains(&slot.id);
            let elsewhere = ground.is_some_and(|ground| ground != at);
            if weight >= MUST && (banned || elsewhere) {
                opinion.hinders[at] += 1;
                continue;
            }
            let stays = (now.runs || now.under_way) && now.at == Some(slot.id);
            let own = if banned { NEVER } else { self.own_score(wants, slot.id) };
            let own = own.clamp(NEVER, MUST);
            // Where nothing else is said, it would rather not have to move.
            opinion.company[at] -= i64::from(stays && weight >= MUST && own == 0);
            if weight > 0 || own > 0 {
                let share = own * weight / MUST;
                opinion.score[at] = opinion.score[at].saturating_add(share);
            }
        }
    }

    /// Where one that is not placed yet must be, since another with which it must be is placed.
    fn grounds(&self, wants: usize) -> Option<usize> {
        self.bonds.rules(wants).iter().find_map(|&rule| match self.config.rules()[rule].says {
            Says::Near { group, with, score, .. }
                if self.config.place_of(group) == Some(wants) && i64::from(score) >= MUST =>
            {
                match self.placed[self.config.place_of(with)?] {
                    Placed::Done(at) => at,
                    Placed::Not | Placed::Begun => None,
                }
            }
            _ => None,
        })
    }
}
