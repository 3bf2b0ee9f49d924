//! Places groups one after the other.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::board::{Board, Load};
use super::opinion::Opinion;
use super::rank::Rank;
use super::{Candidate, Keeps, NotHere, Now, is_possible, preference};
use crate::config::{Balance, Bonds, ClusterConfig, OrderAct, OrderKind, SCORE_MUST, Says};
use crate::id::NodeId;
use crate::plant::{self, Plant};

/// How far a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    Not,
    /// Those on which it depends are being placed.
    Begun,
    /// There, by the place of the node; or nowhere.
    Done(Option<usize>),
}

/// Who is where, and what remains to be placed.
pub(super) struct Solver<'a> {
    pub(super) config: &'a ClusterConfig,
    pub(super) bonds: &'a Bonds,
    pub(super) now: &'a [Now<'a>],
    pub(super) board: Board,
    pub(super) placed: Vec<Placed>,
    pub(super) loads: Vec<Load>,
    /// Of which group it shall be told why not elsewhere.
    asked: Option<usize>,
    told: BTreeMap<NodeId, NotHere>,
}

impl<'a> Solver<'a> {
    pub(super) fn new(
        config: &'a ClusterConfig,
        nodes: &BTreeMap<NodeId, Candidate>,
        now: &'a [Now<'a>],
        asked: Option<usize>,
    ) -> Self {
        let loads = now.iter().enumerate().map(|(group, now)| Load::of(config, group, now));
        let mut solver = Self {
            config,
            bonds: config.bonds(),
            now,
            board: Board::new(config, nodes),
            placed: vec![Placed::Not; now.len()],
            loads: loads.collect(),
            asked,
            told: BTreeMap::new(),
        };
        for group in 0..now.len() {
            if let Some(at) = solver.is_at(group) {
                solver.board.enter(at, &solver.loads[group]);
            }
        }
        solver
    }

    /// The node of each group, and why the asked one is not elsewhere.
    pub(super) fn solve(mut self) -> (Vec<Option<NodeId>>, BTreeMap<NodeId, NotHere>) {
        for group in 0..self.now.len() {
            let now = &self.now[group];
            if now.fixed {
                let at = now.at.and_then(|node| self.board.place_of(node));
                self.finish(group, at.filter(|_| now.runs || now.wanted));
                self.tell_all(group, NotHere::Fixed);
            } else if !now.wanted {
                self.finish(group, None);
            }
        }
        // Nobody goes near what will not run in the end.
        self.withdraw();
        let mut rest: Vec<usize> =
            (0..self.now.len()).filter(|&group| self.placed[group] == Placed::Not).collect();
        rest.sort_by_cached_key(|&group| self.turn(group));
        for group in rest {
            self.decide(group);
        }
        self.withdraw();
        let node = |placed: &Placed| match placed {
            Placed::Done(Some(at)) => Some(self.board.slots[*at].id),
            Placed::Done(None) | Placed::Not | Placed::Begun => None,
        };
        (self.placed.iter().map(node).collect(), self.told)
    }

    /// Who comes first: less is earlier.
    fn turn(&self, group: usize) -> (Reverse<i32>, bool, usize, usize) {
        let config = &self.config.groups()[group];
        let all = self.board.slots.len();
        let free = config.possible_owners.is_empty() && config.scores.is_empty();
        let few = || self.board.slots.iter().filter(|slot| is_possible(config, slot.id)).count();
        let choice = if free { all } else { few() };
        let ran = self.now[group].runs || self.now[group].under_way;
        (Reverse(config.wishes.priority), !ran, choice, group)
    }

    /// The place of the node that has it now and may.
    pub(super) fn is_at(&self, group: usize) -> Option<usize> {
        let now = &self.now[group];
        let at = now.at.filter(|_| now.runs)?;
        self.board.place_of(at)
    }

    fn finish(&mut self, group: usize, at: Option<usize>) {
        if let Some(before) = self.is_at(group) {
            self.board.quit(before, &self.loads[group]);
        }
        if let Some(at) = at {
            self.board.enter(at, &self.loads[group]);
            self.board.settle(at, &self.loads[group]);
        }
        self.placed[group] = Placed::Done(at);
    }

    /// Places a group, with those that must be on one node with it.
    fn decide(&mut self, group: usize) {
        if self.placed[group] != Placed::Not {
            return;
        }
        let members: Vec<usize> = match self.bonds.unit(group) {
            None => vec![group],
            Some(unit) => {
                unit.iter().copied().filter(|&one| self.placed[one] == Placed::Not).collect()
            }
        };
        members.iter().for_each(|&member| self.placed[member] = Placed::Begun);
        for &member in &members {
            self.decide_ground(member);
        }
        let chosen = match self.quick_choice(&members) {
            Some(at) => Some(at),
            None => self.choose(&members),
        };
        for member in members {
            self.finish(member, chosen);
        }
    }

    /// Whoever wants to be near another waits for it.
    fn decide_ground(&mut self, group: usize) {
        for &rule in self.bonds.rules(group) {
            if let Says::Near { group: wants, with, .. } = self.config.rules()[rule].says
                && self.config.place_of(wants) == Some(group)
                && let Some(with) = self.config.place_of(with)
            {
                self.decide(with);
            }
        }
    }

    /// A group about which nobody says anything stays, or goes where the fewest are.
    fn quick_choice(&self, members: &[usize]) -> Option<usize> {
        let &[group] = members else { return None };
        let (config, now) = (&self.config.groups()[group], &self.now[group]);
        let plain = self.bonds.rules(group).is_empty()
            && config.possible_owners.is_empty()
            && config.scores.is_empty()
            && config.preferred_owners.is_empty()
            && now.avoids.is_empty()
            && now.banned.is_empty()
            && now.home.is_none()
            && self.asked != Some(group)
            && !self.board.is_limited(&self.loads[group]);
        if !plain {
            return None;
        }
        let at = now.at.and_then(|node| self.board.place_of(node));
        let stays = at.filter(|&at| {
            let slot = &self.board.slots[at];
            slot.up && if now.runs { slot.keeps == Keeps::All } else { slot.open }
        });
        let anew = !now.runs && self.config.policy().balance_on_start;
        match stays.filter(|_| !anew) {
            Some(at) => Some(at),
            None if self.board.counts_only() => {
                self.board.emptiest().filter(|_| !now.runs || stays.is_none())
            }
            None => None,
        }
    }

    fn choose(&mut self, members: &[usize]) -> Option<usize> {
        let opinion = self.opinion(members);
        let mut load = Load::default();
        members.iter().for_each(|&member| load.and(&self.loads[member]));
        let anchor = self.anchor(members);
        let mut ranked: Vec<Rank> = Vec::new();
        let mut others: Vec<(usize, NotHere)> = Vec::new();
        for at in 0..self.board.slots.len() {
            match self.obstacle(members, &opinion, &load, at) {
                Some(why) => others.push((at, why)),
                None => ranked.push(self.rank(members, &opinion, &load, anchor, at)),
            }
        }
        let best = ranked.iter().min().copied();
        if self.asked.is_some_and(|asked| members.contains(&asked)) {
            let behind = ranked.iter().filter(|rank| Some(**rank) != best);
            let behind = behind.filter_map(|rank| Some((rank.number, rank.why_behind(&best?))));
            others.extend(behind);
            let named = others.into_iter().map(|(at, why)| (self.board.slots[at].id, why));
            self.told = named.collect();
        }
        best.map(|rank| rank.number)
    }

    /// Why a node cannot be had.
    fn obstacle(
        &self,
        members: &[usize],
        opinion: &Opinion,
        load: &Load,
        at: usize,
    ) -> Option<NotHere> {
        let slot = &self.board.slots[at];
        let refused = |&member: &usize| {
            let (config, now) = (&self.config.groups()[member], &self.now[member]);
            let here = now.runs && now.at == Some(slot.id);
            if !is_possible(config, slot.id) && !plant::is(Plant::OwnersIgnored) {
                Some(NotHere::NotPossible)
            } else if !slot.up || !slot.heard && !here {
                Some(NotHere::NotUp)
            } else if now.banned.contains(&slot.id) {
                Some(NotHere::Banned)
            } else if here && slot.keeps == Keeps::Nothing {
                Some(NotHere::Emptied)
            } else if !here && !slot.open {
                Some(NotHere::Paused)
            } else {
                None
            }
        };
        let mut reasons = members.iter().filter_map(refused);
        match reasons.next() {
            Some(why) if members.len() == 1 || why == NotHere::NotUp => Some(why),
            Some(_) => Some(NotHere::CompanionCannot),
            None if opinion.obstacle[at].is_some() => opinion.obstacle[at],
            None if !self.board.has_room(at, load) => Some(NotHere::NoRoom),
            None => None,
        }
    }

    /// Where the groups are held by more than scores: the node they return to, or are on.
    fn anchor(&self, members: &[usize]) -> Option<usize> {
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        for &member in members {
            let (config, now) = (&self.config.groups()[member], &self.now[member]);
            let anew = !now.runs && self.config.policy().balance_on_start;
            let stays = !config.failback || !now.runs && !now.under_way;
            let home = now.home.and_then(|home| self.board.place_of(home));
            let home = home.filter(|&home| {
                self.board.slots[home].open && is_possible(config, self.board.slots[home].id)
            });
            let here = now.at.and_then(|node| self.board.place_of(node));
            let at = home.or(here.filter(|_| stays && !anew));
            if let Some(at) = at {
                *counts.entry(at).or_default() += 1 + usize::from(now.runs) * members.len();
            }
        }
        counts.into_iter().max_by_key(|&(at, count)| (count, Reverse(at))).map(|(at, _)| at)
    }

    fn rank(
        &self,
        members: &[usize],
        opinion: &Opinion,
        load: &Load,
        anchor: Option<usize>,
        at: usize,
    ) -> Rank {
        let slot = &self.board.slots[at];
        let on = |member: &usize| self.now[*member].at == Some(slot.id);
        let here = members.iter().any(|member| on(member) && self.now[*member].runs);
        let anew = self.config.policy().balance_on_start
            && members.iter().all(|&member| !self.now[member].runs);
        let sum = |of: &dyn Fn(usize) -> usize| members.iter().map(|&one| of(one)).sum();
        let places = |group: usize| preference(&self.config.groups()[group], slot.id);
        let returning = |group: usize| {
            let config = &self.config.groups()[group];
            if config.failback && config.stickiness == 0 { places(group) } else { 0 }
        };
        let mut load_there = load.clone();
        let own: Vec<usize> =
            members.iter().copied().filter(|&one| self.is_at(one) == Some(at)).collect();
        if !own.is_empty() {
            load_there = Load::default();
            let moved = members.iter().filter(|member| !own.contains(member));
            moved.for_each(|&member| load_there.and(&self.loads[member]));
        }
        let counted = self.config.policy().balance == Balance::Groups;
        let own_groups = if counted { own.len() as u64 } else { 0 };
        Rank {
            emptied: here && slot.keeps == Keeps::Stranded,
            failed: !here && members.iter().any(|&one| self.now[one].avoids.contains(&slot.id)),
            hinders: opinion.hinders[at],
            leaves: anchor.is_some_and(|anchor| anchor != at),
            score: Reverse(opinion.score[at]),
            returns: sum(&returning),
            moves: !anew && !members.iter().any(on),
            preferred: sum(&places),
            company: opinion.company[at],
            displaces: !self.board.has_room_for_all(at, &load_there),
            load: self.board.load(at, &load_there).saturating_sub(own_groups),
            number: at,
        }
    }

    /// What cannot run without another that does not run has no node, be it not placed yet or after all.
    fn withdraw(&mut self) {
        let mut again = true;
        while std::mem::take(&mut again) {
            for (rule, one) in self.config.rules().iter().enumerate() {
                let number = u32::try_from(rule).unwrap_or(u32::MAX);
                let (then, why) = match &one.says {
                    Says::Order {
                        first,
                        then,
                        kind: OrderKind::Mandatory,
                        first_act: OrderAct::Start,
                        then_act: OrderAct::Start,
                        ..
                    } if self.is_known(first) && !first.iter().any(|&one| self.will_run(one)) => {
                        (*then, NotHere::NothingBefore(number))
                    }
                    Says::Near { group, with, score, .. }
                        if *score >= SCORE_MUST
                            && self.is_known(&[*with])
                            && !self.will_run(*with) =>
                    {
                        (*group, NotHere::NotNear(number))
                    }
                    Says::Near { .. }
                    | Says::Order { .. }
                    | Says::Together { .. }
                    | Says::Apart { .. } => continue,
                };
                let Some(then) = self.config.place_of(then) else { continue };
                match self.placed[then] {
                    _ if self.now[then].fixed => continue,
                    Placed::Done(None) | Placed::Begun => continue,
                    Placed::Not => self.finish(then, None),
                    Placed::Done(Some(at)) => {
                        self.board.quit(at, &self.loads[then]);
                        self.board.unsettle(at, &self.loads[then]);
                        self.placed[then] = Placed::Done(None);
                    }
                }
                self.tell_all(then, why);
                again = true;
            }
        }
    }

    fn is_known(&self, groups: &[crate::id::GroupId]) -> bool {
        groups.iter().any(|&group| self.config.place_of(group).is_some())
    }

    fn will_run(&self, group: crate::id::GroupId) -> bool {
        let place = self.config.place_of(group);
        place.is_some_and(|place| self.placed[place] != Placed::Done(None))
    }

    fn tell_all(&mut self, group: usize, why: NotHere) {
        if self.asked == Some(group) {
            let nodes = self.board.slots.iter().map(|slot| (slot.id, why));
            let chosen = match self.placed[group] {
                Placed::Done(at) => at.map(|at| self.board.slots[at].id),
                Placed::Not | Placed::Begun => None,
            };
            self.told = nodes.filter(|(node, _)| Some(*node) != chosen).collect();
        }
    }
}
