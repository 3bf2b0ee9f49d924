//! What a test can run into.

use std::time::Duration;

use quorate_core::config::ConfigError;
use quorate_core::message::Refusal;

use crate::checker::Violation;

/// Why a call on a test cluster has failed. The text names what, where and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The configuration does not hold together.
    Config(ConfigError),
    /// A name that the configuration does not hold.
    Unknown {
        /// `node`, `group`, `resource`, `lun` or `network`.
        kind: &'static str,
        /// The name.
        name: String,
        /// What there is.
        known: String,
    },
    /// What was waited for did not come in time.
    TimedOut {
        /// What.
        what: String,
        /// How long was waited, in virtual time.
        after: Duration,
        /// What happened last.
        last: Vec<String>,
    },
    /// The cluster refused a command.
    Refused(Refusal),
    /// No node runs that could hear a command.
    NobodyRuns,
    /// A request that was never made, or a resource that is not the test's to answer for.
    Misuse(String),
    /// A promise of quorate was broken: a fault of quorate, or a resource that did not do what it said.
    Violation(Violation),
}

impl Error {
    pub(super) fn unknown(kind: &'static str, name: &str, known: Vec<&str>) -> Self {
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Error::Unknown { kind, name: name.to_owned(), known }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Config(error) => write!(f, "{error}"),
            Error::Unknown { kind, name, known } => {
                write!(f, "{kind} {name} is not known; known are: {known}")
            }
            Error::TimedOut { what, after, last } => {
                let seconds = after.as_secs_f64();
                write!(f, "{what} did not come within {seconds} s of virtual time")?;
                if !last.is_empty() {
                    write!(f, "; the last entries of the timeline:\n  {}", last.join("\n  "))?;
                }
                Ok(())
            }
            Error::Refused(refusal) => write!(f, "{refusal}"),
            Error::NobodyRuns => f.write_str("no node runs that could hear a command: start one"),
            Error::Misuse(what) => f.write_str(what),
            Error::Violation(violation) => write!(f, "a promise was broken: {violation}"),
        }
    }
}

impl std::error::Error for Error {}
