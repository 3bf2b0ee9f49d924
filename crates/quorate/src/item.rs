//! What a node has for its host: requests, notices, answers.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::notice::Notice;
pub use quorate_core::id::OpId;
pub use quorate_core::message::Refusal;

/// One thing to take from a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "item")]
pub enum Item {
    /// Something to do for a resource that the host runs; answer with `Node::complete`.
    Request(Request),
    /// Something worth knowing. Nothing depends on its being read.
    Notice(Notice),
    /// The answer to a command.
    Answer(Answer),
}

/// Names one command; its answer carries it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Ticket(pub u64);

/// The coordinator's answer to a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The command.
    pub ticket: Ticket,
    /// Accepted and committed, though not carried out yet; or why not.
    pub result: Result<(), Refusal>,
}

/// What a host is asked to do with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Start it afresh.
    Start,
    /// Load what was saved from `Request::state`, but let it not run yet.
    Load,
    /// Let what was loaded run.
    Run,
    /// Halt it, write its state to `Request::state`, and end it here.
    Save,
    /// Stop it in order.
    Stop,
    /// End it now, whatever else is under way. Complete only when nothing of it runs.
    Kill,
}

impl Verb {
    /// The verb in lower case, the same in all languages.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Start => "start",
            Verb::Load => "load",
            Verb::Run => "run",
            Verb::Save => "save",
            Verb::Stop => "stop",
            Verb::Kill => "kill",
        }
    }
}

/// One request for a resource with `driver = "host"`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Request {
    /// The completion names it.
    pub op: OpId,
    /// The resource.
    pub resource: String,
    /// Its group.
    pub group: String,
    /// What to do.
    pub verb: Verb,
    /// The epoch of the group's ownership; `Node::report` names it.
    pub epoch: u64,
    /// How long it may take before the resource is killed and counts as failed.
    pub timeout: Duration,
    /// The file to write the state to, or to read it from; with `Save` and `Load` only.
    pub state: Option<PathBuf>,
    /// The group's LUNs, as this node reaches them.
    pub luns: Vec<LunAccess>,
    /// The resource's own settings, a JSON object.
    pub settings: String,
}

/// How a LUN is reached on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LunAccess {
    /// The LUN's name.
    pub name: String,
    /// A path, or the socket of an NBD server, by `is_nbd`.
    pub path: PathBuf,
    /// `path` is the Unix socket of an NBD server with one unnamed export: the only way to a LUN
    /// whose registration belongs to our session.
    pub is_nbd: bool,
    /// How many bytes from the start of `path` are the resource's, where that is not all of it: behind them stand
    /// saved guests and heartbeats.
    pub size_bytes: Option<u64>,
}
