//! Places groups one after the other.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::board::Load;
use super::opinion::View;
use super::rank::Rank;
use super::table::{Placed, Table};
use super::{Keeps, NotHere, is_possible, preference, score};
use crate::config::{
    Bonds, ClusterConfig, GroupConfig, OrderAct, OrderKind, SCORE_MUST, SCORE_NEVER, Says,
};
use crate::id::{GroupId, NodeId};
use crate::plant::{self, Plant};

/// Places some groups; all others are placed.
pub(super) struct Solver<'a> {
    pub(super) config: &'a ClusterConfig,
    pub(super) bonds: &'a Bonds,
    pub(super) table: &'a mut Table,
    /// Of which group it shall be told why not elsewhere.
    pub(super) asked: Option<usize>,
    pub(super) told: BTreeMap<NodeId, NotHere>,
}

/// When a group has its turn; less is earlier. The order of the fields is the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    priority: Reverse<i32>,
    /// It does not run, or has to leave where it runs.
    leaves: bool,
    /// It did not run before either.
    first: bool,
    /// How many nodes it may run on.
    choice: usize,
    /// The highest score that a node has for it.
    score: Reverse<i32>,
    size: Reverse<u64>,
    group: usize,
}

/// Groups that are being placed together, and those that come before them, the last one first.
struct Begun {
    members: Vec<usize>,
    grounds: Vec<usize>,
}

impl<'a> Solver<'a> {
    pub(super) fn new(
        config: &'a ClusterConfig,
        table: &'a mut Table,
        asked: Option<usize>,
    ) -> Self {
        Self { config, bonds: config.bonds(), table, asked, told: BTreeMap::new() }
    }

    /// Places the groups of `work`, in rising order, of which none is placed; tells why the asked one is not elsewhere.
    pub(super) fn solve(mut self, work: &[usize]) -> BTreeMap<NodeId, NotHere> {
        let mut roomy = Vec::new();
        let mut first_mover = None;
        for &group in work {
            let now = &self.table.now[group];
            if now.fixed {
                let at = now.at.and_then(|node| self.table.board.place_of(node));
                let at = at.filter(|_| now.runs || now.wanted);
                self.table.finish(group, at);
                self.tell_all(group, NotHere::Fixed);
            } else if !now.wanted {
                self.table.finish(group, None);
            } else {
                match self.stays(group) {
                    Some(at) if !self.table.board.is_limited(&self.table.loads[group]) => {
                        self.table.finish(group, Some(at));
                    }
                    Some(at) if !self.table.board.is_overfull(at, &self.table.loads[group]) => {
                        roomy.push((group, at));
                    }
                    _ => first_mover = first_mover.max(Some(self.precedence(group))),
                }
            }
        }
        // Of what finds room where it runs, only what has its turn earlier may take that.
        for (group, at) in roomy {
            if Some(self.precedence(group)) > first_mover {
                self.table.finish(group, Some(at));
            }
        }
        // Nobody goes near what will not run in the end.
        self.withdraw(work);
        let open = work.iter().copied().filter(|&group| self.table.placed[group] == Placed::Not);
        let mut rest: Vec<usize> = open.collect();
        rest.sort_by_cached_key(|&group| self.turn(group));
        for group in rest {
            self.decide(group);
        }
        self.find_places(work);
        self.withdraw(work);
        self.even_out(work);
        self.told
    }

    /// Who comes first: less is earlier. Large loads come before small ones, which fill what is left.
    pub(super) fn turn(&self, group: usize) -> Turn {
        let config = &self.config.groups()[group];
        let board = &self.table.board;
        let never = config.scores.iter().filter(|(_, score)| **score <= SCORE_NEVER);
        let choice = if config.possible_owners.is_empty() {
            board.slots.len() - never.filter(|(node, _)| board.place_of(**node).is_some()).count()
        } else {
            let possible = config.possible_owners.iter().filter(|node| is_possible(config, **node));
            possible.filter(|node| board.place_of(**node).is_some()).count()
        };
        let size = board.size(&self.table.loads[group]);
        let score = config.scores.values().copied().max().unwrap_or_default().max(0);
        let (priority, is_settled) = self.precedence(group);
        let now = &self.table.now[group];
        Turn {
            priority: Reverse(priority),
            leaves: !is_settled,
            // What has ended only to run where it should has its turn as when it ran: or it would be sent off by one
            // plan and back by the next.
            first: !now.recovers && !now.runs && !now.under_way,
            choice,
            score: Reverse(score),
            size: Reverse(size),
            group,
        }
    }

    /// Priority, then whether it runs where it need not leave: whoever has to leave pushes nobody of its own priority
    /// aside. More is earlier.
    fn precedence(&self, group: usize) -> (i32, bool) {
        let now = &self.table.now[group];
        let keeps = |at: usize| {
            let slot = &self.table.board.slots[at];
            slot.up && slot.keeps == Keeps::All
        };
        let is_settled = now.under_way || self.table.is_at(group).is_some_and(keeps);
        (self.config.groups()[group].wishes.priority, is_settled)
    }

    /// Places a group, with those that must be on one node with it, after those near which they want to be.
    fn decide(&mut self, group: usize) {
        let open = self.table.placed[group] == Placed::Not;
        if open && self.bonds.rules(group).is_empty() && self.looks_at_few(group) {
            return self.table.finish(group, self.choose_alone(group));
        }
        let mut path: Vec<Begun> = self.begin(group).into_iter().collect();
        while let Some(begun) = path.last_mut() {
            match begun.grounds.pop() {
                Some(ground) => path.extend(self.begin(ground)),
                None => {
                    let members = std::mem::take(&mut begun.members);
                    path.pop();
                    let chosen = self.choose(&members);
                    members.into_iter().for_each(|member| self.table.finish(member, chosen));
                }
            }
        }
    }

    /// None: it is placed, or being placed.
    fn begin(&mut self, group: usize) -> Option<Begun> {
        let open = |one: &usize| self.table.placed[*one] == Placed::Not;
        if !open(&group) {
            return None;
        }
        let members: Vec<usize> = match self.bonds.unit(group) {
            None => vec![group],
            Some(unit) => unit.iter().copied().filter(open).collect(),
        };
        members.iter().for_each(|&member| self.table.placed[member] = Placed::Begun);
        let mut grounds: Vec<usize> =
            members.iter().flat_map(|&member| self.grounds_of(member)).collect();
        grounds.reverse();
        Some(Begun { members, grounds })
    }

    /// Those near which a group wants to be, or not, unless they must go where one goes that is being placed.
    fn grounds_of(&self, group: usize) -> impl Iterator<Item = usize> + '_ {
        self.near(group)
            .filter(|&(with, score)| score >= SCORE_MUST || !self.follows_begun(with))
            .map(|(with, _)| with)
    }

    /// About whom a group says how near it wants to be, and how much.
    fn near(&self, group: usize) -> impl Iterator<Item = (usize, i32)> + '_ {
        let rules = self.bonds.rules(group).iter();
        rules.filter_map(move |&rule| match self.config.rules()[rule].says {
            Says::Near { group: wants, with, score, .. }
                if self.config.place_of(wants) == Some(group) =>
            {
                self.config.place_of(with).map(|with| (with, score))
            }
            _ => None,
        })
    }

    /// Whether a group must be where one is that is being placed, be it through others.
    fn follows_begun(&self, group: usize) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![group];
        while let Some(one) = open.pop() {
            if self.table.placed[one] == Placed::Begun {
                return true;
            }
            if seen.insert(one) {
                open.extend(self.near(one).filter(|near| near.1 >= SCORE_MUST).map(|near| near.0));
                open.extend(self.bonds.unit(one).into_iter().flatten());
            }
        }
        false
    }

    /// Where a group runs that stays there, whatever becomes of all others, if it has room there.
    fn stays(&self, group: usize) -> Option<usize> {
        let (config, now) = (&self.config.groups()[group], &self.table.now[group]);
        let at = self.table.is_at(group)?;
        let slot = &self.table.board.slots[at];
        let may = slot.up
            && slot.keeps == Keeps::All
            && is_possible(config, slot.id)
            && now.home.is_none()
            && !now.banned.contains(&slot.id);
        let asked = self.asked == Some(group);
        if !may || asked {
            return None;
        }
        let drawn = config.failback && !now.stays && self.is_drawn(config, slot.id);
        (!drawn && self.bonds.rules(group).is_empty()).then_some(at)
    }

    /// Whether another node might suit a group better than the one that runs it.
    fn is_drawn(&self, config: &GroupConfig, here: NodeId) -> bool {
        let own = i64::from(score(config, here)) + i64::from(config.stickiness);
        let higher = config.scores.values().any(|&score| i64::from(score) > own);
        let earlier = config.stickiness == 0 && preference(config, here) > 0;
        own < 0 || higher || earlier && !config.preferred_owners.is_empty()
    }

    /// The best node for a group of which no rule speaks.
    fn choose_alone(&self, group: usize) -> Option<usize> {
        let is_like_others = |at: &usize| self.named(group).all(|named| named != *at);
        let free = self.config.groups()[group].possible_owners.is_empty();
        let like_others = self.table.board.emptiest().filter(|_| free).find(is_like_others);
        self.named(group)
            .chain(like_others)
            .filter_map(|at| self.rank_of(group, at))
            .min()
            .map(|best| best.number)
    }

    fn choose(&mut self, members: &[usize]) -> Option<usize> {
        let field = self.field(members);
        let opinion = self.opinion(members, &field);
        let mut load = Load::default();
        members.iter().for_each(|&member| load.and(&self.table.loads[member]));
        let anchor = self.anchor(members);
        let tells = self.asked.is_some_and(|asked| members.contains(&asked));
        let mut ranked: Vec<Rank> = Vec::new();
        let mut others: Vec<(usize, NotHere)> = Vec::new();
        let mut best: Option<Rank> = None;
        for (&at, view) in field.slots.iter().zip(&opinion) {
            match self.obstacle(members, view, &load, at) {
                Some(why) if tells => others.push((at, why)),
                Some(_) => {}
                None => {
                    let rank = self.rank(members, view, &load, anchor, at);
                    best = Some(best.map_or(rank, |best| best.min(rank)));
                    if tells {
                        ranked.push(rank);
                    }
                }
            }
        }
        if tells {
            let behind = ranked.iter().filter(|rank| Some(**rank) != best);
            let behind = behind.filter_map(|rank| Some((rank.number, rank.why_behind(&best?))));
            others.extend(behind);
            let slots = &self.table.board.slots;
            self.told = others.into_iter().map(|(at, why)| (slots[at].id, why)).collect();
        }
        best.map(|rank| rank.number)
    }

    /// Why a node cannot be had.
    pub(super) fn obstacle(
        &self,
        members: &[usize],
        view: &View,
        load: &Load,
        at: usize,
    ) -> Option<NotHere> {
        let slot = &self.table.board.slots[at];
        let refused = |&member: &usize| {
            let (config, now) = (&self.config.groups()[member], &self.table.now[member]);
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
            None if view.obstacle.is_some() => view.obstacle,
            None if !self.table.board.has_room(at, load) => Some(NotHere::NoRoom),
            None => None,
        }
    }

    /// Where the groups are held by more than scores: the node they return to, or are on.
    fn anchor(&self, members: &[usize]) -> Option<usize> {
        if let &[group] = members {
            return self.held_at(group);
        }
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        for &member in members {
            if let Some(at) = self.held_at(member) {
                let runs = usize::from(self.table.now[member].runs);
                *counts.entry(at).or_default() += 1 + runs * members.len();
            }
        }
        counts.into_iter().max_by_key(|&(at, count)| (count, Reverse(at))).map(|(at, _)| at)
    }

    pub(super) fn held_at(&self, group: usize) -> Option<usize> {
        let (config, now) = (&self.config.groups()[group], &self.table.now[group]);
        let board = &self.table.board;
        let anew = !now.runs && self.config.policy().balance_on_start;
        let stays = !config.failback || !now.runs && !now.under_way || now.stays;
        let home = now.home.and_then(|home| board.place_of(home));
        let home = home
            .filter(|&home| board.slots[home].open && is_possible(config, board.slots[home].id));
        home.or_else(|| now.at.filter(|_| stays && !anew).and_then(|node| board.place_of(node)))
    }

    pub(super) fn rank(
        &self,
        members: &[usize],
        view: &View,
        load: &Load,
        anchor: Option<usize>,
        at: usize,
    ) -> Rank {
        let board = &self.table.board;
        let slot = &board.slots[at];
        let now = |member: usize| &self.table.now[member];
        let on = |member: usize| now(member).at == Some(slot.id);
        let here = members.iter().any(|&member| on(member) && now(member).runs);
        let anew = self.config.policy().balance_on_start
            && members.iter().all(|&member| !now(member).runs);
        let sum = |of: &dyn Fn(usize) -> usize| members.iter().map(|&one| of(one)).sum();
        let places = |group: usize| preference(&self.config.groups()[group], slot.id);
        let returning = |group: usize| {
            let config = &self.config.groups()[group];
            if config.failback && config.stickiness == 0 { places(group) } else { 0 }
        };
        let own = members.iter().filter(|&&one| self.table.is_at(one) == Some(at)).count();
        let mut newcomers = Load::default();
        if own > 0 && own < members.len() {
            let moved = members.iter().filter(|&&member| self.table.is_at(member) != Some(at));
            moved.for_each(|&member| newcomers.and(&self.table.loads[member]));
        }
        let load_there = if own == 0 { load } else { &newcomers };
        let own_groups = if board.counts_only() { own as u64 } else { 0 };
        Rank {
            emptied: here && slot.keeps == Keeps::Stranded,
            unreached: !here && members.iter().any(|&one| now(one).unreached.contains(&slot.id)),
            failed: !here && members.iter().any(|&one| now(one).avoids.contains(&slot.id)),
            hinders: view.hinders,
            leaves: anchor.is_some_and(|anchor| anchor != at),
            score: Reverse(view.score),
            returns: sum(&returning),
            moves: !anew && !members.iter().any(|&member| on(member)),
            preferred: sum(&places),
            company: view.company,
            displaces: !board.has_room_for_all(at, load_there),
            load: board.load(at, load_there).saturating_sub(own_groups),
            number: at,
        }
    }

    /// What cannot run without another that does not run has no node, be it not placed yet or after all.
    fn withdraw(&mut self, work: &[usize]) {
        let named = work.iter().flat_map(|&group| self.bonds.rules(group)).copied();
        let rules: BTreeSet<usize> = named.collect();
        let mut again = true;
        while std::mem::take(&mut again) {
            for &rule in &rules {
                let Some((then, why)) = self.lacks_its_ground(rule) else { continue };
                let Some(then) = self.config.place_of(then) else { continue };
                match self.table.placed[then] {
                    _ if self.table.now[then].fixed => continue,
                    Placed::Done(None) | Placed::Begun => continue,
                    Placed::Not => self.table.finish(then, None),
                    Placed::Done(Some(_)) => self.table.withdraw(then),
                }
                self.tell_all(then, why);
                again = true;
            }
        }
    }

    /// Who cannot run by this rule, as things stand.
    pub(super) fn lacks_its_ground(&self, rule: usize) -> Option<(GroupId, NotHere)> {
        let number = u32::try_from(rule).unwrap_or(u32::MAX);
        match &self.config.rules()[rule].says {
            Says::Order {
                first,
                then,
                kind: OrderKind::Mandatory,
                first_act: OrderAct::Start,
                then_act: OrderAct::Start,
                symmetrical,
            } if self.is_known(first)
                && !first.iter().any(|&one| self.will_run(one))
                && (*symmetrical || !self.runs_on(*then)) =>
            {
                Some((*then, NotHere::NothingBefore(number)))
            }
            Says::Near { group, with, score, .. }
                if *score >= SCORE_MUST
                    && self.is_known(&[*with])
                    && (!self.will_run(*with)
                        || self.are_parted(*group, *with) && !plant::is(Plant::NearIgnored)) =>
            {
                Some((*group, NotHere::NotNear(number)))
            }
            Says::Near { .. } | Says::Order { .. } | Says::Together { .. } | Says::Apart { .. } => {
                None
            }
        }
    }

    fn is_known(&self, groups: &[GroupId]) -> bool {
        groups.iter().any(|&group| self.config.place_of(group).is_some())
    }

    fn will_run(&self, group: GroupId) -> bool {
        let place = self.config.place_of(group);
        place.is_some_and(|place| self.table.placed[place] != Placed::Done(None))
    }

    /// Whether both are placed, on two nodes.
    fn are_parted(&self, one: GroupId, other: GroupId) -> bool {
        let seat = |group| self.table.goes_to(self.config.place_of(group)?);
        seat(one).zip(seat(other)).is_some_and(|(one, other)| one != other)
    }

    /// Whether it runs, and stays where it does as far as is known.
    fn runs_on(&self, group: GroupId) -> bool {
        let Some(place) = self.config.place_of(group) else { return false };
        match self.table.placed[place] {
            Placed::Not | Placed::Begun => self.table.now[place].runs,
            Placed::Done(at) => {
                self.table.now[place].runs && at.is_some() && at == self.table.is_at(place)
            }
        }
    }

    fn tell_all(&mut self, group: usize, why: NotHere) {
        if self.asked == Some(group) {
            let slots = &self.table.board.slots;
            let chosen = self.table.goes_to(group).map(|at| slots[at].id);
            let nodes = slots.iter().map(|slot| (slot.id, why));
            self.told = nodes.filter(|(node, _)| Some(*node) != chosen).collect();
        }
    }
}
