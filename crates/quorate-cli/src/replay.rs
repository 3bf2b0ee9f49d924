//! `quorate replay`: a node's recording, lived again and told.

use std::io::{IsTerminal as _, Write as _, stderr, stdout};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use quorate::{
    Between, NoticeKind, Progress, ReplayOptions, ReplayReport, ReplayStep, replay_with,
};
use serde_json::json;

use crate::failure::{Exit, Failure};
use crate::{arguments, page, signals};

/// How often progress is shown.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// Replays a recording, tells its story and says whether it was reproduced.
///
/// # Errors
/// The file is no recording or damaged; the engine decided otherwise; a page could not be written.
pub(crate) fn replay(arguments: &arguments::Replay) -> Result<(), Failure> {
    let options = ReplayOptions {
        until: arguments.until,
        stop_at_step: arguments.stop_at.and_then(StopAt::step),
        stop_at: arguments.stop_at.and_then(StopAt::kind),
        all: arguments.all,
    };
    page::check(arguments.html.as_deref())?;
    let interrupted = signals::interruption()?;
    let mut meter = Meter::new();
    let mut kept = Vec::new();
    let mut is_heard = true;
    let mut is_met = false;
    let seen = replay_with(&arguments.file, &options, |step, progress| {
        meter.show(progress);
        if let Some(step) = step {
            is_met |= step.notices.iter().any(|notice| Some(notice.kind) == options.stop_at);
            if !arguments.quiet && is_heard {
                is_heard = tell(&step, arguments.json);
            }
            if arguments.html.is_some() {
                kept.push(step);
            }
        }
        match interrupted.load(Ordering::Relaxed) || !(is_heard || arguments.html.is_some()) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    meter.clear();
    let report = seen.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    if let Some(path) = &arguments.html {
        page::write(path, &report.html(&kept))?;
    }
    conclude(&report, arguments.json);
    if let Some(text) = not_reached(&options, &report, is_met) {
        eprintln!("quorate: {text}");
    }
    if interrupted.load(Ordering::Relaxed) {
        let text = format!("interrupted after step {}", report.steps);
        return Err(Failure::new(Exit::Interrupted, text));
    }
    verdict(&report)
}

/// Where to stop: after a step, or after a kind of notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopAt {
    /// A step, from 1.
    Step(u64),
    /// A kind of notice.
    Kind(NoticeKind),
}

impl StopAt {
    fn step(self) -> Option<u64> {
        match self {
            StopAt::Step(step) => Some(step),
            StopAt::Kind(_) => None,
        }
    }

    fn kind(self) -> Option<NoticeKind> {
        match self {
            StopAt::Step(_) => None,
            StopAt::Kind(kind) => Some(kind),
        }
    }
}

impl std::str::FromStr for StopAt {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(step) = text.trim_start_matches('#').parse() {
            return Ok(StopAt::Step(step));
        }
        let kind = NoticeKind::ALL.iter().find(|kind| kind.as_str() == text);
        kind.map(|&kind| StopAt::Kind(kind)).ok_or_else(|| {
            let known: Vec<&str> = NoticeKind::ALL.iter().map(|kind| kind.as_str()).collect();
            format!("give the number of a step, or one of: {}", known.join(", "))
        })
    }
}

/// Where the replay was to stop and did not, for people.
fn not_reached(options: &ReplayOptions, report: &ReplayReport, is_met: bool) -> Option<String> {
    report.ending?;
    let steps = report.steps;
    match (options.stop_at_step, options.stop_at) {
        (Some(step), _) if step > steps => {
            Some(format!("--stop-at {step} is beyond the end: the recording has {steps} steps"))
        }
        (_, Some(kind)) if !is_met => Some(format!(
            "--stop-at {}: none is told in the {steps} steps of the recording",
            kind.as_str()
        )),
        _ => None,
    }
}

/// Prints a step; false: nobody listens.
fn tell(step: &ReplayStep, as_json: bool) -> bool {
    let text = if as_json { format!("{}\n", json!(step)) } else { narrated(step) };
    stdout().write_all(text.as_bytes()).is_ok()
}

fn narrated(step: &ReplayStep) -> String {
    let mut text = format!("{} #{:<6} {}", seconds(step.at_ns), step.step, step.because);
    if let Some(between) = summary(&step.between) {
        text += &format!("   [{between}]");
    }
    text.push('\n');
    for notice in &step.notices {
        text += &format!("{:>22}! {}\n", "", notice.text);
    }
    for action in &step.actions {
        text += &format!("{:>22}> {action}\n", "");
    }
    text
}

fn seconds(ns: u64) -> String {
    format!("{:>6}.{:06}", ns / 1_000_000_000, ns / 1_000 % 1_000_000)
}

/// What went by unshown, if it is worth a word.
fn summary(between: &Between) -> Option<String> {
    let parts = [
        (between.beats_in, "beats in"),
        (between.beats_out, "beats out"),
        (between.messages_in, "messages in"),
        (between.messages_out, "messages out"),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts.map(|(count, what)| format!("{count} {what}")).collect();
    (between.steps > 1 && !parts.is_empty()).then(|| parts.join(", "))
}

fn conclude(report: &ReplayReport, as_json: bool) {
    let text = if as_json { format!("{}\n", json!({ "report": report })) } else { told(report) };
    // Who has closed our output has no wish to read it.
    let _ = stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush());
}

fn told(report: &ReplayReport) -> String {
    let ReplayReport { node, cluster, boot, steps, .. } = report;
    let mut text = format!(
        "\n{node} of {cluster}, boot {boot}: {steps} steps in {} s, {}\n",
        seconds(report.end_ns).trim(),
        match (report.reproduced, report.ending) {
            (false, _) => "not as it was recorded",
            (true, None) => "as it was recorded, up to here",
            (true, Some("full")) => "as it was recorded, until the recording had its full size",
            (true, Some("lost")) => "as it was recorded, until the disk did not keep up",
            (true, Some("panicked")) => "as it was recorded, until the engine panicked",
            (true, Some("torn")) => {
                "as it was recorded, up to a last record that is not complete, as it is while the node runs"
            }
            (true, Some(_)) => "as it was recorded",
        }
    );
    if let Some(panic) = &report.panic {
        text += &format!("the engine panicked: {panic}\n");
    }
    let coordinator = report.coordinator.as_deref().unwrap_or("nobody");
    let lease = report.lease_left_ms;
    let lease = lease.map_or("may not act".to_owned(), |left| format!("may act for {left} ms"));
    text += &format!("there {node} follows {coordinator} and {lease}\n");
    for group in &report.groups {
        let owner = group.owner.as_deref().unwrap_or("nobody");
        text += &format!("  {}: {}, of {owner}, epoch {}\n", group.name, group.state, group.epoch);
    }
    text
}

fn verdict(report: &ReplayReport) -> Result<(), Failure> {
    let (Some(step), Some(byte)) = (report.differs_at_step, report.differs_at_byte) else {
        return Ok(());
    };
    let (theirs, ours) = (&report.recorded_by, env!("CARGO_PKG_VERSION"));
    let text = format!(
        "step {step}, at byte {byte}, is not what was recorded: the engine decides otherwise here; it was recorded \
         by version {theirs}, this is {ours}: replay it with the build that recorded it"
    );
    Err(Failure::new(Exit::Failed, text))
}

/// How far the replay is, for who waits.
struct Meter {
    is_shown: bool,
    shown_at: Option<Instant>,
}

impl Meter {
    /// Where the story itself is read, it is the progress.
    fn new() -> Self {
        let is_shown = stderr().is_terminal() && !stdout().is_terminal();
        Self { is_shown, shown_at: None }
    }

    fn show(&mut self, progress: Progress) {
        if !self.is_shown || self.shown_at.is_some_and(|at| at.elapsed() < PROGRESS_INTERVAL) {
            return;
        }
        self.shown_at = Some(Instant::now());
        let percent = progress.bytes * 100 / progress.bytes_total.max(1);
        let _ = write!(stderr(), "\r\x1b[K{percent} %, step {}", progress.steps);
    }

    fn clear(&self) {
        if self.shown_at.is_some() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
