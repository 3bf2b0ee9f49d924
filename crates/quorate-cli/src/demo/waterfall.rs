//! The waterfall of a move: one bar for each step, on one scale.

use std::fmt::Write as _;

use super::measure::{Kind, Move};
use crate::lab::tenths_ms;

/// Columns of the bars.
const BAR_WIDTH: usize = 48;

/// Draws a move's steps; with block characters, or with plain ones.
pub(crate) fn waterfall(found: &Move, with_blocks: bool) -> String {
    let what = match found.kind {
        Kind::Quick => "planned move",
        Kind::Kill => "kill -9 of the owner's host",
        Kind::Isolate => "the owner's heartbeats cut",
    };
    let mut text = format!(
        "{what}: {} -> {}, {:.1} ms between two ticks of the guest\n",
        found.from,
        found.to,
        tenths_ms(found.outage)
    );
    let (Some(first), Some(last)) = (found.steps.first(), found.steps.last()) else { return text };
    let whole = last.to.since(first.from).as_secs_f64().max(1e-9);
    let place = |at: crate::lab::Moment| {
        let share = at.since(first.from).as_secs_f64() / whole;
        // Within the bars: the share is between 0 and 1.
        ((share * BAR_WIDTH as f64).round() as usize).min(BAR_WIDTH)
    };
    let block = if with_blocks { "█" } else { "#" };
    for step in &found.steps {
        let (from, to) = (place(step.from), place(step.to));
        let from = from.min(BAR_WIDTH - 1);
        let bar = format!("{}{}", " ".repeat(from), block.repeat((to - from.min(to)).max(1)));
        let _ = writeln!(
            text,
            "  {:<10} {bar:<BAR_WIDTH$} {:>8.1} ms  {}",
            step.name,
            tenths_ms(step.length()),
            step.note
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::measure::Step;
    use crate::lab::Moment;
    use std::time::Duration;

    #[test]
    fn bars_follow_one_another_on_one_scale() {
        let step = |name, from: u64, to: u64| Step {
            name,
            from: Moment(from * 1_000_000),
            to: Moment(to * 1_000_000),
            note: "so".into(),
        };
        let found = Move {
            kind: Kind::Kill,
            from: "n1".into(),
            to: "n2".into(),
            outage: Duration::from_micros(123_456),
            until_start_order: Duration::ZERO,
            engine_share: None,
            steps: vec![step("detect", 0, 24), step("fence", 24, 24), step("start", 24, 48)],
        };
        let text = waterfall(&found, false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "kill -9 of the owner's host: n1 -> n2, 123.5 ms between two ticks of the guest"
        );
        assert_eq!(lines[1].matches('#').count(), 24);
        assert_eq!(lines[2].find('#'), Some(13 + 24));
        assert_eq!(lines[3].rfind('#'), Some(13 + 47));
        assert!(lines[3].ends_with("24.0 ms  so"), "{text}");
    }
}
