//! The node's end of the control socket, and what it remembers of what the node has told.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use quorate::{Answer, Error, Node, Notice, Refusal, Ticket};
use serde_json::Value;

use crate::control::{
    COMMAND_TIMEOUT, REQUEST_BYTES_MAX, Request, SOCKET, error_line, notice_line, ok_line,
};
use crate::failure::{Exit, Failure};
use crate::{configure, operate};

/// How many notices are remembered.
const JOURNAL_MAX: usize = 4096;
/// How many answers wait for those who asked.
const ANSWERS_MAX: usize = 1024;
/// How many connections are served at once.
const CONNECTIONS_MAX: usize = 32;
/// How long is rested when a connection could not be taken.
const ACCEPT_REST: Duration = Duration::from_millis(10);
/// How long a client may take to say what it wants, and to read a line.
const CLIENT_PATIENCE: Duration = Duration::from_secs(10);

/// What the node has told, the newest thousands of it.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    entries: Mutex<Entries>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Entries {
    lines: VecDeque<Arc<str>>,
    /// The number of the first line.
    first: u64,
    has_ended: bool,
}

impl Journal {
    /// Remembers a notice.
    pub(crate) fn add(&self, notice: &Notice) {
        let mut entries = self.entries.lock();
        if entries.lines.len() == JOURNAL_MAX {
            entries.lines.pop_front();
            entries.first += 1;
        }
        entries.lines.push_back(notice_line(notice).into());
        self.changed.notify_all();
    }

    /// Nothing more will come.
    pub(crate) fn end(&self) {
        self.entries.lock().has_ended = true;
        self.changed.notify_all();
    }

    /// The lines from number `next` on, and the number behind them; none: nothing more will come.
    /// Waits for at most `patience` when there are none yet.
    fn read(&self, next: u64, patience: Duration) -> Option<(Vec<Arc<str>>, u64)> {
        let mut entries = self.entries.lock();
        let end = |entries: &Entries| entries.first + entries.lines.len() as u64;
        if end(&entries) <= next && !entries.has_ended && !patience.is_zero() {
            self.changed.wait_for(&mut entries, patience);
        }
        let from = next.max(entries.first);
        let skipped = usize::try_from(from - entries.first).unwrap_or(usize::MAX);
        let lines: Vec<_> = entries.lines.iter().skip(skipped).cloned().collect();
        let behind = end(&entries).max(next);
        (!lines.is_empty() || !entries.has_ended).then_some((lines, behind))
    }
}

/// The answers to commands: whoever takes the node's items puts them in, whoever asked waits for
/// his.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    unclaimed: Mutex<BTreeMap<Ticket, Result<(), Refusal>>>,
    changed: Condvar,
}

impl Answers {
    /// Puts an answer in. Of answers that nobody claims the oldest give way.
    pub(crate) fn add(&self, answer: Answer) {
        let mut unclaimed = self.unclaimed.lock();
        if unclaimed.len() == ANSWERS_MAX {
            unclaimed.pop_first();
        }
        unclaimed.insert(answer.ticket, answer.result);
        self.changed.notify_all();
    }

    fn wait(&self, ticket: Ticket) -> Result<(), Error> {
        let end = Instant::now() + COMMAND_TIMEOUT;
        let mut unclaimed = self.unclaimed.lock();
        loop {
            if let Some(result) = unclaimed.remove(&ticket) {
                return result.map_err(Error::Refused);
            }
            if self.changed.wait_until(&mut unclaimed, end).timed_out() {
                let what = "the coordinator's answer".to_owned();
                return Err(Error::TimedOut { what, after: COMMAND_TIMEOUT });
            }
        }
    }
}

/// What the connections are answered from.
#[derive(Debug)]
pub(crate) struct Desk {
    /// The node.
    pub(crate) node: Node,
    /// What it has told.
    pub(crate) journal: Journal,
    /// What was answered to commands.
    pub(crate) answers: Answers,
}

impl Desk {
    /// A desk for a node that was just started.
    pub(crate) fn new(node: Node) -> Arc<Self> {
        Arc::new(Self { node, journal: Journal::default(), answers: Answers::default() })
    }
}

/// The socket while it is served; dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Server {
    path: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already is as well.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Serves the control socket of a node in `state`, on threads that end with the process.
///
/// Call it when the node runs: its log is locked then, so a socket that stands there is stale.
///
/// # Errors
/// When the socket cannot be made, with the remedy.
pub(crate) fn serve(desk: &Arc<Desk>, state: &Path) -> Result<Server, Failure> {
    let path = state.join(SOCKET);
    let failed = |error: io::Error| {
        let text = format!(
            "control socket {}: {error}; name a --state with a shorter path that \
                            you may write to",
            path.display()
        );
        Failure::new(Exit::Configuration, text)
    };
    // Closed to others before it has the name under which clients look for it.
    let fresh = state.join("control.new");
    let _ = std::fs::remove_file(&fresh);
    let listener = UnixListener::bind(&fresh).map_err(failed)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    std::fs::rename(&fresh, &path).map_err(failed)?;
    let open = Arc::new(AtomicUsize::new(0));
    let desk = Arc::clone(desk);
    let accept = move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                // Out of descriptors, say: the caller still waits, and would be met at once again.
                thread::sleep(ACCEPT_REST);
                continue;
            };
            let desk = Arc::clone(&desk);
            let slot = Slot::take(&open);
            let answer = move || match slot {
                Some(_slot) => answer(&desk, &stream),
                None => say(&stream, &error_line("busy", "too many connections; try again")),
            };
            // A thread that cannot be had is a client that is not answered.
            let _ = thread::Builder::new().name("control".into()).spawn(answer);
        }
    };
    thread::Builder::new().name("control".into()).spawn(accept).map_err(failed)?;
    Ok(Server { path })
}

/// One of the connections that may be served at once.
struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(open: &Arc<AtomicUsize>) -> Option<Self> {
        let slot = Self(Arc::clone(open));
        (open.fetch_add(1, Ordering::Relaxed) < CONNECTIONS_MAX).then_some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers one connection. What cannot be said any more is left unsaid.
fn answer(desk: &Desk, stream: &UnixStream) {
    let request = match read_request(stream) {
        Ok(request) => request,
        Err(why) => return say(stream, &error_line("misuse", &why)),
    };
    if let Request::Events { follow } = request {
        return tell_events(&desk.journal, stream, follow);
    }
    let line = match carry_out(desk, request) {
        Ok(value) => ok_line(&value),
        Err(error) => error_line(error.code(), &error.to_string()),
    };
    say(stream, &line);
}

fn read_request(stream: &UnixStream) -> Result<Request, String> {
    let text = |error: io::Error| error.to_string();
    stream.set_read_timeout(Some(CLIENT_PATIENCE)).map_err(text)?;
    stream.set_write_timeout(Some(CLIENT_PATIENCE)).map_err(text)?;
    let mut line = String::new();
    BufReader::new(stream).take(REQUEST_BYTES_MAX).read_line(&mut line).map_err(text)?;
    serde_json::from_str(&line).map_err(|error| format!("this request is not understood: {error}"))
}

fn carry_out(desk: &Desk, request: Request) -> Result<Value, Error> {
    let node = &desk.node;
    if let Some(answer) = configure::answer(node, &request) {
        return answer;
    }
    let special = operate::carry_out(node, &request);
    if let Some(ticket) = special.or_else(|| configure::carry_out(node, &request)) {
        return desk.answers.wait(ticket?).map(|()| Value::Null);
    }
    let ticket = match request {
        Request::Status => {
            let status = node.status()?;
            return Ok(serde_json::to_value(status).expect("a status is plain data"));
        }
        Request::Explain { group } => {
            let explanation = node.explanation(&group)?;
            return Ok(serde_json::to_value(explanation).expect("it is plain data"));
        }
        Request::WhyNot { group, node: name } => {
            let why = node.why_not(&group, &name)?;
            return Ok(serde_json::to_value(why).expect("it is plain data"));
        }
        Request::ExplainAction { op } => {
            let why = node.explain_action(quorate::OpId(op))?;
            return Ok(serde_json::to_value(why).expect("it is plain data"));
        }
        Request::Move { group, to } => node.move_group(&group, to.as_deref()),
        Request::Online { group } => node.online(&group),
        Request::Offline { group } => node.offline(&group),
        Request::Drain { node: name } => node.drain(&name),
        Request::Pause { node: name } => node.pause(&name),
        Request::Resume { node: name, failback } => node.resume_with(&name, failback.into()),
        Request::ConfirmFenced { node: name, reason } => node.confirm_fenced(&name, &reason),
        _ => return Ok(Value::Null),
    };
    desk.answers.wait(ticket?).map(|()| Value::Null)
}

fn tell_events(journal: &Journal, stream: &UnixStream, follow: bool) {
    let mut next = 0;
    let patience = if follow { Duration::from_secs(1) } else { Duration::ZERO };
    while let Some((lines, behind)) = journal.read(next, patience) {
        for line in &lines {
            if write_line(stream, line).is_err() {
                return;
            }
        }
        next = behind;
        if !follow {
            break;
        }
    }
    say(stream, &ok_line(&Value::Null));
}

fn say(stream: &UnixStream, line: &str) {
    // The client has gone: nobody misses it.
    let _ = write_line(stream, line);
}

fn write_line(mut stream: &UnixStream, line: &str) -> io::Result<()> {
    stream.write_all(format!("{line}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate::{NoticeKind, Stamp};

    fn notice(text: &str) -> Notice {
        let at = Stamp { boottime_ns: 0, unix_us: 0 };
        let fields = serde_json::Map::new();
        Notice { at, past_ms: None, kind: NoticeKind::Joined, text: text.to_owned(), fields }
    }

    #[test]
    fn the_journal_keeps_the_newest_and_says_when_nothing_more_comes() {
        let journal = Journal::default();
        assert_eq!(journal.read(0, Duration::ZERO), Some((vec![], 0)));
        for number in 0..JOURNAL_MAX + 2 {
            journal.add(&notice(&number.to_string()));
        }
        let (lines, behind) = journal.read(0, Duration::ZERO).unwrap();
        assert_eq!((lines.len(), behind), (JOURNAL_MAX, JOURNAL_MAX as u64 + 2));
        assert!(lines[0].contains("\"text\":\"2\""), "{}", lines[0]);
        journal.add(&notice("last"));
        journal.end();
        let (lines, behind) = journal.read(behind, Duration::ZERO).unwrap();
        assert_eq!(lines.len(), 1);
        assert_eq!(journal.read(behind, Duration::from_secs(60)), None);
    }
}
