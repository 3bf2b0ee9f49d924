//! Which of two nodes is better for a group: the first difference wins.

use std::cmp::Reverse;

use super::NotHere;

/// How good a node is; less is better. The order of the fields is the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// A LUN of the group is not reached from there.
    pub(super) unreached: bool,
    /// The node is to be emptied.
    pub(super) emptied: bool,
    /// The group has just failed there.
    pub(super) failed: bool,
    /// How many of those that must be with it could not be there.
    pub(super) hinders: u32,
    /// It would leave where it is, and does not fail back.
    pub(super) leaves: bool,
    /// How well the node suits it.
    pub(super) score: Reverse<i64>,
    /// The node's place among its preferred owners, where it fails back to them.
    pub(super) returns: usize,
    /// It would leave where it is.
    pub(super) moves: bool,
    /// The node's place among its preferred owners.
    pub(super) preferred: usize,
    /// Groups there from which it should be apart, less those it should be with.
    pub(super) company: i64,
    /// Others that run there would have to go.
    pub(super) displaces: bool,
    /// How loaded it is.
    pub(super) load: u64,
    /// The place of the node in the configuration.
    pub(super) number: usize,
}

impl Rank {
    /// Why a node with this rank comes after one with `best`.
    pub(super) fn why_behind(&self, best: &Rank) -> NotHere {
        let fields = [
            (self.unreached != best.unreached, NotHere::Unreached),
            (self.emptied != best.emptied, NotHere::Emptied),
            (self.failed != best.failed, NotHere::FailedThere),
            (self.hinders != best.hinders, NotHere::HindersOthers),
            (self.leaves != best.leaves, NotHere::HasItNot),
            (self.score != best.score, NotHere::LowerScore),
            (self.returns != best.returns, NotHere::LessPreferred),
            (self.moves != best.moves, NotHere::HasItNot),
            (self.preferred != best.preferred, NotHere::LessPreferred),
            (self.company != best.company, NotHere::WorseCompany),
            (self.displaces != best.displaces, NotHere::MoreLoaded),
            (self.load != best.load, NotHere::MoreLoaded),
        ];
        let first = fields.into_iter().find(|(differs, _)| *differs);
        first.map_or(NotHere::HigherNumber, |(_, why)| why)
    }
}
