//! The control socket of a running node: one request a connection, JSON lines both ways.
//!
//! A request is one line, as `{"do":"move","group":"vm1","to":"n2"}`. The answer is one line,
//! `{"ok":...}` or `{"error":{"code":"refused","text":"..."}}`; before it come the lines of
//! `events`, as `{"notice":{...}}`. The socket is open to the user who runs the node, and to nobody
//! else.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quorate::config::Amounts;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::operate::{Mode, Return};

/// The socket's name in a node's state directory.
pub const SOCKET: &str = "control.sock";
/// The longest request, in bytes.
///
/// A configuration of 100,000 groups passes.
pub const REQUEST_BYTES_MAX: u64 = 128 << 20;
/// How long a node may take over a command before it is given up.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a node may take to say that it is there.
pub const SIGN_TIMEOUT: Duration = Duration::from_millis(1500);

/// What can be asked of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The node's view of the cluster.
    Status,
    /// A planned move.
    Move {
        /// The group.
        group: String,
        /// The node; none: placement chooses.
        to: Option<String>,
    },
    /// Bring a group online.
    Online {
        /// The group.
        group: String,
    },
    /// Take a group offline and keep it there.
    Offline {
        /// The group.
        group: String,
    },
    /// Move everything off a node.
    Drain {
        /// The node.
        node: String,
    },
    /// Let nothing new start on a node.
    Pause {
        /// The node.
        node: String,
    },
    /// End a drain, a pause or a quarantine.
    Resume {
        /// The node.
        node: String,
        /// What returns to it.
        #[serde(default)]
        failback: Return,
    },
    /// End a drain or a pause; a quarantine goes on.
    EndDrain {
        /// The node.
        node: String,
    },
    /// Move everything off a node, and stop there what nowhere else can run.
    Empty {
        /// The node.
        node: String,
    },
    /// Fence a node, though it is heard.
    Fence {
        /// The node.
        node: String,
        /// Who wants it, and why.
        reason: String,
    },
    /// Take a group offline and leave it with its node.
    Disable {
        /// The group.
        group: String,
    },
    /// Leave a group alone.
    Unmanage {
        /// The group.
        group: String,
    },
    /// Look after a group again.
    Manage {
        /// The group.
        group: String,
    },
    /// Start, stop and move nothing.
    Disarm {
        /// What is said of the groups meanwhile.
        mode: Mode,
        /// For how many seconds; none: until `Arm`.
        ttl_s: Option<u64>,
    },
    /// Manage everything again.
    Arm,
    /// Let no group move by itself, or let them again.
    HoldMoves {
        /// Whether they are held.
        held: bool,
    },
    /// How often a group has failed on a node.
    CountFailures {
        /// The group.
        group: String,
        /// The node.
        node: String,
        /// How often.
        count: u32,
    },
    /// How much a group loads its node.
    Load {
        /// The group.
        group: String,
        /// How much of each thing.
        load: Amounts,
    },
    /// Take a group in.
    AddGroup {
        /// Its words, as in a cluster.toml.
        text: String,
        /// The file's name, for errors.
        file: String,
    },
    /// Take a group out.
    RemoveGroup {
        /// The group.
        group: String,
    },
    /// Take a node in.
    AddNode {
        /// Its words, as in a cluster.toml.
        text: String,
        /// The file's name, for errors.
        file: String,
    },
    /// Take a node out.
    EvictNode {
        /// The node.
        node: String,
    },
    /// The configuration in force.
    Config,
    /// What another configuration would do.
    Plan {
        /// It, as JSON.
        config: String,
    },
    /// What the drain of a node would do.
    PlanDrain {
        /// The node.
        node: String,
    },
    /// What the move of a group would do.
    PlanMove {
        /// The group.
        group: String,
        /// The node; none: placement chooses.
        to: Option<String>,
    },
    /// Bring another configuration into force.
    Apply {
        /// It, as JSON.
        config: String,
        /// Why.
        reason: String,
        /// Only in place of this version.
        only_if: Option<u64>,
    },
    /// Bring an earlier configuration back.
    RollBack {
        /// Which version; none: the one before.
        to: Option<u64>,
        /// Why.
        reason: String,
    },
    /// The versions of the configuration.
    History,
    /// A human's word that a node that is down runs nothing.
    ConfirmFenced {
        /// The node.
        node: String,
        /// Who says so, and why.
        reason: String,
    },
    /// Why a group is where it is.
    Explain {
        /// The group.
        group: String,
    },
    /// Why a group is not on a node, and what would have to change.
    WhyNot {
        /// The group.
        group: String,
        /// The node.
        node: String,
    },
    /// Why the node asked a driver for something.
    ExplainAction {
        /// The number of the request.
        op: u64,
    },
    /// What the node has told, oldest first.
    Events {
        /// Go on with what it tells next.
        follow: bool,
    },
}

/// Why a node cannot be asked, or what it answered instead.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No node listens there.
    #[error(
        "no node answers with state directory {}: start it with `quorate run`; a node that is embedded in another \
         program answers no commands",
        state.display()
    )]
    NotRunning {
        /// The state directory.
        state: PathBuf,
    },
    /// There is no configuration beside which to look.
    #[error(
        "{} is not there: name the configuration with --config, or the node's state directory with --state",
        config.display()
    )]
    NoConfig {
        /// The configuration.
        config: PathBuf,
    },
    /// A node is there and says nothing.
    #[error(
        "the node with state directory {} does not answer: its process is stopped, or hangs",
        state.display()
    )]
    Hung {
        /// The state directory.
        state: PathBuf,
    },
    /// The socket cannot be used.
    #[error("control socket {}: {source}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The node ended before it had answered.
    #[error("the node ended before it answered")]
    NoAnswer,
    /// The node answered something that is not in the protocol.
    #[error("the node's answer is not understood: {text}; is it of this version?")]
    NotUnderstood {
        /// The answer.
        text: String,
    },
    /// The node says why not.
    #[error("{text}")]
    Refused {
        /// The kind of error, one word.
        code: String,
        /// For people.
        text: String,
    },
}

/// One line of an answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Notice(Value),
    Ok(Value),
    Error { code: String, text: String },
}

/// A connection to a running node.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    path: PathBuf,
}

impl Client {
    /// Connects to the node with this state directory.
    ///
    /// # Errors
    /// [`ControlError::NotRunning`], or [`ControlError::Socket`].
    pub fn connect(state: &Path) -> Result<Self, ControlError> {
        let path = state.join(SOCKET);
        match UnixStream::connect(&path) {
            Ok(stream) => Ok(Self { stream, path }),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                Err(ControlError::NotRunning { state: state.to_owned() })
            }
            Err(source) => Err(ControlError::Socket { path, source }),
        }
    }

    /// Connects to the node with this state directory once it has given a sign: a process that is stopped still lets
    /// itself be connected to.
    ///
    /// # Errors
    /// As [`Client::connect`], or [`ControlError::Hung`].
    pub fn reach(state: &Path) -> Result<Self, ControlError> {
        match Self::connect(state)?.ask_within(&Request::Status, Some(SIGN_TIMEOUT), |_| true) {
            Err(ControlError::Socket { source, .. })
                if matches!(source.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
            {
                Err(ControlError::Hung { state: state.to_owned() })
            }
            // What it says against it, it says to the question as well.
            _ => Self::connect(state),
        }
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// Any [`ControlError`] but `NotRunning`.
    pub fn ask(self, request: &Request) -> Result<Value, ControlError> {
        self.ask_each(request, |_| true)
    }

    /// As [`Client::ask`], and gives each notice that comes before the answer; `false` ends it.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn ask_each(
        self,
        request: &Request,
        notice: impl FnMut(Value) -> bool,
    ) -> Result<Value, ControlError> {
        let is_answered = !matches!(request, Request::Events { .. });
        let bound = is_answered.then_some(COMMAND_TIMEOUT + Duration::from_secs(5));
        self.ask_within(request, bound, notice)
    }

    fn ask_within(
        mut self,
        request: &Request,
        bound: Option<Duration>,
        mut notice: impl FnMut(Value) -> bool,
    ) -> Result<Value, ControlError> {
        let socket = |source| ControlError::Socket { path: self.path.clone(), source };
        let mut line = serde_json::to_string(request).expect("a request is plain data");
        line.push('\n');
        self.stream.set_read_timeout(bound).map_err(socket)?;
        self.stream.write_all(line.as_bytes()).map_err(socket)?;
        for line in BufReader::new(&self.stream).lines() {
            let line = line.map_err(socket)?;
            match serde_json::from_str(&line) {
                Ok(Reply::Notice(value)) => {
                    if !notice(value) {
                        return Ok(Value::Null);
                    }
                }
                Ok(Reply::Ok(value)) => return Ok(value),
                Ok(Reply::Error { code, text }) => {
                    return Err(ControlError::Refused { code, text });
                }
                Err(_) => return Err(ControlError::NotUnderstood { text: line }),
            }
        }
        Err(ControlError::NoAnswer)
    }
}

/// The line of a notice.
#[must_use]
pub fn notice_line(notice: &impl Serialize) -> String {
    json!({ "notice": notice }).to_string()
}

/// The line of a good answer.
#[must_use]
pub fn ok_line(value: &impl Serialize) -> String {
    json!({ "ok": value }).to_string()
}

/// The line of a bad one.
#[must_use]
pub fn error_line(code: &str, text: &str) -> String {
    json!({ "error": { "code": code, "text": text } }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// A node that answers one request with these lines.
    fn node_that_answers(
        lines: &'static [&'static str],
    ) -> (tempfile::TempDir, std::thread::JoinHandle<String>) {
        let state = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(state.path().join(SOCKET)).unwrap();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = String::new();
            BufReader::new(&stream).read_line(&mut asked).unwrap();
            for line in lines {
                writeln!(stream, "{line}").unwrap();
            }
            asked
        });
        (state, thread)
    }

    #[test]
    fn a_request_is_one_line_and_its_answer_comes_back() {
        let (state, node) = node_that_answers(&[r#"{"ok":7}"#]);
        let request = Request::Move { group: "vm1".into(), to: Some("n2".into()) };
        assert_eq!(Client::connect(state.path()).unwrap().ask(&request).unwrap(), 7);
        assert_eq!(node.join().unwrap(), "{\"do\":\"move\",\"group\":\"vm1\",\"to\":\"n2\"}\n");
    }

    #[test]
    fn a_refusal_keeps_its_code_and_its_words() {
        let (state, _node) = node_that_answers(&[r#"{"error":{"code":"refused","text":"no"}}"#]);
        let error = Client::connect(state.path()).unwrap().ask(&Request::Status).unwrap_err();
        let ControlError::Refused { code, text } = error else { panic!("{error}") };
        assert_eq!((code.as_str(), text.as_str()), ("refused", "no"));
    }

    #[test]
    fn notices_come_before_the_answer() {
        let (state, _node) = node_that_answers(&[
            r#"{"notice":{"kind":"up"}}"#,
            r#"{"notice":{"kind":"down"}}"#,
            r#"{"ok":null}"#,
        ]);
        let mut kinds = vec![];
        let client = Client::connect(state.path()).unwrap();
        let answer = client.ask_each(&Request::Events { follow: false }, |notice| {
            kinds.push(notice["kind"].clone());
            true
        });
        assert_eq!((answer.unwrap(), kinds), (Value::Null, vec!["up".into(), "down".into()]));
    }

    #[test]
    fn a_node_that_says_nothing_is_said_to_hang() {
        let state = tempfile::tempdir().unwrap();
        let _listener = UnixListener::bind(state.path().join(SOCKET)).unwrap();
        let hung = Client::reach(state.path()).unwrap_err();
        assert!(matches!(hung, ControlError::Hung { .. }), "{hung}");
        assert!(hung.to_string().contains("stopped, or hangs"), "{hung}");
    }

    #[test]
    fn what_is_no_node_is_said_to_be_none() {
        let state = tempfile::tempdir().unwrap();
        let missing = Client::connect(state.path()).unwrap_err();
        assert!(matches!(missing, ControlError::NotRunning { .. }), "{missing}");
        drop(UnixListener::bind(state.path().join(SOCKET)).unwrap());
        let stale = Client::connect(state.path()).unwrap_err();
        assert!(stale.to_string().contains("quorate run"), "{stale}");
        let (state, _node) = node_that_answers(&[]);
        let silent = Client::connect(state.path()).unwrap().ask(&Request::Status).unwrap_err();
        assert!(matches!(silent, ControlError::NoAnswer), "{silent}");
    }
}
