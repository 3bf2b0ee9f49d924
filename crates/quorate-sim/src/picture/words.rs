//! What an entry says to a person.

use crate::clock::Moment;
use crate::timeline::{Entry, Kind};

/// A detail longer than this is cut: some faults name every link.
const DETAIL_MAX: usize = 240;

/// A sentence without its time.
pub(super) fn sentence(entry: &Entry) -> String {
    let subject = &entry.subject;
    let mut text = match phrase(entry.kind) {
        Some((before, after)) => format!("{before}{subject}{after}"),
        None => format!("{} {subject}", entry.kind.name().replace('_', " ")),
    };
    if let Some(node) = &entry.node {
        text += &format!(" {} {node}", preposition(entry.kind));
    }
    if !entry.detail.is_empty() {
        text += &format!(": {}", detail(entry));
    }
    text
}

/// The detail, cut if it is long.
pub(super) fn detail(entry: &Entry) -> String {
    let mut letters = entry.detail.chars();
    let mut text: String = letters.by_ref().take(DETAIL_MAX).collect();
    let rest = letters.count();
    if rest > 0 {
        text += &format!("… ({rest} more characters)");
    }
    text
}

/// The first word of a detail: the kind of a fault, the cause of a move.
pub(super) fn head(entry: &Entry) -> &str {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '-';
    entry.detail.split(|letter| !is_part(letter)).next().unwrap_or_default()
}

/// A point in time, as on the page's axis.
pub(super) fn time(at: Moment) -> String {
    let millis = at.0 / 1_000_000;
    let (seconds, part) = (millis / 1_000, millis % 1_000);
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}.{part:03}"),
        (0, _) => format!("{minutes}:{:02}.{part:03}", seconds % 60),
        _ => format!("{hours}:{minutes:02}:{:02}.{part:03}", seconds % 60),
    }
}

/// A length, as short as it can be said.
pub(super) fn length(from: Moment, until: Moment) -> String {
    let millis = until.0.saturating_sub(from.0) / 1_000_000;
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..10_000 => format!("{}.{:02} s", millis / 1_000, millis % 1_000 / 10),
        10_000..120_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        _ => format!("{} min {} s", millis / 60_000, millis / 1_000 % 60),
    }
}

fn preposition(kind: Kind) -> &'static str {
    match kind {
        Kind::GroupAssigned => "to",
        Kind::LunHeld | Kind::LunReleased | Kind::LunLost => "by",
        Kind::WriteRefused => "from",
        _ => "on",
    }
}

/// What stands before and after the subject.
fn phrase(kind: Kind) -> Option<(&'static str, &'static str)> {
    let pair = match kind {
        Kind::GroupStarted | Kind::MemberStarted => ("", " runs"),
        Kind::GroupStopped | Kind::MemberStopped => ("", " is stopped"),
        Kind::GroupStartFailed => ("", " does not start"),
        Kind::GroupStopFailed => ("", " does not stop"),
        Kind::GroupKilled => ("", " is killed"),
        Kind::GroupDied => ("", " dies by itself"),
        Kind::GroupSaved => ("", " is saved"),
        Kind::GroupResumed => ("", " goes on from its saved state"),
        Kind::GroupAssigned => ("", " is given"),
        Kind::NodeUp => ("", " is up"),
        Kind::NodeDown => ("", " is off"),
        Kind::NodePaused => ("", " stands still"),
        Kind::NodeGoesOn => ("", " goes on"),
        Kind::NodeSuspect => ("", " is silent"),
        Kind::NodeHeard => ("", " is heard again"),
        Kind::NodeIsolated => ("", " is cut off, but beats on storage"),
        Kind::NodeBelievedDown => ("", " is believed down"),
        Kind::NodeAdmitted => ("", " is admitted"),
        Kind::FenceRequested => ("proof is asked for that ", " is harmless"),
        Kind::FenceConfirmed => ("", " is fenced"),
        Kind::LeaseLost => ("", " may not act any more"),
        Kind::LeaseGained => ("", " may act"),
        Kind::Coordinator => ("", " coordinates"),
        Kind::LunHeld => ("", " is held"),
        Kind::LunReleased => ("", " is given back"),
        Kind::LunLost => ("", " is lost"),
        Kind::WriteRefused => ("", " refuses a write"),
        Kind::FaultBegins => ("fault ", " begins"),
        Kind::FaultEnds => ("fault ", " ends"),
        Kind::Healed => ("every fault is over", ""),
        Kind::Violation => ("BROKEN: ", ""),
        #[allow(unreachable_patterns, reason = "a kind without a phrase is told by its name")]
        _ => return None,
    };
    Some(pair)
}
