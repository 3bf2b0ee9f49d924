//! Scenarios: stories that the very engine lives through, and what must come of them.
//!
//! ```text
//! text --parse--> Scenario --plan--> cluster, history and script, or the first feature that is missing
//!                            --run--> Outcome --judge--> what is otherwise than expected
//! ```
//!
//! *Architecture Invariant*: no policy is decided here. A scenario becomes configuration and commands for the
//! engine and happenings of the world; what the engine cannot do is named, never imitated.

mod expectation;
mod judge;
mod model;
mod outcome;
mod parse;
mod plan;
mod reader;
mod run;
mod tree;

use thiserror::Error;

pub use judge::judge;
pub use model::*;
pub use outcome::{
    Answer, Broken, Fact, GroupState, GroupWord, MemberState, NodeWord, Outcome, State,
};
pub use run::Ran;
pub use tree::{Format, Tree};

/// The longest file that is read, in bytes.
pub const FILE_MAX: usize = 16 * 1024 * 1024;

/// What is wrong with a scenario, and where. Nothing was run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {problem}")]
pub struct ScenarioError {
    /// The path inside the file, as in `groups[2].desired`; or the line and the column.
    pub place: String,
    /// What is wrong there.
    pub problem: String,
}

impl ScenarioError {
    fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into() }
    }
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn parse(text: &str, format: Format) -> Result<Self, ScenarioError> {
        if text.len() > FILE_MAX {
            let problem = format!("{} bytes are too many: at most {FILE_MAX}", text.len());
            return Err(ScenarioError::new("the file", problem));
        }
        parse::scenario(&Tree::parse(text, format)?)
    }

    /// Lets the engine live through it. The same seed gives the same run; `trace` keeps every event and decision.
    pub fn run(&self, seed: u64, trace: bool) -> Ran {
        run::run(self, seed, trace)
    }
}
