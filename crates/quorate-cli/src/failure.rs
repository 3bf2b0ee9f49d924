//! How the command fails: one line that names what, where and the remedy, and an exit code.

use std::fmt;

use quorate::{ConfigError, Error};

use crate::control::ControlError;
use crate::lab::LabError;

/// The exit codes, as `quorate --help` shows them.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    refused or failed; the cluster is as it was; torture: a seed fails; replay: it differs
  2    the command line is wrong, or the file that it names is no recording, no scenario
       or cannot be imported
  3    the configuration, the key or the state directory is wrong; nothing was started
  4    no running node could be asked
  5    it took too long; it may still come about
  6    the demo found a lost or a doubled write; lun doctor: the LUN is not to be trusted
  7    check: the configuration is valid, and leaves a group without a place
  70   the node has fenced itself, after a fault of its own or of its disk
  130  interrupted";

/// Why the command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Refused or failed.
    Failed = 1,
    /// The command line, or what the file holds that it names.
    Usage = 2,
    /// Configuration, key or state directory.
    Configuration = 3,
    /// No running node could be asked.
    Unreachable = 4,
    /// Too long.
    TimedOut = 5,
    /// A lost or doubled write, or a LUN that lets one happen.
    Unsafe = 6,
    /// A configuration under which not everything can run.
    Unplaced = 7,
    /// The node has fenced itself.
    Fenced = 70,
    /// Ctrl-C.
    Interrupted = 130,
}

/// A failure of the command.
#[derive(Debug)]
pub struct Failure {
    /// Its exit code.
    pub exit: Exit,
    /// For people.
    pub text: String,
}

impl Failure {
    /// A failure with this text.
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Configuration, error.to_string())
    }
}

impl From<quorate::key::KeyError> for Failure {
    fn from(error: quorate::key::KeyError) -> Self {
        Self::new(Exit::Configuration, error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match error.code() {
            "config" | "key" | "log" | "net" | "address" | "work_directory" => Exit::Configuration,
            "timed_out" => Exit::TimedOut,
            "poisoned" => Exit::Fenced,
            _ => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        let exit = match &error {
            ControlError::NoConfig { .. } => Exit::Configuration,
            ControlError::NotRunning { .. } | ControlError::Hung { .. } => Exit::Unreachable,
            ControlError::Socket { .. } => Exit::Unreachable,
            ControlError::NoAnswer | ControlError::NotUnderstood { .. } => Exit::Unreachable,
            ControlError::Refused { code, .. } if code == "timed_out" => Exit::TimedOut,
            ControlError::Refused { .. } => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<LabError> for Failure {
    fn from(error: LabError) -> Self {
        let exit = match error {
            LabError::Interrupted => Exit::Interrupted,
            LabError::TooLate { .. } => Exit::TimedOut,
            LabError::Missing { .. } | LabError::System { .. } | LabError::Failed { .. } => {
                Exit::Failed
            }
        };
        Self::new(exit, error.to_string())
    }
}
