//! How long a group ran nowhere, read from the timeline.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::clock::Moment;
use crate::timeline::{Entry, Kind};

/// The sum of the times in which a group ran on no node, from its first start to `now`.
pub(super) fn total(timeline: &[Entry], group: &str, now: Moment) -> Duration {
    let mut running: BTreeSet<&str> = BTreeSet::new();
    let mut down_since: Option<Moment> = None;
    let mut total = Duration::ZERO;
    for entry in timeline.iter().filter(|entry| entry.subject == group) {
        let node = entry.node.as_deref().unwrap_or_default();
        match begins(entry.kind) {
            Some(true) => {
                running.insert(node);
                total += down_since.take().map_or(Duration::ZERO, |since| entry.at.since(since));
            }
            Some(false) if running.remove(node) && running.is_empty() => {
                down_since = Some(entry.at);
            }
            Some(false) | None => {}
        }
    }
    total + down_since.map_or(Duration::ZERO, |since| now.since(since))
}

/// Whether a group runs on the entry's node from there on; none: it says nothing of that.
fn begins(kind: Kind) -> Option<bool> {
    match kind {
        Kind::GroupStarted | Kind::GroupResumed => Some(true),
        Kind::GroupStopped | Kind::GroupKilled | Kind::GroupDied | Kind::GroupSaved => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at_s: u64, kind: Kind, node: &str) -> Entry {
        let (subject, detail) = ("vm1".to_owned(), String::new());
        let at = Moment(at_s * 1_000_000_000);
        Entry { at, kind, subject, node: Some(node.to_owned()), detail }
    }

    #[test]
    fn an_outage_is_the_time_in_which_it_runs_nowhere() {
        let timeline = [
            entry(5, Kind::GroupStarted, "n1"),
            entry(10, Kind::GroupKilled, "n1"),
            entry(13, Kind::GroupStarted, "n2"),
            entry(20, Kind::GroupStarted, "n3"),
            entry(21, Kind::GroupStopped, "n2"),
            entry(30, Kind::GroupDied, "n3"),
        ];
        let at = |seconds: u64| Moment(seconds * 1_000_000_000);
        assert_eq!(total(&timeline[..1], "vm1", at(9)), Duration::ZERO);
        assert_eq!(total(&timeline[..5], "vm1", at(29)), Duration::from_secs(3));
        assert_eq!(total(&timeline, "vm1", at(32)), Duration::from_secs(5));
        assert_eq!(total(&timeline, "vm2", at(32)), Duration::ZERO);
    }
}
