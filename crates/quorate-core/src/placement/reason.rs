//! Why a group is not on a node.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a node was not chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotHere {
    /// It does not take part.
    NotUp,
    /// It is paused.
    Paused,
    /// It is to be emptied.
    Emptied,
    /// It is not a possible owner.
    NotPossible,
    /// The group has failed there too often.
    Banned,
    /// It has not the room.
    NoRoom,
    /// Another group is there from which it must be apart. The place of the rule in the configuration.
    Apart(u32),
    /// The group with which it must be is elsewhere, or runs nowhere. The place of the rule in the configuration.
    NotNear(u32),
    /// Another group of those which must be on one node with it cannot be there.
    CompanionCannot,
    /// The group is not moved now.
    Fixed,
    /// What must run before it cannot run. The place of the rule in the configuration.
    NothingBefore(u32),
    /// The group has just failed there, and another node can run it.
    FailedThere,
    /// Another group that must be with it could not be there.
    HindersOthers,
    /// The node that has it can run it.
    HasItNot,
    /// A node with a higher score can run it.
    LowerScore,
    /// A node earlier in the preferred owners can run it.
    LessPreferred,
    /// Groups that should be near, or apart, are better off with another node.
    WorseCompany,
    /// Another node is loaded less.
    MoreLoaded,
    /// Equal in all, but another has the lower number.
    HigherNumber,
    /// It is in quarantine.
    Quarantined,
    /// It does not reach a LUN of the group.
    Unreached,
}

impl NotHere {
    /// One word for programs, the same in all languages.
    pub fn code(self) -> &'static str {
        match self {
            NotHere::NotUp => "not_up",
            NotHere::Paused => "paused",
            NotHere::Quarantined => "quarantined",
            NotHere::Emptied => "emptied",
            NotHere::NotPossible => "not_possible",
            NotHere::Banned => "banned",
            NotHere::NoRoom => "no_room",
            NotHere::Apart(_) => "apart",
            NotHere::NotNear(_) => "not_near",
            NotHere::CompanionCannot => "companion_cannot",
            NotHere::Fixed => "fixed",
            NotHere::NothingBefore(_) => "nothing_before",
            NotHere::FailedThere => "failed_there",
            NotHere::HindersOthers => "hinders_others",
            NotHere::HasItNot => "has_it_not",
            NotHere::LowerScore => "lower_score",
            NotHere::LessPreferred => "less_preferred",
            NotHere::WorseCompany => "worse_company",
            NotHere::MoreLoaded => "more_loaded",
            NotHere::HigherNumber => "higher_number",
            NotHere::Unreached => "unreached",
        }
    }

    /// The rule that says so, by its place in the configuration; none: no rule does.
    pub fn rule(self) -> Option<usize> {
        match self {
            NotHere::Apart(rule) | NotHere::NotNear(rule) | NotHere::NothingBefore(rule) => {
                usize::try_from(rule).ok()
            }
            NotHere::NotUp
            | NotHere::Paused
            | NotHere::Quarantined
            | NotHere::Emptied
            | NotHere::NotPossible
            | NotHere::Banned
            | NotHere::NoRoom
            | NotHere::CompanionCannot
            | NotHere::Fixed
            | NotHere::FailedThere
            | NotHere::HindersOthers
            | NotHere::HasItNot
            | NotHere::LowerScore
            | NotHere::LessPreferred
            | NotHere::WorseCompany
            | NotHere::MoreLoaded
            | NotHere::HigherNumber
            | NotHere::Unreached => None,
        }
    }

    /// Whether the group cannot run there, in place of being better off elsewhere.
    pub fn is_hard(self) -> bool {
        match self {
            NotHere::NotUp
            | NotHere::Paused
            | NotHere::Quarantined
            | NotHere::NotPossible
            | NotHere::Banned
            | NotHere::NoRoom
            | NotHere::Apart(_)
            | NotHere::NotNear(_)
            | NotHere::CompanionCannot
            | NotHere::Fixed
            | NotHere::NothingBefore(_) => true,
            NotHere::Emptied
            | NotHere::FailedThere
            | NotHere::HindersOthers
            | NotHere::HasItNot
            | NotHere::LowerScore
            | NotHere::LessPreferred
            | NotHere::WorseCompany
            | NotHere::MoreLoaded
            | NotHere::HigherNumber
            | NotHere::Unreached => false,
        }
    }
}

impl fmt::Display for NotHere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotHere::NotUp => "it does not take part",
            NotHere::Paused => "it is paused",
            NotHere::Quarantined => "it came and went too often, and is in quarantine",
            NotHere::Emptied => "it is to be emptied, and another node can run the group",
            NotHere::NotPossible => "it is not a possible owner",
            NotHere::Banned => "the group has failed there too often",
            NotHere::NoRoom => "it has not the room",
            NotHere::Apart(_) => "another group is there from which it must be apart",
            NotHere::NotNear(_) => "the group with which it must be is not there",
            NotHere::CompanionCannot => "a group that must be on one node with it cannot be there",
            NotHere::Fixed => "the group is not moved now",
            NotHere::NothingBefore(_) => "what must run before it cannot run",
            NotHere::Unreached => "it does not reach a LUN of the group",
            NotHere::FailedThere => "the group has just failed there, and another node can run it",
            NotHere::HindersOthers => "a group that must be with it could not be there",
            NotHere::HasItNot => "the node that has it can run it",
            NotHere::LowerScore => "a node with a higher score can run it",
            NotHere::LessPreferred => "a node earlier in the preferred owners can run it",
            NotHere::WorseCompany => "another node has the better company",
            NotHere::MoreLoaded => "another node is loaded less",
            NotHere::HigherNumber => "equal in all, but another node has the lower number",
        })
    }
}
