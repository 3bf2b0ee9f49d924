//! What a call on a node can fail with.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use quorate_core::message::Refusal;

use crate::config::ConfigError;
use crate::key::KeyError;
use crate::log::LogError;
use crate::net::NetError;

/// Why a call was refused or has failed. The text names what, where and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration is wrong. Nothing was started.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no usable cluster key. Nothing was started.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The node's log cannot be opened or written: damaged, foreign, in use, or the disk is full.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A record of the log is of a kind or version that this build does not know. Nothing was
    /// started.
    #[error(
        "log in {}: record {record}: {why}: run the version that wrote it; to rejoin from the \
         other nodes under a new identity, move the log away",
        dir.display()
    )]
    LogRecord {
        /// The state directory.
        dir: PathBuf,
        /// Which record, from 1.
        record: usize,
        /// What is wrong with it.
        why: String,
    },
    /// The network did not start: a port in use, an address that is not ours. Nothing was started.
    #[error(transparent)]
    Net(#[from] NetError),
    /// An address of the configuration cannot be resolved. Nothing was started.
    #[error(
        "nodes.{node}.addresses: {address}: {why}; write an address and a port, as in 10.0.0.1:7400"
    )]
    Address {
        /// Whose address.
        node: String,
        /// The text.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// The directory for sockets and logs cannot be used. Nothing was started.
    #[error("work directory {}: {why}", path.display())]
    WorkDirectory {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it, and the remedy.
        why: String,
    },
    /// A name that the configuration does not hold, or that is not meant for this call.
    #[error("{kind} {name} is not known; known are: {known}")]
    Unknown {
        /// `node`, `group` or `resource`.
        kind: &'static str,
        /// The name.
        name: String,
        /// What there is.
        known: String,
    },
    /// The call does not suit what it names, as a completion for a request that is not open.
    #[error("{0}")]
    Misuse(String),
    /// The coordinator refused the command; the cluster is as it was.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What was waited for has not come yet. It may still come.
    #[error("{what} took longer than {} ms", after.as_millis())]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
    },
    /// The engine's queue is full. Nothing was queued: take what waits, then try again.
    #[error("the engine's queue is full; nothing was queued, try again")]
    Busy,
    /// The node has left or was killed: its guests are stopped, and it answers no more.
    #[error("the node has ended; start it again")]
    Ended,
    /// The node failed by a fault of its own or of its disk, and has fenced itself: its guests are
    /// killed. Drop it and start it again.
    #[error("the node has fenced itself: {why}")]
    Poisoned {
        /// What went wrong; of a panic its text.
        why: String,
    },
    /// In a test cluster a promise of quorate was broken: by a fault of quorate, or by a resource
    /// that did not do what it said.
    #[error("a promise was broken: {0}")]
    Violation(String),
    /// A recording cannot be read, is none, or is damaged; the text names the byte.
    #[error("recording {}: {why}", path.display())]
    Recording {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        why: String,
    },
    /// A LUN cannot be reached, cannot do what was asked, or refuses it.
    #[error("{lun}: {why}")]
    Lun {
        /// Where it is.
        lun: String,
        /// What it, or the way to it, said.
        why: String,
    },
    /// The operating system refused.
    #[error("cannot {doing}: {source}")]
    System {
        /// What was tried.
        doing: String,
        /// Its words.
        source: io::Error,
    },
}

impl Error {
    /// The kind of error as one word, the same in all languages.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Config(_) => "config",
            Error::Key(_) => "key",
            Error::Log(_) | Error::LogRecord { .. } => "log",
            Error::Net(_) => "net",
            Error::Address { .. } => "address",
            Error::WorkDirectory { .. } => "work_directory",
            Error::Unknown { .. } => "unknown",
            Error::Misuse(_) => "misuse",
            Error::Refused(_) => "refused",
            Error::TimedOut { .. } => "timed_out",
            Error::Busy => "busy",
            Error::Ended => "ended",
            Error::Poisoned { .. } => "poisoned",
            Error::Violation(_) => "violation",
            Error::Recording { .. } => "recording",
            Error::Lun { .. } => "lun",
            Error::System { .. } => "system",
        }
    }

    pub(crate) fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let doing = doing.into();
        move |source| Error::System { doing, source }
    }
}
