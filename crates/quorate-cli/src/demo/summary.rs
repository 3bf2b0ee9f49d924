//! `summary.json`: the figures of a demo, and their medians and worst.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::measure::{Kind, Move, MoveSummary};
use crate::lab::tenths_ms;

/// The figures of a demo. Outages come from the guest's own ticks, counts from the LUN and the log
/// of each write.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Each move, in order.
    pub moves: Vec<MoveSummary>,
    /// Over all moves of a kind.
    pub by_kind: BTreeMap<Kind, Spread>,
    /// Records that the guest said are written.
    pub acked_writes: u64,
    /// Of these, how many are not on the LUN.
    pub lost_writes: u64,
    /// Records that were written twice, by two lives of the guest at once.
    pub doubled_writes: u64,
    /// Writes that the LUN refused, as it should.
    pub refused_writes: u64,
    /// What the guest and the LUN were made of.
    pub parts: String,
    /// Where it ran: `namespaces`, or `loopback` and why.
    pub ground: String,
}

/// Median and worst of the moves of one kind, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// How many there were.
    pub runs: usize,
    /// From tick to tick.
    pub outage_median_ms: f64,
    /// From tick to tick.
    pub outage_worst_ms: f64,
    /// From the fault to the order to start.
    pub until_start_order_median_ms: f64,
    /// From the fault to the order to start.
    pub until_start_order_worst_ms: f64,
    /// From the verdict to the order to start, without what the LUN took; none for planned moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_share_median_ms: Option<f64>,
    /// From the verdict to the order to start, without what the LUN took; none for planned moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_share_worst_ms: Option<f64>,
}

impl Spread {
    fn of(moves: &[&Move]) -> Self {
        let sorted = |lengths: Vec<Duration>| {
            let mut lengths = lengths;
            lengths.sort_unstable();
            let median = lengths.get(lengths.len() / 2).copied();
            median.zip(lengths.last().copied()).map(|(a, b)| (tenths_ms(a), tenths_ms(b)))
        };
        let outage = sorted(moves.iter().map(|it| it.outage).collect()).unwrap_or_default();
        let order = sorted(moves.iter().map(|it| it.until_start_order).collect());
        let order = order.unwrap_or_default();
        let share = sorted(moves.iter().filter_map(|it| it.engine_share).collect());
        Self {
            runs: moves.len(),
            outage_median_ms: outage.0,
            outage_worst_ms: outage.1,
            until_start_order_median_ms: order.0,
            until_start_order_worst_ms: order.1,
            engine_share_median_ms: share.map(|it| it.0),
            engine_share_worst_ms: share.map(|it| it.1),
        }
    }
}

/// Median and worst of each kind.
pub(crate) fn spreads(moves: &[Move]) -> BTreeMap<Kind, Spread> {
    let mut kinds: BTreeMap<Kind, Vec<&Move>> = BTreeMap::new();
    for found in moves {
        kinds.entry(found.kind).or_default().push(found);
    }
    kinds.into_iter().map(|(kind, moves)| (kind, Spread::of(&moves))).collect()
}

impl Summary {
    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// What the system said, with the file.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).expect("figures always encode") + "\n";
        let fresh = path.with_extension("json.new");
        let written = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&fresh, &text)?;
            fs::rename(&fresh, path)
        };
        written().map_err(|error| format!("{}: {error}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(kind: Kind, outage: u64) -> Move {
        Move {
            kind,
            from: "n1".into(),
            to: "n2".into(),
            outage: Duration::from_millis(outage),
            until_start_order: Duration::from_millis(outage / 2),
            engine_share: (kind != Kind::Quick).then_some(Duration::from_millis(1)),
            steps: vec![],
        }
    }

    #[test]
    fn median_and_worst_are_taken_kind_by_kind() {
        let moves = [
            took(Kind::Kill, 30),
            took(Kind::Kill, 10),
            took(Kind::Kill, 20),
            took(Kind::Quick, 5),
        ];
        let found = spreads(&moves);
        let kill = &found[&Kind::Kill];
        assert_eq!((kill.runs, kill.outage_median_ms, kill.outage_worst_ms), (3, 20.0, 30.0));
        assert_eq!(kill.engine_share_worst_ms, Some(1.0));
        assert_eq!(found[&Kind::Quick].engine_share_worst_ms, None);
    }

    #[test]
    fn the_file_has_the_promised_keys() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("demo/summary.json");
        let moves = [took(Kind::Isolate, 40)];
        let summary = Summary {
            moves: moves.iter().map(Move::summary).collect(),
            by_kind: spreads(&moves),
            acked_writes: 7,
            lost_writes: 0,
            doubled_writes: 0,
            refused_writes: 1,
            parts: "qemu on iscsi".into(),
            ground: "namespaces".into(),
        };
        summary.write(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let found = &json["moves"][0];
        for key in ["detect_ms", "agree_ms", "fence_ms", "start_ms", "outage_ms"] {
            assert!(found[key].is_number(), "{key}");
        }
        assert_eq!((&found["kind"], &found["from"]), (&"isolate".into(), &"n1".into()));
        for key in ["acked_writes", "lost_writes", "doubled_writes", "refused_writes"] {
            assert!(json[key].is_number(), "{key}");
        }
        assert!(json["by_kind"]["isolate"]["outage_median_ms"].is_number());
    }
}
