//! What the lab sees: ticks of guests, notices of nodes, and its own faults, in one order.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::LabError;
use super::follow::{Follower, Line};
use super::serial::GuestLine;
use super::wait::is_interrupted;
use super::{Fault, Moment};

/// How often a wait looks up from an empty channel.
const PATIENCE: Duration = Duration::from_millis(20);

/// One thing that was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// When: a notice's own stamp, else when it was read.
    pub at: Moment,
    /// On which node, from 0.
    pub node: usize,
    /// What.
    pub what: Seen,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// A line of the guest.
    Guest(GuestLine),
    /// A notice of the node.
    Notice(NoticeLine),
    /// Anything else that the node printed: warnings, errors.
    Said(String),
    /// What the lab did to the node.
    Fault(Fault),
}

/// A notice as `quorate run --json` prints it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct NoticeLine {
    at: Stamp,
    /// When it was committed, if that was before its node took part.
    #[serde(default)]
    pub past_ms: Option<u64>,
    /// The kind, as in `down` or `assigned`.
    pub kind: String,
    /// For people.
    pub text: String,
    /// For programs.
    pub fields: Map<String, Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
struct Stamp {
    boottime_ns: u64,
}

impl NoticeLine {
    /// A text field, as `node` or `group`.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(Value::as_str)
    }

    /// Whether it is of this kind and these text fields are as given.
    #[must_use]
    pub fn is(&self, kind: &str, fields: &[(&str, &str)]) -> bool {
        self.kind == kind && fields.iter().all(|(name, value)| self.field(name) == Some(value))
    }
}

impl Sighting {
    /// The tick, if it is one: record and nonce.
    #[must_use]
    pub fn tick(&self) -> Option<(u32, u64)> {
        match self.what {
            Seen::Guest(GuestLine::Tick { record, nonce }) => Some((record, nonce)),
            _ => None,
        }
    }

    /// The notice, if it is one.
    #[must_use]
    pub fn notice(&self) -> Option<&NoticeLine> {
        match &self.what {
            Seen::Notice(notice) => Some(notice),
            _ => None,
        }
    }
}

/// The files of one node that are followed.
#[derive(Clone, Debug)]
pub struct NodeFiles {
    /// What the guest prints.
    pub guest: PathBuf,
    /// What the node prints.
    pub output: PathBuf,
}

/// Who is told of everything that is seen, as it is seen. Closures will do.
pub trait Observe {
    /// Told of a sighting; of none now and then while nothing comes.
    fn see(&mut self, sighting: Option<&Sighting>);
}

impl<F: FnMut(Option<&Sighting>)> Observe for F {
    fn see(&mut self, sighting: Option<&Sighting>) {
        self(sighting);
    }
}

/// Everything seen so far, and who is told of it at once.
pub struct Watch {
    sightings: Vec<Sighting>,
    lines: Receiver<Line>,
    observer: Box<dyn Observe>,
    _follower: Follower,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("sightings", &self.sightings.len()).finish_non_exhaustive()
    }
}

impl Watch {
    /// Follows these nodes. The observer is called in this thread: for each sighting, and with none
    /// now and then while nothing comes.
    #[must_use]
    pub fn start(nodes: &[NodeFiles], observer: Box<dyn Observe>) -> Self {
        let files = nodes.iter().flat_map(|node| [node.guest.clone(), node.output.clone()]);
        let (send, lines) = channel();
        let follower = Follower::start(files.collect(), send);
        Self { sightings: Vec::new(), lines, observer, _follower: follower }
    }

    /// Everything seen so far, as it came in.
    #[must_use]
    pub fn all(&self) -> &[Sighting] {
        &self.sightings
    }

    /// How many there are: what comes later is behind this mark.
    #[must_use]
    pub fn mark(&self) -> usize {
        self.sightings.len()
    }

    /// Notes a fault of the lab's own making.
    pub fn note(&mut self, at: Moment, node: usize, fault: Fault) {
        self.add(Sighting { at, node, what: Seen::Fault(fault) });
    }

    /// Watches until `condition` finds something in what was seen behind `mark`, at most for
    /// `bound`.
    ///
    /// # Errors
    /// [`LabError::TooLate`] with what was seen last, or [`LabError::Interrupted`].
    pub fn until<T>(
        &mut self,
        what: &str,
        mark: usize,
        bound: Duration,
        mut condition: impl FnMut(&[Sighting]) -> Option<T>,
    ) -> Result<T, LabError> {
        let end = Moment::now() + bound;
        loop {
            if let Some(found) = condition(&self.sightings[mark..]) {
                return Ok(found);
            }
            if is_interrupted() {
                return Err(LabError::Interrupted);
            }
            if Moment::now() > end {
                let said = self.last_words();
                return Err(LabError::TooLate { what: what.to_owned(), waited: bound, said });
            }
            self.take(PATIENCE);
        }
    }

    /// Watches for a while.
    ///
    /// # Errors
    /// [`LabError::Interrupted`].
    pub fn linger(&mut self, length: Duration) -> Result<(), LabError> {
        let end = Moment::now() + length;
        while Moment::now() < end {
            if is_interrupted() {
                return Err(LabError::Interrupted);
            }
            self.take(PATIENCE.min(end.since(Moment::now())));
        }
        Ok(())
    }

    fn take(&mut self, patience: Duration) {
        match self.lines.recv_timeout(patience) {
            Ok(line) => {
                self.take_line(line);
                while let Ok(line) = self.lines.try_recv() {
                    self.take_line(line);
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                self.observer.see(None);
            }
        }
    }

    fn take_line(&mut self, line: Line) {
        let (node, is_output) = (line.source / 2, line.source % 2 == 1);
        let sighting = if !is_output {
            let Some(guest) = GuestLine::parse(&line.text) else { return };
            Sighting { at: line.at, node, what: Seen::Guest(guest) }
        } else if let Ok(notice) = serde_json::from_str::<NoticeLine>(&line.text) {
            Sighting { at: Moment(notice.at.boottime_ns), node, what: Seen::Notice(notice) }
        } else {
            Sighting { at: line.at, node, what: Seen::Said(line.text) }
        };
        self.add(sighting);
    }

    fn add(&mut self, sighting: Sighting) {
        self.observer.see(Some(&sighting));
        self.sightings.push(sighting);
    }

    fn last_words(&self) -> String {
        let text = |sighting: &Sighting| match &sighting.what {
            Seen::Guest(line) => format!("{line:?}"),
            Seen::Notice(notice) => notice.text.clone(),
            Seen::Said(text) => text.clone(),
            Seen::Fault(fault) => format!("{fault:?}"),
        };
        let tail = self.sightings.iter().rev().take(12).rev();
        let lines: Vec<String> = tail
            .map(|sighting| format!("  node {}: {}", sighting.node + 1, text(sighting)))
            .collect();
        if lines.is_empty() { String::new() } else { format!("; seen last:\n{}", lines.join("\n")) }
    }
}
