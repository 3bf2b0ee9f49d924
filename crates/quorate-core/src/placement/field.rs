//! Which nodes are looked at for a group: those that differ from the others for it, and the best of the rest.

use super::solver::Solver;
use super::table::Placed;
use crate::config::{By, Says};
use crate::plant::{self, Plant};

/// Where more differ, all are looked at.
const FEW: usize = 16;

/// Nodes, by their places on the board.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) slots: Vec<usize>,
    all: bool,
}

impl Field {
    /// Every node.
    pub(super) fn all(count: usize) -> Self {
        Self { slots: (0..count).collect(), all: true }
    }

    /// Where in the field a node is.
    pub(super) fn find(&self, at: usize) -> Option<usize> {
        match self.all {
            true => Some(at).filter(|&at| at < self.slots.len()),
            false => self.slots.iter().position(|&slot| slot == at),
        }
    }
}

impl Solver<'_> {
    /// The nodes among which the best for these groups is.
    pub(super) fn field(&self, members: &[usize]) -> Field {
        let few = match *members {
            [group] if self.looks_at_few(group) => self.few(group),
            _ => None,
        };
        match few {
            Some(slots) => Field { slots, all: false },
            None => Field::all(self.table.board.slots.len()),
        }
    }

    /// Whether nodes that are all alike for a group are told apart by nothing but how many groups they have.
    pub(super) fn looks_at_few(&self, group: usize) -> bool {
        let board = &self.table.board;
        self.asked != Some(group)
            && !plant::is(Plant::OwnersIgnored)
            && board.counts_only()
            && self.named(group).nth(FEW).is_none()
            && !board.is_limited(&self.table.loads[group])
    }

    /// The places of the nodes that the configuration or the fate of a group names.
    pub(super) fn named(&self, group: usize) -> impl Iterator<Item = usize> + '_ {
        let (config, now) = (&self.config.groups()[group], &self.table.now[group]);
        let own = config.preferred_owners.iter().chain(config.scores.keys());
        let own = own.filter(|_| config.possible_owners.is_empty());
        let named = config.possible_owners.iter().chain(own);
        let named = named.chain(&now.at).chain(&now.home).chain(&now.unreached);
        let named = named.chain(&now.avoids).chain(&now.banned);
        named.filter_map(|&node| self.table.board.place_of(node))
    }

    /// None: it is simpler to look at all.
    fn few(&self, group: usize) -> Option<Vec<usize>> {
        let mut slots: Vec<usize> = self.named(group).collect();
        for &rule in self.bonds.rules(group) {
            self.add_company(group, &self.config.rules()[rule].says, &mut slots)?;
        }
        slots.sort_unstable();
        slots.dedup();
        if slots.len() > FEW {
            return None;
        }
        if self.config.groups()[group].possible_owners.is_empty() {
            let like_others = self.table.board.emptiest().find(|at| !slots.contains(at));
            slots.extend(like_others);
        }
        Some(slots)
    }

    /// Adds the nodes of those about whom a rule speaks; none: it says something about every node.
    fn add_company(&self, group: usize, says: &Says, slots: &mut Vec<usize>) -> Option<()> {
        let seat = |other: usize| self.seat(other).0;
        match says {
            Says::Apart { groups, by, .. } | Says::Together { groups, by, .. } => {
                if groups.len() > FEW || *by != By::Node {
                    return None;
                }
                let others = groups.iter().filter_map(|&other| self.config.place_of(other));
                slots.extend(others.filter_map(seat));
            }
            Says::Near { group: wants, with, .. } => {
                let (wants, with) = (self.config.place_of(*wants)?, self.config.place_of(*with)?);
                let heeds = with == group
                    && self.table.now[wants].wanted
                    && matches!(self.table.placed[wants], Placed::Not | Placed::Begun);
                if heeds {
                    return None;
                }
                slots.extend([wants, with].into_iter().filter_map(seat));
            }
            Says::Order { .. } => {}
        }
        Some(())
    }
}
