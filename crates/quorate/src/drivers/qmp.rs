//! A small QMP client: commands with numbers and time-outs, events on a channel.
//!
//! Owns the connection to a hypervisor's monitor and one thread that reads it. It must never trust
//! what comes in: lines that are no JSON are counted and skipped, lines without end are refused,
//! and the end of the connection fails every command that waits.
//!
//! Source: QEMU docs/interop/qmp-spec.rst.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// The longest line that is read. QEMU's longest answers have some hundred kilobytes.
const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Events that wait to be taken before the reader itself waits.
const EVENTS_MAX: usize = 1024;

/// How long a command may take to be written: a hypervisor that does not read is hung.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to a monitor. Commands may come from several threads at once.
#[derive(Debug)]
pub struct Qmp {
    writer: Mutex<UnixStream>,
    shared: Arc<Shared>,
    version: (u32, u32, u32),
}

/// Something that the hypervisor told by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct QmpEvent {
    /// Its name, as `BLOCK_IO_ERROR`.
    pub name: String,
    /// Its data; an empty object when it has none.
    pub data: Value,
}

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QmpError {
    /// The connection ended, or never became one.
    #[error("connection to the monitor lost: {reason}")]
    Closed {
        /// What is known of why.
        reason: String,
    },
    /// The hypervisor refused the command.
    #[error("{command}: {class}: {description}")]
    Refused {
        /// The command.
        command: String,
        /// The hypervisor's class of error.
        class: String,
        /// Its words.
        description: String,
    },
    /// No answer by the deadline. One that comes later is dropped.
    #[error("{command}: no answer within {} ms", waited.as_millis())]
    Timeout {
        /// The command.
        command: String,
        /// How long it was waited for.
        waited: Duration,
    },
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    skipped: AtomicU64,
}

#[derive(Debug, Default)]
struct Pending {
    closed: Option<String>,
    last_id: u64,
    waiting: BTreeMap<u64, Sender<Value>>,
}

impl Qmp {
    /// Takes over a fresh connection: reads the greeting, ends the negotiation, starts the reader.
    ///
    /// The channel of events ends with the connection.
    ///
    /// # Errors
    /// [`QmpError::Closed`] when what answers is no QMP monitor; [`QmpError::Timeout`].
    pub fn negotiate(
        stream: UnixStream,
        deadline: Instant,
    ) -> Result<(Self, Receiver<QmpEvent>), QmpError> {
        let closed = |error: io::Error| QmpError::Closed { reason: error.to_string() };
        stream.set_write_timeout(Some(WRITE_TIMEOUT)).map_err(closed)?;
        let started = Instant::now();
        let mut lines = Lines::new(stream.try_clone().map_err(closed)?);
        let greeting = read_greeting(&mut lines, &stream, deadline, started)?;
        let version = version_of(&greeting)?;
        stream.set_read_timeout(None).map_err(closed)?;

        let shared = Arc::new(Shared::default());
        let (sender, events) = bounded(EVENTS_MAX);
        let reader = Arc::clone(&shared);
        thread::Builder::new()
            .name("qmp".to_owned())
            .spawn(move || reader.read(&mut lines, &sender))
            .map_err(closed)?;
        let qmp = Self { writer: Mutex::new(stream), shared, version };
        qmp.execute("qmp_capabilities", json!({}), deadline)?;
        Ok((qmp, events))
    }

    /// The hypervisor's version: major, minor, micro.
    pub fn version(&self) -> (u32, u32, u32) {
        self.version
    }

    /// How many lines and answers were skipped because they made no sense or came too late.
    pub fn skipped(&self) -> u64 {
        self.shared.skipped.load(Ordering::Relaxed)
    }

    /// Executes `command` with the object `arguments`, and waits for its answer.
    ///
    /// # Errors
    /// See [`QmpError`]. After a [`QmpError::Timeout`] the command may still be carried out.
    pub fn execute(
        &self,
        command: &str,
        arguments: Value,
        deadline: Instant,
    ) -> Result<Value, QmpError> {
        let started = Instant::now();
        let (sender, answer) = bounded(1);
        let id = self.shared.register(sender)?;
        let mut line = json!({ "execute": command, "arguments": arguments, "id": id }).to_string();
        line.push('\n');
        if let Err(error) = self.writer.lock().write_all(line.as_bytes()) {
            self.shared.forget(id);
            return Err(QmpError::Closed { reason: error.to_string() });
        }
        match answer.recv_deadline(deadline) {
            Ok(answer) => result_of(command, answer),
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => {
                self.shared.forget(id);
                Err(QmpError::Timeout { command: command.to_owned(), waited: started.elapsed() })
            }
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) => Err(self.shared.closed()),
        }
    }
}

impl Drop for Qmp {
    fn drop(&mut self) {
        // Ends the reader; an error means that the connection has ended already.
        let _ = self.writer.lock().shutdown(Shutdown::Both);
    }
}

impl Shared {
    fn register(&self, sender: Sender<Value>) -> Result<u64, QmpError> {
        let mut pending = self.pending.lock();
        if let Some(reason) = &pending.closed {
            return Err(QmpError::Closed { reason: reason.clone() });
        }
        pending.last_id += 1;
        let id = pending.last_id;
        pending.waiting.insert(id, sender);
        Ok(id)
    }

    fn forget(&self, id: u64) {
        self.pending.lock().waiting.remove(&id);
    }

    fn closed(&self) -> QmpError {
        let reason = self.pending.lock().closed.clone().unwrap_or_else(|| "closed".to_owned());
        QmpError::Closed { reason }
    }

    fn read(&self, lines: &mut Lines, events: &Sender<QmpEvent>) {
        let reason = loop {
            match lines.next() {
                Ok(Some(line)) => self.on_line(&line, events),
                Ok(None) => break "closed by the hypervisor".to_owned(),
                Err(error) => break error.to_string(),
            }
        };
        let mut pending = self.pending.lock();
        pending.closed = Some(reason);
        pending.waiting.clear();
    }

    fn on_line(&self, line: &[u8], events: &Sender<QmpEvent>) {
        let Ok(Value::Object(mut message)) = serde_json::from_slice(line) else {
            return self.skip();
        };
        if let Some(name) = message.get("event").and_then(Value::as_str) {
            let name = name.to_owned();
            let data = message.remove("data").unwrap_or_else(|| json!({}));
            // Nobody takes events any more: then they need not be kept.
            let _ = events.send(QmpEvent { name, data });
            return;
        }
        let id = message.get("id").and_then(Value::as_u64);
        let waiting = id.and_then(|id| self.pending.lock().waiting.remove(&id));
        match waiting {
            Some(sender) => {
                // Its time-out may have come in between.
                let _ = sender.send(Value::Object(message));
            }
            None => self.skip(),
        }
    }

    fn skip(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }
}

fn read_greeting(
    lines: &mut Lines,
    stream: &UnixStream,
    deadline: Instant,
    started: Instant,
) -> Result<Value, QmpError> {
    let timeout =
        || QmpError::Timeout { command: "greeting".to_owned(), waited: started.elapsed() };
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(timeout());
        }
        let set = stream.set_read_timeout(Some(left));
        let line = match set.and_then(|()| lines.next()) {
            Ok(Some(line)) => line,
            Ok(None) => {
                return Err(QmpError::Closed { reason: "closed before its greeting".to_owned() });
            }
            Err(error) if is_timeout(&error) => return Err(timeout()),
            Err(error) => return Err(QmpError::Closed { reason: error.to_string() }),
        };
        if let Ok(value) = serde_json::from_slice::<Value>(&line)
            && value.get("QMP").is_some()
        {
            return Ok(value);
        }
    }
}

fn version_of(greeting: &Value) -> Result<(u32, u32, u32), QmpError> {
    let number = |name: &str| {
        let value = greeting.pointer(&format!("/QMP/version/qemu/{name}")).and_then(Value::as_u64);
        value.and_then(|value| u32::try_from(value).ok()).ok_or_else(|| QmpError::Closed {
            reason: "its greeting names no version: not a QEMU monitor".to_owned(),
        })
    };
    Ok((number("major")?, number("minor")?, number("micro")?))
}

fn result_of(command: &str, mut answer: Value) -> Result<Value, QmpError> {
    if let Some(value) = answer.get_mut("return") {
        return Ok(value.take());
    }
    let text = |key: &str| {
        let value = answer.pointer(&format!("/error/{key}")).and_then(Value::as_str);
        value.unwrap_or("unknown").to_owned()
    };
    Err(QmpError::Refused {
        command: command.to_owned(),
        class: text("class"),
        description: text("desc"),
    })
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Splits a stream into lines of bounded length; half a line at the end is dropped.
pub(super) struct Lines {
    stream: UnixStream,
    buffer: Vec<u8>,
    /// How much of the buffer is known to hold no line's end.
    searched: usize,
}

impl Lines {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream, buffer: Vec::new(), searched: 0 }
    }

    /// The next line without its end; `None` when the stream has ended.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let fresh = &self.buffer[self.searched..];
            if let Some(found) = fresh.iter().position(|byte| *byte == b'\n') {
                let end = self.searched + found;
                let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
                line.pop();
                self.searched = 0;
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > LINE_BYTES_MAX {
                let text = format!("a line is longer than {LINE_BYTES_MAX} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(None),
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::thread::JoinHandle;

    use super::*;

    const GREETING: &str = concat!(
        r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}}, "#,
        r#""capabilities": []}}"#
    );

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    /// A monitor that sends `before`, answers each command as `answer` says, and ends when it says
    /// `None`.
    fn monitor(
        before: &'static str,
        mut answer: impl FnMut(&str, u64) -> Option<String> + Send + 'static,
    ) -> (UnixStream, JoinHandle<()>) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let thread = thread::spawn(move || {
            theirs.write_all(before.as_bytes()).unwrap();
            for line in BufReader::new(theirs.try_clone().unwrap()).lines() {
                let Ok(line) = line else { break };
                let command: Value = serde_json::from_str(&line).unwrap();
                let name = command["execute"].as_str().unwrap().to_owned();
                let id = command["id"].as_u64().unwrap();
                let text = match name.as_str() {
                    "qmp_capabilities" => Some(format!("{{\"return\": {{}}, \"id\": {id}}}\n")),
                    other => answer(other, id),
                };
                let Some(text) = text else { break };
                if theirs.write_all(text.as_bytes()).is_err() {
                    break;
                }
            }
        });
        (ours, thread)
    }

    fn greeted(
        answer: impl FnMut(&str, u64) -> Option<String> + Send + 'static,
    ) -> (Qmp, Receiver<QmpEvent>, JoinHandle<()>) {
        let before = Box::leak(format!("{GREETING}\n").into_boxed_str());
        let (stream, thread) = monitor(before, answer);
        let (qmp, events) = Qmp::negotiate(stream, soon()).unwrap();
        (qmp, events, thread)
    }

    #[test]
    fn garbage_and_strange_answers_between_the_lines_do_no_harm() {
        let (qmp, events, thread) = greeted(|_, id| {
            Some(format!(
                "\u{0}\u{1}garbage\n\n[1]\n{{\"return\": 1, \"id\": 999}}\n\
                 {{\"event\": \"STOP\", \"timestamp\": {{}}}}\n{{\"return\": 5, \"id\": {id}}}\n"
            ))
        });
        assert_eq!(qmp.execute("query-status", json!({}), soon()), Ok(json!(5)));
        assert_eq!(events.recv().unwrap(), QmpEvent { name: "STOP".to_owned(), data: json!({}) });
        assert_eq!(qmp.skipped(), 4);
        assert_eq!(qmp.version(), (10, 0, 2));
        drop(qmp);
        thread.join().unwrap();
        assert!(events.recv().is_err(), "the events end with the connection");
    }

    #[test]
    fn a_refusal_carries_the_hypervisors_words() {
        let (qmp, _events, thread) = greeted(|_, id| {
            Some(format!(
                "{{\"error\": {{\"class\": \"GenericError\", \"desc\": \"no such\"}}, \
                 \"id\": {id}}}\n"
            ))
        });
        let error = qmp.execute("cont", json!({}), soon()).unwrap_err();
        assert_eq!(error.to_string(), "cont: GenericError: no such");
        drop(qmp);
        thread.join().unwrap();
    }

    #[test]
    fn no_answer_is_a_timeout_and_a_late_one_is_dropped() {
        let mut first = None;
        let (qmp, _events, thread) = greeted(move |_, id| match first.take() {
            None => {
                first = Some(id);
                Some(String::new())
            }
            Some(late) => Some(format!(
                "{{\"return\": 1, \"id\": {late}}}\n{{\"return\": 2, \"id\": {id}}}\n"
            )),
        });
        let error = qmp.execute("stop", json!({}), Instant::now()).unwrap_err();
        assert!(matches!(error, QmpError::Timeout { .. }), "{error}");
        assert_eq!(qmp.execute("cont", json!({}), soon()), Ok(json!(2)));
        assert_eq!(qmp.skipped(), 1);
        drop(qmp);
        thread.join().unwrap();
    }

    #[test]
    fn the_end_of_the_connection_in_half_a_line_fails_what_waits_and_what_comes() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let thread = thread::spawn(move || {
            theirs.write_all(format!("{GREETING}\n").as_bytes())?;
            let mut commands = BufReader::new(theirs.try_clone()?).lines();
            commands.next();
            theirs.write_all(b"{\"return\": {}, \"id\": 1}\n")?;
            commands.next();
            theirs.write_all(b"{\"return\": {}, \"i")
        });
        let (qmp, _events) = Qmp::negotiate(ours, soon()).unwrap();
        let error = qmp.execute("stop", json!({}), soon()).unwrap_err();
        assert!(matches!(error, QmpError::Closed { .. }), "{error}");
        let error = qmp.execute("stop", json!({}), soon()).unwrap_err();
        assert!(matches!(error, QmpError::Closed { .. }), "{error}");
        thread.join().unwrap().unwrap();
    }

    #[test]
    fn what_is_no_monitor_is_refused_in_time() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let error = Qmp::negotiate(ours, Instant::now()).unwrap_err();
        assert!(matches!(error, QmpError::Timeout { .. }), "{error}");
        drop(theirs);
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"HTTP/1.1 400 Bad Request\n").unwrap();
        drop(theirs);
        let error = Qmp::negotiate(ours, soon()).unwrap_err();
        assert!(matches!(error, QmpError::Closed { .. }), "{error}");
    }
}
