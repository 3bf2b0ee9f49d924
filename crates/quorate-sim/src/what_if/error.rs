//! Why a question has no answer.

use std::fmt;

use super::loss::CASES_MAX;
use crate::testing;

/// Why a question has no answer. The text names the place and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The words of a loss are not understood.
    Loss {
        /// The words.
        text: String,
    },
    /// A name that is neither a node, a network nor a LUN.
    Unknown {
        /// The name.
        name: String,
        /// What there is.
        known: String,
    },
    /// There are not so many to lose.
    TooFew {
        /// What of.
        kind: &'static str,
        /// How many are to be lost.
        lose: usize,
        /// How many there are.
        there: usize,
    },
    /// There would be too many cases.
    TooMany {
        /// How many.
        cases: u128,
    },
    /// The situation does not belong to the configuration, or is none.
    Situation {
        /// The place in it, as in `groups[2].owner`.
        place: String,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// The simulated cluster failed.
    Cluster(testing::Error),
}

impl From<testing::Error> for Error {
    fn from(error: testing::Error) -> Self {
        Error::Cluster(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Loss { text } => write!(
                f,
                "{text:?} is not understood: write nodes:K, networks:K, luns:K with K from 1, or a name"
            ),
            Error::Unknown { name, known } => {
                write!(f, "{name} is no node, network or LUN; there are: {known}")
            }
            Error::TooFew { kind, lose, there } => {
                write!(f, "{lose} {kind} cannot be lost: there are {there}")
            }
            Error::TooMany { cases } => write!(
                f,
                "{cases} cases are more than {CASES_MAX}: lose fewer at once, or name what is lost"
            ),
            Error::Situation { place, problem } => write!(f, "{place}: {problem}"),
            Error::Cluster(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Error {}
