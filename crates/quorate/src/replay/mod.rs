//! A node's recording lived again: the real engine makes every decision once more, and says why.
//!
//! A node records what its engine was told (see [`crate::RecordOptions`]). The same engine, told the same at the same
//! times, decides the same: [`replay()`] shows what came in, what was decided because of it, and proves step by step
//! that it is what happened.

#[cfg(feature = "testing")]
mod picture;
mod words;

use std::fs::File;
use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quorate_core::Event;
use quorate_core::recording::{Ending, Opening, RecordingError, Replay, Stepped, Verdict};
use quorate_core::status::{GroupStatus, NodeStatus};
use serde::Serialize;

use crate::Error;
use crate::node::tell::Names;
use crate::notice::{Notice, NoticeKind, Stamp};

/// No recording is longer.
const FILE_MAX: u64 = 1 << 30;

/// Where a replay stops, and what it shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayOptions {
    /// Before the first step that is later than this, counted from the engine's start.
    pub until: Option<Duration>,
    /// After this step, counted from 1.
    pub stop_at_step: Option<u64>,
    /// After the first notice of this kind.
    pub stop_at: Option<NoticeKind>,
    /// Shows every step, also heartbeats and ticks that decide nothing.
    pub all: bool,
}

/// One step that is worth showing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplayStep {
    /// Which, from 1.
    pub step: u64,
    /// When, in nanoseconds since the engine's start.
    pub at_ns: u64,
    /// What kind of event came in.
    pub event: &'static str,
    /// The same for people: why all the rest was done.
    pub because: String,
    /// What the engine found worth telling: its decisions, and what was committed.
    pub notices: Vec<Notice>,
    /// What it asked for, beside heartbeats, messages and its log.
    pub actions: Vec<String>,
    /// What came and went since the step that was shown before, this one included.
    pub between: Between,
}

/// What is not shown one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Between {
    /// Steps.
    pub steps: u64,
    /// Heartbeats that came.
    pub beats_in: u64,
    /// Heartbeats that were sent.
    pub beats_out: u64,
    /// Messages that came.
    pub messages_in: u64,
    /// Messages that were sent.
    pub messages_out: u64,
    /// Requests to the local log.
    pub persisted: u64,
}

/// What a replay has shown in the end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplayReport {
    /// The cluster's name.
    pub cluster: String,
    /// The node's name.
    pub node: String,
    /// The boot that was recorded.
    pub boot: u64,
    /// The version of quorate that recorded it.
    pub recorded_by: String,
    /// When the engine was started.
    pub started: Stamp,
    /// How many steps were made.
    pub steps: u64,
    /// The time of the last one, in nanoseconds since the start.
    pub end_ns: u64,
    /// Whether every step was what it had been.
    pub reproduced: bool,
    /// The first step that was not.
    pub differs_at_step: Option<u64>,
    /// Where in the file that step stands.
    pub differs_at_byte: Option<u64>,
    /// What an engine that panicked has said.
    pub panic: Option<String>,
    /// How the recording ends: `closed`, `full`, `lost`, `panicked`, `torn`; none: the replay stopped before.
    pub ending: Option<&'static str>,
    /// The coordinator that the node followed where the replay stopped.
    pub coordinator: Option<String>,
    /// How long it might act from there on, in milliseconds.
    pub lease_left_ms: Option<u64>,
    /// The nodes, as this one knew them where the replay stopped.
    pub nodes: Vec<NodeStatus>,
    /// The groups.
    pub groups: Vec<GroupStatus>,
    /// The names of the LUNs.
    pub luns: Vec<String>,
}

/// How far a replay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Steps made.
    pub steps: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Bytes in all.
    pub bytes_total: u64,
}

/// Replays a recording, and gives every step that is worth showing.
///
/// # Errors
/// [`Error::Recording`]: it cannot be read, is none, or is damaged, with the place.
pub fn replay(
    path: &Path,
    options: &ReplayOptions,
) -> Result<(ReplayReport, Vec<ReplayStep>), Error> {
    let mut steps = Vec::new();
    let report = replay_with(path, options, |step, _| {
        steps.extend(step);
        ControlFlow::Continue(())
    })?;
    Ok((report, steps))
}

/// Replays a recording step by step: `see` is called after each, with the step if it is worth showing, and may break
/// off.
///
/// # Errors
/// As [`replay()`].
pub fn replay_with(
    path: &Path,
    options: &ReplayOptions,
    mut see: impl FnMut(Option<ReplayStep>, Progress) -> ControlFlow<()>,
) -> Result<ReplayReport, Error> {
    let wrong = |error: RecordingError| refused(path, error.to_string());
    let file = read(path)?;
    let mut replay = Replay::begin(&file).map_err(wrong)?;
    let mut clerk = Clerk { start: replay.opening().clone(), between: Between::default() };
    let bytes_total = file.len() as u64;
    loop {
        if options.stop_at_step.is_some_and(|last| replay.steps() >= last) {
            break;
        }
        let Some(stepped) = next(&mut replay, options.until).map_err(wrong)? else { break };
        let Some(engine) = replay.engine() else { break };
        let (shown, is_last) = clerk.look(&stepped, &Names(engine.config()), options);
        let progress = Progress { steps: replay.steps(), bytes: replay.offset(), bytes_total };
        if see(shown, progress).is_break() || is_last {
            break;
        }
    }
    Ok(report(&replay))
}

/// The next step, unless it is too late.
fn next(
    replay: &mut Replay<'_>,
    until: Option<Duration>,
) -> Result<Option<Stepped>, RecordingError> {
    match until {
        Some(until) => {
            let last = replay.opening().start + until;
            replay.step_until(last)
        }
        None => replay.step(),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |error: std::io::Error| refused(path, error.to_string());
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(refused(path, "this is no file".to_owned()));
    }
    if metadata.len() > FILE_MAX {
        let length = metadata.len();
        return Err(refused(
            path,
            format!("{length} bytes, no recording has more than {FILE_MAX}"),
        ));
    }
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn refused(path: &Path, why: String) -> Error {
    Error::Recording { path: PathBuf::from(path), why }
}

/// Chooses what is shown.
struct Clerk {
    start: Opening,
    between: Between,
}

impl Clerk {
    /// The step, if it is worth showing, and whether it is the one to stop at.
    fn look(
        &mut self,
        stepped: &Stepped,
        names: &Names<'_>,
        options: &ReplayOptions,
    ) -> (Option<ReplayStep>, bool) {
        self.count(stepped);
        let at = self.stamp(stepped);
        let told = stepped.notices.iter().filter_map(|notice| names.told(notice));
        let notices: Vec<Notice> = told.map(|notice| Notice { at, ..notice }).collect();
        let actions = words::actions(&stepped.actions, names);
        let is_last =
            options.stop_at.is_some_and(|kind| notices.iter().any(|one| one.kind == kind));
        let is_worth =
            words::is_worth(&stepped.event) || !notices.is_empty() || !actions.is_empty();
        if !is_worth && !options.all {
            return (None, is_last);
        }
        let (event, because) = words::event(&stepped.event, names);
        let shown = ReplayStep {
            step: stepped.number,
            at_ns: stepped.now.0.saturating_sub(self.start.start.0),
            event,
            because,
            notices,
            actions,
            between: std::mem::take(&mut self.between),
        };
        (Some(shown), is_last)
    }

    fn count(&mut self, stepped: &Stepped) {
        use quorate_core::Action;
        let between = &mut self.between;
        between.steps += 1;
        match &stepped.event {
            Event::Beat { .. } => between.beats_in += 1,
            Event::Message { .. } => between.messages_in += 1,
            _ => {}
        }
        for action in &stepped.actions {
            match action {
                Action::SendBeat { .. } => between.beats_out += 1,
                Action::Send { .. } => between.messages_out += 1,
                Action::Persist { .. } => between.persisted += 1,
                _ => {}
            }
        }
    }

    fn stamp(&self, stepped: &Stepped) -> Stamp {
        let since = stepped.now.0.saturating_sub(self.start.start.0);
        Stamp { boottime_ns: stepped.now.0, unix_us: self.start.unix_us + since / 1_000 }
    }
}

fn report(replay: &Replay<'_>) -> ReplayReport {
    let opening = replay.opening();
    let config = &opening.setup.config;
    let status = replay.engine().map(|engine| engine.status(replay.now())).unwrap_or_default();
    let (differs, panic) = match replay.verdict() {
        Verdict::Reproduced => (None, None),
        Verdict::Differs { step, offset } => (Some((*step, *offset)), None),
        Verdict::Panicked { as_recorded: true, text, .. } => (None, Some(text.clone())),
        Verdict::Panicked { step, offset, text, .. } => {
            (Some((*step, *offset)), Some(text.clone()))
        }
    };
    let ending = replay.ending().map(|how| match how {
        Ending::Closed => "closed",
        Ending::Full => "full",
        Ending::Lost => "lost",
        Ending::Panicked => "panicked",
    });
    ReplayReport {
        cluster: config.name().to_owned(),
        node: Names(config).node(opening.setup.node),
        boot: opening.setup.boot,
        recorded_by: opening.version.clone(),
        started: Stamp { boottime_ns: opening.start.0, unix_us: opening.unix_us },
        steps: replay.steps(),
        end_ns: replay.now().0.saturating_sub(opening.start.0),
        reproduced: differs.is_none(),
        differs_at_step: differs.map(|(step, _)| step),
        differs_at_byte: differs.map(|(_, offset)| offset),
        panic,
        ending: ending.or(replay.torn().map(|_| "torn")),
        coordinator: status.coordinator,
        lease_left_ms: status.lease_left_ms,
        nodes: status.nodes,
        groups: status.groups,
        luns: config.luns().iter().map(|lun| lun.name.clone()).collect(),
    }
}
